//! Which directory answers for a user, and which of its controllers is asked.
//!
//! A controller that cannot be connected is avoided for a while and the next one is asked
//! instead; once a bind was sent its outcome stands, and no second controller sees the password.

mod core;
mod discovery;
mod forest;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::net::LdapProtection;
use postern_kit::telemetry::chain;
use postern_kit::tls::{self, ServerTrust, TlsError, Versions};
use postern_proto::names::{DomainName, OnPremisesName};
use tokio_util::sync::CancellationToken;

use self::core::routes::{self, Difference, NoRoute, Routes};
use self::discovery::Discovery;
use crate::config::{Controllers, ForestConfig, Timeouts, Trust};
use crate::directory::{LdapDirectory, LdapSettings, Shown};

pub use self::forest::{Account, Counts, Forest};

/// How often connections that nobody uses are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Sweeps from one account of the controllers in the log to the next: five minutes.
const ACCOUNT_SWEEPS: u64 = 10;

/// How often directories are asked for their suffixes, which change a few times in the life of a forest.
const COMPARE_EVERY: Duration = Duration::from_secs(3600);

/// Where controllers listen for LDAPS. Their records tell the port of plain LDAP only.
const LDAPS_PORT: u16 = 636;

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

/// Why no forest can be asked about a user. The user is told nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum Unrouted {
    /// No forest answers for the domain, nor for the name's suffix.
    #[error("no forest here answers for domain {domain}{}", .suffix.as_ref().map(|suffix| format!(", nor for suffix {}", suffix.as_str())).unwrap_or_default())]
    Unknown {
        /// The user's domain in the cloud.
        domain: DomainName,
        /// The suffix of the user's name in the directory.
        suffix: Option<DomainName>,
    },
    /// Several forests claim them.
    #[error("{claimed} is claimed by several forests: {}", forests.join(", "))]
    Ambiguous {
        /// What they claim.
        claimed: DomainName,
        /// Their names.
        forests: Vec<String>,
    },
}

/// All forests, by what they answer for.
#[derive(Debug)]
pub struct Forests {
    routes: Routes,
    all: Vec<Arc<Forest>>,
    discoveries: Vec<Discovery>,
}

/// A forest and what it answers for.
#[derive(Debug)]
pub struct Claim {
    /// Domains of users; suffixes of their names as well.
    pub domains: Vec<DomainName>,
    /// More suffixes of names.
    pub suffixes: Vec<DomainName>,
    /// Who answers.
    pub forest: Forest,
}

impl Forests {
    /// From the configuration, with LDAP. Controllers that are to be discovered are not yet known, see [`Forests::find`].
    ///
    /// # Errors
    /// [`ForestError`] for trusted certificates that cannot be read or used.
    pub fn open(configs: &[ForestConfig], timeouts: Timeouts, seams: &Seams) -> Result<Self, ForestError> {
        let mut claims = Vec::new();
        let mut discoveries = Vec::new();
        for config in configs {
            let make = maker(config, timeouts, seams)?;
            let (listed, discover) = match &config.controllers {
                Controllers::Listed(listed) => (listed.as_slice(), None),
                Controllers::Discovered(discover) => (Default::default(), Some(discover.clone())),
            };
            let listed = listed.iter().map(|controller| {
                let directory = make(controller.clone(), Vec::new());
                (controller.to_string(), directory)
            });
            let random = seams.random.clone();
            let forest = Forest::new(&config.name, listed.collect(), timeouts.connect, random.clone());
            claims.push(Claim {
                domains: config.domains.clone(),
                suffixes: config.suffixes.clone(),
                forest,
            });
            discoveries.push(discover.map(|discover| {
                let port = discover.port.or(match config.protection {
                    LdapProtection::Ldaps => Some(LDAPS_PORT),
                    LdapProtection::StartTls => None,
                });
                let dns = seams.dns.clone();
                move |forest| Discovery::new(forest, discover, port, dns, random, make)
            }));
        }
        let mut forests = Self::new(claims);
        let found = forests.all.iter().cloned().zip(discoveries);
        forests.discoveries = found.filter_map(|(forest, make)| Some(make?(forest))).collect();
        Ok(forests)
    }

    /// From forests and what each answers for.
    pub fn new(claims: Vec<Claim>) -> Self {
        let (mut routes, mut all) = (Routes::default(), Vec::new());
        for (place, claim) in claims.into_iter().enumerate() {
            claim
                .domains
                .iter()
                .for_each(|domain| routes.add_domain(domain, place));
            claim
                .suffixes
                .iter()
                .for_each(|suffix| routes.add_suffix(suffix, place));
            all.push(Arc::new(claim.forest));
        }
        Self {
            routes,
            all,
            discoveries: Vec::new(),
        }
    }

