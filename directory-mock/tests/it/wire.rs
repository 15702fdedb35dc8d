//! Listeners, TLS and the life of a connection.

use std::sync::Arc;
use std::time::Duration;

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapOp, LdapResultCode, LdapSearchScope};
use postern_directory_mock::{
    AccountState, BindOutcome, Directory, DirectoryHandle, Flavour, Population, Server, ServerOptions,
    SubCode, TestCa, TlsChoice, User,
};
use postern_kit::Seams;
use proptest::prelude::*;

use crate::client::{bind, ldaps, soon, start_tls, try_bind};
use crate::raw::{self, Raw};

const BASE: &str = "DC=corp,DC=example,DC=test";
const ALICE: &str = "alice@corp.example.test";

pub(crate) fn directory() -> Directory {
    Directory::builder("corp.example.test", "CORP")
        .user(User::new("alice", "right").container("OU=Fixture"))
        .user(User::new("dora", "right").state(AccountState::Disabled))
        .build()
}

pub(crate) async fn server(options: ServerOptions) -> Server {
    Server::start(directory(), options, &Seams::real()).await.unwrap()
}

#[tokio::test]
async fn binds_are_answered_and_recorded_over_ldaps_and_start_tls() {
    let server = server(ServerOptions::default()).await;
    let alice = server.directory().guid_of("alice").unwrap();
    for mut ldap in [ldaps(&server).await, start_tls(&server).await] {
        assert_eq!(bind(&mut ldap, ALICE, "wrong").await, (49, Some("52e".into())));
        assert_eq!(bind(&mut ldap, ALICE, "right").await, (0, None));
        let disabled = bind(&mut ldap, "CORP\\dora", "right").await;
        assert_eq!(disabled, (49, Some("533".into())));
        let last = server.journal().all().pop().unwrap();
        assert_eq!((last.name.as_str(), last.encrypted), ("CORP\\dora", true));
    }
    soon(server.journal().wait_for(6)).await;
    let records = server.journal().for_object(alice).into_iter();
    let outcomes: Vec<_> = records.map(|r| (r.connection, r.outcome, r.counted)).collect();
    let wrong = BindOutcome::Refused(SubCode::Wrong);
    assert_eq!(
        outcomes,
        [
            (1, wrong.clone(), true),
            (1, BindOutcome::Accepted, false),
            (2, wrong, true),
            (2, BindOutcome::Accepted, false),
        ]
    );
    assert_eq!(server.journal().failed_count(alice), 2);
    let counts = server.connections().counts();
    assert_eq!(
        (counts.opened_tls, counts.opened_plain, counts.start_tls),
        (1, 1, 1)
    );
    let shown = format!("{:?}", server.journal().all());
    assert!(!shown.contains("right"), "no password in the journal: {shown}");
    let connections = server.connections().clone();
    server.stop().await;
    assert_eq!(connections.counts().open, 0);
}

#[tokio::test]
async fn the_directory_changes_while_it_runs() {
    let server = server(ServerOptions::default()).await;
    let (directory, mut ldap) = (server.directory(), ldaps(&server).await);
    let alice = directory.guid_of("alice").unwrap();
    directory
        .rename(alice, "anna", Some("anna@corp.example.test"))
        .unwrap();
    assert_eq!(bind(&mut ldap, ALICE, "right").await, (49, Some("52e".into())));
    assert_eq!(bind(&mut ldap, "CORP\\anna", "right").await, (0, None));
    assert_eq!(
        bind(&mut ldap, &format!("<GUID={alice}>"), "right").await,
        (0, None)
    );
    directory.set_state(alice, &AccountState::Locked).unwrap();
    assert_eq!(
        bind(&mut ldap, "CORP\\anna", "right").await,
        (49, Some("775".into()))
    );
    assert_eq!(directory.locked_count(), 1);
    directory.unlock(alice).unwrap();
    directory.set_password(alice, "new").unwrap();
    assert_eq!(bind(&mut ldap, "CORP\\anna", "new").await, (0, None));
    directory.remove(alice).unwrap();
    assert_eq!(
        bind(&mut ldap, "CORP\\anna", "new").await,
        (49, Some("52e".into()))
    );
    let again = directory.add(User::new("anna", "new")).unwrap();
    assert_ne!(again, alice);
    assert_eq!(bind(&mut ldap, "CORP\\anna", "new").await, (0, None));
}

