//! `postern scenario`: runs scenarios in the simulation or in the lab, a process for each run, and says what came of
//! them.
//!
//! Exit codes: 0 if all was well, 1 if a run was not as it must be, 2 if nothing could be run: a file has mistakes, or
//! cannot be read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, Subcommand};
use postern_kit::clock::monotonic;
use postern_kit::random::{SystemRandom, below};

use super::runs::{Planned, Source, child, each, here, write_file};
use super::version;
use crate::report::progress::Progress;
use crate::report::{RunReport, Status, Styling, SuiteReport, html, json, junit, terminal};
use crate::scenario::cli::{self as files, scenario_files};
use crate::scenario::set::Setting;
use crate::scenario::{Scenario, World};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Nothing could be run.
pub(crate) const UNUSABLE: u8 = 2;

/// Seeds that are drawn: short enough to be typed.
pub(crate) const SEEDS: u64 = 1_000_000;

/// What `scenario` takes.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs files, and all files of folders, in simulated time or in the lab, and checks what came of it.
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
    /// Where: in simulated time, or with real processes in real time. Of a folder only the files that are for it.
    #[arg(long, value_enum, default_value_t = World::Sim)]
    world: World,
    /// Real time that a run may take, such as `5m`; in the lab on top of its scenario's own. It is ended then, and
    /// counts as not carried out. A single simulation has no limit: whoever started it can end it.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "20m")]
    limit: Duration,
    /// So many runs of each file, with this seed and the following ones.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Gives a field of the files another value, such as `limits.budget=3` or `fault[death].for=30s`; may be repeated.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = Setting::read)]
    set: Vec<Setting>,
    #[command(flatten)]
    reports: ReportFiles,
    /// Log filter, such as `warn,postern_cloud=debug`; for a single run.
    #[arg(long, default_value = "off", env = "POSTERN_LOG")]
    log: String,
    /// Writes everything that happens on the network as a line to this file; for a single run.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Which reports are asked for.
#[derive(Debug, Args)]
pub(crate) struct ReportFiles {
    /// Writes a page with plots, for people; it needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes JUnit's XML, for build servers.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes everything as JSON, for programmes; `-` prints it instead of the summary.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl ReportFiles {
    /// Whether JSON is to be printed, and nothing else.
    pub(crate) fn prints_json(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// Whether any is asked for.
    pub(crate) fn any(&self) -> bool {
        self.html.is_some() || self.junit.is_some() || self.json.is_some()
    }

    /// Writes the files.
    ///
    /// # Errors
    /// One cannot be written.
    pub(crate) fn write(&self, suite: &SuiteReport) -> Result<(), Failed> {
        if let Some(file) = &self.html {
            let page = match suite.runs.as_slice() {
                [one] => html::run(one)?,
                _ => html::suite(suite)?,
            };
            write_file(file, &page)?;
        }
        if let Some(file) = &self.junit {
            write_file(file, &junit::suite(suite)?)?;
        }
        if let Some(file) = self.json.as_deref().filter(|_| !self.prints_json()) {
            write_file(file, &json::suite(suite)?)?;
        }
        Ok(())
    }
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

fn run_all(args: &RunArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    if args.world == World::Lab && args.trace.is_some() {
        return Err("--trace: only the simulated network is traced; expected --world sim with it".into());
    }
    let Some(Sources { sources, left_out }) = sources(args)? else {
        return Ok(ExitCode::from(UNUSABLE));
    };
    if !left_out.is_empty() {
        tell_left_out(&left_out, args.world, sources.is_empty())?;
    }
    if sources.is_empty() {
        return Ok(ExitCode::from(UNUSABLE));
    }
    let seed = args.seed.unwrap_or_else(|| below(&SystemRandom, SEEDS));
    let seeds = (0..args.seeds).map(|more| seed.saturating_add(more));
    let seeds: Vec<_> = seeds.collect();
    let each = |source| seeds.iter().map(move |seed| Planned { source, seed: *seed });
    let planned: Vec<_> = sources.iter().flat_map(each).collect();
    let quiet = args.reports.prints_json();
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
            let trace = args.trace.as_deref().map(std::fs::File::create).transpose()?;
            vec![here(one, &version(), args.limit, trace)]
        }
        many => {
            if !quiet {
                writeln!(out, "{} runs, from seed {seed} on\n", many.len())?;
                out.flush()?;
            }
            elsewhere(many, args)?
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
    args.reports.write(&suite)?;
    Ok(match suite.status() {
        Status::Passed => ExitCode::SUCCESS,
        Status::Failed | Status::Error => ExitCode::FAILURE,
    })
}

/// What is to run, and files of folders that are not for the world.
struct Sources {
    sources: Vec<Source>,
    left_out: Vec<PathBuf>,
}

/// All files that the paths mean; none if one of them is of no use, which is told on standard error. A file that is
/// named itself is meant whatever it says it is for.
fn sources(args: &RunArgs) -> Result<Option<Sources>, Failed> {
    let (mut sources, mut left_out, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.paths {
        let files = match scenario_files(path) {
            Ok(files) => files,
            Err(error) => {
                wrong.push(format!("{error}\n"));
                continue;
            }
        };
        for file in files {
            // What cannot be read at all is told below.
            let for_another = |scenario: &Scenario| !scenario.worlds.contains(&args.world);
            if file != *path && files::read(&file)?.is_ok_and(|scenario| for_another(&scenario)) {
                left_out.push(file);
                continue;
            }
            match Source::read(&file, &args.set, args.world) {
                Ok(Ok(source)) => sources.push(source),
                Ok(Err(mistakes)) => wrong.push(mistakes),
                Err(error) => wrong.push(format!("{error}\n")),
            }
        }
    }
    if wrong.is_empty() {
        return Ok(Some(Sources { sources, left_out }));
    }
    let mut stderr = std::io::stderr();
    wrong
        .iter()
        .try_for_each(|text| stderr.write_all(text.as_bytes()))?;
    Ok(None)
}

/// Names the files that are not run, on standard error: they are no part of what came of the others.
fn tell_left_out(files: &[PathBuf], world: World, all: bool) -> std::io::Result<()> {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "left out, since `worlds` does not name \"{world}\":")?;
    for file in files {
        writeln!(stderr, "  {}", file.display())?;
    }
    if all {
        writeln!(
            stderr,
            "nothing is left to run; expected a file with `worlds = [\"{world}\"]`"
        )?;
    }
    Ok(())
}

/// Many runs, a process for each, as many at once as there are cores; their reports in the order of the runs.
fn elsewhere(planned: &[Planned<'_>], args: &RunArgs) -> Result<Vec<RunReport>, Failed> {
    let version = version();
    let progress = Mutex::new(Progress::of(planned.len() as u64));
    // A lab has processes of its own, which share all cores.
    let pinned = args.world == World::Sim;
    let reports = each(planned, pinned, |one| {
        let report = child(one, &version, args.limit)?;
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
