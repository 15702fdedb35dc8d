//! A history as checkers look things up in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::{Bind, Discharge, Given, History, Logged, Request, TenantFacts, What};
use crate::report::text::duration;
use crate::scenario::{Outcome, Trouble};

/// Sign-ins of one tenant under way at once from which on there may be too much to do: below the 256 that an
/// agent takes, since it is given others as well.
const CROWD: usize = 200;

/// Binds that an agent has under way at one controller. Whoever comes on top waits for a place, and is told
/// "busy" where none becomes free in time.
const PLACES: usize = 8;

/// How long an agent may need to notice that its connection is dead and to make another one: its ping (30 s) and
/// the wait for it (10 s), its longest pause between dials (30 s), and a dial (10 s).
const RECONNECT: Duration = Duration::from_secs(80);

/// Whose failures count together: an account's, whatever was typed, or those of a name that nobody has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Account(usize),
    Nobody(usize, String),
}

/// A time in which something was wrong that may leave somebody without a verdict.
#[derive(Clone, Debug)]
pub(super) struct Disturbance {
    pub(super) from: Duration,
    /// When the system must have recovered from it.
    pub(super) until: Duration,
    /// Whom it concerns; `None` is everybody.
    pub(super) tenant: Option<usize>,
    pub(super) hosts: Vec<String>,
    pub(super) what: String,
    pub(super) store: bool,
}

impl Disturbance {
    pub(super) fn overlaps(&self, from: Duration, to: Duration) -> bool {
        self.from <= to && from <= self.until
    }

    fn concerns(&self, tenant: usize) -> bool {
        self.tenant.is_none_or(|concerned| concerned == tenant)
    }
}

/// The history, and ways into it.
pub(super) struct Index<'a> {
    pub(super) history: &'a History,
    pub(super) records: BTreeMap<&'a str, Vec<&'a Logged>>,
    pub(super) binds: BTreeMap<usize, Vec<&'a Bind>>,
    pub(super) given: BTreeMap<&'a str, Vec<&'a Given>>,
    /// Requests by whose failures they are, in the order in which they were sent.
    pub(super) by_key: BTreeMap<Key, Vec<&'a Request>>,
    pub(super) disturbances: Vec<Disturbance>,
    /// For each tenant: times in which there may have been too much to do.
    crowds: Vec<Vec<(Duration, Duration)>>,
    /// For each agent: times in which more sign-ins were with it than have a place at one controller.
    full: BTreeMap<&'a str, Vec<(Duration, Duration)>>,
    /// When somebody of a tenant was told that there is too much to do, by time.
    busy: Vec<(Duration, usize)>,
    /// For each of the requests by key: the latest end of it and of all before it.
    latest_ends: BTreeMap<Key, Vec<Duration>>,
}

