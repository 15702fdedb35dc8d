//! What the sealing promises, one test each.

mod golden;
mod vectors;

use std::sync::Arc;

use postern_kit::clock::Timestamp;
use postern_kit::keys::SigningKey;
use postern_kit::random::SeededRandom;
use postern_kit::tls::Certificate;
use proptest::prelude::*;

use super::session::Replica;
use super::*;
use crate::certificate::{REPLICA_SERVER_NAME, Role};
use crate::ids::{ObjectId, ReplicaId, RequestId};
use crate::password::Password;
use crate::verdict::{NotAsked, Verdict, VerdictReport};
use crate::wire::channel;

/// A root, a replica under it, an agent with a sealing key, and the stream between them.
struct World {
    random: SeededRandom,
    clock: Timestamp,
    root: Certificate,
    replica: Replica,
    agent_key: SigningKey,
    sealing_key: Arc<SealingKeyPair>,
    stream: Stream,
}

fn certificate(
    role: &Role,
    key: &SigningKey,
    issuer: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>,
) -> Certificate {
    let mut params = rcgen::CertificateParams::new([REPLICA_SERVER_NAME.to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(rcgen::SanType::URI(role.to_string().try_into().unwrap()));
    let key = key.rcgen().unwrap();
    match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap().der().clone(),
        None => params.self_signed(&key).unwrap().der().clone(),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let root_key = SigningKey::generate(&random).rcgen().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).unwrap().der().clone();
        let issuer = rcgen::Issuer::new(params, root_key);
        let id = ReplicaId::generate(&random);
        let key = SigningKey::generate(&random);
        let chain = vec![certificate(&Role::CloudReplica(id), &key, Some(&issuer))];
        Self {
            clock: Timestamp::from_unix_ms(1_800_000_000_000),
            root,
            replica: Replica { id, key, chain },
            agent_key: SigningKey::generate(&random),
            sealing_key: Arc::new(SealingKeyPair::generate(&random)),
            stream: Stream {
                nonce: postern_kit::random::array(&random),
                tenant: TenantId::generate(&random),
                agent: AgentId::generate(&random),
            },
            random,
        }
    }

    fn announced(&self) -> AnnouncedKey {
        let announcement = self.sealing_key.announce(&self.stream, &self.agent_key);
        AnnouncedKey::verify(&self.stream, &announcement, &self.agent_key.public_key()).unwrap()
    }

    fn establish(&self) -> (SealingSession, channel::Session) {
        SealingSession::establish(&self.stream, &self.announced(), &self.replica, &self.random).unwrap()
    }

    fn accept(&self, announcement: &channel::Session) -> Result<OpeningSession, SealError> {
        OpeningSession::accept(
            &self.stream,
            self.sealing_key.clone(),
            announcement,
            &self.root,
            self.clock,
        )
    }

    fn pair(&self) -> (SealingSession, OpeningSession) {
        let (sealing, announcement) = self.establish();
        let opening = self.accept(&announcement).unwrap();
        (sealing, opening)
    }

    fn seal(&self, session: &mut SealingSession, password: &str) -> (channel::SealedRequest, VerdictOpener) {
        let header = Header {
            request: RequestId::generate(&self.random),
            domain: "corp.example".parse().unwrap(),
            deadline: Duration::from_secs(15),
        };
        let credentials = Credentials {
            object: ObjectId::from_bytes([7; 16]),
            name: &"alice@corp.example".parse().unwrap(),
            password: &Password::new(password.to_owned()).unwrap(),
        };
        session.seal(&header, &credentials).unwrap()
    }
}

fn verdict(verdict: Verdict) -> VerdictReport {
    VerdictReport::bare(verdict)
}

const NOW: Duration = Duration::from_secs(1);

#[test]
fn a_password_arrives_and_its_verdict_returns() {
    let world = World::new(1);
    let (mut sealing, mut opening) = world.pair();
    let (sealed, opener) = world.seal(&mut sealing, "Pässwörd-密码-🔑-1");
    let opened = opening.open(&sealed, NOW).unwrap();
    let request = opened.request.unwrap();
    assert_eq!(request.password.plaintext(), "Pässwörd-密码-🔑-1");
    assert_eq!(request.name.as_str(), "alice@corp.example");
    assert_eq!(request.object, ObjectId::from_bytes([7; 16]));
    assert_eq!(request.header.domain.as_str(), "corp.example");
    let answer = opened.sealer.seal(&verdict(Verdict::Accepted));
    assert_eq!(
        opener.open(&answer.ciphertext).unwrap().verdict,
        Verdict::Accepted
    );
}

