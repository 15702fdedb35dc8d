//! What a certificate of the private PKI says about its owner: the role, in a private URI name.
//!
//! Names in the subject are for people; only this URI decides.

use std::fmt;
use std::str::FromStr;

use postern_kit::tls;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::ids::{AgentId, Malformed, ReplicaId, TenantId};
use crate::names::DomainName;

/// The start of every role URI. The number is the profile's version.
const PREFIX: &str = "urn:postern:1:";

/// Most domains in one certificate: bounds its size to what a TLS handshake carries easily.
pub const DOMAINS_MAX: usize = 32;

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// An agent of a tenant, for the domains that it was enrolled for.
    Agent {
        /// The tenant.
        tenant: TenantId,
        /// The agent.
        agent: AgentId,
        /// What it may serve, in order.
        domains: Vec<DomainName>,
    },
    /// A process of the cloud.
    CloudReplica(ReplicaId),
    /// A person or programme that administers the cloud.
    Administrator(String),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::Agent {
                tenant,
                agent,
                domains,
            } => {
                let domains: Vec<_> = domains.iter().map(DomainName::as_str).collect();
                write!(f, "agent:{tenant}:{agent}:{}", domains.join(","))
            }
            Self::CloudReplica(replica) => write!(f, "cloud-replica:{replica}"),
            Self::Administrator(name) => write!(f, "administrator:{name}"),
        }
    }
}

impl FromStr for Role {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            field: "certificate",
            expected: "a role URI of this system",
        };
        let rest = text.strip_prefix(PREFIX).ok_or(malformed.clone())?;
        let (kind, rest) = rest.split_once(':').ok_or(malformed.clone())?;
        match kind {
            "agent" => {
                let mut parts = rest.splitn(3, ':');
                let (Some(tenant), Some(agent), Some(domains)) = (parts.next(), parts.next(), parts.next())
                else {
                    return Err(malformed);
                };
                let domains: Vec<DomainName> =
                    domains.split(',').map(str::parse).collect::<Result<_, _>>()?;
                if domains.len() > DOMAINS_MAX {
                    return Err(malformed);
                }
                Ok(Self::Agent {
                    tenant: tenant.parse()?,
                    agent: agent.parse()?,
                    domains,
                })
            }
            "cloud-replica" => Ok(Self::CloudReplica(rest.parse()?)),
            "administrator" if !rest.is_empty() => Ok(Self::Administrator(rest.to_owned())),
            _ => Err(malformed),
        }
    }
}

/// Reads the role of a certificate. Does not verify the certificate: TLS or [`verify_replica`] did.
///
/// # Errors
/// [`Malformed`] unless exactly one URI name of this system stands in it.
pub fn role(certificate: &[u8]) -> Result<Role, Malformed> {
    let malformed = Malformed {
        field: "certificate",
        expected: "exactly one role URI of this system",
    };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| malformed.clone())?;
    let mut roles = parsed
        .extensions()
        .iter()
        .flat_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => names.general_names.as_slice(),
            _ => &[],
        });
    let mut found = roles.by_ref().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(PREFIX) => Some(*uri),
        _ => None,
    });
    match (found.next(), found.next()) {
        (Some(uri), None) => uri.parse(),
        _ => Err(malformed),
    }
}

/// The name that every replica's certificate carries besides its host names, so that a chain can
/// be verified without knowing the host: what an announcement is checked against.
pub const REPLICA_SERVER_NAME: &str = "cloud-replica.postern.internal";

/// Why a chain is not that of a replica.
#[derive(Debug, thiserror::Error)]
pub enum NotAReplica {
    /// It does not end in the trusted root, or is not valid now.
    #[error("replica certificate does not verify")]
    Chain(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It belongs to somebody else.
    #[error("certificate is not a replica's")]
    Role,
}

/// Verifies a replica's certificate chain, leaf first, against `root`, and returns the replica
/// and its public key.
///
/// # Errors
/// [`NotAReplica`] if it is anything else than a valid replica's chain.
pub fn verify_replica(
    chain: &[postern_kit::tls::Certificate],
    root: &postern_kit::tls::Certificate,
    now: postern_kit::clock::Timestamp,
) -> Result<(ReplicaId, [u8; 32]), NotAReplica> {
    let name = tls::server_name(REPLICA_SERVER_NAME).map_err(|error| NotAReplica::Chain(error.into()))?;
    tls::verify_server_chain(chain, root, &name, now).map_err(|error| NotAReplica::Chain(error.into()))?;
    let leaf = chain.first().ok_or(NotAReplica::Role)?;
    let key = postern_kit::keys::certificate_key(leaf).ok_or(NotAReplica::Role)?;
    match role(leaf) {
        Ok(Role::CloudReplica(replica)) => Ok((replica, key)),
        _ => Err(NotAReplica::Role),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::keys::SigningKey;
    use postern_kit::random::SeededRandom;

    #[test]
    fn roles_survive_their_text() {
        let random = SeededRandom::new(1);
        for role in [
            Role::Agent {
                tenant: TenantId::generate(&random),
                agent: AgentId::generate(&random),
                domains: vec!["corp.example".parse().unwrap(), "lab.example".parse().unwrap()],
            },
            Role::CloudReplica(ReplicaId::generate(&random)),
            Role::Administrator("ada".to_owned()),
        ] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for text in [
            "",
            "urn:postern:2:administrator:a",
            "urn:postern:1:agent:a:b:c",
            "urn:postern:1:king:x",
        ] {
            assert!(text.parse::<Role>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_certificate_with_two_roles_has_none() {
        let key = SigningKey::generate(&SeededRandom::new(1)).rcgen().unwrap();
        let read = |uris: &[&str]| {
            let mut params = rcgen::CertificateParams::default();
            for uri in uris {
                params
                    .subject_alt_names
                    .push(rcgen::SanType::URI((*uri).try_into().unwrap()));
            }
            role(params.self_signed(&key).unwrap().der())
        };
        let (ada, bob) = (
            "urn:postern:1:administrator:ada",
            "urn:postern:1:administrator:bob",
        );
        assert_eq!(read(&[ada]), Ok(Role::Administrator("ada".to_owned())));
        assert!(read(&[ada, bob]).is_err());
        assert!(read(&["https://example.com"]).is_err());
        assert!(read(&[]).is_err());
        assert!(role(b"junk").is_err());
    }
}
