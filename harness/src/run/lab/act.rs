//! Carries actions out on the lab's hosts, in the words in which the simulation is told them.

use postern_directory_mock::{AccountState, DirectoryHandle};
use postern_proto::wire::admin as wire;
use rustix::process::Signal;
use uuid::Uuid;

use super::LabRunError;
use super::admin::Order;
use super::network::{Trouble, Turn};
use super::stage::{Life, Stage};
use crate::sim::{Action, Fault};

impl Stage {
    /// Does it now.
    ///
    /// # Errors
    /// [`LabRunError`] if it cannot be done.
    pub(super) async fn apply(&mut self, action: &Action) -> Result<(), LabRunError> {
        match action {
            Action::Fault(fault) => self.fault(fault).await,
            Action::Drain { host, drained } => {
                let request = self.agent_request(action, host)?;
                let order = match drained {
                    true => Order::Drain(request),
                    false => Order::Resume(request),
                };
                self.ask(order, action);
                Ok(())
            }
            Action::Revoke { host } => {
                let request = self.agent_request(action, host)?;
                self.ask(Order::Revoke(request), action);
                Ok(())
            }
            Action::SetPassword {
                tenant,
                user,
                password,
            } => {
                let directory = self.directory(tenant)?;
                Ok(directory.set_password(guid(directory, user)?, password)?)
            }
            Action::SetState { tenant, user, state } => {
                let directory = self.directory(tenant)?;
                let user = guid(directory, user)?;
                // Instead of the one that it is in: the directory would have it in both.
                directory.set_state(user, &AccountState::Normal)?;
                Ok(directory.set_state(user, state)?)
            }
            Action::Unlock { tenant, user } => {
                let directory = self.directory(tenant)?;
                Ok(directory.unlock(guid(directory, user)?)?)
            }
            Action::DeleteUser { tenant, username } => {
                let order = Order::Delete(wire::DeleteUserRequest {
                    tenant: tenant.clone(),
                    username: username.clone(),
                });
                self.ask(order, action);
                Ok(())
            }
            Action::Enrol { .. } => Err(impossible(action)),
        }
    }

    async fn fault(&mut self, fault: &Fault) -> Result<(), LabRunError> {
        let network = self.network_mut();
        let (begins, ends) = (Turn::Begins, Turn::Ends);
        match fault {
            Fault::Partition { a, b, lost } => network.between([a, b], false, trouble(*lost), begins),
            Fault::Repair { a, b, lost } => network.between([a, b], false, trouble(*lost), ends),
            Fault::PartitionOneWay { from, to, lost } => {
                network.between([from, to], true, trouble(*lost), begins);
            }
            Fault::RepairOneWay { from, to, lost } => {
                network.between([from, to], true, trouble(*lost), ends);
            }
            Fault::Hold { a, b } => network.between([a, b], false, Trouble::Swallows, begins),
            Fault::Release { a, b } => network.between([a, b], false, Trouble::Swallows, ends),
            Fault::Isolate { host } => network.around(host, Trouble::Swallows, begins),
            Fault::Rejoin { host } => network.around(host, Trouble::Swallows, ends),
            Fault::Latency { a, b, latency } => network.delay(a, b, *latency),
            Fault::Crash { host } => return self.crash(host).await,
            Fault::Stop { host } => return self.stop(host).await,
            Fault::Start { host } => return self.start(host).await,
            Fault::Hang { host } => return self.hang(host, true),
            Fault::Resume { host } => return self.hang(host, false),
            Fault::Directory { host, fault, times } => {
                let controller = self.controllers.get(host);
                if let Some(server) = controller.and_then(|controller| controller.server.as_ref()) {
                    fault.apply(server.faults(), server.connections(), *times);
                }
            }
            Fault::ClockOff { .. }
            | Fault::ClockJump { .. }
            | Fault::Store { .. }
            | Fault::StoreWell
            | Fault::TearFile { .. } => return Err(impossible(&fault.clone().into())),
        }
        Ok(())
    }

