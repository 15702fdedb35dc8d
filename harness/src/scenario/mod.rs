//! Scenarios: stories that the whole system goes through, written down as data, so that whoever can read
//! English can read and write them, and one file runs in the simulation and, where that makes sense, on real sockets.
//!
//! ```text
//!   text ──shape──▶ file (as written) ──meaning──▶ Scenario (as meant) ──seed──▶ Schedule
//!    │                   ▲                                                       arrivals, actions
//!    └── JSON Schema ────┘ (made from the same types)
//!    └────────────────────────write──────────────────┘
//! ```
//! Everything here is pure: text and a seed in, plain data or all mistakes out. Who carries a schedule out,
//! and who judges what came of it, is elsewhere.

pub mod cli;
pub mod fault;
pub mod file;
mod items;
mod meaning;
pub(crate) mod mistakes;
mod plan;
mod schedule;
pub(crate) mod schema;
pub mod set;
pub(crate) mod shape;
mod stand_in;
mod units;
mod words;
mod write;

pub use fault::{DiskStep, Misdeed, StoreFailure, Trouble};
pub use file::{
    Answers, AttackKind, Availability, ByName, DirectoryExpect, Except, Expect, Items, Latency, LogExpect,
    Mischief, Of, Order, Recovery,
};
pub use meaning::SINGLE_MAX;
pub use mistakes::{Mistake, Mistakes};
pub use plan::{
    Agent, Attack, Controller, Fault, Link, Load, Lockout, Nemesis, Person, Scenario, SignIn, Span, Tenant,
};
pub use schedule::{Action, Arrival, Attempted, Deed, PASSWORD_MARK, Schedule};
pub(crate) use schedule::{any, stream, weighed};
pub use schema::text as schema;
pub use units::{Amount, Limit, Rate, Shift, Unit, Written};
pub use words::{Invariant, Outcome, State, Typed, World};
pub use write::text;

use stand_in::StandIn;
pub(crate) use stand_in::is_inside;

/// Longest file: one with as many single sign-ins as there may be.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads a scenario from `text`. `file` is what mistakes call it.
///
/// # Errors
/// All [`Mistakes`] at once.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Mistakes> {
    parse_for(file, text, None)
}

/// The same for a run in the world that is `asked` for, whichever the file is for: what cannot be there is a mistake.
///
/// # Errors
/// All [`Mistakes`] at once.
pub fn parse_for(file: &str, text: &str, asked: Option<World>) -> Result<Scenario, Mistakes> {
    if text.len() > BYTES_MAX {
        let mistake = Mistake {
            at: 0..0,
            field: String::new(),
            problem: format!("{} bytes; expected at most {BYTES_MAX}", text.len()),
            help: None,
        };
        return Err(Mistakes::new(file, "", vec![mistake]));
    }
    let wrong = |mistakes| Mistakes::new(file, text, mistakes);
    let schema = schema::value();
    let read = Read::with(text, &schema, StandIn::First, asked).map_err(wrong)?;
    let mut mistakes = read.shape;
    let mut meant = read.meaning;
    if !mistakes.is_empty() {
        let other = Read::with(text, &schema, StandIn::Last, asked).map_err(wrong)?;
        meant.retain(|mistake| {
            let of_a_stand_in = read.stood_in.iter().any(|path| is_inside(&mistake.field, path));
            // What is missing in it may be what could not be read.
            let follows = mistakes
                .iter()
                .any(|other| is_inside(&other.field, &mistake.field));
            other.meaning.contains(mistake) && !of_a_stand_in && !follows
        });
    }
    mistakes.extend(meant);
    match read.scenario {
        Some(scenario) if mistakes.is_empty() => Ok(scenario),
        _ => Err(wrong(mistakes)),
    }
}

/// What came of reading a text.
struct Read {
    /// Only without mistakes.
    scenario: Option<Scenario>,
    /// What is wrong with its shape.
    shape: Vec<Mistake>,
    /// What is wrong with what it means, if `stood_in` had been written as they were taken.
    meaning: Vec<Mistake>,
    stood_in: Vec<String>,
}

impl Read {
    /// # Errors
    /// Mistakes that leave nothing to be read.
    fn with(
        text: &str,
        schema: &serde_json::Value,
        stand_in: StandIn,
        asked: Option<World>,
    ) -> Result<Self, Vec<Mistake>> {
        let shaped = shape::check_with(text, schema, Some(stand_in))?;
        let mut shape = shaped.mistakes;
        let file: file::File = match serde_json::from_value(shaped.value) {
            Ok(file) => file,
            Err(error) => {
                // The schema says less than the types do; what it let through is still a mistake.
                shape.push(Mistake {
                    at: 0..0,
                    field: String::new(),
                    problem: error.to_string(),
                    help: None,
                });
                return Err(shape);
            }
        };
        let (scenario, meaning) = meaning::read(file, &shaped.places, &shape, asked);
        Ok(Self {
            scenario,
            shape,
            meaning,
            stood_in: shaped.stood_in,
        })
    }
}

#[cfg(test)]
mod tests;
