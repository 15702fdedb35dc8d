//! A scenario as it is meant: plain data, every name resolved, every default filled in, nothing in it that
//! cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;

use postern_cloud::config::Limits;

use super::fault::Trouble;
use super::file::{AttackKind, Expect, Mischief, Order};
use super::words::{State, Typed, World};

/// A story that the whole system goes through, and what must come of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What happens, as a sentence.
    pub title: String,
    /// What it is good for; may be empty.
    pub about: String,
    /// Where it can run.
    pub worlds: Vec<World>,
    /// How long it goes on.
    pub duration: Duration,
    /// The last part of that, in which nothing is done to the system any more.
    pub quiet: Duration,
    /// How the cloud is configured.
    pub limits: Limits,
    /// How long a message takes between two hosts where nothing else is said.
    pub latency: Duration,
    /// The organisations.
    pub tenants: Vec<Tenant>,
    /// Links that are slower than the others.
    pub links: Vec<Link>,
    /// People who sign in.
    pub loads: Vec<Load>,
    /// Others who try.
    pub attacks: Vec<Attack>,
    /// Single sign-ins, in the order of the file.
    pub sign_ins: Vec<SignIn>,
    /// What goes wrong, in the order of the file.
    pub faults: Vec<Fault>,
    /// What goes wrong at random.
    pub nemesis: Option<Nemesis>,
    /// What must come of it. Each of its items is there.
    pub expect: Expect,
}

impl Scenario {
    /// When the quiet part begins.
    pub fn loud_until(&self) -> Duration {
        self.duration.saturating_sub(self.quiet)
    }

    /// How many hosts send sign-ins: client1 and so on.
    pub fn clients(&self) -> u32 {
        let loads = self.loads.iter().map(|load| load.clients);
        let attacks = self.attacks.iter().map(|attack| attack.clients);
        let sign_ins = self.sign_ins.iter().map(|sign_in| sign_in.client);
        loads.chain(attacks).chain(sign_ins).max().unwrap_or(1)
    }

    /// All hosts by name: the cloud, controllers and agents through all tenants, clients.
    pub fn hosts(&self) -> Vec<String> {
        let of_tenants = self.tenants.iter().flat_map(|tenant| {
            let controllers = tenant
                .controllers
                .iter()
                .map(|controller| controller.name.clone());
            controllers.chain(tenant.agents.iter().map(|agent| agent.name.clone()))
        });
        std::iter::once("cloud".to_owned())
            .chain(of_tenants)
            .chain((1..=self.clients()).map(|number| format!("client{number}")))
            .collect()
    }

    /// The tenant of this name.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.name == name)
    }
}

/// An organisation with its directory and its agents.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its short name.
    pub name: String,
    /// The domain of its usernames.
    pub domain: String,
    /// Whether its users are told that the directory has locked them.
    pub tell_locked: bool,
    /// How many users it has of each state.
    pub users: BTreeMap<State, u32>,
    /// When its directory locks an account.
    pub lockout: Lockout,
    /// Its domain controllers.
    pub controllers: Vec<Controller>,
    /// Its agents.
    pub agents: Vec<Agent>,
}

impl Tenant {
    /// All of its users, by state and number.
    pub fn people(&self) -> impl Iterator<Item = Person> + '_ {
        let states = self.users.iter();
        states.flat_map(|(state, count)| {
            (1..=*count).map(|number| Person {
                state: *state,
                number,
            })
        })
    }

    /// The user of this name, such as "ok-1".
    pub fn person(&self, name: &str) -> Option<Person> {
        let (state, number) = name.rsplit_once('-')?;
        let number: u32 = number.parse().ok()?;
        let (state, count) = self.users.iter().find(|(known, _)| known.to_string() == state)?;
        let person = Person {
            state: *state,
            number,
        };
        // Each has one name: no "ok-01".
        ((1..=*count).contains(&number) && person.to_string() == name).then_some(person)
    }

    /// The username of a user: what people type.
    pub fn username(&self, person: Person) -> String {
        format!("{person}@{}", self.domain)
    }
}

/// A user: the state that it has at the start, and its number among those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    /// The state at the start.
    pub state: State,
    /// From 1.
    pub number: u32,
}

/// Its name, such as "ok-1": sAMAccountName, and the username before the @.
impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.state, self.number)
    }
}

/// When a directory locks an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// After how many failures; 0 is never.
    pub threshold: u32,
    /// After how long without a failure the count starts again.
    pub window: Duration,
    /// For how long; zero until an administrator unlocks.
    pub duration: Duration,
}

/// A domain controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its host's name.
    pub name: String,
    /// How long it takes for a bind.
    pub latency: Duration,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its host's name.
    pub name: String,
    /// The controllers that it may ask, the preferred one first.
    pub controllers: Vec<String>,
}

/// A link that is slower than the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its two ends.
    pub between: [String; 2],
    /// How long a message takes, each way.
    pub latency: Duration,
}

