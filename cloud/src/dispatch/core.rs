//! The decisions of dispatch: who gets a question, what silence, losses and refusals mean.
//! No I/O, no clock, no randomness of its own: events in, effects out.
//!
//! ```text
//!            ┌──────────── certainly not asked: another agent, freely ───────────┐
//!            ▼                                                                   │
//!  asked ─▶ attempt ─▶ a verdict about the password ─▶ answered                  │
//!                 │                                                              │
//!                 ├─▶ unavailable, and the directory counted nothing ────────────┤
//!                 │                                                              │
//!                 └─▶ lost, late, or unavailable: perhaps counted ─▶ charge? ────┘ once
//!                                                                       │ no
//!                                                                       ▼
//!                                                              "unavailable"
//! ```
//!
//! At most two attempts of a question may have reached a directory. Of both the first authentic
//! verdict about the password decides, also that of an attempt whose share of time is over.

mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, RequestId, TenantId};
use postern_proto::names::DomainName;
use postern_proto::verdict::{DirectoryCount, NotAsked, Unavailable, Verdict, VerdictReport};

use self::streams::{Choice, Streams};
use super::{Attempt, Judgement, NotAdmitted};

/// Most requests in flight on one stream. An agent takes 256 by default; more than that wait
/// nowhere but in its queue.
pub(super) const OUTSTANDING_MAX: usize = 256;

/// Attempts of a question that may have reached a directory.
const REACHED_MAX: usize = 2;

/// One attached stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// One request written to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptId(u64);

/// Whose stream it is and what may be sent down it.
#[derive(Clone, Debug)]
pub struct Attached {
    /// When it attached.
    pub since: Timestamp,
    /// Whose it is.
    pub agent: AgentId,
    /// Whose users may be asked about.
    pub tenant: TenantId,
    /// Of which domains.
    pub domains: BTreeSet<DomainName>,
    /// An administrator wants nothing new to go there.
    pub drained: bool,
}

/// What must be known of a question to place it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which sign-in.
    pub request: RequestId,
    /// Whose user is meant.
    pub tenant: TenantId,
    /// The domain whose directory knows the user.
    pub domain: DomainName,
    /// Until when there must be an answer.
    pub deadline: Instant,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// An agent's stream is there.
    Attached(StreamId, Attached),
    /// The agent announced a sealing key, its first or a new one.
    KeyAnnounced(StreamId),
    /// A session was announced on the stream.
    SessionReady(StreamId),
    /// Any message came from the agent.
    Heard(StreamId),
    /// The agent takes nothing new.
    AgentDrains(StreamId),
    /// The stream is gone.
    Detached(StreamId),
    /// A sign-in needs a verdict.
    Asked(Asked),
    /// Whether the account was charged for a second attempt.
    Charged(RequestId, bool),
    /// An authentic verdict.
    Verdict(AttemptId, VerdictReport),
    /// The agent does not know the session that the attempt was sealed under.
    UnknownSession(StreamId, AttemptId),
    /// The request could not be put on its way: certainly nobody got it.
    NotWritten(AttemptId),
    /// What the registry says of a stream's agent now: its domains, and whether it is drained.
    Refreshed(StreamId, BTreeSet<DomainName>, bool),
    /// An administrator lets nothing new go to an agent, or lets it again.
    SetDrained(AgentId, bool),
    /// An administrator revoked an agent: from now on nothing it says counts.
    Revoked(AgentId),
    /// Time passed.
    Tick,
    /// The replica stops: nothing new, and what is there may end.
    Drain,
}

/// Something to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a session and announce it.
    Announce(StreamId),
    /// Seal the question for the stream's agent and send it; worthless after `until`.
    Write {
        /// Where to.
        stream: StreamId,
        /// What its verdict will be about.
        attempt: AttemptId,
        /// The question.
        request: RequestId,
        /// The end of its share of time.
        until: Instant,
    },
    /// Charge the account for a second attempt, without waiting, and say whether that was possible.
    Charge(RequestId),
    /// The attempt is over: its verdict key is worthless.
    Forget(StreamId, AttemptId),
    /// The question is answered.
    Answer(RequestId, Judgement),
    /// Ask the agent for a sign of life.
    Ping(StreamId, u64),
    /// Tell the agent that nothing new comes.
    TellDraining(StreamId),
    /// End the stream.
    Close(StreamId),
}

