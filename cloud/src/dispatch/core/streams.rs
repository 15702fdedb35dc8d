//! The agents' streams as the core sees them: who is present, who is silent, who gets a question.
//! Pure, as the rest of the core.
//!
//! Of two streams drawn at random the one with the smaller cost is taken: what it has to do, times
//! what it took lately. So load spreads without everybody rushing to the one that looks best, and a
//! slow agent gets less. What is not heard of for a while is forgotten by halves, so that an agent
//! that was slow is tried again.
//!
//! One cloud has many tenants with few agents each: what a question costs here depends on the streams that serve
//! its domain, not on all there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::names::DomainName;

use super::{Attached, AttemptId, OUTSTANDING_MAX, StreamId};
use crate::dispatch::NotAdmitted;

/// Pings while requests are outstanding: a lost agent is noticed inside a sign-in's deadline.
const PING_BUSY: Duration = Duration::from_secs(2);
/// Pings while nothing is: keeps middleboxes awake.
const PING_IDLE: Duration = Duration::from_secs(30);
/// Time to answer one. The agent answers from memory, so this is the network's time.
const PONG_WAIT: Duration = Duration::from_secs(2);
/// A ping that is not answered by then makes others preferred: ten times what a far network takes.
const PONG_EXPECTED: Duration = Duration::from_millis(500);
/// A look that comes so late says that we stood still (a paused machine, a stopped process), and nothing about
/// agents. Far above what a busy scheduler takes, far below what a missing pong means.
const HELD_UP: Duration = Duration::from_millis(500);

/// A session gets its successor a minute before its end.
const SESSION_RENEW: Duration = Duration::from_secs(4 * 60);

/// Weight of the newest answer in the moving latency: about the last five count.
const NEWEST: f64 = 0.2;
/// The moving latency of a stream that answers nothing halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// Nobody is quicker than this: differences below it are noise.
const LATENCY_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) attached: Attached,
    /// Since when a session stands; `None` before the first.
    session: Option<Instant>,
    /// The agent stops, or has a newer stream.
    draining: bool,
    /// An administrator wants nothing new to go there.
    drained: bool,
    outstanding: BTreeSet<AttemptId>,
    heard: Instant,
    pinged: Option<Instant>,
    pings: u64,
    /// Whether the ping was sent anew because we ourselves were held up. Once, until it is heard.
    pinged_again: bool,
    latency: Duration,
    measured: Instant,
    /// Whether `latency` says anything.
    answered: bool,
    /// When it is looked at again, its entry among the `looks`: not later than something is due.
    look: Instant,
}

impl Stream {
    fn new(attached: Attached, now: Instant) -> Self {
        Self {
            drained: attached.drained,
            attached,
            session: None,
            draining: false,
            outstanding: BTreeSet::new(),
            heard: now,
            pinged: None,
            pings: 0,
            pinged_again: false,
            latency: LATENCY_MIN,
            measured: now,
            answered: false,
            look: now + PING_IDLE,
        }
    }

    /// When something is due.
    fn due(&self) -> Instant {
        match self.session {
            Some(since) => self.ping_due().min(since + SESSION_RENEW),
            None => self.ping_due(),
        }
    }

    fn ping_due(&self) -> Instant {
        match self.pinged {
            // It is dead unless it is heard before then.
            Some(at) => at + PONG_WAIT,
            None if self.outstanding.is_empty() => self.heard + PING_IDLE,
            None => self.heard + PING_BUSY,
        }
    }

    /// Nothing new goes there, and nothing is on its way back.
    fn is_done(&self) -> bool {
        self.draining && self.outstanding.is_empty()
    }

    fn takes(&self) -> bool {
        self.session.is_some() && !self.draining && !self.drained
    }

    fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING_MAX
    }

    fn latency_at(&self, now: Instant) -> Duration {
        let idle = now.saturating_duration_since(self.measured).as_secs_f64();
        let left = 0.5_f64.powf(idle / HALF_LIFE.as_secs_f64());
        self.latency.mul_f64(left).max(LATENCY_MIN)
    }

    /// Whether giving it one more costs less than giving it to `other`, or as much.
    fn is_better(&self, other: &Self, now: Instant) -> bool {
        // Of whom nothing is known is taken to be as quick as the other: neither to be flooded nor left out.
        let known = self.answered && other.answered;
        let cost = |stream: &Self| {
            let silent = stream
                .pinged
                .is_some_and(|at| now.saturating_duration_since(at) > PONG_EXPECTED);
            let load = u32::try_from(stream.outstanding.len() + 1).unwrap_or(u32::MAX);
            let latency = if known {
                stream.latency_at(now)
            } else {
                LATENCY_MIN
            };
            // First whether it seems to be there at all.
            (silent, latency.as_secs_f64() * f64::from(load))
        };
        cost(self) <= cost(other)
    }
}

/// Who gets a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Stream(StreamId),
    /// Some serve the domain, and all have as much as they take.
    AllBusy,
    Nobody,
}

