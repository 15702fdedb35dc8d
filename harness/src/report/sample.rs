//! Reports as runs would leave them, for the tests; and for the eye, in files to look at.

use std::time::Duration;

use super::data::*;
use super::experiment::{self, Experiment, Machine, Metric, Parameter, Value};
use super::{Styling, Summary, html, json, junit, terminal};
use crate::scenario::{Outcome, Typed, World};

/// Numbers that look drawn, the same each time.
struct Drawn(u64);

impl Drawn {
    /// From 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn fault(number: usize, from: f64, to: f64, label: &str, hosts: &[&str]) -> FaultSpan {
    FaultSpan {
        number,
        from: seconds(from),
        to: seconds(to),
        label: label.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        times: Vec::new(),
    }
}

/// The sign-in that the finding of [`failed`] is about.
pub(super) const BROKEN: usize = 1284;

/// Three minutes in which an agent dies, another hangs, and a controller is slow.
fn series(seed: u64) -> Series {
    let mut drawn = Drawn(seed);
    let mut series = Series::default();
    for at in 0..3600 {
        let sent = f64::from(at) * 0.05 + drawn.next() * 0.04;
        let (kind, way) = (drawn.next(), 0.018 + 0.02 * drawn.next() * drawn.next());
        let dead = (60.0..64.0).contains(&sent) && drawn.next() < 0.5;
        let hung = (100.0..112.0).contains(&sent) && drawn.next() < 0.45;
        let slow = if sent > 130.0 && sent < 150.0 { 0.4 } else { 0.0 };
        let (outcome, latency) = match kind {
            _ if dead && kind < 0.12 => (Some(Outcome::Unavailable), 4.0 + way),
            _ if dead && kind > 0.97 => (None, 15.0),
            _ if hung => (Some(Outcome::SignedIn), 4.0 + way + 0.3 * drawn.next()),
            k if k < 0.86 => (Some(Outcome::SignedIn), way + slow * drawn.next()),
            k if k < 0.93 => (Some(Outcome::Refused), 0.25 + way + slow * drawn.next()),
            k if k < 0.96 => (Some(Outcome::Disabled), 0.25 + way),
            k if k < 0.98 => (Some(Outcome::PasswordExpired), 0.25 + way),
            _ => (Some(Outcome::TooManyAttempts), 0.25 + way / 2.0),
        };
        let point = Point {
            at: seconds(sent),
            latency: seconds(latency),
            outcome,
            typed: match outcome {
                Some(Outcome::Refused) => Typed::Wrong,
                _ => Typed::Right,
            },
            tenant: 0,
        };
        if dead || hung {
            series.hand_offs.push(seconds(sent + latency - way));
        }
        let end = match outcome {
            Some(Outcome::SignedIn) => Some(BindEnd::Accepted),
            Some(Outcome::Refused) => Some(BindEnd::Counted),
            Some(Outcome::Disabled | Outcome::PasswordExpired) => Some(BindEnd::Refused),
            Some(Outcome::Unavailable) => Some(BindEnd::Other),
            _ => None,
        };
        let bind = |end| Bind {
            at: seconds(sent + way),
            end,
        };
        series.binds.extend(end.map(bind));
        series.sign_ins.push(point);
    }
    series
}

/// A run that passed.
pub(super) fn passed(seed: u64) -> RunReport {
    let series = series(seed);
    let file = "harness/scenarios/high-availability/an-agent-dies-and-nobody-notices.toml";
    let check = |name: &str, detail: &str| CheckLine {
        name: name.to_owned(),
        verdict: Verdict::Holds,
        detail: detail.to_owned(),
    };
    RunReport {
        title: "An agent dies and nobody notices".to_owned(),
        about: "Two agents; the first dies for ten seconds, the second hangs later. Rule 5: what an agent \
                provably did not ask goes on freely, all else takes a second charge."
            .to_owned(),
        file: file.to_owned(),
        suite: "high-availability".to_owned(),
        world: World::Sim,
        seed,
        version: "0.1.0 (e5d9b04)".to_owned(),
        virtual_duration: Duration::from_secs(180),
        wall_duration: Duration::from_millis(4210),
        digest: "5b1f0c9a77d2e6f4".to_owned(),
        hosts: ["cloud", "dc1", "dc2", "agent1", "agent2", "client1"]
            .map(str::to_owned)
            .into(),
        tenants: vec!["contoso".to_owned()],
        status: Status::Passed,
        findings: Vec::new(),
        summary: Summary {
            failures_per_account_max: 2,
            log_records: 3598,
            ..Summary::of(&series)
        },
        series,
        faults: vec![
            fault(1, 60.0, 70.0, "agent1 dies", &["agent1"]),
            fault(2, 62.0, 62.0, "the clock of agent2 jumps by +5m", &["agent2"]),
            fault(3, 100.0, 112.0, "agent2 hangs", &["agent2"]),
            fault(4, 130.0, 150.0, "dc1 misbehaves: slow", &["dc1"]),
        ],
        checks: vec![
            check("I1, no wrong accept", ""),
            check("I2, no false reject", ""),
            check("I3, one answer, in time", ""),
            check(
                "expect.answers[0].are.signed_in = \"all\"",
                "3096 of 3096 (100.0%)",
            ),
            check(
                "expect.recovery[0].within = \"10s\"",
                "the last one was sent at 63.95s",
            ),
        ],
        repeat: format!("postern scenario run {file} --seed {seed}"),
    }
}

