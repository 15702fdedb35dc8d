//! The authority at rest: what lies where, in which form, and what a start says about each mistake.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::trust::keep::{self, Authority};
use crate::trust::pki;
use postern_kit::disk::{Disk, Files};
use postern_kit::random::SystemRandom;
use postern_kit::telemetry;
use postern_kit::vault::Vault;

/// How an Ed25519 key in PKCS#8 goes on before its 32 secret bytes.
const PKCS8_BEFORE_THE_SEED: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A data folder and a master key beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// After its first start.
    fn started() -> Self {
        let place = Self::new();
        place.open().unwrap();
        place
    }

    fn data(&self, file: &str) -> PathBuf {
        self.0.path().join("data").join(file)
    }

    fn master_key(&self) -> PathBuf {
        self.0.path().join("keys/master.key")
    }

    fn open(&self) -> Result<Authority, KeepError> {
        self.open_at(START)
    }

    fn open_at(&self, now: Timestamp) -> Result<Authority, KeepError> {
        keep::open(&self.data(""), &self.master_key(), &Files, &SystemRandom, now)
    }

    fn open_with_key_at(&self, master_key: &Path) -> Result<Authority, KeepError> {
        keep::open(&self.data(""), master_key, &Files, &SystemRandom, START)
    }

    /// What a start says that cannot go on.
    #[track_caller]
    fn refusal(&self) -> (KeepError, String) {
        let error = self.open().err().expect("it does not open");
        let text = telemetry::chain(&error);
        (error, text)
    }
}

