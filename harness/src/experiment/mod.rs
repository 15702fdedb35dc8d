//! Experiments: a scenario over a grid of parameters, each point with several seeds, and figures taken of each run.
//!
//! ```text
//!   text ──shape──▶ file (as written) ──sweep──▶ Sweep (as meant): points, settings
//!                                                  │ × seeds: `scenario run --set …`, a process each
//!   csv, json, html ◀── report::experiment ◀── figures (measure)
//! ```
//! * [`sweep`]: what a file means, and all that is wrong with it; [`measure`]: what is taken of a run. Pure.
//! * [`cli`]: `postern experiment`.

pub mod cli;
mod file;
mod machine;
pub mod measure;
pub mod sweep;

/// The JSON Schema of sweeps, as it is published in `harness/experiments/experiment.schema.json`.
pub fn schema() -> String {
    crate::scenario::schema::printed(&sweep::schema())
}

#[cfg(test)]
mod tests;
