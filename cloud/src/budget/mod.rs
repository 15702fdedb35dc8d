//! The failure budget: keeps the cloud from being a tool to lock accounts in somebody's directory.
//!
//! Per account, below the directory's own threshold, over all spellings of its name. A sign-in takes a
//! [`Charged`] before anybody is asked and says afterwards what came of it; in between it counts as
//! a failure. The decisions are in `core.rs`. Names that nobody has get budgets as well, so that
//! they behave like those that somebody has.
//!
//! # Invariants
//! * Failures that the directory counts because of us never pass the budget within a window (I6).
//! * A count is durable before its sign-in is answered: [`Changes`] go into the transaction that
//!   writes the log record. What a sudden stop may have lost is charged to everybody at the next start.

mod core;
mod sql;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern_kit::Seams;
use postern_kit::clock::{Clock, Timestamp, sleep_until};
use postern_proto::ids::UserId;
use postern_proto::seal::DEADLINE_MAX;
use postern_proto::verdict::DirectoryCount;
use tokio::sync::oneshot;

use self::core::{Charge, Core, Entry, Mark, Ticket};
use crate::store::{Connection, Store, StoreError};

/// How much an account may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Failures in a window; must be below the directory's own threshold.
    pub failures: u32,
    /// The observation window; at least the directory's own.
    pub window: Duration,
}

impl Rules {
    /// How long a failure counts here: the directory's window, and the longest time from when a
    /// directory counts an attempt until it is counted here.
    pub(crate) fn counted_for(&self) -> Duration {
        self.window + DEADLINE_MAX
    }
}

/// Whose budget.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// A user record, whatever name was typed.
    User(UserId),
    /// A keyed digest of a name that no record has.
    Unknown([u8; 32]),
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "User({id})"),
            Self::Unknown(_) => f.write_str("Unknown(..)"),
        }
    }
}

/// Why nobody may be asked about an account now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The budget is used up.
    UsedUp {
        /// When it is not any more.
        retry_after: Duration,
    },
    /// Too many sign-ins of the account are under way.
    Busy,
}

type Waiting = BTreeMap<Ticket, oneshot::Sender<Result<Charged, Refusal>>>;

struct Inner {
    rules: Rules,
    core: Mutex<Core>,
    waiting: Mutex<Waiting>,
    clock: Arc<dyn Clock>,
    store: Store,
    /// Something was counted that could not be stored.
    lost: AtomicBool,
}

/// The budgets of all accounts. Clones share them.
#[derive(Clone)]
pub struct Budgets(Arc<Inner>);

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets").finish_non_exhaustive()
    }
}

impl Budgets {
    /// Reads the counts. If the process before this one did not close its budgets, everybody is
    /// charged with what it may have lost.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn open(rules: Rules, store: Store, seams: &Seams) -> Result<Self, StoreError> {
        let clock = seams.clock.clone();
        let now = clock.now();
        let (mark, rows) = store
            .transact(move |c| {
                Box::pin(async move {
                    let mut mark = sql::mark(c, sql::UNCLEAN).await?;
                    if sql::mark(c, sql::RUNNING).await?.is_none() {
                        sql::purge(c, now.minus(rules.counted_for())).await?;
                    } else {
                        let next = after_unclean_stop(&rules, mark, now);
                        sql::set_mark(c, sql::UNCLEAN, next).await?;
                        // What was lost may have come inside the window of what was stored.
                        sql::renew(c, now).await?;
                        mark = Some(next);
                        tell_of_unclean_stop(&rules, next);
                    }
                    let running = Mark { at: now, failures: 0 };
                    sql::set_mark(c, sql::RUNNING, running).await?;
                    Ok((mark, sql::rows(c).await?))
                })
            })
            .await?;
        Ok(Self(Arc::new(Inner {
            rules,
            core: Mutex::new(Core::new(rules, mark, rows)),
            waiting: Mutex::default(),
            clock,
            store,
            lost: AtomicBool::new(false),
        })))
    }

    /// Charges the account with one failure before somebody is asked about it. Waits for attempts
    /// in flight, until `deadline` at the latest.
    ///
    /// # Errors
    /// [`Refusal`] if nobody may be asked.
    ///
    /// # Cancellation
    /// Safe to drop; nothing stays charged.
    pub async fn charge(&self, account: Account, deadline: Instant) -> Result<Charged, Refusal> {
        let mut receiver = {
            // Both under one lock, so that nobody is woken before the sender is in its place.
            let mut core = self.0.core();
            match core.enter(account, self.0.clock.now()) {
                Entry::Charged(charge) => return Ok(self.charged(charge)),
                Entry::Refused(refusal) => return Err(refusal),
                Entry::Waits(ticket) => {
                    let (sender, receiver) = oneshot::channel();
                    self.0.waiting().insert(ticket, sender);
                    Leaves {
                        budgets: self.clone(),
                        account,
                        ticket,
                        receiver,
                    }
                }
            }
        };
        tokio::select! {
            biased;
            woken = &mut receiver.receiver => woken.unwrap_or(Err(Refusal::Busy)),
            () = sleep_until(deadline) => Err(Refusal::Busy),
        }
    }

    /// Charges the account once more, if that is possible without waiting.
    pub fn charge_now(&self, account: Account) -> Option<Charged> {
        let mut core = self.0.core();
        match core.enter(account, self.0.clock.now()) {
            Entry::Charged(charge) => Some(self.charged(charge)),
            Entry::Refused(_) => None,
            Entry::Waits(ticket) => {
                core.leave(account, ticket);
                None
            }
        }
    }

    /// Removes the rows of windows that are over.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn purge(&self) -> Result<(), StoreError> {
        let before = self.0.clock.now().minus(self.0.rules.counted_for());
        self.0
            .store
            .transact(move |c| Box::pin(sql::purge(c, before)))
            .await
    }

    /// Marks a clean stop: nothing is in flight, all is counted.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer; the next start then takes this stop for unclean.
    pub async fn close(&self) -> Result<(), StoreError> {
        if self.0.core().in_flight() > 0 {
            tracing::warn!("sign-ins are still in flight: this is not a clean stop");
            return Ok(());
        }
        if self.0.lost.load(Ordering::Relaxed) {
            tracing::warn!("failures were counted that could not be stored: this is not a clean stop");
            return Ok(());
        }
        self.0
            .store
            .transact(|c| Box::pin(sql::remove_mark(c, sql::RUNNING)))
            .await
    }

    fn charged(&self, charge: Charge) -> Charged {
        Charged {
            budgets: self.clone(),
            charge: Some(charge),
            if_dropped: DirectoryCount::Untouched,
        }
    }

    fn release(&self, charge: Charge) {
        let woken = {
            let mut core = self.0.core();
            core.release(charge, self.0.clock.now())
        };
        for (ticket, outcome) in woken {
            let sender = self.0.waiting().remove(&ticket);
            let outcome = outcome.map(|charge| self.charged(charge));
            if let Some(sender) = sender {
                // Whoever stopped waiting meanwhile gives the charge back by dropping it.
                let _ = sender.send(outcome);
            }
        }
    }
}

