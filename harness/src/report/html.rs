//! A run, or many, as one page that needs nothing else: what failed and why comes first, then what happened when,
//! then all figures, then how to repeat it.

use std::collections::BTreeSet;

use askama::Template;

use super::data::{FaultSpan, Finding, OfFile, RunReport, Status, SuiteReport, Verdict};
use super::group::OutcomeGroup;
pub use super::page::PageError;
pub use super::plot::PlotError;
use super::plot::run::{self as plots, Layer};
use super::{page, terminal, text};

/// Runs of a suite that are drawn, those first that did not pass: a page of hundreds of plots opens slowly.
const DRAWN_MAX: usize = 40;

/// Marks of one group of sign-ins in a plot at most, where it matters: more would be a blot.
const MARKS_MANY: usize = 4000;

/// The same for runs of a suite that passed, so that a page of a hundred runs still opens.
const MARKS_FEW: usize = 500;

/// Runs of a suite that have a part of their own; of the others the list has a line.
const PARTS_MAX: usize = 400;

#[derive(Template)]
#[template(path = "report/run.html")]
struct RunView<'a> {
    run: &'a RunReport,
    /// The level of its title; those below follow.
    level: u8,
    verdict: String,
    tiles: Vec<(String, &'static str)>,
    findings: Vec<FindingView<'a>>,
    plots: Vec<PlotView>,
    faults: Vec<FaultView<'a>>,
    latency: Vec<GroupRow>,
    outcomes: Vec<(String, String)>,
    others: String,
    /// How many were looked at.
    checks: String,
    broken: usize,
    facts: Vec<(&'static str, String)>,
}

impl RunView<'_> {
    fn below(&self) -> u8 {
        self.level + 1
    }
}

struct FindingView<'a> {
    finding: &'a Finding,
    /// The finding above that shows the same sign-in: what happened around it is not told twice.
    same_as: Option<&'a str>,
    about: Option<String>,
    more: Option<String>,
    timeline: Vec<LineView<'a>>,
}

struct LineView<'a> {
    at: String,
    /// From when the sign-in was sent.
    since: Option<String>,
    host: &'a str,
    text: &'a str,
    is_fault: bool,
}

struct PlotView {
    title: &'static str,
    about: &'static str,
    /// What it shows, for who does not see it.
    described: String,
    svg: String,
    legend: Vec<Symbol>,
}

struct Symbol {
    svg: String,
    name: &'static str,
    count: String,
}

struct FaultView<'a> {
    fault: &'a FaultSpan,
    from: String,
    lasted: String,
    hosts: String,
}

struct GroupRow {
    symbol: String,
    name: &'static str,
    means: &'static str,
    count: String,
    share: String,
    times: Vec<String>,
}

#[derive(Template)]
#[template(path = "report/suite.html")]
struct SuiteView<'a> {
    verdict: String,
    status: Status,
    tiles: Vec<(String, &'static str)>,
    suites: Vec<(&'a str, Vec<Row<'a>>)>,
    parts: Vec<Part<'a>>,
    not_drawn: usize,
    no_part: usize,
}

/// A file in the list, or one run of it that did not pass.
struct Row<'a> {
    status: Status,
    title: &'a str,
    /// Its part of the page.
    id: Option<String>,
    why: String,
    seeds: String,
    sign_ins: String,
    took: String,
    /// One of several runs of the file above.
    is_one_of: bool,
}

/// A run's part of a suite's page.
struct Part<'a> {
    run: &'a RunReport,
    id: String,
    content: String,
}

/// The page of one run.
///
/// # Errors
/// [`PageError`] if the libraries refuse.
pub fn run(report: &RunReport) -> Result<String, PageError> {
    let content = run_view(report, 1, Some(MARKS_MANY))?.render()?;
    page::page(&report.title, &content)
}

