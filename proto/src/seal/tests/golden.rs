//! Golden bytes of the sealing: what is derived from, bound and signed, and one whole exchange.
//!
//! Cloud and agent must compute all of this alike, and nothing else would notice that both changed
//! together: label, order of fields, padding, suite, the way keys are derived. The parts stand in
//! `seal.txt`, so that a change of the exchange in `exchange.txt` can be told by its cause. If only
//! the exchange differs, look at the suite's libraries, or at what the test feeds in: the
//! randomness of a seed and the order in which [`World`] draws it.

use std::cell::RefCell;

use prost::Message as _;

use super::super::message::Binding;
use super::super::session::{MessageKeys, Terms};
use super::super::{canonical, key};
use super::*;
use crate::golden::{bytes, check, read};
use crate::ids::{SealingKeyId, SessionId};

const PASSWORD: &str = "Pässwörd-密码-🔑";

fn stream() -> Stream {
    Stream {
        nonce: [0x01; 32],
        tenant: TenantId::from_bytes([0x02; 16]),
        agent: AgentId::from_bytes([0x03; 16]),
    }
}

#[test]
fn what_is_derived_from_bound_and_signed_is_as_it_was() {
    let stream = stream();
    let session = SessionId::from_bytes([0x04; 16]);
    let terms = Terms {
        stream: &stream,
        key: SealingKeyId::from_bytes([0x05; 16]),
        replica: ReplicaId::from_bytes([0x06; 16]),
        session,
        lifetime_ms: 0x0102_0304_0506_0708,
    };
    let binding = Binding {
        stream,
        session,
        sequence: 0x0A0B_0C0D,
        header: Header {
            request: RequestId::from_bytes([0x07; 16]),
            domain: "corp.example".parse().unwrap(),
            deadline: Duration::from_millis(0x0102_0304),
        },
    };
    let contexts = RefCell::new(Vec::new());
    MessageKeys::derive(session, 0x0A0B_0C0D, |context, _| {
        contexts.borrow_mut().push(context.to_vec());
        Ok(())
    })
    .unwrap();
    let contexts = contexts.into_inner();
    let [request_key, verdict_key] = contexts.as_slice() else {
        panic!("{} keys", contexts.len())
    };
    check(
        "seal.txt",
        &[
            bytes(
                "canonical encoding",
                &canonical::encode(&[b"", b"a", &[0xff; 300]]),
            ),
            bytes(
                "announcement of a sealing key, signed",
                &key::signed(&stream, terms.key, &[0x08; 33]),
            ),
            bytes("announcement of a session, signed", &terms.signed(&[0x09; 34])),
            bytes("HPKE info", &terms.info()),
            bytes("request key, export context", request_key),
            bytes("verdict key, export context", verdict_key),
            bytes("request, additional data", &binding.additional_data("request")),
            bytes("verdict, additional data", &binding.additional_data("verdict")),
        ],
    );
}

/// One exchange, from the key to the verdict.
struct Exchange {
    world: World,
    key: channel::SealingKey,
    session: channel::Session,
    request: channel::SealedRequest,
    verdict: channel::SealedVerdict,
    opener: VerdictOpener,
}

fn report() -> VerdictReport {
    VerdictReport {
        verdict: Verdict::Wrong,
        ldap_result: 49,
        sub_code: 0x52e,
        controller: Some("dc1.corp.example:636".to_owned()),
        wait: Duration::from_micros(1_500),
        bind: Duration::from_micros(40_000),
    }
}

