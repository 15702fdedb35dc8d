//! The private certificate authority, the enrolment of agents, and the registry that says which of
//! them still counts.
//!
//! A root certifies one issuing CA, that one certifies replicas and agents; all keys are Ed25519.
//! The CA keys lie in the data folder, encrypted from the first start under a master key that lies
//! elsewhere. The replica's key is made at each start, is certified for 360 days and never written:
//! a process that is to run longer has to be restarted before.
//!
//! # Invariants
//! * An enrolment token makes at most one agent, and only while it is valid.
//! * Of a certificate request only its key is used.
//! * TLS judges a certificate at the handshake only, so [`Trust::agent`] asks the registry each time.

mod keep;
mod pki;
mod registry;
mod rpc;
mod sql;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{Clock, Timestamp};
use postern_kit::digest::DigestKey;
use postern_kit::keys::{self, SigningKey};
use postern_kit::random::Random;
use postern_kit::secret::Token256;
use postern_kit::tls::{self, Certificate, ClientTrust, Identity, ServerTls, TlsError, Versions};
use postern_proto::certificate::DOMAINS_MAX;
use postern_proto::enrolment::EnrolmentToken;
use postern_proto::ids::{AgentId, ReplicaId, TenantId, TokenId};
use postern_proto::names::DomainName;
use postern_proto::seal::Replica;

use crate::store::{Store, StoreError};

pub use keep::KeepError;
pub use pki::PkiError;
pub use registry::{AgentError, AgentRecord, AgentRefused, AgentRegistration};
pub use rpc::RegistrationService;

use pki::Issuer;

/// How long an enrolment token can be valid: long enough to type it in, short enough that a
/// forgotten one is worth nothing after a holiday.
pub const TOKEN_LIFETIME: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);

/// Longest host name and version that an agent may state, in bytes: what a DNS name can have.
const STATED_BYTES_MAX: usize = 255;

/// Where the keys are and what the agents' listener is called.
#[derive(Clone, Debug)]
pub struct TrustConfig {
    /// The data folder: certificates, and private keys encrypted.
    pub data: PathBuf,
    /// The file with the master key, 32 bytes, outside the data folder. Made on first start.
    pub master_key: PathBuf,
    /// Names and addresses under which agents reach this replica.
    pub host_names: Vec<String>,
}

/// Why the authority cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The files at rest are at fault.
    #[error("private certificate authority cannot be opened")]
    Keep(#[from] KeepError),
    /// A certificate cannot be made.
    #[error("certificate cannot be made")]
    Pki(#[from] PkiError),
}

/// An enrolment token as it is stored: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// Whose agents it makes.
    pub tenant: TenantId,
    /// What such an agent serves.
    pub domains: Vec<DomainName>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// The agent that was enrolled with it.
    pub used_by: Option<AgentId>,
}

/// Why a token was not made or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The lifetime is out of range.
    #[error("lifetime: expected 60 s to 7 days")]
    Lifetime,
    /// Too few or too many domains.
    #[error("domains: expected 1 to 32")]
    Domains,
    /// A domain is not the tenant's.
    #[error("domains: {0} is not the tenant's")]
    ForeignDomain(DomainName),
    /// There is no such token.
    #[error("id: not found")]
    NotFound,
    /// The store is at fault.
    #[error("store does not answer")]
    Store(#[from] StoreError),
}

/// What an agent brings to be enrolled.
#[derive(Debug)]
pub struct Enrolment {
    /// SHA-256 of the token's secret.
    pub secret_sha256: [u8; 32],
    /// A certificate request over an Ed25519 key, PKCS#10 in DER.
    pub request: Vec<u8>,
    /// What the operating system calls its host.
    pub host_name: String,
    /// What it runs.
    pub version: String,
}

/// What an enrolled agent gets.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its registration.
    pub registration: AgentRegistration,
    /// Its certificate, then the issuing one.
    pub chain: Vec<Certificate>,
}

