//! The adapter byte by byte: the test holds the other end of each connection, so that it sees what
//! is said first, lets time pass over an idle connection, and answers what no directory would.

use std::io;
use std::net::SocketAddr;

use postern_kit::clock::SystemClock;
use postern_kit::net::{BoxedIo, LdapLink, LdapStream, Listener, Net};
use postern_kit::tls::{self, ServerTrust, Versions};
use postern_proto::password::Password;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::*;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a probe is waited for: longer than a pause of a loaded machine where one is answered.
const PROBE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

const OBJECT: &str = "6995b085-9404-416e-8f04-0123456789ab";
const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;

/// Each dial gives its other end to the test.
#[derive(Debug)]
struct Dials(mpsc::Sender<UnixStream>);

#[async_trait]
impl Net for Dials {
    async fn listen(&self, _: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: &str, _: u16) -> io::Result<BoxedIo> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect_ldap(
        &self,
        _: &str,
        _: u16,
        _: LdapProtection,
        tls: Arc<tls::ClientTls>,
    ) -> io::Result<LdapLink> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let given = self.0.send(UnixStream::from_std(theirs)?).await;
        given.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(LdapLink {
            stream: LdapStream::Unix(ours),
            url: "ldapi:///".to_owned(),
            start_tls: false,
            tls,
        })
    }
}

/// A controller, and the test's ends of the connections to it.
struct World {
    directory: LdapDirectory,
    dialed: mpsc::Receiver<UnixStream>,
    /// From a question to its deadline.
    within: Duration,
}

impl World {
    fn new() -> Self {
        Self::with(BindName::Guid, PROBE)
    }

    fn with(bind_name: BindName, probe: Duration) -> Self {
        let (sender, dialed) = mpsc::channel(16);
        let roots = ServerTrust::Roots(Vec::new());
        let tls = tls::client(roots, None, Versions::Tls12And13, &[], Arc::new(SystemClock)).unwrap();
        let settings = LdapSettings {
            shown: Default::default(),
            controller: "dc1.corp.example.test:636".parse().unwrap(),
            addresses: Vec::new(),
            protection: LdapProtection::Ldaps,
            bind_name,
            service_account: None,
            kind: DirectoryKind::ActiveDirectory,
            tls,
            probe,
        };
        let seams = Seams {
            net: Arc::new(Dials(sender)),
            ..Seams::real()
        };
        Self {
            directory: LdapDirectory::new(settings, seams),
            dialed,
            within: PATIENCE,
        }
    }

    /// Asks, while `peer` does its part.
    async fn ask<T>(&mut self, peer: impl AsyncFnOnce(&mut mpsc::Receiver<UnixStream>) -> T) -> (Verdict, T) {
        let asking = async {
            let deadline = monotonic() + self.within;
            let connection = self.directory.connection(deadline).await.unwrap();
            connection.ask(question(), deadline).await.unwrap().verdict
        };
        soon(async { tokio::join!(asking, peer(&mut self.dialed)) }).await
    }

    /// Asks on a new connection, which rests from now.
    async fn rested(&mut self) -> Peer {
        let (verdict, peer) = self
            .ask(async |dialed| {
                let mut peer = next(dialed).await;
                peer.accept_bind().await;
                peer
            })
            .await;
        assert_eq!(verdict, Verdict::Accepted);
        assert_eq!(self.directory.0.idle().len(), 1);
        peer
    }

    /// Lets time pass over the idle connections.
    fn age(&self, by: Duration) {
        for idle in self.directory.0.idle().iter_mut() {
            idle.since -= by;
        }
    }

    fn no_more_dials(&mut self) {
        assert!(self.dialed.try_recv().is_err(), "somebody dialed again");
    }
}

fn question() -> Question {
    Question {
        object: OBJECT.parse().unwrap(),
        name: "alice@corp.example.test".parse().unwrap(),
        password: Password::new("right".to_owned()).unwrap(),
    }
}

