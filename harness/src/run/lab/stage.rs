//! The lab's hosts, what is done to them, and what they leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_cloud::sign_in::{Record, SignInLog};
use postern_cloud::store::Store;
use postern_directory_mock::{DirectoryHandle, Server, ServerOptions, TestCa, TlsChoice};
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::tasks::TaskFailed;
use postern_kit::telemetry::chain;
use postern_kit::tls::Certificate;
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::wire::admin as wire;
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use super::admin::Administrators;
use super::network::Network;
use super::told::{Told, told};
use super::{LabRunError, RunClock};
use crate::canary::{Canary, Leak, files_under};
use crate::lab::processes::{
    AgentProcess, Forest, NewTenant, ProcessLab, ProcessPlan, Program, Registered, Runs, Way, register,
};
use crate::run::script::Script;
use crate::run::sim::{FLAVOUR, directory};
use crate::scenario::{Agent, Controller as PlannedController, PASSWORD_MARK, Scenario, Tenant};
use crate::sim::{Asked, FILTER, Heard, Taken};

/// The cloud's host.
pub(super) const CLOUD: &str = "cloud";

/// Longest wait for the cloud to know an agent that knows itself attached: some milliseconds, on a busy machine.
const ATTACHED_WAIT: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Longest wait for tasks of links and controllers, which have nothing to finish.
const TASKS_WAIT: Duration = Duration::from_secs(5);

/// Life of an enrolment token, in seconds: it is used at once.
const TOKEN_LIFETIME_S: u64 = 600;

/// Characters at the end of the log of a process that failed which are told.
const LAST_WORDS: usize = 2000;

/// How a process should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Running.
    Up,
    /// Stopped where it is.
    Hung,
    /// Told to end in order.
    Leaving,
    /// Gone.
    Down,
}

/// A domain controller, whose server may be gone.
pub(super) struct Controller {
    directory: DirectoryHandle,
    ca: Arc<TestCa>,
    /// Where it listens, each time.
    at: SocketAddr,
    pub(super) server: Option<Server>,
}

/// A tenant that is registered.
struct StageTenant {
    name: String,
    registered: Registered,
    directory: DirectoryHandle,
}

/// The hosts.
pub(super) struct Stage {
    // Agents end before what they hang on.
    pub(super) agents: BTreeMap<String, AgentProcess>,
    pub(super) controllers: BTreeMap<String, Controller>,
    pub(super) lives: BTreeMap<String, Life>,
    pub(super) failures: Vec<(String, String)>,
    pub(super) administrators: Administrators,
    network: Network,
    tenants: Vec<StageTenant>,
    /// The short names of the agents' tenants.
    homes: BTreeMap<String, String>,
    latencies: BTreeMap<[String; 2], Duration>,
    clock: RunClock,
    pub(super) seams: Seams,
    pub(super) lab: ProcessLab,
}

/// What hosts leave behind.
pub(super) struct Left {
    pub(super) asked: Vec<Asked>,
    pub(super) agents: BTreeMap<AgentId, String>,
    pub(super) tenants: BTreeMap<TenantId, usize>,
    pub(super) log: Vec<Record>,
    pub(super) taken: Vec<Taken>,
    pub(super) heard: Vec<Heard>,
    pub(super) leaks: Vec<Leak>,
    pub(super) directories: Vec<(DirectoryHandle, Vec<Duration>)>,
    pub(super) failures: Vec<(String, String)>,
}

impl Stage {
    /// Starts everything, and waits until all agents are attached. Links pass at once until the run begins.
    ///
    /// # Errors
    /// [`LabRunError`] names what does not start.
    pub(super) async fn build(
        scenario: &Scenario,
        script: &Script<'_>,
        seed: u64,
        seams: &Seams,
    ) -> Result<Self, LabRunError> {
        let plan = ProcessPlan {
            program: std::env::current_exe()?,
            tenants: Vec::new(),
            limits: scenario.limits,
            links: false,
            log: FILTER.to_owned(),
        };
        let mut lab = ProcessLab::start(plan, seams).await?;
        let administrators = Administrators::new(lab.admin().clone());
        let mut stage = Self {
            agents: BTreeMap::new(),
            controllers: BTreeMap::new(),
            lives: BTreeMap::from([(CLOUD.to_owned(), Life::Up)]),
            failures: Vec::new(),
            administrators,
            network: Network::default(),
            tenants: Vec::new(),
            homes: BTreeMap::new(),
            latencies: BTreeMap::new(),
            clock: RunClock {
                start: monotonic(),
                wall: seams.clock.now(),
            },
            seams: seams.clone(),
            lab,
        };
        for tenant in &scenario.tenants {
            stage.tenant(tenant, seed).await?;
        }
        let public = stage.lab.cloud.public;
        for number in 1..=scenario.clients() {
            let client = format!("client{number}");
            stage.network.link(&client, CLOUD, public, seams).await?;
        }
        stage.latencies = stage
            .network
            .ends()
            .map(|ends| (ends.clone(), script.usual_latency(&ends)))
            .collect();
        Ok(stage)
    }

