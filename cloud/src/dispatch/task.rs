//! The task that drives the core: seals, sends, opens verdicts, keeps time. One task per replica
//! owns all of it, so nothing here needs a lock but the core, which admission reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt as _;
use postern_kit::clock::{monotonic, sleep_until};
use postern_kit::random::{self, Random};
use postern_proto::ids::{AgentId, RequestId, SessionId};
use postern_proto::names::DomainName;
use postern_proto::seal::{
    self, AnnouncedKey, Credentials, Header, Replica, SealError, SealingSession, VerdictOpener,
};
use postern_proto::wire::channel::{
    AgentMessage, CloudMessage, Draining, Ping, SealedVerdict, UnknownSession, agent_message, cloud_message,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;

use super::core::{Asked, Attached, AttemptId, Core, Effect, Event, StreamId};
use super::envelope::{self, Down, Up};
use super::{Judgement, Question};
use crate::bus::{self, Bus, NotDelivered, Subscription};

/// What the task is told. Passwords in it zero themselves.
#[derive(Debug)]
pub(super) enum Command {
    Attach(Box<NewStream>),
    /// A sealing key whose signature was checked.
    Key(StreamId, Box<AnnouncedKey>),
    Heard(StreamId),
    AgentDrains(StreamId),
    Detach(StreamId),
    /// What the registry says of its agent now.
    Refresh(StreamId, BTreeSet<DomainName>, bool),
    SetDrained(AgentId, bool),
    /// Says when nothing goes to the agent any more.
    Revoke(AgentId, oneshot::Sender<()>),
    /// Says when all questions are answered.
    Drain(oneshot::Sender<()>),
}

/// A question and who waits for its answer.
pub(super) type Ask = (Question, oneshot::Sender<Judgement>);

/// A stream whose hello has come.
#[derive(Debug)]
pub(super) struct NewStream {
    pub(super) id: StreamId,
    pub(super) attached: Attached,
    pub(super) stream: seal::Stream,
    /// Ends the stream.
    pub(super) close: CancellationToken,
}

/// The sealing side of a stream.
#[derive(Debug)]
struct Sealer {
    agent: AgentId,
    stream: seal::Stream,
    key: Option<Box<AnnouncedKey>>,
    session: Option<(SealingSession, Instant)>,
    close: CancellationToken,
}

/// What answers an attempt.
#[derive(Debug)]
struct Awaited {
    stream: StreamId,
    attempt: AttemptId,
    opener: VerdictOpener,
}

/// Which message of which session.
type Place = (SessionId, u32);

pub(super) struct Task {
    pub(super) core: Arc<Mutex<Core>>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) replica: Arc<Replica>,
    pub(super) random: Arc<dyn Random>,
    streams: BTreeMap<StreamId, Sealer>,
    awaited: BTreeMap<Place, Awaited>,
    places: BTreeMap<AttemptId, Vec<Place>>,
    /// Questions without an answer.
    asking: BTreeMap<RequestId, (Question, oneshot::Sender<Judgement>)>,
    /// Who waits until there are none.
    draining: Vec<oneshot::Sender<()>>,
    revoking: Vec<oneshot::Sender<()>>,
}

impl Task {
    pub(super) fn new(
        core: Arc<Mutex<Core>>,
        bus: Arc<dyn Bus>,
        replica: Arc<Replica>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (streams, awaited) = (BTreeMap::new(), BTreeMap::new());
        let (places, asking) = (BTreeMap::new(), BTreeMap::new());
        Self {
            core,
            bus,
            replica,
            random,
            streams,
            awaited,
            places,
            asking,
            draining: Vec::new(),
            revoking: Vec::new(),
        }
    }

