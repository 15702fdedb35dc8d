//! The reference model: which answers it allows, and why.

use super::*;
use crate::scenario::{Attempted, Trouble};

#[test]
fn the_model_allows_no_answer_without_its_reason() {
    let ops = [sign_in(DISABLED, Typed::Right), sign_in(DISABLED, Typed::Wrong)];
    for (request, outcome) in [
        (0, Outcome::MustChange),
        (0, Outcome::Unavailable),
        (0, Outcome::Busy),
        (0, Outcome::TooManyAttempts),
        (0, Outcome::Locked),
        (1, Outcome::Disabled),
        (1, Outcome::TooManyAttempts),
    ] {
        caught(&ops, Invariant::Answers, |history| {
            tell(history, request, outcome)
        });
    }
    // The directory lets a disabled user in.
    caught(&ops, Invariant::Answers, |history| {
        tell(history, 0, Outcome::SignedIn);
        history.binds[0].end = BindEnd::Accepted;
    });
}

#[test]
fn locked_is_told_only_where_the_tenant_wants_it() {
    let history = Honest::all([]);
    let locked = history
        .accounts
        .iter()
        .position(|account| account.tenant == 1 && account.person.state == State::Locked);
    let ops = [sign_in(locked.unwrap(), Typed::Right)];
    caught(&ops, Invariant::Answers, |history| {
        tell(history, 0, Outcome::Locked)
    });
}

#[test]
fn a_fault_explains_a_missing_verdict_until_it_must_be_over() {
    let mut history = Honest::all([sign_in(OK, Typed::Right), sign_in(OK, Typed::Right)]);
    tell(&mut history, 1, Outcome::Unavailable);
    assert_eq!(violated(&history), BTreeSet::from([Invariant::Answers]));
    let sent = history.requests[1].sent;
    let partition = || Trouble::Partition {
        between: ["agent1".to_owned(), "cloud".to_owned()],
        one_way: false,
        lost: false,
    };
    let with = |begin, end| {
        let mut history = history.clone();
        let begins = What::Begin {
            fault: 0,
            trouble: partition(),
        };
        history.events = vec![
            Event {
                at: begin,
                what: begins,
            },
            Event {
                at: end,
                what: What::End { fault: 0 },
            },
        ];
        violated(&history)
    };
    assert!(with(sent - SECOND, sent + SECOND).is_empty());
    assert!(
        with(sent - 50 * SECOND, sent - 40 * SECOND).is_empty(),
        "agents are still coming back"
    );
    let mut later = history.clone();
    later.requests[1].sent += 600 * SECOND;
    later.requests[1].answers[0].at += 600 * SECOND;
    later.ended += 600 * SECOND;
    later.events = vec![
        Event {
            at: sent,
            what: What::Begin {
                fault: 0,
                trouble: partition(),
            },
        },
        Event {
            at: sent + SECOND,
            what: What::End { fault: 0 },
        },
    ];
    assert_eq!(
        violated(&later),
        BTreeSet::from([Invariant::Answers]),
        "it is over"
    );
}

#[test]
fn the_old_password_may_be_right_for_an_hour() {
    let mut honest = Honest::new();
    honest.step(SECOND, Op::Password(OK));
    honest.step(60 * SECOND, sign_in(OK, Typed::Old));
    honest.step(3600 * SECOND, sign_in(OK, Typed::Old));
    let mut history = honest.end();
    let outcomes: Vec<_> = history
        .requests
        .iter()
        .map(|request| request.answers[0].outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::SignedIn, Outcome::Refused]);
    assert_eq!(
        history.requests[0].password,
        Attempted::Of(history.accounts[OK].person, 0)
    );
    assert!(violated(&history).is_empty());
    tell(&mut history, 1, Outcome::SignedIn);
    assert_eq!(violated(&history), BTreeSet::from([Invariant::I1]));
}

/// Twelve right passwords at once, of which the last is told that all places are taken.
fn crowd_of_twelve() -> History {
    let mut history = Honest::all((0..12).map(|_| sign_in(OK, Typed::Right)));
    // Of twelve accounts, so that none of them waits for its own.
    let facts = history.accounts[OK].clone();
    let first = history.requests[0].sent;
    let spread = history
        .requests
        .iter_mut()
        .zip(&mut history.log)
        .zip(&mut history.binds);
    for (number, ((request, record), bind)) in spread.enumerate() {
        let account = history.accounts.len();
        let mut facts = facts.clone();
        facts.person.number = 100 + u32::try_from(number).unwrap();
        facts.username = format!("ok-{}@contoso.example.test", facts.person.number);
        request.password = Attempted::Of(facts.person, 0);
        request.username.clone_from(&facts.username);
        request.account = Some(account);
        record.account = Some(account);
        bind.account = Some(account);
        history.accounts.push(facts);
        (request.sent, record.at, record.total) = (first, first, 2 * SECOND);
        bind.at = first + SECOND;
        request.answers[0].at = first + 2 * SECOND;
    }
    tell(&mut history, 11, Outcome::Busy);
    history.binds.pop();
    let attempt = history.log[11].attempts.last_mut().unwrap();
    attempt.verdict = "not_asked".to_owned();
    attempt.reason = "busy".to_owned();
    history
}

#[test]
fn whoever_finds_all_places_taken_may_be_told_so_and_nobody_else() {
    let history = crowd_of_twelve();
    assert_eq!(
        check(&history, &BTreeSet::new()).first().map(ToString::to_string),
        None
    );
    let busy_in_vain = |change: &dyn Fn(&mut History)| {
        let mut history = history.clone();
        change(&mut history);
        assert_eq!(violated(&history), BTreeSet::from([Invariant::Answers]));
    };
    // The others were through before it came.
    busy_in_vain(&|history| {
        let later = 60 * SECOND;
        history.log[11].at += later;
        history.requests[11].sent += later;
        history.requests[11].answers[0].at += later;
    });
    // They were with another agent.
    busy_in_vain(&|history| history.log[11].attempts[0].agent = "agent2".to_owned());
    // No agent said so.
    busy_in_vain(&|history| history.log[11].attempts[0].reason = "draining".to_owned());
}

#[test]
fn a_deleted_users_record_names_nobody() {
    let ops = [
        sign_in(OK, Typed::Right),
        Op::Delete(OK),
        sign_in(OK, Typed::Right),
    ];
    caught(&ops, Invariant::I8, |history| {
        assert_eq!(history.log[1].account, None);
        history.log[1].account = Some(OK);
    });
    caught(&ops, Invariant::I8, |history| history.log[0].account = None);
}

#[test]
fn what_a_sudden_stop_may_have_cost_counts_from_the_next_start_and_no_longer() {
    let mut honest = Honest::new();
    for _ in 0..3 {
        honest.step(SECOND, Op::CrashCloud);
        // The window is that of the start, an hour after the stop.
        honest.step(3600 * SECOND, Op::CrashCloud);
    }
    honest.step(1800 * SECOND, sign_in(OTHER, Typed::Right));
    let history = honest.end();
    assert!(violated(&history).is_empty());
    let mut closed = history.clone();
    tell(&mut closed, 0, Outcome::TooManyAttempts);
    closed.binds.clear();
    closed.log[0].attempts.clear();
    assert!(violated(&closed).is_empty());
    let later = 70 * SECOND;
    closed.log[0].at += later;
    closed.requests[0].sent += later;
    closed.requests[0].answers[0].at += later;
    closed.ended += later;
    assert_eq!(violated(&closed), BTreeSet::from([Invariant::Answers]));
}