    async fn tenant(&mut self, tenant: &Tenant, seed: u64) -> Result<(), LabRunError> {
        let handle = DirectoryHandle::open(&directory(tenant, seed), &self.seams)?;
        let ca = Arc::new(TestCa::generate(&self.seams)?);
        let root_file = self
            .lab
            .folder()
            .join(format!("{}-controller-root.pem", tenant.name));
        fs::write(&root_file, ca.pem())?;
        for planned in &tenant.controllers {
            self.controller(planned, &handle, &ca).await?;
        }
        let new = NewTenant {
            name: &tenant.name,
            domain: &tenant.domain,
            tell_locked: tenant.tell_locked,
            users: users(&handle),
        };
        let registered = register(self.lab.admin(), new).await?;
        for agent in &tenant.agents {
            self.agent(tenant, agent, &root_file).await?;
        }
        self.tenants.push(StageTenant {
            name: tenant.name.clone(),
            registered,
            directory: handle,
        });
        self.attached(&tenant.name, tenant.agents.len()).await
    }

    /// Makes an agent with a link to everybody whom it calls, and starts it.
    async fn agent(&mut self, tenant: &Tenant, agent: &Agent, root_file: &Path) -> Result<(), LabRunError> {
        let cloud = self.lab.cloud.agents;
        let cloud = self.network.link(&agent.name, CLOUD, cloud, &self.seams).await?;
        let mut controllers = Vec::new();
        for name in &agent.controllers {
            let found = self.controllers.get(name).map(|controller| controller.at);
            let at = found.ok_or_else(|| LabRunError::Impossible(format!("no controller {name}")))?;
            controllers.push(self.network.link(&agent.name, name, at, &self.seams).await?);
        }
        let request = wire::CreateTokenRequest {
            tenant: tenant.name.clone(),
            domains: vec![tenant.domain.clone()],
            lifetime_s: TOKEN_LIFETIME_S,
        };
        let token = self.lab.admin().create_token(request).await?.into_inner().text;
        let runs = Runs {
            program: std::env::current_exe()?,
            folder: self.lab.folder().to_owned(),
            log: FILTER.to_owned(),
        };
        let way = Way { cloud, linked: false };
        let forest = Forest {
            domain: tenant.domain.clone(),
            controllers,
            root_file: root_file.to_owned(),
        };
        let made = AgentProcess::enrol(
            runs,
            agent.name.clone(),
            token.parse()?,
            way,
            &forest,
            &self.seams,
        );
        let mut process = made.await?;
        process.start().await?;
        self.agents.insert(agent.name.clone(), process);
        self.lives.insert(agent.name.clone(), Life::Up);
        self.homes.insert(agent.name.clone(), tenant.name.clone());
        Ok(())
    }

    async fn controller(
        &mut self,
        planned: &PlannedController,
        directory: &DirectoryHandle,
        ca: &Arc<TestCa>,
    ) -> Result<(), LabRunError> {
        let mut controller = Controller {
            directory: directory.clone(),
            ca: ca.clone(),
            at: (Ipv4Addr::LOCALHOST, 0).into(),
            server: None,
        };
        controller.start(&planned.name, &self.seams).await?;
        self.controllers.insert(planned.name.clone(), controller);
        Ok(())
    }

