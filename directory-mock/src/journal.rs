//! What tests ask afterwards: every bind as the directory received it. Never a password.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_kit::clock::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::semantics::SubCode;

/// Records that are kept; older ones fall out, the counts go on. Enough for every test that reads
/// single records, about 40 MB for one that never does.
pub const RECORDS_MAX: usize = 1 << 18;

/// How a bind ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// Result 0, without an identity.
    Anonymous,
    /// Result 0.
    Accepted,
    /// Result 49 with this data code.
    Refused(SubCode),
    /// Another result code, by a fault or by policy; nobody looked at the password.
    Answered(i64),
    /// No answer was sent, because of a fault. Whether the password was judged, `counted` and
    /// `judged` say.
    Dropped,
}

/// One bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindRecord {
    /// When it was received.
    pub at: Timestamp,
    /// The domain controller that received it.
    pub controller: Arc<str>,
    /// Number of its connection on that controller, from 1.
    pub connection: u64,
    /// Whether the connection was protected by TLS.
    pub encrypted: bool,
    /// The name as it was sent.
    pub name: String,
    /// objectGUID of the object that the name means, if the directory looked it up.
    pub object: Option<Uuid>,
    /// How it ended.
    pub outcome: BindOutcome,
    /// Whether the directory looked at the password.
    pub judged: bool,
    /// Whether it counted towards lockout.
    pub counted: bool,
}

/// Totals for one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectTotals {
    /// Binds whose password the directory looked at.
    pub judged: u64,
    /// Binds that counted towards lockout.
    pub counted: u64,
    /// Binds that were accepted.
    pub accepted: u64,
}

#[derive(Debug, Default)]
struct Records {
    kept: VecDeque<BindRecord>,
    by_object: HashMap<Uuid, ObjectTotals>,
}

/// The journal of a directory, shared by all its controllers. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Journal {
    records: Arc<Mutex<Records>>,
    total: Arc<watch::Sender<u64>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            records: Arc::default(),
            total: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Journal {
    /// All records that are kept, oldest first.
    pub fn all(&self) -> Vec<BindRecord> {
        self.lock().kept.iter().cloned().collect()
    }

    /// The records of one object, under whichever name.
    pub fn for_object(&self, guid: Uuid) -> Vec<BindRecord> {
        let records = self.lock();
        let mine = records.kept.iter().filter(|record| record.object == Some(guid));
        mine.cloned().collect()
    }

    /// How many binds of this object counted towards lockout.
    pub fn failed_count(&self, guid: Uuid) -> u64 {
        self.totals(guid).counted
    }

    /// Totals of one object, which go on when records fall out.
    pub fn totals(&self, guid: Uuid) -> ObjectTotals {
        self.lock().by_object.get(&guid).copied().unwrap_or_default()
    }

    /// How many binds were received.
    pub fn total(&self) -> u64 {
        *self.total.borrow()
    }

    /// The number of binds received, as it grows.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.total.subscribe()
    }

    /// Waits until `n` binds were received since the start or the last [`Journal::clear`].
    ///
    /// # Cancellation
    /// Safe to drop; tests put a time-out around it.
    pub async fn wait_for(&self, n: u64) {
        let mut total = self.watch();
        // The sender lives as long as this handle.
        let _ = total.wait_for(|total| *total >= n).await;
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = Records::default();
        self.total.send_replace(0);
    }

    pub(crate) fn add(&self, record: BindRecord) {
        let mut records = self.lock();
        if let Some(guid) = record.object {
            let totals = records.by_object.entry(guid).or_default();
            totals.judged += u64::from(record.judged);
            totals.counted += u64::from(record.counted);
            totals.accepted += u64::from(record.outcome == BindOutcome::Accepted);
        }
        if records.kept.len() == RECORDS_MAX {
            records.kept.pop_front();
        }
        records.kept.push_back(record);
        drop(records);
        self.total.send_modify(|total| *total += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
