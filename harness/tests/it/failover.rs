//! Three agents, one of which fails under load in each of the ways that processes and networks fail:
//! killed, stopped, cut off. Everybody is answered in time, nobody with a right password is refused, and
//! client, log and the directory's journal tell the same story. What comes late changes nothing.

use std::time::Duration;

use futures::future::join_all;
use postern_cloud::config::Limits;
use postern_harness::lab::LinkState;
use postern_harness::lab::processes::{AgentProcess, ProcessLab, Program, logged};
use postern_harness::scenario::Outcome;
use postern_kit::clock::monotonic;
use rustix::process::Signal;

use crate::rush::{
    Crowd, HELD, SLOW, agent, ambiguous, busy_agent, directory, holding_agent, is_used, lab, mistypes,
    noticed, records, rush,
};
use crate::world::{ATTEMPT, eventually};

/// People who sign in together while an agent is late: no more than three agents ask about at once, so that nothing
/// else is.
const TOGETHER: usize = 24;
/// What it holds then at least, and how much of that is seen to come after all: some may be answered before it hangs.
const LATE: usize = 6;
const LATE_MIN: usize = 3;

/// How an agent fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Killed,
    Stopped,
    CutOff,
}

impl Failure {
    fn befalls(self, agent: &mut AgentProcess) {
        match self {
            Self::Killed => agent.kill(),
            Self::Stopped => agent.signal(Signal::STOP).unwrap(),
            Self::CutOff => agent.set_link(LinkState::Swallows),
        }
    }

    async fn ends(self, agent: &mut AgentProcess) {
        match self {
            Self::Killed => agent.start().await.unwrap(),
            Self::Stopped => agent.signal(Signal::CONT).unwrap(),
            Self::CutOff => agent.set_link(LinkState::Passes),
        }
    }
}

/// What the users noticed, told by the same assertion whether or not sign-ins are handed over; and the lab as it
/// is afterwards, with the place of the agent that failed.
async fn one_fails(failure: Failure, hand_off: bool) -> (Vec<String>, ProcessLab, Crowd, usize) {
    let limits = Limits {
        hand_off,
        ..Limits::default()
    };
    let mut lab = lab(limits).await;
    let crowd = Crowd::of(&lab);
    let failing = async {
        let at = busy_agent(&mut lab).await;
        failure.befalls(agent(&mut lab, at));
        lab.attached(0, 2).await.unwrap();
        at
    };
    let (answers, at) = tokio::join!(crowd.rush(), failing);
    let records = records(&mut lab).await;
    let mut noticed = noticed(&lab, &limits, &answers, &records);
    let ambiguous = ambiguous(&records);
    if ambiguous < HELD {
        noticed.push(format!("only {ambiguous} were handed over"));
    }
    (noticed, lab, crowd, at)
}

