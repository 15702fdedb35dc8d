//! What a case has to expect so that it can fail in one way, and in no other.

use crate::scenario::{ByName, Expect, Items, Written};
use crate::simulate::trial::Way;

/// Of all expectations only that of `field`, and the field that it then is; with `None` none at all. What is
/// excepted stays so. `None` if there is no such expectation.
pub fn only(expect: &Expect, field: Option<&str>) -> Option<(Expect, Option<String>)> {
    let mut less = Expect {
        except: expect.except.clone(),
        ..Expect::default()
    };
    let Some(field) = field else {
        return Some((less, None));
    };
    let (section, what) = field
        .strip_prefix("expect.")?
        .split_once(['.', '['])
        .unwrap_or((field, ""));
    // `answers[3].are.busy`: the fourth of its section; what follows is its own.
    let place = what
        .split_once(']')
        .and_then(|(place, rest)| Some((place.parse::<usize>().ok()?, rest)));
    let first = |rest: &str| Some(format!("expect.{section}[0]{rest}"));
    let field = match (section, place) {
        ("answers", Some((at, rest))) => {
            let mut answers = expect.answers.0.get(at)?.clone()?;
            let outcome = rest.strip_prefix(".are.");
            answers.are = ByName(
                answers
                    .are
                    .0
                    .into_iter()
                    .filter(|(name, _)| outcome == Some(&name.to_string()))
                    .collect(),
            );
            answers.count = answers.count.filter(|_| rest == ".count");
            answers.unanswered = answers.unanswered.filter(|_| rest == ".unanswered");
            less.answers = Items(vec![Some(answers)]);
            first(rest)
        }
        ("latency", Some((at, rest))) => {
            less.latency = Items(vec![Some(expect.latency.0.get(at)?.clone()?)]);
            first(rest)
        }
        ("availability", Some((at, rest))) => {
            let mut availability = expect.availability.0.get(at)?.clone()?;
            availability.judged = availability.judged.filter(|_| rest == ".judged");
            availability.longest_outage = availability.longest_outage.filter(|_| rest == ".longest_outage");
            less.availability = Items(vec![Some(availability)]);
            first(rest)
        }
        ("recovery", Some((at, rest))) => {
            less.recovery = Items(vec![Some(expect.recovery.0.get(at)?.clone()?)]);
            first(rest)
        }
        ("directory", _) => {
            less.directory = expect.directory.clone();
            Some(field.to_owned())
        }
        ("log", _) => {
            less.log = expect.log.clone();
            Some(field.to_owned())
        }
        ("agents", _) => {
            less.agents = expect.agents.clone();
            Some(field.to_owned())
        }
        _ => return None,
    };
    Some((less, field))
}

/// Fewer sign-ins than that cannot keep to what is expected of a share of them once a single one is otherwise, which
/// is no failure: 1 of 10 where `>= 99%` is wanted. 0 where that is not so: of what all must be, one is enough.
pub fn least_sign_ins(expect: &Expect, way: &Way) -> usize {
    let Way::NotAsExpected(field) = way else { return 0 };
    let answers = expect.answers.read().flat_map(|(at, answers)| {
        let are = answers.are.0.iter();
        let are = are.map(move |(outcome, amount)| (format!("expect.answers[{at}].are.{outcome}"), *amount));
        let unanswered = answers.unanswered.into_iter();
        are.chain(unanswered.map(move |amount| (format!("expect.answers[{at}].unanswered"), amount)))
    });
    let judged = expect.availability.read().flat_map(|(at, one)| {
        let judged = one.judged.into_iter();
        judged.map(move |amount| (format!("expect.availability[{at}].judged"), amount))
    });
    let found = answers.chain(judged).find(|(name, _)| name == field);
    let Some((_, Written(amount))) = found.filter(|(_, amount)| amount.0.share) else {
        return 0;
    };
    // The part of them that may be otherwise, at the end that allows less.
    let ends = [1.0 - amount.least, amount.most].into_iter();
    let may = ends.filter(|part| (1e-9..1.0 - 1e-9).contains(part));
    may.fold(None, |least, part| Some(part.min(least.unwrap_or(part))))
        .map_or(0, |part: f64| (1.0 / part - 1e-9).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    const FILE: &str = r#"
title = "Many things are expected"
duration = "60s"
[[tenant]]
name = "contoso"
users = { ok = 5 }
[[load]]
rate = "1/s"
[[expect.answers]]
are = { signed_in = "all" }
[[expect.answers]]
are = { busy = "none", signed_in = "some" }
unanswered = "none"
[[expect.latency]]
p50 = "<= 1s"
[expect.directory]
binds = "some"
[[expect.except]]
invariant = "I9"
because = "of this test"
"#;

    #[track_caller]
    fn check(field: Option<&str>, expected: Option<Option<&str>>) -> Option<Expect> {
        let expect = parse("f", FILE).unwrap().expect;
        let found = only(&expect, field);
        let name = found.as_ref().map(|(_, name)| name.as_deref());
        assert_eq!(name, expected);
        found.map(|(less, _)| less)
    }

    #[test]
    fn one_expectation_is_kept_and_what_is_excepted() {
        let less = check(
            Some("expect.answers[1].are.busy"),
            Some(Some("expect.answers[0].are.busy")),
        )
        .unwrap();
        let answers = less.answers.0[0].as_ref().unwrap();
        assert_eq!((answers.are.0.len(), answers.unanswered.is_some()), (1, false));
        assert_eq!(
            (less.answers.0.len(), less.latency.0.len(), less.except.0.len()),
            (1, 0, 1)
        );
        assert!(less.directory.binds.is_none());
        let less = check(
            Some("expect.answers[1].unanswered"),
            Some(Some("expect.answers[0].unanswered")),
        )
        .unwrap();
        assert!(less.answers.0[0].as_ref().unwrap().are.0.is_empty());
        let less = check(Some("expect.latency[0].p50"), Some(Some("expect.latency[0].p50"))).unwrap();
        assert_eq!(less.latency.0.len(), 1);
        let less = check(
            Some("expect.directory.binds"),
            Some(Some("expect.directory.binds")),
        )
        .unwrap();
        assert!(less.directory.binds.is_some());
    }

    #[test]
    fn without_a_field_nothing_is_expected() {
        let less = check(None, Some(None)).unwrap();
        assert_eq!((less.answers.0.len(), less.except.0.len()), (0, 1));
    }

    #[test]
    fn what_is_not_expected_is_not_found() {
        for field in ["expect.answers[7].are.busy", "expect.nothing", "nonsense"] {
            check(Some(field), None);
        }
    }

    #[test]
    fn a_share_needs_as_many_sign_ins_as_one_of_them_may_be_otherwise() {
        let least = |amount: &str| {
            let text = FILE.replace("signed_in = \"all\"", &format!("signed_in = \"{amount}\""));
            let expect = parse("f", &text).unwrap().expect;
            least_sign_ins(
                &expect,
                &Way::NotAsExpected("expect.answers[0].are.signed_in".to_owned()),
            )
        };
        for (amount, expected) in [
            ("all", 0),
            ("none", 0),
            (">= 99%", 100),
            (">= 90%", 10),
            ("<= 5%", 20),
            ("<= 5", 0),
            (">= 3", 0),
        ] {
            assert_eq!(least(amount), expected, "{amount}");
        }
        let expect = parse("f", FILE).unwrap().expect;
        assert_eq!(least_sign_ins(&expect, &Way::Violated("I2".to_owned())), 0);
    }
}
