//! The LDAP adapter: a bounded pool of protected connections to one domain controller.
//!
//! A connection carries one bind at a time, because LDAP forbids a second one, and is thrown away
//! after a time-out, because a bind cannot be taken back.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::net::LdapProtection;
use postern_kit::tls::ClientTls;
use postern_proto::verdict::{Unavailable, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{Answer, judge};
use super::link::{BindFailed, Link};
use super::{Connection, Directory, NotReady, NotSent, Question, Reply};
use crate::config::{BindName, DirectoryKind, HostPort};

/// Most connections to one controller. It judges some 400 binds a second per core at 2.5 ms each,
/// so this many keep several of its cores busy; more would only queue there.
const CONNECTIONS_MAX: usize = 8;

/// An idle connection is given up after this time; Active Directory closes it after 15 minutes.
const RETIRE_AFTER: Duration = Duration::from_secs(5 * 60);

/// A connection that was idle for this long is probed before use: a firewall may have forgotten it.
const PROBE_AFTER: Duration = Duration::from_secs(30);

/// What the adapter needs to know about a controller.
#[derive(Clone, Debug)]
pub struct LdapSettings {
    /// Where it is; the host must stand in its certificate.
    pub controller: HostPort,
    /// The host's addresses, tried one after the other; as the system resolves the name if there are none.
    pub addresses: Vec<IpAddr>,
    /// How connections are protected.
    pub protection: LdapProtection,
    /// How users are bound.
    pub bind_name: BindName,
    /// Whose habits it has.
    pub kind: DirectoryKind,
    /// Whom to take for the controller.
    pub tls: Arc<ClientTls>,
    /// Longest wait for the answer to a probe.
    pub probe: Duration,
}

/// One domain controller over LDAP.
#[derive(Debug)]
pub struct LdapDirectory(Arc<Pool>);

impl LdapDirectory {
    /// No connection is opened before it is needed.
    pub fn new(settings: LdapSettings, seams: Seams) -> Self {
        Self(Arc::new(Pool {
            settings,
            seams,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            idle: Mutex::default(),
        }))
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) settings: LdapSettings,
    pub(super) seams: Seams,
    permits: Arc<Semaphore>,
    /// The one used last is at the end, and is used next: the others may retire.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retain_usable(&self, now: Instant) {
        self.idle().retain_mut(|idle| {
            !idle.link.is_closed() && now.saturating_duration_since(idle.since) < RETIRE_AFTER
        });
    }

    /// An idle connection that is alive as far as can be known.
    async fn reuse(&self, until: Instant) -> Option<Link> {
        loop {
            self.retain_usable(monotonic());
            let Idle { mut link, since } = self.idle().pop()?;
            let idle_for = monotonic().saturating_duration_since(since);
            if idle_for < PROBE_AFTER && !link.was_disturbed() {
                return Some(link);
            }
            if link.probe(until.min(monotonic() + self.settings.probe)).await {
                return Some(link);
            }
            tracing::debug!(controller = %self.settings.controller, "idle connection was dead");
            // What broke this one broke the others. Probing each would eat up the deadline.
            self.idle().clear();
        }
    }
}

/// Called when a connection has ended, so that its socket does not stay half closed.
pub(super) fn connection_ended(pool: &Weak<Pool>) {
    if let Some(pool) = pool.upgrade() {
        pool.retain_usable(monotonic());
    }
}

#[async_trait]
impl Directory for LdapDirectory {
    async fn connection(&self, until: Instant) -> Result<Box<dyn Connection>, NotReady> {
        let pool = &self.0;
        let permit = tokio::time::timeout_at(until.into(), pool.permits.clone().acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return Err(NotReady::Busy);
        };
        let link = match pool.reuse(until).await {
            Some(link) => link,
            None => Link::open(pool, until).await.map_err(NotReady::Unreachable)?,
        };
        Ok(Box::new(Leased {
            link,
            pool: pool.clone(),
            _permit: permit,
        }))
    }

    fn sweep(&self, now: Instant) {
        self.0.retain_usable(now);
    }
}

/// A connection out of the pool.
struct Leased {
    link: Link,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Connection for Leased {
    async fn ask(mut self: Box<Self>, question: Question, deadline: Instant) -> Result<Reply, NotSent> {
        let settings = &self.pool.settings;
        let Question {
            object,
            name,
            password,
        } = &question;
        let bind_name = match settings.bind_name {
            BindName::Guid => format!("<GUID={object}>"),
            BindName::Upn { .. } | BindName::Dn => name.as_str().to_owned(),
        };
        let sent = monotonic();
        let answer = self
            .link
            .bind(&bind_name, password.plaintext(), settings.kind, deadline)
            .await;
        let bind = monotonic().saturating_duration_since(sent);
        let unavailable = |why| Reply {
            verdict: Verdict::Unavailable(why),
            ldap_result: 0,
            sub_code: 0,
            sent,
            bind,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(BindFailed::NotSent) => return Err(NotSent(question)),
            Err(BindFailed::TimedOut) => return Ok(unavailable(Unavailable::TimedOut)),
            Err(BindFailed::Lost) => return Ok(unavailable(Unavailable::ConnectionLost)),
        };
        let judged = judge(
            settings.kind,
            &Answer {
                code: answer.code,
                message: &answer.message,
                policy: answer.policy,
            },
        );
        let (object, name) = (*object, name.clone());
        // Zeroes the password: the directory has answered.
        drop(question);
        let verdict = match judged.verdict {
            // A failed bind leaves a connection with the identity it had before, on some
            // directories. So whose the password is may be read only here: right after a success,
            // on the same connection, before anybody else can bind on it.
            Verdict::Accepted => {
                self.link
                    .bound(&settings.bind_name, object, &name, deadline)
                    .await
            }
            other => other,
        };
        if !matches!(verdict, Verdict::Unavailable(_)) {
            self.link.rest();
            let since = monotonic();
            self.pool.idle().push(Idle {
                link: self.link,
                since,
            });
        }
        Ok(Reply {
            verdict,
            ldap_result: answer.code,
            sub_code: judged.sub_code,
            sent,
            bind,
        })
    }
}

#[cfg(test)]
mod tests;
