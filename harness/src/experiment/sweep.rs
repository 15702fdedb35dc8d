//! A sweep as it is meant: every point of its grid with the fields that it sets, each of which the scenario's own
//! checks have found right. Pure: texts in, plain data or all mistakes out.

use std::collections::BTreeSet;

use toml::Table;

use super::file;
use super::measure::{Measure, Measured};
use crate::report::experiment::{Parameter, Value};
use crate::scenario::mistakes::meant;
use crate::scenario::schema::of;
use crate::scenario::set::{Setting, set};
use crate::scenario::shape::{self, Places, UNKNOWN_FIELD};
use crate::scenario::{Mistake, Mistakes, is_inside, parse as parse_scenario};

/// Seeds of a point if the file does not say.
const SEEDS: u32 = 5;

/// Longest file.
const BYTES_MAX: usize = 256 * 1024;

/// Most points of a grid: more than anybody reads.
const POINTS_MAX: usize = 2000;

/// Most runs: a weekend's.
const RUNS_MAX: usize = 100_000;

/// A scenario over a grid of parameters.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What is asked.
    pub title: String,
    /// Why, and what to look for; may be empty.
    pub about: String,
    /// The scenario's file, as it is written.
    pub scenario: String,
    /// Runs of each point.
    pub seeds: u32,
    /// What is measured.
    pub measures: Vec<Measured>,
    /// What is varied.
    pub parameters: Vec<Parameter>,
    /// The grid; the last parameter varies fastest.
    pub points: Vec<Point>,
}

/// One point of the grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// A value for each parameter.
    pub at: Vec<Value>,
    /// The fields of the scenario that it sets.
    pub settings: Vec<Setting>,
}

/// Reads a sweep from `text`. `name` is what mistakes call its file; `scenario` reads the file of a scenario.
///
/// # Errors
/// All [`Mistakes`] at once.
pub fn parse(
    name: &str,
    text: &str,
    scenario: impl FnOnce(&str) -> Result<String, String>,
) -> Result<Sweep, Mistakes> {
    let wrong = |mistakes| Mistakes::new(name, text, mistakes);
    let plain = |problem: String| Mistake {
        at: 0..0,
        field: String::new(),
        problem,
        help: None,
    };
    if text.len() > BYTES_MAX {
        let problem = format!("{} bytes; expected at most {BYTES_MAX}", text.len());
        return Err(Mistakes::new(name, "", vec![plain(problem)]));
    }
    let shaped = shape::check(text, &schema()).map_err(wrong)?;
    let mut mistakes = shaped.mistakes;
    let read: file::File = match serde_json::from_value(shaped.value) {
        Ok(read) => read,
        Err(error) => {
            mistakes.push(plain(error.to_string()));
            return Err(wrong(mistakes));
        }
    };
    let mut reader = Reader {
        places: &shaped.places,
        mistakes,
    };
    let sweep = reader.sweep(&read, scenario);
    match sweep {
        Some(sweep) if reader.mistakes.is_empty() => Ok(sweep),
        _ => Err(wrong(reader.mistakes)),
    }
}

/// The JSON Schema of sweeps.
pub(super) fn schema() -> serde_json::Value {
    of::<file::File>("Postern experiment")
}

struct Reader<'a> {
    places: &'a Places,
    mistakes: Vec<Mistake>,
}