#[derive(Debug)]
struct Question {
    asked: Asked,
    tried: BTreeSet<AgentId>,
    attempts: Vec<Attempt>,
    /// Those that can still be answered, late ones included.
    running: BTreeSet<AttemptId>,
}

impl Question {
    /// Attempts that may have reached a directory.
    fn reached(&self) -> usize {
        let reached = |attempt: &&Attempt| !matches!(attempt.verdict(), Some(Verdict::NotAsked(_)));
        self.attempts.iter().filter(reached).count()
    }

    /// What is to be said if nobody says more: that somebody was asked outweighs that somebody was not.
    fn so_far(&self) -> Verdict {
        let verdicts = || self.attempts.iter().rev().filter_map(Attempt::verdict);
        let unavailable = verdicts().find(|verdict| matches!(verdict, Verdict::Unavailable(_)));
        let nobody = Verdict::NotAsked(NotAsked::NoController);
        unavailable.or_else(|| verdicts().next()).unwrap_or(nobody)
    }
}

#[derive(Debug)]
struct Running {
    request: RequestId,
    /// Its place among the question's attempts.
    place: usize,
    stream: StreamId,
    started: Instant,
    until: Instant,
    /// Its share is over; a verdict still counts.
    late: bool,
    /// Whether it was sealed again after an unknown session, which counts once.
    resealed: bool,
}

/// What a verdict means for its question.
enum Meaning {
    /// It is about the password, or no agent could say more.
    Decides,
    /// The directory was not asked, or counted nothing: another agent may be, on the same charge.
    Free,
    /// The directory may have counted a failure.
    Ambiguous,
}

fn meaning(verdict: Verdict) -> Meaning {
    match verdict {
        Verdict::Accepted
        | Verdict::Wrong
        | Verdict::RightBut(_)
        | Verdict::Locked
        | Verdict::Restricted
        | Verdict::OtherObject => Meaning::Decides,
        Verdict::NotAsked(why) if why.is_final() => Meaning::Decides,
        Verdict::NotAsked(_) => Meaning::Free,
        Verdict::Unavailable(_) => match verdict.directory_count() {
            DirectoryCount::Untouched | DirectoryCount::Cleared => Meaning::Free,
            DirectoryCount::PerhapsOneMore => Meaning::Ambiguous,
        },
    }
}

/// How an event is taken: the time, the dice, and what is to be done.
struct Step<'a> {
    now: Instant,
    chance: &'a mut dyn FnMut(u64) -> u64,
    effects: Vec<Effect>,
}

/// The state of dispatch.
#[derive(Debug)]
pub struct Core {
    attempt_share: Duration,
    /// Whether a question may go on to another agent after somebody may have asked.
    hand_off: bool,
    streams: Streams,
    questions: BTreeMap<RequestId, Question>,
    running: BTreeMap<AttemptId, Running>,
    /// When the shares of those of them end that are not late.
    ends: BTreeSet<(Instant, AttemptId)>,
    attempts: u64,
    draining: bool,
    /// Agents that were revoked while this replica ran, so that one whose stream was let in just before gets nothing
    /// either. Ids never come twice, and there are no more than administrators revoked.
    revoked: BTreeSet<AgentId>,
}

impl Core {
    /// With `attempt_share` as the time that one attempt has.
    pub fn new(attempt_share: Duration, hand_off: bool) -> Self {
        Self {
            attempt_share,
            hand_off,
            streams: Streams::default(),
            questions: BTreeMap::new(),
            running: BTreeMap::new(),
            ends: BTreeSet::new(),
            attempts: 0,
            draining: false,
            revoked: BTreeSet::new(),
        }
    }

