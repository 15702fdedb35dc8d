//! Two clocks, never mixed: wall-clock time for certificates, logs and directory timestamps comes
//! from an injected [`Clock`]; waiting is measured with [`monotonic`], the runtime's own clock,
//! which tests pause and the simulation drives.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A moment of wall-clock time, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down; 0 before it.
    pub fn unix_s(self) -> u64 {
        u64::try_from(self.0.div_euclid(1000)).unwrap_or(0)
    }

    /// This moment plus `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment minus `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment for calendar arithmetic; the epoch if it cannot be represented.
    pub fn date_time(self) -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }
}

/// RFC 3339 with three digits of the second, so that columns line up.
const MILLISECONDS: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// RFC 3339, in UTC with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.date_time().format(MILLISECONDS);
        f.write_str(&text.unwrap_or_else(|_| self.0.to_string()))
    }
}

/// Source of wall-clock time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now. May jump in either direction.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves forward by `by`.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(
            i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
            Ordering::SeqCst,
        );
    }

    /// Jumps to `to`, forwards or backwards.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A clock that starts with another one's time and then goes on evenly, whatever becomes of that one: for windows
/// that are kept over restarts and must not end early because somebody set the clock.
#[derive(Debug)]
pub struct SteadyClock {
    start: Timestamp,
    at: Instant,
}

impl SteadyClock {
    /// Starts now.
    pub fn starting_as(clock: &dyn Clock) -> Self {
        Self {
            start: clock.now(),
            at: monotonic(),
        }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.start.plus(monotonic().saturating_duration_since(self.at))
    }
}

/// The runtime's monotonic clock: what every wait and deadline is measured with.
pub fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `at` of the monotonic clock.
///
/// # Cancellation
/// Safe to drop.
pub async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_unix_ms(1_700_000_000_123).to_string(),
            "2023-11-14T22:13:20.123Z"
        );
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_clock_goes_on_whatever_becomes_of_the_other() {
        let other = ManualClock::new(Timestamp::from_unix_ms(1_000));
        let steady = SteadyClock::starting_as(&other);
        other.set(Timestamp::from_unix_ms(0));
        sleep_until(monotonic() + Duration::from_secs(2)).await;
        assert_eq!(steady.now(), Timestamp::from_unix_ms(3_000));
        other.advance(Duration::from_secs(1_000));
        assert_eq!(steady.now(), Timestamp::from_unix_ms(3_000));
    }

    #[test]
    fn time_before_an_event_is_no_time() {
        let now = Timestamp::from_unix_ms(5);
        assert_eq!(now.since(now.plus(Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(now.plus(Duration::MAX).unix_ms(), i64::MAX);
    }
}
