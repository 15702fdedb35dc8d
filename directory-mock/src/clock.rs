//! The directory's clock as tests move it, so that a lockout of half an hour does not take one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use postern_kit::clock::{Clock, Timestamp};

/// Another clock's time, moved. It goes on as the other one does.
///
/// Give it to [`Seams::clock`](postern_kit::Seams) before the directory is opened. A clock that stands still until it is moved is
/// [`ManualClock`](postern_kit::clock::ManualClock).
///
/// ```
/// use postern_directory_mock::{Directory, DirectoryHandle, Flavour, MovableClock, User};
/// use std::{sync::Arc, time::Duration};
///
/// let mut seams = postern_kit::Seams::real();
/// let clock = Arc::new(MovableClock::new(seams.clock.clone()));
/// seams.clock = clock.clone();
/// let directory = Directory::builder("corp.example.test", "CORP")
///     .lockout(1, Duration::from_secs(60), Duration::from_secs(60))
///     .user(User::new("alice", "right"))
///     .build();
/// let directory = DirectoryHandle::open(&directory, &seams)?;
/// let alice = directory.guid_of("alice").ok_or("no alice")?;
/// directory.sign_in(Flavour::Samba, "dc1", "CORP\\alice", "wrong");
/// assert!(directory.is_locked(alice));
/// clock.forward(Duration::from_secs(61));
/// assert!(!directory.is_locked(alice));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MovableClock {
    other: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
}

impl MovableClock {
    /// Shows `other`'s time until it is moved.
    pub fn new(other: Arc<dyn Clock>) -> Self {
        Self {
            other,
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// Moves it forward.
    pub fn forward(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Moves it to a moment, also back.
    pub fn set(&self, to: Timestamp) {
        let ahead = to.unix_ms().saturating_sub(self.other.now().unix_ms());
        self.ahead_ms.store(ahead, Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::SeqCst);
        Timestamp::from_unix_ms(self.other.now().unix_ms().saturating_add(ahead))
    }
}

#[cfg(test)]
mod tests {
    use postern_kit::clock::ManualClock;

    use super::*;

    #[test]
    fn it_goes_on_from_where_it_was_moved_to() {
        let other = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_000)));
        let clock = MovableClock::new(other.clone());
        clock.forward(Duration::from_secs(5));
        other.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_unix_ms(7_000));
        clock.set(Timestamp::from_unix_ms(100));
        other.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_unix_ms(1_100));
        clock.forward(Duration::MAX);
        assert!(clock.now() > Timestamp::from_unix_ms(0));
    }
}
