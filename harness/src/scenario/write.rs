//! Writes a scenario down as a file that is read as the very same scenario, so that what a programme made
//! up or made smaller is a file like any other.

use std::fmt::Write as _;
use std::time::Duration;

use toml::{Table, Value};

use super::fault::{self, Trouble};
use super::file::{self, File, Flow, Items, Several, Which};
use super::plan::{Agent, Attack, Controller, Fault, Load, Nemesis, Scenario, SignIn, Span, Tenant};
use super::units::{Rate, Written};

/// The fields that begin a section, in this order; the others follow by name.
const FIRST: [&str; 14] = [
    "title", "about", "worlds", "duration", "quiet", "latency", "name", "at", "for", "kind", "tenant", "of",
    "from", "to",
];

/// The sections, in the order in which a reader wants them.
const SECTIONS: [&str; 9] = [
    "limits", "tenant", "link", "load", "attack", "fault", "nemesis", "expect", "sign_in",
];

/// The file of a scenario: parsed again, it is the same one.
///
/// # Errors
/// None that is known: all that a scenario has, TOML has words for.
pub fn text(scenario: &Scenario) -> Result<String, toml::ser::Error> {
    let mut file = Table::try_from(written(scenario))?;
    prune(&mut file);
    let sign_ins = file.remove("sign_in");
    let mut sections: Vec<_> = SECTIONS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), file.remove(name)?)))
        .collect();
    // What an expectation says of one thing is a section of its own.
    if let Some((_, Value::Table(expect))) = sections.iter_mut().find(|(name, _)| name == "expect") {
        let expect = std::mem::take(expect);
        sections.extend(
            expect
                .into_iter()
                .map(|(name, value)| (format!("expect.{name}"), value)),
        );
    }
    let mut text = String::new();
    fields(&mut text, file);
    // Before the first section, where a list of the file's own has to be.
    if let Some(Value::Array(sign_ins)) = sign_ins {
        text.push_str("sign_in = [\n");
        for sign_in in sign_ins {
            // A text takes any amount of writing.
            let _ = writeln!(text, "  {sign_in},");
        }
        text.push_str("]\n");
    }
    for (name, value) in sections {
        section(&mut text, &name, value);
    }
    Ok(text)
}

fn section(text: &mut String, name: &str, value: Value) {
    match value {
        Value::Array(items) => {
            for item in items {
                if let Value::Table(table) = item {
                    let _ = writeln!(text, "\n[[{name}]]");
                    fields(text, table);
                }
            }
        }
        Value::Table(table) if !table.is_empty() => {
            let _ = writeln!(text, "\n[{name}]");
            fields(text, table);
        }
        _ => {}
    }
}

fn fields(text: &mut String, table: Table) {
    let rank = |name: &String| {
        FIRST
            .iter()
            .position(|first| first == name)
            .unwrap_or(FIRST.len())
    };
    let mut fields: Vec<_> = table.into_iter().collect();
    fields.sort_by_key(|(name, _)| (rank(name), name.clone()));
    for (name, value) in fields {
        // Codes are names that begin with a digit, which TOML takes as they are.
        let _ = writeln!(text, "{name} = {value}");
    }
}

/// Takes out what says nothing: empty tables and lists.
fn prune(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => prune(inner),
            Value::Array(items) => items.iter_mut().filter_map(Value::as_table_mut).for_each(prune),
            _ => {}
        }
    }
    table.retain(|name, value| match value {
        Value::Table(inner) => !inner.is_empty(),
        Value::Array(items) => !items.is_empty(),
        // Nothing to say about it.
        Value::String(text) => !(name == "about" && text.is_empty()),
        _ => true,
    });
}

