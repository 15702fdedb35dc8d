//! The same topology as real processes of the program `postern`: a cloud and the agents of its tenants, which
//! can be killed, stopped, asked to end, cut off and started again. For what only real processes do, and for
//! figures, where every part must have an account of its own.

mod agent;
mod cloud;
mod directory;
mod log;
mod program;
mod register;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postern_agent::EnrolError;
use postern_cloud::config::Limits;
use postern_directory_mock::{Population, StartError};
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_proto::ids::Malformed;
use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_client::AdminClient;
use tonic::transport::Channel;

use super::page::PageCertificateError;
use crate::check::Logged;
use crate::client::{ClientError, Programme};

pub use agent::AgentProcess;
pub(crate) use agent::{Forest, Runs, Way, agent_config, start_agent};
pub use cloud::CloudProcess;
pub use directory::LabDirectory;
pub(crate) use program::log_file;
pub use program::{Ended, Launch, Program, ProgramError, lines, logged};
pub(crate) use register::{NewTenant, Registered, register};

/// Records that administration shows at once, at most.
const SHOWN_MAX: u32 = 1000;
/// Longest wait until the cloud knows how many agents are attached: a process that died takes 4 s, an idle one
/// that is cut off 32.
const ATTACHED_WAIT_MAX: Duration = Duration::from_secs(40);
/// How often the list of agents is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a server that has something to do would log: not a line for each request.
pub(crate) const QUIET: &str =
    "warn,postern_agent::channel=info,postern_agent::service=info,postern_cloud::service=info";

