//! What processes say in their logs: which requests agents took, and how it is with their streams. What the cloud says
//! of its agents is then not the only word about them.

use std::path::Path;
use std::{fs, io};

use postern_kit::clock::Timestamp;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lab::processes::{lines, log_file};
use crate::sim::{Stream, TAKEN};

/// What a host told, with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It took this request.
    Taken(String),
    /// How it is with a stream: that of the agent with this id, or its own.
    Stream(Option<String>, Stream),
}

/// What a host told in all its processes that logged into `folder`.
///
/// # Errors
/// A log cannot be read.
pub(super) fn told(folder: &Path, host: &str) -> io::Result<Vec<(Timestamp, Told)>> {
    let mut all = Vec::new();
    for number in 1.. {
        match fs::read_to_string(log_file(folder, host, number)) {
            Ok(log) => all.extend(lines(&log).filter_map(|line| of_line(&line))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

fn of_line(line: &Value) -> Option<(Timestamp, Told)> {
    let fields = line.get("fields")?;
    let field = |name: &str| fields.get(name).and_then(Value::as_str);
    let told = match field("message")? {
        TAKEN => Told::Taken(field("request")?.to_owned()),
        message => {
            let stream = Stream::said(message, field("error").unwrap_or_default())?;
            Told::Stream(field("agent").map(str::to_owned), stream)
        }
    };
    let at = OffsetDateTime::parse(line.get("timestamp")?.as_str()?, &Rfc3339).ok()?;
    let ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()?;
    Some((Timestamp::from_unix_ms(ms), told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_what_it_did_in_each_of_its_processes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let line = |at: &str, fields: &str| {
            format!(
                "{{\"timestamp\":\"2026-01-01T00:00:0{at}Z\",\"level\":\"INFO\",\"fields\":{{{fields}}}}}\n"
            )
        };
        let took = |at: &str, id: &str| line(at, &format!("\"message\":\"{TAKEN}\",\"request\":\"{id}\""));
        let lost = "\"message\":\"not attached\",\"error\":\"no route\",\"again_in_ms\":7";
        let other = line("1", "\"message\":\"something else\",\"request\":\"b\"");
        // It was killed in the middle of a line.
        write(
            "agent1-1-err.output",
            &(took("0.25", "a") + &other + "{\"timestamp\":\"20"),
        );
        write("agent1-2-err.output", &(line("1.5", lost) + &took("2", "c")));
        write("agent11-1-err.output", &took("3", "another agent's"));
        let start = Timestamp::from_unix_ms(1_767_225_600_000);
        let found = told(folder.path(), "agent1").unwrap();
        let found: Vec<_> = found
            .into_iter()
            .map(|(at, what)| (at.since(start).as_millis(), what))
            .collect();
        let expected = [
            (250, Told::Taken("a".to_owned())),
            (1500, Told::Stream(None, Stream::Ended("no route".to_owned()))),
            (2000, Told::Taken("c".to_owned())),
        ];
        assert_eq!(found, expected);
    }
}
