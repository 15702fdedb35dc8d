//! Reports as JUnit's XML, which build servers show: a case for each run, in the suites of the scenarios.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::data::{Finding, RunReport, Status, SuiteReport};
use super::{terminal, text};

/// Many runs. Cases are called by title and seed and are of the class of their file.
///
/// # Errors
/// [`SerializeError`] if the library cannot write it.
pub fn suite(report: &SuiteReport) -> Result<String, SerializeError> {
    let mut all = Report::new("postern scenarios");
    all.set_time(report.wall);
    for (name, runs) in report.suites() {
        let mut suite = TestSuite::new(name);
        suite.set_time(text::sum(runs.iter().map(|run| run.wall_duration)));
        suite.add_test_cases(runs.into_iter().map(case));
        all.add_test_suite(suite);
    }
    all.to_string()
}

fn case(run: &RunReport) -> TestCase {
    let status = match run.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Failed => not_passed(run, NonSuccessKind::Failure),
        Status::Error => not_passed(run, NonSuccessKind::Error),
    };
    let mut case = TestCase::new(format!("{} (seed {})", run.title, run.seed), status);
    case.set_classname(run.file.as_str());
    case.set_time(run.wall_duration);
    case.set_system_out(format!("{}\n", run.repeat));
    for (name, value) in [
        ("seed", run.seed.to_string()),
        ("version", run.version.clone()),
        ("digest", run.digest.clone()),
        ("sign_ins", run.summary.sign_ins.to_string()),
    ] {
        case.add_property(Property::new(name, value));
    }
    case
}

fn not_passed(run: &RunReport, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let message = match run.findings.first() {
        Some(first) => format!("{}: {}", first.name, first.explanation),
        None => format!("the run ended with: {}", run.status.word()),
    };
    status.set_message(message);
    if let Some(first) = run.findings.first() {
        status.set_type(first.name.as_str());
    }
    let mut description = String::new();
    for finding in &run.findings {
        describe(&mut description, finding);
    }
    let _ = writeln!(description, "\nrepeat it with: {}", run.repeat);
    status.set_description(description);
    status
}

/// Writing to a string does not fail.
fn describe(to: &mut String, finding: &Finding) {
    let _ = writeln!(to, "{}: {}", finding.name, finding.explanation);
    if let Some(more) = terminal::more(finding) {
        let _ = writeln!(to, "  {more}");
    }
    let hosts = finding.timeline.iter().map(|line| line.host.len());
    let width = hosts.max().unwrap_or(0);
    for line in &finding.timeline {
        let at = text::moment(line.at);
        let _ = writeln!(to, "  {at:>10} s  {:width$}  {}", line.host, line.text);
    }
}
