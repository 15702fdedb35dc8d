//! Puts a topology together: what an administrator would do by hand, in the same order.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postern_agent::{
    Attached, Config as AgentConfig, Controllers, DirectoryKind, EnrolError, Enrolment, ForestConfig,
    HostPort, ServiceAccount, Trust,
};
use postern_cloud::config::{Config as CloudConfig, LOG_KEEP_DEFAULT};
use postern_cloud::service::Footing;
use postern_cloud::trust::TokenError;
use postern_directory_mock::{Server, ServerOptions, StartError};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use postern_kit::random::array;
use postern_proto::ids::Malformed;
use postern_proto::names::DomainName;
use tokio::sync::watch;

use super::page::{PageCertificate, PageCertificateError};
use super::part::{Part, PartError};
use super::{EnrolledAgent, Ground, Lab, LabAgent, LabTenant, TenantPlan, Topology, WithoutCloud};
use crate::set_up::{SetUp, SetUpError, add_directory, set_up};

/// Life of the lab's enrolment tokens: they are used at once.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Why a lab does not start.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No folder can be made.
    #[error("temporary folder cannot be made")]
    Folder(#[from] io::Error),
    /// A name is none.
    #[error("plan is not usable")]
    Plan(#[from] Malformed),
    /// There is nothing to start.
    #[error("tenants: expected at least one")]
    NoTenant,
    /// A certificate cannot be made.
    #[error("certificate of the page cannot be made")]
    Certificate(#[from] PageCertificateError),
    /// A directory does not start.
    #[error("directory does not start")]
    Directory(#[from] StartError),
    /// A directory has no listener that the agents' protection needs.
    #[error("directory has no listener for {0:?}")]
    NoListener(LdapProtection),
    /// A part does not run.
    #[error(transparent)]
    Part(#[from] PartError),
    /// A tenant is not set up.
    #[error("tenant cannot be set up")]
    SetUp(#[from] SetUpError),
    /// No token is made.
    #[error("enrolment token cannot be made")]
    Token(#[from] TokenError),
    /// An agent is not enrolled.
    #[error("agent cannot enrol")]
    Enrol(#[from] EnrolError),
}

pub(super) fn cloud_data(folder: &Path) -> PathBuf {
    folder.join("cloud")
}

pub(super) fn admin_socket(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

pub(super) fn page_root_file(folder: &Path) -> PathBuf {
    folder.join("page-root.pem")
}

pub(super) async fn start(topology: Topology, seams: Seams) -> Result<Lab, LabError> {
    let folder = tempfile::Builder::new().prefix("postern-lab-").tempdir()?;
    let page = PageCertificate::make(seams.clock.as_ref())?;
    std::fs::write(page_root_file(folder.path()), &page.root_pem)?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let config = CloudConfig {
        data: cloud_data(folder.path()),
        master_key: folder.path().join("master.key"),
        public_listen: topology.public_listen,
        public_connections_max: topology.connections_max,
        public_identity: page.identity,
        agents_listen: SocketAddr::from((loopback, 0)),
        agents_connections_max: topology.connections_max,
        host_names: vec!["localhost".to_owned(), loopback.to_string()],
        admin_socket: Some(admin_socket(folder.path())),
        limits: topology.limits,
        log_keep: LOG_KEEP_DEFAULT,
    };
    let ground = Ground {
        config,
        bus: topology.bus,
        page_root: page.root,
        seams,
        folder,
    };
    let mut lab = with_cloud(ground, Vec::new()).await?;
    for plan in topology.tenants {
        let agents = plan.agents;
        let tenant = tenant(&lab, plan).await?;
        lab.tenants.push(tenant);
        for _ in 0..agents {
            let at = lab.tenants.len() - 1;
            let agent = enrol_agent(&lab, at).await?;
            run_agent(&mut lab, at, agent, None).await?;
        }
    }
    if lab.tenants.is_empty() {
        Err(LabError::NoTenant)
    } else {
        Ok(lab)
    }
}

/// The cloud over what is there. It keeps the ports that it gets.
async fn with_cloud(mut ground: Ground, tenants: Vec<LabTenant>) -> Result<Lab, LabError> {
    let (ready, mut watched) = watch::channel(None);
    let config = ground.config.clone();
    let footing = Footing {
        bus: ground.bus.clone(),
        store: Default::default(),
    };
    let cloud = Part::start("cloud", &ground.seams, |seams, stop| {
        postern_cloud::service::serve_on(config, footing, seams, stop, ready)
    })?;
    let Some(ready) = cloud.ready(&mut watched, Option::is_some).await? else {
        return Err(PartError::NotReady("cloud").into());
    };
    ground.config.public_listen = ready.public;
    ground.config.agents_listen = ready.agents;
    Ok(Lab {
        admin: ready.admin,
        tenants,
        cloud,
        ground,
    })
}

pub(super) async fn start_again(mut ended: WithoutCloud) -> Result<Lab, LabError> {
    for agent in ended.tenants.iter_mut().flat_map(|tenant| &mut tenant.agents) {
        // Or it would pass for attached before it has noticed the end.
        agent.wait(false).await?;
    }
    let mut lab = with_cloud(ended.ground, ended.tenants).await?;
    for agent in lab.tenants.iter_mut().flat_map(|tenant| &mut tenant.agents) {
        agent.wait(true).await?;
    }
    Ok(lab)
}

async fn tenant(lab: &Lab, plan: TenantPlan) -> Result<LabTenant, LabError> {
    let TenantPlan {
        name,
        tell_locked,
        directory,
        options,
        standby: standby_options,
        partners: partner_directories,
        protection,
        bind_name,
        service_account,
        agents: _,
        timeouts,
    } = plan;
    let directory = Server::start(directory, options, lab.seams()).await?;
    let mut standby = Vec::new();
    for options in standby_options {
        let shared = directory.directory().clone();
        standby.push(Server::start_shared(shared, options, lab.seams()).await?);
    }
    let SetUp {
        tenant,
        domain,
        client,
    } = set_up(&lab.admin, name, tell_locked, directory.directory(), "lab").await?;
    let mut partners = Vec::new();
    for directory in partner_directories {
        let server = Server::start(directory, ServerOptions::default(), lab.seams()).await?;
        let domain = add_directory(&lab.admin, tenant.id, server.directory()).await?;
        partners.push((domain, server));
    }
    let service_account = match service_account {
        Some((name, password)) => {
            let password_file = lab.folder().join(format!("service-account-{}", tenant.name));
            lab.seams().disk.replace(&password_file, password.as_bytes())?;
            Some(ServiceAccount { name, password_file })
        }
        None => None,
    };
    Ok(LabTenant {
        tenant,
        domain,
        directory,
        standby,
        partners,
        agents: Vec::new(),
        client,
        protection,
        bind_name,
        service_account,
        timeouts,
    })
}

fn local(addr: SocketAddr) -> HostPort {
    HostPort {
        host: "localhost".to_owned(),
        port: addr.port(),
    }
}

pub(super) async fn enrol_agent(lab: &Lab, at: usize) -> Result<EnrolledAgent, LabError> {
    let Some(tenant) = lab.tenants.get(at) else {
        return Err(LabError::NoTenant);
    };
    let name = format!(
        "agent-{}-{}",
        tenant.tenant.name,
        uuid::Uuid::from_bytes(array(lab.seams().random.as_ref()))
    );
    let partners = tenant.partners.iter().map(|(domain, _)| domain.clone());
    let domains = std::iter::once(tenant.domain.clone()).chain(partners).collect();
    let (_, token) = lab
        .admin
        .trust()
        .create_token(tenant.tenant.id, domains, TOKEN_LIFETIME)
        .await?;
    let state = lab.folder().join(&name);
    let enrolment = Enrolment {
        cloud: local(lab.agents()),
        token,
        state: state.clone(),
        host_name: name,
        replace_identity: false,
    };
    let identity = postern_agent::enrol(enrolment, lab.seams()).await?;
    Ok(EnrolledAgent {
        id: identity.agent,
        state,
    })
}

pub(super) async fn run_agent(
    lab: &mut Lab,
    at: usize,
    agent: EnrolledAgent,
    through: Option<SocketAddr>,
) -> Result<(), LabError> {
    let cloud = local(through.unwrap_or(lab.agents()));
    let Some(tenant) = lab.tenants.get_mut(at) else {
        return Err(LabError::NoTenant);
    };
    let EnrolledAgent { id, state } = agent;
    let config = AgentConfig {
        timeouts: tenant.timeouts,
        ..AgentConfig::new(state.clone(), cloud, forests(tenant)?)
    };
    let (ready, attached) = watch::channel(Attached::No);
    let part = Part::start("agent", &lab.ground.seams, |seams, stop| {
        postern_agent::serve(config, seams, stop, ready)
    })?;
    let mut agent = LabAgent {
        id,
        state,
        attached,
        part,
    };
    agent.wait(true).await?;
    tenant.agents.push(agent);
    Ok(())
}

/// The tenant's own forest, and its partners'.
fn forests(tenant: &LabTenant) -> Result<Vec<ForestConfig>, LabError> {
    let own = std::iter::once(&tenant.directory).chain(&tenant.standby);
    let mut forests = vec![forest(tenant, &tenant.domain, own)?];
    for (domain, server) in &tenant.partners {
        forests.push(forest(tenant, domain, [server])?);
    }
    Ok(forests)
}

fn forest<'a>(
    tenant: &LabTenant,
    domain: &DomainName,
    servers: impl IntoIterator<Item = &'a Server>,
) -> Result<ForestConfig, LabError> {
    let (mut controllers, mut roots) = (Vec::new(), Vec::new());
    for server in servers {
        let addr = match tenant.protection {
            LdapProtection::Ldaps => server.ldaps_addr(),
            LdapProtection::StartTls => server.ldap_addr(),
        };
        let (Some(addr), Some(root)) = (addr, server.ca_der()) else {
            return Err(LabError::NoListener(tenant.protection));
        };
        controllers.push(local(addr));
        roots.push(root.clone());
    }
    Ok(ForestConfig {
        name: domain.to_string(),
        domains: vec![domain.clone()],
        suffixes: Vec::new(),
        controllers: Controllers::Listed(controllers),
        protection: tenant.protection,
        bind_name: tenant.bind_name.clone(),
        service_account: tenant.service_account.clone(),
        kind: DirectoryKind::ActiveDirectory,
        trust: Trust::Certificates(roots),
    })
}
