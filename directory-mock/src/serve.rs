//! The program's service: one controller from a configuration until it is told to stop.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_kit::Seams;
use postern_kit::tls::{Identity, TlsError};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::clock::MovableClock;
use crate::config::{Config, LdifFile, TlsFiles};
use crate::control::{self, ControlError, Controlled};
use crate::faults::RuleError;
use crate::handle::DirectoryHandle;
use crate::ldif::LdifErrors;
use crate::model::Directory;
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
    /// The controller does not start.
    #[error("directory does not start")]
    Start(#[from] StartError),
}

/// Serves until `stop`; `ready` sees the running controller and the address of the control port.
///
/// # Errors
/// [`ServeError`] if it does not start.
///
/// # Cancellation
/// Dropping it stops the controller.
pub async fn serve(
    config: Config,
    seams: Seams,
    stop: CancellationToken,
    ready: impl FnOnce(&Server, Option<SocketAddr>),
) -> Result<(), ServeError> {
    let (tls, names, root) = match config.tls {
        TlsFiles::Given { certificate, key } => (given(certificate, key, &seams)?, Vec::new(), None),
        TlsFiles::Made { root, names } => (TlsChoice::Made, names, root),
    };
    let options = ServerOptions {
        ldap: config.ldap,
        ldaps: config.ldaps,
        tls,
        names,
        host: None,
        flavour: config.flavour,
        idle_limit: config.idle_limit,
        connections_max: CONNECTIONS_MAX,
        require_encryption: config.require_encryption,
    };
    let clock = Arc::new(MovableClock::new(seams.clock.clone()));
    let moved = Seams {
        clock: clock.clone(),
        ..seams.clone()
    };
    let directory = open(config.directory, config.ldif, &moved)?;
    let server = Server::start_shared(directory.clone(), options, &seams).await?;
    if let Some(seed) = config.fault_seed {
        server.faults().seed(seed);
    }
    for rule in config.faults {
        tracing::info!(%rule, "fault rule set");
        server.faults().set(rule)?;
    }
    if let (Some(path), Some(pem)) = (root, server.ca_pem()) {
        let written = seams.disk.replace(&path, pem.as_bytes());
        written.map_err(|source| ServeError::Write { path, source })?;
    }
    let mut control = None;
    if let Some(files) = config.control {
        let token = control::token(&files.token_file, &seams)?;
        let controlled = Controlled::new(directory, clock).server(&server);
        control = Some(control::start(files.listen, &token, controlled, &seams, stop.clone()).await?);
    }
    ready(&server, control);
    tokio::select! {
        () = stop.cancelled() => {}
        () = seams.tasks.failed() => stop.cancel(),
    }
    server.stop().await;
    Ok(())
}

/// Opens a directory and takes in its LDIF.
///
/// # Errors
/// [`ServeError`] if the description contradicts itself, or the file cannot be read or taken in.
pub fn open(
    directory: Directory,
    ldif: Option<LdifFile>,
    seams: &Seams,
) -> Result<DirectoryHandle, ServeError> {
    let handle = DirectoryHandle::open(&directory, seams).map_err(StartError::from)?;
    // A description of a million users is as large as they are.
    drop(directory);
    if let Some(LdifFile { file, options }) = ldif {
        let text = read_ldif(&file).map_err(|source| ServeError::Read {
            path: file.clone(),
            source,
        })?;
        let imported = handle.import_ldif(&text, &options);
        let imported = imported.map_err(|source| ServeError::Ldif {
            path: file.clone(),
            source,
        })?;
        tracing::info!(file = %file.display(), %imported, "ldif taken in");
    }
    Ok(handle)
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
