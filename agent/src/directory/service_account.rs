//! The service account's password: read from its file whenever a connection is to be bound, shown to one
//! controller at a time, and to none for a while after one has refused it. The controllers of a forest count
//! together, so that a wrong file costs the account one failure an hour for each agent.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_kit::disk::Disk;
use postern_proto::password::{Password, PasswordRefused};
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroize as _;

/// A refused password is shown again after this time at the earliest: longer than the half hour in which a directory
/// usually counts, so that an agent adds one failure to the count and no second one.
const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);

/// Why there is no password to bind the service account with.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    /// The file cannot be read.
    #[error("the service account's password cannot be read from {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it can be nobody's password.
    #[error("{path} holds no password: expected it in UTF-8, with at most a line end after it")]
    NotOne {
        /// Which file.
        path: PathBuf,
        /// Why, if it is text.
        source: Option<PasswordRefused>,
    },
    /// The directory has refused it a short while ago.
    #[error(
        "the directory has refused the service account's password; it is tried again after an hour, \
         or when its file has changed"
    )]
    RefusedBefore,
}

/// What all controllers of a forest know of the password together. Clones share it.
#[derive(Clone, Default)]
pub struct Shown(Arc<Mutex<Refused>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}

impl Shown {
    /// The turn to show it: nobody else does until it is dropped.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub(super) async fn turn(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().await
    }
}

/// What was refused last.
#[derive(Default)]
pub(super) struct Refused(Option<(Password, Instant)>);

impl Refused {
    /// Whether this password may be shown now.
    pub(super) fn allows(&self, password: &Password, now: Instant) -> bool {
        match &self.0 {
            Some((refused, since)) if now.saturating_duration_since(*since) < REFUSED_FOR => {
                refused.plaintext() != password.plaintext()
            }
            _ => true,
        }
    }

    /// The directory has refused it.
    pub(super) fn note(&mut self, password: Password, now: Instant) {
        self.0 = Some((password, now));
    }
}

/// Reads the password.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Password, NoSecret> {
    let bytes = disk.read(path).map_err(|source| NoSecret::File {
        path: path.to_owned(),
        source,
    })?;
    let not_one = |source| NoSecret::NotOne {
        path: path.to_owned(),
        source,
    };
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            error.into_bytes().zeroize();
            return Err(not_one(None));
        }
    };
    // In place: a copy of it would not be wiped.
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    if text.contains(['\r', '\n']) {
        text.zeroize();
        return Err(not_one(None));
    }
    Password::new(text).map_err(|refused| not_one(Some(refused)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::clock::monotonic;
    use postern_kit::disk::Files;

    fn secret(text: &str) -> Password {
        Password::new(text.to_owned()).unwrap()
    }

    #[test]
    fn a_refused_password_rests_and_a_new_one_does_not() {
        let (mut refused, now) = (Refused::default(), monotonic());
        assert!(refused.allows(&secret("old"), now));
        refused.note(secret("old"), now);
        assert!(!refused.allows(&secret("old"), now + REFUSED_FOR / 2));
        assert!(refused.allows(&secret("new"), now + REFUSED_FOR / 2));
        assert!(refused.allows(&secret("old"), now + REFUSED_FOR));
        let shown = Shown(Arc::new(Mutex::new(refused)));
        assert!(!format!("{shown:?}").contains("old"));
    }

    #[test]
    fn a_line_end_is_no_part_of_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (bytes, expected) in [
            (&b"right"[..], Some("right")),
            (b"right\n", Some("right")),
            (b"right\r\n", Some("right")),
            (b" right ", Some(" right ")),
            (b"", None),
            (b"\n", None),
            (b"two\nlines", None),
            (b"\xff\xfe", None),
            (b"a\0b", None),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let found = read(&Files, &file);
            assert_eq!(
                found.as_ref().ok().map(Password::plaintext),
                expected,
                "{bytes:?}"
            );
        }
        let missing = read(&Files, &folder.path().join("none")).unwrap_err();
        assert!(missing.to_string().ends_with("none"), "{missing}");
    }
}
