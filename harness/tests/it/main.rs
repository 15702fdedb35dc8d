//! The whole system, on real sockets: what its users would notice.

#![expect(clippy::unwrap_used, reason = "test code")]

mod attack;
mod states;
mod troubles;
mod trust;
mod world;