#[test]
fn the_first_start_makes_both_authorities_and_a_master_key_for_the_owner_alone() {
    let place = Place::new();
    let made = place.open().unwrap();
    let chain = [made.issuer.certificate().clone()];
    assert_eq!(fs::read(place.master_key()).unwrap().len(), 32);
    assert_eq!(fs::read(place.data("root.crt")).unwrap(), made.root.as_ref());
    assert_eq!(fs::read(place.data("issuing.crt")).unwrap(), chain[0].as_ref());
    let files = fs::read_dir(place.data("")).unwrap();
    for file in files.map(|file| file.unwrap().path()).chain([place.master_key()]) {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn the_next_start_finds_the_same_authorities() {
    let place = Place::new();
    let (first, second) = (place.open().unwrap(), place.open().unwrap());
    assert_eq!(first.root, second.root);
    assert_eq!(first.issuer.certificate(), second.issuer.certificate());
    assert_eq!(first.name_key.digest(b"ada"), second.name_key.digest(b"ada"));
}

#[test]
fn whoever_takes_the_data_folder_takes_no_key() {
    let place = Place::started();
    let everything: Vec<u8> = fs::read_dir(place.data(""))
        .unwrap()
        .flat_map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!hold(&everything, PKCS8_BEFORE_THE_SEED));
    let master_key = fs::read(place.master_key()).unwrap();
    assert!(!hold(&everything, &master_key));
    let vault = Vault::new(master_key.as_slice().try_into().unwrap());
    for (file, purpose) in [
        ("root.key.sealed", "postern private root key"),
        ("issuing.key.sealed", "postern issuing CA key"),
    ] {
        let key = vault.open(purpose, &fs::read(place.data(file)).unwrap()).unwrap();
        assert!(hold(&key, PKCS8_BEFORE_THE_SEED));
        let seed = key.last_chunk::<32>().unwrap();
        assert!(!hold(&everything, seed), "{file}");
    }
}

#[test]
fn a_lost_master_key_is_not_replaced() {
    let place = Place::started();
    fs::rename(place.master_key(), place.0.path().join("elsewhere")).unwrap();
    let (error, text) = place.refusal();
    assert!(matches!(error, KeepError::MasterKeyMissing(_)));
    assert!(text.contains("master.key is missing"), "{text}");
    assert!(!place.master_key().exists());
    fs::rename(place.0.path().join("elsewhere"), place.master_key()).unwrap();
    place.open().unwrap();
}

#[test]
fn a_master_key_of_another_length_is_none() {
    let place = Place::started();
    for length in [0, 31, 33, 64] {
        fs::write(place.master_key(), vec![7; length]).unwrap();
        let (error, text) = place.refusal();
        assert!(matches!(error, KeepError::MasterKeyLength(_)), "{length}");
        assert!(text.contains("master.key: expected a file of 32 bytes"), "{text}");
    }
}

#[test]
fn another_master_key_opens_nothing() {
    let place = Place::started();
    fs::write(place.master_key(), [7; 32]).unwrap();
    let (error, text) = place.refusal();
    assert!(matches!(error, KeepError::DoesNotOpen { .. }));
    assert!(
        text.contains("root.key.sealed does not open with this master key"),
        "{text}"
    );
}

#[test]
fn a_master_key_inside_the_data_folder_is_refused_by_whatever_way_it_leads_there() {
    let place = Place::new();
    fs::create_dir(place.data("")).unwrap();
    symlink(place.data(""), place.0.path().join("link")).unwrap();
    for way in [
        "data/master.key",
        "data/not/yet/there/master.key",
        "link/master.key",
        "link/../data/master.key",
        "keys/../data/master.key",
        "not/there/../../data/master.key",
    ] {
        let refused = place.open_with_key_at(&place.0.path().join(way));
        let error = refused.err().expect(way);
        assert!(matches!(error, KeepError::MasterKeyInside(_)), "{way}: {error:?}");
    }
    assert_eq!(fs::read_dir(place.data("")).unwrap().count(), 0);
    fs::write(place.data("there.key"), [7; 32]).unwrap();
    symlink(place.data("there.key"), place.0.path().join("link.key")).unwrap();
    let refused = place.open_with_key_at(&place.0.path().join("link.key"));
    assert!(matches!(refused, Err(KeepError::MasterKeyInside(_))));
    // A name that only begins alike is another folder, and one can leave the folder again.
    for way in ["data-keys/master.key", "data/../master.key"] {
        let place = Place::new();
        fs::create_dir(place.data("")).unwrap();
        place.open_with_key_at(&place.0.path().join(way)).unwrap();
    }
}

#[test]
fn a_sealed_key_that_was_changed_or_exchanged_does_not_open() {
    let place = Place::started();
    for name in ["root", "issuing"] {
        let file = place.data(&format!("{name}.key.sealed"));
        let sealed = fs::read(&file).unwrap();
        let mut changed = sealed.clone();
        changed[sealed.len() / 2] ^= 1;
        let other = fs::read(place.data(if name == "root" {
            "issuing.key.sealed"
        } else {
            "root.key.sealed"
        }));
        for worthless in [changed, sealed[1..].to_vec(), Vec::new(), other.unwrap()] {
            fs::write(&file, worthless).unwrap();
            let (error, text) = place.refusal();
            assert!(matches!(error, KeepError::DoesNotOpen { .. }));
            assert!(
                text.contains(&format!("{name}.key.sealed does not open")),
                "{text}"
            );
        }
        fs::write(&file, sealed).unwrap();
        place.open().unwrap();
    }
}

#[test]
fn a_root_certificate_without_its_key_is_refused() {
    let place = Place::started();
    let certificate = fs::read(place.data("root.crt")).unwrap();
    let other = fs::read(Place::started().data("root.crt")).unwrap();
    for worthless in [other, certificate[1..].to_vec(), Vec::new()] {
        fs::write(place.data("root.crt"), worthless).unwrap();
        let (error, text) = place.refusal();
        assert!(matches!(error, KeepError::Mismatch(_)));
        assert!(text.contains("root.crt and its key"), "{text}");
    }
    fs::write(place.data("root.crt"), certificate).unwrap();
    for name in ["issuing", "root"] {
        fs::remove_file(place.data(&format!("{name}.key.sealed"))).unwrap();
        let (error, text) = place.refusal();
        assert!(matches!(error, KeepError::Mismatch(_)));
        assert!(text.contains(&format!("{name}.crt and its key")), "{text}");
    }
}

#[test]
fn a_lost_root_is_not_replaced() {
    let place = Place::started();
    let key = fs::read(place.data("root.key.sealed")).unwrap();
    fs::remove_file(place.data("root.crt")).unwrap();
    let (error, text) = place.refusal();
    assert!(matches!(error, KeepError::RootMissing(_)));
    assert!(text.contains("root.crt is missing"), "{text}");
    assert_eq!(fs::read(place.data("root.key.sealed")).unwrap(), key);
    assert!(!place.data("root.crt").exists());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let place = Place::new();
    fs::write(place.0.path().join("data"), "a file").unwrap();
    let (error, text) = place.refusal();
    assert!(matches!(error, KeepError::File { .. }));
    assert!(text.contains("/data"), "{text}");
}

#[test]
fn the_issuing_authority_is_replaced_in_its_last_year_under_the_same_root() {
    let place = Place::new();
    let first = place.open().unwrap();
    let before = place.open_at(START.plus(DAY * (1826 - 365))).unwrap();
    assert_eq!(first.issuer.certificate(), before.issuer.certificate());
    let late = START.plus(DAY * (1826 - 365) + MINUTE);
    let after = place.open_at(late).unwrap();
    assert_ne!(first.issuer.certificate(), after.issuer.certificate());
    assert_eq!(first.root, after.root);
    let again = place.open_at(late).unwrap();
    assert_eq!(after.issuer.certificate(), again.issuer.certificate());
}

/// Files, of which a number can still be written.
#[derive(Debug)]
struct Filling(AtomicUsize);

impl Disk for Filling {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Files.read(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(
            left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?,
            Ordering::Relaxed,
        );
        Files.replace(path, bytes)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        Files.create_folder(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }
}

/// What the authority certifies is believed by whoever knows its root.
fn assert_works(authority: &Authority, now: Timestamp) {
    let (id, key) = (
        ReplicaId::from_bytes([1; 16]),
        SigningKey::generate(&SystemRandom),
    );
    let leaf = pki::replica(&authority.issuer, id, &key, &[], &SystemRandom, now).unwrap();
    let chain = [leaf, authority.issuer.certificate().clone()];
    certificate::verify_replica(&chain, &authority.root, now).unwrap();
}

#[test]
fn a_first_start_or_a_renewal_that_ends_half_way_is_made_good_by_the_next() {
    const FILES: usize = 5;
    let late = START.plus(DAY * 1700);
    let first_starts = (0..FILES).map(|written| (Place::new(), written, START, START));
    let renewals = [(0, late), (1, late), (1, START)];
    let renewals = renewals.map(|(written, next)| (Place::started(), written, late, next));
    for (place, written, now, next) in first_starts.chain(renewals) {
        let disk = Filling(AtomicUsize::new(written));
        let ended = keep::open(&place.data(""), &place.master_key(), &disk, &SystemRandom, now);
        assert!(matches!(ended, Err(KeepError::File { .. })), "{written}");
        let made_good = place.open_at(next).unwrap();
        assert_works(&made_good, next);
        let again = place.open_at(next).unwrap();
        assert_eq!(made_good.root, again.root, "{written}");
        assert_eq!(made_good.issuer.certificate(), again.issuer.certificate());
    }
}
