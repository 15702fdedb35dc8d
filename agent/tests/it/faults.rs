//! Rule 8 and the last row of rule 7: whatever goes wrong on one controller, a password is shown
//! once, nobody is called wrong, and the next user is served.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use postern_agent::forests::Forest;
use postern_directory_mock::{BindFault, Flavour, ResultCode, Server, SubCode};
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::net::{LdapProtection, Net as _, Sockets};
use postern_proto::verdict::{NotAsked, Unavailable, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bench::{Arm, Bench, Form, PASSWORD, PATIENCE, Person, Way, Which, ask, question, soon};

const SECOND: Duration = Duration::from_secs(1);
const LOST: Verdict = Verdict::Unavailable(Unavailable::ConnectionLost);
/// Most connections to one controller.
const POOL: u64 = 8;

async fn bench_with(form: Form, protection: LdapProtection) -> Bench {
    let arm = Arm {
        directory: Which::Simulated(Flavour::Samba),
        protection,
        form,
    };
    Bench::open(arm).await.unwrap()
}

async fn bench() -> Bench {
    bench_with(Form::Guid, LdapProtection::Ldaps).await
}

fn server(bench: &Bench) -> &Server {
    bench.server().unwrap()
}

/// Waits until no connection is open.
async fn all_closed(bench: &Bench) {
    soon(server(bench).connections().wait_until(|counts| counts.open == 0)).await;
    soon(bench.relay.wait_until(|counts| counts.open == 0)).await;
}

#[tokio::test]
async fn a_bind_that_hangs_is_given_up_at_its_deadline() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    server(&bench).faults().set_bind_for_next(1, BindFault::Hang);
    let start = monotonic();
    let within = 2 * SECOND;
    let report = ask(bench.forest(), &alice, PASSWORD, within).await;
    let timed_out = Verdict::Unavailable(Unavailable::TimedOut);
    assert_eq!((report.verdict, report.ldap_result), (timed_out, 0));
    assert!(monotonic() - start >= within);
    assert!(report.wait + report.bind >= within);
    // An answer that comes after all would be taken for the next user's: the connection is thrown away.
    all_closed(&bench).await;
    assert_eq!(server(&bench).journal().total(), 1);
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    assert_eq!(server(&bench).connections().counts().opened(), 2);
}

