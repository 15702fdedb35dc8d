//! Secrets at rest: AES-256-GCM under a master key that is kept somewhere else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::random::Random;

/// The ciphertext does not belong to this key and purpose, or it was changed.
#[derive(Debug, thiserror::Error)]
#[error("sealed file does not open: wrong master key, other purpose, or changed bytes")]
pub struct DoesNotOpen;

/// Encrypts files under one master key, each ciphertext bound to its purpose, and derives keys from it.
pub struct Vault {
    aead: LessSafeKey,
    derivation: hmac::Key,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    /// From the master key.
    #[expect(clippy::expect_used, reason = "the array has the length of the key")]
    pub fn new(master_key: &[u8; 32]) -> Self {
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, master_key).expect("32 bytes"));
        let derivation = hmac::Key::new(hmac::HMAC_SHA256, master_key);
        Self { aead, derivation }
    }

    /// A key of its own for `purpose`, the same for the same master key.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(hmac::sign(&self.derivation, purpose.as_bytes()).as_ref());
        key
    }

    /// Nonce, ciphertext and tag of `plaintext`; opens only with the same `purpose`.
    #[expect(clippy::expect_used, reason = "AES-GCM takes any buffer below 64 GiB")]
    pub fn seal(&self, purpose: &str, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = crate::random::array(random);
        let mut body = plaintext.to_vec();
        let aad = Aad::from(purpose.as_bytes());
        self.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .expect("a short buffer");
        [nonce.as_slice(), &body].concat()
    }

    /// The plaintext again.
    ///
    /// # Errors
    /// [`DoesNotOpen`] for another key, another purpose or changed bytes.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(DoesNotOpen)?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .aead
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body)
            .map_err(|_| DoesNotOpen)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn opens_only_with_its_key_and_purpose_and_unchanged() {
        let (vault, random) = (Vault::new(&[1; 32]), SeededRandom::new(1));
        let sealed = vault.seal("root key", b"secret", &random);
        assert_eq!(vault.open("root key", &sealed).unwrap().as_slice(), b"secret");
        assert!(vault.open("issuing key", &sealed).is_err());
        assert!(Vault::new(&[2; 32]).open("root key", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("root key", &changed).is_err(), "byte {at}");
            assert!(vault.open("root key", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn derived_keys_differ_by_purpose_and_master_key() {
        let vault = Vault::new(&[1; 32]);
        assert_eq!(vault.derive("names"), vault.derive("names"));
        assert_ne!(vault.derive("names"), vault.derive("other"));
        assert_ne!(vault.derive("names"), Vault::new(&[2; 32]).derive("names"));
        assert_ne!(vault.derive("names").as_slice(), [1; 32]);
    }
}
