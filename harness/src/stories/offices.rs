//! Two organisations on one cloud, and what their administrators do.

use std::sync::Arc;
use std::time::Duration;

use postern_directory_mock::{AccountState, Directory, Population};
use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{Failed, Stage, ensure};
use crate::sim::{
    Action, AgentPlan, Arrival, Fault, Link, Load, Observation, Rate, Share, SimError, TenantPlan, Topology,
    Typed, World,
};

const SECOND: Duration = Duration::from_secs(1);
const NAMES: [(&str, &str); 2] = [("north", "north.example.test"), ("south", "south.example.test")];

/// A tenant with two controllers, each asked first by an agent of its own.
fn tenant(number: usize) -> (TenantPlan, Vec<Arc<str>>) {
    let (name, domain) = NAMES[number];
    let population = Population::seeded(number as u64, 100);
    let names = population.people().iter().map(|person| person.upn(domain).into());
    let names = names.collect();
    let directory = Directory::builder(domain, &name.to_uppercase()).population(&population);
    let mut plan = TenantPlan::new(name, directory.build(), 0);
    plan.controllers = 2;
    plan.agents = [[0, 1], [1, 0]]
        .map(|controllers| AgentPlan {
            controllers: controllers.to_vec(),
        })
        .into();
    (plan, names)
}

/// What the first user of the north goes through, each a second before a sign-in with the right password.
fn changes(user: &str) -> Vec<(Action, Outcome)> {
    let (tenant, user) = (|| "north".to_owned(), || user.to_owned());
    let set = |state| Action::SetState {
        tenant: tenant(),
        user: user(),
        state,
    };
    let password = Action::SetPassword {
        tenant: tenant(),
        user: user(),
        password: "Another-Passw0rd".to_owned(),
    };
    let unlock = Action::Unlock {
        tenant: tenant(),
        user: user(),
    };
    vec![
        (password, Outcome::SignedIn),
        (set(AccountState::Disabled), Outcome::Disabled),
        (set(AccountState::Normal), Outcome::SignedIn),
        (set(AccountState::Locked), Outcome::Locked),
        (unlock, Outcome::SignedIn),
    ]
}

fn plan(world: &mut World) {
    let mut at = |seconds, action: Action| world.at(SECOND * seconds, action);
    let host = |name: &str| name.to_owned();
    let drain = |name, drained| Action::Drain {
        host: host(name),
        drained,
    };
    at(2, drain("agent1", true));
    at(10, drain("agent1", false));
    let (a, b) = (host("cloud"), host("client2"));
    at(12, Fault::Hold { a, b }.into());
    let (a, b) = (host("cloud"), host("client2"));
    at(15, Fault::Release { a, b }.into());
    at(20, Fault::Isolate { host: host("dc4") }.into());
    at(28, Fault::Rejoin { host: host("dc4") }.into());
    at(
        30,
        Fault::Crash {
            host: host("client2"),
        }
        .into(),
    );
    at(
        33,
        Fault::Start {
            host: host("client2"),
        }
        .into(),
    );
    at(40, Fault::Stop { host: host("cloud") }.into());
    at(45, Fault::Start { host: host("cloud") }.into());
    at(50, Fault::Crash { host: host("dc2") }.into());
    at(55, Fault::Start { host: host("dc2") }.into());
}

