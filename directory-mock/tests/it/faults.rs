//! Troubles on demand, as a client meets them.

use std::time::Duration;

use postern_directory_mock::{Accepting, BindFault, BindOutcome, ServerOptions, SubCode};
use postern_kit::clock::monotonic;

use crate::client::{PATIENCE, bind, ldaps, soon, try_bind};
use crate::raw::{self, Raw};
use crate::wire::server;

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
