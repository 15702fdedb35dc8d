//! What a run left behind: what clients, agents, the directory's journal and the cloud's sign-in log
//! saw, and what was done to the system meanwhile. Plain data, on one clock that starts with the run.

use std::time::Duration;

use postern_cloud::config::Limits;

use crate::canary::Leak;
use crate::scenario::{Attempted, Outcome, Scenario, State, Trouble, Typed};
use crate::scenario::{Lockout, Person};

/// A run.
#[derive(Clone, Debug)]
pub struct History {
    /// How the cloud was configured.
    pub limits: Limits,
    /// How far times of different observers may differ: nothing in simulated time.
    pub slack: Duration,
    /// What the way of a request to the cloud and of its answer back may take, connecting included.
    pub way: Duration,
    /// How long before the run everything was set up: since then accounts are as they are at its start.
    pub before: Duration,
    /// When the run ended.
    pub ended: Duration,
    /// The organisations.
    pub tenants: Vec<TenantFacts>,
    /// The users of all of them.
    pub accounts: Vec<Account>,
    /// The sign-ins, sorted by when they were sent.
    pub requests: Vec<Request>,
    /// Requests as they reached agents.
    pub given: Vec<Given>,
    /// The cloud's sign-in log.
    pub log: Vec<Logged>,
    /// The directories' journals, by time.
    pub binds: Vec<Bind>,
    /// What was done and what happened, by time.
    pub events: Vec<Event>,
    /// Passwords that were found where none may be.
    pub leaks: Vec<Leak>,
}

impl History {
    /// Nothing has happened yet in the scenario's world.
    pub fn of(scenario: &Scenario) -> Self {
        let tenants = scenario.tenants.iter().map(|tenant| TenantFacts {
            name: tenant.name.clone(),
            domain: tenant.domain.clone(),
            tell_locked: tenant.tell_locked,
            lockout: tenant.lockout,
            agents: tenant.agents.iter().map(|agent| agent.name.clone()).collect(),
            controllers: (tenant.controllers.iter())
                .map(|controller| controller.name.clone())
                .collect(),
        });
        let accounts = scenario.tenants.iter().enumerate().flat_map(|(at, tenant)| {
            tenant.people().map(move |person| Account {
                tenant: at,
                person,
                username: tenant.username(person),
            })
        });
        Self {
            limits: scenario.limits,
            slack: Duration::ZERO,
            way: way(scenario),
            before: Duration::ZERO,
            ended: scenario.duration,
            tenants: tenants.collect(),
            accounts: accounts.collect(),
            requests: Vec::new(),
            given: Vec::new(),
            log: Vec::new(),
            binds: Vec::new(),
            events: Vec::new(),
            leaks: Vec::new(),
        }
    }

    /// The place of a tenant's user among the accounts.
    pub fn account(&self, tenant: usize, person: Person) -> Option<usize> {
        let is_meant = |account: &Account| account.tenant == tenant && account.person == person;
        self.accounts.iter().position(is_meant)
    }

    /// The tenant whose agent or controller a host is.
    pub fn tenant_of(&self, host: &str) -> Option<usize> {
        self.tenants.iter().position(|tenant| {
            let hosts = tenant.agents.iter().chain(&tenant.controllers);
            hosts.into_iter().any(|name| name == host)
        })
    }
}

/// What a way may take that is not slow: some scheduling, no more.
const WAY: Duration = Duration::from_secs(1);

/// Messages one after the other until an answer is there: name, TCP, TLS, HTTP/2, request, answer.
const TRIPS: u32 = 10;

/// The slowest client's way to the cloud and back.
fn way(scenario: &Scenario) -> Duration {
    let clients = scenario
        .links
        .iter()
        .filter(|link| link.between.iter().any(|host| host.starts_with("client")));
    let slowest = clients.map(|link| link.latency).max().unwrap_or_default();
    WAY + TRIPS * slowest.max(scenario.latency)
}

/// An organisation.
#[derive(Clone, Debug)]
pub struct TenantFacts {
    /// Its short name.
    pub name: String,
    /// The domain of its usernames.
    pub domain: String,
    /// Whether its users are told that they are locked.
    pub tell_locked: bool,
    /// When its directory locks an account.
    pub lockout: Lockout,
    /// The hosts of its agents.
    pub agents: Vec<String>,
    /// The hosts of its controllers.
    pub controllers: Vec<String>,
}

/// A user: one object of a directory and one record of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its tenant's place.
    pub tenant: usize,
    /// Which user; its state is that of the start.
    pub person: Person,
    /// The username.
    pub username: String,
}

/// One sign-in, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The host that sent it.
    pub client: String,
    /// The tenant's place.
    pub tenant: usize,
    /// The account that the name means; `None` for a name that nobody has.
    pub account: Option<usize>,
    /// The name as it was typed.
    pub username: String,
    /// The kind of password.
    pub typed: Typed,
    /// Which password.
    pub password: Attempted,
    /// When it was sent.
    pub sent: Duration,
    /// What came back. More than one is a violation.
    pub answers: Vec<Answer>,
    /// Why nothing came back, where the client knows. Its outcome is unknown then: it may have been judged.
    pub lost: Option<Lost>,
}

impl Request {
    /// Its first answer.
    pub fn answer(&self) -> Option<&Answer> {
        self.answers.first()
    }

