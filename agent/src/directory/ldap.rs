//! The LDAP adapter: a bounded pool of protected connections to one domain controller.
//!
//! A connection carries one bind at a time, because LDAP forbids a second one, and is thrown away
//! after a time-out, because a bind cannot be taken back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::net::LdapProtection;
use postern_kit::tls::ClientTls;
use postern_proto::ids::ObjectId;
use postern_proto::names::DomainName;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::inspect::{Finding, Inspected, inspect};
use super::link::{BindFailed, Failed, Found, Link};
use super::service_account::{self, Shown};
use super::whom::{Search, Way};
use super::{Connection, Connections, Directory, NotReady, NotSent, Question, Reply};
use crate::config::{BindName, DirectoryKind, HostPort, ServiceAccount};

/// Most connections to one controller. It judges some 400 binds a second per core at 2.5 ms each,
/// so this many keep several of its cores busy; more would only queue there.
const CONNECTIONS_MAX: usize = 8;

/// Results of a search that another controller would say too: no such object, invalid DN, insufficient rights.
const MISCONFIGURED: [u32; 3] = [32, 34, 50];

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
    /// Under which account it is read, if there is one.
    pub service_account: Option<ServiceAccount>,
    /// What is known of that account's password; the same for all controllers of a forest.
    pub shown: Shown,
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
            readers: Mutex::default(),
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
    /// The same for those that are bound as the service account. No user is ever bound on them.
    readers: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

type Idles = Mutex<Vec<Idle>>;

fn locked(idle: &Idles) -> MutexGuard<'_, Vec<Idle>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rest(idle: &Idles, link: Link) {
    link.rest();
    let since = monotonic();
    locked(idle).push(Idle { link, since });
}

