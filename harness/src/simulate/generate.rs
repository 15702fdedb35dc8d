//! A scenario from a seed: who is there, who signs in, what goes wrong.
//!
//! Drawn as swarm testing has it: each run leaves out half of what may go wrong, and half of what may be asked,
//! at random, since a run of everything at once hides what needs one thing alone.
//!
//! # Invariants
//! * The same seed gives the same scenario, and its file is read as the same.
//! * Every fault ends, and before the quiet part, if there is one; what is expected then is that everybody is
//!   judged.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_cloud::config::Limits;
use postern_kit::random::{SeededRandom, below, fraction};

use crate::scenario::{
    Agent, Amount, Answers, Attack, AttackKind, ByName, Controller, DiskStep, Expect, Fault, Items, Link,
    Load, Lockout, Mischief, Nemesis, Of, Order, Outcome, Person, Scenario, Span, State, Tenant, Trouble,
    Typed, World, Written, any, stream, weighed,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// When after the last fault everybody is judged again, on top of a sign-in's deadline: what an agent may need
/// to notice that its connection is dead and to make another one (80 s), and some.
const RECOVERY: Duration = Duration::from_secs(85);

/// Sign-ins of one load, at most: what a run of seconds takes.
const SIGN_INS_MAX: f64 = 1_500.0;

/// Names of tenants; no run has more.
const NAMES: [&str; 3] = ["contoso", "fabrikam", "adatum"];

/// The scenario of a seed.
pub fn generate(seed: u64) -> Scenario {
    let dice = Dice(stream(seed, "scenario", 0));
    let (duration, quiet, phases) = times(&dice);
    let limits = limits(&dice);
    let mut scenario = Scenario {
        title: format!("Simulation from seed {seed}"),
        about: format!("Drawn by `postern simulate --seed {seed}`."),
        worlds: vec![World::Sim],
        duration,
        quiet: if quiet {
            RECOVERY + limits.deadline + MINUTE
        } else {
            Duration::ZERO
        },
        limits,
        latency: Duration::from_millis(dice.one_of(&[1, 2, 2, 2, 10])),
        tenants: Vec::new(),
        links: Vec::new(),
        loads: Vec::new(),
        attacks: Vec::new(),
        sign_ins: Vec::new(),
        faults: Vec::new(),
        nemesis: None,
        expect: Expect::default(),
    };
    scenario.duration += scenario.quiet;
    tenants(&mut scenario, &dice);
    work(&mut scenario, &dice);
    links(&mut scenario, &dice);
    let planned = Dice(stream(seed, "faults", 0));
    faults(&mut scenario, &planned);
    scenario.nemesis = nemesis(&scenario, phases, &planned);
    if quiet {
        scenario.expect = everybody_is_judged(&scenario);
    }
    scenario
}

/// Draws.
struct Dice(SeededRandom);

impl Dice {
    /// A number of a range, its ends included.
    fn number(&self, least: u64, most: u64) -> u64 {
        least + below(&self.0, most - least + 1)
    }

    fn count(&self, least: u32, most: u32) -> u32 {
        u32::try_from(self.number(least.into(), most.into())).unwrap_or(most)
    }

    /// A time of a range, in whole seconds or, below ten, in milliseconds.
    fn time(&self, least: Duration, most: Duration) -> Duration {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let drawn = Duration::from_millis(self.number(ms(least), ms(most.max(least))));
        if least < 10 * SECOND {
            drawn
        } else {
            Duration::from_secs(drawn.as_secs())
        }
    }

    fn chance(&self, probability: f64) -> bool {
        fraction(&self.0) < probability
    }

    /// One of a list that is not empty.
    fn one_of<T: Clone + Default>(&self, things: &[T]) -> T {
        any(things, &self.0).unwrap_or_default()
    }
}

/// How long the loud part is, whether a quiet one follows it, and the phases of the nemesis.
fn times(dice: &Dice) -> (Duration, bool, Option<(Duration, Duration)>) {
    match dice.number(0, 9) {
        // Safety alone: it is loud to the end.
        0..=3 => (dice.time(60 * SECOND, 4 * MINUTE), false, None),
        4..=7 => (dice.time(45 * SECOND, 3 * MINUTE), true, None),
        _ => {
            let phases = (dice.time(20 * SECOND, MINUTE), dice.time(20 * SECOND, 3 * MINUTE));
            (dice.time(6 * MINUTE, 12 * MINUTE), true, Some(phases))
        }
    }
}

fn limits(dice: &Dice) -> Limits {
    let plain = Limits::default();
    let deadline = Duration::from_secs(dice.one_of(&[5, 8, 15, 15, 15, 20]));
    let attempt = Duration::from_secs(dice.one_of(&[1, 2, 4, 4, 4, 6]));
    Limits {
        deadline,
        attempt: attempt.min(deadline),
        budget: dice.one_of(&[2, 3, 4, 4, 4]),
        window: dice.one_of(&[plain.window, plain.window, 5 * MINUTE]),
        floor: Duration::from_millis(dice.one_of(&[0, 250, 250, 250, 1_000])),
        hand_off: dice.chance(0.85),
    }
}

fn tenants(scenario: &mut Scenario, dice: &Dice) {
    let count = dice.one_of(&[1, 1, 1, 2, 2, 3]);
    let (mut controllers, mut agents) = (0, 0);
    for name in NAMES.into_iter().take(count) {
        // Few hosts where there are several tenants: cost grows with their square.
        let most = if count == 1 { 3 } else { 2 };
        let own: Vec<_> = (0..dice.number(1, most))
            .map(|_| {
                controllers += 1;
                Controller {
                    name: format!("dc{controllers}"),
                    latency: latency(dice),
                }
            })
            .collect();
        let names: Vec<_> = own.iter().map(|controller| controller.name.clone()).collect();
        let theirs = (0..dice.number(1, most + 1)).map(|_| {
            agents += 1;
            Agent {
                name: format!("agent{agents}"),
                controllers: some_of(&names, dice),
            }
        });
        let agents = theirs.collect();
        scenario.tenants.push(Tenant {
            name: name.to_owned(),
            domain: format!("{name}.example.test"),
            tell_locked: dice.chance(0.7),
            users: users(dice),
            lockout: lockout(&scenario.limits, dice),
            controllers: own,
            agents,
        });
    }
}

/// What a controller takes for a bind: mostly nothing.
fn latency(dice: &Dice) -> Duration {
    match dice.number(0, 9) {
        0..=5 => Duration::ZERO,
        6..=8 => dice.time(Duration::from_millis(1), Duration::from_millis(80)),
        _ => dice.time(Duration::from_millis(200), Duration::from_millis(900)),
    }
}

/// All of them mostly, else some, in any order.
fn some_of(names: &[String], dice: &Dice) -> Vec<String> {
    if dice.chance(0.6) {
        return names.to_vec();
    }
    let mut rest = names.to_vec();
    let mut some = Vec::new();
    for _ in 0..dice.number(1, names.len() as u64) {
        let at = usize::try_from(below(&dice.0, rest.len() as u64)).unwrap_or(0);
        some.push(rest.remove(at));
    }
    some
}

fn users(dice: &Dice) -> BTreeMap<State, u32> {
    // Few, who come again and again, or so many that hardly anybody comes twice.
    let ok = if dice.chance(0.5) {
        dice.count(2, 20)
    } else {
        dice.count(200, 3_000)
    };
    let mut users = BTreeMap::from([(State::Ok, ok)]);
    for state in State::ALL.into_iter().filter(|state| *state != State::Ok) {
        if dice.chance(0.25) {
            users.insert(state, dice.count(1, 10));
        }
    }
    users
}

fn lockout(limits: &Limits, dice: &Dice) -> Lockout {
    let above = limits.budget + dice.count(1, 6);
    Lockout {
        threshold: if dice.chance(0.1) { 0 } else { above },
        window: dice.one_of(&[limits.window, limits.window, 2 * MINUTE]),
        duration: dice.one_of(&[30 * MINUTE, 2 * MINUTE, Duration::ZERO]),
    }
}

/// Loads through all of the time, one or two for each tenant, and attacks in the loud part of it.
fn work(scenario: &mut Scenario, dice: &Dice) {
    let (end, loud) = (scenario.duration, scenario.loud_until());
    let (mut loads, mut attacks) = (Vec::new(), Vec::new());
    for (place, tenant) in scenario.tenants.iter().enumerate() {
        loads.push(load(place, tenant, end, 0.8, dice));
        if dice.chance(0.3) {
            loads.push(load(place, tenant, end, 0.2, dice));
        }
        if dice.chance(0.3) {
            attacks.push(attack(place, loud, dice));
        }
    }
    scenario.loads = loads;
    scenario.attacks = attacks;
}

/// A load of which this share is of right passwords, at least.
fn load(place: usize, tenant: &Tenant, end: Duration, right: f64, dice: &Dice) -> Load {
    let busiest = (SIGN_INS_MAX / end.as_secs_f64()).min(20.0);
    let rate = |share: f64| (busiest * share * 100.0).round().max(1.0) / 100.0;
    let at_first = rate(fraction(&dice.0));
    let at_last = if dice.chance(0.3) {
        rate(fraction(&dice.0))
    } else {
        at_first
    };
    let others = [
        Typed::Wrong,
        Typed::Old,
        Typed::Anothers,
        Typed::Empty,
        Typed::TooLong,
        Typed::Nul,
        Typed::Unknown,
    ];
    let people: u32 = tenant.users.values().sum();
    let mut mix = BTreeMap::from([(Typed::Right, right)]);
    for typed in others {
        if dice.chance(0.4) && (people > 1 || typed != Typed::Anothers) {
            mix.insert(typed, f64::from(dice.count(1, 20)) / 100.0);
        }
    }
    let mut users = BTreeMap::from([(State::Ok, 10.0)]);
    for state in tenant.users.keys().filter(|state| **state != State::Ok) {
        if dice.chance(0.7) {
            users.insert(*state, 1.0);
        }
    }
    Load {
        tenant: place,
        span: Span {
            from: Duration::ZERO,
            to: end,
            rate_from: at_first,
            rate_to: at_last,
        },
        users: users.into_iter().collect(),
        order: if dice.chance(0.4) {
            Order::Turns
        } else {
            Order::Random
        },
        mix: mix.into_iter().collect(),
        clients: dice.one_of(&[1, 1, 2, 3]),
    }
}

fn attack(place: usize, loud: Duration, dice: &Dice) -> Attack {
    let kinds = [
        (AttackKind::Spray, 1.0),
        (AttackKind::Guess, 1.0),
        (AttackKind::Spellings, 1.0),
        (AttackKind::Strangers, 1.0),
    ];
    let kind = weighed(&kinds, &dice.0).unwrap_or(AttackKind::Spray);
    let user = match kind {
        AttackKind::Guess | AttackKind::Spellings => Some(Person {
            state: State::Ok,
            number: 1,
        }),
        AttackKind::Spray | AttackKind::Strangers => None,
    };
    let from = dice.time(SECOND, loud / 2);
    let rate = f64::from(dice.count(1, 30)) / 10.0;
    Attack {
        kind,
        tenant: place,
        span: Span {
            from,
            to: dice.time(from + SECOND, loud),
            rate_from: rate,
            rate_to: rate,
        },
        user,
        clients: 1,
        guessable: 0,
        list: 100,
    }
}

/// Some links are slow.
fn links(scenario: &mut Scenario, dice: &Dice) {
    let mut links = Vec::new();
    let mut slow = |a: &str, b: &str, probability, most| {
        if dice.chance(probability) {
            links.push(Link {
                between: [a.to_owned(), b.to_owned()],
                latency: dice.time(Duration::from_millis(5), Duration::from_millis(most)),
            });
        }
    };
    for agent in scenario.tenants.iter().flat_map(|tenant| &tenant.agents) {
        slow(&agent.name, "cloud", 0.2, 120);
        for controller in &agent.controllers {
            slow(&agent.name, controller, 0.1, 80);
        }
    }
    for client in 1..=scenario.clients() {
        slow(&format!("client{client}"), "cloud", 0.15, 250);
    }
    scenario.links = links;
}

/// What a nemesis has no word for: what administrators do, and troubles of clients and single hosts.
fn faults(scenario: &mut Scenario, dice: &Dice) {
    let tenants = scenario.tenants.clone();
    let mut agents = tenants
        .iter()
        .flat_map(|tenant| &tenant.agents)
        .map(|agent| agent.name.clone());
    let mut controllers = tenants.iter().flat_map(|tenant| &tenant.controllers);
    let (agent, controller) = (
        agents.next(),
        controllers.next().map(|controller| controller.name.clone()),
    );
    for tenant in &tenants {
        for _ in 0..dice.one_of(&[0, 0, 1, 3]) {
            let trouble = of_a_user(tenant, dice);
            plan(scenario, trouble, dice);
        }
    }
    let client = || format!("client{}", dice.number(1, scenario.clients().into()));
    let between = [client(), "cloud".to_owned()];
    let host = client();
    let rare = [
        agent.clone().map(|agent| Trouble::TornState {
            agent,
            after: any(&[DiskStep::Write, DiskStep::Fsync, DiskStep::Rename], &dice.0)
                .unwrap_or(DiskStep::Write),
        }),
        agent.clone().map(|agent| Trouble::Partition {
            between: [agent, "cloud".to_owned()],
            one_way: false,
            lost: true,
        }),
        agent.map(|host| Trouble::Isolate { host }),
        controller.map(|host| Trouble::Restart { host }),
        Some(Trouble::Restart {
            host: "cloud".to_owned(),
        }),
        Some(Trouble::Partition {
            between,
            one_way: dice.chance(0.5),
            lost: dice.chance(0.25),
        }),
        Some(Trouble::Crash { host }),
    ];
    for trouble in rare.into_iter().flatten() {
        if dice.chance(0.12) {
            plan(scenario, trouble, dice);
        }
    }
}

fn of_a_user(tenant: &Tenant, dice: &Dice) -> Trouble {
    let people: Vec<_> = tenant.people().collect();
    let user = any(&people, &dice.0)
        .map(|person| person.to_string())
        .unwrap_or_default();
    let of = || Some(tenant.name.clone());
    match dice.number(0, 7) {
        0..=3 => Trouble::ChangePassword { user, tenant: of() },
        4 | 5 => Trouble::SetState {
            user,
            tenant: of(),
            state: any(&State::ALL, &dice.0).unwrap_or_default(),
        },
        6 => Trouble::Unlock { user, tenant: of() },
        _ => Trouble::DeleteUser { user, tenant: of() },
    }
}

/// Puts a fault at some time of the loud part, if nothing stands against it.
fn plan(scenario: &mut Scenario, trouble: Trouble, dice: &Dice) {
    let loud = scenario.loud_until();
    let at = dice.time(SECOND, loud - 2 * SECOND);
    let lasts = dice.time(SECOND / 2, 20 * SECOND).min(loud - at);
    let fault = Fault {
        at,
        until: trouble.can_last().then(|| at + lasts),
        name: None,
        trouble,
    };
    if !scenario.faults.iter().any(|other| other.collides(&fault)) {
        scenario.faults.push(fault);
    }
}

/// Half of what may go wrong, each with a weight of its own.
fn nemesis(scenario: &Scenario, phases: Option<(Duration, Duration)>, dice: &Dice) -> Option<Nemesis> {
    // Some runs are without it: what a system does by itself has to be right as well.
    if dice.chance(0.1) {
        return None;
    }
    let mut weights = BTreeMap::new();
    for mischief in Mischief::ALL {
        // Three sudden deaths of the cloud close all accounts: rarely that.
        let probability = if mischief == Mischief::CrashCloud {
            0.2
        } else {
            0.4
        };
        if dice.chance(probability) {
            weights.insert(mischief, f64::from(dice.count(1, 4)));
        }
    }
    let shortest = dice.time(SECOND / 5, 2 * SECOND);
    (!weights.is_empty()).then(|| Nemesis {
        every: dice.time(2 * SECOND, 20 * SECOND),
        each: false,
        shortest,
        longest: dice.time(shortest + SECOND, 30 * SECOND).min(scenario.duration),
        at_once: usize::try_from(dice.number(1, 3)).unwrap_or(1),
        phases,
        weights: weights.into_iter().collect(),
    })
}

/// In the quiet part, as soon as everything has had its time to recover, everybody with a right password is
/// judged. By what, the model says: budgets may be used up.
fn everybody_is_judged(scenario: &Scenario) -> Expect {
    let none = Written(Amount {
        least: 0.0,
        most: 0.0,
        share: false,
    });
    let judged = Answers {
        of: Of {
            typed: Some(Typed::Right),
            from: Some(Written(
                scenario.loud_until() + RECOVERY + scenario.limits.deadline,
            )),
            ..Of::default()
        },
        are: ByName(BTreeMap::from([
            (Outcome::Unavailable, none),
            (Outcome::Busy, none),
        ])),
        count: None,
        unanswered: Some(none),
    };
    Expect {
        answers: Items(vec![Some(judged)]),
        ..Expect::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::{Schedule, parse, text};

    #[test]
    fn each_seed_gives_a_scenario_that_a_file_says_as_well() {
        for seed in 0..300 {
            let scenario = generate(seed);
            let file = text(&scenario).unwrap();
            let read =
                parse("f", &file).unwrap_or_else(|mistakes| panic!("{seed}: {}", mistakes.render(false)));
            assert_eq!(format!("{read:?}"), format!("{scenario:?}"), "{seed}");
            assert_eq!(format!("{:?}", generate(seed)), format!("{scenario:?}"), "{seed}");
            assert!(scenario.hosts().len() <= 20, "{seed}: {:?}", scenario.hosts());
        }
    }

    #[test]
    fn every_fault_ends_before_it_is_quiet_and_somebody_comes_then() {
        let mut quiet = 0;
        for seed in 0..100 {
            let scenario = generate(seed);
            let schedule = Schedule::draw(&scenario, seed);
            for fault in &schedule.faults {
                assert!(
                    fault.until.is_some() || !fault.trouble.can_last(),
                    "{seed}: {fault:?}"
                );
                assert!(
                    fault.until.unwrap_or(fault.at) <= scenario.loud_until(),
                    "{seed}: {fault:?}"
                );
            }
            for answers in scenario.expect.answers.0.iter().flatten() {
                let from = answers.of.from.unwrap().0;
                let late = schedule.arrivals.iter().filter(|arrival| arrival.at >= from);
                quiet += usize::from(late.count() > 0);
            }
        }
        assert!(quiet > 40, "{quiet}");
    }

    #[test]
    fn everything_that_may_go_wrong_does_in_some_runs_and_does_not_in_others() {
        let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..60 {
            let nemesis = generate(seed).nemesis;
            let weights = nemesis.map(|nemesis| nemesis.weights).unwrap_or_default();
            let drawn: BTreeSet<_> = weights.into_iter().map(|(mischief, _)| mischief).collect();
            without.extend(Mischief::ALL.into_iter().filter(|one| !drawn.contains(one)));
            with.extend(drawn);
        }
        let all = BTreeSet::from(Mischief::ALL);
        assert_eq!((with, without), (all.clone(), all));
    }
}
