//! Randomness through one handle, so that a run can be repeated from its seed.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Source of random bytes for keys, nonces, ids, serials and jitter.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills `bytes` completely.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::expect_used,
        reason = "aws-lc aborts by itself before it hands out weak bytes"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system's random generator works");
    }
}

/// A generator that repeats itself: for tests and simulation only.
///
/// The stream is AES-256-GCM over zeroes under a key made from the seed, one nonce per call.
pub struct SeededRandom {
    key: LessSafeKey,
    calls: Mutex<u64>,
}

impl SeededRandom {
    /// The same seed gives the same bytes, call by call.
    #[expect(clippy::expect_used, reason = "a SHA-256 digest has the length of the key")]
    pub fn new(seed: u64) -> Self {
        let digest = crate::digest::sha256(&seed.to_be_bytes());
        let key = UnboundKey::new(&AES_256_GCM, &digest).expect("32 bytes");
        Self {
            key: LessSafeKey::new(key),
            calls: Mutex::new(0),
        }
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededRandom")
    }
}

impl Random for SeededRandom {
    #[expect(clippy::expect_used, reason = "AES-GCM takes any buffer below 64 GiB")]
    fn fill(&self, bytes: &mut [u8]) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls += 1;
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&calls.to_be_bytes());
        bytes.fill(0);
        let _tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), bytes)
            .expect("a short buffer");
    }
}

/// `N` random bytes.
pub fn array<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

/// A random (version 4) UUID.
pub fn uuid(random: &dyn Random) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(array(random)).into_uuid()
}

/// A number in `0.0..1.0`.
pub fn fraction(random: &dyn Random) -> f64 {
    // 53 bits are what an f64 holds exactly.
    let bits = u64::from_be_bytes(array(random)) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// A number in `0..bound`; 0 if `bound` is 0. The bias is below 2^-32 for bounds below 2^32.
pub fn below(random: &dyn Random, bound: u64) -> u64 {
    u64::from_be_bytes(array(random)).checked_rem(bound).unwrap_or(0)
}

/// [`Random`] for libraries that take a `rand_core` generator.
#[derive(Debug)]
pub struct Rng<'a>(pub &'a dyn Random);

impl rand_core::TryRng for Rng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(array(self.0)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(array(self.0)))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats_and_another_does_not() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            (array::<40>(&random), array::<40>(&random))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1).0, draw(1).1);
    }

    #[test]
    fn fractions_stay_inside_their_range() {
        let random = SeededRandom::new(7);
        for _ in 0..1000 {
            let drawn = fraction(&random);
            assert!((0.0..1.0).contains(&drawn), "{drawn}");
        }
        assert_eq!(below(&random, 0), 0);
    }
}
