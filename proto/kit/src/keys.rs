//! Ed25519 keys of a private PKI: made from the injected randomness, of constant length
//! everywhere, so that simulated runs repeat themselves byte for byte in size.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::random::Random;

/// Bytes that are not a key of the expected kind.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8")]
pub struct NotAKey;

/// A private Ed25519 key. Does not print; its bytes are zeroed when dropped.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl SigningKey {
    /// Makes a key from 32 random bytes.
    #[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed")]
    pub fn generate(random: &dyn Random) -> Self {
        let seed = Zeroizing::new(crate::random::array::<32>(random));
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).expect("32 bytes");
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1().expect("a valid key").as_ref().to_vec());
        Self { pair, pkcs8 }
    }

    /// Reads PKCS#8 in DER.
    ///
    /// # Errors
    /// [`NotAKey`] if it is anything else.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NotAKey)?;
        Ok(Self {
            pair,
            pkcs8: Zeroizing::new(der.to_vec()),
        })
    }

    /// The key in PKCS#8, DER.
    pub fn plaintext_pkcs8(&self) -> &Zeroizing<Vec<u8>> {
        &self.pkcs8
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.pair.public_key().as_ref());
        out
    }

    /// The key for `rcgen`, which signs certificates and requests with it.
    ///
    /// # Errors
    /// [`NotAKey`] if rcgen does not take it.
    pub fn rcgen(&self) -> Result<rcgen::KeyPair, NotAKey> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice());
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519).map_err(|_| NotAKey)
    }

    /// The key for a TLS configuration.
    pub fn tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Whether `signature` over `message` was made by the owner of `public_key`.
pub fn verify(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(message, signature)
        .is_ok()
}

/// SHA-256 of a certificate's public key (SPKI, DER): the fingerprint that tokens carry.
pub fn spki_sha256(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(crate::digest::sha256(parsed.public_key().raw))
}

/// The Ed25519 key of a certificate; `None` if it has another kind of key.
pub fn certificate_key(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let spki = parsed.public_key();
    if spki.algorithm.algorithm != x509_parser::oid_registry::OID_SIG_ED25519 {
        return None;
    }
    spki.subject_public_key.data.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn a_key_survives_its_stored_form_and_verifies_only_its_own_signature() {
        let key = SigningKey::generate(&SeededRandom::new(3));
        let again = SigningKey::from_pkcs8(key.plaintext_pkcs8()).unwrap();
        let signature = again.sign(b"message");
        assert!(verify(&key.public_key(), b"message", &signature));
        assert!(!verify(&key.public_key(), b"massage", &signature));
        let other = SigningKey::generate(&SeededRandom::new(4));
        assert!(!verify(&other.public_key(), b"message", &signature));
        assert!(SigningKey::from_pkcs8(b"junk").is_err());
    }

    #[test]
    fn a_certificate_shows_its_key() {
        let key = SigningKey::generate(&SeededRandom::new(3));
        let certificate = rcgen::CertificateParams::new(["host".to_owned()])
            .unwrap()
            .self_signed(&key.rcgen().unwrap())
            .unwrap();
        assert_eq!(certificate_key(certificate.der()), Some(key.public_key()));
        assert!(spki_sha256(certificate.der()).is_some());
    }
}
