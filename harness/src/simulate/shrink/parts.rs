//! The same scenario with less in it: fewer hosts, fewer users, less time. Pure; whether what comes out is still a
//! scenario, and still fails, is others' to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::scenario::{Controller, Fault, Person, Scenario, SignIn, State, Tenant, Trouble, Written};

/// Only what happens until then.
pub(super) fn until(base: &Scenario, end: Duration) -> Scenario {
    let mut less = base.clone();
    less.duration = end;
    less.quiet = Duration::ZERO;
    less.sign_ins.retain(|sign_in| sign_in.at < end);
    less.faults.retain(|fault| fault.at < end);
    for fault in &mut less.faults {
        fault.until = fault.until.map(|until| until.min(end));
    }
    less
}

/// When the first thing happens.
pub(super) fn first(base: &Scenario) -> Option<Duration> {
    let sign_ins = base.sign_ins.iter().map(|sign_in| sign_in.at);
    sign_ins.chain(base.faults.iter().map(|fault| fault.at)).min()
}

/// The same so much earlier; what would be before the start is left out.
pub(super) fn earlier(base: &Scenario, by: Duration) -> Option<Scenario> {
    let mut less = base.clone();
    less.duration = base.duration.checked_sub(by)?;
    less.quiet = Duration::ZERO;
    less.sign_ins.retain(|sign_in| sign_in.at >= by);
    less.faults.retain(|fault| fault.at >= by);
    for sign_in in &mut less.sign_ins {
        sign_in.at -= by;
    }
    for fault in &mut less.faults {
        fault.at -= by;
        fault.until = fault.until.map(|until| until.saturating_sub(by));
    }
    let answers = less
        .expect
        .answers
        .0
        .iter_mut()
        .flatten()
        .map(|answers| &mut answers.of);
    let latencies = less
        .expect
        .latency
        .0
        .iter_mut()
        .flatten()
        .map(|latency| &mut latency.of);
    let availabilities = less
        .expect
        .availability
        .0
        .iter_mut()
        .flatten()
        .map(|availability| &mut availability.of);
    for of in answers.chain(latencies).chain(availabilities) {
        for time in [&mut of.from, &mut of.to] {
            *time = time.map(|time| Written(time.0.saturating_sub(by)));
        }
    }
    Some(less)
}

/// Every time of a sign-in or of a fault as a whole number of these, where it is asked for.
pub(super) fn rounded(base: &Scenario, to: Duration, sign_ins: bool, faults: bool) -> Scenario {
    let whole = |time: Duration| {
        let nanos = to.as_nanos().max(1);
        let times = u32::try_from(time.as_nanos() / nanos).unwrap_or(u32::MAX);
        to.saturating_mul(times)
    };
    let mut round = base.clone();
    // Up, so that nothing falls out of it.
    round.duration = whole(round.duration + to.saturating_sub(Duration::from_nanos(1)));
    let end = round.loud_until();
    for sign_in in round.sign_ins.iter_mut().filter(|_| sign_ins) {
        sign_in.at = whole(sign_in.at);
    }
    for fault in round.faults.iter_mut().filter(|_| faults) {
        let lasts = fault.until.map(|until| whole(until - fault.at).max(to));
        fault.at = whole(fault.at);
        fault.until = lasts.map(|lasts| (fault.at + lasts).min(end));
    }
    round
}

/// Which parts stay, by their names and places in the scenario that they are taken from.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) tenants: BTreeSet<usize>,
    pub(super) agents: BTreeSet<String>,
    pub(super) controllers: BTreeSet<String>,
}

impl Kept {
    pub(super) fn all(base: &Scenario) -> Self {
        let tenants = || base.tenants.iter();
        let agents = tenants().flat_map(|tenant| &tenant.agents);
        let controllers = tenants().flat_map(|tenant| &tenant.controllers);
        Self {
            tenants: (0..base.tenants.len()).collect(),
            agents: agents.map(|agent| agent.name.clone()).collect(),
            controllers: controllers.map(|controller| controller.name.clone()).collect(),
        }
    }

