//! The simulation's thread and the database's take turns and never work at the same time. On one core
//! a turn costs a few microseconds; across two it costs many times that.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and those that it starts from now on, on one of the cores that it may use. Which one
/// follows from the process's number, so that simulations side by side use all.
///
/// # Errors
/// As the operating system reports; then nothing has changed.
pub(super) fn stay_on_one() -> std::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cores = allowed.count().max(1);
    let chosen = std::process::id() % cores;
    let mut left = chosen;
    for core in (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)) {
        if left == 0 {
            let mut one = CpuSet::new();
            one.set(core);
            return Ok(sched_setaffinity(None, &one)?);
        }
        left -= 1;
    }
    Ok(())
}