/// Administrators drain an agent, change users, stop the cloud in order; a client crashes, links and controllers
/// fail. Nobody's right password is refused, and nothing of one tenant gets to the other.
pub(super) fn offices(stage: &mut Stage) -> Result<(), Failed> {
    let (north, names) = tenant(0);
    let (south, others) = tenant(1);
    let mut topology = Topology::of(north);
    topology.tenants.push(south);
    topology.clients = 2;
    topology.links = vec![Link {
        a: "agent3".to_owned(),
        b: "dc3".to_owned(),
        latency: Duration::from_millis(40),
    }];
    let mut world = stage.world(topology)?;
    let [first, rest @ ..] = names.as_slice() else {
        return Err(Failed::Broken("nobody is there".to_owned()));
    };
    for (tenant, usernames) in [("north", rest.to_vec()), ("south", others)] {
        let load = Load {
            tenant: tenant.into(),
            from: Duration::ZERO,
            lasts: SECOND * 80,
            rate: Rate::constant(5.0),
            mix: vec![Share {
                weight: 1.0,
                usernames,
                typed: Typed::Right,
            }],
            clients: 2,
        };
        stage.load(&mut world, &load)?;
    }
    plan(&mut world);
    let changes = changes(first);
    for ((action, _), second) in changes.iter().zip(60..) {
        world.at(SECOND * second, action.clone());
        world.arrive([Arrival {
            at: SECOND * second + SECOND / 2,
            client: 0,
            tenant: "north".into(),
            username: first.clone(),
            typed: Typed::Right,
        }])?;
    }
    world.run_until(SECOND * 9)?;
    let quiet = world.sign_ins()?;
    let agent = agent(&world, "agent1");
    let drained = world.wall(SECOND * 3);
    let asked = quiet.iter().filter(|record| record.at > drained);
    let asked = asked.filter(|record| record.attempts.iter().any(|attempt| Some(attempt.agent) == agent));
    ensure(asked.count() == 0, || "a drained agent was asked".to_owned())?;
    world.run_until(SECOND * 80)?;
    world.settle(SECOND * 30)?;
    judge(stage, &world, &changes, first)?;
    apart(&mut world)?;
    stage.end(&mut world)
}

fn agent(world: &World, host: &str) -> Option<postern_proto::ids::AgentId> {
    let agents = world.agents();
    agents
        .into_iter()
        .find(|agent| agent.host == host)
        .and_then(|agent| agent.id)
}

fn judge(
    stage: &mut Stage,
    world: &World,
    changes: &[(Action, Outcome)],
    first: &Arc<str>,
) -> Result<(), Failed> {
    let observations = world.observations();
    let (mine, others): (Vec<_>, Vec<_>) = observations
        .iter()
        .partition(|one| one.arrival.username == *first);
    let outcomes: Vec<_> = mine.iter().map(|one| one.outcome()).collect();
    let expected: Vec<_> = changes.iter().map(|(_, outcome)| Some(*outcome)).collect();
    ensure(outcomes == expected, || {
        format!("the changed user got {outcomes:?}, expected {expected:?}")
    })?;
    let with = |outcome| others.iter().filter(|one| one.outcome() == outcome).count();
    let (signed_in, unavailable) = (with(Some(Outcome::SignedIn)), with(Some(Outcome::Unavailable)));
    let none = with(None);
    stage.say(format!(
        "{} sign-ins: {signed_in} signed in, {unavailable} unavailable, {none} without an outcome",
        others.len()
    ));
    ensure(signed_in + unavailable + none == others.len(), || {
        "somebody was told something else".to_owned()
    })?;
    let lost = |one: &&&Observation| one.answered.is_none();
    ensure(
        others.iter().filter(lost).all(|one| one.arrival.client == 1),
        || "a client that did not crash has no answer".to_owned(),
    )?;
    let late = others.iter().filter(|one| one.arrival.at > SECOND * 60);
    let mut late = late.filter(|one| one.outcome() != Some(Outcome::SignedIn));
    ensure(late.next().is_none(), || "not well again at the end".to_owned())
}

/// No directory was asked about somebody of the other tenant.
fn apart(world: &mut World) -> Result<(), SimError> {
    for (tenant, _) in NAMES {
        let directory = world.directory(tenant)?;
        let strangers = directory
            .journal()
            .all()
            .into_iter()
            .filter(|bind| bind.object.is_none());
        if strangers.count() > 0 {
            return Err(SimError::Failed(format!("{tenant} was asked about a stranger")));
        }
    }
    Ok(())
}
