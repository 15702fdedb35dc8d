//! The JSON Schema of scenario files, for editors and for the check of their shape.

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value};

use super::file::File;

/// The schema as JSON.
pub(super) fn value() -> Value {
    of::<File>("Postern scenario")
}

/// The schema of a file of this type, as JSON.
pub(crate) fn of<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schema_for!(T).to_value();
    tidy(&mut schema);
    if let Value::Object(fields) = &mut schema {
        fields.insert("title".to_owned(), title.into());
    }
    schema
}

/// The schema as it is published in `harness/scenarios/scenario.schema.json`.
pub fn text() -> String {
    printed(&value())
}

/// A schema as it is published.
pub(crate) fn printed(schema: &Value) -> String {
    // A value of maps, lists and texts always has a JSON form.
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Takes out what TOML does not have: nulls, and defaults that are null. And what says nothing to an
/// editor: the sizes of our numbers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields
                .get("default")
                .is_some_and(|value| value.is_null() || value.is_object())
            {
                fields.remove("default");
            }
            if matches!(
                fields.get("format").and_then(Value::as_str),
                Some("uint32" | "double")
            ) {
                fields.remove("format");
            }
            if let Some(Value::String(says)) = fields.get_mut("description") {
                *says = says.replace('\n', " ");
            }
            without_null(fields);
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(alternatives)) = fields.get_mut("anyOf") {
        alternatives.retain(|one| one.get("type").is_none_or(|name| name != "null"));
        if let [only] = &alternatives[..] {
            let only = only.clone();
            fields.remove("anyOf");
            if let Value::Object(only) = only {
                for (key, value) in only {
                    // The field's own description says more than its type's.
                    fields.entry(key).or_insert(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = include_str!("../../scenarios/scenario.schema.json");

    #[test]
    fn the_published_schema_is_the_codes() {
        assert_eq!(
            text(),
            PUBLISHED,
            "write it anew: postern scenario schema > harness/scenarios/scenario.schema.json"
        );
    }

    #[test]
    fn nothing_is_null_and_everything_is_described() {
        assert!(!PUBLISHED.contains("null"));
        fn check(schema: &Value, path: &str) {
            let Value::Object(fields) = schema else { return };
            for (name, field) in fields
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let said = field.get("description").is_some() || field.get("const").is_some();
                assert!(said, "{path}.{name} has no description");
                check(field, &format!("{path}.{name}"));
            }
        }
        let schema = value();
        check(&schema, "");
        for (name, of) in schema["$defs"].as_object().unwrap() {
            check(of, name);
            for kind in of["oneOf"].as_array().into_iter().flatten() {
                check(kind, name);
            }
        }
    }
}
