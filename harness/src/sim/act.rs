//! Carries actions out on a world.

use std::net::IpAddr;
use std::rc::Rc;

use postern_directory_mock::AccountState;
use postern_kit::telemetry::chain;
use postern_proto::ids::{AgentId, TenantId};
use uuid::Uuid;

use super::cuts::{Stop, Ways};
use super::fault::{Action, Fault};
use super::host::{Host, Process};
use super::parts::{Agent, CLOUD};
use super::trace::Happening;
use super::world::{SimError, World, list};

impl World {
    /// Does it now.
    ///
    /// # Errors
    /// [`SimError::Unknown`] if it names something that is not there.
    pub fn apply(&mut self, action: &Action) -> Result<(), SimError> {
        // A password in an action is the mock's.
        self.trace
            .add("plan", "", Happening::Event(&format!("{action:?}")));
        match action {
            Action::Fault(fault) => self.fault(fault),
            Action::Drain { host, drained } => self.drain(host, *drained),
            Action::Revoke { host } => self.revoke(host),
            Action::Enrol { host } => {
                self.agent(host)?.enrol_again.set(true);
                self.start(host)
            }
            Action::SetPassword {
                tenant,
                user,
                password,
            } => {
                let user = self.user(tenant, user)?;
                let set = self.directory(tenant)?.set_password(user, password);
                set.map_err(|error| SimError::Refused(chain(&error)))
            }
            Action::SetState { tenant, user, state } => {
                let (user, directory) = (self.user(tenant, user)?, self.directory(tenant)?);
                // Instead of the one that it is in: the directory would have it in both.
                let cleared = directory.set_state(user, &AccountState::Normal);
                let set = cleared.and_then(|()| directory.set_state(user, state));
                set.map_err(|error| SimError::Refused(chain(&error)))
            }
            Action::Unlock { tenant, user } => {
                let user = self.user(tenant, user)?;
                let set = self.directory(tenant)?.unlock(user);
                set.map_err(|error| SimError::Refused(chain(&error)))
            }
            Action::DeleteUser { tenant, username } => self.delete_user(tenant, username),
        }
    }

    fn fault(&mut self, fault: &Fault) -> Result<(), SimError> {
        match fault {
            Fault::Partition { a, b, lost } => {
                let ends = self.both("a", a, "b", b)?;
                self.cuts.stop(&self.sim, ends, Ways::Both, stop(*lost));
            }
            Fault::PartitionOneWay { from, to, lost } => {
                let ends = self.both("from", from, "to", to)?;
                self.cuts.stop(&self.sim, ends, Ways::There, stop(*lost));
            }
            Fault::Repair { a, b, lost } => {
                let ends = self.both("a", a, "b", b)?;
                self.cuts.mend(&self.sim, ends, Ways::Both, stop(*lost));
            }
            Fault::RepairOneWay { from, to, lost } => {
                let ends = self.both("from", from, "to", to)?;
                self.cuts.mend(&self.sim, ends, Ways::There, stop(*lost));
            }
            Fault::Isolate { host } => {
                for other in self.others(host)? {
                    let ends = self.both("host", host, "other", &other)?;
                    self.cuts.stop(&self.sim, ends, Ways::Both, Stop::Cut);
                }
            }
            Fault::Rejoin { host } => {
                for other in self.others(host)? {
                    let ends = self.both("host", host, "other", &other)?;
                    self.cuts.mend(&self.sim, ends, Ways::Both, Stop::Cut);
                }
            }
            Fault::Hold { a, b } => {
                let ends = self.both("a", a, "b", b)?;
                self.cuts.stop(&self.sim, ends, Ways::Both, Stop::Held);
            }
            Fault::Release { a, b } => {
                let ends = self.both("a", a, "b", b)?;
                self.cuts.mend(&self.sim, ends, Ways::Both, Stop::Held);
            }
            Fault::Latency { a, b, latency } => {
                let (a, b) = self.both("a", a, "b", b)?;
                self.cuts.set_latency(&self.sim, a, b, *latency);
            }
            Fault::Crash { host } => self.crash(host)?,
            Fault::Stop { host } => self.host("host", host)?.stop(),
            Fault::Start { host } => self.start(host)?,
            Fault::Hang { host } => self.host("host", host)?.gate.shut(),
            Fault::Resume { host } => self.host("host", host)?.gate.open(),
            Fault::ClockOff { host, ms } => self.host("host", host)?.clock.set_off(*ms),
            Fault::ClockJump { host, ms } => self.host("host", host)?.clock.jump(*ms),
            Fault::Store { fault, times } => self.cloud.place.set(*fault, *times),
            Fault::StoreWell => self.cloud.place.clear(),
            Fault::TearFile { host, tear, nth } => self.host("host", host)?.disk.tear(*tear, *nth),
            Fault::Directory { host, fault, times } => {
                let controller = self.controllers.get(host).ok_or_else(|| SimError::Unknown {
                    field: "host",
                    value: host.clone(),
                    expected: list(self.controllers.keys().map(String::as_str)),
                })?;
                if let Some((faults, connections)) = &*controller.switches.borrow() {
                    fault.apply(faults, connections, *times);
                }
            }
        }
        Ok(())
    }

