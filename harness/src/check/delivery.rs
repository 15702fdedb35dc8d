//! I3 and I8: each sign-in has one answer, in time, and each answer has one record.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::{Logged, Request, What, WhyLost};
use super::{Check, Violation};
use crate::report::text::{duration, moment};
use crate::scenario::{Invariant, Outcome};

/// How close to its deadline an answer is that its record need not agree with: the share of the time that is
/// kept for writing it.
pub(super) const LATE: Duration = Duration::from_millis(600);

/// I3: each request gets exactly one answer, at its deadline at the latest, unless the process that holds the
/// caller's connection dies.
pub(super) fn one_answer_in_time(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, request) in check.history.requests.iter().enumerate() {
        if let Some((seen, allowed)) = undelivered(check, request) {
            violations.push(check.about(Invariant::I3, at, seen, allowed));
        }
    }
    let late = check
        .history
        .log
        .iter()
        .filter(|record| record.total > check.history.limits.deadline + check.history.slack + LATE);
    for record in late {
        let seen = format!(
            "the record of {} says that it took {}",
            record.request,
            duration(record.total)
        );
        violations.push(check.general(Invariant::I3, seen, "an outcome by the deadline"));
    }
    violations
}

/// What is wrong with how a request was answered, if anything is.
fn undelivered(check: &Check<'_>, request: &Request) -> Option<(String, String)> {
    let (history, index) = (check.history, check.index);
    let by = request.sent + history.limits.deadline + history.way + history.slack;
    let disturbed = |to| index.way_disturbed(&request.client, request.sent, to);
    match (&request.answers[..], &request.lost) {
        ([], None) if history.ended > by && !disturbed(history.ended) => Some((
            "was never answered".to_owned(),
            format!("an answer by {} s", moment(by)),
        )),
        ([], None) => None,
        ([], Some(lost)) => {
            let died = |host: &str| index.was_down(host, request.sent, lost.at + history.slack);
            let explained = match lost.why {
                WhyLost::ClientDied => died(&request.client),
                WhyLost::CloudDied => died("cloud"),
                WhyLost::Disconnected => died("cloud") || disturbed(lost.at),
            };
            let seen = format!("got no answer: {}", lost.why.says());
            (!explained).then(|| {
                (
                    seen,
                    "an answer, since nothing happened that would explain this".to_owned(),
                )
            })
        }
        ([answer], _) => {
            let late = answer.at > by && !disturbed(answer.at);
            late.then(|| {
                (
                    format!(
                        "was answered after {}",
                        duration(answer.at.saturating_sub(request.sent))
                    ),
                    format!("an answer by {} s", moment(by)),
                )
            })
        }
        (several, _) => Some((
            format!("was answered {} times", several.len()),
            "one answer".to_owned(),
        )),
    }
}

/// I8: each answered sign-in has exactly one log record; a record without an answer is allowed.
pub(super) fn one_record_for_each_answer(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, request) in check.history.requests.iter().enumerate() {
        for answer in &request.answers {
            if let Some(other) = told.insert(&answer.request, at).filter(|other| *other != at) {
                let seen = format!("has the id of sign-in {other}: {}", answer.request);
                violations.push(check.about(Invariant::I8, at, seen, "an id of its own"));
            }
            let none = Vec::new();
            let records = check.index.records.get(answer.request.as_str()).unwrap_or(&none);
            if let Some((seen, allowed)) = misrecorded(check, request, answer.at, answer.outcome, records) {
                violations.push(check.about(Invariant::I8, at, seen, allowed));
            }
        }
    }
    for (id, records) in &check.index.records {
        if records.len() > 1 && !told.contains_key(id) {
            let seen = format!("{} records of {id}", records.len());
            violations.push(check.general(Invariant::I8, seen, "one record"));
        }
    }
    let unheard = check
        .index
        .records
        .keys()
        .filter(|id| !told.contains_key(**id))
        .count();
    let unanswered = check
        .history
        .requests
        .iter()
        .filter(|request| request.answers.is_empty())
        .count();
    if unheard > unanswered {
        let seen = format!("{unheard} records that nobody was answered, of {unanswered} unanswered sign-ins");
        violations.push(check.general(Invariant::I8, seen, "a record for a sign-in that was sent"));
    }
    violations
}

/// What is wrong with the records of an answer, if anything is.
fn misrecorded(
    check: &Check<'_>,
    request: &Request,
    answered: Duration,
    outcome: Outcome,
    records: &[&Logged],
) -> Option<(String, String)> {
    let history = check.history;
    let unwritable = || check.index.store_disturbed(request.sent, answered);
    let at_deadline = answered + LATE >= request.sent + history.limits.deadline;
    match records {
        [] => {
            // What is shed is not looked at. What cannot be written is answered "unavailable"; the record of an
            // answer at its deadline comes later, if the process lives.
            let shed = outcome == Outcome::Busy;
            let died = history.events.iter().any(|event| {
                matches!(&event.what, What::Down { host, .. } if host == "cloud") && event.at >= answered
            });
            let unwritten = outcome == Outcome::Unavailable && (unwritable() || at_deadline && died);
            let seen = format!("was answered {outcome} and has no record");
            (!shed && !unwritten).then(|| (seen, "one record".to_owned()))
        }
        [record] => {
            let more = outcome == Outcome::Unavailable && (at_deadline || unwritable());
            if record.outcome != outcome && !more {
                let seen = format!("was answered {outcome}, and its record says {}", record.outcome);
                return Some((seen, "a record that says the same".to_owned()));
            }
            // Who is deleted is a stranger, whose name the log does not keep.
            let (there, deleted) = match check.model.chances(request) {
                Some(chances) => (chances.there, chances.deleted),
                None => (false, true),
            };
            // Who it was, a store that fails does not say.
            let unknown = outcome == Outcome::Unavailable && unwritable();
            let right = if record.account.is_none() {
                deleted || unknown
            } else {
                there && record.account == request.account
            };
            let whose = if there { request.username.trim() } else { "nobody" };
            let about = record.account.and_then(|at| check.history.accounts.get(at));
            let about = about.map_or("nobody", |account| &account.username);
            let seen = format!("its record is about another account: {about}");
            (!right).then(|| (seen, format!("a record about {whose}")))
        }
        several => Some((format!("has {} records", several.len()), "one record".to_owned())),
    }
}
