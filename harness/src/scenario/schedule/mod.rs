//! What a runner has to carry out: every sign-in and every fault with its time, drawn from a scenario
//! and a seed. Pure: the same scenario and seed give the same schedule.
//!
//! # Invariants
//! * Arrivals and actions are sorted by time and lie inside the scenario's duration.
//! * Nothing begins or ends in the quiet part.
//! * Arrivals do not depend on answers (open loop), and those of one load not on the others.

mod arrivals;
mod nemesis;

pub(crate) use arrivals::{any, weighed};

use std::time::Duration;

use postern_kit::digest;
use postern_kit::random::SeededRandom;
use zeroize::Zeroizing;

use super::fault::Trouble;
use super::plan::{Fault, Person, Scenario};
use super::words::Typed;

/// Everything that is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What it was drawn from, beside the scenario.
    pub seed: u64,
    /// The sign-ins, by time.
    pub arrivals: Vec<Arrival>,
    /// All faults: those of the scenario in their order, then those of the nemesis.
    pub faults: Vec<Fault>,
    /// When which fault begins and ends, by time.
    pub actions: Vec<Action>,
}

/// One sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it is sent.
    pub at: Duration,
    /// From which host: 1 is client1.
    pub client: u32,
    /// The tenant's place in the scenario.
    pub tenant: usize,
    /// Whom the name means; `None` for a name that nobody has.
    pub whose: Option<Person>,
    /// The name as it is typed.
    pub username: String,
    /// The kind of password.
    pub typed: Typed,
    /// Which password that is.
    pub password: Attempted,
}

/// Which password is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempted {
    /// The one that this user has after so many changes.
    Of(Person, u32),
    /// The same, a NUL and more.
    OfWithNul(Person, u32),
    /// One that nobody has.
    Nobodys(u32),
    /// None.
    Empty,
    /// One that is too long.
    TooLong,
}

/// Longest password that is taken, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// What passwords of scenarios begin with, but for those that no directory may see: like nothing else, so that a
/// search for it finds all of them.
pub const PASSWORD_MARK: &str = "Canary-5f1db07e";

impl Attempted {
    /// Its text, for the run of `seed` in a tenant's `domain`. No two are alike, and nothing else in a run looks
    /// like one, so that it can be searched for.
    pub fn text(self, seed: u64, domain: &str) -> Zeroizing<String> {
        let own = |person, change| {
            let secret = digest::sha256(format!("{seed}/{domain}/{person}/{change}").as_bytes());
            format!(
                "{PASSWORD_MARK}-{change}-{}",
                hex::encode(secret.get(..12).unwrap_or_default())
            )
        };
        Zeroizing::new(match self {
            Self::Of(person, change) => own(person.to_string(), change),
            Self::OfWithNul(person, change) => format!("{}\0more", own(person.to_string(), change)),
            Self::Nobodys(number) => own("nobody".to_owned(), number),
            Self::Empty => String::new(),
            Self::TooLong => "x".repeat(PASSWORD_BYTES_MAX + 1),
        })
    }
}

/// A fault begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// When.
    pub at: Duration,
    /// What.
    pub deed: Deed,
    /// Its place among the schedule's faults.
    pub fault: usize,
}

/// What to do about a fault. What is over at once only begins; a link that flaps begins and ends as often as it
/// goes and comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Put it to an end.
    End,
    /// Let it happen.
    Begin,
}

impl Schedule {
    /// Draws it.
    pub fn draw(scenario: &Scenario, seed: u64) -> Self {
        let mut faults = scenario.faults.clone();
        if let Some(nemesis) = &scenario.nemesis {
            let random = stream(seed, "nemesis", 0);
            faults.extend(nemesis::draw(nemesis, scenario, &faults, &random));
        }
        let mut actions: Vec<_> = faults
            .iter()
            .enumerate()
            .flat_map(|(at, fault)| actions(at, fault))
            .collect();
        // Ends first, so that what ends and begins at one moment does not meet.
        actions.sort_by_key(|action| (action.at, action.deed, action.fault));
        let mut arrivals = arrivals::draw(scenario, &faults, seed);
        // Stable: those of one moment stay in the order of the file.
        arrivals.sort_by_key(|arrival| arrival.at);
        Self {
            seed,
            arrivals,
            faults,
            actions,
        }
    }

    /// The same scenario with all of this in it, fault by fault and sign-in by sign-in, and nothing left to
    /// chance: of it, any seed draws these arrivals and actions.
    pub fn spelled_out(&self, scenario: &Scenario) -> Scenario {
        Scenario {
            loads: Vec::new(),
            attacks: Vec::new(),
            sign_ins: self.arrivals.iter().map(arrivals::written).collect(),
            faults: self.faults.clone(),
            nemesis: None,
            ..scenario.clone()
        }
    }
}

/// An own stream of randomness for each part, so that a change of one part leaves the others as they are.
pub(crate) fn stream(seed: u64, part: &str, number: usize) -> SeededRandom {
    let digest = digest::sha256(format!("{part}/{number}/{seed}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(digest.get(..8).unwrap_or(&[0; 8]));
    SeededRandom::new(u64::from_be_bytes(first))
}

fn actions(fault: usize, planned: &Fault) -> Vec<Action> {
    let action = |at, deed| Action { at, deed, fault };
    let mut all = vec![action(planned.at, Deed::Begin)];
    let Some(until) = planned.until else {
        return all;
    };
    if let Trouble::Flapping { down, up, .. } = &planned.trouble {
        let mut at = planned.at + down.0;
        while at < until {
            all.push(action(at, Deed::End));
            at += up.0;
            if at >= until {
                return all;
            }
            all.push(action(at, Deed::Begin));
            at += down.0;
        }
    }
    all.push(action(until, Deed::End));
    all
}

#[cfg(test)]
mod tests;
