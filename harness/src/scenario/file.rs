//! A scenario as it is written. The JSON Schema is made from these types, and the shape of a file is
//! checked against that schema, so that both are one. What is meant is in `meaning`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::units::{Amount, Limit, Rate, Written};
use super::words::{Invariant, Outcome, State, Typed, World};

/// A story that the whole system goes through, and what must come of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What happens, as a sentence.
    #[schemars(required)]
    pub title: Option<String>,
    /// What it is good for, and where its expectations come from.
    pub about: Option<String>,
    /// Where it can run; everywhere if that is not said.
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// How long it takes for a bind; else as good as nothing.
    pub latency: Option<Written<Duration>>,
}

/// An agent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The controllers that it may ask, the preferred one first; else all of its tenant.
    pub controllers: Option<Vec<String>>,
}

/// A link that is slower than the others.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its two ends.
    pub between: [String; 2],
    /// How long a message takes, each way.
    pub latency: Written<Duration>,
}

/// People who sign in, each when it pleases them, however long others take.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Each sign-in is anybody's.
    #[default]
    Random,
    /// Everybody has their turn before anybody has a second one.
    Turns,
}

/// Somebody who tries.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
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

/// Faults at random: in loud phases, with quiet ones in between.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
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

/// What must come of it, beside the invariants.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What sign-ins come to.
    #[serde(default)]
    pub answers: Items<Answers>,
    /// How long they take.
    #[serde(default)]
    pub latency: Items<Latency>,
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Which sign-ins; else all.
    #[serde(default)]
    pub of: Of,
    /// What they come to, by outcome.
    #[serde(default)]
    pub are: ByName<Outcome, Written<Amount>>,
    /// How many there are.
    pub count: Option<Written<Amount>>,
    /// How many get no answer, because somebody died.
    pub unanswered: Option<Written<Amount>>,
}

/// How long sign-ins take, from when they are sent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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

/// How soon after a fault all is well again: every right password is judged.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The fault's name.
    pub after: String,
    /// Counted from its begin, while it lasts; else from its end.
    #[serde(default)]
    pub from_begin: bool,
    /// How soon.
    pub within: Written<Duration>,
}

/// What the directories see.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Except {
    /// Which.
    pub invariant: Invariant,
    /// Why not.
    pub because: String,
}

/// A number of things.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Count(#[schemars(range(min = 0, max = 100_000))] pub u32);

/// A weight against others.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Weight(#[schemars(range(min = 0, max = 1_000_000))] pub f64);

/// The same rate all the time, or one that changes in a straight line.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Flow {
    /// The same all the time.
    Constant(Written<Rate>),
    /// Changing.
    Ramp(Ramp),
}

/// A rate that changes in a straight line.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// At the beginning.
    pub from: Written<Rate>,
    /// At the end.
    pub to: Written<Rate>,
}

/// Users of one state, or of several by weight.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Which {
    /// Of one state.
    One(State),
    /// Of several.
    Several(ByName<State, Weight>),
}

/// Things that are described one by one, or only counted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Several<T> {
    /// So many, all alike.
    Count(#[schemars(range(min = 1, max = 32))] u32),
    /// One table for each.
    Listed(Items<T>),
}

impl<T> Several<T> {
    /// All of them in order; a broken description is `None`.
    pub fn all(&self) -> Vec<Option<&T>> {
        match self {
            Self::Count(count) => (0..*count).map(|_| None).collect(),
            Self::Listed(items) => items.0.iter().map(Option::as_ref).collect(),
        }
    }
}

/// Tables in a row. One that cannot be read keeps its place, so that the others keep theirs.
#[derive(Clone, Debug)]
pub struct Items<T>(pub Vec<Option<T>>);

impl<T> Items<T> {
    /// Those that could be read, each with its place.
    pub fn read(&self) -> impl Iterator<Item = (usize, &T)> {
        let placed = self.0.iter().enumerate();
        placed.filter_map(|(at, item)| Some((at, item.as_ref()?)))
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Items<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// One value for each of some names out of a closed list.
#[derive(Clone, Debug)]
pub struct ByName<K, V>(pub BTreeMap<K, V>);

impl<K, V> Default for ByName<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for ByName<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self)
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for ByName<K, V> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}By{}", V::schema_name(), K::schema_name()).into()
    }

    /// Each name is a field with its own description.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut fields = Map::new();
        for (name, says) in names(K::json_schema(generator).as_value()) {
            let mut value = generator.subschema_for::<V>().to_value();
            if let (Value::Object(value), Some(says)) = (&mut value, says) {
                value.insert("description".to_owned(), says.into());
            }
            fields.insert(name, value);
        }
        json_schema!({ "type": "object", "properties": fields, "additionalProperties": false })
    }
}

/// The names of an enumeration's schema, each with its description.
pub(super) fn names(schema: &Value) -> Vec<(String, Option<String>)> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut names = Vec::new();
    for kind in schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        names.extend(text(kind, "const").map(|name| (name, text(kind, "description"))));
        names.extend(names_of(kind));
    }
    names.extend(names_of(schema));
    names
}

fn names_of(schema: &Value) -> Vec<(String, Option<String>)> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed
        .filter_map(|name| Some((name.as_str()?.to_owned(), None)))
        .collect()
}
