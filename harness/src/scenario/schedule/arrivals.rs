//! Sign-ins: when, whose, what is typed.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_kit::random::{Random, below, fraction};

use super::{Arrival, Attempted, stream};
use crate::scenario::fault::Trouble;
use crate::scenario::file::{AttackKind, Order};
use crate::scenario::plan::{Attack, Fault, Load, Person, Scenario, SignIn, Span, Tenant};
use crate::scenario::words::{State, Typed};

/// Names that nobody has, of which a load draws: more than anybody guesses twice soon.
const STRANGERS: u64 = 10_000;

pub(super) fn draw(scenario: &Scenario, faults: &[Fault], seed: u64) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (at, load) in scenario.loads.iter().enumerate() {
        if let Some(tenant) = scenario.tenants.get(load.tenant) {
            let changes = Changes::of(tenant, faults);
            all.extend(of_load(load, tenant, &changes, &stream(seed, "load", at)));
        }
    }
    for (at, attack) in scenario.attacks.iter().enumerate() {
        if let Some(tenant) = scenario.tenants.get(attack.tenant) {
            let changes = Changes::of(tenant, faults);
            let weak = Weak::draw(attack, tenant, &stream(seed, "weak", at));
            all.extend(of_attack(
                attack,
                tenant,
                (&changes, &weak),
                &stream(seed, "attack", at),
            ));
        }
    }
    let changes = scenario.tenants.iter().map(|tenant| Changes::of(tenant, faults));
    let changes: Vec<_> = changes.collect();
    for sign_in in &scenario.sign_ins {
        if let Some(changes) = changes.get(sign_in.tenant) {
            all.push(single(sign_in, changes));
        }
    }
    all
}

/// What was written one by one.
fn single(sign_in: &SignIn, changes: &Changes) -> Arrival {
    let nobodys = Attempted::Nobodys(sign_in.number);
    let before = |person| changes.before(person, sign_in.at);
    let own = |of: fn(Person, u32) -> Attempted, person| of(person, before(person));
    let password = match (sign_in.typed, sign_in.whose) {
        (Typed::Right | Typed::Guessed, Some(person)) => own(Attempted::Of, person),
        (Typed::Nul, Some(person)) => own(Attempted::OfWithNul, person),
        (Typed::Old, Some(person)) => match before(person).checked_sub(1) {
            Some(old) => Attempted::Of(person, old),
            None => nobodys,
        },
        (Typed::Anothers, _) => sign_in.another.map_or(nobodys, |other| own(Attempted::Of, other)),
        (Typed::Empty, _) => Attempted::Empty,
        (Typed::TooLong, _) => Attempted::TooLong,
        (Typed::Wrong | Typed::Unknown, _)
        | (Typed::Right | Typed::Guessed | Typed::Nul | Typed::Old, None) => nobodys,
    };
    Arrival {
        at: sign_in.at,
        client: sign_in.client,
        tenant: sign_in.tenant,
        whose: sign_in.whose,
        username: sign_in.username.clone(),
        typed: sign_in.typed,
        password,
    }
}

/// A drawn sign-in as it is written: [`single`] makes the same of it, under the same changes of passwords.
pub(super) fn written(arrival: &Arrival) -> SignIn {
    let (number, another) = match (arrival.password, arrival.typed) {
        (Attempted::Nobodys(number), _) => (number, None),
        (Attempted::Of(other, _), Typed::Anothers) => (0, Some(other)),
        (Attempted::Of(..) | Attempted::OfWithNul(..) | Attempted::Empty | Attempted::TooLong, _) => {
            (0, None)
        }
    };
    SignIn {
        at: arrival.at,
        tenant: arrival.tenant,
        whose: arrival.whose,
        username: arrival.username.clone(),
        typed: arrival.typed,
        number,
        another,
        client: arrival.client,
    }
}

/// When passwords of a tenant's users change.
struct Changes(Vec<(Duration, String)>);

impl Changes {
    fn of(tenant: &Tenant, faults: &[Fault]) -> Self {
        let changes = faults.iter().filter_map(|fault| match &fault.trouble {
            Trouble::ChangePassword { user, tenant: of } if of.as_ref() == Some(&tenant.name) => {
                Some((fault.at, user.clone()))
            }
            _ => None,
        });
        Self(changes.collect())
    }

