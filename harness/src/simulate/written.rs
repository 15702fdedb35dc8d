//! Files of cases that programmes wrote: with the line by which editors find their schema, and a title that says what
//! they show.

use std::fmt::Write as _;
use std::path::Path;

use super::shrink::Size;
use super::trial::Way;

/// Where the schema of scenarios lies, from the folder that a file is in or one above it.
const SCHEMAS: [&str; 2] = ["scenario.schema.json", "harness/scenarios/scenario.schema.json"];

/// Folders above a file's that are looked into: suites lie three deep.
const UP_MAX: usize = 6;

/// `#:schema ../scenario.schema.json`, as it is found from where the file is to be; nothing where there is none.
pub(super) fn schema_line(file: &Path) -> String {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut up = String::new();
    for _ in 0..=UP_MAX {
        for schema in SCHEMAS {
            let path = format!("{up}{schema}");
            if folder.join(&path).is_file() {
                return format!("#:schema {path}\n");
            }
        }
        up.push_str("../");
    }
    String::new()
}

/// `I2 does not hold, with 1 fault and 2 sign-ins`: what a smaller case shows.
pub(super) fn title(way: &Way, size: &Size) -> String {
    let mut title = match way {
        Way::Violated(invariant) => format!("{invariant} does not hold"),
        Way::NotAsExpected(field) => {
            let field = field.strip_prefix("expect.").unwrap_or(field);
            format!("The expectation {field} does not come true")
        }
        Way::ProcessFailed(host) => format!("The process of {host} fails"),
        Way::NotRun => "It does not come to its end".to_owned(),
    };
    let many = |count: usize, one: &str| crate::report::text::counted(count as u64, one);
    // A text takes any amount of writing.
    let _ = match size.faults {
        0 => write!(title, ", with {}", many(size.sign_ins, "sign-in")),
        faults => write!(
            title,
            ", with {} and {}",
            many(faults, "fault"),
            many(size.sign_ins, "sign-in")
        ),
    };
    title
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_schema_is_found_from_where_the_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("harness/scenarios/trust")).unwrap();
        std::fs::write(at("harness/scenarios/scenario.schema.json"), "{}").unwrap();
        for (file, line) in [
            ("small.toml", "#:schema harness/scenarios/scenario.schema.json\n"),
            ("harness/scenarios/small.toml", "#:schema scenario.schema.json\n"),
            (
                "harness/scenarios/trust/small.toml",
                "#:schema ../scenario.schema.json\n",
            ),
        ] {
            assert_eq!(schema_line(&at(file)), line, "{file}");
        }
    }

    #[test]
    fn a_title_says_what_the_case_shows() {
        let size = |faults, sign_ins| Size {
            faults,
            sign_ins,
            hosts: 4,
            duration: Duration::from_secs(3),
        };
        let title = |way, size| title(&way, &size);
        assert_eq!(
            title(Way::Violated("I2".to_owned()), size(1, 2)),
            "I2 does not hold, with 1 fault and 2 sign-ins"
        );
        assert_eq!(
            title(Way::NotRun, size(0, 1)),
            "It does not come to its end, with 1 sign-in"
        );
    }
}
