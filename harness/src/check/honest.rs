//! A small honest system to make histories with: a directory that counts and locks, a cloud with a budget, a log
//! and hand-off, agents that die, hang and are drained. It follows the rules and knows nothing of the model.

use std::time::Duration;

use super::*;
use crate::scenario::{Attempted, Misdeed, Outcome, Person, Scenario, State, Trouble, Typed, parse};

pub(super) const SCENARIO: &str = r#"
title = "Two tenants of all kinds of users"
duration = "20h"
[[tenant]]
name = "contoso"
users = { ok = 3, never_locks = 1, disabled = 1, must_change = 1, locked = 1, protected = 1, wrong_hours = 1 }
agents = 2
controllers = 2
[[tenant]]
name = "fabrikam"
tell_locked = false
users = { ok = 2, locked = 1, password_expired = 1 }
[[load]]
tenant = "contoso"
rate = "1/min"
"#;

const MS: Duration = Duration::from_millis(1);

/// What is done next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    SignIn {
        account: usize,
        typed: Typed,
        bits: u8,
    },
    Password(usize),
    SetState(usize, State),
    Unlock(usize),
    Delete(usize),
    /// Drains an agent, or resumes it.
    Drain(usize),
    /// An agent dies, or starts again.
    Crash(usize),
    /// The cloud dies, or starts again.
    CrashCloud,
    /// The first tenant's directory hangs, or answers again.
    Hang,
}

/// An object of a directory.
#[derive(Clone, Debug, Default)]
struct Object {
    change: u32,
    changed: Option<Duration>,
    state: State,
    count: u32,
    last: Option<Duration>,
    locked_until: Option<Duration>,
}

/// What the cloud keeps of an account.
#[derive(Clone, Debug, Default)]
struct Budget {
    failures: u32,
    last: Duration,
    deleted: bool,
}

#[derive(Clone, Debug, Default)]
struct Agent {
    down: bool,
    drained: bool,
}

/// The honest system.
pub(super) struct Honest {
    pub(super) history: History,
    pub(super) now: Duration,
    objects: Vec<Object>,
    budgets: Vec<Budget>,
    agents: [Agent; 3],
    cloud_down: bool,
    hangs: bool,
    stops: u32,
    last_stop: Duration,
    faults: usize,
}

pub(super) fn scenario() -> Scenario {
    parse("honest", SCENARIO).unwrap()
}

const THRESHOLD: u32 = 5;
const WINDOW: Duration = Duration::from_secs(1800);
const COUNTED_FOR: Duration = Duration::from_secs(1860);

impl Honest {
    pub(super) fn new() -> Self {
        let history = History::of(&scenario());
        let locked = |state: State| (state == State::Locked).then_some(WINDOW);
        let object = |account: &Account| Object {
            state: if account.person.state == State::Locked {
                State::Ok
            } else {
                account.person.state
            },
            locked_until: locked(account.person.state),
            ..Object::default()
        };
        Self {
            objects: history.accounts.iter().map(object).collect(),
            budgets: vec![Budget::default(); history.accounts.len()],
            history,
            now: Duration::ZERO,
            agents: Default::default(),
            cloud_down: false,
            hangs: false,
            stops: 0,
            last_stop: Duration::ZERO,
            faults: 0,
        }
    }

    /// One sign-in after the other, a minute apart.
    pub(super) fn all(ops: impl IntoIterator<Item = Op>) -> History {
        let mut honest = Self::new();
        for op in ops {
            honest.step(Duration::from_secs(60), op);
        }
        honest.end()
    }

    pub(super) fn end(mut self) -> History {
        self.history.ended = self.now + Duration::from_secs(60);
        self.history
    }

