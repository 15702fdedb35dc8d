//! What readers notice: that nothing foreign is markup, that figures are right, that nothing is made of nothing.

use std::time::Duration;

use super::data::*;
use super::experiment::{self, Experiment, Value};
use super::sample::{self, BROKEN};
use super::{OutcomeGroup, Styling, Summary, html, json, junit, terminal};
use crate::scenario::{Outcome, Typed};

/// What a name as typed, or a title, may be.
const HOSTILE: &str =
    "\"'><script>alert(1)</script>&amp;]]>\u{1b}[31m\u{0}\u{202e}<img src=x onerror=alert(2)>";

/// A run in which all that is foreign is hostile.
fn hostile() -> RunReport {
    let mut run = sample::failed(3);
    let bad = || HOSTILE.to_owned();
    (run.title, run.about, run.file, run.suite) = (bad(), bad(), bad(), bad());
    (run.version, run.digest, run.repeat) = (bad(), bad(), bad());
    run.hosts = vec![bad()];
    for finding in &mut run.findings {
        (finding.name, finding.explanation) = (bad(), bad());
        for line in &mut finding.timeline {
            (line.host, line.text) = (bad(), bad());
        }
    }
    for fault in &mut run.faults {
        (fault.label, fault.hosts) = (bad(), vec![bad()]);
    }
    for check in &mut run.checks {
        (check.name, check.detail) = (bad(), bad());
    }
    run
}

fn hostile_experiment() -> Experiment {
    let mut experiment = sample::experiment();
    let bad = || HOSTILE.to_owned();
    (experiment.title, experiment.about, experiment.repeat) = (bad(), bad(), bad());
    (experiment.file, experiment.version) = (bad(), bad());
    experiment.versions = [(bad(), bad())].into();
    experiment.machine.processor = bad();
    for parameter in &mut experiment.parameters {
        (parameter.name, parameter.about) = (bad(), bad());
        parameter.values.push(Value::Word(bad()));
    }
    for metric in &mut experiment.metrics {
        (metric.name, metric.unit, metric.about) = (bad(), bad(), bad());
    }
    for run in &mut experiment.runs {
        run.at[1] = Value::Word(bad());
        run.digest = bad();
    }
    experiment
}

fn suite_of(runs: Vec<RunReport>) -> SuiteReport {
    SuiteReport {
        runs,
        seed: 1,
        wall: Duration::from_secs(1),
    }
}

/// A page on which foreign text did nothing, and that asks for nothing from elsewhere.
#[track_caller]
fn is_harmless(page: &str) {
    let mut lower = page.to_lowercase();
    for told in ["&#60;img src=x", "&lt;img src=x"] {
        lower = lower.replace(told, "");
    }
    for bad in [
        "<script",
        "<img",
        "javascript:",
        " src=",
        "@import",
        "url(",
        "<link",
    ] {
        assert!(!lower.contains(bad), "{bad} is in the page");
    }
    assert!(page.contains("default-src 'none'"));
    // A namespace is a name; nobody fetches it.
    let elsewhere = lower.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("://"), "the page points elsewhere");
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn foreign_text_is_no_markup_of_pages() {
    let page = html::run(&hostile()).unwrap();
    is_harmless(&page);
    // It is there to be read.
    has(&page, &["&#60;script&#62;alert(1)&#60;/script&#62;"]);
    is_harmless(&html::suite(&suite_of(vec![hostile(), sample::passed(1)])).unwrap());
    is_harmless(&experiment::html(&hostile_experiment()).unwrap());
}

#[test]
fn pages_fit_light_and_dark() {
    let page = html::run(&sample::failed(1)).unwrap();
    // Each colour that plots use has its counterpart.
    let dark = page.split_once("prefers-color-scheme: dark").unwrap().1;
    for attribute in ["fill", "stroke"] {
        for used in page.split(&format!("{attribute}=\"#")).skip(1) {
            let colour = used.get(..6).unwrap();
            has(dark, &[&format!("[{attribute}=\"#{colour}\"]")]);
        }
    }
}

#[test]
fn the_sign_ins_that_findings_are_about_are_ringed() {
    let rings = |run: &RunReport| html::run(run).unwrap().matches(" r=\"9\"").count();
    assert_eq!(rings(&sample::passed(1)), 0);
    assert_eq!(rings(&sample::failed(1)), 1);
}

#[test]
fn foreign_text_is_no_control_sequence_of_a_terminal() {
    for text in [
        terminal::run(&hostile(), Styling::Plain),
        terminal::suite(&suite_of(vec![hostile(), hostile()]), Styling::Plain),
    ] {
        let control = |char: &char| char.is_control() && *char != '\n' || *char == '\u{202e}';
        assert_eq!(text.chars().find(control), None);
        has(&text, &["<script>alert(1)</script>"]);
    }
}

