//! Troubles on demand, as a client meets them.

use std::sync::Arc;
use std::time::Duration;

use ldap3_proto::proto::{LdapOp, LdapSearchScope};
use postern_directory_mock::{
    Accepting, BindFault, BindOutcome, Delay, Effect, Operation, Rule, Server, ServerOptions, SubCode,
};
use postern_kit::Seams;
use postern_kit::clock::{Clock as _, ManualClock, SystemClock, monotonic};

use crate::client::{PATIENCE, bind, ldaps, soon, try_bind};
use crate::raw::{self, Raw};
use crate::wire::{directory, server};

const ALICE: &str = "alice@corp.example.test";

#[tokio::test]
async fn odd_answers_come_instead_of_a_judgement() {
    let server = server(ServerOptions::default()).await;
    let alice = server.directory().guid_of("alice").unwrap();
    let mut ldap = ldaps(&server).await;
    for code in [0x51f, 0x576, 0x774, 0xabc] {
        server.faults().set_bind_for_next(1, BindFault::OddSubCode(code));
        let answer = bind(&mut ldap, ALICE, "wrong").await;
        assert_eq!(answer, (49, Some(format!("{code:x}"))));
    }
    for (fault, code) in [
        (BindFault::stronger_auth(), 8),
        (BindFault::busy(), 51),
        (BindFault::unavailable(), 52),
        (BindFault::other(), 80),
    ] {
        server.faults().set_bind_for_next(1, fault);
        assert_eq!(try_bind(&mut ldap, ALICE, "wrong").await.unwrap().rc, code);
    }
    assert_eq!(server.journal().total(), 8);
    assert_eq!(server.journal().totals(alice).judged, 0);
    let last = server.journal().all().pop().unwrap();
    assert_eq!(last.outcome, BindOutcome::Answered(80));
    assert_eq!(bind(&mut ldap, ALICE, "right").await, (0, None));
}

#[tokio::test]
async fn a_reset_loses_the_answer_and_the_journal_knows_whether_it_counted() {
    let server = server(ServerOptions::default()).await;
    let alice = server.directory().guid_of("alice").unwrap();
    for (fault, counted) in [(BindFault::ResetUnjudged, false), (BindFault::ResetJudged, true)] {
        server.faults().set_bind_for_next(1, fault);
        let mut ldap = ldaps(&server).await;
        assert!(try_bind(&mut ldap, ALICE, "wrong").await.is_err());
        let last = server.journal().all().pop().unwrap();
        assert_eq!(last.outcome, BindOutcome::Dropped);
        assert_eq!(
            (last.object, last.judged, last.counted),
            (Some(alice), counted, counted)
        );
    }
    let account = server.directory().account(alice).unwrap();
    assert_eq!(account.counters.bad_pwd_count, 1);
    assert_eq!(server.journal().failed_count(alice), 1);
}

#[tokio::test]
async fn a_hanging_bind_is_received_and_never_answered() {
    let server = server(ServerOptions::default()).await;
    server.faults().set_bind(BindFault::Hang);
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    soon(server.journal().wait_for(1)).await;
    // An order to the idle ones does not reach it, one to all does.
    server.connections().drop_idle();
    server.faults().clear();
    raw.send(2, raw::bind(ALICE, "right"), Vec::new()).await;
    let mut other = Raw::connect(server.ldap_addr().unwrap()).await;
    other.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    assert!(other.next().await.is_some());
    assert_eq!(server.connections().counts().open, 2);
    server.connections().disconnect_all(false);
    assert!(raw.next().await.is_none());
    assert_eq!(server.journal().total(), 2);
}

#[tokio::test]
async fn latency_delays_the_answer_of_a_bind_that_was_judged_at_once() {
    const LATENCY: Duration = Duration::from_millis(300);
    let server = server(ServerOptions::default()).await;
    server.faults().set_latency(LATENCY);
    let mut ldap = ldaps(&server).await;
    let start = monotonic();
    assert_eq!(
        bind(&mut ldap, ALICE, "wrong").await,
        (49, Some(SubCode::Wrong.to_string()))
    );
    assert!(start.elapsed() >= LATENCY);

    server.faults().set_latency(PATIENCE * 10);
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind(ALICE, "wrong"), Vec::new()).await;
    soon(server.journal().wait_for(2)).await;
    let alice = server.directory().guid_of("alice").unwrap();
    assert_eq!(server.journal().failed_count(alice), 2);
    server.connections().disconnect_all(true);
    assert_eq!(raw.next().await.unwrap().msgid, 0, "a notice, and no answer");
    assert!(raw.next().await.is_none());

    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    soon(server.journal().wait_for(3)).await;
    soon(server.stop()).await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn new_connections_can_be_closed_or_ignored() {
    let server = server(ServerOptions::default()).await;
    let addr = server.ldap_addr().unwrap();
    server.faults().set_accepting(Accepting::Close);
    assert!(Raw::connect(addr).await.next().await.is_none());
    server.faults().set_accepting(Accepting::Ignore);
    let mut waiting = Raw::connect(addr).await;
    waiting.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    assert_eq!(server.connections().counts().opened(), 0);
    server.faults().clear();
    assert!(waiting.next().await.is_some());
    assert_eq!(server.connections().counts().opened(), 1);
}

