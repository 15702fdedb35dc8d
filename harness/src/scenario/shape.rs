//! The shape of a file: every field known, every value of its kind. The rules are the JSON Schema's, so that
//! an editor and this check say the same.
//!
//! What is wrong is reported and left out, and the rest is read on, so that no mistake hides another. Where something
//! cannot do without what is left out, another value may stand for it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::items::names;
use super::mistakes::{Mistake, meant, near};
use super::stand_in::StandIn;
use super::units;

/// What is wrong with a field that there is not.
pub(crate) const UNKNOWN_FIELD: &str = "unknown field";

/// A file whose shape was checked.
pub(crate) struct Shaped {
    /// What of it can be read, as JSON.
    pub(crate) value: Value,
    /// Where its fields are.
    pub(crate) places: Places,
    /// What is wrong with it.
    pub(crate) mistakes: Vec<Mistake>,
    /// Fields that have a value which nobody wrote.
    pub(super) stood_in: Vec<String>,
}

/// Where the fields of a file are: by path, such as `fault[2].between[0]`.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Range<usize>>);

impl Places {
    /// Where `path` is, or the nearest that it would be in.
    pub(crate) fn find(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(at) = self.0.get(path) {
                return at.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return 0..0,
            }
        }
    }
}

/// Reads `text` and checks its shape against `schema`.
///
/// # Errors
/// It is not TOML: only that is reported, since what a broken line means can only be guessed.
pub(crate) fn check(text: &str, schema: &Value) -> Result<Shaped, Vec<Mistake>> {
    check_with(text, schema, None)
}

/// The same; `stand_in` stands for what must be there, below the file's own fields, and cannot be read.
///
/// # Errors
/// As [`check`].
pub(super) fn check_with(
    text: &str,
    schema: &Value,
    stand_in: Option<StandIn>,
) -> Result<Shaped, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(syntax).collect());
    }
    let mut walk = Walk {
        root: schema,
        places: Places::default(),
        mistakes: Vec::new(),
        stand_in,
        stood_in: Vec::new(),
    };
    let value = walk.table(schema, table.get_ref(), "", 0..0, true);
    Ok(Shaped {
        value: value.unwrap_or_default(),
        places: walk.places,
        mistakes: walk.mistakes,
        stood_in: walk.stood_in,
    })
}

fn syntax(error: &toml::de::Error) -> Mistake {
    Mistake {
        at: error.span().unwrap_or_default(),
        field: String::new(),
        problem: format!("not TOML: {}", error.message().replace('\n', ", ")),
        help: None,
    }
}

struct Walk<'a> {
    root: &'a Value,
    places: Places,
    mistakes: Vec<Mistake>,
    stand_in: Option<StandIn>,
    stood_in: Vec<String>,
}

impl<'a> Walk<'a> {
    fn mistake(&mut self, at: Range<usize>, field: &str, problem: String, help: Option<String>) {
        self.mistakes.push(Mistake {
            at,
            field: field.to_owned(),
            problem,
            help,
        });
    }