#[test]
fn foreign_text_is_no_markup_of_junit() {
    let xml = junit::suite(&suite_of(vec![hostile()])).unwrap();
    assert!(!xml.contains("<script") && !xml.contains('\u{1b}') && !xml.contains('\0'));
    let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    let case = &read.test_suites[0].test_cases[0];
    has(case.name.as_str(), &["<script>alert(1)</script>", "(seed 3)"]);
}

#[test]
fn a_failed_run_says_what_failed_why_and_how_to_repeat_it() {
    let run = sample::failed(7);
    let sent = run.series.sign_ins[BROKEN].at.as_secs_f64();
    let about = format!("sign-in {BROKEN}, sent at {sent:.3} s, answered refused after 4.01 s");
    let why = "No directory ever said that it was wrong.";
    let last = "is told refused";
    let parts = [
        "I2, no false reject",
        why,
        last,
        about.as_str(),
        run.repeat.as_str(),
    ];
    has(&terminal::run(&run, Styling::Plain), &parts);
    let page = html::run(&run).unwrap();
    has(&page, &parts);
    has(
        &page,
        &["+4.012", "−4.200", "One of 5 checks does not hold", "ringed"],
    );
    // The cause stands above the figures.
    assert!(page.find(why).unwrap() < page.find("What happened when").unwrap());
    let parts = &parts[..3];
    has(&junit::suite(&suite_of(vec![run.clone()])).unwrap(), parts);
    let text = terminal::run(&run, Styling::Plain);
    assert!(text.trim_end().ends_with(&run.repeat), "the last line repeats it");
}

#[test]
fn a_passed_run_accuses_nobody() {
    let run = sample::passed(7);
    let page = html::run(&run).unwrap();
    has(&page, &["All 5 checks hold.", &run.repeat]);
    for absent in ["What failed", "ringed", "class=\"broken\""] {
        assert!(!page.contains(absent), "{absent}");
    }
    let text = terminal::run(&run, Styling::Plain);
    has(
        &text,
        &["✓ An agent dies and nobody notices: passed", "5 checks hold"],
    );
    assert!(!text.contains('✗'));
}

#[test]
fn figures_are_those_of_what_happened() {
    let point = |ms, outcome| Point {
        at: Duration::from_secs(1),
        latency: Duration::from_millis(ms),
        outcome,
        typed: Typed::Right,
        tenant: 0,
    };
    let mut series = Series::default();
    series
        .sign_ins
        .extend((1..=200).map(|ms| point(ms, Some(Outcome::SignedIn))));
    series.sign_ins.push(point(300, Some(Outcome::Refused)));
    series.sign_ins.push(point(9, Some(Outcome::Busy)));
    series.sign_ins.push(point(9, Some(Outcome::TooManyAttempts)));
    series.sign_ins.push(point(15_000, None));
    series.hand_offs = vec![Duration::from_secs(2); 3];
    series.binds = [
        BindEnd::Accepted,
        BindEnd::Counted,
        BindEnd::Refused,
        BindEnd::Counted,
    ]
    .map(|end| Bind {
        at: Duration::ZERO,
        end,
    })
    .into();
    let summary = Summary::of(&series);
    let ms = Duration::from_millis;
    let signed_in = summary.latency[0];
    assert_eq!(signed_in.group, OutcomeGroup::SignedIn);
    let times = [signed_in.p50, signed_in.p90, signed_in.p99, signed_in.max];
    assert_eq!(times, [ms(100), ms(180), ms(198), ms(200)]);
    assert_eq!(summary.group(OutcomeGroup::HeldBack), 2);
    assert_eq!((summary.judged(), summary.unanswered), (201, 1));
    assert_eq!((summary.sign_ins, summary.hand_offs), (204, 3));
    assert_eq!((summary.binds, summary.counted_binds), (4, 2));
    // Who got no answer has no latency of an answer.
    let groups: Vec<_> = summary.latency.iter().map(|latency| latency.group).collect();
    assert!(!groups.contains(&OutcomeGroup::Unanswered));
    let run = RunReport {
        series,
        summary,
        ..sample::empty()
    };
    has(
        &terminal::run(&run, Styling::Plain),
        &[
            "204 sign-ins",
            "98.04%",
            "198 ms",
            "3 hand-offs, 4 binds, 0 counted failures at most",
        ],
    );
    has(
        &html::run(&run).unwrap(),
        &["98.53%", "198 ms", "signed in <span class=\"soft\">200</span>"],
    );
}

