//! `postern experiment`: runs a scenario over a grid, a process for each run, and writes what was measured.
//!
//! Exit codes: 0 if all runs came to their end (what their scenarios expect may fail: that is what an experiment looks
//! for), 1 if one did not, 2 if nothing could be run.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, Subcommand};
use postern_kit::clock::monotonic;

use super::sweep::{Point, Sweep, parse};
use super::{machine, schema};
use crate::report::experiment::{Experiment, Run, csv, html, table};
use crate::report::progress::Progress;
use crate::report::text::counted;
use crate::report::{Status, Styling, json};
use crate::run::cli::UNUSABLE;
use crate::run::runs::{LIMIT, Planned, Source, child, each, quoted, write_file};
use crate::run::version;
use crate::scenario::cli::text;
use crate::scenario::{Mistakes, World};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The first seed if none is given: an experiment is the same each time unless somebody wants it otherwise.
const SEED: u64 = 1;

/// What `experiment` takes.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs every point of a sweep file's grid with every seed.
    Run(RunArgs),
    /// Checks sweep files without running them.
    Check {
        /// Sweep files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Prints the JSON Schema of sweep files, for editors.
    Schema,
}

/// What `experiment run` takes.
#[derive(Debug, Args)]
struct RunArgs {
    /// The sweep file.
    file: PathBuf,
    /// The first seed; each point is run with it and the following ones.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Runs of each point; else as the file says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: Option<u32>,
    /// Writes a line for each run, for whatever draws or calculates.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Writes everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a page with plots, for people; it needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs a command, outside of any runtime; how the process is to end.
///
/// # Errors
/// What cannot be started or written.
pub fn run(args: ExperimentArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    match args.command {
        Command::Run(args) => run_all(&args, out),
        Command::Check { files } => check(&files, out),
        Command::Schema => {
            out.write_all(schema().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Reads a sweep file, and the scenario that it names.
fn read(file: &Path) -> Result<Result<Sweep, Mistakes>, Failed> {
    let written = text(file)?;
    Ok(parse(&file.display().to_string(), &written, |scenario| {
        text(&beside(file, scenario)).map_err(|error| error.to_string())
    }))
}

/// A path that stands in a file: from that file's folder on.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

fn check(files: &[PathBuf], out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let mut well = true;
    for file in files {
        match read(file)? {
            Ok(sweep) => {
                let size = size(sweep.points.len(), sweep.seeds);
                writeln!(out, "✓ {}: {size}", sweep.title)?;
            }
            Err(mistakes) => {
                well = false;
                write!(
                    out,
                    "✗ {}\n\n{}",
                    file.display(),
                    mistakes.render(std::io::stdout().is_terminal())
                )?;
            }
        }
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `6 runs: 2 points with 3 seeds each`
fn size(points: usize, seeds: u32) -> String {
    let runs = points as u64 * u64::from(seeds);
    format!(
        "{}: {} with {} each",
        counted(runs, "run"),
        counted(points as u64, "point"),
        counted(seeds.into(), "seed")
    )
}

fn run_all(args: &RunArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let sweep = match read(&args.file) {
        Ok(Ok(sweep)) => sweep,
        Ok(Err(mistakes)) => {
            write!(
                std::io::stderr(),
                "{}",
                mistakes.render(std::io::stderr().is_terminal())
            )?;
            return Ok(ExitCode::from(UNUSABLE));
        }
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}")?;
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    let count = args.seeds.unwrap_or(sweep.seeds);
    let seeds: Vec<_> = (0..u64::from(count))
        .map(|more| args.seed.saturating_add(more))
        .collect();
    writeln!(
        out,
        "{}\n{}, from seed {} on\n",
        sweep.title,
        size(sweep.points.len(), count),
        args.seed
    )?;
    out.flush()?;
    let began = monotonic();
    let runs = carry_out(&args.file, &sweep, &seeds)?;
    let wall = monotonic().saturating_duration_since(began);
    let experiment = experiment(args, &sweep, seeds, runs, wall);
    out.write_all(table(&experiment, Styling::of(&std::io::stdout())).as_bytes())?;
    out.flush()?;
    if let Some(file) = &args.csv {
        write_file(file, &csv(&experiment)?)?;
    }
    if let Some(file) = &args.json {
        write_file(file, &json::experiment(&experiment)?)?;
    }
    if let Some(file) = &args.html {
        write_file(file, &html(&experiment)?)?;
    }
    let ended = experiment.runs.iter().all(|run| run.status != Status::Error);
    Ok(if ended {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All runs, in the grid's order, with the figures that are taken of them.
fn carry_out(file: &Path, sweep: &Sweep, seeds: &[u64]) -> Result<Vec<Run>, Failed> {
    let scenario = beside(file, &sweep.scenario);
    let mut sources = Vec::new();
    for point in &sweep.points {
        // It was right a moment ago.
        sources.push(Source::read(&scenario, &point.settings, World::Sim)??);
    }
    let planned = sources.iter().zip(&sweep.points).flat_map(|(source, point)| {
        let planned = seeds.iter().map(move |seed| Planned { source, seed: *seed });
        planned.map(move |planned| (planned, point))
    });
    let planned: Vec<_> = planned.collect();
    let version = version();
    let progress = Mutex::new(Progress::of(planned.len() as u64));
    let runs = each(&planned, true, |(planned, point)| {
        let report = child(planned, &version, LIMIT)?;
        progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .done_as(&named(sweep, point), &report);
        Ok(Run {
            at: point.at.clone(),
            seed: planned.seed,
            status: report.status,
            figures: match report.status {
                Status::Error => vec![None; sweep.measures.len()],
                _ => sweep.measures.iter().map(|measure| measure.of(&report)).collect(),
            },
            digest: report.digest,
            repeat: report.repeat,
        })
    })?;
    progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .end();
    Ok(runs)
}

/// A point by the values of its parameters: `agents 2, controller 300ms`.
fn named(sweep: &Sweep, point: &Point) -> String {
    let values = sweep.parameters.iter().zip(&point.at);
    let values: Vec<_> = values
        .map(|(parameter, value)| format!("{} {value}", parameter.name))
        .collect();
    values.join(", ")
}

fn experiment(args: &RunArgs, sweep: &Sweep, seeds: Vec<u64>, runs: Vec<Run>, wall: Duration) -> Experiment {
    let file = args.file.display().to_string();
    Experiment {
        title: sweep.title.clone(),
        about: sweep.about.clone(),
        scenario: beside(&args.file, &sweep.scenario).display().to_string(),
        version: version(),
        versions: machine::versions(),
        machine: machine::machine(),
        parameters: sweep.parameters.clone(),
        metrics: sweep.measures.iter().map(|measure| measure.metric()).collect(),
        runs,
        wall,
        repeat: format!(
            "postern experiment run {} --seed {} --seeds {}",
            quoted(&file),
            args.seed,
            seeds.len()
        ),
        file,
        seeds,
    }
}