/// The page of many runs: all in a list, and a part for each, open where it did not pass.
///
/// # Errors
/// As [`run`].
pub fn suite(report: &SuiteReport) -> Result<String, PageError> {
    let with_part = with_part(report);
    let parts = with_part.iter().enumerate();
    let parts = parts.filter_map(|(place, at)| Some((place, at, report.runs.get(*at)?)));
    let parts = parts.map(|(place, at, run)| {
        let detail = match run.status {
            _ if place >= DRAWN_MAX => None,
            Status::Passed => Some(MARKS_FEW),
            Status::Failed | Status::Error => Some(MARKS_MANY),
        };
        let content = run_view(run, 2, detail)?.render()?;
        Ok(Part {
            run,
            id: id(*at),
            content,
        })
    });
    let parts: Vec<_> = parts.collect::<Result<_, PageError>>()?;
    let passed = report.count(Status::Passed);
    let sign_ins = report.runs.iter().map(|run| run.summary.sign_ins).sum();
    let virtual_time = text::sum(report.runs.iter().map(|run| run.virtual_duration));
    let runs = report.runs.len();
    let view = SuiteView {
        verdict: match runs {
            0 => "Nothing was run.".to_owned(),
            _ if passed == runs => format!("All {} passed.", text::counted(runs as u64, "run")),
            _ => format!(
                "{} of {} did not pass.",
                runs - passed,
                text::counted(runs as u64, "run")
            ),
        },
        status: report.status(),
        tiles: vec![
            (text::count(passed as u64), "passed"),
            (text::count(report.count(Status::Failed) as u64), "failed"),
            (text::count(report.count(Status::Error) as u64), "not carried out"),
            (text::count(sign_ins), plural(sign_ins, "sign-in", "sign-ins")),
            (text::duration(virtual_time), "on the runs' clocks"),
            (text::duration(report.wall), "really taken"),
            (report.seed.to_string(), "first seed"),
        ],
        suites: suites(report, &with_part),
        not_drawn: parts.len().saturating_sub(DRAWN_MAX),
        no_part: runs - parts.len(),
        parts,
    };
    page::page("Scenarios", &view.render()?)
}

fn suites<'a>(report: &'a SuiteReport, with_part: &[usize]) -> Vec<(&'a str, Vec<Row<'a>>)> {
    let id_of = |run: &RunReport| {
        let at = report.runs.iter().position(|other| std::ptr::eq(other, run));
        at.filter(|at| with_part.contains(at)).map(id)
    };
    let rows = |of_file: &OfFile<'a>| {
        let first = of_file.0.first().copied();
        let alone = first.filter(|_| of_file.0.len() == 1);
        let whole = Row {
            status: of_file.status(),
            title: first.map_or("", |run| run.title.as_str()),
            id: first.and_then(id_of),
            why: alone.map_or_else(String::new, why),
            seeds: of_file.seeds(),
            sign_ins: text::count(of_file.sign_ins()),
            took: text::duration(of_file.took()),
            is_one_of: false,
        };
        let others = of_file.not_passed().map(|run| Row {
            status: run.status,
            title: run.title.as_str(),
            id: id_of(run),
            why: why(run),
            seeds: format!("seed {}", run.seed),
            sign_ins: text::count(run.summary.sign_ins),
            took: text::duration(run.wall_duration),
            is_one_of: true,
        });
        std::iter::once(whole).chain(others).collect::<Vec<_>>()
    };
    let suites = report.suites().into_iter();
    suites
        .map(|(name, runs)| (name, OfFile::all(&runs).iter().flat_map(rows).collect()))
        .collect()
}

/// The runs that get a part of the page, by their places: what did not pass, and the first run of each file.
fn with_part(report: &SuiteReport) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let runs = report.runs.iter().enumerate();
    let mut kept: Vec<_> = runs
        .filter(|(_, run)| seen.insert((&run.file, &run.title)) || run.status != Status::Passed)
        .collect();
    // Stable: what did not pass first, all else as it was asked for.
    kept.sort_by_key(|(_, run)| run.status == Status::Passed);
    kept.into_iter().map(|(at, _)| at).take(PARTS_MAX).collect()
}

/// Why a run did not pass, in a line.
fn why(run: &RunReport) -> String {
    /// About two lines of the list.
    const WHY_MAX: usize = 160;
    let first = run.findings.first();
    first.map_or_else(String::new, |first| {
        text::short(&format!("{}: {}", first.name, first.explanation), WHY_MAX)
    })
}

fn id(at: usize) -> String {
    format!("run-{}", at + 1)
}

