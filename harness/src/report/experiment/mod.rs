//! The result of an experiment: a scenario run over a grid of parameters, with several seeds at each point of it,
//! and figures taken of each run. With all that is needed to repeat it.
//!
//! [`csv()`]: a line for each run, for whatever draws or calculates. [`html()`]: plots with the spread over seeds.
//! [`table()`]: the same figures on a terminal.
//! `json` is with the others' ([`super::json`]).

mod html;
mod terminal;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use html::html;
pub use terminal::table;

use super::data::{Status, millis};
use super::text;

/// An experiment that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// What is asked, as a sentence.
    pub title: String,
    /// Why, and what to look for.
    pub about: String,
    /// The sweep's file, as it was given.
    pub file: String,
    /// The scenario's file.
    pub scenario: String,
    /// What ran: the version, and the commit where it is known.
    pub version: String,
    /// Versions of what it was built with: name to version.
    pub versions: BTreeMap<String, String>,
    /// Where it ran.
    pub machine: Machine,
    /// The seeds; each point of the grid was run with each.
    pub seeds: Vec<u64>,
    /// What was varied. The first is drawn along the axis, the second as lines; each value of others has its plots.
    pub parameters: Vec<Parameter>,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// The runs.
    pub runs: Vec<Run>,
    /// How long all of it really took.
    #[serde(rename = "wall_ms", with = "millis")]
    pub wall: Duration,
    /// The command line that repeats it.
    pub repeat: String,
}

/// Where an experiment ran. Of no matter to what happens in virtual time; of much to how long it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The operating system with its version.
    pub system: String,
    /// Such as `x86_64`.
    pub architecture: String,
    /// The processor's model.
    pub processor: String,
    /// How many cores it had for us.
    pub cores: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
}

/// What was varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, as in the sweep's file.
    pub name: String,
    /// What it is, for the axis; may be empty.
    pub about: String,
    /// Its values, in the order of the file.
    pub values: Vec<Value>,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number: stands on the axis where it is.
    Number(f64),
    /// A word, such as a duration or an order: stands in its turn.
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) if number.is_finite() => f.pad(&number.to_string()),
            Self::Number(_) => f.pad("–"),
            Self::Word(word) => f.pad(word),
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name: a column of the table.
    pub name: String,
    /// Its unit, such as `ms` or `%`; empty for counts.
    pub unit: String,
    /// What it says, in a sentence.
    pub about: String,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its point: a value for each parameter, in their order.
    pub at: Vec<Value>,
    /// Its seed.
    pub seed: u64,
    /// How it ended. An experiment may well look for runs that fail.
    pub status: Status,
    /// A figure for each metric, in their order; none where there is nothing to measure, such as a latency of
    /// answers that nobody got.
    pub figures: Vec<Option<f64>>,
    /// The digest of all that happened in it.
    pub digest: String,
    /// The command line that repeats this run alone, and shows it whole with `--html`.
    pub repeat: String,
}

impl Run {
    /// A figure; none if it is no number.
    fn figure(&self, metric: usize) -> Option<f64> {
        let figure = self.figures.get(metric).copied().flatten();
        figure.filter(|figure| figure.is_finite())
    }
}

/// A figure over the seeds of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// Half are at most that.
    pub median: f64,
    /// The largest.
    pub max: f64,
    /// Of how many runs.
    pub runs: usize,
}

impl Experiment {
    /// All points of the grid that there are runs of, in the grid's order.
    pub fn points(&self) -> Vec<&[Value]> {
        let mut points: Vec<&[Value]> = Vec::new();
        for run in &self.runs {
            if !points.contains(&run.at.as_slice()) {
                points.push(&run.at);
            }
        }
        points.sort_by_key(|point| self.places(point));
        points
    }

    /// A point as the places of its values among those of their parameters.
    fn places(&self, point: &[Value]) -> Vec<usize> {
        let values = self.parameters.iter().zip(point);
        let place = |(parameter, value): (&Parameter, &Value)| {
            let mut all = parameter.values.iter();
            all.position(|other| other == value).unwrap_or(usize::MAX)
        };
        values.map(place).collect()
    }

