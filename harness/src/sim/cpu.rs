//! The simulation's thread and the database's take turns and never work at the same time. On one core
//! a turn costs a few microseconds; across two it costs many times that.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and those that it starts from now on, on one of the cores that it may use. Which one
/// follows from the process's number, so that simulations side by side use all more or less; who starts several has
/// each of them started by a thread that [`stay_on`]s a core of its own.
///
/// # Errors
/// As the operating system reports; then nothing has changed.
pub(super) fn stay_on_one() -> std::io::Result<()> {
    stay_on(std::process::id())
}

/// Keeps this thread, and threads and processes that it starts from now on, on one of the cores that it may use:
/// numbers in a row have cores in turn.
///
/// # Errors
/// As the operating system reports; then nothing has changed.
pub(crate) fn stay_on(number: u32) -> std::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut left = number % allowed.count().max(1);
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
