//! The same topology as real processes: a directory, a cloud and its agents, each a process of this
//! very program. For figures, where every part must have an account of its own.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use postern_agent::{EnrolError, Enrolment, HostPort};
use postern_cloud::admin::socket;
use postern_directory_mock::Population;
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::tls::Certificate;
use postern_proto::ids::Malformed;
use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_client::AdminClient;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tonic::transport::Channel;

use super::page::{PageCertificate, PageCertificateError};
use crate::client::{ClientError, Programme};

/// The one tenant and its domain.
const TENANT: &str = "contoso";
const DOMAIN: &str = "corp.example.com";

/// Longest wait for a process to say what it has to: a large population takes some seconds.
const SAYS_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often its output is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for a process to end after SIGTERM.
const END_WAIT_MAX: Duration = Duration::from_secs(30);
/// Users in one call of an import, as administration takes them.
const IMPORT_BATCH: usize = 1000;

/// Why there are no processes.
#[derive(Debug, thiserror::Error)]
pub enum ProcessLabError {
    /// A file or process cannot be made.
    #[error("cannot start a process")]
    Start(#[from] io::Error),
    /// A process ended, or did not say in time what it has to.
    #[error("{name}: {problem}:\n{log}")]
    Program {
        /// Which process.
        name: String,
        /// What is the matter.
        problem: &'static str,
        /// Its log.
        log: String,
    },
    /// A certificate cannot be made.
    #[error("certificate of the page cannot be made")]
    Certificate(#[from] PageCertificateError),
    /// Administration refuses.
    #[error("tenant cannot be set up")]
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
}

/// A running process; killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Program {
    fn start(folder: &Path, name: &str, args: &[&str]) -> io::Result<Self> {
        let output = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let child = Command::new(std::env::current_exe()?)
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&log)?)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output,
            log,
        })
    }

    /// The agent of this name, configured by the file of the same name and `.toml` in `folder`, once it is
    /// connected.
    ///
    /// # Errors
    /// [`ProcessLabError::Program`] if it does not connect.
    pub async fn agent(folder: &Path, name: &str) -> Result<Self, ProcessLabError> {
        let file = format!("{name}.toml");
        let args = ["agent", "run", "--config", &file, "--log-json", "--log", QUIET];
        let mut agent = Self::start(folder, name, &args)?;
        agent.says(|_, log| logged(log, "connected")).await?;
        Ok(agent)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn failed(&self, problem: &'static str) -> ProcessLabError {
        ProcessLabError::Program {
            name: self.name.clone(),
            problem,
            log: fs::read_to_string(&self.log).unwrap_or_default(),
        }
    }

    /// Waits until `find` finds something in its output and its log.
    async fn says<T>(&mut self, find: impl Fn(&str, &str) -> Option<T>) -> Result<T, ProcessLabError> {
        let deadline = monotonic() + SAYS_WAIT_MAX;
        loop {
            let ended = self.child.try_wait()?.is_some();
            let (output, log) = (fs::read_to_string(&self.output)?, fs::read_to_string(&self.log)?);
            if let Some(found) = find(&output, &log) {
                return Ok(found);
            }
            if ended {
                return Err(self.failed("has ended"));
            }
            if monotonic() >= deadline {
                return Err(self.failed("did not get ready in time"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// As the operating system reports.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// [`ProcessLabError::Program`] if it does not end well.
    pub async fn terminate(&mut self) -> Result<(), ProcessLabError> {
        self.signal(Signal::TERM)?;
        let deadline = monotonic() + END_WAIT_MAX;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(self.failed("ended with an error")),
                None if monotonic() >= deadline => return Err(self.failed("did not end in time")),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fields of the first line of a JSON log with this message.
fn logged(log: &str, message: &str) -> Option<Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|mut line| line["fields"].take())
        .find(|fields| fields["message"] == message)
}

/// Who can sign in: usernames and passwords.
pub type People = Vec<(String, String)>;

/// Processes that run.
#[derive(Debug)]
pub struct ProcessLab {
    /// The agents; they end before the others.
    pub agents: Vec<Program>,
    /// The cloud.
    pub cloud: Program,
    /// The directory.
    pub directory: Program,
    /// Everybody in the directory.
    pub people: People,
    /// Where the directory speaks LDAPS, and the root of its certificate.
    pub ldaps: (SocketAddr, Certificate),
    public: SocketAddr,
    agents_addr: SocketAddr,
    page_root: Certificate,
    client: (String, String),
    admin: AdminClient<Channel>,
    seams: Seams,
    folder: tempfile::TempDir,
}

impl ProcessLab {
    /// Starts a directory with so many users, a cloud, and so many agents.
    ///
    /// # Errors
    /// [`ProcessLabError`] names what does not start.
    pub async fn start(users: usize, agents: usize, seams: &Seams) -> Result<Self, ProcessLabError> {
        let folder = tempfile::Builder::new().prefix("postern-lab-").tempdir()?;
        let at = folder.path();
        let (directory, ldaps) = directory(at, users).await?;
        let (cloud, [public, agents_addr], page_root) = cloud(at, seams).await?;
        let admin = socket::connect(&at.join("admin.sock")).await?;
        let population = Population::seeded(1, users);
        let person = |person: &postern_directory_mock::Person| {
            (person.upn(DOMAIN), person.password.plaintext().to_owned())
        };
        let mut lab = Self {
            agents: Vec::new(),
            cloud,
            directory,
            people: population.people().iter().map(person).collect(),
            ldaps,
            public,
            agents_addr,
            page_root,
            client: Default::default(),
            admin,
            seams: seams.clone(),
            folder,
        };
        lab.client = lab.set_up(&population).await?;
        for number in 0..agents {
            lab.enrol_agent(number).await?;
            lab.start_agent(number).await?;
        }
        Ok(lab)
    }

    /// A programme of the tenant with a connection of its own.
    ///
    /// # Errors
    /// [`ClientError`] if it cannot be set up.
    pub fn programme(&self) -> Result<Programme, ClientError> {
        let (id, secret) = &self.client;
        Programme::new(self.public, vec![self.page_root.clone()], id, secret)
    }

    /// All processes.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        [&self.cloud, &self.directory].into_iter().chain(&self.agents)
    }

    /// How many of the newest `last` sign-ins, at most 1,000, were handed over: asked of a second agent.
    ///
    /// # Errors
    /// [`ProcessLabError::Admin`] if administration does not show the log.
    pub async fn handed_over(&mut self, last: u32) -> Result<usize, ProcessLabError> {
        let request = wire::ListSignInsRequest {
            tenant: TENANT.to_owned(),
            username: String::new(),
            limit: last,
        };
        let records = self.admin.list_sign_ins(request).await?.into_inner().records;
        Ok(records.iter().filter(|record| record.attempts.len() > 1).count())
    }

    /// How many agents the cloud takes for attached.
    ///
    /// # Errors
    /// [`ProcessLabError::Admin`] if administration does not list them.
    pub async fn attached(&mut self) -> Result<usize, ProcessLabError> {
        let tenant = TENANT.to_owned();
        let agents = self.admin.list_agents(wire::ListAgentsRequest { tenant }).await?;
        let agents = agents.into_inner().agents;
        Ok(agents.iter().filter(|agent| agent.connected).count())
    }

    /// Ends all of them in order.
    ///
    /// # Errors
    /// [`ProcessLabError::Program`] for the first that does not end well.
    pub async fn stop(mut self) -> Result<(), ProcessLabError> {
        for agent in &mut self.agents {
            agent.terminate().await?;
        }
        self.cloud.terminate().await?;
        self.directory.terminate().await
    }

    async fn set_up(&mut self, population: &Population) -> Result<(String, String), ProcessLabError> {
        let tenant = || TENANT.to_owned();
        let request = wire::CreateTenantRequest {
            name: tenant(),
            tell_locked: true,
        };
        self.admin.create_tenant(request).await?;
        let request = wire::CreateDomainRequest {
            tenant: tenant(),
            name: DOMAIN.to_owned(),
        };
        self.admin.create_domain(request).await?;
        for batch in population.people().chunks(IMPORT_BATCH) {
            let user = |person: &postern_directory_mock::Person| wire::NewUser {
                username: person.upn(DOMAIN),
                object_id: person.guid.to_string(),
                ..wire::NewUser::default()
            };
            let request = wire::ImportUsersRequest {
                tenant: tenant(),
                users: batch.iter().map(user).collect(),
            };
            self.admin.import_users(request).await?;
        }
        let request = wire::CreateClientRequest {
            tenant: tenant(),
            name: "load".to_owned(),
        };
        let made = self.admin.create_client(request).await?.into_inner();
        let client = made.client.unwrap_or_default();
        Ok((client.id, made.secret))
    }

    /// Makes the agent of this number, from 0, and the file that configures it, and leaves it at that.
    ///
    /// # Errors
    /// [`ProcessLabError::Enrol`] if it does not enrol.
    pub async fn enrol_agent(&mut self, number: usize) -> Result<PathBuf, ProcessLabError> {
        let name = agent_name(number);
        let request = wire::CreateTokenRequest {
            tenant: TENANT.to_owned(),
            domains: vec![DOMAIN.to_owned()],
            lifetime_s: 600,
        };
        let token = self.admin.create_token(request).await?.into_inner().text;
        let enrolment = Enrolment {
            cloud: HostPort {
                host: "localhost".to_owned(),
                port: self.agents_addr.port(),
            },
            token: token.parse()?,
            state: self.folder.path().join(&name),
            host_name: name.clone(),
            replace_identity: false,
        };
        let state = enrolment.state.clone();
        postern_agent::enrol(enrolment, &self.seams).await?;
        let root = self.folder.path().join("controller-root.pem");
        let text = agent_config(&state, self.agents_addr, DOMAIN, self.ldaps.0, &root);
        let file = self.folder.path().join(format!("{name}.toml"));
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Starts the agent of this number, from 0, which was enrolled at the start; again, if it has ended.
    /// Dropping it from `agents` kills it.
    ///
    /// # Errors
    /// [`ProcessLabError::Program`] if it does not connect.
    pub async fn start_agent(&mut self, number: usize) -> Result<(), ProcessLabError> {
        let agent = Program::agent(self.folder.path(), &agent_name(number)).await?;
        self.agents.push(agent);
        Ok(())
    }
}

/// The configuration of an agent beside its cloud and its one controller.
pub(crate) fn agent_config(
    state: &Path,
    cloud: SocketAddr,
    domain: &str,
    ldaps: SocketAddr,
    root: &Path,
) -> String {
    format!(
        "state = '{}'\ncloud = 'localhost:{}'\n[[forest]]\nname = 'corp'\ndomains = ['{domain}']\n\
         controllers = ['localhost:{}']\ntrust = '{}'\n",
        state.display(),
        cloud.port(),
        ldaps.port(),
        root.display(),
    )
}

fn agent_name(number: usize) -> String {
    format!("agent-{}", number + 1)
}

/// What a server that has something to do would log: not a line for each request.
const QUIET: &str = "warn,postern_agent::channel=info,postern_cloud::service=info";

async fn directory(
    folder: &Path,
    users: usize,
) -> Result<(Program, (SocketAddr, Certificate)), ProcessLabError> {
    let text = format!(
        "domain = '{DOMAIN}'\nnetbios = 'CORP'\nlisten.ldaps = '127.0.0.1:0'\ntls.root = 'controller-root.pem'\n\
         [population]\nseed = 1\ncount = {users}\n"
    );
    fs::write(folder.join("directory.toml"), text)?;
    let args = [
        "directory",
        "serve",
        "--config",
        "directory.toml",
        "--log",
        "warn",
    ];
    let mut program = Program::start(folder, "directory", &args)?;
    let found = |output: &str, _: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix("ldaps://"));
        line?.parse().ok()
    };
    let addr = program.says(found).await?;
    let pem = fs::read(folder.join("controller-root.pem"))?;
    let root = postern_kit::tls::certificates_from_pem(&pem).map_err(PageCertificateError::from)?;
    let root = root
        .into_iter()
        .next()
        .ok_or_else(|| program.failed("has no root"))?;
    Ok((program, (addr, root)))
}

async fn cloud(
    folder: &Path,
    seams: &Seams,
) -> Result<(Program, [SocketAddr; 2], Certificate), ProcessLabError> {
    let page = PageCertificate::make(seams.clock.as_ref())?;
    fs::write(folder.join("public.crt"), &page.leaf_pem)?;
    fs::write(folder.join("public.key"), page.key_pem.as_str())?;
    let text = postern_cloud::config::EXAMPLE
        .replace("0.0.0.0:443", "127.0.0.1:0")
        .replace("0.0.0.0:8443", "127.0.0.1:0");
    fs::write(folder.join("cloud.toml"), text)?;
    let args = [
        "cloud",
        "serve",
        "--config",
        "cloud.toml",
        "--log-json",
        "--log",
        QUIET,
    ];
    let mut program = Program::start(folder, "cloud", &args)?;
    let addresses = |_: &str, log: &str| {
        let runs = logged(log, "cloud runs")?;
        let address = |name: &str| runs[name].as_str()?.parse().ok();
        Some([address("public")?, address("agents")?])
    };
    let addresses = program.says(addresses).await?;
    Ok((program, addresses, page.root))
}
