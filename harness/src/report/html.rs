//! A run, or many, as one page that needs nothing else: what failed and why comes first, then what happened when,
//! then all figures, then how to repeat it.

use askama::Template;

use super::data::{FaultSpan, Finding, RunReport, Status, SuiteReport, Verdict};
use super::group::OutcomeGroup;
pub use super::page::PageError;
pub use super::plot::PlotError;
use super::plot::run::{self as plots, Layer};
use super::{page, terminal, text};

/// Runs of a suite that are drawn, those first that did not pass: a page of hundreds of plots opens slowly.
const DRAWN_MAX: usize = 40;

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

/// A run in the list.
struct Row<'a> {
    run: &'a RunReport,
    /// Its part of the page.
    id: Option<String>,
    why: String,
    sign_ins: String,
    took: String,
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
    let content = run_view(report, 1, true)?.render()?;
    page::page(&report.title, &content)
}

/// The page of many runs: all in a list, and a part for each, open where it did not pass.
///
/// # Errors
/// As [`run`].
pub fn suite(report: &SuiteReport) -> Result<String, PageError> {
    let mut order: Vec<_> = report.runs.iter().enumerate().collect();
    // Stable: what did not pass first, all else as it was asked for.
    order.sort_by_key(|(_, run)| run.status == Status::Passed);
    let parts = order.iter().take(PARTS_MAX).enumerate();
    let parts = parts.map(|(place, (at, run))| {
        let content = run_view(run, 2, place < DRAWN_MAX)?.render()?;
        Ok(Part {
            run,
            id: id(*at),
            content,
        })
    });
    let parts: Vec<_> = parts.collect::<Result<_, PageError>>()?;
    let with_part: Vec<_> = order.iter().take(PARTS_MAX).map(|(at, _)| *at).collect();
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
            (text::count(sign_ins), "sign-ins"),
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
    let row = |(at, run): (usize, &'a RunReport)| Row {
        run,
        id: with_part.contains(&at).then(|| id(at)),
        why: why(run),
        sign_ins: text::count(run.summary.sign_ins),
        took: text::duration(run.wall_duration),
    };
    let names = report.suites().into_iter().map(|(name, _)| name);
    let rows = names.map(|name| {
        let all = report.runs.iter().enumerate();
        (name, all.filter(|(_, run)| run.suite == name).map(row).collect())
    });
    rows.collect()
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

fn run_view(run: &RunReport, level: u8, drawn: bool) -> Result<RunView<'_>, PageError> {
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
            .map(|finding| finding_view(run, finding))
            .collect(),
        plots: if drawn { plot_views(run)? } else { Vec::new() },
        faults: run.faults.iter().map(|fault| fault_view(run, fault)).collect(),
        latency: latency(run)?,
        outcomes: outcomes.chain(unanswered).collect(),
        others: terminal::others(run).join(", "),
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
        Status::Failed if broken == 1 => format!("One of {checks} checks does not hold."),
        Status::Failed => format!("{broken} of {checks} checks do not hold."),
        Status::Error => "It could not be carried out to its end, so nobody can say.".to_owned(),
    }
}

/// The few figures that come first.
fn tiles(run: &RunReport) -> Vec<(String, &'static str)> {
    let summary = &run.summary;
    let mut tiles = vec![
        (text::count(summary.sign_ins), "sign-ins"),
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
    tiles.push((text::duration(run.wall_duration), "really taken"));
    tiles
}

fn finding_view<'a>(run: &RunReport, finding: &'a Finding) -> FindingView<'a> {
    let sent = finding.request.and_then(|at| run.series.sign_ins.get(at));
    let lines = finding.timeline.iter().map(|line| LineView {
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
        about: terminal::about(run, finding),
        more: terminal::more(finding),
        timeline: lines.collect(),
    }
}

fn plot_views(run: &RunReport) -> Result<Vec<PlotView>, PageError> {
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
            svg: plots::latency(run)?,
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
        ("Version", run.version.clone()),
        ("Trace digest", run.digest.clone()),
        ("Hosts", run.hosts.join(", ")),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}
