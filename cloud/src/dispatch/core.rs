//! The decisions of dispatch: who is present, who gets a question, what silence and refusals mean.
//! No I/O, no clock, no randomness of its own: events in, effects out.
//!
//! A question has one attempt at a time. An agent that certainly did not ask the directory hands
//! it back, and another one gets it. Once the directory may have been asked, the question ends:
//! a second attempt after that needs a second charge of the account's budget (rule 5) and would be
//! one more arm of [`Core::end_attempt`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, RequestId, TenantId};
use postern_proto::names::DomainName;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict, VerdictReport};

use super::{Attempt, Judgement, NotAdmitted};

/// Most requests in flight on one stream. An agent takes 256 by default; more than that wait
/// nowhere but in its queue.
pub(super) const OUTSTANDING_MAX: usize = 256;

/// Pings while requests are outstanding: a lost agent is noticed inside a sign-in's deadline.
const PING_BUSY: Duration = Duration::from_secs(2);
/// Pings while nothing is: keeps middleboxes awake.
const PING_IDLE: Duration = Duration::from_secs(30);
/// Time to answer one. The agent answers from memory, so this is the network's time.
const PONG_WAIT: Duration = Duration::from_secs(2);

/// A session gets its successor a minute before its end.
const SESSION_RENEW: Duration = Duration::from_secs(4 * 60);

/// One attached stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(pub(super) u64);

/// One request written to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttemptId(u64);

/// Whose stream it is and what may be sent down it.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    pub(super) since: Timestamp,
    pub(super) agent: AgentId,
    pub(super) tenant: TenantId,
    pub(super) domains: BTreeSet<DomainName>,
}

/// What must be known of a question to place it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    pub(super) tenant: TenantId,
    pub(super) domain: DomainName,
    pub(super) deadline: Instant,
}

/// Something happened.
#[derive(Debug)]
pub(super) enum Event {
    Attached(StreamId, Attached),
    /// The agent announced a sealing key, its first or a new one.
    KeyAnnounced(StreamId),
    /// A session was announced on the stream.
    SessionReady(StreamId),
    /// Any message came from the agent.
    Heard(StreamId),
    /// The agent takes nothing new.
    AgentDrains(StreamId),
    Detached(StreamId),
    Asked(Asked),
    /// An authentic verdict.
    Verdict(AttemptId, VerdictReport),
    /// The agent does not know the session that the attempt was sealed under.
    UnknownSession(StreamId, AttemptId),
    /// The request could not be put on its way: certainly nobody got it.
    NotWritten(AttemptId),
    /// Time passed.
    Tick,
    /// The replica stops: nothing new, and what is there may end.
    Drain,
}

/// Something to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Make a session and announce it.
    Announce(StreamId),
    /// Seal the question for the stream's agent and send it; worthless after `until`.
    Write {
        stream: StreamId,
        attempt: AttemptId,
        request: RequestId,
        until: Instant,
    },
    /// The attempt is over: its verdict key is worthless.
    Forget(StreamId, AttemptId),
    Answer(RequestId, Judgement),
    Ping(StreamId, u64),
    /// Tell the agent that nothing new comes.
    TellDraining(StreamId),
    Close(StreamId),
}

#[derive(Debug)]
struct Stream {
    attached: Attached,
    /// Since when a session stands; `None` before the first.
    session: Option<Instant>,
    draining: bool,
    outstanding: BTreeSet<AttemptId>,
    heard: Instant,
    pinged: Option<Instant>,
    pings: u64,
}

impl Stream {
    fn ping_due(&self) -> Instant {
        match self.pinged {
            // It is dead unless it is heard before then.
            Some(at) => at + PONG_WAIT,
            None => {
                self.heard
                    + if self.outstanding.is_empty() {
                        PING_IDLE
                    } else {
                        PING_BUSY
                    }
            }
        }
    }

