//! LDIF as text (RFC 2849): content records, and `add` change records, which say the same. Values in files and
//! at URLs are refused: a directory's description should not read what lies elsewhere.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// Longest line that is written; the rest follows on lines that begin with a blank.
const LINE_MAX: usize = 76;
/// Mistakes that are told at once.
const MISTAKES_MAX: usize = 20;

/// A value; it may be a password.
pub(crate) type Value = Zeroizing<Vec<u8>>;

/// One entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in its text, from 1.
    pub line: usize,
    /// Its distinguished name.
    pub dn: String,
    /// Attributes with their values, each attribute once, in the order of their first values.
    pub attributes: Vec<(String, Vec<Value>)>,
}

/// Values do not print.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.attributes.iter().map(|(name, _)| name).collect();
        write!(f, "line {}: {} {names:?}", self.line, self.dn)
    }
}

impl Record {
    /// The values of an attribute, by its name in any case.
    pub fn values(&self, name: &str) -> &[Value] {
        let mut all = self.attributes.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values.as_slice())
    }

    /// The first value of an attribute as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.values(name).first()?).ok()
    }

    fn add(&mut self, name: &str, value: Value) {
        let known = self.attributes.iter_mut();
        match known
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, values)) => values.push(value),
            None => self.attributes.push((name.to_owned(), vec![value])),
        }
    }
}

/// What is wrong with a text, each mistake with its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} in the LDIF:{}", if mistakes.len() == 1 { "a mistake" } else { "mistakes" }, listed(mistakes))]
pub struct LdifErrors {
    mistakes: Vec<String>,
}

fn listed(mistakes: &[String]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

impl LdifErrors {
    /// One line per mistake, the first twenty at most.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    pub(super) fn none() -> Self {
        Self { mistakes: Vec::new() }
    }

    pub(super) fn add(&mut self, line: usize, problem: impl std::fmt::Display) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(format!("line {line}: {problem}"));
        }
    }

    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.mistakes.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

/// Reads all records of a text.
///
/// # Errors
/// [`LdifErrors`]: all mistakes at once, as far as they can be told apart.
pub fn read(text: &str) -> Result<Vec<Record>, LdifErrors> {
    let mut errors = LdifErrors::none();
    let (mut records, mut current) = (Vec::new(), None::<Record>);
    // After a mistake in the head of a record its attributes are passed over.
    let mut lost = false;
    for (line, text) in unfolded(text) {
        if text.is_empty() {
            records.extend(current.take());
            lost = false;
            continue;
        }
        let (name, value) = match attribute(&text) {
            Ok(read) => read,
            Err(problem) => {
                errors.add(line, problem);
                lost = current.is_none();
                continue;
            }
        };
        match &mut current {
            None if lost => {}
            None if name.eq_ignore_ascii_case("version") => {
                if value.as_slice() != b"1" {
                    errors.add(line, "version: expected 1");
                }
            }
            None if name.eq_ignore_ascii_case("dn") => match String::from_utf8(value.to_vec()) {
                Ok(dn) => {
                    current = Some(Record {
                        line,
                        dn,
                        attributes: Vec::new(),
                    });
                }
                Err(_) => {
                    errors.add(line, "dn: expected UTF-8");
                    lost = true;
                }
            },
            None => {
                errors.add(
                    line,
                    format_args!("{name}: expected a record that begins with dn"),
                );
                lost = true;
            }
            Some(_) if name.eq_ignore_ascii_case("changetype") => {
                if !value.eq_ignore_ascii_case(b"add") {
                    errors.add(line, "changetype: expected add, or entries without it");
                }
            }
            Some(_) if name.eq_ignore_ascii_case("dn") => {
                errors.add(line, "dn: expected an empty line before the next entry");
            }
            Some(record) => record.add(&name, value),
        }
    }
    records.extend(current);
    errors.or(records)
}

/// Lines without comments, put together where they are folded, with the number of their first.
fn unfolded(text: &str) -> Vec<(usize, Zeroizing<String>)> {
    let mut lines: Vec<(usize, Zeroizing<String>)> = Vec::new();
    let mut comment = false;
    for (at, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix(' ') {
            match lines.last_mut() {
                _ if comment => continue,
                Some((_, last)) if !last.is_empty() => {
                    last.push_str(rest);
                    continue;
                }
                // A line that goes on from nothing; it is told as one without a name.
                Some(_) | None => {}
            }
        }
        comment = line.starts_with('#');
        if !comment {
            lines.push((at + 1, Zeroizing::new(line.to_owned())));
        }
    }
    lines
}

/// Name, without options, and value.
fn attribute(line: &str) -> Result<(String, Value), String> {
    let Some((name, rest)) = line.split_once(':') else {
        return Err("expected `attribute: value`".to_owned());
    };
    let name = name.split(';').next().unwrap_or_default();
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(known) {
        return Err("expected the name of an attribute before the colon".to_owned());
    }
    let value = if let Some(coded) = rest.strip_prefix(':') {
        let decoded = BASE64_STANDARD.decode(coded.trim());
        decoded.map_err(|_| format!("{name}: expected base64 after `::`"))?
    } else if rest.starts_with('<') {
        return Err(format!("{name}: expected the value itself, not a URL"));
    } else {
        rest.trim_start_matches(' ').as_bytes().to_vec()
    };
    Ok((name.to_owned(), Zeroizing::new(value)))
}

