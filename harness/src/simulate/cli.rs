//! `postern simulate`, `postern replay`, `postern shrink`.
//!
//! All three end with 0 if all is well, 1 if a run failed, and 2 if they cannot do what was asked.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use postern_kit::clock::monotonic;
use postern_kit::random::{SystemRandom, below};
use postern_kit::telemetry::chain;

use super::generate;
use super::hunt::{Hunt, frame};
use super::replay::{Sought, replay};
use super::shrink::{Bounds, Reached, Size, least_sign_ins, only, shrink};
use super::trial::{self, Told, Verdict, Way, Which, apart};
use super::written::{schema_line, title};
use crate::report::json;
use crate::report::text::{counted, duration};
use crate::run::cli::ReportFiles;
use crate::run::report::report as run_report;
use crate::run::runs::each;
use crate::scenario::cli::read;
use crate::scenario::{SINGLE_MAX, Scenario, Schedule, World, text};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Seeds that are drawn: short enough to be typed.
const SEEDS: u64 = 1_000_000_000;

/// Most runs at once: what a large machine has cores.
const JOBS_MAX: u64 = 256;

/// What `simulate` takes.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The first run's seed; the others have the following ones. Drawn and printed first if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// No run begins after this time; without it and `--runs`, ten minutes.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    lasts: Option<Duration>,
    /// So many runs.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// So many at once; as many as there are cores if absent.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    jobs: Option<u64>,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// The folder where the scenario of a failed run is written.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    reports: ReportFiles,
}

/// What `replay` takes.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A seed of `postern simulate`, or a scenario file.
    #[arg(value_name = "SEED|FILE")]
    what: String,
    /// The seed of a file's run.
    #[arg(long)]
    seed: Option<u64>,
    /// Shows the way of this sign-in, by the number that reports call it.
    #[arg(long, value_name = "N", conflicts_with = "user")]
    request: Option<usize>,
    /// Shows the way of this user's sign-ins, such as ok-1.
    #[arg(long)]
    user: Option<String>,
    /// Writes the log of all hosts to this file instead of here.
    #[arg(long, value_name = "FILE")]
    log_to: Option<PathBuf>,
    /// Log filter, such as `info,postern_cloud=debug`.
    #[arg(long, default_value = "info,turmoil=warn", env = "POSTERN_LOG")]
    log: String,
    /// Says what came of it as one line of JSON, and nothing else.
    #[arg(long, conflicts_with_all = ["request", "user", "log_to"])]
    json: bool,
    /// The same, with a report of all that happened.
    #[arg(long, hide = true, requires = "json")]
    report: bool,
}

/// Who asked for something that there is not: a message and exit code 2.
fn refused(error: &Failed) -> ExitCode {
    // Standard error may be closed, and then there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {}", chain(error.as_ref()));
    ExitCode::from(2)
}

