//! How far a suite is, on a terminal: a bar that stands below what is told meanwhile.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Styling;
use super::data::{RunReport, Status};
use super::text;

/// The bar of a suite, on standard error; where that is no terminal, nothing is drawn.
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
            self.bar.println(line(run, self.styling));
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
