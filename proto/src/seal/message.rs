//! One request and its verdict: two keys, two ciphertexts, everything about the attempt bound to both.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::session::MessageKeys;
use super::{REQUEST_BYTES, SealError, Stream, VERDICT_BYTES, VERSION, canonical};
use crate::ids::{Malformed, ObjectId, RequestId, SessionId};
use crate::names::{DomainName, OnPremisesName};
use crate::password::Password;
use crate::verdict::{NotAsked, VerdictReport};
use crate::wire::channel;

/// What stands open on a request, bound to its ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sign-in.
    pub request: RequestId,
    /// The domain whose directory owns the user.
    pub domain: DomainName,
    /// When the answer is worthless, since the session's start.
    pub deadline: Duration,
}

impl Header {
    pub(super) fn from_wire(sealed: &channel::SealedRequest) -> Result<Self, Malformed> {
        Ok(Self {
            request: RequestId::try_from(sealed.request_id.as_slice())?,
            domain: sealed.domain.parse()?,
            deadline: Duration::from_millis(sealed.deadline_ms),
        })
    }

    fn deadline_ms(&self) -> u64 {
        u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What only the agent may read.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// The object that must turn out to be bound.
    pub object: ObjectId,
    /// What the directory calls it.
    pub name: &'a OnPremisesName,
    /// The password to ask about.
    pub password: &'a Password,
}

/// An opened request.
#[derive(Debug)]
pub struct Request {
    /// What stood open on it.
    pub header: Header,
    /// The object that must turn out to be bound.
    pub object: ObjectId,
    /// What the directory calls it.
    pub name: OnPremisesName,
    /// The password to ask about.
    pub password: Password,
}

/// An authentic request, and the means to answer it.
#[derive(Debug)]
pub struct Opened {
    /// The request, or why the directory must not be asked: too late, or not to be shown to one.
    pub request: Result<Request, NotAsked>,
    /// Seals the answer, once.
    pub sealer: VerdictSealer,
}

/// Everything that request and verdict of one attempt are bound to.
#[derive(Clone)]
pub(super) struct Binding {
    pub(super) stream: Stream,
    pub(super) session: SessionId,
    pub(super) sequence: u32,
    pub(super) header: Header,
}

impl Binding {
    pub(super) fn additional_data(&self, purpose: &str) -> Vec<u8> {
        canonical::encode(&[
            VERSION.as_bytes(),
            purpose.as_bytes(),
            self.stream.tenant.as_bytes(),
            self.header.domain.as_str().as_bytes(),
            self.stream.agent.as_bytes(),
            self.session.as_bytes(),
            &self.sequence.to_be_bytes(),
            self.header.request.as_bytes(),
            &self.header.deadline_ms().to_be_bytes(),
        ])
    }
}

pub(super) fn seal(
    binding: Binding,
    keys: &MessageKeys,
    credentials: &Credentials<'_>,
) -> (channel::SealedRequest, VerdictOpener) {
    let fields = Zeroizing::new(canonical::encode(&[
        credentials.object.as_bytes(),
        credentials.name.as_str().as_bytes(),
        credentials.password.plaintext().as_bytes(),
    ]));
    seal_fields(binding, keys, &fields)
}

/// Seals the encoded fields, padded. Apart from [`seal`] so that tests can seal what no type allows.
pub(super) fn seal_fields(
    binding: Binding,
    keys: &MessageKeys,
    fields: &[u8],
) -> (channel::SealedRequest, VerdictOpener) {
    let aad = binding.additional_data("request");
    let sealed = channel::SealedRequest {
        session_id: binding.session.as_bytes().to_vec(),
        sequence: binding.sequence,
        request_id: binding.header.request.as_bytes().to_vec(),
        domain: binding.header.domain.as_str().to_owned(),
        deadline_ms: binding.header.deadline_ms(),
        ciphertext: encrypt::<REQUEST_BYTES>(&keys.request, &aad, fields),
    };
    (
        sealed,
        VerdictOpener {
            aad: binding.additional_data("verdict"),
            key: keys.verdict.clone(),
        },
    )
}

pub(super) fn open(
    binding: Binding,
    keys: &MessageKeys,
    ciphertext: &[u8],
    elapsed: Duration,
) -> Result<Opened, SealError> {
    let plaintext = decrypt::<REQUEST_BYTES>(&keys.request, &binding.additional_data("request"), ciphertext)?;
    let sealer = VerdictSealer {
        session: binding.session,
        sequence: binding.sequence,
        aad: binding.additional_data("verdict"),
        key: keys.verdict.clone(),
    };
    let request = if elapsed >= binding.header.deadline {
        Err(NotAsked::Late)
    } else {
        read(binding.header, &plaintext).ok_or(NotAsked::RefusedInput)
    };
    Ok(Opened { request, sealer })
}

fn read(header: Header, plaintext: &[u8]) -> Option<Request> {
    let mut rest = plaintext;
    let object = ObjectId::try_from(canonical::take(&mut rest)?).ok()?;
    let name = std::str::from_utf8(canonical::take(&mut rest)?)
        .ok()?
        .parse()
        .ok()?;
    let password = std::str::from_utf8(canonical::take(&mut rest)?).ok()?;
    let password = Password::new(password.to_owned()).ok()?;
    Some(Request {
        header,
        object,
        name,
        password,
    })
}

/// The cloud's half of a verdict key: what one attempt's answer must open with.
pub struct VerdictOpener {
    key: Zeroizing<[u8; 32]>,
    aad: Vec<u8>,
}

impl VerdictOpener {
    /// Opens the answer to this attempt. What does not open is no answer: the caller goes on
    /// waiting for one that does.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`] for another attempt's verdict or changed bytes.
    pub fn open(&self, ciphertext: &[u8]) -> Result<VerdictReport, SealError> {
        let plaintext = decrypt::<VERDICT_BYTES>(&self.key, &self.aad, ciphertext)?;
        let mut rest = plaintext.as_slice();
        let report = canonical::take(&mut rest).ok_or(SealError::DoesNotOpen)?;
        Ok(VerdictReport::decode(report)?)
    }
}

/// The agent's half: seals the one answer to one attempt.
pub struct VerdictSealer {
    session: SessionId,
    sequence: u32,
    key: Zeroizing<[u8; 32]>,
    aad: Vec<u8>,
}

impl VerdictSealer {
    /// Seals the answer. Consumes the key: a second answer cannot exist.
    pub fn seal(self, report: &VerdictReport) -> channel::SealedVerdict {
        let fields = canonical::encode(&[&report.encode()]);
        channel::SealedVerdict {
            session_id: self.session.as_bytes().to_vec(),
            sequence: self.sequence,
            ciphertext: encrypt::<VERDICT_BYTES>(&self.key, &self.aad, &fields),
        }
    }
}

impl fmt::Debug for VerdictOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerdictOpener(..)")
    }
}