    /// How often a user's password was changed by then.
    fn before(&self, person: Person, at: Duration) -> u32 {
        let name = person.to_string();
        let mine = self.0.iter().filter(|(when, user)| *when <= at && *user == name);
        u32::try_from(mine.count()).unwrap_or(u32::MAX)
    }
}

/// Times of independent events (a Poisson process) whose rate changes in a straight line.
fn times(span: &Span, random: &dyn Random) -> Vec<Duration> {
    let lasts = span.to.saturating_sub(span.from).as_secs_f64();
    let highest = span.rate_from.max(span.rate_to);
    let mut times = Vec::new();
    let mut at = 0.0;
    loop {
        // Drawn at the highest rate, and kept as often as the rate is of that then.
        at -= (1.0 - fraction(random)).ln() / highest;
        // Also for what is no number.
        if at.is_nan() || at >= lasts {
            return times;
        }
        let rate = span.rate_from + (span.rate_to - span.rate_from) * at / lasts;
        if fraction(random) * highest < rate {
            times.push(span.from + Duration::from_secs_f64(at));
        }
    }
}

/// One of some things by weight.
pub(crate) fn weighed<T: Copy>(weights: &[(T, f64)], random: &dyn Random) -> Option<T> {
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut point = fraction(random) * total;
    for (thing, weight) in weights {
        point -= weight;
        if point < 0.0 {
            return Some(*thing);
        }
    }
    weights.last().map(|(thing, _)| *thing)
}

/// One of some things, all alike.
pub(crate) fn any<T: Clone>(things: &[T], random: &dyn Random) -> Option<T> {
    let at = usize::try_from(below(random, things.len() as u64)).ok()?;
    things.get(at).cloned()
}

fn client(clients: u32, random: &dyn Random) -> u32 {
    1 + u32::try_from(below(random, clients.into())).unwrap_or(0)
}

/// Those in these states, so that every state has its share of any part of the row.
pub(super) fn in_turn(people: &[Person], states: &[State]) -> Vec<Person> {
    let mut row = Vec::new();
    for state in states {
        let theirs: Vec<_> = people.iter().filter(|person| person.state == *state).collect();
        let share = 1.0 / theirs.len() as f64;
        let places = theirs
            .iter()
            .enumerate()
            .map(|(at, person)| ((at as f64 + 0.5) * share, **person));
        row.extend(places);
    }
    row.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    row.into_iter().map(|(_, person)| person).collect()
}

fn of_load(load: &Load, tenant: &Tenant, changes: &Changes, random: &dyn Random) -> Vec<Arrival> {
    let states: Vec<_> = load.users.iter().map(|(state, _)| *state).collect();
    let people: Vec<_> = tenant.people().collect();
    let in_turn = in_turn(&people, &states);
    let mut all = Vec::new();
    for (number, at) in times(&load.span, random).into_iter().enumerate() {
        let person = match load.order {
            Order::Turns => number
                .checked_rem(in_turn.len())
                .and_then(|at| in_turn.get(at))
                .copied(),
            Order::Random => weighed(&load.users, random).and_then(|state| {
                let count = tenant.users.get(&state).copied().unwrap_or(0);
                let number = u32::try_from(below(random, count.into())).ok()? + 1;
                (count > 0).then_some(Person { state, number })
            }),
        };
        let (Some(person), Some(typed)) = (person, weighed(&load.mix, random)) else {
            continue;
        };
        let client = client(load.clients, random);
        if typed == Typed::Unknown {
            let number = below(random, STRANGERS);
            all.push(stranger(at, client, load.tenant, tenant, number));
            continue;
        }
        let password = password(typed, person, at, &people, changes, random);
        all.push(Arrival {
            at,
            client,
            tenant: load.tenant,
            whose: Some(person),
            username: tenant.username(person),
            typed,
            password,
        });
    }
    all
}