/// A value of a parameter, and where it stands.
struct Choice {
    value: Value,
    /// Each with its field in the sweep's file.
    settings: Vec<(String, Setting)>,
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, problem: impl Into<String>, help: Option<String>) {
        self.mistakes.push(Mistake {
            at: self.places.find(field),
            field: field.to_owned(),
            problem: problem.into(),
            help,
        });
    }

    fn sweep(
        &mut self,
        file: &file::File,
        scenario: impl FnOnce(&str) -> Result<String, String>,
    ) -> Option<Sweep> {
        let measures = file.measure.clone().unwrap_or_default();
        if file.measure.is_some() && measures.is_empty() {
            self.wrong(
                "measure",
                "is empty; expected some, such as [\"availability\"]",
                None,
            );
        }
        for (at, measure) in measures.iter().enumerate() {
            if measures.iter().take(at).any(|other| other == measure) {
                self.wrong(&format!("measure[{at}]"), "is there twice", None);
            }
        }
        let parameters: Vec<_> = file.parameter.read().collect();
        if file.parameter.0.is_empty() {
            self.wrong("", "no [[parameter]]; expected one at least", None);
        }
        let mut names = BTreeSet::new();
        for (at, parameter) in &parameters {
            if !names.insert(parameter.name.as_str()) {
                self.wrong(&format!("parameter[{at}].name"), "is there twice", None);
            }
        }
        let path = file.scenario.clone()?;
        let base = self.scenario(&path, scenario)?;
        self.of_tenants(&measures, &base);
        let choices: Vec<_> = parameters
            .iter()
            .map(|(at, one)| self.choices(*at, one))
            .collect();
        for ((at, parameter), choices) in parameters.iter().zip(&choices) {
            let mut of_the_field = BTreeSet::new();
            for found in choices.iter().flat_map(|choice| alone(&base, choice)) {
                // Of one field whose path is wrong each value would say the same.
                if found.of_the_path && parameter.field.is_some() {
                    if of_the_field.insert(found.problem.clone()) {
                        self.wrong(&format!("parameter[{at}].field"), found.problem, found.help);
                    }
                } else {
                    self.wrong(&found.field, found.problem, found.help);
                }
            }
        }
        if !self.mistakes.is_empty() {
            return None;
        }
        let seeds = file.seeds.unwrap_or(SEEDS);
        let points = self.grid(&base, &choices, seeds)?;
        let parameter = |((_, one), choices): (&(usize, &file::Parameter), &Vec<Choice>)| Parameter {
            name: one.name.clone(),
            about: one.about.clone().unwrap_or_default(),
            values: choices.iter().map(|choice| choice.value.clone()).collect(),
        };
        Some(Sweep {
            title: file.title.clone()?,
            about: file.about.clone().unwrap_or_default(),
            scenario: path,
            seeds,
            measures,
            parameters: parameters.iter().zip(&choices).map(parameter).collect(),
            points,
        })
    }

    /// The scenario's file, which must be right by itself.
    fn scenario(&mut self, path: &str, read: impl FnOnce(&str) -> Result<String, String>) -> Option<Table> {
        let text = match read(path) {
            Ok(text) => text,
            Err(problem) => {
                self.wrong("scenario", problem, None);
                return None;
            }
        };
        if let Err(mistakes) = parse_scenario(path, &text) {
            self.wrong("scenario", format!("has mistakes itself:\n{mistakes}"), None);
            return None;
        }
        toml::from_str(&text).ok()
    }

    /// Figures of one tenant: that they can be, and that there is such a tenant.
    fn of_tenants(&mut self, measures: &[Measured], base: &Table) {
        let tenants = base
            .get("tenant")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten();
        let tenants = tenants.filter_map(|tenant| tenant.get("name").and_then(toml::Value::as_str));
        let tenants: Vec<_> = tenants.collect();
        for (at, measure) in measures.iter().enumerate() {
            let Measured::One(one) = measure else { continue };
            if !Measure::OF_A_TENANT.contains(&one.figure) {
                let names = Measure::OF_A_TENANT.map(|measure| measure.metric().name.replace(' ', "_"));
                let problem = format!("is of all tenants together; expected one of {}", names.join(", "));
                self.wrong(&format!("measure[{at}].figure"), problem, None);
            }
            if !tenants.contains(&one.tenant.as_str()) {
                let problem = format!("the scenario has no tenant `{}`", one.tenant);
                let help = meant(&one.tenant, tenants.iter().copied());
                self.wrong(&format!("measure[{at}].tenant"), problem, help);
            }
        }
    }

    /// The values of a parameter.
    fn choices(&mut self, at: usize, parameter: &file::Parameter) -> Vec<Choice> {
        let path = format!("parameter[{at}]");
        let mut all = Vec::new();
        match (&parameter.field, &parameter.values) {
            (Some(field), Some(values)) => {
                all.extend(values.iter().enumerate().map(|(place, value)| Choice {
                    value: value.shown(),
                    settings: vec![(
                        format!("{path}.values[{place}]"),
                        Setting {
                            path: field.clone(),
                            value: value.toml(),
                        },
                    )],
                }))
            }
            (Some(_), None) => self.wrong(&path, "has a field and no `values` for it", None),
            (None, Some(_)) => self.wrong(&path, "has values and no `field` that takes them", None),
            (None, None) => {}
        }
        let listed = !parameter.choice.0.is_empty();
        if listed && (parameter.field.is_some() || parameter.values.is_some()) {
            self.wrong(&path, "has a field and choices; expected one of both", None);
        }
        for (place, choice) in parameter.choice.read() {
            let settings = choice.set.iter().map(|(field, value)| {
                let setting = Setting {
                    path: field.clone(),
                    value: value.toml(),
                };
                (format!("{path}.choice[{place}].set.{field}"), setting)
            });
            all.push(Choice {
                value: Value::Word(choice.name.clone()),
                settings: settings.collect(),
            });
        }
        let nothing = parameter.field.is_none() && parameter.values.is_none() && !listed;
        if nothing || (all.is_empty() && !listed && parameter.values.is_some()) {
            let problem = "varies nothing; expected `field` and `values`, or [[parameter.choice]]";
            self.wrong(&path, problem, None);
        }
        for (place, choice) in all.iter().enumerate() {
            if all.iter().take(place).any(|other| other.value == choice.value) {
                let field = if listed {
                    format!("{path}.choice[{place}].name")
                } else {
                    format!("{path}.values[{place}]")
                };
                self.wrong(&field, "is there twice", None);
            }
        }
        all
    }

    /// All combinations, each of which must be right.
    fn grid(&mut self, base: &Table, choices: &[Vec<Choice>], seeds: u32) -> Option<Vec<Point>> {
        let count = choices.iter().map(Vec::len).try_fold(1_usize, usize::checked_mul);
        let runs = count.and_then(|count| count.checked_mul(seeds as usize));
        match (count, runs) {
            (Some(count), Some(runs)) if count <= POINTS_MAX && runs <= RUNS_MAX => {}
            _ => {
                let problem = format!(
                    "too many runs; expected at most {POINTS_MAX} combinations of values, and {RUNS_MAX} runs with all seeds"
                );
                self.wrong("parameter[0]", problem, None);
                return None;
            }
        }
        let mut points = vec![Point::default()];
        for choices in choices {
            let more = |point: &Point| {
                choices
                    .iter()
                    .map(|choice| {
                        let mut point = point.clone();
                        point.at.push(choice.value.clone());
                        let settings = choice.settings.iter().map(|(_, setting)| setting.clone());
                        point.settings.extend(settings);
                        point
                    })
                    .collect::<Vec<_>>()
            };
            points = points.iter().flat_map(more).collect();
        }
        for point in &points {
            let mut table = base.clone();
            let mut problem = None;
            for setting in &point.settings {
                problem = problem.or(set(&mut table, setting).err());
            }
            let problem = problem.or_else(|| parsed(&table).err().map(|mistakes| told(&mistakes)));
            if let Some(problem) = problem {
                let at: Vec<_> = point.at.iter().map(Value::to_string).collect();
                let problem = format!("these together make no scenario: {}: {problem}", at.join(", "));
                self.wrong("parameter[0]", problem, None);
                // One is enough: its neighbours are wrong alike.
                return None;
            }
        }
        Some(points)
    }
}

