//! Which directory answers for a domain, and which of its controllers is asked.
//!
//! A controller that cannot be connected is avoided for a while and the next one is asked
//! instead; once a bind was sent its outcome stands, and no second controller sees the password.

mod core;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::random::Random;
use postern_kit::tls::{self, ServerTrust, TlsError, Versions};
use postern_proto::names::DomainName;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict, VerdictReport};
use tokio_util::sync::CancellationToken;

use self::core::Health;
use crate::config::{ForestConfig, Timeouts, Trust};
use crate::directory::{Directory, LdapDirectory, LdapSettings, NotReady, NotSent, Question};

/// How often connections that nobody uses are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Connections that are tried on one controller when they turn out dead before the bind is
/// written: the one that was idle, and a new one.
const CONNECTION_TRIES: usize = 2;

/// Why a forest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    /// The file of trusted certificates cannot be read.
    #[error("forest {forest}: cannot read {path}")]
    TrustFile {
        /// Which forest.
        forest: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trusted certificates cannot be used.
    #[error("forest {forest}: trusted certificates cannot be used")]
    Trust {
        /// Which forest.
        forest: String,
        /// Why.
        source: TlsError,
    },
}

/// All forests, by the domains that they answer for.
#[derive(Debug)]
pub struct Forests {
    by_domain: BTreeMap<DomainName, Arc<Forest>>,
    all: Vec<Arc<Forest>>,
}

impl Forests {
    /// From the configuration, with LDAP.
    ///
    /// # Errors
    /// [`ForestError`] for trusted certificates that cannot be read or used.
    pub fn open(configs: &[ForestConfig], timeouts: Timeouts, seams: &Seams) -> Result<Self, ForestError> {
        let mut all = Vec::new();
        for config in configs {
            let tls = client_tls(config, seams)?;
            let controllers = config.controllers.iter().map(|controller| {
                let settings = LdapSettings {
                    controller: controller.clone(),
                    protection: config.protection,
                    bind_name: config.bind_name.clone(),
                    kind: config.kind,
                    tls: tls.clone(),
                    probe: timeouts.probe,
                };
                let directory: Box<dyn Directory> = Box::new(LdapDirectory::new(settings, seams.clone()));
                (controller.to_string(), directory)
            });
            all.push((
                config.domains.clone(),
                Forest::new(
                    &config.name,
                    controllers.collect(),
                    timeouts.connect,
                    seams.random.clone(),
                ),
            ));
        }
        Ok(Self::new(all))
    }

    /// From forests and the domains that each answers for.
    pub fn new(forests: Vec<(Vec<DomainName>, Forest)>) -> Self {
        let (mut by_domain, mut all) = (BTreeMap::new(), Vec::new());
        for (domains, forest) in forests {
            let forest = Arc::new(forest);
            by_domain.extend(domains.into_iter().map(|domain| (domain, forest.clone())));
            all.push(forest);
        }
        Self { by_domain, all }
    }

    /// The forest that answers for a domain.
    pub fn of(&self, domain: &DomainName) -> Option<&Arc<Forest>> {
        self.by_domain.get(domain)
    }

    /// Every forest, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Forest>] {
        &self.all
    }

    /// Gives up connections that nobody uses, until `stop`.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn sweep(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            let controllers = self.all.iter().flat_map(|forest| &forest.controllers);
            controllers.for_each(|(_, directory)| directory.sweep(monotonic()));
        }
    }
}

fn client_tls(config: &ForestConfig, seams: &Seams) -> Result<Arc<tls::ClientTls>, ForestError> {
    let unusable = |source| ForestError::Trust {
        forest: config.name.clone(),
        source,
    };
    let trust = match &config.trust {
        Trust::Certificates(roots) => ServerTrust::Roots(roots.clone()),
        Trust::System => ServerTrust::System,
        Trust::File(path) => {
            let pem = seams.disk.read(path).map_err(|source| ForestError::TrustFile {
                forest: config.name.clone(),
                path: path.clone(),
                source,
            })?;
            ServerTrust::Roots(tls::certificates_from_pem(&pem).map_err(unusable)?)
        }
    };
    // Directories of the last decade may lack 1.3.
    tls::client(trust, None, Versions::Tls12And13, &[], seams.clock.clone()).map_err(unusable)
}

/// One directory with its controllers.
#[derive(Debug)]
pub struct Forest {
    name: String,
    controllers: Vec<(String, Box<dyn Directory>)>,
    health: Mutex<Health>,
    connect_wait_max: Duration,
    random: Arc<dyn Random>,
}

