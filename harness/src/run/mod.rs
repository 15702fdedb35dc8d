//! Carries scenarios out: what a schedule says is done to a world, and what everybody saw becomes a
//! history, of which others say whether it may be so.
//!
//! ```text
//!   Scenario ──seed──▶ Schedule ──▶ world (simulated, or the lab) ──▶ History ──▶ checks ──▶ report
//! ```
//! * [`cli`]: `postern scenario`.
//! * [`sim`]: over the simulation, in virtual time.
//! * [`lab`]: over the lab, in real time.
//! * [`report`]: what a run came to, for people and programmes.
//! * `runs`: one in this process, many in processes of their own; `apart`: such a process.
//! * `script`: what is done to the world; `seen`: what everybody saw; `clocks`: what wall clocks that were
//!   moved say of the time.

pub(crate) mod apart;
pub mod cli;
mod clocks;
pub mod lab;
pub mod report;
pub(crate) mod runs;
mod script;
mod seen;
pub mod sim;

/// What runs: the version, and the commit of the sources where it was built, if they are still there as a
/// checkout.
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-C", env!("CARGO_MANIFEST_DIR")]).args(args);
        let said = git.stderr(std::process::Stdio::null()).output().ok()?;
        let said = said.status.success().then_some(said.stdout)?;
        Some(String::from_utf8_lossy(&said).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => version.to_owned(),
        Some(commit) => match git(&["status", "--porcelain", "--untracked-files=no"]) {
            Some(changes) if changes.is_empty() => format!("{version} ({commit})"),
            _ => format!("{version} ({commit}, changed)"),
        },
    }
}
