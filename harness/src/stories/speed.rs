//! How fast it is. Everything is on: TLS on all links, sealing, the store, LDAP.

use std::time::Duration;

use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{CORP, Failed, Stage, count, ensure, people, percentile};
use crate::sim::{Load, Rate, Share, TenantPlan, Topology, Typed};

/// Sign-ins per simulated second, agents and seconds; from the environment, because it is a measurement.
fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Right passwords at a constant rate: `POSTERN_SPEED_RATE` per second (1,000), through
/// `POSTERN_SPEED_AGENTS` agents (2), for `POSTERN_SPEED_SECONDS` (10).
pub(super) fn speed(stage: &mut Stage) -> Result<(), Failed> {
    let rate = setting("POSTERN_SPEED_RATE", 1_000);
    let agents = setting("POSTERN_SPEED_AGENTS", 2);
    let seconds = setting("POSTERN_SPEED_SECONDS", 10);
    let (directory, names) = people(2_000);
    let plan = TenantPlan::new(CORP, directory.build(), agents as usize);
    let mut world = stage.world(Topology::of(plan))?;
    let load = Load {
        tenant: CORP.into(),
        from: Duration::ZERO,
        lasts: Duration::from_secs(seconds.into()),
        rate: Rate::constant(rate.into()),
        mix: vec![Share {
            weight: 1.0,
            usernames: names,
            typed: Typed::Right,
        }],
        clients: 1,
    };
    let sent = stage.load(&mut world, &load)?;
    // The real clock: outside of a runtime this is it.
    let began = postern_kit::clock::monotonic();
    world.run_until(load.lasts)?;
    world.settle(Duration::from_secs(30))?;
    let took = postern_kit::clock::monotonic()
        .saturating_duration_since(began)
        .as_secs_f64();
    let observations = world.observations();
    let signed_in = count(&observations, Outcome::SignedIn);
    let mut latencies: Vec<_> = observations
        .iter()
        .filter_map(crate::sim::Observation::latency)
        .collect();
    latencies.sort();
    stage.say(format!(
        "{} hosts, {sent} sign-ins, {signed_in} signed in; latency {:?} median, {:?} 99 %",
        agents + 3,
        percentile(&latencies, 0.5),
        percentile(&latencies, 0.99),
    ));
    stage.say(format!(
        "{took:.2} s of real time: {:.1} simulated seconds and {:.0} sign-ins in each",
        world.now().as_secs_f64() / took,
        sent as f64 / took,
    ));
    ensure(signed_in == sent, || "somebody was not signed in".to_owned())?;
    stage.end(&mut world)
}
