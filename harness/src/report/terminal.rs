//! Reports on a terminal: what failed and why first in sight, figures below, and the line that repeats it last.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};

use super::data::{Finding, OfFile, RunReport, Status, SuiteReport, Verdict};
use super::group::OutcomeGroup;
use super::text;

/// Runs of a suite that are told in full; of the others their lines are enough to repeat them.
const TOLD_MAX: usize = 5;

/// Longest title in a list, so that a line has room for its figures.
const TITLE_MAX: usize = 76;

/// Whether colours are used; without them all is said in words and marks, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Styling {
    /// Text alone.
    Plain,
    /// With colours.
    Coloured,
}

impl Styling {
    /// For what is written to this stream: colours if it is a terminal that has them, unless `NO_COLOR` or the
    /// like forbids them.
    pub fn of(stream: &impl anstream::stream::RawStream) -> Self {
        match anstream::AutoStream::choice(stream) {
            anstream::ColorChoice::Never => Self::Plain,
            _ => Self::Coloured,
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{style}{text}{style:#}"),
        }
    }

    fn status(self, status: Status, text: &str) -> String {
        self.paint(colour(status).bold(), text)
    }

    fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub(super) fn soft(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }
}

fn colour(status: Status) -> Style {
    let colour = match status {
        Status::Passed => AnsiColor::Green,
        Status::Failed => AnsiColor::Red,
        Status::Error => AnsiColor::Yellow,
    };
    colour.on_default()
}

/// A run's mark in its colour.
pub(super) fn mark(status: Status, styling: Styling) -> String {
    styling.status(status, status.mark())
}

/// One run.
pub fn run(run: &RunReport, styling: Styling) -> String {
    let mut to = String::new();
    head(&mut to, run, styling);
    for (at, finding) in run.findings.iter().enumerate() {
        let mut above = run.findings.iter().take(at);
        let told = above.any(|other| finding.request.is_some() && other.request == finding.request);
        tell(&mut to, run, finding, told, styling);
    }
    figures(&mut to, run);
    if run.status == Status::Passed {
        let holds = run.count(Verdict::Holds) as u64;
        let verb = if holds == 1 { "holds" } else { "hold" };
        let holding = text::counted(holds, "check");
        say(
            &mut to,
            &format!("\n  {}, {holding} {verb}", styling.status(run.status, "passed")),
        );
        say(&mut to, &format!("  {}", styling.soft(&text::line(&run.repeat))));
    } else {
        let broken = run.count(Verdict::Broken);
        if broken > 0 {
            let of = text::counted((broken + run.count(Verdict::Holds)) as u64, "check");
            let verb = if broken == 1 { "does" } else { "do" };
            say(&mut to, &format!("\n  {broken} of {of} {verb} not hold"));
        }
        say(&mut to, "\n  repeat it with:");
        say(
            &mut to,
            &format!("    {}", styling.strong(&text::line(&run.repeat))),
        );
    }
    to
}

/// Many runs: all in a list, then what failed.
pub fn suite(suite: &SuiteReport, styling: Styling) -> String {
    let mut to = String::new();
    for (name, runs) in suite.suites() {
        say(&mut to, &styling.strong(&text::line(name)));
        list(&mut to, &runs, styling);
    }
    let all = suite.runs.iter();
    let failed: Vec<_> = all.filter(|run| run.status != Status::Passed).collect();
    for failure in failed.iter().take(TOLD_MAX) {
        say(&mut to, "");
        to.push_str(&run(failure, styling));
    }
    let not_told = failed.iter().skip(TOLD_MAX);
    if not_told.len() > 0 {
        let others = text::counted(not_told.len() as u64, "more run");
        say(&mut to, &format!("\n{others} did not pass; repeat with:"));
        for failure in not_told {
            say(&mut to, &format!("  {}", text::line(&failure.repeat)));
        }
    }
    let sign_ins = suite.runs.iter().map(|run| run.summary.sign_ins).sum();
    let passed = suite.count(Status::Passed);
    let verdict = format!(
        "{passed} of {} passed",
        text::counted(suite.runs.len() as u64, "run")
    );
    let kinds = [Status::Failed, Status::Error];
    let kinds = kinds.map(|status| (suite.count(status), status.word()));
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds: String = kinds.map(|(count, word)| format!(", {count} {word}")).collect();
    say(
        &mut to,
        &format!(
            "\n{}{kinds}; {} in {}, from seed {} on",
            styling.status(suite.status(), &verdict),
            text::counted(sign_ins, "sign-in"),
            text::duration(suite.wall),
            suite.seed
        ),
    );
    to
}

/// A line. Writing to a string does not fail.
fn say(to: &mut String, line: &str) {
    let _ = writeln!(to, "{line}");
}

fn head(to: &mut String, run: &RunReport, styling: Styling) {
    let mark = mark(run.status, styling);
    let title = styling.strong(&text::line(&run.title));
    let word = styling.status(run.status, run.status.word());
    say(to, &format!("{mark} {title}: {word}"));
    let facts = format!(
        "{}, seed {}: {} on {}, took {}",
        text::line(&run.file),
        run.seed,
        text::duration(run.virtual_duration),
        text::counted(run.hosts.len() as u64, "host"),
        text::duration(run.wall_duration)
    );
    say(to, &format!("  {}", styling.soft(&facts)));
}

/// A finding with its timeline, in which the hosts stand in a column; without it if that was `told` before.
fn tell(to: &mut String, run: &RunReport, finding: &Finding, told: bool, styling: Styling) {
    say(
        to,
        &format!(
            "\n  {}",
            styling.status(Status::Failed, &text::line(&finding.name))
        ),
    );
    for line in finding.explanation.lines() {
        say(to, &format!("    {}", text::line(line)));
    }
    if !finding.means.is_empty() {
        say(to, &format!("    {}", styling.soft(&text::line(&finding.means))));
    }
    if let Some(about) = about(run, finding) {
        say(to, &format!("    {}", styling.soft(&about)));
    }
    if let Some(more) = more(finding) {
        say(to, &format!("    {}", styling.soft(&more)));
    }
    // What happened around the same sign-in is not told twice.
    if finding.timeline.is_empty() || told {
        return;
    }
    say(to, "");
    let mut table = table();
    for line in &finding.timeline {
        table.add_row([
            format!("{} s", text::moment(line.at)),
            text::line(&line.host),
            text::line(&line.text),
        ]);
    }
    align(&mut table, 0);
    indent(to, &table, 6);
}

/// That there are more of a finding's kind.
pub(super) fn more(finding: &Finding) -> Option<String> {
    let times = text::counted(finding.more as u64, "more time");
    (finding.more > 0).then(|| format!("this is the first; it happened {times}"))
}

/// Which sign-in a finding is about, as its client saw it.
pub(super) fn about(run: &RunReport, finding: &Finding) -> Option<String> {
    let place = finding.request?;
    let Some(point) = run.series.sign_ins.get(place) else {
        return Some(format!("sign-in {place}"));
    };
    let came = match point.outcome {
        Some(outcome) => format!("answered {outcome} after {}", text::duration(point.latency)),
        None => format!("not answered in {}", text::duration(point.latency)),
    };
    Some(format!(
        "sign-in {place}, sent at {} s, {came}",
        text::moment(point.at)
    ))
}

fn figures(to: &mut String, run: &RunReport) {
    let summary = &run.summary;
    say(to, "");
    if summary.sign_ins == 0 {
        say(to, "  nobody signed in");
        return;
    }
    let mut table = table();
    table.set_header([
        text::counted(summary.sign_ins, "sign-in"),
        String::new(),
        String::new(),
        "p50".to_owned(),
        "p90".to_owned(),
        "p99".to_owned(),
        "max".to_owned(),
    ]);
    for group in OutcomeGroup::ALL {
        let count = summary.group(group);
        if count == 0 {
            continue;
        }
        let latency = summary.latency.iter().find(|latency| latency.group == group);
        let times = latency.map(|of| [of.p50, of.p90, of.p99, of.max].map(text::duration));
        let mut row = vec![
            group.says().to_owned(),
            text::count(count),
            text::share(count, summary.sign_ins),
        ];
        row.extend(times.unwrap_or_default());
        table.add_row(row);
    }
    (1..7).for_each(|column| align(&mut table, column));
    indent(to, &table, 2);
    for line in others(run).chunks(3) {
        say(to, &format!("  {}", line.join(", ")));
    }
}

/// Figures beside those of sign-ins.
pub(super) fn others(run: &RunReport) -> Vec<String> {
    let summary = &run.summary;
    let mut others = vec![
        text::counted(summary.hand_offs, "hand-off"),
        text::counted(summary.binds, "bind"),
        format!(
            "{} at most of one account in a window",
            text::counted(summary.failures_per_account_max, "counted failure")
        ),
        format!(
            "{} of {} locked by the directory",
            text::count(summary.locked_accounts),
            text::counted(summary.accounts, "account")
        ),
    ];
    if summary.closed_accounts > 0 {
        let closed = text::count(summary.closed_accounts);
        others.push(format!("{closed} turned away with the right password"));
    }
    if summary.fallen_accounts > 0 {
        others.push(format!(
            "{} opened by a guess",
            text::count(summary.fallen_accounts)
        ));
    }
    others.push(text::counted(summary.log_records, "log record"));
    others
}

/// Of a file with many seeds, those that are listed by themselves because they did not pass.
const LISTED_MAX: usize = 10;

/// The runs of a suite: a line for each file, and one for each seed that did not pass where there are several.
fn list(to: &mut String, runs: &[&RunReport], styling: Styling) {
    let mut table = table();
    let mut statuses = Vec::new();
    let mut add = |status: Status, title: String, seeds: String, sign_ins: u64, took: std::time::Duration| {
        statuses.push(status);
        let sign_ins = text::counted(sign_ins, "sign-in");
        table.add_row([
            status.mark().to_owned(),
            title,
            seeds,
            sign_ins,
            text::duration(took),
        ]);
    };
    for of_file in OfFile::all(runs) {
        let title = of_file.0.first().map_or("", |run| &run.title);
        let title = text::short(&text::line(title), TITLE_MAX);
        add(
            of_file.status(),
            title,
            of_file.seeds(),
            of_file.sign_ins(),
            of_file.took(),
        );
        for run in of_file.not_passed().take(LISTED_MAX) {
            let (seed, why) = (format!("seed {}", run.seed), format!("  {}", run.status.word()));
            add(run.status, why, seed, run.summary.sign_ins, run.wall_duration);
        }
    }
    (2..5).for_each(|column| align(&mut table, column));
    // Colours come last: the table counts characters.
    for (line, status) in table.lines().zip(statuses) {
        let line = line.trim();
        let rest = line.strip_prefix(status.mark()).unwrap_or(line);
        let rest = match status {
            Status::Passed => rest.to_owned(),
            Status::Failed | Status::Error => styling.status(status, rest),
        };
        say(to, &format!("  {}{rest}", styling.status(status, status.mark())));
    }
}

/// Columns with two blanks between them.
pub(super) fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

pub(super) fn align(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

pub(super) fn indent(to: &mut String, table: &Table, by: usize) {
    for line in table.lines() {
        // The table's own margin.
        let line = line.strip_prefix(' ').unwrap_or(&line);
        say(to, format!("{:by$}{line}", "").trim_end());
    }
}
