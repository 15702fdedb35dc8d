//! A scenario as it is written. The JSON Schema is made from these types, and the shape of a file is
//! checked against that schema, so that both are one. What is meant is in `meaning`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::fault::Fault;
pub use super::items::{ByName, Items, Several};
use super::units::{Amount, Limit, Rate, Written};
use super::words::{Invariant, Outcome, State, Typed, World};

/// A story that the whole system goes through, and what must come of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What happens, as a sentence.
    #[schemars(required)]
    pub title: Option<String>,
    /// What it is good for, and where its expectations come from.
    pub about: Option<String>,
    /// Which worlds it is for; the simulation alone if that is not said. In the lab time is real.
    pub worlds: Option<Vec<World>>,
    /// How long it goes on.
    #[schemars(required)]
    pub duration: Option<Written<Duration>>,
    /// The last part of that, in which nothing is done to the system any more, so that it has to recover.
    pub quiet: Option<Written<Duration>>,
    /// How the cloud is configured; what is not said is as in production.
    #[serde(default)]
    pub limits: Limits,
    /// How long a message takes between two hosts where nothing else is said.
    pub latency: Option<Written<Duration>>,
    /// The organisations.
    #[serde(default)]
    pub tenant: Items<Tenant>,
    /// Links that are slower than the others.
    #[serde(default)]
    pub link: Items<Link>,
    /// People who sign in.
    #[serde(default)]
    pub load: Items<Load>,
    /// Others who try.
    #[serde(default)]
    pub attack: Items<Attack>,
    /// Single sign-ins.
    #[serde(default)]
    pub sign_in: Items<SignIn>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub fault: Items<Fault>,
    /// What goes wrong, drawn at random.
    pub nemesis: Option<Nemesis>,
    /// What must come of it, beside the invariants.
    #[serde(default)]
    pub expect: Expect,
}

/// How the cloud is configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Until a sign-in is answered at the latest: 1s to 60s, else 15s.
    pub deadline: Option<Written<Duration>>,
    /// The share of it that one attempt at an agent has: 100ms to 60s, else 4s.
    pub attempt: Option<Written<Duration>>,
    /// Failures per account and window: below the directory's own threshold, else 4.
    #[schemars(range(min = 2, max = 100))]
    pub budget: Option<u32>,
    /// The window of the budget: at least the directory's own, 1 min to 24h, else 30 min.
    pub window: Option<Written<Duration>>,
    /// No refusal leaves earlier: 0 to 10s, else 250ms.
    pub floor: Option<Written<Duration>>,
    /// Whether a sign-in goes on to another agent after its first one may have asked the directory.
    pub hand_off: Option<bool>,
}

/// An organisation with its directory and its agents.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its short name.
    pub name: String,
    /// The domain of its usernames; `NAME.example.test` if that is not said.
    pub domain: Option<String>,
    /// Whether its users are told that the directory has locked them.
    pub tell_locked: Option<bool>,
    /// How many users it has of each state. They are called ok-1, ok-2, disabled-1 and so on.
    pub users: ByName<State, Count>,
    /// When its directory locks an account.
    #[serde(default)]
    pub lockout: Lockout,
    /// Its domain controllers, which share one directory: how many, or one table for each. They are
    /// called dc1, dc2 and so on through all tenants.
    pub controllers: Option<Several<Controller>>,
    /// Its agents: how many, or one table for each. They are called agent1, agent2 and so on through all
    /// tenants.
    pub agents: Option<Several<Agent>>,
}

/// When a directory locks an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lockout {
    /// After how many failures; 0 is never, else 5.
    #[schemars(range(min = 0, max = 999))]
    pub threshold: Option<u32>,
    /// After how long without a failure the count starts again; else 30 min.
    pub window: Option<Written<Duration>>,
    /// For how long; 0 until an administrator unlocks, else 30 min.
    pub duration: Option<Written<Duration>>,
}

/// A domain controller.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// How long it takes for a bind; else as good as nothing.
    pub latency: Option<Written<Duration>>,
}

/// An agent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The controllers that it may ask, the preferred one first; else all of its tenant.
    pub controllers: Option<Vec<String>>,
}

/// A link that is slower than the others.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its two ends.
    pub between: [String; 2],
    /// How long a message takes, each way.
    pub latency: Written<Duration>,
}

/// People who sign in, each when it pleases them, however long others take.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Whose; may be left out where there is one tenant.
    pub tenant: Option<String>,
    /// When it begins; else at the start.
    pub from: Option<Written<Duration>>,
    /// When it ends; else at the end.
    pub to: Option<Written<Duration>>,
    /// How many a second, minute or hour.
    pub rate: Flow,
    /// Which users, by their state: one state, or the weight of each; else ok.
    pub users: Option<Which>,
    /// In which order: at random, or all in turn.
    #[serde(default)]
    pub order: Order,
    /// What they type, by weight; else the right password.
    pub mix: Option<ByName<Typed, Weight>>,
    /// From how many places.
    #[schemars(range(min = 1, max = 64))]
    pub clients: Option<u32>,
}