/// Something that a value makes wrong of the scenario.
struct Found {
    /// Where the value stands.
    field: String,
    problem: String,
    help: Option<String>,
    /// The field itself is not there, whatever the value.
    of_the_path: bool,
}

/// What a value alone makes wrong of the scenario.
fn alone(base: &Table, choice: &Choice) -> Vec<Found> {
    let mut table = base.clone();
    let (mut all, mut fields) = (Vec::new(), Vec::new());
    for (field, setting) in &choice.settings {
        match set(&mut table, setting) {
            Ok(paths) => fields.extend(paths.into_iter().map(|path| (path, field.clone()))),
            Err(problem) => all.push(Found {
                field: field.clone(),
                problem,
                help: None,
                of_the_path: true,
            }),
        }
    }
    let (Some((first, _)), Err(mistakes)) = (choice.settings.first(), parsed(&table)) else {
        return all;
    };
    for mistake in mistakes.all() {
        let own = fields.iter().find(|(path, _)| is_inside(&mistake.field, path));
        all.push(Found {
            field: own.map_or(first, |(_, field)| field).clone(),
            problem: format!("{} of the scenario: {}", mistake.field, mistake.problem),
            help: mistake.help.clone(),
            of_the_path: mistake.problem == UNKNOWN_FIELD,
        });
    }
    all
}

fn parsed(table: &Table) -> Result<(), Mistakes> {
    // What was read from TOML can be written as TOML.
    let text = toml::to_string(table).unwrap_or_default();
    parse_scenario("scenario", &text).map(drop)
}

fn told(mistakes: &Mistakes) -> String {
    let all = mistakes.all().iter();
    let all: Vec<_> = all
        .map(|mistake| format!("{}: {}", mistake.field, mistake.problem))
        .collect();
    all.join("; ")
}
