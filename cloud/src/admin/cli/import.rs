//! Users from a file. It is read and checked as a whole before the first record is sent, so that
//! all mistakes are told at once, each with its line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_client::AdminClient;
use serde::Deserialize;
use tonic::transport::Channel;

use crate::admin::rpc::{RECORD_METADATA, new_user};
use crate::tenants::IMPORT_MAX;

/// Largest file, in bytes: a million users with long names.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Mistakes that are told in full; a file of another kind has one in every line.
const MISTAKES_SHOWN: usize = 20;

/// Why a file is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("{file}")]
    File {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its name does not say what it is.
    #[error("{0}: expected a name that ends in .csv, .jsonl or .ndjson")]
    Kind(PathBuf),
    /// It has mistakes. Nothing was sent.
    #[error("{}", mistakes(.0))]
    Mistakes(Vec<String>),
    /// The cloud refused a record, and its batch with it.
    #[error("line {line}: {message} ({})", so_far(*.imported))]
    Refused {
        /// Line of the record.
        line: u64,
        /// What is wrong with it.
        message: String,
        /// Records that were imported before.
        imported: u64,
    },
    /// The cloud failed.
    #[error("{message} ({})", so_far(*.imported))]
    Failed {
        /// What it said.
        message: String,
        /// Records that were imported before.
        imported: u64,
    },
}

fn mistakes(all: &[String]) -> String {
    let mut lines: Vec<_> = all.iter().take(MISTAKES_SHOWN).cloned().collect();
    if let Some(more) = all.len().checked_sub(MISTAKES_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {more} more mistakes"));
    }
    format!("nothing was imported:\n  {}", lines.join("\n  "))
}

fn so_far(imported: u64) -> String {
    match imported {
        0 => "nothing was imported".to_owned(),
        _ => format!("the first {imported} records were imported, and no others"),
    }
}

/// A record as a file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    username: String,
    object_id: String,
    #[serde(default)]
    on_premises_name: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    alternate_id: String,
}

impl From<Row> for wire::NewUser {
    fn from(row: Row) -> Self {
        Self {
            username: row.username,
            object_id: row.object_id,
            on_premises_name: row.on_premises_name,
            domain: row.domain,
            alternate_id: row.alternate_id,
        }
    }
}

/// Its fields; the first two must be there.
const FIELDS: [&str; 5] = [
    "username",
    "object_id",
    "on_premises_name",
    "domain",
    "alternate_id",
];
const REQUIRED: usize = 2;

/// A file that was read: records with their lines.
#[derive(Debug)]
pub(super) struct Source(Vec<(u64, wire::NewUser)>);

impl Source {
    /// Reads and checks all of it.
    pub(super) fn read(file: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::File {
            file: file.to_owned(),
            source,
        };
        let is_csv = match file.extension().and_then(|end| end.to_str()) {
            Some("csv") => true,
            Some("jsonl" | "ndjson") => false,
            _ => return Err(ImportError::Kind(file.to_owned())),
        };
        let opened = File::open(file).map_err(failed)?;
        if opened.metadata().map_err(failed)?.len() > FILE_BYTES_MAX {
            let too_large = io::Error::new(io::ErrorKind::FileTooLarge, "file is larger than 512 MiB");
            return Err(failed(too_large));
        }
        let text = BufReader::new(opened.take(FILE_BYTES_MAX));
        let rows = if is_csv {
            csv_rows(text)
        } else {
            json_rows(text).map_err(failed)?
        };
        check(rows)
    }

