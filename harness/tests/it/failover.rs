//! Three agents, one of which fails under load in each of the ways that processes and networks fail:
//! killed, stopped, cut off. Everybody is answered, nobody with a right password is refused, and
//! client, log and the directory's journal tell the same story.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postern_cloud::config::Limits;
use postern_cloud::sign_in::Record;
use postern_harness::client::Programme;
use postern_harness::lab::{Lab, Link, LinkState, TenantPlan, Topology};
use postern_harness::load::{Plan, engine};
use postern_proto::ids::AgentId;
use postern_proto::wire::signin::sign_in_response::Outcome;
use rustix::process::Signal;

use crate::process::{Program, Site};
use crate::world::{DOMAIN, WRONG, eventually, plan, start};

/// Sign-ins a second, and for how long: short of what two cores do in a test build.
const RATE: f64 = 150.0;
const DURATION: Duration = Duration::from_secs(8);
/// What the directory takes for a bind.
const DELAY: Duration = Duration::from_millis(50);
/// Requests that the agent holds when it fails.
const HELD: usize = 20;

/// How an agent fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Killed,
    Stopped,
    CutOff,
}

/// An agent as a process, behind a link of its own.
struct Remote {
    id: AgentId,
    program: Program,
    link: Link,
}

async fn agents(lab: &Lab, site: &Site) -> Vec<Remote> {
    let tenant = lab.tenant();
    let root = tenant.directory.ca_pem().unwrap();
    site.write("controller-root.pem", root);
    let mut all = Vec::new();
    for number in 0..3 {
        let enrolled = lab.enrol_agent(0).await.unwrap();
        let link = Link::start(lab.agents(), lab.seams()).await.unwrap();
        let text = format!(
            "state = '{}'\ncloud = 'localhost:{}'\n[[forest]]\nname = 'corp'\ndomains = ['{DOMAIN}']\n\
             controllers = ['localhost:{}']\ntrust = 'controller-root.pem'\n",
            enrolled.state.display(),
            link.addr().port(),
            tenant.directory.ldaps_addr().unwrap().port(),
        );
        let file = format!("agent-{number}.toml");
        site.write(&file, &text);
        let mut program = site.start(&format!(
            "agent run --config {file} --log-json --log warn,postern_agent=info"
        ));
        program.logs("connected").await;
        all.push(Remote {
            id: enrolled.id,
            program,
            link,
        });
    }
    connected(lab, 3).await;
    all
}

async fn connected(lab: &Lab, count: usize) {
    eventually("agents are connected", async || {
        let all = lab.admin.agents(lab.tenant().tenant.id).await.unwrap();
        (all.iter().filter(|(_, presence)| presence.is_some()).count() == count).then_some(())
    })
    .await;
}

/// Lets the load hang in the directory until an agent holds enough, and lets that agent fail.
async fn fail_one(lab: &Lab, agents: &mut [Remote], failure: Failure) {
    let faults = lab.tenant().directory.faults();
    eventually("load", async || {
        (lab.tenant().directory.journal().total() > 50).then_some(())
    })
    .await;
    faults.set_latency(Duration::from_secs(2));
    let loaded = eventually("an agent holds requests", async || {
        let all = lab.admin.agents(lab.tenant().tenant.id).await.unwrap();
        let held = |presence: &Option<postern_cloud::dispatch::AgentPresence>| {
            presence.is_some_and(|presence| presence.in_flight >= HELD)
        };
        all.into_iter()
            .find_map(|(record, presence)| held(&presence).then_some(record.registration.agent))
    })
    .await;
    let victim = agents.iter_mut().find(|agent| agent.id == loaded).unwrap();
    match failure {
        Failure::Killed => victim.program.kill(),
        Failure::Stopped => victim.program.signal(Signal::STOP),
        Failure::CutOff => victim.link.set(LinkState::Swallows),
    }
    faults.set_latency(DELAY);
}

/// What came of the load: the clients' answers by user, and the log.
struct Story {
    answers: BTreeMap<u64, Outcome>,
    /// Of each user, in the order of the population.
    records: Vec<Record>,
    lab: Lab,
}

fn is_wrong(number: u64) -> bool {
    number % 10 < 3
}

