//! A world: builds the hosts of a topology, moves time, hands out what the plan says, and says what
//! everybody saw.

mod seen;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use postern_cloud::admin::Administration;
use postern_directory_mock::{DirectoryHandle, TestCa};
use postern_kit::clock::Timestamp;
use postern_kit::tls::Certificate;
use postern_proto::ids::{AgentId, TenantId};

use super::admin::SetUps;
use super::build;
use super::client::{Access, Arrival, Book, Client, Inbox};
use super::cpu;
use super::cuts::Cuts;
use super::fault::Action;
use super::host::{Host, Process};
use super::parts::{Agent, CLOUD, Cloud, Controller, PUBLIC_PORT};
use super::time::{EPOCH, VirtualTime};
use super::topology::Topology;
use super::trace::Trace;
use super::watch::Watch;
use crate::client::Site;

/// Longest virtual time until all agents are attached: they make keys and dial once.
const START_WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest virtual time for a job of administration on a running cloud.
const JOB_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a world cannot be built or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The program was built without what makes runs repeatable.
    #[error(
        "this program cannot simulate: it was built without `--cfg tokio_unstable`, which .cargo/config.toml sets"
    )]
    Build,
    /// The topology cannot be built.
    #[error("topology: {0}")]
    Topology(String),
    /// An action names something that is not there.
    #[error("{field}: {value:?} is not there; expected one of {expected}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// What it said.
        value: String,
        /// What there is.
        expected: String,
    },
    /// An action cannot be done.
    #[error("{0}")]
    Refused(String),
    /// Something of the world outside failed.
    #[error("cannot simulate")]
    Io(#[from] std::io::Error),
    /// The simulator or a host's software failed.
    #[error("simulation failed: {0}")]
    Failed(String),
    /// Something did not happen in its time.
    #[error("{what} did not happen within {limit:?} of simulated time; {state}")]
    Late {
        /// What.
        what: &'static str,
        /// The time it had.
        limit: Duration,
        /// How things stood.
        state: String,
    },
}

/// How an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentState {
    /// Its host.
    pub host: String,
    /// The tenant's short name.
    pub tenant: Arc<str>,
    /// As it was last enrolled.
    pub id: Option<AgentId>,
    /// Whether a session stands on its stream.
    pub attached: bool,
    /// Whether its process runs.
    pub running: bool,
    /// Why its process failed, if it did.
    pub failure: Option<String>,
}

/// Something that an administrator of the cloud was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub what: Action,
    /// When it was asked, from the world's start.
    pub at: Duration,
    /// When it was done; never, if the cloud died meanwhile or its store failed. It may have been done all the
    /// same then.
    pub done: Option<Duration>,
}

/// The whole system in virtual time.
pub struct World {
    // Before what its hosts hold on to.
    pub(super) sim: turmoil::Sim<'static>,
    pub(super) time: VirtualTime,
    pub(super) trace: Trace,
    pub(super) hosts: BTreeMap<String, Rc<Host>>,
    pub(super) cloud: Rc<Cloud>,
    pub(super) controllers: BTreeMap<String, Rc<Controller>>,
    pub(super) agents: BTreeMap<String, Rc<Agent>>,
    pub(super) directories: BTreeMap<Arc<str>, DirectoryHandle>,
    pub(super) page_ca: Certificate,
    pub(super) inboxes: Vec<Inbox>,
    book: Book,
    /// From the beginning of the simulation to when all agents were attached.
    start: Duration,
    tick: Duration,
    /// What is to come, by time and then by the order in which it was planned.
    arrivals: BTreeMap<(Duration, u64), Arrival>,
    actions: BTreeMap<(Duration, u64), Action>,
    planned: u64,
    /// For each tenant: at the end of which step each bind was in its directory's journal.
    binds: BTreeMap<Arc<str>, Vec<Duration>>,
    /// What was asked of administrators, in this order.
    pub(super) asked: Rc<RefCell<Vec<Asked>>>,
    set_up: SetUps,
    pub(super) cuts: Cuts,
    folder: tempfile::TempDir,
    watch: Option<Watch>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now())
            .field("hosts", &self.hosts.keys())
            .finish_non_exhaustive()
    }
}

