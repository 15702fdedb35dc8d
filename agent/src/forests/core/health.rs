//! In which order controllers are tried.
//!
//! ```text
//!           failure                      its time is over            good answers, one after the other
//!   fine ─────────────▶ avoided(until) ───────────────▶ on trial ─────────────────────────────────────▶ fine
//!                            ▲                              │
//!                            └──── failure, for longer ─────┘
//! ```
//! One request at a time tries a controller that is on trial; the others pass it by while there is a better
//! one. How long it is avoided is forgotten only after it was fine for a while, so that one which answers now and
//! then does not drag users to and fro.
//!
//! A controller that has left somebody waiting, and answered nobody else meanwhile, is passed by before its time-out
//! says that it failed: a hang costs those who were there first.
//!
//! None is ever left out: the avoided ones are tried when no other is left, and a failure then is no news.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postern_kit::random::{Random, fraction};

/// A controller that restarts is back within a second or a minute.
const AVOID_FIRST: Duration = Duration::from_secs(1);
/// Longest time for which a repaired controller stays unused.
const AVOID_LAST: Duration = Duration::from_secs(60);
/// While one request tries a controller again, the others pass it by, but not for ever: the request may itself
/// be waiting for another controller.
const TRIAL: Duration = Duration::from_secs(2);
/// Good answers, one after the other, that make a controller fine again. One may be luck, and three are soon there.
const TRIALS: u32 = 3;
/// A controller that was fine for so long starts again at the first wait when it fails.
const STEADY: Duration = Duration::from_secs(300);
/// A bind takes milliseconds. Who has waited this long, while nobody was answered, waits for a controller that hangs.
const SILENCE: Duration = Duration::from_secs(1);

/// Which controller, as the shell numbers them. A number is never given twice.
pub(in crate::forests) type Id = u64;

/// One request at one controller, from the wish for a connection to the answer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::forests) struct Attempt {
    controller: Id,
    began: Instant,
    number: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::forests) enum Outcome {
    /// The controller judged a password.
    Judged,
    /// It answered something that says neither good nor bad of it.
    Odd,
    /// It cannot be reached, did not answer in time, or declined.
    Failed,
    /// Nothing was learned: the request's time was over, or all connections are in use.
    Nothing,
}

/// What is worth telling an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::forests) enum News {
    /// The controller is avoided for this long.
    Avoided(Duration),
    /// It is used as before.
    Recovered,
}

#[derive(Debug)]
enum State {
    /// `level`: how often it failed before, until it has been fine for long.
    Fine {
        level: u32,
    },
    Avoided {
        until: Instant,
        level: u32,
    },
    /// `trial`: a request tries it, and the others pass it by until then.
    OnTrial {
        trial: Option<Instant>,
        good: u32,
        level: u32,
    },
}

#[derive(Debug)]
struct Controller {
    state: State,
    /// Since when it is fine, avoided or on trial: what began before says nothing new.
    since: Instant,
    waiting: BTreeMap<u64, Instant>,
    answered: Option<Instant>,
}

impl Controller {
    fn new(now: Instant) -> Self {
        Self {
            state: State::Fine { level: 0 },
            since: now,
            waiting: BTreeMap::new(),
            answered: None,
        }
    }

    fn becomes(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }

    fn is_silent(&self, now: Instant) -> bool {
        let long = |since: Instant| now.saturating_duration_since(since) >= SILENCE;
        // Attempts are numbered in the order in which they begin.
        self.waiting.values().next().copied().is_some_and(long) && self.answered.is_none_or(long)
    }

    fn is_avoided_until(&self) -> Option<Instant> {
        match self.state {
            State::Avoided { until, .. } => Some(until),
            State::Fine { .. } | State::OnTrial { .. } => None,
        }
    }
}

/// How good a controller is for the next request; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Good,
    /// Silent, or on trial while another request tries it.
    Doubtful,
    Avoided(Instant),
}

/// What is known about the controllers of a forest.
#[derive(Debug, Default)]
pub(in crate::forests) struct Health {
    /// The preferred one first.
    order: Vec<Id>,
    controllers: BTreeMap<Id, Controller>,
    attempts: u64,
}

impl Health {
    /// From now on these are the controllers, the preferred one first. What is known of those that
    /// were there before stays; new ones are taken for fine.
    pub(in crate::forests) fn set(&mut self, order: Vec<Id>, now: Instant) {
        self.controllers.retain(|id, _| order.contains(id));
        for id in &order {
            self.controllers
                .entry(*id)
                .or_insert_with(|| Controller::new(now));
        }
        self.order = order;
    }

