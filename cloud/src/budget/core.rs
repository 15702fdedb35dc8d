//! The decisions of the failure budget: who may be asked about now, who waits, what an answer
//! means for the count. Pure: times are arguments, changes to be stored are results.
//!
//! An account's count rises as the directory's does and never stays below it:
//!
//! * a failure is charged before the request is written, and released only by a verdict which
//!   proves that the directory counted nothing;
//! * it empties on success, or after a whole window without a charge. No token bucket and no sliding
//!   window: one failure every 8 minutes would still lock an account.
//!
//! Here a window is longer than the directory's by the longest deadline: so long after it was counted
//! there a failure may be counted here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use postern_kit::clock::Timestamp;
use postern_proto::verdict::DirectoryCount;

use super::{Account, Refusal, Rules};

/// Attempts of one account in flight at once. Two, so that a person with two devices does not wait.
const IN_FLIGHT_MAX: u32 = 2;

/// Sign-ins of one account that wait for those in flight; one more is answered "busy". More than a
/// household of devices is a flood.
const WAITING_MAX: usize = 16;

/// Names that nobody has, remembered at once: about 10 MB. The one whose last charge is oldest goes
/// when another comes.
pub(super) const UNKNOWN_MAX: usize = 65_536;

/// Somebody who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// One attempt that is counted as a failure until it is proven to be none. Every one that
/// [`Core::enter`] and [`Core::release`] hand out is released once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charge {
    account: Account,
    /// Failures of the account that were counted before this attempt began, in all its life here.
    counted_before: u64,
}

/// What becomes of somebody who wants to be asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Charged(Charge),
    /// For those in flight: [`Core::release`] says how it ends.
    Waits(Ticket),
    Refused(Refusal),
}

/// What an unclean stop may have left uncounted, of every account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Timestamp,
    pub(super) failures: u32,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the last failure was counted; meaningless while there is none.
    last: Option<Timestamp>,
    /// All failures that were ever counted here.
    counted: u64,
    /// The mark is part of `failures` already, or a success has proven it void.
    mark_settled: bool,
    in_flight: u32,
    waiting: VecDeque<Ticket>,
}

impl State {
    fn begin(&mut self, account: Account) -> Charge {
        self.in_flight += 1;
        Charge {
            account,
            counted_before: self.counted,
        }
    }

    /// Nothing of it is to be remembered.
    fn is_empty(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.last.is_none()
    }
}

/// The budgets of all accounts.
#[derive(Debug)]
pub(super) struct Core {
    rules: Rules,
    accounts: BTreeMap<Account, State>,
    /// Accounts with a count, by the time of their last failure: known ones, and names nobody has.
    known_ages: BTreeSet<(Timestamp, Account)>,
    unknown_ages: BTreeSet<(Timestamp, Account)>,
    mark: Option<Mark>,
    tickets: u64,
    in_flight: usize,
}

impl Core {
    /// With the rows that were stored.
    pub(super) fn new(
        rules: Rules,
        mark: Option<Mark>,
        rows: impl IntoIterator<Item = (Account, u32, Timestamp)>,
    ) -> Self {
        let mut core = Self {
            rules,
            accounts: BTreeMap::new(),
            known_ages: BTreeSet::new(),
            unknown_ages: BTreeSet::new(),
            mark,
            tickets: 0,
            in_flight: 0,
        };
        for (account, failures, last) in rows {
            let state = State {
                failures,
                last: Some(last),
                // What was counted after the mark was counted on top of it.
                mark_settled: mark.is_some_and(|mark| last > mark.at),
                ..State::default()
            };
            core.accounts.insert(account, state);
            core.ages(account).insert((last, account));
        }
        core
    }

