//! `postern scenario`: runs scenarios in the simulation, a process for each run, and says what came of them.
//!
//! Exit codes: 0 if all was well, 1 if a run was not as it must be, 2 if nothing could be run: a file has mistakes, or
//! cannot be read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use clap::{Args, Subcommand};
use postern_kit::clock::monotonic;
use postern_kit::random::{SystemRandom, below};
use postern_kit::telemetry::chain;

use super::report::{Frame, not_carried_out, report};
use super::{sim, version};
use crate::report::progress::Progress;
use crate::report::{RunReport, Status, Styling, SuiteReport, html, json, junit, terminal};
use crate::scenario::cli::{self as files, scenario_files};
use crate::scenario::{Mistakes, Scenario, Schedule, parse};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Nothing could be run.
const UNUSABLE: u8 = 2;

/// Seeds that are drawn: short enough to be typed.
const SEEDS: u64 = 1_000_000;

/// Characters at the end of what a process said before it died that are told.
const LAST_WORDS: usize = 2000;

/// What `scenario` takes.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs files, and all files of folders, in simulated time, and checks what came of it.
    Run(RunArgs),
    #[command(flatten)]
    Files(files::Command),
}

/// What `scenario run` takes.
#[derive(Debug, Args)]
struct RunArgs {
    /// Scenario files, or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The seed; the same one repeats a run. Drawn and printed first if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// So many runs of each file, with this seed and the following ones.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Writes a page with plots, for people; it needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes JUnit's XML, for build servers.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes everything as JSON, for programmes; `-` prints it instead of the summary.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Log filter, such as `warn,postern_cloud=debug`; for a single run.
    #[arg(long, default_value = "off", env = "POSTERN_LOG")]
    log: String,
    /// Writes everything that happens on the network as a line to this file; for a single run.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Runs a command, outside of any runtime; how the process is to end.
///
/// # Errors
/// What cannot be started or written.
pub fn run(args: ScenarioArgs, out: &mut (dyn Write + Send)) -> Result<ExitCode, Failed> {
    match args.command {
        Command::Files(command) => Ok(match files::run(command, out)? {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }),
        Command::Run(args) => run_all(&args, out),
    }
}

/// A scenario's file that has no mistakes.
struct Source {
    file: PathBuf,
    text: String,
    scenario: Scenario,
}

/// One run that is to be.
struct Planned<'a> {
    source: &'a Source,
    seed: u64,
}

impl Planned<'_> {
    /// What repeats it, as the arguments of a shell.
    fn repeat(&self) -> String {
        let file = self.source.file.display().to_string();
        let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+".contains(char);
        let file = match file.chars().all(plain) {
            true => file,
            false => format!("'{}'", file.replace('\'', "'\\''")),
        };
        format!("postern scenario run {file} --seed {}", self.seed)
    }

    fn frame(&self, version: &str) -> Frame {
        Frame {
            file: self.source.file.display().to_string(),
            text: self.source.text.clone(),
            seed: self.seed,
            version: version.to_owned(),
            wall: std::time::Duration::ZERO,
            repeat: self.repeat(),
        }
    }
}

fn run_all(args: &RunArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let Some(sources) = sources(&args.paths)? else {
        return Ok(ExitCode::from(UNUSABLE));
    };
    let seed = args.seed.unwrap_or_else(|| below(&SystemRandom, SEEDS));
    let seeds = (0..args.seeds).map(|more| seed.saturating_add(more));
    let seeds: Vec<_> = seeds.collect();
    let each = |source| seeds.iter().map(move |seed| Planned { source, seed: *seed });
    let planned: Vec<_> = sources.iter().flat_map(each).collect();
    let quiet = args.json.as_deref() == Some(Path::new("-"));
    if args.log != "off" && planned.len() == 1 {
        crate::sim::log_to_terminal(&args.log)?;
    }
    let styling = Styling::of(&std::io::stdout());
    let began = monotonic();
    // The seed first: whatever happens then, it can be repeated.
    let runs = match planned.as_slice() {
        [one] => {
            if !quiet {
                writeln!(out, "{}\n", one.repeat())?;
                out.flush()?;
            }
            let trace = args.trace.as_deref().map(fs::File::create).transpose()?;
            vec![here(one, &version(), trace)]
        }
        many => {
            if !quiet {
                writeln!(out, "{} runs, from seed {seed} on\n", many.len())?;
                out.flush()?;
            }
            elsewhere(many)?
        }
    };
    let suite = SuiteReport {
        runs,
        seed,
        wall: monotonic().saturating_duration_since(began),
    };
    match suite.runs.as_slice() {
        _ if quiet => out.write_all(json::suite(&suite)?.as_bytes())?,
        [one] => out.write_all(terminal::run(one, styling).as_bytes())?,
        _ => out.write_all(terminal::suite(&suite, styling).as_bytes())?,
    }
    out.flush()?;
    write_files(args, &suite)?;
    Ok(match suite.status() {
        Status::Passed => ExitCode::SUCCESS,
        Status::Failed | Status::Error => ExitCode::FAILURE,
    })
}

