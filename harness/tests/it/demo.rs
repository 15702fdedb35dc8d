//! The demo's act of failing agents proves what it says: it differs where nothing is handed over.

use std::path::PathBuf;

use postern_harness::demo::{Event, act, act_without_hand_off, fail, report_failures};
use postern_harness::lab::processes::ProcessPlan;
use postern_kit::Seams;

use crate::process::POSTERN;

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
