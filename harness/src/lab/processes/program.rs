//! One process of the program `postern`: its output goes to files that can be read while it runs, and it
//! is killed and reaped when it is dropped.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use postern_kit::clock::monotonic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest wait for a process to say what it has to: a large population takes some seconds.
const SAYS_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a process to end: it may answer sign-ins for 15 s first.
const END_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the program is told by the environment it is started in; a lab's processes are told nothing so.
const TOLD_BY: [&str; 3] = ["POSTERN_TOKEN", "POSTERN_ADMIN_SOCKET", "POSTERN_LOG"];

/// Why a process is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be started.
    #[error("{name} cannot be started")]
    Start {
        /// What it is called.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It cannot be looked at, or takes no signal.
    #[error("{name} cannot be reached")]
    Reach {
        /// What it is called.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It ended, or did not, or did not say in time what it has to.
    #[error("{name} {problem}:\n{log}")]
    Behaviour {
        /// What it is called.
        name: String,
        /// What is the matter.
        problem: String,
        /// Its log.
        log: String,
    },
}

/// How a process is started.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The file of the program.
    pub program: &'a Path,
    /// The folder in which it runs, and which its output goes to.
    pub folder: &'a Path,
    /// What it is called.
    pub name: &'a str,
    /// Its arguments.
    pub args: &'a [&'a str],
    /// What its environment has beside this process's.
    pub environment: &'a [(&'a str, &'a str)],
    /// Nobody reads its standard error any more, as when a terminal is closed.
    pub unread: bool,
}

/// A process.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote to its standard output.
    pub stdout: String,
    /// All that it wrote to its standard error: its log.
    pub stderr: String,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// [`ProgramError::Start`].
    pub fn start(launch: Launch<'_>) -> Result<Self, ProgramError> {
        let name = launch.name.to_owned();
        Self::spawn(launch).map_err(|source| ProgramError::Start { name, source })
    }

    fn spawn(launch: Launch<'_>) -> io::Result<Self> {
        let [(output, stdout), (log, stderr)] = [
            file(launch.folder, launch.name, "out")?,
            file(launch.folder, launch.name, "err")?,
        ];
        let mut command = Command::new(launch.program);
        for name in TOLD_BY {
            command.env_remove(name);
        }
        let mut child = command
            .args(launch.args)
            .envs(launch.environment.iter().copied())
            .current_dir(launch.folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(if launch.unread {
                Stdio::piped()
            } else {
                stderr.into()
            })
            .spawn()?;
        drop(child.stderr.take());
        Ok(Self {
            name: launch.name.to_owned(),
            child,
            output,
            log,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `find` finds something in its output and its log; `what` is for whoever reads the failure.
    ///
    /// # Errors
    /// [`ProgramError`] if it ends before that or takes too long.
    pub async fn says<T>(
        &mut self,
        what: &str,
        find: impl Fn(&str, &str) -> Option<T>,
    ) -> Result<T, ProgramError> {
        let deadline = monotonic() + SAYS_WAIT_MAX;
        loop {
            let ended = self.has_ended()?.is_some();
            let output = fs::read_to_string(&self.output).map_err(|error| self.unreachable(error))?;
            if let Some(found) = find(&output, &self.log()) {
                return Ok(found);
            }
            if ended {
                return Err(self.failed(format!("ended before {what}")));
            }
            if monotonic() >= deadline {
                return Err(self.failed(format!("did not say in time: {what}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for the line of its JSON log with this message: its fields.
    ///
    /// # Errors
    /// As [`Program::says`].
    pub async fn logs(&mut self, message: &str) -> Result<Value, ProgramError> {
        self.says(message, |_, log| logged(log, message).pop()).await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`ProgramError`] if it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProgramError> {
        // The number of a process that was reaped may be another one's by now.
        if self.has_ended()?.is_some() {
            return Err(self.failed("has ended already".to_owned()));
        }
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.map_err(|error| self.unreachable(error.into()))
    }

    /// Ends it where it stands, whatever state it is in.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`ProgramError`] if it does not end in time.
    pub async fn ended(&mut self) -> Result<Ended, ProgramError> {
        let deadline = monotonic() + END_WAIT_MAX;
        loop {
            if let Some(status) = self.has_ended()? {
                return Ok(Ended {
                    code: status.code(),
                    stdout: fs::read_to_string(&self.output).map_err(|error| self.unreachable(error))?,
                    stderr: self.log(),
                });
            }
            if monotonic() >= deadline {
                return Err(self.failed("did not end in time".to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to end, as an operating system does, and waits until it has.
    ///
    /// # Errors
    /// As [`Program::ended`].
    pub async fn terminate(&mut self) -> Result<Ended, ProgramError> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// The same; it must end well.
    ///
    /// # Errors
    /// [`ProgramError`] also if its exit code is not 0.
    pub async fn end_well(&mut self) -> Result<(), ProgramError> {
        match self.terminate().await?.code {
            Some(0) => Ok(()),
            code => Err(self.failed(format!("ended with {code:?}, expected 0"))),
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// [`ProgramError`] if it cannot be looked at.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>, ProgramError> {
        self.child.try_wait().map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, source: io::Error) -> ProgramError {
        ProgramError::Reach {
            name: self.name.clone(),
            source,
        }
    }

    fn failed(&self, problem: String) -> ProgramError {
        ProgramError::Behaviour {
            name: self.name.clone(),
            problem,
            log: self.log(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn output_file(folder: &Path, name: &str, number: u32, stream: &str) -> PathBuf {
    folder.join(format!("{name}-{number}-{stream}.output"))
}

/// The log of the process of this name that was started as the `number`th, counted from 1.
pub(crate) fn log_file(folder: &Path, name: &str, number: u32) -> PathBuf {
    output_file(folder, name, number, "err")
}

/// A new file for the output of a process: one that is started again keeps what it said before.
fn file(folder: &Path, name: &str, stream: &str) -> io::Result<(PathBuf, File)> {
    let mut number = 1;
    loop {
        let path = output_file(folder, name, number, stream);
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The whole lines of a JSON log: of others it may have written a part.
pub fn lines(log: &str) -> impl Iterator<Item = Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The fields of all lines of a JSON log with this message.
pub fn logged(log: &str, message: &str) -> Vec<Value> {
    lines(log)
        .map(|mut line| line["fields"].take())
        .filter(|fields| fields["message"] == message)
        .collect()
}
