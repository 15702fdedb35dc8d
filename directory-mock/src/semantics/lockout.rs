//! When failures lock an account and for how long.

use postern_kit::clock::Timestamp;

use crate::model::{Counters, Policy};

/// Whether the account is locked at `now`. lockoutTime alone does not say so: it stays when the
/// lockout is over. A duration of zero never ends by itself.
pub fn is_locked(counters: &Counters, policy: &Policy, now: Timestamp) -> bool {
    let Some(since) = counters.lockout_time else {
        return false;
    };
    policy.lockout_duration.is_zero() || now < since.plus(policy.lockout_duration)
}

/// The counters after one more wrong password at `now`, of an account that can lock and is not locked.
pub fn count_failure(counters: &Counters, policy: &Policy, now: Timestamp) -> Counters {
    let window_over = counters
        .bad_password_time
        .is_none_or(|last| last.plus(policy.lockout_window) <= now);
    // The first failure after a lockout starts at 1 even inside a longer window.
    let after_lockout =
        counters.lockout_time.is_some() && counters.bad_password_time <= counters.lockout_time;
    let before = if window_over || after_lockout {
        0
    } else {
        counters.bad_pwd_count
    };
    let count = before.saturating_add(1);
    let locks = count >= policy.lockout_threshold;
    Counters {
        bad_pwd_count: count,
        bad_password_time: Some(now),
        lockout_time: if locks { Some(now) } else { counters.lockout_time },
        last_logon: counters.last_logon,
    }
}
