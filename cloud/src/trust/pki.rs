//! The certificate profile: what stands in each kind of certificate. Pure; time and randomness are
//! arguments.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use postern_kit::clock::Timestamp;
use postern_kit::keys::{NotAKey, SigningKey};
use postern_kit::random::{self, Random};
use postern_kit::tls::Certificate;
use postern_proto::certificate::{REPLICA_SERVER_NAME, Role};
use postern_proto::ids::ReplicaId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509CertificationRequest};

use super::AgentRegistration;

/// A day.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The root outlives several issuing CAs. Agents learn a new one only by enrolling again.
pub(super) const ROOT_LIFETIME: Duration = DAY.saturating_mul(3653);
/// The issuing CA is replaced at a start in its last year.
pub(super) const ISSUING_LIFETIME: Duration = DAY.saturating_mul(1826);
/// Remaining life below which a start makes a new issuing CA: longer than anything it signs lives.
pub(super) const ISSUING_LEFT_MIN: Duration = DAY.saturating_mul(365);
/// Made at each start; a process is restarted for updates far more often than that.
pub(super) const REPLICA_LIFETIME: Duration = DAY.saturating_mul(360);
/// How long an enrolled agent can attach.
pub(super) const AGENT_LIFETIME: Duration = DAY.saturating_mul(180);
/// Peers' clocks may be late by this much.
const BACKDATE: Duration = Duration::from_secs(600);

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The library refused.
    #[error("certificate library refused")]
    Rcgen(#[from] rcgen::Error),
    /// A key is of another kind.
    #[error("key is not usable")]
    Key(#[from] NotAKey),
    /// A host name is not one.
    #[error("host_names: {0:?} is neither a DNS name nor an address")]
    HostName(String),
    /// Stored bytes are no certificate.
    #[error("not a certificate")]
    NotACertificate,
}

/// A CA certificate and its key, ready to sign.
#[derive(Debug)]
pub(super) struct Issuer {
    certificate: Certificate,
    rcgen: rcgen::Issuer<'static, KeyPair>,
}

impl Issuer {
    pub(super) fn new(certificate: Certificate, key: &SigningKey) -> Result<Self, PkiError> {
        let rcgen = rcgen::Issuer::from_ca_cert_der(&certificate, key.rcgen()?)?;
        Ok(Self { certificate, rcgen })
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

fn params(name: &str, lifetime: Duration, random: &dyn Random, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = now.minus(BACKDATE).date_time();
    params.not_after = now.plus(lifetime).date_time();
    // Positive, and of constant length: the first byte is 64 to 127.
    let mut serial = random::array::<16>(random);
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn authority(name: &str, constraint: BasicConstraints, mut params: CertificateParams) -> CertificateParams {
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Postern");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraint);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The root, signed by itself.
pub(super) fn root(key: &SigningKey, random: &dyn Random, now: Timestamp) -> Result<Certificate, PkiError> {
    let params = params("", ROOT_LIFETIME, random, now);
    let params = authority("Postern root CA", BasicConstraints::Constrained(1), params);
    Ok(params.self_signed(&key.rcgen()?)?.der().clone())
}

/// The issuing CA, which signs replicas and agents but no further CA.
pub(super) fn issuing(
    root: &Issuer,
    key: &SigningKey,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Certificate, PkiError> {
    let params = params("", ISSUING_LIFETIME, random, now);
    let params = authority("Postern issuing CA", BasicConstraints::Constrained(0), params);
    Ok(params.signed_by(&key.rcgen()?, &root.rcgen)?.der().clone())
}

/// A replica's certificate.
pub(super) fn replica(
    issuer: &Issuer,
    id: ReplicaId,
    key: &SigningKey,
    host_names: &[String],
    random: &dyn Random,
    now: Timestamp,
) -> Result<Certificate, PkiError> {
    let mut params = params(&format!("replica {id}"), REPLICA_LIFETIME, random, now);
    params.subject_alt_names = vec![
        SanType::URI(Role::CloudReplica(id).to_string().try_into()?),
        SanType::DnsName(REPLICA_SERVER_NAME.try_into()?),
    ];
    for name in host_names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                name.as_str()
                    .try_into()
                    .map_err(|_| PkiError::HostName(name.clone()))?,
            ),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params.signed_by(&key.rcgen()?, &issuer.rcgen)?.der().clone())
}

/// An agent's certificate.
pub(super) fn agent(
    issuer: &Issuer,
    registration: &AgentRegistration,
    key: &SubjectPublicKeyInfo,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Certificate, PkiError> {
    let name = format!("agent {}", registration.agent);
    let mut params = params(&name, AGENT_LIFETIME, random, now);
    let role = Role::Agent {
        tenant: registration.tenant,
        agent: registration.agent,
        domains: registration.domains.clone(),
    };
    params.subject_alt_names = vec![SanType::URI(role.to_string().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params.signed_by(key, &issuer.rcgen)?.der().clone())
}

/// The key of a certificate request.
pub(super) struct RequestedKey {
    pub(super) spki: SubjectPublicKeyInfo,
    pub(super) bytes: [u8; 32],
}

/// Reads the Ed25519 key of a request that is signed with it. Everything else that the request
/// asks for is left where it is.
pub(super) fn requested_key(request: &[u8]) -> Option<RequestedKey> {
    let (rest, parsed) = X509CertificationRequest::from_der(request).ok()?;
    if !rest.is_empty() || parsed.verify_signature().is_err() {
        return None;
    }
    let spki = &parsed.certification_request_info.subject_pki;
    let spki = SubjectPublicKeyInfo::from_der(spki.raw).ok()?;
    if spki.algorithm() != &rcgen::PKCS_ED25519 {
        return None;
    }
    let bytes = spki.der_bytes().try_into().ok()?;
    Some(RequestedKey { spki, bytes })
}

/// From when until when a certificate is valid; the end counts no more.
pub(super) fn validity(certificate: &Certificate) -> Option<Range<Timestamp>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let at =
        |time: x509_parser::time::ASN1Time| Timestamp::from_unix_ms(time.timestamp().saturating_mul(1000));
    Some(at(parsed.validity().not_before)..at(parsed.validity().not_after))
}
