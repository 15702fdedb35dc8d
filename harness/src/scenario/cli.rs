//! `postern scenario`: checks scenario files and prints their schema.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Scenario, parse, schema};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What `scenario` takes.
#[derive(Debug, Args)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks files, and all files of folders, without running them.
    Check {
        /// Scenario files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Prints the JSON Schema of scenario files, for editors.
    Schema,
}

/// Runs a command; whether all was well. Writes to `out`, in colours if that is a terminal which wants them.
///
/// # Errors
/// What cannot be read or written.
pub fn run(args: ScenarioArgs, out: &mut dyn Write) -> Result<bool, Failed> {
    match args.command {
        Command::Check { paths } => check(&paths, colours(), out),
        Command::Schema => {
            out.write_all(schema().as_bytes())?;
            Ok(true)
        }
    }
}

/// Whether to write in colours: to a terminal, unless its user does not want them.
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Checks files and reports all mistakes of all of them.
fn check(paths: &[PathBuf], styled: bool, out: &mut dyn Write) -> Result<bool, Failed> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(scenario_files(path)?);
    }
    let paint = |colour: &str, text: &str| {
        if styled {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    };
    let (mut mistakes, mut wrong, mut folder) = (0, 0, None);
    for file in &files {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        if folder != parent {
            if let Some(parent) = parent {
                writeln!(out, "{}", paint("1", &parent.display().to_string()))?;
            }
            folder = parent;
        }
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        match read(file)? {
            Ok(scenario) => writeln!(
                out,
                "  {} {}  {}",
                paint("32", "✓"),
                scenario.title,
                paint("2", &name)
            )?,
            Err(found) => {
                wrong += 1;
                mistakes += found.all().len();
                writeln!(out, "  {} {name}\n", paint("31", "✗"))?;
                write!(out, "{}", found.render(styled))?;
            }
        }
    }
    let summary = match (files.len(), wrong) {
        (1, 0) => paint("32", "1 scenario, no mistakes"),
        (all, 0) => paint("32", &format!("{all} scenarios, no mistakes")),
        (all, wrong) => {
            let plural = if mistakes == 1 { "" } else { "s" };
            paint(
                "31",
                &format!("{mistakes} mistake{plural} in {wrong} of {all} scenarios"),
            )
        }
    };
    writeln!(out, "\n{summary}")?;
    Ok(wrong == 0)
}

/// Reads a scenario file.
///
/// # Errors
/// Outside: it cannot be read. Inside: its mistakes.
pub fn read(file: &Path) -> Result<Result<Scenario, super::Mistakes>, Failed> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = fs::read(file).map_err(|error| named(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| named(&"is not UTF-8 text"))?;
    Ok(parse(&file.display().to_string(), &text))
}

/// Deepest folder that is looked into: scenarios lie one deep.
const DEPTH_MAX: usize = 8;

/// The scenario files that a path means: itself, or all `.toml` files below it, by name.
///
/// # Errors
/// It cannot be read, or there is none.
pub fn scenario_files(path: &Path) -> Result<Vec<PathBuf>, Failed> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    if !fs::metadata(path).map_err(|error| named(&error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut folders, mut files) = (vec![(path.to_owned(), 0)], Vec::new());
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| named(&error))? {
            let entry = entry.map_err(|error| named(&error))?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() && depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        return Err(named(&"has no scenario files (*.toml)").into());
    }
    files.sort();
    Ok(files)
}
