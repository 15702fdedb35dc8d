//! What a client sends out of turn, or that cannot be read.

use std::time::Duration;

use ldap3_proto::proto::{LdapOp, LdapResultCode, LdapSearchRequest, LdapSearchScope};
use postern_directory_mock::{
    Delay, Directory, Flavour, Operation, Population, Rule, Server, ServerOptions, User,
};
use postern_kit::Seams;

use crate::client::{bind, ldaps};
use crate::raw::{self, Raw};
use crate::wire::server;

const BASE: &str = "DC=corp,DC=example,DC=test";
const ALICE: &str = "alice@corp.example.test";
const FLAVOURS: [Flavour; 2] = [Flavour::Samba, Flavour::Windows];
/// More entries than are sent between two looks at what the client says.
const MANY: usize = 300;

fn options(flavour: Flavour) -> ServerOptions {
    ServerOptions {
        flavour,
        ..ServerOptions::default()
    }
}

async fn bound(server: &Server) -> Raw {
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    assert_eq!(code(&raw.next().await.unwrap().op), LdapResultCode::Success);
    raw
}

fn code(op: &LdapOp) -> LdapResultCode {
    match op {
        LdapOp::BindResponse(response) => response.res.code.clone(),
        LdapOp::SearchResultDone(result) => result.code.clone(),
        LdapOp::ExtendedResponse(response) => response.res.code.clone(),
        other => panic!("{other:?} is no result"),
    }
}

#[tokio::test]
async fn an_abandoned_search_is_answered_no_further() {
    let directory = Directory::builder("corp.example.test", "CORP")
        .user(User::new("alice", "right"))
        .population(&Population::seeded(3, MANY))
        .build();
    let server = Server::start(directory, ServerOptions::default(), &Seams::real())
        .await
        .unwrap();
    let mut raw = bound(&server).await;
    let all = || raw::search(BASE, LdapSearchScope::Subtree);
    // The first number is of the search, the second of what follows it.
    for (id, abandoned) in [(10, 10), (20, 7)] {
        raw.send_both(id, all(), LdapOp::AbandonRequest(abandoned)).await;
        raw.send(id + 2, raw::search("", LdapSearchScope::Base), Vec::new())
            .await;
        let mut answers = 0;
        loop {
            let answer = raw.next().await.unwrap();
            if answer.msgid == id + 2 {
                break;
            }
            assert_eq!(answer.msgid, id);
            answers += 1;
        }
        assert_eq!(raw.next().await.unwrap().msgid, id + 2, "its result");
        if abandoned == id {
            assert!(answers < MANY, "{answers} answers to an abandoned search");
        } else {
            assert!(answers > MANY, "{answers} answers to a search");
        }
    }
}

#[tokio::test]
async fn while_a_bind_is_outstanding_windows_refuses_and_samba_waits() {
    for flavour in FLAVOURS {
        let server = server(options(flavour)).await;
        server.faults().set_latency(Duration::from_millis(100));
        let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
        let root = raw::search("", LdapSearchScope::Base);
        raw.send_both(1, raw::bind(ALICE, "right"), root.clone()).await;
        let mut order = Vec::new();
        while order.len() < 2 {
            let answer = raw.next().await.unwrap();
            if !matches!(answer.op, LdapOp::SearchResultEntry(_)) {
                order.push((answer.msgid, code(&answer.op)));
            }
        }
        let (early, late) = ((2, LdapResultCode::OperationsError), (1, LdapResultCode::Success));
        let expected = match flavour {
            Flavour::Windows => [early, late],
            Flavour::Samba => [late, (2, LdapResultCode::Success)],
        };
        assert_eq!(order, expected, "{flavour:?}");
        // Afterwards the connection is as any other.
        server.faults().clear();
        raw.send_both(3, root, raw::bind(ALICE, "wrong")).await;
        let mut last = raw.next().await.unwrap();
        while last.msgid == 3 {
            last = raw.next().await.unwrap();
        }
        assert_eq!(code(&last.op), LdapResultCode::InvalidCredentials);
    }
}

#[tokio::test]
async fn whoever_leaves_during_a_bind_is_waited_for_no_longer() {
    let server = server(options(Flavour::Windows)).await;
    server.faults().set_latency(Duration::from_secs(3600));
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send_both(1, raw::bind(ALICE, "right"), LdapOp::UnbindRequest)
        .await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn what_cannot_be_read_ends_its_own_connection_and_windows_says_why() {
    for flavour in FLAVOURS {
        let server = server(options(flavour)).await;
        let addr = server.ldap_addr().unwrap();
        let mut other = ldaps(&server).await;
        assert_eq!(bind(&mut other, ALICE, "right").await, (0, None));
        let long = raw::encoded(1, raw::bind(ALICE, &"x".repeat(1_000_000)));
        let strange: [&[u8]; 3] = [b"GET / HTTP/1.1\r\n\r\n", b"\x30\x03\x02\x01\x01", &long];
        for bytes in strange {
            let answer = raw::bytes(addr, bytes).await;
            let text = String::from_utf8_lossy(&answer);
            match flavour {
                Flavour::Samba => assert_eq!(text, ""),
                Flavour::Windows => assert!(
                    text.contains("1.3.6.1.4.1.1466.20036") && text.contains("Error decoding ldap message"),
                    "{text:?}"
                ),
            }
        }
        assert_eq!(server.connections().counts().unreadable, 3);
        assert_eq!(bind(&mut other, ALICE, "right").await, (0, None));
    }
}

#[tokio::test]
async fn a_search_that_is_held_back_ends_at_its_time_limit() {
    let server = server(ServerOptions::default()).await;
    let slow = Rule::new("slow").on(&[Operation::Search]);
    let slow = slow.delay(Delay::Fixed(Duration::from_secs(3600)));
    server.faults().set(slow).unwrap();
    let mut raw = bound(&server).await;
    let LdapOp::SearchRequest(request) = raw::search(BASE, LdapSearchScope::Subtree) else {
        panic!("it is a search")
    };
    let limited = LdapOp::SearchRequest(LdapSearchRequest {
        timelimit: 1,
        ..request
    });
    raw.send(2, limited, Vec::new()).await;
    let answer = raw.next().await.unwrap().op;
    assert_eq!(code(&answer), LdapResultCode::TimeLimitExceeded);
}

#[tokio::test]
async fn a_connection_without_a_network_answers_the_same() {
    for flavour in FLAVOURS {
        let server = server(options(flavour)).await;
        let requests = [
            raw::encoded(1, raw::bind(ALICE, "wrong")),
            raw::encoded(2, raw::bind(ALICE, "right")),
            raw::encoded(3, raw::search(BASE, LdapSearchScope::OneLevel)),
            b"\x30\x03\x02\x01\x01".to_vec(),
        ];
        let all = requests.concat();
        let mut loopback = server.loopback().unwrap();
        let (first, rest) = all.split_at(10);
        assert_eq!(loopback.send(first), b"");
        let answers = loopback.send(rest);
        assert!(!loopback.is_open());
        assert_eq!(answers, raw::bytes(server.ldap_addr().unwrap(), &all).await);
        assert!(answers.len() > 200);
    }
}
