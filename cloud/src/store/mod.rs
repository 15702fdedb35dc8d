//! Durable state. Knows no product table: it owns the file, the migrations and the one writer, and
//! offers two operations, run this closure in a transaction and run this closure on a reader.
//! Each room keeps its own statements in its `sql.rs`.
//!
//! # Invariants
//! * What [`Store::transact`] answered with `Ok` is on disk (WAL, `synchronous=FULL`).
//! * A failing closure changes nothing and disturbs no other one of its group.
//! * One process uses a database at a time.

mod ground;
mod readers;
pub mod row;
mod writer;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use postern_kit::Seams;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};
use tokio_util::sync::CancellationToken;

/// A connection inside a transaction, or one that only reads.
pub use sqlx::SqliteConnection as Connection;

pub use ground::{Access, Failure, Ground, Place, Trouble};
use readers::Readers;
use writer::Writer;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// How long SQLite waits for a lock that a backup or an operator's shell holds.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder cannot be used.
    #[error("database file cannot be used")]
    File(#[source] std::io::Error),
    /// Another process has the database open.
    #[error("database is used by another process")]
    InUse,
    /// A newer program has written to it.
    #[error(
        "database has migration {0}, which this program does not know: use the program that made it, or a newer one"
    )]
    Newer(i64),
    /// A migration of it is not the one of this program.
    #[error("database was made with another version of migration {0}")]
    OtherMigration(i64),
    /// It could not be brought up to date.
    #[error("database cannot be migrated")]
    Migration(#[source] MigrateError),
    /// A statement failed. Nothing of its closure was kept.
    #[error("statement failed")]
    Statement(#[from] sqlx::Error),
    /// A stored value is not what was once written.
    #[error("stored value of {0} is not valid")]
    Corrupt(&'static str),
    /// The group's commit failed: whether the change is kept is not known until the next start.
    #[error("commit failed")]
    Commit(#[source] Arc<sqlx::Error>),
    /// What was to be written together failed together.
    #[error("group was not written")]
    Group(#[source] Arc<StoreError>),
    /// The store is closed or closing.
    #[error("store is closed")]
    Closed,
}

impl From<postern_proto::ids::Malformed> for StoreError {
    fn from(malformed: postern_proto::ids::Malformed) -> Self {
        Self::Corrupt(malformed.field)
    }
}

/// The database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    writer: Writer,
    readers: Readers,
    /// Held while the database is open; the writer has its own share.
    lock: Mutex<Option<Arc<File>>>,
}

impl Store {
    /// Opens the database at `path`, makes it if there is none, and brings it up to date.
    ///
    /// When `stop` is cancelled, the store finishes what is queued and closes.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be used or does not fit this program.
    pub async fn open(path: &Path, seams: &Seams, stop: CancellationToken) -> Result<Self, StoreError> {
        Self::open_on(Ground::Here, path, seams, stop).await
    }

    /// The same with its work on another ground.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be used or does not fit this program.
    pub async fn open_on(
        ground: Ground,
        path: &Path,
        seams: &Seams,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            seams.disk.create_folder(folder).map_err(StoreError::File)?;
        }
        let lock = Arc::new(lock(path)?);
        private_file(path).map_err(StoreError::File)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_WAIT_MAX)
            // What undoes a savepoint would go through a file otherwise.
            .pragma("temp_store", "memory");
        let connection = ground.run(connect(&options)).await??;
        let readers = Readers::new(options.clone().read_only(true), ground.clone());
        let writer = Writer::start(ground, options, connection, lock.clone(), seams, stop);
        Ok(Self(Arc::new(Inner {
            writer,
            readers,
            lock: Mutex::new(Some(lock)),
        })))
    }

    /// Runs `work` in a transaction. What it did is durable when this returns `Ok`, and undone
    /// when `work` returns an error. Several waiting calls share one commit.
    ///
    /// # Errors
    /// The error of `work`, or [`StoreError::Commit`], or [`StoreError::Closed`].
    ///
    /// # Cancellation
    /// Dropping it after the first await does not stop the work: it is done or undone as a whole.
    pub async fn transact<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        self.0.writer.transact(work).await
    }

    /// Runs `work`, which only reads, beside the writer. It sees all that was answered before.
    /// Each statement sees its own state: what needs one state for several begins a transaction.
    ///
    /// # Errors
    /// The error of `work`, or [`StoreError::Closed`].
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn read<T: Send>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.0.readers.read(work).await
    }

    /// Finishes what is queued, folds the log into the database file and closes it. What is asked
    /// later is answered with [`StoreError::Closed`].
    ///
    /// # Cancellation
    /// Dropping it leaves the closing to go on by itself.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The first connection, over a database that is up to date.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    // Not `run`, whose future is not Send for every lifetime.
    let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
    migrated.map_err(migration_error)?;
    Ok(connection)
}

/// Locks a file beside the database: the process that has it is the only one.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_file_name(name))
        .map_err(StoreError::File)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::File(error)),
    }
}

/// Makes the file 0600 before SQLite would make it by the umask; its log gets the same mode.
fn private_file(path: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
            StoreError::Newer(version)
        }
        MigrateError::VersionMismatch(version) => StoreError::OtherMigration(version),
        other => StoreError::Migration(other),
    }
}