#[test]
fn plots_have_a_mark_for_what_happened_and_none_for_what_did_not() {
    let mut run = sample::empty();
    let page = html::run(&run).unwrap();
    assert!(!page.contains("<figure"), "nothing is drawn of nothing");
    run.series.sign_ins = vec![Point {
        at: Duration::from_secs(1),
        latency: Duration::ZERO,
        outcome: None,
        typed: Typed::Right,
        tenant: 0,
    }];
    run.summary = Summary::of(&run.series);
    let page = html::run(&run).unwrap();
    has(&page, &["How long sign-ins took: 1 no answer"]);
    assert!(!page.contains("Hand-offs a second"));
    run.series.hand_offs = vec![Duration::from_secs(90)];
    let page = html::run(&run).unwrap();
    has(&page, &["Hand-offs a second: 1 handed to another agent"]);
}

#[track_caller]
fn is_made_of_numbers(text: &str) {
    let lower = text.to_lowercase();
    let mut words = lower.split(|char: char| !char.is_alphanumeric());
    assert_eq!(words.find(|word| ["nan", "inf", "infinity"].contains(word)), None);
}

/// What is as large as the types allow, or as small, is told and drawn.
#[test]
fn extremes_are_told_without_nan_and_panics() {
    let mut huge = sample::failed(1);
    huge.virtual_duration = Duration::MAX;
    huge.wall_duration = Duration::MAX;
    huge.seed = u64::MAX;
    huge.findings[0].request = Some(usize::MAX);
    huge.faults.push(FaultSpan {
        number: usize::MAX,
        from: Duration::MAX,
        to: Duration::ZERO,
        label: String::new(),
        hosts: Vec::new(),
        times: Vec::new(),
    });
    huge.series.sign_ins.push(Point {
        at: Duration::MAX,
        latency: Duration::MAX,
        outcome: Some(Outcome::Busy),
        typed: Typed::Right,
        tenant: 0,
    });
    huge.summary = Summary::of(&huge.series);
    let none = suite_of(Vec::new());
    let many = suite_of(vec![huge.clone(), huge.clone(), sample::empty()]);
    for text in [
        html::run(&huge).unwrap(),
        html::suite(&many).unwrap(),
        html::suite(&none).unwrap(),
        html::run(&sample::empty()).unwrap(),
        terminal::suite(&many, Styling::Plain),
        terminal::suite(&none, Styling::Coloured),
        junit::suite(&many).unwrap(),
        junit::suite(&none).unwrap(),
        json::suite(&many).unwrap(),
    ] {
        is_made_of_numbers(&text);
    }
    assert_eq!(none.status(), Status::Error, "nobody looked");
}

#[test]
fn a_suite_tells_all_and_shows_first_what_did_not_pass() {
    let suite = sample::suite();
    assert_eq!(suite.status(), Status::Failed);
    let text = terminal::suite(&suite, Styling::Plain);
    has(
        &text,
        &[
            "  ✗  An agent dies and nobody notices",
            "  ✓  Everybody signs in in the morning  2 of 2 seeds  7,200 sign-ins",
            "3 of 5 runs passed, 1 failed, 1 error",
            "the database is not there",
        ],
    );
    let page = html::suite(&suite).unwrap();
    has(
        &page,
        &[
            "2 of 5 runs did not pass.",
            "href=\"#run-3\"",
            "I2, no false reject: The",
        ],
    );
    let parts: Vec<_> = page.match_indices("<details class=\"part\"").collect();
    // One of the two runs of the first file is enough.
    assert_eq!(parts.len(), 4);
    let open = page.split("<details class=\"part\"").skip(1);
    let open: Vec<_> = open
        .map(|part| part.split_once('>').unwrap().0.contains("open"))
        .collect();
    assert_eq!(open, [true, true, false, false]);
    let xml = quick_junit::Report::deserialize_from_str(&junit::suite(&suite).unwrap()).unwrap();
    assert_eq!((xml.tests, xml.failures, xml.errors), (5, 1, 1));
    let names: Vec<_> = xml.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(names, ["main-flow", "high-availability", "recovery"]);
}

#[test]
fn of_many_seeds_only_those_that_did_not_pass_have_lines() {
    let mut runs: Vec<_> = (1..=30).map(sample::passed).collect();
    runs[4] = RunReport {
        title: runs[4].title.clone(),
        file: runs[4].file.clone(),
        ..sample::failed(5)
    };
    let suite = suite_of(runs);
    let text = terminal::suite(&suite, Styling::Plain);
    let list: Vec<_> = text.lines().take(4).collect();
    has(
        list[1],
        &["✗  An agent dies and nobody notices  29 of 30 seeds  108,000 sign-ins"],
    );
    has(list[2], &["✗    failed", "seed 5"]);
    assert_eq!(list[3], "");
    let page = html::suite(&suite).unwrap();
    has(
        &page,
        &["29 of 30 seeds", "<td class=\"one\"><a href=\"#run-5\">"],
    );
    assert_eq!(page.matches("<details class=\"part\"").count(), 2);
}

