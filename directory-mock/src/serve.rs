//! The program's service: the controllers of a configuration until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use postern_kit::Seams;
use postern_kit::tls::{Identity, TlsError};
use tokio_util::sync::CancellationToken;

use crate::certificates::TestCa;
use crate::config::{Config, TlsFiles};
use crate::faults::RuleError;
use crate::forests::ForestsHandle;
use crate::model::ForestError;
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
    let forests = ForestsHandle::open(&config.further.forests(&config.directory), &seams)?;
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
    let running = Running { servers, forests };
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
