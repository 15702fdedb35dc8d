//! What a run came to, as a [`RunReport`]: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::sim::Ran;
use crate::check::{self, BindEnd as Ended, Failures, History, Violation, check, describe, expectations};
use crate::report::{
    Bind, BindEnd, CheckLine, FaultSpan, Finding, Point, RunReport, Series, Status, Summary, TimeSpan,
    TimelineLine, Verdict,
};
use crate::scenario::{Deed, Invariant, Outcome, Scenario, Schedule, Trouble, Typed, World};

/// What a report says of a run beside what happened in it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The scenario's file, as it was given.
    pub file: String,
    /// The scenario as it is written, for expectations in the words of their file.
    pub text: String,
    /// Where it ran.
    pub world: World,
    /// The seed that everything was drawn from.
    pub seed: u64,
    /// What ran: the version, and the commit where it is known.
    pub version: String,
    /// How long the run really took.
    pub wall: Duration,
    /// The command line that repeats it.
    pub repeat: String,
}

/// The report of a run that went to its end.
pub fn report(frame: &Frame, scenario: &Scenario, schedule: &Schedule, ran: &Ran) -> RunReport {
    let history = &ran.history;
    let failures = check::failures(history);
    let series = series(history, &failures);
    let mut report = blank(frame, scenario);
    report.virtual_duration = history.ended;
    report.digest = ran.digest.0.clone();
    report.hosts = ran.hosts.clone();
    report.summary = summary(history, &series, &failures);
    report.series = series;
    report.faults = faults(schedule, history);
    for (host, why) in &ran.failures {
        report.findings.push(Finding {
            name: format!("the process of {host} fails"),
            means: "No process ends by itself unless the scenario kills it.".to_owned(),
            explanation: why.clone(),
            more: 0,
            request: None,
            timeline: Vec::new(),
        });
    }
    judge(&mut report, frame, scenario, history);
    report.status = match report.findings.is_empty() {
        true => Status::Passed,
        false => Status::Failed,
    };
    report
}

/// The report of a run that could not be carried out to its end.
pub fn not_carried_out(frame: &Frame, scenario: &Scenario, why: &str) -> RunReport {
    let mut report = blank(frame, scenario);
    report.findings.push(Finding {
        name: "the run was not carried out to its end".to_owned(),
        means: String::new(),
        explanation: why.to_owned(),
        more: 0,
        request: None,
        timeline: Vec::new(),
    });
    report
}

/// Of a run of which nothing is known yet.
fn blank(frame: &Frame, scenario: &Scenario) -> RunReport {
    let folder = Path::new(&frame.file).parent().and_then(Path::file_name);
    RunReport {
        title: scenario.title.clone(),
        about: scenario.about.clone(),
        file: frame.file.clone(),
        suite: folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        world: frame.world,
        seed: frame.seed,
        version: frame.version.clone(),
        virtual_duration: scenario.duration,
        wall_duration: frame.wall,
        digest: String::new(),
        hosts: scenario.hosts(),
        tenants: scenario
            .tenants
            .iter()
            .map(|tenant| tenant.name.clone())
            .collect(),
        status: Status::Error,
        findings: Vec::new(),
        summary: Summary::default(),
        series: Series::default(),
        faults: Vec::new(),
        checks: Vec::new(),
        repeat: frame.repeat.clone(),
    }
}

fn series(history: &History, failures: &BTreeMap<usize, Failures>) -> Series {
    let point = |request: &check::Request| Point {
        at: request.sent,
        latency: request.end(history.ended).saturating_sub(request.sent),
        outcome: request.answer().map(|answer| answer.outcome),
        typed: request.typed,
        tenant: request.tenant,
    };
    let bind = |bind: &check::Bind| Bind {
        at: bind.at,
        end: match bind.end {
            Ended::Accepted => BindEnd::Accepted,
            _ if bind.counted => BindEnd::Counted,
            Ended::Refused(_) => BindEnd::Refused,
            Ended::Answered(_) | Ended::Dropped | Ended::Anonymous => BindEnd::Other,
        },
    };
    let mut hand_offs: Vec<_> = history.log.iter().flat_map(hand_offs).collect();
    hand_offs.sort();
    let mut lockouts: Vec<_> = failures.values().filter_map(|of| of.locked_at).collect();
    lockouts.sort();
    Series {
        sign_ins: history.requests.iter().map(point).collect(),
        hand_offs,
        binds: history.binds.iter().map(bind).collect(),
        lockouts,
    }
}