/// The same as it stands in a file: most that can be left out is said, since defaults may change.
fn written(scenario: &Scenario) -> File {
    let limits = &scenario.limits;
    let tenant = |place: usize| scenario.tenants.get(place).map(|tenant| tenant.name.clone());
    File {
        title: Some(scenario.title.clone()),
        about: Some(scenario.about.clone()),
        worlds: Some(scenario.worlds.clone()),
        duration: time(scenario.duration),
        quiet: time(scenario.quiet).filter(|quiet| !quiet.0.is_zero()),
        limits: file::Limits {
            deadline: time(limits.deadline),
            attempt: time(limits.attempt),
            budget: Some(limits.budget),
            window: time(limits.window),
            floor: time(limits.floor),
            hand_off: Some(limits.hand_off),
        },
        latency: time(scenario.latency),
        tenant: scenario.tenants.iter().map(of_tenant).collect(),
        link: scenario
            .links
            .iter()
            .map(|link| file::Link {
                between: link.between.clone(),
                latency: Written(link.latency),
            })
            .collect(),
        load: scenario
            .loads
            .iter()
            .map(|load| of_load(load, tenant(load.tenant)))
            .collect(),
        attack: scenario
            .attacks
            .iter()
            .map(|attack| of_attack(attack, tenant(attack.tenant)))
            .collect(),
        sign_in: (scenario.sign_ins.iter())
            .map(|sign_in| of_sign_in(sign_in, scenario))
            .collect(),
        fault: scenario.faults.iter().map(of_fault).collect(),
        nemesis: scenario
            .nemesis
            .as_ref()
            .map(|nemesis| of_nemesis(nemesis, scenario)),
        expect: scenario.expect.clone(),
    }
}

fn time(time: Duration) -> Option<Written<Duration>> {
    Some(Written(time))
}

fn of_tenant(tenant: &Tenant) -> file::Tenant {
    let controller = |controller: &Controller| file::Controller {
        latency: time(controller.latency).filter(|latency| !latency.0.is_zero()),
    };
    let own: Vec<_> = tenant
        .controllers
        .iter()
        .map(|controller| controller.name.clone())
        .collect();
    let agent = |agent: &Agent| file::Agent {
        controllers: (agent.controllers != own).then(|| agent.controllers.clone()),
    };
    file::Tenant {
        name: tenant.name.clone(),
        domain: Some(tenant.domain.clone())
            .filter(|domain| *domain != format!("{}.example.test", tenant.name)),
        tell_locked: Some(tenant.tell_locked),
        users: file::ByName(
            tenant
                .users
                .iter()
                .map(|(state, count)| (*state, file::Count(*count)))
                .collect(),
        ),
        lockout: file::Lockout {
            threshold: Some(tenant.lockout.threshold),
            window: time(tenant.lockout.window),
            duration: time(tenant.lockout.duration),
        },
        controllers: Some(several(
            tenant.controllers.iter().map(controller),
            |controller: &file::Controller| controller.latency.is_none(),
        )),
        agents: Some(several(tenant.agents.iter().map(agent), |agent: &file::Agent| {
            agent.controllers.is_none()
        })),
    }
}

/// How many, if they are all plain; else one by one.
fn several<T>(all: impl Iterator<Item = T>, plain: impl Fn(&T) -> bool) -> Several<T> {
    let all: Vec<_> = all.collect();
    match u32::try_from(all.len()) {
        Ok(count) if (1..=COUNT_MAX).contains(&count) && all.iter().all(plain) => Several::Count(count),
        _ => Several::Listed(all.into_iter().collect::<Items<T>>()),
    }
}

/// Most that are only counted.
const COUNT_MAX: u32 = 32;

fn flow(span: &Span) -> Flow {
    let rate = |per_second| Written(Rate { per_second });
    if span.rate_from == span.rate_to {
        Flow::Constant(rate(span.rate_from))
    } else {
        Flow::Ramp(file::Ramp {
            from: rate(span.rate_from),
            to: rate(span.rate_to),
        })
    }
}

fn weights<T: Copy + Ord>(weights: &[(T, f64)]) -> file::ByName<T, file::Weight> {
    file::ByName(
        weights
            .iter()
            .map(|(what, weight)| (*what, file::Weight(*weight)))
            .collect(),
    )
}

fn of_load(load: &Load, tenant: Option<String>) -> file::Load {
    file::Load {
        tenant,
        from: time(load.span.from),
        to: time(load.span.to),
        rate: flow(&load.span),
        users: Some(Which::Several(weights(&load.users))),
        order: load.order,
        mix: Some(weights(&load.mix)),
        clients: Some(load.clients),
    }
}

