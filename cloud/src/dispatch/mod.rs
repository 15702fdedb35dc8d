//! Which agent gets a request: presence, choice, sealing, deadline, and what a lost agent means.
//!
//! [`Agents`] is the port that a sign-in sees. [`Dispatch`] is behind it: a pure core (`core.rs`)
//! that decides, one task (`task.rs`) that seals, sends and keeps time, and the agents' streams
//! (`rpc.rs`), which meet it on the bus.
//!
//! # Invariants
//! * A question is given to agents of its tenant that serve its domain, and to no others (I5).
//! * It is answered exactly once, at its deadline at the latest (I3).
//! * After a request was written to a stream the directory counts as asked, unless the agent
//!   proves otherwise under the verdict key.
//! * At most two attempts of a question may have reached a directory, the second only if the account
//!   could be charged for it.

pub mod core;
mod envelope;
mod rpc;
mod task;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_kit::Seams;
use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, ObjectId, RequestId, TenantId};
use postern_proto::names::{DomainName, OnPremisesName};
use postern_proto::password::Password;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict, VerdictReport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::core::Core;
use self::task::{Ask, Command, Task};
use crate::bus::Bus;
use crate::trust::Trust;

pub use rpc::ChannelService;

/// Commands that wait for the task; a sign-in that finds the queue full is answered "busy". Each
/// takes some ten microseconds, so a full queue is about 40 ms of work.
const COMMANDS_MAX: usize = 4096;

/// A password to have judged.
#[derive(Debug)]
pub struct Question {
    /// The sign-in that it belongs to.
    pub request: RequestId,
    /// Whose user.
    pub tenant: TenantId,
    /// The domain whose directory owns the user.
    pub domain: DomainName,
    /// The object that must turn out to be bound.
    pub object: ObjectId,
    /// What the directory calls it.
    pub name: OnPremisesName,
    /// The password.
    pub password: Password,
    /// When an answer is worthless, on the monotonic clock.
    pub deadline: Instant,
    /// How its account is charged for a second attempt.
    pub charges: Box<dyn Charges>,
}

/// One agent that was given a question, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The agent.
    pub agent: AgentId,
    /// Its verdict; where it gave none, what that means. `None`: the question was answered by
    /// another attempt while this one was under way.
    pub report: Option<VerdictReport>,
    /// From when the request was written until the verdict was there.
    pub total: Duration,
}

impl Attempt {
    /// Its verdict, if the question waited for one.
    pub fn verdict(&self) -> Option<Verdict> {
        self.report.as_ref().map(|report| report.verdict)
    }
}

/// Charges the account of a question once more, for a second attempt after the first may have
/// been counted.
pub trait Charges: fmt::Debug + Send + Sync {
    /// Charges without waiting. Whether that was possible.
    fn again(&mut self) -> bool;
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict that counts.
    pub verdict: Verdict,
    /// All attempts in their order; none if no agent could be given the question.
    pub attempts: Vec<Attempt>,
}

/// Why a domain's users cannot be asked about at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// No agent that serves the domain is connected and healthy.
    NoAgent,
    /// The agents have as much to do as they take.
    Busy,
}

/// The agents as a sign-in sees them.
#[async_trait]
pub trait Agents: fmt::Debug + Send + Sync {
    /// Whether a question about a user of this domain would be given to an agent now. Asked for
    /// unknown users as well, so that they behave alike.
    ///
    /// # Errors
    /// [`NotAdmitted`] says why not.
    fn admit(&self, tenant: TenantId, domain: &DomainName) -> Result<(), NotAdmitted>;

    /// Has a password judged. Always answers, at the question's deadline at the latest.
    ///
    /// # Cancellation
    /// Dropping it gives the verdict up, not the question: the directory may have been asked.
    async fn ask(&self, question: Question) -> Judgement;
}

/// An agent that is connected now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentPresence {
    /// Requests in flight with it.
    pub in_flight: usize,
    /// Since when.
    pub since: Timestamp,
}

