//! The authority at rest. Certificates lie in the data folder as they are, private keys sealed
//! under the master key, which lies elsewhere: whoever takes the data folder alone can sign nothing.

use std::io;
use std::path::{Component, Path, PathBuf};

use postern_kit::clock::Timestamp;
use postern_kit::digest::DigestKey;
use postern_kit::disk::Disk;
use postern_kit::keys::{self, NotAKey, SigningKey};
use postern_kit::random::{self, Random};
use postern_kit::tls::Certificate;
use postern_kit::vault::{DoesNotOpen, Vault};
use zeroize::Zeroizing;

use super::pki::{self, Issuer, PkiError};

/// Why the files at rest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The master key would be where the keys are that it protects.
    #[error("master_key: {0} is inside the data folder; expected a file outside of it")]
    MasterKeyInside(PathBuf),
    /// The data folder has keys, but what opens them is not there.
    #[error("master_key: {0} is missing, but the data folder has keys sealed under it")]
    MasterKeyMissing(PathBuf),
    /// The file has another length.
    #[error("master_key: {0}: expected a file of 32 bytes")]
    MasterKeyLength(PathBuf),
    /// A sealed key does not open.
    #[error("{file} does not open with this master key")]
    DoesNotOpen {
        /// Which file.
        file: PathBuf,
        /// The cause.
        source: DoesNotOpen,
    },
    /// A certificate is there without its key, or a key of another one.
    #[error("{0} and its key do not belong together")]
    Mismatch(PathBuf),
    /// The root is not there, but an authority that was made under it.
    #[error("{0} is missing, but the issuing authority was made under it: restore it from a backup")]
    RootMissing(PathBuf),
    /// A key opens but is none.
    #[error("sealed key is not usable")]
    Key(#[from] NotAKey),
    /// A file cannot be read or written.
    #[error("{file}")]
    File {
        /// Which file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A certificate cannot be made or used.
    #[error("certificate cannot be made or used")]
    Pki(#[from] PkiError),
}

/// What is opened at a start.
pub(super) struct Authority {
    pub(super) root: Certificate,
    pub(super) issuer: Issuer,
    pub(super) name_key: DigestKey,
}

/// The two CAs at rest: file names without extension, and what the keys are sealed for.
const ROOT: (&str, &str) = ("root", "postern private root key");
const ISSUING: (&str, &str) = ("issuing", "postern issuing CA key");

/// Opens the authority; makes what is missing on first start, and a new issuing CA in the last
/// year of the old one.
pub(super) fn open(
    data: &Path,
    master_key: &Path,
    disk: &dyn Disk,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Authority, KeepError> {
    disk.create_folder(data).map_err(|source| at(data, source))?;
    let folder = Folder { data, disk };
    let vault = folder.vault(master_key, random)?;

    let root = match folder.load(ROOT, &vault)? {
        Some(root) => root,
        None => {
            // A first start that ended half-way has made no authority under its root.
            for file in [folder.key(ISSUING), folder.certificate(ISSUING)] {
                if folder.read(&file)?.is_some() {
                    return Err(KeepError::RootMissing(folder.certificate(ROOT)));
                }
            }
            let key = SigningKey::generate(random);
            let certificate = pki::root(&key, random, now)?;
            folder.save(ROOT, &key, &certificate, &vault, random)?;
            tracing::info!("made the private root");
            (key, certificate)
        }
    };
    let (root_key, root) = root;
    if keys::certificate_key(&root) != Some(root_key.public_key()) {
        return Err(KeepError::Mismatch(folder.certificate(ROOT)));
    }

    let usable = |(key, certificate): &(SigningKey, Certificate)| {
        // A crash between the two writes of a renewal leaves the new key beside the old certificate.
        keys::certificate_key(certificate) == Some(key.public_key())
            && pki::validity(certificate).is_some_and(|valid| valid.end.since(now) >= pki::ISSUING_LEFT_MIN)
    };
    let (key, certificate) = match folder.load(ISSUING, &vault)?.filter(usable) {
        Some(issuing) => issuing,
        None => {
            let key = SigningKey::generate(random);
            let certificate = pki::issuing(&Issuer::new(root.clone(), &root_key)?, &key, random, now)?;
            folder.save(ISSUING, &key, &certificate, &vault, random)?;
            tracing::info!("made an issuing certificate authority");
            (key, certificate)
        }
    };
    Ok(Authority {
        root,
        issuer: Issuer::new(certificate, &key)?,
        name_key: DigestKey::new(vault.derive("postern names that nobody has")),
    })
}

struct Folder<'a> {
    data: &'a Path,
    disk: &'a dyn Disk,
}

impl Folder<'_> {
    fn key(&self, ca: (&str, &str)) -> PathBuf {
        self.data.join(format!("{}.key.sealed", ca.0))
    }

    fn certificate(&self, ca: (&str, &str)) -> PathBuf {
        self.data.join(format!("{}.crt", ca.0))
    }

    fn read(&self, file: &Path) -> Result<Option<Vec<u8>>, KeepError> {
        match self.disk.read(file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(at(file, source)),
        }
    }

    fn vault(&self, master_key: &Path, random: &dyn Random) -> Result<Vault, KeepError> {
        if real(master_key).starts_with(real(self.data)) {
            return Err(KeepError::MasterKeyInside(master_key.to_owned()));
        }
        if let Some(bytes) = self.read(master_key)? {
            let bytes = Zeroizing::new(bytes);
            let key: &[u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| KeepError::MasterKeyLength(master_key.to_owned()))?;
            return Ok(Vault::new(key));
        }
        for file in [self.key(ROOT), self.certificate(ROOT), self.key(ISSUING)] {
            if self.read(&file)?.is_some() {
                return Err(KeepError::MasterKeyMissing(master_key.to_owned()));
            }
        }
        let key = Zeroizing::new(random::array::<32>(random));
        if let Some(folder) = master_key.parent() {
            self.disk
                .create_folder(folder)
                .map_err(|source| at(folder, source))?;
        }
        self.disk
            .replace(master_key, key.as_slice())
            .map_err(|source| at(master_key, source))?;
        tracing::info!("made the master key; back it up apart from the data folder");
        Ok(Vault::new(&key))
    }

    /// Key and certificate; `None` if there is no certificate, which is written last.
    fn load(&self, ca: (&str, &str), vault: &Vault) -> Result<Option<(SigningKey, Certificate)>, KeepError> {
        let Some(certificate) = self.read(&self.certificate(ca))? else {
            return Ok(None);
        };
        let file = self.key(ca);
        let sealed = self
            .read(&file)?
            .ok_or_else(|| KeepError::Mismatch(self.certificate(ca)))?;
        let key = vault
            .open(ca.1, &sealed)
            .map_err(|source| KeepError::DoesNotOpen { file, source })?;
        Ok(Some((
            SigningKey::from_pkcs8(&key)?,
            Certificate::from(certificate),
        )))
    }

    fn save(
        &self,
        ca: (&str, &str),
        key: &SigningKey,
        certificate: &Certificate,
        vault: &Vault,
        random: &dyn Random,
    ) -> Result<(), KeepError> {
        let sealed = vault.seal(ca.1, key.plaintext_pkcs8(), random);
        for (file, bytes) in [
            (self.key(ca), sealed.as_slice()),
            (self.certificate(ca), certificate),
        ] {
            self.disk
                .replace(&file, bytes)
                .map_err(|source| at(&file, source))?;
        }
        Ok(())
    }
}

fn at(file: &Path, source: io::Error) -> KeepError {
    KeepError::File {
        file: file.to_owned(),
        source,
    }
}

/// The path without links and dots, as far as it exists.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (absolute.parent(), absolute.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => real(parent).join(name),
        // It leads back out of a folder that will be made, and is then no link.
        (Some(parent), Some(Component::ParentDir)) => {
            let mut folder = real(parent);
            folder.pop();
            folder
        }
        _ => absolute,
    }
}