    /// Sends it, in as few calls as the cloud takes.
    pub(super) async fn send(
        self,
        client: &mut AdminClient<Channel>,
        tenant: &str,
    ) -> Result<wire::ImportUsersResponse, ImportError> {
        let mut total = wire::ImportUsersResponse::default();
        for batch in self.0.chunks(IMPORT_MAX) {
            let request = wire::ImportUsersRequest {
                tenant: tenant.to_owned(),
                users: batch.iter().map(|(_, user)| user.clone()).collect(),
            };
            let imported = u64::from(total.created) + u64::from(total.updated);
            let answer = client.import_users(request).await.map_err(|status| {
                let at = status.metadata().get(RECORD_METADATA);
                let at = at.and_then(|at| at.to_str().ok()?.parse::<usize>().ok());
                let message = status.message().to_owned();
                match at.and_then(|at| batch.get(at)) {
                    Some((line, _)) => ImportError::Refused {
                        line: *line,
                        message,
                        imported,
                    },
                    None => ImportError::Failed { message, imported },
                }
            })?;
            let answer = answer.into_inner();
            total.created += answer.created;
            total.updated += answer.updated;
        }
        Ok(total)
    }
}

type Rows = Vec<(u64, Result<Row, String>)>;

fn csv_rows(text: impl io::Read) -> Rows {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(error) => return vec![(1, Err(csv_mistake(&error)))],
    };
    let wrong = header_mistakes(&headers);
    if !wrong.is_empty() {
        // In each line they would be found again.
        return wrong.into_iter().map(|mistake| (1, Err(mistake))).collect();
    }
    let rows = reader.records().map(|record| match record {
        Ok(record) => {
            let row = record.deserialize::<Row>(Some(&headers));
            (line(record.position()), row.map_err(|error| csv_mistake(&error)))
        }
        Err(error) => (line(error.position()), Err(csv_mistake(&error))),
    });
    rows.collect()
}

fn header_mistakes(headers: &csv::StringRecord) -> Vec<String> {
    let unknown = headers.iter().filter(|name| !FIELDS.contains(name));
    let mut wrong: Vec<_> = unknown
        .map(|name| format!("unknown field `{name}`; expected {}", FIELDS.join(", ")))
        .collect();
    let missing = FIELDS[..REQUIRED].iter();
    let missing = missing.filter(|field| headers.iter().all(|name| name != **field));
    wrong.extend(missing.map(|field| format!("missing field `{field}`")));
    wrong
}

fn line(position: Option<&csv::Position>) -> u64 {
    position.map_or(0, csv::Position::line)
}

fn csv_mistake(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("expected {expected_len} fields as in the header, found {len}")
        }
        csv::ErrorKind::Utf8 { .. } => "expected UTF-8 text".to_owned(),
        _ => "cannot be read as CSV".to_owned(),
    }
}

fn json_rows(text: impl io::BufRead) -> io::Result<Rows> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.split(b'\n')) {
        let line = line?;
        let Ok(line) = std::str::from_utf8(&line) else {
            rows.push((number, Err("expected UTF-8 text".to_owned())));
            continue;
        };
        let line = line.trim_start_matches('\u{feff}').trim();
        if !line.is_empty() {
            rows.push((
                number,
                serde_json::from_str(line).map_err(|error| json_mistake(&error)),
            ));
        }
    }
    Ok(rows)
}

/// Without the place, which counts from the record's own line.
fn json_mistake(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((problem, _)) => format!("{problem} (column {})", error.column()),
        None => text,
    }
}

