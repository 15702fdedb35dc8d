//! The data of finished runs, as the runner leaves them and as JSON has them.
//!
//! Times are on the run's own clock, which begins with it. In JSON they are milliseconds with up to three decimals,
//! and their fields end in `_ms`. Fields are only ever added.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::group::OutcomeGroup;
use super::summary::Summary;
use crate::scenario::{Outcome, Typed, World};

/// One run of one scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The scenario's title, a sentence.
    pub title: String,
    /// Where that comes from.
    pub about: String,
    /// The scenario's file, as it was given.
    pub file: String,
    /// The suite it belongs to: the file's folder.
    pub suite: String,
    /// Where it ran.
    pub world: World,
    /// The seed that everything was drawn from.
    pub seed: u64,
    /// What ran: the version, and the commit where it is known.
    pub version: String,
    /// How long the run was, on its own clock.
    #[serde(rename = "virtual_ms", with = "millis")]
    pub virtual_duration: Duration,
    /// How long it really took.
    #[serde(rename = "wall_ms", with = "millis")]
    pub wall_duration: Duration,
    /// The digest of all that happened: the same seed gives the same. Empty on real sockets.
    pub digest: String,
    /// All hosts.
    pub hosts: Vec<String>,
    /// The short names of its tenants.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// How it ended.
    pub status: Status,
    /// What was not as it must be; nothing after a run that passed.
    pub findings: Vec<Finding>,
    /// The run in figures.
    pub summary: Summary,
    /// What happened when.
    pub series: Series,
    /// What was done to the system, by time.
    pub faults: Vec<FaultSpan>,
    /// All that was looked at.
    pub checks: Vec<CheckLine>,
    /// The command line that repeats this run.
    pub repeat: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything was as it must be.
    Passed,
    /// The system did what it must not.
    Failed,
    /// Nobody can say: the run could not be carried out to its end.
    Error,
}

impl Status {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
        }
    }

    /// As a mark, for where there is no room for a word; always beside one that is read out.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Passed => "✓",
            Self::Failed => "✗",
            Self::Error => "!",
        }
    }
}

/// Something that was not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was broken, such as `I2, no false reject`, or an expectation as it is written.
    pub name: String,
    /// What that means, for who has not met it before; may be empty.
    pub means: String,
    /// What was seen and what would have been right, in a sentence or two.
    pub explanation: String,
    /// How many more there were of the same kind: a broken system breaks the same rule again and again.
    pub more: usize,
    /// The sign-in it is about, or one that shows it: its place among the run's, from 0.
    pub request: Option<usize>,
    /// What happened around it, on all hosts, by time.
    pub timeline: Vec<TimelineLine>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineLine {
    /// When.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Duration,
    /// Where: a host, or `fault`.
    pub host: String,
    /// What.
    pub text: String,
}

/// What happened when: what plots are drawn from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Each sign-in, by when it was sent.
    pub sign_ins: Vec<Point>,
    /// Each time that a sign-in was handed to another agent.
    #[serde(rename = "hand_offs_ms", with = "millis::list")]
    pub hand_offs: Vec<Duration>,
    /// Each bind that reached a directory.
    pub binds: Vec<Bind>,
    /// Each time that a directory locked an account.
    #[serde(rename = "lockouts_ms", with = "millis::list")]
    pub lockouts: Vec<Duration>,
}

/// A sign-in, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it was sent.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Duration,
    /// How long the answer took; without an answer, how long the client waited for it.
    #[serde(rename = "latency_ms", with = "millis")]
    pub latency: Duration,
    /// The answer; `None` if none came.
    pub outcome: Option<Outcome>,
    /// What was typed as the password.
    pub typed: Typed,
    /// Whose: the place among the run's tenants.
    #[serde(default, skip_serializing_if = "is_first")]
    pub tenant: usize,
}

/// Most runs have one tenant, and thousands of sign-ins.
fn is_first(place: &usize) -> bool {
    *place == 0
}

impl Point {
    /// The group that its outcome belongs to.
    pub fn group(&self) -> OutcomeGroup {
        OutcomeGroup::of(self.outcome)
    }

    /// When its client knew how it ended.
    pub fn end(&self) -> Duration {
        self.at.saturating_add(self.latency)
    }
}

/// A bind that reached a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// When.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Duration,
    /// What the directory said.
    pub end: BindEnd,
}

/// What a directory said to a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindEnd {
    /// Accepted.
    Accepted,
    /// Refused, and counted towards the account's lockout.
    Counted,
    /// Refused, and not counted.
    Refused,
    /// Something else, or nothing.
    Other,
}

impl BindEnd {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Refused, Self::Counted, Self::Other];

    /// For readers.
    pub fn says(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Counted => "refused and counted towards lockout",
            Self::Refused => "refused, not counted",
            Self::Other => "not judged",
        }
    }
}

/// A fault, from when to when it lasted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// What timelines and plots call it by.
    pub number: usize,
    /// When it began.
    #[serde(rename = "from_ms", with = "millis")]
    pub from: Duration,
    /// When it was over; `from` for what happens in a moment, the run's end for what lasts.
    #[serde(rename = "to_ms", with = "millis")]
    pub to: Duration,
    /// What it is, in a few words.
    pub label: String,
    /// The hosts that it is done to.
    pub hosts: Vec<String>,
    /// What comes and goes: each time that it was there, by time. Empty for what lasts from begin to end.
    #[serde(default)]
    pub times: Vec<TimeSpan>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSpan {
    /// From when.
    #[serde(rename = "from_ms", with = "millis")]
    pub from: Duration,
    /// To when.
    #[serde(rename = "to_ms", with = "millis")]
    pub to: Duration,
}

