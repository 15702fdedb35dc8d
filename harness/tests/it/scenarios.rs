//! The scenario files that come with the house, the page that teaches them, and the command that
//! checks them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use postern_harness::scenario::cli::scenario_files;
use postern_harness::scenario::{Schedule, parse};

/// The suites that there are.
const SUITES: [&str; 8] = [
    "account-states",
    "high-availability",
    "hostile-network",
    "lab",
    "main-flow",
    "overload",
    "recovery",
    "trust",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scenarios() -> PathBuf {
    root().join("harness/scenarios")
}

/// How a file of this title is called.
fn file_name(title: &str) -> String {
    let plain = title.to_lowercase().replace('\'', "");
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!("{}.toml", words.join("-"))
}

#[test]
fn every_file_is_a_scenario_that_is_called_what_it_says() {
    let files = scenario_files(&scenarios()).unwrap();
    assert!(files.len() >= 40, "{}", files.len());
    let (mut suites, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario =
            parse(&file.display().to_string(), &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(
            file.file_name().unwrap().to_str().unwrap(),
            file_name(&scenario.title)
        );
        assert!(
            !scenario.about.is_empty(),
            "{}: where do its expectations come from?",
            file.display()
        );
        assert!(
            text.starts_with("#:schema ../scenario.schema.json\n"),
            "{}",
            file.display()
        );
        suites.insert(
            file.parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        );
        assert!(titles.insert(scenario.title.clone()), "{} twice", scenario.title);
        let schedule = Schedule::draw(&scenario, 1);
        assert!(
            !schedule.arrivals.is_empty(),
            "{}: nobody signs in",
            scenario.title
        );
    }
    assert_eq!(suites.iter().map(String::as_str).collect::<Vec<_>>(), SUITES);
}

/// The code blocks of a page in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    let parts = page.split(open.as_str()).skip(1);
    parts.filter_map(|part| part.split("\n```").next()).collect()
}

#[test]
fn the_example_of_the_page_is_a_scenario_and_its_mistake_is_shown_as_it_is() {
    let page = std::fs::read_to_string(root().join("docs/scenarios.md")).unwrap();
    let toml = blocks(&page, "toml");
    let name = "an-agent-dies-over-lunch.toml";
    let scenario = parse(name, toml[0]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(file_name(&scenario.title), name);
    // The exception and the single sign-in of the page, in the example.
    let text = format!("{}\n{}\n{}\n", toml[0], toml[1], toml[2]);
    parse("x", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mistyped = toml[0].replace("host = \"agent1\"", "host = \"agnet1\"");
    let shown = parse(name, &mistyped).unwrap_err().render(false);
    assert!(page.contains(shown.trim()), "the page should show\n{shown}");
}

#[test]
fn the_page_names_every_kind_that_there_is() {
    let page = std::fs::read_to_string(root().join("docs/scenarios.md")).unwrap();
    let schema = std::fs::read_to_string(scenarios().join("scenario.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let kinds = schema["$defs"]["Fault"]["oneOf"].as_array().unwrap().iter();
    let faults = kinds.map(|kind| kind["properties"]["kind"]["const"].as_str().unwrap().to_owned());
    let of = |name: &str| {
        let kinds = schema["$defs"][name]["oneOf"].as_array().unwrap().iter();
        kinds
            .map(|kind| kind["const"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let others = ["State", "Typed", "AttackKind", "StoreFailure"]
        .into_iter()
        .flat_map(of);
    for name in faults.chain(others) {
        assert!(
            page.contains(&format!("`{name}`")),
            "the page does not name `{name}`"
        );
    }
}

fn postern(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(args)
        .current_dir(root())
        .output()
        .unwrap()
}

#[test]
fn the_command_tells_good_from_bad_by_its_exit_code() {
    let good = postern(&["scenario", "check", "harness/scenarios/trust"]);
    let text = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success(), "{text}");
    assert!(
        text.contains("✓ Two tenants share the cloud and nothing else"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours into a pipe");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "title = \"Nobody is there\"\nduration = \"10\"\n").unwrap();
    let bad = postern(&["scenario", "check", file.to_str().unwrap()]);
    let text = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1), "{text}");
    assert!(
        text.contains("bad.toml:2:12") && text.contains("3 mistakes in 1 of 1 scenario"),
        "{text}"
    );

    let missing = postern(&["scenario", "check", "harness/scenarios/nothing"]);
    assert!(!missing.status.success());
    assert!(
        String::from_utf8(missing.stderr)
            .unwrap()
            .contains("harness/scenarios/nothing")
    );
}

#[test]
fn the_command_prints_the_published_schema() {
    let printed = postern(&["scenario", "schema"]);
    let published = std::fs::read(scenarios().join("scenario.schema.json")).unwrap();
    assert!(printed.stdout == published);
}

fn run(args: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["scenario", "run", "--seed", "7"])
        .args(args)
        .current_dir(root())
        .output()
        .unwrap()
}

#[test]
fn scenarios_are_carried_out_in_the_simulation_and_go_as_they_should() {
    let files = [
        "main-flow/passwords-that-no-directory-may-see-reach-none.toml",
        "account-states/each-state-is-told-to-who-knows-the-password.toml",
        "account-states/an-administrator-ends-a-lockout-and-the-user-signs-in.toml",
        "trust/an-agent-whose-certificate-has-expired-gets-nothing.toml",
    ]
    .map(|file| scenarios().join(file));
    let ran = run(&files.each_ref().map(PathBuf::as_path));
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("4 of 4 runs passed"), "{said}");
}

#[test]
fn a_run_that_goes_otherwise_says_what_was_seen_and_how_it_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nobody-signs-in.toml");
    let text = "title = 'Nobody signs in'\nduration = '10s'\n\
                [[tenant]]\nname = 'contoso'\nusers = { ok = 5 }\nagents = 1\n\
                [[load]]\nrate = '2/s'\n\
                [[expect.answers]]\nare = { signed_in = 'none' }\n";
    std::fs::write(&file, text).unwrap();
    let ran = run(&[&file]);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(!ran.status.success(), "{said}");
    assert!(
        said.contains("expected answers: signed_in none\n    Seen: 16."),
        "{said}"
    );
    let again = format!(
        "repeat it with:\n    postern scenario run {} --seed 7\n",
        file.display()
    );
    assert!(said.contains(&again), "{said}");
}
