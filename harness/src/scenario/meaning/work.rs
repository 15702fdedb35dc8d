//! Who signs in, and who tries.

use std::time::Duration;

use super::Reader;
use crate::scenario::file::{self, AttackKind, Flow, Which};
use crate::scenario::plan::{Attack, Load, Scenario, Span};
use crate::scenario::units::Written;
use crate::scenario::words::{State, Typed};

/// Most sign-ins of a scenario: what a run keeps in memory to judge it.
const SIGN_INS_MAX: f64 = 2_000_000.0;

/// Passwords in a spray's list: what published lists of the most popular ones begin with.
const LIST: u32 = 100;

impl Reader<'_> {
    pub(super) fn loads(&mut self, loads: &file::Items<file::Load>, scenario: &Scenario) -> Vec<Load> {
        let mut all = Vec::new();
        for (at, load) in loads.read() {
            let path = format!("load[{at}]");
            let tenant = self.tenant(&format!("{path}.tenant"), load.tenant.as_deref(), scenario);
            let span = self.span(&path, (load.from, load.to), load.rate, scenario);
            let Some(tenant) = tenant else { continue };
            let users = self.users(&format!("{path}.users"), load.users.as_ref(), tenant, scenario);
            let mix = self.mix(&format!("{path}.mix"), load, tenant, scenario);
            all.push(Load {
                tenant,
                span,
                users,
                order: load.order,
                mix,
                clients: load.clients.unwrap_or(1),
            });
        }
        all
    }

    /// That they are not too many.
    pub(super) fn sign_ins(&mut self, scenario: &Scenario) {
        let loads = scenario.loads.iter().map(|load| load.span.count());
        let attacks = scenario.attacks.iter().map(|attack| attack.span.count());
        let count = loads.chain(attacks).sum::<f64>() + scenario.sign_ins.len() as f64;
        if count > SIGN_INS_MAX {
            let field = if scenario.loads.is_empty() {
                "attack"
            } else {
                "load"
            };
            self.wrong(
                field,
                format!("{count:.0} sign-ins in all; expected at most {SIGN_INS_MAX}"),
            );
        }
    }

    pub(super) fn attacks(
        &mut self,
        attacks: &file::Items<file::Attack>,
        scenario: &Scenario,
    ) -> Vec<Attack> {
        let mut all = Vec::new();
        for (at, attack) in attacks.read() {
            let path = format!("attack[{at}]");
            let tenant = self.tenant(&format!("{path}.tenant"), attack.tenant.as_deref(), scenario);
            let span = self.span(&path, (attack.from, attack.to), attack.rate, scenario);
            let Some(tenant) = tenant else { continue };
            let one = match attack.kind {
                AttackKind::Guess | AttackKind::Spellings => true,
                AttackKind::Spray | AttackKind::Strangers => false,
            };
            if let (Some(_), false) = (&attack.user, one) {
                self.wrong(
                    &format!("{path}.user"),
                    "is only for attacks on one account: guess, spellings",
                );
            }
            let name = attack.user.as_deref().unwrap_or("ok-1");
            let user = if one {
                self.person(&format!("{path}.user"), name, tenant, scenario)
            } else {
                None
            };
            let spray = attack.kind == AttackKind::Spray;
            for (name, given) in [("guessable", attack.guessable), ("list", attack.list)] {
                if given.is_some() && !spray {
                    self.wrong(&format!("{path}.{name}"), "is only for a spray");
                }
            }
            all.push(Attack {
                kind: attack.kind,
                tenant,
                span,
                user,
                guessable: attack.guessable.unwrap_or(0),
                list: attack.list.unwrap_or(LIST),
                clients: attack.clients.unwrap_or(1),
            });
        }
        all
    }

    fn span(
        &mut self,
        path: &str,
        (from, to): (Option<Written<Duration>>, Option<Written<Duration>>),
        rate: Flow,
        scenario: &Scenario,
    ) -> Span {
        let (from, to) = self.within(path, from, to, scenario);
        let (rate_from, rate_to) = match rate {
            Flow::Constant(Written(rate)) => (rate, rate),
            Flow::Ramp(ramp) => (ramp.from.0, ramp.to.0),
        };
        Span {
            from,
            to,
            rate_from: rate_from.per_second,
            rate_to: rate_to.per_second,
        }
    }

    /// A part of the scenario's time.
    pub(super) fn within(
        &mut self,
        path: &str,
        from: Option<Written<Duration>>,
        to: Option<Written<Duration>>,
        scenario: &Scenario,
    ) -> (Duration, Duration) {
        let end = scenario.duration;
        let from = from.map_or(Duration::ZERO, |from| from.0);
        let to = to.map_or(end, |to| to.0);
        let after = format!(
            "is after the scenario's end at {}",
            humantime::format_duration(end)
        );
        if from >= end {
            self.wrong(&format!("{path}.from"), after);
        } else if to > end {
            self.wrong(&format!("{path}.to"), after);
        } else if from >= to {
            self.wrong(
                &format!("{path}.to"),
                "is not after `from`; expected a later time",
            );
        }
        (from, to)
    }

    fn users(
        &mut self,
        field: &str,
        which: Option<&Which>,
        tenant: usize,
        scenario: &Scenario,
    ) -> Vec<(State, f64)> {
        let weights = match which {
            None => vec![(State::Ok, 1.0)],
            Some(Which::One(state)) => vec![(*state, 1.0)],
            Some(Which::Several(weights)) => (weights.0.iter())
                .filter(|(_, weight)| weight.0 > 0.0)
                .map(|(state, weight)| (*state, weight.0))
                .collect(),
        };
        if weights.is_empty() {
            self.wrong(
                field,
                "no weight is above 0; expected some, such as { ok = 9, disabled = 1 }",
            );
        }
        let Some(tenant) = scenario.tenants.get(tenant) else {
            return weights;
        };
        for (state, _) in &weights {
            if !tenant.users.contains_key(state) && !self.lost.users {
                let problem = format!("{} has no users who are {state}", tenant.name);
                let states: Vec<_> = tenant.users.keys().map(State::to_string).collect();
                self.wrong_perhaps(field, problem, Some(format!("known here: {}", states.join(", "))));
            }
        }
        weights
    }

    fn mix(
        &mut self,
        field: &str,
        load: &file::Load,
        tenant: usize,
        scenario: &Scenario,
    ) -> Vec<(Typed, f64)> {
        let Some(weights) = &load.mix else {
            return vec![(Typed::Right, 1.0)];
        };
        let above = weights.0.iter().filter(|(_, weight)| weight.0 > 0.0);
        let weights: Vec<_> = above.map(|(typed, weight)| (*typed, weight.0)).collect();
        if weights.is_empty() {
            self.wrong(
                field,
                "no weight is above 0; expected some, such as { right = 9, wrong = 1 }",
            );
        }
        if weights.iter().any(|(typed, _)| *typed == Typed::Guessed) {
            self.wrong(
                &format!("{field}.guessed"),
                "is typed only by attackers who guess; expected `right`, or a spray with `guessable`",
            );
        }
        let people = scenario
            .tenants
            .get(tenant)
            .map_or(0, |tenant| tenant.users.values().sum());
        if people < 2 && weights.iter().any(|(typed, _)| *typed == Typed::Anothers) {
            self.wrong(
                &format!("{field}.anothers"),
                "there is only one user; expected a tenant with several",
            );
        }
        weights
    }

    /// The user of this name.
    pub(super) fn person(
        &mut self,
        field: &str,
        name: &str,
        tenant: usize,
        scenario: &Scenario,
    ) -> Option<crate::scenario::plan::Person> {
        let tenant = scenario.tenants.get(tenant)?;
        let found = tenant.person(name);
        if found.is_none() && !self.lost.users {
            let counts = tenant.users.iter();
            let ranges = counts.map(|(state, count)| format!("{state}-1 to {state}-{count}"));
            let help = format!("known here: {}", ranges.collect::<Vec<_>>().join(", "));
            self.wrong_perhaps(field, format!("{} has no user `{name}`", tenant.name), Some(help));
        }
        found
    }
}