/// How many sign-ins a second, in a straight line over a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub to: Duration,
    /// A second, at the beginning.
    pub rate_from: f64,
    /// A second, at the end.
    pub rate_to: f64,
}

impl Span {
    /// How many to expect.
    pub fn count(&self) -> f64 {
        let lasts = self.to.saturating_sub(self.from).as_secs_f64();
        lasts * f64::midpoint(self.rate_from, self.rate_to)
    }
}

/// People who sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Whose: the tenant's place.
    pub tenant: usize,
    /// When and how many.
    pub span: Span,
    /// Which users, by weight. Each state has some.
    pub users: Vec<(State, f64)>,
    /// In which order.
    pub order: Order,
    /// What they type, by weight.
    pub mix: Vec<(Typed, f64)>,
    /// From how many clients, the first ones.
    pub clients: u32,
}

/// Somebody who tries.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    /// How.
    pub kind: AttackKind,
    /// Against whom: the tenant's place.
    pub tenant: usize,
    /// When and how many.
    pub span: Span,
    /// The account, unless all are tried.
    pub user: Option<Person>,
    /// How many accounts have a password that is in a spray's list.
    pub guessable: u32,
    /// How many passwords a spray's list has.
    pub list: u32,
    /// From how many clients, the first ones.
    pub clients: u32,
}

/// One sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// When it is sent.
    pub at: Duration,
    /// The tenant's place.
    pub tenant: usize,
    /// Whom the name means; `None` for a name that nobody has.
    pub whose: Option<Person>,
    /// The name as it is typed.
    pub username: String,
    /// The kind of password.
    pub typed: Typed,
    /// Which of the passwords that nobody has, where it is one.
    pub number: u32,
    /// Whose password is typed instead, if another's is.
    pub another: Option<Person>,
    /// From which host: 1 is client1.
    pub client: u32,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// When it ends; `None` if it does not, or is over at once.
    pub until: Option<Duration>,
    /// What expectations call it.
    pub name: Option<String>,
    /// What it is. A user's tenant is always named.
    pub trouble: Trouble,
}

impl Fault {
    /// Whether both cannot be at once: they take the same host's process, or do the same to the same
    /// hosts, so that the end of one would end the other.
    pub fn collides(&self, other: &Self) -> bool {
        let process = process_of(&self.trouble);
        let same = discriminant(&self.trouble) == discriminant(&other.trouble);
        let hosts = |fault: &Self| {
            let named = fault.trouble.hosts().into_iter();
            named.map(|(_, host)| host.to_owned()).collect::<BTreeSet<_>>()
        };
        let alike = same && self.trouble.can_last() && hosts(self) == hosts(other);
        let one_process = process.is_some() && process == process_of(&other.trouble);
        (alike || one_process) && self.at <= other.end() && other.at <= self.end()
    }

    /// Until when it has a hold on what it is about; [`Duration::MAX`] if that does not end.
    pub fn end(&self) -> Duration {
        let at_once = match &self.trouble {
            Trouble::Restart { .. } => true,
            Trouble::Directory { binds, .. } => binds.is_some(),
            other => !other.can_last(),
        };
        match self.until {
            None if at_once => self.at,
            until => until.unwrap_or(Duration::MAX),
        }
    }
}

/// The host whose process a fault takes.
fn process_of(trouble: &Trouble) -> Option<&str> {
    match trouble {
        Trouble::Crash { host } | Trouble::Restart { host } | Trouble::Stop { host } => Some(host),
        Trouble::TornState { agent, .. } => Some(agent),
        Trouble::Partition { .. }
        | Trouble::Isolate { .. }
        | Trouble::Flapping { .. }
        | Trouble::Delay { .. }
        | Trouble::Hold { .. }
        | Trouble::Clock { .. }
        | Trouble::Store { .. }
        | Trouble::Directory { .. }
        | Trouble::DrainAgent { .. }
        | Trouble::RevokeAgent { .. }
        | Trouble::ChangePassword { .. }
        | Trouble::SetState { .. }
        | Trouble::Unlock { .. }
        | Trouble::DeleteUser { .. } => None,
    }
}

/// Faults at random.
#[derive(Clone, Debug, PartialEq)]
pub struct Nemesis {
    /// Mean time from one to the next in a loud phase, of all agents together.
    pub every: Duration,
    /// That time was meant of each agent by itself: what hits one that is down already hits no other instead.
    pub each: bool,
    /// The shortest that one lasts.
    pub shortest: Duration,
    /// The longest that one lasts.
    pub longest: Duration,
    /// How many at once, at most.
    pub at_once: usize,
    /// Lengths of the loud and the quiet phases, in turn; `None` is loud throughout.
    pub phases: Option<(Duration, Duration)>,
    /// What may go wrong, by weight.
    pub weights: Vec<(Mischief, f64)>,
}
