//! The store's place in the simulation: the simulation's one thread waits until the database has
//! answered, so that simulated time stands still meanwhile; and troubles on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use postern_cloud::store::{Access, Failure, Place, Trouble};
use postern_kit::random::{Random, below};

/// What goes wrong with the cloud's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Slow(Duration),
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
    /// What every write takes, in simulated time. Others come together meanwhile, and share the next one.
    commit: Duration,
    state: Arc<Mutex<State>>,
    random: Arc<dyn Random>,
}

impl StandingStill {
    /// Without troubles; a write takes `commit`. What is unknown is drawn from `random`.
    pub(super) fn new(commit: Duration, random: Arc<dyn Random>) -> Self {
        Self {
            commit,
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

    /// The trouble of the next access, if it hits one of this kind.
    fn hit(&self, access: Access) -> Option<StoreFault> {
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
        Some(fault)
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

    fn trouble(&self, access: Access) -> Trouble {
        let fault = self.hit(access);
        let wait = match (access, fault) {
            (_, Some(StoreFault::Slow(by))) => by,
            (Access::Write, _) => self.commit,
            (Access::Read, _) => Duration::ZERO,
        };
        let failure = match fault {
            None | Some(StoreFault::Slow(_)) => None,
            Some(StoreFault::FailsBefore) => Some(Failure::Before),
            Some(StoreFault::FailsAfter) => Some(Failure::After),
            Some(StoreFault::Unknown) if below(self.random.as_ref(), 2) == 0 => Some(Failure::Before),
            Some(StoreFault::Unknown) => Some(Failure::After),
            Some(StoreFault::Full) => Some(Failure::Full),
        };
        Trouble { wait, failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::SeededRandom;

    const COMMIT: Duration = Duration::from_millis(2);

    fn place() -> StandingStill {
        StandingStill::new(COMMIT, Arc::new(SeededRandom::new(1)))
    }

    #[test]
    fn a_trouble_hits_what_it_is_for_as_often_as_asked() {
        let place = place();
        place.set(StoreFault::FailsAfter, Some(2));
        let accesses = [Access::Read, Access::Write, Access::Write, Access::Write];
        let seen = accesses.map(|access| place.trouble(access).failure);
        assert_eq!(seen, [None, Some(Failure::After), Some(Failure::After), None]);
        place.set(StoreFault::Unknown, None);
        let seen: Vec<_> = (0..40).map(|_| place.trouble(Access::Write).failure).collect();
        assert!(seen.contains(&Some(Failure::Before)) && seen.contains(&Some(Failure::After)));
        place.clear();
        assert_eq!(place.trouble(Access::Write).failure, None);
    }

    #[test]
    fn a_write_takes_its_time_and_a_read_only_when_it_is_slow() {
        let place = place();
        let waits = || [Access::Write, Access::Read].map(|access| place.trouble(access).wait);
        assert_eq!(waits(), [COMMIT, Duration::ZERO]);
        place.set(StoreFault::Slow(COMMIT * 10), None);
        assert_eq!(waits(), [COMMIT * 10; 2]);
    }
}