impl<'a> Index<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut index = Self {
            history,
            records: BTreeMap::new(),
            binds: BTreeMap::new(),
            given: BTreeMap::new(),
            by_key: BTreeMap::new(),
            disturbances: disturbances(history),
            crowds: Vec::new(),
            full: BTreeMap::new(),
            busy: Vec::new(),
            latest_ends: BTreeMap::new(),
        };
        for record in &history.log {
            index.records.entry(&record.request).or_default().push(record);
        }
        for bind in &history.binds {
            if let Some(account) = bind.account {
                index.binds.entry(account).or_default().push(bind);
            }
        }
        for given in &history.given {
            index.given.entry(&given.request).or_default().push(given);
        }
        for request in &history.requests {
            index.by_key.entry(key(request)).or_default().push(request);
            let busy = request.answer().filter(|answer| answer.outcome == Outcome::Busy);
            index.busy.extend(busy.map(|answer| (answer.at, request.tenant)));
        }
        index.busy.sort();
        for (key, requests) in &index.by_key {
            let ends = requests.iter().scan(Duration::ZERO, |latest, request| {
                *latest = (*latest).max(request.end(history.ended));
                Some(*latest)
            });
            index.latest_ends.insert(key.clone(), ends.collect());
        }
        index.crowds = (0..history.tenants.len())
            .map(|tenant| crowds(history, tenant))
            .collect();
        for (tenant, facts) in history.tenants.iter().enumerate() {
            let agents = facts.agents.iter();
            index
                .full
                .extend(agents.map(|agent| (agent.as_str(), full(history, tenant, agent))));
        }
        index
    }

    /// The one record of an answered request.
    pub(super) fn record(&self, request: &Request) -> Option<&'a Logged> {
        let id = request.answer()?.request.as_str();
        self.records.get(id)?.first().copied()
    }

    /// What was wrong for a tenant in a time, if anything was.
    pub(super) fn disturbed(&self, tenant: usize, from: Duration, to: Duration) -> Option<&Disturbance> {
        let mut all = self.disturbances.iter();
        all.find(|one| one.concerns(tenant) && one.overlaps(from, to))
    }

    /// What was wrong with the cloud's store in a time.
    pub(super) fn store_disturbed(&self, from: Duration, to: Duration) -> bool {
        self.disturbances
            .iter()
            .any(|one| one.store && one.overlaps(from, to))
    }

    /// Something was wrong between a client and the cloud in a time, or with one of both.
    pub(super) fn way_disturbed(&self, client: &str, from: Duration, to: Duration) -> bool {
        let on_the_way = |one: &Disturbance| {
            let pair = one.hosts.len() == 2;
            let named = |host: &str| one.hosts.iter().any(|name| name == host);
            // Between the cloud and an agent nothing happens to a client.
            if pair {
                named(client) && named("cloud")
            } else {
                named(client) || named("cloud")
            }
        };
        self.disturbances
            .iter()
            .any(|one| on_the_way(one) && one.overlaps(from, to))
    }

    pub(super) fn is_crowded(&self, tenant: usize, from: Duration, to: Duration) -> bool {
        let crowds = self.crowds.get(tenant).into_iter().flatten();
        crowds
            .into_iter()
            .any(|(begin, end)| *begin <= to && from <= *end)
    }

    /// Whether agents declined a request because their places were taken, and they were.
    pub(super) fn found_no_place(&self, request: &Request) -> bool {
        let Some(record) = self.record(request) else {
            return false;
        };
        let (from, to) = (record.at, record.at.saturating_add(record.total));
        let is_full = |agent: &str| {
            let times = self.full.get(agent).into_iter().flatten();
            times.into_iter().any(|(begin, end)| *begin <= to && from <= *end)
        };
        let mut declined = (record.attempts.iter())
            .filter(|attempt| !attempt.reached() && attempt.reason == "busy")
            .peekable();
        declined.peek().is_some() && declined.all(|attempt| is_full(&attempt.agent))
    }

    /// Whether another sign-in of the same account was under way in a time.
    pub(super) fn overlaps_its_own(&self, request: &Request, from: Duration, to: Duration) -> bool {
        let key = key(request);
        let none = (Vec::new(), Vec::new());
        let (mine, latest) = match (self.by_key.get(&key), self.latest_ends.get(&key)) {
            (Some(mine), Some(latest)) => (mine, latest),
            _ => (&none.0, &none.1),
        };
        // All before this place ended before.
        let first = latest.partition_point(|end| *end < from);
        let near = mine.iter().skip(first).take_while(|other| other.sent <= to);
        near.into_iter()
            .any(|other| !std::ptr::eq(*other, request) && other.end(self.history.ended) >= from)
    }

    /// Whether somebody of a tenant was told in a time that there is too much to do.
    pub(super) fn was_busy(&self, tenant: usize, from: Duration, to: Duration) -> bool {
        let first = self.busy.partition_point(|(at, _)| *at < from);
        let told = self.busy.iter().skip(first).take_while(|(at, _)| *at <= to);
        told.into_iter().any(|(_, of)| *of == tenant)
    }

    /// Whether a host was down at some time between.
    pub(super) fn was_down(&self, host: &str, from: Duration, to: Duration) -> bool {
        let mine = self.history.events.iter().filter(|event| match &event.what {
            What::Down { host: name, .. } | What::Up { host: name } => name == host,
            _ => false,
        });
        let mine: Vec<_> = mine.collect();
        mine.iter().enumerate().any(|(at, event)| {
            let up = mine.get(at + 1).map_or(Duration::MAX, |next| next.at);
            matches!(event.what, What::Down { .. }) && event.at <= to && from <= up
        })
    }
}

pub(super) fn key(request: &Request) -> Key {
    match request.account {
        Some(account) => Key::Account(account),
        None => Key::Nobody(request.tenant, request.username.trim().to_lowercase()),
    }
}

/// Times in which at least [`CROWD`] sign-ins of a tenant were under way, until the last of them is answered.
fn crowds(history: &History, tenant: usize) -> Vec<(Duration, Duration)> {
    let mine = history.requests.iter().filter(|request| request.tenant == tenant);
    let spans = mine.map(|request| (request.sent, request.end(history.ended)));
    let longer = |(from, to): (Duration, Duration)| (from, to.saturating_add(history.limits.deadline));
    // Who waited then may be told only at its deadline.
    gatherings(spans, CROWD).into_iter().map(longer).collect()
}

