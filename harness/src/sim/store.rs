//! The store's place in the simulation: the simulation's one thread waits until the database has
//! answered, so that simulated time stands still meanwhile; and troubles on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use postern_cloud::store::{Access, Place, Trouble};
use postern_kit::random::{Random, below};
use serde::{Deserialize, Serialize};

use super::span;

/// What goes wrong with the cloud's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreFault {
    /// Reads and writes fail, and nothing was done.
    FailsBefore,
    /// Writes are done and said to have failed.
    FailsAfter,
    /// Writes are said to have failed; some were done.
    Unknown,
    /// The disk is full.
    Full,
    /// Reads and writes take this much longer.
    Slow(#[serde(with = "span")] Duration),
}

#[derive(Debug, Default)]
struct State {
    fault: Option<StoreFault>,
    /// How many accesses it still hits; `None` is all.
    left: Option<u32>,
}

/// The place. Clones share its troubles.
#[derive(Clone, Debug)]
pub(super) struct StandingStill {
    state: Arc<Mutex<State>>,
    random: Arc<dyn Random>,
}

impl StandingStill {
    /// Without troubles. What is unknown is drawn from `random`.
    pub(super) fn new(random: Arc<dyn Random>) -> Self {
        Self {
            state: Arc::default(),
            random,
        }
    }

    /// This goes wrong from now on: with the next `times` accesses, or with all.
    pub(super) fn set(&self, fault: StoreFault, times: Option<u32>) {
        *self.lock() = State {
            fault: Some(fault),
            left: times,
        };
    }

    /// Nothing goes wrong any more.
    pub(super) fn clear(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place for StandingStill {
    fn run<'a>(&'a self, work: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        // The runtime's budget would never be renewed while its thread waits here.
        let work = tokio::task::unconstrained(work);
        Box::pin(async move { futures::executor::block_on(work) })
    }

    fn trouble(&self, access: Access) -> Option<Trouble> {
        let mut state = self.lock();
        let fault = state.fault?;
        let hits = access == Access::Write || matches!(fault, StoreFault::FailsBefore | StoreFault::Slow(_));
        if !hits {
            return None;
        }
        match &mut state.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        Some(match fault {
            StoreFault::FailsBefore => Trouble::Before,
            StoreFault::FailsAfter => Trouble::After,
            StoreFault::Unknown if below(self.random.as_ref(), 2) == 0 => Trouble::Before,
            StoreFault::Unknown => Trouble::After,
            StoreFault::Full => Trouble::Full,
            StoreFault::Slow(by) => Trouble::Slow(by),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::SeededRandom;

    #[test]
    fn a_trouble_hits_what_it_is_for_as_often_as_asked() {
        let place = StandingStill::new(Arc::new(SeededRandom::new(1)));
        assert_eq!(place.trouble(Access::Write), None);
        place.set(StoreFault::FailsAfter, Some(2));
        let seen = [Access::Read, Access::Write, Access::Write, Access::Write].map(|of| place.trouble(of));
        assert_eq!(seen, [None, Some(Trouble::After), Some(Trouble::After), None]);
        place.set(StoreFault::Unknown, None);
        let seen: Vec<_> = (0..40).map(|_| place.trouble(Access::Write)).collect();
        assert!(seen.contains(&Some(Trouble::Before)) && seen.contains(&Some(Trouble::After)));
        place.clear();
        assert_eq!(place.trouble(Access::Write), None);
    }
}