/// The same, when an agent's silence is taken for a "wrong".
pub(super) fn failed(seed: u64) -> RunReport {
    let mut run = passed(seed);
    run.status = Status::Failed;
    if let Some(point) = run.series.sign_ins.get_mut(BROKEN) {
        point.outcome = Some(Outcome::Refused);
        point.latency = Duration::from_millis(4012);
    }
    if let Some(check) = run.checks.get_mut(1) {
        check.verdict = Verdict::Broken;
        check.detail = "1 sign-in".to_owned();
    }
    let sent = run
        .series
        .sign_ins
        .get(BROKEN)
        .map_or(64.0, |point| point.at.as_secs_f64());
    let line = |after: f64, host: &str, text: &str| TimelineLine {
        at: seconds(sent + after),
        host: host.to_owned(),
        text: text.to_owned(),
    };
    run.findings = vec![Finding {
        name: "I2, no false reject".to_owned(),
        means: "A right password is never called wrong.".to_owned(),
        more: 3,
        explanation:
            "The right password of ok-17@contoso.example was refused. Allowed: signed_in, unavailable. \
                      No directory ever said that it was wrong."
                .to_owned(),
        request: Some(BROKEN),
        timeline: vec![
            line(-4.2, "fault", "1 begins: agent1 dies"),
            line(-4.2, "agent1", "dies"),
            line(-2.2, "fault", "2 begins: the clock of agent2 jumps by +5m"),
            line(0.0, "client1", "sends ok-17@contoso.example with right"),
            line(0.008, "cloud", "receives it as 01J9Z3K8Q5"),
            line(0.009, "agent2", "is given it"),
            line(
                4.01,
                "cloud",
                "agent2 asks dc1: unavailable, the controller did not answer, 4.001s",
            ),
            line(4.011, "cloud", "records refused (2)"),
            line(4.012, "client1", "is told refused"),
        ],
    }];
    run.summary = Summary {
        failures_per_account_max: 2,
        log_records: 3598,
        ..Summary::of(&run.series)
    };
    run
}

/// A run that could not be carried out.
fn broken_off() -> RunReport {
    let mut run = empty();
    run.title = "A store that is full turns nobody away for good".to_owned();
    run.suite = "recovery".to_owned();
    run.status = Status::Error;
    run.findings = vec![Finding {
        name: "the run".to_owned(),
        means: String::new(),
        more: 0,
        explanation: "The process of cloud failed: the database is not there after its restart".to_owned(),
        request: None,
        timeline: Vec::new(),
    }];
    run
}

/// A run in which nothing happened.
pub(crate) fn empty() -> RunReport {
    RunReport {
        title: String::new(),
        about: String::new(),
        virtual_duration: Duration::ZERO,
        wall_duration: Duration::ZERO,
        hosts: Vec::new(),
        tenants: Vec::new(),
        summary: Summary::default(),
        series: Series::default(),
        faults: Vec::new(),
        checks: Vec::new(),
        ..passed(1)
    }
}

/// Runs of three suites, two of which did not pass.
pub(super) fn suite() -> SuiteReport {
    let titled = |seed, title: &str, suite: &str| RunReport {
        title: title.to_owned(),
        suite: suite.to_owned(),
        ..passed(seed)
    };
    SuiteReport {
        runs: vec![
            titled(7, "Everybody signs in in the morning", "main-flow"),
            titled(8, "Everybody signs in in the morning", "main-flow"),
            failed(7),
            titled(
                7,
                "A controller dies and its agents ask the other",
                "high-availability",
            ),
            broken_off(),
        ],
        seed: 7,
        wall: Duration::from_secs(19),
    }
}

