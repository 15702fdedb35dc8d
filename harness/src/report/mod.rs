//! What a run came to, as text for people and programmes.
//!
//! ```text
//!   RunReport ──┬──▶ terminal   what failed, why, and the line that repeats it
//!   SuiteReport ┼──▶ html       one page that needs nothing else, with plots
//!               ├──▶ junit      for build servers
//!               └──▶ json       for everything else
//!   Experiment ─┴──▶ csv, json, html
//! ```
//! All of it is pure: plain data in, text out. Who runs a scenario fills a [`RunReport`] and writes what
//! comes back; only [`progress`] touches a terminal.
//!
//! # Invariants
//! * What comes from outside (titles, names as typed, messages) is shown as text, wherever it is shown: as no
//!   markup, and as no control sequence of a terminal.
//! * No figure is made of nothing: what was not measured is left out or shown as a dash, never as zero or NaN.
//! * A report says how to repeat what it reports.

mod data;
pub mod experiment;
mod group;
pub mod html;
pub mod json;
pub mod junit;
mod page;
mod plot;
pub mod progress;
mod summary;
pub mod terminal;
pub(crate) mod text;

pub use data::{
    Bind, BindEnd, CheckLine, FaultSpan, Finding, Point, RunReport, Series, Status, SuiteReport, TimeSpan,
    TimelineLine, Verdict,
};
pub use group::OutcomeGroup;
pub(crate) use summary::percentile;
pub use summary::{GroupLatency, Summary};
pub use terminal::Styling;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
