//! The demo's act of failing agents proves what it says: it differs where nothing is handed over.

use std::path::PathBuf;

use postern_harness::demo::{Event, act, act_without_hand_off, fail, report_failures};
use postern_harness::lab::processes::ProcessPlan;
use postern_kit::Seams;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{POSTERN, Program, Site};

async fn play(mut plan: ProcessPlan) -> (Vec<bool>, String) {
    plan.program = PathBuf::from(POSTERN);
    let events = fail(plan, &Seams::real()).await.unwrap();
    let agree = events.iter().map(Event::agrees).collect();
    (agree, report_failures(&events))
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_fail_in_the_demo_had_sign_ins_that_were_handed_over() {
    let (agree, report) = play(act().unwrap()).await;
    assert_eq!(agree, [true, true, true, true], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hand_off_the_demo_says_that_users_noticed() {
    let (agree, report) = play(act_without_hand_off().unwrap()).await;
    // Killed, hung, all killed, one back: the last two are no matter of hand-off.
    assert_eq!(agree, [false, false, true, true], "{report}");
    assert!(
        report.contains("DIFFERS") && report.contains("UNAVAILABLE"),
        "{report}"
    );
}

/// What the demo prints to be typed in another terminal: the process of the first agent, and how it is started again.
fn printed(output: &str) -> Option<(i32, String)> {
    let pid = output.split("kill -STOP ").nth(1)?.split_whitespace().next()?;
    let again = output.lines().find(|line| line.contains("agent run --config"))?;
    let (command, _) = again.split_once("    starts it again")?;
    let words = command.trim().split_once(' ')?.1;
    Some((pid.parse().ok()?, words.to_owned()))
}

async fn told(demo: &mut Program, what: &'static str, times: usize) -> String {
    let line = demo.says(what, |output, _| {
        let mut lines = output.lines().filter(|line| line.contains(what));
        lines.nth(times - 1).map(str::to_owned)
    });
    line.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_what_becomes_of_an_agent_that_is_failed_by_hand() {
    let site = Site::new();
    let mut demo = site.start("demo --port 0 --rate 20");
    let (pid, again) = demo
        .says("the commands", |output, _| printed(output))
        .await
        .unwrap();
    let agent = Pid::from_raw(pid).unwrap();
    // First somebody has signed in through it.
    told(&mut demo, "people", 1).await;
    kill_process(agent, Signal::STOP).unwrap();
    let line = told(&mut demo, "HANDED OVER: agent-1", 1).await;
    assert!(
        line.contains("signed_in") && line.contains(", then agent-"),
        "{line}"
    );
    kill_process(agent, Signal::CONT).unwrap();
    let back = told(&mut demo, "agent-1                       is there", 1).await;
    assert!(!back.is_empty());
    kill_process(agent, Signal::KILL).unwrap();
    told(&mut demo, "agent-1                       is gone", 2).await;
    let mut agent = site.start(&again);
    told(&mut demo, "agent-1                       is there", 2).await;
    demo.signal(Signal::INT).unwrap();
    let ended = demo.ended().await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    agent.kill();
}
