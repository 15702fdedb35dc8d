//! The program's service: one controller from a configuration until it is told to stop.

use std::path::PathBuf;

use postern_kit::Seams;
use postern_kit::tls::{Identity, TlsError};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, TlsFiles};
use crate::faults::RuleError;
use crate::server::{CONNECTIONS_MAX, Server, ServerOptions, StartError, TlsChoice};

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
    /// The controller does not start.
    #[error("directory does not start")]
    Start(#[from] StartError),
}

/// Serves until `stop`; `ready` sees the running controller.
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
    ready: impl FnOnce(&Server),
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
    let server = Server::start(config.directory, options, &seams).await?;
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
    ready(&server);
    tokio::select! {
        () = stop.cancelled() => {}
        () = seams.tasks.failed() => stop.cancel(),
    }
    server.stop().await;
    Ok(())
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
