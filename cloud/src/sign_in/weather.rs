//! What people of a domain lately got: so that a name that nobody has gets the same.
//!
//! Nobody is asked about such a name. Its sign-in takes after one of the last sign-ins that were
//! asked about, drawn at random: it lasts as long, costs its budget as much, and is without a verdict as
//! often, so that neither a slow nor a hanging directory shows who exists. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use postern_proto::ids::TenantId;
use postern_proto::names::DomainName;
use postern_proto::verdict::DirectoryCount;

use super::core::Ending;

/// Sign-ins that a stranger takes after: enough to show how many fail, few enough to turn quickly.
const SAMPLES: usize = 32;

/// What is older says nothing about now.
const FRESH: Duration = Duration::from_secs(60);

/// How a sign-in went that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// From receipt until its end was known.
    pub(super) took: Duration,
    /// How it ended, and what it cost, if the directory did not judge the password.
    pub(super) unjudged: Option<(Ending, DirectoryCount)>,
}

/// The last sign-ins of each domain.
#[derive(Debug, Default)]
pub(super) struct Weather(BTreeMap<(TenantId, DomainName), VecDeque<(Instant, Sample)>>);

impl Weather {
    /// A sign-in of this domain was asked about.
    pub(super) fn seen(&mut self, tenant: TenantId, domain: &DomainName, sample: Sample, at: Instant) {
        let samples = self.0.entry((tenant, domain.clone())).or_default();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back((at, sample));
    }

    /// The sign-in that a stranger's takes after; `None` if there was none lately. `chance` draws
    /// below its bound.
    pub(super) fn stranger(
        &self,
        tenant: TenantId,
        domain: &DomainName,
        now: Instant,
        chance: impl FnOnce(u64) -> u64,
    ) -> Option<Sample> {
        let samples = self.0.get(&(tenant, domain.clone()))?;
        let fresh: Vec<_> = samples
            .iter()
            .filter(|(at, _)| now.saturating_duration_since(*at) <= FRESH)
            .collect();
        let drawn = usize::try_from(chance(fresh.len() as u64)).ok()?;
        fresh.get(drawn).map(|(_, sample)| *sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign_in::Outcome;

    fn judged() -> Sample {
        Sample {
            took: Duration::from_millis(20),
            unjudged: None,
        }
    }

    fn hangs() -> Sample {
        Sample {
            took: Duration::from_secs(4),
            unjudged: Some((
                Ending::plain(Outcome::Unavailable),
                DirectoryCount::PerhapsOneMore,
            )),
        }
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

        fn seen(&mut self, domain: &str, times: usize, sample: Sample) {
            for _ in 0..times {
                let domain = domain.parse().unwrap();
                self.weather
                    .seen(TenantId::from_bytes([1; 16]), &domain, sample, self.now);
            }
        }

        /// How many of all possible draws hang, and how many are judged.
        fn draws(&self, domain: &str) -> (usize, usize) {
            let (tenant, domain) = (TenantId::from_bytes([1; 16]), domain.parse().unwrap());
            let draw = |draw: u64| {
                self.weather.stranger(tenant, &domain, self.now, |bound| {
                    draw.checked_rem(bound).unwrap_or(0)
                })
            };
            let all: Vec<_> = (0..SAMPLES as u64).filter_map(draw).collect();
            let count = |sample| all.iter().filter(|found| **found == sample).count();
            (count(hangs()), count(judged()))
        }
    }

    #[test]
    fn a_stranger_fares_as_the_last_users_of_the_domain_did() {
        let mut world = World::new();
        assert_eq!(world.draws("a.example"), (0, 0));
        world.seen("a.example", SAMPLES, judged());
        assert_eq!(world.draws("a.example"), (0, SAMPLES));
        world.seen("a.example", SAMPLES / 4, hangs());
        assert_eq!(world.draws("a.example"), (SAMPLES / 4, SAMPLES * 3 / 4));
        world.seen("a.example", SAMPLES, hangs());
        assert_eq!(world.draws("a.example"), (SAMPLES, 0));
        assert_eq!(world.draws("b.example"), (0, 0));
    }

    #[test]
    fn what_was_a_minute_ago_says_nothing() {
        let mut world = World::new();
        world.seen("a.example", SAMPLES, hangs());
        world.now += FRESH + Duration::from_millis(1);
        assert_eq!(world.draws("a.example"), (0, 0));
    }
}
