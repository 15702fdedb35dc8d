//! Too much to do: whoever finds no room is told so at once and when to come back, and everybody else is served
//! as if nothing were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use postern_agent::Timeouts;
use postern_cloud::config::Limits;
use postern_harness::client::Programme;
use postern_harness::lab::{Lab, TenantPlan, Topology};
use postern_kit::clock::monotonic;
use postern_proto::wire::signin::SignInResponse;
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::world::{DOMAIN, TENANT, WRONG, directory, eventually, person, plan, start};

/// Requests in flight on one stream, and sign-ins under way in one replica: as the cloud bounds them.
const ON_A_STREAM: usize = 256;
const UNDER_WAY: usize = 4096;
/// Calls at once on one connection, as the cloud bounds them.
const ON_A_CONNECTION: usize = 256;
/// Time in which somebody is sent away: no longer than anything that is waited for, on two busy cores.
const AT_ONCE_MAX: Duration = Duration::from_secs(2);

/// Somebody with the right password is sent away at once, and told when to come back.
async fn is_sent_away(programme: &Programme, (username, password): (String, String)) {
    let began = monotonic();
    let answer = programme.sign_in(&username, &password).await.unwrap();
    let took = monotonic().saturating_duration_since(began);
    assert_eq!(answer.outcome(), Outcome::Busy, "{answer:?}");
    assert!(answer.retry_after_ms > 0, "{answer:?}");
    assert!(took < AT_ONCE_MAX, "{took:?}");
}

async fn in_flight(lab: &Lab) -> usize {
    let agents = lab.admin.agents(lab.tenant().tenant.id).await.unwrap();
    let all = agents.iter().filter_map(|(_, presence)| presence.as_ref());
    all.map(|presence| presence.in_flight).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_what_an_agent_takes_people_are_sent_away_at_once_and_everybody_else_is_served() {
    const SENT_AWAY: usize = 20;
    // Long enough that all are there together; the agent asks about eight at a time.
    const LATE: Duration = Duration::from_secs(4);
    let neighbour = postern_directory_mock::Directory::builder("other.example.com", "OTHER")
        .population(&postern_directory_mock::Population::seeded(1, 1))
        .build();
    let crowded = TenantPlan {
        timeouts: Timeouts {
            // Those who wait in the agent are not what this is about.
            connect: Duration::from_secs(20),
            ..Timeouts::default()
        },
        ..plan(ON_A_STREAM + SENT_AWAY + 1)
    };
    let limits = Limits {
        attempt: Duration::from_secs(15),
        ..Limits::default()
    };
    let lab = start(Topology {
        limits,
        tenants: vec![crowded, TenantPlan::new("fabrikam", neighbour)],
        ..Topology::of(TenantPlan::new(TENANT, directory(0)))
    })
    .await;
    let faults = lab.tenant().directory.faults();
    faults.set_latency(LATE);
    let programme = lab.programme(lab.tenant()).unwrap();
    let sign_ins = (0..ON_A_STREAM).map(|at| {
        let programme = programme.clone();
        async move {
            let (username, password) = person(at);
            programme.sign_in(&username, &password).await.unwrap().outcome()
        }
    });
    let full = async {
        eventually("the agent has all it takes", async || {
            (in_flight(&lab).await == ON_A_STREAM).then_some(())
        })
        .await;
        faults.set_latency(Duration::ZERO);
        let another = lab.programme(lab.tenant()).unwrap();
        let away = (0..SENT_AWAY).map(|at| is_sent_away(&another, person(ON_A_STREAM + at)));
        join_all(away).await;
        let elsewhere = lab.programme(&lab.tenants[1]).unwrap();
        let (username, password) = person(0);
        let username = username.replace(DOMAIN, "other.example.com");
        let answer = elsewhere.sign_in(&username, &password).await.unwrap();
        assert_eq!(
            answer.outcome(),
            Outcome::SignedIn,
            "another tenant is not concerned"
        );
        assert_eq!(in_flight(&lab).await, ON_A_STREAM, "it was full all the time");
    };
    let (outcomes, ()) = tokio::join!(join_all(sign_ins), full);
    assert_eq!(outcomes, [Outcome::SignedIn; ON_A_STREAM]);
    let binds = lab.tenant().directory.journal().total();
    assert_eq!(
        binds, ON_A_STREAM as u64,
        "nobody asked about those who were sent away"
    );
    // There is room again, also for one of those.
    let (username, password) = person(ON_A_STREAM);
    let answer = programme.sign_in(&username, &password).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::SignedIn);
    lab.stop().await.unwrap();
}

/// Somebody signs in again and again until they are sent away, or until `over`.
async fn insists(programme: Programme, over: Arc<AtomicBool>) -> Option<SignInResponse> {
    while !over.load(SeqCst) {
        // A name without an account, because nothing of it is charged: it costs its place only.
        let answer = programme
            .sign_in("anybody@elsewhere.example", WRONG)
            .await
            .unwrap();
        match answer.outcome() {
            Outcome::Refused => {}
            _ => return Some(answer),
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_what_a_cloud_takes_people_are_sent_away_at_once_and_everybody_else_is_answered() {
    const TOO_MANY: usize = 40;
    let limits = Limits {
        // A refusal stays under way until then: long enough that a busy machine gets all of them together.
        floor: Duration::from_secs(12),
        ..Limits::default()
    };
    let lab = start(Topology {
        limits,
        ..Topology::of(plan(1))
    })
    .await;
    let over = Arc::new(AtomicBool::new(false));
    let sent_away = AtomicUsize::new(0);
    let connections = (0..(UNDER_WAY + TOO_MANY).div_ceil(ON_A_CONNECTION))
        .map(|_| lab.programme(lab.tenant()).unwrap())
        .collect::<Vec<_>>();
    let crowd = (0..UNDER_WAY + TOO_MANY).map(|at| {
        let (programme, over) = (connections[at / ON_A_CONNECTION].clone(), over.clone());
        let sent_away = &sent_away;
        async move {
            if let Some(answer) = insists(programme, over).await {
                assert_eq!(answer.outcome(), Outcome::Busy, "{answer:?}");
                assert!(answer.retry_after_ms > 0, "{answer:?}");
                sent_away.fetch_add(1, SeqCst);
            }
        }
    });
    let (programme, browser) = (lab.programme(lab.tenant()).unwrap(), lab.browser().unwrap());
    let (username, password) = person(0);
    let full = async {
        eventually("all places are taken", async || {
            (sent_away.load(SeqCst) > 0).then_some(())
        })
        .await;
        is_sent_away(&programme, (username.clone(), password.clone())).await;
        let page = browser.sign_in(TENANT, &username, &password).await.unwrap();
        assert_eq!(
            (page.status.as_u16(), page.code()),
            (429, Some(90055)),
            "{}",
            page.html
        );
        over.store(true, SeqCst);
    };
    tokio::join!(join_all(crowd), full);
    let load = lab.admin.status().load;
    assert_eq!(load.under_way, 0, "everybody was answered");
    assert_eq!(load.shed as usize, sent_away.load(SeqCst) + 2);
    assert_eq!(lab.tenant().directory.journal().total(), 0);
    let answer = programme.sign_in(&username, &password).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::SignedIn, "there is room again");
    lab.stop().await.unwrap();
}
