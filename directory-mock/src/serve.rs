//! The program's service: the controllers of a configuration until it is told to stop.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_kit::Seams;
use postern_kit::tls::{Identity, TlsError};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::certificates::TestCa;
use crate::clock::MovableClock;
use crate::config::{Config, LdifFile, TlsFiles};
use crate::control::{self, ControlError, Controlled};
use crate::faults::RuleError;
use crate::forests::ForestsHandle;
use crate::ldif::LdifErrors;
use crate::model::ForestError;
use crate::server::{CONNECTIONS_MAX, Server, ServerOptions, StartError, TlsChoice};

/// Largest file of LDIF: twice what a million users take.
const LDIF_BYTES_MAX: u64 = 2 << 30;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The root certificate cannot be written.
    #[error("cannot write the root certificate to {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate files hold something else.
    #[error("tls.certificate and tls.key cannot be used")]
    Identity(#[source] TlsError),
    /// A rule of `faults` cannot be set.
    #[error("faults cannot be set")]
    Faults(#[from] RuleError),
    /// The LDIF file holds something else.
    #[error("{path} cannot be taken in")]
    Ldif {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: LdifErrors,
    },
    /// The control port is not opened.
    #[error("the directory cannot be controlled")]
    Control(#[from] ControlError),
    /// The domains contradict themselves or each other.
    #[error("domains cannot be opened")]
    Forests(#[from] ForestError),
    /// A controller does not start.
    #[error("directory does not start")]
    Start(#[from] StartError),
}

/// What runs.
#[derive(Debug)]
pub struct Running {
    /// The controllers, in the order of the configuration: the first, those of the further domains, and the
    /// further ones.
    pub servers: Vec<Server>,
    /// The domains.
    pub forests: ForestsHandle,
    /// Where the control port listens, if there is one.
    pub control: Option<SocketAddr>,
}

/// Serves until `stop`; `ready` sees the running controllers.
///
/// # Errors
/// [`ServeError`] if it does not start.
///
/// # Cancellation
/// Dropping it stops the controllers.
pub async fn serve(
    config: Config,
    seams: Seams,
    stop: CancellationToken,
    ready: impl FnOnce(&Running),
) -> Result<(), ServeError> {
    let first = (config.ldap, config.ldaps);
    let wanted = config.further.wanted(&config.directory, first);
    let clock = Arc::new(MovableClock::new(seams.clock.clone()));
    let moved = Seams {
        clock: clock.clone(),
        ..seams.clone()
    };
    let forests = open(&config, &moved)?;
    // A description of a million users is as large as they are.
    drop(config.directory);
    let (tls, names, root) = match config.tls {
        TlsFiles::Given { certificate, key } => (given(certificate, key, &seams)?, Vec::new(), None),
        TlsFiles::Made { root, names } => {
            // One root covers all controllers.
            let ca = TestCa::generate(&seams).map_err(StartError::Certificate)?;
            (TlsChoice::By(Arc::new(ca)), names, root)
        }
    };
    let mut servers = Vec::new();
    for wanted in wanted {
        let Some(directory) = forests.domain(&wanted.domain) else {
            return Err(ForestError::NoDomain(wanted.domain).into());
        };
        let options = ServerOptions {
            ldap: wanted.ldap,
            ldaps: wanted.ldaps,
            tls: tls.clone(),
            names: names.clone(),
            host: Some(wanted.host),
            flavour: config.flavour,
            idle_limit: config.idle_limit,
            connections_max: CONNECTIONS_MAX,
            require_encryption: config.require_encryption,
        };
        let server = Server::start_shared(directory, options, &seams).await?;
        if let Some(seed) = config.fault_seed {
            server.faults().seed(seed);
        }
        for rule in &config.faults {
            tracing::info!(%rule, controller = server.host(), "fault rule set");
            server.faults().set(rule.clone())?;
        }
        servers.push(server);
    }
    if let (Some(path), Some(pem)) = (root, servers.first().and_then(Server::ca_pem)) {
        let written = seams.disk.replace(&path, pem.as_bytes());
        written.map_err(|source| ServeError::Write { path, source })?;
    }
    let mut control = None;
    if let Some(files) = config.control {
        let token = control::token(&files.token_file, &seams)?;
        let domains = Controlled::new(clock, forests.domains());
        let controlled = servers.iter().fold(domains, Controlled::server);
        control = Some(control::start(files.listen, &token, controlled, &seams, stop.clone()).await?);
    }
    let running = Running {
        servers,
        forests,
        control,
    };
    ready(&running);
    tokio::select! {
        () = stop.cancelled() => {}
        () = seams.tasks.failed() => stop.cancel(),
    }
    for server in running.servers {
        server.stop().await;
    }
    Ok(())
}

/// Opens the domains of a configuration, and takes in its LDIF.
///
/// # Errors
/// [`ServeError`] if the description contradicts itself, or the file cannot be read or taken in.
pub fn open(config: &Config, seams: &Seams) -> Result<ForestsHandle, ServeError> {
    let forests = ForestsHandle::open(&config.further.forests(&config.directory), seams)?;
    let first = forests.domains().into_iter().next();
    if let (Some(LdifFile { file, options }), Some(first)) = (&config.ldif, first) {
        let text = read_ldif(file).map_err(|source| ServeError::Read {
            path: file.clone(),
            source,
        })?;
        let imported = first.import_ldif(&text, options);
        let imported = imported.map_err(|source| ServeError::Ldif {
            path: file.clone(),
            source,
        })?;
        tracing::info!(file = %file.display(), %imported, "ldif taken in");
    }
    Ok(forests)
}

/// A file of LDIF. It may be far larger than what `kit::disk` is for.
///
/// # Errors
/// As the operating system reports; `InvalidData` if it is larger than 2 GiB or not UTF-8.
pub fn read_ldif(file: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(file)?;
    file.take(LDIF_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LDIF_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "file is larger than 2 GiB",
        ));
    }
    Ok(text)
}

fn given(certificate: PathBuf, key: PathBuf, seams: &Seams) -> Result<TlsChoice, ServeError> {
    let read = |path: PathBuf| {
        seams
            .disk
            .read(&path)
            .map_err(|source| ServeError::Read { path, source })
    };
    let (chain, key) = (read(certificate)?, zeroize::Zeroizing::new(read(key)?));
    let identity = Identity::from_pem(&chain, &key).map_err(ServeError::Identity)?;
    Ok(TlsChoice::Given { identity, root: None })
}
