//! One domain controller: opens the listeners, and gives tests the handles by which they steer it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::net::Listener;
use postern_kit::tasks::{TaskFailed, Tasks};
use postern_kit::tls::{Certificate, ClientTrust, Identity, TlsError, Versions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::certificates::{CertificateError, TestCa};
use crate::faults::Faults;
use crate::handle::DirectoryHandle;
use crate::journal::Journal;
use crate::model::{Directory, DomainError, Flavour};
use crate::wire::{self, Connections, Controller, Loopback};

/// AD closes a connection after 15 minutes without a request.
pub const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// AD's MaxConnections: one more is closed at once.
pub const CONNECTIONS_MAX: u64 = 5000;

/// Connections close at once when the controller stops.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

/// The certificate that a controller shows.
#[derive(Clone, Debug, Default)]
pub enum TlsChoice {
    /// A new CA and a leaf under it.
    #[default]
    Made,
    /// A leaf under this CA.
    By(Arc<TestCa>),
    /// This one. The root, if known, is for [`Server::ca_der`].
    Given {
        /// Chain and key.
        identity: Identity,
        /// The root.
        root: Option<Certificate>,
    },
}

/// How a controller serves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where plain LDAP (with StartTLS) listens; port 0 is any.
    pub ldap: Option<SocketAddr>,
    /// Where LDAPS listens; port 0 is any.
    pub ldaps: Option<SocketAddr>,
    /// The certificate. A made one is valid for `localhost`, the loopback addresses, the
    /// listeners' addresses, the domain and the controller's name in it.
    pub tls: TlsChoice,
    /// More names for a made certificate.
    pub names: Vec<String>,
    /// Host name of the controller; the directory's if absent.
    pub host: Option<String>,
    /// Whose habits.
    pub flavour: Flavour,
    /// Time without a request after which a connection is closed with a notice.
    pub idle_limit: Duration,
    /// Open connections at once, of both listeners together; one more is closed at once.
    pub connections_max: u64,
    /// Simple binds in the clear are answered 8.
    pub require_encryption: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let any_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Self {
            ldap: any_port,
            ldaps: any_port,
            tls: TlsChoice::Made,
            names: Vec::new(),
            host: None,
            flavour: Flavour::Samba,
            idle_limit: IDLE_LIMIT,
            connections_max: CONNECTIONS_MAX,
            require_encryption: false,
        }
    }
}

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The description of the directory contradicts itself.
    #[error("directory cannot be opened")]
    Directory(#[from] DomainError),
    /// A listener cannot be opened.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No certificate can be made.
    #[error("certificate for the listeners cannot be made")]
    Certificate(#[from] CertificateError),
    /// The certificate cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
}

/// A running domain controller. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    controller: Arc<Controller>,
    ldap: Option<SocketAddr>,
    ldaps: Option<SocketAddr>,
    root: Option<Root>,
    ended: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Root {
    der: Certificate,
    pem: Option<String>,
}

impl Server {
    /// Opens `directory` and serves it.
    ///
    /// # Errors
    /// [`StartError`]; then nothing is left running.
    pub async fn start(
        directory: Directory,
        options: ServerOptions,
        seams: &Seams,
    ) -> Result<Self, StartError> {
        Self::start_shared(DirectoryHandle::open(&directory, seams)?, options, seams).await
    }

    /// Serves a directory that may have other controllers as well.
    ///
    /// # Errors
    /// [`StartError`]; then nothing is left running.
    pub async fn start_shared(
        directory: DirectoryHandle,
        options: ServerOptions,
        seams: &Seams,
    ) -> Result<Self, StartError> {
        let host = options
            .host
            .clone()
            .unwrap_or_else(|| directory.read(|domain| domain.host().to_owned()));
        let plain = open(options.ldap, seams).await?;
        let tls = open(options.ldaps, seams).await?;
        let address = |listener: &Option<Listening>| listener.as_ref().map(|(_, addr)| *addr);
        let (ldap, ldaps) = (address(&plain), address(&tls));
        let (identity, root) = identity(&options, &directory, &host, &[ldap, ldaps], seams)?;
        let tls_config = postern_kit::tls::server(
            identity,
            ClientTrust::NotAsked,
            Versions::Tls12And13,
            &[],
            seams.clock.clone(),
        )?;
        let controller = Arc::new(Controller {
            flavour: options.flavour,
            host: host.into(),
            require_encryption: options.require_encryption,
            idle_limit: options.idle_limit,
            connections_max: options.connections_max,
            faults: Faults::new(directory.clock(), seams.random.clone()),
            directory,
            connections: Connections::default(),
            tls: tls_config,
            stop: CancellationToken::new(),
        });
        let ended = run(&controller, plain, tls, seams);
        Ok(Self {
            controller,
            ldap,
            ldaps,
            root,
            ended,
        })
    }

    /// Where plain LDAP listens.
    pub fn ldap_addr(&self) -> Option<SocketAddr> {
        self.ldap
    }

    /// Where LDAPS listens.
    pub fn ldaps_addr(&self) -> Option<SocketAddr> {
        self.ldaps
    }

    /// The root to trust, unless the certificate was given without one.
    pub fn ca_der(&self) -> Option<&Certificate> {
        self.root.as_ref().map(|root| &root.der)
    }

    /// The root to trust in PEM, if it was made here.
    pub fn ca_pem(&self) -> Option<&str> {
        self.root.as_ref()?.pem.as_deref()
    }

    /// The directory: rename, reset, lock and unlock users.
    pub fn directory(&self) -> &DirectoryHandle {
        &self.controller.directory
    }

    /// The binds that the directory received, on any of its controllers.
    pub fn journal(&self) -> &Journal {
        self.controller.directory.journal()
    }

    /// Troubles of this controller.
    pub fn faults(&self) -> &Faults {
        &self.controller.faults
    }

    /// The connections of this controller.
    pub fn connections(&self) -> &Connections {
        &self.controller.connections
    }

    /// A connection without a network, unless too many are open.
    pub fn loopback(&self) -> Option<Loopback> {
        Loopback::new(self.controller.clone())
    }

    /// The host name of this controller.
    pub fn host(&self) -> &str {
        &self.controller.host
    }

    /// Closes listeners and connections without a word, as a crash does, and waits for their end.
    ///
    /// # Cancellation
    /// Dropping it still stops the controller.
    pub async fn stop(self) {
        let mut ended = self.ended.clone();
        self.controller.stop.cancel();
        // An error means that the task is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.controller.stop.cancel();
    }
}

type Listening = (Box<dyn Listener>, SocketAddr);

async fn open(addr: Option<SocketAddr>, seams: &Seams) -> Result<Option<Listening>, StartError> {
    let Some(addr) = addr else {
        return Ok(None);
    };
    let failed = |source| StartError::Listen { addr, source };
    let listener = seams.net.listen(addr).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, local)))
}

