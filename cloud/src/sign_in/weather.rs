//! What people of a domain lately got: so that a name that nobody has gets the same.
//!
//! Nobody is asked about such a name, and while a directory hangs its known users wait and are told
//! "unavailable". A stranger's sign-in therefore takes after one of the last sign-ins that were asked
//! about, drawn at random: as often without a verdict, and then as late. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use postern_proto::ids::TenantId;
use postern_proto::names::DomainName;

use super::core::Ending;

/// Sign-ins that a stranger takes after: enough to show how many fail, few enough to turn quickly.
const SAMPLES: usize = 32;

/// What is older says nothing about now.
const FRESH: Duration = Duration::from_secs(60);

/// A sign-in that was asked about.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// How it ended, and how long after its receipt; `None` if the directory judged the password.
    unjudged: Option<(Ending, Duration)>,
}

/// The last sign-ins of each domain.
#[derive(Debug, Default)]
pub(super) struct Weather(BTreeMap<(TenantId, DomainName), VecDeque<Sample>>);

impl Weather {
    /// A sign-in was asked about. `unjudged`: how it ended if nobody could say, and how long after its receipt.
    pub(super) fn seen(
        &mut self,
        tenant: TenantId,
        domain: &DomainName,
        unjudged: Option<(Ending, Duration)>,
        at: Instant,
    ) {
        let samples = self.0.entry((tenant, domain.clone())).or_default();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample { at, unjudged });
    }

    /// How a stranger's sign-in ends, and how long after its receipt; `None` if it is refused as a wrong
    /// password is. `chance` draws below its bound.
    pub(super) fn stranger(
        &self,
        tenant: TenantId,
        domain: &DomainName,
        now: Instant,
        chance: impl FnOnce(u64) -> u64,
    ) -> Option<(Ending, Duration)> {
        let samples = self.0.get(&(tenant, domain.clone()))?;
        let fresh: Vec<_> = samples
            .iter()
            .filter(|sample| now.saturating_duration_since(sample.at) <= FRESH)
            .collect();
        let drawn = usize::try_from(chance(fresh.len() as u64)).ok()?;
        fresh.get(drawn)?.unjudged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign_in::Outcome;

    fn hangs() -> Option<(Ending, Duration)> {
        Some((Ending::plain(Outcome::Unavailable), Duration::from_secs(4)))
    }

    struct World {
        weather: Weather,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let now = postern_kit::clock::monotonic();
            let weather = Weather::default();
            Self { weather, now }
        }

        fn seen(&mut self, domain: &str, times: usize, unjudged: Option<(Ending, Duration)>) {
            for _ in 0..times {
                let domain = domain.parse().unwrap();
                self.weather
                    .seen(TenantId::from_bytes([1; 16]), &domain, unjudged, self.now);
            }
        }

        /// How many of all possible draws are unavailable.
        fn unavailable(&self, domain: &str) -> usize {
            let (tenant, domain) = (TenantId::from_bytes([1; 16]), domain.parse().unwrap());
            let draws = (0..SAMPLES as u64).map(|draw| {
                self.weather.stranger(tenant, &domain, self.now, |bound| {
                    draw.checked_rem(bound).unwrap_or(0)
                })
            });
            draws
                .flatten()
                .inspect(|how| assert_eq!(Some(*how), hangs()))
                .count()
        }
    }

    #[test]
    fn a_stranger_fares_as_the_last_users_of_the_domain_did() {
        let mut world = World::new();
        assert_eq!(world.unavailable("a.example"), 0);
        world.seen("a.example", SAMPLES, None);
        assert_eq!(world.unavailable("a.example"), 0);
        world.seen("a.example", SAMPLES / 4, hangs());
        assert_eq!(world.unavailable("a.example"), SAMPLES / 4);
        world.seen("a.example", SAMPLES, hangs());
        assert_eq!(world.unavailable("a.example"), SAMPLES);
        assert_eq!(world.unavailable("b.example"), 0);
        world.seen("a.example", SAMPLES, None);
        assert_eq!(world.unavailable("a.example"), 0);
    }

    #[test]
    fn what_was_a_minute_ago_says_nothing() {
        let mut world = World::new();
        world.seen("a.example", SAMPLES, hangs());
        world.now += FRESH + Duration::from_millis(1);
        assert_eq!(world.unavailable("a.example"), 0);
    }
}
