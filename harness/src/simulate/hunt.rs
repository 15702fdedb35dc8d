//! Runs of scenarios that nobody wrote, one seed after the other, until it is time or one fails.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use postern_kit::clock::monotonic;

use super::generate;
use super::trial::{Told, Verdict, Which, told};
use super::written::schema_line;
use crate::report::progress::Progress;
use crate::report::text::{counted, duration};
use crate::report::{RunReport, Series, Status, SuiteReport};
use crate::run::report::{Frame, not_carried_out};
use crate::run::runs::own_core;
use crate::run::version;
use crate::scenario::{self, Scenario, World};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What to run, and for how long.
#[derive(Debug)]
pub(super) struct Hunt {
    /// The first run's seed; each has the next one.
    pub(super) seed: u64,
    /// So many runs at most.
    pub(super) runs: u64,
    /// No run begins after this real time.
    pub(super) lasts: Duration,
    /// So many at once.
    pub(super) jobs: usize,
    /// Goes on after a failure.
    pub(super) keep_going: bool,
    /// Where files of failed runs go.
    pub(super) folder: PathBuf,
    /// Keeps a report of each run.
    pub(super) reports: bool,
    /// Says nothing but what failed, on standard error.
    pub(super) quiet: bool,
}

/// Runs that passed and are kept with all that happened in them: a page draws no more.
const WHOLE_MAX: usize = 100;

/// What came of all runs.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    sign_ins: usize,
    simulated: Duration,
    /// How many runs failed in which way.
    ways: BTreeMap<String, u64>,
    failed: Vec<u64>,
    /// By seed.
    reports: BTreeMap<u64, RunReport>,
    /// How many of them passed.
    passed: usize,
}

impl Tally {
    fn add(&mut self, seed: u64, verdict: &Verdict) {
        self.runs += 1;
        self.sign_ins += verdict.sign_ins();
        self.simulated += Duration::from_millis(verdict.simulated_ms);
        if let Some(first) = verdict.wrong.first() {
            *self.ways.entry(first.way.to_string()).or_default() += 1;
            self.failed.push(seed);
        }
    }

    fn keep(&mut self, seed: u64, mut report: RunReport) {
        if report.status == Status::Passed {
            self.passed += 1;
            if self.passed > WHOLE_MAX {
                report.series = Series::default();
            }
        }
        self.reports.insert(seed, report);
    }
}

/// What the workers share.
struct Shared<'a> {
    next: u64,
    tally: Tally,
    stopped: bool,
    progress: Progress,
    out: &'a mut (dyn Write + Send),
}

impl Hunt {
    /// Runs; the reports of all, which are none if they are not kept, and whether nothing failed.
    ///
    /// # Errors
    /// A process cannot be started, or a file or a line not be written.
    pub(super) fn run(&self, out: &mut (dyn Write + Send)) -> Result<(SuiteReport, bool), Failed> {
        let began = monotonic();
        let shared = Mutex::new(Shared {
            next: 0,
            tally: Tally::default(),
            stopped: false,
            progress: match self.runs {
                u64::MAX => Progress::endless(),
                runs => Progress::of(runs),
            },
            out,
        });
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs)
                .map(|number| {
                    let shared = &shared;
                    scope.spawn(move || {
                        own_core(number);
                        self.work(shared, began)
                    })
                })
                .collect();
            for worker in workers {
                worker
                    .join()
                    .map_err(|_| io::Error::other("a worker panicked"))??;
            }
            Ok::<_, Failed>(())
        })?;
        let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        shared.progress.end();
        let (tally, wall) = (shared.tally, monotonic().saturating_duration_since(began));
        if !self.quiet {
            summary(&tally, wall, shared.out)?;
        }
        let suite = SuiteReport {
            runs: tally.reports.into_values().collect(),
            seed: self.seed,
            wall,
        };
        Ok((suite, tally.failed.is_empty()))
    }

    fn work(&self, shared: &Mutex<Shared<'_>>, began: Instant) -> Result<(), Failed> {
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let seed = {
                let mut shared = lock();
                let late = monotonic().saturating_duration_since(began) >= self.lasts;
                if shared.stopped || late || shared.next >= self.runs {
                    return Ok(());
                }
                shared.next += 1;
                self.seed.saturating_add(shared.next - 1)
            };
            let started = monotonic();
            let Told { verdict, report } = told(Which::Seed(seed), self.reports)?;
            let took = monotonic().saturating_duration_since(started);
            let mut shared = lock();
            let Shared {
                tally,
                stopped,
                progress,
                out,
                ..
            } = &mut *shared;
            tally.add(seed, &verdict);
            if self.reports {
                tally.keep(seed, report.unwrap_or_else(|| broken_off(seed, &verdict, took)));
            }
            *stopped |= !verdict.wrong.is_empty() && !self.keep_going;
            progress.aside(|| self.tell(seed, &verdict, took, *out))?;
            progress.step(verdict.wrong.is_empty());
        }
    }

    /// What came of one run; of one that failed all that is needed to go on from there.
    fn tell(&self, seed: u64, verdict: &Verdict, took: Duration, out: &mut dyn Write) -> Result<(), Failed> {
        let well = verdict.wrong.is_empty();
        let mut stderr = io::stderr();
        let out = match self.quiet {
            true if well => return Ok(()),
            true => &mut stderr as &mut dyn Write,
            false => out,
        };
        line(seed, verdict, took, out)?;
        if !well {
            failure(seed, verdict, &self.folder, out)?;
        }
        Ok(out.flush()?)
    }
}

