//! The whole system in virtual time, from one seed: the real cloud, real agents and the real
//! directory-mock as hosts of a simulated network (`turmoil`), with their real TLS, HTTP/2, LDAP and
//! SQLite. The only room that knows the simulator.
//!
//! A [`World`] is built from a [`Topology`] and a seed. It is told what is to come, as plain data:
//! sign-ins ([`Arrival`]) and events ([`Action`], most of them [`Fault`]s), each with its time. It then
//! runs through a span of virtual time, and is asked afterwards what everybody saw: the clients
//! ([`Observation`]), the directories' journals, the cloud's sign-in log, the agents.
//!
//! # Rules
//! * One world per process: the runtime numbers its tasks through the process, and a crashed host drops
//!   them in an order that depends on the numbers.
//! * Same seed, same topology, same plan: the same [`World::digest`]. Keys and nonces come from the seed,
//!   except for those inside TLS, whose lengths do not vary.
//! * Time moves in steps (5 ms unless the topology says otherwise). Messages arrive and events happen
//!   at the beginning of a step; timers and arrivals are exact to a millisecond.
//! * One real clock is left: `h2` forgets streams that it has reset after a second of real time.
//! * The database answers while virtual time stands still; slowness is a [`StoreFault`].

mod act;
mod admin;
mod build;
mod client;
mod cpu;
mod cuts;
mod disk;
mod fault;
mod gate;
mod host;
mod load;
mod log;
mod net;
mod parts;
mod random;
mod store;
mod time;
mod topology;
mod trace;
mod watch;
mod world;

pub(crate) use cpu::stay_on;
pub(crate) use watch::{FILTER, TAKEN};

pub use client::{Answer, Arrival, Observation, Secret, Typed};
pub use disk::Tear;
pub use fault::{Action, DirectoryFault, Fault};
pub use load::{Load, Rate, Share};
pub use log::{LogLine, MemoryLog, log_to_memory, log_to_terminal};
pub use store::StoreFault;
pub use time::{EPOCH, SimClock, VirtualTime};
pub use topology::{AgentPlan, Latency, Link, TenantPlan, Topology};
pub use watch::{Heard, Stream, Taken, Watch};
pub use world::{AgentState, Asked, SimError, World};