fn code(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs what nobody wrote, outside of any runtime.
///
/// # Errors
/// A process cannot be started, or a file or a line not be written.
pub fn simulate(args: &SimulateArgs, out: &mut (dyn Write + Send)) -> Result<ExitCode, Failed> {
    let seed = args.seed.unwrap_or_else(|| below(&SystemRandom, SEEDS));
    let quiet = args.reports.prints_json();
    // First: whatever happens then, it can be repeated.
    if !quiet {
        writeln!(out, "postern simulate --seed {seed}")?;
        out.flush()?;
    }
    if !args.out.is_dir() {
        return Ok(refused(
            &format!("--out: {} is no folder; expected one", args.out.display()).into(),
        ));
    }
    let unlimited = args.runs.is_some() && args.lasts.is_none();
    let hunt = Hunt {
        seed,
        runs: args.runs.unwrap_or(u64::MAX),
        lasts: args
            .lasts
            .unwrap_or(if unlimited { Duration::MAX } else { LASTS }),
        jobs: args
            .jobs
            .and_then(|jobs| usize::try_from(jobs).ok())
            .unwrap_or_else(cores),
        keep_going: args.keep_going,
        folder: args.out.clone(),
        reports: args.reports.any(),
        quiet,
    };
    let (suite, well) = hunt.run(out)?;
    if quiet {
        out.write_all(json::suite(&suite)?.as_bytes())?;
        out.flush()?;
    }
    args.reports.write(&suite)?;
    Ok(code(well))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How long `simulate` goes on if nobody says.
const LASTS: Duration = Duration::from_secs(10 * 60);

/// A scenario and the seed of its run.
struct Case {
    scenario: Scenario,
    seed: u64,
    file: Option<PathBuf>,
}

impl Case {
    /// The one that is meant; inside: what to tell who meant none.
    fn of(what: &str, seed: Option<u64>) -> Result<Self, Failed> {
        if let Ok(number) = what.parse() {
            if seed.is_some() {
                return Err(
                    "--seed: is for a file; a seed of `postern simulate` is all that it needs".into(),
                );
            }
            return Ok(Self {
                scenario: generate(number),
                seed: number,
                file: None,
            });
        }
        let file = Path::new(what);
        let scenario = read(file)?.map_err(|mistakes| mistakes.render(false))?;
        Ok(Self {
            scenario,
            seed: seed.ok_or("--seed: missing; expected the seed of the file's run")?,
            file: Some(file.to_owned()),
        })
    }

    fn which(&self) -> Which<'_> {
        match &self.file {
            Some(file) => Which::File(file, self.seed),
            None => Which::Seed(self.seed),
        }
    }

    /// What runs it again, without the program's name.
    fn again(&self) -> String {
        match &self.file {
            Some(file) => format!("replay {} --seed {}", file.display(), self.seed),
            None => format!("replay {}", self.seed),
        }
    }
}

/// Runs one again, in this process, which must not have simulated before, and outside of any runtime.
///
/// # Errors
/// A process cannot be started, or a file or a line not be written.
pub fn again(args: &ReplayArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let case = match Case::of(&args.what, args.seed) {
        Ok(case) => case,
        Err(error) => return Ok(refused(&error)),
    };
    if args.json {
        let told = told(&case, args.report);
        writeln!(out, "{}", serde_json::to_string(&told)?)?;
        return Ok(code(told.verdict.wrong.is_empty()));
    }
    writeln!(out, "postern {}\n{}", case.again(), case.scenario.title)?;
    out.flush()?;
    let sought = match (args.request, &args.user) {
        (Some(request), _) => Sought::Request(request),
        (None, Some(user)) => Sought::User(user.to_lowercase()),
        (None, None) => Sought::Wrong,
    };
    let began = monotonic();
    // The same run beside it, without a log, to see whether this one is the same.
    let (verdict, plain) = std::thread::scope(|scope| {
        let plain = scope.spawn(|| apart(case.which()));
        let replayed = replay(
            &case.scenario,
            case.seed,
            &sought,
            &args.log,
            args.log_to.as_deref(),
            out,
        );
        let plain = plain
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        (replayed, plain)
    });
    let (verdict, plain) = (verdict?, plain?);
    report(&verdict, out)?;
    let same = verdict.trace == plain.trace;
    let took = monotonic().saturating_duration_since(began).as_secs_f64();
    if same {
        writeln!(
            out,
            "the same run, to the packet: trace {} twice, in {took:.1} s",
            verdict.trace
        )?;
    } else {
        writeln!(
            out,
            "NOT THE SAME RUN: trace {} here, {} without a log",
            verdict.trace, plain.trace
        )?;
    }
    Ok(code(same && verdict.wrong.is_empty()))
}

/// Runs it in this process.
fn told(case: &Case, with_report: bool) -> Told {
    let began = monotonic();
    match trial::run(&case.scenario, case.seed, None) {
        Err(error) => trial::not_run(&error).into(),
        Ok(trial) => {
            let wall = monotonic().saturating_duration_since(began);
            let frame = frame(case.seed, &case.scenario, wall);
            let report = || run_report(&frame, &case.scenario, &trial.schedule, &trial.ran);
            Told {
                report: with_report.then(report),
                verdict: trial.verdict,
            }
        }
    }
}

/// Ways of a failed run that are shown.
const SHOWN: usize = 10;

fn report(verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
    let outcomes: Vec<_> = verdict
        .outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    writeln!(
        out,
        "\n{} in {} on {}: {}",
        counted(verdict.sign_ins() as u64, "sign-in"),
        duration(Duration::from_secs(verdict.simulated_ms / 1000)),
        counted(verdict.hosts as u64, "host"),
        outcomes.join(", ")
    )?;
    for wrong in verdict.wrong.iter().take(SHOWN) {
        writeln!(out, "WRONG: {wrong}")?;
    }
    if verdict.wrong.len() > SHOWN {
        writeln!(out, "and {} more", verdict.wrong.len() - SHOWN)?;
    }
    if verdict.wrong.is_empty() {
        writeln!(out, "nothing was wrong")?;
    }
    Ok(())
}

/// What `shrink` takes.
#[derive(Debug, Args)]
pub struct ShrinkArgs {
    /// A scenario file, or a seed of `postern simulate`.
    #[arg(value_name = "FILE|SEED")]
    what: String,
    /// The seed of a file's run.
    #[arg(long)]
    seed: Option<u64>,
    /// The file of the smaller case; else the name of the first with `-small`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What must go wrong in the smaller case as well, such as `I2` or `expect.answers[0].are.busy`; else what a run
    /// says first.
    #[arg(long)]
    way: Option<String>,
    /// Most runs.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    runs: u32,
    /// No run of the search begins after this time.
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
    lasts: Duration,
}

/// Makes a case that fails smaller, and writes it down, outside of any runtime.
///
/// # Errors
/// A process cannot be started, or a file or a line not be written.
pub fn smaller(args: &ShrinkArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let case = match Case::of(&args.what, args.seed) {
        Ok(case) => case,
        Err(error) => return Ok(refused(&error)),
    };
    writeln!(
        out,
        "{}: looks for a smaller case that fails with seed {}",
        case.scenario.title, case.seed
    )?;
    out.flush()?;
    let verdict = apart(case.which())?;
    let sought = verdict
        .wrong
        .iter()
        .find(|wrong| args.way.as_ref().is_none_or(|way| *way == wrong.way.to_string()));
    let Some(wrong) = sought else {
        let ways: Vec<_> = verdict.wrong.iter().map(|wrong| wrong.way.to_string()).collect();
        let error = match &args.way {
            Some(way) if !ways.is_empty() => format!(
                "--way: {way} did not go wrong; expected one of {}",
                ways.join(", ")
            ),
            _ => "nothing goes wrong in this run: there is nothing to make smaller".to_owned(),
        };
        return Ok(refused(&error.into()));
    };
    writeln!(out, "  it fails by {wrong}")?;
    let (spelled_out, way) = match spelled_out(&case, &wrong.way) {
        Ok(found) => found,
        Err(error) => return Ok(refused(&error)),
    };
    let folder = tempfile::tempdir()?;
    let began = monotonic();
    let over = || monotonic().saturating_duration_since(began) >= args.lasts;
    let mut oracle = |tried: &[Scenario]| -> Result<Vec<bool>, Failed> {
        let numbered: Vec<_> = tried.iter().enumerate().collect();
        each(&numbered, true, |(number, tried)| {
            let file = folder.path().join(format!("candidate{number}.toml"));
            std::fs::write(&file, text(tried)?)?;
            let verdict = apart(Which::File(&file, case.seed))?;
            Ok(verdict.wrong.iter().any(|wrong| wrong.way.is(&way)))
        })
    };
    let before = Size::of(&spelled_out);
    writeln!(out, "  to begin with: {before}")?;
    let sign_ins = least_sign_ins(&spelled_out.expect, &way);
    if sign_ins > 0 {
        writeln!(
            out,
            "  it is about a share: fewer than {} would fail by themselves",
            counted(sign_ins as u64, "sign-in")
        )?;
    }
    let mut progress = |runs: u32, size: &Size| {
        // A terminal that is gone reads nothing.
        let _ = writeln!(out, "  after {runs} runs: {size}").and_then(|()| out.flush());
    };
    let hint = wrong.at_ms.map(Duration::from_millis);
    let bounds = Bounds {
        runs: args.runs,
        at_once: cores(),
        sign_ins,
        over: &over,
    };
    let reached = shrink(&spelled_out, hint, bounds, &mut oracle, &mut progress)?;
    let file = args.out.clone().unwrap_or_else(|| small_name(&case));
    conclude(reached, &case, &way, before, &file, out)
}

/// The case with its schedule spelled out and nothing else expected than what goes wrong, and what that is then.
fn spelled_out(case: &Case, way: &Way) -> Result<(Scenario, Way), Failed> {
    let schedule = Schedule::draw(&case.scenario, case.seed);
    let count = schedule.arrivals.len();
    if count > SINGLE_MAX {
        return Err(format!(
            "{count} sign-ins; expected at most {SINGLE_MAX}, so that each can be written down"
        )
        .into());
    }
    let mut spelled_out = schedule.spelled_out(&case.scenario);
    let field = match way {
        Way::NotAsExpected(field) => Some(field.as_str()),
        Way::Violated(_) | Way::ProcessFailed(_) | Way::NotRun => None,
    };
    let (expect, field) = only(&spelled_out.expect, field).ok_or("the expectation is not in the file")?;
    spelled_out.expect = expect;
    let way = field.map_or_else(|| way.clone(), Way::NotAsExpected);
    Ok((spelled_out, way))
}

fn small_name(case: &Case) -> PathBuf {
    let stem = case.file.as_ref().and_then(|file| file.file_stem());
    let stem = stem.map_or_else(
        || format!("simulation-{}", case.seed),
        |stem| stem.to_string_lossy().into_owned(),
    );
    let folder = case
        .file
        .as_ref()
        .and_then(|file| file.parent())
        .unwrap_or(Path::new(""));
    folder.join(format!("{stem}-small.toml"))
}

/// Says what was reached, honestly, and writes it down.
fn conclude(
    reached: Reached,
    case: &Case,
    way: &Way,
    before: Size,
    file: &Path,
    out: &mut dyn Write,
) -> Result<ExitCode, Failed> {
    let mut found = match reached {
        Reached::NeverFails => {
            writeln!(
                out,
                "spelled out, sign-in by sign-in, it does not fail in this way: nothing is written"
            )?;
            return Ok(ExitCode::FAILURE);
        }
        Reached::Sometimes(fails, runs) => {
            writeln!(
                out,
                "it failed in {fails} of {runs} runs: what does not repeat itself cannot be made smaller"
            )?;
            return Ok(ExitCode::FAILURE);
        }
        Reached::Smaller(found) => found,
    };
    let after = Size::of(&found.case);
    found.case.title = title(way, &after);
    // In another world the same seed gives other runs.
    found.case.worlds = vec![World::Sim];
    found.case.about = format!(
        "Made smaller by `postern shrink` from \"{}\": it fails by {way} with seed {}.",
        case.scenario.title, case.seed
    );
    let written = format!("{}{}", schema_line(file), text(&found.case)?);
    std::fs::write(file, written).map_err(|error| format!("{}: {error}", file.display()))?;
    writeln!(out, "before: {before}\nafter:  {after}, in {} runs", found.runs)?;
    if found.unconfirmed > 0 {
        writeln!(
            out,
            "{} smaller cases failed once, and not again: they do not count",
            found.unconfirmed
        )?;
    }
    let end = if found.complete {
        "of its faults and of its sign-ins none alone can be left out"
    } else {
        "runs or time ran out: there may be a smaller one (--runs, --for)"
    };
    writeln!(
        out,
        "{end}\npostern scenario run {} --seed {}",
        file.display(),
        case.seed
    )?;
    Ok(ExitCode::SUCCESS)
}