impl FaultSpan {
    /// When it was there.
    pub fn spans(&self) -> Vec<TimeSpan> {
        match self.times.is_empty() {
            true => vec![TimeSpan {
                from: self.from,
                to: self.to,
            }],
            false => self.times.clone(),
        }
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What, such as `I1, no wrong accept`.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was seen, or why nobody looked; may be empty.
    pub detail: String,
}

/// What came of looking at something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it must be.
    Holds,
    /// It is not.
    Broken,
    /// The scenario says that it is not to be looked at.
    Skipped,
}

impl Verdict {
    /// For readers, with a mark.
    pub fn says(self) -> &'static str {
        match self {
            Self::Holds => "✓ yes",
            Self::Broken => "✗ no",
            Self::Skipped => "– not checked",
        }
    }
}

/// Many runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteReport {
    /// The runs, in the order in which they were asked for.
    pub runs: Vec<RunReport>,
    /// The first seed; runs of one file have it and those that follow.
    pub seed: u64,
    /// How long all of it really took.
    #[serde(rename = "wall_ms", with = "millis")]
    pub wall: Duration,
}

impl RunReport {
    /// How many checks came to this.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    }
}

impl SuiteReport {
    /// How many runs ended so.
    pub fn count(&self, status: Status) -> usize {
        self.runs.iter().filter(|run| run.status == status).count()
    }

    /// The worst of its runs. A suite without runs is an error: nobody looked.
    pub fn status(&self) -> Status {
        let runs = self.runs.iter().map(|run| run.status);
        runs.max_by_key(|status| match status {
            Status::Passed => 0,
            Status::Error => 1,
            Status::Failed => 2,
        })
        .unwrap_or(Status::Error)
    }

    /// The runs of each suite, suites in the order in which they appear.
    pub fn suites(&self) -> Vec<(&str, Vec<&RunReport>)> {
        let mut suites: Vec<(&str, Vec<&RunReport>)> = Vec::new();
        for run in &self.runs {
            match suites.iter_mut().find(|(name, _)| *name == run.suite) {
                Some((_, runs)) => runs.push(run),
                None => suites.push((&run.suite, vec![run])),
            }
        }
        suites
    }
}

/// The runs of one file, which follow each other in a suite.
pub(super) struct OfFile<'a>(pub(super) Vec<&'a RunReport>);

impl<'a> OfFile<'a> {
    /// All files of some runs, in their order.
    pub(super) fn all(runs: &[&'a RunReport]) -> Vec<Self> {
        let files = runs.chunk_by(|one, next| one.file == next.file && one.title == next.title);
        files.map(|runs| Self(runs.to_vec())).collect()
    }

    /// The worst of them.
    pub(super) fn status(&self) -> Status {
        let worst = |status| self.0.iter().any(|run| run.status == status);
        match (worst(Status::Failed), worst(Status::Error)) {
            (true, _) => Status::Failed,
            (false, true) => Status::Error,
            (false, false) => Status::Passed,
        }
    }

    /// `seed 7`, or `98 of 100 seeds`: how many passed.
    pub(super) fn seeds(&self) -> String {
        match self.0.as_slice() {
            [one] => format!("seed {}", one.seed),
            all => format!("{} of {} seeds", all.len() - self.not_passed().count(), all.len()),
        }
    }

    /// Those that did not pass, where that is not said of all at once.
    pub(super) fn not_passed(&self) -> impl Iterator<Item = &'a RunReport> + '_ {
        let many = self.0.len() > 1;
        let runs = self.0.iter().copied();
        runs.filter(move |run| many && run.status != Status::Passed)
    }

    /// Their sign-ins.
    pub(super) fn sign_ins(&self) -> u64 {
        self.0.iter().map(|run| run.summary.sign_ins).sum()
    }

    /// How long all of them really took.
    pub(super) fn took(&self) -> Duration {
        super::text::sum(self.0.iter().map(|run| run.wall_duration))
    }
}

/// Durations as milliseconds.
pub(super) mod millis {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        of(*duration).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        read(f64::deserialize(from)?).map_err(D::Error::custom)
    }

    fn of(duration: Duration) -> f64 {
        duration.as_micros() as f64 / 1000.0
    }

    fn read(ms: f64) -> Result<Duration, String> {
        // What was written is read again to the microsecond, although a binary fraction is not exactly that.
        let micros = (ms * 1000.0).round();
        if (0.0..u64::MAX as f64).contains(&micros) {
            return Ok(Duration::from_micros(micros as u64));
        }
        Err(format!(
            "{ms} is no duration: expected milliseconds, 0 or more and less than {:e}",
            u64::MAX as f64 / 1000.0
        ))
    }

    /// Lists of them.
    pub(crate) mod list {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(durations: &[Duration], to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq(durations.iter().copied().map(of))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
            let all = Vec::<f64>::deserialize(from)?;
            all.into_iter()
                .map(read)
                .collect::<Result<_, _>>()
                .map_err(D::Error::custom)
        }
    }
}
