//! Certificates for controllers that were given none: a CA made at start and leaves under it, all
//! Ed25519 from the injected randomness and valid by the injected clock.

use std::net::IpAddr;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::keys::{NotAKey, SigningKey};
use postern_kit::random::array;
use postern_kit::tls::{Certificate, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};

/// Tests and demonstrations end sooner; the simulation may run through months.
const VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Clocks of clients may be behind.
const BACKDATED_BY: Duration = Duration::from_secs(600);

/// Why no certificate can be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A host name cannot stand in a certificate.
    #[error("certificate cannot be made")]
    Making(#[source] rcgen::Error),
    /// The key is refused.
    #[error("key for a certificate cannot be used")]
    Key(#[source] NotAKey),
}

/// A certificate authority for directories under test. Give the same one to several servers when
/// one root should cover them all.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCa(..)")
    }
}

impl TestCa {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`CertificateError`] if rcgen refuses, which it does not.
    pub fn generate(seams: &Seams) -> Result<Self, CertificateError> {
        let mut params = params(seams, Vec::new(), "directory test CA")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key(seams)?.0).map_err(CertificateError::Making)?;
        Ok(Self { issuer })
    }

    /// The root certificate.
    pub fn der(&self) -> Certificate {
        self.issuer.der().clone()
    }

    /// The root certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A leaf for these names and addresses.
    ///
    /// # Errors
    /// [`CertificateError::Making`] if a name cannot stand in a certificate.
    pub fn issue(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        seams: &Seams,
    ) -> Result<Identity, CertificateError> {
        let common = names.first().map_or("directory", String::as_str);
        let mut params = params(seams, names.to_vec(), common)?;
        params
            .subject_alt_names
            .extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (pair, signing) = key(seams)?;
        let leaf = params
            .signed_by(&pair, &self.issuer)
            .map_err(CertificateError::Making)?;
        Ok(Identity {
            chain: vec![leaf.der().clone()],
            key: signing.tls(),
        })
    }
}

fn key(seams: &Seams) -> Result<(KeyPair, SigningKey), CertificateError> {
    let key = SigningKey::generate(seams.random.as_ref());
    Ok((key.rcgen().map_err(CertificateError::Key)?, key))
}

fn params(seams: &Seams, names: Vec<String>, common: &str) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names).map_err(CertificateError::Making)?;
    let now = seams.clock.now();
    params.not_before = now.minus(BACKDATED_BY).date_time();
    params.not_after = now.plus(VALID_FOR).date_time();
    let mut serial = array::<16>(seams.random.as_ref());
    // Positive and of constant length.
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    Ok(params)
}
