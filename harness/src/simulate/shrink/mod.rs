//! The search for the smallest case: fewer faults, fewer sign-ins, fewer hosts, less time, and still wrong in the
//! same way.
//!
//! [`shrink`] decides what to try; whether a case still fails, its oracle says: a run in a process of its own, or
//! in tests a function. What it finds is small, not the smallest of all: of its faults and of its sign-ins none
//! alone can be left out, unless the runs ran out before, which it says.

mod ddmin;
mod expect;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use postern_kit::digest::sha256;

use self::ddmin::ddmin;
pub use self::expect::{least_sign_ins, only};
use self::parts::Kept;
use crate::report::text::{counted, duration};
use crate::scenario::{Scenario, parse, text};

/// How far a search goes.
pub struct Bounds<'a> {
    /// Most cases that the oracle is asked about, beside those that confirm the result.
    pub runs: u32,
    /// So many are asked about together.
    pub at_once: usize,
    /// Fewer sign-ins than that are not tried: what is expected of a share of them would fail of itself.
    pub sign_ins: usize,
    /// Whether the time is over.
    pub over: &'a dyn Fn() -> bool,
}

/// Says of some cases whether each fails in the way that is sought.
pub type Oracle<'a, E> = dyn FnMut(&[Scenario]) -> Result<Vec<bool>, E> + 'a;

/// How large a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What goes wrong or is done.
    pub faults: usize,
    /// Sign-ins.
    pub sign_ins: usize,
    /// Hosts.
    pub hosts: usize,
    /// How long it goes on.
    pub duration: Duration,
}

impl Size {
    /// Of a case whose schedule is spelled out.
    pub fn of(case: &Scenario) -> Self {
        Self {
            faults: case.faults.len(),
            sign_ins: case.sign_ins.len(),
            hosts: case.hosts().len(),
            duration: case.duration,
        }
    }
}

/// `3 faults, 12 sign-ins, 5 hosts, 1 min 3 s`
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: usize, one: &str| counted(count as u64, one);
        write!(
            f,
            "{}, {}, {}, {}",
            many(self.faults, "fault"),
            many(self.sign_ins, "sign-in"),
            many(self.hosts, "host"),
            duration(self.duration)
        )
    }
}

/// What a search came to.
#[derive(Clone, Debug)]
pub enum Reached {
    /// The case does not fail in the way that is sought: there is nothing to make smaller.
    NeverFails,
    /// It fails sometimes: so many runs of so many. What does not repeat itself cannot be searched.
    Sometimes(u32, u32),
    /// A smaller case, or the same if there is none.
    Smaller(Box<Smaller>),
}

/// A case that was made smaller, and has failed again afterwards.
#[derive(Clone, Debug)]
pub struct Smaller {
    /// The case.
    pub case: Scenario,
    /// How many runs it took.
    pub runs: u32,
    /// Nothing that was thought of makes it smaller; else the runs or the time ran out.
    pub complete: bool,
    /// So many smaller ones failed once, and not again.
    pub unconfirmed: usize,
}

/// How often a case must fail before the search, and its result after it.
const CONFIRM: u32 = 2;

/// Passes over everything; one thing that is left out may make another one needless.
const ROUNDS_MAX: u32 = 4;

/// How often the time is halved until what is needed is known well enough.
const HALVINGS: u32 = 6;

/// The search ends.
enum Stop<E> {
    /// The runs or the time ran out.
    Enough,
    Failed(E),
}

struct Search<'a, E> {
    oracle: &'a mut Oracle<'a, E>,
    progress: &'a mut dyn FnMut(u32, &Size),
    bounds: Bounds<'a>,
    runs: u32,
    /// What was said of a case already, by the digest of its file.
    known: BTreeMap<[u8; 32], bool>,
    /// The smallest case that failed.
    best: Scenario,
    /// Those that were the smallest before, the largest first.
    former: Vec<Scenario>,
}

