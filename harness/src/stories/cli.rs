//! `postern story`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use postern_kit::random::{SystemRandom, below};
use postern_kit::telemetry::chain;

use super::{STORIES, Stage};
use crate::sim;

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Seeds that are drawn: short enough to be typed.
const SEEDS: u64 = 1_000_000;

/// Arguments of `postern story`.
#[derive(Debug, Args)]
pub struct StoryArgs {
    /// Which story; all are listed without it.
    name: Option<String>,
    /// The run's seed; the same one repeats a run. Drawn if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes everything that happens to this file, a line each, to compare two runs.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Log filter, such as `warn,postern_cloud=debug`.
    #[arg(long, default_value = "off", env = "POSTERN_LOG")]
    log: String,
}

/// Plays a story in this process, which must not have played one before, and outside of any runtime.
///
/// # Errors
/// What is wrong with the arguments, or with the terminal.
pub fn run(args: &StoryArgs, out: &mut dyn Write) -> Result<ExitCode, Failed> {
    let Some(name) = &args.name else {
        for story in STORIES {
            writeln!(out, "{:<22} {}", story.name, story.about)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(story) = STORIES.iter().find(|story| story.name == name) else {
        let names: Vec<_> = STORIES.iter().map(|story| story.name).collect();
        return Err(format!("story: {name:?} is none; expected one of {}", names.join(", ")).into());
    };
    if args.log != "off" {
        sim::log_to_terminal(&args.log)?;
    }
    let trace = args.trace.as_ref().map(File::create).transpose()?;
    let seed = args.seed.unwrap_or_else(|| below(&SystemRandom, SEEDS));
    // First: whatever happens then, it can be repeated.
    writeln!(out, "story {name} --seed {seed}")?;
    out.flush()?;
    let mut stage = Stage::new(seed, trace);
    let played = (story.play)(&mut stage);
    for line in &stage.report().lines {
        writeln!(out, "  {line}")?;
    }
    if let Some((digest, happenings)) = &stage.report().digest {
        writeln!(out, "trace {digest} of {happenings} happenings")?;
    }
    match played {
        Ok(()) => {
            writeln!(out, "ok")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(out, "FAILED: {}", chain(&error))?;
            writeln!(out, "repeat it with: postern story {name} --seed {seed}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