impl Forest {
    /// A forest of these controllers, each with its name for reports, the preferred one first.
    pub fn new(
        name: &str,
        controllers: Vec<(String, Box<dyn Directory>)>,
        connect_wait_max: Duration,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            health: Mutex::new(Health::new(controllers.len())),
            controllers,
            connect_wait_max,
            random,
        }
    }

    /// Its name in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether each controller can be connected now, in order.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn reach(&self) -> Vec<(&str, Result<(), NotReady>)> {
        let mut all = Vec::new();
        for (name, directory) in &self.controllers {
            let until = monotonic() + self.connect_wait_max;
            all.push((name.as_str(), directory.connection(until).await.map(|_| ())));
        }
        all
    }

    /// Asks one controller. The report comes at `deadline` at the latest; its wait counts from `received`.
    ///
    /// # Cancellation
    /// Dropping it closes the connection in use; the directory may have been asked.
    pub async fn check(&self, mut question: Question, received: Instant, deadline: Instant) -> VerdictReport {
        let mut busy = false;
        let order = self.health().choose(monotonic());
        for index in order {
            let Some((controller, directory)) = self.controllers.get(index) else {
                continue;
            };
            for _ in 0..CONNECTION_TRIES {
                let now = monotonic();
                if now >= deadline {
                    return VerdictReport::bare(Verdict::NotAsked(NotAsked::Late));
                }
                let connection = match directory
                    .connection(deadline.min(now + self.connect_wait_max))
                    .await
                {
                    Ok(connection) => connection,
                    Err(NotReady::Busy) => {
                        busy = true;
                        break;
                    }
                    // It was given less than its time: that says nothing about it.
                    Err(NotReady::Unreachable(_)) if monotonic() >= deadline => {
                        return VerdictReport::bare(Verdict::NotAsked(NotAsked::Late));
                    }
                    Err(error @ NotReady::Unreachable(_)) => {
                        self.unreachable(index, controller, &error);
                        break;
                    }
                };
                if monotonic() >= deadline {
                    return VerdictReport::bare(Verdict::NotAsked(NotAsked::Late));
                }
                match connection.ask(question, deadline).await {
                    Err(NotSent(unasked)) => question = unasked,
                    Ok(reply) => {
                        self.learn(index, controller, reply.verdict);
                        return VerdictReport {
                            verdict: reply.verdict,
                            ldap_result: reply.ldap_result,
                            sub_code: reply.sub_code,
                            controller: Some(controller.clone()),
                            wait: reply.sent.saturating_duration_since(received),
                            bind: reply.bind,
                        };
                    }
                }
            }
        }
        let why = if monotonic() >= deadline {
            NotAsked::Late
        } else if busy {
            NotAsked::Busy
        } else {
            NotAsked::NoController
        };
        VerdictReport::bare(Verdict::NotAsked(why))
    }

    fn unreachable(&self, index: usize, controller: &str, error: &NotReady) {
        if let Some(avoided_ms) = self.avoid(index) {
            tracing::warn!(
                forest = self.name,
                controller,
                avoided_ms,
                error = postern_kit::telemetry::chain(error),
                "domain controller cannot be reached"
            );
        }
    }

    fn learn(&self, index: usize, controller: &str, verdict: Verdict) {
        match verdict {
            Verdict::Unavailable(why) => match why {
                Unavailable::TimedOut | Unavailable::ConnectionLost | Unavailable::DirectoryDeclined => {
                    if let Some(avoided_ms) = self.avoid(index) {
                        tracing::warn!(
                            forest = self.name,
                            controller,
                            avoided_ms,
                            reason = verdict.reason_name(),
                            "domain controller does not judge"
                        );
                    }
                }
                // An answer, if an odd one.
                Unavailable::DirectoryFault | Unavailable::ObjectUnknown => {}
            },
            Verdict::NotAsked(_) => {}
            Verdict::Accepted
            | Verdict::Wrong
            | Verdict::RightBut(_)
            | Verdict::Locked
            | Verdict::Restricted
            | Verdict::OtherObject => self.health().succeeded(index),
        }
    }

    /// For how many milliseconds the controller is avoided from now, if that is news.
    fn avoid(&self, index: usize) -> Option<u64> {
        let wait = self.health().failed(index, monotonic(), self.random.as_ref())?;
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
