//! How a directory counts the failures of its accounts, from its journal alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{BindEnd, History};

/// What a directory counted against one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The highest count that was reached.
    pub highest: u32,
    /// When the count first reached the directory's threshold: the account was locked.
    pub locked_at: Option<Duration>,
}

/// Of each account that a failure was counted against, by its place.
pub fn failures(history: &History) -> BTreeMap<usize, Failures> {
    let mut counts: BTreeMap<usize, (u32, Duration)> = BTreeMap::new();
    let mut all: BTreeMap<usize, Failures> = BTreeMap::new();
    for bind in &history.binds {
        let Some(account) = bind.account else { continue };
        let (count, last) = counts.entry(account).or_default();
        if bind.end == BindEnd::Accepted {
            *count = 0;
        } else if bind.counted {
            let tenant = history.accounts.get(account).map(|account| account.tenant);
            let lockout = tenant.and_then(|tenant| history.tenants.get(tenant));
            let lockout = lockout.map(|tenant| tenant.lockout);
            let window = lockout.map_or(Duration::ZERO, |lockout| lockout.window);
            let over = bind.at >= last.saturating_add(window);
            *count = if over { 1 } else { *count + 1 };
            *last = bind.at;
            let seen = all.entry(account).or_default();
            seen.highest = seen.highest.max(*count);
            let threshold = lockout.map_or(0, |lockout| lockout.threshold);
            if threshold > 0 && *count >= threshold {
                seen.locked_at.get_or_insert(bind.at);
            }
        }
    }
    all
}
