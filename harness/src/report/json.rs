//! Reports as JSON, for programmes: the data as it is. Fields are only ever added.

use super::data::{RunReport, SuiteReport};
use super::experiment::Experiment;

/// One run, as one object.
///
/// # Errors
/// None that data like this can cause; the library's own.
pub fn run(report: &RunReport) -> serde_json::Result<String> {
    text(report)
}

/// Many runs, as one object.
///
/// # Errors
/// As [`run`].
pub fn suite(report: &SuiteReport) -> serde_json::Result<String> {
    text(report)
}

/// An experiment, as one object.
///
/// # Errors
/// As [`run`].
pub fn experiment(report: &Experiment) -> serde_json::Result<String> {
    text(report)
}

fn text(report: &impl serde::Serialize) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}
