//! An experiment as one page: its plots, its figures, and how to repeat it.

use askama::Template;

use super::{Experiment, Metric, Parameter, Value, column, header, not_passed, rows};
use crate::report::page::{self, PageError};
use crate::report::plot::sweep::{Line, Sweep, sweep, symbol};
use crate::report::text;

/// Plots on a page at most; what has none is in the table.
const PLOTS_MAX: usize = 60;

#[derive(Template)]
#[template(path = "report/experiment.html")]
struct View<'a> {
    experiment: &'a Experiment,
    sizes: String,
    not_passed: Option<String>,
    plots: Vec<PlotView>,
    plots_left_out: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    facts: Vec<(&'static str, String)>,
}

struct PlotView {
    title: String,
    about: String,
    described: String,
    svg: String,
    legend: Vec<(String, String)>,
}

/// One page that needs nothing else.
///
/// # Errors
/// [`PageError`] if the libraries refuse.
pub fn html(experiment: &Experiment) -> Result<String, PageError> {
    let facets = facets(experiment);
    let wanted = facets
        .iter()
        .flat_map(|facet| (0..experiment.metrics.len()).map(move |metric| (facet, metric)));
    let wanted: Vec<_> = wanted.collect();
    let drawn = wanted.iter().take(PLOTS_MAX);
    let plots = drawn.map(|(facet, metric)| plot(experiment, facet, *metric));
    let view = View {
        experiment,
        sizes: format!(
            "{} at {} with {} each",
            text::counted(experiment.runs.len() as u64, "run"),
            text::counted(experiment.points().len() as u64, "point"),
            text::counted(experiment.seeds.len() as u64, "seed")
        ),
        not_passed: not_passed(experiment),
        plots: plots.collect::<Result<_, _>>()?,
        plots_left_out: wanted.len().saturating_sub(PLOTS_MAX),
        header: header(experiment),
        rows: rows(experiment),
        facts: facts(experiment),
    };
    page::page(&experiment.title, &view.render()?)
}

/// The values of all parameters after the second: each combination has plots of its own.
fn facets(experiment: &Experiment) -> Vec<Vec<Value>> {
    let mut facets = Vec::new();
    for point in experiment.points() {
        let rest: Vec<_> = point.iter().skip(2).cloned().collect();
        if !facets.contains(&rest) {
            facets.push(rest);
        }
    }
    facets
}

fn plot(experiment: &Experiment, facet: &[Value], metric: usize) -> Result<PlotView, PageError> {
    let measured = experiment.metrics.get(metric);
    let measured = measured.cloned().unwrap_or_else(|| Metric {
        name: String::new(),
        unit: String::new(),
        about: String::new(),
    });
    let first = experiment.parameters.first();
    let second = experiment.parameters.get(1);
    let lines: Vec<Option<&Value>> = match second {
        Some(second) => second.values.iter().map(Some).collect(),
        None => vec![None],
    };
    let along = first.map_or(&[] as &[_], |first| &first.values);
    let numbers = numbers(along);
    let of_line = |line: &Option<&Value>| -> Line {
        let places = along.iter().enumerate().map(|(place, value)| {
            let mut point = vec![value.clone()];
            point.extend(line.cloned());
            point.extend_from_slice(facet);
            let place = match &numbers {
                Some(numbers) => numbers.get(place).copied().unwrap_or_default(),
                None => place as f64,
            };
            (place, experiment.figures(&point, metric))
        });
        let mut line: Line = places.filter(|(_, figures)| !figures.is_empty()).collect();
        line.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        line
    };
    let drawing = Sweep {
        names: if numbers.is_some() {
            Vec::new()
        } else {
            along.iter().map(Value::to_string).collect()
        },
        parameter: first.map_or_else(String::new, axis),
        metric: column(&measured),
        lines: lines.iter().map(of_line).collect(),
    };
    let legend = second.map(legend).transpose()?;
    let rest = experiment.parameters.iter().skip(2).zip(facet);
    let rest: Vec<_> = rest.map(|(one, value)| format!("{} {value}", one.name)).collect();
    let by = first.map_or("", |first| &first.name);
    Ok(PlotView {
        title: match rest.is_empty() {
            true => measured.name.clone(),
            false => format!("{}, {}", measured.name, rest.join(", ")),
        },
        described: format!("{} against {by}; the table below has the figures.", measured.name),
        about: measured.about,
        svg: sweep(&drawing)?,
        legend: legend.unwrap_or_default(),
    })
}

/// If all values are numbers that can stand on an axis: these.
fn numbers(values: &[Value]) -> Option<Vec<f64>> {
    let number = |value: &Value| match value {
        Value::Number(number) if number.is_finite() => Some(*number),
        Value::Number(_) | Value::Word(_) => None,
    };
    values.iter().map(number).collect()
}

fn legend(second: &Parameter) -> Result<Vec<(String, String)>, PageError> {
    let values = second.values.iter().enumerate();
    values
        .map(|(at, value)| Ok((symbol(at)?, format!("{} {value}", second.name))))
        .collect()
}

fn axis(parameter: &Parameter) -> String {
    match parameter.about.as_str() {
        "" => parameter.name.clone(),
        about => about.to_owned(),
    }
}

fn facts(experiment: &Experiment) -> Vec<(&'static str, String)> {
    let machine = &experiment.machine;
    let seeds: Vec<_> = experiment.seeds.iter().map(u64::to_string).collect();
    let versions = experiment.versions.iter();
    let versions: Vec<_> = versions
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let memory = machine.memory_bytes as f64 / f64::from(1 << 30);
    let mut facts = vec![
        ("Sweep", experiment.file.clone()),
        ("Scenario", experiment.scenario.clone()),
        ("Version", experiment.version.clone()),
        ("Built with", versions.join(", ")),
        ("Seeds", seeds.join(", ")),
        (
            "Machine",
            format!(
                "{}, {}, {}, {}, {} GiB",
                machine.processor,
                text::counted(machine.cores, "core"),
                machine.architecture,
                machine.system,
                text::number(memory)
            ),
        ),
        ("Time taken", text::duration(experiment.wall)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}