/// The files that reports were asked for in.
fn write_files(args: &RunArgs, suite: &SuiteReport) -> Result<(), Failed> {
    if let Some(file) = &args.html {
        let page = match suite.runs.as_slice() {
            [one] => html::run(one)?,
            _ => html::suite(suite)?,
        };
        write_file(file, &page)?;
    }
    if let Some(file) = &args.junit {
        write_file(file, &junit::suite(suite)?)?;
    }
    if let Some(file) = args.json.as_deref().filter(|file| *file != Path::new("-")) {
        write_file(file, &json::suite(suite)?)?;
    }
    Ok(())
}

/// Writes a report, with its folder where that is missing.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_file(file: &Path, text: &str) -> Result<(), Failed> {
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(named)?;
    }
    Ok(fs::write(file, text).map_err(named)?)
}

/// All files that the paths mean; none if one of them is of no use, which is told on standard error.
fn sources(paths: &[PathBuf]) -> Result<Option<Vec<Source>>, Failed> {
    let mut sources = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        match scenario_files(path) {
            Ok(files) => {
                for file in files {
                    match read(&file) {
                        Ok(Ok(source)) => sources.push(source),
                        Ok(Err(mistakes)) => wrong.push(mistakes.render(false)),
                        Err(error) => wrong.push(format!("{error}\n")),
                    }
                }
            }
            Err(error) => wrong.push(format!("{error}\n")),
        }
    }
    if wrong.is_empty() {
        return Ok(Some(sources));
    }
    let mut stderr = std::io::stderr();
    wrong
        .iter()
        .try_for_each(|text| stderr.write_all(text.as_bytes()))?;
    Ok(None)
}

fn read(file: &Path) -> Result<Result<Source, Mistakes>, Failed> {
    let text = files::text(file)?;
    Ok(parse(&file.display().to_string(), &text).map(|scenario| Source {
        file: file.to_owned(),
        text,
        scenario,
    }))
}

/// One run, in this process, which must not have simulated before.
fn here(planned: &Planned<'_>, version: &str, trace: Option<fs::File>) -> RunReport {
    let scenario = &planned.source.scenario;
    let schedule = Schedule::draw(scenario, planned.seed);
    let began = monotonic();
    let ran = sim::run(scenario, &schedule, trace);
    let frame = Frame {
        wall: monotonic().saturating_duration_since(began),
        ..planned.frame(version)
    };
    match ran {
        Ok(ran) => report(&frame, scenario, &schedule, &ran),
        Err(error) => not_carried_out(&frame, scenario, &chain(&error)),
    }
}

/// Many runs, a process for each, as many at once as there are cores; their reports in the order of the runs.
fn elsewhere(planned: &[Planned<'_>]) -> Result<Vec<RunReport>, Failed> {
    let version = version();
    let progress = Mutex::new(Progress::of(planned.len() as u64));
    let reports = each(planned, |one| {
        let report = child(one, &version)?;
        progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .done(&report);
        Ok(report)
    })?;
    progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .end();
    Ok(reports)
}

/// Does something for each of many things, as many at once as there are cores; what came of it in their order.
///
/// # Errors
/// The first that there was; what had not begun by then is not done.
pub(crate) fn each<T: Sync, R: Send>(
    things: &[T],
    work: impl Fn(&T) -> Result<R, Failed> + Sync,
) -> Result<Vec<R>, Failed> {
    let next = Mutex::new(things.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let worker = || loop {
        let Some((at, thing)) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else {
            return;
        };
        let result = work(thing);
        if result.is_err() {
            next.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .by_ref()
                .for_each(drop);
        }
        done.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((at, result));
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(things.len()) {
            scope.spawn(worker);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A run in a process of its own, which hands its report over as JSON.
fn child(planned: &Planned<'_>, version: &str) -> Result<RunReport, Failed> {
    let began = monotonic();
    let ran = Process::new(std::env::current_exe()?)
        .args([
            "scenario",
            "run",
            "--json",
            "-",
            "--seed",
            &planned.seed.to_string(),
        ])
        .arg(&planned.source.file)
        .stdin(Stdio::null())
        .output()?;
    let read = serde_json::from_slice::<SuiteReport>(&ran.stdout);
    match read.map(|suite| suite.runs) {
        Ok(mut runs) if runs.len() == 1 => Ok(RunReport {
            version: version.to_owned(),
            ..runs.swap_remove(0)
        }),
        Ok(_) | Err(_) => {
            let said = String::from_utf8_lossy(&ran.stderr);
            let from = said.len().saturating_sub(LAST_WORDS);
            let said = said.get(said.floor_char_boundary(from)..).unwrap_or_default();
            let frame = Frame {
                wall: monotonic().saturating_duration_since(began),
                ..planned.frame(version)
            };
            let why = format!("Its process ended with {}. It said: {}", ran.status, said.trim());
            Ok(not_carried_out(&frame, &planned.source.scenario, &why))
        }
    }
}
