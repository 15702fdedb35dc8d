//! Reports as JSON, for programmes: the data as it is. Fields are only ever added.

use super::data::SuiteReport;
use super::experiment::Experiment;

/// Runs, as one object; also of one.
///
/// # Errors
/// None that data like this can cause; the library's own.
pub fn suite(report: &SuiteReport) -> serde_json::Result<String> {
    text(report)
}

/// An experiment, as one object.
///
/// # Errors
/// As [`suite`].
pub fn experiment(report: &Experiment) -> serde_json::Result<String> {
    text(report)
}

fn text(report: &impl serde::Serialize) -> serde_json::Result<String> {
    // On one line: a point of a plot on seven would be four times as large and no easier to read.
    let mut text = serde_json::to_string(report)?;
    text.push('\n');
    Ok(text)
}
