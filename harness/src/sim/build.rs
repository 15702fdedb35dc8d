//! Puts the hosts of a topology together, and starts none of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use postern_cloud::config::{CONNECTIONS_DEFAULT, Config as CloudConfig};
use postern_directory_mock::{DirectoryHandle, TestCa};
use postern_kit::Seams;
use postern_kit::random::{Random, below};
use postern_kit::telemetry::chain;
use postern_kit::tls::Identity;

use super::admin::{Jobs, ToSetUp};
use super::host::Host;
use super::parts::{self, Agent, CLOUD, Cloud, Controller};
use super::random;
use super::store::StandingStill;
use super::time::VirtualTime;
use super::topology::{TenantPlan, Topology};
use super::trace::Trace;
use super::world::{Ground, SimError};

/// Segments on the way in one direction of a connection; one more write waits. HTTP/2's own windows
/// are smaller than this many of its frames.
const SEGMENTS_MAX: usize = 1024;

/// In memory where there is such a place: the database waits for its disk at every commit.
const IN_MEMORY: &str = "/dev/shm";

pub(super) fn ground(seed: u64, topology: &Topology, lines: Option<File>) -> Result<Ground, SimError> {
    if !cfg!(tokio_unstable) {
        return Err(SimError::Build);
    }
    check(topology)?;
    let time = VirtualTime::default();
    let trace = Trace::new(time.clone(), lines);
    let mut made = Made {
        seed,
        time,
        trace,
        hosts: BTreeMap::new(),
        controllers: BTreeMap::new(),
        agents: BTreeMap::new(),
    };
    // Who makes what lies on no host: certificates of the page and of the controllers.
    let maker = made.unplaced("maker").seams();
    let folder = folder()?;
    let page_ca = authority(&maker)?;
    let identity = page_ca.issue(&[CLOUD.to_owned()], &[], &maker);
    let identity = identity.map_err(|error| SimError::Topology(chain(&error)))?;

    let mut tenants = Vec::new();
    for plan in &topology.tenants {
        tenants.push(made.directory(plan, &maker)?);
    }
    let plans = tenants.iter().map(|tenant| ToSetUp {
        name: tenant.plan.name.as_str().into(),
        tell_locked: tenant.plan.tell_locked,
        directory: tenant.directory.clone(),
    });
    let cloud = Rc::new(Cloud {
        host: made.host(CLOUD),
        config: config(folder.path(), identity, topology),
        place: StandingStill::new(topology.commit, random::stream(seed, "cloud/store")),
        plans: plans.collect(),
        set_up: Default::default(),
        jobs: Jobs::default(),
    });
    let mut directories = BTreeMap::new();
    for tenant in tenants {
        made.agents(&tenant, &cloud);
        if directories
            .insert(tenant.plan.name.as_str().into(), tenant.directory)
            .is_some()
        {
            let text = format!("tenant {:?} is there twice", tenant.plan.name);
            return Err(SimError::Topology(text));
        }
    }
    let mut ground = Ground {
        sim: simulator(seed, topology),
        time: made.time,
        trace: made.trace,
        hosts: made.hosts,
        cloud,
        controllers: made.controllers,
        agents: made.agents,
        directories,
        page_ca,
        folder,
    };
    register(&mut ground);
    Ok(ground)
}

/// What has been made up to now.
struct Made {
    seed: u64,
    time: VirtualTime,
    trace: Trace,
    hosts: BTreeMap<String, Rc<Host>>,
    controllers: BTreeMap<String, Rc<Controller>>,
    agents: BTreeMap<String, Rc<Agent>>,
}

/// A tenant whose directory is there.
struct Tenant<'a> {
    plan: &'a TenantPlan,
    directory: DirectoryHandle,
    ca: Arc<TestCa>,
    /// Hosts of its controllers.
    controllers: Vec<String>,
}

impl Made {
    fn unplaced(&self, name: &str) -> Rc<Host> {
        Rc::new(Host::new(name, self.seed, &self.time, &self.trace))
    }

    fn host(&mut self, name: &str) -> Rc<Host> {
        let host = self.unplaced(name);
        self.hosts.insert(name.to_owned(), host.clone());
        host
    }