    pub(super) fn step(&mut self, gap: Duration, op: Op) {
        self.now += gap;
        match op {
            Op::SignIn { account, typed, bits } => self.sign_in(account % self.objects.len(), typed, bits),
            Op::Password(account) => {
                let (account, now) = (account % self.objects.len(), self.now);
                let object = &mut self.objects[account];
                object.change += 1;
                object.changed = Some(now);
                if matches!(object.state, State::MustChange | State::PasswordExpired) {
                    object.state = State::Ok;
                }
                let change = object.change;
                self.event(What::Password { account, change });
            }
            Op::SetState(account, state) => {
                let (account, now) = (account % self.objects.len(), self.now);
                let object = &mut self.objects[account];
                match state {
                    State::Locked => {
                        object.locked_until = Some(now + WINDOW);
                        object.state = State::Ok;
                    }
                    _ => {
                        object.locked_until = None;
                        object.count = 0;
                        object.state = state;
                    }
                }
                self.event(What::State { account, state });
            }
            Op::Unlock(account) => {
                let account = account % self.objects.len();
                self.objects[account].locked_until = None;
                self.objects[account].count = 0;
                self.event(What::Unlocked { account });
            }
            Op::Delete(account) => {
                let account = account % self.objects.len();
                if !std::mem::replace(&mut self.budgets[account].deleted, true) {
                    self.event(What::Deleted { account });
                }
            }
            Op::Drain(agent) => {
                let at = agent % 3;
                let drained = !self.agents[at].drained;
                self.agents[at].drained = drained;
                self.event(What::Drained {
                    agent: name(at),
                    drained,
                });
            }
            Op::Crash(agent) => {
                let at = agent % 3;
                let down = !self.agents[at].down;
                self.agents[at].down = down;
                let host = name(at);
                self.event(if down {
                    What::Down { host, clean: false }
                } else {
                    What::Up { host }
                });
            }
            Op::CrashCloud => self.crash_cloud(),
            Op::Hang => self.hang(),
        }
    }

    fn event(&mut self, what: What) {
        self.history.events.push(Event { at: self.now, what });
    }

    fn hang(&mut self) {
        self.hangs = !self.hangs;
        let trouble = |controller: &str| Trouble::Directory {
            controller: controller.to_owned(),
            does: Misdeed::ResetJudged,
            delay: None,
            binds: None,
        };
        if self.hangs {
            for (at, controller) in ["dc1", "dc2"].into_iter().enumerate() {
                self.event(What::Begin {
                    fault: self.faults + at,
                    trouble: trouble(controller),
                });
            }
        } else {
            for fault in [self.faults, self.faults + 1] {
                self.event(What::End { fault });
            }
            self.faults += 2;
        }
    }

    /// What is under way is lost; what is on disk stays.
    fn crash_cloud(&mut self) {
        let host = "cloud".to_owned();
        self.cloud_down = !self.cloud_down;
        let now = self.now;
        if !self.cloud_down {
            // It begins the window of everything anew.
            self.last_stop = now;
            for budget in self.budgets.iter_mut().filter(|budget| budget.failures > 0) {
                budget.last = now;
            }
            return self.event(What::Up { host });
        }
        self.event(What::Down { host, clean: false });
        self.stops += 1;
        for request in &mut self.history.requests {
            if request.answers.iter().any(|answer| answer.at > now) {
                request.answers.clear();
                request.lost = Some(Lost {
                    at: now,
                    why: WhyLost::CloudDied,
                });
            }
        }
        self.history.log.retain(|record| record.at + record.total <= now);
    }

    fn failures(&self, account: usize) -> u32 {
        let budget = &self.budgets[account];
        let own = if self.now <= budget.last + COUNTED_FOR {
            budget.failures
        } else {
            0
        };
        let marked = self.stops > 0 && self.now <= self.last_stop + COUNTED_FOR;
        own + if marked { 1 + self.stops } else { 0 }
    }

    fn charge(&mut self, account: usize, by: u32) {
        let failures = if self.now <= self.budgets[account].last + COUNTED_FOR {
            self.budgets[account].failures
        } else {
            0
        };
        self.budgets[account].failures = failures + by;
        self.budgets[account].last = self.now;
    }