impl Pool {
    #[cfg(test)]
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        locked(&self.idle)
    }

    fn retain_usable(&self, now: Instant) {
        for idle in [&self.idle, &self.readers] {
            locked(idle).retain_mut(|idle| {
                !idle.link.is_closed() && now.saturating_duration_since(idle.since) < RETIRE_AFTER
            });
        }
    }

    /// An idle connection that is alive as far as can be known.
    async fn reuse(&self, idle: &Idles, until: Instant) -> Option<Link> {
        loop {
            self.retain_usable(monotonic());
            let Idle { mut link, since } = locked(idle).pop()?;
            let idle_for = monotonic().saturating_duration_since(since);
            if idle_for < PROBE_AFTER && !link.was_disturbed() {
                return Some(link);
            }
            if link.probe(until.min(monotonic() + self.settings.probe)).await {
                return Some(link);
            }
            tracing::debug!(controller = %self.settings.controller, "idle connection was dead");
            // What broke this one broke the others. Probing each would eat up the deadline.
            locked(&self.idle).clear();
            locked(&self.readers).clear();
        }
    }

    async fn link(self: &Arc<Self>, until: Instant) -> Result<Link, NotReady> {
        match self.reuse(&self.idle, until).await {
            Some(link) => Ok(link),
            None => Link::open(self, until).await.map_err(NotReady::Unreachable),
        }
    }

    /// A connection that is bound as the service account.
    pub(super) async fn reader(
        self: &Arc<Self>,
        account: &ServiceAccount,
        until: Instant,
    ) -> Result<Link, NotReady> {
        if let Some(reader) = self.reuse(&self.readers, until).await {
            return Ok(reader);
        }
        let unusable = |why: Box<dyn std::error::Error + Send + Sync>| NotReady::ServiceAccount(why);
        let secret = service_account::read(self.seams.disk.as_ref(), &account.password_file)
            .map_err(|error| unusable(error.into()))?;
        let shown = &self.settings.shown;
        let turn = || async {
            // Whoever has it may wait for a controller that hangs: that is nothing against this one.
            let turn = tokio::time::timeout_at(until.into(), shown.turn());
            let turn = turn.await.map_err(|_| NotReady::Busy)?;
            match turn.allows(&secret, monotonic()) {
                true => Ok(turn),
                false => Err(unusable(service_account::NoSecret::RefusedBefore.into())),
            }
        };
        // Before anybody is dialled, and once more when it is shown.
        drop(turn().await?);
        let mut link = Link::open(self, until).await.map_err(NotReady::Unreachable)?;
        let mut turn = turn().await?;
        let kind = self.settings.kind;
        let answer = link
            .bind(account.name.as_str(), secret.plaintext(), kind, until)
            .await;
        let answer = answer.map_err(|error| NotReady::Unreachable(error.into()))?;
        let judged = answer.judged(kind);
        match judged.verdict {
            Verdict::Accepted => Ok(link),
            // The directory cannot say now whether it is right.
            Verdict::Unavailable(Unavailable::DirectoryDeclined) => {
                Err(NotReady::Unreachable(Failed::from(answer).into()))
            }
            _ => {
                // It may have been counted: that it is not shown again too soon matters more than
                // that a fault goes by unnoticed.
                turn.note(secret, monotonic());
                Err(unusable(Failed::from(answer).into()))
            }
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
        let reader = match (&pool.settings.bind_name, &pool.settings.service_account) {
            (BindName::Search { .. }, Some(account)) => Some(pool.reader(account, until).await?),
            _ => None,
        };
        Ok(Box::new(Leased {
            link: pool.link(until).await?,
            reader,
            pool: pool.clone(),
            _permit: permit,
        }))
    }

    async fn suffixes(&self, until: Instant) -> Result<Option<BTreeSet<DomainName>>, NotReady> {
        let pool = &self.0;
        let Some(account) = &pool.settings.service_account else {
            return Ok(None);
        };
        let mut reader = pool.reader(account, until).await?;
        let listed = reader.suffixes(until).await;
        let listed = listed.map_err(|error| NotReady::Unreachable(error.into()))?;
        rest(&pool.readers, reader);
        Ok(Some(listed))
    }

    fn connections(&self) -> Connections {
        let pool = &self.0;
        Connections {
            idle: locked(&pool.idle).len() + locked(&pool.readers).len(),
            in_use: CONNECTIONS_MAX.saturating_sub(pool.permits.available_permits()),
        }
    }

    async fn inspect(&self, asked: &mut Inspected, connect_wait_max: Duration) -> Vec<Finding> {
        inspect(&self.0, asked, connect_wait_max).await
    }

    fn sweep(&self, now: Instant) {
        self.0.retain_usable(now);
    }
}

/// A connection out of the pool.
struct Leased {
    link: Link,
    /// Where users are searched, if they are.
    reader: Option<Link>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// Whose entry is to be bound, and the search that must find the object afterwards.
struct Whom {
    bind: String,
    proof: Option<Search>,
}

/// Why nobody is bound.
enum Nobody {
    /// For a reason that stands.
    Because(NotAsked),
    /// The connection for searches has failed.
    Dead,
}

impl Leased {
    /// Finds out whom to bind. Without a reader there is nothing to ask for it.
    async fn whom(&mut self, question: &Question, deadline: Instant) -> Result<Whom, Nobody> {
        let settings = &self.pool.settings;
        let way = Way::of(&settings.bind_name, question.object, &question.name);
        let search = match way.ok_or(Nobody::Because(NotAsked::RefusedInput))? {
            Way::ById(bind) => return Ok(Whom { bind, proof: None }),
            Way::ByName(bind, search) => {
                let proof = Some(search);
                return Ok(Whom { bind, proof });
            }
            Way::Found(search) => search,
        };
        // A configuration that searches has an account to do so.
        let mut reader = self
            .reader
            .take()
            .ok_or(Nobody::Because(NotAsked::NoController))?;
        let until = deadline.min(monotonic() + settings.probe);
        let found = reader.find(&search, settings.kind, until).await;
        if let Ok(_) | Err(Failed::Refused { .. }) = found {
            self.reader = Some(reader);
        }
        let entry = match found {
            Ok(Found::One(entry)) => entry,
            Ok(Found::Nothing) => return Err(Nobody::Because(NotAsked::NoEntry)),
            Ok(Found::Several) => return Err(Nobody::Because(NotAsked::SeveralEntries)),
            Err(error) => {
                let controller = settings.controller.to_string();
                let error_text = postern_kit::telemetry::chain(&error);
                tracing::warn!(controller, error = error_text, "user cannot be searched");
                return Err(match error {
                    // The same at each controller: what is configured does not fit.
                    Failed::Refused { code, .. } if MISCONFIGURED.contains(&code) => {
                        Nobody::Because(NotAsked::NoController)
                    }
                    _ => Nobody::Dead,
                });
            }
        };
        // A bind without a name would be one of nobody, whatever the password.
        if entry.dn.is_empty() || !entry.objects.contains(&question.object) {
            return Err(Nobody::Because(NotAsked::OtherEntry));
        }
        let proof = Some(Search::entry(&entry.dn));
        Ok(Whom {
            bind: entry.dn,
            proof,
        })
    }

