//! Scenario files in the lab: real processes, in real time; and what is said of those that cannot be there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Two seconds with nothing wrong.
const SHORT: &str = "title = 'Two people sign in'\nworlds = ['lab']\nduration = '2s'\n\
    [[tenant]]\nname = 'contoso'\nusers = { ok = 2 }\n\
    [[sign_in]]\nat = '1s'\nuser = 'ok-1'\n[[sign_in]]\nat = '1s'\nuser = 'ok-2'\n\
    [[expect.answers]]\nare = { signed_in = '2' }\n";

fn lab_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios/lab")
        .join(name)
}

fn run(args: &[&str], files: &[&Path]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["scenario", "run", "--seed", "7"])
        .args(args)
        .args(files)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_same_files_go_with_real_processes_as_they_should() {
    let files = [
        "real-processes-tell-each-state-to-who-knows-the-password.toml",
        "the-process-of-an-agent-is-killed-and-nobody-notices.toml",
        "what-administrators-do-is-done-over-the-sockets-that-they-have.toml",
    ]
    .map(lab_file);
    let (code, said, _) = run(&["--world", "lab"], &files.each_ref().map(PathBuf::as_path));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 of 3 runs passed"), "{said}");
}

#[test]
fn without_hand_off_the_lab_sees_that_users_notice() {
    let file = lab_file("the-process-of-an-agent-is-killed-and-nobody-notices.toml");
    let args = ["--world", "lab", "--set", "limits.hand_off=false"];
    let (code, said, _) = run(&args, &[&file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("expected answers: signed_in all, of typed right"),
        "{said}"
    );
    let again = "postern scenario run --world lab ";
    assert!(said.contains(again), "{said}");
}

#[test]
fn a_fault_that_the_lab_cannot_do_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clock.toml");
    let text = SHORT.replace("worlds = ['lab']\n", "")
        + "[[fault]]\nat = '1s'\nkind = 'clock'\nhost = 'cloud'\nby = '+1s'\n";
    std::fs::write(&file, &text).unwrap();
    let (code, said, error) = run(&["--world", "lab"], &[&file]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    let named = "fault[0].kind: `clock` sets the clock of one host, which the lab cannot do";
    assert!(
        error.contains(named) && error.contains("clock.toml:16:8"),
        "{error}"
    );
    // The simulation can.
    assert_eq!(run(&[], &[&file]).0, Some(0));
}

#[test]
fn of_a_folder_the_files_for_another_world_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("for-the-lab.toml", SHORT);
    write("for-the-simulation.toml", &SHORT.replace("'lab'", "'sim'"));
    let (code, said, error) = run(&["--world", "lab"], &[folder.path()]);
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(
        said.contains("passed") && said.contains("for-the-lab.toml"),
        "{said}"
    );
    assert!(
        error.contains("for-the-simulation.toml") && !error.contains("for-the-lab.toml"),
        "{error}"
    );

    write("for-the-lab.toml", &SHORT.replace("'lab'", "'sim'"));
    let (code, _, error) = run(&["--world", "lab"], &[folder.path()]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("nothing is left to run"), "{error}");
}

#[test]
fn a_run_that_does_not_end_in_its_time_is_ended_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("short.toml");
    std::fs::write(&file, SHORT).unwrap();
    for args in [
        ["--world", "lab", "--limit", "0s", "--seeds", "1"],
        ["--world", "sim", "--limit", "1ms", "--seeds", "2"],
    ] {
        let (code, said, _) = run(&args, &[&file]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("did not end within"), "{args:?}: {said}");
    }
}
