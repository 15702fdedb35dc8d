//! Where the store's work meets the database. In production it simply runs where it is asked for.
//! Where time is simulated it cannot: the database answers from threads of its own, which simulated
//! time would not wait for. A [`Place`] runs the work there, and may have troubles happen to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::StoreError;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A group of closures in one transaction.
    Write,
    /// A closure on a reader.
    Read,
}

/// What happens to one access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// It begins this much later.
    pub wait: Duration,
    /// How it fails, if it does.
    pub failure: Option<Failure>,
}

/// How an access fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was done.
    Before,
    /// It is done and durable, and the caller is told that it failed. For a read the same as `Before`.
    After,
    /// The database may not grow: a write that needs a page more fails as on a full disk. For a read the
    /// same as `Before`.
    Full,
}

/// Another place for the work than the runtime that asks for it.
pub trait Place: fmt::Debug + Send + Sync {
    /// Runs `work`, which waits for nothing but the database, to its end.
    ///
    /// # Cancellation
    /// Dropping the future drops the work.
    fn run<'a>(&'a self, work: BoxFuture<'a, ()>) -> BoxFuture<'a, ()>;

    /// What happens to the next access.
    fn trouble(&self, access: Access) -> Trouble;
}

/// Where the work is run.
#[derive(Clone, Debug, Default)]
pub enum Ground {
    /// Where it is asked for.
    #[default]
    Here,
    /// In another place.
    Elsewhere(Arc<dyn Place>),
}

impl Ground {
    /// Runs `work` to its end.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the place did not run it.
    pub(super) async fn run<T: Send>(&self, work: impl Future<Output = T> + Send) -> Result<T, StoreError> {
        let Self::Elsewhere(place) = self else {
            return Ok(work.await);
        };
        let mut outcome = None;
        let kept = &mut outcome;
        place
            .run(Box::pin(async move {
                *kept = Some(work.await);
            }))
            .await;
        outcome.ok_or(StoreError::Closed)
    }

    /// How the next access fails, if it does. It has waited as long as it has to when this returns.
    pub(super) async fn trouble(&self, access: Access) -> Option<Failure> {
        let Self::Elsewhere(place) = self else {
            return None;
        };
        let Trouble { wait, failure } = place.trouble(access);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        failure
    }
}

/// The error of a failure that was asked for.
pub(super) fn made() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other("this failure was asked for"))
}
