//! A tenant's directory: a process of its own, or a server in this one.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postern_directory_mock::{Directory, Population, Server, ServerOptions};
use postern_kit::Seams;
use postern_kit::tls::{self, Certificate};

use super::program::{Launch, Program};
use super::{Place, ProcessLabError, ProcessTenantPlan};
use crate::lab::page::PageCertificateError;

/// A running directory.
#[derive(Debug)]
pub struct LabDirectory {
    /// Where it speaks LDAPS.
    pub ldaps: SocketAddr,
    /// Who signed its certificate.
    pub root: Certificate,
    /// The file that holds the same in PEM.
    pub root_file: PathBuf,
    runs: Runs,
}

#[derive(Debug)]
enum Runs {
    Process(Program),
    Here(Server),
}

impl LabDirectory {
    pub(super) async fn start(
        program: &Path,
        folder: &Path,
        plan: &ProcessTenantPlan,
        seed: u64,
        seams: &Seams,
    ) -> Result<Self, ProcessLabError> {
        let root_file = folder.join(format!("{}-controller-root.pem", plan.name));
        let (runs, ldaps) = match plan.directory {
            Place::OwnProcess => {
                let (program, ldaps) = process(program, folder, plan, seed, &root_file).await?;
                (Runs::Process(program), Some(ldaps))
            }
            Place::Here => {
                let directory = Directory::builder(&plan.domain, "CORP")
                    .population(&Population::seeded(seed, plan.users))
                    .build();
                let server = Server::start(directory, ServerOptions::default(), seams).await?;
                fs::write(&root_file, server.ca_pem().unwrap_or_default())?;
                let ldaps = server.ldaps_addr();
                (Runs::Here(server), ldaps)
            }
        };
        let roots = tls::certificates_from_pem(&fs::read(&root_file)?).map_err(PageCertificateError::from)?;
        let name = || format!("directory of {}", plan.name);
        let (Some(ldaps), Some(root)) = (ldaps, roots.into_iter().next()) else {
            return Err(ProcessLabError::NotRunning(name()));
        };
        Ok(Self {
            ldaps,
            root,
            root_file,
            runs,
        })
    }

    /// The process, if it is one.
    pub fn program(&self) -> Option<&Program> {
        match &self.runs {
            Runs::Process(program) => Some(program),
            Runs::Here(_) => None,
        }
    }

    /// The server, if it runs in this process: its faults and its journal.
    pub fn server(&self) -> Option<&Server> {
        match &self.runs {
            Runs::Process(_) => None,
            Runs::Here(server) => Some(server),
        }
    }

    pub(super) async fn stop(self) -> Result<(), ProcessLabError> {
        match self.runs {
            Runs::Process(mut program) => program.end_well().await?,
            Runs::Here(server) => server.stop().await,
        }
        Ok(())
    }
}

async fn process(
    program: &Path,
    folder: &Path,
    plan: &ProcessTenantPlan,
    seed: u64,
    root_file: &Path,
) -> Result<(Program, SocketAddr), ProcessLabError> {
    let text = format!(
        "domain = '{}'\nnetbios = 'CORP'\nlisten.ldaps = '127.0.0.1:0'\ntls.root = '{}'\n\
         [population]\nseed = {seed}\ncount = {}\n",
        plan.domain,
        root_file.display(),
        plan.users,
    );
    let file = format!("{}-directory.toml", plan.name);
    fs::write(folder.join(&file), text)?;
    let mut process = Program::start(Launch {
        program,
        folder,
        name: "directory",
        args: &["directory", "serve", "--config", &file, "--log", "warn"],
        environment: &[],
        unread: false,
    })?;
    let address = |output: &str, _: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix("ldaps://"));
        line?.parse().ok()
    };
    let ldaps = process.says("its address", address).await?;
    Ok((process, ldaps))
}