/// Availability against agents and failures, with three seeds each.
pub(super) fn experiment() -> Experiment {
    let mut drawn = Drawn(5);
    let mut runs = Vec::new();
    let (agents, rates) = ([1, 2, 3, 4, 6], ["never", "1/h", "6/h", "30/h"]);
    for agents in agents {
        for (step, rate) in (0_i32..).zip(rates) {
            for seed in 1..=5 {
                let lost = f64::from(step * step) * 1.2 / f64::from(agents * agents) * (0.5 + drawn.next());
                let slow = 20.0 + 300.0 * lost / 10.0 + 4.0 * drawn.next();
                // Numbers that a decimal tells exactly.
                let figure = |figure: f64| (figure * 64.0).round() / 64.0;
                runs.push(experiment::Run {
                    at: vec![Value::Number(f64::from(agents)), Value::Word(rate.to_owned())],
                    seed,
                    status: Status::Passed,
                    figures: vec![
                        Some(figure(100.0 - lost)),
                        (step < 3 || agents > 1).then_some(figure(slow)),
                    ],
                    digest: format!("{seed:016x}"),
                    repeat: format!(
                        "postern scenario run x.toml --set tenant[0].agents={agents} --seed {seed}"
                    ),
                });
            }
        }
    }
    let metric = |name: &str, unit: &str, about: &str| Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        about: about.to_owned(),
    };
    Experiment {
        title: "How available sign-in is with more agents and more failures".to_owned(),
        about:
            "Agents die at random and come back after two minutes. What share of right passwords is answered?"
                .to_owned(),
        file: "harness/experiments/availability.toml".to_owned(),
        scenario: "harness/experiments/agents-die-at-random.toml".to_owned(),
        version: "0.1.0 (e5d9b04)".to_owned(),
        versions: [("rustc", "1.95.0"), ("turmoil", "0.7.1"), ("tonic", "0.14.2")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        machine: Machine {
            system: "Linux 6.12".to_owned(),
            architecture: "x86_64".to_owned(),
            processor: "a processor of 2.5 GHz".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
        },
        seeds: (1..=5).collect(),
        parameters: vec![
            Parameter {
                name: "agents".to_owned(),
                about: "agents of the organisation".to_owned(),
                values: agents.map(|agents| Value::Number(f64::from(agents))).into(),
            },
            Parameter {
                name: "failures".to_owned(),
                about: "failures of each agent".to_owned(),
                values: rates.map(|rate| Value::Word(rate.to_owned())).into(),
            },
        ],
        metrics: vec![
            metric(
                "availability",
                "%",
                "Right passwords that were answered yes or no.",
            ),
            metric(
                "latency p99",
                "ms",
                "99% of those who signed in did so within that.",
            ),
        ],
        runs,
        wall: Duration::from_secs(412),
        repeat: "postern experiment run harness/experiments/availability.toml --seeds 5".to_owned(),
    }
}

/// Writes all reports to the folder for temporary files, to be looked at:
/// `cargo test -p postern-harness --lib report::sample -- --ignored --nocapture`
#[test]
#[ignore = "writes files for people to look at"]
fn samples_to_look_at() {
    let folder = std::env::temp_dir().join("postern-report-samples");
    std::fs::create_dir_all(&folder).unwrap();
    let (failed, suite, experiment) = (failed(7), suite(), experiment());
    let coloured = Styling::Coloured;
    for (name, text) in [
        ("passed.html", html::run(&passed(7)).unwrap()),
        ("failed.html", html::run(&failed).unwrap()),
        ("suite.html", html::suite(&suite).unwrap()),
        ("experiment.html", experiment::html(&experiment).unwrap()),
        ("experiment.csv", experiment::csv(&experiment).unwrap()),
        ("experiment.json", json::experiment(&experiment).unwrap()),
        ("suite.json", json::suite(&suite).unwrap()),
        ("suite.xml", junit::suite(&suite).unwrap()),
        ("passed.ansi", terminal::run(&passed(7), coloured)),
        ("failed.ansi", terminal::run(&failed, coloured)),
        ("suite.ansi", terminal::suite(&suite, coloured)),
    ] {
        std::fs::write(folder.join(name), &text).unwrap();
        println!("{}: {} bytes", folder.join(name).display(), text.len());
    }
}
