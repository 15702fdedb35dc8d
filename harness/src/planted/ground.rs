//! A copy of the source, in which bugs are planted and built. The source itself is never touched.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The end of what a compiler said that is told.
const SAID_BYTES: usize = 4000;

/// A copy of a workspace.
#[derive(Debug)]
pub(super) struct Ground {
    copy: PathBuf,
    /// Files with something planted in them, and what they are without.
    changed: Vec<(PathBuf, Vec<u8>)>,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error("cargo cannot be started")]
    Start(#[from] io::Error),
    #[error("it cannot be built:\n{0}")]
    Failed(String),
}

impl Ground {
    /// Makes the copy, or makes an older one agree with the source. What did not change keeps its time, so
    /// that it is not built again.
    ///
    /// # Errors
    /// As the operating system reports.
    pub(super) fn lay(source: &Path, copy: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        list(source, Path::new(""), copy, &mut files)?;
        let mut old = BTreeMap::new();
        if copy.is_dir() {
            list(copy, Path::new(""), copy, &mut old)?;
        }
        for path in old.keys().filter(|path| !files.contains_key(*path)) {
            fs::remove_file(copy.join(path))?;
        }
        let ground = Self {
            copy: copy.to_owned(),
            changed: Vec::new(),
        };
        for path in files.keys() {
            ground.write(path, &fs::read(source.join(path))?)?;
        }
        Ok(ground)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.copy
    }

    /// What a file of it says.
    ///
    /// # Errors
    /// As the operating system reports.
    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(self.copy.join(path))
    }

    /// Changes these files.
    ///
    /// # Errors
    /// As the operating system reports.
    pub(super) fn plant(&mut self, files: BTreeMap<PathBuf, String>) -> io::Result<()> {
        for (path, text) in files {
            let honest = fs::read(self.copy.join(&path))?;
            self.write(&path, text.as_bytes())?;
            self.changed.push((path, honest));
        }
        Ok(())
    }

    /// Makes everything as it was before; the source may have changed since.
    ///
    /// # Errors
    /// As the operating system reports.
    pub(super) fn weed(&mut self) -> io::Result<()> {
        for (path, honest) in std::mem::take(&mut self.changed) {
            self.write(&path, &honest)?;
        }
        Ok(())
    }

    /// Builds `postern`; its path.
    ///
    /// # Errors
    /// [`BuildError`] with what the compiler said.
    pub(super) fn build(&self) -> Result<PathBuf, BuildError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // What is needed was there when this program was built.
        let built = Command::new(cargo)
            .args([
                "build",
                "--offline",
                "--quiet",
                "-p",
                "postern-harness",
                "--bin",
                "postern",
            ])
            .arg("--target-dir")
            .arg(self.target())
            .current_dir(&self.copy)
            .output()?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr);
            let from = said.floor_char_boundary(said.len().saturating_sub(SAID_BYTES));
            return Err(BuildError::Failed(
                said.get(from..).unwrap_or_default().to_owned(),
            ));
        }
        Ok(self.target().join("debug/postern"))
    }

    fn target(&self) -> PathBuf {
        self.copy.join("target")
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let to = self.copy.join(path);
        if fs::read(&to).is_ok_and(|now| now == bytes) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(to, bytes)
    }
}

/// The files below `root/at`: not what was built, nor what hides, but for cargo's own settings; nor the copy.
fn list(root: &Path, at: &Path, copy: &Path, files: &mut BTreeMap<PathBuf, ()>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(at))? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let path = at.join(&name);
        let hidden = name.as_encoded_bytes().starts_with(b".") && name != OsStr::new(".cargo");
        if hidden || name == OsStr::new("target") || entry.path() == *copy {
            continue;
        }
        if kind.is_dir() {
            list(root, &path, copy, files)?;
        } else if kind.is_file() {
            files.insert(path, ());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_its_source_and_what_is_planted_is_weeded() {
        let (source, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (path, text) in [
            ("a/x.rs", "1"),
            ("b.rs", "2"),
            (".cargo/config.toml", "3"),
            (".git/HEAD", "4"),
            ("target/x", "5"),
        ] {
            let path = source.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let read = |path: &str| fs::read_to_string(copy.path().join(path)).ok();
        let mut ground = Ground::lay(source.path(), copy.path()).unwrap();
        assert_eq!(read("a/x.rs").as_deref(), Some("1"));
        assert_eq!(read(".cargo/config.toml").as_deref(), Some("3"));
        assert_eq!((read(".git/HEAD"), read("target/x")), (None, None));
        ground
            .plant(BTreeMap::from([("a/x.rs".into(), "bug".to_owned())]))
            .unwrap();
        assert_eq!(read("a/x.rs").as_deref(), Some("bug"));
        // Somebody works on the source meanwhile.
        fs::write(source.path().join("a/x.rs"), "half a thought").unwrap();
        ground.weed().unwrap();
        assert_eq!(read("a/x.rs").as_deref(), Some("1"));
        fs::remove_file(source.path().join("b.rs")).unwrap();
        fs::write(source.path().join("a/x.rs"), "6").unwrap();
        Ground::lay(source.path(), copy.path()).unwrap();
        assert_eq!((read("a/x.rs").as_deref(), read("b.rs")), (Some("6"), None));
    }
}