    fn takes(&self, tenant: TenantId, domain: &DomainName) -> bool {
        self.session.is_some()
            && !self.draining
            && self.attached.tenant == tenant
            && self.attached.domains.contains(domain)
    }
}

#[derive(Debug)]
struct Question {
    asked: Asked,
    tried: BTreeSet<AgentId>,
    attempts: Vec<Attempt>,
}

#[derive(Debug)]
struct Running {
    request: RequestId,
    agent: AgentId,
    stream: StreamId,
    started: Instant,
    until: Instant,
    /// Whether it was sealed again after an unknown session, which counts once.
    resealed: bool,
}

/// The state of dispatch.
#[derive(Debug)]
pub(super) struct Core {
    attempt_share: Duration,
    streams: BTreeMap<StreamId, Stream>,
    /// The newest stream of each agent.
    newest: BTreeMap<AgentId, StreamId>,
    questions: BTreeMap<RequestId, Question>,
    running: BTreeMap<AttemptId, Running>,
    attempts: u64,
    draining: bool,
}

impl Core {
    /// With `attempt_share` as the time that one attempt has.
    pub(super) fn new(attempt_share: Duration) -> Self {
        Self {
            attempt_share,
            streams: BTreeMap::new(),
            newest: BTreeMap::new(),
            questions: BTreeMap::new(),
            running: BTreeMap::new(),
            attempts: 0,
            draining: false,
        }
    }

    /// Whether a question about this domain would be given to an agent.
    pub(super) fn admit(&self, tenant: TenantId, domain: &DomainName) -> Result<(), NotAdmitted> {
        let mut serving = self
            .streams
            .values()
            .filter(|stream| stream.takes(tenant, domain))
            .peekable();
        if self.draining || serving.peek().is_none() {
            return Err(NotAdmitted::NoAgent);
        }
        let free = serving.any(|stream| stream.outstanding.len() < OUTSTANDING_MAX);
        if free { Ok(()) } else { Err(NotAdmitted::Busy) }
    }

    /// Requests in flight with an agent and since when it is attached; `None` if it is not.
    pub(super) fn presence(&self, agent: AgentId) -> Option<(usize, Timestamp)> {
        let stream = self
            .newest
            .get(&agent)
            .and_then(|stream| self.streams.get(stream))?;
        Some((stream.outstanding.len(), stream.attached.since))
    }

