//! Any topology, with real sockets, in one process: cloud, tenants, directories, agents. What
//! tests and the demo stand on.
//!
//! Each part has its own threads and its own stop, so that one can end, crash and start again while
//! the others go on. All state lies in one temporary folder, which goes with the lab.

mod link;
mod page;
mod part;
pub mod processes;
mod recorder;
mod setup;
mod tap;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_agent::{Attached, BindName, ServiceAccount, Timeouts};
use postern_cloud::admin::Administration;
use postern_cloud::bus::{Bus, InProcess};
use postern_cloud::config::{CONNECTIONS_DEFAULT, Config as CloudConfig, Limits};
use postern_cloud::tenants::Tenant;
use postern_directory_mock::{Directory, Server, ServerOptions};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use postern_kit::tls::Certificate;
use postern_proto::ids::{AgentId, ClientId};
use postern_proto::names::{DomainName, OnPremisesName};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::client::{Browser, ClientError, Programme};

pub use link::{Link, LinkState, Way};
pub use page::PageCertificateError;
pub use part::{Part, PartError};
pub use recorder::RecordingBus;
pub use setup::LabError;
pub use tap::Tap;

/// What a lab consists of.
#[derive(Debug)]
pub struct Topology {
    /// The tenants.
    pub tenants: Vec<TenantPlan>,
    /// What a sign-in may take.
    pub limits: Limits,
    /// Where browsers find the page; port 0 is any.
    pub public_listen: SocketAddr,
    /// Connections at once, to the page and to the agents' port each.
    pub connections_max: usize,
    /// Between the parts of the cloud.
    pub bus: Arc<dyn Bus>,
}

/// A tenant, its directory and its agents.
#[derive(Debug)]
pub struct TenantPlan {
    /// Its short name.
    pub name: &'static str,
    /// Whether its users are told that the directory has locked them.
    pub tell_locked: bool,
    /// Its directory. All users with a userPrincipalName become users of the tenant.
    pub directory: Directory,
    /// How the directory's controller serves.
    pub options: ServerOptions,
    /// How more controllers of the directory serve, in the order in which the agents ask them if they must.
    pub standby: Vec<ServerOptions>,
    /// Directories of other forests, each of a domain of its own. Their users are users of the tenant, too.
    pub partners: Vec<Directory>,
    /// How the agents connect to it.
    pub protection: LdapProtection,
    /// How the agents name users in a bind.
    pub bind_name: BindName,
    /// Name and password of the account under which the agents read the directory.
    pub service_account: Option<(OnPremisesName, &'static str)>,
    /// How many agents it has.
    pub agents: usize,
    /// How long single steps of the agents may take.
    pub timeouts: Timeouts,
}

impl TenantPlan {
    /// A tenant with one agent that speaks LDAPS.
    pub fn new(name: &'static str, directory: Directory) -> Self {
        Self {
            name,
            tell_locked: true,
            directory,
            options: ServerOptions::default(),
            standby: Vec::new(),
            partners: Vec::new(),
            protection: LdapProtection::Ldaps,
            bind_name: BindName::Guid,
            service_account: None,
            agents: 1,
            timeouts: Timeouts::default(),
        }
    }
}

impl Topology {
    /// One tenant, everything else as in production.
    pub fn of(tenant: TenantPlan) -> Self {
        Self {
            tenants: vec![tenant],
            limits: Limits::default(),
            public_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            connections_max: CONNECTIONS_DEFAULT,
            bus: Arc::new(InProcess::default()),
        }
    }
}

/// A running agent.
#[derive(Debug)]
pub struct LabAgent {
    /// Its id.
    pub id: AgentId,
    /// Its state folder.
    pub state: PathBuf,
    attached: watch::Receiver<Attached>,
    part: Part,
}

impl LabAgent {
    /// Waits until its stream is attached, or until it is not.
    ///
    /// # Errors
    /// [`PartError`] if it ends before that or takes too long.
    pub async fn wait(&mut self, attached: bool) -> Result<(), PartError> {
        self.part
            .ready(&mut self.attached, |now| (*now == Attached::Yes) == attached)
            .await
            .map(|_| ())
    }

