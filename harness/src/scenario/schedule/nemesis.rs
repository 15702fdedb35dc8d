//! Faults at random: which, to whom, when and for how long.

use std::time::Duration;

use postern_kit::random::{Random, below, fraction};

use super::arrivals::{any, weighed};
use crate::scenario::fault::{Misdeed, StoreFailure, Trouble};
use crate::scenario::file::Mischief;
use crate::scenario::plan::{Fault, Nemesis, Scenario};
use crate::scenario::units::{Shift, Written};

/// Most faults of one run: what a report can show.
const FAULTS_MAX: usize = 10_000;

/// How often something else is drawn instead of what does not fit.
const DRAWS_MAX: usize = 8;

/// The furthest that a clock jumps: an administrator's slip, within what certificates are backdated by.
const CLOCK_JUMP_MAX_S: u64 = 300;

/// Draws the faults of all loud phases. Each begins and ends in its phase, and none meets one of `planned`.
pub(super) fn draw(
    nemesis: &Nemesis,
    scenario: &Scenario,
    planned: &[Fault],
    random: &dyn Random,
) -> Vec<Fault> {
    let end = scenario.loud_until();
    let (loud, quiet) = nemesis.phases.unwrap_or((end, Duration::ZERO));
    let mut drawn: Vec<Fault> = Vec::new();
    let mut begin = Duration::ZERO;
    while begin < end && drawn.len() < FAULTS_MAX && !(loud + quiet).is_zero() {
        let phase_end = end.min(begin + loud);
        let mut at = begin;
        loop {
            let wait = -(1.0 - fraction(random)).ln() * nemesis.every.as_secs_f64();
            at += Duration::from_secs_f64(wait);
            if at + nemesis.shortest > phase_end || drawn.len() >= FAULTS_MAX {
                break;
            }
            let going_on = drawn
                .iter()
                .filter(|fault| fault.until.is_some_and(|until| until > at));
            if going_on.count() >= nemesis.at_once {
                continue;
            }
            let lasts = between(nemesis.shortest, nemesis.longest.min(phase_end - at), random);
            let fits = |fault: &Fault| !planned.iter().chain(&drawn).any(|other| other.collides(fault));
            let draws = if nemesis.each { 1 } else { DRAWS_MAX };
            let fault = (0..draws).find_map(|_| {
                let fault = Fault {
                    at,
                    until: Some(at + lasts),
                    name: None,
                    trouble: trouble(weighed(&nemesis.weights, random)?, scenario, random)?,
                };
                fits(&fault).then_some(fault)
            });
            drawn.extend(fault);
        }
        begin += loud + quiet;
    }
    drawn
}

/// To the millisecond, as people read it.
fn between(shortest: Duration, longest: Duration, random: &dyn Random) -> Duration {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let room = ms(longest.saturating_sub(shortest));
    shortest + Duration::from_millis(below(random, room.saturating_add(1)))
}

/// What is done, and to whom.
fn trouble(mischief: Mischief, scenario: &Scenario, random: &dyn Random) -> Option<Trouble> {
    let tenants = || scenario.tenants.iter();
    let agents: Vec<_> = tenants().flat_map(|tenant| &tenant.agents).collect();
    let controllers: Vec<_> = tenants().flat_map(|tenant| &tenant.controllers).collect();
    let (agent, controller) = (any(&agents, random)?, any(&controllers, random)?);
    let to_cloud = || [agent.name.clone(), "cloud".to_owned()];
    let host = |name: &str| name.to_owned();
    Some(match mischief {
        Mischief::CrashAgent => Trouble::Crash {
            host: host(&agent.name),
        },
        Mischief::CrashCloud => Trouble::Crash { host: host("cloud") },
        Mischief::CrashController => Trouble::Crash {
            host: host(&controller.name),
        },
        Mischief::RestartAgent => Trouble::Restart {
            host: host(&agent.name),
        },
        Mischief::StopAgent => Trouble::Stop {
            host: host(&agent.name),
        },
        Mischief::DrainAgent => Trouble::DrainAgent {
            agent: host(&agent.name),
        },
        Mischief::PartitionAgent => partition(to_cloud(), false),
        Mischief::OneWay => {
            let mut between = to_cloud();
            if below(random, 2) == 1 {
                between.reverse();
            }
            partition(between, true)
        }
        Mischief::Flapping => Trouble::Flapping {
            between: to_cloud(),
            down: up_to(200, 2_000, random),
            up: up_to(200, 5_000, random),
        },
        Mischief::PartitionController => {
            partition([agent.name.clone(), any(&agent.controllers, random)?], false)
        }
        Mischief::Delay => Trouble::Delay {
            between: to_cloud(),
            latency: Written(Duration::from_secs(1)),
        },
        Mischief::Hold => Trouble::Hold { between: to_cloud() },
        Mischief::Clock => clock(scenario, random)?,
        Mischief::Store | Mischief::SlowStore => store(mischief, random)?,
        Mischief::HangController
        | Mischief::ResetController
        | Mischief::BusyController
        | Mischief::SlowController => directory(mischief, &controller.name, random)?,
    })
}

fn partition(between: [String; 2], one_way: bool) -> Trouble {
    Trouble::Partition {
        between,
        one_way,
        lost: false,
    }
}

/// A time between two numbers of milliseconds.
fn up_to(least: u64, most: u64, random: &dyn Random) -> Written<Duration> {
    Written(Duration::from_millis(least + below(random, most - least)))
}

fn clock(scenario: &Scenario, random: &dyn Random) -> Option<Trouble> {
    let mut hosts = scenario.hosts();
    hosts.retain(|host| !host.starts_with("client"));
    let by = Shift {
        by: Duration::from_secs(1 + below(random, CLOCK_JUMP_MAX_S)),
        back: below(random, 2) == 1,
    };
    Some(Trouble::Clock {
        host: any(&hosts, random)?,
        by: Written(by),
    })
}

fn store(mischief: Mischief, random: &dyn Random) -> Option<Trouble> {
    if mischief == Mischief::SlowStore {
        return Some(Trouble::Store {
            fails: StoreFailure::Slow,
            delay: Some(up_to(50, 2_000, random)),
        });
    }
    let ways = [
        StoreFailure::Before,
        StoreFailure::After,
        StoreFailure::Unknown,
        StoreFailure::Full,
    ];
    Some(Trouble::Store {
        fails: any(&ways, random)?,
        delay: None,
    })
}

fn directory(mischief: Mischief, controller: &str, random: &dyn Random) -> Option<Trouble> {
    let does = match mischief {
        Mischief::ResetController => any(&[Misdeed::ResetJudged, Misdeed::ResetUnjudged], random)?,
        Mischief::BusyController => any(&[Misdeed::Busy, Misdeed::Unavailable], random)?,
        Mischief::SlowController => Misdeed::Slow,
        _ => Misdeed::Hang,
    };
    Some(Trouble::Directory {
        controller: controller.to_owned(),
        does,
        delay: (does == Misdeed::Slow).then(|| up_to(100, 5_000, random)),
        binds: None,
    })
}
