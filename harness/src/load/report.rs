//! What a run says, as a table for people and as JSON for programmes.

use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::account::Usage;
use super::engine::{Measured, Plan};

/// Percentiles that are told.
const PERCENTILES: [(f64, &str); 5] = [
    (50.0, "p50"),
    (90.0, "p90"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (100.0, "max"),
];

/// What a process used during a run.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Which process.
    pub name: String,
    /// Its CPU time in the run.
    pub cpu: Duration,
    /// Its peak memory so far.
    pub peak_bytes: u64,
}

impl Cost {
    /// Between two accounts of one process.
    pub fn between(name: &str, before: &Usage, after: &Usage) -> Self {
        Self {
            name: name.to_owned(),
            cpu: after.cpu.saturating_sub(before.cpu),
            peak_bytes: after.peak_bytes,
        }
    }
}

/// A run, its plan and its costs.
#[derive(Debug)]
pub struct Report {
    /// What was done, such as `sign-in`.
    pub what: &'static str,
    /// The plan.
    pub plan: Plan,
    /// What came of it.
    pub measured: Measured,
    /// What each process used.
    pub costs: Vec<Cost>,
}

/// Outcomes that say what the directory said of a password; of everything else nothing was measured.
const JUDGED: [&str; 4] = ["signed in", "refused", "result 0", "result 49"];

/// Figures of other builds say nothing.
const IS_RELEASE: bool = !cfg!(debug_assertions);

impl Report {
    fn answered(&self) -> u64 {
        self.measured.outcomes.values().sum()
    }

    /// How many passwords were judged: without any, nothing is measured but an outage.
    pub fn judged(&self) -> u64 {
        let outcomes = self.measured.outcomes.iter();
        let judged = outcomes.filter(|(outcome, _)| JUDGED.contains(&outcome.as_str()));
        judged.map(|(_, count)| count).sum()
    }

    /// CPU time of cloud and agents together for each operation, in microseconds: what Postern adds. `None` if
    /// neither was there.
    fn added_us_each(&self) -> Option<f64> {
        let ours = |cost: &&Cost| cost.name == "cloud" || cost.name.starts_with("agent");
        let all: Vec<_> = self
            .costs
            .iter()
            .filter(ours)
            .map(|cost| self.cpu_us_each(cost))
            .collect();
        (all.len() > 1).then(|| all.into_iter().sum())
    }