/// When a sign-in went on to another agent: at the end of each attempt but the last.
fn hand_offs(record: &check::Logged) -> Vec<Duration> {
    let mut at = record.at;
    let mut all = Vec::new();
    let (_, before) = record.attempts.split_last().unzip();
    for attempt in before.into_iter().flatten() {
        at = at.saturating_add(attempt.total);
        all.push(at);
    }
    all
}

fn summary(history: &History, series: &Series, failures: &BTreeMap<usize, Failures>) -> Summary {
    let accounts_with = |typed: Typed, outcome: Outcome| {
        let its = history.requests.iter().filter(|request| {
            request.typed == typed && request.answer().is_some_and(|answer| answer.outcome == outcome)
        });
        let accounts: BTreeSet<_> = its.filter_map(|request| request.account).collect();
        accounts.len() as u64
    };
    let highest = failures.values().map(|of| of.highest).max();
    Summary {
        failures_per_account_max: highest.unwrap_or(0).into(),
        accounts: history.accounts.len() as u64,
        locked_accounts: series.lockouts.len() as u64,
        closed_accounts: accounts_with(Typed::Right, Outcome::TooManyAttempts),
        fallen_accounts: accounts_with(Typed::Guessed, Outcome::SignedIn),
        log_records: history.log.len() as u64,
        ..Summary::of(series)
    }
}

fn faults(schedule: &Schedule, history: &History) -> Vec<FaultSpan> {
    let span = |(number, fault): (usize, &crate::scenario::Fault)| FaultSpan {
        number,
        from: fault.at,
        to: fault.end().min(history.ended).max(fault.at),
        label: match &fault.name {
            Some(name) => format!("{} ({name})", describe(&fault.trouble)),
            None => describe(&fault.trouble),
        },
        hosts: (fault.trouble.hosts().into_iter())
            .map(|(_, host)| host.to_owned())
            .collect(),
        times: match fault.trouble {
            Trouble::Flapping { .. } => times(schedule, number, history.ended),
            _ => Vec::new(),
        },
    };
    let mut all: Vec<_> = schedule.faults.iter().enumerate().map(span).collect();
    all.sort_by_key(|fault| fault.from);
    all
}

/// When a fault that comes and goes was there.
fn times(schedule: &Schedule, fault: usize, ended: Duration) -> Vec<TimeSpan> {
    let mut times = Vec::new();
    let mut since = None;
    for action in schedule.actions.iter().filter(|action| action.fault == fault) {
        match (action.deed, since.take()) {
            (Deed::Begin, _) => since = Some(action.at),
            (Deed::End, Some(from)) => times.push(TimeSpan { from, to: action.at }),
            (Deed::End, None) => {}
        }
    }
    times.extend(since.map(|from| TimeSpan {
        from,
        to: ended.max(from),
    }));
    times
}

/// Looks at everything that there is to look at: all lines into `checks`, what is broken also into `findings`.
fn judge(report: &mut RunReport, frame: &Frame, scenario: &Scenario, history: &History) {
    let excepted: Vec<_> = (scenario.expect.except.read())
        .map(|(_, except)| (except.invariant, except.because.as_str()))
        .collect();
    let violations = check(
        history,
        &excepted.iter().map(|(invariant, _)| *invariant).collect(),
    );
    for invariant in Invariant::ALL {
        let because = excepted.iter().find(|(other, _)| *other == invariant);
        let broken: Vec<_> = (violations.iter())
            .filter(|violation| violation.invariant == invariant)
            .collect();
        let (verdict, detail) = match (because, broken.len()) {
            (Some((_, because)), _) => (Verdict::Skipped, (*because).to_owned()),
            (None, 0) => (Verdict::Holds, String::new()),
            (None, 1) => (Verdict::Broken, "broken once".to_owned()),
            (None, count) => (Verdict::Broken, format!("broken {count} times")),
        };
        report.checks.push(CheckLine {
            name: named(invariant),
            verdict,
            detail,
        });
        if let Some((first, others)) = broken.split_first() {
            report.findings.push(violated(first, others.len()));
        }
    }
    let written = toml::from_str(&frame.text).unwrap_or_default();
    for found in expectations(scenario, history) {
        let name = expected(&written, &found.field);
        if !found.holds {
            report.findings.push(Finding {
                name: name.clone(),
                means: "The scenario's file expects this.".to_owned(),
                explanation: format!("Seen: {}.", found.seen),
                more: 0,
                request: found.example,
                timeline: found
                    .example
                    .map_or_else(Vec::new, |request| timeline(&check::timeline(history, request))),
            });
        }
        report.checks.push(CheckLine {
            name,
            verdict: if found.holds {
                Verdict::Holds
            } else {
                Verdict::Broken
            },
            detail: found.seen,
        });
    }
}