#[test]
fn colours_say_nothing_that_words_do_not() {
    let suite = sample::suite();
    let coloured = terminal::suite(&suite, Styling::Coloured);
    assert!(coloured.contains('\u{1b}'));
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, terminal::suite(&suite, Styling::Plain));
}

#[test]
fn json_comes_back_as_it_was() {
    let to_the_microsecond = |mut run: RunReport| {
        let round = |time: &mut Duration| *time = Duration::from_micros(time.as_micros() as u64);
        run.series.sign_ins.iter_mut().for_each(|point| {
            round(&mut point.at);
            round(&mut point.latency);
        });
        run.series.binds.iter_mut().for_each(|bind| round(&mut bind.at));
        run.series.hand_offs.iter_mut().for_each(round);
        let findings = run.findings.iter_mut();
        findings
            .flat_map(|finding| &mut finding.timeline)
            .for_each(|line| round(&mut line.at));
        run.summary = Summary {
            failures_per_account_max: run.summary.failures_per_account_max,
            log_records: run.summary.log_records,
            ..Summary::of(&run.series)
        };
        run
    };
    let run = sample::failed(7);
    let text = json::suite(&suite_of(vec![run.clone()])).unwrap();
    let read: SuiteReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read.runs, [to_the_microsecond(run)]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let value = &value["runs"][0];
    assert_eq!(value["status"], "failed");
    assert_eq!(value["virtual_ms"], 180_000.0);
    assert_eq!(value["faults"][0]["from_ms"], 60_000.0);
    assert_eq!(value["series"]["sign_ins"][BROKEN]["outcome"], "refused");
    let wrong = text.replace("\"virtual_ms\":180000.0", "\"virtual_ms\":-1.0");
    let error = serde_json::from_str::<SuiteReport>(&wrong)
        .unwrap_err()
        .to_string();
    has(&error, &["-1 is no duration: expected milliseconds, 0 or more"]);
}

#[test]
fn an_experiment_has_a_line_for_each_run_and_its_spread() {
    let experiment = sample::experiment();
    let csv = experiment::csv(&experiment).unwrap();
    let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
    let header: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        header,
        [
            "agents",
            "failures",
            "seed",
            "status",
            "availability [%]",
            "latency p99 [ms]",
            "digest",
            "repeat"
        ]
    );
    let lines: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(lines.len(), experiment.runs.len());
    assert!(
        lines.iter().any(|line| line[5].is_empty()),
        "what was not measured is empty"
    );
    let point = [Value::Number(2.0), Value::Word("30/h".to_owned())];
    let spread = experiment.spread(&point, 0).unwrap();
    assert_eq!(spread.runs, 5);
    assert!(spread.min < spread.median && spread.median < spread.max);
    let never = [Value::Number(1.0), Value::Word("30/h".to_owned())];
    assert_eq!(experiment.spread(&never, 1), None);
    let page = experiment::html(&experiment).unwrap();
    has(
        &page,
        &[
            "100 runs at 20 points with 5 seeds each",
            "availability against agents",
            "failures 30/h",
            &experiment.repeat,
            "0.1.0 (e5d9b04)",
            "turmoil 0.7.1",
            "a processor of 2.5 GHz",
        ],
    );
    let read: Experiment = serde_json::from_str(&json::experiment(&experiment).unwrap()).unwrap();
    assert_eq!(read, experiment);
}

#[test]
fn an_experiment_with_holes_is_drawn() {
    let mut experiment = sample::experiment();
    for run in &mut experiment.runs {
        run.figures = vec![Some(f64::NAN), None, Some(1.0)];
        run.at.truncate(1);
    }
    experiment.parameters[0].values = vec![Value::Number(f64::INFINITY)];
    let page = experiment::html(&experiment).unwrap();
    is_made_of_numbers(&page);
    let csv = experiment::csv(&experiment).unwrap();
    is_made_of_numbers(&csv);
    for cleared in [true, false] {
        experiment.runs.clear();
        experiment.metrics.clear();
        if cleared {
            experiment.parameters.clear();
        }
        experiment::html(&experiment).unwrap();
        experiment::csv(&experiment).unwrap();
    }
}

/// A page of a hundred thousand sign-ins still opens.
#[test]
fn a_page_of_many_sign_ins_stays_small() {
    let mut run = sample::passed(1);
    let many = (0..100_000_u64).map(|at| Point {
        at: Duration::from_micros(at * 1800),
        latency: Duration::from_micros(1000 + at * 7919 % 9_000_000),
        outcome: Some(Outcome::SignedIn),
        typed: Typed::Right,
        tenant: 0,
    });
    run.series.sign_ins = many.collect();
    run.summary = Summary::of(&run.series);
    let page = html::run(&run).unwrap();
    has(&page, &["100,000"]);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}
