//! The cloud as a process: it can end in order, be killed, and start again over the same state and on the same
//! ports.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use postern_cloud::admin::socket;
use postern_cloud::config::Limits;
use postern_kit::Seams;
use postern_kit::tls::Certificate;
use postern_proto::wire::admin::admin_client::AdminClient;
use rustix::process::Signal;
use tonic::transport::Channel;

use super::program::{Ended, Launch, Program, logged};
use super::{ProcessLabError, ProcessPlan};
use crate::lab::page::PageCertificate;

const NAME: &str = "cloud";
const CONFIG: &str = "cloud.toml";
/// Its data, in the lab's folder, and the database in it.
const DATA: &str = "data";
const DATABASE: &str = "postern.db";

/// The cloud's process, which may have ended.
#[derive(Debug)]
pub struct CloudProcess {
    /// Where people and programmes sign in.
    pub public: SocketAddr,
    /// Where agents attach.
    pub agents: SocketAddr,
    /// Who signed the page's certificate.
    pub page_root: Certificate,
    /// Connects again by itself.
    pub(super) admin: AdminClient<Channel>,
    limits: Limits,
    program: PathBuf,
    log: String,
    folder: PathBuf,
    process: Option<Program>,
}

impl CloudProcess {
    pub(super) async fn start_first(
        plan: &ProcessPlan,
        folder: &Path,
        seams: &Seams,
    ) -> Result<Self, ProcessLabError> {
        let page = PageCertificate::make(seams.clock.as_ref())?;
        fs::write(folder.join("public.crt"), &page.leaf_pem)?;
        fs::write(folder.join("public.key"), page.key_pem.as_str())?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        fs::write(folder.join(CONFIG), config(any, any, &plan.limits))?;
        let mut process = launch(&plan.program, folder, &plan.log)?;
        let [public, agents] = addresses(&mut process).await?;
        Ok(Self {
            public,
            agents,
            page_root: page.root,
            admin: socket::connect(&folder.join("admin.sock")).await?,
            limits: plan.limits,
            program: plan.program.clone(),
            log: plan.log.clone(),
            folder: folder.to_owned(),
            process: Some(process),
        })
    }

    /// The process, if it runs.
    pub fn program(&self) -> Option<&Program> {
        self.process.as_ref()
    }

    fn running(&mut self) -> Result<&mut Program, ProcessLabError> {
        let none = || ProcessLabError::NotRunning(NAME.to_owned());
        self.process.as_mut().ok_or_else(none)
    }

    /// Sends it a signal: stopped, it hangs, and it goes on where it was.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessLabError> {
        Ok(self.running()?.signal(signal)?)
    }

    /// Ends it where it stands.
    pub fn kill(&mut self) {
        self.process = None;
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

    /// Starts it again, on the same ports.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it runs, or does not start.
    pub async fn start(&mut self) -> Result<(), ProcessLabError> {
        self.launch()?;
        addresses(self.running()?).await?;
        Ok(())
    }

    /// The same, and waits for nothing.
    ///
    /// # Errors
    /// [`ProcessLabError`] if it runs, or cannot be started.
    pub fn launch(&mut self) -> Result<(), ProcessLabError> {
        if self.process.is_some() {
            return Err(ProcessLabError::Running(NAME.to_owned()));
        }
        let text = config(self.public, self.agents, &self.limits);
        fs::write(self.folder.join(CONFIG), text)?;
        self.process = Some(launch(&self.program, &self.folder, &self.log)?);
        Ok(())
    }

    /// The process, if it runs, for what is done to it.
    pub(crate) fn program_mut(&mut self) -> Option<&mut Program> {
        self.process.as_mut()
    }

    /// The file of its database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join(DATA).join(DATABASE)
    }
}

fn launch(program: &Path, folder: &Path, log: &str) -> Result<Program, ProcessLabError> {
    Ok(Program::start(Launch {
        program,
        folder,
        name: NAME,
        args: &["cloud", "serve", "--config", CONFIG, "--log-json", "--log", log],
        environment: &[],
        unread: false,
    })?)
}

/// Waits until it serves: its two addresses, for the public and for agents.
async fn addresses(process: &mut Program) -> Result<[SocketAddr; 2], ProcessLabError> {
    let addresses = |_: &str, log: &str| {
        let runs = logged(log, "cloud runs").pop()?;
        let address = |name: &str| runs[name].as_str()?.parse().ok();
        Some([address("public")?, address("agents")?])
    };
    Ok(process.says("its addresses", addresses).await?)
}

fn config(public: SocketAddr, agents: SocketAddr, limits: &Limits) -> String {
    let Limits {
        deadline,
        attempt,
        budget,
        window,
        floor,
        hand_off,
    } = limits;
    let mut text = format!(
        "data = '{DATA}'\nmaster_key = 'master.key'\n\
         [public]\nlisten = '{public}'\ncertificate = 'public.crt'\nkey = 'public.key'\n\
         [agents]\nlisten = '{agents}'\nhost_names = ['localhost']\n\
         [admin]\nsocket = 'admin.sock'\n"
    );
    // It cannot fail: this is a string.
    let _ = write!(
        text,
        "[limits]\ndeadline_ms = {}\nattempt_ms = {}\nbudget = {budget}\nwindow_minutes = {}\nfloor_ms = {}\n\
         hand_off = {hand_off}\n",
        deadline.as_millis(),
        attempt.as_millis(),
        window.as_secs() / 60,
        floor.as_millis(),
    );
    text
}
