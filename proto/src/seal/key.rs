//! The agent's sealing key: made in memory, announced under the certificate's key, never written.

use std::fmt;

use hpke::{Deserializable as _, Kem as _, Serializable as _, kem::XWing};
use postern_kit::keys::{self, SigningKey};
use postern_kit::random::{Random, Rng};

use super::{SealError, Stream, VERSION, canonical};
use crate::ids::{Malformed, SealingKeyId};
use crate::wire::channel;

/// An agent's key pair. Not on disk, not printable; its private half is zeroed when dropped.
pub struct SealingKeyPair {
    pub(super) id: SealingKeyId,
    pub(super) private: <XWing as hpke::Kem>::PrivateKey,
    public: <XWing as hpke::Kem>::PublicKey,
}

impl SealingKeyPair {
    /// Makes a new pair.
    pub fn generate(random: &dyn Random) -> Self {
        let (private, public) = XWing::gen_keypair_with_rng(&mut Rng(random));
        Self {
            id: SealingKeyId::generate(random),
            private,
            public,
        }
    }

    /// The key's id.
    pub fn id(&self) -> SealingKeyId {
        self.id
    }

    /// The announcement for one stream, signed with the key of the agent's certificate.
    pub fn announce(&self, stream: &Stream, certificate_key: &SigningKey) -> channel::SealingKey {
        let public = self.public.to_bytes();
        let signature = certificate_key.sign(&signed(stream, self.id, &public));
        channel::SealingKey {
            key_id: self.id.as_bytes().to_vec(),
            public_key: public.to_vec(),
            signature: signature.to_vec(),
        }
    }
}

#[cfg(test)]
impl SealingKeyPair {
    /// The same key under another id.
    pub(super) fn with_id_for_test(&self, id: SealingKeyId) -> Self {
        Self {
            id,
            private: self.private.clone(),
            public: self.public.clone(),
        }
    }
}

impl fmt::Debug for SealingKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKeyPair")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A sealing key that an agent announced and that is the agent's.
#[derive(Clone)]
pub struct AnnouncedKey {
    pub(super) id: SealingKeyId,
    pub(super) public: <XWing as hpke::Kem>::PublicKey,
}

impl AnnouncedKey {
    /// Takes an announcement if it was made for `stream` by the owner of `certificate_key`, the
    /// key that TLS verified on this connection.
    ///
    /// # Errors
    /// [`SealError`] if a field is malformed or the signature is not the owner's over this stream.
    pub fn verify(
        stream: &Stream,
        announcement: &channel::SealingKey,
        certificate_key: &[u8; 32],
    ) -> Result<Self, SealError> {
        let id = SealingKeyId::try_from(announcement.key_id.as_slice())?;
        let message = signed(stream, id, &announcement.public_key);
        if !keys::verify(certificate_key, &message, &announcement.signature) {
            return Err(SealError::Signature);
        }
        let malformed = Malformed {
            field: "public_key",
            expected: "an X-Wing public key",
        };
        let public =
            <XWing as hpke::Kem>::PublicKey::from_bytes(&announcement.public_key).map_err(|_| malformed)?;
        Ok(Self { id, public })
    }

    /// The key's id.
    pub fn id(&self) -> SealingKeyId {
        self.id
    }
}

impl fmt::Debug for AnnouncedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnnouncedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

pub(super) fn signed(stream: &Stream, id: SealingKeyId, public_key: &[u8]) -> Vec<u8> {
    canonical::encode(&[
        VERSION.as_bytes(),
        b"sealing key",
        &stream.nonce,
        stream.tenant.as_bytes(),
        stream.agent.as_bytes(),
        id.as_bytes(),
        public_key,
    ])
}
