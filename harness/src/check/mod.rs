//! Whether a run was as it must be: the invariants of the design as named checkers over what clients, agents, the
//! directory's journal and the cloud's log saw, and a reference model that says which answers were allowed.
//!
//! Pure: a [`History`] in, violations out. A checker accuses nobody falsely: what observers cannot know is
//! allowed both ways. Each is tested with broken histories that it must catch, and with honest ones.

mod answers;
mod apart;
mod availability;
mod codes;
mod delivery;
mod expectations;
mod failures;
mod history;
mod index;
mod lockout;
mod model;
mod timeline;

use std::collections::BTreeSet;
use std::fmt;

pub(crate) use availability::longest_outage;
pub use expectations::{Finding, expectations};
pub use failures::{Failures, failures};
pub use history::{
    Account, Answer, Bind, BindEnd, Discharge, Event, Given, History, Logged, LoggedAttempt, Lost, Request,
    TenantFacts, What, WhyLost,
};
pub(crate) use index::describe;
pub use timeline::{Line, Timeline};

use crate::scenario::Invariant;
use index::Index;
use model::Model;

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What it violates.
    pub invariant: Invariant,
    /// The sign-in that it is about: its place among the requests.
    pub request: Option<usize>,
    /// What was seen.
    pub seen: String,
    /// What would have been right.
    pub allowed: String,
    /// What happened around it, on all hosts.
    pub timeline: Timeline,
}

/// `I1, no wrong accept: sign-in 17 …: seen …; allowed …`, and the timeline below it.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: ", self.invariant, self.invariant.says())?;
        if let Some(request) = self.request {
            write!(f, "sign-in {request}: ")?;
        }
        write!(f, "{}; allowed: {}", self.seen, self.allowed)?;
        write!(f, "{}", self.timeline)
    }
}

/// One invariant's checker.
type Checker = fn(&Check<'_>) -> Vec<Violation>;

/// The checker of each invariant.
const CHECKERS: [(Invariant, Checker); 10] = [
    (Invariant::I1, answers::no_wrong_accept),
    (Invariant::I2, answers::no_false_reject),
    (Invariant::I3, delivery::one_answer_in_time),
    (Invariant::I4, no_password_leaves_memory),
    (Invariant::I5, apart::tenants_are_apart),
    (Invariant::I6, lockout::the_cloud_locks_nobody),
    (Invariant::I7, apart::the_discharged_get_nothing),
    (Invariant::I8, delivery::one_record_for_each_answer),
    (Invariant::I9, apart::draining_leaves_somebody),
    (Invariant::Answers, answers::every_answer_is_allowed),
];

/// A history as checkers see it.
struct Check<'a> {
    history: &'a History,
    index: &'a Index<'a>,
    model: Model<'a>,
}

impl Check<'_> {
    /// A violation about a sign-in, with its timeline.
    fn about(
        &self,
        invariant: Invariant,
        request: usize,
        seen: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Violation {
        Violation {
            invariant,
            request: Some(request),
            seen: seen.into(),
            allowed: allowed.into(),
            timeline: Timeline::of(self.index, request),
        }
    }

    /// A violation that is not about one sign-in.
    fn general(
        &self,
        invariant: Invariant,
        seen: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Violation {
        Violation {
            invariant,
            request: None,
            seen: seen.into(),
            allowed: allowed.into(),
            timeline: Timeline::default(),
        }
    }

    /// The sign-in of which a client was told this id.
    fn request_of(&self, id: &str) -> Option<usize> {
        let is_its = |request: &Request| request.answers.iter().any(|answer| answer.request == id);
        self.history.requests.iter().position(is_its)
    }
}

/// All violations of all invariants but those in `except`, in the order of the invariants.
pub fn check(history: &History, except: &BTreeSet<Invariant>) -> Vec<Violation> {
    let index = Index::of(history);
    let check = Check {
        history,
        index: &index,
        model: Model::of(&index),
    };
    let checkers = CHECKERS
        .iter()
        .filter(|(invariant, _)| !except.contains(invariant));
    checkers.flat_map(|(_, checker)| checker(&check)).collect()
}

/// What happened around one sign-in, by its place among the requests; nothing if there is none.
pub fn timeline(history: &History, request: usize) -> Timeline {
    Timeline::of(&Index::of(history), request)
}

/// I4: what was searched for was found nowhere.
fn no_password_leaves_memory(check: &Check<'_>) -> Vec<Violation> {
    let leaks = check.history.leaks.iter();
    let violation = |leak: &crate::canary::Leak| {
        let seen = format!("a password in {}, as {}", leak.place, leak.spelling);
        check.general(Invariant::I4, seen, "no password anywhere outside of memory")
    };
    leaks.map(violation).collect()
}

#[cfg(test)]
mod honest;
#[cfg(test)]
mod tests;