    /// The forest of a user, by domain and name: the name's suffix decides, and where no forest claims it, the domain.
    ///
    /// # Errors
    /// [`Unrouted`] if that is not one forest.
    pub fn of(&self, domain: &DomainName, name: &OnPremisesName) -> Result<&Arc<Forest>, Unrouted> {
        let unknown = || Unrouted::Unknown {
            domain: domain.clone(),
            suffix: routes::suffix(name),
        };
        match self.routes.find(domain, name) {
            Ok(place) => self.all.get(place).ok_or_else(unknown),
            Err(NoRoute::Unknown) => Err(unknown()),
            Err(NoRoute::Ambiguous { claimed, forests }) => {
                let named = forests.into_iter().filter_map(|place| self.all.get(place));
                Err(Unrouted::Ambiguous {
                    claimed,
                    forests: named.map(|forest| forest.name().to_owned()).collect(),
                })
            }
        }
    }

    /// Whether any forest answers for users of a domain.
    pub fn serves(&self, domain: &DomainName) -> bool {
        self.routes.serves(domain)
    }

    /// Every forest, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Forest>] {
        &self.all
    }

    /// Looks up the controllers that are to be discovered, once. What fails is logged, and comes right later.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn find(&self) -> Sought {
        let waits = join_all(self.discoveries.iter().map(Discovery::ask)).await;
        Sought(waits)
    }

    /// Keeps the lists of controllers as they are found, from what was found at first, and compares what the
    /// directories say of themselves with the configuration, until `stop`.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn keep(&self, Sought(waits): Sought, stop: CancellationToken) {
        let kept = self.discoveries.iter().zip(waits);
        let kept = join_all(kept.map(|(discovery, wait)| discovery.keep(wait, &stop)));
        let watched = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.watch_suffixes(&stop) => {}
            }
        };
        tokio::join!(kept, watched);
    }

    /// What an administrator should know of the suffixes that the directories list, a sentence each; each
    /// directory that can be read is read.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn compare_suffixes(&self) -> Vec<String> {
        let listed = join_all(self.all.iter().map(|forest| forest.suffixes())).await;
        let mut told = Vec::new();
        for (place, (forest, listed)) in self.all.iter().zip(listed).enumerate() {
            let name = forest.name();
            let listed = match listed {
                Ok(listed) => listed.unwrap_or_default(),
                Err(error) => {
                    let error = chain(&error);
                    told.push(format!("the suffixes of forest {name} cannot be read: {error}"));
                    continue;
                }
            };
            told.extend(self.routes.compare(place, listed).into_iter().filter_map(|difference| {
                match difference {
                    // Where there is one forest, it is asked about everybody.
                    Difference::Nobodys { .. } if self.all.len() == 1 => None,
                    Difference::Nobodys { suffix } => Some(format!(
                        "forest {name} has suffix {}, by which nobody is routed: if it should be, add it to the forest's suffixes",
                        suffix.as_str()
                    )),
                    Difference::Elsewhere { suffix, forest } => {
                        let other = self.all.get(forest).map_or("", |forest| forest.name());
                        Some(format!(
                            "forest {name} has suffix {}, which leads to forest {other}",
                            suffix.as_str()
                        ))
                    }
                }
            }));
        }
        told
    }

    /// Compares what the directories list with the configuration from time to time, and tells what is new of it.
    async fn watch_suffixes(&self, stop: &CancellationToken) {
        let mut before = Vec::new();
        loop {
            let told = self.compare_suffixes().await;
            for difference in told.iter().filter(|told| !before.contains(*told)) {
                tracing::warn!(difference, "suffixes differ from the configuration");
            }
            before = told;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(COMPARE_EVERY) => {}
            }
        }
    }

    /// Gives up connections that nobody uses, and tells how the controllers were used, until `stop`.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn sweep(&self, stop: CancellationToken) {
        for sweep in 1_u64.. {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            self.all.iter().for_each(|forest| forest.sweep(monotonic()));
            if sweep.is_multiple_of(ACCOUNT_SWEEPS) {
                self.all.iter().for_each(|forest| tell(forest));
            }
        }
    }
}

fn tell(forest: &Forest) {
    for account in forest.take_account() {
        tracing::info!(
            forest = forest.name(),
            controller = account.controller,
            answered = account.counts.answered,
            failed = account.counts.failed,
            busy = account.counts.busy,
            connections_idle = account.connections.idle,
            connections_in_use = account.connections.in_use,
            "domain controller was asked"
        );
    }
}

/// What a first look found: for how long each list holds.
#[derive(Debug)]
pub struct Sought(Vec<Duration>);

/// What makes the adapters of a forest's controllers.
fn maker(config: &ForestConfig, timeouts: Timeouts, seams: &Seams) -> Result<discovery::Make, ForestError> {
    let (config, tls, seams) = (config.clone(), client_tls(config, seams)?, seams.clone());
    let shown = Shown::default();
    Ok(Box::new(move |controller, addresses| {
        let settings = LdapSettings {
            shown: shown.clone(),
            controller,
            addresses,
            protection: config.protection,
            bind_name: config.bind_name.clone(),
            service_account: config.service_account.clone(),
            kind: config.kind,
            tls: tls.clone(),
            probe: timeouts.probe,
        };
        Box::new(LdapDirectory::new(settings, seams.clone()))
    }))
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