/// `I2, no false reject`
fn named(invariant: Invariant) -> String {
    match invariant {
        Invariant::Answers => invariant.says().to_owned(),
        _ => format!("{invariant}, {}", invariant.says()),
    }
}

fn violated(violation: &Violation, more: usize) -> Finding {
    Finding {
        name: named(violation.invariant),
        means: violation.invariant.means().to_owned(),
        explanation: format!("Seen: {}. Allowed: {}.", violation.seen, violation.allowed),
        more,
        request: violation.request,
        timeline: timeline(&violation.timeline),
    }
}

fn timeline(timeline: &check::Timeline) -> Vec<TimelineLine> {
    let line = |line: &check::Line| TimelineLine {
        at: line.at,
        host: line.host.clone(),
        text: line.what.clone(),
    };
    timeline.0.iter().map(line).collect()
}

/// An expectation in the words of its file: `expected answers: signed_in all, of typed right`; by its field where it
/// cannot be found there.
fn expected(written: &toml::Table, field: &str) -> String {
    let mut path = steps(field);
    let Some(last) = path.pop() else {
        return field.to_owned();
    };
    let mut at = written.get("expect");
    let mut scope = Vec::new();
    for step in path.iter().skip(1) {
        at = at.and_then(|at| inner(at, step));
        for name in ["of", "outcome"] {
            if let Some(value) = at.and_then(|at| at.get(name)) {
                scope.push(format!("{name} {}", inline(value)));
            }
        }
    }
    let section = path.get(1).copied().unwrap_or_default();
    let Some(value) = at.and_then(|at| inner(at, last)) else {
        return field.to_owned();
    };
    let what = match value {
        toml::Value::Table(_) => format!("expected {section}: {}", inline(value)),
        _ => format!("expected {section}: {last} {}", inline(value)),
    };
    match scope.is_empty() {
        true => what,
        false => format!("{what}, {}", scope.join(", ")),
    }
}

/// `expect.answers[0].are` is `expect`, `answers`, `0`, `are`.
fn steps(field: &str) -> Vec<&str> {
    let steps = field.split(['.', '[', ']']);
    steps.filter(|step| !step.is_empty()).collect()
}

fn inner<'a>(value: &'a toml::Value, step: &str) -> Option<&'a toml::Value> {
    match value {
        toml::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    }
}

/// A value on one line, as a reader writes it.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Table(table) => {
            let fields: Vec<_> = table
                .iter()
                .map(|(name, value)| format!("{name} {}", inline(value)))
                .collect();
            fields.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    #[test]
    fn a_link_that_flaps_was_down_as_often_as_it_was() {
        let text = "title = 'A link flaps'\nduration = '60s'\n[[tenant]]\nname = 'contoso'\nusers = { ok = 5 }\n\
            [[load]]\nrate = '1/s'\n[[fault]]\nat = '10s'\nfor = '22s'\nkind = 'flapping'\n\
            between = ['agent1', 'cloud']\ndown = '3s'\nup = '7s'\n";
        let scenario = parse("f", text).unwrap();
        let schedule = Schedule::draw(&scenario, 1);
        let history = History {
            ended: Duration::from_secs(60),
            ..History::of(&scenario)
        };
        let spans = faults(&schedule, &history);
        let times: Vec<_> = (spans[0].times.iter())
            .map(|span| (span.from.as_secs(), span.to.as_secs()))
            .collect();
        assert_eq!(times, [(10, 13), (20, 23), (30, 32)]);
        assert_eq!((spans[0].from.as_secs(), spans[0].to.as_secs()), (10, 32));
        assert_eq!(spans[0].spans().len(), 3);
    }
}