    /// Whether a host is a controller, which has no process of its own.
    fn is_controller(&self, host: &str) -> bool {
        self.controllers.contains_key(host)
    }

    async fn crash(&mut self, host: &str) -> Result<(), LabRunError> {
        if self.is_controller(host) {
            return self.close(host).await;
        }
        self.look(host)?;
        match self.agents.get_mut(host) {
            Some(agent) => agent.kill(),
            None => self.lab.cloud.kill(),
        }
        self.lives.insert(host.to_owned(), Life::Down);
        Ok(())
    }

    async fn stop(&mut self, host: &str) -> Result<(), LabRunError> {
        if self.is_controller(host) {
            return self.close(host).await;
        }
        self.look(host)?;
        if self.lives.get(host) == Some(&Life::Up)
            && let Some(program) = self.program(host)
        {
            program.signal(Signal::TERM)?;
            self.lives.insert(host.to_owned(), Life::Leaving);
        }
        Ok(())
    }

    /// Ends a controller's server: listeners and connections close without a word.
    async fn close(&mut self, host: &str) -> Result<(), LabRunError> {
        let controller = self.controllers.get_mut(host);
        if let Some(server) = controller.and_then(|controller| controller.server.take()) {
            server.stop().await;
        }
        Ok(())
    }

    async fn start(&mut self, host: &str) -> Result<(), LabRunError> {
        // One that runs is killed before, as in the simulation.
        self.crash(host).await?;
        let seams = self.seams.clone();
        if let Some(controller) = self.controllers.get_mut(host) {
            return controller.start(host, &seams).await;
        }
        match self.agents.get_mut(host) {
            Some(agent) => agent.launch()?,
            None => self.lab.cloud.launch()?,
        }
        self.lives.insert(host.to_owned(), Life::Up);
        Ok(())
    }

    /// Has a host hang, or go on. A controller that hangs takes connections and says nothing, as its links do then.
    fn hang(&mut self, host: &str, hangs: bool) -> Result<(), LabRunError> {
        if self.is_controller(host) {
            let turn = if hangs { Turn::Begins } else { Turn::Ends };
            self.network_mut().around(host, Trouble::Swallows, turn);
            return Ok(());
        }
        self.look(host)?;
        let (from, to, signal) = match hangs {
            true => (Life::Up, Life::Hung, Signal::STOP),
            false => (Life::Hung, Life::Up, Signal::CONT),
        };
        if self.lives.get(host) == Some(&from)
            && let Some(program) = self.program(host)
        {
            program.signal(signal)?;
            self.lives.insert(host.to_owned(), to);
        }
        Ok(())
    }

    fn agent_request(&self, action: &Action, host: &str) -> Result<wire::AgentRequest, LabRunError> {
        let agent = self.agents.get(host).ok_or_else(|| impossible(action))?;
        let tenant = self.tenant_of(host).ok_or_else(|| impossible(action))?;
        Ok(wire::AgentRequest {
            tenant,
            id: agent.id.to_string(),
        })
    }

    fn ask(&self, order: Order, action: &Action) {
        self.administrators
            .ask(order, action.clone(), self.clock(), &self.seams.tasks);
    }
}

/// What becomes of what is sent in a partition: TCP sends it again, unless it is lost for good.
fn trouble(lost: bool) -> Trouble {
    match lost {
        true => Trouble::Forgets,
        false => Trouble::Swallows,
    }
}

fn guid(directory: &DirectoryHandle, user: &str) -> Result<Uuid, LabRunError> {
    let none = || LabRunError::Impossible(format!("no user {user}"));
    directory.guid_of(user).ok_or_else(none)
}

/// What is refused when a file is read does not come here.
fn impossible(action: &Action) -> LabRunError {
    LabRunError::Impossible(format!("{action:?}"))
}