/// The frame of a report of a seed's run.
pub(super) fn frame(seed: u64, scenario: &Scenario, wall: Duration) -> Frame {
    Frame {
        file: format!("simulate/{seed}"),
        world: World::Sim,
        // All that a scenario has can be written; without it, expectations are named by their fields.
        text: scenario::text(scenario).unwrap_or_default(),
        seed,
        version: version(),
        wall,
        repeat: format!("postern replay {seed}"),
    }
}

/// The report of a run whose process did not come to its end.
fn broken_off(seed: u64, verdict: &Verdict, wall: Duration) -> RunReport {
    let scenario = generate(seed);
    let why = verdict.wrong.first().map_or("", |wrong| &wrong.seen);
    not_carried_out(&frame(seed, &scenario, wall), &scenario, why)
}

fn line(seed: u64, verdict: &Verdict, took: Duration, out: &mut dyn Write) -> io::Result<()> {
    let well = if verdict.wrong.is_empty() {
        "ok    "
    } else {
        "FAILED"
    };
    writeln!(
        out,
        "  {well} seed {seed}: {} in {} on {}, took {}",
        counted(verdict.sign_ins() as u64, "sign-in"),
        duration(Duration::from_secs(verdict.simulated_ms / 1000)),
        counted(verdict.hosts as u64, "host"),
        duration(took)
    )
}

/// Ways of a failed run that are shown; the rest follows from them mostly.
const SHOWN: usize = 4;

/// Says what was wrong and how it is seen again, and writes the scenario down.
fn failure(seed: u64, verdict: &Verdict, folder: &Path, out: &mut dyn Write) -> Result<(), Failed> {
    for wrong in verdict.wrong.iter().take(SHOWN) {
        writeln!(out, "    {wrong}")?;
    }
    if verdict.wrong.len() > SHOWN {
        writeln!(out, "    and {} more", verdict.wrong.len() - SHOWN)?;
    }
    let file = folder.join(format!("simulation-{seed}.toml"));
    let text = format!("{}{}", schema_line(&file), scenario::text(&generate(seed))?);
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let file = file.display();
    writeln!(out, "    repeat it with: postern replay {seed}")?;
    writeln!(
        out,
        "    the same as a file: postern scenario run {file} --seed {seed}"
    )?;
    writeln!(out, "    make it smaller: postern shrink {file} --seed {seed}")?;
    Ok(())
}

fn summary(tally: &Tally, took: Duration, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}, {}, {} of simulated time in {}; {} failed",
        counted(tally.runs, "run"),
        counted(tally.sign_ins as u64, "sign-in"),
        duration(tally.simulated),
        duration(took),
        tally.failed.len()
    )?;
    for (way, count) in &tally.ways {
        writeln!(out, "  {count} by {way}")?;
    }
    Ok(())
}
