//! Links that are cut under load.

use std::time::Duration;

use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{CORP, Failed, Stage, count, ensure, people};
use crate::sim::{Fault, Load, Rate, Share, TenantPlan, Topology, Typed};

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
    world.at(SECOND * 5, Fault::Partition { a, b });
    let (a, b) = (agent.clone(), cloud.clone());
    world.at(SECOND * 20, Fault::Repair { a, b });
    let (from, to) = (agent.clone(), cloud.clone());
    world.at(SECOND * 50, Fault::PartitionOneWay { from, to });
    let (from, to) = (agent, cloud);
    world.at(SECOND * 60, Fault::RepairOneWay { from, to });
    world.run_until(SECOND * 19)?;
    let attached = world.ask(|admin| async move {
        let tenants = admin.tenants().list().await.unwrap_or_default();
        let mut attached = 0;
        for tenant in tenants {
            let agents = admin.agents(tenant.id).await.unwrap_or_default();
            attached += agents.iter().filter(|(_, presence)| presence.is_some()).count();
        }
        attached
    })?;
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