    fn throughput(&self) -> f64 {
        let seconds = self.measured.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.answered() as f64 / seconds
        } else {
            0.0
        }
    }

    fn cpu_us_each(&self, cost: &Cost) -> f64 {
        cost.cpu.as_secs_f64() * 1e6 / self.answered().max(1) as f64
    }

    fn percentile_ms(&self, percentile: f64) -> f64 {
        self.measured.latency_us.value_at_percentile(percentile) as f64 / 1000.0
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {:.0} a second for {:.0} s, open loop; {} answered, {:.0} a second\n\n",
            self.what,
            self.plan.rate,
            self.plan.duration.as_secs_f64(),
            self.answered(),
            self.throughput(),
        );
        if !IS_RELEASE {
            text.push_str("A dev build: its figures say nothing. Build with --release to measure.\n\n");
        }
        let mut outcomes = table(["outcome", "count"]);
        for (outcome, count) in &self.measured.outcomes {
            outcomes.add_row([outcome.clone(), count.to_string()]);
        }
        for (name, count) in [
            ("(not begun)", self.measured.not_begun),
            ("(unanswered)", self.measured.unanswered),
        ] {
            if count > 0 {
                outcomes.add_row([name.to_owned(), count.to_string()]);
            }
        }
        let mut latency = table(PERCENTILES.map(|(_, name)| name));
        latency
            .add_row(PERCENTILES.map(|(percentile, _)| format!("{:.2} ms", self.percentile_ms(percentile))));
        text.push_str(&format!("{}\n\n{}\n", outcomes.trim_fmt(), latency.trim_fmt()));
        if !self.costs.is_empty() {
            let mut costs = table(["process", "CPU", "CPU each", "peak memory"]);
            for cost in &self.costs {
                costs.add_row([
                    cost.name.clone(),
                    format!("{:.2} s", cost.cpu.as_secs_f64()),
                    format!("{:.1} us", self.cpu_us_each(cost)),
                    format!("{:.1} MiB", cost.peak_bytes as f64 / f64::from(1 << 20)),
                ]);
            }
            text.push_str(&format!("\n{}\n", costs.trim_fmt()));
            if let Some(added) = self.added_us_each() {
                text.push_str(&format!(
                    "\ncloud and agents together: {added:.1} us of CPU each\n"
                ));
            }
        }
        text
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let percentiles =
            PERCENTILES.map(|(percentile, name)| (name.to_owned(), self.percentile_ms(percentile).into()));
        let costs: Vec<_> = self
            .costs
            .iter()
            .map(|cost| {
                json!({
                    "process": cost.name,
                    "cpu_s": cost.cpu.as_secs_f64(),
                    "cpu_us_each": self.cpu_us_each(cost),
                    "peak_bytes": cost.peak_bytes,
                })
            })
            .collect();
        json!({
            "what": self.what,
            "rate": self.plan.rate,
            "duration_s": self.plan.duration.as_secs_f64(),
            "elapsed_s": self.measured.elapsed.as_secs_f64(),
            "throughput": self.throughput(),
            "outcomes": self.measured.outcomes,
            "not_begun": self.measured.not_begun,
            "unanswered": self.measured.unanswered,
            "latency_ms": serde_json::Map::from_iter(percentiles),
            "processes": costs,
            "cloud_and_agents_cpu_us_each": self.added_us_each(),
            "release_build": IS_RELEASE,
        })
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    fn report() -> Report {
        let mut latency_us = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        for ms in 1..=100_u64 {
            latency_us.record(ms * 1000).unwrap();
        }
        let usage = |cpu_ms, peak_bytes| Usage {
            cpu: Duration::from_millis(cpu_ms),
            peak_bytes,
            resident_bytes: 0,
        };
        Report {
            what: "sign-in",
            plan: Plan {
                rate: 50.0,
                duration: Duration::from_secs(2),
            },
            measured: Measured {
                elapsed: Duration::from_secs(2),
                outcomes: [("refused".to_owned(), 30), ("signed in".to_owned(), 70)].into(),
                not_begun: 0,
                unanswered: 3,
                latency_us,
            },
            costs: vec![
                Cost::between("cloud", &usage(100, 5), &usage(150, 3 << 20)),
                Cost::between("directory", &usage(0, 0), &usage(50, 0)),
                Cost::between("agent-1", &usage(0, 0), &usage(10, 0)),
                Cost::between("agent-2", &usage(0, 0), &usage(20, 0)),
            ],
        }
    }

    #[test]
    fn a_report_says_what_was_answered_how_fast_and_at_what_cost() {
        let text = report().text();
        for part in [
            "100 answered, 50 a second",
            "(unanswered)",
            "50.0",
            "500.0 us",
            "3.0 MiB",
            "together: 800.0 us",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("not begun"));
        let json = report().json();
        assert_eq!(json["processes"][0]["cpu_us_each"], 500.0);
        assert_eq!(json["outcomes"]["signed in"], 70);
        assert_eq!(json["cloud_and_agents_cpu_us_each"], 800.0);
        assert_eq!(json["release_build"], !text.contains("dev build"));
        assert_eq!(json["latency_ms"]["p99"].as_f64().unwrap().round(), 99.0);
    }

    #[test]
    fn what_was_not_judged_was_not_measured() {
        let mut report = report();
        assert_eq!(report.judged(), 100);
        report.measured.outcomes = [("unavailable".to_owned(), 90), ("busy".to_owned(), 10)].into();
        assert_eq!(report.judged(), 0);
    }
}
