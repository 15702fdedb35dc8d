//! How far a suite is, on a terminal: a bar that stands below what is told meanwhile.

use std::io::Write as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Styling;
use super::data::{RunReport, Status};
use super::text;

/// The bar of a suite, on standard error; where that is no terminal, only what did not pass is told.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    styling: Styling,
    failed: u64,
}

impl Progress {
    /// Of so many runs.
    pub fn of(runs: u64) -> Self {
        Self::on(
            ProgressDrawTarget::stderr(),
            Styling::of(&std::io::stderr()),
            runs,
        )
    }

    fn on(target: ProgressDrawTarget, styling: Styling, runs: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(runs), target);
        let colour = match styling {
            Styling::Plain => "",
            Styling::Coloured => ":.green",
        };
        let template =
            format!("{{bar:32{colour}}} {{pos}} of {{len}} runs{{msg}}, {{elapsed}}, {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━━╌"));
        }
        Self {
            bar,
            styling,
            failed: 0,
        }
    }

    /// One more is done; one that did not pass is told at once, above the bar.
    pub fn done(&mut self, run: &RunReport) {
        if run.status != Status::Passed {
            self.failed += 1;
            self.bar.set_message(format!(", {} did not pass", self.failed));
            let line = line(run, self.styling);
            // Where there is no bar there may still be somebody who waits; nobody is told if that cannot be written.
            match self.bar.is_hidden() {
                true => _ = writeln!(std::io::stderr(), "{line}"),
                false => self.bar.println(line),
            }
        }
        self.bar.inc(1);
    }

    /// Takes the bar away, so that the summary stands alone.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

fn line(run: &RunReport, styling: Styling) -> String {
    let mark = super::terminal::mark(run.status, styling);
    format!("{mark} {} (seed {})", text::line(&run.title), run.seed)
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
        let mut progress = Progress::on(target, Styling::Plain, 3);
        progress.done(&sample::passed(7));
        let mut failed = sample::failed(8);
        failed.title.push('\u{1b}');
        progress.done(&failed);
        progress.bar.tick();
        let told = paper.0.lock().unwrap().clone();
        assert!(
            told.contains("✗ An agent dies and nobody notices\\u{1b} (seed 8)"),
            "{told}"
        );
        assert!(told.contains("2 of 3 runs, 1 did not pass"), "{told}");
        assert!(!told.contains("(seed 7)"), "{told}");
        progress.end();
    }
}
