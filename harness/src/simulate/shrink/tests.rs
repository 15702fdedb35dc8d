//! Searches with oracles that are functions: what fails always, never, sometimes, or for reasons of all kinds.

use std::convert::Infallible;

use super::*;
use crate::scenario::{Schedule, Trouble, Typed};

/// Two tenants, seven hosts beside the cloud, a hundred sign-ins, three faults of which one is drawn.
const FILE: &str = r#"
title = "Much goes on and something is wrong"
duration = "100s"
quiet = "10s"
[limits]
deadline = "8s"
[[tenant]]
name = "contoso"
users = { ok = 20, disabled = 2 }
controllers = 2
agents = 3
[[tenant]]
name = "fabrikam"
users = { ok = 5 }
[[link]]
between = ["agent2", "dc1"]
latency = "30ms"
[[load]]
tenant = "contoso"
rate = "1/s"
clients = 3
mix = { right = 3, wrong = 1 }
[[load]]
tenant = "fabrikam"
rate = "1/s"
[[fault]]
at = "20s"
for = "5s"
kind = "crash"
host = "agent2"
[[fault]]
at = "40s"
for = "5s"
kind = "hold"
between = ["agent3", "cloud"]
[[fault]]
at = "60s"
kind = "change_password"
tenant = "contoso"
user = "ok-7"
"#;

fn case() -> Scenario {
    let scenario = parse("f", FILE).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    Schedule::draw(&scenario, 5).spelled_out(&scenario)
}

/// Asked about each of several cases.
fn each(
    oracle: &mut dyn FnMut(&Scenario) -> bool,
) -> impl FnMut(&[Scenario]) -> Result<Vec<bool>, Infallible> {
    |cases: &[Scenario]| Ok(cases.iter().map(&mut *oracle).collect())
}

fn bounds(runs: u32, over: &dyn Fn() -> bool) -> Bounds<'_> {
    Bounds {
        runs,
        at_once: 1,
        sign_ins: 0,
        over,
    }
}

fn search(runs: u32, mut oracle: impl FnMut(&Scenario) -> bool) -> (Reached, Vec<Size>) {
    let mut sizes = Vec::new();
    let mut oracle = each(&mut oracle);
    let mut progress = |_, size: &Size| sizes.push(*size);
    let bounds = bounds(runs, &|| false);
    let Ok(reached) = shrink(&case(), None, bounds, &mut oracle, &mut progress);
    (reached, sizes)
}

#[track_caller]
fn smaller(reached: Reached) -> Smaller {
    match reached {
        Reached::Smaller(smaller) => *smaller,
        other => panic!("{other:?}"),
    }
}

fn crashes(case: &Scenario) -> bool {
    case.faults
        .iter()
        .any(|fault| matches!(&fault.trouble, Trouble::Crash { .. }))
}

fn wrong_passwords(case: &Scenario) -> usize {
    case.sign_ins
        .iter()
        .filter(|sign_in| sign_in.typed == Typed::Wrong)
        .count()
}

#[test]
fn what_needs_one_fault_and_two_sign_ins_is_left_with_these() {
    let (reached, sizes) = search(1_000, |case| crashes(case) && wrong_passwords(case) >= 2);
    let found = smaller(reached);
    let size = Size::of(&found.case);
    // The cloud, one controller, one agent, one client: of the tenant that types wrong passwords.
    assert_eq!((size.faults, size.sign_ins, size.hosts), (1, 2, 4), "{size}");
    assert!(found.complete && found.unconfirmed == 0);
    assert!(crashes(&found.case) && wrong_passwords(&found.case) == 2);
    assert_eq!(found.case.tenants.len(), 1);
    assert!(found.case.links.is_empty());
    assert!(
        found.case.tenants[0].people().count() <= 2,
        "{:?}",
        found.case.tenants[0].users
    );
    assert!(found.runs < 200, "{}", found.runs);
    // The agent that crashes is the one that is left, under its new name.
    assert_eq!(
        found.case.faults[0].trouble,
        Trouble::Crash {
            host: "agent1".to_owned()
        }
    );
    // Times are such as people write.
    let at = found.case.sign_ins[0].at;
    assert_eq!(at.subsec_nanos(), 0, "{at:?}");
    assert!(sizes.windows(2).all(|pair| pair[1].sign_ins <= pair[0].sign_ins));
}

