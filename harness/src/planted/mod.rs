//! Planted bugs: mistakes that somebody might make, as changes of the source, and whether the simulation sees
//! each of them. Without them nobody knows what a suite that always passes is worth.
//!
//! * `patch`: a planted bug as a file of `harness/planted`.
//! * `ground`: a copy of the source that bugs are planted in and built.
//! * [`cli`]: `postern planted`.

pub mod cli;
mod ground;
mod patch;

use std::io;
use std::path::Path;

pub use patch::{Planted, PlantedError};

/// Where planted bugs are, from the workspace's root.
pub const FOLDER: &str = "harness/planted";

/// All planted bugs of a workspace, by name.
///
/// # Errors
/// A file that cannot be read, or is no planted bug.
pub fn all(root: &Path) -> Result<Vec<Planted>, Box<dyn std::error::Error + Send + Sync>> {
    let folder = root.join(FOLDER);
    let named = |error: io::Error| format!("{}: {error}: expected the root of the source", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(named)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.extension().is_some_and(|ending| ending == "patch") {
            found.push(Planted::parse(name, &std::fs::read_to_string(&path)?)?);
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