/// Why the processes are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum ProcessLabError {
    /// A file or a link cannot be made.
    #[error("lab's files cannot be made")]
    Files(#[from] io::Error),
    /// A process is not as it should be.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// It is asked of a process that does not run.
    #[error("{0} does not run")]
    NotRunning(String),
    /// It runs already.
    #[error("{0} runs already")]
    Running(String),
    /// There is no such tenant, or none at all.
    #[error("tenants: expected one with number {0}, counted from 0")]
    NoTenant(usize),
    /// A certificate cannot be made.
    #[error("certificate of the page cannot be made")]
    Certificate(#[from] PageCertificateError),
    /// A directory in this process does not start.
    #[error("directory does not start")]
    Directory(#[from] StartError),
    /// Administration refuses.
    #[error("administration refuses")]
    Admin(#[from] tonic::Status),
    /// The cloud's answer is not one.
    #[error("cloud's answer is not usable")]
    Answer(#[from] Malformed),
    /// An agent is not enrolled.
    #[error("agent cannot enrol")]
    Enrol(#[from] EnrolError),
    /// A client cannot be set up.
    #[error("client cannot be set up")]
    Client(#[from] ClientError),
    /// Other agents are attached than should be.
    #[error("{wanted} agents should be attached within 40 s, {found} are")]
    NotAttached {
        /// How many should be.
        wanted: usize,
        /// How many are.
        found: usize,
    },
}

/// Where a tenant's directory runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As a process of its own, whose cost can be told.
    OwnProcess,
    /// In this process, so that its faults can be set and its journal be read.
    Here,
}

/// A tenant, its directory and its agents.
#[derive(Clone, Debug)]
pub struct ProcessTenantPlan {
    /// Its short name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// How many users there are.
    pub users: usize,
    /// How many agents run.
    pub agents: usize,
    /// Where its directory runs.
    pub directory: Place,
}

/// What a lab of processes consists of.
#[derive(Clone, Debug)]
pub struct ProcessPlan {
    /// The file of the program `postern`.
    pub program: PathBuf,
    /// The tenants.
    pub tenants: Vec<ProcessTenantPlan>,
    /// What a sign-in may take.
    pub limits: Limits,
    /// Each agent reaches the cloud over a link of its own, which can be cut. The link is in this process.
    pub links: bool,
    /// What cloud and agents log.
    pub log: String,
}

impl ProcessPlan {
    /// One tenant with so many users and agents, everything else as in production and in processes of their own.
    /// The program is this one.
    ///
    /// # Errors
    /// If the file of this program is not known.
    pub fn new(users: usize, agents: usize) -> io::Result<Self> {
        let tenant = ProcessTenantPlan {
            name: "contoso".to_owned(),
            domain: "corp.example.com".to_owned(),
            users,
            agents,
            directory: Place::OwnProcess,
        };
        Ok(Self {
            program: std::env::current_exe()?,
            tenants: vec![tenant],
            limits: Limits::default(),
            links: false,
            log: QUIET.to_owned(),
        })
    }
}

/// Who can sign in: usernames and passwords.
pub type People = Vec<(String, String)>;

/// A tenant with its directory and its agents.
#[derive(Debug)]
pub struct ProcessTenant {
    /// Its short name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// Everybody in its directory.
    pub people: People,
    /// Its directory.
    pub directory: LabDirectory,
    /// Its agents, in the order in which they were enrolled.
    pub agents: Vec<AgentProcess>,
    /// Id and secret of the client that signs its users in.
    client: (String, String),
}

/// Processes that run. Dropping it kills them.
#[derive(Debug)]
pub struct ProcessLab {
    /// The tenants, in the order of their plans. Their agents end before the others.
    pub tenants: Vec<ProcessTenant>,
    /// The cloud.
    pub cloud: CloudProcess,
    program: PathBuf,
    links: bool,
    log: String,
    start_unix_ms: i64,
    seams: Seams,
    folder: tempfile::TempDir,
}

impl ProcessLab {
    /// Starts a topology and waits until all agents are attached.
    ///
    /// # Errors
    /// [`ProcessLabError`] names what does not start.
    pub async fn start(plan: ProcessPlan, seams: &Seams) -> Result<Self, ProcessLabError> {
        let folder = tempfile::Builder::new().prefix("postern-lab-").tempdir()?;
        let cloud = CloudProcess::start_first(&plan, folder.path(), seams).await?;
        let mut lab = Self {
            tenants: Vec::new(),
            cloud,
            program: plan.program,
            links: plan.links,
            log: plan.log,
            start_unix_ms: seams.clock.now().unix_ms(),
            seams: seams.clone(),
            folder,
        };
        for (at, tenant) in plan.tenants.into_iter().enumerate() {
            let agents = tenant.agents;
            let tenant = lab.tenant_of(at, tenant).await?;
            lab.tenants.push(tenant);
            for _ in 0..agents {
                lab.enrol_agent(at).await?.start().await?;
            }
            lab.attached(at, agents).await?;
        }
        Ok(lab)
    }

    async fn tenant_of(
        &mut self,
        at: usize,
        plan: ProcessTenantPlan,
    ) -> Result<ProcessTenant, ProcessLabError> {
        // People of different tenants are different people.
        let seed = at as u64 + 1;
        let population = Population::seeded(seed, plan.users);
        let directory =
            LabDirectory::start(&self.program, self.folder.path(), &plan, seed, &self.seams).await?;
        let client = self.set_up(&plan, &population).await?;
        let people = population.people().iter();
        let people = people.map(|person| (person.upn(&plan.domain), person.password.plaintext().to_owned()));
        Ok(ProcessTenant {
            people: people.collect(),
            name: plan.name,
            domain: plan.domain,
            directory,
            agents: Vec::new(),
            client,
        })
    }

    async fn set_up(
        &mut self,
        plan: &ProcessTenantPlan,
        population: &Population,
    ) -> Result<(String, String), ProcessLabError> {
        let user = |person: &postern_directory_mock::Person| wire::NewUser {
            username: person.upn(&plan.domain),
            object_id: person.guid.to_string(),
            ..wire::NewUser::default()
        };
        let new = NewTenant {
            name: &plan.name,
            domain: &plan.domain,
            tell_locked: true,
            users: population.people().iter().map(user).collect(),
        };
        Ok(register(&mut self.cloud.admin, new).await?.client)
    }

    /// The tenant at `at`.
    ///
    /// # Errors
    /// [`ProcessLabError::NoTenant`].
    pub fn tenant(&self, at: usize) -> Result<&ProcessTenant, ProcessLabError> {
        self.tenants.get(at).ok_or(ProcessLabError::NoTenant(at))
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Administration of the running cloud.
    pub fn admin(&mut self) -> &mut AdminClient<Channel> {
        &mut self.cloud.admin
    }

    /// A programme of the tenant at `at` with a connection of its own.
    ///
    /// # Errors
    /// [`ProcessLabError`] if there is no such tenant, or the programme cannot be set up.
    pub fn programme(&self, at: usize) -> Result<Programme, ProcessLabError> {
        let (id, secret) = &self.tenant(at)?.client;
        let roots = vec![self.cloud.page_root.clone()];
        Ok(Programme::new(self.cloud.public, roots, id, secret)?)
    }

    /// All processes that run.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let tenants = self.tenants.iter();
        let directories = tenants.clone().filter_map(|tenant| tenant.directory.program());
        let agents = tenants.flat_map(|tenant| tenant.agents.iter().filter_map(AgentProcess::program));
        self.cloud.program().into_iter().chain(directories).chain(agents)
    }

    /// Makes one more agent for the tenant at `at`, and leaves it at that: it is to be started.
    ///
    /// # Errors
    /// [`ProcessLabError::Enrol`] if it does not enrol.
    pub async fn enrol_agent(&mut self, at: usize) -> Result<&mut AgentProcess, ProcessLabError> {
        let tenant = self.tenants.get_mut(at).ok_or(ProcessLabError::NoTenant(at))?;
        let request = wire::CreateTokenRequest {
            tenant: tenant.name.clone(),
            domains: vec![tenant.domain.clone()],
            lifetime_s: 600,
        };
        let token = self.cloud.admin.create_token(request).await?.into_inner().text;
        let name = match at {
            0 => format!("agent-{}", tenant.agents.len() + 1),
            _ => format!("{}-agent-{}", tenant.name, tenant.agents.len() + 1),
        };
        let forest = Forest {
            domain: tenant.domain.clone(),
            controllers: vec![tenant.directory.ldaps],
            root_file: tenant.directory.root_file.clone(),
        };
        let cloud = Way {
            cloud: self.cloud.agents,
            linked: self.links,
        };
        let agent = AgentProcess::enrol(
            Runs {
                program: self.program.clone(),
                folder: self.folder.path().to_owned(),
                log: self.log.clone(),
            },
            name,
            token.parse()?,
            cloud,
            &forest,
            &self.seams,
        );
        let agent = agent.await?;
        tenant.agents.push(agent);
        tenant.agents.last_mut().ok_or(ProcessLabError::NoTenant(at))
    }

    /// What the cloud knows of the agents of the tenant at `at`.
    ///
    /// # Errors
    /// [`ProcessLabError::Admin`] if administration does not list them.
    pub async fn agents(&mut self, at: usize) -> Result<Vec<wire::Agent>, ProcessLabError> {
        let tenant = self.tenant(at)?.name.clone();
        let listed = self
            .cloud
            .admin
            .list_agents(wire::ListAgentsRequest { tenant })
            .await?;
        Ok(listed.into_inner().agents)
    }

    /// Waits until the cloud takes exactly `wanted` agents of the tenant at `at` for attached. How long it took.
    ///
    /// # Errors
    /// [`ProcessLabError::NotAttached`] if it takes longer than any change may.
    pub async fn attached(&mut self, at: usize, wanted: usize) -> Result<Duration, ProcessLabError> {
        let began = monotonic();
        loop {
            let agents = self.agents(at).await?;
            let found = agents.iter().filter(|agent| agent.connected).count();
            let waited = monotonic().saturating_duration_since(began);
            if found == wanted {
                return Ok(waited);
            }
            if waited >= ATTACHED_WAIT_MAX {
                return Err(ProcessLabError::NotAttached { wanted, found });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The log of the tenant at `at`, oldest first; of longer ones the last 1,000 records. Times in it count from
    /// the lab's start.
    ///
    /// # Errors
    /// [`ProcessLabError::Admin`] if administration does not show it.
    pub async fn sign_ins(&mut self, at: usize) -> Result<Vec<Logged>, ProcessLabError> {
        let request = wire::ListSignInsRequest {
            tenant: self.tenant(at)?.name.clone(),
            username: String::new(),
            limit: SHOWN_MAX,
        };
        let shown = self.cloud.admin.list_sign_ins(request).await?.into_inner();
        let tenant = self.tenant(at)?;
        Ok(log::read(&shown.records, at, tenant, self.start_unix_ms)?)
    }

    /// Time since the lab's start, by the wall clock, which the log's times are taken from.
    pub fn now(&self) -> Duration {
        let passed = self
            .seams
            .clock
            .now()
            .unix_ms()
            .saturating_sub(self.start_unix_ms);
        Duration::from_millis(u64::try_from(passed).unwrap_or(0))
    }

    /// Ends all that run in order: agents, cloud, directories.
    ///
    /// # Errors
    /// [`ProcessLabError::Program`] for the first that does not end well.
    pub async fn stop(mut self) -> Result<(), ProcessLabError> {
        for agent in self.tenants.iter_mut().flat_map(|tenant| &mut tenant.agents) {
            if agent.program().is_some() {
                agent.terminate().await?;
            }
        }
        if self.cloud.program().is_some() {
            self.cloud.terminate().await?;
        }
        for tenant in self.tenants {
            tenant.directory.stop().await?;
        }
        Ok(())
    }
}
