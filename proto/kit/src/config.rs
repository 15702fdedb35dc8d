//! Configuration files in TOML: every mistake is reported at once, each with its field and with
//! what would be right.

use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeOwned;

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    /// One line per mistake.
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in the configuration:",
            if self.0.len() == 1 {
                "a mistake"
            } else {
                "mistakes"
            }
        )?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads `text` with `read`, which takes each field from [`Fields`] into a binding of its own and
/// only then puts the whole together, so that no mistake hides another.
///
/// # Errors
/// All mistakes that `read` met, fields that nobody asked for, or where the text is not TOML.
pub fn parse<T>(text: &str, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, ConfigErrors> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigErrors(vec![error.to_string().trim_end().to_owned()]))?;
    let mistakes = RefCell::new(Vec::new());
    let value = inside(String::new(), table, &mistakes, read);
    match (value, mistakes.into_inner()) {
        (Some(value), mistakes) if mistakes.is_empty() => Ok(value),
        (_, mistakes) => Err(ConfigErrors(mistakes)),
    }
}

fn inside<T>(
    path: String,
    table: toml::Table,
    mistakes: &RefCell<Vec<String>>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let mut fields = Fields {
        path,
        table,
        asked: Vec::new(),
        mistakes,
    };
    let value = read(&mut fields);
    let known = fields.asked.join(", ");
    for name in fields.table.keys() {
        mistakes.borrow_mut().push(format!(
            "{}{name}: unknown field; known here: {known}",
            fields.path
        ));
    }
    value
}

/// The fields of one table.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    table: toml::Table,
    asked: Vec<&'static str>,
    mistakes: &'a RefCell<Vec<String>>,
}

impl Fields<'_> {
    /// A field that must be there; `expected` says what would be right, as in "an address like 127.0.0.1:8443".
    pub fn required<T: DeserializeOwned>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        match self.take(name) {
            Some(value) => self.read(name, value, expected),
            None => {
                self.mistake(name, format_args!("missing; expected {expected}"));
                None
            }
        }
    }

    /// A field with a default.
    pub fn or<T: DeserializeOwned>(&mut self, name: &'static str, default: T, expected: &str) -> Option<T> {
        match self.take(name) {
            Some(value) => self.read(name, value, expected),
            None => Some(default),
        }
    }

    /// A field that may be absent. The outer `None` means that it is there and wrong.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &'static str, expected: &str) -> Option<Option<T>> {
        match self.take(name) {
            Some(value) => self.read(name, value, expected).map(Some),
            None => Some(None),
        }
    }

    /// A table; an absent one reads as an empty one.
    pub fn table<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        match self
            .take(name)
            .unwrap_or_else(|| toml::Value::Table(toml::Table::new()))
        {
            toml::Value::Table(table) => inside(format!("{}{name}.", self.path), table, self.mistakes, read),
            _ => {
                self.mistake(
                    name,
                    format_args!("expected a table, as in [{}{name}]", self.path),
                );
                None
            }
        }
    }

    /// A table that may be absent. The outer `None` means that it is there and wrong.
    pub fn optional_table<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.table.contains_key(name) {
            self.table(name, read).map(Some)
        } else {
            self.asked.push(name);
            Some(None)
        }
    }

    /// An array of tables; an absent one reads as an empty one.
    pub fn tables<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(value) = self.take(name) else {
            return Some(Vec::new());
        };
        let toml::Value::Array(items) = value else {
            self.mistake(
                name,
                format_args!("expected tables, as in [[{}{name}]]", self.path),
            );
            return None;
        };
        let mut all = Some(Vec::new());
        for (at, item) in items.into_iter().enumerate() {
            let value = match item {
                toml::Value::Table(table) => inside(
                    format!("{}{name}[{at}].", self.path),
                    table,
                    self.mistakes,
                    &mut read,
                ),
                _ => {
                    self.mistake(
                        name,
                        format_args!("expected tables, as in [[{}{name}]]", self.path),
                    );
                    None
                }
            };
            // Reads on after a mistake, to report the others.
            all = match (all, value) {
                (Some(mut all), Some(value)) => {
                    all.push(value);
                    Some(all)
                }
                _ => None,
            };
        }
        all
    }

    /// Reports that `name` is wrong; `problem` says how and what would be right.
    pub fn mistake(&self, name: &str, problem: impl fmt::Display) {
        self.mistakes
            .borrow_mut()
            .push(format!("{}{name}: {problem}", self.path));
    }

    fn take(&mut self, name: &'static str) -> Option<toml::Value> {
        self.asked.push(name);
        self.table.remove(name)
    }

    fn read<T: DeserializeOwned>(&self, name: &str, value: toml::Value, expected: &str) -> Option<T> {
        // The value itself is not repeated: it may be a secret in the wrong place.
        match value.try_into() {
            Ok(value) => Some(value),
            Err(_) => {
                self.mistake(name, format_args!("expected {expected}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn read(text: &str) -> Result<(SocketAddr, u16, Vec<String>), ConfigErrors> {
        parse(text, |fields| {
            let listen = fields.required("listen", "an address like 127.0.0.1:8443");
            let limit = fields.or("limit", 5_u16, "a number from 0 to 65535");
            let names = fields.tables("forest", |forest| forest.required::<String>("name", "a text"));
            Some((listen?, limit?, names?))
        })
    }

    #[test]
    fn a_good_file_is_read_with_defaults() {
        let (listen, limit, names) = read("listen='127.0.0.1:1'\n[[forest]]\nname='a'").unwrap();
        assert_eq!((listen.port(), limit, names), (1, 5, vec!["a".to_owned()]));
    }

    #[test]
    fn all_mistakes_are_reported_with_their_fields() {
        let wrong = read("limit=70000\ncolour='red'\n[[forest]]\n[[forest]]\nname=1\nx=2").unwrap_err();
        assert_eq!(
            wrong.mistakes(),
            [
                "listen: missing; expected an address like 127.0.0.1:8443",
                "limit: expected a number from 0 to 65535",
                "forest[0].name: missing; expected a text",
                "forest[1].name: expected a text",
                "forest[1].x: unknown field; known here: name",
                "colour: unknown field; known here: listen, limit, forest",
            ]
        );
    }

    #[test]
    fn a_table_may_be_absent() {
        let read = |text| {
            parse(text, |fields| {
                fields.optional_table("limits", |limits| limits.required::<u16>("most", "a number"))
            })
        };
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("[limits]\nmost=3").unwrap(), Some(3));
        let wrong = read("[limits]\n[limit]").unwrap_err();
        assert_eq!(
            wrong.mistakes(),
            [
                "limits.most: missing; expected a number",
                "limit: unknown field; known here: limits",
            ]
        );
        assert_eq!(
            read("limits=3").unwrap_err().mistakes(),
            ["limits: expected a table, as in [limits]"]
        );
    }

    #[test]
    fn what_is_not_toml_is_said_with_its_line() {
        let wrong = read("listen = ").unwrap_err();
        assert!(wrong.to_string().contains("line 1"), "{wrong}");
    }
}