/// Times in which more sign-ins were with an agent than have a place. One that nobody was answered, and that
/// has no record therefore, may have been with any agent of its tenant, until a deadline later.
fn full(history: &History, tenant: usize, agent: &str) -> Vec<(Duration, Duration)> {
    let asked = |record: &&Logged| record.attempts.iter().any(|attempt| attempt.agent == agent);
    let recorded = history.log.iter().filter(asked);
    let recorded = recorded.map(|record| (record.at, record.at.saturating_add(record.total)));
    let lost = history
        .requests
        .iter()
        .filter(|request| request.tenant == tenant && request.answers.is_empty());
    let lost = lost.map(|request| {
        let end = request.end(history.ended);
        (request.sent, end.saturating_add(history.limits.deadline))
    });
    gatherings(recorded.chain(lost), PLACES + 1)
}

/// Times in which at least so many of these spans overlapped.
fn gatherings(
    spans: impl Iterator<Item = (Duration, Duration)>,
    at_least: usize,
) -> Vec<(Duration, Duration)> {
    let mut steps: Vec<_> = spans.flat_map(|(from, to)| [(from, true), (to, false)]).collect();
    // Begins first: what ends as another begins overlaps it.
    steps.sort_by_key(|(at, begins)| (*at, !begins));
    let (mut under_way, mut since, mut times) = (0_usize, None, Vec::new());
    for (at, begins) in steps {
        under_way = if begins {
            under_way + 1
        } else {
            under_way.saturating_sub(1)
        };
        match since {
            None if under_way >= at_least => since = Some(at),
            Some(from) if under_way < at_least => {
                times.push((from, at));
                since = None;
            }
            _ => {}
        }
    }
    times.extend(since.map(|from| (from, Duration::MAX)));
    times
}

/// What was wrong, and until when it may be felt.
fn disturbances(history: &History) -> Vec<Disturbance> {
    let mut all = Vec::new();
    let mut open: BTreeMap<usize, usize> = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            What::Begin { fault, trouble } => {
                if let Some(disturbance) = disturbance(history, event.at, trouble) {
                    // A link that flaps is one trouble from its first begin to its last end.
                    let place = *open.entry(*fault).or_insert_with(|| {
                        all.push(disturbance);
                        all.len() - 1
                    });
                    if let Some(one) = all.get_mut(place).filter(|_| trouble.can_last()) {
                        one.until = Duration::MAX;
                    }
                }
            }
            What::End { fault } => {
                if let Some(one) = open.get(fault).and_then(|place| all.get_mut(*place)) {
                    let felt = if one.store {
                        history.limits.deadline
                    } else {
                        RECONNECT
                    };
                    one.until = event.at + felt + history.limits.deadline;
                }
            }
            // An agent that stops in order hands over what it has; what that leaves is told apart below.
            What::Down { host, clean } if !*clean || !host.starts_with("agent") => {
                all.push(down(history, host, event.at));
            }
            What::Up { host } => {
                let gone = all
                    .iter_mut()
                    .rev()
                    .find(|one| one.hosts == [host.clone()] && one.what.ends_with("down"));
                if let Some(one) = gone {
                    one.until = event.at + RECONNECT + history.limits.deadline;
                }
            }
            What::Perhaps(what)
                if let What::Discharged {
                    agent,
                    why: Discharge::Revoked,
                } = &**what =>
            {
                all.push(Disturbance {
                    what: revoked(agent),
                    ..down(history, agent, event.at)
                });
            }
            // What it had goes on to others; after that it is missed only if nobody is left.
            What::Discharged {
                agent,
                why: Discharge::Revoked,
            } => {
                let what = revoked(agent);
                let asked = all.iter_mut().rev().find(|one| one.what == what);
                if let Some(one) = asked {
                    one.until = event.at + history.limits.deadline;
                }
            }
            What::Discharged { agent, why } => {
                let mut one = down(history, agent, event.at);
                one.what = match why {
                    Discharge::Expired => format!("the certificate of {agent} has expired"),
                    Discharge::Unregistered => format!("{agent} is not registered"),
                    Discharge::Revoked => revoked(agent),
                };
                all.push(one);
            }
            _ => {}
        }
    }
    all.extend(nobody_serves(history));
    all
}

fn down(history: &History, host: &str, at: Duration) -> Disturbance {
    Disturbance {
        from: at,
        until: Duration::MAX,
        tenant: history.tenant_of(host),
        hosts: vec![host.to_owned()],
        what: format!("{host} is down"),
        store: false,
    }
}

fn revoked(agent: &str) -> String {
    format!("{agent} is revoked")
}

