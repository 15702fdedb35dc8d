//! Time in the simulation: how much of it has passed, and what each host's wall clock makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use postern_kit::clock::{Clock, Timestamp};

/// The wall-clock time at which every simulation begins: 2026-01-05 08:00 UTC, a Monday.
pub const EPOCH: Timestamp = Timestamp::from_unix_ms(1_767_600_000_000);

/// Time that has passed since the simulation began. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct VirtualTime(Arc<AtomicU64>);

impl VirtualTime {
    /// Now: on a host to the millisecond of its timers, elsewhere the beginning of the step.
    pub fn now(&self) -> Duration {
        // Outside of a runtime the simulator would read the real clock.
        let on_a_host = tokio::runtime::Handle::try_current().is_ok();
        let precise = if on_a_host { turmoil::sim_elapsed() } else { None };
        precise.unwrap_or_else(|| self.step())
    }

    fn step(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, to: Duration) {
        let nanos = u64::try_from(to.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }
}

/// A host's wall clock: simulated time, and how far it is off. Clones share the error.
#[derive(Clone, Debug)]
pub struct SimClock {
    time: VirtualTime,
    off_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that goes right.
    pub fn new(time: VirtualTime) -> Self {
        Self {
            time,
            off_ms: Arc::default(),
        }
    }

    /// Goes wrong by `off_ms` milliseconds from now on, before or behind.
    pub fn set_off(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::Relaxed);
    }

    /// Jumps by `by_ms` milliseconds.
    pub fn jump(&self, by_ms: i64) {
        self.off_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.time.now().as_millis()).unwrap_or(i64::MAX);
        let right = EPOCH.unix_ms().saturating_add(passed);
        Timestamp::from_unix_ms(right.saturating_add(self.off_ms.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_with_simulated_time_and_can_be_off() {
        let time = VirtualTime::default();
        let clock = SimClock::new(time.clone());
        time.set(Duration::from_millis(1500));
        assert_eq!(clock.now().since(EPOCH), Duration::from_millis(1500));
        clock.set_off(-500);
        assert_eq!(clock.now().since(EPOCH), Duration::from_secs(1));
        clock.jump(1500);
        assert_eq!(clock.now().since(EPOCH), Duration::from_millis(2500));
        assert_eq!(EPOCH.to_string(), "2026-01-05T08:00:00.000Z");
    }
}
