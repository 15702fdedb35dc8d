//! Everything that needs more than one part: the lab that starts them, the demo, and the checks
//! over the whole system.
//!
//! * [`lab`]: any topology on real sockets, in one process.
//! * [`client`]: the ways in, as users have them.
//! * [`canary`]: looks for passwords where none may be.
//! * [`check`]: whether a run was as it must be: the invariants, and a reference model.
//! * [`experiment`]: scenarios over grids of parameters.
//! * [`load`]: how much it takes, how fast, at what cost.
//! * [`planted`]: bugs on purpose, and whether the simulation sees them.
//! * [`report`]: what a run came to, for people and programmes.
//! * [`scenario`]: stories as files: parsed, checked, and drawn into schedules.
//! * [`sim`]: the whole system in virtual time, from one seed.
//! * [`simulate`]: scenarios that nobody wrote, their replay, and the search for smaller ones.
//! * [`stories`]: simulations with a plot, told in Rust.
//! * [`demo`]: what a newcomer starts.
//! * [`cli`]: the program `postern`.

pub mod canary;
pub mod check;
pub mod cli;
pub mod client;
pub mod demo;
pub mod experiment;
pub mod lab;
pub mod load;
pub mod planted;
pub mod report;
pub mod run;
pub mod scenario;
mod set_up;
pub mod sim;
pub mod simulate;
pub mod stories;
