//! I6: the cloud cannot be used to lock an account: what a directory counts because of us stays within the
//! budget, and no sign-in binds more often than it may.

use std::time::Duration;

use super::history::{Bind, BindEnd};
use super::index::Key;
use super::{Check, Violation};
use crate::scenario::Invariant;

/// Attempts of one sign-in that may have reached a directory.
const REACHED_MAX: usize = 2;

/// I6: failed binds that we cause, over all spellings of a name, never pass the budget.
pub(super) fn the_cloud_locks_nobody(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (account, binds) in &check.index.binds {
        violations.extend(counted_too_often(check, *account, binds));
        violations.extend(asked_too_often(check, *account, binds));
    }
    for record in check
        .history
        .log
        .iter()
        .filter(|record| record.reached() > REACHED_MAX)
    {
        let seen = format!("{} attempts may have reached a directory", record.reached());
        let allowed = format!("at most {REACHED_MAX}");
        violations.push(match check.request_of(&record.request) {
            Some(request) => check.about(Invariant::I6, request, seen, allowed),
            None => check.general(Invariant::I6, format!("{seen} of {}", record.request), allowed),
        });
    }
    violations
}

/// The directory's own count of an account, as it rises and falls.
fn counted_too_often(check: &Check<'_>, account: usize, binds: &[&Bind]) -> Option<Violation> {
    let facts = check.history.accounts.get(account)?;
    let lockout = check.history.tenants.get(facts.tenant)?.lockout;
    let budget = check.history.limits.budget;
    let (mut count, mut last, mut most) = (0_u32, Duration::ZERO, 0);
    for bind in binds {
        if bind.end == BindEnd::Accepted {
            count = 0;
        } else if bind.counted {
            let over = count > 0 && bind.at >= last.saturating_add(lockout.window);
            count = if over { 1 } else { count + 1 };
            last = bind.at;
            most = most.max(count);
        }
    }
    let seen = format!(
        "the directory counted {most} failures of {} in a window",
        facts.username
    );
    (most > budget).then(|| check.general(Invariant::I6, seen, format!("at most {budget}, the budget")))
}

/// Binds of an account against what its sign-ins may have caused. Those that no record tells of may have caused
/// two each.
fn asked_too_often(check: &Check<'_>, account: usize, binds: &[&Bind]) -> Option<Violation> {
    let facts = check.history.accounts.get(account)?;
    let mine = check
        .index
        .by_key
        .get(&Key::Account(account))
        .into_iter()
        .flatten();
    let caused: usize = mine
        .map(|request| {
            check
                .index
                .record(request)
                .map_or(REACHED_MAX, |record| record.reached())
        })
        .sum();
    let judged = binds.iter().filter(|bind| bind.judged).count();
    let seen = format!("the directory judged {judged} passwords of {}", facts.username);
    let allowed = format!("at most {caused}: as many as its sign-ins may have caused");
    (judged > caused).then(|| check.general(Invariant::I6, seen, allowed))
}