    /// Whether a question about this domain would be given to an agent.
    ///
    /// # Errors
    /// [`NotAdmitted`] says why not.
    pub fn admit(&self, tenant: TenantId, domain: &DomainName) -> Result<(), NotAdmitted> {
        if self.draining {
            return Err(NotAdmitted::NoAgent);
        }
        self.streams.admit(tenant, domain)
    }

    /// Requests in flight with an agent and since when it is attached; `None` if it is not.
    pub fn presence(&self, agent: AgentId) -> Option<(usize, Timestamp)> {
        self.streams.presence(agent)
    }

    /// Takes an event at `now`. `chance` draws below its bound.
    pub fn on(&mut self, event: Event, now: Instant, chance: &mut dyn FnMut(u64) -> u64) -> Vec<Effect> {
        let mut step = Step {
            now,
            chance,
            effects: Vec::new(),
        };
        match event {
            Event::Attached(id, attached) => self.attach(id, attached, &mut step),
            Event::KeyAnnounced(id) => step.effects.push(Effect::Announce(id)),
            Event::SessionReady(id) => self.streams.session_stands(id, now),
            Event::Heard(id) => self.streams.heard(id, now),
            Event::AgentDrains(id) => {
                let done = self.streams.drain(id);
                step.effects.extend(done.then_some(Effect::Close(id)));
            }
            Event::Detached(id) => self.detach(id, &mut step),
            Event::Asked(asked) => {
                let request = asked.request;
                let question = Question {
                    asked,
                    tried: BTreeSet::new(),
                    attempts: Vec::new(),
                    running: BTreeSet::new(),
                };
                self.questions.insert(request, question);
                if self.draining {
                    self.conclude(request, &mut step);
                } else {
                    self.place(request, &mut step);
                }
            }
            Event::Charged(request, true) => self.place(request, &mut step),
            Event::Charged(request, false) => self.conclude(request, &mut step),
            Event::Verdict(attempt, report) => self.verdict(attempt, report, &mut step),
            Event::UnknownSession(id, attempt) => self.unknown_session(id, attempt, &mut step),
            Event::NotWritten(attempt) => {
                let report = VerdictReport::bare(Verdict::NotAsked(NotAsked::Busy));
                self.end_attempt(attempt, report, &mut step);
            }
            Event::Refreshed(id, domains, drained) => self.streams.refresh(id, domains, drained),
            Event::SetDrained(agent, drained) => self.streams.set_drained(agent, drained),
            Event::Revoked(agent) => self.revoke(agent, &mut step),
            Event::Tick => self.tick(&mut step),
            Event::Drain => {
                self.draining = true;
                step.effects.extend(self.streams.ids().map(Effect::TellDraining));
            }
        }
        step.effects
    }

    /// When [`Event::Tick`] is due; `None` if nothing is.
    pub fn next_tick(&self) -> Option<Instant> {
        let end = self.ends.first().map(|(until, _)| *until);
        end.into_iter().chain(self.streams.next_due()).min()
    }

    fn attach(&mut self, id: StreamId, attached: Attached, step: &mut Step<'_>) {
        if self.revoked.contains(&attached.agent) {
            step.effects.push(Effect::Close(id));
            return;
        }
        if let Some((older, done)) = self.streams.attach(id, attached, step.now) {
            step.effects.push(Effect::TellDraining(older));
            step.effects.extend(done.then_some(Effect::Close(older)));
        }
        if self.draining {
            step.effects.push(Effect::TellDraining(id));
        }
    }

    /// As if all its streams were lost at once.
    fn revoke(&mut self, agent: AgentId, step: &mut Step<'_>) {
        self.revoked.insert(agent);
        for id in self.streams.of(agent) {
            step.effects.push(Effect::Close(id));
            self.detach(id, step);
        }
    }

    fn detach(&mut self, id: StreamId, step: &mut Step<'_>) {
        for attempt in self.streams.detach(id).unwrap_or_default() {
            let report = VerdictReport::bare(Verdict::Unavailable(Unavailable::ConnectionLost));
            self.end_attempt(attempt, report, step);
        }
    }

