//! What a schedule's actions are in the simulation, one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clocks::shift_ms;
use super::sim::state;
use crate::scenario::{
    Action as Due, Attempted, Deed, DiskStep, Misdeed, Person, Scenario, Schedule, StoreFailure, Tenant,
    Trouble,
};
use crate::sim::{Action, DirectoryFault, Fault, StoreFault, Tear};

/// On top of a sign-in's deadline: what a graceful stop may take.
const STOP_WAIT: Duration = Duration::from_secs(6);

/// Until an agent that died writing its files is started again.
const TORN_FOR: Duration = Duration::from_secs(5);

/// How the schedule's actions are done.
pub(super) struct Script<'a> {
    scenario: &'a Scenario,
    schedule: &'a Schedule,
    /// Of each fault that changes a password: how often that was changed by then.
    pub(super) changes: BTreeMap<usize, u32>,
}

impl<'a> Script<'a> {
    pub(super) fn of(scenario: &'a Scenario, schedule: &'a Schedule) -> Self {
        let mut changes = BTreeMap::new();
        let mut times: BTreeMap<(Option<&str>, &str), u32> = BTreeMap::new();
        for due in &schedule.actions {
            let trouble = schedule.faults.get(due.fault).map(|fault| &fault.trouble);
            if let Some(Trouble::ChangePassword { user, tenant }) = trouble {
                let count = times.entry((tenant.as_deref(), user)).or_default();
                *count += 1;
                changes.insert(due.fault, *count);
            }
        }
        Self {
            scenario,
            schedule,
            changes,
        }
    }

    /// How a controller is when nothing is wrong with it, if that is not how it starts.
    pub(super) fn usual(&self, controller: &str) -> Option<Action> {
        let mut all = self
            .scenario
            .tenants
            .iter()
            .flat_map(|tenant| &tenant.controllers);
        let found = all.find(|one| one.name == controller)?;
        let slow = Fault::Directory {
            host: found.name.clone(),
            fault: DirectoryFault::Slow(found.latency),
            times: None,
        };
        (!found.latency.is_zero()).then(|| slow.into())
    }

    /// How long a message between two hosts takes when nothing is wrong.
    pub(super) fn usual_latency(&self, [a, b]: &[String; 2]) -> Duration {
        let is_meant = |link: &&crate::scenario::Link| link.between.contains(a) && link.between.contains(b);
        let link = self.scenario.links.iter().find(is_meant);
        link.map_or(self.scenario.latency, |link| link.latency)
    }

    /// The tenant that a trouble of a user is about, and the user.
    pub(super) fn user(&self, trouble: &Trouble) -> Option<(usize, &Tenant, Person)> {
        let (user, tenant) = trouble.user()?;
        let mut tenants = self.scenario.tenants.iter().enumerate();
        let (at, found) = tenants.find(|(_, one)| tenant.is_none_or(|name| one.name == name))?;
        Some((at, found, found.person(user)?))
    }

    /// What is to be done, and when.
    pub(super) fn actions(&self, due: &Due) -> Vec<(Duration, Action)> {
        let Some(fault) = self.schedule.faults.get(due.fault) else {
            return Vec::new();
        };
        let now = |action: Action| vec![(due.at, action)];
        match due.deed {
            Deed::Begin => match &fault.trouble {
                Trouble::Restart { host } => {
                    let mut all = now(Fault::Stop { host: host.clone() }.into());
                    if fault.until.is_none() {
                        let again = due.at + self.scenario.limits.deadline + STOP_WAIT;
                        all.push((again, Fault::Start { host: host.clone() }.into()));
                    }
                    all
                }
                Trouble::TornState { agent, after } => {
                    let host = || agent.clone();
                    let tear = Fault::TearFile {
                        host: host(),
                        tear: tear(*after),
                        // The first is a trial.
                        nth: 2,
                    };
                    vec![
                        (due.at, tear.into()),
                        (due.at, Action::Enrol { host: host() }),
                        (due.at + TORN_FOR, Fault::Start { host: host() }.into()),
                    ]
                }
                trouble => self.begin(due, trouble).map(now).unwrap_or_default(),
            },
            Deed::End => {
                let ends = self.end(&fault.trouble).into_iter();
                ends.map(|action| (due.at, action)).collect()
            }
        }
    }

    fn begin(&self, due: &Due, trouble: &Trouble) -> Option<Action> {
        let pair = |[a, b]: &[String; 2]| (a.clone(), b.clone());
        Some(match trouble {
            Trouble::Partition {
                between,
                one_way,
                lost,
            } => {
                let ((a, b), lost) = (pair(between), *lost);
                match one_way {
                    true => Fault::PartitionOneWay { from: a, to: b, lost }.into(),
                    false => Fault::Partition { a, b, lost }.into(),
                }
            }
            Trouble::Isolate { host } => Fault::Isolate { host: host.clone() }.into(),
            Trouble::Flapping { between, .. } => {
                let ((a, b), lost) = (pair(between), false);
                Fault::Partition { a, b, lost }.into()
            }
            Trouble::Delay { between, latency } => {
                let (a, b) = pair(between);
                Fault::Latency {
                    a,
                    b,
                    latency: latency.0,
                }
                .into()
            }
            Trouble::Hold { between } => {
                let (a, b) = pair(between);
                Fault::Hold { a, b }.into()
            }
            Trouble::Crash { host } => Fault::Crash { host: host.clone() }.into(),
            Trouble::Stop { host } => Fault::Hang { host: host.clone() }.into(),
            Trouble::Clock { host, by } => Fault::ClockJump {
                host: host.clone(),
                ms: shift_ms(by.0),
            }
            .into(),
            Trouble::Store { fails, delay } => Fault::Store {
                fault: match fails {
                    StoreFailure::Before => StoreFault::FailsBefore,
                    StoreFailure::After => StoreFault::FailsAfter,
                    StoreFailure::Unknown => StoreFault::Unknown,
                    StoreFailure::Slow => {
                        StoreFault::Slow(delay.as_ref().map(|delay| delay.0).unwrap_or_default())
                    }
                    StoreFailure::Full => StoreFault::Full,
                },
                times: None,
            }
            .into(),
            Trouble::Directory {
                controller,
                does,
                delay,
                binds,
            } => Fault::Directory {
                host: controller.clone(),
                fault: misdeed(*does, delay.as_ref().map(|delay| delay.0).unwrap_or_default()),
                times: *binds,
            }
            .into(),
            Trouble::DrainAgent { agent } => Action::Drain {
                host: agent.clone(),
                drained: true,
            },
            Trouble::RevokeAgent { agent } => Action::Revoke { host: agent.clone() },
            Trouble::ChangePassword { .. }
            | Trouble::SetState { .. }
            | Trouble::Unlock { .. }
            | Trouble::DeleteUser { .. } => return self.of_user(due, trouble),
            Trouble::Restart { .. } | Trouble::TornState { .. } => return None,
        })
    }

