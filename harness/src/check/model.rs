//! The reference model: which answers a sign-in may get, given what its account and password were while it was
//! under way, what it had cost before, and what was wrong meanwhile.
//!
//! It is written from the rules, not from the code, and shares nothing with the directory's own semantics.
//! Where observers cannot know an order, both are allowed: the model never accuses anybody falsely.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::delivery::LATE;
use super::history::{BindEnd, History, Request, What};
use super::index::{Index, Key, key};
use crate::scenario::{Attempted, Outcome, State, Trouble, Typed};

/// How long the password before the last change still binds: Active Directory's own default.
const OLD_PASSWORD: Duration = Duration::from_secs(60 * 60);

/// How much longer than the directory's window a failure counts in the cloud: the longest deadline.
const COUNTED_LONGER: Duration = Duration::from_secs(60);

/// For how long a name that nobody has takes after sign-ins of those that somebody has.
const WEATHER: Duration = Duration::from_secs(60);

/// How long the cloud may take from its start until it has read its counts.
const STARTING: Duration = Duration::from_secs(1);

/// What a sudden stop of the cloud may have left uncounted, of every account.
const LOST_BY_A_STOP: usize = 2;

/// Of an account: what it was, over time. Each entry counts from its time on.
#[derive(Debug, Default)]
struct Life {
    changes: Vec<(Duration, u32)>,
    states: Vec<(Duration, State)>,
    /// From when on there may be no record of it, and from when on there is none.
    deleted: (Option<Duration>, Option<Duration>),
    /// Times in which the directory has it locked.
    locks: Vec<(Duration, Duration)>,
}

/// What an account may be while a sign-in is under way.
#[derive(Debug)]
pub(super) struct Chances {
    /// The password may be taken for right.
    pub(super) right: bool,
    /// The password may be taken for wrong.
    pub(super) wrong: bool,
    pub(super) locked: bool,
    pub(super) unlocked: bool,
    pub(super) states: BTreeSet<State>,
    /// There may be no record of the user any more.
    pub(super) deleted: bool,
    /// There may still be one.
    pub(super) there: bool,
}

/// The answers that are allowed, each with the reason.
#[derive(Debug, Default)]
pub(super) struct Allowed(BTreeMap<Outcome, String>);

impl Allowed {
    /// Whether an outcome is.
    pub(super) fn has(&self, outcome: Outcome) -> bool {
        self.0.contains_key(&outcome)
    }

    fn add(&mut self, outcome: Outcome, why: impl Into<String>) {
        self.0.entry(outcome).or_insert_with(|| why.into());
    }
}

/// `signed_in (the password is right), unavailable (agent1 dies)`
impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (outcome, why)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{outcome} ({why})")?;
        }
        Ok(())
    }
}

/// The model of one run.
pub(super) struct Model<'a> {
    index: &'a Index<'a>,
    lives: Vec<Life>,
    /// A directory's clock was moved: its lockouts may have ended or not.
    clocks_moved: bool,
    spent: BTreeMap<Key, Spent<'a>>,
    /// When the cloud went down, and when it counted what that may have cost.
    stops: Vec<(Duration, Duration)>,
}

impl<'a> Model<'a> {
    pub(super) fn of(index: &'a Index<'a>) -> Self {
        let history = index.history;
        let lives = (0..history.accounts.len())
            .map(|account| life(index, account))
            .collect();
        let by_key = index.by_key.iter();
        let spent = by_key.map(|(key, requests)| (key.clone(), spent(index, requests)));
        let moved = |what: &What| {
            matches!(
                what,
                What::Begin {
                    trouble: Trouble::Clock { .. },
                    ..
                }
            )
        };
        Self {
            index,
            lives,
            clocks_moved: history.events.iter().any(|event| moved(&event.what)),
            spent: spent.collect(),
            stops: stops(history),
        }
    }

