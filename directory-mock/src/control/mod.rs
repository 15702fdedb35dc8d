//! The control port: running directories are steered and asked over HTTP, in JSON, so that tests in any
//! language can set faults, move the clock, change users and read the journal.
//!
//! Every request needs the token, `Authorization: Bearer TOKEN`. Who has it can do whatever a test can, so it is in a
//! file that only its owner can read, and the port listens on the loopback address unless told otherwise. There is no
//! TLS: this is a mock.
//!
//! * `api`: what can be asked, as routes; no network.
//! * `users`: what can be done to users.
//! * [`client`]: the other end, for the command line and for tests.

mod api;
pub mod client;
mod users;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use postern_kit::Seams;
use postern_kit::net::{BoxedIo, Listener};
use postern_kit::secret::Token256;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::clock::MovableClock;
use crate::faults::Faults;
use crate::handle::DirectoryHandle;
use crate::server::Server;
use crate::wire::Connections;

pub use client::{Client, ClientError};

/// Open connections at once: some tests that share a directory. One more is closed at once.
const CONNECTIONS_MAX: usize = 64;
/// Time for a request's headers, and then for its body and answer. The longest answer is an export of a large
/// population, which takes seconds.
const REQUEST_WAIT_MAX: Duration = Duration::from_secs(30);
/// Pause after a failed accept: the process is out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is steered: domains with their controllers, and the clock that they share.
#[derive(Clone, Debug)]
pub struct Controlled {
    domains: Vec<DirectoryHandle>,
    clock: Arc<MovableClock>,
    controllers: Vec<Controller>,
}

#[derive(Clone, Debug)]
struct Controller {
    host: String,
    domain: String,
    ldap: Option<SocketAddr>,
    ldaps: Option<SocketAddr>,
    faults: Faults,
    connections: Connections,
}

impl Controlled {
    /// Domains with the clock that they were opened with, and no controllers yet.
    pub fn new(clock: Arc<MovableClock>, domains: Vec<DirectoryHandle>) -> Self {
        Self {
            domains,
            clock,
            controllers: Vec::new(),
        }
    }

    /// One more controller of them.
    #[must_use]
    pub fn server(mut self, server: &Server) -> Self {
        self.controllers.push(Controller {
            host: server.host().to_owned(),
            domain: server.directory().read(|domain| domain.dns_name().to_owned()),
            ldap: server.ldap_addr(),
            ldaps: server.ldaps_addr(),
            faults: server.faults().clone(),
            connections: server.connections().clone(),
        });
        self
    }

    /// The domain of this DNS name; the first if none is named.
    fn domain(&self, name: Option<&str>) -> Option<&DirectoryHandle> {
        let is = |directory: &&DirectoryHandle| {
            let name = name.unwrap_or_default();
            directory.read(|domain| domain.dns_name().eq_ignore_ascii_case(name))
        };
        match name {
            Some(_) => self.domains.iter().find(is),
            None => self.domains.first(),
        }
    }

    /// The user `alice` of the first domain that has one, or `EMEA\\alice`, with its domain.
    fn user(&self, name: &str) -> Option<(&DirectoryHandle, Uuid)> {
        let (netbios, sam) = match name.split_once('\\') {
            Some((netbios, sam)) => (Some(netbios), sam),
            None => (None, name),
        };
        self.domains.iter().find_map(|directory| {
            let own = directory.read(|domain| {
                netbios.is_none_or(|netbios| domain.netbios_name().eq_ignore_ascii_case(netbios))
            });
            let guid = own.then(|| directory.guid_of(sam))??;
            Some((directory, guid))
        })
    }
}

/// Why the control port is not opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} for control")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The token's file cannot be read or made.
    #[error("control token {path} cannot be read or made")]
    TokenFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token's file holds something else.
    #[error("{path} holds no control token; delete it, and one is made")]
    NoToken {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads the token in a file.
///
/// # Errors
/// [`ControlError`] if there is none or the file cannot be read.
pub fn token_in(path: &Path, seams: &Seams) -> Result<Token256, ControlError> {
    let bytes = seams.disk.read(path).map_err(|source| ControlError::TokenFile {
        path: path.to_owned(),
        source,
    })?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).ok().map(str::trim);
    text.and_then(Token256::parse)
        .ok_or_else(|| ControlError::NoToken {
            path: path.to_owned(),
        })
}

/// Reads the token in a file, or makes one and the file (mode 0600) if it is not there.
///
/// # Errors
/// [`ControlError`] if the file holds something else, or cannot be made.
pub fn token(path: &Path, seams: &Seams) -> Result<Token256, ControlError> {
    match token_in(path, seams) {
        Err(ControlError::TokenFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let token = Token256::generate(seams.random.as_ref());
    let made = seams.disk.replace(path, token.plaintext_text().as_bytes());
    made.map_err(|source| ControlError::TokenFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(token)
}

/// Opens the control port and serves it until `stop`; gives its address.
///
/// # Errors
/// [`ControlError::Listen`].
///
/// # Cancellation
/// Dropping it before it is done opens nothing.
pub async fn start(
    addr: SocketAddr,
    token: &Token256,
    controlled: Controlled,
    seams: &Seams,
    stop: CancellationToken,
) -> Result<SocketAddr, ControlError> {
    let failed = |source| ControlError::Listen { addr, source };
    let listener = seams.net.listen(addr).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let router = api::router(controlled, token.digest());
    let accept = accept_all(listener, router, seams.clone(), stop);
    seams.tasks.spawn("control port", accept);
    Ok(local)
}

async fn accept_all(mut listener: Box<dyn Listener>, router: Router, seams: Seams, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let io = match accepted {
            Ok((io, _)) => io,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for control");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(
                limit = CONNECTIONS_MAX,
                "closed a connection for control above the limit"
            );
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        seams.tasks.spawn("control connection", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve_one(io, router) => {}
            }
            drop(place);
        });
    }
}

async fn serve_one(io: BoxedIo, router: Router) {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let router = router.clone();
        async move {
            let answer = tokio::time::timeout(REQUEST_WAIT_MAX, router.oneshot(request));
            Ok::<_, std::convert::Infallible>(match answer.await {
                Ok(Ok(answer)) => answer,
                Err(_) => api::too_late(),
            })
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WAIT_MAX)
        .serve_connection(TokioIo::new(io), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "control connection ended");
    }
}
