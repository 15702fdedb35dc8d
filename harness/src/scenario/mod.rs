//! Scenarios: stories that the whole system goes through, written down as data, so that whoever can read
//! English can read and write them, and one file runs in the simulation and on real sockets.
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
mod units;
mod words;
mod write;

pub use fault::{DiskStep, Misdeed, StoreFailure, Trouble};
pub use file::{
    Answers, AttackKind, ByName, DirectoryExpect, Except, Expect, Items, Latency, LogExpect, Mischief, Of,
    Order, Recovery,
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

/// Longest file: one with as many single sign-ins as there may be.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads a scenario from `text`. `file` is what mistakes call it.
///
/// # Errors
/// All [`Mistakes`] at once.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Mistakes> {
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
    let shaped = shape::check(text, &schema::value()).map_err(wrong)?;
    let mut mistakes = shaped.mistakes;
    let read: file::File = match serde_json::from_value(shaped.value) {
        Ok(read) => read,
        Err(error) => {
            // The schema says less than the types do; what it let through is still a mistake.
            mistakes.push(Mistake {
                at: 0..0,
                field: String::new(),
                problem: error.to_string(),
                help: None,
            });
            return Err(wrong(mistakes));
        }
    };
    let (scenario, more) = meaning::read(read, &shaped.places, &mistakes);
    mistakes.extend(more);
    match scenario {
        Some(scenario) if mistakes.is_empty() => Ok(scenario),
        _ => Err(wrong(mistakes)),
    }
}

#[cfg(test)]
mod tests;
