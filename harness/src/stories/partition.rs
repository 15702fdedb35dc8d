//! Links that are cut, under load and while nobody signs in.

use std::time::Duration;

use postern_kit::random;
use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{CORP, Failed, Stage, count, ensure, people};
use crate::sim::{Fault, Load, Rate, Share, SimError, TenantPlan, Topology, Typed, World};

const SECOND: Duration = Duration::from_secs(1);

/// One of two agents is cut off, in both ways and then in one: the other one takes over within a
/// sign-in's deadline, and the first one comes back when the link does.
pub(super) fn partition_and_repair(stage: &mut Stage) -> Result<(), Failed> {
    let (directory, names) = people(400);
    let mut world = stage.world(Topology::of(TenantPlan::new(CORP, directory.build(), 2)))?;
    let load = Load {
        tenant: CORP.into(),
        from: Duration::ZERO,
        lasts: SECOND * 90,
        rate: Rate::constant(10.0),
        mix: vec![Share {
            weight: 1.0,
            usernames: names,
            typed: Typed::Right,
        }],
        clients: 1,
    };
    let sent = stage.load(&mut world, &load)?;
    let (agent, cloud) = ("agent1".to_owned(), "cloud".to_owned());
    let (a, b) = (agent.clone(), cloud.clone());
    world.at(SECOND * 5, Fault::Partition { a, b, lost: false });
    let (a, b) = (agent.clone(), cloud.clone());
    world.at(SECOND * 20, Fault::Repair { a, b, lost: false });
    let (from, to) = (agent.clone(), cloud.clone());
    world.at(
        SECOND * 50,
        Fault::PartitionOneWay {
            from,
            to,
            lost: false,
        },
    );
    let (from, to) = (agent, cloud);
    world.at(
        SECOND * 60,
        Fault::RepairOneWay {
            from,
            to,
            lost: false,
        },
    );
    world.run_until(SECOND * 19)?;
    let attached = attached(&mut world)?;
    ensure(attached == 1, || {
        format!("the cloud counts {attached} agents 14 s after the cut, expected 1")
    })?;
    world.run_until(SECOND * 90)?;
    world.settle(SECOND * 30)?;
    let observations = world.observations();
    let signed_in = count(&observations, Outcome::SignedIn);
    let unavailable = count(&observations, Outcome::Unavailable);
    let slowest = observations
        .iter()
        .filter_map(crate::sim::Observation::latency)
        .max();
    stage.say(format!(
        "{sent} sign-ins: {signed_in} signed in, {unavailable} unavailable, the slowest after {:.1} s",
        slowest.unwrap_or_default().as_secs_f64()
    ));
    ensure(signed_in + unavailable == sent, || {
        "somebody was told something else".to_owned()
    })?;
    ensure(signed_in * 100 >= sent * 97, || {
        "fewer than 97 in 100 signed in".to_owned()
    })?;
    ensure(slowest > Some(SECOND), || "the cut was not noticed".to_owned())?;
    ensure(world.agents().iter().all(|agent| agent.attached), || {
        "the agent did not come back".to_owned()
    })?;
    stage.end(&mut world)
}

/// From when an idle agent falls silent until the cloud knows: it is pinged after 30 s and has 2 to answer.
const IDLE_NOTICED_MAX: Duration = Duration::from_secs(32);
/// The cut falls anywhere in so many milliseconds, in which there is a ping.
const PINGED_EVERY_MS: u64 = 30_000;
/// The moments at which that is looked at, and what the way takes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// From when its link is back until it is attached again: it pings every 30 s, has 10 to hear, and then dials.
const IDLE_BACK_MAX: Duration = Duration::from_secs(60);

/// Nobody signs in while one of two agents is cut off: the cloud knows within its bound,
/// and the agent comes back by itself. The other one, as idle, stays.
pub(super) fn idle_agent_is_cut_off(stage: &mut Stage) -> Result<(), Failed> {
    let (directory, _) = people(1);
    let mut world = stage.world(Topology::of(TenantPlan::new(CORP, directory.build(), 2)))?;
    // Idle for long enough that pings have come and gone, and at any moment between two of them.
    let cut = SECOND * 100 + Duration::from_millis(random::below(&stage.random(), PINGED_EVERY_MS));
    let (a, b) = ("agent1".to_owned(), "cloud".to_owned());
    world.at(cut, Fault::Partition { a, b, lost: false });
    let noticed = until(&mut world, cut, IDLE_NOTICED_MAX, 1)?;
    stage.say(format!("noticed {:.1} s after the cut", noticed.as_secs_f64()));
    // Long enough that the agent knows too.
    let healed = cut + SECOND * 90;
    let (a, b) = ("agent1".to_owned(), "cloud".to_owned());
    world.at(healed, Fault::Repair { a, b, lost: false });
    let back = until(&mut world, healed, IDLE_BACK_MAX, 2)?;
    stage.say(format!("back {:.1} s after the repair", back.as_secs_f64()));
    stage.end(&mut world)
}

/// How long after `from` the cloud counts so many attached agents, of two; until then it counts the other number.
fn until(world: &mut World, from: Duration, most: Duration, wanted: usize) -> Result<Duration, Failed> {
    world.run_until(from)?;
    let before = attached(world)?;
    ensure(before != wanted, || {
        format!("{before} agents were attached before")
    })?;
    let mut passed = Duration::ZERO;
    while passed <= most {
        passed += LOOK_EVERY;
        world.run_until(from + passed)?;
        if attached(world)? == wanted {
            return Ok(passed);
        }
    }
    Err(Failed::Broken(format!(
        "the cloud does not count {wanted} agents {:.1} s later",
        passed.as_secs_f64()
    )))
}

/// How many agents the cloud takes for attached.
fn attached(world: &mut World) -> Result<usize, SimError> {
    world.ask(|admin| async move {
        let tenants = admin.tenants().list().await.unwrap_or_default();
        let mut attached = 0;
        for tenant in tenants {
            let agents = admin.agents(tenant.id).await.unwrap_or_default();
            attached += agents.iter().filter(|(_, presence)| presence.is_some()).count();
        }
        attached
    })
}