/// The dispatch of one replica. Clones are handles to the same.
#[derive(Clone)]
pub struct Dispatch {
    core: Arc<Mutex<Core>>,
    commands: mpsc::Sender<Command>,
    asks: mpsc::Sender<Ask>,
    /// Says that registrations may have changed.
    registry_changed: watch::Sender<()>,
    bus: Arc<dyn Bus>,
    trust: Trust,
    seams: Seams,
}

impl Dispatch {
    /// Starts it; `attempt_share` is the time that one attempt has, `hand_off` whether a question
    /// goes on to another agent after somebody may have asked. Ends with `stop`, which closes all
    /// streams: call [`Dispatch::drain`] before.
    pub async fn start(
        trust: Trust,
        bus: Arc<dyn Bus>,
        attempt_share: Duration,
        hand_off: bool,
        seams: &Seams,
        stop: CancellationToken,
    ) -> Self {
        let core = Arc::new(Mutex::new(Core::new(attempt_share, hand_off)));
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        // A queue of their own: what agents say cannot crowd them out.
        let (asks, asked) = mpsc::channel(COMMANDS_MAX);
        let replica = trust.replica();
        let answers = bus.subscribe(&envelope::to_replica(replica.id)).await;
        let task = Task::new(core.clone(), bus.clone(), replica, seams.random.clone());
        seams
            .tasks
            .spawn("dispatch", task.run(received, asked, answers, stop));
        Self {
            core,
            commands,
            asks,
            registry_changed: watch::Sender::new(()),
            bus,
            trust,
            seams: seams.clone(),
        }
    }

    /// What an agent is doing; `None` if it is not connected to this replica.
    pub fn connected(&self, agent: AgentId) -> Option<AgentPresence> {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.presence(agent)
            .map(|(in_flight, since)| AgentPresence { in_flight, since })
    }

    /// Registrations were changed or taken back: attached agents are looked at again, now.
    pub fn check_registrations(&self) {
        self.registry_changed.send_replace(());
    }

    /// Lets nothing new go to an agent, or lets it again.
    pub async fn set_drained(&self, agent: AgentId, drained: bool) {
        // If the task has ended, nothing goes anywhere.
        let _ = self.commands.send(Command::SetDrained(agent, drained)).await;
    }

    /// Ends all that an agent has here: its streams are cut, what it had goes on to others as when it is lost, and
    /// nothing is sealed to it once this returns.
    pub async fn revoke(&self, agent: AgentId) {
        let (waiting, done) = oneshot::channel();
        if self.commands.send(Command::Revoke(agent, waiting)).await.is_ok() {
            // An error means that the task has ended, and then nothing goes anywhere.
            let _ = done.await;
        }
    }

    /// Takes no more questions, tells the agents, and waits until all questions are answered,
    /// which is at the last one's deadline at the latest.
    pub async fn drain(&self) {
        let (waiting, drained) = oneshot::channel();
        if self.commands.send(Command::Drain(waiting)).await.is_ok() {
            // An error means that the task has ended, and then nothing is open.
            let _ = drained.await;
        }
    }

    /// The service that agents attach to.
    pub fn service(&self) -> ChannelService {
        ChannelService::new(self.clone())
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").finish_non_exhaustive()
    }
}

#[async_trait]
impl Agents for Dispatch {
    fn admit(&self, tenant: TenantId, domain: &DomainName) -> Result<(), NotAdmitted> {
        self.core
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(tenant, domain)
    }

    async fn ask(&self, question: Question) -> Judgement {
        let without_attempts = |verdict| Judgement {
            verdict,
            attempts: Vec::new(),
        };
        let (answer, answered) = oneshot::channel();
        if self.asks.try_send((question, answer)).is_err() {
            return without_attempts(Verdict::NotAsked(NotAsked::Busy));
        }
        // The task answers by the deadline; it is gone only when the process stops, and then the
        // directory may have been asked.
        answered
            .await
            .unwrap_or_else(|_| without_attempts(Verdict::Unavailable(Unavailable::ConnectionLost)))
    }
}

#[cfg(test)]
mod tests;
