//! Load: how much a system takes, how fast it answers, and what each of its processes costs.
//!
//! * [`engine`]: the open loop.
//! * [`cli`]: `postern load`.
//! * [`agents`]: what idle agents cost.
//! * [`directories`]: binds at the simulated directory and at OpenLDAP, side by side.
//! * [`account`]: what processes used, from the operating system.
//! * `ldap`: the bare client that it is compared with.
//! * [`report`]: table and JSON.

pub mod account;
pub mod agents;
pub mod cli;
pub mod directories;
pub mod engine;
mod ldap;
pub mod report;

pub use account::{Usage, usage};
pub use engine::{Measured, Plan};
pub use report::{Cost, Report};
