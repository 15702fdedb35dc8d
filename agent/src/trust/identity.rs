//! The identity on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use postern_kit::disk::Disk;
use postern_kit::keys::{self, SigningKey};
use postern_kit::tls::{self, Certificate};
use postern_proto::certificate::{Role, role};
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::names::DomainName;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Name of the file in the state folder.
pub const FILE_NAME: &str = "identity.json";

/// The form of the file. Another form is another number.
const FORMAT: u32 = 1;

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This agent was never enrolled.
    #[error("no identity in {0}: enrol this agent first")]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not hold what it should.
    #[error("{path}: {field} is damaged: enrol this agent again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which part of it.
        field: &'static str,
    },
}

/// Who this agent is, and what proves it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its own id.
    pub agent: AgentId,
    /// The domains that it was enrolled for.
    pub domains: Vec<DomainName>,
    /// The certificate's key.
    pub key: Arc<SigningKey>,
    /// The certificate, then the issuing one.
    pub chain: Vec<Certificate>,
    /// The one root that is trusted.
    pub root: Certificate,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Stored {
    format: u32,
    private_key: String,
    #[zeroize(skip)]
    certificate_chain: Vec<String>,
    #[zeroize(skip)]
    root_certificate: String,
}

impl Identity {
    /// Puts together what belongs together; the name of the part that does not otherwise.
    ///
    /// # Errors
    /// The part that does not fit the others.
    pub fn new(key: SigningKey, chain: Vec<Certificate>, root: Certificate) -> Result<Self, &'static str> {
        let leaf = chain.first().ok_or("certificate_chain")?;
        if keys::certificate_key(leaf) != Some(key.public_key()) {
            return Err("private_key");
        }
        let Ok(Role::Agent {
            tenant,
            agent,
            domains,
        }) = role(leaf)
        else {
            return Err("certificate_chain");
        };
        if keys::spki_sha256(&root).is_none() {
            return Err("root_certificate");
        }
        Ok(Self {
            tenant,
            agent,
            domains,
            key: Arc::new(key),
            chain,
            root,
        })
    }

    /// Whether an identity, whole or damaged, lies in `state`.
    ///
    /// # Errors
    /// As the operating system reports.
    pub fn exists(disk: &dyn Disk, state: &Path) -> io::Result<bool> {
        match disk.read(&state.join(FILE_NAME)) {
            Ok(bytes) => {
                drop(Zeroizing::new(bytes));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the identity in the folder `state`.
    ///
    /// # Errors
    /// [`IdentityError`] if there is none or it is damaged.
    pub fn load(disk: &dyn Disk, state: &Path) -> Result<Self, IdentityError> {
        let path = state.join(FILE_NAME);
        let bytes = match disk.read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::Missing(state.to_owned()));
            }
            Err(source) => return Err(IdentityError::Read { path, source }),
        };
        Self::decode(&bytes).map_err(|field| IdentityError::Damaged { path, field })
    }

    /// Puts this identity in place of any other in the folder `state`.
    ///
    /// # Errors
    /// As the operating system reports; what was there is then untouched.
    pub fn save(&self, disk: &dyn Disk, state: &Path) -> io::Result<()> {
        disk.create_folder(state)?;
        disk.replace(&state.join(FILE_NAME), &self.encode()?)
    }

    /// The identity for TLS.
    pub fn tls(&self) -> tls::Identity {
        tls::Identity {
            chain: self.chain.clone(),
            key: self.key.tls(),
        }
    }

    fn encode(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let stored = Stored {
            format: FORMAT,
            private_key: BASE64_STANDARD.encode(self.key.plaintext_pkcs8().as_slice()),
            certificate_chain: self.chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect(),
            root_certificate: BASE64_STANDARD.encode(&self.root),
        };
        Ok(Zeroizing::new(serde_json::to_vec_pretty(&stored)?))
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| "the whole file")?;
        if stored.format != FORMAT {
            return Err("format");
        }
        let der = |text: &str, field| BASE64_STANDARD.decode(text).map_err(|_| field);
        let key = Zeroizing::new(der(&stored.private_key, "private_key")?);
        let key = SigningKey::from_pkcs8(&key).map_err(|_| "private_key")?;
        let chain: Result<Vec<_>, _> = stored
            .certificate_chain
            .iter()
            .map(|text| der(text, "certificate_chain").map(Certificate::from))
            .collect();
        let root = der(&stored.root_certificate, "root_certificate")?;
        Self::new(key, chain?, Certificate::from(root))
    }
}
