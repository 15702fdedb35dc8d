//! Carries scenarios out: what a schedule says is done to a world, and what everybody saw becomes a
//! history, of which others say whether it may be so.
//!
//! ```text
//!   Scenario ──seed──▶ Schedule ──▶ world (simulated) ──▶ History ──▶ checks ──▶ report
//! ```
//! * [`cli`]: `postern scenario`.
//! * [`sim`]: over the simulation, in virtual time.
//! * `script`: what is done to the world; `seen`: what everybody saw; `clocks`: what wall clocks that were
//!   moved say of the time.

pub mod cli;
mod clocks;
mod script;
mod seen;
pub mod sim;
