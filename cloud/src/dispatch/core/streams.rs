//! The agents' streams as the core sees them: who is present, who is silent, who gets a question.
//! Pure, as the rest of the core.
//!
//! Of two streams drawn at random the one with the smaller cost is taken: what it has to do, times
//! what it took lately. So load spreads without everybody rushing to the one that looks best, and a
//! slow agent gets less. What is not heard of for a while is forgotten by halves, so that an agent
//! that was slow is tried again.

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

/// A session gets its successor a minute before its end.
const SESSION_RENEW: Duration = Duration::from_secs(4 * 60);

/// Weight of the newest answer in the moving latency: about the last five count.
const NEWEST: f64 = 0.2;
/// The moving latency of a stream that answers nothing halves in this time.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// Nobody is quicker than this: differences below it are noise. Also what is expected of a stranger.
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
    latency: Duration,
    measured: Instant,
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
            latency: LATENCY_MIN,
            measured: now,
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

    fn takes(&self, tenant: TenantId, domain: &DomainName) -> bool {
        self.session.is_some()
            && !self.draining
            && !self.drained
            && self.attached.tenant == tenant
            && self.attached.domains.contains(domain)
    }

    fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING_MAX
    }

    fn latency_at(&self, now: Instant) -> Duration {
        let idle = now.saturating_duration_since(self.measured).as_secs_f64();
        let left = 0.5_f64.powf(idle / HALF_LIFE.as_secs_f64());
        self.latency.mul_f64(left).max(LATENCY_MIN)
    }

    /// What giving it one more would cost, in seconds; first whether it seems to be there at all.
    fn cost(&self, now: Instant) -> (bool, f64) {
        let silent = self
            .pinged
            .is_some_and(|at| now.saturating_duration_since(at) > PONG_EXPECTED);
        let load = u32::try_from(self.outstanding.len() + 1).unwrap_or(u32::MAX);
        (silent, self.latency_at(now).as_secs_f64() * f64::from(load))
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
}

impl Streams {
    pub(super) fn ids(&self) -> impl Iterator<Item = StreamId> {
        self.all.keys().copied()
    }

    pub(super) fn agent(&self, id: StreamId) -> Option<AgentId> {
        self.all.get(&id).map(|stream| stream.attached.agent)
    }

    /// Adds one. The agent's older stream, if it has one, and whether that one is done.
    pub(super) fn attach(
        &mut self,
        id: StreamId,
        attached: Attached,
        now: Instant,
    ) -> Option<(StreamId, bool)> {
        let older = self.newest.insert(attached.agent, id);
        self.all.insert(id, Stream::new(attached, now));
        let older = older?;
        let stream = self.all.get_mut(&older)?;
        // The agent dialled anew. What it has may come back on the old stream, nothing new goes there.
        stream.draining = true;
        Some((older, stream.is_done()))
    }

    /// Removes one, with the attempts that were on it.
    pub(super) fn detach(&mut self, id: StreamId) -> Option<BTreeSet<AttemptId>> {
        let stream = self.all.remove(&id)?;
        if self.newest.get(&stream.attached.agent) == Some(&id) {
            self.newest.remove(&stream.attached.agent);
        }
        Some(stream.outstanding)
    }

    pub(super) fn session_stands(&mut self, id: StreamId, now: Instant) {
        if let Some(stream) = self.all.get_mut(&id) {
            stream.session = Some(now);
        }
    }

    pub(super) fn heard(&mut self, id: StreamId, now: Instant) {
        if let Some(stream) = self.all.get_mut(&id) {
            stream.heard = now;
            stream.pinged = None;
        }
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
        if let Some(stream) = self.all.get_mut(&id) {
            stream.attached.domains = domains;
            stream.drained = drained;
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
        if let Some(stream) = self.all.get_mut(&id) {
            stream.outstanding.insert(attempt);
        }
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
        }
    }

    /// Requests in flight with an agent and since when it is attached; `None` if it is not.
    pub(super) fn presence(&self, agent: AgentId) -> Option<(usize, Timestamp)> {
        let stream = self.newest.get(&agent).and_then(|id| self.all.get(id))?;
        Some((stream.outstanding.len(), stream.attached.since))
    }