    /// Takes an event at `now`. `chance` breaks ties between agents.
    pub(super) fn on(
        &mut self,
        event: Event,
        now: Instant,
        chance: &mut dyn FnMut(u64) -> u64,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Attached(id, attached) => self.attach(id, attached, now, &mut effects),
            Event::KeyAnnounced(id) => effects.push(Effect::Announce(id)),
            Event::SessionReady(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.session = Some(now);
                }
            }
            Event::Heard(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.heard = now;
                    stream.pinged = None;
                }
            }
            Event::AgentDrains(id) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.draining = true;
                }
            }
            Event::Detached(id) => self.detach(id, now, chance, &mut effects),
            Event::Asked(asked) => {
                let request = asked.request;
                let question = Question {
                    asked,
                    tried: BTreeSet::new(),
                    attempts: Vec::new(),
                };
                self.questions.insert(request, question);
                self.place(
                    request,
                    Verdict::NotAsked(NotAsked::NoController),
                    now,
                    chance,
                    &mut effects,
                );
            }
            Event::Verdict(attempt, report) => self.end_attempt(attempt, report, now, chance, &mut effects),
            Event::UnknownSession(id, attempt) => {
                self.unknown_session(id, attempt, now, chance, &mut effects)
            }
            Event::NotWritten(attempt) => {
                let report = VerdictReport::bare(Verdict::NotAsked(NotAsked::Busy));
                self.end_attempt(attempt, report, now, chance, &mut effects);
            }
            Event::Tick => self.tick(now, chance, &mut effects),
            Event::Drain => {
                self.draining = true;
                effects.extend(self.streams.keys().copied().map(Effect::TellDraining));
            }
        }
        effects
    }

    /// When [`Event::Tick`] is due; `None` if nothing is.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let streams = self.streams.values().flat_map(|stream| {
            [
                Some(stream.ping_due()),
                stream.session.map(|since| since + SESSION_RENEW),
            ]
            .into_iter()
            .flatten()
        });
        streams
            .chain(self.running.values().map(|running| running.until))
            .min()
    }

    fn attach(&mut self, id: StreamId, attached: Attached, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(older) = self.newest.insert(attached.agent, id)
            && let Some(stream) = self.streams.get_mut(&older)
        {
            // The agent dialled anew. What it has may come back on the old stream, nothing new goes there.
            stream.draining = true;
            effects.push(Effect::TellDraining(older));
            if stream.outstanding.is_empty() {
                effects.push(Effect::Close(older));
            }
        }
        let stream = Stream {
            attached,
            session: None,
            draining: false,
            outstanding: BTreeSet::new(),
            heard: now,
            pinged: None,
            pings: 0,
        };
        self.streams.insert(id, stream);
        if self.draining {
            effects.push(Effect::TellDraining(id));
        }
    }

    fn detach(
        &mut self,
        id: StreamId,
        now: Instant,
        chance: &mut dyn FnMut(u64) -> u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        if self.newest.get(&stream.attached.agent) == Some(&id) {
            self.newest.remove(&stream.attached.agent);
        }
        for attempt in stream.outstanding {
            let report = VerdictReport::bare(Verdict::Unavailable(Unavailable::ConnectionLost));
            self.end_attempt(attempt, report, now, chance, effects);
        }
    }

    /// Gives a question to the agent with the least to do, or answers it with `otherwise`.
    fn place(
        &mut self,
        request: RequestId,
        otherwise: Verdict,
        now: Instant,
        chance: &mut dyn FnMut(u64) -> u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(question) = self.questions.get_mut(&request) else {
            return;
        };
        let asked = &question.asked;
        let choice = if self.draining || now >= asked.deadline {
            Choice::Nobody
        } else {
            choose(&self.streams, question, chance)
        };
        let chosen = match choice {
            Choice::Stream(id) => self.streams.get_mut(&id).map(|stream| (id, stream)),
            Choice::AllBusy | Choice::Nobody => None,
        };
        let Some((id, stream)) = chosen else {
            // Once somebody handed it back, the reason for that says more.
            let busy = choice == Choice::AllBusy && question.attempts.is_empty();
            let verdict = if busy {
                Verdict::NotAsked(NotAsked::Busy)
            } else {
                otherwise
            };
            self.answer(request, verdict, effects);
            return;
        };
        self.attempts += 1;
        let attempt = AttemptId(self.attempts);
        let until = asked.deadline.min(now + self.attempt_share);
        let agent = stream.attached.agent;
        question.tried.insert(agent);
        stream.outstanding.insert(attempt);
        self.running.insert(
            attempt,
            Running {
                request,
                agent,
                stream: id,
                started: now,
                until,
                resealed: false,
            },
        );
        effects.push(Effect::Write {
            stream: id,
            attempt,
            request,
            until,
        });
    }

    /// What a verdict, real or assumed, means for its question.
    fn end_attempt(
        &mut self,
        attempt: AttemptId,
        report: VerdictReport,
        now: Instant,
        chance: &mut dyn FnMut(u64) -> u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(running) = self.running.remove(&attempt) else {
            return;
        };
        effects.push(Effect::Forget(running.stream, attempt));
        let Some(question) = self.questions.get_mut(&running.request) else {
            return;
        };
        let verdict = report.verdict;
        if let Some(stream) = self.streams.get_mut(&running.stream) {
            stream.outstanding.remove(&attempt);
            stream.draining |= verdict == Verdict::NotAsked(NotAsked::Draining);
            if stream.outstanding.is_empty()
                && self.newest.get(&stream.attached.agent) != Some(&running.stream)
            {
                effects.push(Effect::Close(running.stream));
            }
        }
        let total = now.saturating_duration_since(running.started);
        question.attempts.push(Attempt {
            agent: running.agent,
            report,
            total,
        });
        match verdict {
            // No directory may see it, whichever agent asks.
            Verdict::NotAsked(NotAsked::RefusedInput) => self.answer(running.request, verdict, effects),
            Verdict::NotAsked(_) => self.place(running.request, verdict, now, chance, effects),
            _ => self.answer(running.request, verdict, effects),
        }
    }

    fn unknown_session(
        &mut self,
        id: StreamId,
        attempt: AttemptId,
        now: Instant,
        chance: &mut dyn FnMut(u64) -> u64,
        effects: &mut Vec<Effect>,
    ) {
        // It is plain text: it counts on the stream that the attempt was written to, once.
        let Some(running) = self
            .running
            .get_mut(&attempt)
            .filter(|running| running.stream == id)
        else {
            return;
        };
        if running.resealed {
            let report = VerdictReport::bare(Verdict::Unavailable(Unavailable::ConnectionLost));
            return self.end_attempt(attempt, report, now, chance, effects);
        }
        running.resealed = true;
        effects.push(Effect::Announce(id));
        effects.push(Effect::Write {
            stream: id,
            attempt,
            request: running.request,
            until: running.until,
        });
    }

    fn answer(&mut self, request: RequestId, verdict: Verdict, effects: &mut Vec<Effect>) {
        if let Some(question) = self.questions.remove(&request) {
            effects.push(Effect::Answer(
                request,
                Judgement {
                    verdict,
                    attempts: question.attempts,
                },
            ));
        }
    }

    fn tick(&mut self, now: Instant, chance: &mut dyn FnMut(u64) -> u64, effects: &mut Vec<Effect>) {
        let late: Vec<_> = self
            .running
            .iter()
            .filter(|(_, running)| running.until <= now)
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in late {
            let report = VerdictReport::bare(Verdict::Unavailable(Unavailable::TimedOut));
            self.end_attempt(attempt, report, now, chance, effects);
        }
        let mut silent = Vec::new();
        for (id, stream) in &mut self.streams {
            if stream.session.is_some_and(|since| since + SESSION_RENEW <= now) {
                stream.session = Some(now);
                effects.push(Effect::Announce(*id));
            }
            if stream.ping_due() > now {
                continue;
            }
            if stream.pinged.is_some() {
                silent.push(*id);
            } else {
                stream.pinged = Some(now);
                stream.pings += 1;
                effects.push(Effect::Ping(*id, stream.pings));
            }
        }
        for id in silent {
            effects.push(Effect::Close(id));
            self.detach(id, now, chance, effects);
        }
    }
}

/// Who gets a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Stream(StreamId),
    /// Some serve the domain, and all have as much as they take.
    AllBusy,
    Nobody,
}

/// The stream with the least to do among those that serve the question's domain and were not
/// tried; a draw decides between equals.
fn choose(
    streams: &BTreeMap<StreamId, Stream>,
    question: &Question,
    chance: &mut dyn FnMut(u64) -> u64,
) -> Choice {
    let (tenant, domain) = (question.asked.tenant, &question.asked.domain);
    let fitting = streams.iter().filter(|(_, stream)| {
        stream.takes(tenant, domain) && !question.tried.contains(&stream.attached.agent)
    });
    let Some(least) = fitting.clone().map(|(_, stream)| stream.outstanding.len()).min() else {
        return Choice::Nobody;
    };
    if least >= OUTSTANDING_MAX {
        return Choice::AllBusy;
    }
    let best: Vec<_> = fitting
        .filter(|(_, stream)| stream.outstanding.len() == least)
        .map(|(id, _)| *id)
        .collect();
    let drawn = usize::try_from(chance(best.len() as u64)).ok();
    drawn
        .and_then(|at| best.get(at))
        .map_or(Choice::Nobody, |id| Choice::Stream(*id))
}

#[cfg(test)]
mod tests;
