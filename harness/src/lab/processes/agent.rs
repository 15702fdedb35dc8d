//! An agent as a process, and the link between it and its cloud.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postern_agent::{Enrolment, HostPort};
use postern_kit::Seams;
use postern_proto::enrolment::EnrolmentToken;
use postern_proto::ids::AgentId;
use rustix::process::Signal;

use super::ProcessLabError;
use super::program::{Ended, Launch, Program, ProgramError};
use crate::lab::link::{Link, LinkState};

/// What an agent logs when its stream is attached.
const CONNECTED: &str = "connected";

/// How an agent reaches its cloud.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Where agents attach.
    pub(crate) cloud: SocketAddr,
    /// Over a link of its own that can be cut.
    pub(crate) linked: bool,
}

/// Which directory an agent asks.
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    /// Its domain.
    pub(crate) domain: String,
    /// Where its controllers speak LDAPS, the preferred one first.
    pub(crate) controllers: Vec<SocketAddr>,
    /// Who signed their certificates, in PEM.
    pub(crate) root_file: PathBuf,
}

/// How it is run.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    /// The file of the program.
    pub(crate) program: PathBuf,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// What it logs.
    pub(crate) log: String,
}

/// An enrolled agent, which may run.
#[derive(Debug)]
pub struct AgentProcess {
    /// Its id.
    pub id: AgentId,
    name: String,
    runs: Runs,
    link: Option<Link>,
    process: Option<Program>,
}

impl AgentProcess {
    /// Makes an agent, and leaves it at that.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it does not enrol.
    pub(crate) async fn enrol(
        runs: Runs,
        name: String,
        token: EnrolmentToken,
        way: Way,
        forest: &Forest,
        seams: &Seams,
    ) -> Result<Self, ProcessLabError> {
        let state = runs.folder.join(&name);
        let enrolment = Enrolment {
            cloud: HostPort {
                host: "localhost".to_owned(),
                port: way.cloud.port(),
            },
            token,
            state: state.clone(),
            host_name: name.clone(),
            replace_identity: false,
        };
        let identity = postern_agent::enrol(enrolment, seams).await?;
        let link = match way.linked {
            true => Some(Link::start(way.cloud, seams).await?),
            false => None,
        };
        let cloud = link.as_ref().map_or(way.cloud, Link::addr);
        let text = agent_config(&state, cloud, forest);
        let agent = Self {
            id: identity.agent,
            name,
            runs,
            link,
            process: None,
        };
        fs::write(agent.config(), text)?;
        Ok(agent)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that configures it.
    pub fn config(&self) -> PathBuf {
        self.runs.folder.join(format!("{}.toml", self.name))
    }

    /// The process, if it runs.
    pub fn program(&self) -> Option<&Program> {
        self.process.as_ref()
    }

    /// The same, for what is done to it.
    pub(crate) fn program_mut(&mut self) -> Option<&mut Program> {
        self.process.as_mut()
    }

    fn running(&mut self) -> Result<&mut Program, ProcessLabError> {
        let none = || ProcessLabError::NotRunning(self.name.clone());
        self.process.as_mut().ok_or_else(none)
    }

    /// Starts it, again if it has ended, and waits until it is connected.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it runs, or does not connect.
    pub async fn start(&mut self) -> Result<(), ProcessLabError> {
        self.launch()?;
        self.running()?.logs(CONNECTED).await?;
        Ok(())
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it runs, or cannot be started.
    pub fn launch(&mut self) -> Result<(), ProcessLabError> {
        if self.process.is_some() {
            return Err(ProcessLabError::Running(self.name.clone()));
        }
        let Runs { program, folder, log } = &self.runs;
        self.process = Some(launch(program, folder, &self.name, log)?);
        Ok(())
    }

    /// Ends it where it stands.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends it a signal: stopped, it hangs, and it goes on where it was.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessLabError> {
        Ok(self.running()?.signal(signal)?)
    }

    /// From now on its link to the cloud does this. Nothing if it has none.
    pub fn set_link(&self, state: LinkState) {
        if let Some(link) = &self.link {
            link.set(state);
        }
    }

    /// Asks it to end and waits until it has, which it must do well.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it does not run, or does not end well.
    ///
    /// # Cancellation
    /// Dropped, it was asked, and still counts as running.
    pub async fn terminate(&mut self) -> Result<Ended, ProcessLabError> {
        let process = self.running()?;
        process.end_well().await?;
        let ended = process.ended().await?;
        self.process = None;
        Ok(ended)
    }
}

/// Starts the agent of this name, configured by the file of the same name and `.toml` in `folder`, and waits until
/// it is connected.
///
/// # Errors
/// [`ProgramError`] if it does not connect.
pub(crate) async fn start_agent(
    program: &Path,
    folder: &Path,
    name: &str,
    log: &str,
) -> Result<Program, ProgramError> {
    let mut process = launch(program, folder, name, log)?;
    process.logs(CONNECTED).await?;
    Ok(process)
}

fn launch(program: &Path, folder: &Path, name: &str, log: &str) -> Result<Program, ProgramError> {
    let file = format!("{name}.toml");
    Program::start(Launch {
        program,
        folder,
        name,
        args: &["agent", "run", "--config", &file, "--log-json", "--log", log],
        environment: &[],
        unread: false,
    })
}

/// The configuration of an agent beside its cloud and its controllers.
pub(crate) fn agent_config(state: &Path, cloud: SocketAddr, forest: &Forest) -> String {
    let controllers = forest.controllers.iter();
    let controllers: Vec<_> = controllers
        .map(|ldaps| format!("'localhost:{}'", ldaps.port()))
        .collect();
    format!(
        "state = '{}'\ncloud = 'localhost:{}'\n[[forest]]\nname = 'corp'\ndomains = ['{}']\n\
         controllers = [{}]\ntrust = '{}'\n",
        state.display(),
        cloud.port(),
        forest.domain,
        controllers.join(", "),
        forest.root_file.display(),
    )
}
