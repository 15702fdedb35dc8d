//! Looks for canary passwords in everything that leaves memory, in every spelling that software
//! gives to a text on its way out.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What browsers leave as it is in a form.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// Where a canary was found, and in which spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// A file's path, or what the caller named the bytes.
    pub place: String,
    /// Such as `base64`.
    pub spelling: &'static str,
}

/// A password to look for.
#[derive(Debug)]
pub struct Canary {
    spellings: Vec<&'static str>,
    /// Finds all of them in one pass.
    finder: AhoCorasick,
}

impl Canary {
    /// All spellings of `password`, which should be long and unlike anything else.
    pub fn new(password: &str) -> Self {
        let bytes = password.as_bytes();
        let utf16 = |order: fn(u16) -> [u8; 2]| password.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let json = serde_json::Value::from(password).to_string();
        let ascii_json: String = password
            .encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        let mut spellings = vec![
            ("UTF-8", bytes.to_vec()),
            ("UTF-16LE", utf16(u16::to_le_bytes)),
            ("UTF-16BE", utf16(u16::to_be_bytes)),
            ("hex", hex::encode(bytes).into_bytes()),
            ("upper-case hex", hex::encode_upper(bytes).into_bytes()),
            (
                "percent",
                percent_encode(bytes, NON_ALPHANUMERIC).to_string().into_bytes(),
            ),
            (
                "form",
                percent_encode(bytes, FORM)
                    .to_string()
                    .replace("%20", "+")
                    .into_bytes(),
            ),
            ("JSON", json.trim_matches('"').as_bytes().to_vec()),
            (
                "JSON in ASCII",
                ascii_json.to_uppercase().replace("\\U", "\\u").into_bytes(),
            ),
            ("JSON in ASCII", ascii_json.into_bytes()),
            (
                "Debug",
                format!("{password:?}").trim_matches('"').as_bytes().to_vec(),
            ),
            (
                "bytes in decimal",
                format!("{bytes:?}").trim_matches(['[', ']']).as_bytes().to_vec(),
            ),
        ];
        for shift in 0..3 {
            spellings.push(("base64", inner_base64(&STANDARD, bytes, shift)));
            spellings.push(("URL-safe base64", inner_base64(&URL_SAFE, bytes, shift)));
        }
        spellings.retain(|(_, spelling)| !spelling.is_empty());
        let (spellings, patterns): (Vec<_>, Vec<_>) = spellings.into_iter().unzip();
        #[expect(clippy::expect_used, reason = "only gigabytes of patterns are refused")]
        let finder = AhoCorasick::new(patterns).expect("a few short patterns");
        Self { spellings, finder }
    }

    /// The spellings found in `bytes`.
    pub fn find(&self, place: &str, bytes: &[u8]) -> Vec<Leak> {
        let found: BTreeSet<usize> = self
            .finder
            .find_overlapping_iter(bytes)
            .map(|found| found.pattern().as_usize())
            .collect();
        let spellings = found.iter().filter_map(|at| self.spellings.get(*at));
        let mut leaks: Vec<Leak> = spellings
            .map(|spelling| Leak {
                place: place.to_owned(),
                spelling,
            })
            .collect();
        leaks.dedup();
        leaks
    }

    /// The spellings found in all files under `folder`.
    ///
    /// # Errors
    /// As the operating system reports.
    pub fn find_in_folder(&self, folder: &Path) -> io::Result<Vec<Leak>> {
        let mut leaks = Vec::new();
        for file in files_under(folder)? {
            leaks.extend(self.find(&file.display().to_string(), &std::fs::read(&file)?));
        }
        Ok(leaks)
    }
}

/// All regular files under `folder`.
///
/// # Errors
/// As the operating system reports.
pub fn files_under(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The part of `bytes`' base64 that does not depend on what stands around it, when `shift` bytes
/// of a group of three stand before it.
fn inner_base64(engine: &impl Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    let shifted = [vec![0; shift], bytes.to_vec()].concat();
    let whole = shifted.len() / 3 * 3;
    let text = engine.encode(&shifted[..whole]);
    // The first group of four is mixed with what stands before.
    text.as_bytes()[if shift == 0 { 0 } else { 4 }..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "Kanarienvögel-\"singen\" &laut\\ +7%";

    #[test]
    fn every_spelling_is_found() {
        let canary = Canary::new(PASSWORD);
        let utf16: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let form = serde_json::json!({ "password": PASSWORD }).to_string();
        for (what, bytes) in [
            ("plain", format!("x{PASSWORD}y").into_bytes()),
            ("utf-16", utf16),
            ("hex", hex::encode(PASSWORD).into_bytes()),
            ("json", form.into_bytes()),
            ("debug", format!("{PASSWORD:?}").into_bytes()),
            ("list", format!("{:?}", PASSWORD.as_bytes()).into_bytes()),
            (
                "form",
                b"password=Kanarienv%C3%B6gel-%22singen%22+%26laut%5C+%2B7%25&x=1".to_vec(),
            ),
            (
                "percent",
                b"Kanarienv%C3%B6gel%2D%22singen%22%20%26laut%5C%20%2B7%25".to_vec(),
            ),
        ] {
            assert!(!canary.find(what, &bytes).is_empty(), "{what}");
        }
        for shift in 0..7 {
            let around = [vec![b'a'; shift], PASSWORD.as_bytes().to_vec(), b"tail".to_vec()].concat();
            assert!(
                !canary
                    .find("base64", STANDARD.encode(&around).as_bytes())
                    .is_empty(),
                "{shift}"
            );
            assert!(
                !canary
                    .find("base64", URL_SAFE.encode(&around).as_bytes())
                    .is_empty(),
                "{shift}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(
            Canary::new(PASSWORD)
                .find("text", &b"Kanarienvogel ".repeat(1000))
                .is_empty()
        );
    }

    #[test]
    fn files_in_folders_are_searched() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/file"), hex::encode(PASSWORD)).unwrap();
        let leaks = Canary::new(PASSWORD).find_in_folder(folder.path()).unwrap();
        assert_eq!(leaks.len(), 1);
        assert!(leaks[0].place.ends_with("deep/file"));
    }
}