    /// Drains and ends it.
    ///
    /// # Errors
    /// [`PartError`] with the first failure of one of its tasks.
    pub async fn stop(self) -> Result<(), PartError> {
        self.part.stop().await
    }
}

/// A running tenant.
#[derive(Debug)]
pub struct LabTenant {
    /// As the cloud knows it.
    pub tenant: Tenant,
    /// Its domain.
    pub domain: DomainName,
    /// Its domain controller.
    pub directory: Server,
    /// More controllers of the same directory.
    pub standby: Vec<Server>,
    /// Controllers of other forests, with their domains.
    pub partners: Vec<(DomainName, Server)>,
    /// Its agents.
    pub agents: Vec<LabAgent>,
    /// A client that may call `SignIn` for it, and the client's secret.
    pub client: (ClientId, Zeroizing<String>),
    protection: LdapProtection,
    bind_name: BindName,
    service_account: Option<ServiceAccount>,
    timeouts: Timeouts,
}

/// An agent that has its identity and does not run.
#[derive(Clone, Debug)]
pub struct EnrolledAgent {
    /// Its id.
    pub id: AgentId,
    /// Its state folder.
    pub state: PathBuf,
}

/// A running topology.
#[derive(Debug)]
pub struct Lab {
    /// Administration, as a library.
    pub admin: Administration,
    /// The tenants, in the order of their plans.
    pub tenants: Vec<LabTenant>,
    cloud: Part,
    ground: Ground,
}

/// What stays when the cloud ends.
#[derive(Debug)]
struct Ground {
    /// Of the cloud, with the ports that it got at its first start.
    config: CloudConfig,
    bus: Arc<dyn Bus>,
    page_root: Certificate,
    seams: Seams,
    folder: tempfile::TempDir,
}

/// A topology whose cloud has ended, while agents and directories run on.
#[derive(Debug)]
pub struct WithoutCloud {
    /// The tenants, in the order of their plans.
    pub tenants: Vec<LabTenant>,
    ground: Ground,
}

impl WithoutCloud {
    /// Starts the cloud again over the same state and on the same ports, and waits until all agents
    /// have come back by themselves.
    ///
    /// # Errors
    /// [`LabError`] names the part that does not start or come back.
    pub async fn start_cloud(self) -> Result<Lab, LabError> {
        setup::start_again(self).await
    }
}

impl Lab {
    /// Starts a topology and waits until all of its agents are attached.
    ///
    /// # Errors
    /// [`LabError`] names the part that does not start.
    pub async fn start(topology: Topology, seams: Seams) -> Result<Self, LabError> {
        setup::start(topology, seams).await
    }

    /// Where the page is.
    pub fn public(&self) -> SocketAddr {
        self.ground.config.public_listen
    }

    /// Where agents attach.
    pub fn agents(&self) -> SocketAddr {
        self.ground.config.agents_listen
    }

    /// The seams that all parts share, but for their tasks.
    pub fn seams(&self) -> &Seams {
        &self.ground.seams
    }

    /// The only tenant, or the first.
    #[expect(
        clippy::indexing_slicing,
        reason = "a lab without tenants is refused at its start"
    )]
    pub fn tenant(&self) -> &LabTenant {
        &self.tenants[0]
    }

    /// Folder of all state: the cloud's, its master key, the agents'.
    pub fn folder(&self) -> &Path {
        self.ground.folder.path()
    }

    /// The cloud's data folder.
    pub fn cloud_data(&self) -> PathBuf {
        setup::cloud_data(self.folder())
    }

    /// The certificate that signed the page's.
    pub fn page_root(&self) -> Certificate {
        self.ground.page_root.clone()
    }

    /// The file that holds the same in PEM.
    pub fn page_root_file(&self) -> PathBuf {
        setup::page_root_file(self.folder())
    }

    /// A browser that trusts the page.
    ///
    /// # Errors
    /// [`ClientError`] if it cannot be set up.
    pub fn browser(&self) -> Result<Browser, ClientError> {
        Browser::new(self.public(), vec![self.page_root()])
    }

    /// A tenant's programme.
    ///
    /// # Errors
    /// [`ClientError`] if it cannot be set up.
    pub fn programme(&self, tenant: &LabTenant) -> Result<Programme, ClientError> {
        let (id, secret) = &tenant.client;
        Programme::new(self.public(), vec![self.page_root()], &id.to_string(), secret)
    }

    /// Where `cloud admin` connects to.
    pub fn admin_socket(&self) -> PathBuf {
        setup::admin_socket(self.folder())
    }

    /// Makes one more agent for the tenant at `at`, and leaves it at that.
    ///
    /// # Errors
    /// [`LabError`] if it does not enrol.
    pub async fn enrol_agent(&self, at: usize) -> Result<EnrolledAgent, LabError> {
        setup::enrol_agent(self, at).await
    }

    /// Runs an enrolled agent, which attaches at `through` instead of the cloud's own address if
    /// given, and waits until it is attached.
    ///
    /// # Errors
    /// [`LabError`] if it does not attach.
    pub async fn run_agent(
        &mut self,
        at: usize,
        agent: EnrolledAgent,
        through: Option<SocketAddr>,
    ) -> Result<(), LabError> {
        setup::run_agent(self, at, agent, through).await
    }

    /// Ends the cloud in order: sign-ins under way are finished first. Everything else runs on.
    ///
    /// # Errors
    /// [`PartError`] with the first failure of one of its tasks.
    pub async fn stop_cloud(self) -> Result<WithoutCloud, PartError> {
        self.cloud.stop().await?;
        Ok(WithoutCloud {
            tenants: self.tenants,
            ground: self.ground,
        })
    }

    /// Ends the cloud where it stands, as if its process had been killed. Everything else runs on.
    pub async fn crash_cloud(self) -> WithoutCloud {
        self.cloud.crash().await;
        WithoutCloud {
            tenants: self.tenants,
            ground: self.ground,
        }
    }

    /// Ends all agents, the cloud and the directories in order, and waits for them.
    ///
    /// # Errors
    /// [`PartError`] with the first part that had failed.
    pub async fn stop(self) -> Result<(), PartError> {
        let mut outcome = Ok(());
        let mut directories = Vec::new();
        for tenant in self.tenants {
            for agent in tenant.agents {
                outcome = outcome.and(agent.stop().await);
            }
            directories.push(tenant.directory);
            directories.extend(tenant.standby);
            directories.extend(tenant.partners.into_iter().map(|(_, server)| server));
        }
        outcome = outcome.and(self.cloud.stop().await);
        for directory in directories {
            directory.stop().await;
        }
        outcome
    }
}