#[test]
fn what_fails_always_is_left_with_nothing_that_can_be_left_out() {
    let (reached, _) = search(1_000, |_| true);
    let found = smaller(reached);
    let size = Size::of(&found.case);
    // A scenario needs somebody who does something.
    assert_eq!((size.faults, size.sign_ins, size.hosts), (0, 1, 4), "{size}");
    assert!(size.duration <= Duration::from_secs(3), "{size}");
    assert_eq!(found.case.limits, postern_cloud::config::Limits::default());
}

#[test]
fn what_never_fails_is_said_to() {
    let (reached, sizes) = search(1_000, |_| false);
    assert!(matches!(reached, Reached::NeverFails) && sizes.is_empty());
}

#[test]
fn what_fails_sometimes_is_not_searched() {
    let mut turn = 0;
    let (reached, sizes) = search(1_000, |_| {
        turn += 1;
        turn % 2 == 0
    });
    assert!(matches!(reached, Reached::Sometimes(1, 2)) && sizes.is_empty());
}

#[test]
fn a_smaller_case_that_fails_once_and_not_again_does_not_count() {
    let whole = Size::of(&case());
    let mut asked = BTreeMap::<String, u32>::new();
    // Whatever lacks the crash fails the first time it is looked at, and never again.
    let (reached, _) = search(1_000, |case| {
        let times = asked.entry(format!("{case:?}")).or_default();
        *times += 1;
        crashes(case) || *times == 1
    });
    let found = smaller(reached);
    assert!(found.unconfirmed > 0);
    assert!(crashes(&found.case) || Size::of(&found.case) == whole);
}

#[test]
fn runs_that_run_out_are_said_to() {
    let (reached, _) = search(10, |case| crashes(case) && wrong_passwords(case) >= 2);
    let found = smaller(reached);
    assert!(!found.complete);
    // And two that confirm it.
    assert!(found.runs <= 12, "{}", found.runs);
    assert!(crashes(&found.case) && wrong_passwords(&found.case) >= 2);
}

#[test]
fn time_that_is_over_ends_a_search() {
    let mut always = |_: &Scenario| true;
    let mut oracle = each(&mut always);
    let bounds = bounds(1_000, &|| true);
    let Ok(reached) = shrink(&case(), None, bounds, &mut oracle, &mut |_, _| {});
    let found = smaller(reached);
    assert!(!found.complete);
    assert_eq!(Size::of(&found.case), Size::of(&case()));
}

#[test]
fn a_failure_in_the_middle_needs_no_time_after_it() {
    let mut crashes = |case: &Scenario| crashes(case);
    let mut oracle = each(&mut crashes);
    let mut sizes = Vec::new();
    let Ok(reached) = shrink(
        &case(),
        Some(Duration::from_secs(30)),
        bounds(1, &|| false),
        &mut oracle,
        &mut |_, size| {
            sizes.push(*size);
        },
    );
    assert_eq!(
        smaller(reached).case.duration,
        Duration::from_secs(100),
        "no run was left"
    );
    let Ok(reached) = shrink(
        &case(),
        Some(Duration::from_secs(30)),
        bounds(3, &|| false),
        &mut oracle,
        &mut |_, _| {},
    );
    assert_eq!(smaller(reached).case.duration, Duration::from_secs(31));
}

#[test]
fn what_is_found_does_not_depend_on_how_many_are_tried_at_once() {
    let found = [1, 2, 7].map(|at_once| {
        let mut fails = |case: &Scenario| crashes(case) && wrong_passwords(case) >= 7;
        let mut most = 0;
        let mut oracle = |cases: &[Scenario]| {
            most = most.max(cases.len());
            Ok::<_, Infallible>(cases.iter().map(&mut fails).collect())
        };
        let bounds = Bounds {
            at_once,
            ..bounds(1_000, &|| false)
        };
        let Ok(reached) = shrink(&case(), None, bounds, &mut oracle, &mut |_, _| {});
        (text(&smaller(reached).case).unwrap(), most)
    });
    assert_eq!(found[0].0, found[1].0);
    assert_eq!(found[0].0, found[2].0);
    // Two confirm together in any case.
    assert_eq!(found[0].1, 2);
    assert!(found[2].1 > 2, "{}", found[2].1);
}

#[test]
fn no_fewer_sign_ins_are_tried_than_a_share_needs() {
    let mut always = |_: &Scenario| true;
    let mut oracle = each(&mut always);
    let bounds = Bounds {
        sign_ins: 20,
        ..bounds(1_000, &|| false)
    };
    let Ok(reached) = shrink(&case(), None, bounds, &mut oracle, &mut |_, _| {});
    let size = Size::of(&smaller(reached).case);
    assert_eq!((size.faults, size.sign_ins), (0, 20), "{size}");
}
