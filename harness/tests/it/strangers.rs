//! What a stranger can learn from outcomes and times: nothing, in each of three states. Known users
//! with a wrong password and names that nobody has knock side by side, and what they get is compared
//! as a statistician would.

use std::time::Duration;

use futures::future::join_all;
use postern_directory_mock::BindFault;
use postern_harness::lab::Lab;
use postern_kit::clock::monotonic;
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::world::{DOMAIN, WRONG, person, plan, start, topology};

/// Sign-ins of each kind. With so many, the distributions of equals differ by more than [`DIFFERS`]
/// once in a thousand runs of the test (Kolmogorov and Smirnov: 1.95 times the root of 2 / 60).
const KNOCKS: usize = 60;
const DIFFERS: f64 = 0.356;

/// Known users who knock first in a state, so that it is noticed.
const FIRST: usize = 40;

struct Knock {
    outcome: Outcome,
    took: Duration,
}

async fn knock(lab: &Lab, username: String) -> Knock {
    let programme = lab.programme(lab.tenant()).unwrap();
    let start = monotonic();
    let answer = programme.sign_in(&username, WRONG).await.unwrap();
    Knock {
        outcome: answer.outcome(),
        took: monotonic().saturating_duration_since(start),
    }
}

/// All knocks of known users and of nobody, a few at a time and mixed, so that both meet the same machine.
async fn compare(lab: &Lab, first_user: usize, expected: Outcome) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for at in (0..KNOCKS).step_by(10) {
        let pairs = (at..at + 10).map(|at| async move {
            let nobody = format!("nobody.{first_user}.{at}@{DOMAIN}");
            futures::join!(knock(lab, person(first_user + at).0), knock(lab, nobody))
        });
        for (one, other) in join_all(pairs).await {
            known.push(one);
            unknown.push(other);
        }
    }
    for knock in known.iter().chain(&unknown) {
        assert_eq!(knock.outcome, expected);
    }
    let times = |knocks: &[Knock]| {
        let mut times: Vec<_> = knocks.iter().map(|knock| knock.took).collect();
        times.sort();
        times
    };
    let (known, unknown) = (times(&known), times(&unknown));
    let distance = distance(&known, &unknown);
    assert!(distance < DIFFERS, "{distance}: {known:?} and {unknown:?}");
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

#[tokio::test]
async fn in_good_days_in_an_outage_and_while_the_directory_hangs_strangers_learn_nothing() {
    let mut lab = start(topology(plan(3 * KNOCKS + FIRST))).await;
    compare(&lab, 0, Outcome::Refused).await;

    lab.tenant().directory.faults().set_bind(BindFault::Hang);
    let first = join_all((0..FIRST).map(|at| knock(&lab, person(3 * KNOCKS + at).0))).await;
    assert!(first.iter().all(|knock| knock.outcome == Outcome::Unavailable));
    compare(&lab, KNOCKS, Outcome::Unavailable).await;
    lab.tenant().directory.faults().clear();

    lab.tenants[0].agents.pop().unwrap().stop().await.unwrap();
    compare(&lab, 2 * KNOCKS, Outcome::Unavailable).await;
    lab.stop().await.unwrap();
}
