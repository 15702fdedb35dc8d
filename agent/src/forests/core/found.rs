//! From what the domain name system says to a list of controllers, the preferred one first (RFC 2782), and when
//! it is asked again.
//!
//! The order is drawn once for a list and kept while the list stays the same: over many agents the weights come out
//! as the domain's administrators want them, and no agent changes its controller without a reason. A list stays
//! when nobody answers, or when the answer is that there is no controller.

use std::collections::BTreeSet;
use std::time::Duration;

use postern_kit::backoff::Backoff;
use postern_kit::dns::{Service, Services};
use postern_kit::random::{Random, below};
use postern_proto::names::DomainName;

use crate::config::SiteName;

/// Shortest life of a list: a record that may not be kept at all would mean a question a second.
const LIFE_MIN: Duration = Duration::from_secs(30);
/// Longest life of a list, so that a new controller is in use within the hour whatever the records say. Active
/// Directory's own say ten minutes.
const LIFE_MAX: Duration = Duration::from_secs(3600);
/// After a failure it is asked again soon, since it may be the start of the whole network,
const AGAIN_FIRST: Duration = Duration::from_secs(2);
/// and then every minute at least, since the list grows old.
const AGAIN_LAST: Duration = Duration::from_secs(60);
/// Most controllers of a forest. A request tries a handful at most; each has a pool and a place in the log.
const CONTROLLERS_MAX: usize = 64;

/// The question for the controllers of a domain.
pub(in crate::forests) fn everywhere(domain: &DomainName) -> String {
    format!("_ldap._tcp.dc._msdcs.{}", domain.as_str())
}

/// The question for those of a site.
pub(in crate::forests) fn near(domain: &DomainName, site: &SiteName) -> String {
    format!("_ldap._tcp.{site}._sites.dc._msdcs.{}", domain.as_str())
}

/// What came of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::forests) struct Found {
    /// The controllers, the preferred one first. Empty: what was known before stays.
    pub(in crate::forests) controllers: Vec<Service>,
    /// Hosts that were named and lie in no allowed domain.
    pub(in crate::forests) refused: Vec<String>,
    /// When it is asked again, from now.
    pub(in crate::forests) again: Duration,
}

/// A controller as an answer named it: those of the site come before the others.
type Named = (bool, Service);

/// Makes lists of answers.
#[derive(Debug)]
pub(in crate::forests) struct Finder {
    /// Domains in which controllers may lie. Answers are not authenticated, and with a widely trusted root any
    /// host of anybody has a certificate.
    allowed: Vec<DomainName>,
    named: BTreeSet<Named>,
    order: Vec<Service>,
    failures: Backoff,
}

impl Finder {
    pub(in crate::forests) fn new(allowed: Vec<DomainName>) -> Self {
        Self {
            allowed,
            named: BTreeSet::new(),
            order: Vec::new(),
            failures: Backoff::new(AGAIN_FIRST, AGAIN_LAST),
        }
    }

    /// Name servers did not answer. When they are asked again, from now.
    pub(in crate::forests) fn failed(&mut self, random: &dyn Random) -> Duration {
        // Not at once, however the jitter falls.
        self.failures.next_wait(random).max(AGAIN_FIRST / 2)
    }

    /// They answered: for the site, if one is asked for, and for the domain.
    pub(in crate::forests) fn learned(
        &mut self,
        site: Services,
        domain: Services,
        random: &dyn Random,
    ) -> Found {
        let lives = [&site, &domain].map(|answer| (!answer.found.is_empty()).then_some(answer.ttl));
        let life = lives.into_iter().flatten().min();
        let mut named: BTreeSet<Named> = site.found.into_iter().map(|host| (false, host)).collect();
        for host in domain.found {
            let place = (&host.host, host.port);
            if !named.iter().any(|(_, near)| (&near.host, near.port) == place) {
                named.insert((true, host));
            }
        }
        let mut refused = BTreeSet::new();
        named.retain(|(_, host)| {
            let fine = self.is_allowed(&host.host);
            if !fine {
                refused.insert(host.host.clone());
            }
            fine
        });
        let refused = refused.into_iter().collect();
        let (Some(life), false) = (life, named.is_empty()) else {
            return Found {
                controllers: Vec::new(),
                refused,
                again: self.failed(random),
            };
        };
        self.failures.reset();
        if named != self.named {
            self.order = order(&named, random);
            self.named = named;
        }
        Found {
            controllers: self.order.clone(),
            refused,
            again: life.clamp(LIFE_MIN, LIFE_MAX),
        }
    }

    fn is_allowed(&self, host: &str) -> bool {
        self.allowed.iter().any(|domain| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// By site, priority, and then by chance and weight; each host and port once.
fn order(named: &BTreeSet<Named>, random: &dyn Random) -> Vec<Service> {
    let mut order: Vec<Service> = Vec::with_capacity(named.len());
    // Ordered by site, host and so on: groups are collected first.
    let groups: BTreeSet<(bool, u16)> = named.iter().map(|(far, host)| (*far, host.priority)).collect();
    for group in groups {
        let same = named
            .iter()
            .filter(|(far, host)| (*far, host.priority) == group)
            .map(|(_, host)| host.clone());
        for host in draw(same.collect(), random) {
            let listed = |other: &Service| (&other.host, other.port) == (&host.host, host.port);
            if !order.iter().any(listed) {
                order.push(host);
            }
        }
    }
    order.truncate(CONTROLLERS_MAX);
    order
}

/// RFC 2782: each place is drawn among those left, by weight; those of weight 0 stand first in the row of running
/// sums, so that they have a small chance beside others.
fn draw(mut left: Vec<Service>, random: &dyn Random) -> Vec<Service> {
    left.sort_by_key(|host| host.weight != 0);
    let mut drawn = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let sum: u64 = left.iter().map(|host| u64::from(host.weight)).sum();
        // Among equals of weight 0 the running sums tell nothing: any one.
        let at = if sum == 0 {
            usize::try_from(below(random, left.len() as u64)).unwrap_or(0)
        } else {
            let chosen = below(random, sum + 1);
            let mut running = 0;
            left.iter()
                .position(|host| {
                    running += u64::from(host.weight);
                    running >= chosen
                })
                .unwrap_or(0)
        };
        drawn.push(left.remove(at));
    }
    drawn
}

#[cfg(test)]
mod tests;