/// `marks`: how many of each group a plot of sign-ins has at most; without plots if there are none.
fn run_view(run: &RunReport, level: u8, marks: Option<usize>) -> Result<RunView<'_>, PageError> {
    let summary = &run.summary;
    let outcomes = summary.outcomes.iter();
    let outcomes = outcomes.map(|(outcome, count)| (outcome.to_string(), text::count(*count)));
    let unanswered = [("no answer".to_owned(), text::count(summary.unanswered))];
    Ok(RunView {
        run,
        level,
        verdict: verdict(run),
        tiles: tiles(run),
        findings: run
            .findings
            .iter()
            .enumerate()
            .map(|(at, finding)| finding_view(run, at, finding))
            .collect(),
        plots: marks.map_or_else(|| Ok(Vec::new()), |marks| plot_views(run, marks))?,
        faults: run.faults.iter().map(|fault| fault_view(run, fault)).collect(),
        latency: latency(run)?,
        outcomes: outcomes.chain(unanswered).collect(),
        others: terminal::others(run).join(", "),
        checks: text::counted(run.checks.len() as u64, "check"),
        broken: run.count(Verdict::Broken),
        facts: facts(run),
    })
}

/// The whole run in a sentence.
fn verdict(run: &RunReport) -> String {
    let broken = run.count(Verdict::Broken);
    let checks = broken + run.count(Verdict::Holds);
    match run.status {
        Status::Passed if checks == 0 => "It went to its end; nothing was looked at.".to_owned(),
        Status::Passed => format!("All {} hold.", text::counted(checks as u64, "check")),
        Status::Failed if broken == 0 => "Something happened that must not.".to_owned(),
        Status::Failed if checks == 1 => "The only check does not hold.".to_owned(),
        Status::Failed if broken == 1 => format!("One of {checks} checks does not hold."),
        Status::Failed => format!("{broken} of {checks} checks do not hold."),
        Status::Error => "It could not be carried out to its end, so nobody can say.".to_owned(),
    }
}

/// The few figures that come first.
fn tiles(run: &RunReport) -> Vec<(String, &'static str)> {
    let summary = &run.summary;
    let mut tiles = vec![
        (
            text::count(summary.sign_ins),
            plural(summary.sign_ins, "sign-in", "sign-ins"),
        ),
        (
            text::share(summary.judged(), summary.sign_ins),
            "answered yes or no",
        ),
    ];
    let signed_in = summary.latency.iter();
    let mut signed_in = signed_in.filter(|latency| latency.group == OutcomeGroup::SignedIn);
    if let Some(latency) = signed_in.next() {
        tiles.push((text::duration(latency.p50), "half signed in within"));
        tiles.push((text::duration(latency.p99), "99% signed in within"));
    }
    tiles.push((text::count(summary.hand_offs), "handed to another agent"));
    tiles.push((text::duration(run.virtual_duration), "on the run's clock"));
    tiles
}

fn finding_view<'a>(run: &'a RunReport, at: usize, finding: &'a Finding) -> FindingView<'a> {
    let mut above = run.findings.iter().take(at);
    let same = above.find(|other| finding.request.is_some() && other.request == finding.request);
    let sent = finding.request.and_then(|at| run.series.sign_ins.get(at));
    let told = finding.timeline.iter().filter(|_| same.is_none());
    let lines = told.map(|line| LineView {
        at: text::moment(line.at),
        since: sent.map(|point| {
            let (sign, by) = match line.at.checked_sub(point.at) {
                Some(after) => ("+", after),
                None => ("−", point.at.saturating_sub(line.at)),
            };
            format!("{sign}{}", text::moment(by))
        }),
        host: &line.host,
        text: &line.text,
        is_fault: line.host == "fault",
    });
    FindingView {
        finding,
        same_as: same.map(|other| other.name.as_str()),
        about: terminal::about(run, finding),
        more: terminal::more(finding),
        timeline: lines.collect(),
    }
}

