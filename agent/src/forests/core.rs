//! In which order controllers are tried: pure.
//!
//! ```text
//!            failure                      its time is over, one request tries it
//!   fine ───────────────▶ avoided(until) ────────────────────────────────────────▶ tried(until)
//!    ▲                        ▲                       failure, for longer                 │
//!    │                        └──────────────────────────────────────────────────────────┤
//!    └───────────────────────────────────── answer ──────────────────────────────────────┘
//! ```
//! An avoided controller is still tried when no other is left; a failure then is no news.

use std::time::{Duration, Instant};

use postern_kit::backoff::Backoff;
use postern_kit::random::Random;

/// A controller that restarts is back within a second or a minute.
const AVOID_FIRST: Duration = Duration::from_secs(1);
/// Longest time for which a repaired controller stays unused.
const AVOID_LAST: Duration = Duration::from_secs(60);
/// While one request tries an avoided controller again, the others go on avoiding it.
const TRIAL: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum State {
    Fine,
    Avoided { until: Instant, backoff: Backoff },
    Tried { until: Instant, backoff: Backoff },
}

/// What is known about the controllers of a forest.
#[derive(Debug)]
pub(super) struct Health(Vec<State>);

impl Health {
    /// All are taken for fine.
    pub(super) fn new(controllers: usize) -> Self {
        Self((0..controllers).map(|_| State::Fine).collect())
    }

    /// The order in which a request tries them: those that are fine in their own order, among them
    /// one whose time is over, then the avoided ones, the one whose time is over soonest first.
    /// More than one trial would eat up the request's time.
    pub(super) fn choose(&mut self, now: Instant) -> Vec<usize> {
        let mut order: Vec<(Option<Instant>, usize)> = Vec::with_capacity(self.0.len());
        let mut trials_left = 1;
        for (index, state) in self.0.iter_mut().enumerate() {
            let avoided_until = match std::mem::replace(state, State::Fine) {
                State::Fine => None,
                State::Avoided { until, backoff } | State::Tried { until, backoff }
                    if until <= now && trials_left > 0 =>
                {
                    trials_left -= 1;
                    let until = now + TRIAL;
                    *state = State::Tried { until, backoff };
                    None
                }
                avoided @ (State::Avoided { until, .. } | State::Tried { until, .. }) => {
                    *state = avoided;
                    Some(until)
                }
            };
            order.push((avoided_until, index));
        }
        order.sort();
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// A controller did not answer. How long it is avoided from now, if that is news: requests
    /// that were in flight together fail together, and count once.
    pub(super) fn failed(&mut self, index: usize, now: Instant, random: &dyn Random) -> Option<Duration> {
        let state = self.0.get_mut(index)?;
        let mut backoff = match std::mem::replace(state, State::Fine) {
            State::Fine => Backoff::new(AVOID_FIRST, AVOID_LAST),
            State::Tried { backoff, .. } => backoff,
            avoided @ State::Avoided { .. } => {
                *state = avoided;
                return None;
            }
        };
        // At least half the drawn ceiling would be kinder to the controller; full jitter is kinder
        // to the users when it comes back.
        let wait = backoff.next_wait(random);
        *state = State::Avoided {
            until: now + wait,
            backoff,
        };
        Some(wait)
    }

    /// A controller answered.
    pub(super) fn succeeded(&mut self, index: usize) {
        if let Some(state) = self.0.get_mut(index) {
            *state = State::Fine;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::clock::monotonic;

    const SECOND: Duration = Duration::from_secs(1);

    /// Draws as close to 1 as can be, so that every wait is its ceiling.
    #[derive(Debug)]
    struct Highest;
    impl Random for Highest {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    fn fail(health: &mut Health, index: usize, now: Instant) -> Option<u64> {
        let wait = health.failed(index, now, &Highest)?;
        Some(wait.as_secs_f64().round() as u64)
    }

    #[test]
    fn the_preferred_one_is_avoided_for_a_while_and_then_tried_by_one_request() {
        let (mut health, start) = (Health::new(3), monotonic());
        assert_eq!(health.choose(start), [0, 1, 2]);
        assert_eq!(fail(&mut health, 0, start), Some(1));
        assert_eq!(health.choose(start), [1, 2, 0]);
        let later = start + SECOND;
        assert_eq!(health.choose(later), [0, 1, 2]);
        assert_eq!(health.choose(later), [1, 2, 0], "only one request tries");
        health.succeeded(0);
        assert_eq!(health.choose(later), [0, 1, 2]);
    }

    #[test]
    fn the_longer_it_fails_the_longer_it_is_avoided() {
        let (mut health, mut now) = (Health::new(1), monotonic());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            health.choose(now);
            assert_eq!(fail(&mut health, 0, now), Some(seconds));
            now += Duration::from_secs(seconds);
        }
        health.choose(now);
        health.succeeded(0);
        assert_eq!(fail(&mut health, 0, now), Some(1));
    }

    #[test]
    fn requests_in_flight_together_fail_once() {
        let (mut health, now) = (Health::new(2), monotonic());
        for _ in 0..5 {
            health.choose(now);
        }
        let news: Vec<_> = (0..5).map(|_| fail(&mut health, 0, now)).collect();
        assert_eq!(news, [Some(1), None, None, None, None]);
        assert_eq!(health.choose(now + SECOND), [0, 1]);
    }

    #[test]
    fn a_trial_that_never_ends_gives_way_to_another() {
        let (mut health, start) = (Health::new(2), monotonic());
        fail(&mut health, 0, start);
        assert_eq!(health.choose(start + SECOND), [0, 1]);
        assert_eq!(health.choose(start + SECOND + TRIAL / 2), [1, 0]);
        assert_eq!(health.choose(start + SECOND + TRIAL), [0, 1]);
    }

    #[test]
    fn a_request_tries_one_of_several_that_failed() {
        let (mut health, start) = (Health::new(3), monotonic());
        fail(&mut health, 0, start);
        fail(&mut health, 1, start);
        assert_eq!(health.choose(start), [2, 0, 1]);
        let later = start + SECOND;
        assert_eq!(health.choose(later), [0, 2, 1]);
        assert_eq!(health.choose(later), [1, 2, 0]);
    }
}
