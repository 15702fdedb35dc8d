//! The software of the hosts: the parts of the product and the directory as they are, each started over
//! its host's seams. A process that ends is left ended: nobody but the plan starts it again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use postern_agent::trust::Identity;
use postern_agent::{
    Attached, BindName, Config as AgentConfig, Controllers, DirectoryKind, EnrolError, Enrolment,
    ForestConfig, HostPort, Timeouts, Trust,
};
use postern_cloud::bus::InProcess;
use postern_cloud::config::Config as CloudConfig;
use postern_cloud::service::{Footing, Ready};
use postern_cloud::store::Ground;
use postern_directory_mock::{
    Connections, DirectoryHandle, Faults, Flavour, Server, ServerOptions, TestCa, TlsChoice,
};
use postern_kit::net::LdapProtection;
use postern_kit::telemetry::chain;
use postern_proto::enrolment::EnrolmentToken;
use postern_proto::ids::AgentId;
use tokio::sync::{oneshot, watch};

use super::admin::{Jobs, SetUps, ToSetUp, set_up};
use super::host::{Host, Process};
use super::store::StandingStill;
use crate::set_up::SetUp;

/// The cloud's host.
pub(super) const CLOUD: &str = "cloud";
/// Its port for programmes, and for agents.
pub(super) const PUBLIC_PORT: u16 = 443;
const AGENTS_PORT: u16 = 8443;
/// LDAP over TLS.
const LDAPS_PORT: u16 = 636;

/// Life of an enrolment token: it is used at once.
const TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Until an agent that could not be enrolled is tried again.
const ENROL_AGAIN: Duration = Duration::from_secs(1);

/// Any address of a host.
pub(super) fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

pub(super) fn public() -> SocketAddr {
    any(PUBLIC_PORT)
}

pub(super) fn agents() -> SocketAddr {
    any(AGENTS_PORT)
}

pub(super) struct Cloud {
    pub(super) host: Rc<Host>,
    pub(super) config: CloudConfig,
    pub(super) place: StandingStill,
    pub(super) plans: Vec<ToSetUp>,
    /// What the first start made of the plans.
    pub(super) set_up: RefCell<Option<Result<SetUps, String>>>,
    pub(super) jobs: Jobs,
}

impl Cloud {
    pub(super) async fn run(&self) {
        let stop = self.host.starts();
        let footing = Footing {
            bus: Arc::new(InProcess::default()),
            store: Ground::Elsewhere(Arc::new(self.place.clone())),
        };
        let (ready, watched) = watch::channel(None);
        let config = self.config.clone();
        let serving = postern_cloud::service::serve_on(config, footing, self.host.seams(), stop, ready);
        let served = tokio::select! {
            served = serving => served,
            () = self.administer(watched) => return,
        };
        self.host.ends(match served {
            Ok(()) => Process::Ended,
            Err(error) => Process::Failed(chain(&error)),
        });
    }

    async fn administer(&self, mut ready: watch::Receiver<Option<Ready>>) {
        let admin = match ready.wait_for(Option::is_some).await {
            Ok(ready) => ready.as_ref().map(|ready| ready.admin.clone()),
            Err(_) => None,
        };
        let Some(admin) = admin else {
            // It ends, and says itself why.
            return std::future::pending().await;
        };
        self.host.event("ready");
        if self.set_up.borrow().is_none() {
            let done = set_up(&admin, &self.plans).await;
            *self.set_up.borrow_mut() = Some(done);
        }
        self.jobs.run(admin).await;
    }
}

/// A domain controller.
pub(super) struct Controller {
    pub(super) host: Rc<Host>,
    pub(super) directory: DirectoryHandle,
    pub(super) ca: Arc<TestCa>,
    pub(super) flavour: Flavour,
    /// Of the process that runs.
    pub(super) switches: RefCell<Option<(Faults, Connections)>>,
}

impl Controller {
    pub(super) async fn run(&self) {
        let stop = self.host.starts();
        let seams = self.host.seams();
        let options = ServerOptions {
            ldap: None,
            ldaps: Some(any(LDAPS_PORT)),
            tls: TlsChoice::By(self.ca.clone()),
            names: vec![self.host.name.to_string()],
            host: Some(self.host.name.to_string()),
            flavour: self.flavour,
            ..ServerOptions::default()
        };
        let server = match Server::start_shared(self.directory.clone(), options, &seams).await {
            Ok(server) => server,
            Err(error) => return self.host.ends(Process::Failed(chain(&error))),
        };
        let switches = (server.faults().clone(), server.connections().clone());
        *self.switches.borrow_mut() = Some(switches);
        self.host.event("ready");
        let ended = tokio::select! {
            () = stop.cancelled() => Process::Ended,
            () = seams.tasks.failed() => Process::Failed("a task of the controller failed".to_owned()),
        };
        server.stop().await;
        self.host.ends(ended);
    }
}

