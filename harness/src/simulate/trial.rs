//! One run and what was wrong with it, as data that one process hands to another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use postern_kit::telemetry::chain;
use serde::{Deserialize, Serialize};

use crate::check::{Violation, check, expectations};
use crate::report::RunReport;
use crate::report::text::duration;
use crate::run::apart::within;
use crate::run::sim::{self, Ran};
use crate::scenario::{Scenario, Schedule};
use crate::sim::SimError;

/// Longest real time of one run: far above what the largest takes on a busy machine. A run that is not done by
/// then is ended, and counts as failed.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How long it went on, in simulated milliseconds.
    pub simulated_ms: u64,
    /// How many hosts there were.
    pub hosts: usize,
    /// How many sign-ins came to what.
    pub outcomes: BTreeMap<String, usize>,
    /// The digest of everything that happened; empty if it did not come to its end.
    pub trace: String,
    /// Everything that was wrong: first what failed by itself, then invariants, then expectations.
    pub wrong: Vec<Wrong>,
}

/// What a process says of its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// All of it, for people and programmes; only if that was asked for and there was a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunReport>,
}

impl From<Verdict> for Told {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            report: None,
        }
    }
}

impl Verdict {
    /// How many sign-ins there were.
    pub fn sign_ins(&self) -> usize {
        self.outcomes.values().sum()
    }

    /// Only this was wrong.
    fn of_one(way: Way, seen: String) -> Self {
        Self {
            wrong: vec![Wrong {
                way,
                seen,
                request: None,
                at_ms: None,
            }],
            ..Self::default()
        }
    }
}

/// Something that was wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// In which way.
    pub way: Way,
    /// What was seen, in a few words.
    pub seen: String,
    /// The sign-in that it is about: its place among the requests.
    pub request: Option<usize>,
    /// When it was over with that sign-in, in milliseconds from the start.
    pub at_ms: Option<u64>,
}

/// In which way a run is wrong: two runs that are wrong in the same way are taken for the same failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// An invariant was violated: its name, such as "I2".
    Violated(String),
    /// An expectation did not come true: its field.
    NotAsExpected(String),
    /// A process failed by itself: its host.
    ProcessFailed(String),
    /// The run did not come to its end.
    NotRun,
}

impl Way {
    /// Whether both are the same failure; the number of a host says nothing.
    pub fn is(&self, other: &Self) -> bool {
        let kind = |host: &str| host.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        match (self, other) {
            (Self::ProcessFailed(one), Self::ProcessFailed(other)) => kind(one) == kind(other),
            (one, other) => one == other,
        }
    }
}

/// As it is named on a command line, such as `I2` or `expect.answers[0].are.busy`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violated(name) | Self::NotAsExpected(name) => f.write_str(name),
            Self::ProcessFailed(host) => write!(f, "process:{host}"),
            Self::NotRun => f.write_str("not-run"),
        }
    }
}

/// `I2: sign-in 17: …`
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.way)?;
        if let Some(request) = self.request {
            write!(f, "sign-in {request}: ")?;
        }
        f.write_str(&self.seen)
    }
}

/// A run that came to its end, with what is needed to look into it.
#[derive(Debug)]
pub struct Trial {
    /// What came of it.
    pub verdict: Verdict,
    /// What was to be done.
    pub schedule: Schedule,
    /// What everybody saw.
    pub ran: Ran,
    /// The violations, each with its timeline.
    pub violations: Vec<Violation>,
}

/// Runs in this process, which must not have simulated before.
///
/// # Errors
/// It did not come to its end.
pub fn run(scenario: &Scenario, seed: u64, trace: Option<File>) -> Result<Trial, SimError> {
    let schedule = Schedule::draw(scenario, seed);
    let ran = sim::run(scenario, &schedule, trace)?;
    let history = &ran.history;
    let except: BTreeSet<_> = scenario
        .expect
        .except
        .read()
        .map(|(_, except)| except.invariant)
        .collect();
    let violations = check(history, &except);
    let wrong = wrong(scenario, &ran, &violations);
    let mut outcomes = BTreeMap::new();
    for request in &history.requests {
        let outcome = request.answer().map_or_else(
            || "without an answer".to_owned(),
            |answer| answer.outcome.to_string(),
        );
        *outcomes.entry(outcome).or_default() += 1;
    }
    let verdict = Verdict {
        simulated_ms: ms(history.ended),
        hosts: ran.hosts.len(),
        outcomes,
        trace: ran.digest.0.clone(),
        wrong,
    };
    Ok(Trial {
        verdict,
        schedule,
        ran,
        violations,
    })
}

/// Everything that was wrong, the gravest first.
fn wrong(scenario: &Scenario, ran: &Ran, violations: &[Violation]) -> Vec<Wrong> {
    let history = &ran.history;
    let wrong = |way, seen, place: Option<usize>| {
        let request = place.and_then(|at| history.requests.get(at));
        Wrong {
            way,
            seen,
            request: place,
            at_ms: request.map(|request| ms(request.end(history.ended))),
        }
    };
    let failures = ran.failures.iter();
    let mut all: Vec<_> = failures
        .map(|(host, why)| wrong(Way::ProcessFailed(host.clone()), why.clone(), None))
        .collect();
    all.extend(violations.iter().map(|violation| {
        let seen = format!("{}; allowed: {}", violation.seen, violation.allowed);
        wrong(
            Way::Violated(violation.invariant.to_string()),
            seen,
            violation.request,
        )
    }));
    for finding in expectations(scenario, history)
        .into_iter()
        .filter(|finding| !finding.holds)
    {
        all.push(wrong(
            Way::NotAsExpected(finding.field),
            finding.seen,
            finding.example,
        ));
    }
    all
}

/// What came of a run that did not come to its end.
pub fn not_run(error: &SimError) -> Verdict {
    Verdict::of_one(Way::NotRun, chain(error))
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Which run a process is to make.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// That of the scenario which this seed gives.
    Seed(u64),
    /// That of this file with this seed.
    File(&'a Path, u64),
}

/// Runs in a process of its own, and waits for it. What goes wrong with the process is a verdict as well.
///
/// # Errors
/// It could not be started.
pub fn apart(which: Which<'_>) -> std::io::Result<Verdict> {
    Ok(told(which, false)?.verdict)
}

/// The same, with a report if it is asked for.
///
/// # Errors
/// It could not be started.
pub fn told(which: Which<'_>, report: bool) -> std::io::Result<Told> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["replay", "--json"]);
    if report {
        command.arg("--report");
    }
    match which {
        Which::Seed(seed) => command.arg(seed.to_string()),
        Which::File(file, seed) => command.arg(file).args(["--seed", &seed.to_string()]),
    };
    let Some(said) = within(RUN_MAX, &mut command)? else {
        let why = format!("no end within {} of real time", duration(RUN_MAX));
        return Ok(Verdict::of_one(Way::NotRun, why).into());
    };
    if let Ok(told) = serde_json::from_str(&said.out) {
        return Ok(told);
    }
    let last: Vec<_> = said.err.lines().rev().take(LINES_SHOWN).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    let why = format!("the process ended with {}: {}", said.status, last.join(" / "));
    Ok(Verdict::of_one(Way::NotRun, why).into())
}

/// Last lines of a process that died which are kept: a panic has two.
const LINES_SHOWN: usize = 4;
