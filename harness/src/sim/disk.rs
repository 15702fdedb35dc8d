//! A host's small files: what is durable and what is only in the operating system's memory are kept
//! apart, and a crash takes the latter.
//!
//! It does what `kit`'s real files do: a replaced file is durable when the call returns, a removal is
//! not until the folder is next synchronised. On demand the host dies in the middle of a replacement.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_kit::disk::{Disk, READ_BYTES_MAX};
use postern_kit::random::{Random, below};

use super::gate::Gate;

/// How far a replacement gets before its host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// The new bytes are written beside the old file, not synchronised: a part of them may be there.
    Written,
    /// They are synchronised; the old file is still in place.
    Synced,
    /// They are in place; the folder is not synchronised, so the old file may come back.
    Renamed,
}

#[derive(Debug, Default)]
struct Inner {
    live: BTreeMap<PathBuf, Vec<u8>>,
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// Where it dies, and in which of the replacements to come.
    tear: Option<(Tear, u32)>,
    dying: bool,
}

/// A host's disk. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    random: Arc<dyn Random>,
    gate: Gate,
}

impl SimDisk {
    /// An empty one. What a crash leaves of the undecided is drawn from `random`; a host that dies
    /// shuts `gate`.
    pub(super) fn new(random: Arc<dyn Random>, gate: Gate) -> Self {
        Self {
            inner: Arc::default(),
            random,
            gate,
        }
    }

    /// The host dies at this point of the `nth` of its replacements to come, from 1.
    pub(super) fn tear(&self, tear: Tear, nth: u32) {
        self.lock().tear = Some((tear, nth));
    }

    /// Every file as it is, and as it would be after a crash.
    pub(super) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let inner = self.lock();
        let files = inner.live.iter().chain(&inner.durable);
        files.map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
    }

    /// Whether the host has died in a replacement since this was last asked.
    pub(super) fn take_dying(&self) -> bool {
        std::mem::take(&mut self.lock().dying)
    }

    /// What is left after a crash: the durable, and of removals that were not synchronised some.
    pub(super) fn crash(&self) {
        let mut inner = self.lock();
        let Inner { live, durable, .. } = &mut *inner;
        durable.retain(|path, _| live.contains_key(path) || below(self.random.as_ref(), 2) == 0);
        *live = durable.clone();
        inner.dying = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn coin(&self) -> bool {
        below(self.random.as_ref(), 2) == 0
    }
}

impl Inner {
    fn put(&mut self, path: PathBuf, bytes: &[u8], durable: bool) {
        if durable {
            self.durable.insert(path.clone(), bytes.to_vec());
        }
        self.live.insert(path, bytes.to_vec());
    }

    /// Whether the host dies in this replacement, and where.
    fn due(&mut self) -> Option<Tear> {
        let (tear, nth) = self.tear?;
        self.tear = (nth > 1).then(|| (tear, nth - 1));
        (nth <= 1).then_some(tear)
    }

    /// What was removed from the folder is removed for good.
    fn sync_folder(&mut self, folder: Option<&Path>) {
        let live = &self.live;
        self.durable
            .retain(|path, _| path.parent() != folder || live.contains_key(path));
    }
}

fn pending_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".pending");
    path.with_file_name(name)
}

impl Disk for SimDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.lock();
        let bytes = inner.live.get(path).ok_or(io::ErrorKind::NotFound)?;
        if bytes.len() as u64 > READ_BYTES_MAX {
            let text = "file is larger than 1 MiB";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(bytes.clone())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        let Some(tear) = inner.due() else {
            inner.put(path.to_owned(), bytes, true);
            inner.sync_folder(path.parent());
            return Ok(());
        };
        match tear {
            Tear::Written => {
                let length = below(self.random.as_ref(), bytes.len() as u64 + 1);
                let part = bytes.get(..usize::try_from(length).unwrap_or(0)).unwrap_or(bytes);
                inner.put(pending_name(path), part, self.coin());
            }
            Tear::Synced => inner.put(pending_name(path), bytes, true),
            Tear::Renamed => inner.put(path.to_owned(), bytes, self.coin()),
        }
        // Whatever the host still does until it is taken down, nobody sees.
        inner.dying = true;
        self.gate.shut();
        Err(io::Error::other("the host dies here"))
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock().live.remove(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::SeededRandom;

    fn disk(seed: u64) -> (SimDisk, Gate) {
        let gate = Gate::default();
        (
            SimDisk::new(Arc::new(SeededRandom::new(seed)), gate.clone()),
            gate,
        )
    }

    #[test]
    fn what_was_replaced_survives_a_crash() {
        let (disk, _) = disk(1);
        let path = Path::new("/agent/identity.json");
        disk.replace(path, b"one").unwrap();
        disk.crash();
        assert_eq!(disk.read(path).unwrap(), b"one");
        assert!(!disk.take_dying());
    }

    #[test]
    fn a_removal_is_certain_only_after_the_next_replacement() {
        let (path, other) = (Path::new("/agent/trial"), Path::new("/agent/identity.json"));
        let mut came_back = 0;
        for seed in 0..40 {
            let (disk, _) = disk(seed);
            disk.replace(path, b"x").unwrap();
            disk.remove(path).unwrap();
            assert!(disk.read(path).is_err());
            disk.crash();
            came_back += u32::from(disk.read(path).is_ok());
            disk.remove(path).unwrap();
            disk.replace(other, b"y").unwrap();
            disk.crash();
            assert!(disk.read(path).is_err());
        }
        assert!((1..40).contains(&came_back), "{came_back}");
    }

    #[test]
    fn a_torn_replacement_leaves_the_old_or_the_new() {
        let path = Path::new("/agent/identity.json");
        for tear in [Tear::Written, Tear::Synced, Tear::Renamed] {
            let mut seen = [0, 0];
            for seed in 0..40 {
                let (disk, gate) = disk(seed);
                disk.replace(path, b"old").unwrap();
                disk.tear(tear, 2);
                disk.replace(Path::new("/agent/trial"), b"first").unwrap();
                assert!(disk.replace(path, b"new").is_err());
                assert!(gate.is_shut() && disk.take_dying());
                disk.crash();
                match disk.read(path).unwrap().as_slice() {
                    b"old" => seen[0] += 1,
                    b"new" => seen[1] += 1,
                    other => panic!("{tear:?} left {other:?}"),
                }
            }
            assert_eq!(seen[1] > 0, tear == Tear::Renamed, "{tear:?} {seen:?}");
            assert!(seen[0] > 0, "{tear:?} {seen:?}");
        }
    }
}
