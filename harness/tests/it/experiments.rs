//! The experiments that come with the house, and the command that carries them out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn postern(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .arg("experiment")
        .args(args)
        .current_dir(root())
        .output()
        .unwrap()
}

#[test]
fn every_experiment_of_the_house_is_right() {
    let folder = root().join("harness/experiments");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                text.starts_with("#:schema experiment.schema.json\n"),
                "{}",
                path.display()
            );
            let told = postern(&["check", path.to_str().unwrap()]);
            assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
}

#[test]
fn the_example_of_the_page_is_right_and_its_mistake_is_told_as_the_page_shows_it() {
    let page = std::fs::read_to_string(root().join("docs/experiments.md")).unwrap();
    let example = page
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Beside the house's scenarios.
    let scenarios = root()
        .canonicalize()
        .unwrap()
        .join("harness/experiments/scenarios");
    let example = example.replace("scenarios/", &format!("{}/", scenarios.display()));
    let file = folder.path().join("turned-away.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        postern(&["check", file.to_str().unwrap()])
    };
    let told = check(&example);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    let told = check(&example.replace("[2, 4, 8]", "[2, 4, 800]"));
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8(told.stdout).unwrap();
    let shown = page.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(told.contains(shown), "the page should show\n{told}");
}

const SCENARIO: &str = "title = 'Somebody signs in'\nduration = '10s'\n[[tenant]]\nname = 'contoso'\nusers = { ok = 5 }\n\
    controllers = [{ latency = '5ms' }]\nagents = 1\n[[load]]\nrate = '2/s'\n";

const SWEEP: &str = "title = 'How does it depend?'\nscenario = 'scenario.toml'\nseeds = 2\n\
    measure = ['sign_ins', 'latency_p50']\n\
    [[parameter]]\nname = 'slow'\nfield = 'tenant[0].controllers[0].latency'\nvalues = ['5ms', '100ms']\n";

#[test]
fn an_experiment_measures_each_point_and_each_run_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("scenario.toml"), SCENARIO).unwrap();
    std::fs::write(file("sweep.toml"), SWEEP).unwrap();
    let paths = ["sweep.toml", "out/e.csv", "e.json", "e.html"].map(|name| file(name).display().to_string());
    let [sweep, csv, json, html] = paths.each_ref().map(String::as_str);
    let ran = postern(&[
        "run", sweep, "--seed", "3", "--csv", csv, "--json", json, "--html", html,
    ]);
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(
        said.contains("4 runs: 2 points with 2 seeds each, from seed 3 on"),
        "{said}"
    );

    let mut lines = csv::Reader::from_path(csv).unwrap();
    let lines: Vec<_> = lines.records().collect::<Result<_, _>>().unwrap();
    let latency = |line: &csv::StringRecord| line[4].parse::<f64>().unwrap();
    let column = |at: usize| lines.iter().map(|line| line[at].to_owned()).collect::<Vec<_>>();
    assert_eq!(column(0), ["5ms", "5ms", "100ms", "100ms"]);
    assert_eq!(column(1), ["3", "4", "3", "4"]);
    // The same seed is the same workload; the controller's 95 ms more are in the latency.
    assert_eq!(lines[0][3], lines[2][3]);
    let more = latency(&lines[2]) - latency(&lines[0]);
    assert!((90.0..=105.0).contains(&more), "{more}");

    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(told["seeds"], serde_json::json!([3, 4]));
    assert!(told["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(told["versions"]["turmoil"].is_string());
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));

    // A run by itself is the same run.
    let line = &lines[2][6];
    // Quoted for a shell, because of the brackets.
    assert!(
        line.contains("--set 'tenant[0].controllers[0].latency=100ms'"),
        "{line}"
    );
    let plain = line.replace('\'', "");
    let args = plain.split(' ').skip(1);
    let again = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(args)
        .args(["--json", "-"])
        .output()
        .unwrap();
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["runs"][0]["digest"], lines[2][5]);
    assert_eq!(again["runs"][0]["repeat"], *line);
}

#[test]
fn mistakes_of_a_sweep_end_with_2_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sweep.toml");
    std::fs::write(folder.path().join("scenario.toml"), SCENARIO).unwrap();
    std::fs::write(&file, SWEEP.replace("'100ms'", "'100'")).unwrap();
    let ran = postern(&["run", file.to_str().unwrap()]);
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(ran.stdout.is_empty());
    assert!(
        said.contains("sweep.toml:8:18") && said.contains("expected a time such as"),
        "{said}"
    );
}