/// What time brings to the streams.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) announce: Vec<StreamId>,
    pub(super) ping: Vec<(StreamId, u64)>,
    /// Did not answer their pings.
    pub(super) silent: Vec<StreamId>,
}

/// All attached streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: BTreeMap<StreamId, Stream>,
    /// The newest stream of each agent.
    newest: BTreeMap<AgentId, StreamId>,
    /// Whose agents are registered for a domain, whether or not they take anything now.
    serving: BTreeMap<TenantId, BTreeMap<DomainName, BTreeSet<StreamId>>>,
    /// When each is looked at.
    looks: BTreeSet<(Instant, StreamId)>,
}

impl Streams {
    pub(super) fn ids(&self) -> impl Iterator<Item = StreamId> {
        self.all.keys().copied()
    }

    pub(super) fn agent(&self, id: StreamId) -> Option<AgentId> {
        self.all.get(&id).map(|stream| stream.attached.agent)
    }

    /// Changes a stream, if it is there. What becomes due sooner by that is noted; what becomes due later, which
    /// every sign of life does, is found out when it is looked at.
    fn change<T>(&mut self, id: StreamId, change: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let stream = self.all.get_mut(&id)?;
        let changed = change(stream);
        let due = stream.due();
        if due < stream.look {
            self.looks.remove(&(stream.look, id));
            self.looks.insert((due, id));
            stream.look = due;
        }
        Some(changed)
    }

    fn serve(&mut self, id: StreamId, tenant: TenantId, domains: &BTreeSet<DomainName>) {
        let of_tenant = self.serving.entry(tenant).or_default();
        for domain in domains {
            of_tenant.entry(domain.clone()).or_default().insert(id);
        }
    }

    fn serve_no_more(&mut self, id: StreamId, tenant: TenantId, domains: &BTreeSet<DomainName>) {
        let Some(of_tenant) = self.serving.get_mut(&tenant) else {
            return;
        };
        for domain in domains {
            if let Some(ids) = of_tenant.get_mut(domain) {
                ids.remove(&id);
                if ids.is_empty() {
                    of_tenant.remove(domain);
                }
            }
        }
        if of_tenant.is_empty() {
            self.serving.remove(&tenant);
        }
    }

    /// Those that take a question about this domain now.
    fn taking(&self, tenant: TenantId, domain: &DomainName) -> impl Iterator<Item = (StreamId, &Stream)> {
        let ids = self.serving.get(&tenant).and_then(|domains| domains.get(domain));
        ids.into_iter()
            .flatten()
            .filter_map(|id| Some((*id, self.all.get(id)?)))
            .filter(|(_, stream)| stream.takes())
    }

    /// Adds one. The agent's older stream, if it has one, and whether that one is done.
    pub(super) fn attach(
        &mut self,
        id: StreamId,
        attached: Attached,
        now: Instant,
    ) -> Option<(StreamId, bool)> {
        let older = self.newest.insert(attached.agent, id);
        self.serve(id, attached.tenant, &attached.domains);
        let stream = Stream::new(attached, now);
        self.looks.insert((stream.look, id));
        self.all.insert(id, stream);
        let older = older?;
        let stream = self.all.get_mut(&older)?;
        // The agent dialled anew. What it has may come back on the old stream, nothing new goes there.
        stream.draining = true;
        Some((older, stream.is_done()))
    }

    /// An agent's streams: the newest, and older ones that may still answer.
    pub(super) fn of(&self, agent: AgentId) -> Vec<StreamId> {
        let all = self
            .all
            .iter()
            .filter(|(_, stream)| stream.attached.agent == agent);
        all.map(|(id, _)| *id).collect()
    }

    /// Removes one, with the attempts that were on it.
    pub(super) fn detach(&mut self, id: StreamId) -> Option<BTreeSet<AttemptId>> {
        let stream = self.all.remove(&id)?;
        self.looks.remove(&(stream.look, id));
        self.serve_no_more(id, stream.attached.tenant, &stream.attached.domains);
        if self.newest.get(&stream.attached.agent) == Some(&id) {
            self.newest.remove(&stream.attached.agent);
        }
        Some(stream.outstanding)
    }

    pub(super) fn session_stands(&mut self, id: StreamId, now: Instant) {
        self.change(id, |stream| stream.session = Some(now));
    }

    pub(super) fn heard(&mut self, id: StreamId, now: Instant) {
        self.change(id, |stream| {
            stream.heard = now;
            stream.pinged = None;
            stream.pinged_again = false;
        });
    }

    /// Nothing new goes there from now on. Whether it is done.
    pub(super) fn drain(&mut self, id: StreamId) -> bool {
        self.all.get_mut(&id).is_some_and(|stream| {
            stream.draining = true;
            stream.is_done()
        })
    }