impl Exchange {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let key = world.sealing_key.announce(&world.stream, &world.agent_key);
        let (mut sealing, session) = world.establish();
        let mut opening = world.accept(&session).unwrap();
        // The sequence number is then another one than the first.
        world.seal(&mut sealing, "another");
        let (request, opener) = world.seal(&mut sealing, PASSWORD);
        let verdict = opening.open(&request, NOW).unwrap().sealer.seal(&report());
        Self {
            world,
            key,
            session,
            request,
            verdict,
            opener,
        }
    }

    /// What crossed the wire. The certificates are left out: this test's library made them, and
    /// nothing is derived from them.
    fn messages(&self) -> Vec<(&'static str, Vec<u8>)> {
        let session = channel::Session {
            replica_certificate_chain: Vec::new(),
            ..self.session.clone()
        };
        vec![
            ("announcement of the sealing key", self.key.encode_to_vec()),
            ("announcement of the session", session.encode_to_vec()),
            ("request", self.request.encode_to_vec()),
            ("verdict", self.verdict.encode_to_vec()),
        ]
    }
}

#[test]
fn an_exchange_is_as_it_was() {
    let messages = Exchange::new(1).messages();
    let made: Vec<_> = messages
        .iter()
        .map(|(name, message)| bytes(*name, message))
        .collect();
    check("exchange.txt", &made);
}

#[test]
fn the_golden_exchange_is_taken_by_both_ends() {
    let golden = read("exchange.txt");
    let Exchange {
        world,
        session: announced,
        opener,
        ..
    } = Exchange::new(1);

    let key = channel::SealingKey::decode(golden["announcement of the sealing key"].as_slice()).unwrap();
    let key = AnnouncedKey::verify(&world.stream, &key, &world.agent_key.public_key()).unwrap();
    assert_eq!(key.id(), world.sealing_key.id());

    let session = channel::Session::decode(golden["announcement of the session"].as_slice()).unwrap();
    let mut opening = world
        .accept(&channel::Session {
            replica_certificate_chain: announced.replica_certificate_chain,
            ..session
        })
        .unwrap();
    let request = channel::SealedRequest::decode(golden["request"].as_slice()).unwrap();
    let request = opening.open(&request, NOW).unwrap().request.unwrap();
    assert_eq!(request.password.plaintext(), PASSWORD);
    assert_eq!(request.name.as_str(), "alice@corp.example");
    assert_eq!(request.object, ObjectId::from_bytes([7; 16]));

    let verdict = channel::SealedVerdict::decode(golden["verdict"].as_slice()).unwrap();
    assert_eq!(opener.open(&verdict.ciphertext).unwrap(), report());
}

#[test]
fn an_exchange_repeats_itself_from_its_seed_and_from_no_other() {
    let messages = |seed| Exchange::new(seed).messages();
    let (once, again, other) = (messages(1), messages(1), messages(2));
    assert_eq!(once, again);
    for ((name, once), (_, other)) in once.iter().zip(&other) {
        assert_ne!(once, other, "{name}");
    }
}

#[test]
fn the_longest_request_and_verdict_arrive_whole() {
    let world = World::new(23);
    let (mut sealing, mut opening) = world.pair();
    let header = Header {
        request: RequestId::generate(&world.random),
        domain: "corp.example".parse().unwrap(),
        deadline: DEADLINE_MAX,
    };
    let (name, password) = ("n".repeat(512), "p".repeat(1024));
    let credentials = Credentials {
        object: ObjectId::from_bytes([0xff; 16]),
        name: &name.parse().unwrap(),
        password: &Password::new(password.clone()).unwrap(),
    };
    let (sealed, opener) = sealing.seal(&header, &credentials).unwrap();
    let opened = opening.open(&sealed, NOW).unwrap();
    let request = opened.request.unwrap();
    assert_eq!(request.name.as_str(), name);
    assert_eq!(request.password.plaintext(), password);
    // The last of the numbers have the longest encodings.
    let longest = VerdictReport {
        verdict: Verdict::NotAsked(NotAsked::UnknownDomain),
        ldap_result: u32::MAX,
        sub_code: u32::MAX,
        controller: Some("c".repeat(crate::verdict::CONTROLLER_BYTES_MAX)),
        wait: Duration::from_micros(u64::MAX),
        bind: Duration::from_micros(u64::MAX),
    };
    let sealed = opened.sealer.seal(&longest);
    assert_eq!(opener.open(&sealed.ciphertext).unwrap(), longest);
}
