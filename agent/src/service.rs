//! Starts, supervises and stops the rooms below.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::tasks::{TaskFailed, Tasks};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::channel::{Attached, Channel, ChannelError};
use crate::config::Config;
use crate::forests::{ForestError, Forests};
use crate::trust::{Identity, IdentityError};

/// Longest wait for tasks after the drain: they only have to notice.
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no usable identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A forest cannot be used.
    #[error(transparent)]
    Forest(#[from] ForestError),
    /// The channel cannot be set up.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A part of it failed.
    #[error(transparent)]
    Task(#[from] TaskFailed),
}

/// Runs the agent until `stop`, then drains: the cloud is told, requests in flight are finished
/// within the configured time. `ready` says whether requests can come.
///
/// # Errors
/// [`ServeError`] if it cannot start, or if a task of it panicked.
///
/// # Cancellation
/// Dropping it leaves tasks running until `stop`.
pub async fn serve(
    config: Config,
    seams: Seams,
    stop: CancellationToken,
    ready: watch::Sender<Attached>,
) -> Result<(), ServeError> {
    let identity = Identity::load(seams.disk.as_ref(), &config.state)?;
    let forests = Arc::new(Forests::open(&config.forests, config.timeouts, &seams)?);
    for domain in &identity.domains {
        if !forests.serves(domain) {
            tracing::warn!(%domain, "enrolled for a domain that no configured forest answers for");
        }
    }
    tracing::info!(agent = %identity.agent, tenant = %identity.tenant, version = crate::VERSION, "agent starts");
    // Within a bound, and before requests can come.
    let sought = forests.find().await;
    let grace = config.timeouts.drain + END_WAIT_MAX;
    let tasks = Tasks::new();
    let own = Seams {
        tasks: tasks.clone(),
        ..seams
    };
    let channel = Channel::new(config, identity, forests.clone(), own, ready)?;
    tasks.spawn("channel", channel.run(stop.clone()));
    let (found, keeping) = (forests.clone(), stop.clone());
    tasks.spawn("discovery", async move { found.keep(sought, keeping).await });
    let sweeping = stop.clone();
    tasks.spawn("sweep", async move { forests.sweep(sweeping).await });
    tasks.run_until(&stop, grace).await?;
    tracing::info!("agent stopped");
    Ok(())
}