    /// Attempts in flight of all accounts.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Somebody wants to be asked about.
    pub(super) fn enter(&mut self, account: Account, now: Timestamp) -> Entry {
        self.forget_old(now);
        let state = self.accounts.entry(account).or_default();
        let verdict = decide(&self.rules, self.mark, state, now);
        let entry = match verdict {
            // Whoever came before goes first.
            Decision::Charge if state.waiting.is_empty() => {
                self.in_flight += 1;
                Entry::Charged(state.begin(account))
            }
            Decision::Refuse(refusal) => Entry::Refused(refusal),
            Decision::Charge | Decision::Wait if state.waiting.len() < WAITING_MAX => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                state.waiting.push_back(ticket);
                Entry::Waits(ticket)
            }
            Decision::Charge | Decision::Wait => Entry::Refused(Refusal::Busy),
        };
        self.drop_if_empty(account);
        entry
    }

    /// Somebody does not wait any longer. Nothing happens if the wait has ended already.
    pub(super) fn leave(&mut self, account: Account, ticket: Ticket) {
        if let Some(state) = self.accounts.get_mut(&account) {
            state.waiting.retain(|waiting| *waiting != ticket);
        }
        self.drop_if_empty(account);
    }

    /// What is to be stored of an account: failures and the time of the last one; `None` if nothing.
    pub(super) fn row(&self, account: Account) -> Option<(u32, Timestamp)> {
        let state = self.accounts.get(&account)?;
        state.last.map(|last| (state.failures, last))
    }

    /// Counts what an attempt proved; the accounts whose rows change. The attempt itself stays in flight until [`Core::release`],
    /// so that what is stored is stored while it is still charged.
    pub(super) fn count(&mut self, charge: &Charge, proven: DirectoryCount, now: Timestamp) -> Vec<Account> {
        let (account, rules, mark) = (charge.account, self.rules, self.mark);
        let state = self.accounts.entry(account).or_default();
        let before = state.last;
        match proven {
            DirectoryCount::Untouched => return Vec::new(),
            DirectoryCount::PerhapsOneMore => {
                // The mark goes into the account's own count, whose window this failure opens anew.
                state.failures = count_at(&rules, mark, state, now).saturating_add(1);
                state.mark_settled = true;
                state.counted += 1;
                // A clock that jumps back must not shorten the window.
                state.last = Some(state.last.map_or(now, |last| last.max(now)));
            }
            DirectoryCount::Cleared => {
                // What failed while this attempt was on its way may have come after it.
                let overlapping = state.counted - charge.counted_before;
                let left = u32::try_from(overlapping).unwrap_or(u32::MAX);
                state.failures = state.failures.min(left);
                state.mark_settled = true;
                if state.failures == 0 {
                    state.last = None;
                }
                if before.is_none() {
                    return Vec::new();
                }
            }
        }
        let last = state.last;
        if let Some(before) = before {
            self.ages(account).remove(&(before, account));
        }
        let mut changed = vec![account];
        if let Some(last) = last {
            self.ages(account).insert((last, account));
            changed.extend(self.make_room());
        }
        changed
    }

    /// Ends an attempt. Those who waited for it and need not any more, with what becomes of them.
    pub(super) fn release(
        &mut self,
        charge: Charge,
        now: Timestamp,
    ) -> Vec<(Ticket, Result<Charge, Refusal>)> {
        let account = charge.account;
        let mut woken = Vec::new();
        if let Some(state) = self.accounts.get_mut(&account) {
            state.in_flight = state.in_flight.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_sub(1);
            while let Some(first) = state.waiting.front().copied() {
                let outcome = match decide(&self.rules, self.mark, state, now) {
                    Decision::Wait => break,
                    Decision::Refuse(refusal) => Err(refusal),
                    Decision::Charge => {
                        self.in_flight += 1;
                        Ok(state.begin(account))
                    }
                };
                state.waiting.pop_front();
                woken.push((first, outcome));
            }
        }
        self.drop_if_empty(account);
        woken
    }

    fn ages(&mut self, account: Account) -> &mut BTreeSet<(Timestamp, Account)> {
        match account {
            Account::User(_) => &mut self.known_ages,
            Account::Unknown(_) => &mut self.unknown_ages,
        }
    }

    /// Drops what the window has emptied. Its rows go with the store's own purge.
    fn forget_old(&mut self, now: Timestamp) {
        let rules = self.rules;
        if self.mark.is_some_and(|mark| !is_live(&rules, mark.at, now)) {
            self.mark = None;
            self.accounts.retain(|_, state| !state.is_empty());
        }
        for ages in [&mut self.known_ages, &mut self.unknown_ages] {
            while let Some((last, account)) = ages.first().copied()
                && !is_live(&rules, last, now)
            {
                ages.pop_first();
                let Some(state) = self.accounts.get_mut(&account) else {
                    continue;
                };
                state.failures = 0;
                state.last = None;
                if state.is_empty() {
                    self.accounts.remove(&account);
                }
            }
        }
    }

    /// Forgets the oldest name that nobody has while there are too many. One that is in flight
    /// keeps its place among the accounts and loses its count.
    fn make_room(&mut self) -> Vec<Account> {
        let mut changed = Vec::new();
        while self.unknown_ages.len() > UNKNOWN_MAX {
            let Some((_, account)) = self.unknown_ages.pop_first() else {
                break;
            };
            if let Some(state) = self.accounts.get_mut(&account) {
                state.failures = 0;
                state.last = None;
            }
            self.drop_if_empty(account);
            changed.push(account);
        }
        changed
    }

    /// An account of which nothing is to be remembered, or only that the mark does not count for it.
    fn drop_if_empty(&mut self, account: Account) {
        let marked = self.mark.is_some();
        let empty = self
            .accounts
            .get(&account)
            .is_some_and(|state| state.is_empty() && !(marked && state.mark_settled));
        if empty {
            self.accounts.remove(&account);
        }
    }
}