    fn choose(&self, question: &Question, step: &mut Step<'_>) -> Choice {
        let asked = &question.asked;
        if step.now >= asked.deadline {
            return Choice::Nobody;
        }
        let (tried, chance) = (&question.tried, &mut *step.chance);
        self.streams
            .choose(asked.tenant, &asked.domain, tried, step.now, chance)
    }

    /// Gives a question to an agent that has not had it, or concludes it.
    fn place(&mut self, request: RequestId, step: &mut Step<'_>) {
        let Some(question) = self.questions.get(&request) else {
            return;
        };
        let choice = self.choose(question, step);
        let (Choice::Stream(stream), Some(question)) = (choice, self.questions.get_mut(&request)) else {
            if choice == Choice::AllBusy
                && self
                    .questions
                    .get(&request)
                    .is_some_and(|q| q.attempts.is_empty())
            {
                return self.answer(request, Verdict::NotAsked(NotAsked::Busy), step);
            }
            return self.conclude(request, step);
        };
        let Some(agent) = self.streams.agent(stream) else {
            return;
        };
        self.attempts += 1;
        let attempt = AttemptId(self.attempts);
        let until = question.asked.deadline.min(step.now + self.attempt_share);
        question.tried.insert(agent);
        question.running.insert(attempt);
        question.attempts.push(Attempt {
            agent,
            report: None,
            total: Duration::ZERO,
        });
        let running = Running {
            request,
            place: question.attempts.len() - 1,
            stream,
            started: step.now,
            until,
            late: false,
            resealed: false,
        };
        self.streams.begin(stream, attempt);
        self.running.insert(attempt, running);
        self.ends.insert((until, attempt));
        step.effects.push(Effect::Write {
            stream,
            attempt,
            request,
            until,
        });
    }

    /// An authentic verdict. One that comes late decides, or says nothing new.
    fn verdict(&mut self, attempt: AttemptId, report: VerdictReport, step: &mut Step<'_>) {
        let Some(running) = self.running.get(&attempt) else {
            return;
        };
        let (stream, took) = (
            running.stream,
            step.now.saturating_duration_since(running.started),
        );
        self.streams.heard(stream, step.now);
        // Whoever declines quickly must not look quick: it would draw everything.
        let cost = match report.verdict {
            // What is about the user is said by everybody, and quickly.
            Verdict::NotAsked(why) if why.is_final() => took,
            Verdict::NotAsked(_) | Verdict::Unavailable(_) => took.max(self.attempt_share),
            _ => took,
        };
        self.streams.took(stream, cost, step.now);
        if report.verdict == Verdict::NotAsked(NotAsked::Draining) {
            self.streams.drain(stream);
        }
        self.end_attempt(attempt, report, step);
    }

    /// What a verdict, real or assumed, means for its question.
    fn end_attempt(&mut self, attempt: AttemptId, report: VerdictReport, step: &mut Step<'_>) {
        let Some(running) = self.remove(attempt) else {
            return;
        };
        self.forget(attempt, running.stream, step);
        let Some(question) = self.questions.get_mut(&running.request) else {
            return;
        };
        question.running.remove(&attempt);
        let verdict = report.verdict;
        if let Some(entry) = question.attempts.get_mut(running.place) {
            entry.report = Some(report);
            entry.total = step.now.saturating_duration_since(running.started);
        }
        match meaning(verdict) {
            Meaning::Decides => self.answer(running.request, verdict, step),
            // The question went on when it became late.
            _ if running.late => {}
            Meaning::Free => self.go_on(running.request, false, step),
            Meaning::Ambiguous => self.go_on(running.request, true, step),
        }
    }