/// Makes a case smaller whose schedule is spelled out. `hint`: when it had failed, if that is known. `progress`
/// hears of each smaller case, and after how many runs it was found.
///
/// # Errors
/// The oracle's.
pub fn shrink<'a, E>(
    case: &Scenario,
    hint: Option<Duration>,
    bounds: Bounds<'a>,
    oracle: &'a mut Oracle<'a, E>,
    progress: &'a mut dyn FnMut(u32, &Size),
) -> Result<Reached, E> {
    match confirm(case, oracle)? {
        0 => return Ok(Reached::NeverFails),
        CONFIRM => {}
        some => return Ok(Reached::Sometimes(some, CONFIRM)),
    }
    let mut search = Search {
        oracle,
        progress,
        bounds,
        runs: CONFIRM,
        known: BTreeMap::new(),
        best: case.clone(),
        former: Vec::new(),
    };
    let complete = match search.all(hint) {
        Ok(()) => true,
        Err(Stop::Enough) => false,
        Err(Stop::Failed(error)) => return Err(error),
    };
    let smaller = search.confirmed(complete)?;
    Ok(Reached::Smaller(Box::new(smaller)))
}

/// How often a case fails of [`CONFIRM`] times.
fn confirm<E>(case: &Scenario, oracle: &mut Oracle<'_, E>) -> Result<u32, E> {
    let fails = oracle(&vec![case.clone(); CONFIRM as usize])?;
    Ok(fails.into_iter().map(u32::from).sum())
}

/// What is known of a candidate before the oracle is asked.
enum Candidate {
    Known(bool),
    New(Box<Scenario>, [u8; 32]),
}