    /// A metric's figures at a point, sorted.
    fn figures(&self, point: &[Value], metric: usize) -> Vec<f64> {
        let runs = self.runs.iter().filter(|run| run.at == point);
        let mut figures: Vec<_> = runs.filter_map(|run| run.figure(metric)).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    /// A metric (by its place) over the seeds of a point; none if it was never measured there.
    pub fn spread(&self, point: &[Value], metric: usize) -> Option<Spread> {
        let figures = self.figures(point, metric);
        Some(Spread {
            min: *figures.first()?,
            median: super::summary::percentile(&figures, 50)?,
            max: *figures.last()?,
            runs: figures.len(),
        })
    }
}

/// A line for each run: parameters, seed, status, figures, digest, and what repeats it. What was not measured is empty.
///
/// # Errors
/// None that data like this can cause; the library's own.
pub fn csv(experiment: &Experiment) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let parameters = experiment.parameters.iter().map(|one| one.name.clone());
    let metrics = experiment.metrics.iter().map(column);
    let mut header: Vec<_> = parameters.collect();
    header.extend(["seed", "status"].map(str::to_owned));
    header.extend(metrics);
    header.extend(["digest", "repeat"].map(str::to_owned));
    writer.write_record(&header)?;
    for run in &experiment.runs {
        let at = |place| run.at.get(place).map(Value::to_string).unwrap_or_default();
        let mut line: Vec<_> = (0..experiment.parameters.len()).map(at).collect();
        line.extend([run.seed.to_string(), run.status.word().to_owned()]);
        let figure = |place| run.figure(place).map(|figure| figure.to_string());
        line.extend((0..experiment.metrics.len()).map(|place| figure(place).unwrap_or_default()));
        line.extend([run.digest.clone(), run.repeat.clone()]);
        writer.write_record(&line)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `latency p99 [ms]`
fn column(metric: &Metric) -> String {
    match metric.unit.as_str() {
        "" => metric.name.clone(),
        unit => format!("{} [{unit}]", metric.name),
    }
}

fn header(experiment: &Experiment) -> Vec<String> {
    let parameters = experiment.parameters.iter().map(|one| one.name.clone());
    let runs = ["runs".to_owned()];
    let metrics = experiment.metrics.iter().map(column);
    parameters.chain(runs).chain(metrics).collect()
}

fn rows(experiment: &Experiment) -> Vec<Vec<String>> {
    let row = |point: &[Value]| {
        let runs = experiment.runs.iter().filter(|run| run.at == point).count();
        let metrics = 0..experiment.metrics.len();
        let figures = metrics.map(|metric| spread_text(experiment.spread(point, metric)));
        let at = point.iter().map(Value::to_string);
        at.chain([runs.to_string()]).chain(figures).collect()
    };
    experiment.points().into_iter().map(row).collect()
}

/// That runs did not pass, if some did not.
fn not_passed(experiment: &Experiment) -> Option<String> {
    let of = |status| experiment.runs.iter().filter(|run| run.status == status).count() as u64;
    let (failed, errors) = (of(Status::Failed), of(Status::Error));
    let mut told = Vec::new();
    if failed > 0 {
        told.push(format!(
            "In {} something that the scenario expects or an invariant did not hold; their figures count all the same.",
            text::counted(failed, "run")
        ));
    }
    if errors > 0 {
        told.push(format!(
            "{} did not come to the end and have no figures.",
            text::counted(errors, "run")
        ));
    }
    (!told.is_empty()).then(|| told.join(" "))
}

/// `97.2 (95 to 99.1)`
fn spread_text(spread: Option<Spread>) -> String {
    match spread {
        None => "–".to_owned(),
        Some(all) => {
            let [min, median, max] = [all.min, all.median, all.max].map(text::number);
            match min == max {
                true => median,
                false => format!("{median} ({min} to {max})"),
            }
        }
    }
}
