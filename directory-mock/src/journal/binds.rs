//! Questions to the journal: which binds, and how many.

use std::collections::BTreeMap;

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::{BindOutcome, BindRecord, Journal};

/// Some of a journal's binds: all of them until it is narrowed. A question can be kept and asked again.
///
/// ```
/// # use postern_directory_mock::{Directory, DirectoryHandle, User};
/// # let directory = Directory::builder("corp.example.test", "CORP").user(User::new("alice", "right")).build();
/// # let directory = DirectoryHandle::open(&directory, &postern_kit::Seams::real())?;
/// // How often was alice bound at dc2, and with which outcome?
/// let at_dc2 = directory.binds_of("alice")?.at("dc2");
/// assert_eq!(at_dc2.count(), 0);
/// for (outcome, count) in at_dc2.outcomes() {
///     println!("{outcome}: {count}"); // accepted: 3, refused 52e: 1
/// }
/// // Was any password judged on a connection in the clear?
/// assert_eq!(directory.journal().binds().judged().encrypted(false).count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a question is only answered when it is asked for a count or records"]
pub struct Binds {
    journal: Journal,
    wanted: Wanted,
}

#[derive(Clone, Debug, Default)]
struct Wanted {
    object: Option<Uuid>,
    name: Option<String>,
    controller: Option<String>,
    connection: Option<u64>,
    outcome: Option<BindOutcome>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    judged: bool,
    counted: bool,
    encrypted: Option<bool>,
}

impl Binds {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            wanted: Wanted::default(),
        }
    }

    /// Of this object, under whichever name.
    pub fn of(mut self, object: Uuid) -> Self {
        self.wanted.object = Some(object);
        self
    }

    /// Under this name, as it was sent but in any case.
    pub fn named(mut self, name: &str) -> Self {
        self.wanted.name = Some(name.to_lowercase());
        self
    }

    /// Received by the controller of this host name.
    pub fn at(mut self, controller: &str) -> Self {
        self.wanted.controller = Some(controller.to_owned());
        self
    }

    /// On this connection of their controller.
    pub fn on_connection(mut self, number: u64) -> Self {
        self.wanted.connection = Some(number);
        self
    }

    /// With this outcome.
    pub fn with(mut self, outcome: BindOutcome) -> Self {
        self.wanted.outcome = Some(outcome);
        self
    }

    /// Accepted.
    pub fn accepted(self) -> Self {
        self.with(BindOutcome::Accepted)
    }

    /// Received at this moment or later.
    pub fn since(mut self, at: Timestamp) -> Self {
        self.wanted.since = Some(at);
        self
    }

    /// Received before this moment.
    pub fn until(mut self, at: Timestamp) -> Self {
        self.wanted.until = Some(at);
        self
    }

    /// Whose password the directory looked at.
    pub fn judged(mut self) -> Self {
        self.wanted.judged = true;
        self
    }

    /// That counted towards lockout.
    pub fn counted(mut self) -> Self {
        self.wanted.counted = true;
        self
    }

    /// On connections that were protected by TLS, or were not.
    pub fn encrypted(mut self, encrypted: bool) -> Self {
        self.wanted.encrypted = Some(encrypted);
        self
    }

    /// How many there are, of those that are [kept](Journal::forgotten).
    pub fn count(&self) -> u64 {
        self.fold(0, |count, _| count + 1)
    }

    /// How many there are with each outcome.
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        self.fold(BTreeMap::new(), |mut counts, record| {
            *counts.entry(record.outcome.to_string()).or_default() += 1;
            counts
        })
    }

    /// The binds themselves, oldest first.
    pub fn records(&self) -> Vec<BindRecord> {
        self.fold(Vec::new(), |mut all, record| {
            all.push(record.clone());
            all
        })
    }

    /// The last `count` of them, oldest first.
    pub fn last(&self, count: usize) -> Vec<BindRecord> {
        let records = self.journal.lock();
        let newest = records.kept.iter().rev().filter(|record| self.wanted.is(record));
        let mut last: Vec<_> = newest.take(count).cloned().collect();
        last.reverse();
        last
    }

    /// Waits until there are so many. Looks through the journal at each new bind.
    ///
    /// # Cancellation
    /// Safe to drop; tests put a time-out around it.
    pub async fn wait_for(&self, count: u64) {
        let mut total = self.journal.watch();
        // The sender lives as long as this handle.
        let _ = total.wait_for(|_| self.count() >= count).await;
    }

    fn fold<T>(&self, start: T, add: impl FnMut(T, &BindRecord) -> T) -> T {
        let records = self.journal.lock();
        let mine = records.kept.iter().filter(|record| self.wanted.is(record));
        mine.fold(start, add)
    }
}

impl Wanted {
    fn is(&self, record: &BindRecord) -> bool {
        fn any<T: PartialEq>(wanted: &Option<T>, found: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        }
        let is_host = |host: &String| record.controller.eq_ignore_ascii_case(host);
        (self.object.is_none() || self.object == record.object)
            && any(&self.connection, &record.connection)
            && any(&self.outcome, &record.outcome)
            && any(&self.encrypted, &record.encrypted)
            && (!self.judged || record.judged)
            && (!self.counted || record.counted)
            && self.since.is_none_or(|since| since <= record.at)
            && self.until.is_none_or(|until| record.at < until)
            && self.controller.as_ref().is_none_or(is_host)
            && self
                .name
                .as_ref()
                .is_none_or(|name| record.name.to_lowercase() == *name)
    }
}
