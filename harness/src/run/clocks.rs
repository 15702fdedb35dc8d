//! The time at which something happened, from what a wall clock showed that was moved meanwhile.

use std::time::Duration;

use crate::scenario::{Deed, Schedule, Trouble};

/// How a host's wall clock was off, from which time on: by so many milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Vec<(Duration, i64)>);

impl Clock {
    /// That of `host`, as the schedule moves it.
    pub(super) fn of(schedule: &Schedule, host: &str) -> Self {
        let mut off = 0_i64;
        let mut all = Vec::new();
        for action in &schedule.actions {
            let fault = schedule.faults.get(action.fault).map(|fault| &fault.trouble);
            let Some(Trouble::Clock { host: moved, by }) = fault else {
                continue;
            };
            if moved == host {
                let by = shift_ms(by.0);
                off = off.saturating_add(if action.deed == Deed::Begin { by } else { -by });
                all.push((action.at, off));
            }
        }
        Self(all)
    }

    /// When it showed `shown` milliseconds since the start, as it would have if nobody had moved it. Where
    /// it was put back, it showed some times twice: then the first.
    pub(super) fn time(&self, shown: i64) -> Duration {
        let times = self.times(shown);
        // Between two, a jump ahead has left it out.
        let last = self.0.last().map_or(0, |(_, off)| *off);
        let plain = || Duration::from_millis(u64::try_from(shown.saturating_sub(last)).unwrap_or(0));
        times.first().copied().unwrap_or_else(plain)
    }

    /// The same where somebody noted about when that was: the time nearest to it at which it showed this.
    pub(super) fn time_near(&self, shown: i64, noted: Duration) -> Duration {
        let times = self.times(shown);
        let nearest = times.into_iter().min_by_key(|time| time.abs_diff(noted));
        nearest.unwrap_or(noted)
    }

    /// All times at which it showed this, the first one first.
    fn times(&self, shown: i64) -> Vec<Duration> {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([Duration::MAX]);
        let first = self.0.first().map_or(Duration::MAX, |(at, _)| *at);
        let moved = self.0.iter().zip(ends).map(|((from, off), to)| (*from, to, *off));
        let spans = std::iter::once((Duration::ZERO, first, 0)).chain(moved);
        let found = spans.filter_map(|(from, to, off)| {
            let at = Duration::from_millis(u64::try_from(shown.saturating_sub(off)).ok()?);
            (from <= at && at < to).then_some(at)
        });
        found.collect()
    }
}

/// In milliseconds; positive is ahead.
pub(super) fn shift_ms(shift: crate::scenario::Shift) -> i64 {
    let ms = i64::try_from(shift.by.as_millis()).unwrap_or(i64::MAX);
    if shift.back { -ms } else { ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_that_was_moved_still_tells_the_time() {
        // Ahead by a minute from 10 s to 20 s.
        let clock = Clock(vec![(SECOND * 10, 60_000), (SECOND * 20, 0)]);
        assert_eq!(clock.time(5_000), SECOND * 5);
        assert_eq!(clock.time(72_000), SECOND * 12);
        assert_eq!(clock.time(30_000), SECOND * 30);
        assert_eq!(Clock::default().time(7_000), SECOND * 7);
        // Back by five seconds from 10 s on: it shows 5 s to 10 s twice.
        let clock = Clock(vec![(SECOND * 10, -5_000)]);
        assert_eq!(clock.time(12_000), SECOND * 17);
        assert_eq!(clock.time(7_000), SECOND * 7);
        assert_eq!(clock.time_near(7_000, SECOND * 7), SECOND * 7);
        assert_eq!(clock.time_near(7_000, SECOND * 11), SECOND * 12);
    }
}
