//! What tests ask afterwards: every bind as the directory received it. Never a password.
//!
//! Memory is bounded: the newest records are kept, and totals of so many objects.

mod binds;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_kit::clock::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::semantics::SubCode;

pub use binds::Binds;

/// Records that are kept; older ones fall out, the counts go on. Enough for every test that reads
/// single records, about 40 MB for one that never does.
pub const RECORDS_MAX: usize = 1 << 18;

/// Objects of which totals are kept, twice as many as a population may have; about 50 bytes each. Binds of
/// later ones are in the records only.
pub const OBJECTS_MAX: usize = 1 << 21;

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
    /// No answer was sent, or none that can be read, because of a fault. Whether the password was judged, `counted` and
    /// `judged` say.
    Dropped,
}

/// `accepted`, `anonymous`, `refused 52e`, `result 51` or `dropped`.
impl fmt::Display for BindOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Accepted => f.write_str("accepted"),
            Self::Refused(code) => write!(f, "refused {code}"),
            Self::Answered(code) => write!(f, "result {code}"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
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

#[derive(Debug)]
struct Records {
    kept: VecDeque<BindRecord>,
    kept_max: usize,
    forgotten: u64,
    by_object: HashMap<Uuid, ObjectTotals>,
}

impl Records {
    fn new(kept_max: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            kept_max,
            forgotten: 0,
            by_object: HashMap::new(),
        }
    }

    /// Makes room for `more` records.
    fn make_room(&mut self, more: usize) {
        while self.kept.len() + more > self.kept_max && self.kept.pop_front().is_some() {
            self.forgotten += 1;
        }
    }
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
            records: Arc::new(Mutex::new(Records::new(RECORDS_MAX))),
            total: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Journal {
    /// The binds that a question can be asked about.
    pub fn binds(&self) -> Binds {
        Binds::new(self.clone())
    }

    /// How many records fell out. While it is 0, questions are answered from all binds since the start or the
    /// last [`Journal::clear`].
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// Keeps so many records at most, [`RECORDS_MAX`] by default; at least one.
    pub fn set_kept_max(&self, count: usize) {
        let mut records = self.lock();
        records.kept_max = count.max(1);
        records.make_room(0);
    }

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
        let mut records = self.lock();
        *records = Records::new(records.kept_max);
        drop(records);
        self.total.send_replace(0);
    }

    pub(crate) fn add(&self, record: BindRecord) {
        let mut records = self.lock();
        if let Some(guid) = record.object
            && (records.by_object.len() < OBJECTS_MAX || records.by_object.contains_key(&guid))
        {
            let totals = records.by_object.entry(guid).or_default();
            totals.judged += u64::from(record.judged);
            totals.counted += u64::from(record.counted);
            totals.accepted += u64::from(record.outcome == BindOutcome::Accepted);
        }
        records.make_room(1);
        records.kept.push_back(record);
        drop(records);
        self.total.send_modify(|total| *total += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Uuid = Uuid::from_u128(1);
    const BOB: Uuid = Uuid::from_u128(2);

    fn record(at: i64, controller: &str, object: Option<Uuid>, outcome: BindOutcome) -> BindRecord {
        BindRecord {
            at: Timestamp::from_unix_ms(at),
            controller: controller.into(),
            connection: 1,
            encrypted: true,
            name: "CORP\\Alice".to_owned(),
            object,
            judged: outcome != BindOutcome::Answered(51),
            counted: outcome == BindOutcome::Refused(SubCode::Wrong),
            outcome,
        }
    }

    fn journal() -> Journal {
        let journal = Journal::default();
        let wrong = BindOutcome::Refused(SubCode::Wrong);
        for (at, host, object, outcome) in [
            (1, "dc1", Some(ALICE), BindOutcome::Accepted),
            (2, "dc2", Some(ALICE), wrong.clone()),
            (3, "dc2", Some(ALICE), BindOutcome::Answered(51)),
            (4, "dc2", Some(ALICE), wrong.clone()),
            (5, "dc2", Some(BOB), wrong),
            (6, "dc1", None, BindOutcome::Anonymous),
        ] {
            journal.add(record(at, host, object, outcome));
        }
        journal
    }

    #[test]
    fn questions_narrow_step_by_step() {
        let journal = journal();
        let times = |binds: Binds| {
            let records = binds.records().into_iter();
            records.map(|record| record.at.unix_ms()).collect::<Vec<_>>()
        };
        let alice = journal.binds().of(ALICE);
        for (binds, expected) in [
            (journal.binds(), vec![1, 2, 3, 4, 5, 6]),
            (alice.clone(), vec![1, 2, 3, 4]),
            (alice.clone().at("DC2"), vec![2, 3, 4]),
            (alice.clone().at("dc2").counted(), vec![2, 4]),
            (alice.clone().at("dc3"), vec![]),
            (alice.clone().accepted(), vec![1]),
            (alice.clone().with(BindOutcome::Answered(51)), vec![3]),
            (alice.clone().judged(), vec![1, 2, 4]),
            (journal.binds().named("corp\\alice").at("dc1"), vec![1, 6]),
            (journal.binds().named("alice"), vec![]),
            (
                journal
                    .binds()
                    .since(Timestamp::from_unix_ms(2))
                    .until(Timestamp::from_unix_ms(4)),
                vec![2, 3],
            ),
            (journal.binds().encrypted(false), vec![]),
            (journal.binds().on_connection(1).of(BOB), vec![5]),
            (journal.binds().on_connection(2), vec![]),
        ] {
            assert_eq!(binds.count(), expected.len() as u64);
            assert_eq!(times(binds.clone()), expected, "{binds:?}");
        }
        let outcomes: Vec<_> = alice.at("dc2").outcomes().into_iter().collect();
        assert_eq!(
            outcomes,
            [("refused 52e".to_owned(), 2), ("result 51".to_owned(), 1)]
        );
        let last = journal.binds().counted().last(2).into_iter();
        assert_eq!(last.map(|record| record.at.unix_ms()).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn what_falls_out_is_counted_and_totals_go_on() {
        let journal = journal();
        journal.set_kept_max(2);
        assert_eq!((journal.binds().count(), journal.forgotten()), (2, 4));
        journal.add(record(7, "dc1", Some(ALICE), BindOutcome::Accepted));
        assert_eq!(
            (journal.all().len(), journal.forgotten(), journal.total()),
            (2, 5, 7)
        );
        let totals = journal.totals(ALICE);
        assert_eq!((totals.judged, totals.counted, totals.accepted), (4, 2, 2));
        journal.clear();
        assert_eq!(
            (journal.binds().count(), journal.forgotten(), journal.total()),
            (0, 0, 0)
        );
        for at in 0..3 {
            journal.add(record(at, "dc1", None, BindOutcome::Anonymous));
        }
        assert_eq!(journal.all().len(), 2, "the bound outlives a clearing");
    }

    #[tokio::test]
    async fn a_question_can_be_waited_for() {
        let journal = journal();
        let counted = journal.binds().of(ALICE).counted();
        let wait = counted.wait_for(3);
        tokio::pin!(wait);
        assert!(futures::poll!(wait.as_mut()).is_pending());
        journal.add(record(7, "dc1", Some(BOB), BindOutcome::Refused(SubCode::Wrong)));
        assert!(futures::poll!(wait.as_mut()).is_pending());
        journal.add(record(
            8,
            "dc1",
            Some(ALICE),
            BindOutcome::Refused(SubCode::Wrong),
        ));
        wait.await;
    }
}
