//! The main flow.

use std::time::Duration;

use postern_directory_mock::{AccountState, Directory, User};
use postern_proto::wire::signin::sign_in_response::Outcome;

use super::stage::{CORP, DOMAIN, Failed, Stage, ensure};
use crate::sim::{Answer, Arrival, TenantPlan, Topology, Typed};

const PASSWORD: &str = "Correct-Horse-1";

/// Each state with what the right password gets; a wrong one is always refused.
const STATES: [(&str, AccountState, Outcome); 7] = [
    ("ada", AccountState::Normal, Outcome::SignedIn),
    ("bert", AccountState::MustChange, Outcome::MustChange),
    ("cleo", AccountState::PasswordExpired, Outcome::PasswordExpired),
    ("dan", AccountState::Disabled, Outcome::Disabled),
    ("eva", AccountState::AccountExpired, Outcome::AccountExpired),
    ("finn", AccountState::NoLogonHours, Outcome::LogonHours),
    ("gina", AccountState::Locked, Outcome::Locked),
];

/// Users in every state, and one whom nobody knows, sign in through three agents.
pub(super) fn main_flow(stage: &mut Stage) -> Result<(), Failed> {
    let users = STATES.map(|(sam, state, _)| User::new(sam, PASSWORD).state(state));
    let directory = Directory::builder(DOMAIN, "CORP").users(users).build();
    let mut world = stage.world(Topology::of(TenantPlan::new(CORP, directory, 3)))?;

    let mut expected = Vec::new();
    for (sam, _, right) in STATES {
        // The directory says "locked" whatever the password.
        let wrong = if right == Outcome::Locked {
            right
        } else {
            Outcome::Refused
        };
        expected.extend([(sam, Typed::Right, right), (sam, Typed::Wrong, wrong)]);
    }
    expected.push(("nobody", Typed::Wrong, Outcome::Refused));
    let step = Duration::from_millis(300);
    let arrivals = expected.iter().zip(0..).map(|((sam, typed, _), number)| Arrival {
        at: step * number,
        client: 0,
        tenant: CORP.into(),
        username: format!("{sam}@{DOMAIN}").into(),
        typed: typed.clone(),
    });
    world.arrive(arrivals)?;
    world.settle(Duration::from_secs(30))?;

    let observations = world.observations();
    ensure(observations.len() == expected.len(), || {
        "a sign-in was not made".to_owned()
    })?;
    for (observation, (sam, typed, expected)) in observations.iter().zip(&expected) {
        let got = observation.outcome();
        ensure(got == Some(*expected), || {
            format!("{sam} with a password that is {typed:?}: {got:?}, expected {expected:?}")
        })?;
        let took = observation.latency().unwrap_or_default();
        stage.say(format!(
            "{sam:>8} {typed:<8?} {expected:<16?} {:>4} ms",
            took.as_millis()
        ));
    }
    let codes = observations
        .iter()
        .filter(|one| matches!(&one.answered, Some((_, Answer::Outcome { code, .. })) if *code == 50126));
    ensure(codes.count() == 7, || {
        "refusals have another number than 50126".to_owned()
    })?;
    let binds = world.directory(CORP)?.journal().total();
    ensure(binds == 14, || {
        format!("{binds} binds, expected one for each sign-in of somebody who is there")
    })?;
    stage.end(&mut world)
}
