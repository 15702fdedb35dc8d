//! A planted bug as a file: who makes which mistake, who should see it, and the change of the source.
//!
//! ```text
//! Mistake: what somebody might believe, in a sentence.
//! Seen by: I6
//! Scenario: recovery/a-file.toml
//! Seeds: 3
//!
//! --- a/cloud/src/…
//! +++ b/cloud/src/…
//! ```
//! `Scenario` may come again. `Seen by` names one or more of what a run can violate, with commas between:
//! `I6`, `Answers`, `expected recovery`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diffy::Patch;

/// Most seeds that a bug may need: more would make the list a matter of hours.
const SEEDS_MAX: u64 = 100;

/// A planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Its file's name without the ending.
    pub name: String,
    /// The mistake.
    pub mistake: String,
    /// What it violates: invariants, or kinds of expectations. Any of them will do.
    pub seen_by: Vec<String>,
    /// The scenarios that should show it, below `harness/scenarios`.
    pub scenarios: Vec<PathBuf>,
    /// It is seen with one of so many seeds, from 1 on.
    pub seeds: u64,
    /// The changes, one after the other, in the form of `diff -u`.
    changes: Vec<(PathBuf, String)>,
}

/// Why a planted bug cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlantedError {
    /// A line of its head is missing or wrong.
    #[error("{name}: {field}: expected {expected}")]
    Head {
        /// Whose.
        name: String,
        /// Which line.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// The change is none.
    #[error("{name}: {file}: expected changes in the form of `diff -u`")]
    Unreadable {
        /// Whose.
        name: String,
        /// Of which file.
        file: String,
        /// Why.
        source: diffy::ParsePatchError,
    },
    /// The source has changed since.
    #[error("{name}: the change no longer applies to {file}: plant it anew")]
    Stale {
        /// Whose.
        name: String,
        /// Of which file.
        file: String,
        /// Why.
        source: diffy::ApplyError,
    },
    /// A file of the source cannot be read.
    #[error("{name}: cannot read {file}")]
    Read {
        /// Whose.
        name: String,
        /// Which.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Planted {
    /// From the text of the file that is called `name`.
    ///
    /// # Errors
    /// [`PlantedError`] names the line or the file that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, PlantedError> {
        let (head, body) = match text.find("--- a/") {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let wrong = |field, expected| PlantedError::Head {
            name: name.to_owned(),
            field,
            expected,
        };
        let lines = |field: &'static str| {
            let values = head.lines().filter_map(move |line| line.strip_prefix(field));
            values
                .filter_map(|value| value.strip_prefix(": "))
                .map(str::trim)
                .filter(|value| !value.is_empty())
        };
        let mistake = lines("Mistake")
            .next()
            .ok_or_else(|| wrong("Mistake", "a sentence"))?;
        let seen_by: Vec<_> = lines("Seen by")
            .flat_map(|value| value.split(','))
            .map(|value| value.trim().to_owned())
            .collect();
        if seen_by.is_empty() {
            return Err(wrong("Seen by", "an invariant, such as I6"));
        }
        let scenarios: Vec<_> = lines("Scenario").map(PathBuf::from).collect();
        if scenarios.is_empty() {
            return Err(wrong("Scenario", "a file below harness/scenarios"));
        }
        let seeds = lines("Seeds").next().and_then(|value| value.parse().ok());
        let seeds = seeds.filter(|seeds| (1..=SEEDS_MAX).contains(seeds));
        let changes = changes(body);
        if changes.is_empty() {
            return Err(wrong("--- a/FILE", "a change of the source"));
        }
        Ok(Self {
            name: name.to_owned(),
            mistake: mistake.to_owned(),
            seen_by,
            scenarios,
            seeds: seeds.ok_or_else(|| wrong("Seeds", "a number from 1 to 100"))?,
            changes,
        })
    }

    /// The changed files with their new texts. `read` reads a file of the source as it is.
    ///
    /// # Errors
    /// [`PlantedError`] if the changes do not fit the source.
    pub fn apply(
        &self,
        read: impl Fn(&Path) -> std::io::Result<String>,
    ) -> Result<BTreeMap<PathBuf, String>, PlantedError> {
        let mut changed = BTreeMap::new();
        for (path, change) in &self.changes {
            let (name, file) = (|| self.name.clone(), || path.display().to_string());
            let before = read(path).map_err(|source| PlantedError::Read {
                name: name(),
                file: file(),
                source,
            })?;
            let patch = Patch::from_str(change).map_err(|source| PlantedError::Unreadable {
                name: name(),
                file: file(),
                source,
            })?;
            let after = diffy::apply(&before, &patch).map_err(|source| PlantedError::Stale {
                name: name(),
                file: file(),
                source,
            })?;
            changed.insert(path.clone(), after);
        }
        Ok(changed)
    }
}

/// The change of each file.
fn changes(body: &str) -> Vec<(PathBuf, String)> {
    let mut changes: Vec<(PathBuf, String)> = Vec::new();
    for line in body.split_inclusive('\n') {
        if let Some(file) = line.strip_prefix("--- a/") {
            changes.push((file.trim().into(), String::new()));
        }
        if let Some((_, change)) = changes.last_mut() {
            change.push_str(line);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Mistake: Two are taken for one.\nSeen by: I6, Answers\nScenario: a/b.toml\nScenario: a/c.toml\nSeeds: 3\n\n\
        --- a/one.rs\n+++ b/one.rs\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n\
        --- a/two.rs\n+++ b/two.rs\n@@ -1 +1,2 @@\n a\n+b\n";

    fn source(path: &Path) -> std::io::Result<String> {
        Ok(match path.to_str().unwrap() {
            "one.rs" => "a\nb\nd\n",
            _ => "a\n",
        }
        .to_owned())
    }

    #[test]
    fn a_planted_bug_is_read_and_applied() {
        let planted = Planted::parse("x", PATCH).unwrap();
        assert_eq!(planted.seen_by, ["I6", "Answers"]);
        assert_eq!((planted.scenarios.len(), planted.seeds), (2, 3));
        let changed = planted.apply(source).unwrap();
        let texts: Vec<_> = changed.values().map(String::as_str).collect();
        assert_eq!(texts, ["a\nc\nd\n", "a\nb\n"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, named) in [
            ("Mistake: ", "Mistakes: ", "x: Mistake: expected"),
            ("Seen by: I6, Answers", "", "x: Seen by: expected"),
            ("Scenario: ", "Scene: ", "x: Scenario: expected"),
            (
                "Seeds: 3",
                "Seeds: 0",
                "x: Seeds: expected a number from 1 to 100",
            ),
            ("--- a/", "--- ", "x: --- a/FILE: expected"),
        ] {
            let error = Planted::parse("x", &PATCH.replace(from, to))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(named), "{error}");
        }
        let planted = Planted::parse("x", PATCH).unwrap();
        let stale = planted.apply(|_| Ok("quite\nanother\nfile\n".to_owned()));
        assert!(
            stale
                .unwrap_err()
                .to_string()
                .contains("no longer applies to one.rs")
        );
        let gone = planted.apply(|_| Err(std::io::ErrorKind::NotFound.into()));
        assert!(gone.unwrap_err().to_string().contains("cannot read one.rs"));
    }
}
