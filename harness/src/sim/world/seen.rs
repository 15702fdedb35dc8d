//! What was seen in a world: by clients, agents, directories and administrators, and what passwords left behind.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use postern_agent::Attached;
use postern_cloud::sign_in::Record;
use postern_directory_mock::DirectoryHandle;
use postern_proto::ids::AgentId;

use super::{AgentState, Asked, SimError, World, list};
use crate::canary::{Leak, files_under};
use crate::sim::admin::not_answered;
use crate::sim::client::Observation;
use crate::sim::host::{Host, Process};
use crate::sim::parts::Agent;

impl World {
    /// All sign-ins up to now as their clients saw them, in the order of their times.
    pub fn observations(&self) -> Vec<Observation> {
        self.book.all()
    }

    /// A tenant's directory, with its journal.
    ///
    /// # Errors
    /// [`SimError::Unknown`].
    pub fn directory(&self, tenant: &str) -> Result<&DirectoryHandle, SimError> {
        self.directories.get(tenant).ok_or_else(|| SimError::Unknown {
            field: "tenant",
            value: tenant.to_owned(),
            expected: list(self.directories.keys().map(|name| &**name)),
        })
    }

    /// When each bind of a tenant's journal was there, since the world's start and to the step: also where a
    /// controller's clock was moved, whose time the journal has.
    pub fn bind_times(&self, tenant: &str) -> &[Duration] {
        self.binds.get(tenant).map_or(&[], Vec::as_slice)
    }

    /// What was asked of the cloud's administrators, and when it was done.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// The agents, by their hosts' names.
    pub fn agents(&self) -> Vec<AgentState> {
        let state = |agent: &Rc<Agent>| {
            let attached = agent.attached.borrow();
            let process = agent.host.process.borrow();
            AgentState {
                host: agent.host.name.to_string(),
                tenant: agent.tenant.clone(),
                id: *agent.id.borrow(),
                attached: attached
                    .as_ref()
                    .is_some_and(|now| *now.borrow() == Attached::Yes)
                    && *process == Process::Running,
                running: *process == Process::Running,
                failure: match &*process {
                    Process::Failed(why) => Some(why.clone()),
                    _ => None,
                },
            }
        };
        self.agents.values().map(state).collect()
    }

    /// The host of each agent, by all ids that it ever had: one that enrols anew has another.
    pub fn agents_by_id(&self) -> BTreeMap<AgentId, String> {
        let mut hosts = BTreeMap::new();
        for (host, agent) in &self.agents {
            hosts.extend(agent.ids.borrow().iter().map(|id| (*id, host.clone())));
        }
        hosts
    }

    /// Passwords that the watch found in logs, on the network, in the cloud's database and in the files of all
    /// hosts; none without a watch.
    ///
    /// # Errors
    /// [`SimError::Io`] if a file cannot be read.
    pub fn leaks(&self) -> Result<Vec<Leak>, SimError> {
        let Some(watch) = &self.watch else {
            return Ok(Vec::new());
        };
        let mut leaks = watch.leaks();
        let folder = self.folder.path();
        for file in files_under(folder)? {
            let name = file.strip_prefix(folder).unwrap_or(&file).display();
            leaks.extend(
                watch
                    .canary()
                    .find(&format!("the cloud's {name}"), &std::fs::read(&file)?),
            );
        }
        for (host, disk) in self.hosts.iter().map(|(host, of)| (host, &of.disk)) {
            for (path, bytes) in disk.files() {
                leaks.extend(
                    watch
                        .canary()
                        .find(&format!("{} of {host}", path.display()), &bytes),
                );
            }
        }
        Ok(leaks)
    }

    /// Processes that failed by themselves, with why: a task panicked, or it did not start.
    pub fn failures(&self) -> Vec<(String, String)> {
        let failure = |(name, host): (&String, &Rc<Host>)| match &*host.process.borrow() {
            Process::Failed(why) => Some((name.clone(), why.clone())),
            _ => None,
        };
        self.hosts.iter().filter_map(failure).collect()
    }

    /// The names of all hosts.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// The cloud's sign-in log, newest first. Needs a running cloud, and takes some simulated time.
    ///
    /// # Errors
    /// [`SimError`] if the cloud does not answer.
    pub fn sign_ins(&mut self) -> Result<Vec<Record>, SimError> {
        let found = self.ask(|admin| async move { admin.sign_ins().list(None, None, u32::MAX).await })?;
        found.map_err(|error| SimError::Refused(not_answered(&error)))
    }

    /// The digest of everything that happened on the network and at its ends, and how many happenings
    /// it is of.
    pub fn digest(&self) -> (String, u64) {
        self.trace.digest()
    }
}