    fn of_user(&self, due: &Due, trouble: &Trouble) -> Option<Action> {
        let (_, found, person) = self.user(trouble)?;
        let (tenant, user) = (found.name.clone(), person.to_string());
        Some(match trouble {
            Trouble::ChangePassword { .. } => {
                let change = self.changes.get(&due.fault).copied().unwrap_or(1);
                let password = Attempted::Of(person, change).text(self.schedule.seed, &found.domain);
                Action::SetPassword {
                    tenant,
                    user,
                    password: password.to_string(),
                }
            }
            Trouble::SetState { state: to, .. } => Action::SetState {
                tenant,
                user,
                state: state(*to),
            },
            Trouble::Unlock { .. } => Action::Unlock { tenant, user },
            _ => Action::DeleteUser {
                tenant,
                username: found.username(person),
            },
        })
    }

    fn end(&self, trouble: &Trouble) -> Vec<Action> {
        let pair = |[a, b]: &[String; 2]| (a.clone(), b.clone());
        let one = |fault: Fault| vec![Action::from(fault)];
        match trouble {
            Trouble::Partition {
                between,
                one_way,
                lost,
            } => {
                let ((a, b), lost) = (pair(between), *lost);
                match one_way {
                    true => one(Fault::RepairOneWay { from: a, to: b, lost }),
                    false => one(Fault::Repair { a, b, lost }),
                }
            }
            Trouble::Flapping { between, .. } => {
                let ((a, b), lost) = (pair(between), false);
                one(Fault::Repair { a, b, lost })
            }
            Trouble::Isolate { host } => one(Fault::Rejoin { host: host.clone() }),
            Trouble::Delay { between, .. } => {
                let (a, b) = pair(between);
                let latency = self.usual_latency(between);
                one(Fault::Latency { a, b, latency })
            }
            Trouble::Hold { between } => {
                let (a, b) = pair(between);
                one(Fault::Release { a, b })
            }
            Trouble::Crash { host } | Trouble::Restart { host } => {
                let start = Fault::Start { host: host.clone() };
                // A new process of a controller has forgotten how slow it is.
                std::iter::once(start.into()).chain(self.usual(host)).collect()
            }
            Trouble::Stop { host } => one(Fault::Resume { host: host.clone() }),
            Trouble::Clock { host, by } => one(Fault::ClockJump {
                host: host.clone(),
                ms: -shift_ms(by.0),
            }),
            Trouble::Store { .. } => one(Fault::StoreWell),
            Trouble::Directory { controller, .. } => {
                let clear = Fault::Directory {
                    host: controller.clone(),
                    fault: DirectoryFault::Clear,
                    times: None,
                };
                std::iter::once(clear.into())
                    .chain(self.usual(controller))
                    .collect()
            }
            Trouble::DrainAgent { agent } => vec![Action::Drain {
                host: agent.clone(),
                drained: false,
            }],
            Trouble::TornState { .. }
            | Trouble::RevokeAgent { .. }
            | Trouble::ChangePassword { .. }
            | Trouble::SetState { .. }
            | Trouble::Unlock { .. }
            | Trouble::DeleteUser { .. } => Vec::new(),
        }
    }
}

fn tear(after: DiskStep) -> Tear {
    match after {
        DiskStep::Write => Tear::Written,
        DiskStep::Fsync => Tear::Synced,
        DiskStep::Rename => Tear::Renamed,
    }
}

/// A sub-code that says nothing about the password.
const ODD_CODE: u32 = 0x51f;

fn misdeed(does: Misdeed, delay: Duration) -> DirectoryFault {
    match does {
        Misdeed::Slow => DirectoryFault::Slow(delay),
        Misdeed::Refuse => DirectoryFault::Close,
        Misdeed::Ignore => DirectoryFault::Ignore,
        Misdeed::Hang => DirectoryFault::Hang,
        Misdeed::ResetUnjudged => DirectoryFault::ResetUnjudged,
        Misdeed::ResetJudged => DirectoryFault::ResetJudged,
        Misdeed::Busy => DirectoryFault::Busy,
        Misdeed::Unavailable => DirectoryFault::Unavailable,
        Misdeed::Other => DirectoryFault::Other,
        Misdeed::StrongerAuth => DirectoryFault::StrongerAuth,
        Misdeed::OddCode => DirectoryFault::SubCode(ODD_CODE),
        Misdeed::Disconnect => DirectoryFault::Disconnect,
    }
}
