//! Each checker against histories that it must catch, and all of them against honest ones.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::honest::{Honest, Op};
use super::*;
use crate::scenario::{Outcome, State, Typed};

mod model;

const SECOND: Duration = Duration::from_secs(1);

/// Accounts by their place: those of contoso first, by state; agents 1 and 2 are contoso's, agent 3 is fabrikam's.
const OK: usize = 0;
const OTHER: usize = 1;
const DISABLED: usize = 4;

fn sign_in(account: usize, typed: Typed) -> Op {
    Op::SignIn {
        account,
        typed,
        bits: 0,
    }
}

/// The invariants that a history violates.
fn violated(history: &History) -> BTreeSet<Invariant> {
    check(history, &BTreeSet::new())
        .into_iter()
        .map(|violation| violation.invariant)
        .collect()
}

/// An honest run of `ops` passes; after `breaking` exactly `expected` is violated. What is said about it.
#[track_caller]
fn caught(ops: &[Op], expected: Invariant, breaking: impl FnOnce(&mut History)) -> String {
    let mut history = Honest::all(ops.iter().copied());
    let honest = check(&history, &BTreeSet::new());
    assert!(honest.is_empty(), "{}", honest[0]);
    breaking(&mut history);
    let violations = check(&history, &BTreeSet::new());
    let found: BTreeSet<_> = violations.iter().map(|violation| violation.invariant).collect();
    assert_eq!(found, BTreeSet::from([expected]), "{violations:#?}");
    assert!(
        check(&history, &BTreeSet::from([expected])).is_empty(),
        "an exception is one"
    );
    violations[0].to_string()
}

fn answer(history: &mut History, request: usize) -> &mut Answer {
    &mut history.requests[request].answers[0]
}

/// Client and log agree on another outcome.
fn tell(history: &mut History, request: usize, outcome: Outcome) {
    let id = answer(history, request).request.clone();
    answer(history, request).outcome = outcome;
    let record = history.log.iter_mut().find(|record| record.request == id);
    record.unwrap().outcome = outcome;
}

const PAIR: [Op; 2] = [
    Op::SignIn {
        account: OK,
        typed: Typed::Right,
        bits: 0,
    },
    Op::SignIn {
        account: OK,
        typed: Typed::Wrong,
        bits: 0,
    },
];

#[test]
fn accounts_are_where_the_tests_think() {
    let history = Honest::all([]);
    let names: Vec<_> = history
        .accounts
        .iter()
        .map(|account| account.person.to_string())
        .collect();
    assert_eq!(
        names[..5],
        ["ok-1", "ok-2", "ok-3", "never_locks-1", "disabled-1"]
    );
}

#[test]
fn i1_a_wrong_password_that_signs_in_is_caught() {
    let said = caught(&PAIR, Invariant::I1, |history| {
        tell(history, 1, Outcome::SignedIn)
    });
    assert!(
        said.contains("ok-1@contoso.example.test signed in with wrong"),
        "{said}"
    );
    assert!(
        said.contains("refuses, data 52e, counts a failure"),
        "the timeline shows the directory: {said}"
    );
}

