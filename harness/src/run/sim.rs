//! A scenario in the simulation.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use postern_agent::Timeouts;
use postern_cloud::config::LOG_KEEP_DEFAULT;
use postern_directory_mock::{AccountState, Directory, Flavour, Policy, User};

use super::script::Script;
use super::seen::{self, Seeing, Sight};
use crate::canary::Canary;
use crate::check::History;
use crate::scenario::{Arrival, Attempted, PASSWORD_MARK, Person, Scenario, Schedule, State, Tenant};
use crate::sim::{
    AgentPlan, Arrival as Planned, Heard, Latency, Link, Observation, Secret, SimError, Taken, TenantPlan,
    Topology, Typed, Watch, World,
};

/// How far time moves at once.
const TICK: Duration = Duration::from_millis(5);

/// What a write takes in the cloud's database.
const COMMIT: Duration = Duration::from_millis(2);

/// Longest wait for the last answers after the end: a client gives up before.
const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// What a run in the simulation left behind.
#[derive(Debug)]
pub struct Ran {
    /// What everybody saw.
    pub history: History,
    /// The digest of everything that happened, and how many happenings it is of.
    pub digest: (String, u64),
    /// Processes that failed by themselves, with why.
    pub failures: Vec<(String, String)>,
    /// All hosts.
    pub hosts: Vec<String>,
    /// From the beginning of the simulation to its world's start, from which all times count but those of logs.
    pub start: Duration,
}

/// Runs it in this process, which must not have simulated before. `trace` gets every happening as a line.
///
/// # Errors
/// [`SimError`] if the world cannot be built or does not go on.
pub fn run(scenario: &Scenario, schedule: &Schedule, trace: Option<File>) -> Result<Ran, SimError> {
    let watch = Watch::begin(Canary::new(PASSWORD_MARK));
    let topology = topology(scenario, schedule.seed);
    let mut world = World::watched(schedule.seed, topology, trace, Some(watch.clone()))?;
    let script = Script::of(scenario, schedule);
    for controller in scenario.tenants.iter().flat_map(|tenant| &tenant.controllers) {
        if let Some(slow) = script.usual(&controller.name) {
            world.at(Duration::ZERO, slow);
        }
    }
    for due in &schedule.actions {
        for (at, action) in script.actions(due) {
            world.at(at, action);
        }
    }
    world.arrive(
        schedule
            .arrivals
            .iter()
            .map(|arrival| planned(scenario, schedule.seed, arrival)),
    )?;
    world.run_until(scenario.duration)?;
    world.settle(SETTLE_WAIT)?;
    let sight = sight(scenario, &mut world, &watch)?;
    let history = seen::history(scenario, schedule, &script, sight)?;
    Ok(Ran {
        history,
        digest: world.digest(),
        failures: world.failures(),
        hosts: world.host_names().map(str::to_owned).collect(),
        start: world.began(),
    })
}

/// What everybody saw.
fn sight(scenario: &Scenario, world: &mut World, watch: &Watch) -> Result<Sight, SimError> {
    let (ended, asked, sign_ins) = (world.now(), world.asked(), world.observations());
    // Takes some time, in which more may be seen.
    let log = world.sign_ins()?;
    let (mut tenants, mut directories) = (BTreeMap::new(), Vec::new());
    for (at, tenant) in scenario.tenants.iter().enumerate() {
        tenants.insert(world.tenant(&tenant.name)?, at);
        let noted = world.bind_times(&tenant.name).to_vec();
        directories.push((world.directory(&tenant.name)?.clone(), noted));
    }
    let seeing = |one: Observation| Seeing {
        sent: one.sent,
        answered: one.answered,
    };
    let taken = watch.taken().map(|all| {
        let since_start = |taken: Taken| Taken {
            at: taken.at.saturating_sub(world.began()),
            ..taken
        };
        all.into_iter().map(since_start).collect()
    });
    let heard = watch.heard().into_iter().filter_map(|heard| {
        let at = heard.at.checked_sub(world.began())?;
        Some(Heard { at, ..heard })
    });
    Ok(Sight {
        ended,
        heard: heard.collect(),
        before: world.began(),
        slack: Duration::ZERO,
        start: world.wall(Duration::ZERO),
        asked,
        sign_ins: sign_ins.into_iter().map(seeing).collect(),
        agents: world.agents_by_id(),
        tenants,
        taken,
        log,
        leaks: world.leaks()?,
        directories,
    })
}

