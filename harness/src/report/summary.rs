//! A run in figures, from what happened in it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::data::{BindEnd, Series, millis};
use super::group::OutcomeGroup;
use crate::scenario::Outcome;

/// A run in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Sign-ins that were sent.
    pub sign_ins: u64,
    /// Answers, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Sign-ins to which no answer came.
    pub unanswered: u64,
    /// How long answers took, for each group that there are answers of.
    pub latency: Vec<GroupLatency>,
    /// Times that a sign-in was handed to another agent.
    pub hand_offs: u64,
    /// Binds that reached a directory.
    pub binds: u64,
    /// Binds that a directory counted towards an account's lockout.
    pub counted_binds: u64,
    /// The most failures of one account that a directory counted in a window.
    pub failures_per_account_max: u64,
    /// Accounts that there are.
    pub accounts: u64,
    /// Accounts that a directory locked.
    pub locked_accounts: u64,
    /// Accounts whose right password was answered with "too many attempts": their failure budget was used up.
    pub closed_accounts: u64,
    /// Accounts whose password an attacker guessed and signed in with.
    pub fallen_accounts: u64,
    /// Records in the sign-in log.
    pub log_records: u64,
}

/// How long the answers of a group took. Percentiles are nearest ranks: each is one that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupLatency {
    /// Which.
    pub group: OutcomeGroup,
    /// How many answers.
    pub count: u64,
    /// Half of them took that at most.
    #[serde(rename = "p50_ms", with = "millis")]
    pub p50: Duration,
    /// 90% took that at most.
    #[serde(rename = "p90_ms", with = "millis")]
    pub p90: Duration,
    /// 99% took that at most.
    #[serde(rename = "p99_ms", with = "millis")]
    pub p99: Duration,
    /// The slowest.
    #[serde(rename = "max_ms", with = "millis")]
    pub max: Duration,
}

impl Summary {
    /// Of what happened in a run. What a series does not tell is zero, for the runner to fill.
    pub fn of(series: &Series) -> Self {
        let mut outcomes = BTreeMap::new();
        let mut unanswered = 0;
        let mut times: BTreeMap<OutcomeGroup, Vec<Duration>> = BTreeMap::new();
        for point in &series.sign_ins {
            match point.outcome {
                Some(outcome) => {
                    *outcomes.entry(outcome).or_default() += 1;
                    times.entry(point.group()).or_default().push(point.latency);
                }
                None => unanswered += 1,
            }
        }
        let counted = series.binds.iter().filter(|bind| bind.end == BindEnd::Counted);
        Self {
            sign_ins: series.sign_ins.len() as u64,
            outcomes,
            unanswered,
            latency: times
                .into_iter()
                .filter_map(|(group, times)| GroupLatency::of(group, times))
                .collect(),
            hand_offs: series.hand_offs.len() as u64,
            binds: series.binds.len() as u64,
            counted_binds: counted.count() as u64,
            ..Self::default()
        }
    }

    /// Sign-ins of a group.
    pub fn group(&self, group: OutcomeGroup) -> u64 {
        let answered = self.outcomes.iter();
        let answered = answered.filter(|(outcome, _)| OutcomeGroup::of(Some(**outcome)) == group);
        let unanswered = if group == OutcomeGroup::Unanswered {
            self.unanswered
        } else {
            0
        };
        answered.map(|(_, count)| count).sum::<u64>() + unanswered
    }

    /// Sign-ins to which somebody said yes or no.
    pub fn judged(&self) -> u64 {
        let groups = OutcomeGroup::ALL.into_iter().filter(|group| group.is_judged());
        groups.map(|group| self.group(group)).sum()
    }
}

impl GroupLatency {
    fn of(group: OutcomeGroup, mut times: Vec<Duration>) -> Option<Self> {
        times.sort();
        Some(Self {
            group,
            count: times.len() as u64,
            p50: percentile(&times, 50)?,
            p90: percentile(&times, 90)?,
            p99: percentile(&times, 99)?,
            max: *times.last()?,
        })
    }
}

/// The nearest rank, as expectations of scenarios have it; nothing of nothing.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied()
}
