//! Tasks live and die together: each is named, counted and awaited, and the first that panics or
//! ends with an error stops the rest.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a group of tasks ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum TaskFailed {
    /// The task panicked, which is a bug.
    #[error("task {0} panicked")]
    Panicked(&'static str),
    /// The task ended with an error.
    #[error("task {name} failed")]
    Failed {
        /// Which task.
        name: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The tasks did not end within the grace period.
    #[error("{0} tasks were still running after the grace period")]
    StillRunning(usize),
}

/// A group of tasks. Clones share the group.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    failed: CancellationToken,
    first_failure: Arc<Mutex<Option<TaskFailed>>>,
}

impl Tasks {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that may end whenever it is done. A panic in it fails the group.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let group = self.clone();
        let run = self.tracker.track_future(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                group.fail(TaskFailed::Panicked(name));
            }
        });
        tokio::spawn(run);
    }

    /// Starts a task whose error fails the group.
    pub fn spawn_essential<E>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let group = self.clone();
        self.spawn(name, async move {
            if let Err(source) = task.await {
                group.fail(TaskFailed::Failed {
                    name,
                    source: source.into(),
                });
            }
        });
    }

    /// Ends when the group has failed; never otherwise.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits until `stop` is cancelled or the group fails, cancels `stop`, then gives the tasks
    /// `grace` to end.
    ///
    /// # Errors
    /// The first failure, or [`TaskFailed::StillRunning`].
    ///
    /// # Cancellation
    /// Dropping it leaves the tasks running.
    pub async fn run_until(&self, stop: &CancellationToken, grace: Duration) -> Result<(), TaskFailed> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.failed() => stop.cancel(),
        }
        self.tracker.close();
        let ended = tokio::time::timeout(grace, self.tracker.wait()).await;
        if let Some(failure) = self
            .first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            return Err(failure);
        }
        ended.map_err(|_| TaskFailed::StillRunning(self.tracker.len()))
    }

    fn fail(&self, failure: TaskFailed) {
        tracing::error!(error = crate::telemetry::chain(&failure), "task ended the group");
        self.first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(failure);
        self.failed.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_panic_stops_the_others_and_is_named() {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        tasks.spawn("waiter", stop.clone().cancelled_owned());
        tasks.spawn("broken", async { panic!("on purpose") });
        assert_eq!(
            tasks.run_until(&stop, GRACE).await.unwrap_err().to_string(),
            "task broken panicked"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_the_stop_is_reported() {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        tasks.spawn("deaf", std::future::pending());
        stop.cancel();
        assert!(matches!(
            tasks.run_until(&stop, GRACE).await,
            Err(TaskFailed::StillRunning(1))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_task_may_simply_end() {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        tasks.spawn("short", async {});
        stop.cancel();
        tasks.run_until(&stop, GRACE).await.unwrap();
    }
}
