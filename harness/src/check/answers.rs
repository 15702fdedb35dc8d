//! I1, I2 and the reference model: whether answers are right.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{BindEnd, Request};
use super::{Check, Violation};
use crate::scenario::{Invariant, Outcome};

/// I1: success only where the directory accepted this password for this very object during this request.
pub(super) fn no_wrong_accept(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut successes: BTreeMap<usize, Vec<(usize, &Request, Duration)>> = BTreeMap::new();
    for (at, request) in check.history.requests.iter().enumerate() {
        for answer in request
            .answers
            .iter()
            .filter(|answer| answer.outcome == Outcome::SignedIn)
        {
            let right = check.model.chances(request).is_some_and(|chances| chances.right);
            let Some(account) = request.account.filter(|_| right) else {
                let seen = format!("{} signed in with {}", request.username.trim(), request.typed);
                violations.push(check.about(
                    Invariant::I1,
                    at,
                    seen,
                    "success with the right password alone",
                ));
                continue;
            };
            successes
                .entry(account)
                .or_default()
                .push((at, request, answer.at));
        }
    }
    for (account, mut theirs) in successes {
        // Each takes the earliest acceptance that is its own; whoever ends first chooses first.
        theirs.sort_by_key(|(_, _, answered)| *answered);
        let binds = check.index.binds.get(&account).into_iter().flatten();
        let mut accepted: BTreeMap<Duration, usize> = BTreeMap::new();
        for bind in binds.filter(|bind| bind.end == BindEnd::Accepted) {
            *accepted.entry(bind.at).or_default() += 1;
        }
        let slack = check.history.slack;
        for (at, request, answered) in theirs {
            let meanwhile = request.sent.saturating_sub(slack)..=answered.max(request.sent) + slack;
            let mine = accepted.range_mut(meanwhile).find(|(_, left)| **left > 0);
            match mine {
                Some((_, left)) => *left -= 1,
                None => {
                    let seen = format!(
                        "{} signed in, and no directory accepted a password of this object meanwhile",
                        request.username.trim()
                    );
                    let allowed = "success only with an accepted bind of its own";
                    violations.push(check.about(Invariant::I1, at, seen, allowed));
                }
            }
        }
    }
    violations
}

/// Whether a request was refused although its password was right all the time and nothing stood against it.
fn is_falsely_rejected(check: &Check<'_>, request: &Request) -> bool {
    let refused = request
        .answer()
        .is_some_and(|answer| answer.outcome == Outcome::Refused);
    refused
        && check
            .model
            .chances(request)
            .is_some_and(|chances| chances.right && !chances.wrong)
        && !check.model.allowed(request).has(Outcome::Refused)
}

/// I2: a right password is never answered "wrong".
pub(super) fn no_false_reject(check: &Check<'_>) -> Vec<Violation> {
    let requests = check.history.requests.iter().enumerate();
    let rejected = requests.filter(|(_, request)| is_falsely_rejected(check, request));
    let violation = |(at, request): (usize, &Request)| {
        let seen = format!(
            "{} was refused, and the password was right",
            request.username.trim()
        );
        check.about(Invariant::I2, at, seen, check.model.allowed(request).to_string())
    };
    rejected.map(violation).collect()
}

/// Every answer is one that the model allows; what other invariants say of it is theirs to report.
pub(super) fn every_answer_is_allowed(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, request) in check.history.requests.iter().enumerate() {
        let Some(answer) = request.answer() else { continue };
        let allowed = check.model.allowed(request);
        let others = answer.outcome == Outcome::SignedIn
            || is_falsely_rejected(check, request)
            || super::apart::is_by_draining(check, request);
        if !allowed.has(answer.outcome) && !others {
            let seen = format!(
                "{} with {} came to {}",
                request.username.trim(),
                request.typed,
                answer.outcome
            );
            violations.push(check.about(Invariant::Answers, at, seen, allowed.to_string()));
        } else if answer.outcome == Outcome::SignedIn && !allowed.has(Outcome::SignedIn) {
            // A right password that the account's state should have stopped: I1 is about the password.
            if check.model.chances(request).is_some_and(|chances| chances.right) {
                let seen = format!("{} signed in", request.username.trim());
                violations.push(check.about(Invariant::Answers, at, seen, allowed.to_string()));
            }
        }
    }
    violations
}
