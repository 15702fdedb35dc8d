//! Processes that crash under load.

use std::time::Duration;

use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{CORP, Failed, Stage, count, ensure, ensure_not_false, people};
use crate::sim::{Fault, Load, Rate, Share, TenantPlan, Topology, Typed};

const SECOND: Duration = Duration::from_secs(1);

/// Three agents crash and come back one after the other: nobody is refused with the right password, and
/// each is answered.
pub(super) fn agent_crash(stage: &mut Stage) -> Result<(), Failed> {
    let (directory, names) = people(200);
    let mut world = stage.world(Topology::of(TenantPlan::new(CORP, directory.build(), 3)))?;
    let load = Load {
        tenant: CORP.into(),
        from: Duration::ZERO,
        lasts: SECOND * 40,
        rate: Rate::constant(20.0),
        mix: vec![Share {
            weight: 1.0,
            usernames: names,
            typed: Typed::Right,
        }],
        clients: 1,
    };
    let sent = stage.load(&mut world, &load)?;
    for (number, at) in (1..=3).zip([5, 15, 25]) {
        let host = format!("agent{number}");
        world.at(SECOND * at, Fault::Crash { host: host.clone() });
        world.at(SECOND * (at + 5), Fault::Start { host });
    }
    world.run_until(SECOND * 40)?;
    world.settle(SECOND * 30)?;
    let observations = world.observations();
    let signed_in = count(&observations, Outcome::SignedIn);
    let unavailable = count(&observations, Outcome::Unavailable);
    stage.say(format!(
        "{sent} sign-ins: {signed_in} signed in, {unavailable} unavailable"
    ));
    ensure(signed_in + unavailable == sent, || {
        "somebody was told something else".to_owned()
    })?;
    ensure(signed_in * 100 >= sent * 99, || {
        "fewer than 99 in 100 signed in".to_owned()
    })?;
    ensure(world.agents().iter().all(|agent| agent.attached), || {
        "an agent did not come back".to_owned()
    })?;
    stage.end(&mut world)
}

/// The cloud crashes and comes back: what it had answered is in its log, agents come back by
/// themselves, and a new client's sign-in succeeds.
pub(super) fn cloud_crash(stage: &mut Stage) -> Result<(), Failed> {
    let (directory, names) = people(200);
    let mut world = stage.world(Topology::of(TenantPlan::new(CORP, directory.build(), 3)))?;
    let share = |weight, typed| Share {
        weight,
        usernames: names.clone(),
        typed,
    };
    let load = Load {
        tenant: CORP.into(),
        from: Duration::ZERO,
        lasts: SECOND * 60,
        rate: Rate::constant(20.0),
        mix: vec![share(9.0, Typed::Right), share(1.0, Typed::Wrong)],
        clients: 1,
    };
    let sent = stage.load(&mut world, &load)?;
    let cloud = || "cloud".to_owned();
    world.at(Duration::from_millis(10_003), Fault::Crash { host: cloud() });
    world.at(SECOND * 15, Fault::Start { host: cloud() });
    world.run_until(SECOND * 60)?;
    world.settle(SECOND * 30)?;
    let observations = world.observations();
    let outcomes = [Outcome::SignedIn, Outcome::Refused, Outcome::Unavailable];
    let [signed_in, refused, unavailable] = outcomes.map(|outcome| count(&observations, outcome));
    let failed = sent - observations.iter().filter(|one| one.outcome().is_some()).count();
    stage.say(format!(
        "{sent} sign-ins: {signed_in} signed in, {refused} refused, {unavailable} unavailable, {failed} without an outcome"
    ));
    ensure(failed > 0, || "the crash was not noticed".to_owned())?;
    for one in &observations {
        ensure_not_false(one)?;
        let outcome = one.outcome();
        // Agents dial again within seconds; the client's connection is given up within ten.
        let late = one.arrival.at > SECOND * 40;
        ensure(
            !late || outcome.is_some_and(|outcome| outcome != Outcome::Unavailable),
            || format!("still no outcome 25 s after the start: {one:?}"),
        )?;
    }
    stage.end(&mut world)
}
