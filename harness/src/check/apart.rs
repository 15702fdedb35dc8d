//! I5, I7 and I9: which agents get what.

use std::time::Duration;

use super::history::{Discharge, Event, Given, Logged, Request, What};
use super::{Check, Violation};
use crate::report::text::moment;
use crate::scenario::{Invariant, Outcome};

/// How soon after it is told the cloud must have stopped giving an agent anything.
const TOLD: Duration = Duration::from_secs(1);

/// How often the cloud looks at the registrations of attached agents by itself.
const LOOKS_EVERY: Duration = Duration::from_secs(30);

/// I5: no request reaches an agent of another tenant.
pub(super) fn tenants_are_apart(check: &Check<'_>) -> Vec<Violation> {
    let history = check.history;
    let agent_of = |agent: &str, tenant: usize| {
        let facts = history.tenants.get(tenant);
        facts.is_some_and(|facts| facts.agents.iter().any(|name| name == agent))
    };
    let mut violations = Vec::new();
    let named = |tenant: usize| {
        history
            .tenants
            .get(tenant)
            .map_or("nobody", |facts| facts.name.as_str())
    };
    for given in history
        .given
        .iter()
        .filter(|given| !agent_of(&given.agent, given.tenant))
    {
        let seen = format!("{} was given a request of {}", given.agent, named(given.tenant));
        violations.push(about(
            check,
            Invariant::I5,
            &given.request,
            seen,
            "agents of the tenant alone",
        ));
    }
    for record in &history.log {
        let strange = record.attempts.iter().find(|attempt| {
            !record
                .tenant
                .is_some_and(|tenant| agent_of(&attempt.agent, tenant))
        });
        if let Some(attempt) = strange {
            let seen = format!(
                "{} was asked for {}",
                attempt.agent,
                record.tenant.map_or("nobody", named)
            );
            violations.push(about(
                check,
                Invariant::I5,
                &record.request,
                seen,
                "agents of the tenant alone",
            ));
        }
    }
    for bind in &history.binds {
        let Some(account) = bind.account.and_then(|account| history.accounts.get(account)) else {
            continue;
        };
        let own = history.tenant_of(&bind.controller) == Some(account.tenant);
        if !own {
            let seen = format!("{} was asked about {}", bind.controller, account.username);
            violations.push(check.general(Invariant::I5, seen, "controllers of the tenant alone"));
        }
    }
    violations
}

/// A violation about the sign-in of this id, where a client knows it.
fn about(check: &Check<'_>, invariant: Invariant, id: &str, seen: String, allowed: &str) -> Violation {
    match check.request_of(id) {
        Some(request) => check.about(invariant, request, seen, allowed),
        None => check.general(invariant, format!("{seen}: {id}"), allowed),
    }
}

/// Everything that an agent was given: when at the earliest, when at the latest, and the request's id.
fn given_to<'a>(check: &'a Check<'_>, agent: &'a str) -> impl Iterator<Item = (Duration, Duration, &'a str)> {
    let given = check
        .history
        .given
        .iter()
        .filter(move |given| given.agent == agent);
    let logged = check
        .history
        .log
        .iter()
        .filter(move |record| asked(record, agent));
    // Received before it was given to anybody, and over after it: a second agent gets it later than the first.
    let ended = move |given: &Given| {
        let records = check
            .index
            .records
            .get(given.request.as_str())
            .into_iter()
            .flatten();
        records.map(|record| over(record)).fold(given.at, Duration::max)
    };
    let given = given.map(move |given| (given.at, ended(given), given.request.as_str()));
    given.chain(logged.map(move |record| (record.at, over(record), record.request.as_str())))
}

/// When its outcome stood.
fn over(record: &Logged) -> Duration {
    record.at.saturating_add(record.total)
}

fn asked(record: &Logged, agent: &str) -> bool {
    record.attempts.iter().any(|attempt| attempt.agent == agent)
}

/// I7: an expired, revoked or unregistered agent gets no request.
pub(super) fn the_discharged_get_nothing(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in &check.history.events {
        let What::Discharged { agent, why } = &event.what else {
            continue;
        };
        let noticed = match why {
            Discharge::Expired => LOOKS_EVERY + TOLD,
            Discharge::Unregistered | Discharge::Revoked => TOLD,
        };
        let until = event.at + noticed + check.history.slack;
        for (at, _, id) in given_to(check, agent).filter(|(at, ..)| *at > until) {
            let seen = format!(
                "{agent} got a request at {} s, and does not count since {} s: {}",
                moment(at),
                moment(event.at),
                why.says()
            );
            violations.push(about(check, Invariant::I7, id, seen, "nothing for it"));
        }
    }
    violations
}

/// I9: draining and restarting never leave a tenant without a serving agent that had one, and a drained agent
/// gets nothing new.
pub(super) fn draining_leaves_somebody(check: &Check<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (agent, from, to) in drains(&check.history.events) {
        let since = from + TOLD + check.history.slack;
        for (at, _, id) in given_to(check, agent).filter(|(at, end, _)| *at > since && *end < to) {
            let (at, from) = (moment(at), moment(from));
            let seen = format!("{agent} got a request at {at} s, and is drained since {from} s");
            violations.push(about(check, Invariant::I9, id, seen, "nothing new for it"));
        }
    }
    for (at, request) in check.history.requests.iter().enumerate() {
        if is_by_draining(check, request) {
            let seen = format!(
                "{} came to unavailable while an agent was drained or restarted",
                request.username.trim()
            );
            let allowed = check.model.allowed(request).to_string();
            violations.push(check.about(
                Invariant::I9,
                at,
                seen,
                format!("{allowed}: another agent serves"),
            ));
        }
    }
    violations
}

/// Times in which agents are drained for certain.
fn drains(events: &[Event]) -> Vec<(&str, Duration, Duration)> {
    let mut all: Vec<(&str, Duration, Duration)> = Vec::new();
    for event in events {
        let what = match &event.what {
            What::Perhaps(what) if matches!(**what, What::Drained { drained: false, .. }) => &**what,
            what => what,
        };
        match what {
            What::Drained { agent, drained: true } => all.push((agent, event.at, Duration::MAX)),
            What::Drained {
                agent,
                drained: false,
            } => {
                let open = all.iter_mut().rev().find(|(name, ..)| name == agent);
                if let Some((_, _, to)) = open {
                    *to = event.at.min(*to);
                }
            }
            _ => {}
        }
    }
    all
}

/// Whether a sign-in has no verdict for no other reason than that an agent is drained or restarted in order.
pub(super) fn is_by_draining(check: &Check<'_>, request: &Request) -> bool {
    let Some(answer) = request
        .answer()
        .filter(|answer| answer.outcome == Outcome::Unavailable)
    else {
        return false;
    };
    let agents = check
        .history
        .tenants
        .get(request.tenant)
        .map(|facts| &facts.agents);
    let by_somebody = |event: &Event| {
        let agent = match &event.what {
            What::Drained { agent, .. }
            | What::Down {
                host: agent,
                clean: true,
            }
            | What::Up { host: agent } => agent,
            _ => return false,
        };
        let near = event.at <= answer.at && request.sent <= event.at + check.history.limits.deadline;
        near && agents.is_some_and(|agents| agents.contains(agent))
    };
    !check.model.allowed(request).has(Outcome::Unavailable) && check.history.events.iter().any(by_somebody)
}
