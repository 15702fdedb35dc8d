//! Runs as they are carried out: one in this process, many in a process for each, which hands its report over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use postern_kit::clock::monotonic;
use postern_kit::telemetry::chain;

use super::apart::within;
use super::report::{Frame, not_carried_out, report};
use super::{lab, sim};
use crate::report::{RunReport, SuiteReport};
use crate::scenario::set::{Setting, set};
use crate::scenario::{Mistakes, Scenario, Schedule, World, cli as files, parse_for};
use crate::sim::stay_on;

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Characters at the end of what a process said before it died that are told.
const LAST_WORDS: usize = 2000;

/// Real time that a run may take, if nobody says otherwise: several times what the largest takes on a busy machine.
/// In the lab it comes on top of the scenario's own time.
pub(crate) const LIMIT: Duration = Duration::from_secs(20 * 60);

/// On top of that for a process that is to notice itself that its time is over.
const OWN_END: Duration = Duration::from_secs(15);

/// A scenario's file that has no mistakes, with fields that were given other values.
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    world: World,
    settings: Vec<Setting>,
    text: String,
    scenario: Scenario,
}

impl Source {
    /// Reads it, to be carried out in this world.
    ///
    /// # Errors
    /// Outside: it cannot be read. Inside: what is wrong with it, for the terminal.
    pub(crate) fn read(
        file: &Path,
        settings: &[Setting],
        world: World,
    ) -> Result<Result<Self, String>, Failed> {
        let name = file.display().to_string();
        let text = files::text(file)?;
        let source = |(text, scenario)| Self {
            file: file.to_owned(),
            world,
            settings: settings.to_owned(),
            text,
            scenario,
        };
        Ok(match parse_for(&name, &text, Some(world)) {
            Err(mistakes) => Err(mistakes.render(false)),
            Ok(scenario) if settings.is_empty() => Ok(source((text, scenario))),
            Ok(_) => changed(&text, settings, world)
                .map(source)
                .map_err(|problem| format!("{name}: {problem}\n")),
        })
    }
}

/// A right file with other values.
fn changed(text: &str, settings: &[Setting], world: World) -> Result<(String, Scenario), String> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    for setting in settings {
        set(&mut table, setting).map_err(|problem| format!("--set {setting}: {problem}"))?;
    }
    let text = toml::to_string(&table).map_err(|error| error.to_string())?;
    let told = |mistakes: Mistakes| {
        let all: Vec<_> = settings.iter().map(Setting::to_string).collect();
        let lines = mistakes.all().iter().map(|mistake| {
            let help = mistake
                .help
                .as_ref()
                .map_or_else(String::new, |help| format!(" ({help})"));
            format!("\n  {}: {}{help}", mistake.field, mistake.problem)
        });
        format!(
            "with {} it is no scenario:{}",
            all.join(", "),
            lines.collect::<String>()
        )
    };
    let scenario = parse_for("scenario", &text, Some(world)).map_err(told)?;
    Ok((text, scenario))
}

/// One run that is to be.
pub(crate) struct Planned<'a> {
    pub(crate) source: &'a Source,
    pub(crate) seed: u64,
}

impl Planned<'_> {
    /// What repeats it, as the arguments of a shell.
    pub(crate) fn repeat(&self) -> String {
        let mut line = format!(
            "postern scenario run {}{}",
            match self.source.world {
                World::Sim => "",
                World::Lab => "--world lab ",
            },
            quoted(&self.source.file.display().to_string())
        );
        for setting in &self.source.settings {
            line.push_str(" --set ");
            line.push_str(&quoted(&setting.to_string()));
        }
        format!("{line} --seed {}", self.seed)
    }

    fn frame(&self, version: &str) -> Frame {
        Frame {
            file: self.source.file.display().to_string(),
            text: self.source.text.clone(),
            world: self.source.world,
            seed: self.seed,
            version: version.to_owned(),
            wall: Duration::ZERO,
            repeat: self.repeat(),
        }
    }
}

/// As a shell reads it as one word.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+=:,%".contains(char);
    match word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// One run, in this process, which must not have simulated before. In the lab it ends by itself after `limit`.
