//! One filled example of every message, with another value in each field, so that exchanged
//! fields show. Struct literals name every field: a new one does not compile until it has a value.

use prost::Message;

use super::administration;
use crate::wire::{channel, registration, signin};

/// Any message, as far as an example needs it.
trait Encoded {
    fn is_encoded_by(&self, bytes: &[u8]) -> bool;
}

impl<M: Message + Default + PartialEq> Encoded for M {
    fn is_encoded_by(&self, bytes: &[u8]) -> bool {
        M::decode(bytes).is_ok_and(|decoded| decoded == *self)
    }
}

/// A message and its encoding.
pub(super) struct Example {
    /// The message's name in the contract, and the variant if it is one of several.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    message: Box<dyn Encoded>,
}

impl Example {
    /// The only example of a message.
    pub(super) fn of<M: Message + Default + PartialEq + 'static>(message: M) -> Self {
        // Such as `postern_proto::wire::channel::Hello`, for `postern.channel.v1.Hello`.
        let path: Vec<_> = std::any::type_name::<M>().split("::").collect();
        let [_, "wire", package, name] = path[..] else {
            panic!("{path:?} is no message of a package")
        };
        Self {
            name: format!("postern.{package}.v1.{name}"),
            bytes: message.encode_to_vec(),
            message: Box::new(message),
        }
    }

    /// An example of a message that holds one of several.
    fn variant<M: Message + Default + PartialEq + 'static>(variant: &str, message: M) -> Self {
        let mut example = Self::of(message);
        example.name = format!("{} {variant}", example.name);
        example
    }

    /// The message's name alone.
    pub(super) fn message_name(&self) -> &str {
        self.name.split(' ').next().unwrap()
    }

    /// Whether `bytes` decode to the message.
    pub(super) fn is_encoded_by(&self, bytes: &[u8]) -> bool {
        self.message.is_encoded_by(bytes)
    }
}

/// Every example.
pub(super) fn all() -> Vec<Example> {
    let mut all = channel();
    all.extend(from_agent());
    all.extend(from_cloud());
    all.extend(calls());
    all.extend(administration::examples());
    all
}

fn hello() -> channel::Hello {
    channel::Hello {
        nonce: vec![0x11; 32],
        agent_version: "1.2.3".into(),
        wall_clock_unix_ms: 1_800_000_000_123,
    }
}

fn welcome() -> channel::Welcome {
    channel::Welcome {
        replica_id: "6995b085-9404-416e-8f04-0123456789ab".into(),
        wall_clock_unix_ms: -1,
    }
}

fn sealing_key() -> channel::SealingKey {
    channel::SealingKey {
        key_id: vec![0x21; 16],
        public_key: vec![0x22; 33],
        signature: vec![0x23; 64],
    }
}

fn session() -> channel::Session {
    channel::Session {
        session_id: vec![0x31; 16],
        sealing_key_id: vec![0x32; 16],
        replica_id: "6995b085-9404-416e-8f04-0123456789ab".into(),
        encapsulation: vec![0x33; 34],
        lifetime_ms: 300_000,
        signature: vec![0x34; 64],
        replica_certificate_chain: vec![vec![0x35; 3], vec![0x36; 4]],
    }
}

fn request() -> channel::SealedRequest {
    channel::SealedRequest {
        session_id: vec![0x41; 16],
        sequence: 1_048_575,
        request_id: vec![0x42; 16],
        domain: "corp.example".into(),
        deadline_ms: 315_000,
        ciphertext: vec![0x43; 35],
    }
}

fn sealed_verdict() -> channel::SealedVerdict {
    channel::SealedVerdict {
        session_id: vec![0x51; 16],
        sequence: u32::MAX,
        ciphertext: vec![0x52; 36],
    }
}

fn unknown_session() -> channel::UnknownSession {
    channel::UnknownSession {
        session_id: vec![0x61; 16],
        sequence: 7,
    }
}

fn channel() -> Vec<Example> {
    vec![
        Example::of(hello()),
        Example::of(welcome()),
        Example::of(sealing_key()),
        Example::of(session()),
        Example::of(request()),
        Example::of(sealed_verdict()),
        Example::of(unknown_session()),
        Example::of(channel::Draining {}),
        Example::of(channel::Ping { number: 300 }),
        Example::of(channel::Pong { number: u64::MAX }),
        Example::of(channel::Verdict {
            kind: channel::verdict::Kind::Unavailable.into(),
            reason: channel::verdict::Reason::UnknownDomain.into(),
            ldap_result: 49,
            sub_code: 0x52e,
            controller: "dc1.corp.example:636".into(),
            wait_us: 1_500,
            bind_us: 4_000_000,
        }),
    ]
}

fn from_agent() -> Vec<Example> {
    use channel::agent_message::Message;
    let of = |variant, message| {
        let message = Some(message);
        Example::variant(variant, channel::AgentMessage { message })
    };
    vec![
        of("hello", Message::Hello(hello())),
        of("sealing_key", Message::SealingKey(sealing_key())),
        of("verdict", Message::Verdict(sealed_verdict())),
        of("unknown_session", Message::UnknownSession(unknown_session())),
        of("draining", Message::Draining(channel::Draining {})),
        of("pong", Message::Pong(channel::Pong { number: 2 })),
    ]
}

fn from_cloud() -> Vec<Example> {
    use channel::cloud_message::Message;
    let of = |variant, message| {
        let message = Some(message);
        Example::variant(variant, channel::CloudMessage { message })
    };
    vec![
        of("welcome", Message::Welcome(welcome())),
        of("session", Message::Session(session())),
        of("request", Message::Request(request())),
        of("draining", Message::Draining(channel::Draining {})),
        of("ping", Message::Ping(channel::Ping { number: 3 })),
    ]
}

fn calls() -> Vec<Example> {
    vec![
        Example::of(registration::EnrolRequest {
            token_secret: vec![0x71; 32],
            certificate_signing_request: vec![0x72; 37],
            host_name: "host-1".into(),
            agent_version: "1.2.3".into(),
        }),
        Example::of(registration::EnrolResponse {
            tenant_id: "11111111-9404-416e-8f04-0123456789ab".into(),
            agent_id: "22222222-9404-416e-8f04-0123456789ab".into(),
            domains: vec!["corp.example".into(), "lab.example".into()],
            certificate_chain: vec![vec![0x73; 5], vec![0x74; 6]],
            root_certificate: vec![0x75; 38],
        }),
        Example::of(signin::SignInRequest {
            username: "alice@corp.example".into(),
            password: "Pässwörd-密码-🔑".into(),
        }),
        Example::of(signin::SignInResponse {
            outcome: signin::sign_in_response::Outcome::TooManyAttempts.into(),
            code: 50_053,
            user_id: "33333333-9404-416e-8f04-0123456789ab".into(),
            request_id: "44444444-9404-416e-8f04-0123456789ab".into(),
            retry_after_ms: 60_000,
        }),
    ]
}