/// An agent.
pub(super) struct Agent {
    pub(super) host: Rc<Host>,
    pub(super) tenant: Arc<str>,
    pub(super) directory: DirectoryHandle,
    /// Hosts of the controllers that it may ask, the preferred one first.
    pub(super) controllers: Vec<String>,
    pub(super) ca: Arc<TestCa>,
    pub(super) timeouts: Timeouts,
    pub(super) cloud: Rc<Cloud>,
    /// Of the process that runs.
    pub(super) attached: RefCell<Option<watch::Receiver<Attached>>>,
    /// As it was last enrolled, or started.
    pub(super) id: RefCell<Option<AgentId>>,
    /// All that it ever was.
    pub(super) ids: RefCell<BTreeSet<AgentId>>,
    /// Whether the next process replaces the identity.
    pub(super) enrol_again: Cell<bool>,
}

fn cloud_address() -> HostPort {
    HostPort {
        host: CLOUD.to_owned(),
        port: AGENTS_PORT,
    }
}

impl Agent {
    pub(super) async fn run(&self) {
        let stop = self.host.starts();
        let seams = self.host.seams();
        let state = PathBuf::from("/agent");
        let known = Identity::exists(seams.disk.as_ref(), &state);
        let again = self.enrol_again.take();
        if again || !known.unwrap_or(false) {
            tokio::select! {
                () = stop.cancelled() => return self.host.ends(Process::Ended),
                () = self.enrol(&state, again) => {}
            }
        }
        // One that died while it enrolled may have another identity than it was told.
        if let Ok(identity) = Identity::load(seams.disk.as_ref(), &state) {
            *self.id.borrow_mut() = Some(identity.agent);
        }
        let config = match self.config(state) {
            Ok(config) => config,
            Err(error) => return self.host.ends(Process::Failed(error)),
        };
        // One that died right after it was enrolled learns only now who it is.
        if let Ok(identity) = Identity::load(seams.disk.as_ref(), &config.state) {
            self.is_now(identity.agent);
        }
        let (ready, attached) = watch::channel(Attached::No);
        *self.attached.borrow_mut() = Some(attached);
        let served = postern_agent::serve(config, seams, stop, ready).await;
        *self.attached.borrow_mut() = None;
        self.host.ends(match served {
            Ok(()) => Process::Ended,
            Err(error) => Process::Failed(chain(&error)),
        });
    }

    fn config(&self, state: PathBuf) -> Result<AgentConfig, String> {
        let domain = self.directory.read(|domain| domain.dns_name().parse());
        let forest = ForestConfig {
            name: self.tenant.to_string(),
            domains: vec![domain.map_err(|error| chain(&error))?],
            suffixes: Vec::new(),
            controllers: Controllers::Listed(
                self.controllers
                    .iter()
                    .map(|host| HostPort {
                        host: host.clone(),
                        port: LDAPS_PORT,
                    })
                    .collect(),
            ),
            protection: LdapProtection::Ldaps,
            bind_name: BindName::Guid,
            service_account: None,
            kind: DirectoryKind::ActiveDirectory,
            trust: Trust::Certificates(vec![self.ca.der()]),
        };
        let mut config = AgentConfig::new(state, cloud_address(), vec![forest]);
        config.timeouts = self.timeouts;
        Ok(config)
    }

    fn is_now(&self, id: AgentId) {
        *self.id.borrow_mut() = Some(id);
        self.ids.borrow_mut().insert(id);
    }

    /// As an administrator would who tries until it works, each time with a new token.
    async fn enrol(&self, state: &Path, again: bool) {
        loop {
            let enrolled = match self.token().await {
                None => Err("no token".to_owned()),
                Some(token) => self
                    .enrol_with(token, state, again)
                    .await
                    .map_err(|error| chain(&error)),
            };
            match enrolled {
                Ok(id) => {
                    self.is_now(id);
                    return self.host.event("enrolled");
                }
                Err(error) => self.host.event(&format!("not enrolled: {error}")),
            }
            tokio::time::sleep(ENROL_AGAIN).await;
        }
    }

    async fn enrol_with(
        &self,
        token: EnrolmentToken,
        state: &Path,
        again: bool,
    ) -> Result<AgentId, EnrolError> {
        let enrolment = Enrolment {
            cloud: cloud_address(),
            token,
            state: state.to_owned(),
            host_name: self.host.name.to_string(),
            replace_identity: again,
        };
        let enrolled = postern_agent::enrol(enrolment, &self.host.seams()).await?;
        Ok(enrolled.agent)
    }

    async fn token(&self) -> Option<EnrolmentToken> {
        let (made, token) = oneshot::channel();
        let tenant = self.tenant.clone();
        let cloud = self.cloud.clone();
        self.cloud.jobs.put(Box::new(move |admin| {
            Box::pin(async move {
                let set_up = match &*cloud.set_up.borrow() {
                    Some(Ok(all)) => all.get(&tenant).cloned(),
                    _ => None,
                };
                if let Some(SetUp { tenant, domain, .. }) = set_up
                    && let Ok((_, token)) = admin
                        .trust()
                        .create_token(tenant.id, vec![domain], TOKEN_LIFETIME)
                        .await
                {
                    // It may have gone down meanwhile.
                    let _ = made.send(token);
                }
            })
        }));
        token.await.ok()
    }
}