    /// The schema behind a reference.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        resolved(self.root, schema)
    }

    /// What stands for the value at `path`, if anything may.
    fn stand_in(&mut self, schema: &'a Value, path: &str) -> Option<Value> {
        let root = self.root;
        let value = self.stand_in?.value(schema, &|schema| resolved(root, schema));
        self.stood_in.push(path.to_owned());
        Some(value)
    }

    /// What of `value` is as `schema` wants it; `None` if it is of no use.
    fn value(&mut self, schema: &'a Value, value: &Spanned<DeValue<'_>>, path: &str) -> Option<Value> {
        let at = value.span();
        self.places.0.insert(path.to_owned(), at.clone());
        let schema = self.chosen(self.resolve(schema), value.get_ref());
        let wrong = match (kind(schema), value.get_ref()) {
            ("object", DeValue::Table(table)) => return self.table(schema, table, path, at, false),
            ("array", DeValue::Array(items)) => return self.array(schema, items, path, &at),
            ("string", DeValue::String(text)) => return self.text(schema, text, path, at),
            ("integer" | "number", DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .filter(|number| in_range(schema, *number as f64))
                    .map(Value::from)
            }
            ("number", DeValue::Float(number)) => number
                .as_str()
                .parse()
                .ok()
                .filter(|number| in_range(schema, *number))
                .map(Value::from),
            ("boolean", DeValue::Boolean(yes)) => Some((*yes).into()),
            _ => None,
        };
        if wrong.is_none() {
            let seen = seen(value.get_ref());
            let expected = self.expected(schema);
            self.mistake(at, path, format!("expected {expected}, not {seen}"), None);
        }
        wrong
    }

    /// The alternative of `schema` that a value of this kind is meant to be.
    fn chosen(&self, schema: &'a Value, value: &DeValue<'_>) -> &'a Value {
        let Some(all) = schema.get("anyOf").and_then(Value::as_array) else {
            return schema;
        };
        let fits = |one: &&Value| {
            matches!(
                (kind(one), value),
                ("object", DeValue::Table(_))
                    | ("array", DeValue::Array(_))
                    | ("string", DeValue::String(_))
                    | ("integer" | "number", DeValue::Integer(_))
                    | ("number", DeValue::Float(_))
                    | ("boolean", DeValue::Boolean(_))
            )
        };
        all.iter()
            .map(|one| self.resolve(one))
            .find(fits)
            .unwrap_or(schema)
    }

    fn text(&mut self, schema: &'a Value, text: &str, path: &str, at: Range<usize>) -> Option<Value> {
        let names = names(schema);
        if !names.is_empty() && !names.iter().any(|(name, _)| name == text) {
            let known = names.iter().map(|(name, _)| name.as_str());
            let problem = format!("there is no `{}` here", short(text));
            self.mistake(at, path, problem, meant(text, known));
            return None;
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        if let Some((expected, false)) = units::judge(format, text) {
            self.mistake(at, path, format!("expected {expected}"), None);
            return None;
        }
        Some(text.into())
    }

    fn array(
        &mut self,
        schema: &'a Value,
        items: &[Spanned<DeValue<'_>>],
        path: &str,
        at: &Range<usize>,
    ) -> Option<Value> {
        let bound = |name| schema.get(name).and_then(Value::as_u64);
        let count = items.len() as u64;
        if bound("minItems").is_some_and(|least| count < least)
            || bound("maxItems").is_some_and(|most| count > most)
        {
            let expected = self.expected(schema);
            self.mistake(
                at.clone(),
                path,
                format!("expected {expected}, not of {count}"),
                None,
            );
            return None;
        }
        let nothing = &Value::Null;
        let schema = self.resolve(schema.get("items").unwrap_or(nothing));
        let is_table = kind(schema) == "object";
        let mut read = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let path = format!("{path}[{place}]");
            read.push(match self.value(schema, item, &path) {
                None if !is_table => self.stand_in(schema, &path),
                value => value,
            });
        }
        if is_table {
            // A table that is of no use keeps its place.
            return Some(read.into_iter().map(Option::unwrap_or_default).collect());
        }
        read.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn table(
        &mut self,
        schema: &'a Value,
        table: &DeTable<'_>,
        path: &str,
        at: Range<usize>,
        always: bool,
    ) -> Option<Value> {
        let schema = match schema.get("oneOf").and_then(Value::as_array) {
            Some(kinds) => self.tagged(kinds, table, path, &at)?,
            None => schema,
        };
        let fields = schema.get("properties").and_then(Value::as_object);
        let mut read = Map::new();
        for (name, value) in table {
            let inner = joined(path, name.get_ref());
            let field = fields.and_then(|fields| fields.get(name.get_ref().as_ref()));
            let other = schema
                .get("additionalProperties")
                .filter(|other| other.is_object());
            match field.or(other) {
                Some(field) => {
                    if let Some(value) = self.value(field, value, &inner) {
                        read.insert(name.get_ref().to_string(), value);
                    }
                }
                None => {
                    let known = fields
                        .into_iter()
                        .flat_map(|fields| fields.keys().map(String::as_str));
                    let known: Vec<_> = known.collect();
                    let unused = known.iter().copied().filter(|known| !table.contains_key(*known));
                    let help = near(name.get_ref(), &known).or_else(|| meant(name.get_ref(), unused));
                    self.mistake(name.span(), &inner, UNKNOWN_FIELD.to_owned(), help);
                }
            }
        }
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut whole = true;
        for name in required.filter_map(Value::as_str) {
            let field = fields.and_then(|fields| fields.get(name));
            if let Some(field) = field.filter(|_| !always && !read.contains_key(name))
                && let Some(value) = self.stand_in(field, &joined(path, name))
            {
                read.insert(name.to_owned(), value);
            }
            whole &= read.contains_key(name);
            if !table.contains_key(name) {
                let expected = field.map_or_else(String::new, |field| self.expected(field));
                let problem = format!("missing; expected {expected}");
                self.mistake(at.clone(), &joined(path, name), problem, None);
            }
        }
        (whole || always).then_some(Value::Object(read))
    }

    /// The fields of a table whose `kind` says which there are.
    fn tagged(
        &mut self,
        kinds: &'a [Value],
        table: &DeTable<'_>,
        path: &str,
        at: &Range<usize>,
    ) -> Option<&'a Value> {
        let name = |kind: &'a Value| kind.pointer("/properties/kind/const").and_then(Value::as_str);
        let field = joined(path, "kind");
        let Some(written) = table.get("kind") else {
            let all: Vec<_> = kinds.iter().filter_map(name).collect();
            let problem = format!("missing; expected one of {}", all.join(", "));
            self.mistake(at.clone(), &field, problem, None);
            return None;
        };
        let text = written.get_ref().as_str().unwrap_or_default();
        let found = kinds.iter().find(|kind| name(kind) == Some(text));
        if found.is_none() {
            let help = meant(text, kinds.iter().filter_map(name));
            let all: Vec<_> = kinds.iter().filter_map(name).collect();
            let help = help.or_else(|| Some(format!("known here: {}", all.join(", "))));
            self.mistake(
                written.span(),
                &field,
                format!("there is no `{}` here", short(text)),
                help,
            );
        }
        found
    }

    /// What would be right.
    fn expected(&self, schema: &'a Value) -> String {
        let schema = self.resolve(schema);
        let alternatives = schema
            .get("anyOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let alternatives: Vec<_> = alternatives.map(|one| self.expected(one)).collect();
        if !alternatives.is_empty() {
            return alternatives.join(" or ");
        }
        let names = names(schema);
        if !names.is_empty() {
            let names: Vec<_> = names.into_iter().map(|(name, _)| format!("\"{name}\"")).collect();
            return if names.len() == 1 {
                names.concat()
            } else {
                format!("one of {}", names.join(", "))
            };
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        if let Some((expected, _)) = units::judge(format, "") {
            return expected.to_owned();
        }
        let bound = |name| schema.get(name).and_then(Value::as_f64);
        let range = match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            _ => String::new(),
        };
        match (kind(schema), schema.get("minItems")) {
            ("integer", _) => format!("a whole number{range}"),
            ("number", _) => format!("a number{range}"),
            ("boolean", _) => "true or false".to_owned(),
            ("array", Some(count)) => format!("a list of {count}"),
            ("array", None) => "a list".to_owned(),
            ("object", _) => "a table".to_owned(),
            _ => "a text".to_owned(),
        }
    }
}

fn resolved<'v>(root: &'v Value, schema: &'v Value) -> &'v Value {
    let name = schema.get("$ref").and_then(Value::as_str);
    let pointed = name.and_then(|name| root.pointer(name.trim_start_matches('#')));
    pointed.unwrap_or(schema)
}

/// What a schema wants: an enumeration is a text, whatever it is made of.
fn kind(schema: &Value) -> &str {
    let tagged = schema.pointer("/oneOf/0/properties").is_some();
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None if tagged => "object",
        None => "string",
    }
}

fn in_range(schema: &Value, number: f64) -> bool {
    let bound = |name| schema.get(name).and_then(Value::as_f64);
    number.is_finite()
        && bound("minimum").is_none_or(|least| least <= number)
        && bound("maximum").is_none_or(|most| number <= most)
}

/// A value as a mistake shows it.
fn seen(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{}\"", short(text)),
        DeValue::Integer(number) => short(number.as_str()),
        DeValue::Float(number) => short(number.as_str()),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Longest text that a mistake repeats, in characters.
const SHOWN_MAX: usize = 40;

fn short(text: &str) -> String {
    let line = text.escape_debug().to_string();
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