async fn next(dialed: &mut mpsc::Receiver<UnixStream>) -> Peer {
    Peer(dialed.recv().await.unwrap())
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// Long enough for all that has come to be read, since nothing else runs here.
async fn others_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// The directory's end of a connection.
struct Peer(UnixStream);

impl Peer {
    /// The next request: its message id, and which operation it is. `None` is the end.
    async fn request(&mut self) -> Option<(u8, u8)> {
        let mut head = [0_u8; 2];
        self.0.read_exact(&mut head).await.ok()?;
        assert!(head[0] == 0x30 && head[1] < 0x80, "a short message");
        let mut body = vec![0; head[1].into()];
        self.0.read_exact(&mut body).await.unwrap();
        assert_eq!(body[..2], [2, 1], "a short message id");
        Some((body[2], body[3]))
    }

    async fn expect(&mut self, operation: u8) -> u8 {
        let (id, got) = self.request().await.unwrap();
        assert_eq!(got, operation, "{got:x} is asked instead of {operation:x}");
        id
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The client may have given up.
        let _ = self.0.write_all(bytes).await;
    }

    async fn accept_bind(&mut self) {
        let id = self.expect(BIND).await;
        self.send(&result(id, BOUND, 0, "")).await;
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "short messages only");
    [&[tag, length], content].concat()
}

fn message(id: u8, operation: u8, content: &[u8]) -> Vec<u8> {
    element(0x30, &[vec![2, 1, id], element(operation, content)].concat())
}

fn result(id: u8, operation: u8, code: u8, text: &str) -> Vec<u8> {
    let content = [vec![10, 1, code], element(4, b""), element(4, text.as_bytes())].concat();
    message(id, operation, &content)
}

/// The entry of the expected object.
fn entry(id: u8) -> Vec<u8> {
    let object: postern_proto::ids::ObjectId = OBJECT.parse().unwrap();
    let guid = uuid::Uuid::from_bytes(*object.as_bytes()).to_bytes_le();
    let value = element(0x31, &element(4, &guid));
    let attribute = element(0x30, &[element(4, b"objectGUID"), value].concat());
    message(
        id,
        ENTRY,
        &[element(4, b"CN=alice"), element(0x30, &attribute)].concat(),
    )
}

#[tokio::test]
async fn a_connection_is_probed_only_after_it_has_rested_for_long() {
    let mut world = World::new();
    let mut peer = world.rested().await;
    let half_a_minute = Duration::from_secs(30);
    for (rest, probed) in [(half_a_minute - SECOND, false), (half_a_minute, true)] {
        world.age(rest);
        let (verdict, ()) = world
            .ask(async |_| {
                if probed {
                    let id = peer.expect(SEARCH).await;
                    peer.send(&result(id, DONE, 0, "")).await;
                }
                peer.accept_bind().await;
            })
            .await;
        assert_eq!(verdict, Verdict::Accepted, "after {rest:?}");
    }
    world.no_more_dials();
}

#[tokio::test]
async fn a_probe_without_an_answer_gives_way_to_a_new_connection() {
    let mut world = World::with(BindName::Guid, Duration::from_millis(50));
    let mut silent = world.rested().await;
    world.age(PROBE_AFTER);
    let (verdict, ()) = world
        .ask(async |dialed| {
            let mut peer = next(dialed).await;
            peer.accept_bind().await;
        })
        .await;
    assert_eq!(verdict, Verdict::Accepted);
    silent.expect(SEARCH).await;
    assert_eq!(soon(silent.request()).await, None, "and no bind");
}

#[tokio::test]
async fn connections_are_counted() {
    let mut world = World::new();
    let counted = |world: &World| {
        let now = world.directory.connections();
        (now.idle, now.in_use)
    };
    assert_eq!(counted(&world), (0, 0));
    let _peer = world.rested().await;
    assert_eq!(counted(&world), (1, 0));
    let taken = world.directory.connection(monotonic() + PATIENCE).await.unwrap();
    assert_eq!(counted(&world), (0, 1));
    drop(taken);
    assert_eq!(counted(&world), (0, 0), "who asked nothing gives nothing back");
}

#[tokio::test]
async fn a_connection_retires_after_five_minutes() {
    let mut world = World::new();
    let mut peer = world.rested().await;
    let five_minutes = Duration::from_secs(5 * 60);
    world.directory.sweep(monotonic() + five_minutes - SECOND);
    assert_eq!(world.directory.0.idle().len(), 1);
    world.directory.sweep(monotonic() + five_minutes);
    assert_eq!(soon(peer.request()).await, None);

    // Also when nobody sweeps; and it is not even probed.
    let mut peer = world.rested().await;
    world.age(five_minutes);
    let _new = world.rested().await;
    assert_eq!(soon(peer.request()).await, None);
}

#[tokio::test]
async fn a_notice_of_disconnection_is_not_forgotten() {
    let mut world = World::new();
    let mut peer = world.rested().await;
    // As RFC 4511 has it, and as Active Directory sends it.
    let oid = element(0x8a, b"1.3.6.1.4.1.1466.20036");
    let gone = [vec![10, 1, 52], element(4, b""), element(4, b"")].concat();
    let notice = message(0, 0x78, &[gone, oid].concat());
    peer.send(&notice).await;
    // Whether it has been read by now or not, a bind must not be the next that is said.
    others_run().await;
    let (verdict, ()) = world
        .ask(async |dialed| {
            peer.expect(SEARCH).await;
            drop(peer);
            next(dialed).await.accept_bind().await;
        })
        .await;
    assert_eq!(verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_question_comes_back_if_the_connection_ends_before_it_is_asked() {
    let mut world = World::new();
    let peer = world.rested().await;
    let deadline = monotonic() + PATIENCE;
    let connection = world.directory.connection(deadline).await.unwrap();
    drop(peer);
    others_run().await;
    let NotSent(back) = soon(connection.ask(question(), deadline)).await.unwrap_err();
    assert_eq!(back.password.plaintext(), "right");
}

#[tokio::test]
async fn references_to_child_domains_do_not_hide_the_entry() {
    let base = "DC=corp,DC=example,DC=test".to_owned();
    let mut world = World::with(BindName::Upn { base }, PROBE);
    let (verdict, ()) = world
        .ask(async |dialed| {
            let mut peer = next(dialed).await;
            peer.accept_bind().await;
            let id = peer.expect(SEARCH).await;
            for child in 0..50 {
                let uri = format!("ldaps://child{child}.corp.example.test");
                peer.send(&message(id, REFERENCE, &element(4, uri.as_bytes())))
                    .await;
            }
            peer.send(&entry(id)).await;
            peer.send(&result(id, DONE, 0, "")).await;
        })
        .await;
    assert_eq!(verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_connection_that_does_not_say_who_is_bound_is_thrown_away() {
    let base = "DC=corp,DC=example,DC=test".to_owned();
    let mut world = World::with(BindName::Upn { base }, PROBE);
    world.within = SECOND;
    let (verdict, mut peer) = world
        .ask(async |dialed| {
            let mut peer = next(dialed).await;
            peer.accept_bind().await;
            peer.expect(SEARCH).await;
            peer
        })
        .await;
    assert_eq!(verdict, Verdict::Unavailable(Unavailable::ObjectUnknown));
    assert_eq!(soon(peer.request()).await, None);
}

#[tokio::test]
async fn what_answers_no_bind_is_no_verdict() {
    let wrong = "80090308: LdapErr: comment: AcceptSecurityContext error, data 52e, v1db1";
    for answer in [
        vec![],
        result(99, BOUND, 0, ""),
        result(1, BOUND, 0, "")[..8].to_vec(),
        message(1, BOUND, &[10, 1, 0]),
        message(1, BOUND, &[4, 1, 0, 4, 0, 4, 0]),
        element(0x30, b""),
        element(0x30, &[2, 1, 1]),
        element(0x31, &[2, 1, 1]),
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        [result(99, BOUND, 49, wrong), vec![0xff; 40]].concat(),
        message(1, BOUND, b"\x0a\x01\x31\x04\x00\x04\x02\xff\xfe"),
    ] {
        let mut world = World::new();
        let (verdict, ()) = world
            .ask(async |dialed| {
                let mut peer = next(dialed).await;
                peer.expect(BIND).await;
                peer.send(&answer).await;
            })
            .await;
        let lost = Verdict::Unavailable(Unavailable::ConnectionLost);
        assert_eq!(verdict, lost, "{answer:02x?}");
        assert_eq!(world.directory.0.idle().len(), 0);
        let _usable = world.rested().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The process outlives whatever a directory sends, and the next question is answered.
    #[test]
    fn no_bytes_break_the_agent(bound in bytes(result(1, BOUND, 0, "")), found in bytes(entry(2))) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let base = "DC=corp,DC=example,DC=test".to_owned();
            let mut world = World::with(BindName::Upn { base }, PROBE);
            for answers in [vec![bound], vec![result(1, BOUND, 0, ""), found]] {
                let (verdict, ()) = world.ask(async |dialed| {
                    let mut peer = next(dialed).await;
                    for answer in answers {
                        if peer.request().await.is_some() {
                            peer.send(&answer).await;
                        }
                    }
                }).await;
                // Not even an intact acceptance counts: the entry of its object has not come.
                assert_ne!(verdict, Verdict::Accepted);
            }
            let (verdict, ()) = world.ask(async |dialed| {
                let mut peer = next(dialed).await;
                peer.accept_bind().await;
                let id = peer.expect(SEARCH).await;
                peer.send(&[entry(id), result(id, DONE, 0, "")].concat()).await;
            }).await;
            assert_eq!(verdict, Verdict::Accepted);
        });
    }
}

/// Arbitrary bytes, and a valid message with one byte changed.
fn bytes(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changed = (0..valid.len(), any::<u8>()).prop_map(move |(at, byte)| {
        let mut bytes = valid.clone();
        bytes[at] = byte;
        bytes
    });
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), changed]
}
