//! When failures lock an account and for how long, and which controller counts them.
//!
//! A controller that finds a password wrong asks the PDC emulator before it refuses; both count, the
//! PDC emulator first, and its count is the one that locks. Without it, a controller's own does.

use postern_kit::clock::Timestamp;

use crate::model::{Account, Counters, Domain, LocalCounters, Policy};

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

/// What one more counted failure at `host` changes: the account's own counters, which are the PDC
/// emulator's, and those of the controller if it is another.
pub(super) fn count_at(
    domain: &Domain,
    host: &str,
    account: &Account,
    policy: &Policy,
    now: Timestamp,
) -> (Counters, Option<LocalCounters>) {
    if domain.is_pdc(host) {
        return (count_failure(&account.counters, policy, now), None);
    }
    let own = count_failure(&domain.view(host, account).counters, policy, now);
    let shared = if domain.is_pdc_reachable() {
        count_failure(&account.counters, policy, now)
    } else {
        Counters {
            lockout_time: own.lockout_time,
            ..account.counters
        }
    };
    let local = LocalCounters {
        bad_pwd_count: own.bad_pwd_count,
        bad_password_time: own.bad_password_time,
    };
    (shared, Some(local))
}

/// What a success at `host` changes. The PDC emulator is told to start again as well.
pub(super) fn clear_at(
    domain: &Domain,
    host: &str,
    account: &Account,
    now: Timestamp,
) -> (Counters, Option<LocalCounters>) {
    let is_pdc = domain.is_pdc(host);
    let told = is_pdc || domain.is_pdc_reachable();
    let shared = Counters {
        bad_pwd_count: if told { 0 } else { account.counters.bad_pwd_count },
        lockout_time: None,
        last_logon: Some(now),
        ..account.counters
    };
    let local = (!is_pdc).then(|| LocalCounters {
        bad_pwd_count: 0,
        bad_password_time: domain.view(host, account).counters.bad_password_time,
    });
    (shared, local)
}
