//! Lists and tables of a scenario file that keep what can be read of them when some of it cannot.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Things that are described one by one, or only counted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Several<T> {
    /// So many, all alike.
    Count(#[schemars(range(min = 1, max = 32))] u32),
    /// One table for each.
    Listed(Items<T>),
}

impl<T> Several<T> {
    /// All of them in order; a broken description is `None`.
    pub fn all(&self) -> Vec<Option<&T>> {
        match self {
            Self::Count(count) => (0..*count).map(|_| None).collect(),
            Self::Listed(items) => items.0.iter().map(Option::as_ref).collect(),
        }
    }
}

/// Tables in a row. One that cannot be read keeps its place, so that the others keep theirs.
#[derive(Clone, Debug)]
pub struct Items<T>(pub Vec<Option<T>>);

impl<T> Items<T> {
    /// Those that could be read, each with its place.
    pub fn read(&self) -> impl Iterator<Item = (usize, &T)> {
        let placed = self.0.iter().enumerate();
        placed.filter_map(|(at, item)| Some((at, item.as_ref()?)))
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> Serialize for Items<T> {
    /// Those that could be read.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flatten())
    }
}

impl<T> FromIterator<T> for Items<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        Self(all.into_iter().map(Some).collect())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Items<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// One value for each of some names out of a closed list.
#[derive(Clone, Debug)]
pub struct ByName<K, V>(pub BTreeMap<K, V>);

impl<K, V> Default for ByName<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Serialize + Ord, V: Serialize> Serialize for ByName<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for ByName<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self)
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for ByName<K, V> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}By{}", V::schema_name(), K::schema_name()).into()
    }

    /// Each name is a field with its own description.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut fields = Map::new();
        for (name, says) in names(K::json_schema(generator).as_value()) {
            let mut value = generator.subschema_for::<V>().to_value();
            if let (Value::Object(value), Some(says)) = (&mut value, says) {
                value.insert("description".to_owned(), says.into());
            }
            fields.insert(name, value);
        }
        json_schema!({ "type": "object", "properties": fields, "additionalProperties": false })
    }
}

/// The names of an enumeration's schema, each with its description.
pub(super) fn names(schema: &Value) -> Vec<(String, Option<String>)> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut names = Vec::new();
    for kind in schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        names.extend(text(kind, "const").map(|name| (name, text(kind, "description"))));
        names.extend(names_of(kind));
    }
    names.extend(names_of(schema));
    names
}

fn names_of(schema: &Value) -> Vec<(String, Option<String>)> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed
        .filter_map(|name| Some((name.as_str()?.to_owned(), None)))
        .collect()
}
