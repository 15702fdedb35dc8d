//! Logs: one line of constant text and fields, on standard error.

use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging for a process. `filter` is a `tracing` filter such as `info,some_crate=debug`.
/// Does nothing if logging was started before.
///
/// # Errors
/// If `filter` is not valid.
pub fn start(filter: &str, json: bool) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for people: a file or a journal keeps the bare text.
        .with_ansi(std::io::stderr().is_terminal())
        // A log that nobody can take must not stop what it tells about.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second start in one process is a test's business, not a fault.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    Ok(())
}

/// An error with all its causes, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries say their cause themselves.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
