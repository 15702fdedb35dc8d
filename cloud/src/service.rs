//! Starts, supervises and stops the rooms below.
//!
//! There are two groups of tasks. The *front* takes requests: page, calls, administration, and the
//! sign-ins under way. The *back* serves it: store, dispatch, the agents' streams. A stop ends the
//! front first, and the back only when the last sign-in was answered. If a task of either fails, both end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use postern_kit::Seams;
use postern_kit::clock::SteadyClock;
use postern_kit::net::Listener;
use postern_kit::serve::{Limits as ListenerLimits, https};
use postern_kit::tasks::{TaskFailed, Tasks};
use postern_kit::tls::{self, ClientTrust, ServerTls, TlsError, Versions};
use postern_kit::traffic::Traffic;
use postern_proto::wire::admin::admin_server::AdminServer;
use postern_proto::wire::channel::agent_channel_server::AgentChannelServer;
use postern_proto::wire::registration::registration_server::RegistrationServer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::admin::{AdminService, Administration, Running, socket};
use crate::budget::Budgets;
use crate::bus::{Bus, InProcess};
use crate::callers::Guard;
use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::sign_in::{Parts, SignIn, SignInLog};
use crate::store::{Ground, Store, StoreError};
use crate::tenants::Tenants;
use crate::trust::{RegistrationService, Trust, TrustError};
use crate::web::{self, WebError};

/// File of the database, in the data folder.
const DATABASE: &str = "postern.db";

/// Largest message from an agent: an announced key with its signature takes 1.4 KiB.
const AGENT_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Largest message from an administrator: an import of 1,000 users with names of the greatest length.
const ADMIN_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Connections without a certificate on the agents' port: hosts that enrol, one call each. Strangers do not
/// get more, so that they cannot take the agents' places.
const ENROLLING_MAX: usize = 64;

/// On top of the longest sign-in: for answers to leave.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often certificates are looked at.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Longest wait for the back after the last sign-in: it only has to close.
const BACK_WAIT_MAX: Duration = Duration::from_secs(5);

/// Where the cloud can be reached, once it can.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Page and `SignIn`.
    pub public: SocketAddr,
    /// Agents.
    pub agents: SocketAddr,
    /// Administration, as a library.
    pub admin: Administration,
}

