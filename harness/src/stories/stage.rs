//! What a story stands on: its seed, its world, and what it found.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use postern_directory_mock::{Directory, DirectoryBuilder, Population};
use postern_kit::random::{Random, SeededRandom};
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::sim::{Answer, Load, Observation, SimError, Topology, Typed, World};

/// Why a story did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The simulation failed.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// Something was not as it should be.
    #[error("{0}")]
    Broken(String),
}

/// What a story found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Lines for people, in order.
    pub lines: Vec<String>,
    /// The world's digest at the end, and of how many happenings.
    pub digest: Option<(String, u64)>,
}

/// What a story stands on.
#[derive(Debug)]
pub struct Stage {
    seed: u64,
    trace: Option<File>,
    report: Report,
}

/// The tenant of stories with one.
pub(super) const CORP: &str = "corp";
/// Its domain.
pub(super) const DOMAIN: &str = "corp.example.test";

impl Stage {
    /// For one story. `trace` gets every happening as a line.
    pub fn new(seed: u64, trace: Option<File>) -> Self {
        Self {
            seed,
            trace,
            report: Report::default(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What has been found up to now.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Randomness for the plan, apart from the world's.
    pub fn random(&self) -> impl Random + use<> {
        SeededRandom::new(self.seed ^ 0x706c_616e)
    }

    /// A world with this seed. A story has one.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be built.
    pub fn world(&mut self, topology: Topology) -> Result<World, SimError> {
        World::traced(self.seed, topology, self.trace.take())
    }

    /// Says something.
    pub fn say(&mut self, line: impl Into<String>) {
        self.report.lines.push(line.into());
    }

    /// Plans a load on the world. How many sign-ins it is.
    ///
    /// # Errors
    /// [`SimError`] if it does not fit the world.
    pub fn load(&self, world: &mut World, load: &Load) -> Result<usize, SimError> {
        let arrivals = load.arrivals(&self.random());
        let count = arrivals.len();
        world.arrive(arrivals)?;
        Ok(count)
    }

    /// Ends the story: what no story may break is checked, and the digest taken.
    ///
    /// # Errors
    /// [`Failed`] if something was broken.
    pub fn end(&mut self, world: &mut World) -> Result<(), Failed> {
        self.report.digest = Some(world.digest());
        let failures = world.failures();
        ensure(failures.is_empty(), || format!("processes failed: {failures:?}"))?;
        let mut logged = BTreeSet::new();
        for record in world.sign_ins()? {
            if !logged.insert(record.request.to_string()) {
                return Err(Failed::Broken(format!(
                    "sign-in {} has two records",
                    record.request
                )));
            }
        }
        for one in &world.observations() {
            let Some((_, Answer::Outcome { outcome, request, .. })) = &one.answered else {
                continue;
            };
            // "Unavailable" is also what is said when nothing can be written.
            let found = logged.contains(request) || *outcome == Outcome::Unavailable;
            ensure(found, || {
                format!("answered sign-in {request} has no record: {one:?}")
            })?;
        }
        Ok(())
    }
}

/// # Errors
/// [`Failed::Broken`] with `why` unless it holds.
pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed::Broken(why())) }
}

/// How many were answered with this outcome.
pub(super) fn count(observations: &[Observation], outcome: Outcome) -> usize {
    let with = observations.iter().filter(|one| one.outcome() == Some(outcome));
    with.count()
}

/// A directory of this many people, and their usernames.
pub(super) fn people(count: usize) -> (DirectoryBuilder, Vec<Arc<str>>) {
    let population = Population::seeded(1, count);
    let names = population.people().iter().map(|person| person.upn(DOMAIN).into());
    let names = names.collect();
    (Directory::builder(DOMAIN, "CORP").population(&population), names)
}

/// That a right password was not refused, and a wrong one did not sign in.
///
/// # Errors
/// [`Failed::Broken`] otherwise.
pub(super) fn ensure_not_false(one: &Observation) -> Result<(), Failed> {
    let right = one.arrival.typed == Typed::Right;
    let outcome = one.outcome();
    ensure(!right || outcome != Some(Outcome::Refused), || {
        format!("a right password was refused: {one:?}")
    })?;
    ensure(right || outcome != Some(Outcome::SignedIn), || {
        format!("a wrong password signed in: {one:?}")
    })
}

/// The share of sorted values below which `share` of them lie.
pub(super) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1) as f64;
    let place = (last * share).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}
