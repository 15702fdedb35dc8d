//! The whole system, on real sockets: what its users would notice.

mod attack;
mod states;
mod troubles;
mod trust;
mod world;
