//! A sweep as it is written. The JSON Schema is made from these types, and the shape of a file is checked against that
//! schema, so that both are one. What is meant is in `sweep`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::measure::Measured;
use crate::report::experiment as report;
use crate::scenario::Items;

/// A scenario that is run over a grid of parameters, and what is measured of each run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// What is asked, as a sentence.
    #[schemars(required)]
    pub(super) title: Option<String>,
    /// Why, and what to look for.
    pub(super) about: Option<String>,
    /// The scenario's file; from this file's folder, unless it begins with a slash.
    #[schemars(required)]
    pub(super) scenario: Option<String>,
    /// How many runs each point of the grid has, each with a seed of its own; else 5.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) seeds: Option<u32>,
    /// What is measured of each run: figures by name, or `{ figure = "availability", tenant = "contoso" }`.
    #[schemars(required)]
    pub(super) measure: Option<Vec<Measured>>,
    /// What is varied. Plots have the first along the axis and the second as lines; each value of others has plots
    /// of its own.
    #[serde(default)]
    pub(super) parameter: Items<Parameter>,
}

/// Something that is varied: one field with some values, or some choices of which each sets fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    /// Its name: a column of the table.
    pub(super) name: String,
    /// What it is, for the axis.
    pub(super) about: Option<String>,
    /// The field of the scenario, such as `limits.budget`, `tenant[0].agents`, `fault[death].for` or
    /// `load[*].rate`.
    pub(super) field: Option<String>,
    /// The values that the field takes, as in the scenario's file.
    pub(super) values: Option<Vec<Value>>,
    /// Instead of a field and its values: choices by name, each with what it sets.
    #[serde(default)]
    pub(super) choice: Items<Choice>,
}

/// A choice of a parameter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// What it is called.
    pub(super) name: String,
    /// Fields of the scenario and their values.
    pub(super) set: BTreeMap<String, Value>,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Value {
    /// Yes or no.
    Truth(bool),
    /// A whole number.
    Whole(i64),
    /// Another number.
    Number(f64),
    /// A text, such as "30s" or "4/min".
    Text(String),
}

impl Value {
    /// For the scenario's file.
    pub(super) fn toml(&self) -> toml::Value {
        match self {
            Self::Truth(truth) => (*truth).into(),
            Self::Whole(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }

    /// For the report.
    pub(super) fn shown(&self) -> report::Value {
        match self {
            Self::Truth(truth) => report::Value::Word(truth.to_string()),
            Self::Whole(number) => report::Value::Number(*number as f64),
            Self::Number(number) => report::Value::Number(*number),
            Self::Text(text) => report::Value::Word(text.clone()),
        }
    }
}
