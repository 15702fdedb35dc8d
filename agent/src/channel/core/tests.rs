use postern_kit::clock::monotonic;
use postern_kit::random::{self, SeededRandom};
use postern_proto::certificate::{REPLICA_SERVER_NAME, Role};
use postern_proto::ids::{AgentId, ObjectId, ReplicaId, RequestId, TenantId};
use postern_proto::password::Password;
use postern_proto::seal::{AnnouncedKey, Credentials, Header, Replica, SealingSession, VerdictOpener};
use postern_proto::wire::channel::{Draining, SealingKey};

use super::*;

/// The cloud's end of a stream, and the core at the other.
struct World {
    random: SeededRandom,
    clock: Timestamp,
    now: Instant,
    replica: Replica,
    key: SigningKey,
    keys: SealingKeys,
    core: Core,
    stream: Stream,
}

impl World {
    fn new() -> Self {
        let random = SeededRandom::new(1);
        let root_key = SigningKey::generate(&random).rcgen().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).unwrap().der().clone();
        let issuer = rcgen::Issuer::new(params, root_key);
        let (id, key) = (ReplicaId::generate(&random), SigningKey::generate(&random));
        let mut params = rcgen::CertificateParams::new([REPLICA_SERVER_NAME.to_owned()]).unwrap();
        let role = Role::CloudReplica(id).to_string();
        params
            .subject_alt_names
            .push(rcgen::SanType::URI(role.try_into().unwrap()));
        let chain = vec![
            params
                .signed_by(&key.rcgen().unwrap(), &issuer)
                .unwrap()
                .der()
                .clone(),
        ];
        let stream = Stream {
            nonce: random::array(&random),
            tenant: TenantId::generate(&random),
            agent: AgentId::generate(&random),
        };
        Self {
            clock: Timestamp::from_unix_ms(1_800_000_000_000),
            now: monotonic(),
            replica: Replica { id, key, chain },
            key: SigningKey::generate(&random),
            keys: SealingKeys::new(&random),
            core: Core::new(stream, root),
            stream,
            random,
        }
    }

    fn hears(&mut self, message: cloud_message::Message) -> Option<Effect> {
        self.core.on(
            CloudMessage {
                message: Some(message),
            },
            &mut self.keys,
            self.now,
            self.clock,
        )
    }

    /// The current key as the cloud takes it.
    fn announced(&self) -> AnnouncedKey {
        let agent_message::Message::SealingKey(SealingKey {
            key_id,
            public_key,
            signature,
        }) = self.core.announce(&self.keys, &self.key)
        else {
            panic!("a sealing key");
        };
        let announcement = SealingKey {
            key_id,
            public_key,
            signature,
        };
        AnnouncedKey::verify(&self.stream, &announcement, &self.key.public_key()).unwrap()
    }

    fn session(&mut self, key: &AnnouncedKey) -> (SealingSession, Option<Effect>) {
        let (session, announcement) =
            SealingSession::establish(&self.stream, key, &self.replica, &self.random).unwrap();
        (session, self.hears(cloud_message::Message::Session(announcement)))
    }

    fn seal(&self, session: &mut SealingSession, deadline: Duration) -> (SealedRequest, VerdictOpener) {
        let header = Header {
            request: RequestId::generate(&self.random),
            domain: "corp.example".parse().unwrap(),
            deadline,
        };
        let credentials = Credentials {
            object: ObjectId::from_bytes([7; 16]),
            name: &"ada@corp.example".parse().unwrap(),
            password: &Password::new("secret".to_owned()).unwrap(),
        };
        session.seal(&header, &credentials).unwrap()
    }
}

const DEADLINE: Duration = Duration::from_secs(15);

fn attached(effect: &Option<Effect>) -> bool {
    matches!(effect, Some(Effect::Attached(Attached::Yes)))
}

fn declined(effect: Option<Effect>, opener: &VerdictOpener) -> Verdict {
    let Some(Effect::Send(agent_message::Message::Verdict(sealed))) = effect else {
        panic!("{effect:?}")
    };
    opener.open(&sealed.ciphertext).unwrap().verdict
}

#[test]
fn a_request_under_an_announced_session_is_validated_within_its_deadline() {
    let mut world = World::new();
    let (mut session, effect) = world.session(&world.announced());
    assert!(attached(&effect));
    world.now += Duration::from_secs(3);
    let (sealed, _) = world.seal(&mut session, DEADLINE);
    let Some(Effect::Validate(work)) = world.hears(cloud_message::Message::Request(sealed)) else {
        panic!()
    };
    assert_eq!(work.request.password.plaintext(), "secret");
    assert_eq!(work.received, world.now);
    // It counts from when the session was announced.
    assert_eq!(work.deadline, world.now + DEADLINE - Duration::from_secs(3));
}

