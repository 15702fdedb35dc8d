//! What fails between the cloud and the directory is never answered "wrong".

use postern_directory_mock::{Accepting, BindFault};
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::world::{WRONG, call, person, plan, start, topology};

#[tokio::test]
async fn the_first_bind_after_the_directory_dropped_its_connections_succeeds() {
    let lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    let connections = lab.tenant().directory.connections();
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    for with_notice in [true, false] {
        connections.disconnect_all(with_notice);
        connections.wait_until(|counts| counts.open == 0).await;
        assert_eq!(
            call(&lab, &username, &password).await,
            Outcome::SignedIn,
            "notice: {with_notice}"
        );
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_directory_does_not_judge_is_unavailable() {
    let faults = [
        BindFault::ResetUnjudged,
        BindFault::ResetJudged,
        BindFault::Hang,
        BindFault::busy(),
        BindFault::unavailable(),
        BindFault::other(),
        BindFault::stronger_auth(),
        BindFault::OddSubCode(0x51f),
        BindFault::OddSubCode(0x576),
        BindFault::OddSubCode(0x774),
        BindFault::OddSubCode(0x7ff),
    ];
    let lab = start(topology(plan(2 * faults.len()))).await;
    // Each fault meets users of its own, since what may have been counted stays in the budget.
    for (at, fault) in faults.into_iter().enumerate() {
        lab.tenant().directory.faults().set_bind(fault.clone());
        let (username, password) = person(2 * at);
        assert_eq!(
            call(&lab, &username, &password).await,
            Outcome::Unavailable,
            "{fault:?}"
        );
        let (username, _) = person(2 * at + 1);
        assert_eq!(
            call(&lab, &username, WRONG).await,
            Outcome::Unavailable,
            "{fault:?}"
        );
    }
    lab.tenant().directory.faults().clear();
    let (username, password) = person(0);
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_controller_or_an_agent_known_and_unknown_users_are_unavailable() {
    let mut lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    let stranger = username.replace('@', ".x@");
    lab.tenant().directory.faults().set_accepting(Accepting::Close);
    lab.tenant().directory.connections().disconnect_all(false);
    assert_eq!(call(&lab, &username, &password).await, Outcome::Unavailable);
    lab.tenant().directory.faults().clear();
    let agent = lab.tenants[0].agents.pop().unwrap();
    agent.stop().await.unwrap();
    for username in [&username, &stranger] {
        for password in [&password, WRONG] {
            assert_eq!(
                call(&lab, username, password).await,
                Outcome::Unavailable,
                "{username}"
            );
        }
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_comes_back_by_itself() {
    let mut lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    let agent = lab.tenants[0].agents.pop().unwrap();
    let again = postern_harness::lab::EnrolledAgent {
        id: agent.id,
        state: agent.state.clone(),
    };
    agent.stop().await.unwrap();
    lab.run_agent(0, again, None).await.unwrap();
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    lab.stop().await.unwrap();
}
