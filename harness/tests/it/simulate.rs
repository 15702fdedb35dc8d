//! `postern simulate`, `replay` and `shrink`, as people call them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use postern_harness::scenario::{World, parse};

fn postern(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

/// A small office whose agent dies twice and hangs once, of which somebody expects that nobody notices.
const FRAGILE: &str = "title = 'An office of one agent expects too much'\nduration = '40s'\n\
    [limits]\nattempt = '1s'\ndeadline = '2s'\n\
    [[tenant]]\nname = 'contoso'\nusers = { ok = 10, disabled = 1 }\ncontrollers = 2\nagents = 1\n\
    [[load]]\nrate = '1/s'\nusers = { ok = 5, disabled = 1 }\nmix = { right = 4, wrong = 1 }\nclients = 2\n\
    [[fault]]\nat = '5s'\nfor = '2s'\nkind = 'delay'\nbetween = ['agent1', 'cloud']\nlatency = '20ms'\n\
    [[fault]]\nat = '15s'\nfor = '10s'\nkind = 'crash'\nhost = 'agent1'\n\
    [[fault]]\nat = '27s'\nkind = 'change_password'\nuser = 'ok-3'\n\
    [[expect.answers]]\nof = { typed = 'wrong' }\nare = { signed_in = 'none' }\n\
    [[expect.answers]]\nof = { typed = 'right' }\nare = { unavailable = 'none' }\n";

fn fragile(folder: &Path) -> PathBuf {
    let file = folder.join("fragile.toml");
    std::fs::write(&file, FRAGILE).unwrap();
    file
}

#[test]
fn a_simulation_prints_its_seed_first_and_ends_well_when_nothing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    // A seed whose run is short.
    let reports = tempfile::tempdir().unwrap();
    let report = |name: &str| reports.path().join(name).display().to_string();
    let (json, html, junit) = (report("s.json"), report("s.html"), report("s.xml"));
    let written = ["--json", &json, "--html", &html, "--junit", &junit];
    let args = ["simulate", "--seed", "8", "--runs", "1"];
    let ran = postern(&[&args[..], &written].concat(), folder.path());
    let text = said(&ran);
    assert_eq!(text.lines().next(), Some("postern simulate --seed 8"), "{text}");
    assert!(
        text.contains("ok     seed 8: ") && text.contains("\n1 run, "),
        "{text}"
    );
    assert_eq!(ran.status.code(), Some(0), "{text}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "a file for a run that went well"
    );
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let run = &told["runs"][0];
    assert_eq!(
        (&run["seed"], &run["status"]),
        (&8.into(), &"passed".into()),
        "{run}"
    );
    assert_eq!(run["repeat"], "postern replay 8");
    assert!(run["series"]["sign_ins"].as_array().unwrap().len() > 100);
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
    assert!(std::fs::read_to_string(junit).unwrap().contains("<testcase"));
}

#[test]
fn a_replay_and_a_run_whose_log_is_shown_see_what_the_run_saw() {
    let folder = tempfile::tempdir().unwrap();
    let file = fragile(folder.path()).display().to_string();
    let run = ["scenario", "run", &file, "--seed", "3"];
    let shown = [&run[..], &["--log", "warn"]].concat();
    let replayed = ["replay", &file, "--seed", "3"];
    for args in [&run[..], &shown, &replayed] {
        let text = said(&postern(args, folder.path()));
        // Both are heard from the hosts' own logs.
        assert!(text.contains("agent1 is not attached since"), "{args:?}: {text}");
        assert!(
            !text.contains("although all agents are attached"),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn a_run_is_replayed_to_the_packet_with_the_way_of_a_sign_in_across_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let ran = postern(
        &["replay", "8", "--request", "3", "--log-to", "log.txt"],
        folder.path(),
    );
    let text = said(&ran);
    assert_eq!(ran.status.code(), Some(0), "{text}");
    assert!(text.contains("the same run, to the packet: trace "), "{text}");
    let way = text.split("sign-in 3:").nth(1).unwrap();
    for step in ["client", "cloud", "agent", "dc", "is told"] {
        assert!(way.contains(step), "{step} is missing: {way}");
    }
    // All hosts speak in one log, in the order of time.
    let log = std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    for expected in [
        "INFO cloud runs",
        "INFO agent starts",
        "INFO directory listens",
        "begins: ",
        "sign-in 3: sends",
    ] {
        assert!(log.contains(expected), "{expected}");
    }
    let times: Vec<f64> = log
        .lines()
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    assert!(times.is_sorted() && times.len() > 100);
}

#[test]
fn a_file_that_fails_is_replayed_and_made_smaller() {
    let folder = tempfile::tempdir().unwrap();
    fragile(folder.path());
    let replayed = postern(&["replay", "fragile.toml", "--seed", "3"], folder.path());
    let text = said(&replayed);
    assert_eq!(replayed.status.code(), Some(1), "{text}");
    assert!(
        text.contains("WRONG: expect.answers[1].are.unavailable"),
        "{text}"
    );
    assert!(text.contains("\n      15.000 s  agent1    dies\n"), "{text}");

    let shrunk = postern(
        &["shrink", "fragile.toml", "--seed", "3", "--out", "small.toml"],
        folder.path(),
    );
    let text = said(&shrunk);
    assert_eq!(shrunk.status.code(), Some(0), "{text}");
    let small = std::fs::read_to_string(folder.path().join("small.toml")).unwrap();
    let case = parse("small.toml", &small).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    // The death of the agent, one sign-in, and the four hosts without which there is none.
    assert_eq!(
        (case.faults.len(), case.sign_ins.len(), case.hosts().len()),
        (1, 1, 4),
        "{small}"
    );
    assert!(small.contains("kind = \"crash\""), "{small}");
    assert!(text.contains("after:  1 fault, 1 sign-in, 4 hosts, "), "{text}");
    assert_eq!(
        case.title,
        "The expectation answers[0].are.unavailable does not come true, with 1 fault and 1 sign-in"
    );
    assert_eq!(case.worlds, [World::Sim]);

    // It is a file like any other, and fails in the same way.
    let again = postern(&["scenario", "run", "small.toml", "--seed", "3"], folder.path());
    let text = said(&again);
    assert_eq!(again.status.code(), Some(1), "{text}");
    assert!(text.contains("answered unavailable"), "{text}");
}

#[test]
fn who_asks_for_what_there_is_not_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    fragile(folder.path());
    for (args, expected) in [
        (&["replay", "fragile.toml"][..], "--seed: missing"),
        (&["replay", "8", "--seed", "8"], "--seed: is for a file"),
        (&["replay", "nothing.toml", "--seed", "1"], "nothing.toml"),
        (&["shrink", "8"], "nothing goes wrong in this run"),
        (
            &["shrink", "fragile.toml", "--seed", "3", "--way", "I1"],
            "--way: I1 did not go wrong",
        ),
        (
            &["simulate", "--out", "nowhere", "--runs", "1"],
            "--out: nowhere is no folder",
        ),
    ] {
        let ran = postern(args, folder.path());
        let text = said(&ran);
        assert_eq!(ran.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(expected), "{args:?}: {text}");
    }
}
