//! The log of a simulated run, with simulated time.

use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

struct Stamp;

impl FormatTime for Stamp {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let on_a_host = tokio::runtime::Handle::try_current().is_ok();
        match on_a_host.then(turmoil::sim_elapsed).flatten() {
            Some(at) => write!(w, "{:>10.3}", at.as_secs_f64()),
            None => write!(w, "{:>10}", "-"),
        }
    }
}

/// Logs to standard error: seconds since the simulation began, host, line.
///
/// # Errors
/// If `filter` is not valid.
pub fn log_to_terminal(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    // The host's name is in a span of the simulator.
    let filter = EnvFilter::builder().parse(format!("{filter},turmoil=info"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Stamp)
        .with_target(false)
        .with_writer(std::io::stderr);
    // Another log in this process is a test's business.
    let _ = builder.try_init();
    Ok(())
}