    fn sign_in(&mut self, account: usize, typed: Typed, bits: u8) {
        let facts = self.history.accounts[account].clone();
        let (person, tenant) = (facts.person, facts.tenant);
        let number = self.history.requests.len();
        let change = self.objects[account].change;
        let stranger = typed == Typed::Unknown;
        let password = password(typed, person, change);
        let mut request = Request {
            client: "client1".to_owned(),
            tenant,
            account: (!stranger).then_some(account),
            username: if stranger {
                format!("nobody@{tenant}")
            } else {
                facts.username
            },
            typed,
            password,
            sent: self.now,
            answers: Vec::new(),
            lost: None,
        };
        if self.cloud_down {
            request.lost = Some(Lost {
                at: self.now + MS,
                why: WhyLost::CloudDied,
            });
            self.history.requests.push(request);
            return;
        }
        let id = format!("request-{number}");
        let (outcome, code, stood, attempts) = if stranger {
            self.stranger(tenant)
        } else {
            self.ask(account, tenant, typed, password, bits, &id)
        };
        let floor = if outcome == Outcome::SignedIn {
            Duration::ZERO
        } else {
            250 * MS
        };
        request.answers.push(Answer {
            at: self.now + stood.max(floor),
            outcome,
            request: id.clone(),
        });
        self.history.log.push(Logged {
            request: id,
            at: self.now,
            tenant: Some(tenant),
            account: request.account.filter(|_| !self.budgets[account].deleted),
            outcome,
            code,
            total: stood,
            attempts,
        });
        self.history.requests.push(request);
    }

    fn serving(&self, tenant: usize) -> Vec<usize> {
        let agents = if tenant == 0 { 0..2 } else { 2..3 };
        agents
            .filter(|at| !self.agents[*at].down && !self.agents[*at].drained)
            .collect()
    }

    fn stranger(&self, tenant: usize) -> (Outcome, u32, Duration, Vec<LoggedAttempt>) {
        let outcome = if self.serving(tenant).is_empty() {
            Outcome::Unavailable
        } else {
            Outcome::Refused
        };
        (outcome, 50126, 20 * MS, Vec::new())
    }

    fn ask(
        &mut self,
        account: usize,
        tenant: usize,
        typed: Typed,
        password: Attempted,
        bits: u8,
        id: &str,
    ) -> (Outcome, u32, Duration, Vec<LoggedAttempt>) {
        let plain = |outcome| (outcome, 0, 10 * MS, Vec::new());
        if matches!(typed, Typed::Empty | Typed::TooLong | Typed::Nul) {
            return plain(Outcome::Refused);
        }
        let serving = self.serving(tenant);
        let Some(first) = serving.first().copied() else {
            return plain(Outcome::Unavailable);
        };
        if self.budgets[account].deleted {
            return plain(Outcome::Refused);
        }
        if self.failures(account) >= self.history.limits.budget {
            return plain(Outcome::TooManyAttempts);
        }
        self.given(first, tenant, id);
        if self.hangs && tenant == 0 {
            // Judged and counted, and nobody hears of it; then on to another agent if the account can pay.
            self.bind(account, tenant, password, 10 * MS, true);
            let second = serving
                .get(1)
                .copied()
                .filter(|_| self.failures(account) + 1 < self.history.limits.budget);
            let mut attempts = vec![attempt(first, "unavailable")];
            if let Some(second) = second {
                self.given(second, tenant, id);
                self.bind(account, tenant, password, 20 * MS, true);
                attempts.push(attempt(second, "unavailable"));
            }
            self.charge(account, u32::try_from(attempts.len()).unwrap());
            return (Outcome::Unavailable, 80005, 30 * MS, attempts);
        }
        let mut attempts = Vec::new();
        if bits & 1 == 1 {
            // Certainly not asked: to another agent, freely.
            if let Some(second) = serving.get(1).copied() {
                attempts.push(attempt(first, "not_asked"));
                self.given(second, tenant, id);
                attempts.push(attempt(second, "verdict"));
            }
        }
        if attempts.is_empty() {
            attempts.push(attempt(first, "verdict"));
        }
        let end = self.bind(account, tenant, password, 10 * MS, false);
        let outcome = outcome(end, tenant == 0);
        match outcome {
            Outcome::SignedIn => self.budgets[account].failures = 0,
            Outcome::Refused => self.charge(account, 1),
            _ => {}
        }
        if outcome == Outcome::SignedIn {
            attempts.last_mut().unwrap().verdict = "accepted".to_owned();
        }
        (outcome, 0, 20 * MS, attempts)
    }

