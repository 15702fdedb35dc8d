//! What can be measured of a run: a closed list, each with its unit and what it says. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::longest_outage;
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

/// What is measured: of all tenants together, or of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Measured {
    /// Of all together.
    All(Measure),
    /// Of one.
    One(OfTenant),
}

/// A figure of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfTenant {
    /// Which figure: one of users' sign-ins.
    pub figure: Measure,
    /// The tenant's short name.
    pub tenant: String,
}

impl Measured {
    /// Its name, unit and meaning for the report.
    pub fn metric(&self) -> Metric {
        match self {
            Self::All(measure) => measure.metric(),
            Self::One(one) => {
                let metric = one.figure.metric();
                Metric {
                    name: format!("{}, {}", metric.name, one.tenant),
                    about: format!("{} Of {} alone.", metric.about, one.tenant),
                    ..metric
                }
            }
        }
    }

    /// What it is of a run; `None` where there is nothing to measure.
    pub fn of(&self, run: &RunReport) -> Option<f64> {
        match self {
            Self::All(measure) => measure.of(run, None),
            Self::One(one) => {
                let place = run.tenants.iter().position(|name| *name == one.tenant)?;
                one.figure.of(run, Some(place))
            }
        }
    }
}

impl Measure {
    /// Those that can be measured of one tenant: they are made of users' sign-ins.
    pub const OF_A_TENANT: [Self; 6] = [
        Self::Availability,
        Self::LongestOutage,
        Self::LatencyP50,
        Self::LatencyP90,
        Self::LatencyP99,
        Self::TurnedAway,
    ];

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

    /// What it is of a run, or of the tenant at a place; `None` where there is nothing to measure.
    pub fn of(self, run: &RunReport, tenant: Option<usize>) -> Option<f64> {
        if tenant.is_some() && !Self::OF_A_TENANT.contains(&self) {
            return None;
        }
        let users = || users(run).filter(move |point| tenant.is_none_or(|place| point.tenant == place));
        let summary = &run.summary;
        let count = |count: u64| Some(count as f64);
        match self {
            Self::Availability => share(users(), |point| point.group().is_judged()),
            Self::TurnedAway => share(users(), |point| {
                matches!(point.outcome, Some(Outcome::TooManyAttempts | Outcome::Locked))
            }),
            Self::LongestOutage => {
                let ended = users().map(|point| (point.at, point.end(), point.group().is_judged()));
                let longest = longest_outage(ended).map_or(Duration::ZERO, |(lasted, _)| lasted);
                users().next().map(|_| longest.as_secs_f64())
            }
            Self::LatencyP50 => latency(users(), 50),
            Self::LatencyP90 => latency(users(), 90),
            Self::LatencyP99 => latency(users(), 99),
            Self::LockedAccounts => count(summary.locked_accounts),
            Self::ClosedAccounts => count(summary.closed_accounts),
            Self::FallenAccounts => count(summary.fallen_accounts),
            Self::HandOffs => count(summary.hand_offs),
            Self::Binds => count(summary.binds),
            Self::SignIns => count(summary.sign_ins),
        }
    }
}

/// Sorted by when they were sent, as a history has them.
fn users(run: &RunReport) -> impl Iterator<Item = &Point> {
    let points = run.series.sign_ins.iter();
    points.filter(|point| point.typed == Typed::Right)
}

/// How many of the users' sign-ins are so, in percent.
fn share<'a>(users: impl Iterator<Item = &'a Point>, test: impl Fn(&Point) -> bool) -> Option<f64> {
    let (mut all, mut those) = (0_u64, 0_u64);
    for point in users {
        all += 1;
        those += u64::from(test(point));
    }
    (all > 0).then(|| those as f64 * 100.0 / all as f64)
}

fn latency<'a>(users: impl Iterator<Item = &'a Point>, percent: usize) -> Option<f64> {
    let signed_in = users.filter(|point| point.group() == OutcomeGroup::SignedIn);
    let mut times: Vec<_> = signed_in.map(|point| point.latency).collect();
    times.sort();
    Some(percentile(&times, percent)?.as_secs_f64() * 1000.0)
}