    /// Runs until `stop`, then closes all streams.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut asks: mpsc::Receiver<Ask>,
        mut answers: Subscription,
        stop: CancellationToken,
    ) {
        loop {
            let tick = self.core().next_tick();
            let wait = async {
                match tick {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = commands.recv() => {
                    match &command {
                        Command::Detach(_) => self.hear_out(&mut answers).await,
                        Command::Drain(_) => {
                            // What was asked before it is still asked.
                            while let Ok(ask) = asks.try_recv() {
                                let event = self.ask(ask);
                                self.drive(Some(event)).await;
                            }
                        }
                        _ => {}
                    }
                    self.command(command)
                }
                Some(ask) = asks.recv() => Some(self.ask(ask)),
                Some(payload) = answers.next() => self.answer(payload),
                () = wait => Some(Event::Tick),
            };
            self.drive(event).await;
        }
        for sealer in self.streams.values() {
            sealer.close.cancel();
        }
    }

    /// Takes what has been said up to now: the last word on a stream comes before its end, which
    /// is told on another way.
    async fn hear_out(&mut self, answers: &mut Subscription) {
        for _ in 0..bus::QUEUE_MAX {
            // The runtime's budget would make a long queue look empty.
            let Some(Some(payload)) = unconstrained(answers.next()).now_or_never() else {
                return;
            };
            let event = self.answer(payload);
            self.drive(event).await;
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the core decide and does what it says, and what follows from that.
    async fn drive(&mut self, event: Option<Event>) {
        let mut events = VecDeque::from_iter(event);
        while let Some(event) = events.pop_front() {
            let random = self.random.clone();
            let effects = self.core().on(event, monotonic(), &mut |bound| {
                random::below(random.as_ref(), bound)
            });
            for effect in effects {
                events.extend(self.perform(effect).await);
            }
        }
        for waiting in self.revoking.drain(..) {
            // It may have given up.
            let _ = waiting.send(());
        }
        if self.asking.is_empty() {
            for waiting in self.draining.drain(..) {
                // It may have given up.
                let _ = waiting.send(());
            }
        }
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Attach(new) => {
                let NewStream {
                    id,
                    attached,
                    stream,
                    close,
                } = *new;
                let sealer = Sealer {
                    agent: attached.agent,
                    stream,
                    key: None,
                    session: None,
                    close,
                };
                self.streams.insert(id, sealer);
                Some(Event::Attached(id, attached))
            }
            Command::Key(id, key) => {
                let sealer = self.streams.get_mut(&id)?;
                sealer.key = Some(key);
                Some(Event::KeyAnnounced(id))
            }
            Command::Heard(id) => Some(Event::Heard(id)),
            Command::AgentDrains(id) => Some(Event::AgentDrains(id)),
            Command::Detach(id) => {
                self.streams.remove(&id);
                Some(Event::Detached(id))
            }
            Command::Refresh(id, domains, drained) => Some(Event::Refreshed(id, domains, drained)),
            Command::SetDrained(agent, drained) => Some(Event::SetDrained(agent, drained)),
            Command::Revoke(agent, waiting) => {
                self.revoking.push(waiting);
                Some(Event::Revoked(agent))
            }
            Command::Drain(waiting) => {
                self.draining.push(waiting);
                Some(Event::Drain)
            }
        }
    }

    fn ask(&mut self, (question, answer): Ask) -> Event {
        let asked = Asked {
            request: question.request,
            tenant: question.tenant,
            domain: question.domain.clone(),
            deadline: question.deadline,
        };
        self.asking.insert(question.request, (question, answer));
        Event::Asked(asked)
    }

    /// What an agent said. Only what is authentic for an attempt that waits for it counts.
    fn answer(&mut self, payload: Bytes) -> Option<Event> {
        let (stream, AgentMessage { message }) = Up::open(payload)?;
        match message? {
            agent_message::Message::Verdict(SealedVerdict {
                session_id,
                sequence,
                ciphertext,
            }) => {
                let place = (SessionId::try_from(session_id.as_slice()).ok()?, sequence);
                let Some(awaited) = self
                    .awaited
                    .get(&place)
                    .filter(|awaited| awaited.stream == stream)
                else {
                    tracing::debug!(session = %place.0, sequence, "verdict that nobody waits for");
                    return None;
                };
                match awaited.opener.open(&ciphertext) {
                    Ok(report) => Some(Event::Verdict(awaited.attempt, report)),
                    Err(error) => {
                        tracing::warn!(%error, session = %place.0, sequence, "verdict ignored");
                        None
                    }
                }
            }
            agent_message::Message::UnknownSession(UnknownSession { session_id, sequence }) => {
                let place = (SessionId::try_from(session_id.as_slice()).ok()?, sequence);
                let attempt = self
                    .awaited
                    .get(&place)
                    .filter(|awaited| awaited.stream == stream)?
                    .attempt;
                // Said again of what was sealed anew since, it counts for nothing.
                if self.places.get(&attempt)?.last() != Some(&place) {
                    return None;
                }
                Some(Event::UnknownSession(stream, attempt))
            }
            _ => None,
        }
    }

    async fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Announce(id) => return self.announce(id).await,
            Effect::Write {
                stream,
                attempt,
                request,
                until,
            } => {
                return self.write(stream, attempt, request, until).await;
            }
            Effect::Charge(request) => {
                let (question, _) = self.asking.get_mut(&request)?;
                return Some(Event::Charged(request, question.charges.again()));
            }
            Effect::Forget(_, attempt) => {
                for place in self.places.remove(&attempt).unwrap_or_default() {
                    self.awaited.remove(&place);
                }
            }
            Effect::Answer(request, judgement) => {
                if let Some((_, answer)) = self.asking.remove(&request) {
                    // The sign-in may be gone; its question is answered all the same.
                    let _ = answer.send(judgement);
                }
            }
            Effect::Ping(id, number) => {
                self.say(id, cloud_message::Message::Ping(Ping { number })).await;
            }
            Effect::TellDraining(id) => {
                self.say(id, cloud_message::Message::Draining(Draining {})).await;
            }
            Effect::Close(id) => {
                if let Some(sealer) = self.streams.get(&id) {
                    tracing::info!(agent = %sealer.agent, "stream closed");
                    sealer.close.cancel();
                }
            }
        }
        None
    }

    /// What need not arrive: if the stream's queue is full, silence says the rest.
    async fn say(&self, id: StreamId, message: cloud_message::Message) {
        if let Err(error) = self.publish(id, message).await {
            tracing::debug!(%error, "message to an agent lost");
        }
    }

    async fn publish(&self, id: StreamId, message: cloud_message::Message) -> Result<(), NotDelivered> {
        let sealer = self.streams.get(&id).ok_or(NotDelivered::NobodyListens)?;
        let payload = Down::encode(
            id,
            CloudMessage {
                message: Some(message),
            },
        );
        self.bus.publish(&envelope::to_agent(sealer.agent), payload).await
    }

    async fn announce(&mut self, id: StreamId) -> Option<Event> {
        let sealer = self.streams.get_mut(&id)?;
        let key = sealer.key.as_ref()?;
        match SealingSession::establish(&sealer.stream, key, &self.replica, self.random.as_ref()) {
            Ok((session, announcement)) => {
                sealer.session = Some((session, monotonic()));
                // Lost means unknown to the agent, which says so.
                self.say(id, cloud_message::Message::Session(announcement)).await;
                Some(Event::SessionReady(id))
            }
            Err(error) => {
                tracing::error!(agent = %sealer.agent, %error, "no session can be made with the agent's key");
                sealer.close.cancel();
                None
            }
        }
    }

    async fn write(
        &mut self,
        id: StreamId,
        attempt: AttemptId,
        request: RequestId,
        until: Instant,
    ) -> Option<Event> {
        let now = monotonic();
        let used_up = self
            .streams
            .get(&id)
            .and_then(|sealer| sealer.session.as_ref())
            .is_none_or(|(session, since)| !session.is_open(now.saturating_duration_since(*since)));
        let announced = if used_up { self.announce(id).await } else { None };
        if used_up && announced.is_none() {
            return Some(Event::NotWritten(attempt));
        }
        let sealed = self.seal(id, request, until);
        let Some(Ok((message, opener))) = sealed else {
            return Some(Event::NotWritten(attempt));
        };
        let place = (
            SessionId::try_from(message.session_id.as_slice()).ok()?,
            message.sequence,
        );
        self.awaited.insert(
            place,
            Awaited {
                stream: id,
                attempt,
                opener,
            },
        );
        self.places.entry(attempt).or_default().push(place);
        match self.publish(id, cloud_message::Message::Request(message)).await {
            Ok(()) => announced,
            Err(error) => {
                tracing::warn!(%error, "request not written");
                Some(Event::NotWritten(attempt))
            }
        }
    }

    fn seal(
        &mut self,
        id: StreamId,
        request: RequestId,
        until: Instant,
    ) -> Option<Result<(postern_proto::wire::channel::SealedRequest, VerdictOpener), SealError>> {
        let (question, _) = self.asking.get(&request)?;
        let (session, since) = self.streams.get_mut(&id)?.session.as_mut()?;
        let deadline = until.saturating_duration_since(*since);
        let header = Header {
            request,
            domain: question.domain.clone(),
            deadline,
        };
        let credentials = Credentials {
            object: question.object,
            name: &question.name,
            password: &question.password,
        };
        Some(session.seal(&header, &credentials))
    }
}
