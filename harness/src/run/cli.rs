//! `postern scenario`: runs scenarios in the simulation, a process for each run, and says what came of them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::{Args, Subcommand};
use postern_kit::clock::monotonic;
use postern_kit::random::{SystemRandom, below};
use postern_kit::telemetry::chain;

use super::sim::{self, Ran};
use crate::check::{check, expectations};
use crate::scenario::cli::{self as files, read, scenario_files};
use crate::scenario::{Scenario, Schedule};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Seeds that are drawn: short enough to be typed.
const SEEDS: u64 = 1_000_000;

/// Violations that are shown of one run; a broken system breaks the same rule again and again.
const SHOWN: usize = 3;

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
    /// Log filter, such as `warn,postern_cloud=debug`; for a single run.
    #[arg(long, default_value = "off", env = "POSTERN_LOG")]
    log: String,
    /// Writes everything that happens on the network as a line to this file; for a single run.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Runs a command, outside of any runtime; whether all was well.
///
/// # Errors
/// What cannot be read, started or written.
pub fn run(args: ScenarioArgs, out: &mut (dyn Write + Send)) -> Result<bool, Failed> {
    let args = match args.command {
        Command::Files(command) => return files::run(command, out),
        Command::Run(args) => args,
    };
    let mut all = Vec::new();
    for path in &args.paths {
        all.extend(scenario_files(path)?);
    }
    let seed = args.seed.unwrap_or_else(|| below(&SystemRandom, SEEDS));
    match all.as_slice() {
        [file] if args.seeds == 1 => one(file, seed, &args, out),
        files => many(files, seed, args.seeds, out),
    }
}

/// One run, in this process, which must not have simulated before.
fn one(file: &Path, seed: u64, args: &RunArgs, out: &mut dyn Write) -> Result<bool, Failed> {
    let scenario = match read(file)? {
        Ok(scenario) => scenario,
        Err(mistakes) => {
            write!(out, "{}", mistakes.render(false))?;
            return Ok(false);
        }
    };
    if args.log != "off" {
        crate::sim::log_to_terminal(&args.log)?;
    }
    let trace = args.trace.as_ref().map(std::fs::File::create).transpose()?;
    // First: whatever happens then, it can be repeated.
    let again = format!("postern scenario run {} --seed {seed}", file.display());
    writeln!(out, "{}\n  {again}", scenario.title)?;
    out.flush()?;
    let began = monotonic();
    let schedule = Schedule::draw(&scenario, seed);
    let well = match sim::run(&scenario, &schedule, trace) {
        Ok(ran) => report(&scenario, &ran, began, out)?,
        Err(error) => {
            writeln!(out, "  FAILED: {}", chain(&error))?;
            false
        }
    };
    if well {
        writeln!(out, "  ok")?;
    } else {
        writeln!(out, "  repeat it with: {again}")?;
    }
    Ok(well)
}

/// What came of a run; whether it may be so.
fn report(scenario: &Scenario, ran: &Ran, began: Instant, out: &mut dyn Write) -> io::Result<bool> {
    let history = &ran.history;
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for request in &history.requests {
        let outcome = request.answer().map_or_else(
            || "without an answer".to_owned(),
            |answer| answer.outcome.to_string(),
        );
        *outcomes.entry(outcome).or_default() += 1;
    }
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    writeln!(
        out,
        "  {} sign-ins in {:.0} s on {} hosts: {}",
        history.requests.len(),
        history.ended.as_secs_f64(),
        ran.hosts.len(),
        outcomes.join(", ")
    )?;
    let real = monotonic().saturating_duration_since(began);
    let (digest, happenings) = &ran.digest;
    writeln!(
        out,
        "  {:.1} s of real time; trace {digest} of {happenings} happenings",
        real.as_secs_f64()
    )?;
    let mut well = true;
    for (host, why) in &ran.failures {
        well = false;
        writeln!(out, "  FAILED: the process of {host}: {why}")?;
    }
    let except = scenario.expect.except.read().map(|(_, except)| except.invariant);
    let violations = check(history, &except.collect());
    for violation in violations.iter().take(SHOWN) {
        well = false;
        writeln!(out, "  VIOLATED: {violation}")?;
    }
    if violations.len() > SHOWN {
        writeln!(out, "  and {} more violations", violations.len() - SHOWN)?;
    }
    for finding in expectations(scenario, history) {
        if !finding.holds {
            well = false;
            writeln!(out, "  NOT AS EXPECTED: {}: {}", finding.field, finding.seen)?;
        }
    }
    Ok(well)
}

/// Many runs, a process for each, as many at once as there are cores.
fn many(files: &[PathBuf], seed: u64, seeds: u64, out: &mut (dyn Write + Send)) -> Result<bool, Failed> {
    let runs: Vec<_> = files
        .iter()
        .flat_map(|file| (0..seeds).map(move |more| (file, seed.saturating_add(more))))
        .collect();
    writeln!(out, "{} runs, from seed {seed} on", runs.len())?;
    out.flush()?;
    let program = std::env::current_exe()?;
    let (next, told) = (Mutex::new(runs.iter()), Mutex::new((out, Vec::new())));
    let work = || -> io::Result<()> {
        loop {
            let run = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((file, seed)) = run else {
                return Ok(());
            };
            let ran = Process::new(&program)
                .args(["scenario", "run", "--seed", &seed.to_string()])
                .arg(file)
                .stdin(Stdio::null())
                .output()?;
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let (out, failed) = &mut *told;
            out.write_all(&ran.stdout)?;
            if !ran.status.success() {
                out.write_all(&ran.stderr)?;
                failed.push(format!("{} --seed {seed}", file.display()));
            }
            out.flush()?;
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in all {
            worker
                .join()
                .map_err(|_| io::Error::other("a worker panicked"))??;
        }
        Ok::<_, io::Error>(())
    })?;
    let (out, failed) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(
        out,
        "\n{} of {} runs went well",
        runs.len() - failed.len(),
        runs.len()
    )?;
    for run in &failed {
        writeln!(out, "  failed: postern scenario run {run}")?;
    }
    Ok(failed.is_empty())
}
