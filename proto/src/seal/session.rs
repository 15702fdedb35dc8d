//! Sessions: one key agreement between the replica that seals and one attached stream.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hpke::aead::{AeadCtxR, AeadCtxS, ExportOnlyAead};
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use postern_kit::clock::Timestamp;
use postern_kit::keys::{self, SigningKey};
use postern_kit::random::{Random, Rng};
use postern_kit::tls::Certificate;
use zeroize::Zeroizing;

use super::message::{self, Binding, Credentials, Header, Opened, VerdictOpener};
use super::{
    AnnouncedKey, DEADLINE_MAX, MESSAGES_MAX, SESSION_LIFETIME, SealError, SealingKeyPair, Stream, VERSION,
    canonical,
};
use crate::certificate::verify_replica;
use crate::ids::{Malformed, ReplicaId, SealingKeyId, SessionId};
use crate::wire::channel;

type Sender = AeadCtxS<ExportOnlyAead, HkdfSha256, XWing>;
type Receiver = AeadCtxR<ExportOnlyAead, HkdfSha256, XWing>;

/// What both ends of a session agree on; everything in it goes into the key schedule.
pub(super) struct Terms<'a> {
    pub(super) stream: &'a Stream,
    pub(super) key: SealingKeyId,
    pub(super) replica: ReplicaId,
    pub(super) session: SessionId,
    pub(super) lifetime_ms: u64,
}

impl Terms<'_> {
    fn encode(&self, purpose: &str, encapsulation: &[u8]) -> Vec<u8> {
        canonical::encode(&[
            VERSION.as_bytes(),
            purpose.as_bytes(),
            &self.stream.nonce,
            self.stream.tenant.as_bytes(),
            self.stream.agent.as_bytes(),
            self.key.as_bytes(),
            self.replica.as_bytes(),
            self.session.as_bytes(),
            &self.lifetime_ms.to_be_bytes(),
            encapsulation,
        ])
    }

    /// HPKE's `info`. The encapsulation cannot be in it, because it is made from it; the announcement's
    /// signature binds the two.
    pub(super) fn info(&self) -> Vec<u8> {
        self.encode("session", &[])
    }

    pub(super) fn signed(&self, encapsulation: &[u8]) -> Vec<u8> {
        self.encode("session announcement", encapsulation)
    }
}

/// The two keys of one sequence number.
pub(super) struct MessageKeys {
    pub(super) request: Zeroizing<[u8; 32]>,
    pub(super) verdict: Zeroizing<[u8; 32]>,
}

impl MessageKeys {
    pub(super) fn derive(
        session: SessionId,
        sequence: u32,
        export: impl Fn(&[u8], &mut [u8]) -> Result<(), hpke::HpkeError>,
    ) -> Result<Self, SealError> {
        let derive = |purpose: &str| {
            let context = canonical::encode(&[
                VERSION.as_bytes(),
                purpose.as_bytes(),
                session.as_bytes(),
                &sequence.to_be_bytes(),
            ]);
            let mut key = Zeroizing::new([0; 32]);
            export(&context, key.as_mut_slice()).map_err(|_| SealError::KeyAgreement)?;
            Ok::<_, SealError>(key)
        };
        Ok(Self {
            request: derive("postern/1 request")?,
            verdict: derive("postern/1 verdict")?,
        })
    }
}

/// The replica as it announces sessions.
#[derive(Debug)]
pub struct Replica {
    /// Its id, which stands in its certificate.
    pub id: ReplicaId,
    /// The key of its certificate.
    pub key: SigningKey,
    /// Its certificate, then the issuing one.
    pub chain: Vec<Certificate>,
}

/// The cloud's end of a session. Seals each sequence number once, by construction.
pub struct SealingSession {
    id: SessionId,
    stream: Stream,
    key: SealingKeyId,
    context: Sender,
    next: u32,
}