    /// The scenario of these alone; `None` if a tenant would have nobody left, or an agent nobody to ask.
    pub(super) fn of(&self, base: &Scenario) -> Option<Scenario> {
        let mut places = BTreeMap::new();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        names.insert("cloud".to_owned(), "cloud".to_owned());
        names.extend(
            (1..=base.clients())
                .map(|number| format!("client{number}"))
                .map(|name| (name.clone(), name)),
        );
        let mut tenants = Vec::new();
        for (place, tenant) in base
            .tenants
            .iter()
            .enumerate()
            .filter(|(place, _)| self.tenants.contains(place))
        {
            places.insert(place, tenants.len());
            tenants.push(self.tenant(tenant, &mut names)?);
        }
        let mut less = base.clone();
        less.links
            .retain_mut(|link| rename(&mut link.between, &names).is_some());
        less.faults = (base.faults.iter())
            .filter(|fault| stays(fault, &tenants))
            .filter_map(|fault| {
                let trouble = renamed(&fault.trouble, &names)?;
                Some(Fault {
                    trouble,
                    ..fault.clone()
                })
            })
            .collect();
        less.sign_ins
            .retain_mut(|sign_in| moved(&mut sign_in.tenant, &places));
        less.loads.retain_mut(|load| moved(&mut load.tenant, &places));
        less.attacks
            .retain_mut(|attack| moved(&mut attack.tenant, &places));
        less.tenants = tenants;
        Some(less)
    }

    /// A tenant with what it keeps, under the names that it then has.
    fn tenant(&self, tenant: &Tenant, names: &mut BTreeMap<String, String>) -> Option<Tenant> {
        let count = |names: &BTreeMap<String, String>, kind: &str| {
            names.values().filter(|name| name.starts_with(kind)).count()
        };
        let mut less = tenant.clone();
        less.controllers.retain_mut(|controller| {
            let stays = self.controllers.contains(&controller.name);
            if stays {
                let name = format!("dc{}", count(names, "dc") + 1);
                names.insert(std::mem::replace(&mut controller.name, name.clone()), name);
            }
            stays
        });
        less.agents.retain_mut(|agent| {
            let stays = self.agents.contains(&agent.name);
            if stays {
                let name = format!("agent{}", count(names, "agent") + 1);
                names.insert(std::mem::replace(&mut agent.name, name.clone()), name);
            }
            stays
        });
        for agent in &mut less.agents {
            let left = agent
                .controllers
                .iter()
                .filter_map(|name| names.get(name).cloned());
            agent.controllers = left.collect();
        }
        let asks = less.agents.iter().all(|agent| !agent.controllers.is_empty());
        (asks && !less.agents.is_empty() && !less.controllers.is_empty()).then_some(less)
    }
}

fn moved(place: &mut usize, places: &BTreeMap<usize, usize>) -> bool {
    let found = places.get(place).copied();
    *place = found.unwrap_or(*place);
    found.is_some()
}

/// Whether what a fault is about is still there: hosts, renaming says.
fn stays(fault: &Fault, tenants: &[Tenant]) -> bool {
    let Some((_, tenant)) = fault.trouble.user() else {
        return true;
    };
    tenant.is_none_or(|name| tenants.iter().any(|tenant| tenant.name == *name))
}

fn rename(between: &mut [String; 2], names: &BTreeMap<String, String>) -> Option<()> {
    for name in between {
        *name = names.get(name)?.clone();
    }
    Some(())
}

/// A trouble of the same hosts under their new names; `None` if one is gone.
fn renamed(trouble: &Trouble, names: &BTreeMap<String, String>) -> Option<Trouble> {
    let mut trouble = trouble.clone();
    match &mut trouble {
        Trouble::Partition { between, .. }
        | Trouble::Flapping { between, .. }
        | Trouble::Delay { between, .. }
        | Trouble::Hold { between } => rename(between, names)?,
        Trouble::Isolate { host }
        | Trouble::Crash { host }
        | Trouble::Restart { host }
        | Trouble::Stop { host }
        | Trouble::Clock { host, .. }
        | Trouble::TornState { agent: host, .. }
        | Trouble::DrainAgent { agent: host }
        | Trouble::RevokeAgent { agent: host }
        | Trouble::Directory { controller: host, .. } => *host = names.get(host)?.clone(),
        Trouble::Store { .. }
        | Trouble::ChangePassword { .. }
        | Trouble::SetState { .. }
        | Trouble::Unlock { .. }
        | Trouble::DeleteUser { .. } => {}
    }
    Some(trouble)
}

/// Everybody signs in from the first client; what is said of others is left out.
pub(super) fn one_client(base: &Scenario) -> Scenario {
    let mut less = base.clone();
    for sign_in in &mut less.sign_ins {
        sign_in.client = 1;
    }
    let other = |name: &str| name.starts_with("client") && name != "client1";
    less.links
        .retain(|link| !link.between.iter().any(|name| other(name)));
    less.faults
        .retain(|fault| !fault.trouble.hosts().iter().any(|(_, name)| other(name)));
    less
}