#[test]
fn no_length_tells_anything() {
    let world = World::new(1);
    let (mut sealing, mut opening) = world.pair();
    let (short, _) = world.seal(&mut sealing, "x");
    let (long, _) = world.seal(&mut sealing, &"x".repeat(1024));
    assert_eq!(short.ciphertext.len(), long.ciphertext.len());
    let answers = [Verdict::Accepted, Verdict::NotAsked(NotAsked::Busy)].map(|answer| {
        let (sealed, _) = world.seal(&mut sealing, "x");
        let mut report = verdict(answer);
        report.controller = Some("c".repeat(if answer == Verdict::Accepted { 0 } else { 900 }));
        report.bind = Duration::MAX;
        report.wait = Duration::MAX;
        opening
            .open(&sealed, NOW)
            .unwrap()
            .sealer
            .seal(&report)
            .ciphertext
            .len()
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_request_opens_once_and_in_any_order() {
    let world = World::new(2);
    let (mut sealing, mut opening) = world.pair();
    let sealed: Vec<_> = (0..200).map(|_| world.seal(&mut sealing, "p").0).collect();
    for request in sealed.iter().rev() {
        opening.open(request, NOW).unwrap();
    }
    for request in &sealed {
        assert!(matches!(opening.open(request, NOW), Err(SealError::Replayed)));
    }
}

#[test]
fn what_is_not_authentic_uses_no_sequence_number_up() {
    let world = World::new(3);
    let (mut sealing, mut opening) = world.pair();
    let (sealed, _) = world.seal(&mut sealing, "p");
    let mut broken = sealed.clone();
    broken.ciphertext[100] ^= 1;
    assert!(matches!(opening.open(&broken, NOW), Err(SealError::DoesNotOpen)));
    opening.open(&sealed, NOW).unwrap();
}

#[test]
fn a_cut_request_does_not_open() {
    let world = World::new(4);
    let (mut sealing, mut opening) = world.pair();
    let (sealed, _) = world.seal(&mut sealing, "p");
    for length in [0, 1, 16, sealed.ciphertext.len() - 1] {
        let cut = channel::SealedRequest {
            ciphertext: sealed.ciphertext[..length].to_vec(),
            ..sealed.clone()
        };
        assert!(
            matches!(opening.open(&cut, NOW), Err(SealError::DoesNotOpen)),
            "{length}"
        );
    }
}

/// A change to a sealed request that somebody between might make.
type Change = fn(&mut channel::SealedRequest, &channel::SealedRequest);

#[test]
fn nothing_about_a_request_can_be_swapped() {
    let world = World::new(5);
    let (mut sealing, mut opening) = world.pair();
    let (sealed, _) = world.seal(&mut sealing, "p");
    let (other, _) = world.seal(&mut sealing, "q");
    let changes: [(&str, Change); 6] = [
        ("sequence", |sealed, _| sealed.sequence = 77),
        ("sequence of another", |sealed, other| {
            sealed.sequence = other.sequence
        }),
        ("request", |sealed, other| {
            sealed.request_id.clone_from(&other.request_id)
        }),
        ("domain", |sealed, _| sealed.domain = "evil.example".to_owned()),
        ("deadline", |sealed, _| sealed.deadline_ms += 1),
        ("ciphertext", |sealed, other| {
            sealed.ciphertext.clone_from(&other.ciphertext)
        }),
    ];
    for (what, change) in changes {
        let mut changed = sealed.clone();
        change(&mut changed, &other);
        assert!(
            matches!(opening.open(&changed, NOW), Err(SealError::DoesNotOpen)),
            "{what}"
        );
    }
    let beyond = channel::SealedRequest {
        sequence: MESSAGES_MAX,
        ..sealed
    };
    assert!(matches!(opening.open(&beyond, NOW), Err(SealError::Replayed)));
}

#[test]
fn a_request_of_another_session_does_not_open() {
    let world = World::new(6);
    let (mut sealing, mut opening) = world.pair();
    let (mut elsewhere, _) = world.pair();
    let (mine, _) = world.seal(&mut sealing, "p");
    let (mut foreign, _) = world.seal(&mut elsewhere, "p");
    assert!(matches!(
        opening.open(&foreign, NOW),
        Err(SealError::OtherSession)
    ));
    foreign.session_id = mine.session_id;
    assert!(matches!(opening.open(&foreign, NOW), Err(SealError::DoesNotOpen)));
}

#[test]
fn a_key_announcement_counts_on_its_stream_and_from_its_owner_only() {
    let world = World::new(7);
    let announcement = world.sealing_key.announce(&world.stream, &world.agent_key);
    let owner = world.agent_key.public_key();
    let refused = |stream: &Stream, announcement: &channel::SealingKey, owner: &[u8; 32]| {
        matches!(
            AnnouncedKey::verify(stream, announcement, owner),
            Err(SealError::Signature)
        )
    };
    assert!(refused(
        &Stream {
            nonce: [0; 32],
            ..world.stream
        },
        &announcement,
        &owner
    ));
    assert!(refused(
        &Stream {
            tenant: TenantId::from_bytes([0; 16]),
            ..world.stream
        },
        &announcement,
        &owner
    ));
    assert!(refused(
        &Stream {
            agent: AgentId::from_bytes([0; 16]),
            ..world.stream
        },
        &announcement,
        &owner
    ));
    assert!(refused(
        &world.stream,
        &announcement,
        &SigningKey::generate(&world.random).public_key()
    ));
    let mine = SealingKeyPair::generate(&world.random).announce(&world.stream, &world.agent_key);
    let swapped = channel::SealingKey {
        public_key: mine.public_key,
        ..announcement
    };
    assert!(refused(&world.stream, &swapped, &owner));
}

#[test]
fn a_signed_key_of_the_wrong_shape_is_refused() {
    let world = World::new(7);
    let mut announcement = world.sealing_key.announce(&world.stream, &world.agent_key);
    announcement.public_key.pop();
    let message = canonical::encode(&[
        VERSION.as_bytes(),
        b"sealing key",
        &world.stream.nonce,
        world.stream.tenant.as_bytes(),
        world.stream.agent.as_bytes(),
        &announcement.key_id,
        &announcement.public_key,
    ]);
    announcement.signature = world.agent_key.sign(&message).to_vec();
    let owner = world.agent_key.public_key();
    assert!(matches!(
        AnnouncedKey::verify(&world.stream, &announcement, &owner),
        Err(SealError::Malformed(_))
    ));
}

#[test]
fn a_session_counts_on_its_stream_only() {
    let world = World::new(8);
    let (_, announcement) = world.establish();
    for stream in [
        Stream {
            nonce: [0; 32],
            ..world.stream
        },
        Stream {
            tenant: TenantId::from_bytes([0; 16]),
            ..world.stream
        },
        Stream {
            agent: AgentId::from_bytes([0; 16]),
            ..world.stream
        },
    ] {
        let key = world.sealing_key.clone();
        let accepted = OpeningSession::accept(&stream, key, &announcement, &world.root, world.clock);
        assert!(matches!(accepted, Err(SealError::Signature)));
    }
}

#[test]
fn nothing_about_a_session_can_be_changed() {
    let world = World::new(9);
    let (_, announcement) = world.establish();
    let changes: [fn(&mut channel::Session); 4] = [
        |session| session.session_id[0] ^= 1,
        |session| session.sealing_key_id[0] ^= 1,
        |session| session.encapsulation[0] ^= 1,
        |session| session.lifetime_ms += 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = announcement.clone();
        change(&mut changed);
        assert!(
            matches!(world.accept(&changed), Err(SealError::Signature)),
            "{number}"
        );
    }
}

#[test]
fn only_a_replica_under_the_pinned_root_announces() {
    let (world, other) = (World::new(10), World::new(11));
    let (_, mut announcement) = world.establish();
    announcement.replica_certificate_chain = other.replica.chain.iter().map(|c| c.to_vec()).collect();
    assert!(matches!(world.accept(&announcement), Err(SealError::Replica(_))));
    announcement.replica_certificate_chain.clear();
    assert!(matches!(world.accept(&announcement), Err(SealError::Replica(_))));
}

#[test]
fn an_agent_cannot_announce_a_session() {
    let mut world = World::new(12);
    let issuer_key = SigningKey::generate(&world.random).rcgen().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    world.root = params.self_signed(&issuer_key).unwrap().der().clone();
    let issuer = rcgen::Issuer::new(params, issuer_key);
    let role = Role::Agent {
        tenant: world.stream.tenant,
        agent: world.stream.agent,
        domains: vec!["corp.example".parse().unwrap()],
    };
    world.replica.chain = vec![certificate(&role, &world.replica.key, Some(&issuer))];
    let (_, announcement) = world.establish();
    assert!(matches!(
        world.accept(&announcement),
        Err(SealError::Replica(NotAReplica::Role))
    ));
}

#[test]
fn a_session_for_another_key_is_refused() {
    let world = World::new(13);
    let (_, announcement) = world.establish();
    let other = Arc::new(SealingKeyPair::generate(&world.random));
    let accepted = OpeningSession::accept(&world.stream, other, &announcement, &world.root, world.clock);
    assert!(matches!(accepted, Err(SealError::OtherKey)));
}

#[test]
fn a_verdict_counts_for_its_attempt_only() {
    let world = World::new(14);
    let (mut sealing, mut opening) = world.pair();
    let (first, first_opener) = world.seal(&mut sealing, "p");
    let (second, second_opener) = world.seal(&mut sealing, "p");
    let late = opening
        .open(&first, NOW)
        .unwrap()
        .sealer
        .seal(&verdict(Verdict::Accepted));
    let answer = opening
        .open(&second, NOW)
        .unwrap()
        .sealer
        .seal(&verdict(Verdict::Wrong));
    assert!(matches!(
        second_opener.open(&late.ciphertext),
        Err(SealError::DoesNotOpen)
    ));
    assert!(matches!(
        first_opener.open(&answer.ciphertext),
        Err(SealError::DoesNotOpen)
    ));
    // Junk before it does not spoil the authentic one.
    assert_eq!(
        second_opener.open(&answer.ciphertext).unwrap().verdict,
        Verdict::Wrong
    );
    // A request is no verdict, although both ends know both keys.
    assert!(matches!(
        first_opener.open(&first.ciphertext),
        Err(SealError::DoesNotOpen)
    ));
}

#[test]
fn lateness_is_answered_and_the_session_ends_after_the_last_deadline() {
    let world = World::new(15);
    let (mut sealing, mut opening) = world.pair();
    let (sealed, opener) = world.seal(&mut sealing, "p");
    let opened = opening.open(&sealed, Duration::from_secs(15)).unwrap();
    let not_asked = opened.request.unwrap_err();
    assert_eq!(not_asked, NotAsked::Late);
    let answer = opened.sealer.seal(&verdict(Verdict::NotAsked(not_asked)));
    assert_eq!(
        opener.open(&answer.ciphertext).unwrap().verdict,
        Verdict::NotAsked(NotAsked::Late)
    );

    assert!(sealing.is_open(SESSION_LIFETIME - NOW) && !sealing.is_open(SESSION_LIFETIME));
    let (last, _) = world.seal(&mut sealing, "p");
    let over = SESSION_LIFETIME + DEADLINE_MAX;
    assert!(!opening.is_over(over - NOW) && opening.is_over(over));
    assert!(matches!(opening.open(&last, over), Err(SealError::SessionOver)));
}

#[test]
fn what_no_directory_may_see_is_answered_not_asked() {
    let world = World::new(16);
    let name = b"alice@corp.example".as_slice();
    let cases: [(&str, Vec<u8>); 6] = [
        ("empty password", canonical::encode(&[&[7; 16], name, b""])),
        ("NUL", canonical::encode(&[&[7; 16], name, b"right\0junk"])),
        ("long name", canonical::encode(&[&[7; 16], &[b'a'; 513], b"p"])),
        ("not UTF-8", canonical::encode(&[&[7; 16], name, &[0xff]])),
        ("short id", canonical::encode(&[&[7; 15], name, b"p"])),
        ("nothing", Vec::new()),
    ];
    for (what, fields) in cases {
        let (sealing, mut opening) = world.pair();
        let (sealed, _) = sealing.seal_fields_for_test(&fields);
        let opened = opening.open(&sealed, NOW).unwrap();
        assert_eq!(opened.request.unwrap_err(), NotAsked::RefusedInput, "{what}");
    }
}

#[test]
fn a_session_is_used_up_after_its_last_message() {
    let world = World::new(17);
    let (mut sealing, _) = world.pair();
    sealing.skip_to_for_test(MESSAGES_MAX - 1);
    assert!(sealing.is_open(NOW));
    let (last, _) = world.seal(&mut sealing, "p");
    assert_eq!(last.sequence, MESSAGES_MAX - 1);
    assert!(!sealing.is_open(NOW));
    let header = Header {
        request: RequestId::generate(&world.random),
        domain: "corp.example".parse().unwrap(),
        deadline: Duration::from_secs(15),
    };
    let credentials = Credentials {
        object: ObjectId::from_bytes([7; 16]),
        name: &"alice@corp.example".parse().unwrap(),
        password: &Password::new("p".to_owned()).unwrap(),
    };
    assert!(matches!(
        sealing.seal(&header, &credentials),
        Err(SealError::UsedUp)
    ));
}

#[test]
fn recorded_traffic_and_the_agents_disk_open_nothing() {
    let world = World::new(18);
    let (mut sealing, announcement) = world.establish();
    let (sealed, _) = world.seal(&mut sealing, "p");
    // The disk holds the certificate key. With it one can announce a key of one's own for the
    // same stream, but the recorded session was agreed with a key that is gone.
    let taken = SigningKey::from_pkcs8(world.agent_key.plaintext_pkcs8()).unwrap();
    let mine = Arc::new(SealingKeyPair::generate(&world.random));
    AnnouncedKey::verify(
        &world.stream,
        &mine.announce(&world.stream, &taken),
        &taken.public_key(),
    )
    .unwrap();
    let accept = |announcement: &channel::Session, key: &Arc<SealingKeyPair>| {
        OpeningSession::accept(&world.stream, key.clone(), announcement, &world.root, world.clock)
    };
    assert!(accept(&announcement, &mine).is_err());
    // Even past the check of the key's id, the secrets differ.
    let posing = Arc::new(mine.with_id_for_test(world.sealing_key.id()));
    let mut opening = accept(&announcement, &posing).unwrap();
    assert!(matches!(opening.open(&sealed, NOW), Err(SealError::DoesNotOpen)));
}

#[test]
fn nothing_secret_prints() {
    let world = World::new(19);
    let (mut sealing, mut opening) = world.pair();
    let (sealed, opener) = world.seal(&mut sealing, "canary-password");
    let opened = opening.open(&sealed, NOW).unwrap();
    let printed = format!(
        "{sealing:?} {opening:?} {opener:?} {opened:?} {:?}",
        world.sealing_key
    );
    assert!(!printed.contains("canary-password"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_password_arrives_unchanged(text in "\\PC{1,200}") {
        let world = World::new(20);
        let (mut sealing, mut opening) = world.pair();
        let (sealed, _) = world.seal(&mut sealing, &text);
        let request = opening.open(&sealed, NOW).unwrap().request.unwrap();
        prop_assert_eq!(request.password.plaintext(), text);
    }

    #[test]
    fn any_flipped_bit_is_noticed(at in 0..REQUEST_BYTES + 16, bit in 0..8_u32) {
        let world = World::new(21);
        let (mut sealing, mut opening) = world.pair();
        let (mut sealed, _) = world.seal(&mut sealing, "p");
        sealed.ciphertext[at] ^= 1_u8 << bit;
        prop_assert!(matches!(opening.open(&sealed, NOW), Err(SealError::DoesNotOpen)));
    }

    #[test]
    fn any_bytes_are_answered_with_an_error(
        session_id in prop::collection::vec(any::<u8>(), 0..20),
        sequence in any::<u32>(),
        request_id in prop::collection::vec(any::<u8>(), 0..20),
        domain in ".{0,20}",
        deadline_ms in any::<u64>(),
        ciphertext in prop::collection::vec(any::<u8>(), 0..2000),
        right_session in any::<bool>(),
    ) {
        let world = World::new(22);
        let (_, mut opening) = world.pair();
        let session_id = if right_session { opening.id().as_bytes().to_vec() } else { session_id };
        let sealed = channel::SealedRequest { session_id, sequence, request_id, domain, deadline_ms, ciphertext };
        prop_assert!(opening.open(&sealed, NOW).is_err());
    }
}
