//! What a run left behind, and whether it may be so.

pub mod history;

pub use history::*;
