//! The only place that builds TLS configurations: one provider, the injected clock as time
//! source, and no way to turn verification off.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::clock::{Clock, Timestamp};

pub use rustls::{ClientConfig as ClientTls, ServerConfig as ServerTls};
/// A certificate in DER.
pub type Certificate = CertificateDer<'static>;

/// Why a TLS configuration cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or key does not fit.
    #[error("certificate and key cannot be used for TLS")]
    Identity(#[source] rustls::Error),
    /// A trusted certificate is not one.
    #[error("trusted certificate cannot be used")]
    Trust(#[source] rustls::Error),
    /// A verifier cannot be made from the roots.
    #[error("trusted certificates make no verifier")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
    /// A PEM file holds no certificate or no key.
    #[error("PEM text holds no {0}")]
    Pem(&'static str),
}

/// A certificate chain, leaf first, and the leaf's key.
#[derive(Debug)]
pub struct Identity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Identity {
    /// From PEM texts.
    ///
    /// # Errors
    /// [`TlsError::Pem`] if one of them lacks what it should hold.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Pem("private key"))?;
        Ok(Self {
            chain: certificates_from_pem(chain)?,
            key,
        })
    }
}

/// All certificates of a PEM text, at least one.
///
/// # Errors
/// [`TlsError::Pem`] if there is none or one is broken.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(TlsError::Pem("certificate")),
    }
}

/// Whom a client takes for the server.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// A chain that holds a root whose public key (SPKI) has this SHA-256, and ends there.
    /// For the first contact, before the root itself is known.
    PinnedRoot([u8; 32]),
    /// A chain that ends in one of these roots.
    Roots(Vec<CertificateDer<'static>>),
    /// A chain that ends in a root that the operating system trusts.
    System,
}

/// Whether a server asks its clients for certificates.
#[derive(Clone, Debug)]
pub enum ClientTrust {
    /// It does not.
    NotAsked,
    /// It asks; a client may have none, but one that it shows must chain to this root.
    Optional(CertificateDer<'static>),
}

/// Which protocol versions are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Only 1.3: where both ends are ours.
    Tls13,
    /// 1.2 and 1.3: browsers and directories.
    Tls12And13,
}

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl Versions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls13 => TLS13_ONLY,
            Self::Tls12And13 => rustls::ALL_VERSIONS,
        }
    }
}

/// The injected clock as rustls wants it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

/// A time for certificate checks.
fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unix_s()))
}

/// The provider of everything: aws-lc-rs, X25519MLKEM768 first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server's configuration. Sessions are not resumed and early data is not taken.
///
/// # Errors
/// [`TlsError`] if identity or trust cannot be used.
pub fn server(
    identity: Identity,
    clients: ClientTrust,
    versions: Versions,
    alpn: &[&str],
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_details(provider(), Arc::new(Time(clock)))
        .with_protocol_versions(versions.list())
        .map_err(TlsError::Identity)?;
    let builder = match clients {
        ClientTrust::NotAsked => builder.with_no_client_auth(),
        ClientTrust::Optional(root) => {
            let roots = Arc::new(root_store(&[root])?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build()
                .map_err(TlsError::Verifier)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = protocols(alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Whether certificate and key of an identity belong together and can be used.
///
/// # Errors
/// [`TlsError::Identity`] if they do not.
pub fn fits(identity: &Identity) -> Result<(), TlsError> {
    let key = provider()
        .key_provider
        .load_private_key(identity.key.clone_key())
        .map_err(TlsError::Identity)?;
    rustls::sign::CertifiedKey::new(identity.chain.clone(), key)
        .keys_match()
        .map_err(TlsError::Identity)
}

/// A client's configuration. Sessions are not resumed.
///
/// # Errors
/// [`TlsError`] if identity or trust cannot be used.
pub fn client(
    trust: ServerTrust,
    identity: Option<Identity>,
    versions: Versions,
    alpn: &[&str],
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(Time(clock)))
        .with_protocol_versions(versions.list())
        .map_err(TlsError::Trust)?;
    let builder = match trust {
        ServerTrust::PinnedRoot(spki_sha256) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedRoot { spki_sha256 })),
        ServerTrust::Roots(roots) => builder.with_root_certificates(root_store(&roots)?),
        ServerTrust::System => {
            let found = rustls_native_certs::load_native_certs();
            let mut store = RootCertStore::empty();
            // Some systems ship roots that do not parse; the others still count.
            store.add_parsable_certificates(found.certs);
            builder.with_root_certificates(store)
        }
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(TlsError::Identity)?,
    };
    config.alpn_protocols = protocols(alpn);
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A host name or address for [`verify_server_chain`].
///
/// # Errors
/// If it is neither.
pub fn server_name(name: &str) -> Result<ServerName<'static>, rustls_pki_types::InvalidDnsNameError> {
    ServerName::try_from(name.to_owned())
}

/// Verifies a server's certificate chain, leaf first, for the name `server_name` against `root`
/// at the time `now`.
///
/// # Errors
/// What is wrong with the chain.
pub fn verify_server_chain(
    chain: &[CertificateDer<'static>],
    root: &CertificateDer<'static>,
    server_name: &ServerName<'_>,
    now: Timestamp,
) -> Result<(), rustls::Error> {
    let (leaf, rest) = chain
        .split_first()
        .ok_or(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    verify_to(root, leaf, rest, server_name, unix_time(now)).map(|_| ())
}

/// Verifies a client's certificate chain, leaf first, against `root` at the time `now`.
///
/// # Errors
/// What is wrong with the chain.
pub fn verify_client_chain(
    chain: &[CertificateDer<'static>],
    root: &CertificateDer<'static>,
    now: Timestamp,
) -> Result<(), rustls::Error> {
    let (leaf, rest) = chain
        .split_first()
        .ok_or(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let mut store = RootCertStore::empty();
    store.add(root.clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    verifier
        .verify_client_cert(leaf, rest, unix_time(now))
        .map(|_| ())
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(TlsError::Trust)?;
    }
    Ok(store)
}

fn verify_to(
    root: &CertificateDer<'_>,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let mut store = RootCertStore::empty();
    store.add(root.clone().into_owned())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    verifier.verify_server_cert(leaf, intermediates, server_name, &[], now)
}

/// Trusts the one root of the presented chain that has the pinned key.
#[derive(Debug)]
struct PinnedRoot {
    spki_sha256: [u8; 32],
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let root = intermediates
            .iter()
            .find(|candidate| {
                crate::keys::spki_sha256(candidate)
                    .is_some_and(|found| crate::digest::equal(&found, &self.spki_sha256))
            })
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        verify_to(root, leaf, intermediates, server_name, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