    pub(super) fn host(&self, field: &'static str, name: &str) -> Result<&Rc<Host>, SimError> {
        self.hosts.get(name).ok_or_else(|| SimError::Unknown {
            field,
            value: name.to_owned(),
            expected: list(self.host_names()),
        })
    }

    /// Two hosts that are there and differ: the simulator has no link from a host to itself.
    pub(super) fn both(
        &self,
        first: &'static str,
        a: &str,
        second: &'static str,
        b: &str,
    ) -> Result<(IpAddr, IpAddr), SimError> {
        self.host(first, a)?;
        self.host(second, b)?;
        if a == b {
            return Err(SimError::Refused(format!(
                "{second}: {b:?} is {first} as well; expected another host"
            )));
        }
        Ok((self.sim.lookup(a), self.sim.lookup(b)))
    }

    fn others(&self, host: &str) -> Result<Vec<String>, SimError> {
        self.host("host", host)?;
        let others = self.host_names().filter(|other| *other != host);
        Ok(others.map(str::to_owned).collect())
    }

    fn user(&self, tenant: &str, name: &str) -> Result<Uuid, SimError> {
        let found = self.directory(tenant)?.read(|domain| {
            let found = domain.resolve(name).or_else(|| domain.by_sam(name));
            found.map(|account| account.guid)
        });
        found.ok_or_else(|| SimError::Unknown {
            field: "user",
            value: name.to_owned(),
            expected: format!("the users of tenant {tenant}"),
        })
    }

    /// Kills a host's process.
    pub(super) fn crash(&mut self, name: &str) -> Result<(), SimError> {
        let host = self.host("host", name)?.clone();
        self.sim.crash(name);
        host.disk.crash();
        host.gate.open();
        host.ends(Process::Crashed);
        if let Some(inbox) = self.inbox(name) {
            inbox.clear();
        }
        Ok(())
    }

    fn start(&mut self, name: &str) -> Result<(), SimError> {
        if *self.host("host", name)?.process.borrow() == Process::Running {
            self.crash(name)?;
        }
        // Until its first step it has not said so itself.
        *self.host("host", name)?.process.borrow_mut() = Process::Running;
        self.sim.bounce(name);
        Ok(())
    }

    fn inbox(&self, client: &str) -> Option<super::client::Inbox> {
        let number: usize = client.strip_prefix("client")?.parse().ok()?;
        self.inboxes.get(number.checked_sub(1)?).cloned()
    }

    fn agent(&self, host: &str) -> Result<&Rc<Agent>, SimError> {
        self.agents.get(host).ok_or_else(|| SimError::Unknown {
            field: "host",
            value: host.to_owned(),
            expected: list(self.agents.keys().map(String::as_str)),
        })
    }

    fn delete_user(&mut self, tenant: &str, username: &str) -> Result<(), SimError> {
        let (id, name) = (self.tenant(tenant)?, username.parse());
        let name = name.map_err(|error| SimError::Refused(chain(&error)))?;
        let done = self.asks(Action::DeleteUser {
            tenant: tenant.to_owned(),
            username: username.to_owned(),
        });
        self.cloud.jobs.put(Box::new(move |admin| {
            Box::pin(async move {
                match admin.tenants().delete_user(id, name).await {
                    Ok(_) => done(),
                    Err(error) => {
                        tracing::warn!(host = CLOUD, error = chain(&error), "user is not deleted");
                    }
                }
            })
        }));
        Ok(())
    }

    /// An agent's tenant and its present identity.
    fn identity(&self, host: &str) -> Result<(TenantId, AgentId), SimError> {
        let agent = self.agent(host)?;
        let (tenant, id) = (self.tenant(&agent.tenant)?, *agent.id.borrow());
        let id = id.ok_or_else(|| SimError::Refused(format!("{host} is not enrolled")))?;
        Ok((tenant, id))
    }

    fn revoke(&mut self, host: &str) -> Result<(), SimError> {
        let (tenant, id) = self.identity(host)?;
        let done = self.asks(Action::Revoke {
            host: host.to_owned(),
        });
        self.cloud.jobs.put(Box::new(move |admin| {
            Box::pin(async move {
                match admin.revoke(tenant, id).await {
                    Ok(()) => done(),
                    Err(error) => {
                        tracing::warn!(host = CLOUD, error = chain(&error), "agent is not revoked");
                    }
                }
            })
        }));
        Ok(())
    }

    fn drain(&mut self, host: &str, drained: bool) -> Result<(), SimError> {
        let (tenant, id) = self.identity(host)?;
        let done = self.asks(Action::Drain {
            host: host.to_owned(),
            drained,
        });
        self.cloud.jobs.put(Box::new(move |admin| {
            Box::pin(async move {
                match admin.set_drained(tenant, id, drained).await {
                    Ok(_) => done(),
                    Err(error) => {
                        tracing::warn!(
                            host = CLOUD,
                            drained,
                            error = chain(&error),
                            "drain is not changed"
                        );
                    }
                }
            })
        }));
        Ok(())
    }
}

fn stop(lost: bool) -> Stop {
    match lost {
        true => Stop::Lost,
        false => Stop::Cut,
    }
}
