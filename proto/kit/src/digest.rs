//! SHA-256, as fingerprints and as the stored form of secrets that we generate ourselves.

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

/// HMAC-SHA-256 of `bytes` under `key`: a digest that only the key's owner can look up.
pub fn keyed(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::hmac::sign(&key, bytes).as_ref());
    out
}

/// Whether two digests are equal, in time that does not depend on where they differ.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    bool::from(subtle::ConstantTimeEq::ct_eq(a, b))
}
