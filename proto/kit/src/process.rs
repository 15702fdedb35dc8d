//! What a process that holds passwords does to itself first, how it is asked to stop, and how it ends.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a program ends: with its own code, or with a line about what went wrong on standard error and 1.
pub fn end(ran: Result<ExitCode, Box<dyn Error + Send + Sync>>) -> ExitCode {
    ran.unwrap_or_else(|error| {
        let error = crate::telemetry::chain(error.as_ref());
        // Standard error may be closed, and then there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "error: {error}");
        ExitCode::FAILURE
    })
}

/// Turns off core dumps and attachment by other processes of the same user.
///
/// # Errors
/// As the operating system reports.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the number of files that this process may have open to the most that it may ask for,
/// and returns that; `u64::MAX` if there is no limit. Connections are open files, and the usual
/// soft limit of 1024 is below what one listener takes.
///
/// # Errors
/// As the operating system reports.
pub fn raise_open_files() -> std::io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Cancels `stop` at the first SIGTERM or SIGINT.
///
/// # Errors
/// If the signal handlers cannot be installed.
///
/// # Cancellation
/// Safe to drop; the signals are then ignored.
pub async fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = stop.cancelled() => return Ok(()),
    };
    // First the deed, then the word.
    stop.cancel();
    tracing::info!(signal, "stopping");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // One less than allowed disturbs no other test of this process.
        let current = Some(maximum.map_or(4096, |maximum| maximum - 1));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
        assert_eq!(raise_open_files().unwrap(), maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