    /// The directory, which goes by the clock of its first controller.
    fn directory<'a>(&mut self, plan: &'a TenantPlan, maker: &Seams) -> Result<Tenant<'a>, SimError> {
        let wrong = |error: &dyn Error| SimError::Topology(format!("tenant {}: {}", plan.name, chain(error)));
        let numbers = self.controllers.len() + 1..=self.controllers.len() + plan.controllers;
        let hosts: Vec<_> = numbers.map(|number| self.host(&format!("dc{number}"))).collect();
        let Some(first) = hosts.first() else {
            return Err(SimError::Topology(format!("tenant {}: no controller", plan.name)));
        };
        let directory =
            DirectoryHandle::open(&plan.directory, &first.seams()).map_err(|error| wrong(&error))?;
        let ca = authority(maker)?;
        for host in &hosts {
            let controller = Controller {
                host: host.clone(),
                directory: directory.clone(),
                ca: ca.clone(),
                flavour: plan.flavour,
                switches: Default::default(),
            };
            self.controllers
                .insert(host.name.to_string(), Rc::new(controller));
        }
        Ok(Tenant {
            plan,
            directory,
            ca,
            controllers: hosts.iter().map(|host| host.name.to_string()).collect(),
        })
    }

    fn agents(&mut self, tenant: &Tenant<'_>, cloud: &Rc<Cloud>) {
        for plan in &tenant.plan.agents {
            let host = self.host(&format!("agent{}", self.agents.len() + 1));
            let named = plan.controllers.iter();
            let named = named.filter_map(|place| tenant.controllers.get(*place).cloned());
            let agent = Agent {
                host: host.clone(),
                tenant: tenant.plan.name.as_str().into(),
                directory: tenant.directory.clone(),
                controllers: match plan.controllers.as_slice() {
                    [] => tenant.controllers.clone(),
                    _ => named.collect(),
                },
                ca: tenant.ca.clone(),
                timeouts: tenant.plan.timeouts,
                cloud: cloud.clone(),
                attached: Default::default(),
                id: Default::default(),
                enrol_again: Default::default(),
            };
            self.agents.insert(host.name.to_string(), Rc::new(agent));
        }
    }
}

fn check(topology: &Topology) -> Result<(), SimError> {
    let wrong = |text: String| Err(SimError::Topology(text));
    if topology.tenants.is_empty() {
        return wrong("tenants: expected at least one".to_owned());
    }
    if topology.tick.as_millis() == 0 {
        return wrong("tick: expected a millisecond at least".to_owned());
    }
    if topology.latency.min > topology.latency.max {
        return wrong("latency: the shorter end is longer than the longer end".to_owned());
    }
    topology.tenants.iter().try_for_each(check_tenant)
}

fn check_tenant(plan: &TenantPlan) -> Result<(), SimError> {
    let wrong = |text: String| Err(SimError::Topology(format!("tenant {:?}: {text}", plan.name)));
    if plan.controllers == 0 {
        return wrong("controllers: expected at least one".to_owned());
    }
    let places = plan.agents.iter().flat_map(|agent| &agent.controllers);
    for place in places {
        if *place >= plan.controllers {
            return wrong(format!(
                "agents.controllers: {place} is not there; expected 0 to {}",
                plan.controllers - 1
            ));
        }
    }
    Ok(())
}

fn folder() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("postern-sim-");
    if Path::new(IN_MEMORY).is_dir() {
        builder.tempdir_in(IN_MEMORY)
    } else {
        builder.tempdir()
    }
}

fn authority(seams: &Seams) -> Result<Arc<TestCa>, SimError> {
    let made = TestCa::generate(seams);
    made.map(Arc::new)
        .map_err(|error| SimError::Topology(chain(&error)))
}

fn config(folder: &Path, identity: Identity, topology: &Topology) -> CloudConfig {
    CloudConfig {
        data: folder.to_owned(),
        master_key: Path::new("/keys/master.key").to_owned(),
        public_listen: parts::public(),
        public_connections_max: CONNECTIONS_DEFAULT,
        public_identity: identity,
        agents_listen: parts::agents(),
        agents_connections_max: CONNECTIONS_DEFAULT,
        host_names: vec![CLOUD.to_owned()],
        admin_socket: None,
        limits: topology.limits,
        log_keep: topology.log_keep,
    }
}

fn simulator(seed: u64, topology: &Topology) -> turmoil::Sim<'static> {
    let random = random::stream(seed, "network");
    turmoil::Builder::new()
        .rng_seed(below(random.as_ref() as &dyn Random, u64::MAX))
        .tick_duration(topology.tick)
        .min_message_latency(topology.latency.min)
        .max_message_latency(topology.latency.max)
        .tcp_capacity(SEGMENTS_MAX)
        .enable_tokio_io()
        .enable_random_order()
        .build()
}

fn register(ground: &mut Ground) {
    let cloud = ground.cloud.clone();
    ground.sim.host(CLOUD, move || {
        let cloud = cloud.clone();
        async move {
            cloud.run().await;
            Ok(())
        }
    });
    for (name, controller) in &ground.controllers {
        let controller = controller.clone();
        ground.sim.host(name.as_str(), move || {
            let controller = controller.clone();
            async move {
                controller.run().await;
                Ok(())
            }
        });
    }
    for (name, agent) in &ground.agents {
        let agent = agent.clone();
        ground.sim.host(name.as_str(), move || {
            let agent = agent.clone();
            async move {
                agent.run().await;
                Ok(())
            }
        });
    }
}
