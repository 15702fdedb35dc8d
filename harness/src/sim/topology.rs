//! What a world consists of, as plain data. Hosts are named by kind and number, counted through all
//! tenants in order: `cloud`, `dc1`, `dc2`, …, `agent1`, …, `client1`, ….

use std::time::Duration;

use postern_agent::Timeouts;
use postern_cloud::config::{LOG_KEEP_DEFAULT, Limits};
use postern_directory_mock::{Directory, Flavour};

/// How long messages take, drawn for each one; most are near the shorter end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

/// A link that is slower or faster than the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// One end.
    pub a: String,
    /// The other end.
    pub b: String,
    /// What every message takes.
    pub latency: Duration,
}

/// An agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentPlan {
    /// Which of its tenant's controllers it may ask, by their place among them from 0, the preferred
    /// one first. Empty: all of them in order.
    pub controllers: Vec<usize>,
}

/// A tenant, its directory and its agents.
#[derive(Clone, Debug)]
pub struct TenantPlan {
    /// Its short name.
    pub name: String,
    /// Whether its users are told that the directory has locked them.
    pub tell_locked: bool,
    /// Its directory. All users with a userPrincipalName become users of the tenant.
    pub directory: Directory,
    /// How many controllers share the directory.
    pub controllers: usize,
    /// Whose habits they have.
    pub flavour: Flavour,
    /// Its agents.
    pub agents: Vec<AgentPlan>,
    /// How long an agent's single steps may take.
    pub timeouts: Timeouts,
}

impl TenantPlan {
    /// A tenant with this many agents, each of which asks the one controller.
    pub fn new(name: &str, directory: Directory, agents: usize) -> Self {
        Self {
            name: name.to_owned(),
            tell_locked: true,
            directory,
            controllers: 1,
            flavour: Flavour::Windows,
            agents: vec![AgentPlan::default(); agents],
            timeouts: Timeouts::default(),
        }
    }
}

/// What a world consists of.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The tenants.
    pub tenants: Vec<TenantPlan>,
    /// Hosts on which programmes run that call `SignIn`, for any tenant.
    pub clients: usize,
    /// What a sign-in may take.
    pub limits: Limits,
    /// How long records of the sign-in log are kept.
    pub log_keep: Duration,
    /// How far time moves at once. Cost goes down with it; what happens within one is not told apart.
    pub tick: Duration,
    /// How long messages take where nothing else is said. What is below a tick takes about one.
    pub latency: Latency,
    /// Links that differ.
    pub links: Vec<Link>,
    /// What a write takes in the cloud's database, commit included.
    pub commit: Duration,
}

/// A small server's solid state disk.
const COMMIT: Duration = Duration::from_millis(2);

/// A tick that lets an hour of light traffic pass in seconds and still is below what people notice.
const TICK: Duration = Duration::from_millis(5);

impl Topology {
    /// One tenant and one client, everything else as in production, on a fast network.
    pub fn of(tenant: TenantPlan) -> Self {
        Self {
            tenants: vec![tenant],
            clients: 1,
            limits: Limits::default(),
            log_keep: LOG_KEEP_DEFAULT,
            tick: TICK,
            latency: Latency {
                min: Duration::from_millis(1),
                max: Duration::from_millis(10),
            },
            links: Vec::new(),
            commit: COMMIT,
        }
    }
}