#[test]
fn a_timeline_says_why_nobody_was_asked() {
    let ops = [Op::Crash(0), Op::Drain(1), sign_in(OK, Typed::Right)];
    let mut history = Honest::all(ops);
    let agent = |name: &str| name.to_owned();
    history.log[0].code = 80001;
    let detached = |at| Event {
        at,
        what: What::Detached {
            agent: agent("agent1"),
            why: "connection failed".to_owned(),
        },
    };
    history.events.insert(1, detached(61 * SECOND));
    history.events.push(detached(130 * SECOND));
    let told = Timeline::of_request(&history, 0).to_string();
    for expected in [
        "130.000 s  cloud    agent1 is not attached any more: connection failed",
        "asks nobody: agent1 is not attached since 130.000 s, agent2 is drained since 120.000 s",
        "records unavailable (80001: no agent could be asked)",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    // It is back before the next one is sent.
    history.events.push(Event {
        at: 150 * SECOND,
        what: What::Attached {
            agent: agent("agent1"),
        },
    });
    let told = Timeline::of_request(&history, 0).to_string();
    assert!(told.contains("asks nobody: agent2 is drained"), "{told}");
    // The cloud starts anew, and no agent has come back yet.
    history.events.push(Event {
        at: 170 * SECOND,
        what: What::Down {
            host: "cloud".to_owned(),
            clean: false,
        },
    });
    let told = Timeline::of_request(&history, 0).to_string();
    assert!(
        told.contains("asks nobody: agent1 is not attached since 170.000 s"),
        "{told}"
    );
}

#[test]
fn a_timeline_that_is_too_long_leaves_out_what_is_longest_over() {
    let mut history = Honest::all([sign_in(OK, Typed::Right)]);
    let flaps = (0..200).map(|at| Event {
        at: 30 * SECOND + at * SECOND / 10,
        what: What::Dials {
            agent: "agent2".to_owned(),
            why: format!("for the {at}. time"),
        },
    });
    history.events.extend(flaps);
    let told = Timeline::of_request(&history, 0).to_string();
    assert!(told.contains("is told signed_in"), "{told}");
    assert!(
        told.contains("the 199. time") && !told.contains("the 0. time"),
        "{told}"
    );
}

#[test]
fn i1_a_success_without_an_accepted_bind_is_caught() {
    caught(&PAIR, Invariant::I1, |history| {
        let accepted = history
            .binds
            .iter_mut()
            .find(|bind| bind.end == BindEnd::Accepted)
            .unwrap();
        accepted.account = Some(OTHER);
        accepted.judged = false;
    });
}

#[test]
fn i1_one_acceptance_is_not_enough_for_two() {
    let ops = [sign_in(OK, Typed::Right), sign_in(OK, Typed::Right)];
    caught(&ops, Invariant::I1, |history| {
        // Both under way at once, one bind for them.
        history.requests[1].answers[0].at = history.requests[0].answers[0].at;
        history.requests[1].sent = history.requests[0].sent;
        history.binds.pop();
    });
}

#[test]
fn i1_another_users_password_is_a_wrong_one() {
    caught(&[sign_in(OK, Typed::Anothers)], Invariant::I1, |history| {
        tell(history, 0, Outcome::SignedIn);
        history.binds[0].end = BindEnd::Accepted;
    });
}

#[test]
fn i2_a_refused_right_password_is_caught() {
    let said = caught(&PAIR, Invariant::I2, |history| tell(history, 0, Outcome::Refused));
    assert!(said.contains("no false reject: sign-in 0"), "{said}");
    assert!(
        said.contains("allowed: signed_in (the password is right, the account ok)"),
        "{said}"
    );
}

#[test]
fn i2_says_nothing_where_the_password_changed_meanwhile() {
    let mut history = Honest::all(PAIR);
    let sent = history.requests[0].sent;
    history.events.insert(
        0,
        Event {
            at: sent,
            what: What::Password {
                account: OK,
                change: 1,
            },
        },
    );
    tell(&mut history, 0, Outcome::Refused);
    assert!(violated(&history).is_empty(), "{:?}", violated(&history));
}

#[test]
fn i3_an_answer_that_never_comes_is_caught() {
    caught(&PAIR, Invariant::I3, |history| {
        history.requests[0].answers.clear()
    });
}

#[test]
fn i3_a_late_answer_is_caught_and_one_at_the_deadline_is_not() {
    caught(&PAIR, Invariant::I3, |history| {
        let sent = history.requests[1].sent;
        answer(history, 1).at = sent + 17 * SECOND;
    });
    let mut history = Honest::all(PAIR);
    let sent = history.requests[1].sent;
    answer(&mut history, 1).at = sent + 15 * SECOND;
    assert!(violated(&history).is_empty());
}

#[test]
fn i3_two_answers_are_caught() {
    caught(&PAIR, Invariant::I3, |history| {
        let again = history.requests[1].answers[0].clone();
        history.requests[1].answers.push(again);
    });
}

#[test]
fn i3_a_loss_needs_a_reason() {
    let lose = |history: &mut History, why| {
        let at = history.requests[0].answers[0].at;
        history.requests[0].answers.clear();
        history.requests[0].lost = Some(Lost { at, why });
    };
    for why in [WhyLost::CloudDied, WhyLost::ClientDied, WhyLost::Disconnected] {
        caught(&PAIR, Invariant::I3, |history| lose(history, why));
    }
    let mut history = Honest::all(PAIR);
    let at = history.requests[0].sent;
    let host = "client1".to_owned();
    history.events.insert(
        0,
        Event {
            at,
            what: What::Down { host, clean: false },
        },
    );
    lose(&mut history, WhyLost::ClientDied);
    assert!(violated(&history).is_empty());
}

#[test]
fn i4_a_leak_is_caught() {
    let said = caught(&PAIR, Invariant::I4, |history| {
        history.leaks.push(crate::canary::Leak {
            place: "cloud.db".to_owned(),
            spelling: "base64",
        });
    });
    assert!(said.contains("a password in cloud.db, as base64"), "{said}");
}

#[test]
fn i5_a_request_at_another_tenants_agent_is_caught() {
    caught(&PAIR, Invariant::I5, |history| {
        history.given[0].agent = "agent3".to_owned()
    });
    caught(&PAIR, Invariant::I5, |history| {
        history.log[1].attempts[0].agent = "agent3".to_owned()
    });
    caught(&PAIR, Invariant::I5, |history| {
        history.binds[1].controller = "dc3".to_owned()
    });
}

#[test]
fn i6_a_failure_beyond_the_budget_is_caught() {
    let ops = [sign_in(OK, Typed::Wrong); 7];
    let said = caught(&ops, Invariant::I6, |history| {
        // The cloud forgets to refuse the fifth.
        tell(history, 4, Outcome::Refused);
        let (mut attempts, mut bind) = (history.log[3].attempts.clone(), history.binds[3].clone());
        history.log[4].attempts.append(&mut attempts);
        bind.at = history.requests[4].sent;
        history.binds.push(bind);
    });
    assert!(
        said.contains("counted 5 failures of ok-1@contoso.example.test"),
        "{said}"
    );
}

#[test]
fn i6_a_bind_that_no_sign_in_explains_is_caught() {
    caught(&PAIR, Invariant::I6, |history| {
        let mut bind = history.binds[1].clone();
        bind.counted = false;
        history.binds.push(bind);
    });
}

#[test]
fn i6_a_third_attempt_is_caught() {
    caught(&PAIR, Invariant::I6, |history| {
        let attempt = history.log[1].attempts[0].clone();
        history.log[1].attempts = vec![attempt; 3];
    });
}

#[test]
fn i6_failures_a_window_apart_do_not_add_up() {
    let mut honest = Honest::new();
    for _ in 0..8 {
        honest.step(32 * 60 * SECOND, sign_in(OK, Typed::Wrong));
    }
    let history = honest.end();
    assert!(
        history
            .requests
            .iter()
            .all(|request| request.answers[0].outcome == Outcome::Refused)
    );
    assert!(violated(&history).is_empty());
}

#[test]
fn i7_a_request_to_a_discharged_agent_is_caught() {
    let discharge = |history: &mut History, why, before| {
        let at = history.requests[1].sent - before;
        let agent = "agent1".to_owned();
        history.events.push(Event {
            at,
            what: What::Discharged { agent, why },
        });
    };
    caught(&PAIR, Invariant::I7, |history| {
        discharge(history, Discharge::Unregistered, 5 * SECOND)
    });
    caught(&PAIR, Invariant::I7, |history| {
        discharge(history, Discharge::Revoked, 5 * SECOND)
    });
    caught(&PAIR, Invariant::I7, |history| {
        discharge(history, Discharge::Expired, 40 * SECOND)
    });
    // It notices the expiry of what is attached when it next looks.
    let mut history = Honest::all(PAIR);
    discharge(&mut history, Discharge::Expired, 20 * SECOND);
    assert!(violated(&history).is_empty());
}

#[test]
fn i8_a_lost_record_is_caught() {
    let said = caught(&PAIR, Invariant::I8, |history| {
        history.log.remove(0);
    });
    assert!(
        said.contains("was answered signed_in and has no record"),
        "{said}"
    );
}

#[test]
fn i8_a_second_record_and_one_that_says_otherwise_are_caught() {
    caught(&PAIR, Invariant::I8, |history| {
        let again = history.log[1].clone();
        history.log.push(again);
    });
    caught(&PAIR, Invariant::I8, |history| {
        history.log[1].outcome = Outcome::Unavailable
    });
    caught(&PAIR, Invariant::I8, |history| {
        history.log[1].account = Some(OTHER)
    });
}

#[test]
fn i8_an_id_of_two_and_a_record_of_nobody_are_caught() {
    let ops = [sign_in(OTHER, Typed::Wrong), sign_in(OK, Typed::Wrong)];
    caught(&ops, Invariant::I8, |history| {
        let id = history.log[0].request.clone();
        answer(history, 1).request = id;
    });
    caught(&PAIR, Invariant::I8, |history| {
        let mut nobodys = history.log[1].clone();
        nobodys.request = "request-99".to_owned();
        nobodys.attempts.clear();
        history.log.push(nobodys);
    });
}

#[test]
fn i8_a_record_without_an_answer_is_allowed_after_a_crash() {
    let mut honest = Honest::new();
    honest.step(SECOND, sign_in(OK, Typed::Wrong));
    honest.step(SECOND / 10, Op::CrashCloud);
    honest.step(SECOND, sign_in(OTHER, Typed::Right));
    honest.step(SECOND, Op::CrashCloud);
    let history = honest.end();
    assert_eq!((history.log.len(), history.requests[0].answers.len()), (1, 0));
    assert!(violated(&history).is_empty());
}

#[test]
fn i9_a_drained_agent_that_gets_something_is_caught() {
    let ops = [Op::Drain(0), sign_in(OK, Typed::Right), Op::Drain(0)];
    caught(&ops, Invariant::I9, |history| {
        history.given[0].agent = "agent1".to_owned();
    });
}

#[test]
fn i9_a_drain_that_leaves_nobody_though_somebody_is_there_is_caught() {
    let ops = [Op::Drain(0), sign_in(OK, Typed::Right), Op::Drain(0)];
    let said = caught(&ops, Invariant::I9, |history| {
        history.events[0].at = history.requests[0].sent - SECOND;
        tell(history, 0, Outcome::Unavailable);
    });
    assert!(said.contains("while an agent was drained"), "{said}");
    // Whoever drains all of them leaves nobody, and that is his wish.
    let ops = [Op::Drain(0), Op::Drain(1), sign_in(OK, Typed::Right)];
    let history = Honest::all(ops);
    assert_eq!(history.requests[0].answers[0].outcome, Outcome::Unavailable);
    assert!(violated(&history).is_empty());
}

fn op() -> impl Strategy<Value = Op> {
    let account = 0_usize..13;
    let typed = prop::sample::select(vec![
        Typed::Right,
        Typed::Right,
        Typed::Right,
        Typed::Wrong,
        Typed::Wrong,
        Typed::Old,
        Typed::Anothers,
        Typed::Empty,
        Typed::TooLong,
        Typed::Nul,
        Typed::Unknown,
    ]);
    let state = prop::sample::select(State::ALL.to_vec());
    prop_oneof![
        20 => (account.clone(), typed, any::<u8>()).prop_map(|(account, typed, bits)| Op::SignIn { account, typed, bits }),
        1 => account.clone().prop_map(Op::Password),
        1 => (account.clone(), state).prop_map(|(account, state)| Op::SetState(account, state)),
        1 => account.clone().prop_map(Op::Unlock),
        1 => account.prop_map(Op::Delete),
        1 => (0_usize..3).prop_map(Op::Drain),
        1 => (0_usize..3).prop_map(Op::Crash),
        1 => Just(Op::CrashCloud),
        1 => Just(Op::Hang),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever an honest system goes through, nobody is accused.
    #[test]
    fn honest_histories_raise_no_alarm(
        ops in prop::collection::vec((prop::sample::select(vec![25_u64, 300, 5_000, 120_000, 1_900_000]), op()), 1..120),
    ) {
        let mut honest = Honest::new();
        for (gap, op) in ops {
            honest.step(Duration::from_millis(gap), op);
        }
        let violations = check(&honest.end(), &BTreeSet::new());
        prop_assert!(violations.is_empty(), "{}", violations[0]);
    }
}
