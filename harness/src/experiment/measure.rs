//! What can be measured of a run: a closed list, each with its unit and what it says. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::experiment::Metric;
use crate::report::{OutcomeGroup, Point, RunReport, percentile};
use crate::scenario::{Outcome, Typed};

/// A figure of a run. "Users" are those who type their own right password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Users' sign-ins that were answered yes or no, in percent.
    Availability,
    /// The longest time in which no user's sign-in was answered yes or no, in seconds, from when the first of them
    /// was sent to the next that was answered.
    LongestOutage,
    /// Half of the users who signed in did so within that, in milliseconds.
    LatencyP50,
    /// 90% of the users who signed in did so within that, in milliseconds.
    LatencyP90,
    /// 99% of the users who signed in did so within that, in milliseconds.
    LatencyP99,
    /// Users' sign-ins that were turned away to protect their account, in percent.
    TurnedAway,
    /// Accounts that the directory locked.
    LockedAccounts,
    /// Accounts whose owner was turned away at least once, because the failure budget was used up.
    ClosedAccounts,
    /// Accounts whose password an attacker guessed and signed in with.
    FallenAccounts,
    /// Times that a sign-in was handed to another agent.
    HandOffs,
    /// Binds that reached a directory.
    Binds,
    /// Sign-ins of everybody.
    SignIns,
}

impl Measure {
    /// Its name, unit and meaning for the report.
    pub fn metric(self) -> Metric {
        let (name, unit, about) = match self {
            Self::Availability => (
                "availability",
                "%",
                "Sign-ins with the right password that were answered yes or no.",
            ),
            Self::LongestOutage => (
                "longest outage",
                "s",
                "The longest time in which no right password was answered yes or no.",
            ),
            Self::LatencyP50 => (
                "latency p50",
                "ms",
                "Half of those who signed in did so within that.",
            ),
            Self::LatencyP90 => (
                "latency p90",
                "ms",
                "90% of those who signed in did so within that.",
            ),
            Self::LatencyP99 => (
                "latency p99",
                "ms",
                "99% of those who signed in did so within that.",
            ),
            Self::TurnedAway => (
                "turned away",
                "%",
                "Sign-ins with the right password that were turned away to protect the account.",
            ),
            Self::LockedAccounts => ("locked accounts", "", "Accounts that the directory locked."),
            Self::ClosedAccounts => (
                "closed accounts",
                "",
                "Accounts whose owner was turned away at least once, because the failure budget was used up.",
            ),
            Self::FallenAccounts => (
                "fallen accounts",
                "",
                "Accounts whose password an attacker guessed and signed in with.",
            ),
            Self::HandOffs => (
                "hand-offs",
                "",
                "Times that a sign-in was handed to another agent.",
            ),
            Self::Binds => ("binds", "", "Binds that reached a directory."),
            Self::SignIns => ("sign-ins", "", "Sign-ins of everybody."),
        };
        Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            about: about.to_owned(),
        }
    }

    /// What it is of a run; `None` where there is nothing to measure.
    pub fn of(self, run: &RunReport) -> Option<f64> {
        let summary = &run.summary;
        let count = |count: u64| Some(count as f64);
        match self {
            Self::Availability => share(run, |point| point.group().is_judged()),
            Self::TurnedAway => share(run, |point| {
                matches!(point.outcome, Some(Outcome::TooManyAttempts | Outcome::Locked))
            }),
            Self::LongestOutage => users(run).next().map(|_| outage(run).as_secs_f64()),
            Self::LatencyP50 => latency(run, 50),
            Self::LatencyP90 => latency(run, 90),
            Self::LatencyP99 => latency(run, 99),
            Self::LockedAccounts => count(summary.locked_accounts),
            Self::ClosedAccounts => count(summary.closed_accounts),
            Self::FallenAccounts => count(summary.fallen_accounts),
            Self::HandOffs => count(summary.hand_offs),
            Self::Binds => count(summary.binds),
            Self::SignIns => count(summary.sign_ins),
        }
    }
}

fn users(run: &RunReport) -> impl Iterator<Item = &Point> {
    let points = run.series.sign_ins.iter();
    points.filter(|point| point.typed == Typed::Right)
}

/// How many of the users' sign-ins are so, in percent.
fn share(run: &RunReport, test: impl Fn(&Point) -> bool) -> Option<f64> {
    let all = users(run).count();
    let those = users(run).filter(|point| test(point)).count();
    (all > 0).then(|| those as f64 * 100.0 / all as f64)
}

/// Sorted by when they were sent, as a history has them.
fn outage(run: &RunReport) -> Duration {
    let (mut since, mut longest) = (None, Duration::ZERO);
    for point in users(run) {
        if point.group().is_judged() {
            since = None;
        } else {
            let since = *since.get_or_insert(point.at);
            longest = longest.max(point.end().saturating_sub(since));
        }
    }
    longest
}

fn latency(run: &RunReport, percent: usize) -> Option<f64> {
    let signed_in = users(run).filter(|point| point.group() == OutcomeGroup::SignedIn);
    let mut times: Vec<_> = signed_in.map(|point| point.latency).collect();
    times.sort();
    Some(percentile(&times, percent)?.as_secs_f64() * 1000.0)
}