    /// Whether it is the expected object that was bound. A failed bind leaves a connection with the
    /// identity it had before, on some directories. So whose the password is may be read only right
    /// after a success, before anybody else can bind on the connection; or on one on which users are
    /// never bound.
    async fn proves(&mut self, proof: Option<&Search>, object: ObjectId, deadline: Instant) -> Verdict {
        let Some(search) = proof else {
            return Verdict::Accepted;
        };
        let kind = self.pool.settings.kind;
        let link = self.reader.as_mut().unwrap_or(&mut self.link);
        let verdict = link.proves(search, object, kind, deadline).await;
        if matches!(verdict, Verdict::Unavailable(_)) {
            self.reader = None;
        }
        verdict
    }

    /// Gives back what can be used again.
    fn give_back(self, link_too: bool) {
        if let Some(reader) = self.reader {
            rest(&self.pool.readers, reader);
        }
        if link_too {
            rest(&self.pool.idle, self.link);
        }
    }
}

/// A reply of somebody who was not shown the password, or did not answer.
fn unanswered(verdict: Verdict, sent: Instant) -> Reply {
    Reply {
        verdict,
        ldap_result: 0,
        sub_code: 0,
        sent,
        bind: monotonic().saturating_duration_since(sent),
    }
}

#[async_trait]
impl Connection for Leased {
    async fn ask(mut self: Box<Self>, question: Question, deadline: Instant) -> Result<Reply, NotSent> {
        let whom = match self.whom(&question, deadline).await {
            Ok(whom) => whom,
            Err(Nobody::Dead) => return Err(NotSent(question)),
            Err(Nobody::Because(why)) => {
                self.give_back(true);
                return Ok(unanswered(Verdict::NotAsked(why), monotonic()));
            }
        };
        let kind = self.pool.settings.kind;
        let sent = monotonic();
        let password = question.password.plaintext();
        let answer = match self.link.bind(&whom.bind, password, kind, deadline).await {
            Ok(answer) => answer,
            Err(failed) => {
                self.give_back(false);
                let why = match failed {
                    BindFailed::NotSent => return Err(NotSent(question)),
                    BindFailed::TimedOut => Unavailable::TimedOut,
                    BindFailed::Lost => Unavailable::ConnectionLost,
                };
                return Ok(unanswered(Verdict::Unavailable(why), sent));
            }
        };
        let bind = monotonic().saturating_duration_since(sent);
        let judged = answer.judged(kind);
        let object = question.object;
        // Zeroes the password: the directory has answered.
        drop(question);
        let verdict = match judged.verdict {
            Verdict::Accepted => self.proves(whom.proof.as_ref(), object, deadline).await,
            other => other,
        };
        self.give_back(!matches!(verdict, Verdict::Unavailable(_)));
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
