//! The way to a directory as the rest of the agent uses it: from a question to a verdict, over real
//! sockets and TLS.

#![expect(clippy::unwrap_used, reason = "test code")]

mod bench;
mod contract;
mod controllers;
mod corpus;
mod discovered;
mod faults;
mod forest;
mod identity;
mod inspect;
mod network;
mod real;
mod search;
mod suffixes;