async fn nobody_notices(failure: Failure) {
    let (noticed, mut lab, crowd, at) = one_fails(failure, true).await;
    assert!(noticed.is_empty(), "{failure:?}: {noticed:#?}");
    // It comes back, with whatever it still has to say, and all is as it was.
    let before = (records(&mut lab).await, directory(&lab).journal().total());
    failure.ends(agent(&mut lab, at)).await;
    lab.attached(0, 3).await.unwrap();
    assert_eq!(
        before,
        (records(&mut lab).await, directory(&lab).journal().total())
    );
    is_used(&mut lab, &crowd, at, rush()).await;
    assert_eq!(before.0, records(&mut lab).await);
    lab.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_nobodys_business() {
    nobody_notices(Failure::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_is_nobodys_business() {
    nobody_notices(Failure::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_cut_off_is_nobodys_business() {
    nobody_notices(Failure::CutOff).await;
}

/// The counter-test: the same assertion fails, and what it finds is what hand-off is for.
async fn without_hand_off_users_notice(failure: Failure) {
    let (noticed, mut lab, ..) = one_fails(failure, false).await;
    let told_to_try_again = |text: &&String| text.contains("was told Ok(Unavailable)");
    let told = noticed.iter().filter(told_to_try_again).count();
    assert!(told >= HELD, "{failure:?}: {noticed:#?}");
    // And even then nobody with a right password is told that it is wrong.
    for (person, record) in records(&mut lab).await {
        assert!(
            record.outcome != Outcome::Refused || mistypes(person),
            "{record:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hand_off_users_notice_a_killed_agent() {
    without_hand_off_users_notice(Failure::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hand_off_users_notice_a_stopped_agent() {
    without_hand_off_users_notice(Failure::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hand_off_users_notice_an_agent_that_is_cut_off() {
    without_hand_off_users_notice(Failure::CutOff).await;
}

/// An agent is late, not lost: its sign-ins were handed over when its verdicts come, on the same stream.
async fn late_verdicts_change_nothing(failure: Failure) {
    let limits = Limits {
        attempt: ATTEMPT,
        ..Limits::default()
    };
    let mut lab = lab(limits).await;
    let crowd = Crowd::of(&lab);
    let late = |lab: &ProcessLab| {
        let log = lab.cloud.program().map(Program::log).unwrap();
        logged(&log, "verdict that nobody waits for").len()
    };
    directory(&lab).faults().set_latency(SLOW);
    let failing = async {
        let at = holding_agent(&mut lab, LATE).await;
        failure.befalls(agent(&mut lab, at));
        at
    };
    // Everybody is answered while it is late.
    let (answers, at) = tokio::join!(crowd.together(TOGETHER), failing);
    let (answered, before) = (records(&mut lab).await, late(&lab));
    let ambiguous = ambiguous(&answered);
    assert!(ambiguous >= LATE_MIN, "only {ambiguous} were handed over");
    failure.ends(agent(&mut lab, at)).await;
    eventually("late verdicts come", async || {
        (late(&lab) >= before + LATE_MIN).then_some(())
    })
    .await;
    let records = records(&mut lab).await;
    let noticed = noticed(&lab, &limits, &answers, &records);
    assert!(noticed.is_empty(), "{failure:?}: {noticed:#?}");
    assert_eq!(answered, records, "they were answered before");
    // It was there all the time, and still is.
    let connected = lab.tenants[0]
        .agents
        .iter()
        .map(|agent| agent.program().unwrap().log());
    let connected = connected.map(|log| logged(&log, "connected").len());
    assert_eq!(connected.collect::<Vec<_>>(), [1, 1, 1]);
    is_used(&mut lab, &crowd, at, rush()).await;
    lab.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn late_verdicts_of_an_agent_that_hung_change_nothing() {
    late_verdicts_change_nothing(Failure::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_verdicts_of_an_agent_whose_link_is_healed_change_nothing() {
    late_verdicts_change_nothing(Failure::CutOff).await;
}

/// Until it is certain that nobody answers any more: two agents may be asked, one after the other, and silence is
/// noticed within 4 s.
const HOPELESS_MAX: Duration = Duration::from_secs(8);
/// Until it is told, when it is known: the floor of refusals, and room for two busy cores.
const AT_ONCE_MAX: Duration = Duration::from_secs(2);
/// From when an agent's process is started until people sign in through it.
const BACK_MAX: Duration = Duration::from_secs(10);
/// What the log says when nobody could be asked.
const NO_AGENT: u32 = 80001;

async fn all_fail(failure: Failure, known_at_once: bool) {
    let mut lab = lab(Limits::default()).await;
    let crowd = Crowd::of(&lab);
    let mut people = (0..).filter(|person| !mistypes(*person));
    let mut next = || people.next().unwrap();
    let told = async |person: usize, within: Duration| {
        let began = monotonic();
        assert_eq!(crowd.sign_in(person).await.outcome, Ok(Outcome::Unavailable));
        let took = monotonic().saturating_duration_since(began);
        assert!(took < within, "{took:?}");
    };
    for agent in &mut lab.tenants[0].agents {
        failure.befalls(agent);
    }
    if known_at_once {
        lab.attached(0, 0).await.unwrap();
    } else {
        // Nobody knows until somebody asks: then each of them is asked, and is lost.
        let asking = [next(), next(), next()].map(|person| told(person, HOPELESS_MAX));
        join_all(asking).await;
        lab.attached(0, 0).await.unwrap();
    }
    let person = next();
    told(person, AT_ONCE_MAX).await;
    let record = records(&mut lab).await.remove(&person).unwrap();
    assert_eq!((record.code, record.attempts.len()), (NO_AGENT, 0), "{record:?}");

    let began = monotonic();
    failure.ends(agent(&mut lab, 0)).await;
    let back = async {
        // Who was told "unavailable" tries again; nobody touches the cloud.
        while crowd.sign_in(person).await.outcome != Ok(Outcome::SignedIn) {}
    };
    tokio::time::timeout(BACK_MAX, back).await.unwrap();
    let took = monotonic().saturating_duration_since(began);
    assert!(took < BACK_MAX, "{took:?}");
    assert_eq!(
        lab.agents(0)
            .await
            .unwrap()
            .iter()
            .filter(|agent| agent.connected)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_agents_are_killed_people_are_told_at_once_and_one_that_is_back_serves() {
    all_fail(Failure::Killed, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_agents_hang_people_are_told_in_time_and_one_that_is_back_serves() {
    all_fail(Failure::Stopped, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_agents_are_cut_off_people_are_told_in_time_and_one_that_is_back_serves() {
    all_fail(Failure::CutOff, false).await;
}