/// In which order users sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Each sign-in is anybody's.
    #[default]
    Random,
    /// Everybody has their turn before anybody has a second one.
    Turns,
}

/// Somebody who tries.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// How.
    pub kind: AttackKind,
    /// Against whom; may be left out where there is one tenant.
    pub tenant: Option<String>,
    /// When it begins; else at the start.
    pub from: Option<Written<Duration>>,
    /// When it ends; else at the end.
    pub to: Option<Written<Duration>>,
    /// How many attempts a second, minute or hour.
    pub rate: Flow,
    /// The account, unless all are tried; else ok-1.
    pub user: Option<String>,
    /// How many accounts have a password that is in a spray's list, drawn from the seed: more often near its top,
    /// as popular passwords are. Else none.
    #[schemars(range(min = 0, max = 100_000))]
    pub guessable: Option<u32>,
    /// How many passwords a spray's list has, the most popular first; else 100.
    #[schemars(range(min = 1, max = 100_000))]
    pub list: Option<u32>,
    /// From how many places.
    #[schemars(range(min = 1, max = 64))]
    pub clients: Option<u32>,
}

/// How somebody tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttackKind {
    /// A few common passwords against every account, one after the other.
    Spray,
    /// Many passwords against one account.
    Guess,
    /// Many passwords against one account, under many spellings of its name.
    Spellings,
    /// Names that nobody has.
    Strangers,
}

/// One sign-in. People write loads; this is what a load or an attack comes to, as `postern shrink` writes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// When it is sent.
    pub at: Written<Duration>,
    /// Whose user it is; may be left out where there is one tenant.
    pub tenant: Option<String>,
    /// Who signs in, such as "ok-1"; without it, it is a name that nobody has.
    pub user: Option<String>,
    /// The name as it is typed; else the user's username.
    pub name: Option<String>,
    /// What is typed as the password; else the right one, or for a name that nobody has "unknown".
    pub typed: Option<Typed>,
    /// Which of the passwords that nobody has, where it is one of them; else 0.
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub number: Option<u32>,
    /// The other user whose password is typed as "anothers".
    pub another: Option<String>,
    /// From which client; else 1.
    #[schemars(range(min = 1, max = 64))]
    pub client: Option<u32>,
}

/// Faults at random: in loud phases, with quiet ones in between.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nemesis {
    /// Mean time from one fault to the next in a loud phase.
    pub every: Written<Duration>,
    /// The shortest that a fault lasts; else 1s.
    pub shortest: Option<Written<Duration>>,
    /// The longest that a fault lasts; else 10s.
    pub longest: Option<Written<Duration>>,
    /// Whether `every` is meant of each agent by itself, so that twice as many agents have twice as many faults; else
    /// it is meant of all together.
    pub each: Option<bool>,
    /// How many at once, at most; else 1, and with `each` 16.
    #[schemars(range(min = 1, max = 16))]
    pub at_once: Option<u32>,
    /// How long a loud phase is; else until the end.
    pub loud: Option<Written<Duration>>,
    /// How long a quiet phase after it is.
    pub quiet: Option<Written<Duration>>,
    /// What may go wrong, by weight.
    pub weights: ByName<Mischief, Weight>,
}

/// What a nemesis may do. Hosts and lengths are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mischief {
    /// An agent dies and starts again.
    CrashAgent,
    /// The cloud dies and starts again.
    CrashCloud,
    /// A controller dies and starts again.
    CrashController,
    /// An agent stops in order and starts again.
    RestartAgent,
    /// An agent hangs.
    StopAgent,
    /// An agent is drained and resumed.
    DrainAgent,
    /// An agent and the cloud lose each other.
    PartitionAgent,
    /// The cloud does not hear an agent any more, or the other way round.
    OneWay,
    /// The link between an agent and the cloud comes and goes.
    Flapping,
    /// An agent and a controller lose each other.
    PartitionController,
    /// Messages between an agent and the cloud take a second.
    Delay,
    /// Messages between an agent and the cloud wait.
    Hold,
    /// A clock jumps by up to five minutes.
    Clock,
    /// The store fails: before, after or unknown.
    Store,
    /// The store takes longer.
    SlowStore,
    /// A controller never answers.
    HangController,
    /// A controller drops connections around the judgement.
    ResetController,
    /// A controller answers that it is busy.
    BusyController,
    /// A controller answers later.
    SlowController,
}

impl Mischief {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::CrashAgent,
        Self::CrashCloud,
        Self::CrashController,
        Self::RestartAgent,
        Self::StopAgent,
        Self::DrainAgent,
        Self::PartitionAgent,
        Self::OneWay,
        Self::Flapping,
        Self::PartitionController,
        Self::Delay,
        Self::Hold,
        Self::Clock,
        Self::Store,
        Self::SlowStore,
        Self::HangController,
        Self::ResetController,
        Self::BusyController,
        Self::SlowController,
    ];
}

