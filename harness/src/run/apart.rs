//! Processes that have a time to end in: one that does not is ended, so that nobody waits for ever.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// For a process that is asked to end: a lab ends its own processes first.
const END_WAIT: Duration = Duration::from_secs(10);

/// What a process said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

/// Runs a process and waits for its end; `None` if it took longer than `limit` of real time and was ended.
///
/// # Errors
/// It could not be started.
pub(crate) fn within(limit: Duration, command: &mut Command) -> io::Result<Option<Said>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let Ok(out) = out.recv_timeout(limit) else {
        end(&mut child, &out);
        return Ok(None);
    };
    let status = child.wait()?;
    // It has ended, and so have its pipes.
    let err = err.recv_timeout(END_WAIT).unwrap_or_default();
    Ok(Some(Said { status, out, err }))
}

/// Reads to the end, apart: a full pipe would stop who writes.
fn reader(from: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // A pipe that breaks has said all that it will.
        let _ = from.map(|mut from| from.read_to_end(&mut text));
        let _ = done.send(String::from_utf8_lossy(&text).into_owned());
    });
    ended
}

/// Asks a process to end, and ends it.
fn end(child: &mut Child, out: &mpsc::Receiver<String>) {
    // It may have ended just now, or be deaf.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let _ = out.recv_timeout(END_WAIT);
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]);
        shell
    }

    #[test]
    fn what_a_process_says_is_heard_and_one_that_does_not_end_is_ended() {
        let soon = Duration::from_secs(60);
        let said = within(soon, &mut shell("echo out; echo err >&2; exit 3"))
            .unwrap()
            .unwrap();
        let code = said.status.code();
        assert_eq!(
            (code, said.out.as_str(), said.err.as_str()),
            (Some(3), "out\n", "err\n")
        );
        // The shell itself becomes what does not end.
        let never = within(Duration::from_millis(50), &mut shell("exec sleep 600")).unwrap();
        assert!(never.is_none());
    }
}