fn plot_views(run: &RunReport, marks: usize) -> Result<Vec<PlotView>, PageError> {
    if run.summary.sign_ins == 0 && run.series.binds.is_empty() {
        return Ok(Vec::new());
    }
    let groups = OutcomeGroup::ALL.map(|group| (group, run.summary.group(group)));
    let groups = groups.into_iter().filter(|(_, count)| *count > 0);
    let legend = groups.map(|(group, count)| {
        Ok(Symbol {
            svg: plots::symbol(group)?,
            name: group.says(),
            count: text::count(count),
        })
    });
    let legend = legend.collect::<Result<Vec<_>, PlotError>>()?;
    let (answers, hand_offs, binds) = (plots::answers(run), plots::hand_offs(run), plots::binds(run));
    let lockouts = plots::lockouts(run);
    let mut views = vec![
        PlotView {
            title: "How long sign-ins took",
            about: match plots::accused(run).next() {
                None => {
                    "A mark for each sign-in, at the time when it was sent. The scale grows tenfold from line to line."
                }
                Some(_) => {
                    "A mark for each sign-in, at the time when it was sent; ringed are those that what failed is about. The scale grows tenfold from line to line."
                }
            },
            described: described(&legend),
            svg: plots::latency(run, marks)?,
            legend,
        },
        layered(
            run,
            "Answers a second",
            "By when they came. What could not be answered yes or no is on top.",
            &answers,
            190,
        )?,
    ];
    let first = hand_offs.first().map_or(0, Layer::count);
    if first > 0 {
        let about = "Sign-ins whose agent was lost, late or full, and which another agent took over.";
        views.push(layered(run, "Hand-offs a second", about, &hand_offs, 130)?);
    }
    if binds.iter().any(|layer| layer.count() > 0) {
        let about = "Passwords that reached a controller. Those that it counts bring an account closer to its lockout.";
        views.push(layered(
            run,
            "Binds at the directory a second",
            about,
            &binds,
            190,
        )?);
    }
    if lockouts.iter().any(|layer| layer.count() > 0) {
        let about = "Accounts whose count of failures reached the directory's threshold.";
        views.push(layered(
            run,
            "Accounts locked by the directory, a second",
            about,
            &lockouts,
            130,
        )?);
    }
    Ok(views)
}

fn layered(
    run: &RunReport,
    title: &'static str,
    about: &'static str,
    layers: &[Layer],
    height: u32,
) -> Result<PlotView, PageError> {
    let there = layers.iter().filter(|layer| layer.count() > 0);
    let legend = there.map(|layer| {
        Ok(Symbol {
            svg: layer.symbol()?,
            name: layer.name,
            count: text::count(layer.count()),
        })
    });
    let legend = legend.collect::<Result<Vec<_>, PlotError>>()?;
    Ok(PlotView {
        title,
        about,
        described: described(&legend),
        svg: plots::columns(run, layers, height)?,
        legend,
    })
}

/// The word for so many.
fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `3,402 signed in, 180 refused`
fn described(legend: &[Symbol]) -> String {
    let parts: Vec<_> = legend
        .iter()
        .map(|symbol| format!("{} {}", symbol.count, symbol.name))
        .collect();
    parts.join(", ")
}

fn fault_view<'a>(run: &RunReport, fault: &'a FaultSpan) -> FaultView<'a> {
    let lasted = fault.to.saturating_sub(fault.from);
    FaultView {
        fault,
        from: text::moment(fault.from),
        lasted: match lasted.is_zero() {
            true => "a moment".to_owned(),
            false if fault.to >= run.virtual_duration => "until the end".to_owned(),
            false => text::duration(lasted),
        },
        hosts: fault.hosts.join(", "),
    }
}

fn latency(run: &RunReport) -> Result<Vec<GroupRow>, PageError> {
    let summary = &run.summary;
    let groups = OutcomeGroup::ALL
        .into_iter()
        .filter(|group| summary.group(*group) > 0);
    let row = |group| {
        let latency = summary.latency.iter().find(|latency| latency.group == group);
        let times = latency.map(|of| [of.p50, of.p90, of.p99, of.max].map(text::duration));
        Ok(GroupRow {
            symbol: plots::symbol(group)?,
            name: group.says(),
            means: group.means(),
            count: text::count(summary.group(group)),
            share: text::share(summary.group(group), summary.sign_ins),
            times: times.unwrap_or_else(|| ["–"; 4].map(str::to_owned)).into(),
        })
    };
    groups.map(row).collect()
}

fn facts(run: &RunReport) -> Vec<(&'static str, String)> {
    let world = match run.world {
        crate::scenario::World::Sim => "simulated: virtual time, a simulated network, one seed",
        crate::scenario::World::Lab => "real sockets and processes",
    };
    let mut facts = vec![
        ("File", run.file.clone()),
        ("Suite", run.suite.clone()),
        ("World", world.to_owned()),
        ("Seed", run.seed.to_string()),
        ("Time taken", text::duration(run.wall_duration)),
        ("Version", run.version.clone()),
        ("Trace digest", run.digest.clone()),
        ("Hosts", run.hosts.join(", ")),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}
