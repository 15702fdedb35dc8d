//! Keeps a forest's list of controllers as the domain name system has it: asks, waits for the answer's end, asks
//! again; sooner when nobody answers, or when no controller on the list does.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_kit::clock::{monotonic, sleep_until};
use postern_kit::dns::{Dns, LookupError, Service, Services};
use postern_kit::random::Random;
use postern_kit::telemetry::chain;
use tokio_util::sync::CancellationToken;

use super::core::found::{self, Finder, Found};
use super::forest::{Forest, Spot};
use crate::config::{Discover, HostPort};
use crate::directory::Directory;

/// Least time between two questions, however badly others are wanted: each may cost all name servers a time-out.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(10);

/// Makes the adapter of a controller.
pub(super) type Make = Box<dyn Fn(HostPort, Vec<IpAddr>) -> Box<dyn Directory> + Send + Sync>;

/// What finds the controllers of one forest.
pub(super) struct Discovery {
    pub(super) forest: Arc<Forest>,
    /// Where they listen, unless as the records say.
    port: Option<u16>,
    question: Discover,
    dns: Arc<dyn Dns>,
    random: Arc<dyn Random>,
    finder: Mutex<Finder>,
    make: Make,
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery")
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

impl Discovery {
    pub(super) fn new(
        forest: Arc<Forest>,
        question: Discover,
        port: Option<u16>,
        dns: Arc<dyn Dns>,
        random: Arc<dyn Random>,
        make: Make,
    ) -> Self {
        let mut allowed = question.hosts_under.clone();
        allowed.push(question.domain.clone());
        Self {
            forest,
            port,
            question,
            dns,
            random,
            finder: Mutex::new(Finder::new(allowed)),
            make,
        }
    }

    /// Keeps the list until `stop`; `wait` until the first question.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub(super) async fn keep(&self, mut wait: Duration, stop: &CancellationToken) {
        loop {
            let asked = monotonic();
            let wanted = async {
                self.forest.exhausted().await;
                sleep_until(asked + ASK_AGAIN_MIN).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(asked + wait) => {}
                () = wanted => {}
            }
            wait = tokio::select! {
                () = stop.cancelled() => return,
                wait = self.ask() => wait,
            };
        }
    }

    /// Asks once. For how long what was learned holds.
    ///
    /// # Cancellation
    /// Safe to drop; the list stays as it was.
    pub(super) async fn ask(&self) -> Duration {
        let forest = self.forest.name();
        let (site, domain) = match self.look().await {
            Ok(answers) => answers,
            Err(error) => {
                let again = self.finder().failed(self.random.as_ref());
                let (again_ms, error) = (millis(again), chain(&error));
                tracing::warn!(forest, error, again_ms, "domain controllers cannot be looked up");
                return again;
            }
        };
        if let Some(site_name) = &self.question.site
            && site.found.is_empty()
        {
            tracing::warn!(forest, site = %site_name, "no domain controller in this site is known");
        }
        let Found {
            controllers,
            refused,
            again,
        } = self.finder().learned(site, domain, self.random.as_ref());
        if !refused.is_empty() {
            let hosts = refused.join(", ");
            tracing::warn!(
                forest,
                hosts,
                "hosts outside of the domain and of hosts_under are no domain controllers"
            );
        }
        if controllers.is_empty() {
            let (domain, again_ms) = (self.question.domain.as_str(), millis(again));
            tracing::warn!(
                forest,
                domain,
                again_ms,
                "no domain controller is known; an earlier list stays"
            );
            return again;
        }
        self.take(&controllers).await;
        again
    }

    /// What the name servers say, for the site and for the domain. Where nobody is known yet, the domain's are better
    /// than none, though the site's cannot be told; otherwise an earlier list is.
    async fn look(&self) -> Result<(Services, Services), LookupError> {
        let Discover {
            domain,
            site,
            servers,
            ..
        } = &self.question;
        let near = async {
            match site {
                Some(site) => self.dns.services(&found::near(domain, site), servers).await,
                None => Ok(Services::default()),
            }
        };
        let everywhere = found::everywhere(domain);
        let (near, all) = tokio::join!(near, self.dns.services(&everywhere, servers));
        match (near, all?) {
            (Ok(near), all) => Ok((near, all)),
            (Err(error), all) if self.forest.is_empty() => {
                let (forest, error) = (self.forest.name(), chain(&error));
                tracing::warn!(forest, error, "site's domain controllers cannot be looked up");
                Ok((Services::default(), all))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn take(&self, controllers: &[Service]) {
        let located = futures::future::join_all(controllers.iter().map(|host| self.locate(host))).await;
        let spots: Vec<Spot> = located.iter().map(|(spot, _)| spot.clone()).collect();
        let changed = self.forest.replace(&spots, |at| {
            let (spot, host) = &located[at];
            (self.make)(host.clone(), spot.addresses.clone())
        });
        if changed.new.is_empty() && changed.gone.is_empty() {
            return;
        }
        let preferred = spots.first().map(|spot| spot.name.as_str());
        let (new, gone) = (changed.new.join(", "), changed.gone.join(", "));
        tracing::info!(
            forest = self.forest.name(),
            known = spots.len(),
            preferred,
            new,
            gone,
            "domain controllers found"
        );
    }

    /// A controller with its addresses, where other name servers than the system's know them.
    async fn locate(&self, host: &Service) -> (Spot, HostPort) {
        let at = HostPort {
            host: host.host.clone(),
            port: self.port.unwrap_or(host.port),
        };
        let name = at.to_string();
        let mut addresses = Vec::new();
        if !self.question.servers.is_empty() {
            match self.dns.addresses(&at.host, &self.question.servers).await {
                Ok(found) => {
                    addresses = found;
                    // Name servers answer in turns: the order is no news.
                    addresses.sort();
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(
                        controller = name,
                        error,
                        "address of a domain controller cannot be looked up"
                    );
                    addresses = self.forest.addresses(&name);
                }
            }
        }
        (Spot { name, addresses }, at)
    }

    fn finder(&self) -> MutexGuard<'_, Finder> {
        self.finder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