fn check(rows: Rows) -> Result<Source, ImportError> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    let (mut objects, mut names) = (BTreeMap::new(), BTreeMap::new());
    for (line, row) in rows {
        let user = row.map(wire::NewUser::from).and_then(|user| {
            let parsed = new_user(&user).map_err(|error| error.to_string())?;
            let alternate_id = parsed.alternate_id.filter(|id| *id != parsed.username);
            let earlier = [
                ("object_id", objects.insert(parsed.object, line)),
                ("username", names.insert(parsed.username, line)),
                ("alternate_id", alternate_id.and_then(|id| names.insert(id, line))),
            ];
            match earlier.into_iter().find_map(|(field, line)| Some((field, line?))) {
                Some((field, earlier)) => Err(format!("{field}: stands in line {earlier} already")),
                None => Ok(user),
            }
        });
        match user {
            Ok(user) => good.push((line, user)),
            Err(problem) => wrong.push(format!("line {line}: {problem}")),
        }
    }
    if wrong.is_empty() {
        Ok(Source(good))
    } else {
        Err(ImportError::Mistakes(wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6995b085-9404-416e-8f04-0123456789ab";
    const OTHER: &str = "6995b085-9404-416e-8f04-0123456789cd";

    fn read(name: &str, text: &str) -> Result<Vec<(u64, wire::NewUser)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Source::read(&file)
            .map(|source| source.0)
            .map_err(|error| postern_kit::telemetry::chain(&error).replace(&file.display().to_string(), name))
    }

    #[test]
    fn both_kinds_of_file_are_read() {
        let csv = format!(
            "username,object_id,domain\nada@corp.example,{ID},\nbob@corp.example,{OTHER},lab.example\n"
        );
        let json = format!(
            "{{\"username\":\"ada@corp.example\",\"object_id\":\"{ID}\"}}\n\n\
             {{\"username\":\"bob@corp.example\",\"object_id\":\"{OTHER}\",\"domain\":\"lab.example\"}}"
        );
        let (csv, json) = (
            read("users.csv", &csv).unwrap(),
            read("users.jsonl", &json).unwrap(),
        );
        assert_eq!(csv.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(json.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3]);
        let users =
            |rows: Vec<(u64, wire::NewUser)>| rows.into_iter().map(|(_, user)| user).collect::<Vec<_>>();
        assert_eq!(users(csv.clone()), users(json));
        assert_eq!(csv[1].1.domain, "lab.example");
    }

    #[test]
    fn all_mistakes_are_told_with_their_lines() {
        let csv = format!("username,object_id\nada,{ID}\nbob@corp.example,{ID}\neve@corp.example,7\nx@y\n");
        assert_eq!(
            read("users.csv", &csv).unwrap_err(),
            "nothing was imported:\n  \
             line 2: username: expected name@domain, at most 512 bytes\n  \
             line 4: object_id: expected a UUID like 6995b085-9404-416e-8f04-123456789abc\n  \
             line 5: expected 2 fields as in the header, found 1"
        );
        let json =
            format!("{{\"username\":\"a@b.example\",\"object_id\":\"{ID}\",\"colour\":1}}\nnonsense\n");
        let found = read("users.ndjson", &json).unwrap_err();
        assert!(found.contains("line 1: unknown field `colour`"), "{found}");
        assert!(found.contains("line 2: expected"), "{found}");
        assert!(!found.contains("at line"), "{found}");
    }

    #[test]
    fn a_user_stands_in_a_file_once_whatever_the_case() {
        let csv = format!(
            "username,object_id\nada@corp.example,{ID}\nbob@corp.example,{}\nADA@corp.example,{OTHER}\n",
            ID.to_uppercase()
        );
        assert_eq!(
            read("users.csv", &csv).unwrap_err(),
            "nothing was imported:\n  \
             line 3: object_id: stands in line 2 already\n  \
             line 4: username: stands in line 2 already"
        );
    }

    #[test]
    fn a_header_is_judged_once_and_a_byte_order_mark_is_none_of_it() {
        assert_eq!(
            read("users.csv", "user,object_id\na,b\nc,d\n").unwrap_err(),
            "nothing was imported:\n  \
             line 1: unknown field `user`; expected username, object_id, on_premises_name, domain, alternate_id\n  \
             line 1: missing field `username`"
        );
        let csv = format!("\u{feff}username,object_id\r\nada@corp.example,{ID}\r\n");
        let json = format!("\u{feff}{{\"username\":\"ada@corp.example\",\"object_id\":\"{ID}\"}}\r\n");
        assert_eq!(read("users.csv", &csv).unwrap().len(), 1);
        assert_eq!(read("users.jsonl", &json).unwrap().len(), 1);
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert!(
            read("users.xlsx", "")
                .unwrap_err()
                .contains("users.xlsx: expected a name that ends in")
        );
        let many = format!("username,object_id\n{}", "x,y\n".repeat(30));
        assert!(
            read("users.csv", &many)
                .unwrap_err()
                .ends_with("and 10 more mistakes")
        );
    }
}
