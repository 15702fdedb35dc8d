//! Simulation without a plot: scenarios that nobody wrote, run until one fails; that run again with
//! everything that happened in it; and the smallest scenario that still fails in the same way.
//!
//! ```text
//!   seed ──generate──▶ Scenario ──trial (a process)──▶ Verdict ──failed──▶ file ──shrink──▶ smaller file
//!                                                                           └──replay──▶ log, timeline
//! ```
//! * [`cli`]: `postern simulate`, `replay` and `shrink`.
//! * [`generate()`]: a scenario from a seed. Pure.
//! * [`trial`]: one run, and what was wrong with it; a process for each, since only one simulation in a process
//!   repeats itself.
//! * [`shrink`]: the search for a smaller case. Pure: whether a case fails, its caller says.
//! * `hunt`: runs one after the other. `replay`: one run again. `written`: how files of cases begin.

pub mod cli;
mod generate;
mod hunt;
mod replay;
pub mod shrink;
pub mod trial;
mod written;

pub use generate::generate;
