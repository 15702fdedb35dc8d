//! Which agent gets a request: presence, choice, sealing, deadline, and what a lost agent means.
//!
//! [`Agents`] is the port that a sign-in sees.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_proto::ids::{AgentId, ObjectId, RequestId, TenantId};
use postern_proto::names::{DomainName, OnPremisesName};
use postern_proto::password::Password;
use postern_proto::verdict::{Verdict, VerdictReport};

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
}

/// One agent that was given a question, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The agent.
    pub agent: AgentId,
    /// Its verdict; where it gave none, what that means.
    pub report: VerdictReport,
    /// From when the request was written until the verdict was there.
    pub total: Duration,
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