impl Inner {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_of_unclean_stop(rules: &Rules, mark: Mark) {
    let left = rules.failures.saturating_sub(mark.failures);
    let until = mark.at.plus(rules.counted_for());
    if left > 0 {
        tracing::warn!(left, budget = rules.failures, %until, "the last stop was not clean: accounts have fewer attempts");
    } else {
        tracing::error!(%until, "several stops were not clean: nobody can sign in for now; a higher limits.budget shortens this");
    }
}

/// What an unclean stop at some time before `now` may have lost, added to what an earlier one may have.
fn after_unclean_stop(rules: &Rules, before: Option<Mark>, now: Timestamp) -> Mark {
    let live = before.filter(|mark| now.since(mark.at) <= rules.counted_for());
    let lost = self::core::in_flight_max(rules, live, now);
    Mark {
        at: now,
        failures: live
            .map_or(0, |mark| mark.failures)
            .saturating_add(lost)
            .min(rules.failures),
    }
}

/// A waiter's place, given up when the wait ends in whatever way.
struct Leaves {
    budgets: Budgets,
    account: Account,
    ticket: Ticket,
    receiver: oneshot::Receiver<Result<Charged, Refusal>>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.budgets.0.core().leave(self.account, self.ticket);
        self.budgets.0.waiting().remove(&self.ticket);
    }
}

/// One attempt that counts as a failure until it is proven to be none. Dropping it before
/// [`Charged::asking`] gives it back, dropping it later keeps it.
#[derive(Debug)]
pub struct Charged {
    budgets: Budgets,
    charge: Option<Charge>,
    if_dropped: DirectoryCount,
}

impl Charged {
    /// From here on somebody may have been asked.
    pub fn asking(&mut self) {
        self.if_dropped = DirectoryCount::PerhapsOneMore;
    }

    /// Counts what came of it. The changes must be stored before the sign-in is answered, and this
    /// must live until they are.
    pub fn count(&mut self, proven: DirectoryCount) -> Changes {
        self.if_dropped = DirectoryCount::Untouched;
        let inner = &self.budgets.0;
        let accounts = match &self.charge {
            Some(charge) => inner.core().count(charge, proven, inner.clock.now()),
            None => Vec::new(),
        };
        Changes {
            budgets: self.budgets.clone(),
            accounts,
        }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if self.if_dropped == DirectoryCount::PerhapsOneMore {
            // Whoever was to store it has panicked.
            self.count(DirectoryCount::PerhapsOneMore).lost();
        }
        if let Some(charge) = self.charge.take() {
            self.budgets.release(charge);
        }
    }
}

/// Counts to be stored: those of some accounts, as they are when they are stored. So the transaction
/// that comes last writes the newest.
#[derive(Debug)]
pub struct Changes {
    budgets: Budgets,
    accounts: Vec<Account>,
}

impl Changes {
    /// Stores them, in the transaction of the log record.
    ///
    /// # Errors
    /// [`StoreError`] if a statement fails.
    pub async fn store(&self, c: &mut Connection) -> Result<(), StoreError> {
        for account in &self.accounts {
            let row = self.budgets.0.core().row(*account);
            sql::put(c, account, row).await?;
        }
        Ok(())
    }

    /// They could not be stored: memory alone has them, so that the next stop is not a clean one.
    pub fn lost(&self) {
        if !self.accounts.is_empty() {
            self.budgets.0.lost.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
