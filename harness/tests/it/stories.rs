//! Stories in simulated time, each in a process of its own. A failure prints what repeats it.

use std::process::{Child, Command, Stdio};

use postern_harness::stories::STORIES;

/// What a story printed, and whether it went well.
struct Told {
    text: String,
    well: bool,
}

impl Told {
    fn trace(&self) -> &str {
        let line = self.text.lines().find(|line| line.starts_with("trace "));
        line.unwrap_or_else(|| panic!("no trace:\n{}", self.text))
    }
}

fn start(name: &str, seed: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["story", name, "--seed", &seed.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(story: Child) -> Told {
    let output = story.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Told {
        text: String::from_utf8(said).unwrap(),
        well: output.status.success(),
    }
}

fn plays(name: &str, seed: u64) {
    let told = end(start(name, seed));
    assert!(told.well, "{}", told.text);
}

#[test]
fn users_in_every_state_get_what_they_should() {
    plays("main_flow", 1);
}

#[test]
fn agents_that_crash_are_not_noticed() {
    plays("agent_crash", 2);
}

#[test]
fn a_cloud_that_crashes_comes_back() {
    plays("cloud_crash", 3);
}

#[test]
fn an_agent_that_is_cut_off_comes_back() {
    plays("partition_and_repair", 4);
}

#[test]
fn an_idle_agent_that_is_cut_off_is_noticed_in_time() {
    plays("idle_agent_is_cut_off", 8);
}

#[test]
fn two_tenants_are_administered_apart() {
    plays("offices", 6);
}

#[test]
fn a_host_that_hangs_or_dies_in_the_middle_of_a_file_harms_nobody() {
    plays("troubles", 5);
}

#[test]
fn the_same_seed_repeats_a_run_to_the_packet_and_another_does_not() {
    let told = |name, seed| [end(start(name, seed)), end(start(name, seed))];
    for name in ["main_flow", "agent_crash", "cloud_crash", "troubles"] {
        let [[one, again], [other, _]] = [told(name, 6), told(name, 7)];
        assert!(one.well && again.well && other.well, "{}{}", one.text, other.text);
        assert_eq!(one.text, again.text);
        assert_ne!(one.trace(), other.trace());
    }
}

#[test]
fn a_story_that_is_none_is_named_with_those_that_are() {
    let told = end(start("no_such_story", 1));
    assert!(!told.well);
    for expected in ["\"no_such_story\" is none", "main_flow"] {
        assert!(told.text.contains(expected), "{}", told.text);
    }
    let list = Command::new(env!("CARGO_BIN_EXE_postern"))
        .arg("story")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(list.stdout).unwrap().lines().count(),
        STORIES.len()
    );
}
