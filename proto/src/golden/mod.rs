//! Golden bytes: what we put on a wire today, committed, so that no change of it goes unnoticed.
//!
//! Agent and cloud are upgraded apart. Bytes that change by accident would only fail between two
//! versions, where no other test looks. Each test here makes its bytes anew, compares them with a
//! file under `tests/golden`, and reads the file's bytes back.
//!
//! A file is a list of entries: a name, then indented lines. After a change that is meant,
//! `POSTERN_GOLDEN=write cargo test -p postern-proto` writes the files and fails; their diff
//! is what the reviewer of the change looks at.

mod administration;
mod examples;
mod messages;
mod verdicts;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What stands above every file.
const HEADER: &str =
    "# Written by a test, see proto/src/golden/mod.rs. A difference is a change of the wire.\n";

/// Digits in a line of hex.
const LINE: usize = 96;

/// One entry: its name, and the lines below it.
pub(crate) type Entry = (String, String);

/// An entry of bytes.
pub(crate) fn bytes(name: impl Into<String>, bytes: &[u8]) -> Entry {
    let digits = hex::encode(bytes);
    let lines: Vec<_> = digits
        .as_bytes()
        .chunks(LINE)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    (name.into(), lines.join("\n"))
}

/// Fails unless `file` holds exactly the entries that were made.
#[track_caller]
pub(crate) fn check(file: &str, made: &[Entry]) {
    let now: BTreeMap<_, _> = made.iter().cloned().collect();
    assert!(!made.is_empty(), "nothing was made");
    assert_eq!(now.len(), made.len(), "two entries have one name");
    if std::env::var_os("POSTERN_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(path(file), text(made)).unwrap();
        panic!("{file} is written: look at its diff, then run the tests without POSTERN_GOLDEN");
    }
    let golden = entries(file);
    let mut wrong: Vec<_> = golden
        .keys()
        .filter(|name| !now.contains_key(*name))
        .map(|name| format!("{name}: is not made any more"))
        .collect();
    for (name, value) in &now {
        match golden.get(name) {
            Some(golden) if golden == value => {}
            Some(golden) => wrong.push(format!("{name}: was\n{golden}\nand is now\n{value}")),
            None => wrong.push(format!("{name}: has no golden entry")),
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
}

/// The bytes of every entry of `file`.
#[track_caller]
pub(crate) fn read(file: &str) -> BTreeMap<String, Vec<u8>> {
    let decoded: BTreeMap<_, _> = entries(file)
        .into_iter()
        .map(|(name, value)| (name, hex::decode(value.replace('\n', "")).unwrap()))
        .collect();
    assert!(!decoded.is_empty(), "{file} is empty");
    decoded
}

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", file]
        .iter()
        .collect()
}

fn text(entries: &[Entry]) -> String {
    let mut out = HEADER.to_owned();
    for (name, value) in entries {
        out.push_str(&format!("\n{name}\n"));
        for line in value.lines() {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

fn entries(file: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut entries: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match (line.strip_prefix("  "), entries.last_mut()) {
            (Some(value), Some((_, lines))) => lines.push(value),
            _ => entries.push((line.to_owned(), Vec::new())),
        }
    }
    let named: BTreeMap<_, _> = entries
        .iter()
        .map(|(name, lines)| (name.clone(), lines.join("\n")))
        .collect();
    assert_eq!(named.len(), entries.len(), "{file}: two entries have one name");
    named
}