const BASE: &str = "DC=corp,DC=example,DC=test";

/// A connection bound as alice.
async fn bound(server: &Server) -> Raw {
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    assert!(raw.next().await.is_some());
    raw
}

/// The code of the last answer to a search of the whole domain, and the answers before it.
async fn search(raw: &mut Raw) -> Option<(u32, usize)> {
    raw.send(2, raw::search(BASE, LdapSearchScope::Subtree), Vec::new())
        .await;
    for before in 0.. {
        if let LdapOp::SearchResultDone(result) = raw.next().await?.op {
            return Some((result.code as u32, before));
        }
    }
    None
}

#[tokio::test]
async fn rules_answer_searches_in_place_of_the_directory_or_after_it() {
    let server = server(ServerOptions::default()).await;
    let faults = server.faults();
    let mut raw = bound(&server).await;
    let (code, all) = search(&mut raw).await.unwrap();
    assert!(code == 0 && all > 2);
    let searches = |effect| Rule::new("searches").on(&[Operation::Search]).effect(effect);
    for (effect, expected) in [
        (Effect::busy(), (51, 0)),
        (Effect::unavailable(), (52, 0)),
        (Effect::referral(&["ldap://other.example.test"]), (10, 0)),
        (Effect::lie(80, "odd"), (80, all)),
        (
            Effect::SlowBytes {
                bytes: 400,
                pause: Duration::from_millis(1),
            },
            (0, all),
        ),
    ] {
        faults.set(searches(effect.clone()).times(1)).unwrap();
        assert_eq!(search(&mut raw).await, Some(expected), "{effect:?}");
        assert_eq!(faults.hits("searches"), 1);
        assert_eq!(search(&mut raw).await, Some((0, all)), "{effect:?} is over");
    }
    for effect in [Effect::Refuse, Effect::LoseAnswer, Effect::CutAnswer] {
        let mut raw = bound(&server).await;
        faults.set(searches(effect.clone()).times(1)).unwrap();
        assert_eq!(search(&mut raw).await, None, "{effect:?}");
    }
    assert_eq!(server.journal().total(), 4, "binds were left alone");
}

#[tokio::test]
async fn a_torn_answer_of_a_bind_counted() {
    let server = server(ServerOptions::default()).await;
    let alice = server.directory().guid_of("alice").unwrap();
    server.faults().seed(1);
    for (effect, at) in [(Effect::CutAnswer, 1), (Effect::Garble, 2)] {
        let rule = Rule::new("r").account("alice").times(1).effect(effect.clone());
        server.faults().set(rule).unwrap();
        let whole = raw::bytes(
            server.ldap_addr().unwrap(),
            &raw::encoded(1, raw::bind("CORP\\dora", "x")),
        )
        .await;
        let torn = raw::bytes(
            server.ldap_addr().unwrap(),
            &raw::encoded(1, raw::bind(ALICE, "x")),
        )
        .await;
        match effect {
            Effect::CutAnswer => assert_eq!(torn, whole[..whole.len().div_ceil(2)]),
            _ => assert!(torn.len() == whole.len() && torn != whole),
        }
        assert_eq!(server.journal().failed_count(alice), at);
        assert_eq!(
            server.journal().all().pop().unwrap().outcome,
            BindOutcome::Dropped
        );
    }
}

#[tokio::test]
async fn a_rule_about_connections_meets_them_before_their_handshake() {
    let server = server(ServerOptions::default()).await;
    let addr = server.ldap_addr().unwrap();
    let rule = |effect| {
        Rule::new("door")
            .on(&[Operation::Connect])
            .times(1)
            .effect(effect)
    };
    server.faults().set(rule(Effect::Refuse)).unwrap();
    assert!(Raw::connect(addr).await.next().await.is_none());
    server.faults().set(rule(Effect::Hang)).unwrap();
    let mut hung = Raw::connect(addr).await;
    hung.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    soon(server.connections().wait_until(|counts| counts.open == 1)).await;
    drop(bound(&server).await);
    server.connections().disconnect_all(false);
    assert!(hung.next().await.is_none());
    assert_eq!(server.journal().total(), 1);
    let slow = Rule::new("door")
        .on(&[Operation::Connect])
        .delay(Delay::Fixed(PATIENCE * 10));
    server.faults().set(slow).unwrap();
    let mut waiting = Raw::connect(addr).await;
    waiting.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    soon(server.connections().wait_until(|counts| counts.open == 1)).await;
    soon(server.stop()).await;
    assert!(waiting.next().await.is_none());
}

#[tokio::test]
async fn rules_come_and_go_with_the_directorys_clock() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let seams = Seams {
        clock: clock.clone(),
        ..Seams::real()
    };
    let server = Server::start(directory(), ServerOptions::default(), &seams)
        .await
        .unwrap();
    let hour = Duration::from_secs(3600);
    let rule = Rule::new("noon").after(hour).lasting(hour).effect(Effect::busy());
    server.faults().set(rule).unwrap();
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    for expected in [0, 51, 0] {
        raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
        let Some(LdapOp::BindResponse(answer)) = raw.next().await.map(|message| message.op) else {
            panic!("an answer to a bind")
        };
        assert_eq!(answer.res.code as u32, expected);
        clock.advance(hour);
    }
}
