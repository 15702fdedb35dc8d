//! What a process that holds passwords does to itself first, and how it is asked to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping at SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping at SIGINT"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
    Ok(())
}
