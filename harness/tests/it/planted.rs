//! The planted bugs: that each can still be planted. Whether the simulation sees it, `postern planted` says.

use std::path::Path;
use std::process::Command;

use postern_harness::planted;

#[test]
fn every_planted_bug_applies_and_names_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let all = planted::all(&root).unwrap();
    assert!(all.len() >= 12, "{}", all.len());
    for bug in all {
        let changed = bug.apply(|path| std::fs::read_to_string(root.join(path)));
        let changed = changed.unwrap_or_else(|error| panic!("{error}"));
        for (path, text) in changed {
            assert_ne!(
                text,
                std::fs::read_to_string(root.join(path)).unwrap(),
                "{}",
                bug.name
            );
        }
        for scenario in &bug.scenarios {
            let file = root.join("harness/scenarios").join(scenario);
            assert!(file.is_file(), "{}: Scenario: {}", bug.name, file.display());
        }
        for name in &bug.seen_by {
            let invariant = name == "Answers" || name.starts_with('I') && name.len() == 2;
            assert!(
                invariant || name.starts_with("expected "),
                "{}: Seen by: {name}",
                bug.name
            );
        }
    }
}

#[test]
fn a_bug_that_nobody_planted_is_refused_by_name() {
    let ran = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["planted", "a-typo", "--source"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(!ran.status.success());
    assert!(
        said.contains("\"a-typo\" is not planted; expected one of a-bind-has-no-deadline, "),
        "{said}"
    );
}