    fn history(&self) -> &'a History {
        self.index.history
    }

    /// What the account of a request may be while it is under way; `None` for a name that nobody has.
    pub(super) fn chances(&self, request: &Request) -> Option<Chances> {
        let account = request.account?;
        let (life, slack) = (self.lives.get(account)?, self.history().slack);
        let person = self.history().accounts.get(account)?.person;
        let from = request.sent.saturating_sub(slack);
        let to = request.end(self.history().ended).saturating_add(slack);
        let (right, wrong) = match request.password {
            Attempted::Of(of, change) if of == person => life.password(change, from, to),
            Attempted::Of(..)
            | Attempted::OfWithNul(..)
            | Attempted::Nobodys(_)
            | Attempted::Empty
            | Attempted::TooLong => (false, true),
        };
        let overlapping = |(begin, end): &&(Duration, Duration)| *begin <= to && from <= *end;
        let covering = |(begin, end): &(Duration, Duration)| *begin < from && to < *end;
        let moved = self.clocks_moved && !life.locks.is_empty();
        Some(Chances {
            right,
            wrong,
            locked: moved || life.locks.iter().any(|lock| overlapping(&lock)),
            unlocked: moved || !life.locks.iter().any(covering),
            states: during(&life.states, from, to).into_iter().collect(),
            deleted: life.deleted.0.is_some_and(|at| at <= to),
            there: life.deleted.1.is_none_or(|at| from <= at),
        })
    }

    /// The answers that a request may get.
    pub(super) fn allowed(&self, request: &Request) -> Allowed {
        let mut allowed = Allowed::default();
        let history = self.history();
        let from = request.sent.saturating_sub(history.slack);
        let to = request.end(history.ended).saturating_add(history.slack);
        self.without_verdict(request, from, to, &mut allowed);
        let unusable = match request.typed {
            Typed::Empty | Typed::TooLong | Typed::Nul => true,
            Typed::Right | Typed::Wrong | Typed::Old | Typed::Anothers | Typed::Unknown | Typed::Guessed => {
                false
            }
        };
        if unusable {
            allowed.add(Outcome::Refused, "no directory may see such a password");
            return allowed;
        }
        if self.budget_may_be_used_up(request, from, to) {
            allowed.add(
                Outcome::TooManyAttempts,
                "its failures may have used the budget up",
            );
        }
        let Some(chances) = self.chances(request) else {
            allowed.add(Outcome::Refused, "nobody has this name");
            return allowed;
        };
        if chances.deleted {
            allowed.add(Outcome::Refused, "the user's record is deleted");
        }
        let tell_locked = history
            .tenants
            .get(request.tenant)
            .is_none_or(|tenant| tenant.tell_locked);
        if chances.there {
            verdicts(&chances, tell_locked, &mut allowed);
        }
        allowed
    }

    /// Answers that need nobody's verdict.
    fn without_verdict(&self, request: &Request, from: Duration, to: Duration, allowed: &mut Allowed) {
        let tenant = request.tenant;
        // A stranger takes after what others got lately.
        let lately = if request.account.is_none() {
            WEATHER
        } else {
            Duration::ZERO
        };
        if let Some(wrong) = self.index.disturbed(tenant, from.saturating_sub(lately), to) {
            allowed.add(Outcome::Unavailable, wrong.what.clone());
        }
        if self.index.is_crowded(tenant, from.saturating_sub(lately), to) {
            allowed.add(Outcome::Unavailable, "there is more to do than is taken");
            allowed.add(Outcome::Busy, "there is more to do than is taken");
        }
        if self.index.found_no_place(request) {
            allowed.add(Outcome::Busy, "all places at the directory were taken");
        }
        if self.index.overlaps_its_own(request, from, to) {
            allowed.add(Outcome::Busy, "other sign-ins of the account are under way");
            // Until its turn came, which left the directory no time.
            if to + LATE >= request.sent + self.history().limits.deadline {
                allowed.add(Outcome::Unavailable, "its turn came too late");
            }
        }
        if request.account.is_none() && self.index.was_busy(tenant, from.saturating_sub(lately), to) {
            allowed.add(Outcome::Busy, "others were told so lately");
        }
    }

    /// Whether what an account's earlier sign-ins may have cost reaches the budget.
    fn budget_may_be_used_up(&self, request: &Request, from: Duration, to: Duration) -> bool {
        let limits = &self.history().limits;
        let counted_for = limits.window + COUNTED_LONGER;
        let Some(spent) = self.spent.get(&key(request)) else {
            return false;
        };
        // A success clears what had failed before it began.
        let cleared = spent
            .successes
            .iter()
            .rev()
            .find(|(_, answered)| *answered < from);
        let cleared = cleared.map(|(sent, _)| *sent).unwrap_or_default();
        let others = spent.costs.iter().take_while(|cost| cost.sent <= to);
        let counts: Vec<_> = others
            .filter(|cost| cost.end >= cleared && !std::ptr::eq(cost.request, request))
            .collect();
        let stops: Vec<_> = self.stops.iter().filter(|(down, _)| *down <= to).collect();
        // A start after a sudden stop begins the window of everything anew.
        let last = counts
            .iter()
            .map(|cost| cost.end)
            .chain(stops.iter().map(|(_, counted)| *counted))
            .max();
        let is_live = last.is_some_and(|last| from <= last.saturating_add(counted_for));
        let cost: usize = counts.iter().map(|cost| cost.most).sum();
        let budget = usize::try_from(limits.budget).unwrap_or(usize::MAX);
        is_live && cost + LOST_BY_A_STOP * stops.len() >= budget
    }
}