    /// The order in which a request tries them: in their own order those that are good, then the doubtful
    /// ones, then the avoided ones, the one whose time is over soonest first. At most one of them is on
    /// trial and comes before others: more would eat up the request's time.
    pub(in crate::forests) fn choose(&mut self, now: Instant) -> Vec<Id> {
        let mut ranked = Vec::with_capacity(self.order.len());
        let mut any_before = false;
        for (at, id) in self.order.iter().enumerate() {
            let Some(controller) = self.controllers.get_mut(id) else {
                continue;
            };
            if controller.is_avoided_until().is_some_and(|until| until <= now) {
                let State::Avoided { level, .. } = controller.state else {
                    continue;
                };
                let on_trial = State::OnTrial {
                    trial: None,
                    good: 0,
                    level,
                };
                controller.becomes(on_trial, now);
            }
            let silent = controller.is_silent(now);
            let rank = match &mut controller.state {
                State::Fine { .. } | State::OnTrial { .. } if silent => Rank::Doubtful,
                State::Fine { .. } => Rank::Good,
                State::Avoided { until, .. } => Rank::Avoided(*until),
                // It would not come first, or another one tries it.
                State::OnTrial { trial, .. } if any_before || trial.is_some_and(|until| now < until) => {
                    Rank::Doubtful
                }
                State::OnTrial { trial, .. } => {
                    *trial = Some(now + TRIAL);
                    Rank::Good
                }
            };
            any_before |= rank == Rank::Good;
            ranked.push((rank, at, *id));
        }
        ranked.sort();
        ranked.into_iter().map(|(_, _, id)| id).collect()
    }

    /// A request turns to a controller. Each attempt must come to an end.
    pub(in crate::forests) fn begins(&mut self, id: Id, now: Instant) -> Attempt {
        self.attempts += 1;
        let number = self.attempts;
        if let Some(controller) = self.controllers.get_mut(&id) {
            controller.waiting.insert(number, now);
        }
        Attempt {
            controller: id,
            began: now,
            number,
        }
    }

    /// An attempt ended.
    pub(in crate::forests) fn ends(
        &mut self,
        attempt: &Attempt,
        outcome: Outcome,
        now: Instant,
        random: &dyn Random,
    ) -> Option<News> {
        let controller = self.controllers.get_mut(&attempt.controller)?;
        controller.waiting.remove(&attempt.number);
        if matches!(outcome, Outcome::Judged | Outcome::Odd) {
            controller.answered = Some(now);
        }
        let fresh = attempt.began >= controller.since;
        match (outcome, &mut controller.state) {
            // Requests that were in flight together fail together, and count once.
            (Outcome::Failed, State::Fine { level }) if fresh => {
                let steady = now.saturating_duration_since(controller.since) >= STEADY;
                let level = if steady { 0 } else { *level };
                Some(avoid(controller, level, now, random))
            }
            (Outcome::Failed, State::OnTrial { level, .. }) if fresh => {
                let level = *level;
                Some(avoid(controller, level, now, random))
            }
            (Outcome::Judged, State::Avoided { level, .. }) if fresh => {
                let on_trial = State::OnTrial {
                    trial: None,
                    good: 1,
                    level: *level,
                };
                controller.becomes(on_trial, now);
                None
            }
            (Outcome::Judged, State::OnTrial { trial, good, level }) if fresh => {
                *trial = None;
                *good += 1;
                if *good < TRIALS {
                    return None;
                }
                let fine = State::Fine { level: *level };
                controller.becomes(fine, now);
                Some(News::Recovered)
            }
            // The trial is over and nothing was learned: the next request tries.
            (Outcome::Odd | Outcome::Nothing, State::OnTrial { trial, .. }) if fresh => {
                *trial = None;
                None
            }
            (Outcome::Judged | Outcome::Odd | Outcome::Failed | Outcome::Nothing, _) => None,
        }
    }
}

/// Between half the wait and the whole of it: the agents that lost a controller together do not come back to it
/// together, and one that fails is not back at once.
fn avoid(controller: &mut Controller, level: u32, now: Instant, random: &dyn Random) -> News {
    let longest = AVOID_FIRST.saturating_mul(1 << level.min(30)).min(AVOID_LAST);
    let wait = longest / 2 + (longest / 2).mul_f64(fraction(random));
    let avoided = State::Avoided {
        until: now + wait,
        level: level.saturating_add(1),
    };
    controller.becomes(avoided, now);
    News::Avoided(wait)
}

#[cfg(test)]
mod tests;
