//! The whole system, on real sockets: what its users would notice.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod admin;
mod attack;
mod crowd;
mod demo;
mod drain;
mod drain_under_load;
mod experiments;
mod failover;
mod forests;
mod import;
mod lab;
mod names;
mod office;
mod overload;
mod planted;
mod process;
mod programs;
mod rush;
mod scenarios;
mod simulate;
mod states;
mod stories;
mod strangers;
mod troubles;
mod trust;
mod wire;
mod world;