#[tokio::test]
async fn a_connection_that_breaks_at_a_bind_is_not_asked_again() {
    for (fault, failures) in [(BindFault::ResetUnjudged, 0), (BindFault::ResetJudged, 1)] {
        for rested in [false, true] {
            let bench = bench().await;
            let alice = bench.person("alice").await;
            if rested {
                assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
                server(&bench).journal().clear();
            }
            server(&bench).faults().set_bind_for_next(1, fault.clone());
            let report = bench.ask(&alice, "wrong").await;
            assert_eq!(report.verdict, LOST, "{fault:?}, rested: {rested}");
            assert_eq!(server(&bench).journal().total(), 1, "{fault:?}, rested: {rested}");
            assert_eq!(bench.failures("alice").await, failures);
            assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_down_during_a_bind_is_not_asked_again() {
    for with_notice in [true, false] {
        let bench = bench().await;
        let alice = bench.person("alice").await;
        server(&bench).faults().set_latency(PATIENCE);
        let cutting = async {
            soon(server(&bench).journal().wait_for(1)).await;
            server(&bench).connections().disconnect_all(with_notice);
        };
        let (report, ()) = tokio::join!(bench.ask(&alice, "wrong"), cutting);
        assert_eq!(report.verdict, LOST, "notice: {with_notice}");
        assert_eq!(server(&bench).journal().total(), 1);
        server(&bench).faults().clear();
        assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    }
}

#[tokio::test]
async fn what_is_no_judgement_is_never_wrong() {
    use Unavailable::{DirectoryDeclined as Declined, DirectoryFault as Fault};
    let answer = |code| BindFault::Answer {
        code,
        message: "80090308: LdapErr: comment: AcceptSecurityContext error, data 52e, v1db1".to_owned(),
    };
    let bench = bench().await;
    let alice = bench.person("alice").await;
    for (fault, why, result, sub_code) in [
        (BindFault::stronger_auth(), Declined, 8, 0),
        (BindFault::busy(), Declined, 51, 0),
        (BindFault::unavailable(), Declined, 52, 0),
        (BindFault::other(), Fault, 80, 0),
        (answer(ResultCode::OperationsError), Fault, 1, 0),
        (answer(ResultCode::UnwillingToPerform), Fault, 53, 0),
        (answer(ResultCode::Busy), Declined, 51, 0),
        (BindFault::OddSubCode(0x51f), Fault, 49, 0x51f),
        (BindFault::OddSubCode(0x576), Fault, 49, 0x576),
        (BindFault::OddSubCode(0x774), Fault, 49, 0x774),
        (BindFault::OddSubCode(0x7ff), Fault, 49, 0x7ff),
        (BindFault::OddSubCode(0), Fault, 49, 0),
    ] {
        server(&bench).faults().set_bind(fault.clone());
        for password in [PASSWORD, "wrong"] {
            let report = bench.ask(&alice, password).await;
            let expected = (Verdict::Unavailable(why), result, sub_code);
            let got = (report.verdict, report.ldap_result, report.sub_code);
            assert_eq!(got, expected, "{fault:?}, {password}");
        }
    }
    server(&bench).faults().clear();
    assert_eq!(bench.failures("alice").await, 0);
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn idle_connections_that_the_directory_closes_cost_nobody_a_sign_in() {
    for protection in [LdapProtection::Ldaps, LdapProtection::StartTls] {
        let bench = bench_with(Form::Upn, protection).await;
        let (alice, bob) = (bench.person("alice").await, bench.person("bob").await);
        let connections = server(&bench).connections();
        let close: [(&str, &dyn Fn()); 3] = [
            ("idle limit", &|| connections.drop_idle()),
            ("notice", &|| connections.disconnect_all(true)),
            ("without a word", &|| connections.disconnect_all(false)),
        ];
        for (how, close) in close {
            let opened = connections.counts().opened();
            let together = join_all((0..3).map(|_| bench.ask(&alice, PASSWORD))).await;
            assert!(together.iter().all(|report| report.verdict == Verdict::Accepted));
            assert_eq!(connections.counts().open, 3, "{how}");
            close();
            all_closed(&bench).await;
            server(&bench).journal().clear();
            assert_eq!(bench.ask(&bob, "wrong").await.verdict, Verdict::Wrong, "{how}");
            assert_eq!(
                bench.ask(&bob, PASSWORD).await.verdict,
                Verdict::Accepted,
                "{how}"
            );
            let outcomes: Vec<_> = server(&bench)
                .journal()
                .all()
                .into_iter()
                .map(|bind| bind.outcome)
                .collect();
            use postern_directory_mock::BindOutcome::{Accepted, Refused};
            assert_eq!(outcomes, [Refused(SubCode::Wrong), Accepted], "{how}");
            assert_eq!(connections.counts().opened(), opened + 4, "{how}");
            connections.disconnect_all(false);
            all_closed(&bench).await;
        }
    }
}

#[tokio::test]
async fn a_full_pool_says_busy_and_recovers() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    let forests = Way {
        // For those that get a connection it is long enough.
        connect: 2 * SECOND,
        ..bench.way()
    }
    .open();
    let forest = &forests.all()[0];
    server(&bench).faults().set_bind(BindFault::Hang);
    let hanging = join_all((0..POOL).map(|_| ask(forest, &alice, PASSWORD, PATIENCE)));
    let another = async {
        soon(server(&bench).journal().wait_for(POOL)).await;
        let report = ask(forest, &alice, PASSWORD, PATIENCE).await;
        assert_eq!(report.verdict, Verdict::NotAsked(NotAsked::Busy));
        assert_eq!(server(&bench).connections().counts().opened(), POOL);
        assert_eq!(server(&bench).journal().total(), POOL);
        server(&bench).connections().disconnect_all(false);
    };
    let (lost, ()) = tokio::join!(hanging, another);
    assert!(lost.iter().all(|report| report.verdict == LOST));
    server(&bench).faults().clear();
    let report = ask(forest, &alice, PASSWORD, PATIENCE).await;
    assert_eq!(report.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_pool_serves_more_users_than_it_has_connections() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    let crowd = join_all((0..5 * POOL).map(|_| bench.ask(&alice, PASSWORD))).await;
    assert!(crowd.iter().all(|report| report.verdict == Verdict::Accepted));
    assert_eq!(server(&bench).connections().counts().opened(), POOL);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_takes_its_connection_along() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    server(&bench).faults().set_bind_for_next(1, BindFault::Hang);
    let now = monotonic();
    tokio::select! {
        report = bench.forest().check(question(&alice, PASSWORD), now, now + PATIENCE) => panic!("{report:?}"),
        () = server(&bench).journal().wait_for(1) => {}
    }
    all_closed(&bench).await;
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
}

/// What a stranger on the controller's port answers to the first bytes, and then closes.
const STRANGERS: [&[u8]; 7] = [
    b"",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x30\x03\x02\x01\x01",
    b"\x15\x03\x03\x00\x02\x02\x28",
    // StartTLS refused.
    b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
    // StartTLS granted, and then no TLS.
    b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
];

#[tokio::test]
async fn a_stranger_on_the_port_gets_no_password() {
    let alice = Person {
        object: "6995b085-9404-416e-8f04-0123456789ab".parse().unwrap(),
        name: "alice@corp.example.test".parse().unwrap(),
    };
    for protection in [LdapProtection::Ldaps, LdapProtection::StartTls] {
        for answer in STRANGERS {
            let (addr, heard) = stranger(answer).await;
            let forests = Way {
                controllers: vec![("dc1.corp.example.test".to_owned(), addr)],
                protection,
                ..Way::default()
            }
            .open();
            let forest: &Forest = &forests.all()[0];
            let report = ask(forest, &alice, PASSWORD, PATIENCE).await;
            let expected = Verdict::NotAsked(NotAsked::NoController);
            assert_eq!(report.verdict, expected, "{protection:?} {answer:02x?}");
            let heard = heard.lock().unwrap();
            assert!(!heard.is_empty(), "the agent spoke first");
            let contains = |text: &str| heard.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!contains(PASSWORD) && !contains("alice"), "{protection:?}");
        }
    }
}

/// Answers each connection with the same bytes, and keeps what it hears.
async fn stranger(answer: &'static [u8]) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = Sockets.listen(any).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let ears = heard.clone();
    Seams::real().tasks.spawn("stranger", async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            let read = client.read(&mut bytes).await.unwrap_or(0);
            ears.lock().unwrap().extend(&bytes[..read]);
            let _ = client.write_all(answer).await;
            let _ = client.shutdown().await;
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
            ears.lock().unwrap().extend(rest);
        }
    });
    (addr, heard)
}