pub(crate) fn here(
    planned: &Planned<'_>,
    version: &str,
    limit: Duration,
    trace: Option<std::fs::File>,
) -> RunReport {
    let scenario = &planned.source.scenario;
    let schedule = Schedule::draw(scenario, planned.seed);
    let began = monotonic();
    let ran = match planned.source.world {
        World::Sim => sim::run(scenario, &schedule, trace).map_err(|error| chain(&error)),
        World::Lab => lab::run(scenario, &schedule, limit).map_err(|error| chain(&error)),
    };
    let frame = Frame {
        wall: monotonic().saturating_duration_since(began),
        ..planned.frame(version)
    };
    match ran {
        Ok(ran) => report(&frame, scenario, &schedule, &ran),
        Err(why) => not_carried_out(&frame, scenario, &why),
    }
}

/// A run in a process of its own, which hands its report over as JSON, and is ended if it takes longer than `limit`.
pub(crate) fn child(planned: &Planned<'_>, version: &str, limit: Duration) -> Result<RunReport, Failed> {
    let began = monotonic();
    let source = planned.source;
    let mut process = Process::new(std::env::current_exe()?);
    process
        .args(["scenario", "run", "--json", "-"])
        .arg(format!("--seed={}", planned.seed))
        .arg(format!("--world={}", source.world))
        .arg(format!("--limit={}", humantime::format_duration(limit)))
        .args(source.settings.iter().map(|setting| format!("--set={setting}")))
        .arg(&source.file);
    let time = match source.world {
        World::Sim => limit,
        World::Lab => source.scenario.duration + limit + OWN_END,
    };
    let ran = within(time, &mut process)?;
    let not_carried_out = |why: &str| {
        let frame = Frame {
            wall: monotonic().saturating_duration_since(began),
            ..planned.frame(version)
        };
        not_carried_out(&frame, &source.scenario, why)
    };
    let Some(ran) = ran else {
        let time = humantime::format_duration(time);
        return Ok(not_carried_out(&format!(
            "It did not end within {time} of real time (--limit)."
        )));
    };
    let read = serde_json::from_str::<SuiteReport>(&ran.out);
    match read.map(|suite| suite.runs) {
        Ok(mut runs) if runs.len() == 1 => Ok(RunReport {
            version: version.to_owned(),
            ..runs.swap_remove(0)
        }),
        Ok(_) | Err(_) => {
            let from = ran.err.len().saturating_sub(LAST_WORDS);
            let said = ran
                .err
                .get(ran.err.floor_char_boundary(from)..)
                .unwrap_or_default();
            let why = format!("Its process ended with {}. It said: {}", ran.status, said.trim());
            Ok(not_carried_out(&why))
        }
    }
}

/// Does something for each of many things, as many at once as there are cores, each on a core of its own if its
/// processes are `pinned`; what came of it in their order.
///
/// # Errors
/// The first that there was; what had not begun by then is not done.
pub(crate) fn each<T: Sync, R: Send>(
    things: &[T],
    pinned: bool,
    work: impl Fn(&T) -> Result<R, Failed> + Sync,
) -> Result<Vec<R>, Failed> {
    let next = Mutex::new(things.iter().enumerate());
    let done = Mutex::new(Vec::new());
    let worker = || loop {
        let Some((at, thing)) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else {
            return;
        };
        let result = work(thing);
        if result.is_err() {
            next.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .by_ref()
                .for_each(drop);
        }
        done.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((at, result));
    };
    let worker = &worker;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for number in 0..workers.min(things.len()) {
            scope.spawn(move || {
                if pinned {
                    own_core(number);
                }
                worker();
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Has all processes that this thread starts run on a core of their own, as far as there are cores.
pub(crate) fn own_core(number: usize) {
    // It is only for speed.
    if let Err(error) = stay_on(u32::try_from(number).unwrap_or_default()) {
        tracing::debug!(%error, "no core of its own");
    }
}

/// Writes a report, with its folder where that is missing.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_file(file: &Path, text: &str) -> Result<(), Failed> {
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(named)?;
    }
    Ok(fs::write(file, text).map_err(named)?)
}