#[tokio::test]
async fn two_controllers_share_one_directory_and_one_root() {
    let seams = Seams::real();
    let directory = DirectoryHandle::open(&directory(), &seams).unwrap();
    let ca = Arc::new(TestCa::generate(&seams).unwrap());
    let mut servers = Vec::new();
    for host in ["dc1", "dc2"] {
        let options = ServerOptions {
            host: Some(host.to_owned()),
            tls: TlsChoice::By(ca.clone()),
            ..ServerOptions::default()
        };
        servers.push(
            Server::start_shared(directory.clone(), options, &seams)
                .await
                .unwrap(),
        );
    }
    assert_eq!(servers[0].ca_der(), servers[1].ca_der());
    for server in &servers {
        let mut ldap = ldaps(server).await;
        assert_eq!(bind(&mut ldap, ALICE, "wrong").await, (49, Some("52e".into())));
    }
    let records = directory.journal().all();
    let controllers: Vec<_> = records.iter().map(|r| r.controller.as_ref()).collect();
    assert_eq!(controllers, ["dc1", "dc2"]);
    let alice = directory.guid_of("alice").unwrap();
    assert_eq!(directory.account(alice).unwrap().counters.bad_pwd_count, 2);
}

#[tokio::test]
async fn an_idle_connection_gets_a_notice_and_is_closed() {
    let options = ServerOptions {
        idle_limit: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let server = server(options).await;
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    assert_notice(&mut raw).await;
}

async fn assert_notice(raw: &mut Raw) {
    let notice = raw.next().await.unwrap();
    assert_eq!(notice.msgid, 0);
    let LdapOp::ExtendedResponse(notice) = notice.op else {
        panic!("{notice:?} is no notice")
    };
    assert_eq!(notice.name.as_deref(), Some("1.3.6.1.4.1.1466.20036"));
    assert_eq!(notice.res.code, LdapResultCode::Unavailable);
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn tests_can_cut_connections() {
    let server = server(ServerOptions::default()).await;
    let addr = server.ldap_addr().unwrap();
    let mut raw = Raw::connect(addr).await;
    soon(server.connections().wait_until(|counts| counts.open == 1)).await;
    server.connections().drop_idle();
    assert_notice(&mut raw).await;
    soon(server.connections().wait_until(|counts| counts.open == 0)).await;

    let mut raw = Raw::connect(addr).await;
    soon(server.connections().wait_until(|counts| counts.open == 1)).await;
    server.connections().disconnect_all(false);
    assert!(raw.next().await.is_none());

    let mut raw = Raw::connect(addr).await;
    soon(server.connections().wait_until(|counts| counts.opened() == 3)).await;
    server.connections().disconnect_all(true);
    assert_notice(&mut raw).await;
}

#[tokio::test]
async fn pipelined_binds_are_answered_in_order() {
    let server = server(ServerOptions::default()).await;
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    for (id, password) in [(7, "right"), (8, "wrong"), (9, "right")] {
        raw.send(id, raw::bind(ALICE, password), Vec::new()).await;
    }
    for expected in [(7, 0), (8, 49), (9, 0)] {
        let answer = raw.next().await.unwrap();
        let LdapOp::BindResponse(response) = answer.op else {
            panic!("{answer:?} answers no bind")
        };
        assert_eq!((answer.msgid, response.res.code as i64), expected);
    }
    raw.send(10, LdapOp::UnbindRequest, Vec::new()).await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn an_unknown_critical_control_is_refused() {
    for flavour in [Flavour::Samba, Flavour::Windows] {
        let options = ServerOptions {
            flavour,
            ..ServerOptions::default()
        };
        let server = server(options).await;
        let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
        for (criticality, oid) in [
            (true, "1.2.3.4"),
            (false, "1.2.3.4"),
            (true, "1.2.840.113556.1.4.528"),
        ] {
            let control = LdapControl::Unknown {
                oid: oid.to_owned(),
                criticality,
                value: None,
            };
            raw.send(1, raw::search("", LdapSearchScope::Base), vec![control])
                .await;
            let answer = raw.next().await.unwrap().op;
            match (criticality && oid == "1.2.3.4", flavour, answer) {
                (true, Flavour::Samba, LdapOp::ExtendedResponse(response)) => {
                    assert_eq!(response.res.code, LdapResultCode::UnavailableCriticalExtension);
                }
                (true, Flavour::Windows, LdapOp::SearchResultDone(result)) => {
                    assert_eq!(result.code, LdapResultCode::UnavailableCriticalExtension);
                }
                (false, _, LdapOp::SearchResultEntry(_)) => {
                    assert!(matches!(
                        raw.next().await.unwrap().op,
                        LdapOp::SearchResultDone(_)
                    ));
                }
                (_, _, answer) => panic!("{oid}, critical {criticality}: {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_whole_domain_search_ends_with_a_referral() {
    let server = server(ServerOptions::default()).await;
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
    raw.next().await.unwrap();
    raw.send(2, raw::search(BASE, LdapSearchScope::Subtree), Vec::new())
        .await;
    let mut dns = Vec::new();
    let uris = loop {
        match raw.next().await.unwrap().op {
            LdapOp::SearchResultEntry(entry) => {
                assert!(entry.attributes.iter().all(|attribute| attribute.atype == "cn"));
                dns.push(entry.dn);
            }
            LdapOp::SearchResultReference(reference) => break reference.uris,
            other => panic!("{other:?}"),
        }
    };
    dns.sort();
    assert_eq!(
        dns,
        [
            &format!("CN=System,{BASE}"),
            &format!("CN=Users,{BASE}"),
            &format!("CN=alice,OU=Fixture,{BASE}"),
            &format!("CN=dora,CN=Users,{BASE}"),
            BASE,
            &format!("OU=Fixture,{BASE}"),
        ]
    );
    assert_eq!(
        uris,
        [format!("ldap://corp.example.test/CN=Configuration,{BASE}")]
    );
    assert!(matches!(
        raw.next().await.unwrap().op,
        LdapOp::SearchResultDone(_)
    ));
}

#[tokio::test]
async fn encryption_can_be_required() {
    let options = ServerOptions {
        require_encryption: true,
        ..ServerOptions::default()
    };
    let server = server(options).await;
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    for password in ["right", "wrong"] {
        raw.send(1, raw::bind(ALICE, password), Vec::new()).await;
        let LdapOp::BindResponse(response) = raw.next().await.unwrap().op else {
            panic!("no answer to a bind")
        };
        assert_eq!(response.res.code, LdapResultCode::StrongerAuthRequired);
        assert_eq!(response.res.message, "BindSimple: Transport encryption required.");
    }
    let alice = server.directory().guid_of("alice").unwrap();
    assert_eq!(server.journal().totals(alice).judged, 0);
    for mut ldap in [ldaps(&server).await, start_tls(&server).await] {
        assert_eq!(bind(&mut ldap, ALICE, "right").await, (0, None));
    }
}

#[tokio::test]
async fn windows_forgets_who_was_bound_when_a_bind_fails() {
    for (flavour, expected) in [(Flavour::Samba, 0), (Flavour::Windows, 1)] {
        let options = ServerOptions {
            flavour,
            ..ServerOptions::default()
        };
        let server = server(options).await;
        let mut ldap = ldaps(&server).await;
        assert_eq!(bind(&mut ldap, ALICE, "right").await.0, 0);
        assert_eq!(bind(&mut ldap, ALICE, "wrong").await.0, 49);
        let found = soon(ldap.search(BASE, ldap3::Scope::Base, "(objectClass=*)", ["*"]));
        assert_eq!(found.await.unwrap().1.rc, expected, "{flavour:?}");
    }
}

#[tokio::test]
async fn a_request_beyond_the_limit_ends_the_connection() {
    let server = server(ServerOptions::default()).await;
    let mut ldap = ldaps(&server).await;
    assert_eq!(bind(&mut ldap, ALICE, &"x".repeat(100_000)).await.0, 49);
    assert!(try_bind(&mut ldap, ALICE, &"x".repeat(1_000_000)).await.is_err());
    assert_eq!(server.journal().total(), 1);
    soon(server.connections().wait_until(|counts| counts.unreadable == 1)).await;
}

#[tokio::test]
async fn a_flood_of_connections_is_closed_and_counted_and_leaves_the_others_alone() {
    let options = ServerOptions {
        connections_max: 3,
        ..ServerOptions::default()
    };
    let server = server(options).await;
    let mut ldap = ldaps(&server).await;
    let addr = server.ldap_addr().unwrap();
    let held = [Raw::connect(addr).await, Raw::connect(addr).await];
    soon(server.connections().wait_until(|counts| counts.open == 3)).await;
    for _ in 0..20 {
        assert_eq!(raw::bytes(addr, b"").await, b"");
    }
    assert_eq!(server.connections().counts().above_limit, 20);
    assert_eq!(bind(&mut ldap, ALICE, "right").await.0, 0);
    drop(held);
    soon(server.connections().wait_until(|counts| counts.open == 1)).await;
    // There is room again, also for what makes no sense.
    let noise = raw::bytes(server.ldaps_addr().unwrap(), b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(!noise.starts_with(b"HTTP"));
    soon(server.connections().wait_until(|counts| counts.no_handshake == 1)).await;
    assert_eq!(bind(&mut ldap, ALICE, "right").await.0, 0);
}

#[tokio::test]
async fn what_is_no_ldap_is_not_answered() {
    let server = server(ServerOptions::default()).await;
    let addr = server.ldap_addr().unwrap();
    let version_2 = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x02\x04\x00\x80\x00";
    let success = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    assert_eq!(raw::bytes(addr, version_2).await, success);
    let unknown_choice = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x85\x00";
    assert_eq!(raw::bytes(addr, unknown_choice).await, b"");
    assert_eq!(raw::bytes(addr, b"GET / HTTP/1.1\r\n\r\n").await, b"");
    assert_eq!(raw::bytes(addr, b"\x30\x03\x02\x01\x01").await, b"");
    soon(server.connections().wait_until(|counts| counts.open == 0)).await;
    assert!(server.connections().counts().unreadable >= 2);
}

#[tokio::test]
async fn bytes_before_the_tls_handshake_do_not_count_as_protected() {
    let server = server(ServerOptions::default()).await;
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    let start_tls = LdapOp::ExtendedRequest(ldap3_proto::proto::LdapExtendedRequest {
        name: "1.3.6.1.4.1.1466.20037".to_owned(),
        value: None,
    });
    raw.send_both(1, start_tls, raw::bind(ALICE, "right")).await;
    assert!(matches!(
        raw.next().await.unwrap().op,
        LdapOp::ExtendedResponse(_)
    ));
    assert!(raw.next().await.is_none());
    assert_eq!(server.journal().total(), 0);
}

#[tokio::test]
async fn a_large_population_signs_in_and_is_found() {
    let population = Population::seeded(11, 20_000);
    let directory = Directory::builder("corp.example.test", "CORP")
        .population(&population)
        .build();
    let server = Server::start(directory, ServerOptions::default(), &Seams::real())
        .await
        .unwrap();
    let mut ldap = ldaps(&server).await;
    for person in population.people().iter().step_by(4_000) {
        let upn = person.upn("corp.example.test");
        assert_eq!(
            bind(&mut ldap, &upn, person.password.plaintext()).await,
            (0, None)
        );
        let filter = format!("(userPrincipalName={upn})");
        let (found, _) = soon(ldap.search(BASE, ldap3::Scope::Subtree, &filter, ["objectGUID"]))
            .await
            .unwrap()
            .success()
            .unwrap();
        let entries: Vec<_> = found.into_iter().filter(|entry| !entry.is_ref()).collect();
        assert_eq!(entries.len(), 1);
        let entry = ldap3::SearchEntry::construct(entries.into_iter().next().unwrap());
        let value = entry.bin_attrs.get("objectGUID").cloned().unwrap_or_default();
        assert_eq!(value, [person.guid.to_bytes_le().to_vec()]);
        assert_eq!(server.journal().totals(person.guid).accepted, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The server outlives whatever comes in; a panic of a connection would fail the group.
    #[test]
    fn no_bytes_break_the_server(strangers in proptest::collection::vec(bytes(), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let seams = Seams::real();
            let server = Server::start(directory(), ServerOptions::default(), &seams).await.unwrap();
            let addr = server.ldap_addr().unwrap();
            for stranger in strangers {
                raw::bytes(addr, &stranger).await;
            }
            let mut raw = Raw::connect(addr).await;
            raw.send(1, raw::bind(ALICE, "right"), Vec::new()).await;
            assert!(raw.next().await.is_some());
            drop(raw);
            server.stop().await;
            let stop = tokio_util::sync::CancellationToken::new();
            stop.cancel();
            seams.tasks.run_until(&stop, crate::client::PATIENCE).await.unwrap();
        });
    }
}

/// Arbitrary bytes, and a valid bind with one byte changed.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let valid = b"\x30\x15\x02\x01\x01\x60\x10\x02\x01\x03\x04\x04CORP\x80\x05right".to_vec();
    let changed = (0..valid.len(), any::<u8>()).prop_map(move |(at, byte)| {
        let mut bytes = valid.clone();
        bytes[at] = byte;
        bytes
    });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), changed]
}