/// When the cloud went down, and when it had started again: only then it counts what may have been lost.
fn stops(history: &History) -> Vec<(Duration, Duration)> {
    let of_cloud =
        |what: &What| matches!(what, What::Down { host, .. } | What::Up { host } if host == "cloud");
    let mine: Vec<_> = history
        .events
        .iter()
        .filter(|event| of_cloud(&event.what))
        .collect();
    let stops = mine.iter().enumerate().filter_map(|(at, event)| {
        let started = mine.get(at + 1).map_or(history.ended, |next| next.at);
        matches!(event.what, What::Down { .. }).then(|| (event.at, started.saturating_add(STARTING)))
    });
    stops.collect()
}

/// What an account's sign-ins may have cost, in the order in which they were sent.
#[derive(Default)]
struct Spent<'a> {
    costs: Vec<Cost<'a>>,
    /// When those were sent that signed in, and answered.
    successes: Vec<(Duration, Duration)>,
}

/// A sign-in that may have cost something.
struct Cost<'a> {
    request: &'a Request,
    sent: Duration,
    end: Duration,
    most: usize,
}

fn spent<'a>(index: &Index<'a>, requests: &[&'a Request]) -> Spent<'a> {
    let mut spent = Spent::default();
    for request in requests {
        let success = request
            .answer()
            .filter(|answer| answer.outcome == Outcome::SignedIn);
        spent
            .successes
            .extend(success.map(|answer| (request.sent, answer.at)));
        let most = cost(index, request);
        if most > 0 {
            spent.costs.push(Cost {
                request,
                sent: request.sent,
                end: request.end(index.history.ended),
                most,
            });
        }
    }
    spent
}

/// The most that a sign-in may have cost its account.
fn cost(index: &Index<'_>, request: &Request) -> usize {
    let reached = || index.record(request).map_or(2, |record| record.reached().max(1));
    match request.answer().map(|answer| answer.outcome) {
        None => 2,
        Some(Outcome::Refused | Outcome::Unavailable) => reached(),
        Some(
            Outcome::SignedIn
            | Outcome::PasswordExpired
            | Outcome::MustChange
            | Outcome::Disabled
            | Outcome::AccountExpired
            | Outcome::LogonHours
            | Outcome::Workstation
            | Outcome::TooManyAttempts,
        ) => 0,
        Some(Outcome::Busy) => index.record(request).map_or(0, |record| record.reached()),
        // A first attempt that nobody heard of may have been counted.
        Some(Outcome::Locked) => reached().saturating_sub(1),
    }
}

/// What a directory may say of a user that is there.
fn verdicts(chances: &Chances, tell_locked: bool, allowed: &mut Allowed) {
    if chances.states.contains(&State::Protected) {
        allowed.add(Outcome::Refused, "the account may not use simple binds");
    }
    if chances.locked {
        let outcome = State::Locked.with_right_password(tell_locked);
        allowed.add(outcome, "the account is locked");
    }
    if !chances.unlocked {
        return;
    }
    if chances.wrong {
        allowed.add(Outcome::Refused, "the password is wrong");
    }
    if chances.right {
        for state in &chances.states {
            // Whether it is locked, its times of lockout say.
            let state = if *state == State::Locked {
                State::Ok
            } else {
                *state
            };
            let outcome = state.with_right_password(tell_locked);
            allowed.add(outcome, format!("the password is right, the account {state}"));
        }
    }
}

/// The values that held at some moment of a time.
fn during<T: Copy>(values: &[(Duration, T)], from: Duration, to: Duration) -> Vec<T> {
    let begun = values.iter().filter(|(at, _)| *at <= to);
    let all: Vec<_> = begun.collect();
    // The last that began before, and all that began in it.
    let first = all.iter().rposition(|(at, _)| *at < from).unwrap_or(0);
    all.get(first..)
        .unwrap_or_default()
        .iter()
        .map(|(_, value)| *value)
        .collect()
}

impl Life {
    /// Whether the password after so many changes may be taken for right, and for wrong.
    fn password(&self, change: u32, from: Duration, to: Duration) -> (bool, bool) {
        let current = during(&self.changes, from, to);
        let is = current.contains(&change);
        let always = current.iter().all(|now| *now == change);
        // The one before still binds for a while.
        let next = self.changes.iter().find(|(_, now)| *now == change + 1);
        let grace = next.is_some_and(|(at, _)| *at <= to && from <= *at + OLD_PASSWORD)
            && current.iter().any(|now| *now == change + 1);
        (is || grace, !always)
    }
}

fn life(index: &Index<'_>, account: usize) -> Life {
    let history = index.history;
    let Some(facts) = history.accounts.get(account) else {
        return Life::default();
    };
    let mut life = Life {
        changes: vec![(Duration::ZERO, 0)],
        states: vec![(Duration::ZERO, facts.person.state)],
        ..Life::default()
    };
    for event in &history.events {
        match &event.what {
            What::Password { account: of, change } if *of == account => {
                life.changes.push((event.at, *change));
                // A new password has not expired, and need not be changed.
                let about_the_old = matches!(
                    life.states.last(),
                    Some((_, State::PasswordExpired | State::MustChange))
                );
                if about_the_old {
                    life.states.push((event.at, State::Ok));
                }
            }
            What::State { account: of, state } if *of == account => life.states.push((event.at, *state)),
            What::Deleted { account: of } if *of == account => {
                life.deleted = (life.deleted.0.or(Some(event.at)), Some(event.at));
            }
            What::Perhaps(what) if **what == (What::Deleted { account }) => {
                life.deleted.0 = life.deleted.0.or(Some(event.at));
            }
            _ => {}
        }
    }
    life.locks = locks(index, account, facts.person.state);
    life
}

/// Something that moves a directory's count of an account.
enum Step {
    Counted,
    Accepted,
    Lock,
    Clear,
}

/// Times in which the directory has an account locked: by its own count, as its journal shows it, and by what
/// administrators did.
fn locks(index: &Index<'_>, account: usize, state: State) -> Vec<(Duration, Duration)> {
    let history = index.history;
    let lockout = history
        .accounts
        .get(account)
        .and_then(|facts| history.tenants.get(facts.tenant));
    let Some(lockout) = lockout.map(|tenant| tenant.lockout) else {
        return Vec::new();
    };
    let mut steps: Vec<(Duration, Step)> = Vec::new();
    if state == State::Locked {
        steps.push((Duration::ZERO, Step::Lock));
    }
    for bind in index.binds.get(&account).into_iter().flatten() {
        if bind.end == BindEnd::Accepted {
            steps.push((bind.at, Step::Accepted));
        } else if bind.counted {
            steps.push((bind.at, Step::Counted));
        }
    }
    for event in &history.events {
        match &event.what {
            What::Unlocked { account: of } if *of == account => steps.push((event.at, Step::Clear)),
            What::State {
                account: of,
                state: State::Locked,
            } if *of == account => steps.push((event.at, Step::Lock)),
            // Another state is instead of being locked.
            What::State { account: of, .. } if *of == account => steps.push((event.at, Step::Clear)),
            _ => {}
        }
    }
    steps.sort_by_key(|(at, _)| *at);
    let until = |at: Duration| match lockout.duration {
        Duration::ZERO => Duration::MAX,
        // Who is locked at the start is so since everything was set up.
        lasts if at.is_zero() => lasts.saturating_sub(history.before),
        lasts => at.saturating_add(lasts),
    };
    let (mut count, mut last, mut locks) = (0, None, Vec::<(Duration, Duration)>::new());
    for (at, step) in steps {
        match step {
            Step::Lock => locks.push((at, until(at))),
            Step::Clear => {
                count = 0;
                let open = locks.last_mut().filter(|(_, end)| *end > at);
                if let Some((_, end)) = open {
                    *end = at;
                }
            }
            Step::Accepted => count = 0,
            Step::Counted => {
                let over = last.is_none_or(|last: Duration| last.saturating_add(lockout.window) <= at);
                count = if over { 1 } else { count + 1 };
                last = Some(at);
                if lockout.threshold > 0 && count >= lockout.threshold {
                    locks.push((at, until(at)));
                    count = 0;
                }
            }
        }
    }
    locks
}

#[cfg(test)]
mod tests {
    use super::super::history::Event;
    use super::*;
    use crate::scenario::parse;

    #[test]
    fn a_new_password_has_not_expired_and_need_not_be_changed() {
        let file = "title = 'A password is changed'\nduration = '60s'\n[[tenant]]\nname = 'contoso'\n\
                    users = { must_change = 1, password_expired = 1, disabled = 1 }\n[[load]]\nrate = '1/s'\n\
                    users = 'disabled'\n";
        let scenario = parse("f", file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let mut history = History::of(&scenario);
        let at = Duration::from_secs(30);
        history.events = (0..3)
            .map(|account| Event {
                at,
                what: What::Password { account, change: 1 },
            })
            .collect();
        let index = Index::of(&history);
        let after = |account| life(&index, account).states.last().copied();
        for (account, facts) in history.accounts.iter().enumerate() {
            let expected = match facts.person.state {
                State::Disabled => (Duration::ZERO, State::Disabled),
                _ => (at, State::Ok),
            };
            assert_eq!(after(account), Some(expected), "{}", facts.username);
        }
    }
}