fn disturbance(history: &History, at: Duration, trouble: &Trouble) -> Option<Disturbance> {
    if trouble.is_administration() {
        return None;
    }
    let hosts: Vec<_> = trouble
        .hosts()
        .into_iter()
        .map(|(_, host)| host.to_owned())
        .collect();
    // The tenant's, if one of them is; a client's own trouble is its own.
    let tenant = hosts.iter().find_map(|host| history.tenant_of(host));
    if tenant.is_none() && hosts.iter().any(|host| host.starts_with("client")) {
        return Some(Disturbance {
            from: at,
            until: at,
            // Nobody: it is on its client's way only.
            tenant: Some(usize::MAX),
            what: describe(trouble),
            hosts,
            store: false,
        });
    }
    let store = matches!(trouble, Trouble::Store { .. });
    // A wrong clock is on nobody's way.
    let hosts = if matches!(trouble, Trouble::Clock { .. }) {
        Vec::new()
    } else {
        hosts
    };
    Some(Disturbance {
        from: at,
        until: at + RECONNECT + history.limits.deadline,
        tenant,
        what: describe(trouble),
        hosts,
        store,
    })
}

/// A trouble in a few words.
pub(crate) fn describe(trouble: &Trouble) -> String {
    let hosts: Vec<_> = trouble.hosts().into_iter().map(|(_, host)| host).collect();
    let hosts = hosts.join(" and ");
    match trouble {
        Trouble::Partition {
            between: [a, b],
            one_way,
            lost,
        } => {
            let lost = if *lost { ", and is lost for good" } else { "" };
            match one_way {
                true => format!("nothing passes from {a} to {b}{lost}"),
                false => format!("nothing passes between {a} and {b}{lost}"),
            }
        }
        Trouble::Isolate { .. } => format!("{hosts} is cut off"),
        Trouble::Flapping { .. } => format!("the link between {hosts} comes and goes"),
        Trouble::Delay { latency, .. } => {
            format!("messages between {hosts} take {}", duration(latency.0))
        }
        Trouble::Hold { .. } => format!("messages between {hosts} wait"),
        Trouble::Crash { .. } => format!("{hosts} dies"),
        Trouble::Restart { .. } => format!("{hosts} is restarted"),
        Trouble::Stop { .. } => format!("{hosts} hangs"),
        Trouble::Clock { by, .. } => {
            let sign = if by.0.back { "-" } else { "+" };
            format!("the clock of {hosts} jumps by {sign}{}", duration(by.0.by))
        }
        Trouble::Store { fails, .. } => format!("the store fails: {fails:?}").to_lowercase(),
        Trouble::TornState { .. } => format!("{hosts} dies while it writes its state"),
        Trouble::Directory { does, .. } => format!("{hosts} misbehaves: {does:?}").to_lowercase(),
        Trouble::DrainAgent { .. } => format!("{hosts} is drained"),
        Trouble::RevokeAgent { .. } => revoked(&hosts),
        Trouble::ChangePassword { user, .. } => format!("the password of {user} is changed"),
        Trouble::SetState { user, state, .. } => format!("{user} is set to {state}"),
        Trouble::Unlock { user, .. } => format!("{user} is unlocked"),
        Trouble::DeleteUser { user, .. } => format!("the record of {user} is deleted"),
    }
}

/// Times in which all agents of a tenant are drained, revoked or away.
fn nobody_serves(history: &History) -> Vec<Disturbance> {
    let tenants = history.tenants.iter().enumerate();
    tenants
        .flat_map(|(at, tenant)| without_agents(history, at, tenant))
        .collect()
}

fn without_agents(history: &History, tenant: usize, facts: &TenantFacts) -> Vec<Disturbance> {
    let (mut drained, mut down, mut revoked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut since, mut all) = (None, Vec::new());
    let closed = |from, until| Disturbance {
        from,
        until,
        tenant: Some(tenant),
        hosts: facts.agents.clone(),
        what: format!("no agent of {} serves", facts.name),
        store: false,
    };
    for event in &history.events {
        // Who may be drained may not serve; who may be resumed may still be drained.
        let what = match &event.what {
            What::Perhaps(what)
                if matches!(
                    **what,
                    What::Drained { drained: true, .. } | What::Discharged { .. }
                ) =>
            {
                &**what
            }
            what => what,
        };
        match what {
            What::Discharged {
                agent,
                why: Discharge::Revoked,
            } => revoked.insert(agent),
            What::Drained { agent, drained: true } => drained.insert(agent),
            What::Drained {
                agent,
                drained: false,
            } => drained.remove(agent),
            What::Down { host, .. } => down.insert(host),
            What::Up { host } => down.remove(host),
            _ => continue,
        };
        let nobody = facts
            .agents
            .iter()
            .all(|agent| drained.contains(agent) || down.contains(agent) || revoked.contains(agent));
        match since {
            None if nobody => since = Some(event.at),
            Some(from) if !nobody => {
                all.push(closed(from, event.at + RECONNECT + history.limits.deadline));
                since = None;
            }
            _ => {}
        }
    }
    all.extend(since.map(|from| closed(from, Duration::MAX)));
    all
}