    /// The share of an attempt is over. It goes on, and so does its question, elsewhere.
    fn late(&mut self, attempt: AttemptId, step: &mut Step<'_>) {
        let Some(running) = self.running.get_mut(&attempt) else {
            return;
        };
        running.late = true;
        self.ends.remove(&(running.until, attempt));
        let (request, stream, place) = (running.request, running.stream, running.place);
        self.streams.took(stream, self.attempt_share, step.now);
        if let Some(question) = self.questions.get_mut(&request)
            && let Some(entry) = question.attempts.get_mut(place)
        {
            entry.report = Some(VerdictReport::bare(Verdict::Unavailable(Unavailable::TimedOut)));
            entry.total = self.attempt_share;
        }
        self.go_on(request, true, step);
    }

    /// To another agent, if there is one and the rules allow it.
    fn go_on(&mut self, request: RequestId, ambiguous: bool, step: &mut Step<'_>) {
        let Some(question) = self.questions.get(&request) else {
            return;
        };
        let reached = question.reached();
        let allowed = reached < REACHED_MAX && (reached == 0 || self.hand_off);
        if !allowed || !matches!(self.choose(question, step), Choice::Stream(_)) {
            return self.conclude(request, step);
        }
        if ambiguous {
            step.effects.push(Effect::Charge(request));
        } else {
            self.place(request, step);
        }
    }

    /// Nobody else can be asked: answers with what is known, unless an attempt is still under way.
    fn conclude(&mut self, request: RequestId, step: &mut Step<'_>) {
        let Some(question) = self.questions.get(&request) else {
            return;
        };
        let under_way = |attempt| self.running.get(attempt).is_some_and(|running| !running.late);
        if !question.running.iter().any(under_way) {
            self.answer(request, question.so_far(), step);
        }
    }

    fn unknown_session(&mut self, id: StreamId, attempt: AttemptId, step: &mut Step<'_>) {
        // It is plain text: it counts on the stream that the attempt was written to, once.
        let Some(running) = self
            .running
            .get_mut(&attempt)
            .filter(|running| running.stream == id)
        else {
            return;
        };
        if running.resealed {
            self.streams.took(id, self.attempt_share, step.now);
            let report = VerdictReport::bare(Verdict::Unavailable(Unavailable::ConnectionLost));
            return self.end_attempt(attempt, report, step);
        }
        running.resealed = true;
        step.effects.push(Effect::Announce(id));
        step.effects.push(Effect::Write {
            stream: id,
            attempt,
            request: running.request,
            until: running.until,
        });
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Running> {
        let running = self.running.remove(&attempt)?;
        self.ends.remove(&(running.until, attempt));
        Some(running)
    }

    fn forget(&mut self, attempt: AttemptId, stream: StreamId, step: &mut Step<'_>) {
        step.effects.push(Effect::Forget(stream, attempt));
        let done = self.streams.end(stream, attempt);
        step.effects.extend(done.then_some(Effect::Close(stream)));
    }

    fn answer(&mut self, request: RequestId, verdict: Verdict, step: &mut Step<'_>) {
        let Some(mut question) = self.questions.remove(&request) else {
            return;
        };
        for attempt in question.running {
            let Some(running) = self.remove(attempt) else {
                continue;
            };
            if let Some(entry) = question.attempts.get_mut(running.place) {
                entry.total = step.now.saturating_duration_since(running.started);
            }
            self.forget(attempt, running.stream, step);
        }
        let judgement = Judgement {
            verdict,
            attempts: question.attempts,
        };
        step.effects.push(Effect::Answer(request, judgement));
    }

    fn tick(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let over = self.ends.iter().take_while(|(until, _)| *until <= now);
        for (_, attempt) in over.copied().collect::<Vec<_>>() {
            self.late(attempt, step);
        }
        let due = self.streams.due(now);
        step.effects
            .extend(due.announce.into_iter().map(Effect::Announce));
        let pings = due.ping.into_iter().map(|(id, number)| Effect::Ping(id, number));
        step.effects.extend(pings);
        for id in due.silent {
            step.effects.push(Effect::Close(id));
            self.detach(id, step);
        }
    }
}

#[cfg(test)]
mod tests;