/// Why the cloud does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database cannot be used.
    #[error("store cannot be opened")]
    Store(#[from] StoreError),
    /// The private certificate authority cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A certificate cannot be used.
    #[error("{listener}: certificate cannot be used")]
    Tls {
        /// Which listener.
        listener: &'static str,
        /// Why.
        source: TlsError,
    },
    /// An address cannot be listened on.
    #[error("{listener}: cannot listen on {addr}")]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The administration socket cannot be made.
    #[error("admin.socket: cannot listen on {path}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program was built wrongly.
    #[error(transparent)]
    Web(#[from] WebError),
    /// A part of it failed.
    #[error(transparent)]
    Task(#[from] TaskFailed),
}

/// Runs the cloud as a single replica until `stop`, then drains: sign-ins under way are finished.
/// `ready` says when and where it can be reached.
///
/// # Errors
/// [`ServeError`] if it cannot start, or if a task of it failed.
///
/// # Cancellation
/// Dropping it ends everything without a drain, as a crash would.
pub async fn serve(
    config: Config,
    seams: Seams,
    stop: CancellationToken,
    ready: watch::Sender<Option<Ready>>,
) -> Result<(), ServeError> {
    serve_on(config, Footing::default(), seams, stop, ready).await
}

/// What the cloud stands on, beside its seams.
#[derive(Clone, Debug)]
pub struct Footing {
    /// Between replicas.
    pub bus: Arc<dyn Bus>,
    /// Where the store's work is run.
    pub store: Ground,
}

impl Default for Footing {
    /// One replica with its own database.
    fn default() -> Self {
        Self {
            bus: Arc::new(InProcess::default()),
            store: Ground::Here,
        }
    }
}

/// The same on a footing that is given.
///
/// # Errors
/// [`ServeError`] if it cannot start, or if a task of it failed.
///
/// # Cancellation
/// Dropping it ends everything without a drain, as a crash would.
pub async fn serve_on(
    config: Config,
    footing: Footing,
    seams: Seams,
    stop: CancellationToken,
    ready: watch::Sender<Option<Ready>>,
) -> Result<(), ServeError> {
    let front = Group::new(&seams, stop.child_token());
    let back = Group::new(&seams, CancellationToken::new());
    // If anything below fails, what was started ends.
    let _ended = (front.stop.clone().drop_guard(), back.stop.clone().drop_guard());

    let public_tls = public_tls(&config, &seams)?;
    let sockets = Sockets::open(&config, &seams).await?;
    let database = config.data.join(DATABASE);
    let store = Store::open_on(footing.store, &database, &back.seams, back.stop.clone()).await?;
    let rooms = Rooms::open(&config, footing.bus, store, &front, &back).await?;
    let tls = Tls {
        public: public_tls,
        agents: rooms.agents_tls.clone(),
    };
    let (public, agents) = (sockets.public_addr, sockets.agents_addr);
    sockets.serve(&config, &rooms, tls, &front, &back).await?;
    let admin = rooms.admin.clone();
    tracing::info!(%public, %agents, version = env!("CARGO_PKG_VERSION"), "cloud runs");
    ready.send_replace(Some(Ready {
        public,
        agents,
        admin,
    }));

    let (back_tasks, stopping) = (back.seams.tasks.clone(), stop.clone());
    front.seams.tasks.spawn("watch over the back", async move {
        tokio::select! {
            () = back_tasks.failed() => stopping.cancel(),
            () = stopping.cancelled() => {}
        }
    });
    let front_ended = front
        .seams
        .tasks
        .run_until(&stop, config.limits.deadline + ANSWER_WAIT_MAX)
        .await;
    // A disk that does not answer must not hold the end up; it is then not a clean one.
    if tokio::time::timeout(BACK_WAIT_MAX, rooms.close()).await.is_err() {
        tracing::warn!("the store did not answer in time: this is not a clean stop");
    }
    back.stop.cancel();
    let _ = tokio::time::timeout(BACK_WAIT_MAX, rooms.store.close()).await;
    let back_ended = back.seams.tasks.run_until(&back.stop, BACK_WAIT_MAX).await;
    back_ended?;
    front_ended?;
    tracing::info!("cloud stopped");
    Ok(())
}

/// Tasks that end together.
struct Group {
    seams: Seams,
    stop: CancellationToken,
}

impl Group {
    fn new(seams: &Seams, stop: CancellationToken) -> Self {
        let seams = Seams {
            tasks: Tasks::new(),
            ..seams.clone()
        };
        Self { seams, stop }
    }
}

/// What the two listeners show of themselves.
struct Tls {
    public: Arc<ServerTls>,
    agents: Arc<ServerTls>,
}

fn tls_failed(listener: &'static str) -> impl Fn(TlsError) -> ServeError {
    move |source| ServeError::Tls { listener, source }
}

fn public_tls(config: &Config, seams: &Seams) -> Result<Arc<ServerTls>, ServeError> {
    let identity = config.public_identity.clone();
    let (versions, alpn) = (Versions::Tls12And13, &["h2", "http/1.1"]);
    tls::server(
        identity,
        ClientTrust::NotAsked,
        versions,
        alpn,
        seams.clock.clone(),
    )
    .map_err(tls_failed("public"))
}

struct Rooms {
    agents_tls: Arc<ServerTls>,
    store: Store,
    tenants: Tenants,
    trust: Trust,
    dispatch: Dispatch,
    budgets: Budgets,
    sign_in: SignIn,
    admin: Administration,
    /// Of the public listener and of the agents'.
    traffic: [Arc<Traffic>; 2],
}

impl Rooms {
    async fn open(
        config: &Config,
        bus: Arc<dyn Bus>,
        store: Store,
        front: &Group,
        back: &Group,
    ) -> Result<Self, ServeError> {
        let Group { seams, stop } = back;
        let tenants = Tenants::new(store.clone(), seams);
        let trust = Trust::open(&config.trust(), store.clone(), seams)?;
        let dispatch = Dispatch::start(
            trust.clone(),
            bus,
            config.limits.attempt,
            config.limits.hand_off,
            seams,
            stop.clone(),
        )
        .await;
        let agents_tls = trust.agents_tls().map_err(tls_failed("agents"))?;
        // Last of all that can fail: a start that fails later would count as an unclean stop.
        let steady = Seams {
            // Windows of failures must not end early because somebody sets the clock.
            clock: Arc::new(SteadyClock::starting_as(seams.clock.as_ref())),
            ..seams.clone()
        };
        let budgets = Budgets::open(config.limits.rules(), store.clone(), &steady).await?;
        let parts = Parts {
            tenants: tenants.clone(),
            trust: trust.clone(),
            budgets: budgets.clone(),
            agents: Arc::new(dispatch.clone()),
            store: store.clone(),
        };
        let sign_in = SignIn::new(parts, config.limits, &front.seams, seams, stop.clone());
        let (purging, keep, purge_stop) = (sign_in.clone(), config.log_keep, stop.clone());
        seams
            .tasks
            .spawn("purge", async move { purging.purge(keep, purge_stop).await });
        seams
            .tasks
            .spawn("certificates", look_at_certificates(trust.clone(), stop.clone()));
        let log = SignInLog::new(store.clone());
        let traffic = ["public", "agents"].map(|listener| Arc::new(Traffic::new(listener)));
        let running = Running {
            since: seams.clock.now(),
            sign_in: sign_in.clone(),
            traffic: traffic.to_vec(),
        };
        let admin = Administration::new(tenants.clone(), trust.clone(), dispatch.clone(), log, running);
        Ok(Self {
            agents_tls,
            store,
            tenants,
            trust,
            dispatch,
            budgets,
            sign_in,
            admin,
            traffic,
        })
    }

    /// After the front has ended.
    async fn close(&self) {
        self.dispatch.drain().await;
        if let Err(error) = self.budgets.close().await {
            let error = postern_kit::telemetry::chain(&error);
            tracing::warn!(error, "the next start will take this stop for unclean");
        }
    }
}

/// At the start, and every day.
async fn look_at_certificates(trust: Trust, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = trust.warn_of_ends().await {
            let error = postern_kit::telemetry::chain(&error);
            tracing::warn!(error, "certificates are not looked at");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(DAY) => {}
        }
    }
}

/// Everything that is listened on.
struct Sockets {
    public: Box<dyn Listener>,
    public_addr: SocketAddr,
    agents: Box<dyn Listener>,
    agents_addr: SocketAddr,
    admin: Option<(tokio::net::UnixListener, PathBuf)>,
}

async fn listen(
    listener: &'static str,
    addr: SocketAddr,
    seams: &Seams,
) -> Result<(Box<dyn Listener>, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen {
        listener,
        addr,
        source,
    };
    let opened = seams.net.listen(addr).await.map_err(failed)?;
    let local = opened.local_addr().map_err(failed)?;
    Ok((opened, local))
}

impl Sockets {
    async fn open(config: &Config, seams: &Seams) -> Result<Self, ServeError> {
        let (public, public_addr) = listen("public.listen", config.public_listen, seams).await?;
        let (agents, agents_addr) = listen("agents.listen", config.agents_listen, seams).await?;
        let admin = match config.admin_socket.clone() {
            None => None,
            Some(path) => match postern_kit::net::listen_unix(&path).await {
                Ok(socket) => Some((socket, path)),
                Err(source) => return Err(ServeError::Socket { path, source }),
            },
        };
        Ok(Self {
            public,
            public_addr,
            agents,
            agents_addr,
            admin,
        })
    }

    async fn serve(
        self,
        config: &Config,
        rooms: &Rooms,
        tls: Tls,
        front: &Group,
        back: &Group,
    ) -> Result<(), ServeError> {
        let guard = Guard::new(rooms.trust.clone(), rooms.tenants.clone());
        let [public_traffic, agents_traffic] = &rooms.traffic;
        let sign_in = Arc::new(rooms.sign_in.clone());
        let pages = web::public_router(sign_in, &guard, &front.seams, front.stop.clone()).await?;
        let sign_in_wait_max = config.limits.deadline + ANSWER_WAIT_MAX;
        let limits = ListenerLimits {
            connections_max: config.public_connections_max,
            anonymous_max: config.public_connections_max,
            request_wait_max: sign_in_wait_max,
            drain_wait_max: sign_in_wait_max,
            ..ListenerLimits::default()
        };
        let public = https(
            self.public,
            tls.public,
            pages,
            limits,
            public_traffic.clone(),
            front.seams.clone(),
            front.stop.clone(),
        );
        front.seams.tasks.spawn("public listener", public);
        if let Some((socket, path)) = self.admin {
            let router = admin_router(rooms, &guard);
            let admin = socket::serve(
                socket,
                path,
                router,
                front.seams.tasks.clone(),
                front.stop.clone(),
            );
            front.seams.tasks.spawn("administration listener", admin);
        }
        let limits = ListenerLimits {
            // The streams are told to end by dispatch.
            drain_wait_max: BACK_WAIT_MAX,
            connections_max: config.agents_connections_max,
            anonymous_max: ENROLLING_MAX,
            ..ListenerLimits::default()
        };
        let router = agents_router(rooms, &guard);
        let agents = https(
            self.agents,
            tls.agents,
            router,
            limits,
            agents_traffic.clone(),
            back.seams.clone(),
            back.stop.clone(),
        );
        back.seams.tasks.spawn("agents' listener", agents);
        Ok(())
    }
}

fn admin_router(rooms: &Rooms, guard: &Guard) -> Router {
    let service = AdminServer::new(AdminService::new(rooms.admin.clone()))
        .max_decoding_message_size(ADMIN_MESSAGE_BYTES_MAX);
    guard.protect(Routes::new(service).into_axum_router())
}

fn agents_router(rooms: &Rooms, guard: &Guard) -> Router {
    let registration = RegistrationServer::new(RegistrationService::new(rooms.trust.clone()))
        .max_decoding_message_size(AGENT_MESSAGE_BYTES_MAX);
    let channel =
        AgentChannelServer::new(rooms.dispatch.service()).max_decoding_message_size(AGENT_MESSAGE_BYTES_MAX);
    guard.protect(Routes::new(registration).add_service(channel).into_axum_router())
}