fn identity(
    options: &ServerOptions,
    directory: &DirectoryHandle,
    host: &str,
    listening: &[Option<SocketAddr>],
    seams: &Seams,
) -> Result<(Identity, Option<Root>), StartError> {
    let ca = match &options.tls {
        TlsChoice::Given { identity, root } => {
            let root = root.clone().map(|der| Root { der, pem: None });
            return Ok((identity.clone(), root));
        }
        TlsChoice::Made => &Arc::new(TestCa::generate(seams)?),
        TlsChoice::By(ca) => ca,
    };
    let domain = directory.read(|domain| domain.dns_name().to_owned());
    let mut names = vec![
        format!("{}.{domain}", host.to_lowercase()),
        domain,
        "localhost".to_owned(),
    ];
    names.extend(options.names.iter().cloned());
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for addr in listening.iter().flatten() {
        if !addresses.contains(&addr.ip()) {
            addresses.push(addr.ip());
        }
    }
    let root = Root {
        der: ca.der(),
        pem: Some(ca.pem()),
    };
    Ok((ca.issue(&names, &addresses, seams)?, Some(root)))
}

/// The controller's tasks are a group of their own, so that [`Server::stop`] can await them; their
/// failure is the caller's group's as well.
fn run(
    controller: &Arc<Controller>,
    plain: Option<Listening>,
    tls: Option<Listening>,
    seams: &Seams,
) -> watch::Receiver<bool> {
    let tasks = Tasks::new();
    for (listening, encrypted) in [(plain, false), (tls, true)] {
        if let Some((listener, addr)) = listening {
            tracing::info!(controller = %controller.host, %addr, encrypted, "directory listens");
            let listen = wire::listen(controller.clone(), listener, encrypted, tasks.clone());
            tasks.spawn("directory listener", listen);
        }
    }
    let (end, ended) = watch::channel(false);
    let stop = controller.stop.clone();
    seams.tasks.spawn_essential("directory", async move {
        let result: Result<(), TaskFailed> = tasks.run_until(&stop, STOP_WAIT_MAX).await;
        end.send_replace(true);
        result
    });
    ended
}