impl fmt::Debug for VerdictSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerdictSealer(..)")
    }
}

/// Every key encrypts one message only, so its nonce may be constant.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[expect(clippy::expect_used, reason = "the array has the length of the key")]
fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes"))
}

/// Pads `fields` to `SIZE` and encrypts. What is longer is cut, which the types exclude.
#[expect(clippy::expect_used, reason = "AES-GCM takes any buffer below 64 GiB")]
fn encrypt<const SIZE: usize>(key: &[u8; 32], aad: &[u8], fields: &[u8]) -> Vec<u8> {
    debug_assert!(fields.len() <= SIZE, "sizes are chosen for the longest fields");
    // With room for the tag, so that no reallocation leaves a copy of the plaintext behind.
    let mut buffer = Vec::with_capacity(SIZE + AES_256_GCM.tag_len());
    buffer.extend_from_slice(fields);
    buffer.resize(SIZE, 0);
    cipher(key)
        .seal_in_place_append_tag(once(), Aad::from(aad), &mut buffer)
        .expect("a short buffer");
    buffer
}

fn decrypt<const SIZE: usize>(
    key: &[u8; 32],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = cipher(key)
        .open_in_place(once(), Aad::from(aad), &mut buffer)
        .map_err(|_| SealError::DoesNotOpen)?
        .len();
    if length != SIZE {
        return Err(SealError::DoesNotOpen);
    }
    buffer.truncate(length);
    Ok(buffer)
}