/// What must come of it, beside the invariants.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What sign-ins come to.
    #[serde(default)]
    pub answers: Items<Answers>,
    /// How long they take.
    #[serde(default)]
    pub latency: Items<Latency>,
    /// How available it is to those who type their own right password.
    #[serde(default)]
    pub availability: Items<Availability>,
    /// How soon after a fault all is well again.
    #[serde(default)]
    pub recovery: Items<Recovery>,
    /// What the directories see.
    #[serde(default)]
    pub directory: DirectoryExpect,
    /// What the sign-in log has.
    #[serde(default)]
    pub log: LogExpect,
    /// How many requests agents get, by name.
    #[serde(default)]
    pub agents: BTreeMap<String, Written<Amount>>,
    /// Invariants that are not checked.
    #[serde(default)]
    pub except: Items<Except>,
}

/// Which sign-ins are meant; what is not said is not asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of users in this state.
    pub users: Option<State>,
    /// Of this user.
    pub user: Option<String>,
    /// With this password.
    pub typed: Option<Typed>,
    /// That were sent then or later.
    pub from: Option<Written<Duration>>,
    /// That were sent before then.
    pub to: Option<Written<Duration>>,
}

/// What sign-ins come to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Which sign-ins; else all.
    #[serde(default)]
    pub of: Of,
    /// What they come to, by outcome.
    #[serde(default)]
    pub are: ByName<Outcome, Written<Amount>>,
    /// How many are sent at all, answered or not.
    pub count: Option<Written<Amount>>,
    /// How many get no answer, because the client, its connection or the cloud died; a share is of all that are sent.
    /// The shares of `are` are of those that are answered.
    pub unanswered: Option<Written<Amount>>,
}

/// How long sign-ins take, from when they are sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Which sign-ins; else all.
    #[serde(default)]
    pub of: Of,
    /// That came to this; else anything.
    pub outcome: Option<Outcome>,
    /// The shortest.
    pub min: Option<Written<Limit>>,
    /// The median.
    pub p50: Option<Written<Limit>>,
    /// The 90th percentile.
    pub p90: Option<Written<Limit>>,
    /// The 99th percentile.
    pub p99: Option<Written<Limit>>,
    /// The longest.
    pub max: Option<Written<Limit>>,
}

/// How available it is to those who type their own right password; others do not count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// Which sign-ins, such as those of one tenant; else all.
    #[serde(default)]
    pub of: Of,
    /// How many of them are answered yes or no.
    pub judged: Option<Written<Amount>>,
    /// The longest time in which none of them is answered yes or no: from when the first such one is sent until the
    /// last of them is over. Nothing if there is no such one.
    pub longest_outage: Option<Written<Limit>>,
}

/// How soon after a fault all is well again: every right password is judged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The fault's name.
    pub after: String,
    /// Counted from the fault's begin, so that what it lasts counts too; else from its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_begin: bool,
    /// From then on so long some right passwords may be left without a verdict. Until the next fault begins, none may
    /// afterwards.
    pub within: Written<Duration>,
}

/// What the directories see.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryExpect {
    /// Binds in all.
    pub binds: Option<Written<Amount>>,
    /// Most binds that one sign-in with a wrong password causes.
    pub binds_per_wrong: Option<Written<Amount>>,
    /// Most failures of one account that a directory counts in a window.
    pub failures_per_account: Option<Written<Amount>>,
    /// Accounts that get locked.
    pub locked_accounts: Option<Written<Amount>>,
}

/// What the sign-in log has.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogExpect {
    /// Sign-ins that went to a second agent.
    pub hand_offs: Option<Written<Amount>>,
    /// Of these, those whose first agent may have asked the directory.
    pub ambiguous_hand_offs: Option<Written<Amount>>,
    /// Records of sign-ins that nobody got an answer of.
    pub without_answer: Option<Written<Amount>>,
    /// Records with this number, such as "80002".
    #[serde(default)]
    pub codes: BTreeMap<String, Written<Amount>>,
}

/// An invariant that is not checked here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Except {
    /// Which.
    pub invariant: Invariant,
    /// Why not.
    pub because: String,
}

/// A number of things.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Count(#[schemars(range(min = 0, max = 100_000))] pub u32);

/// A weight against others.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Weight(#[schemars(range(min = 0, max = 1_000_000))] pub f64);

impl Serialize for Weight {
    /// A whole number as people write it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 {
            // At most a million.
            serializer.serialize_u32(self.0 as u32)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// The same rate all the time, or one that changes in a straight line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Flow {
    /// The same all the time.
    Constant(Written<Rate>),
    /// Changing.
    Ramp(Ramp),
}

/// A rate that changes in a straight line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// At the beginning.
    pub from: Written<Rate>,
    /// At the end.
    pub to: Written<Rate>,
}

/// Users of one state, or of several by weight.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Which {
    /// Of one state.
    One(State),
    /// Of several.
    Several(ByName<State, Weight>),
}
