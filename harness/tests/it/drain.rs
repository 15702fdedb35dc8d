//! How the cloud and an agent end: in order, with everybody answered, or like a killed process,
//! with nothing lost that was answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use postern_cloud::sign_in::Record;
use postern_harness::client::{ClientError, Programme};
use postern_harness::lab::{Lab, TenantPlan, Topology};
use postern_kit::clock::SystemClock;
use postern_kit::dial::Connector;
use postern_kit::net::{Net as _, Sockets};
use postern_kit::tls::{self, Certificate, ServerTrust, Versions};
use postern_proto::ids::AgentId;
use postern_proto::wire::signin::SignInResponse;
use postern_proto::wire::signin::sign_in_response::Outcome;
use tonic::transport::Endpoint;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::admin::admin;
use crate::world::{DOMAIN, TENANT, WRONG, call, eventually, person, plan, start, topology};

/// How late the directory answers, so that there is time to stop somebody in between.
const LATE: Duration = Duration::from_secs(2);

/// Late enough that at any moment most sign-ins wait for the directory.
const SLOW: Duration = Duration::from_millis(30);

/// The failure budget, as configured by default, and what a sudden stop costs of it.
const BUDGET: usize = 4;
const CHARGED: usize = 2;

/// A lab whose attempts have all the time that the directory takes.
async fn late_lab(agents: usize, users: usize) -> Lab {
    let lab = start(Topology::of(TenantPlan {
        agents,
        ..plan(users)
    }))
    .await;
    lab.tenant().directory.faults().set_latency(LATE);
    lab
}

/// What users are to be told whose right or wrong password is in flight.
struct InFlight {
    programme: Programme,
    answered: Arc<AtomicUsize>,
}

impl InFlight {
    fn new(lab: &Lab) -> Self {
        Self {
            programme: lab.programme(lab.tenant()).unwrap(),
            answered: Arc::default(),
        }
    }

    /// What is looked at now came while somebody was still waiting.
    fn is_not_over(&self, users: usize) {
        assert!(self.answered.load(SeqCst) < users, "all were answered before");
    }

    /// Everybody of `users` signs in; those with an odd number mistype.
    async fn all_are_answered_rightly(&self, users: usize) -> Vec<SignInResponse> {
        let sign_ins = (0..users).map(async |at| {
            let (username, right) = person(at);
            let (password, expected) = match at % 2 {
                0 => (right.as_str(), Outcome::SignedIn),
                _ => (WRONG, Outcome::Refused),
            };
            let answer = self.programme.sign_in(&username, password).await.unwrap();
            self.answered.fetch_add(1, SeqCst);
            assert_eq!(answer.outcome(), expected, "{username}");
            answer
        });
        join_all(sign_ins).await
    }
}

