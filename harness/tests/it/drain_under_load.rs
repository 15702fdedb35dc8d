//! One agent, or the cloud itself, is told to stop while everybody signs in: what was accepted is answered,
//! rightly and once.

use postern_cloud::config::Limits;
use postern_harness::check::Logged;
use postern_harness::scenario::Outcome;
use postern_proto::wire::admin as wire;

use crate::rush::{
    Crowd, HELD, agent, ambiguous, busy_agent, is_used, lab, noticed, records, rush, totals, untrue,
};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_an_administrator_drains_a_busy_agent() {
    let limits = Limits::default();
    let mut lab = lab(limits).await;
    let crowd = Crowd::of(&lab);
    let draining = async {
        let at = busy_agent(&mut lab).await;
        let request = wire::AgentRequest {
            tenant: lab.tenants[0].name.clone(),
            id: lab.tenants[0].agents[at].id.to_string(),
        };
        let drained = lab
            .admin()
            .drain_agent(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(drained.drained);
        (at, request, lab.now())
    };
    let (answers, (at, request, drained)) = tokio::join!(crowd.rush(), draining);
    let records = records(&mut lab).await;
    assert_eq!(noticed(&lab, &limits, &answers, &records), Vec::<String>::new());
    assert_eq!(ambiguous(&records), 0, "nothing was taken from it");
    let name = lab.tenants[0].agents[at].name().to_owned();
    let (mut before, mut after) = (0, 0);
    for record in records.values() {
        let given = record
            .attempts
            .iter()
            .filter(|attempt| attempt.agent == name)
            .count();
        if record.at <= drained {
            before += given;
        } else {
            after += given;
        }
    }
    assert!(before >= HELD, "{before}");
    assert_eq!(after, 0, "it got something new");
    lab.admin().resume_agent(request).await.unwrap();
    is_used(&mut lab, &crowd, at, rush()).await;
    lab.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_a_busy_agent_is_told_to_stop() {
    let limits = Limits::default();
    let mut lab = lab(limits).await;
    let crowd = Crowd::of(&lab);
    let stopping = async {
        let at = busy_agent(&mut lab).await;
        agent(&mut lab, at).terminate().await.unwrap();
        at
    };
    let (answers, at) = tokio::join!(crowd.rush(), stopping);
    let records = records(&mut lab).await;
    assert_eq!(noticed(&lab, &limits, &answers, &records), Vec::<String>::new());
    assert_eq!(ambiguous(&records), 0, "it answered what it had");
    agent(&mut lab, at).start().await.unwrap();
    is_used(&mut lab, &crowd, at, rush()).await;
    lab.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_cloud_that_is_told_to_stop_answers_what_it_has_accepted() {
    let limits = Limits::default();
    let mut lab = lab(limits).await;
    let crowd = Crowd::of(&lab);
    let stopping = async {
        busy_agent(&mut lab).await;
        let asked = lab.now();
        lab.cloud.terminate().await.unwrap();
        asked
    };
    let (answers, asked) = tokio::join!(crowd.rush(), stopping);
    lab.cloud.start().await.unwrap();
    lab.attached(0, 3).await.unwrap();
    let records = records(&mut lab).await;
    let mut wrong = Vec::new();
    let mut refused = 0;
    for (person, answer) in &answers {
        match (&answer.outcome, records.get(person)) {
            // It was not accepted: nobody was asked about it, and nothing is known of it.
            (Err(_), None) if totals(&lab, *person).0 == 0 => refused += 1,
            (_, record) => wrong.extend(untrue(&lab, &limits, *person, answer, record)),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let outcomes = |is: fn(&Outcome) -> bool| records.values().filter(|record| is(&record.outcome)).count();
    let judged = outcomes(|outcome| matches!(outcome, Outcome::SignedIn | Outcome::Refused));
    assert_eq!(judged, records.len(), "whoever was accepted was asked about");
    assert!(refused > 0, "it stopped in the middle");
    let under_way = |record: &&Logged| record.at <= asked && record.at + record.total > asked;
    let under_way = records.values().filter(under_way).count();
    assert!(under_way >= HELD, "only {under_way} were under way");
    is_used(&mut lab, &crowd, 0, rush()).await;
    lab.stop().await.unwrap();
}
