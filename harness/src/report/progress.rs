//! How far a suite is, on a terminal: a bar that stands below what is told meanwhile.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Styling;
use super::data::{RunReport, Status};
use super::text;

/// The bar of a suite, on standard error; where that is no terminal, what did not pass is told, and now and then how
/// far it is.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    styling: Styling,
    failed: u64,
    pace: Pace,
}

impl Progress {
    /// Of so many runs.
    pub fn of(runs: u64) -> Self {
        Self::on(
            ProgressDrawTarget::stderr(),
            Styling::of(&std::io::stderr()),
            Some(runs),
        )
    }

    /// Of runs of which nobody knows how many there will be.
    pub fn endless() -> Self {
        Self::on(
            ProgressDrawTarget::stderr(),
            Styling::of(&std::io::stderr()),
            None,
        )
    }

    fn on(target: ProgressDrawTarget, styling: Styling, runs: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(runs, target);
        let colour = match styling {
            Styling::Plain => "",
            Styling::Coloured => ":.green",
        };
        let template = match runs {
            Some(_) => {
                format!("{{bar:32{colour}}} {{pos}} of {{len}} runs{{msg}}, {{elapsed}}, {{eta}} left")
            }
            None => format!("{{spinner{colour}}} {{pos}} runs{{msg}}, {{elapsed}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━━╌"));
        }
        Self {
            bar,
            styling,
            failed: 0,
            pace: Pace::default(),
        }
    }

    /// One more is done; one that did not pass is told at once, above the bar.
    pub fn done(&mut self, run: &RunReport) {
        self.done_as(&run.title, run);
    }

    /// The same, called `name` instead of by its title: of an experiment's runs all have the same one.
    pub fn done_as(&mut self, name: &str, run: &RunReport) {
        if run.status != Status::Passed {
            self.failed += 1;
            self.bar.set_message(format!(", {} did not pass", self.failed));
            self.tell(&line(name, run, self.styling));
        }
        self.bar.inc(1);
        self.now_and_then();
    }

    /// One more is done, of which others tell.
    pub fn step(&mut self, passed: bool) {
        if !passed {
            self.failed += 1;
            self.bar.set_message(format!(", {} did not pass", self.failed));
        }
        self.bar.inc(1);
        self.now_and_then();
    }

    /// Takes the bar away while something else is written.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// A line above the bar. Where there is no bar there may still be somebody who waits; nobody is told if that
    /// cannot be written.
    pub fn tell(&self, line: &str) {
        match self.bar.is_hidden() {
            true => _ = writeln!(std::io::stderr(), "{line}"),
            false => self.bar.println(line),
        }
    }

    /// Says how far it is where there is no bar, so that a log shows that it goes on.
    fn now_and_then(&mut self) {
        if !self.bar.is_hidden() {
            return;
        }
        let (took, done) = (self.bar.elapsed(), self.bar.position());
        if let Some(line) = self.pace.line(took, done, self.bar.length(), self.failed) {
            self.tell(&line);
        }
    }

    /// Takes the bar away, so that the summary stands alone.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// Which run did not pass, and what of it did not hold.
fn line(name: &str, run: &RunReport, styling: Styling) -> String {
    let mark = super::terminal::mark(run.status, styling);
    let what = match run.findings.as_slice() {
        [] => String::new(),
        [one] => format!(": {}", text::line(&one.name)),
        [first, more @ ..] => format!(": {}, and {} more", text::line(&first.name), more.len()),
    };
    format!("{mark} {} (seed {}){what}", text::line(name), run.seed)
}

/// Time between two lines about how far it is: a log of an hour has a hundred.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// When how far it is was said last.
#[derive(Debug, Default)]
struct Pace {
    said: Duration,
}

impl Pace {
    /// What to say after so much time; nothing if that was done a moment ago, or all is over.
    fn line(&mut self, took: Duration, done: u64, of: Option<u64>, failed: u64) -> Option<String> {
        if took < self.said + SAID_EVERY || of == Some(done) {
            return None;
        }
        self.said = took;
        let of = of.map_or_else(String::new, |of| format!(" of {}", text::count(of)));
        let runs = text::counted(done, "run");
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {} did not pass", text::count(failed)),
        };
        Some(match of.is_empty() {
            true => format!("{runs}{failed}, after {}", text::duration(took)),
            false => format!(
                "{}{of} runs{failed}, after {}",
                text::count(done),
                text::duration(took)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;
    use crate::report::sample;

    /// A terminal that remembers all that was ever written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)?;
            self.write_str("\n")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_did_not_pass_is_told_at_once() {
        let paper = Paper::default();
        let target = ProgressDrawTarget::term_like(Box::new(paper.clone()));
        let mut progress = Progress::on(target, Styling::Plain, Some(3));
        progress.done(&sample::passed(7));
        let mut failed = sample::failed(8);
        failed.title.push('\u{1b}');
        progress.done(&failed);
        progress.bar.tick();
        let told = paper.0.lock().unwrap().clone();
        assert!(
            told.contains("✗ An agent dies and nobody notices\\u{1b} (seed 8): I2, "),
            "{told}"
        );
        assert!(told.contains("2 of 3 runs, 1 did not pass"), "{told}");
        assert!(!told.contains("(seed 7)"), "{told}");
        progress.end();
    }

    #[test]
    fn where_there_is_no_bar_a_line_now_and_then_says_how_far_it_is() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        assert_eq!(pace.line(29 * second, 3, Some(90), 0), None);
        let said = pace.line(31 * second, 4, Some(90), 1);
        assert_eq!(said.as_deref(), Some("4 of 90 runs, 1 did not pass, after 31 s"));
        assert_eq!(pace.line(60 * second, 8, Some(90), 1), None, "a moment ago");
        let said = pace.line(61 * second, 1, None, 0);
        assert_eq!(said.as_deref(), Some("1 run, after 1 min 1 s"));
        assert_eq!(pace.line(200 * second, 90, Some(90), 0), None, "all is over");
    }
}