async fn is_refused(address: SocketAddr) -> bool {
    let connected = Sockets.connect("127.0.0.1", address.port()).await;
    connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Somebody who watches the health of the public listener, as a load balancer does.
async fn watch_health(
    address: SocketAddr,
    root: Certificate,
) -> tonic::Streaming<tonic_health::pb::HealthCheckResponse> {
    let trust = ServerTrust::Roots(vec![root]);
    let tls = tls::client(trust, None, Versions::Tls13, &["h2"], Arc::new(SystemClock)).unwrap();
    let connector = Connector::new(Arc::new(Sockets), tls, "localhost", address.port()).unwrap();
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
    let watched = HealthClient::new(channel)
        .watch(HealthCheckRequest::default())
        .await;
    watched.unwrap().into_inner()
}

/// The log by request: each is in it once.
async fn log(lab: &Lab) -> BTreeMap<String, Record> {
    let records = lab.admin.sign_ins().list(None, None, 1000).await.unwrap();
    let all = records.len();
    let log: BTreeMap<_, _> = records
        .into_iter()
        .map(|record| (record.request.to_string(), record))
        .collect();
    assert_eq!(log.len(), all, "a request has two records");
    log
}

/// How often this user may fail until nobody is asked any more.
async fn attempts_left(lab: &Lab, username: &str) -> usize {
    for used in 0..=BUDGET {
        match call(lab, username, WRONG).await {
            Outcome::Refused => {}
            Outcome::TooManyAttempts => return used,
            other => panic!("{username}: {other:?}"),
        }
    }
    panic!("{username} may fail more than {BUDGET} times");
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_takes_nothing_new_and_is_clean() {
    // With the one on the page no more than an agent asks about at once: all are in the directory together.
    const USERS: usize = 7;
    let lab = late_lab(1, USERS + 2).await;
    let (public, journal) = (lab.public(), lab.tenant().directory.journal().clone());
    let (in_flight, browser) = (InFlight::new(&lab), lab.browser().unwrap());
    let mut health = watch_health(public, lab.page_root()).await;
    let status = async |health: &mut tonic::Streaming<tonic_health::pb::HealthCheckResponse>| {
        health.message().await.unwrap().unwrap().status
    };
    assert_eq!(status(&mut health).await, ServingStatus::Serving as i32);

    let (on_page, password) = person(USERS);
    let by_page = async {
        let page = browser.sign_in(TENANT, &on_page, &password).await.unwrap();
        assert_eq!(page.code(), Some(0), "{}", page.html);
    };
    let stop = async {
        journal.wait_for(USERS as u64 + 1).await;
        lab.stop_cloud().await.unwrap()
    };
    let meanwhile = async {
        journal.wait_for(USERS as u64 + 1).await;
        assert_eq!(status(&mut health).await, ServingStatus::NotServing as i32);
        eventually("a new connection is refused", async || {
            is_refused(public).await.then_some(())
        })
        .await;
        in_flight.is_not_over(USERS);
    };
    let (answers, (), ended, ()) = tokio::join!(
        in_flight.all_are_answered_rightly(USERS),
        by_page,
        stop,
        meanwhile
    );
    assert_eq!(journal.total(), USERS as u64 + 1);

    let lab = ended.start_cloud().await.unwrap();
    lab.tenant().directory.faults().set_latency(Duration::ZERO);
    let log = log(&lab).await;
    assert_eq!(log.len(), USERS + 1);
    for answer in &answers {
        assert_eq!(log[&answer.request_id].code, answer.code);
    }
    let (fresh, _) = person(USERS + 1);
    assert_eq!(attempts_left(&lab, &fresh).await, BUDGET, "nothing was charged");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_stops_answers_what_it_has() {
    const USERS: usize = 6;
    let mut lab = late_lab(1, USERS + 1).await;
    let journal = lab.tenant().directory.journal().clone();
    let in_flight = InFlight::new(&lab);
    let agent = lab.tenants[0].agents.pop().unwrap();
    let stop = async {
        journal.wait_for(USERS as u64).await;
        in_flight.is_not_over(USERS);
        agent.stop().await.unwrap();
        // It ends after its last answer.
        eventually("all are answered", async || {
            (in_flight.answered.load(SeqCst) == USERS).then_some(())
        })
        .await;
    };
    let (answers, ()) = tokio::join!(in_flight.all_are_answered_rightly(USERS), stop);
    assert_eq!(journal.total(), USERS as u64, "nobody was asked twice");
    let log = log(&lab).await;
    for answer in &answers {
        assert_eq!(log[&answer.request_id].attempts.len(), 1);
    }
    let (late, password) = person(USERS);
    assert_eq!(call(&lab, &late, &password).await, Outcome::Unavailable);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn users_do_not_notice_that_one_of_two_agents_stops() {
    const USERS: usize = 8;
    let mut lab = start(topology(TenantPlan {
        agents: 2,
        ..plan(USERS)
    }))
    .await;
    lab.tenant().directory.faults().set_latency(SLOW);
    let journal = lab.tenant().directory.journal().clone();
    let programme = lab.programme(lab.tenant()).unwrap();
    let (stopping, stayed) = (lab.tenants[0].agents.pop().unwrap(), lab.tenants[0].agents[0].id);
    let stopped = AtomicUsize::new(0);
    let stop = async {
        journal.wait_for(3 * USERS as u64).await;
        stopping.stop().await.unwrap();
        stopped.store(1, SeqCst);
    };
    // Each user comes again and again, until some time after the stop.
    let users = join_all((0..USERS).map(async |at| {
        let (username, password) = person(at);
        let mut after = 0;
        while after < 3 {
            after += stopped.load(SeqCst);
            let answer = programme.sign_in(&username, &password).await.unwrap();
            assert_eq!(answer.outcome(), Outcome::SignedIn, "{username}");
        }
    }));
    tokio::join!(stop, users);
    let served = log(&lab).await.into_values().flat_map(|record| record.attempts);
    let mut served_by = BTreeMap::<AgentId, usize>::new();
    served.for_each(|attempt| *served_by.entry(attempt.agent).or_default() += 1);
    assert_eq!(served_by.len(), 2, "both had served: {served_by:?}");
    assert!(served_by[&stayed] >= 3 * USERS, "{served_by:?}");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn after_a_crash_nothing_answered_is_lost_and_agents_come_back_by_themselves() {
    const USERS: usize = 6;
    let lab = start(topology(TenantPlan {
        agents: 2,
        ..plan(USERS + 3)
    }))
    .await;
    lab.tenant().directory.faults().set_latency(SLOW);
    let directory = lab.tenant().directory.directory().clone();
    let journal = directory.journal().clone();
    let (programme, root) = (
        lab.programme(lab.tenant()).unwrap(),
        lab.admin.trust().root().clone(),
    );
    let agents = |lab: &Lab| {
        lab.tenant()
            .agents
            .iter()
            .map(|agent| agent.id)
            .collect::<Vec<_>>()
    };
    let before = agents(&lab);

    // Users sign in all the time, and the cloud dies in the middle of it.
    let users = join_all((0..USERS).map(async |at| {
        let (username, password) = person(at);
        let mut answered = Vec::new();
        loop {
            match programme.sign_in(&username, &password).await {
                Ok(answer) => {
                    assert_eq!(answer.outcome(), Outcome::SignedIn, "{username}");
                    answered.push(answer.request_id);
                }
                Err(ClientError::Refused(_)) => return answered,
                Err(error) => panic!("{error:?}"),
            }
        }
    }));
    let crash = async {
        journal.wait_for(10 * USERS as u64).await;
        lab.crash_cloud().await
    };
    let (answered, crashed) = tokio::join!(users, crash);
    let answered = answered.concat();
    assert!(
        answered.len() >= 9 * USERS,
        "only {} were answered",
        answered.len()
    );

    let lab = crashed.start_cloud().await.unwrap();
    assert_eq!(*lab.admin.trust().root(), root);
    let known = lab.admin.agents(lab.tenant().tenant.id).await.unwrap();
    let mut connected: Vec<_> = known
        .iter()
        .filter(|(_, presence)| presence.is_some())
        .map(|(agent, _)| agent.registration.agent)
        .collect();
    let mut expected = before;
    expected.sort();
    connected.sort();
    assert_eq!((connected, known.len()), (expected, 2), "the agents of before");
    let log = log(&lab).await;
    for request in &answered {
        assert!(
            log.contains_key(request),
            "{request} was answered and is not in the log"
        );
    }
    // Others were asked about and not answered; of each user at most one.
    assert!(
        log.len() <= answered.len() + USERS,
        "{} of {}",
        log.len(),
        answered.len()
    );

    // What may have been lost is charged to everybody, and void for who signs in.
    let [(charged, _), (again, password)] = [person(USERS), person(USERS + 1)];
    assert_eq!(attempts_left(&lab, &charged).await, BUDGET - CHARGED);
    assert_eq!(call(&lab, &again, &password).await, Outcome::SignedIn);
    assert_eq!(attempts_left(&lab, &again).await, BUDGET);
    let locked = (0..USERS + 3).filter(|at| {
        let (username, _) = person(*at);
        directory.is_locked(directory.guid_of(username.split_once('@').unwrap().0).unwrap())
    });
    assert_eq!(locked.count(), 0);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_drained_agent_gets_nothing_new_until_it_is_resumed_also_over_a_restart() {
    let lab = start(plan_of_one()).await;
    let (username, password) = person(0);
    let id = lab.tenant().agents[0].id;
    let shown = admin(&lab, &format!("agents drain --tenant {TENANT} {id}"))
        .await
        .unwrap();
    assert!(
        shown
            .lines()
            .any(|line| line.split_whitespace().eq(["drained", "yes"])),
        "{shown}"
    );
    assert_eq!(call(&lab, &username, &password).await, Outcome::Unavailable);
    let lab = lab.stop_cloud().await.unwrap().start_cloud().await.unwrap();
    assert_eq!(call(&lab, &username, &password).await, Outcome::Unavailable);
    assert_eq!(lab.tenant().directory.journal().total(), 0);
    admin(&lab, &format!("agent resume --tenant {TENANT} {id}"))
        .await
        .unwrap();
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    let unknown = admin(&lab, &format!("agent drain --tenant {TENANT} {DOMAIN}"))
        .await
        .unwrap_err();
    assert!(unknown.starts_with("agent_id: expected"), "{unknown}");
    lab.stop().await.unwrap();
}

fn plan_of_one() -> Topology {
    topology(plan(1))
}
