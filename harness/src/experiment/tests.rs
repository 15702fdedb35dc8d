//! Sweeps as people write them, and what is measured.

use std::time::Duration;

use super::measure::{Measure, Measured, OfTenant};
use super::sweep::{Sweep, parse};
use crate::report::experiment::Value;
use crate::report::{Point, RunReport, sample};
use crate::scenario::{Outcome, Typed};

const SCENARIO: &str = "title = 'Somebody signs in'\nduration = '60s'\n\
    [[tenant]]\nname = 'contoso'\nusers = { ok = 5 }\nlockout = { threshold = 8 }\nagents = 2\n\
    [[load]]\nrate = '2/s'\n[[load]]\nrate = '1/s'\n";

const GOOD: &str = r#"title = "How does it depend?"
scenario = "s.toml"
seeds = 3
measure = ["availability", "latency_p99"]
[[parameter]]
name = "budget"
field = "limits.budget"
values = [2, 4, 6]
[[parameter]]
name = "traffic"
[[parameter.choice]]
name = "high"
set = { "load[*].rate" = "9/s" }
[[parameter.choice]]
name = "low"
set = { "load[0].rate" = "1/min", duration = "10 min" }
"#;

fn read(text: &str) -> Result<Sweep, String> {
    let scenario = |path: &str| match path {
        "s.toml" => Ok(SCENARIO.to_owned()),
        "bad.toml" => Ok(SCENARIO.replace("'2/s'", "'2'")),
        _ => Err(format!("{path}: is not there")),
    };
    parse("f", text, scenario).map_err(|mistakes| mistakes.to_string())
}

/// The mistakes in `GOOD` with the first `old` replaced.
#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    assert!(GOOD.contains(old), "{old}");
    let told = read(&GOOD.replacen(old, new, 1)).expect_err("no mistake was found");
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told, expected, "{new}");
}

#[test]
fn a_grid_has_every_combination_and_what_it_sets() {
    let sweep = read(GOOD).unwrap();
    assert_eq!((sweep.points.len(), sweep.seeds), (6, 3));
    let measures = [Measure::Availability, Measure::LatencyP99].map(Measured::All);
    assert_eq!(sweep.measures, measures);
    let last = sweep.points.last().unwrap();
    assert_eq!(last.at, [Value::Number(6.0), Value::Word("low".to_owned())]);
    let settings: Vec<_> = last.settings.iter().map(ToString::to_string).collect();
    assert_eq!(
        settings,
        ["limits.budget=6", "duration=10 min", "load[0].rate=1/min"]
    );
}

#[test]
fn what_a_scenario_does_not_know_or_want_is_said_where_it_stands() {
    check(
        "\"limits.budget\"",
        "\"limits.bugdet\"",
        &["f:7:9: parameter[0].field: limits.bugdet of the scenario: unknown field (did you mean `budget`?)"],
    );
    check(
        "\"limits.budget\"",
        "\"load[7].clients\"",
        &["f:7:9: parameter[0].field: `load[7]` is not there; expected a number from 0 to 1"],
    );
    check(
        "[2, 4, 6]",
        "[2, 900, \"x\"]",
        &[
            "f:8:14: parameter[0].values[1]: limits.budget of the scenario: expected a whole number from 2 to 100, not 900",
            "f:8:19: parameter[0].values[2]: limits.budget of the scenario: expected a whole number from 2 to 100, not the text \"x\"",
        ],
    );
    check(
        "\"load[0].rate\" = \"1/min\"",
        "\"load[2].rate\" = \"1/min\"",
        &[
            "f:16:26: parameter[1].choice[1].set.load[2].rate: `load[2]` is not there; expected a number from 0 to 1",
        ],
    );
    check(
        "s.toml",
        "none.toml",
        &["f:2:12: scenario: none.toml: is not there"],
    );
    check(
        "s.toml",
        "bad.toml",
        &[
            "f:2:12: scenario: has mistakes itself:",
            "bad.toml:9:8: load[0].rate: expected a rate such as \"20/s\", \"6/min\" or \"30/h\", up to 100000/s",
        ],
    );
}

#[test]
fn what_is_missing_double_or_unknown_is_said_all_at_once() {
    check(
        "[2, 4, 6]",
        "[2, 4, 2]",
        &["f:8:17: parameter[0].values[2]: is there twice"],
    );
    check(
        "\"low\"",
        "\"high\"",
        &["f:15:8: parameter[1].choice[1].name: is there twice"],
    );
    check(
        "values = [2, 4, 6]\n",
        "",
        &["f:5:1: parameter[0]: has a field and no `values` for it"],
    );
    check(
        "\"traffic\"",
        "\"budget\"",
        &["f:10:8: parameter[1].name: is there twice"],
    );
    check(
        "title = \"How does it depend?\"\n",
        "",
        &["f:1:1: title: missing; expected a text"],
    );
    check(
        "[\"availability\", \"latency_p99\"]\n",
        "[\"availabilty\"]\nseed = 4\n",
        &[
            "f:4:12: measure[0]: there is no `availabilty` here (did you mean `availability`?)",
            "f:5:1: seed: unknown field (did you mean `seeds`?)",
        ],
    );
}

