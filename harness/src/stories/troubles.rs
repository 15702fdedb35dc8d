//! One trouble after the other, each over before the next one.

use std::time::Duration;

use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{CORP, Failed, Stage, count, ensure, ensure_not_false, people};
use crate::sim::{
    Action, DirectoryFault, Fault, Load, Rate, Share, StoreFault, Tear, TenantPlan, Topology, Typed, World,
};

const SECOND: Duration = Duration::from_secs(1);
/// All troubles are over.
const QUIET: u32 = 80;
/// The load ends.
const END: u32 = 100;

fn plan(world: &mut World) {
    let mut at = |seconds, action: Action| world.at(SECOND * seconds, action);
    let host = |name: &str| name.to_owned();
    at(2, Fault::Hang { host: host("agent1") }.into());
    at(10, Fault::Resume { host: host("agent1") }.into());
    let directory = |fault, times| Fault::Directory {
        host: host("dc1"),
        fault,
        times,
    };
    at(15, directory(DirectoryFault::Hang, Some(3)).into());
    at(20, directory(DirectoryFault::ResetJudged, Some(3)).into());
    at(
        22,
        directory(DirectoryFault::Slow(Duration::from_millis(700)), None).into(),
    );
    at(26, directory(DirectoryFault::Clear, None).into());
    at(27, Fault::Hang { host: host("dc1") }.into());
    at(33, Fault::Resume { host: host("dc1") }.into());
    let store = |fault, times| Fault::Store { fault, times };
    at(40, store(StoreFault::FailsBefore, Some(10)).into());
    at(42, store(StoreFault::FailsAfter, Some(10)).into());
    at(44, store(StoreFault::Unknown, Some(10)).into());
    at(
        46,
        store(StoreFault::Slow(Duration::from_millis(500)), None).into(),
    );
    at(50, Fault::StoreWell.into());
    let jump = |name, ms| Fault::ClockJump { host: host(name), ms };
    at(52, jump("cloud", 3_600_000).into());
    at(54, jump("cloud", -3_600_000).into());
    at(55, jump("agent2", 90_000).into());
    let tear = Fault::TearFile {
        host: host("agent2"),
        tear: Tear::Renamed,
        nth: 2,
    };
    at(60, tear.into());
    at(60, Action::Enrol { host: host("agent2") });
    at(65, Fault::Start { host: host("agent2") }.into());
    let (from, to) = (host("agent1"), host("dc1"));
    at(
        70,
        Fault::PartitionOneWay {
            from,
            to,
            lost: false,
        }
        .into(),
    );
    let (from, to) = (host("agent1"), host("dc1"));
    at(
        75,
        Fault::RepairOneWay {
            from,
            to,
            lost: false,
        }
        .into(),
    );
}

/// One trouble after the other under load: no right password is ever refused, no wrong one accepted, and
/// when they are over all is well.
pub(super) fn troubles(stage: &mut Stage) -> Result<(), Failed> {
    let (directory, names) = people(500);
    let mut tenant = TenantPlan::new(CORP, directory.build(), 3);
    tenant.controllers = 2;
    let mut world = stage.world(Topology::of(tenant))?;
    let share = |weight, typed| Share {
        weight,
        usernames: names.clone(),
        typed,
    };
    let load = Load {
        tenant: CORP.into(),
        from: Duration::ZERO,
        lasts: SECOND * END,
        rate: Rate::constant(10.0),
        mix: vec![share(9.0, Typed::Right), share(1.0, Typed::Wrong)],
        clients: 1,
    };
    let sent = stage.load(&mut world, &load)?;
    plan(&mut world);
    world.run_until(SECOND * 64)?;
    let agent = world.agents().into_iter().find(|agent| agent.host == "agent2");
    ensure(agent.is_some_and(|agent| !agent.running), || {
        "agent2 did not die writing its identity".to_owned()
    })?;
    world.run_until(SECOND * END)?;
    world.settle(SECOND * 30)?;
    let observations = world.observations();
    let outcomes = [Outcome::SignedIn, Outcome::Refused, Outcome::Unavailable];
    let [signed_in, refused, unavailable] = outcomes.map(|outcome| count(&observations, outcome));
    stage.say(format!(
        "{sent} sign-ins: {signed_in} signed in, {refused} refused, {unavailable} unavailable"
    ));
    ensure(unavailable > 0, || "no trouble was noticed".to_owned())?;
    for one in &observations {
        ensure_not_false(one)?;
        let outcome = one.outcome();
        ensure(outcome.is_some(), || format!("no answer: {one:?}"))?;
        let late = one.arrival.at > SECOND * QUIET;
        ensure(!late || outcome != Some(Outcome::Unavailable), || {
            format!("not well again: {one:?}")
        })?;
    }
    ensure(world.agents().iter().all(|agent| agent.attached), || {
        format!("{:?}", world.agents())
    })?;
    stage.end(&mut world)
}
