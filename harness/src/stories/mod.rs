//! Simulations with a plot, told in Rust. Each runs in a process of its own, as `postern story NAME
//! --seed N`; the tests in `harness/tests/it/stories.rs` start them.

pub mod cli;
mod crashes;
mod flow;
mod offices;
mod partition;
mod speed;
mod stage;
mod troubles;

pub use stage::{Failed, Report, Stage};

/// A story.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// Plays it.
    pub play: fn(&mut Stage) -> Result<(), Failed>,
}

/// All stories.
pub const STORIES: &[Story] = &[
    Story {
        name: "main_flow",
        about: "users in every state sign in through three agents with right and wrong passwords",
        play: flow::main_flow,
    },
    Story {
        name: "agent_crash",
        about: "agents crash and come back one after the other under load",
        play: crashes::agent_crash,
    },
    Story {
        name: "cloud_crash",
        about: "the cloud crashes under load and comes back over its database",
        play: crashes::cloud_crash,
    },
    Story {
        name: "partition_and_repair",
        about: "an agent is cut off from the cloud under load, in both ways and in one, and comes back",
        play: partition::partition_and_repair,
    },
    Story {
        name: "idle_agent_is_cut_off",
        about: "an agent that has nothing to do is cut off, which is noticed in time, and comes back",
        play: partition::idle_agent_is_cut_off,
    },
    Story {
        name: "offices",
        about: "two tenants whose administrators drain, change users and stop the cloud, while hosts and links fail",
        play: offices::offices,
    },
    Story {
        name: "troubles",
        about: "hosts hang, the store and the directory fail, clocks jump, an agent dies writing its identity",
        play: troubles::troubles,
    },
    Story {
        name: "speed",
        about: "how much simulated time and how many sign-ins pass in a second of real time",
        play: speed::speed,
    },
];