#[test]
fn a_late_request_is_declined() {
    let mut world = World::new();
    let (mut session, _) = world.session(&world.announced());
    let (sealed, opener) = world.seal(&mut session, DEADLINE);
    world.now += DEADLINE;
    let effect = world.hears(cloud_message::Message::Request(sealed));
    assert_eq!(declined(effect, &opener), Verdict::NotAsked(NotAsked::Late));
}

#[test]
fn a_request_of_a_session_that_is_not_there_is_said_to_be_unknown() {
    let mut world = World::new();
    let mut elsewhere = World::new();
    let (mut session, _) = elsewhere.session(&elsewhere.announced());
    let (sealed, _) = elsewhere.seal(&mut session, DEADLINE);
    let effect = world.hears(cloud_message::Message::Request(sealed.clone()));
    let Some(Effect::Send(agent_message::Message::UnknownSession(unknown))) = effect else {
        panic!()
    };
    assert_eq!(
        (unknown.session_id, unknown.sequence),
        (sealed.session_id, sealed.sequence)
    );
}

#[test]
fn a_replayed_or_changed_request_gets_no_answer() {
    let mut world = World::new();
    let (mut session, _) = world.session(&world.announced());
    let (sealed, _) = world.seal(&mut session, DEADLINE);
    let mut changed = sealed.clone();
    changed.ciphertext[7] ^= 1;
    assert!(world.hears(cloud_message::Message::Request(changed)).is_none());
    assert!(
        world
            .hears(cloud_message::Message::Request(sealed.clone()))
            .is_some()
    );
    assert!(world.hears(cloud_message::Message::Request(sealed)).is_none());
}

#[test]
fn a_session_of_a_stranger_does_not_attach() {
    let mut world = World::new();
    let key = world.announced();
    world.replica.key = SigningKey::generate(&world.random);
    assert!(world.session(&key).1.is_none());
}

#[test]
fn a_renewed_key_replaces_the_old_one_once_the_cloud_uses_it() {
    let mut world = World::new();
    let old = world.announced();
    let (mut running, _) = world.session(&old);
    world.keys.renew(&world.random);
    // The cloud may not have seen the new one yet.
    assert!(attached(&world.session(&old).1));
    assert!(attached(&world.session(&world.announced()).1));
    assert!(world.session(&old).1.is_none(), "the old key is gone");
    // What runs under it ends in order.
    let (sealed, _) = world.seal(&mut running, DEADLINE);
    assert!(matches!(
        world.hears(cloud_message::Message::Request(sealed)),
        Some(Effect::Validate(_))
    ));
}

#[test]
fn a_draining_agent_declines_what_is_new() {
    let mut world = World::new();
    let (mut session, _) = world.session(&world.announced());
    world.core.drain();
    let (sealed, opener) = world.seal(&mut session, DEADLINE);
    let effect = world.hears(cloud_message::Message::Request(sealed));
    assert_eq!(declined(effect, &opener), Verdict::NotAsked(NotAsked::Draining));
}

#[test]
fn a_ping_is_answered_and_a_draining_cloud_is_not_attached() {
    let mut world = World::new();
    let effect = world.hears(cloud_message::Message::Ping(Ping { number: 7 }));
    assert!(matches!(
        effect,
        Some(Effect::Send(agent_message::Message::Pong(Pong { number: 7 })))
    ));
    let effect = world.hears(cloud_message::Message::Draining(Draining {}));
    assert!(matches!(effect, Some(Effect::Attached(Attached::No))));
}

#[test]
fn sessions_are_bounded_and_end() {
    let mut world = World::new();
    let key = world.announced();
    let mut sessions: Vec<_> = (0..=SESSIONS_MAX)
        .map(|_| {
            world.now += Duration::from_secs(1);
            world.session(&key).0
        })
        .collect();
    assert_eq!(world.core.sessions.len(), SESSIONS_MAX);
    let (sealed, _) = world.seal(&mut sessions[0], DEADLINE);
    let effect = world.hears(cloud_message::Message::Request(sealed));
    assert!(
        matches!(
            effect,
            Some(Effect::Send(agent_message::Message::UnknownSession(_)))
        ),
        "the oldest went"
    );
    world.now += Duration::from_secs(3600);
    world.hears(cloud_message::Message::Ping(Ping { number: 1 }));
    assert!(world.core.sessions.is_empty());
}
