//! How available sign-in was to those who typed their own right password.

use std::time::Duration;

use super::expectations::{Finding, amount, finding};
use super::history::{History, Request};
use crate::report::OutcomeGroup;
use crate::report::text::duration;
use crate::scenario::{Availability, Typed, Written};

/// A sign-in: when it was sent, when its client knew how it ended, and whether that was yes or no.
pub(crate) type Ended = (Duration, Duration, bool);

/// The longest time in which nobody was answered yes or no: from when the first such sign-in was sent to when the last
/// of them was over. How long it was, and the place of the first; nothing if everybody was answered. Sorted by when
/// they were sent.
pub(crate) fn longest_outage(sign_ins: impl Iterator<Item = Ended>) -> Option<(Duration, usize)> {
    let (mut began, mut longest) = (None, None);
    for (at, (sent, end, judged)) in sign_ins.enumerate() {
        if judged {
            began = None;
            continue;
        }
        let (since, first) = *began.get_or_insert((sent, at));
        let lasted = end.saturating_sub(since);
        if longest.is_none_or(|(other, _)| lasted > other) {
            longest = Some((lasted, first));
        }
    }
    longest
}

/// What is expected of it, judged by the sign-ins that are meant, each with its place.
pub(super) fn judge<'a>(
    path: &str,
    expected: &Availability,
    meant: impl Iterator<Item = (usize, &'a Request)>,
    history: &History,
    findings: &mut Vec<Finding>,
) {
    // One that was sent shortly before the end need not be answered by then.
    let over = |request: &Request| request.answer().is_some() || request.lost.is_some();
    let users: Vec<_> = meant
        .filter(|(_, request)| request.typed == Typed::Right && over(request))
        .map(|(place, request)| {
            let group = OutcomeGroup::of(request.answer().map(|answer| answer.outcome));
            let end = request.end(history.ended);
            (place, (request.sent, end, group.is_judged()))
        })
        .collect();
    if users.is_empty() {
        let seen = "nobody signed in with the right password, so that nothing is known of it".to_owned();
        findings.push(finding(format!("{path}.of"), false, seen));
        return;
    }
    let judged = users.iter().filter(|(_, (.., judged))| *judged).count() as u64;
    let field = format!("{path}.judged");
    amount(findings, field, expected.judged, judged, users.len() as u64);
    let place = |at: usize| users.get(at).map(|(place, _)| *place);
    if let (Some(finding), Some(_)) = (findings.last_mut().filter(|last| !last.holds), expected.judged) {
        finding.example = users.iter().position(|(_, (.., judged))| !judged).and_then(place);
    }
    if let Some(Written(limit)) = expected.longest_outage {
        let longest = longest_outage(users.iter().map(|(_, ended)| *ended));
        let (lasted, first) = longest.unzip();
        let lasted = lasted.unwrap_or_default();
        let holds = limit.holds(lasted);
        findings.push(Finding {
            example: first.and_then(place).filter(|_| !holds),
            ..finding(format!("{path}.longest_outage"), holds, duration(lasted))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_several_outages_counts() {
        let s = Duration::from_secs;
        let sign_ins = [
            (s(0), s(1), true),
            (s(2), s(6), false),
            (s(3), s(5), false),
            (s(10), s(11), true),
            (s(20), s(21), false),
            (s(24), s(30), false),
        ];
        assert_eq!(longest_outage(sign_ins.into_iter()), Some((s(10), 4)));
        assert_eq!(longest_outage(sign_ins.into_iter().take(4)), Some((s(4), 1)));
        assert_eq!(longest_outage(sign_ins.into_iter().take(1)), None);
    }
}
