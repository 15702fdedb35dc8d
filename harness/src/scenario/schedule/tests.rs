//! Schedules of scenarios of all sizes: in order, in time, quiet when it is quiet, and the same again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::scenario::{State, parse};

const BASE: &str = r#"
title = "Everything goes wrong at some time"
duration = "120s"
quiet = "30s"
[[tenant]]
name = "contoso"
users = { ok = 20, disabled = 2 }
controllers = 2
agents = 3
[[tenant]]
name = "fabrikam"
users = { ok = 3 }
[[load]]
tenant = "contoso"
rate = "20/s"
clients = 3
users = { ok = 3, disabled = 1 }
mix = { right = 6, wrong = 2, unknown = 1, old = 1, anothers = 1, nul = 1, empty = 1 }
[[fault]]
at = "10s"
kind = "change_password"
tenant = "contoso"
user = "ok-1"
[[fault]]
at = "20s"
for = "10s"
kind = "flapping"
between = ["agent1", "cloud"]
down = "1s"
up = "2s"
"#;

fn schedule(more: &str, seed: u64) -> Schedule {
    let scenario = parse("f", &format!("{BASE}{more}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    Schedule::draw(&scenario, seed)
}

#[test]
fn a_load_has_its_rate_and_its_mix() {
    let schedule = schedule("", 1);
    let mut kinds: BTreeMap<Typed, f64> = BTreeMap::new();
    for arrival in &schedule.arrivals {
        *kinds.entry(arrival.typed).or_default() += 1.0;
    }
    let all: f64 = kinds.values().sum();
    // 20 a second for two minutes; a Poisson process is within five deviations of it.
    assert!((all - 2400.0).abs() < 5.0 * 49.0, "{all}");
    let share = kinds[&Typed::Right] / all;
    assert!((share - 6.0 / 13.0).abs() < 0.06, "{share}");
    assert!(
        schedule
            .arrivals
            .iter()
            .all(|arrival| (1..=3).contains(&arrival.client))
    );
}

#[test]
fn a_ramp_has_more_at_its_high_end() {
    let ramp = "[[load]]\ntenant = \"fabrikam\"\nrate = { from = \"1/s\", to = \"30/s\" }\n";
    let schedule = schedule(ramp, 3);
    let theirs = || schedule.arrivals.iter().filter(|arrival| arrival.tenant == 1);
    let late = theirs().filter(|arrival| arrival.at.as_secs() >= 60).count();
    assert!(late * 10 > theirs().count() * 7, "{late} of {}", theirs().count());
}

#[test]
fn turns_are_taken_by_everybody() {
    let turns = "[[load]]\ntenant = \"fabrikam\"\nrate = \"5/s\"\norder = \"turns\"\n";
    let arrivals = schedule(turns, 3).arrivals;
    let theirs: Vec<_> = arrivals.iter().filter(|arrival| arrival.tenant == 1).collect();
    assert!(theirs.len() > 100);
    for (at, arrival) in theirs.iter().enumerate() {
        assert_eq!(arrival.whose.unwrap().number as usize, at % 3 + 1);
    }
}

#[test]
fn each_state_has_its_turns_from_the_beginning() {
    let scenario = parse("f", BASE).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let people: Vec<_> = scenario.tenants[0].people().collect();
    let row = arrivals::in_turn(&people, &[State::Ok, State::Disabled]);
    assert_eq!(row.len(), 22);
    for half in row.chunks(11) {
        let disabled = half.iter().filter(|person| person.state == State::Disabled);
        assert_eq!(disabled.count(), 1, "{row:?}");
    }
    assert_eq!(arrivals::in_turn(&people, &[State::Disabled]).len(), 2);
}

#[test]
fn what_is_right_changes_with_the_password() {
    let arrivals = schedule("", 1).arrivals;
    let mut seen = [0, 0, 0];
    for arrival in &arrivals {
        let person = arrival.whose.filter(|person| person.to_string() == "ok-1");
        let change = u32::from(arrival.at.as_secs() >= 10);
        match (arrival.typed, person) {
            (Typed::Right, Some(person)) => {
                assert_eq!(arrival.password, Attempted::Of(person, change));
                seen[change as usize] += 1;
            }
            (Typed::Old, Some(person)) if change == 1 => {
                assert_eq!(arrival.password, Attempted::Of(person, 0));
                seen[2] += 1;
            }
            (Typed::Old, _) => assert!(matches!(arrival.password, Attempted::Nobodys(_))),
            (Typed::Anothers, _) => {
                assert!(matches!(arrival.password, Attempted::Of(other, _) if Some(other) != arrival.whose));
            }
            _ => {}
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn passwords_are_unlike_each_other_and_the_same_again() {
    let person = Person {
        state: crate::scenario::State::Ok,
        number: 1,
    };
    let text = |password: Attempted, seed, domain| password.text(seed, domain).to_string();
    let one = text(Attempted::Of(person, 0), 1, "a.test");
    assert_eq!(one, text(Attempted::Of(person, 0), 1, "a.test"));
    for other in [
        text(Attempted::Of(person, 1), 1, "a.test"),
        text(Attempted::Of(person, 0), 2, "a.test"),
        text(Attempted::Of(person, 0), 1, "b.test"),
        text(Attempted::Nobodys(0), 1, "a.test"),
    ] {
        assert_ne!(one, other);
    }
    assert!(text(Attempted::OfWithNul(person, 0), 1, "a.test").starts_with(&one));
    assert_eq!(text(Attempted::TooLong, 1, "a.test").len(), 1025);
}

#[test]
fn a_flapping_link_goes_and_comes_and_ends_repaired() {
    let actions = schedule("", 1).actions;
    let flaps: Vec<_> = actions.iter().filter(|action| action.fault == 1).collect();
    let times: Vec<_> = flaps
        .iter()
        .map(|action| (action.at.as_secs(), action.deed))
        .collect();
    use Deed::{Begin, End};
    let expected = [
        (20, Begin),
        (21, End),
        (23, Begin),
        (24, End),
        (26, Begin),
        (27, End),
        (29, Begin),
        (30, End),
    ];
    assert_eq!(times, expected);
}

#[test]
fn attacks_do_what_they_are_called() {
    let attack =
        |kind: &str| format!("[[attack]]\ntenant = \"fabrikam\"\nkind = \"{kind}\"\nrate = \"2/s\"\n");
    let theirs = |kind| {
        let arrivals = schedule(&attack(kind), 5).arrivals.into_iter();
        arrivals.filter(|arrival| arrival.tenant == 1).collect::<Vec<_>>()
    };
    let sprayed = theirs("spray");
    assert!(
        sprayed[..3]
            .iter()
            .all(|arrival| arrival.password == sprayed[0].password)
    );
    assert_ne!(sprayed[3].password, sprayed[0].password);
    let guessed = theirs("guess");
    assert!(
        guessed
            .iter()
            .all(|arrival| arrival.username == "ok-1@fabrikam.example.test")
    );
    let spelled = theirs("spellings");
    let mut names: Vec<_> = spelled.iter().map(|arrival| &arrival.username).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(
        spelled
            .iter()
            .all(|arrival| arrival.username.trim().to_lowercase() == "ok-1@fabrikam.example.test")
    );
    assert!(theirs("strangers").iter().all(|arrival| arrival.whose.is_none()));
}

/// Twenty-two accounts see each of ten passwords once; so each of the guessable ones is guessed once.
#[test]
fn a_spray_guesses_what_is_in_its_list() {
    let spray = |guessable| {
        let text = format!(
            "[[attack]]\nkind = \"spray\"\ntenant = \"contoso\"\nrate = \"20/s\"\nlist = 10\nguessable = {guessable}\n"
        );
        schedule(&text, 4)
    };
    let (none, five, all) = (spray(0), spray(5), spray(100));
    let guessed = |schedule: &Schedule| {
        let guesses = schedule.arrivals.iter().filter(|one| one.typed == Typed::Guessed);
        guesses.cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        (guessed(&none).len(), guessed(&five).len(), guessed(&all).len()),
        (0, 5, 22)
    );
    for guess in guessed(&all) {
        let person = guess.whose.unwrap();
        // It is their password as it is then.
        let change = u32::from(person.to_string() == "ok-1" && guess.at.as_secs() >= 10);
        assert_eq!(guess.password, Attempted::Of(person, change));
    }
    // Popular passwords are tried first: most fall in the first half of the list.
    let rounds = |guess: &Arrival| {
        none.arrivals
            .iter()
            .filter(|one| {
                one.at < guess.at
                    && one.tenant == 0
                    && one.whose == guess.whose
                    && matches!(one.password, Attempted::Nobodys(0..10))
            })
            .count()
    };
    let early = guessed(&all).iter().filter(|guess| rounds(guess) < 5).count();
    assert!(early >= 14, "{early} of 22");
}

#[test]
fn a_nemesis_for_each_agent_has_more_to_do_with_more_agents() {
    let deaths = |agents: u32, each: bool| {
        let text = format!(
            "title = 'Agents die at random'\nduration = '24h'\n[[tenant]]\nname = 'contoso'\nusers = {{ ok = 1 }}\nagents = {agents}\n\
             [[load]]\nrate = '1/h'\n\
             [nemesis]\nevery = '6min'\neach = {each}\nshortest = '3min'\nlongest = '3min'\nweights = {{ crash_agent = 1 }}\n"
        );
        let scenario = parse("f", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Schedule::draw(&scenario, 5).faults
    };
    // Each agent is up for six minutes on average and then down for three: 160 deaths in 24 hours.
    for agents in [1, 4] {
        let count = deaths(agents, true).len() as f64;
        let expected = 24.0 * 60.0 / 9.0 * f64::from(agents);
        assert!(
            (count - expected).abs() < 4.0 * expected.sqrt(),
            "{count} of {agents} agents"
        );
    }
    // Of all together: never two at once, however many there are.
    let one_by_one = deaths(4, false);
    assert!(one_by_one.windows(2).all(|two| two[0].until <= Some(two[1].at)));
    let together = deaths(4, true);
    assert!(together.windows(2).any(|two| two[0].until > Some(two[1].at)));
}

#[test]
fn another_load_leaves_the_others_as_they_are() {
    let more = "[[load]]\ntenant = \"fabrikam\"\nrate = \"5/s\"\n";
    let of_first = |schedule: Schedule| {
        let arrivals = schedule.arrivals.into_iter();
        arrivals.filter(|arrival| arrival.tenant == 0).collect::<Vec<_>>()
    };
    assert_eq!(of_first(schedule("", 9)), of_first(schedule(more, 9)));
}

const MISCHIEF: [&str; 19] = [
    "crash_agent",
    "crash_cloud",
    "crash_controller",
    "restart_agent",
    "stop_agent",
    "drain_agent",
    "partition_agent",
    "one_way",
    "flapping",
    "partition_controller",
    "delay",
    "hold",
    "clock",
    "store",
    "slow_store",
    "hang_controller",
    "reset_controller",
    "busy_controller",
    "slow_controller",
];

fn nemesis() -> impl Strategy<Value = String> {
    let weights = prop::collection::vec(0_u32..4, MISCHIEF.len());
    let phases = prop::option::of((5_u32..40, 0_u32..20));
    (1_u32..15, 1_u32..4, 4_u32..20, 1_u32..4, phases, weights).prop_map(
        |(every, shortest, longest, at_once, phases, weights)| {
            let mut all: Vec<_> = MISCHIEF.iter().zip(weights).map(|(name, weight)| format!("{name} = {weight}")).collect();
            all.push("crash_agent = 1".to_owned());
            all.remove(0);
            let phases = phases.map_or_else(String::new, |(loud, quiet)| format!("loud = \"{loud}s\"\nquiet = \"{quiet}s\"\n"));
            format!(
                "[nemesis]\nevery = \"{every}s\"\nshortest = \"{shortest}s\"\nlongest = \"{longest}s\"\nat_once = {at_once}\n{phases}weights = {{ {} }}\n",
                all.join(", ")
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_schedule_is_sorted_in_time_quiet_when_it_is_quiet_and_the_same_again(more in nemesis(), seed: u64) {
        let scenario = parse("f", &format!("{BASE}{more}")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let schedule = Schedule::draw(&scenario, seed);
        prop_assert!(schedule.arrivals.is_sorted_by_key(|arrival| arrival.at));
        prop_assert!(schedule.actions.is_sorted_by_key(|action| action.at));
        prop_assert!(schedule.arrivals.iter().all(|arrival| arrival.at < scenario.duration));
        prop_assert!(schedule.actions.iter().all(|action| action.at <= scenario.loud_until()));
        // What begins ends, once for each begin, later; no two that exclude each other meet.
        for (at, fault) in schedule.faults.iter().enumerate() {
            let mine: Vec<_> = schedule.actions.iter().filter(|action| action.fault == at).collect();
            prop_assert_eq!(mine[0].deed, Deed::Begin);
            prop_assert!(mine.windows(2).all(|two| two[0].deed != two[1].deed && two[0].at < two[1].at));
            if fault.until.is_some() {
                prop_assert_eq!(mine.last().map(|action| action.deed), Some(Deed::End));
            }
            let later = &schedule.faults[at + 1..];
            prop_assert!(!later.iter().any(|other| other.collides(fault)));
        }
        // In a quiet phase of the nemesis nothing of it goes on.
        let nemesis = scenario.nemesis.as_ref().unwrap();
        if let Some((loud, quiet)) = nemesis.phases {
            for fault in &schedule.faults[scenario.faults.len()..] {
                let phase = (loud + quiet).as_millis();
                let (begins, ends) = (fault.at.as_millis() % phase, fault.until.unwrap().as_millis());
                prop_assert!(begins <= loud.as_millis());
                prop_assert!(ends - fault.at.as_millis() + begins <= loud.as_millis());
            }
        }
        prop_assert_eq!(schedule.clone(), Schedule::draw(&scenario, seed));
        prop_assert_ne!(schedule.arrivals, Schedule::draw(&scenario, seed.wrapping_add(1)).arrivals);
    }
}
