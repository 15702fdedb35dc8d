//! How long to wait before trying again: exponential steps with full jitter, so that a thousand
//! clients that lost the same server do not come back in the same second.

use std::time::Duration;

use backon::BackoffBuilder as _;

use crate::random::{Random, fraction};

/// Endless steps from `first` to `last`, doubling.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    steps: backon::ExponentialBackoff,
}

impl Backoff {
    /// The ceiling of the wait doubles from `first` up to `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            steps: steps(first, last),
        }
    }

    /// The next wait: uniform between zero and the current ceiling.
    pub fn next_wait(&mut self, random: &dyn Random) -> Duration {
        let ceiling = self.steps.next().unwrap_or(self.last);
        ceiling.mul_f64(fraction(random))
    }

    /// Starts again at the first step, after a success.
    pub fn reset(&mut self) {
        self.steps = steps(self.first, self.last);
    }
}

fn steps(first: Duration, last: Duration) -> backon::ExponentialBackoff {
    // The library's own jitter would draw from a generator that cannot be seeded here.
    backon::ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(last)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Always draws just below 1.
    #[derive(Debug)]
    struct Highest;
    impl Random for Highest {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn the_ceiling_doubles_to_its_bound_and_a_success_resets_it() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut seconds = || backoff.next_wait(&Highest).as_secs_f64().round() as u64;
        assert_eq!(
            [seconds(), seconds(), seconds(), seconds(), seconds()],
            [1, 2, 4, 5, 5]
        );
        backoff.reset();
        assert_eq!(backoff.next_wait(&Highest).as_secs_f64().round() as u64, 1);
    }
}
