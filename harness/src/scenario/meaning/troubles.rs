//! What goes wrong, by plan and by chance.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reader;
use crate::scenario::fault::{self, Misdeed, StoreFailure, Trouble};
use crate::scenario::file;
use crate::scenario::plan::{Fault, Nemesis, Scenario};
use crate::scenario::units::Written;

/// Furthest that a clock jumps: beyond the life of every certificate of ours but the root's.
const CLOCK_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Faults of a nemesis at once, at most; as the schema has it.
const AT_ONCE_MAX: usize = 16;

impl Reader<'_> {
    pub(super) fn faults(&mut self, faults: &file::Items<fault::Fault>, scenario: &Scenario) -> Vec<Fault> {
        let mut names = BTreeSet::new();
        let mut all: Vec<Fault> = Vec::new();
        for (at, written) in faults.read() {
            let path = format!("fault[{at}]");
            if let Some(name) = &written.name
                && !names.insert(name.clone())
            {
                self.wrong(
                    &format!("{path}.name"),
                    "is another fault's as well; expected one of its own",
                );
            }
            let until = self.fault_time(&path, written, scenario);
            for (field, name) in written.trouble.hosts() {
                self.host(&format!("{path}.{field}"), name, scenario);
            }
            self.trouble(&path, &written.trouble, scenario);
            if self.for_lab {
                self.lab_trouble(&path, &written.trouble);
            }
            let fault = Fault {
                at: written.at.0,
                until,
                name: written.name.clone(),
                trouble: self.with_tenant(&path, written.trouble.clone(), scenario),
            };
            if let Some(other) = all.iter().find(|other| other.collides(&fault)) {
                let began = humantime::format_duration(other.at);
                let problem = format!(
                    "the same host or link is in trouble already, since {began}; expected a time when it is not"
                );
                self.wrong(&format!("{path}.at"), problem);
            }
            all.push(fault);
        }
        all
    }

    /// When a fault ends.
    fn fault_time(&mut self, path: &str, fault: &fault::Fault, scenario: &Scenario) -> Option<Duration> {
        let (at, loud) = (fault.at.0, scenario.loud_until());
        let shown = humantime::format_duration(loud);
        if at >= scenario.duration {
            let end = humantime::format_duration(scenario.duration);
            self.wrong(
                &format!("{path}.at"),
                format!("is after the scenario's end at {end}"),
            );
        } else if at >= loud {
            self.wrong(
                &format!("{path}.at"),
                format!("is in the quiet part; expected a time before {shown}"),
            );
        }
        let Some(Written(lasts)) = fault.lasts else {
            if matches!(fault.trouble, Trouble::Flapping { .. } | Trouble::Hold { .. }) {
                self.wrong(
                    &format!("{path}.for"),
                    "missing; expected how long it lasts, such as \"10s\"",
                );
            }
            return None;
        };
        let field = format!("{path}.for");
        if !fault.trouble.can_last() {
            self.wrong(&field, "is for what lasts; this is over at once");
        } else if lasts.is_zero() {
            self.wrong(
                &field,
                "expected more than nothing, or no `for` where it lasts until the end",
            );
        } else if at < loud && at + lasts > loud {
            self.wrong(
                &field,
                format!("lasts into the quiet part; expected an end at {shown} at the latest"),
            );
        }
        Some(at + lasts)
    }

    /// What fields of a kind of fault do not go together.
    fn trouble(&mut self, path: &str, trouble: &Trouble, scenario: &Scenario) {
        match trouble {
            Trouble::Partition { between, .. } | Trouble::Hold { between } => {
                self.ends(&format!("{path}.between"), between, scenario);
            }
            Trouble::Delay { between, latency } => {
                self.ends(&format!("{path}.between"), between, scenario);
                self.some_time(&format!("{path}.latency"), *latency);
            }
            Trouble::Flapping { between, down, up } => {
                self.ends(&format!("{path}.between"), between, scenario);
                self.some_time(&format!("{path}.down"), *down);
                self.some_time(&format!("{path}.up"), *up);
            }
            Trouble::Clock { host, by } => {
                if host.starts_with("client") {
                    self.wrong(
                        &format!("{path}.host"),
                        "no client looks at its clock; expected another host",
                    );
                }
                if by.0.by > CLOCK_MAX {
                    self.wrong(&format!("{path}.by"), "is more than a year; expected less");
                }
            }
            Trouble::Store { fails, delay } => {
                let slow = *fails == StoreFailure::Slow;
                self.only_if_slow(&format!("{path}.delay"), *delay, slow);
            }
            Trouble::Directory {
                controller,
                does,
                delay,
                binds,
            } => {
                self.of_kind(&format!("{path}.controller"), controller, "dc", scenario);
                self.only_if_slow(&format!("{path}.delay"), *delay, *does == Misdeed::Slow);
                let to_binds = match does {
                    Misdeed::Slow | Misdeed::Refuse | Misdeed::Ignore | Misdeed::Disconnect => false,
                    Misdeed::Hang
                    | Misdeed::ResetUnjudged
                    | Misdeed::ResetJudged
                    | Misdeed::Busy
                    | Misdeed::Unavailable
                    | Misdeed::Other
                    | Misdeed::StrongerAuth
                    | Misdeed::OddCode => true,
                };
                if binds.is_some() && !to_binds {
                    self.wrong(&format!("{path}.binds"), "is for what happens to single binds");
                }
            }
            Trouble::DrainAgent { agent }
            | Trouble::RevokeAgent { agent }
            | Trouble::TornState { agent, .. } => {
                self.of_kind(&format!("{path}.agent"), agent, "agent", scenario);
            }
            Trouble::Isolate { .. }
            | Trouble::Crash { .. }
            | Trouble::Restart { .. }
            | Trouble::Stop { .. }
            | Trouble::ChangePassword { .. }
            | Trouble::SetState { .. }
            | Trouble::Unlock { .. }
            | Trouble::DeleteUser { .. } => {}
        }
    }

    fn some_time(&mut self, field: &str, time: Written<Duration>) {
        if time.0.is_zero() {
            self.wrong(field, "expected more than nothing");
        }
    }

    fn only_if_slow(&mut self, field: &str, delay: Option<Written<Duration>>, slow: bool) {
        match (delay, slow) {
            (None, true) => self.wrong(field, "missing; expected how much slower, such as \"500ms\""),
            (Some(_), false) => self.wrong(field, "is for \"slow\" alone"),
            (Some(delay), true) => self.some_time(field, delay),
            (None, false) => {}
        }
    }

    /// A host that is there must be of a kind.
    fn of_kind(&mut self, field: &str, name: &str, kind: &str, scenario: &Scenario) {
        if self.is_host(scenario, name) && !name.starts_with(kind) {
            let others: Vec<_> = scenario
                .hosts()
                .into_iter()
                .filter(|host| host.starts_with(kind))
                .collect();
            let problem = format!("`{name}` is none; expected one of {}", others.join(", "));
            self.wrong(field, problem);
        }
    }

    /// The same with the tenant of its user named, if it is about one.
    fn with_tenant(&mut self, path: &str, mut trouble: Trouble, scenario: &Scenario) -> Trouble {
        let Some((user, tenant)) = trouble.user() else {
            return trouble;
        };
        let found = self.tenant(&format!("{path}.tenant"), tenant, scenario);
        if let Some(found) = found {
            self.person(&format!("{path}.user"), user, found, scenario);
        }
        let name = found
            .and_then(|at| scenario.tenants.get(at))
            .map(|tenant| tenant.name.clone());
        if let Trouble::ChangePassword { tenant, .. }
        | Trouble::SetState { tenant, .. }
        | Trouble::Unlock { tenant, .. }
        | Trouble::DeleteUser { tenant, .. } = &mut trouble
        {
            *tenant = name;
        }
        trouble
    }

    pub(super) fn nemesis(&mut self, nemesis: &file::Nemesis, scenario: &Scenario) -> Option<Nemesis> {
        let some = Duration::from_millis(100)..=scenario.duration;
        let second = Duration::from_secs(1);
        let every = self.time("nemesis.every", Some(nemesis.every), some.clone(), second);
        let shortest = self.time("nemesis.shortest", nemesis.shortest, some.clone(), second);
        let longest = self.time(
            "nemesis.longest",
            nemesis.longest,
            some,
            shortest.max(10 * second),
        );
        if shortest > longest {
            self.wrong(
                "nemesis.longest",
                "is less than `shortest`; expected at least as much",
            );
        }
        let phases = match (nemesis.loud, nemesis.quiet) {
            (Some(loud), Some(quiet)) => Some((loud.0, quiet.0)),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong(
                    "nemesis.quiet",
                    "missing; expected how long it is quiet after each loud phase",
                );
                None
            }
            (None, Some(_)) => {
                self.wrong(
                    "nemesis.loud",
                    "missing; expected how long it is loud before each quiet phase",
                );
                None
            }
        };
        let loud = phases.map_or(scenario.loud_until(), |(loud, _)| loud);
        if shortest > loud {
            self.wrong(
                "nemesis.shortest",
                "is longer than a loud phase, so that nothing fits; expected less",
            );
        }
        let above = nemesis.weights.0.iter().filter(|(_, weight)| weight.0 > 0.0);
        let weights: Vec<_> = above.map(|(mischief, weight)| (*mischief, weight.0)).collect();
        if weights.is_empty() {
            self.wrong(
                "nemesis.weights",
                "no weight is above 0; expected some, such as { crash_agent = 1 }",
            );
            return None;
        }
        let each = nemesis.each.unwrap_or(false);
        let agents = scenario
            .tenants
            .iter()
            .map(|tenant| tenant.agents.len())
            .sum::<usize>();
        let agents = u32::try_from(agents).unwrap_or(u32::MAX).max(1);
        Some(Nemesis {
            every: if each { every / agents } else { every },
            each,
            shortest,
            longest: longest.max(shortest),
            at_once: nemesis
                .at_once
                .map_or(if each { AT_ONCE_MAX } else { 1 }, |count| count as usize),
            phases,
            weights,
        })
    }
}