/// Each value is right by itself, and one combination is not: the budget is then above the directory's threshold.
#[test]
fn combinations_that_cannot_be_are_refused() {
    let text = GOOD.replace(
        "set = { \"load[*].rate\" = \"9/s\" }",
        "set = { \"tenant[contoso].lockout.threshold\" = 5 }",
    );
    let told = read(&text).expect_err("6 is above 5");
    assert!(
        told.starts_with("f:5:1: parameter[0]: these together make no scenario: 6, high: tenant[0].lockout.threshold: 5 is not above"),
        "{told}"
    );
}

#[test]
fn too_many_runs_are_refused() {
    let told = read(
        &GOOD
            .replace("seeds = 3", "seeds = 10000")
            .replace("[2, 4, 6]", "[2, 3, 4, 5, 6, 7]"),
    );
    assert!(
        told.expect_err("120,000 runs")
            .contains("at most 2000 combinations of values, and 100000 runs")
    );
}

/// Sign-ins of users: when sent (in seconds), how long (in milliseconds), how it ended.
fn run(users: &[(u64, u64, Option<Outcome>)]) -> RunReport {
    let mut run = sample::empty();
    run.series.sign_ins = users
        .iter()
        .map(|(sent, took, outcome)| Point {
            at: Duration::from_secs(*sent),
            latency: Duration::from_millis(*took),
            outcome: *outcome,
            typed: Typed::Right,
            tenant: 0,
        })
        .collect();
    run
}

#[test]
fn figures_are_those_of_users_with_the_right_password() {
    let (yes, no) = (Some(Outcome::SignedIn), Some(Outcome::Unavailable));
    let mut run = run(&[
        (0, 80, yes),
        (1, 90, yes),
        (2, 4000, no),
        (3, 15_000, None),
        (20, 100, yes),
        (30, 50, Some(Outcome::TooManyAttempts)),
    ]);
    // What others type is not counted.
    run.series.sign_ins.push(Point {
        at: Duration::from_secs(40),
        latency: Duration::from_secs(9),
        outcome: Some(Outcome::SignedIn),
        typed: Typed::Guessed,
        tenant: 0,
    });
    for (measure, expected) in [
        (Measure::Availability, Some(50.0)),
        (Measure::TurnedAway, Some(100.0 / 6.0)),
        (Measure::LatencyP50, Some(90.0)),
        (Measure::LatencyP99, Some(100.0)),
        // From 2 s until the answer that did not come was given up.
        (Measure::LongestOutage, Some(16.0)),
    ] {
        assert_eq!(measure.of(&run, None), expected, "{measure:?}");
    }
    let nobody = sample::empty();
    assert_eq!(Measure::Availability.of(&nobody, None), None);
    assert_eq!(Measure::LatencyP99.of(&nobody, None), None);
    assert_eq!(Measure::Binds.of(&nobody, None), Some(0.0));
}

#[test]
fn a_figure_of_one_tenant_is_made_of_its_sign_ins_alone() {
    let (yes, no) = (Some(Outcome::SignedIn), Some(Outcome::Unavailable));
    let mut run = run(&[(0, 80, yes), (1, 90, yes), (2, 4000, no), (3, 100, yes)]);
    run.tenants = vec!["contoso".to_owned(), "fabrikam".to_owned()];
    for at in [1, 2] {
        run.series.sign_ins[at].tenant = 1;
    }
    let of = |figure, tenant: &str| {
        let tenant = tenant.to_owned();
        Measured::One(OfTenant { figure, tenant }).of(&run)
    };
    assert_eq!(of(Measure::Availability, "contoso"), Some(100.0));
    assert_eq!(of(Measure::Availability, "fabrikam"), Some(50.0));
    assert_eq!(of(Measure::LongestOutage, "contoso"), Some(0.0));
    assert_eq!(of(Measure::LongestOutage, "fabrikam"), Some(4.0));
    assert_eq!(of(Measure::Binds, "contoso"), None);
    assert_eq!(of(Measure::Availability, "nobody"), None);
    check(
        "\"latency_p99\"]",
        "{ figure = \"binds\", tenant = \"contos\" }]",
        &[
            "f:4:39: measure[1].figure: is of all tenants together; expected one of availability, longest_outage, latency_p50, latency_p90, latency_p99, turned_away",
            "f:4:57: measure[1].tenant: the scenario has no tenant `contos` (did you mean `contoso`?)",
        ],
    );
    let one = GOOD.replacen(
        "\"latency_p99\"]",
        "{ figure = \"latency_p50\", tenant = \"contoso\" }]",
        1,
    );
    let sweep = read(&one).unwrap();
    assert_eq!(sweep.measures[1].metric().name, "latency p50, contoso");
}

const PUBLISHED: &str = include_str!("../../experiments/experiment.schema.json");

#[test]
fn the_published_schema_is_the_codes() {
    let same = super::schema() == PUBLISHED;
    assert!(
        same,
        "write it anew: postern experiment schema > harness/experiments/experiment.schema.json"
    );
}