/// What [`build`] hands over.
pub(super) struct Ground {
    pub(super) sim: turmoil::Sim<'static>,
    pub(super) time: VirtualTime,
    pub(super) trace: Trace,
    pub(super) hosts: BTreeMap<String, Rc<Host>>,
    pub(super) cloud: Rc<Cloud>,
    pub(super) controllers: BTreeMap<String, Rc<Controller>>,
    pub(super) agents: BTreeMap<String, Rc<Agent>>,
    pub(super) directories: BTreeMap<Arc<str>, DirectoryHandle>,
    pub(super) page_ca: Arc<TestCa>,
    pub(super) folder: tempfile::TempDir,
}

impl World {
    /// Builds the world of `topology` from `seed` and runs it until all agents are attached: that is its
    /// start, from which all times of its plan and of what was seen count. The calling thread stays on
    /// one core from then on.
    ///
    /// # Errors
    /// [`SimError`] if the topology cannot be built, or does not get that far.
    pub fn new(seed: u64, topology: Topology) -> Result<Self, SimError> {
        Self::traced(seed, topology, None)
    }

    /// The same, and writes every happening as a line to `lines`: where two runs that should be alike
    /// differ, their files do.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn traced(seed: u64, topology: Topology, lines: Option<File>) -> Result<Self, SimError> {
        Self::watched(seed, topology, lines, None)
    }

    /// The same, with a watch over what its hosts let out.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn watched(
        seed: u64,
        topology: Topology,
        lines: Option<File>,
        watch: Option<Watch>,
    ) -> Result<Self, SimError> {
        // Only speed is lost where it is forbidden.
        if let Err(error) = cpu::stay_on_one() {
            tracing::debug!(%error, "the simulation has no core of its own");
        }
        let ground = build::ground(seed, &topology, lines, watch.clone())?;
        let mut world = Self {
            sim: ground.sim,
            time: ground.time,
            trace: ground.trace,
            hosts: ground.hosts,
            cloud: ground.cloud,
            controllers: ground.controllers,
            agents: ground.agents,
            directories: ground.directories,
            page_ca: ground.page_ca.der(),
            inboxes: Vec::new(),
            book: Book::default(),
            start: Duration::ZERO,
            tick: topology.tick,
            arrivals: BTreeMap::new(),
            actions: BTreeMap::new(),
            planned: 0,
            binds: BTreeMap::new(),
            asked: Rc::default(),
            set_up: BTreeMap::new(),
            cuts: Cuts::new(topology.latency.min, topology.tick),
            folder: ground.folder,
            watch,
        };
        world.links(&topology, false)?;
        world.wait("the start of all agents", START_WAIT_MAX, |world| {
            world.agents().iter().all(|agent| agent.attached)
        })?;
        world.set_up = match &*world.cloud.set_up.borrow() {
            Some(Ok(done)) => done.clone(),
            Some(Err(error)) => return Err(SimError::Topology(error.clone())),
            None => return Err(SimError::Topology("no agent: expected at least one".to_owned())),
        };
        world.start = world.sim.elapsed();
        for number in 1..=topology.clients {
            world.add_client(&format!("client{number}"), seed);
        }
        world.links(&topology, true)?;
        Ok(world)
    }

    /// Sets the links that differ: those of clients, or the others.
    fn links(&mut self, topology: &Topology, of_clients: bool) -> Result<(), SimError> {
        for link in &topology.links {
            let ends = [&link.a, &link.b];
            if ends.iter().any(|name| name.starts_with("client")) == of_clients {
                let (a, b) = self.both("links.a", &link.a, "links.b", &link.b)?;
                self.cuts.set_latency(&self.sim, a, b, link.latency);
            }
        }
        Ok(())
    }

    fn add_client(&mut self, name: &str, seed: u64) {
        let host = Rc::new(Host::new(name, seed, &self.time, &self.trace));
        let seams = host.seams();
        let inbox = Inbox::default();
        let access = self.set_up.iter().filter_map(|(tenant, set_up)| {
            let access = Access {
                directory: self.directories.get(tenant)?.clone(),
                id: set_up.client.0.to_string(),
                secret: set_up.client.1.clone(),
            };
            Some((tenant.clone(), access))
        });
        let client = Rc::new(Client {
            host: host.clone(),
            site: Site {
                net: seams.net,
                clock: seams.clock,
                host: CLOUD.to_owned(),
                port: PUBLIC_PORT,
                roots: vec![self.page_ca.clone()],
            },
            inbox: inbox.clone(),
            book: self.book.clone(),
            time: self.time.clone(),
            trace: self.trace.clone(),
            start: self.start,
            access: access.collect(),
        });
        self.hosts.insert(name.to_owned(), host);
        self.inboxes.push(inbox);
        self.sim.host(name, move || {
            let client = client.clone();
            async move {
                client.host.starts();
                if let Err(error) = client.run().await {
                    client.host.ends(Process::Failed(error.to_string()));
                }
                Ok(())
            }
        });
    }

    // The plan.

    /// Time since the world's start.
    pub fn now(&self) -> Duration {
        self.sim.elapsed().saturating_sub(self.start)
    }

    /// From the beginning of the simulation to the world's start.
    pub fn began(&self) -> Duration {
        self.start
    }

    /// What an exact wall clock shows at a time since the world's start: journals and the sign-in log
    /// have wall-clock times.
    pub fn wall(&self, at: Duration) -> Timestamp {
        EPOCH.plus(self.start + at)
    }

    /// Plans an action. What is planned for the past happens at the next step.
    pub fn at(&mut self, at: Duration, action: impl Into<Action>) {
        self.planned += 1;
        self.actions.insert((at, self.planned), action.into());
    }

    /// Plans sign-ins.
    ///
    /// # Errors
    /// [`SimError::Unknown`] if one is of a client or a tenant that is not there; then none is planned.
    pub fn arrive(&mut self, arrivals: impl IntoIterator<Item = Arrival>) -> Result<(), SimError> {
        let arrivals: Vec<_> = arrivals.into_iter().collect();
        for arrival in &arrivals {
            if arrival.client >= self.inboxes.len() {
                return Err(SimError::Unknown {
                    field: "client",
                    value: arrival.client.to_string(),
                    expected: format!("0 to {}", self.inboxes.len().saturating_sub(1)),
                });
            }
            self.directory(&arrival.tenant)?;
        }
        for arrival in arrivals {
            self.planned += 1;
            self.arrivals.insert((arrival.at, self.planned), arrival);
        }
        Ok(())
    }

    // Time.

    /// Runs until this time since the world's start.
    ///
    /// # Errors
    /// [`SimError`] if an action of the plan cannot be done, or the simulator fails.
    pub fn run_until(&mut self, until: Duration) -> Result<(), SimError> {
        while self.now() < until {
            self.step()?;
        }
        Ok(())
    }

    /// Runs for this time.
    ///
    /// # Errors
    /// As [`World::run_until`].
    pub fn run_for(&mut self, span: Duration) -> Result<(), SimError> {
        self.run_until(self.now() + span)
    }

    /// Runs until everything that was planned has happened and every sign-in that was sent has an answer
    /// or has lost its client.
    ///
    /// # Errors
    /// [`SimError::Late`] after `limit`; and as [`World::run_until`].
    pub fn settle(&mut self, limit: Duration) -> Result<(), SimError> {
        self.wait("the last answer", limit, |world| {
            world.arrivals.is_empty() && world.actions.is_empty() && world.book.waiting() == 0
        })
    }

    /// Runs until `done` holds.
    ///
    /// # Errors
    /// [`SimError::Late`] after `limit`; and as [`World::run_until`].
    pub fn wait(
        &mut self,
        what: &'static str,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), SimError> {
        let until = self.sim.elapsed() + limit;
        while !done(self) {
            if self.sim.elapsed() >= until {
                let state = self.state();
                return Err(SimError::Late { what, limit, state });
            }
            self.step()?;
        }
        Ok(())
    }

    fn state(&self) -> String {
        let hosts = self
            .hosts
            .iter()
            .map(|(name, host)| format!("{name}: {:?}", host.process.borrow()));
        let attached = self.agents().into_iter().filter(|agent| agent.attached).count();
        let hosts: Vec<_> = hosts.collect();
        format!(
            "{}; {attached} agents attached, {} sign-ins wait",
            hosts.join(", "),
            self.book.waiting()
        )
    }

    /// One tick.
    fn step(&mut self) -> Result<(), SimError> {
        let now = self.now();
        while let Some(next) = self.actions.first_entry().filter(|next| next.key().0 <= now) {
            let action = next.remove();
            self.apply(&action)?;
        }
        self.cuts.carry(&self.sim);
        let ahead = now + self.tick;
        while let Some(next) = self.arrivals.first_entry().filter(|next| next.key().0 < ahead) {
            let arrival = next.remove();
            let inbox = self.inboxes.get(arrival.client).cloned();
            let runs = self.runs(&format!("client{}", arrival.client + 1));
            let number = self.book.add(arrival.clone());
            if let Some(inbox) = inbox.filter(|_| runs) {
                inbox.put(number, arrival);
            }
        }
        self.sim
            .step()
            .map_err(|error| SimError::Failed(error.to_string()))?;
        self.time.set(self.sim.elapsed());
        self.note_binds();
        let dying: Vec<_> = self
            .hosts
            .iter()
            .filter(|(_, host)| host.disk.take_dying())
            .collect();
        let dying: Vec<_> = dying.into_iter().map(|(name, _)| name.clone()).collect();
        for host in dying {
            self.crash(&host)?;
        }
        Ok(())
    }

    fn note_binds(&mut self) {
        let now = self.now();
        for (tenant, directory) in &self.directories {
            let total = usize::try_from(directory.journal().total()).unwrap_or(usize::MAX);
            let noted = self.binds.entry(tenant.clone()).or_default();
            noted.resize(total.max(noted.len()), now);
        }
    }

    fn runs(&self, host: &str) -> bool {
        let host = self.hosts.get(host);
        host.is_some_and(|host| *host.process.borrow() == Process::Running)
    }

    /// Notes that something is asked of an administrator; what is returned is to be called when it is done.
    pub(super) fn asks(&self, what: Action) -> impl FnOnce() + 'static {
        let (asked, time, start) = (self.asked.clone(), self.time.clone(), self.start);
        let at = self.now();
        let place = asked.borrow().len();
        asked.borrow_mut().push(Asked { what, at, done: None });
        move || {
            if let Some(one) = asked.borrow_mut().get_mut(place) {
                one.done = Some(time.now().saturating_sub(start));
            }
        }
    }

    /// A tenant's id in the cloud.
    ///
    /// # Errors
    /// [`SimError::Unknown`].
    pub fn tenant(&self, tenant: &str) -> Result<TenantId, SimError> {
        let found = self.set_up.get(tenant).map(|set_up| set_up.tenant.id);
        found.ok_or_else(|| SimError::Unknown {
            field: "tenant",
            value: tenant.to_owned(),
            expected: list(self.set_up.keys().map(|name| &**name)),
        })
    }

    /// Has something done by an administrator on the cloud's host, and waits for it.
    ///
    /// # Errors
    /// [`SimError::Late`] if the cloud does not run; and as [`World::run_until`].
    pub fn ask<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        job: impl FnOnce(Administration) -> F + 'static,
    ) -> Result<T, SimError> {
        let answer = Rc::new(std::cell::RefCell::new(None));
        let place = answer.clone();
        self.cloud.jobs.put(Box::new(move |admin| {
            let work = job(admin);
            Box::pin(async move {
                let value = work.await;
                *place.borrow_mut() = Some(value);
            })
        }));
        let asked = answer.clone();
        self.wait("a job of administration", JOB_WAIT_MAX, move |_| {
            asked.borrow().is_some()
        })?;
        let value = answer.borrow_mut().take();
        value.ok_or_else(|| SimError::Failed("a job of administration had no answer".to_owned()))
    }
}

/// Names for an error.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
