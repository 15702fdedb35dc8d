//! Runs of scenarios that nobody wrote, one seed after the other, until it is time or one fails.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use postern_kit::clock::monotonic;

use super::generate;
use super::trial::{Verdict, Which, apart};
use crate::run::runs::own_core;
use crate::scenario;

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
}

/// What came of all runs.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    sign_ins: usize,
    simulated: Duration,
    /// How many runs failed in which way.
    ways: BTreeMap<String, u64>,
    failed: Vec<u64>,
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
}

/// What the workers share.
struct Shared<'a> {
    next: u64,
    tally: Tally,
    stopped: bool,
    out: &'a mut (dyn Write + Send),
}

impl Hunt {
    /// Runs; whether nothing failed.
    ///
    /// # Errors
    /// A process cannot be started, or a file or a line not be written.
    pub(super) fn run(&self, out: &mut (dyn Write + Send)) -> Result<bool, Failed> {
        let began = monotonic();
        let shared = Mutex::new(Shared {
            next: 0,
            tally: Tally::default(),
            stopped: false,
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
        summary(
            &shared.tally,
            monotonic().saturating_duration_since(began),
            shared.out,
        )?;
        Ok(shared.tally.failed.is_empty())
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
            let verdict = apart(Which::Seed(seed))?;
            let took = monotonic().saturating_duration_since(started);
            let mut shared = lock();
            shared.tally.add(seed, &verdict);
            shared.stopped |= !verdict.wrong.is_empty() && !self.keep_going;
            line(seed, &verdict, took, shared.out)?;
            if !verdict.wrong.is_empty() {
                failure(seed, &verdict, &self.folder, shared.out)?;
            }
            shared.out.flush()?;
        }
    }
}

fn line(seed: u64, verdict: &Verdict, took: Duration, out: &mut dyn Write) -> io::Result<()> {
    let well = if verdict.wrong.is_empty() {
        "ok    "
    } else {
        "FAILED"
    };
    writeln!(
        out,
        "  {well} seed {seed}: {} sign-ins in {} s on {} hosts, {:.1} s",
        verdict.sign_ins(),
        verdict.simulated_ms / 1000,
        verdict.hosts,
        took.as_secs_f64()
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
    std::fs::write(&file, scenario::text(&generate(seed))?)
        .map_err(|error| format!("{}: {error}", file.display()))?;
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
        "{} runs, {} sign-ins, {:.1} simulated hours in {:.0} s; {} failed",
        tally.runs,
        tally.sign_ins,
        tally.simulated.as_secs_f64() / 3600.0,
        took.as_secs_f64(),
        tally.failed.len()
    )?;
    for (way, count) in &tally.ways {
        writeln!(out, "  {count} by {way}")?;
    }
    Ok(())
}