/// Appends the head of a text.
pub(super) fn write_version(out: &mut String) {
    out.push_str("version: 1\n");
}

/// Appends an entry.
pub(super) fn write_record<'a>(
    out: &mut String,
    dn: &str,
    attributes: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) {
    out.push('\n');
    write_attribute(out, "dn", dn.as_bytes());
    for (name, value) in attributes {
        write_attribute(out, name, value);
    }
}

fn write_attribute(out: &mut String, name: &str, value: &[u8]) {
    let line = match plain(value) {
        Some(text) => Zeroizing::new(format!("{name}: {text}")),
        None => Zeroizing::new(format!("{name}:: {}", BASE64_STANDARD.encode(value))),
    };
    // All of it is ASCII.
    let (mut rest, mut room) = (line.as_str(), LINE_MAX);
    while rest.len() > room {
        let (first, others) = rest.split_at(room);
        out.push_str(first);
        out.push_str("\n ");
        (rest, room) = (others, LINE_MAX - 1);
    }
    out.push_str(rest);
    out.push('\n');
}

/// The value as it may stand for itself (SAFE-STRING, and no blank at its end).
fn plain(value: &[u8]) -> Option<&str> {
    let safe = |byte: &u8| (1..128).contains(byte) && *byte != b'\n' && *byte != b'\r';
    let starts = !matches!(value.first(), Some(b' ' | b':' | b'<'));
    let ends = value.last() != Some(&b' ');
    (starts && ends && value.iter().all(safe))
        .then(|| std::str::from_utf8(value).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Line and name of each record, then each attribute with its values.
    fn shown(records: &[Record]) -> Vec<String> {
        let mut lines = Vec::new();
        for record in records {
            lines.push(format!("{} {}", record.line, record.dn));
            for (name, values) in &record.attributes {
                let texts = values.iter().map(|value| String::from_utf8_lossy(value));
                lines.push(format!("{name}={}", texts.collect::<Vec<_>>().join("|")));
            }
        }
        lines
    }

    #[test]
    fn records_are_read_as_the_standard_writes_them() {
        let text = "version: 1\r\n# a comment\r\n  that goes on\r\n\r\ndn: cn=Barbara Jensen, ou=Product\r\n  \
                    Development, dc=airius, dc=com\r\nobjectclass: top\r\nobjectClass: person\r\ncn:: QmFyYmFyYQ==\r\n\
                    description:Babs is\r\n  a big sailing\r\n   fan\r\nuserCertificate;binary:: AAE=\r\nempty:\r\n\r\n\r\n\
                    dn: cn=b\r\nchangetype: ADD\r\n# in between\r\nsn: x\r\n";
        assert_eq!(
            shown(&read(text).unwrap()),
            [
                "5 cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com",
                "objectclass=top|person",
                "cn=Barbara",
                "description=Babs is a big sailing  fan",
                "userCertificate=\0\u{1}",
                "empty=",
                "17 cn=b",
                "sn=x",
            ]
        );
    }

    #[test]
    fn mistakes_are_told_by_their_lines() {
        for (text, expected) in [
            ("version: 2\n\ndn: cn=a", "line 1: version: expected 1"),
            (
                "cn: a\nsn: b",
                "line 1: cn: expected a record that begins with dn",
            ),
            ("dn: cn=a\nno colon", "line 2: expected `attribute: value`"),
            ("dn: cn=a\nx:: %%", "line 2: x: expected base64 after `::`"),
            (
                "dn: cn=a\nx:< file:///etc/passwd",
                "line 2: x: expected the value itself, not a URL",
            ),
            (
                "dn: cn=a\nchangetype: delete",
                "line 2: changetype: expected add, or entries without it",
            ),
            (
                "dn: cn=a\ndn: cn=b",
                "line 2: dn: expected an empty line before the next entry",
            ),
            ("dn:: /w==\ncn: a", "line 1: dn: expected UTF-8"),
            (
                " x: y\n",
                "line 1: expected the name of an attribute before the colon",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().mistakes(), [expected], "{text}");
        }
        let many = "x\n\n".repeat(50);
        assert_eq!(read(&many).unwrap_err().mistakes().len(), MISTAKES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in prop::collection::vec(
                (
                    "[ -~äß密\n]{1,90}",
                    prop::collection::vec(
                        ("[a-z]{1,12}", prop_oneof![
                            "[ -~\r\n]{0,200}".prop_map(String::into_bytes),
                            prop::collection::vec(any::<u8>(), 0..120),
                        ]),
                        0..6,
                    ),
                ),
                0..5,
            )
        ) {
            let mut text = String::new();
            write_version(&mut text);
            let mut expected = Vec::new();
            for (dn, attributes) in &entries {
                let given = attributes.iter().filter(|(name, _)| name != "dn" && name != "changetype");
                let given: Vec<_> = given.map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                write_record(&mut text, dn, given.iter().copied());
                let mut record = Record { line: 0, dn: dn.clone(), attributes: Vec::new() };
                given.iter().for_each(|(name, value)| record.add(name, Zeroizing::new(value.to_vec())));
                expected.push(record);
            }
            prop_assert!(text.is_ascii() && text.lines().all(|line| line.len() <= LINE_MAX));
            let mut found = read(&text).unwrap();
            found.iter_mut().for_each(|record| record.line = 0);
            prop_assert_eq!(found, expected);
        }
    }
}
