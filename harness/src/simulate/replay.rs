//! One run again, with everything that happened in it: the log of all hosts in one column of time, and the way of
//! the sign-ins that matter.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use super::trial::{self, Verdict};
use crate::check::{History, Line, Timeline};
use crate::scenario::Scenario;
use crate::sim::{self, LogLine};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Sign-ins that are shown in full: more are found by number.
const SHOWN: usize = 3;

/// Which sign-ins to show.
#[derive(Clone, Debug)]
pub(super) enum Sought {
    /// Those that something was wrong with.
    Wrong,
    /// The one at this place.
    Request(usize),
    /// Those of this user: the name before the @, or all that is typed.
    User(String),
}

impl Sought {
    fn places(&self, history: &History, verdict: &Verdict) -> Result<Vec<usize>, String> {
        let count = history.requests.len();
        match self {
            Self::Wrong => {
                let all: BTreeSet<_> = verdict.wrong.iter().filter_map(|wrong| wrong.request).collect();
                Ok(all.into_iter().take(SHOWN).collect())
            }
            Self::Request(at) if *at < count => Ok(vec![*at]),
            Self::Request(at) => Err(format!(
                "--request: {at} is none; expected 0 to {}",
                count.saturating_sub(1)
            )),
            Self::User(name) => {
                let theirs = |username: &str| {
                    let username = username.trim().to_lowercase();
                    let local = username.split('@').next().unwrap_or_default();
                    *name == username || name == local
                };
                let requests = history.requests.iter().enumerate();
                let all: Vec<_> = requests
                    .filter(|(_, one)| theirs(&one.username))
                    .map(|(at, _)| at)
                    .collect();
                if all.is_empty() {
                    return Err(format!("--user: nobody called {name:?} signed in"));
                }
                Ok(all)
            }
        }
    }
}

/// Runs in this process, which must not have simulated before, and says everything: the log to `log_to`, if that is
/// given. What came of it.
///
/// # Errors
/// What cannot be written, or a sign-in is sought that is none.
pub(super) fn replay(
    scenario: &Scenario,
    seed: u64,
    sought: &Sought,
    filter: &str,
    log_to: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Verdict, Failed> {
    let log = sim::log_to_memory(filter)?;
    let mut file = log_to.map(File::create).transpose()?.map(BufWriter::new);
    let trial = match trial::run(scenario, seed, None) {
        Ok(trial) => trial,
        Err(error) => {
            // As far as it came.
            let lines: Vec<_> = log.lines().iter().map(|line| own(line, Duration::ZERO)).collect();
            whole(&lines, &mut file, out)?;
            return Ok(trial::not_run(&error));
        }
    };
    let lines = log.lines();
    let lines: Vec<_> = lines.iter().map(|line| own(line, trial.ran.start)).collect();
    let mut all = lines.clone();
    all.extend(Timeline::whole(&trial.ran.history).0);
    all.sort_by_key(|line| line.at);
    whole(&all, &mut file, out)?;
    if log.dropped() > 0 {
        writeln!(out, "  and {} lines of the log that were too many", log.dropped())?;
    }
    let history = &trial.ran.history;
    let places = sought.places(history, &trial.verdict)?;
    for place in places {
        writeln!(out, "\nsign-in {place}:{}", of_one(history, place, &lines))?;
    }
    Ok(trial.verdict)
}

/// A line of a host's log, with the time since the world's start as all others have it.
fn own(line: &LogLine, start: Duration) -> Line {
    let before = start.saturating_sub(line.at);
    let early = if before.is_zero() {
        String::new()
    } else {
        format!("({:.3} s before the start) ", before.as_secs_f64())
    };
    Line {
        at: line.at.saturating_sub(start),
        host: line.host.clone(),
        what: format!("{early}{} {}", line.level, line.text),
    }
}

/// The log of all hosts.
fn whole(lines: &[Line], file: &mut Option<BufWriter<File>>, out: &mut dyn Write) -> io::Result<()> {
    let out: &mut dyn Write = match file {
        Some(file) => file,
        None => out,
    };
    for line in lines {
        writeln!(
            out,
            "  {:>10.3} s  {:8}  {}",
            line.at.as_secs_f64(),
            line.host,
            line.what
        )?;
    }
    out.flush()
}

/// The way of one sign-in across hosts, with what their logs said meanwhile.
fn of_one(history: &History, place: usize, log: &[Line]) -> Timeline {
    let mut timeline = Timeline::of_request(history, place);
    let Some(request) = history.requests.get(place) else {
        return timeline;
    };
    let meanwhile = request.sent..=request.end(history.ended);
    let hosts: BTreeSet<_> = timeline.0.iter().map(|line| line.host.clone()).collect();
    let id = request.answer().map(|answer| answer.request.as_str());
    // What a line says of another request is nothing of this one's.
    let anothers = |what: &str| what.contains("request=") && !id.is_some_and(|id| what.contains(id));
    let said = log
        .iter()
        .filter(|line| meanwhile.contains(&line.at) && hosts.contains(&line.host) && !anothers(&line.what));
    timeline.0.extend(said.cloned());
    timeline.0.sort_by_key(|line| line.at);
    timeline
}