    /// What the registry says of a stream's agent now.
    pub(super) fn refresh(&mut self, id: StreamId, domains: BTreeSet<DomainName>, drained: bool) {
        let Some(stream) = self.all.get_mut(&id) else {
            return;
        };
        stream.drained = drained;
        if stream.attached.domains != domains {
            let tenant = stream.attached.tenant;
            let before = std::mem::replace(&mut stream.attached.domains, domains.clone());
            self.serve_no_more(id, tenant, &before);
            self.serve(id, tenant, &domains);
        }
    }

    /// An administrator lets nothing new go to an agent, or lets it again.
    pub(super) fn set_drained(&mut self, agent: AgentId, drained: bool) {
        for stream in self
            .all
            .values_mut()
            .filter(|stream| stream.attached.agent == agent)
        {
            stream.drained = drained;
            stream.attached.drained = drained;
        }
    }

    pub(super) fn begin(&mut self, id: StreamId, attempt: AttemptId) {
        self.change(id, |stream| stream.outstanding.insert(attempt));
    }

    /// An attempt is over. Whether the stream is done.
    pub(super) fn end(&mut self, id: StreamId, attempt: AttemptId) -> bool {
        self.all
            .get_mut(&id)
            .is_some_and(|stream| stream.outstanding.remove(&attempt) && stream.is_done())
    }

    /// An attempt took this long, or cost as much.
    pub(super) fn took(&mut self, id: StreamId, time: Duration, now: Instant) {
        if let Some(stream) = self.all.get_mut(&id) {
            let before = stream.latency_at(now);
            stream.latency = before.mul_f64(1.0 - NEWEST) + time.mul_f64(NEWEST);
            stream.measured = now;
            stream.answered = true;
        }
    }

    /// Requests in flight with an agent and since when it is attached; `None` if it is not.
    pub(super) fn presence(&self, agent: AgentId) -> Option<(usize, Timestamp)> {
        let stream = self.newest.get(&agent).and_then(|id| self.all.get(id))?;
        Some((stream.outstanding.len(), stream.attached.since))
    }

    /// Whether a question about this domain would be given to an agent.
    pub(super) fn admit(&self, tenant: TenantId, domain: &DomainName) -> Result<(), NotAdmitted> {
        let mut serving = self.taking(tenant, domain).peekable();
        if serving.peek().is_none() {
            return Err(NotAdmitted::NoAgent);
        }
        if serving.any(|(_, stream)| stream.has_room()) {
            Ok(())
        } else {
            Err(NotAdmitted::Busy)
        }
    }

    /// A stream for a question of this tenant and domain, of an agent that is not among `tried`.
    pub(super) fn choose(
        &self,
        tenant: TenantId,
        domain: &DomainName,
        tried: &BTreeSet<AgentId>,
        now: Instant,
        chance: &mut dyn FnMut(u64) -> u64,
    ) -> Choice {
        let fitting: Vec<_> = self
            .taking(tenant, domain)
            .filter(|(_, stream)| !tried.contains(&stream.attached.agent))
            .collect();
        let free: Vec<_> = fitting.iter().filter(|(_, stream)| stream.has_room()).collect();
        let mut draw = |from: usize| usize::try_from(chance(from as u64)).unwrap_or(0).min(from - 1);
        match free.len() {
            0 if fitting.is_empty() => Choice::Nobody,
            0 => Choice::AllBusy,
            1 => Choice::Stream(free[0].0),
            many => {
                let first = draw(many);
                // Another one, each of the others with the same chance.
                let second = (first + 1 + draw(many - 1)) % many;
                let (one, other) = (free[first], free[second]);
                Choice::Stream(if one.1.is_better(other.1, now) {
                    one.0
                } else {
                    other.0
                })
            }
        }
    }

    /// When [`Streams::due`] is to be called next. It may find that nothing is due yet.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.looks.first().map(|(look, _)| *look)
    }

    /// What is due at `now`.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        let looks = self.looks.iter().take_while(|(look, _)| *look <= now);
        for (_, id) in looks.copied().collect::<Vec<_>>() {
            self.look(id, now, &mut due);
        }
        due
    }

    fn look(&mut self, id: StreamId, now: Instant, due: &mut Due) {
        let Some(stream) = self.all.get_mut(&id) else {
            return;
        };
        if stream.session.is_some_and(|since| since + SESSION_RENEW <= now) {
            stream.session = Some(now);
            due.announce.push(id);
        }
        let ping_due = stream.ping_due();
        if ping_due <= now {
            // Its word may lie unread where the whole process stood still.
            let held_up = now.saturating_duration_since(ping_due) > HELD_UP;
            let again = stream.pinged.is_some() && held_up && !stream.pinged_again;
            if stream.pinged.is_some() && !again {
                // It is detached by whoever asked.
                due.silent.push(id);
            } else {
                stream.pinged_again = again;
                stream.pinged = Some(now);
                stream.pings += 1;
                due.ping.push((id, stream.pings));
            }
        }
        self.looks.remove(&(stream.look, id));
        stream.look = stream.due();
        self.looks.insert((stream.look, id));
    }
}

#[cfg(test)]
mod tests;
