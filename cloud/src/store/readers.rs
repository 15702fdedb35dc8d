//! A few read-only connections. Our own and not the library's pool, because that one measures its
//! waits with timers, which run ahead of the database's threads when time is simulated.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Semaphore;

use super::StoreError;
use super::ground::{Access, Ground, made};

/// Reads at once. Each has a thread of its own; more than a few only contend for two cores, and
/// one more read waits for the next free connection.
const READERS_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    options: SqliteConnectOptions,
    ground: Ground,
    permits: Semaphore,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    pub(super) fn new(options: SqliteConnectOptions, ground: Ground) -> Self {
        Self {
            options,
            ground,
            permits: Semaphore::new(READERS_MAX),
            idle: Mutex::default(),
        }
    }

    pub(super) async fn read<T: Send>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        if self.ground.trouble(Access::Read).await.is_some() {
            return Err(made().into());
        }
        let idle = self.idle().pop();
        let reading = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => SqliteConnection::connect_with(&self.options).await?,
            };
            let result = work(&mut connection).await;
            // After an error the connection's state is not known; a new one costs a millisecond.
            if result.is_ok() {
                self.idle().push(connection);
            }
            result
        };
        self.ground.run(reading).await?
    }

    pub(super) async fn close(&self) {
        // Waits for the reads that run, so that the last connection to close is the writer's,
        // which then can fold the log.
        let all = self.permits.acquire_many(READERS_MAX as u32).await;
        self.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            if let Ok(Err(error)) = self.ground.run(connection.close()).await {
                tracing::warn!(%error, "reader did not close");
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
