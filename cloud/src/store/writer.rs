//! The one writer: a task with a connection of its own that puts waiting closures into one commit,
//! because a commit waits for the disk, whatever is in it.

use std::convert::Infallible;
use std::fs::File;
use std::sync::Arc;

use futures::future::BoxFuture;
use postern_kit::Seams;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::StoreError;
use super::ground::{Access, Failure, Ground, made};

/// Closures that wait for the writer; one more caller waits for room. At 128 per commit and a
/// commit of some milliseconds this is a queue of well under a second.
const QUEUE_MAX: usize = 1024;

/// Closures in one commit: enough to make the disk's wait cheap for each, few enough that the first
/// does not wait long for the last.
const GROUP_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    stop: CancellationToken,
    closed: watch::Receiver<bool>,
}

impl Writer {
    pub(super) fn start(
        ground: Ground,
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        lock: Arc<File>,
        seams: &Seams,
        stop: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (closing, closed) = watch::channel(false);
        let stop = stop.child_token();
        let task = Task {
            ground,
            options,
            connection: Some(connection),
            waiting,
            stop: stop.clone(),
            _lock: lock,
        };
        seams.tasks.spawn_essential("store writer", async move {
            task.run().await;
            closing.send_replace(true);
            Ok::<(), Infallible>(())
        });
        Self { queue, stop, closed }
    }

    pub(super) async fn transact<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Closure {
            work: Some(work),
            result: None,
            answer,
        };
        self.queue
            .send(Box::new(job))
            .await
            .map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        // An error means that the task is gone, which is as good.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }
}

/// A closure whose result type is forgotten.
trait Job: Send {
    /// Runs it and keeps its result; `false` if what it did must be undone.
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool>;
    /// Tells the caller, after the commit.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

struct Closure<T, W> {
    work: Option<W>,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Closure<T, W>
where
    T: Send + 'static,
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
{
    fn run<'c>(&'c mut self, connection: &'c mut SqliteConnection) -> BoxFuture<'c, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else {
                return false;
            };
            let result = work(connection).await;
            self.result.insert(result).is_ok()
        })
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let result = match (self.result, commit) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(commit)) => Err(commit),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // The caller may have given up; the work stays done.
        let _ = self.answer.send(result);
    }
}

struct Task {
    ground: Ground,
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    waiting: mpsc::Receiver<Box<dyn Job>>,
    stop: CancellationToken,
    /// A store that was let go without being closed is in use until what was queued is done.
    _lock: Arc<File>,
}

impl Task {
    async fn run(mut self) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.waiting.recv_many(&mut group, GROUP_MAX) => taken,
                // Nobody can queue more; what is queued is still taken.
                () = self.stop.cancelled(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            };
            if taken == 0 {
                break;
            }
            let commit = self.write(&mut group).await.map_err(|error| {
                tracing::error!(
                    error = postern_kit::telemetry::chain(&error),
                    "group commit failed"
                );
                // Whether SQLite is still inside the transaction is not known.
                self.connection = None;
                Arc::new(error)
            });
            for job in group.drain(..) {
                job.answer(commit.clone().map_err(StoreError::Commit));
            }
        }
        if let Some(connection) = self.connection.take()
            && let Ok(Err(error)) = self.ground.run(connection.close()).await
        {
            tracing::warn!(%error, "writer did not close");
        }
    }

    /// Commits the group where the work is run, with the troubles that wait for it there.
    async fn write(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), sqlx::Error> {
        let ground = self.ground.clone();
        let failure = ground.trouble(Access::Write).await;
        if failure == Some(Failure::Before) {
            return Err(made());
        }
        let written = ground.run(async {
            if failure == Some(Failure::Full) {
                self.forbid_growth().await?;
            }
            self.commit(group).await
        });
        // What a place does not run was not committed.
        written.await.map_err(|_| sqlx::Error::WorkerCrashed)??;
        match failure {
            Some(Failure::After) => Err(made()),
            // The next connection may grow again.
            Some(Failure::Full) => {
                self.connection = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// SQLite takes a limit below the database's size for that size.
    async fn forbid_growth(&mut self) -> Result<(), sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        let connection = self.connection.insert(connection);
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Runs the group in one transaction, each closure in a savepoint of its own if there are several.
    async fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        let connection = self.connection.insert(connection);
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        // Alone it disturbs nobody: the way to the database's thread and back is saved twice.
        if let [alone] = group {
            return if alone.run(&mut transaction).await {
                transaction.commit().await
            } else {
                transaction.rollback().await
            };
        }
        for job in group {
            let mut savepoint = transaction.begin().await?;
            if job.run(&mut savepoint).await {
                savepoint.commit().await?;
            } else {
                savepoint.rollback().await?;
            }
        }
        transaction.commit().await
    }
}
