//! SHA-256, as fingerprints and as the stored form of secrets that we generate ourselves.

use std::fmt;

use zeroize::Zeroizing;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

/// A key for digests that only its owner can look up. Does not print; zeroes itself.
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// Over 32 random or derived bytes.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// HMAC-SHA-256 of `bytes`.
    pub fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.0.as_slice());
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::hmac::sign(&key, bytes).as_ref());
        out
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

/// Whether two digests are equal, in time that does not depend on where they differ.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    bool::from(subtle::ConstantTimeEq::ct_eq(a, b))
}