impl<E> Search<'_, E> {
    /// Whether a candidate fails in the same way; it is the best one then.
    fn try_case(&mut self, candidate: Option<Scenario>) -> Result<bool, Stop<E>> {
        Ok(self.first(vec![candidate])?.is_some())
    }

    /// Which of some candidates is the first that fails in the same way; it is the best one then.
    fn first(&mut self, candidates: Vec<Option<Scenario>>) -> Result<Option<usize>, Stop<E>> {
        let mut candidates: Vec<_> = candidates.into_iter().map(|one| self.look(one)).collect();
        // Behind one that is known to fail none is needed.
        let known = candidates
            .iter()
            .position(|one| matches!(one, Candidate::Known(true)));
        candidates.truncate(known.map_or(candidates.len(), |at| at + 1));
        let left = self.bounds.runs.saturating_sub(self.runs) as usize;
        let new = candidates.iter().enumerate().filter_map(|(at, one)| match one {
            Candidate::New(case, digest) => Some((at, case, *digest)),
            Candidate::Known(_) => None,
        });
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return Ok(known);
        }
        if left == 0 || (self.bounds.over)() {
            return Err(Stop::Enough);
        }
        let asked: Vec<_> = new
            .iter()
            .take(left)
            .map(|(_, case, _)| (***case).clone())
            .collect();
        let fails = (self.oracle)(&asked).map_err(Stop::Failed)?;
        self.runs += u32::try_from(asked.len()).unwrap_or(u32::MAX);
        let mut found = None;
        for ((at, case, digest), same) in new.iter().zip(&fails) {
            self.known.insert(*digest, *same);
            if *same && found.is_none() {
                found = Some(*at);
                (self.progress)(self.runs, &Size::of(case));
                self.former
                    .push(std::mem::replace(&mut self.best, (***case).clone()));
            }
        }
        match found {
            None if asked.len() < new.len() => Err(Stop::Enough),
            None => Ok(known),
            found => Ok(found),
        }
    }

    fn look(&self, candidate: Option<Scenario>) -> Candidate {
        let few = |case: &Scenario| {
            let count = case.sign_ins.len();
            count < self.bounds.sign_ins && count < self.best.sign_ins.len()
        };
        let Some(candidate) = candidate.filter(|case| !few(case)) else {
            return Candidate::Known(false);
        };
        // What no file says is no case: an expectation of somebody who is gone, for one.
        let Ok(file) = text(&candidate) else {
            return Candidate::Known(false);
        };
        if parse("candidate", &file).is_err() {
            return Candidate::Known(false);
        }
        let digest = sha256(file.as_bytes());
        match self.known.get(&digest) {
            Some(known) => Candidate::Known(*known),
            None => Candidate::New(Box::new(candidate), digest),
        }
    }

    /// The smallest part of what `base` has of something.
    fn part<T: Clone>(
        &mut self,
        items: Vec<T>,
        with: impl Fn(&[T]) -> Option<Scenario>,
    ) -> Result<(), Stop<E>> {
        ddmin(items, self.bounds.at_once, &mut |parts: &[Vec<T>]| {
            self.first(parts.iter().map(|part| with(part)).collect())
        })?;
        Ok(())
    }

    fn all(&mut self, hint: Option<Duration>) -> Result<(), Stop<E>> {
        if let Some(hint) = hint {
            let end = hint + Duration::from_secs(1);
            if end < self.best.duration {
                self.try_case(Some(parts::until(&self.best, end)))?;
            }
        }
        for _ in 0..ROUNDS_MAX {
            let before = Size::of(&self.best);
            self.faults()?;
            self.sign_ins()?;
            self.hosts()?;
            self.time()?;
            if Size::of(&self.best) == before {
                break;
            }
        }
        self.tidy()
    }

    fn faults(&mut self) -> Result<(), Stop<E>> {
        let base = self.best.clone();
        self.part(base.faults.clone(), |faults| {
            Some(Scenario {
                faults: faults.to_vec(),
                ..base.clone()
            })
        })
    }

    fn sign_ins(&mut self) -> Result<(), Stop<E>> {
        let base = self.best.clone();
        self.part(base.sign_ins.clone(), |sign_ins| {
            Some(Scenario {
                sign_ins: sign_ins.to_vec(),
                ..base.clone()
            })
        })
    }

    fn hosts(&mut self) -> Result<(), Stop<E>> {
        let base = self.best.clone();
        let all = Kept::all(&base);
        self.part(all.tenants.iter().copied().collect(), |tenants| {
            let tenants = tenants.iter().copied().collect();
            Kept {
                tenants,
                ..all.clone()
            }
            .of(&base)
        })?;
        let base = self.best.clone();
        let all = Kept::all(&base);
        self.part(all.agents.iter().cloned().collect(), |agents| {
            let agents = agents.iter().cloned().collect();
            Kept {
                agents,
                ..all.clone()
            }
            .of(&base)
        })?;
        let base = self.best.clone();
        let all = Kept::all(&base);
        self.part(all.controllers.iter().cloned().collect(), |controllers| {
            let controllers = controllers.iter().cloned().collect();
            Kept {
                controllers,
                ..all.clone()
            }
            .of(&base)
        })?;
        let base = self.best.clone();
        self.part(base.links.clone(), |links| {
            Some(Scenario {
                links: links.to_vec(),
                ..base.clone()
            })
        })?;
        self.try_case(Some(parts::one_client(&self.best)))?;
        Ok(())
    }

    /// Less time at the end, and at the beginning.
    fn time(&mut self) -> Result<(), Stop<E>> {
        let (mut too_short, mut enough) = (Duration::ZERO, self.best.duration);
        for _ in 0..HALVINGS {
            let end = whole(too_short + (enough - too_short) / 2);
            if self.try_case(Some(parts::until(&self.best, end)))? {
                enough = end;
            } else {
                too_short = end;
            }
        }
        let base = self.best.clone();
        if let Some(first) = parts::first(&base).map(whole).filter(|first| !first.is_zero()) {
            self.try_case(parts::earlier(&base, first))?;
        }
        Ok(())
    }

    /// What makes it no smaller, and easier to read.
    fn tidy(&mut self) -> Result<(), Stop<E>> {
        let mut at = 0;
        loop {
            // Of what is left to be tried, on top of what was found by then.
            let plainer = parts::plainer(&self.best).into_iter().skip(at);
            let together: Vec<_> = plainer.take(self.bounds.at_once.max(1)).map(Some).collect();
            let count = together.len();
            if count == 0 {
                break;
            }
            at += self.first(together)?.map_or(count, |found| found + 1);
        }
        if !self.try_case(Some(parts::only_who_is_needed(&self.best, true)))? {
            self.try_case(Some(parts::only_who_is_needed(&self.best, false)))?;
        }
        for (sign_ins, faults) in [(true, true), (true, false), (false, true)] {
            for to in [1_000, 100, 10, 1].map(Duration::from_millis) {
                if self.try_case(Some(parts::rounded(&self.best, to, sign_ins, faults)))? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The smallest case that fails again and again.
    fn confirmed(mut self, complete: bool) -> Result<Smaller, E> {
        let mut unconfirmed = 0;
        while let Some(larger) = self.former.pop() {
            self.runs += CONFIRM;
            if confirm(&self.best, self.oracle)? == CONFIRM {
                break;
            }
            unconfirmed += 1;
            // The first of all was confirmed before the search.
            self.best = larger;
        }
        Ok(Smaller {
            case: self.best,
            runs: self.runs,
            complete,
            unconfirmed,
        })
    }
}

/// In whole seconds where it is longer than a few.
fn whole(time: Duration) -> Duration {
    if time > Duration::from_secs(4) {
        Duration::from_secs(time.as_secs())
    } else {
        time
    }
}
