//! Expectations: that they are about something, and that they could hold.

use std::time::Duration;

use super::Reader;
use crate::scenario::fault::Trouble;
use crate::scenario::file::{Answers, AttackKind, Latency, Of};
use crate::scenario::plan::{Scenario, Span};
use crate::scenario::units::Written;
use crate::scenario::words::{Outcome, State, Typed};

/// The numbers that the sign-in log has.
const CODES: [&str; 12] = [
    "0", "50053", "50057", "50126", "50144", "80001", "80002", "80005", "80007", "80012", "80531", "90055",
];

/// What an answer may take beyond the deadline: the way to the client and back.
const WAY_MAX: Duration = Duration::from_secs(1);

impl Reader<'_> {
    pub(super) fn expectations(&mut self, scenario: &Scenario) {
        let expect = &scenario.expect;
        for (at, answers) in expect.answers.read() {
            let path = format!("expect.answers[{at}]");
            self.of(&format!("{path}.of"), &answers.of, scenario);
            self.answers(&path, answers, scenario);
        }
        for (at, latency) in expect.latency.read() {
            let path = format!("expect.latency[{at}]");
            self.of(&format!("{path}.of"), &latency.of, scenario);
            self.latency(&path, latency, scenario);
        }
        for (at, availability) in expect.availability.read() {
            let path = format!("expect.availability[{at}]");
            self.of(&format!("{path}.of"), &availability.of, scenario);
            if availability.judged.is_none() && availability.longest_outage.is_none() {
                self.wrong(&path, "expects nothing; expected `judged` or `longest_outage`");
            }
            if availability.of.typed.is_some_and(|typed| typed != Typed::Right) {
                let problem = "can never hold: only right passwords count here; expected no `typed`";
                self.wrong(&format!("{path}.of.typed"), problem);
            }
        }
        for (at, recovery) in expect.recovery.read() {
            let path = format!("expect.recovery[{at}]");
            self.recovery(
                &path,
                recovery.after.as_str(),
                recovery.from_begin,
                recovery.within.0,
                scenario,
            );
        }
        self.log(scenario);
        for name in expect.agents.keys() {
            let field = format!("expect.agents.{name}");
            let agents = || scenario.tenants.iter().flat_map(|tenant| &tenant.agents);
            if !agents().any(|agent| agent.name == *name) && !self.lost.hosts {
                self.unknown(&field, "agent", name, agents().map(|agent| agent.name.as_str()));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for (at, except) in expect.except.read() {
            let path = format!("expect.except[{at}]");
            if except.because.trim().is_empty() {
                self.wrong(&format!("{path}.because"), "is empty; expected a reason");
            }
            if !seen.insert(except.invariant) {
                self.wrong(&format!("{path}.invariant"), "is excepted above already");
            }
        }
    }

    fn of(&mut self, path: &str, of: &Of, scenario: &Scenario) {
        let before = self.mistakes.len();
        let field = format!("{path}.tenant");
        let tenant = match &of.tenant {
            Some(name) => self.tenant(&field, Some(name), scenario),
            None if of.user.is_some() => self.tenant(&field, None, scenario),
            None => None,
        };
        if let (Some(user), Some(tenant)) = (&of.user, tenant) {
            self.person(&format!("{path}.user"), user, tenant, scenario);
        }
        self.within(path, of.from, of.to, scenario);
        if self.mistakes.len() == before && !self.lost.work && !is_sent(of, tenant, scenario) {
            self.wrong(path, "nobody sends such a sign-in");
        }
    }

    fn answers(&mut self, path: &str, answers: &Answers, scenario: &Scenario) {
        if answers.are.0.is_empty() && answers.count.is_none() && answers.unanswered.is_none() {
            self.wrong(path, "expects nothing; expected `are`, `count` or `unanswered`");
        }
        let mut least = 0.0;
        for (outcome, Written(amount)) in &answers.are.0 {
            let field = format!("{path}.are.{outcome}");
            least += if amount.share { amount.least } else { 0.0 };
            if amount.wants_some()
                && let Some(why) = never(*outcome, &answers.of, scenario)
            {
                self.wrong(&field, format!("can never hold: {why}"));
            }
        }
        // Shares are written with a few digits.
        if least > 1.0 + 1e-9 {
            let field = format!("{path}.are");
            self.wrong(
                &field,
                format!(
                    "can never hold: the least shares are {:.0}% together",
                    least * 100.0
                ),
            );
        }
    }

    fn latency(&mut self, path: &str, latency: &Latency, scenario: &Scenario) {
        let limits = [
            ("min", latency.min),
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p99", latency.p99),
            ("max", latency.max),
        ];
        if limits.iter().all(|(_, limit)| limit.is_none()) {
            self.wrong(path, "expects nothing; expected one of min, p50, p90, p99, max");
        }
        let deadline = scenario.limits.deadline + WAY_MAX;
        let refused = latency
            .outcome
            .is_some_and(|outcome| outcome != Outcome::SignedIn);
        for (name, limit) in limits {
            let Some(Written(limit)) = limit else { continue };
            let field = format!("{path}.{name}");
            if limit.least > deadline {
                let shown = humantime::format_duration(scenario.limits.deadline);
                self.wrong(&field, format!("can never hold: the deadline is {shown}"));
            }
            if refused && limit.most < scenario.limits.floor {
                let shown = humantime::format_duration(scenario.limits.floor);
                self.wrong(
                    &field,
                    format!("can never hold: no refusal leaves before the floor of {shown}"),
                );
            }
        }
    }

    fn recovery(&mut self, path: &str, after: &str, from_begin: bool, within: Duration, scenario: &Scenario) {
        let field = format!("{path}.after");
        let names = || scenario.faults.iter().filter_map(|fault| fault.name.as_deref());
        let Some(fault) = scenario
            .faults
            .iter()
            .find(|fault| fault.name.as_deref() == Some(after))
        else {
            if !self.lost.faults {
                self.unknown(&field, "fault named", after, names());
            }
            return;
        };
        let counted = match (from_begin, fault.until) {
            (true, _) => fault.at,
            (false, Some(until)) => until,
            (false, None)
                if !fault.trouble.can_last() || matches!(fault.trouble, Trouble::Restart { .. }) =>
            {
                fault.at
            }
            (false, None) => {
                return self.wrong(
                    &field,
                    "never ends; expected `from_begin = true`, or a fault with `for`",
                );
            }
        };
        if counted + within >= scenario.duration {
            self.wrong(
                &format!("{path}.within"),
                "is after the scenario's end; expected less, so that it can be seen",
            );
        }
    }

    fn log(&mut self, scenario: &Scenario) {
        let log = &scenario.expect.log;
        let alone = scenario.tenants.iter().all(|tenant| tenant.agents.len() < 2);
        let wanted = [
            ("expect.log.hand_offs", log.hand_offs),
            ("expect.log.ambiguous_hand_offs", log.ambiguous_hand_offs),
        ];
        for (field, amount) in wanted {
            if amount.is_some_and(|amount| amount.0.wants_some()) && alone {
                self.wrong(field, "can never hold: no tenant has a second agent");
            }
        }
        if log
            .ambiguous_hand_offs
            .is_some_and(|amount| amount.0.wants_some())
            && !scenario.limits.hand_off
        {
            self.wrong(
                "expect.log.ambiguous_hand_offs",
                "can never hold: limits.hand_off is false",
            );
        }
        for code in log.codes.keys() {
            if !CODES.contains(&code.as_str()) {
                self.unknown(&format!("expect.log.codes.{code}"), "number", code, CODES);
            }
        }
        let directory = &scenario.expect.directory;
        for (field, amount) in [
            ("expect.directory.binds", directory.binds),
            ("expect.directory.binds_per_wrong", directory.binds_per_wrong),
            (
                "expect.directory.failures_per_account",
                directory.failures_per_account,
            ),
        ] {
            if amount.is_some_and(|amount| amount.0.share && !amount.0.is_none()) {
                self.wrong(
                    field,
                    "is a number, not a share; expected an amount such as \"<= 4\"",
                );
            }
        }
    }
}

/// Whether some load or attack sends sign-ins as `of` means them.
fn is_sent(of: &Of, tenant: Option<usize>, scenario: &Scenario) -> bool {
    let in_time =
        |span: &Span| of.from.is_none_or(|from| from.0 < span.to) && of.to.is_none_or(|to| to.0 > span.from);
    let theirs = |of_load: usize| tenant.is_none_or(|tenant| tenant == of_load);
    let loads = scenario.loads.iter().any(|load| {
        let stranger = of.typed == Some(Typed::Unknown);
        let state = of
            .users
            .is_none_or(|state| load.users.iter().any(|(of, _)| *of == state));
        let typed = of
            .typed
            .is_none_or(|typed| load.mix.iter().any(|(of, _)| *of == typed));
        theirs(load.tenant) && (state || stranger) && typed && in_time(&load.span)
    });
    let attacks = scenario.attacks.iter().any(|attack| {
        let typed = |of: Typed| match attack.kind {
            AttackKind::Spray if of == Typed::Guessed => attack.guessable > 0,
            AttackKind::Spray | AttackKind::Guess | AttackKind::Spellings => of == Typed::Wrong,
            AttackKind::Strangers => of == Typed::Unknown,
        };
        let state = of
            .users
            .is_none_or(|state| attack.user.is_none_or(|user| user.state == state));
        theirs(attack.tenant) && of.typed.is_none_or(typed) && state && in_time(&attack.span)
    });
    let singly = scenario.sign_ins.iter().any(|sign_in| {
        let state = |state| sign_in.whose.is_some_and(|person| person.state == state);
        let user = |user: &String| sign_in.whose.is_some_and(|person| person.to_string() == *user);
        tenant.is_none_or(|tenant| tenant == sign_in.tenant)
            && of.users.is_none_or(state)
            && of.user.as_ref().is_none_or(user)
            && of.typed.is_none_or(|typed| typed == sign_in.typed)
            && of.from.is_none_or(|from| from.0 <= sign_in.at)
            && of.to.is_none_or(|to| sign_in.at < to.0)
    });
    loads || attacks || singly
}

/// Why such sign-ins never come to this.
fn never(outcome: Outcome, of: &Of, scenario: &Scenario) -> Option<String> {
    if outcome.proves_the_password() {
        match of.typed {
            // An old one binds for an hour after it was changed.
            None | Some(Typed::Right | Typed::Old | Typed::Guessed) => {}
            Some(typed) => return Some(format!("a sign-in with {typed} never comes to {outcome} (I1)")),
        }
    }
    let tells = |state: State| {
        scenario
            .tenants
            .iter()
            .any(|tenant| state.with_right_password(tenant.tell_locked) == outcome)
    };
    let changes = scenario
        .faults
        .iter()
        .any(|fault| matches!(fault.trouble, Trouble::SetState { .. } | Trouble::Unlock { .. }));
    match (outcome, of.users) {
        (outcome, Some(state)) if outcome.proves_the_password() && !changes && !tells(state) => {
            Some(format!("users who are {state} never come to {outcome}"))
        }
        (Outcome::Locked, _) if scenario.tenants.iter().all(|tenant| !tenant.tell_locked) => {
            Some("no tenant tells its users that they are locked (tell_locked)".to_owned())
        }
        _ => None,
    }
}