/// Nobody but those who sign in or to whom something is done. `anew`: numbered from 1 in each state, with their
/// names typed plainly; else each keeps its number, and those below it stay.
pub(super) fn only_who_is_needed(base: &Scenario, anew: bool) -> Scenario {
    let mut less = base.clone();
    for (place, tenant) in less.tenants.iter_mut().enumerate() {
        let mut needed: BTreeSet<Person> = BTreeSet::new();
        for sign_in in base.sign_ins.iter().filter(|sign_in| sign_in.tenant == place) {
            needed.extend(sign_in.whose.into_iter().chain(sign_in.another));
        }
        let of_faults = base.faults.iter().filter_map(|fault| fault.trouble.user());
        let mine = of_faults.filter(|(_, of)| of.is_none_or(|name| name == tenant.name));
        needed.extend(mine.filter_map(|(user, _)| tenant.person(user)));
        let of_expectations = base
            .expect
            .answers
            .0
            .iter()
            .flatten()
            .filter_map(|answers| answers.of.user.as_ref());
        needed.extend(of_expectations.filter_map(|user| tenant.person(user)));
        let (mut users, mut numbers): (BTreeMap<State, u32>, BTreeMap<Person, Person>) = Default::default();
        for person in needed {
            let count = users.entry(person.state).or_insert(0);
            *count = if anew { *count + 1 } else { person.number };
            let number = if anew { *count } else { person.number };
            numbers.insert(person, Person { number, ..person });
        }
        if users.is_empty() {
            users.insert(State::Ok, 1);
        }
        tenant.users = users;
        if anew {
            for sign_in in less.sign_ins.iter_mut().filter(|sign_in| sign_in.tenant == place) {
                renumber(sign_in, tenant, &numbers);
            }
            for fault in &mut less.faults {
                renumber_fault(&mut fault.trouble, tenant, &numbers);
            }
        }
    }
    less
}

fn renumber(sign_in: &mut SignIn, tenant: &Tenant, numbers: &BTreeMap<Person, Person>) {
    let new = |person: Person| numbers.get(&person).copied().unwrap_or(person);
    sign_in.another = sign_in.another.map(new);
    if let Some(person) = sign_in.whose.map(new) {
        sign_in.whose = Some(person);
        sign_in.username = tenant.username(person);
    }
}

fn renumber_fault(trouble: &mut Trouble, tenant: &Tenant, numbers: &BTreeMap<Person, Person>) {
    if let Trouble::ChangePassword { user, tenant: of }
    | Trouble::SetState { user, tenant: of, .. }
    | Trouble::Unlock { user, tenant: of }
    | Trouble::DeleteUser { user, tenant: of } = trouble
        && of.as_ref().is_none_or(|name| *name == tenant.name)
        && let Some(new) = numbers
            .iter()
            .find(|(old, _)| old.to_string() == *user)
            .map(|(_, new)| new)
    {
        *user = new.to_string();
    }
}

/// The same with one setting after the other as in production: each is one candidate.
pub(super) fn plainer(base: &Scenario) -> Vec<Scenario> {
    let plain = postern_cloud::config::Limits::default();
    let with = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = base.clone();
        change(&mut changed);
        changed
    };
    let mut all = vec![
        with(&|case| case.limits = plain),
        with(&|case| case.limits.deadline = plain.deadline),
        with(&|case| case.limits.attempt = plain.attempt),
        with(&|case| case.limits.budget = plain.budget),
        with(&|case| case.limits.floor = plain.floor),
        with(&|case| case.limits.window = plain.window),
        with(&|case| case.limits.hand_off = plain.hand_off),
        with(&|case| case.latency = Duration::from_millis(2)),
        with(&|case| {
            case.tenants
                .iter_mut()
                .for_each(|tenant| tenant.tell_locked = true)
        }),
    ];
    all.push(with(&|case| {
        let controllers = case.tenants.iter_mut().flat_map(|tenant| &mut tenant.controllers);
        controllers.for_each(|controller| controller.latency = Duration::ZERO);
    }));
    all.push(with(&|case| {
        for tenant in &mut case.tenants {
            let all: Vec<_> = tenant.controllers.iter().map(named).collect();
            tenant
                .agents
                .iter_mut()
                .for_each(|agent| agent.controllers.clone_from(&all));
        }
    }));
    all
}

fn named(controller: &Controller) -> String {
    controller.name.clone()
}
