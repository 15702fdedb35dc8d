//! Small private files that must survive a crash whole: keys, certificates, state.
//!
//! Synchronous on purpose: these files are read at start and written rarely.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Largest file that [`Disk::read`] takes, in bytes. Keys and configuration are far smaller; the
/// bound keeps a mistyped path to a device or a log from filling memory.
pub const READ_BYTES_MAX: u64 = 1 << 20;

/// Where small private files live.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The whole file, at most [`READ_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// As the operating system reports; `NotFound` if there is no such file, `InvalidData` if it is larger.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Puts `bytes` in place of what was there, readable by the owner only (0600).
    /// After a crash the file holds either the old bytes or the new ones.
    ///
    /// # Errors
    /// As the operating system reports; the old file is then untouched.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Makes a folder and its parents, for the owner only (0700). No error if it is there.
    ///
    /// # Errors
    /// As the operating system reports.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a file. No error if there is none.
    ///
    /// # Errors
    /// As the operating system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Real files.
#[derive(Clone, Copy, Debug)]
pub struct Files;

impl Disk for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(READ_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > READ_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "file is larger than 1 MiB",
            ));
        }
        Ok(bytes)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let pending = pending_name(path);
        // What a crash left behind is worthless; a fresh file gets the right mode.
        self.remove(&pending)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&pending)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&pending, path)?;
        // The rename itself is durable only once the folder is.
        File::open(parent(path))?.sync_all()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn pending_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".pending");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_replaced_file_is_private_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/key");
        Files.create_folder(path.parent().unwrap()).unwrap();
        assert_eq!(Files.read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        Files.replace(&path, b"one").unwrap();
        // A crash between write and rename leaves this behind.
        fs::write(pending_name(&path), b"torn").unwrap();
        Files.replace(&path, b"two").unwrap();
        assert_eq!(Files.read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        Files.remove(&path).unwrap();
        Files.remove(&path).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_huge_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge");
        File::create(&path).unwrap().set_len(READ_BYTES_MAX + 1).unwrap();
        assert_eq!(Files.read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
