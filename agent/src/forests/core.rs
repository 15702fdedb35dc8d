//! In which order controllers are tried: pure.
//!
//! ```text
//!            failure                      its time is over, one request tries
//!   fine ───────────────▶ avoided(until) ────────────────────────────────────▶ avoided(a little longer)
//!    ▲                        ▲  failure                                              │
//!    └────────── answer ──────┴───────────────────────────────────────────────────────┘
//! ```
//! An avoided controller is still tried when no other is left.

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
}

/// What is known about the controllers of a forest.
#[derive(Debug)]
pub(super) struct Health(Vec<State>);

impl Health {
    /// All are taken for fine.
    pub(super) fn new(controllers: usize) -> Self {
        Self((0..controllers).map(|_| State::Fine).collect())
    }

    /// The order in which a request tries them: those not avoided in their own order, then the
    /// avoided ones, the one whose time is over soonest first.
    pub(super) fn choose(&mut self, now: Instant) -> Vec<usize> {
        let mut order: Vec<(Option<Instant>, usize)> = Vec::with_capacity(self.0.len());
        for (index, state) in self.0.iter_mut().enumerate() {
            let avoided_until = match state {
                State::Fine => None,
                State::Avoided { until, .. } if *until <= now => {
                    *until = now + TRIAL;
                    None
                }
                State::Avoided { until, .. } => Some(*until),
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
            State::Avoided { until, backoff } if until > now + TRIAL => {
                *state = State::Avoided { until, backoff };
                return None;
            }
            State::Avoided { backoff, .. } => backoff,
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
