//! Writes the log: waiting records go into one statement, because what a record costs is the way to
//! the database's thread and back, whatever is in it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{monotonic, sleep_until};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::log::Record;
use super::sql;
use crate::budget::Changes;
use crate::store::{Store, StoreError};

/// Records that wait for the scribe; one more sign-in waits for room, inside its deadline.
const QUEUE_MAX: usize = 4096;

/// Records in one transaction: what comes in a few milliseconds at the greatest rate that one process takes.
const GROUP_MAX: usize = 128;

/// From the beginning of one transaction to the beginning of the next. What a commit costs, a wait for the
/// disk and some twenty changes of threads, does not depend on what is in it: at a few thousand sign-ins
/// a second this makes one commit of what would be several. A sign-in that comes later than that after the last does not wait.
const COMMIT_EVERY_MIN: Duration = Duration::from_millis(4);

/// A record, what it changes in the budgets, and who waits for it.
#[derive(Debug)]
struct Page {
    record: Record,
    changes: Vec<Changes>,
    /// Its sign-in was answered "unavailable" meanwhile.
    late: Arc<AtomicBool>,
    written: oneshot::Sender<Result<(), StoreError>>,
}

/// The way to the scribe. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Scribe(mpsc::Sender<Page>);

impl Scribe {
    /// Starts it. From `stop` on it finishes what is queued and takes nothing new.
    pub(super) fn start(store: Store, seams: &Seams, stop: CancellationToken) -> Self {
        let (queue, pages) = mpsc::channel(QUEUE_MAX);
        seams.tasks.spawn_essential("scribe", async move {
            write(store, pages, stop).await;
            Ok::<(), Infallible>(())
        });
        Self(queue)
    }

    /// Writes a record and what it changes in the budgets: both or neither, and durably. If `late` is set
    /// before that begins, the record says "unavailable", as its sign-in's answer did.
    ///
    /// # Errors
    /// [`StoreError`] if it is not written, or it is not known whether it is.
    ///
    /// # Cancellation
    /// Dropping it leaves the writing to go on by itself.
    pub(super) async fn write(
        &self,
        record: Record,
        changes: Vec<Changes>,
        late: Arc<AtomicBool>,
    ) -> Result<(), StoreError> {
        let (written, answer) = oneshot::channel();
        let page = Page {
            record,
            changes,
            late,
            written,
        };
        self.0.send(page).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

async fn write(store: Store, mut pages: mpsc::Receiver<Page>, stop: CancellationToken) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut not_before = monotonic();
    loop {
        let taken = tokio::select! {
            biased;
            taken = pages.recv_many(&mut group, GROUP_MAX) => taken,
            () = stop.cancelled(), if !pages.is_closed() => {
                pages.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        if not_before > monotonic() {
            sleep_until(not_before).await;
            while group.len() < GROUP_MAX
                && let Ok(page) = pages.try_recv()
            {
                group.push(page);
            }
        }
        not_before = monotonic() + COMMIT_EVERY_MIN;
        let (mut records, mut changes, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for mut page in group.drain(..) {
            if page.late.load(Ordering::Relaxed) {
                page.record.is_unavailable();
            }
            records.push(page.record);
            changes.extend(page.changes);
            waiting.push(page.written);
        }
        let changes = Arc::new(changes);
        let stored = changes.clone();
        let outcome = store
            .transact(move |c| {
                Box::pin(async move {
                    sql::insert(c, &records).await?;
                    for changes in stored.iter() {
                        changes.store(c).await?;
                    }
                    Ok(())
                })
            })
            .await
            .map_err(Arc::new);
        if outcome.is_err() {
            changes.iter().for_each(Changes::lost);
        }
        for written in waiting {
            // The sign-in may have been answered already.
            let _ = written.send(outcome.clone().map_err(StoreError::Group));
        }
    }
}