impl SealingSession {
    /// Agrees on a session with the owner of `key` and makes its announcement.
    ///
    /// # Errors
    /// [`SealError::KeyAgreement`] if the announced key cannot be used.
    pub fn establish(
        stream: &Stream,
        key: &AnnouncedKey,
        replica: &Replica,
        random: &dyn Random,
    ) -> Result<(Self, channel::Session), SealError> {
        let lifetime_ms = u64::try_from(SESSION_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        let id = SessionId::generate(random);
        let terms = Terms {
            stream,
            key: key.id,
            replica: replica.id,
            session: id,
            lifetime_ms,
        };
        let (encapsulation, context) = hpke::setup_sender_with_rng::<ExportOnlyAead, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key.public,
            &terms.info(),
            &mut Rng(random),
        )
        .map_err(|_| SealError::KeyAgreement)?;
        let encapsulation = encapsulation.to_bytes().to_vec();
        let announcement = channel::Session {
            session_id: id.as_bytes().to_vec(),
            sealing_key_id: key.id.as_bytes().to_vec(),
            replica_id: replica.id.to_string(),
            signature: replica.key.sign(&terms.signed(&encapsulation)).to_vec(),
            encapsulation,
            lifetime_ms,
            replica_certificate_chain: replica
                .chain
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
        };
        Ok((
            Self {
                id,
                stream: *stream,
                key: key.id,
                context,
                next: 0,
            },
            announcement,
        ))
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The sealing key that it was agreed with.
    pub fn key(&self) -> SealingKeyId {
        self.key
    }

    /// Whether requests may still be sealed under it, `elapsed` after it was announced.
    pub fn is_open(&self, elapsed: Duration) -> bool {
        elapsed < SESSION_LIFETIME && self.next < MESSAGES_MAX
    }

    /// Seals one request under the next sequence number.
    ///
    /// # Errors
    /// [`SealError::UsedUp`] after [`MESSAGES_MAX`] requests.
    pub fn seal(
        &mut self,
        header: &Header,
        credentials: &Credentials<'_>,
    ) -> Result<(channel::SealedRequest, VerdictOpener), SealError> {
        let sequence = self.next;
        if sequence >= MESSAGES_MAX {
            return Err(SealError::UsedUp);
        }
        self.next += 1;
        let keys = MessageKeys::derive(self.id, sequence, |context, out| {
            self.context.export(context, out)
        })?;
        let binding = Binding {
            stream: self.stream,
            session: self.id,
            sequence,
            header: header.clone(),
        };
        Ok(message::seal(binding, &keys, credentials))
    }
}

#[cfg(test)]
impl SealingSession {
    /// Seals fields that no type allows.
    pub(super) fn seal_fields_for_test(mut self, fields: &[u8]) -> (channel::SealedRequest, VerdictOpener) {
        let sequence = self.next;
        self.next += 1;
        let keys = MessageKeys::derive(self.id, sequence, |context, out| {
            self.context.export(context, out)
        })
        .unwrap();
        let header = Header {
            request: crate::ids::RequestId::from_bytes([1; 16]),
            domain: "corp.example".parse().unwrap(),
            deadline: Duration::from_secs(15),
        };
        message::seal_fields(
            Binding {
                stream: self.stream,
                session: self.id,
                sequence,
                header,
            },
            &keys,
            fields,
        )
    }