    /// Whether a question about this domain would be given to an agent.
    pub(super) fn admit(&self, tenant: TenantId, domain: &DomainName) -> Result<(), NotAdmitted> {
        let mut serving = self
            .all
            .values()
            .filter(|stream| stream.takes(tenant, domain))
            .peekable();
        if serving.peek().is_none() {
            return Err(NotAdmitted::NoAgent);
        }
        if serving.any(Stream::has_room) {
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
            .all
            .iter()
            .filter(|(_, stream)| stream.takes(tenant, domain) && !tried.contains(&stream.attached.agent))
            .collect();
        let free: Vec<_> = fitting.iter().filter(|(_, stream)| stream.has_room()).collect();
        let mut draw = |from: usize| usize::try_from(chance(from as u64)).unwrap_or(0).min(from - 1);
        match free.len() {
            0 if fitting.is_empty() => Choice::Nobody,
            0 => Choice::AllBusy,
            1 => Choice::Stream(*free[0].0),
            many => {
                let first = draw(many);
                // Another one, each of the others with the same chance.
                let second = (first + 1 + draw(many - 1)) % many;
                let (one, other) = (free[first], free[second]);
                let better = one.1.cost(now) <= other.1.cost(now);
                Choice::Stream(*if better { one.0 } else { other.0 })
            }
        }
    }

    /// When [`Streams::due`] next has something.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let times = self.all.values().flat_map(|stream| {
            let renewal = stream.session.map(|since| since + SESSION_RENEW);
            [Some(stream.ping_due()), renewal].into_iter().flatten()
        });
        times.min()
    }

    /// What is due at `now`.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        for (id, stream) in &mut self.all {
            if stream.session.is_some_and(|since| since + SESSION_RENEW <= now) {
                stream.session = Some(now);
                due.announce.push(*id);
            }
            if stream.ping_due() > now {
                continue;
            }
            if stream.pinged.is_some() {
                due.silent.push(*id);
            } else {
                stream.pinged = Some(now);
                stream.pings += 1;
                due.ping.push((*id, stream.pings));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(number: u8) -> Attached {
        Attached {
            since: Timestamp::from_unix_ms(0),
            agent: AgentId::from_bytes([number; 16]),
            tenant: TenantId::from_bytes([1; 16]),
            domains: ["corp.example".parse().unwrap()].into(),
            drained: false,
        }
    }

    struct World {
        streams: Streams,
        now: Instant,
        draws: u64,
        attempts: u64,
    }

    impl World {
        fn new(agents: u8) -> Self {
            let now = postern_kit::clock::monotonic();
            let mut streams = Streams::default();
            for number in 1..=agents {
                streams.attach(StreamId(number.into()), attached(number), now);
                streams.session_stands(StreamId(number.into()), now);
            }
            Self {
                streams,
                now,
                draws: 0,
                attempts: 0,
            }
        }

        fn choose(&mut self) -> u64 {
            let (tenant, domain) = (TenantId::from_bytes([1; 16]), "corp.example".parse().unwrap());
            let draws = &mut self.draws;
            // A generator that visits everybody: the test is about what is made of its draws.
            let mut chance = |bound: u64| {
                *draws = draws
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (*draws >> 33) % bound
            };
            match self
                .streams
                .choose(tenant, &domain, &BTreeSet::new(), self.now, &mut chance)
            {
                Choice::Stream(StreamId(number)) => number,
                other => panic!("{other:?}"),
            }
        }

        /// Gives out as many questions that stay; how many each stream has.
        fn load(&mut self, questions: usize) -> BTreeMap<u64, usize> {
            let mut shares = BTreeMap::new();
            for _ in 0..questions {
                let to = self.choose();
                self.attempts += 1;
                self.streams.begin(StreamId(to), AttemptId(self.attempts));
                *shares.entry(to).or_default() += 1;
            }
            shares
        }
    }

    #[test]
    fn equal_agents_get_equal_shares() {
        let shares = World::new(4).load(400);
        assert!(
            shares.values().all(|share| (90..=110).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn a_slow_agent_gets_less_and_is_tried_again_later() {
        let mut world = World::new(2);
        for _ in 0..20 {
            world
                .streams
                .took(StreamId(1), Duration::from_millis(900), world.now);
            world
                .streams
                .took(StreamId(2), Duration::from_millis(100), world.now);
        }
        let shares = world.load(100);
        // Two agents: the cost decides every time, so the shares are as the speeds.
        assert!((8..=12).contains(&shares[&1]), "{shares:?}");
        world.now += Duration::from_secs(120);
        let shares = world.load(100);
        assert!(
            shares[&1] > 80,
            "both are forgotten, and it has less to do: {shares:?}"
        );
    }

    #[test]
    fn an_agent_that_does_not_answer_its_ping_is_avoided() {
        let mut world = World::new(2);
        world.streams.begin(StreamId(1), AttemptId(1000));
        world.now += Duration::from_secs(2);
        world.streams.heard(StreamId(2), world.now);
        assert_eq!(world.streams.due(world.now).ping, [(StreamId(1), 1)]);
        world.now += Duration::from_millis(501);
        assert_eq!(world.load(50), [(2, 50)].into());
    }

    #[test]
    fn a_held_agent_gets_nothing_and_keeps_its_stream() {
        let mut world = World::new(2);
        world.streams.set_drained(AgentId::from_bytes([1; 16]), true);
        assert_eq!(world.load(10), [(2, 10)].into());
        assert!(world.streams.presence(AgentId::from_bytes([1; 16])).is_some());
        world.streams.set_drained(AgentId::from_bytes([1; 16]), false);
        assert!(world.load(10)[&1] > 0);
    }
}
