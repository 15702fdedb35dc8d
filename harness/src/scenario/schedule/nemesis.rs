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
            let fault = (0..DRAWS_MAX).find_map(|_| {
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
    let agent = any(&agents, random)?;
    let controller = any(&controllers, random)?.name.clone();
    let cloud = || "cloud".to_owned();
    let to_cloud = || [agent.name.clone(), cloud()];
    let directory = |does, delay| Trouble::Directory {
        controller: controller.clone(),
        does,
        delay,
        binds: None,
    };
    let store = |fails, delay| Trouble::Store { fails, delay };
    Some(match mischief {
        Mischief::CrashAgent => Trouble::Crash {
            host: agent.name.clone(),
        },
        Mischief::CrashCloud => Trouble::Crash { host: cloud() },
        Mischief::CrashController => Trouble::Crash { host: controller },
        Mischief::RestartAgent => Trouble::Restart {
            host: agent.name.clone(),
        },
        Mischief::StopAgent => Trouble::Stop {
            host: agent.name.clone(),
        },
        Mischief::DrainAgent => Trouble::DrainAgent {
            agent: agent.name.clone(),
        },
        Mischief::PartitionAgent => Trouble::Partition {
            between: to_cloud(),
            one_way: false,
        },
        Mischief::OneWay => {
            let mut between = to_cloud();
            if below(random, 2) == 1 {
                between.reverse();
            }
            Trouble::Partition {
                between,
                one_way: true,
            }
        }
        Mischief::Flapping => Trouble::Flapping {
            between: to_cloud(),
            down: Written(Duration::from_millis(200 + below(random, 1_800))),
            up: Written(Duration::from_millis(200 + below(random, 4_800))),
        },
        Mischief::PartitionController => Trouble::Partition {
            between: [agent.name.clone(), any(&agent.controllers, random)?],
            one_way: false,
        },
        Mischief::Delay => Trouble::Delay {
            between: to_cloud(),
            latency: Written(Duration::from_secs(1)),
        },
        Mischief::Hold => Trouble::Hold { between: to_cloud() },
        Mischief::Clock => {
            let hosts: Vec<_> = scenario
                .hosts()
                .into_iter()
                .filter(|host| !host.starts_with("client"))
                .collect();
            let by = Shift {
                by: Duration::from_secs(1 + below(random, CLOCK_JUMP_MAX_S)),
                back: below(random, 2) == 1,
            };
            Trouble::Clock {
                host: any(&hosts, random)?,
                by: Written(by),
            }
        }
        Mischief::Store => {
            let ways = [
                StoreFailure::Before,
                StoreFailure::After,
                StoreFailure::Unknown,
                StoreFailure::Full,
            ];
            store(any(&ways, random)?, None)
        }
        Mischief::SlowStore => store(
            StoreFailure::Slow,
            Some(Written(Duration::from_millis(50 + below(random, 1_950)))),
        ),
        Mischief::HangController => directory(Misdeed::Hang, None),
        Mischief::ResetController => directory(
            any(&[Misdeed::ResetJudged, Misdeed::ResetUnjudged], random)?,
            None,
        ),
        Mischief::BusyController => directory(any(&[Misdeed::Busy, Misdeed::Unavailable], random)?, None),
        Mischief::SlowController => directory(
            Misdeed::Slow,
            Some(Written(Duration::from_millis(100 + below(random, 4_900)))),
        ),
    })
}