/// Why an agent is not enrolled. For the log: to the caller all look alike.
#[derive(Debug, thiserror::Error)]
pub enum EnrolRefused {
    /// No token has this secret.
    #[error("token is not known")]
    UnknownToken,
    /// The token made an agent before.
    #[error("token was used by agent {0}")]
    UsedToken(AgentId),
    /// The token is over.
    #[error("token expired at {0}")]
    ExpiredToken(Timestamp),
    /// All domains of the token were taken from the tenant meanwhile.
    #[error("no domain of the token is the tenant's any more")]
    NoDomains,
    /// The certificate request is not one over an Ed25519 key, or not signed with it.
    #[error("certificate request: expected PKCS#10 over an Ed25519 key, signed with it")]
    Request,
    /// Another agent has this key.
    #[error("key belongs to another agent")]
    UsedKey,
    /// A text is too long or has control characters.
    #[error("{0}: expected at most 255 bytes without control characters")]
    Text(&'static str),
    /// The certificate could not be made.
    #[error("certificate cannot be made")]
    Pki(#[from] PkiError),
    /// It is not known.
    #[error("registry does not answer")]
    Store(#[from] StoreError),
}

/// The authority and the registry. Clones share them.
#[derive(Clone, Debug)]
pub struct Trust(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: Certificate,
    root_spki_sha256: [u8; 32],
    issuer: Issuer,
    replica: Arc<Replica>,
    name_key: DigestKey,
    replica_ends: Timestamp,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Trust {
    /// Opens the authority, makes it on first start, and certifies this replica.
    ///
    /// # Errors
    /// [`TrustError`] if a key does not open or a file cannot be used.
    pub fn open(config: &TrustConfig, store: Store, seams: &Seams) -> Result<Self, TrustError> {
        let now = seams.clock.now();
        let random = seams.random.as_ref();
        let authority = keep::open(&config.data, &config.master_key, seams.disk.as_ref(), random, now)?;
        let issuer = authority.issuer;
        let id = ReplicaId::generate(random);
        let key = SigningKey::generate(random);
        let leaf = pki::replica(&issuer, id, &key, &config.host_names, random, now)?;
        tracing::info!(replica = %id, "replica has a certificate for 360 days; restart it before they are over");
        Ok(Self(Arc::new(Inner {
            root_spki_sha256: keys::spki_sha256(&authority.root).ok_or(PkiError::NotACertificate)?,
            root: authority.root,
            replica: Arc::new(Replica {
                id,
                key,
                chain: vec![leaf, issuer.certificate().clone()],
            }),
            issuer,
            name_key: authority.name_key,
            replica_ends: now.plus(pki::REPLICA_LIFETIME),
            store,
            clock: seams.clock.clone(),
            random: seams.random.clone(),
        })))
    }

    /// This replica as it announces sessions.
    pub fn replica(&self) -> Arc<Replica> {
        self.0.replica.clone()
    }

    /// The root that agents trust.
    pub fn root(&self) -> &Certificate {
        &self.0.root
    }

    /// A digest of something that people typed and that means nobody here: it may be a password in
    /// the wrong field, so it is kept in no form that the database alone could be searched by.
    pub fn name_digest(&self, typed: &[u8]) -> [u8; 32] {
        self.0.name_key.digest(typed)
    }

    /// TLS for the agents' listener. The chain goes up to the root, where an agent that enrols
    /// finds the key that its token names.
    ///
    /// # Errors
    /// [`TlsError`] if the library does not take our own certificates.
    pub fn agents_tls(&self) -> Result<Arc<ServerTls>, TlsError> {
        let mut chain = self.0.replica.chain.clone();
        chain.push(self.0.root.clone());
        let identity = Identity {
            chain,
            key: self.0.replica.key.tls(),
        };
        tls::server(
            identity,
            ClientTrust::Optional(self.0.root.clone()),
            Versions::Tls13,
            &["h2"],
            self.0.clock.clone(),
        )
    }

    /// Makes an enrolment token. Its secret is not kept: this is the only time that it is known.
    ///
    /// # Errors
    /// [`TokenError`] if lifetime or domains cannot be.
    pub async fn create_token(
        &self,
        tenant: TenantId,
        domains: Vec<DomainName>,
        lifetime: Duration,
    ) -> Result<(TokenRecord, EnrolmentToken), TokenError> {
        if !TOKEN_LIFETIME.contains(&lifetime) {
            return Err(TokenError::Lifetime);
        }
        let mut domains = domains;
        domains.sort();
        domains.dedup();
        if domains.is_empty() || domains.len() > DOMAINS_MAX {
            return Err(TokenError::Domains);
        }
        let created = self.0.clock.now();
        let record = TokenRecord {
            id: TokenId::generate(self.0.random.as_ref()),
            tenant,
            domains,
            created,
            expires: created.plus(lifetime),
            used_by: None,
        };
        let token = EnrolmentToken {
            secret: Token256::generate(self.0.random.as_ref()),
            root_spki_sha256: self.0.root_spki_sha256,
        };
        let (new, digest) = (record.clone(), token.secret.digest());
        self.0
            .store
            .transact(move |c| Box::pin(async move { sql::create_token(c, &new, &digest).await }))
            .await?
            .map_err(TokenError::ForeignDomain)?;
        Ok((record, token))
    }

    /// A tenant's tokens, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn tokens(&self, tenant: TenantId) -> Result<Vec<TokenRecord>, StoreError> {
        self.0.store.read(move |c| Box::pin(sql::tokens(c, tenant))).await
    }

    /// Deletes a token: its secret is worth nothing from now on. An agent made with it stays.
    ///
    /// # Errors
    /// [`TokenError::NotFound`] if there is none.
    pub async fn delete_token(&self, tenant: TenantId, token: TokenId) -> Result<(), TokenError> {
        let found = self
            .0
            .store
            .transact(move |c| Box::pin(sql::delete_token(c, tenant, token)))
            .await?;
        if found { Ok(()) } else { Err(TokenError::NotFound) }
    }

    /// Makes an agent of whoever brings a valid token: the token is consumed and the agent
    /// registered in one transaction.
    ///
    /// # Errors
    /// [`EnrolRefused`] says why not.
    ///
    /// # Cancellation
    /// Once started it is done or undone as a whole; an agent that does not get the answer needs
    /// another token.
    pub async fn enrol(&self, enrolment: Enrolment) -> Result<Enrolled, EnrolRefused> {
        for (field, text) in [
            ("host_name", &enrolment.host_name),
            ("agent_version", &enrolment.version),
        ] {
            if text.len() > STATED_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(EnrolRefused::Text(field));
            }
        }
        let key = pki::requested_key(&enrolment.request).ok_or(EnrolRefused::Request)?;
        let trust = self.clone();
        let secret = enrolment.secret_sha256;
        self.0
            .store
            .transact(move |c| {
                Box::pin(async move {
                    let now = trust.0.clock.now();
                    let token = match sql::usable_token(c, &secret, now).await? {
                        Ok(token) => token,
                        Err(refused) => return Ok(Err(refused)),
                    };
                    if sql::key_is_known(c, &key.bytes).await? {
                        return Ok(Err(EnrolRefused::UsedKey));
                    }
                    let registration = AgentRegistration {
                        agent: AgentId::generate(trust.0.random.as_ref()),
                        tenant: token.tenant,
                        domains: token.domains,
                        host_name: enrolment.host_name,
                        key: key.bytes,
                        drained: false,
                    };
                    let random = trust.0.random.as_ref();
                    let leaf = match pki::agent(&trust.0.issuer, &registration, &key.spki, random, now) {
                        Ok(leaf) => leaf,
                        Err(error) => return Ok(Err(error.into())),
                    };
                    let record = AgentRecord {
                        fingerprint: keys::spki_sha256(&leaf).unwrap_or_default(),
                        registration: registration.clone(),
                        version: enrolment.version,
                        enrolled: now,
                        expires: now.plus(pki::AGENT_LIFETIME),
                        revoked: None,
                        name: String::new(),
                        last_seen: None,
                    };
                    sql::register(c, &record, token.id).await?;
                    let chain = vec![leaf, trust.0.issuer.certificate().clone()];
                    Ok(Ok(Enrolled { registration, chain }))
                })
            })
            .await?
    }
}

#[cfg(test)]
pub(crate) mod tests;