    /// When its client knew how it ended; `ended` if it never did.
    pub fn end(&self, ended: Duration) -> Duration {
        let answered = self.answer().map(|answer| answer.at);
        answered
            .or(self.lost.as_ref().map(|lost| lost.at))
            .unwrap_or(ended)
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: Duration,
    /// The outcome.
    pub outcome: Outcome,
    /// Finds the record in the log.
    pub request: String,
}

/// Nothing came back, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When that was known.
    pub at: Duration,
    /// Why.
    pub why: WhyLost,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLost {
    /// The client's host died.
    ClientDied,
    /// The cloud died, or could not be connected to while it was down.
    CloudDied,
    /// The connection to the cloud broke, or could not be made.
    Disconnected,
}

impl WhyLost {
    /// For readers.
    pub fn says(self) -> &'static str {
        match self {
            Self::ClientDied => "its host died",
            Self::CloudDied => "the cloud was down",
            Self::Disconnected => "its connection to the cloud broke, or none could be made",
        }
    }
}

/// A request that reached an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// When.
    pub at: Duration,
    /// The agent's host.
    pub agent: String,
    /// The tenant whose user it was about.
    pub tenant: usize,
    /// The request's id.
    pub request: String,
}

/// A record of the sign-in log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The request's id.
    pub request: String,
    /// When it was received.
    pub at: Duration,
    /// The tenant's place, if there is such a tenant.
    pub tenant: Option<usize>,
    /// The account, if the name meant one.
    pub account: Option<usize>,
    /// The outcome.
    pub outcome: Outcome,
    /// Its number.
    pub code: u32,
    /// From receipt until the outcome stood.
    pub total: Duration,
    /// Who was asked, in order.
    pub attempts: Vec<LoggedAttempt>,
}

impl Logged {
    /// Attempts that may have reached a directory.
    pub fn reached(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.reached()).count()
    }

    /// It went to a second agent although the first may have asked.
    pub fn is_ambiguous(&self) -> bool {
        self.reached() > 1
    }
}

/// One agent that was given a sign-in, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedAttempt {
    /// The agent's host.
    pub agent: String,
    /// The controller that was asked; empty if none.
    pub controller: String,
    /// The verdict's name, such as `accepted`, `not_asked` or `not_awaited`.
    pub verdict: String,
    /// The reason's name, or nothing.
    pub reason: String,
    /// From when it was written until the verdict was there.
    pub total: Duration,
}

impl LoggedAttempt {
    /// A directory may have been asked.
    pub fn reached(&self) -> bool {
        self.verdict != "not_asked"
    }
}

/// A bind, as the directory's journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// When it was received.
    pub at: Duration,
    /// The controller's host.
    pub controller: String,
    /// The account that the name meant, if any.
    pub account: Option<usize>,
    /// How it ended.
    pub end: BindEnd,
    /// Whether the directory looked at the password.
    pub judged: bool,
    /// Whether it counted towards lockout.
    pub counted: bool,
}

/// How a bind ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindEnd {
    /// Accepted.
    Accepted,
    /// Result 49 with this sub-code.
    Refused(u32),
    /// Another result code.
    Answered(i64),
    /// No answer was sent.
    Dropped,
    /// Accepted without an identity.
    Anonymous,
}

/// Something was done or happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What was done or happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A fault of the schedule began, or was over at once.
    Begin {
        /// Its place in the schedule.
        fault: usize,
        /// What it is.
        trouble: Trouble,
    },
    /// It ended.
    End {
        /// Its place in the schedule.
        fault: usize,
    },
    /// A host's process is gone.
    Down {
        /// The host.
        host: String,
        /// It had finished what it had.
        clean: bool,
    },
    /// It is there again.
    Up {
        /// The host.
        host: String,
    },
    /// A user has another password: the one after so many changes.
    Password {
        /// The account's place.
        account: usize,
        /// How often it was changed.
        change: u32,
    },
    /// A user's state was set in the directory.
    State {
        /// The account's place.
        account: usize,
        /// The state.
        state: State,
    },
    /// A user's lockout was ended in the directory.
    Unlocked {
        /// The account's place.
        account: usize,
    },
    /// A user's record was deleted in the cloud.
    Deleted {
        /// The account's place.
        account: usize,
    },
    /// An agent was drained, or resumed.
    Drained {
        /// The agent's host.
        agent: String,
        /// Drained, not resumed.
        drained: bool,
    },
    /// An administrator was asked for this: from then on it may have happened, and if it is known to have, it is told
    /// by itself.
    Perhaps(Box<What>),
    /// The cloud can give an agent requests. At the start it can give them to all.
    Attached {
        /// The agent's host.
        agent: String,
    },
    /// It cannot any more: the agent's stream has ended.
    Detached {
        /// The agent's host.
        agent: String,
        /// What the cloud says of it; empty if it ended it itself.
        why: String,
    },
    /// An agent could not attach, or lost its stream, and will dial again.
    Dials {
        /// The agent's host.
        agent: String,
        /// What it says of it.
        why: String,
    },
    /// An agent does not count any more.
    Discharged {
        /// The agent's host.
        agent: String,
        /// Why.
        why: Discharge,
    },
}

/// Why an agent does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discharge {
    /// Its certificate has expired.
    Expired,
    /// It is not registered any more, or never was.
    Unregistered,
    /// An administrator revoked it.
    Revoked,
}

impl Discharge {
    /// For readers.
    pub fn says(self) -> &'static str {
        match self {
            Self::Expired => "its certificate has expired",
            Self::Unregistered => "it is not registered",
            Self::Revoked => "an administrator revoked it",
        }
    }
}
