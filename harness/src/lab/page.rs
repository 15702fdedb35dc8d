//! The page's certificate: P-256, since browsers take no Ed25519, under a root of the lab's own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use postern_kit::clock::Clock;
use postern_kit::tls::{Certificate, Identity, TlsError};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use zeroize::Zeroizing;

/// Browsers refuse leaves that are valid for longer than 398 days; a lab lives for hours.
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// For machines whose clocks differ a little.
const BACKDATED_BY: Duration = Duration::from_secs(10 * 60);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PageCertificateError {
    /// It cannot be made.
    #[error("certificate cannot be made")]
    Making(#[from] rcgen::Error),
    /// It cannot be used.
    #[error("certificate cannot be used")]
    Using(#[from] TlsError),
}

/// A root, and a leaf for this machine under it.
#[derive(Debug)]
pub(super) struct PageCertificate {
    pub(super) root: Certificate,
    pub(super) root_pem: String,
    pub(super) leaf_pem: String,
    pub(super) key_pem: Zeroizing<String>,
    pub(super) identity: Identity,
}

impl PageCertificate {
    /// Makes both, for `localhost` and 127.0.0.1.
    pub(super) fn make(clock: &dyn Clock) -> Result<Self, PageCertificateError> {
        let key = KeyPair::generate()?;
        let mut params = params(clock, "Postern lab", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = params.self_signed(&key)?;
        let (root_der, root_pem) = (root.der().clone(), root.pem());
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate()?;
        let mut params = self::params(clock, "localhost", vec!["localhost".to_owned()])?;
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let leaf = params.signed_by(&key, &issuer)?;
        let (leaf_pem, key_pem) = (leaf.pem(), Zeroizing::new(key.serialize_pem()));
        let identity = Identity::from_pem(leaf_pem.as_bytes(), key_pem.as_bytes())?;
        Ok(Self {
            root: root_der,
            root_pem,
            leaf_pem,
            key_pem,
            identity,
        })
    }
}

fn params(clock: &dyn Clock, name: &str, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = clock.now().minus(BACKDATED_BY).date_time();
    params.not_after = clock.now().plus(VALID_FOR).date_time();
    Ok(params)
}