fn of_attack(attack: &Attack, tenant: Option<String>) -> file::Attack {
    file::Attack {
        kind: attack.kind,
        tenant,
        from: time(attack.span.from),
        to: time(attack.span.to),
        rate: flow(&attack.span),
        user: attack.user.map(|person| person.to_string()),
        clients: Some(attack.clients),
        guessable: (attack.guessable > 0).then_some(attack.guessable),
        list: (attack.kind == super::AttackKind::Spray).then_some(attack.list),
    }
}

fn of_sign_in(sign_in: &SignIn, scenario: &Scenario) -> file::SignIn {
    let tenant = scenario.tenants.get(sign_in.tenant);
    let own = sign_in
        .whose
        .zip(tenant)
        .map(|(person, tenant)| tenant.username(person));
    file::SignIn {
        at: Written(sign_in.at),
        tenant: tenant
            .filter(|_| scenario.tenants.len() > 1)
            .map(|tenant| tenant.name.clone()),
        user: sign_in.whose.map(|person| person.to_string()),
        name: (own.as_ref() != Some(&sign_in.username)).then(|| sign_in.username.clone()),
        typed: Some(sign_in.typed),
        number: (sign_in.number > 0).then_some(sign_in.number),
        another: sign_in.another.map(|person| person.to_string()),
        client: (sign_in.client > 1).then_some(sign_in.client),
    }
}

fn of_fault(planned: &Fault) -> fault::Fault {
    let lasts = planned
        .until
        .map(|until| Written(until.saturating_sub(planned.at)));
    let trouble: Trouble = planned.trouble.clone();
    fault::Fault {
        at: Written(planned.at),
        lasts,
        name: planned.name.clone(),
        trouble,
    }
}

fn of_nemesis(nemesis: &Nemesis, scenario: &Scenario) -> file::Nemesis {
    let agents = scenario.tenants.iter().map(|tenant| tenant.agents.len());
    let agents = u32::try_from(agents.sum::<usize>()).unwrap_or(u32::MAX).max(1);
    let each = if nemesis.each { agents } else { 1 };
    file::Nemesis {
        every: Written(nemesis.every.saturating_mul(each)),
        each: nemesis.each.then_some(true),
        shortest: time(nemesis.shortest),
        longest: time(nemesis.longest),
        at_once: u32::try_from(nemesis.at_once).ok(),
        loud: nemesis.phases.and_then(|(loud, _)| time(loud)),
        quiet: nemesis.phases.and_then(|(_, quiet)| time(quiet)),
        weights: weights(&nemesis.weights),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::cli::{read, scenario_files};
    use crate::scenario::{Schedule, parse};

    fn all() -> Vec<Scenario> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files = scenario_files(&folder).unwrap();
        files.iter().map(|file| read(file).unwrap().unwrap()).collect()
    }

    #[track_caller]
    fn again(scenario: &Scenario) -> Scenario {
        let text = text(scenario).unwrap();
        parse(&scenario.title, &text).unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
    }

    #[test]
    fn every_file_of_the_house_is_the_same_after_it_was_written() {
        for scenario in all() {
            assert_eq!(format!("{:?}", again(&scenario)), format!("{scenario:?}"));
        }
    }

    #[test]
    fn a_schedule_that_is_spelled_out_is_drawn_again_by_any_seed() {
        let drawn_at_random = all();
        let small = drawn_at_random.iter().filter(|scenario| {
            let loads = scenario.loads.iter().map(|load| load.span.count());
            loads
                .chain(scenario.attacks.iter().map(|attack| attack.span.count()))
                .sum::<f64>()
                < 4_000.0
        });
        let mut seen = 0;
        for scenario in small {
            let schedule = Schedule::draw(scenario, 7);
            let mut spelled_out = schedule.spelled_out(scenario);
            // What nobody happened to do cannot be expected.
            spelled_out.expect = Default::default();
            let repeated = Schedule::draw(&again(&spelled_out), 8);
            assert_eq!(repeated.arrivals, schedule.arrivals, "{}", scenario.title);
            assert_eq!(repeated.faults, schedule.faults, "{}", scenario.title);
            assert_eq!(repeated.actions, schedule.actions, "{}", scenario.title);
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }
}
