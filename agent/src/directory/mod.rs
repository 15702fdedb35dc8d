//! The port to one domain controller, its LDAP adapter, and what a controller's answer means.
//!
//! Asking has two steps, so that everything that can fail without anybody having been asked comes
//! first: [`Directory::connection`] makes a connection ready, and only [`Connection::ask`] shows the
//! password to it. A password is shown once: what happens after that is the answer.
//!
//! With `validate`, this is the only room that sees a password.

mod answer;
mod inspect;
mod ldap;
mod link;
mod lockout;
mod policy;
mod service_account;
mod whom;

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_proto::ids::ObjectId;
use postern_proto::names::{DomainName, OnPremisesName};
use postern_proto::password::Password;
use postern_proto::verdict::Verdict;

pub use answer::{Answer, Judged, judge};
pub use inspect::{Finding, Inspected, Mark};
pub use ldap::{LdapDirectory, LdapSettings};
pub use lockout::{Lockout, strictest};
pub use policy::{PASSWORD_EXPIRED, PASSWORD_POLICY, PolicyAnswer, PolicyError};
pub use service_account::{NoSecret, Shown};

/// What is asked: is this the password of that object?
#[derive(Debug)]
pub struct Question {
    /// The object that must turn out to be bound.
    pub object: ObjectId,
    /// What the directory calls it.
    pub name: OnPremisesName,
    /// The password; zeroed when the question is dropped.
    pub password: Password,
}

/// What a controller said, or why it said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it means.
    pub verdict: Verdict,
    /// LDAP result code, 0 if there was none.
    pub ldap_result: u32,
    /// Active Directory's sub-code, 0 if there was none.
    pub sub_code: u32,
    /// When the bind was sent.
    pub sent: Instant,
    /// From then until the answer to the bind.
    pub bind: Duration,
}

/// Why no connection is ready. Nobody was asked.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The controller cannot be connected, or does not prove who it is.
    #[error("cannot connect to the domain controller")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The service account cannot be bound, so that nobody can be searched.
    #[error("the service account cannot be used at the domain controller")]
    ServiceAccount(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// All connections to the controller are in use.
    #[error("all connections to the domain controller are in use")]
    Busy,
}

/// The connection was found dead before the bind was written. Nobody was asked; the question comes back.
#[derive(Debug)]
pub struct NotSent(pub Question);

/// How many connections to a controller there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open ones that nobody uses.
    pub idle: usize,
    /// Those that are opened or used for somebody.
    pub in_use: usize,
}

/// One domain controller.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync {
    /// A connection that is ready to be asked, an idle one or a new one.
    ///
    /// # Errors
    /// [`NotReady`], at `until` at the latest.
    ///
    /// # Cancellation
    /// Safe to drop; nothing is held.
    async fn connection(&self, until: Instant) -> Result<Box<dyn Connection>, NotReady>;

    /// The suffixes that names of the forest's users may have, as the directory lists them. `None` if it is not
    /// asked: without a service account nobody may read that.
    ///
    /// # Errors
    /// [`NotReady`], at `until` at the latest.
    ///
    /// # Cancellation
    /// Safe to drop.
    async fn suffixes(&self, until: Instant) -> Result<Option<BTreeSet<DomainName>>, NotReady> {
        let _ = until;
        Ok(None)
    }

    /// How many connections there are now.
    fn connections(&self) -> Connections {
        Connections::default()
    }

    /// Looks at the controller for an administrator: step by step what works, what does not, and what to do. The
    /// password of `asked` is shown to the first controller that gets so far. An adapter that has no steps finds
    /// nothing.
    ///
    /// # Cancellation
    /// Dropping it closes its connections; the directory may have been asked.
    async fn inspect(&self, _asked: &mut Inspected, _connect_wait_max: Duration) -> Vec<Finding> {
        Vec::new()
    }

    /// Gives up what has been idle for too long or has died. Called from time to time.
    fn sweep(&self, now: Instant);
}

/// A connection that nobody else uses.
#[async_trait]
pub trait Connection: Send {
    /// Binds once. The reply comes at `deadline` at the latest.
    ///
    /// # Errors
    /// [`NotSent`] only if the bind was certainly not written.
    ///
    /// # Cancellation
    /// Dropping it closes the connection; the directory may have been asked.
    async fn ask(self: Box<Self>, question: Question, deadline: Instant) -> Result<Reply, NotSent>;
}