fn password(
    typed: Typed,
    person: Person,
    at: Duration,
    people: &[Person],
    changes: &Changes,
    random: &dyn Random,
) -> Attempted {
    let change = changes.before(person, at);
    let wrong = |random: &dyn Random| Attempted::Nobodys(u32::try_from(below(random, 1 << 32)).unwrap_or(0));
    match typed {
        Typed::Right | Typed::Guessed => Attempted::Of(person, change),
        Typed::Nul => Attempted::OfWithNul(person, change),
        Typed::Old => match change.checked_sub(1) {
            Some(before) => Attempted::Of(person, before),
            None => wrong(random),
        },
        Typed::Anothers => {
            let others: Vec<_> = people.iter().copied().filter(|other| *other != person).collect();
            match any(&others, random) {
                Some(other) => Attempted::Of(other, changes.before(other, at)),
                None => wrong(random),
            }
        }
        Typed::Empty => Attempted::Empty,
        Typed::TooLong => Attempted::TooLong,
        Typed::Wrong | Typed::Unknown => wrong(random),
    }
}

fn stranger(at: Duration, client: u32, of: usize, tenant: &Tenant, number: u64) -> Arrival {
    Arrival {
        at,
        client,
        tenant: of,
        whose: None,
        username: format!("nobody-{number}@{}", tenant.domain),
        typed: Typed::Unknown,
        password: Attempted::Nobodys(u32::try_from(number).unwrap_or(0)),
    }
}

/// Accounts whose password is in a spray's list, and its place there.
struct Weak(BTreeMap<Person, u32>);

impl Weak {
    /// Popularity falls with the place in the list as Zipf's law has it: the second is half as popular as the first.
    fn draw(attack: &Attack, tenant: &Tenant, random: &dyn Random) -> Self {
        let mut people: Vec<_> = tenant.people().collect();
        let places: Vec<_> = (0..attack.list)
            .map(|place| (place, 1.0 / f64::from(place + 1)))
            .collect();
        let mut weak = BTreeMap::new();
        for _ in 0..attack.guessable {
            let Ok(at) = usize::try_from(below(random, people.len().max(1) as u64)) else {
                break;
            };
            if let (true, Some(place)) = (at < people.len(), weighed(&places, random)) {
                weak.insert(people.swap_remove(at), place);
            }
        }
        Self(weak)
    }
}

fn of_attack(
    attack: &Attack,
    tenant: &Tenant,
    (changes, weak): (&Changes, &Weak),
    random: &dyn Random,
) -> Vec<Arrival> {
    let people: Vec<_> = tenant.people().collect();
    let mut all = Vec::new();
    for (number, at) in times(&attack.span, random).into_iter().enumerate() {
        let client = client(attack.clients, random);
        // Of a spray all accounts see the same password, and then the next.
        let (person, password) = match attack.kind {
            AttackKind::Strangers => {
                all.push(stranger(at, client, attack.tenant, tenant, number as u64));
                continue;
            }
            AttackKind::Spray => {
                let count = people.len().max(1);
                (people.get(number % count).copied(), number / count)
            }
            AttackKind::Guess | AttackKind::Spellings => (attack.user, number),
        };
        let Some(person) = person else { continue };
        let username = tenant.username(person);
        let place_in_list = u32::try_from(password).unwrap_or(u32::MAX);
        let (typed, password) = match weak.0.get(&person) {
            Some(place) if *place == place_in_list => {
                (Typed::Guessed, Attempted::Of(person, changes.before(person, at)))
            }
            _ => (Typed::Wrong, Attempted::Nobodys(place_in_list)),
        };
        all.push(Arrival {
            at,
            client,
            tenant: attack.tenant,
            whose: Some(person),
            username: match attack.kind {
                AttackKind::Spellings => spelled(&username, number),
                AttackKind::Spray | AttackKind::Guess | AttackKind::Strangers => username,
            },
            typed,
            password,
        });
    }
    all
}

/// The `number`-th way to type a name: all mean the same.
fn spelled(username: &str, number: usize) -> String {
    let (local, domain) = username.split_once('@').unwrap_or((username, ""));
    let capital: String = {
        let mut letters = local.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters).collect()
    };
    match number % 8 {
        0 => username.to_owned(),
        1 => username.to_uppercase(),
        2 => format!("{capital}@{domain}"),
        3 => format!("{local}@{}", domain.to_uppercase()),
        4 => format!("{}@{domain}", local.to_uppercase()),
        5 => format!(" {username}"),
        6 => format!("{username} "),
        _ => format!("\t{} ", username.to_uppercase()),
    }
}
