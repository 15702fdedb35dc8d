//! The contract between cloud and agent: what both sides must compute alike, and nothing that
//! waits, listens or writes.
//!
//! * [`ids`], [`names`], [`password`]: the types that the inside of the system speaks; parsed at the edge.
//! * [`verdict`]: the closed table of what a directory can say about a password.
//! * [`seal`]: how a password travels so that one agent alone can read it, once.
//! * [`certificate`]: what the certificates of the private PKI say about their owner.
//! * [`wire`]: the generated messages and services.

pub mod certificate;
pub mod enrolment;
#[cfg(test)]
mod golden;
pub mod ids;
pub mod names;
pub mod password;
pub mod seal;
pub mod verdict;
pub mod wire;
