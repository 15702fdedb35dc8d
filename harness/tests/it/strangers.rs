//! What a stranger can learn from outcomes and times: nothing, in each of three states, by page and by
//! programme. Known users with a wrong password and names that nobody has knock side by side, and what they get
//! is compared as a statistician would.

use std::time::Duration;

use futures::future::join_all;
use postern_cloud::config::Limits;
use postern_cloud::sign_in::Outcome;
use postern_directory_mock::BindFault;
use postern_harness::client::{Browser, Programme};
use postern_harness::lab::{Lab, TenantPlan, Topology};
use postern_kit::clock::monotonic;

use crate::world::{DOMAIN, TENANT, WRONG, person, plan, start};

/// Sign-ins of each kind by each way in. With so many, the distributions of equals differ by more than [`DIFFERS`]
/// once in a thousand comparisons (Kolmogorov and Smirnov: 1.95 times the root of 2 / 60).
const KNOCKS: usize = 60;
const DIFFERS: f64 = 0.356;
/// Six comparisons would fail once in 170 runs of the test: one that does is made again, with others. What does
/// differ, differs twice.
const ROUNDS: usize = 2;

/// Of each kind and way at once: with those on the page, fewer than three agents ask about together.
const AT_ONCE: usize = 6;

/// Known users who knock first in a state, so that it is noticed: more than the cloud remembers.
const FIRST: usize = 36;

/// Users that a state needs.
const USERS: usize = FIRST + ROUNDS * 2 * KNOCKS;

/// With the floor far above what a busy machine needs for a wrong password, and two attempts well above the floor.
fn limits() -> Limits {
    Limits {
        floor: Duration::from_millis(700),
        attempt: Duration::from_millis(800),
        ..Limits::default()
    }
}

/// How somebody was answered: by number, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Knock {
    code: u32,
    took: Duration,
}

/// A way in.
#[derive(Clone)]
enum Door {
    Page(Browser),
    Call(Programme),
}

impl Door {
    async fn knock(&self, username: &str) -> Knock {
        let began = monotonic();
        let code = match self {
            // Only the last step looks at the password.
            Self::Page(browser) => {
                let form = [("username", username), ("password", WRONG)];
                browser.post(TENANT, &form).await.unwrap().code().unwrap()
            }
            Self::Call(programme) => programme.sign_in(username, WRONG).await.unwrap().code,
        };
        Knock {
            code,
            took: monotonic().saturating_duration_since(began),
        }
    }
}

/// What known users got, and what nobody got.
type Compared = [Vec<Knock>; 2];

/// All knocks of known users and of nobody, by both ways, a few at a time and mixed, so that all meet the same
/// machine.
async fn knocks(doors: &[Door; 2], first_user: usize) -> [Compared; 2] {
    let mut all: [Compared; 2] = Default::default();
    for at in (0..KNOCKS).step_by(AT_ONCE) {
        let batch = (0..2 * AT_ONCE).map(|number| {
            let (way, user) = (number % 2, first_user + 2 * at + number);
            async move {
                let nobody = format!("nobody.{user}@{DOMAIN}");
                let known = person(user).0;
                let both = futures::join!(doors[way].knock(&known), doors[way].knock(&nobody));
                (way, both)
            }
        });
        for (way, (known, nobody)) in join_all(batch).await {
            all[way][0].push(known);
            all[way][1].push(nobody);
        }
    }
    all
}

/// Everybody is told `expected`, and nobody can tell by the time who exists.
async fn compare(doors: &[Door; 2], first_user: usize, expected: Outcome) {
    let mut differ = Vec::new();
    for round in 0..ROUNDS {
        let compared = knocks(doors, first_user + round * 2 * KNOCKS).await;
        for knock in compared.iter().flatten().flatten() {
            assert_eq!(knock.code, expected.code(), "after {:?}", knock.took);
        }
        differ.clear();
        for (way, [known, nobody]) in ["page", "call"].iter().zip(compared) {
            let times = [known, nobody].map(|knocks| {
                let mut times: Vec<_> = knocks.iter().map(|knock| knock.took).collect();
                times.sort();
                times
            });
            let distance = distance(&times[0], &times[1]);
            if distance >= DIFFERS {
                differ.push(format!("{way}: {distance}: {times:?}"));
            }
        }
        if differ.is_empty() {
            return;
        }
    }
    panic!("{expected:?}: {differ:#?}");
}

/// The largest difference of two distributions; both in order.
fn distance(one: &[Duration], other: &[Duration]) -> f64 {
    let share =
        |all: &[Duration], at: &Duration| all.partition_point(|time| time <= at) as f64 / all.len() as f64;
    let all = one.iter().chain(other);
    all.map(|at| (share(one, at) - share(other, at)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn different_distributions_are_told_apart() {
    let ms = |range: std::ops::Range<u64>| range.map(Duration::from_millis).collect::<Vec<_>>();
    assert!(distance(&ms(0..60), &ms(0..60)) < 0.01);
    assert!(distance(&ms(0..60), &ms(30..90)) > DIFFERS);
}

/// The first to meet a new state, by whom it is noticed.
async fn first(lab: &Lab, from: usize) {
    let programme = lab.programme(lab.tenant()).unwrap();
    let door = Door::Call(programme);
    for at in (0..FIRST).step_by(2 * AT_ONCE) {
        let users = (at..at + 2 * AT_ONCE).map(|at| person(from + at).0);
        join_all(users.map(async |username| door.knock(&username).await)).await;
    }
}

#[tokio::test]
async fn in_good_days_in_an_outage_and_while_the_directory_hangs_strangers_learn_nothing() {
    let tenant = TenantPlan {
        agents: 3,
        ..plan(3 * USERS)
    };
    let mut lab = start(Topology {
        limits: limits(),
        ..Topology::of(tenant)
    })
    .await;
    let doors = [
        Door::Page(lab.browser().unwrap()),
        Door::Call(lab.programme(lab.tenant()).unwrap()),
    ];
    first(&lab, 0).await;
    compare(&doors, FIRST, Outcome::Refused).await;

    lab.tenant().directory.faults().set_bind(BindFault::Hang);
    first(&lab, USERS).await;
    compare(&doors, USERS + FIRST, Outcome::Unavailable).await;
    lab.tenant().directory.faults().clear();

    while let Some(agent) = lab.tenants[0].agents.pop() {
        agent.stop().await.unwrap();
    }
    first(&lab, 2 * USERS).await;
    compare(&doors, 2 * USERS + FIRST, Outcome::Unavailable).await;
    lab.stop().await.unwrap();
}
