//! Open-loop load: arrivals at a rate, at random times, from a mix of users and passwords.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::random::{Random, below, fraction};

use super::client::{Arrival, Typed};

/// Sign-ins per second over a span: from one value to another, in a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At its beginning.
    pub from: f64,
    /// At its end.
    pub to: f64,
}

impl Rate {
    /// The same all the time.
    pub fn constant(per_second: f64) -> Self {
        Self {
            from: per_second,
            to: per_second,
        }
    }
}

/// A part of the mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// How much of the whole it is, against the other shares' weights.
    pub weight: f64,
    /// Usernames of which each sign-in takes one, all equally likely.
    pub usernames: Vec<Arc<str>>,
    /// What is typed as the password.
    pub typed: Typed,
}

/// Load on a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The tenant's short name.
    pub tenant: Arc<str>,
    /// When it begins, from the world's start.
    pub from: Duration,
    /// How long it goes on.
    pub lasts: Duration,
    /// How many sign-ins a second.
    pub rate: Rate,
    /// Who signs in.
    pub mix: Vec<Share>,
    /// How many clients share it, from the first.
    pub clients: usize,
}

impl Load {
    /// The arrivals, sorted by time. They are independent of each other (a Poisson process), as many
    /// people's sign-ins are.
    pub fn arrivals(&self, random: &dyn Random) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let total: f64 = self.mix.iter().map(|share| share.weight.max(0.0)).sum();
        let highest = self.rate.from.max(self.rate.to);
        // Also false for what is no number.
        let usable = total > 0.0 && highest > 0.0 && highest.is_finite();
        if !usable {
            return arrivals;
        }
        let lasts = self.lasts.as_secs_f64();
        let mut at = 0.0;
        loop {
            // Drawn at the highest rate, and kept as often as the rate then is of that.
            at -= (1.0 - fraction(random)).ln() / highest;
            if at >= lasts {
                return arrivals;
            }
            let now = self.rate.from + (self.rate.to - self.rate.from) * at / lasts;
            let (kept, drawn) = (fraction(random), fraction(random) * total);
            let client = usize::try_from(below(random, self.clients as u64)).unwrap_or(0);
            let Some(share) = self.drawn(drawn).filter(|_| kept * highest < now) else {
                continue;
            };
            let place = below(random, share.usernames.len() as u64);
            let username = usize::try_from(place).ok().and_then(|at| share.usernames.get(at));
            let Some(username) = username else {
                continue;
            };
            arrivals.push(Arrival {
                at: self.from + Duration::from_secs_f64(at),
                client,
                tenant: self.tenant.clone(),
                username: username.clone(),
                typed: share.typed.clone(),
            });
        }
    }

    /// The share in which this point of the sum of weights lies.
    fn drawn(&self, mut point: f64) -> Option<&Share> {
        for share in &self.mix {
            point -= share.weight.max(0.0);
            if point < 0.0 {
                return Some(share);
            }
        }
        self.mix.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::SeededRandom;

    fn load(rate: Rate) -> Load {
        let share = |weight, name: &str, typed| Share {
            weight,
            usernames: vec![name.into()],
            typed,
        };
        Load {
            tenant: "corp".into(),
            from: Duration::from_secs(5),
            lasts: Duration::from_secs(100),
            rate,
            mix: vec![
                share(3.0, "ada", Typed::Right),
                share(1.0, "bert", Typed::Wrong),
                share(0.0, "nobody", Typed::Wrong),
            ],
            clients: 2,
        }
    }

    #[test]
    fn a_load_has_its_rate_its_mix_and_its_span() {
        let arrivals = load(Rate::constant(50.0)).arrivals(&SeededRandom::new(1));
        // 5,000 expected, of which the standard deviation is 71.
        assert!((4_600..5_400).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        let span = Duration::from_secs(5)..Duration::from_secs(105);
        assert!(arrivals.iter().all(|arrival| span.contains(&arrival.at)));
        let wrong = arrivals
            .iter()
            .filter(|arrival| &*arrival.username == "bert")
            .count();
        assert!((1_000..1_500).contains(&wrong), "{wrong}");
        assert!(arrivals.iter().all(|arrival| &*arrival.username != "nobody"));
        assert!(arrivals.iter().any(|arrival| arrival.client == 1));
    }

    #[test]
    fn a_ramp_rises_and_no_rate_is_no_load() {
        let arrivals = load(Rate { from: 0.0, to: 50.0 }).arrivals(&SeededRandom::new(2));
        let half = Duration::from_secs(55);
        let early = arrivals.iter().filter(|arrival| arrival.at < half).count();
        assert!(
            early * 2 < arrivals.len() - early,
            "{early} of {}",
            arrivals.len()
        );
        assert!(
            load(Rate::constant(0.0))
                .arrivals(&SeededRandom::new(3))
                .is_empty()
        );
        assert!(
            load(Rate::constant(f64::NAN))
                .arrivals(&SeededRandom::new(3))
                .is_empty()
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_load() {
        let draw = |seed| load(Rate::constant(5.0)).arrivals(&SeededRandom::new(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
