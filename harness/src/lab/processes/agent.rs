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
use super::directory::LabDirectory;
use super::program::{Ended, Launch, Program, ProgramError};
use crate::lab::link::{Link, LinkState};

/// How an agent reaches its cloud.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Where agents attach.
    pub(super) cloud: SocketAddr,
    /// Over a link that can be cut.
    pub(super) linked: bool,
}

/// How it is run.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    /// The file of the program.
    pub(super) program: PathBuf,
    /// Where it runs.
    pub(super) folder: PathBuf,
    /// What it logs.
    pub(super) log: String,
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
    pub(super) async fn enrol(
        runs: Runs,
        name: String,
        token: EnrolmentToken,
        way: Way,
        (domain, directory): (&str, &LabDirectory),
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
        let text = agent_config(&state, cloud, domain, directory.ldaps, &directory.root_file);
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

    fn running(&mut self) -> Result<&mut Program, ProcessLabError> {
        let none = || ProcessLabError::NotRunning(self.name.clone());
        self.process.as_mut().ok_or_else(none)
    }

    /// Starts it, again if it has ended, and waits until it is connected.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it runs, or does not connect.
    pub async fn start(&mut self) -> Result<(), ProcessLabError> {
        if self.process.is_some() {
            return Err(ProcessLabError::Running(self.name.clone()));
        }
        let process = start_agent(&self.runs.program, &self.runs.folder, &self.name, &self.runs.log).await?;
        self.process = Some(process);
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
    let file = format!("{name}.toml");
    let mut process = Program::start(Launch {
        program,
        folder,
        name,
        args: &["agent", "run", "--config", &file, "--log-json", "--log", log],
        environment: &[],
        unread: false,
    })?;
    process.logs("connected").await?;
    Ok(process)
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