// What the world consists of.

fn topology(scenario: &Scenario, seed: u64) -> Topology {
    let link = |link: &crate::scenario::Link| {
        let [a, b] = link.between.clone();
        Link {
            a,
            b,
            latency: link.latency,
        }
    };
    Topology {
        tenants: scenario.tenants.iter().map(|one| tenant(one, seed)).collect(),
        clients: scenario.clients() as usize,
        limits: scenario.limits,
        log_keep: LOG_KEEP_DEFAULT,
        tick: TICK,
        latency: Latency {
            min: scenario.latency,
            max: scenario.latency,
        },
        links: scenario.links.iter().map(link).collect(),
        commit: COMMIT,
    }
}

fn tenant(tenant: &Tenant, seed: u64) -> TenantPlan {
    let place = |name: &String| {
        tenant
            .controllers
            .iter()
            .position(|controller| controller.name == *name)
    };
    let agents = tenant.agents.iter().map(|agent| AgentPlan {
        controllers: agent.controllers.iter().filter_map(place).collect(),
    });
    TenantPlan {
        name: tenant.name.clone(),
        tell_locked: tenant.tell_locked,
        directory: directory(tenant, seed),
        controllers: tenant.controllers.len(),
        flavour: FLAVOUR,
        agents: agents.collect(),
        timeouts: Timeouts::default(),
    }
}

/// Whose habits controllers have.
pub(super) const FLAVOUR: Flavour = Flavour::Windows;

/// A tenant's directory with everybody in it, of the run of `seed`.
pub(super) fn directory(tenant: &Tenant, seed: u64) -> Directory {
    let netbios: String = tenant
        .name
        .to_uppercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(15)
        .collect();
    let policy = Policy {
        lockout_threshold: tenant.lockout.threshold,
        lockout_window: tenant.lockout.window,
        lockout_duration: tenant.lockout.duration,
        ..Policy::default()
    };
    let user = |person: Person| {
        let password = Attempted::Of(person, 0).text(seed, &tenant.domain);
        User::new(&person.to_string(), &password)
            .upn(&tenant.username(person))
            .state(state(person.state))
    };
    Directory::builder(&tenant.domain, &netbios)
        .policy(policy)
        .users(tenant.people().map(user))
        .build()
}

pub(super) fn state(state: State) -> AccountState {
    match state {
        State::Ok => AccountState::Normal,
        State::NeverLocks => AccountState::NeverLocks,
        State::Disabled => AccountState::Disabled,
        State::AccountExpired => AccountState::AccountExpired,
        State::PasswordExpired => AccountState::PasswordExpired,
        State::MustChange => AccountState::MustChange,
        State::Locked => AccountState::Locked,
        State::WrongHours => AccountState::NoLogonHours,
        State::WrongWorkstation => AccountState::Workstations(vec!["ANOTHER-PC".to_owned()]),
        State::Protected => AccountState::Protected,
    }
}

fn planned(scenario: &Scenario, seed: u64, arrival: &Arrival) -> Planned {
    let tenant = scenario.tenants.get(arrival.tenant);
    let (name, domain) = tenant.map_or(("", ""), |tenant| (&tenant.name, &tenant.domain));
    Planned {
        at: arrival.at,
        client: (arrival.client as usize).saturating_sub(1),
        tenant: name.into(),
        username: arrival.username.as_str().into(),
        typed: Typed::This(Secret::from(arrival.password.text(seed, domain))),
    }
}
