//! `postern planted`: plants each bug in a copy of the source, builds it, and runs the scenarios that should
//! show it until one does. First the same runs without any bug, which must show nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use postern_kit::clock::monotonic;

use super::ground::Ground;
use super::{Planted, all};
use crate::report::{Status, SuiteReport};
use crate::run::runs::each;
use crate::scenario::Invariant;

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Where scenario files are, from the workspace's root.
const SCENARIOS: &str = "harness/scenarios";

/// What `planted` takes.
#[derive(Debug, Args)]
pub struct PlantedArgs {
    /// Which bugs; all without one.
    names: Vec<String>,
    /// Tries so many seeds of each, instead of what its file says.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// The root of the source.
    #[arg(long, default_value = ".", value_name = "DIR")]
    source: PathBuf,
    /// Where the copy goes, which is built there; it may be used again. Below the source's target folder if absent.
    #[arg(long, value_name = "DIR")]
    copy: Option<PathBuf>,
}

/// What became of a bug.
struct Tried {
    seen: Option<Seen>,
    /// What else was seen, if not what should have been.
    others: Vec<String>,
    building: Duration,
    running: Duration,
}

/// How it was seen.
struct Seen {
    by: String,
    scenario: PathBuf,
    seed: u64,
}

/// Runs it, outside of any runtime; how the process is to end.
///
/// # Errors
/// What cannot be read, built, started or written.
pub fn run(args: &PlantedArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let source = args.source.canonicalize()?;
    let planted = chosen(&source, &args.names)?;
    // Before anything is built: whether each still applies.
    for bug in &planted {
        bug.apply(|path| std::fs::read_to_string(source.join(path)))?;
    }
    let copy = args.copy.clone().unwrap_or_else(|| source.join("target/planted"));
    let mut ground = Ground::lay(&source, &copy)?;
    writeln!(out, "{} planted bugs; copy in {}", planted.len(), copy.display())?;
    out.flush()?;
    let well = honest(&ground, &planted, args.seeds, out)?;
    let mut tried = Vec::new();
    for bug in &planted {
        ground.plant(bug.apply(|path| ground.read(path))?)?;
        let one = hunt(&ground, bug, args.seeds.unwrap_or(bug.seeds));
        ground.weed()?;
        match one {
            Ok(one) => {
                writeln!(out, "{}: {}", bug.name, verdict(&one))?;
                tried.push((bug, one));
            }
            // The others are worth trying all the same.
            Err(error) => writeln!(out, "{}: NOT TRIED: {error}", bug.name)?,
        }
        out.flush()?;
    }
    writeln!(out, "\n{}", table(&tried))?;
    let found = tried.iter().filter(|(_, one)| one.seen.is_some()).count();
    writeln!(out, "{found} of {} bugs were seen", planted.len())?;
    let all_seen = found == planted.len();
    Ok(if well && all_seen {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn chosen(source: &Path, names: &[String]) -> Result<Vec<Planted>, Failed> {
    let all = all(source)?;
    let known: Vec<_> = all.iter().map(|bug| bug.name.clone()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "NAME: {name:?} is not planted; expected one of {}",
            known.join(", ")
        )
        .into());
    }
    let is_chosen = |bug: &Planted| names.is_empty() || names.contains(&bug.name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// All runs that the bugs have, without any of them. Whether nothing was seen.
fn honest(
    ground: &Ground,
    planted: &[Planted],
    seeds: Option<u64>,
    out: &mut dyn Write,
) -> Result<bool, Failed> {
    let began = monotonic();
    let program = ground.build()?;
    let mut runs: Vec<_> = planted
        .iter()
        .flat_map(|bug| {
            let seeds = 1..=seeds.unwrap_or(bug.seeds);
            seeds.flat_map(|seed| bug.scenarios.iter().map(move |scenario| (scenario.clone(), seed)))
        })
        .collect();
    runs.sort();
    runs.dedup();
    let seen = each(&runs, true, |(scenario, seed)| {
        broken(ground, &program, scenario, *seed)
    })?;
    let mut well = true;
    for ((scenario, seed), broken) in runs.iter().zip(seen).filter(|(_, broken)| !broken.is_empty()) {
        well = false;
        let broken = broken.join(", ");
        writeln!(
            out,
            "without a bug: {} --seed {seed} violates {broken}",
            scenario.display()
        )?;
    }
    let took = monotonic().saturating_duration_since(began).as_secs();
    let word = if well { "nothing seen" } else { "something seen" };
    writeln!(
        out,
        "without a bug: {} runs, {word}, {took} s with the build",
        runs.len()
    )?;
    out.flush()?;
    Ok(well)
}

/// Runs the scenarios with one seed after the other, until one shows the bug.
fn hunt(ground: &Ground, bug: &Planted, seeds: u64) -> Result<Tried, Failed> {
    let began = monotonic();
    let program = ground.build()?;
    let building = monotonic().saturating_duration_since(began);
    let mut tried = Tried {
        seen: None,
        others: Vec::new(),
        building,
        running: Duration::ZERO,
    };
    for seed in 1..=seeds {
        let seen = each(&bug.scenarios, true, |scenario| {
            broken(ground, &program, scenario, seed)
        })?;
        for (scenario, broken) in bug.scenarios.iter().zip(seen) {
            let meant = broken.iter().find(|name| bug.seen_by.contains(name));
            if let (Some(by), None) = (meant, &tried.seen) {
                tried.seen = Some(Seen {
                    by: by.clone(),
                    scenario: scenario.clone(),
                    seed,
                });
            }
            tried.others.extend(broken);
        }
        if tried.seen.is_some() {
            break;
        }
    }
    tried.others.sort();
    tried.others.dedup();
    tried.running = monotonic().saturating_duration_since(began) - building;
    Ok(tried)
}

/// What a run violates, in short.
fn broken(ground: &Ground, program: &Path, scenario: &Path, seed: u64) -> Result<Vec<String>, Failed> {
    let file = ground.path().join(SCENARIOS).join(scenario);
    let ran = Command::new(program)
        .args(["scenario", "run", "--json", "-", "--seed", &seed.to_string()])
        .arg(&file)
        .stdin(Stdio::null())
        .output()?;
    let suite: SuiteReport = serde_json::from_slice(&ran.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&ran.stderr);
        format!("{} said no report, but {said:?}: {error}", file.display())
    })?;
    let runs = suite.runs.iter();
    let findings = runs.flat_map(|run| {
        let names = run.findings.iter().map(|finding| finding.name.as_str());
        let stopped = (run.status == Status::Error).then_some("not carried out");
        names.chain(stopped)
    });
    Ok(findings.map(short).collect())
}

/// Of an invariant its number, of an expectation which kind it is: `I6`, `expected recovery`.
fn short(name: &str) -> String {
    if name == Invariant::Answers.says() {
        return Invariant::Answers.to_string();
    }
    name.split([',', ':']).next().unwrap_or(name).to_owned()
}

fn verdict(tried: &Tried) -> String {
    match &tried.seen {
        Some(Seen { by, scenario, seed }) => {
            format!("seen by {by} in {} with seed {seed}", scenario.display())
        }
        None if tried.others.is_empty() => "NOT SEEN".to_owned(),
        None => format!("NOT SEEN as it should be, but as {}", tried.others.join(", ")),
    }
}

fn table(tried: &[(&Planted, Tried)]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["bug", "seen by", "seeds", "built in", "run in"]);
    for (bug, one) in tried {
        let (by, seeds) = match &one.seen {
            Some(seen) => (seen.by.clone(), seen.seed.to_string()),
            None => ("NOT SEEN".to_owned(), "-".to_owned()),
        };
        let seconds = |span: Duration| format!("{:.0} s", span.as_secs_f64());
        table.add_row([
            bug.name.clone(),
            by,
            seeds,
            seconds(one.building),
            seconds(one.running),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_violates_has_a_short_name() {
        for (name, expected) in [
            ("I6, the cloud locks nobody's account", "I6"),
            ("every answer is an allowed one", "Answers"),
            ("expected recovery: after hang", "expected recovery"),
            ("not carried out", "not carried out"),
        ] {
            assert_eq!(short(name), expected);
        }
    }
}