    /// Waits until the cloud knows that so many agents of a tenant are attached.
    async fn attached(&mut self, tenant: &str, wanted: usize) -> Result<(), LabRunError> {
        let until = monotonic() + ATTACHED_WAIT;
        loop {
            let request = wire::ListAgentsRequest {
                tenant: tenant.to_owned(),
            };
            let agents = self.lab.admin().list_agents(request).await?.into_inner().agents;
            let found = agents.iter().filter(|agent| agent.connected).count();
            if found == wanted {
                return Ok(());
            }
            if monotonic() >= until {
                return Err(LabRunError::NotAttached {
                    tenant: tenant.to_owned(),
                    wanted,
                    found,
                    within: ATTACHED_WAIT,
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// From now on time counts, and messages take their time.
    pub(super) fn begins(&mut self, clock: RunClock) {
        self.clock = clock;
        self.network
            .delay_each(|ends| self.latencies.get(ends).copied().unwrap_or_default());
    }

    pub(super) fn clock(&self) -> RunClock {
        self.clock
    }

    pub(super) fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Who signed the page's certificate.
    pub(super) fn page_root(&self) -> Certificate {
        self.lab.cloud.page_root.clone()
    }

    /// Ids and secrets of the tenants' programmes.
    pub(super) fn programmes(&self) -> impl Iterator<Item = &(String, String)> {
        self.tenants.iter().map(|tenant| &tenant.registered.client)
    }

    /// A tenant's directory.
    ///
    /// # Errors
    /// [`LabRunError::Impossible`] if there is no such tenant.
    pub(super) fn directory(&self, tenant: &str) -> Result<&DirectoryHandle, LabRunError> {
        let found = self.tenants.iter().find(|one| one.name == tenant);
        let none = || LabRunError::Impossible(format!("no tenant {tenant}"));
        Ok(&found.ok_or_else(none)?.directory)
    }

    /// The short name of the tenant that an agent belongs to.
    pub(super) fn tenant_of(&self, agent: &str) -> Option<String> {
        self.homes.get(agent).cloned()
    }

    /// The process of the cloud or of an agent, if it is not gone.
    pub(super) fn program(&mut self, host: &str) -> Option<&mut Program> {
        match self.agents.get_mut(host) {
            Some(agent) => agent.program_mut(),
            None => self.lab.cloud.program_mut(),
        }
    }

    /// Whether a process is as it should be: one that has ended by itself, or not well when it was told to, failed.
    ///
    /// # Errors
    /// [`LabRunError`] if it cannot be looked at.
    pub(super) fn look(&mut self, host: &str) -> Result<(), LabRunError> {
        let life = self.lives.get(host).copied().unwrap_or(Life::Down);
        let Some(program) = self.program(host) else {
            return Ok(());
        };
        let Some(status) = program.has_ended()? else {
            return Ok(());
        };
        let well = life == Life::Leaving && status.success();
        if life != Life::Down && !well {
            let log = program.log();
            let from = log.floor_char_boundary(log.len().saturating_sub(LAST_WORDS));
            let log = log.get(from..).unwrap_or_default().to_owned();
            self.failures
                .push((host.to_owned(), format!("It ended with {status}. Its log: {log}")));
        }
        self.lives.insert(host.to_owned(), Life::Down);
        Ok(())
    }

    /// Puts everything right, ends all hosts in order, and reads what they left behind.
    ///
    /// # Errors
    /// [`LabRunError`] if a process does not end, or what it left cannot be read.
    pub(super) async fn end(mut self) -> Result<Left, LabRunError> {
        self.network.heal();
        let agents: Vec<_> = self.agents.keys().cloned().collect();
        self.leave(&agents).await?;
        self.leave(&[CLOUD.to_owned()]).await?;
        let (agents, tenants, directories) = (self.agents_by_id(), self.tenants()?, self.directories());
        let log = self.log().await?;
        let (taken, heard) = self.told()?;
        let leaks = leaks(self.lab.folder())?;
        let Self {
            controllers,
            network,
            administrators,
            mut failures,
            seams,
            ..
        } = self;
        for server in controllers
            .into_values()
            .filter_map(|controller| controller.server)
        {
            server.stop().await;
        }
        drop(network);
        let asked = administrators.end();
        let stop = CancellationToken::new();
        stop.cancel();
        match seams.tasks.run_until(&stop, TASKS_WAIT).await {
            // A connection may take its time to go.
            Ok(()) | Err(TaskFailed::StillRunning(_)) => {}
            Err(error) => failures.push(("the lab".to_owned(), chain(&error))),
        }
        Ok(Left {
            asked,
            agents,
            tenants,
            log,
            taken,
            heard,
            leaks,
            directories,
            failures,
        })
    }

    /// Tells processes to end, and waits until they have.
    async fn leave(&mut self, hosts: &[String]) -> Result<(), LabRunError> {
        for host in hosts {
            self.look(host)?;
            let life = self.lives.get(host).copied();
            if life == Some(Life::Down) {
                continue;
            }
            if let Some(program) = self.program(host) {
                if life == Some(Life::Hung) {
                    program.signal(Signal::CONT)?;
                }
                if life != Some(Life::Leaving) {
                    program.signal(Signal::TERM)?;
                }
            }
            self.lives.insert(host.clone(), Life::Leaving);
        }
        for host in hosts {
            if self.lives.get(host) == Some(&Life::Leaving)
                && let Some(program) = self.program(host)
            {
                program.ended().await?;
            }
            self.look(host)?;
        }
        Ok(())
    }

    fn agents_by_id(&self) -> BTreeMap<AgentId, String> {
        let agents = self.agents.iter();
        agents.map(|(host, agent)| (agent.id, host.clone())).collect()
    }

    fn tenants(&self) -> Result<BTreeMap<TenantId, usize>, LabRunError> {
        let tenants = self.tenants.iter().enumerate();
        let placed = tenants.map(|(at, tenant)| Ok((tenant.registered.id.parse()?, at)));
        placed.collect()
    }

    /// The directories, and when each of their binds was.
    fn directories(&self) -> Vec<(DirectoryHandle, Vec<Duration>)> {
        let with_times = |tenant: &StageTenant| {
            let binds = tenant.directory.journal().all();
            let times = binds.iter().map(|bind| self.clock.of(bind.at)).collect();
            (tenant.directory.clone(), times)
        };
        self.tenants.iter().map(with_times).collect()
    }

    /// When which agent took which request, and what was said of streams since the run began.
    fn told(&self) -> Result<(Vec<Taken>, Vec<Heard>), LabRunError> {
        let (mut taken, mut heard) = (Vec::new(), Vec::new());
        for host in self.agents.keys().map(String::as_str).chain([CLOUD]) {
            for (at, told) in told(self.lab.folder(), host)? {
                let (early, at) = (at < self.clock.wall, self.clock.of(at));
                match told {
                    Told::Taken(request) => taken.push(Taken {
                        at,
                        host: host.to_owned(),
                        request,
                    }),
                    Told::Stream(..) if early => {}
                    Told::Stream(agent, what) => heard.push(Heard {
                        at,
                        host: host.to_owned(),
                        agent,
                        what,
                    }),
                }
            }
        }
        Ok((taken, heard))
    }

    /// The log of the cloud, which has ended: newest first, with controllers by their hosts' names.
    async fn log(&self) -> Result<Vec<Record>, LabRunError> {
        let stop = CancellationToken::new();
        let store = Store::open(&self.lab.cloud.database(), &self.seams, stop.clone()).await?;
        let mut records = SignInLog::new(store.clone()).list(None, None, u32::MAX).await?;
        stop.cancel();
        store.close().await;
        let hosts: BTreeMap<_, _> = self.network.by_port().collect();
        let attempts = records.iter_mut().flat_map(|record| &mut record.attempts);
        for attempt in attempts {
            let port = attempt.controller.rsplit_once(':').map(|(_, port)| port.parse());
            if let Some(host) = port.and_then(Result::ok).and_then(|port| hosts.get(&port)) {
                attempt.controller = (*host).to_owned();
            }
        }
        Ok(records)
    }
}

impl Controller {
    /// Serves, on the port that it had before.
    ///
    /// # Errors
    /// [`LabRunError::Directory`].
    pub(super) async fn start(&mut self, host: &str, seams: &Seams) -> Result<(), LabRunError> {
        let options = ServerOptions {
            ldap: None,
            ldaps: Some(self.at),
            tls: TlsChoice::By(self.ca.clone()),
            host: Some(host.to_owned()),
            flavour: FLAVOUR,
            ..ServerOptions::default()
        };
        let server = Server::start_shared(self.directory.clone(), options, seams).await?;
        self.at = server.ldaps_addr().unwrap_or(self.at);
        self.server = Some(server);
        Ok(())
    }
}

/// Passwords in what processes left: their files and their logs.
fn leaks(folder: &Path) -> std::io::Result<Vec<Leak>> {
    let canary = Canary::new(PASSWORD_MARK);
    let mut leaks = Vec::new();
    for file in files_under(folder)? {
        // The folder itself will be gone.
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        leaks.extend(canary.find(&name, &fs::read(&file)?));
    }
    Ok(leaks)
}

/// Everybody in a directory who has a userPrincipalName.
fn users(directory: &DirectoryHandle) -> Vec<wire::NewUser> {
    directory.read(|domain| {
        let named = domain.accounts().filter_map(|account| {
            Some(wire::NewUser {
                username: account.upn.clone()?,
                object_id: account.guid.to_string(),
                ..wire::NewUser::default()
            })
        });
        named.collect()
    })
}
