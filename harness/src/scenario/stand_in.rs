//! Values that stand for those that could not be read, so that a mistake in one field hides none in the others.
//!
//! What is said about the meaning of a file then depends on values that nobody wrote. So it is read twice, with two
//! values that have little in common: what is said both times holds whatever should have stood there.

use serde_json::{Map, Value};

use super::items::names;

/// Which of the values that a field may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// The first, or smallest.
    First,
    /// The last, or largest.
    Last,
}

/// Deepest value that is made up: those of files are three deep.
const DEPTH_MAX: usize = 8;

impl StandIn {
    fn of(self, all: &[Value]) -> Option<&Value> {
        match self {
            Self::First => all.first(),
            Self::Last => all.last(),
        }
    }

    /// A value that `schema` allows; `resolve` finds the schema behind a reference.
    pub(super) fn value<'s>(self, schema: &'s Value, resolve: &dyn Fn(&'s Value) -> &'s Value) -> Value {
        self.made(schema, resolve, DEPTH_MAX)
    }

    fn made<'s>(self, schema: &'s Value, resolve: &dyn Fn(&'s Value) -> &'s Value, depth: usize) -> Value {
        let schema = resolve(schema);
        let list = |name: &str| schema.get(name).and_then(Value::as_array).map(Vec::as_slice);
        if depth == 0 {
            return Value::Null;
        }
        if let Some(one) = list("anyOf").and_then(<[Value]>::first) {
            return self.made(one, resolve, depth - 1);
        }
        let names: Vec<Value> = names(schema).into_iter().map(|(name, _)| name.into()).collect();
        if let Some(name) = self.of(&names) {
            return name.clone();
        }
        if let Some(example) = list("examples").and_then(|all| self.of(all)) {
            return example.clone();
        }
        let bound = |name: &str, other: u64| schema.get(name).cloned().unwrap_or_else(|| other.into());
        match schema.get("type").and_then(Value::as_str) {
            Some("integer" | "number") if self == Self::First => bound("minimum", 0),
            Some("integer" | "number") => bound("maximum", 1),
            Some("boolean") => (self == Self::Last).into(),
            Some("array") => {
                let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                let item = schema.get("items").unwrap_or(&Value::Null);
                (0..count).map(|_| self.made(item, resolve, depth - 1)).collect()
            }
            Some("object") => {
                let fields = schema.get("properties");
                let required = list("required")
                    .unwrap_or_default()
                    .iter()
                    .filter_map(Value::as_str);
                let made = required.filter_map(|name| {
                    let field = fields?.get(name)?;
                    Some((name.to_owned(), self.made(field, resolve, depth - 1)))
                });
                Value::Object(made.collect::<Map<_, _>>())
            }
            _ if self == Self::First => "".into(),
            _ => "?".into(),
        }
    }
}

/// Whether `path` is `outer`, or a part of it.
pub(crate) fn is_inside(path: &str, outer: &str) -> bool {
    let rest = path.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_made_that_the_schema_allows() {
        let check = |schema: Value, first: Value, last: Value| {
            let resolve = |schema: &'static Value| schema;
            let schema: &'static Value = Box::leak(Box::new(schema));
            assert_eq!(StandIn::First.value(schema, &resolve), first, "{schema}");
            assert_eq!(StandIn::Last.value(schema, &resolve), last, "{schema}");
        };
        check(json!({ "type": "string" }), json!(""), json!("?"));
        check(
            json!({ "type": "integer", "minimum": 1, "maximum": 9 }),
            json!(1),
            json!(9),
        );
        check(
            json!({ "type": "string", "enum": ["a", "b", "c"] }),
            json!("a"),
            json!("c"),
        );
        check(
            json!({ "type": "string", "examples": ["1s", "1h"] }),
            json!("1s"),
            json!("1h"),
        );
        check(
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string" }] }),
            json!(false),
            json!(true),
        );
        check(
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 2 }),
            json!(["", ""]),
            json!(["?", "?"]),
        );
        check(
            json!({ "type": "object", "required": ["a"],
                    "properties": { "a": { "type": "boolean" }, "b": { "type": "boolean" } } }),
            json!({ "a": false }),
            json!({ "a": true }),
        );
    }

    #[test]
    fn a_part_is_inside_and_a_longer_name_is_not() {
        assert!(is_inside("fault[0].at", "fault[0]") && is_inside("fault[0]", "fault"));
        assert!(!is_inside("fault[01]", "fault[0") && !is_inside("faults", "fault"));
    }
}