async fn story(failure: Failure, hand_off: bool) -> Story {
    let sign_ins = (RATE * DURATION.as_secs_f64()) as usize;
    let limits = Limits {
        hand_off,
        ..Limits::default()
    };
    let tenant = TenantPlan {
        agents: 0,
        ..plan(sign_ins)
    };
    let lab = start(Topology {
        limits,
        ..Topology::of(tenant)
    })
    .await;
    lab.tenant().directory.faults().set_latency(DELAY);
    let site = Site::new();
    let mut agents = agents(&lab, &site).await;

    let people: Arc<Vec<_>> = Arc::new(population(sign_ins));
    let programme = lab.programme(lab.tenant()).unwrap();
    let answers = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let (heard, asked) = (answers.clone(), people.clone());
    let load = engine::run(
        Plan {
            rate: RATE,
            duration: DURATION,
        },
        move |number| sign_in(programme.clone(), asked.clone(), number, heard.clone()),
    );
    let (measured, ()) = tokio::join!(load, fail_one(&lab, &mut agents, failure));
    let measured = measured.unwrap();
    assert_eq!((measured.not_begun, measured.unanswered), (0, 0), "{measured:?}");

    let mut records = Vec::new();
    let tenant = Some(lab.tenant().tenant.id);
    for (username, _) in people.iter() {
        let found = lab
            .admin
            .sign_ins()
            .list(tenant, Some(username.parse().unwrap()), 10)
            .await
            .unwrap();
        let [record] = <[_; 1]>::try_from(found).unwrap();
        records.push(record);
    }
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    Story {
        answers,
        records,
        lab,
    }
}

fn population(users: usize) -> Vec<(String, String)> {
    let population = postern_directory_mock::Population::seeded(1, users);
    let people = population.people().iter();
    people
        .map(|person| (person.upn(DOMAIN), person.password.plaintext().to_owned()))
        .collect()
}

async fn sign_in(
    programme: Programme,
    people: Arc<Vec<(String, String)>>,
    number: u64,
    answers: Arc<std::sync::Mutex<BTreeMap<u64, Outcome>>>,
) -> String {
    let (username, password) = &people[usize::try_from(number).unwrap()];
    let password = if is_wrong(number) { WRONG } else { password };
    let answer = programme.sign_in(username, password).await;
    let outcome = answer.map_or(Outcome::Unspecified, |answer| answer.outcome());
    answers.lock().unwrap().insert(number, outcome);
    outcome.as_str_name().to_owned()
}

/// Whether an earlier attempt of it may have reached the directory.
fn is_ambiguous(record: &Record) -> bool {
    let all = record.attempts.len();
    record
        .attempts
        .iter()
        .take(all.saturating_sub(1))
        .any(|attempt| attempt.verdict != "not_asked")
        || record
            .attempts
            .iter()
            .any(|attempt| attempt.verdict == "not_awaited")
}

async fn one_fails_and_nobody_notices(failure: Failure) {
    let Story {
        answers,
        records,
        lab,
    } = story(failure, true).await;
    let directory = lab.tenant().directory.directory();
    let journal = lab.tenant().directory.journal();
    let mut ambiguous = 0;
    for (number, outcome) in &answers {
        let record = &records[usize::try_from(*number).unwrap()];
        let expected = if is_wrong(*number) {
            Outcome::Refused
        } else {
            Outcome::SignedIn
        };
        assert_eq!(*outcome, expected, "{failure:?}: {record:?}");
        let logged = if is_wrong(*number) { "refused" } else { "signed_in" };
        assert_eq!(record.outcome, logged);

        let sam = record.username.split('@').next().unwrap();
        let totals = journal.totals(directory.guid_of(sam).unwrap());
        let most = if is_ambiguous(record) { 2 } else { 1 };
        ambiguous += usize::from(is_ambiguous(record));
        assert!((1..=most).contains(&totals.judged), "{totals:?} for {record:?}");
        let counted = if is_wrong(*number) { totals.judged } else { 0 };
        assert_eq!(totals.counted, counted, "{record:?}");
    }
    assert_eq!(answers.len(), records.len());
    assert!(
        ambiguous >= HELD / 2,
        "only {ambiguous} sign-ins were handed over"
    );
    lab.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_nobodys_business() {
    one_fails_and_nobody_notices(Failure::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_is_nobodys_business() {
    one_fails_and_nobody_notices(Failure::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_cut_off_is_nobodys_business() {
    one_fails_and_nobody_notices(Failure::CutOff).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hand_off_the_users_of_a_failing_agent_have_to_try_again() {
    let story = story(Failure::Killed, false).await;
    let unavailable = story
        .answers
        .values()
        .filter(|outcome| **outcome == Outcome::Unavailable)
        .count();
    assert!(unavailable >= HELD / 2, "{unavailable}");
    // And even then nobody with a right password is told that it is wrong.
    let refused = story
        .answers
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Refused);
    assert!(refused.into_iter().all(|(number, _)| is_wrong(*number)));
    story.lab.stop().await.unwrap();
}