    fn given(&mut self, agent: usize, tenant: usize, id: &str) {
        self.history.given.push(Given {
            at: self.now + 5 * MS,
            agent: name(agent),
            tenant,
            request: id.to_owned(),
        });
    }

    /// What the directory makes of it, and whether it counts.
    fn judge(&mut self, account: usize, password: Attempted) -> (BindEnd, bool) {
        let (now, person) = (self.now, self.history.accounts[account].person);
        let object = &mut self.objects[account];
        if object.state == State::Protected {
            return (BindEnd::Refused(0x52f), false);
        }
        if object.locked_until.is_some_and(|until| now < until) {
            return (BindEnd::Refused(0x775), false);
        }
        let grace = object
            .changed
            .is_some_and(|at| now < at + Duration::from_secs(3600));
        let right = password == Attempted::Of(person, object.change)
            || grace && object.change > 0 && password == Attempted::Of(person, object.change - 1);
        if !right {
            if object.state == State::NeverLocks {
                return (BindEnd::Refused(0x52e), false);
            }
            let over = object.last.is_none_or(|last| last + WINDOW <= now);
            object.count = if over { 1 } else { object.count + 1 };
            object.last = Some(now);
            assert!(object.count < THRESHOLD, "the honest cloud has locked an account");
            return (BindEnd::Refused(0x52e), true);
        }
        let end = match object.state {
            State::Disabled => BindEnd::Refused(0x533),
            State::MustChange => BindEnd::Refused(0x773),
            State::PasswordExpired => BindEnd::Refused(0x532),
            State::WrongHours => BindEnd::Refused(0x530),
            State::WrongWorkstation => BindEnd::Refused(0x531),
            State::AccountExpired => BindEnd::Refused(0x701),
            _ => {
                object.count = 0;
                BindEnd::Accepted
            }
        };
        (end, false)
    }

    fn bind(
        &mut self,
        account: usize,
        tenant: usize,
        password: Attempted,
        after: Duration,
        dropped: bool,
    ) -> BindEnd {
        let (end, counted) = self.judge(account, password);
        self.history.binds.push(Bind {
            at: self.now + after,
            controller: if tenant == 0 { "dc1" } else { "dc3" }.to_owned(),
            account: Some(account),
            end: if dropped { BindEnd::Dropped } else { end },
            judged: true,
            counted,
        });
        end
    }
}

fn password(typed: Typed, person: Person, change: u32) -> Attempted {
    match typed {
        Typed::Right | Typed::Guessed => Attempted::Of(person, change),
        Typed::Old if change > 0 => Attempted::Of(person, change - 1),
        Typed::Anothers => {
            let number = person.number + 1;
            Attempted::Of(Person { number, ..person }, 0)
        }
        Typed::Nul => Attempted::OfWithNul(person, change),
        Typed::Empty => Attempted::Empty,
        Typed::TooLong => Attempted::TooLong,
        Typed::Wrong | Typed::Old | Typed::Unknown => Attempted::Nobodys(7),
    }
}

fn outcome(end: BindEnd, tell_locked: bool) -> Outcome {
    match end {
        BindEnd::Accepted => Outcome::SignedIn,
        BindEnd::Refused(0x533) => Outcome::Disabled,
        BindEnd::Refused(0x773) => Outcome::MustChange,
        BindEnd::Refused(0x532) => Outcome::PasswordExpired,
        BindEnd::Refused(0x530) => Outcome::LogonHours,
        BindEnd::Refused(0x531) => Outcome::Workstation,
        BindEnd::Refused(0x701) => Outcome::AccountExpired,
        BindEnd::Refused(0x775) if tell_locked => Outcome::Locked,
        _ => Outcome::Refused,
    }
}

fn attempt(agent: usize, verdict: &str) -> LoggedAttempt {
    LoggedAttempt {
        agent: name(agent),
        controller: if agent == 2 { "dc3" } else { "dc1" }.to_owned(),
        verdict: verdict.to_owned(),
        reason: String::new(),
        total: 10 * MS,
    }
}

fn name(agent: usize) -> String {
    format!("agent{}", agent + 1)
}
