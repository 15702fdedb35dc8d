//! One running part: its own threads, its own tasks and its own stop, so that it can end, crash and
//! start again while the others go on.

use std::error::Error;
use std::io;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::tasks::{TaskFailed, Tasks};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longest wait for a part to get ready: it makes keys and opens sockets, nothing slow.
const READY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest wait for a part's tasks after its stop. A drain takes 20 s at most.
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest wait for a crashed part's threads: their tasks are dropped where they stand.
const CRASH_WAIT_MAX: Duration = Duration::from_secs(10);

/// Threads of a part: as many as a small server has cores, however many labs run beside each other.
const THREADS: usize = 2;

/// Why a part does not run.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// It gets no threads.
    #[error("{part} gets no threads")]
    Threads {
        /// Which part.
        part: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{part} failed")]
    Failed {
        /// Which part.
        part: &'static str,
        /// Why.
        source: TaskFailed,
    },
    /// It did not get ready.
    #[error("{0} was not ready within 30 s")]
    NotReady(&'static str),
}

/// A running part.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    tasks: Tasks,
    stop: CancellationToken,
    /// Gone once it has crashed.
    runtime: Option<Runtime>,
}

impl Part {
    /// Starts what `serve` makes of its own seams and stop.
    ///
    /// # Errors
    /// [`PartError::Threads`].
    pub fn start<F, E>(
        name: &'static str,
        seams: &Seams,
        serve: impl FnOnce(Seams, CancellationToken) -> F,
    ) -> Result<Self, PartError>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|source| PartError::Threads { part: name, source })?;
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let own = Seams {
            tasks: tasks.clone(),
            ..seams.clone()
        };
        let home = runtime.enter();
        tasks.spawn_essential(name, serve(own, stop.clone()));
        drop(home);
        Ok(Self {
            name,
            tasks,
            stop,
            runtime: Some(runtime),
        })
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// [`PartError`] if the part ends before that or takes too long.
    pub async fn ready<T: Clone>(
        &self,
        watched: &mut watch::Receiver<T>,
        ready: impl FnMut(&T) -> bool,
    ) -> Result<T, PartError> {
        tokio::select! {
            found = tokio::time::timeout(READY_WAIT_MAX, watched.wait_for(ready)) => match found {
                Ok(Ok(value)) => Ok(value.clone()),
                _ => Err(self.failure().await.unwrap_or(PartError::NotReady(self.name))),
            },
            () = self.tasks.failed() => Err(self.failure().await.unwrap_or(PartError::NotReady(self.name))),
        }
    }

    /// Ends the part in order and waits for it.
    ///
    /// # Errors
    /// [`PartError::Failed`] with the first failure of one of its tasks.
    pub async fn stop(self) -> Result<(), PartError> {
        self.stop.cancel();
        self.failure().await.map_or(Ok(()), Err)
    }

    /// Ends the part where it stands, as if its process had been killed: no task of it is told, none
    /// runs on, and its sockets are closed when this returns.
    pub async fn crash(mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A thread of its own, because the runtime's end is waited for. It cannot panic.
            let ended = move || runtime.shutdown_timeout(CRASH_WAIT_MAX);
            let _ = tokio::task::spawn_blocking(ended).await;
        }
    }

    async fn failure(&self) -> Option<PartError> {
        self.stop.cancel();
        let ended = self.tasks.run_until(&self.stop, STOP_WAIT_MAX).await;
        ended.err().map(|source| PartError::Failed {
            part: self.name,
            source,
        })
    }
}

/// A part that is dropped ends as well, but nobody waits for it.
impl Drop for Part {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