    /// Leaves sequence numbers out.
    pub(super) fn skip_to_for_test(&mut self, next: u32) {
        self.next = next;
    }
}

impl fmt::Debug for SealingSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingSession")
            .field("id", &self.id)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// The agent's end of a session. Opens each sequence number once.
pub struct OpeningSession {
    id: SessionId,
    stream: Stream,
    /// Kept so that a key lives until its last session ends.
    key: Arc<SealingKeyPair>,
    context: Receiver,
    lifetime: Duration,
    opened: Opens,
}

impl OpeningSession {
    /// Takes an announcement that a replica under `root` made for this stream and key.
    ///
    /// # Errors
    /// [`SealError`] says which of chain, signature, key or shape is wrong.
    pub fn accept(
        stream: &Stream,
        key: Arc<SealingKeyPair>,
        announcement: &channel::Session,
        root: &Certificate,
        now: Timestamp,
    ) -> Result<Self, SealError> {
        let chain: Vec<Certificate> = announcement
            .replica_certificate_chain
            .iter()
            .cloned()
            .map(Certificate::from)
            .collect();
        let (replica, replica_key) = verify_replica(&chain, root, now)?;
        let session = SessionId::try_from(announcement.session_id.as_slice())?;
        let key_id = SealingKeyId::try_from(announcement.sealing_key_id.as_slice())?;
        let terms = Terms {
            stream,
            key: key_id,
            replica,
            session,
            lifetime_ms: announcement.lifetime_ms,
        };
        if !keys::verify(
            &replica_key,
            &terms.signed(&announcement.encapsulation),
            &announcement.signature,
        ) {
            return Err(SealError::Signature);
        }
        if key_id != key.id {
            return Err(SealError::OtherKey);
        }
        let malformed = Malformed {
            field: "encapsulation",
            expected: "an X-Wing encapsulation",
        };
        let encapsulation = <XWing as hpke::Kem>::EncappedKey::from_bytes(&announcement.encapsulation)
            .map_err(|_| malformed)?;
        let context = hpke::setup_receiver::<ExportOnlyAead, HkdfSha256, XWing>(
            &OpModeR::Base,
            &key.private,
            &encapsulation,
            &terms.info(),
        )
        .map_err(|_| SealError::KeyAgreement)?;
        // What a replica asks for is bounded by what the protocol allows.
        let lifetime = Duration::from_millis(announcement.lifetime_ms).min(SESSION_LIFETIME);
        Ok(Self {
            id: session,
            stream: *stream,
            key,
            context,
            lifetime,
            opened: Opens::default(),
        })
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The sealing key that it was agreed with.
    pub fn key(&self) -> SealingKeyId {
        self.key.id
    }

    /// Whether nothing can come any more, `elapsed` after the announcement was received.
    pub fn is_over(&self, elapsed: Duration) -> bool {
        elapsed >= self.lifetime + DEADLINE_MAX
    }

    /// Opens a request, `elapsed` after the session's announcement was received. Only an
    /// authentic request uses its sequence number up.
    ///
    /// # Errors
    /// [`SealError`] for what is not authentic, came before, or belongs elsewhere: nothing is
    /// answered to it, because no verdict key exists for it.
    pub fn open(&mut self, sealed: &channel::SealedRequest, elapsed: Duration) -> Result<Opened, SealError> {
        if SessionId::try_from(sealed.session_id.as_slice())? != self.id {
            return Err(SealError::OtherSession);
        }
        if self.is_over(elapsed) {
            return Err(SealError::SessionOver);
        }
        if sealed.sequence >= MESSAGES_MAX || self.opened.contains(sealed.sequence) {
            return Err(SealError::Replayed);
        }
        let keys = MessageKeys::derive(self.id, sealed.sequence, |context, out| {
            self.context.export(context, out)
        })?;
        let header = Header::from_wire(sealed)?;
        let binding = Binding {
            stream: self.stream,
            session: self.id,
            sequence: sealed.sequence,
            header,
        };
        let opened = message::open(binding, &keys, &sealed.ciphertext, elapsed)?;
        self.opened.insert(sealed.sequence);
        Ok(opened)
    }
}

impl fmt::Debug for OpeningSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningSession")
            .field("id", &self.id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Which sequence numbers were opened: one bit each, grown as they come.
#[derive(Default)]
struct Opens(Vec<u64>);

impl Opens {
    fn place(sequence: u32) -> (usize, u64) {
        // A sequence number is below 2^20, so the index fits everywhere.
        (sequence as usize / 64, 1 << (sequence % 64))
    }

    fn contains(&self, sequence: u32) -> bool {
        let (word, bit) = Self::place(sequence);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn insert(&mut self, sequence: u32) {
        let (word, bit) = Self::place(sequence);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }
}