enum Decision {
    Charge,
    Wait,
    Refuse(Refusal),
}

fn decide(rules: &Rules, mark: Option<Mark>, state: &State, now: Timestamp) -> Decision {
    let failures = count_at(rules, mark, state, now);
    if failures >= rules.failures {
        return Decision::Refuse(Refusal::UsedUp {
            retry_after: free_after(rules, mark, state, now),
        });
    }
    let in_flight_max = in_flight_max(rules, mark, now);
    if state.in_flight >= in_flight_max || failures + state.in_flight >= rules.failures {
        Decision::Wait
    } else {
        Decision::Charge
    }
}

/// Attempts of one account that may be in flight, and so be lost uncounted by a sudden stop: fewer
/// while an earlier one is still charged, and never the whole budget of more than one.
pub(super) fn in_flight_max(rules: &Rules, mark: Option<Mark>, now: Timestamp) -> u32 {
    if mark.is_some_and(|mark| is_live(rules, mark.at, now)) {
        1
    } else {
        IN_FLIGHT_MAX.min(rules.failures.saturating_sub(1)).max(1)
    }
}

fn is_live(rules: &Rules, at: Timestamp, now: Timestamp) -> bool {
    now.since(at) <= rules.counted_for()
}

fn count_at(rules: &Rules, mark: Option<Mark>, state: &State, now: Timestamp) -> u32 {
    let own = match state.last {
        Some(last) if is_live(rules, last, now) => state.failures,
        _ => 0,
    };
    let marked = match mark {
        Some(mark) if is_live(rules, mark.at, now) && !state.mark_settled => mark.failures,
        _ => 0,
    };
    own.saturating_add(marked)
}

/// How long until the count is below the budget: when the failures' window or the mark's is over.
fn free_after(rules: &Rules, mark: Option<Mark>, state: &State, now: Timestamp) -> Duration {
    let past_window = |at: Timestamp| at.plus(rules.counted_for()).plus(Duration::from_millis(1));
    let mut ends: Vec<_> = [state.last, mark.map(|mark| mark.at)]
        .into_iter()
        .flatten()
        .map(past_window)
        .collect();
    ends.sort();
    ends.into_iter()
        .find(|end| count_at(rules, mark, state, *end) < rules.failures)
        .map_or(rules.counted_for(), |end| end.since(now))
}

#[cfg(test)]
mod tests;
