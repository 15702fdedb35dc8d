//! `postern scenario`: checks scenario files and prints their schema.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Scenario, parse, schema};
use crate::report::text;

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What can be done with scenario files alone.
#[derive(Debug, Subcommand)]
pub enum Command {
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
pub fn run(command: Command, out: &mut dyn Write) -> Result<bool, Failed> {
    match command {
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
    let read: Vec<_> = files
        .iter()
        .map(|file| Ok((file, read(file)?)))
        .collect::<Result<_, Failed>>()?;
    let titles = read.iter().filter_map(|(_, found)| found.as_ref().ok());
    let width = titles
        .map(|scenario| scenario.title.chars().count())
        .max()
        .unwrap_or(0);
    let (mut mistakes, mut wrong, mut folder) = (0, 0, None);
    for (file, found) in &read {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        if folder != parent {
            if let Some(parent) = parent {
                writeln!(out, "{}", paint(styled, "1", &parent.display().to_string()))?;
            }
            folder = parent;
        }
        match found {
            Ok(scenario) => {
                let mark = paint(styled, "32", "✓");
                let size = paint(styled, "2", &size(scenario));
                writeln!(out, "  {mark} {:width$}  {size}", scenario.title)?;
            }
            Err(found) => {
                wrong += 1;
                mistakes += found.all().len();
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                writeln!(out, "  {} {name}\n", paint(styled, "31", "✗"))?;
                write!(out, "{}", found.render(styled))?;
            }
        }
    }
    let summary = match (files.len(), wrong) {
        (all, 0) => {
            let scenarios = text::counted(all as u64, "scenario");
            paint(styled, "32", &format!("{scenarios}, no mistakes"))
        }
        (all, wrong) => {
            let mistakes = text::counted(mistakes as u64, "mistake");
            let scenarios = text::counted(all as u64, "scenario");
            paint(styled, "31", &format!("{mistakes} in {wrong} of {scenarios}"))
        }
    };
    let line = if wrong == 0 { "\n" } else { "" };
    writeln!(out, "{line}{summary}")?;
    Ok(wrong == 0)
}

fn paint(styled: bool, colour: &str, text: &str) -> String {
    if styled {
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// How large a scenario is, in a few words.
fn size(scenario: &Scenario) -> String {
    let loads = scenario.loads.iter().map(|load| load.span.count());
    let attacks = scenario.attacks.iter().map(|attack| attack.span.count());
    let sign_ins = loads.chain(attacks).sum::<f64>() + scenario.sign_ins.len() as f64;
    let faults = match (scenario.faults.len(), &scenario.nemesis) {
        (0, None) => String::new(),
        (0, Some(_)) => ", faults at random".to_owned(),
        (1, None) => ", 1 fault".to_owned(),
        (count, None) => format!(", {count} faults"),
        (count, Some(_)) => format!(", {count} faults and more at random"),
    };
    // Rounded: what chance brings is not known before.
    let sign_ins = text::counted(sign_ins.round() as u64, "sign-in");
    format!(
        "{:>7}, {:>2} hosts, about {sign_ins}{faults}",
        text::duration(scenario.duration),
        scenario.hosts().len(),
    )
}

/// Reads a scenario file.
///
/// # Errors
/// Outside: it cannot be read. Inside: its mistakes.
pub fn read(file: &Path) -> Result<Result<Scenario, super::Mistakes>, Failed> {
    Ok(parse(&file.display().to_string(), &text(file)?))
}

/// The text of a file.
///
/// # Errors
/// It cannot be read, or is no text; with its name.
pub fn text(file: &Path) -> Result<String, Failed> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = fs::read(file).map_err(|error| named(&error))?;
    Ok(String::from_utf8(bytes).map_err(|_| named(&"is not UTF-8 text"))?)
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
