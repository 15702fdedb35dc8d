//! A private PKI for the tests, and the time in which it is valid.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{ManualClock, Timestamp};
use postern_kit::keys::{self, SigningKey};
use postern_kit::random::SystemRandom;
use postern_kit::tls::{Certificate, Identity};

/// The middle of the validity of all certificates.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
/// Half their validity.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(3600);

/// A root that signs leaves.
pub(crate) struct Root {
    pub(crate) certificate: Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

fn params(names: &[&str]) -> rcgen::CertificateParams {
    let mut params =
        rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = NOW.minus(HALF_LIFE).date_time();
    params.not_after = NOW.plus(HALF_LIFE).date_time();
    params
}

impl Root {
    pub(crate) fn new() -> Self {
        let key = SigningKey::generate(&SystemRandom).rcgen().unwrap();
        let mut params = params(&[]);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// SHA-256 of its public key.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        keys::spki_sha256(&self.certificate).unwrap()
    }

    /// A leaf for `name`; with the root behind it, as a server shows it to those who have only the fingerprint.
    pub(crate) fn leaf(&self, name: &str) -> Identity {
        let key = SigningKey::generate(&SystemRandom);
        let leaf = params(&[name])
            .signed_by(&key.rcgen().unwrap(), &self.issuer)
            .unwrap();
        Identity {
            chain: vec![leaf.der().clone(), self.certificate.clone()],
            key: key.tls(),
        }
    }
}

/// Seams whose clock stands at [`NOW`].
pub(crate) fn seams() -> (Seams, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let seams = Seams {
        clock: clock.clone(),
        ..Seams::real()
    };
    (seams, clock)
}
