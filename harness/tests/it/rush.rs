//! The rush of a morning: three agents as processes, people who sign in at a constant rate and never try
//! again, 30 % of whom mistype. What clients, log and the directory's journal saw of it is compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use postern_cloud::config::Limits;
use postern_directory_mock::Server;
use postern_harness::check::Logged;
use postern_harness::client::Programme;
use postern_harness::lab::processes::{AgentProcess, People, Place, ProcessLab, ProcessPlan};
use postern_harness::load::{Plan, engine};
use postern_harness::scenario::Outcome;
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_proto::ids::AgentId;
use postern_proto::wire::admin as wire;

use crate::process::POSTERN;
use crate::world::{WRONG, eventually};

/// Sign-ins a second, and for how long: short of what two cores do in a test build, and less in all than
/// administration shows of the log at once.
const LOAD: Plan = Plan {
    rate: 120.0,
    duration: Duration::from_secs(6),
};
/// People who are not part of it and sign in afterwards.
pub(crate) const SPARE: usize = 200;
/// What the directory takes for a bind, and what shortly before something happens to an agent, so that it holds
/// requests.
const DELAY: Duration = Duration::from_millis(50);
pub(crate) const SLOW: Duration = Duration::from_secs(1);
/// Requests that an agent holds when something happens to it, at least.
pub(crate) const HELD: usize = 20;
/// Sign-ins before that, so that all are under way.
const BEFORE: u64 = 60;
/// From a client's call to its answer, beside the time that the cloud has for it: two busy cores.
const WAY: Duration = Duration::from_secs(2);

/// People in the rush.
pub(crate) fn rush() -> usize {
    usize::try_from(LOAD.count()).unwrap()
}

/// Whether this one types a wrong password.
pub(crate) fn mistypes(person: usize) -> bool {
    person % 10 < 3
}

/// What came of a sign-in, for who made it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The outcome, or why there is none.
    pub(crate) outcome: Result<Outcome, String>,
    /// The request's id; empty without an outcome.
    pub(crate) request: String,
    took: Duration,
}

/// The answers, by person.
pub(crate) type Answers = BTreeMap<usize, Answer>;

/// People with a way in. Clones share everything.
#[derive(Clone)]
pub(crate) struct Crowd {
    programme: Programme,
    people: Arc<People>,
    answers: Arc<Mutex<Answers>>,
}

impl Crowd {
    pub(crate) fn of(lab: &ProcessLab) -> Self {
        Self {
            programme: lab.programme(0).unwrap(),
            people: Arc::new(lab.tenant(0).unwrap().people.clone()),
            answers: Arc::default(),
        }
    }

    /// Everybody signs in, in turn.
    pub(crate) async fn rush(&self) -> Answers {
        let crowd = self.clone();
        let measured = engine::run(LOAD, move |number| {
            let crowd = crowd.clone();
            async move {
                let person = usize::try_from(number).unwrap();
                let answer = crowd.sign_in(person).await;
                let outcome = format!("{:?}", answer.outcome);
                let before = crowd.answers.lock().unwrap().insert(person, answer);
                assert!(before.is_none(), "{person} was answered twice");
                outcome
            }
        });
        let measured = measured.await.unwrap();
        assert_eq!((measured.not_begun, measured.unanswered), (0, 0), "{measured:?}");
        let answers = self.answers.lock().unwrap().clone();
        assert_eq!(answers.len(), rush());
        answers
    }

    /// The first so many sign in at once.
    pub(crate) async fn together(&self, people: usize) -> Answers {
        join_all((0..people).map(async |person| (person, self.sign_in(person).await)))
            .await
            .into_iter()
            .collect()
    }

    pub(crate) async fn sign_in(&self, person: usize) -> Answer {
        let (username, right) = &self.people[person];
        let password = if mistypes(person) { WRONG } else { right };
        let began = monotonic();
        let answer = self.programme.sign_in(username, password).await;
        let took = monotonic().saturating_duration_since(began);
        match answer {
            Ok(answer) => {
                let name = answer.outcome().as_str_name().trim_start_matches("OUTCOME_");
                Answer {
                    outcome: Ok(Outcome::named(&name.to_lowercase()).unwrap()),
                    request: answer.request_id,
                    took,
                }
            }
            Err(error) => Answer {
                outcome: Err(postern_kit::telemetry::chain(&error)),
                request: String::new(),
                took,
            },
        }
    }
}

/// Three agents, each behind a link of its own, whose directory takes its time.
pub(crate) async fn lab(limits: Limits) -> ProcessLab {
    let mut plan = ProcessPlan::new(rush() + SPARE, 3).unwrap();
    plan.program = PathBuf::from(POSTERN);
    plan.limits = limits;
    plan.links = true;
    // That a verdict came too late is said at this level.
    plan.log.push_str(",postern_cloud::dispatch=debug");
    plan.tenants[0].directory = Place::Here;
    let lab = ProcessLab::start(plan, &Seams::real()).await.unwrap();
    directory(&lab).faults().set_latency(DELAY);
    lab
}

pub(crate) fn directory(lab: &ProcessLab) -> &Server {
    lab.tenant(0).unwrap().directory.server().unwrap()
}

/// Waits until an agent holds [`HELD`] requests under load, whose answers are still a while away. Its place.
pub(crate) async fn busy_agent(lab: &mut ProcessLab) -> usize {
    directory(lab).journal().wait_for(BEFORE).await;
    holding_agent(lab, HELD).await
}

/// The same for any number of requests, and whoever signs in.
pub(crate) async fn holding_agent(lab: &mut ProcessLab, held: usize) -> usize {
    directory(lab).faults().set_latency(SLOW);
    let busiest = eventually("an agent holds requests", async || {
        let agents = lab.agents(0).await.unwrap();
        let mut busy = agents.iter().filter(|agent| agent.in_flight as usize >= held);
        busy.next().map(|agent| agent.id.clone())
    })
    .await;
    directory(lab).faults().set_latency(DELAY);
    let agents = &lab.tenants[0].agents;
    agents
        .iter()
        .position(|agent| agent.id.to_string() == busiest)
        .unwrap()
}

pub(crate) fn agent(lab: &mut ProcessLab, at: usize) -> &mut AgentProcess {
    &mut lab.tenants[0].agents[at]
}

/// The records of everybody in the rush, each of whom has one at most.
pub(crate) async fn records(lab: &mut ProcessLab) -> BTreeMap<usize, Logged> {
    let mut records = BTreeMap::new();
    for record in lab.sign_ins(0).await.unwrap() {
        let person = record.account.unwrap();
        if person < rush() {
            let before = records.insert(person, record);
            assert!(before.is_none(), "{person} has two records");
        }
    }
    records
}

/// Sign-ins that went to a second agent although the first may have asked.
pub(crate) fn ambiguous(records: &BTreeMap<usize, Logged>) -> usize {
    records.values().filter(|record| record.is_ambiguous()).count()
}

/// Everything that somebody noticed who should have noticed nothing: an answer that is missing, late, wrong or
/// not in the log, and a password that was bound too often.
pub(crate) fn noticed(
    lab: &ProcessLab,
    limits: &Limits,
    answers: &Answers,
    records: &BTreeMap<usize, Logged>,
) -> Vec<String> {
    let mut noticed = Vec::new();
    for (&person, answer) in answers {
        let expected = if mistypes(person) {
            Outcome::Refused
        } else {
            Outcome::SignedIn
        };
        if answer.outcome != Ok(expected) {
            noticed.push(format!(
                "{person} was told {:?}, not {expected:?}",
                answer.outcome
            ));
        }
        if answer.took > limits.deadline + WAY {
            noticed.push(format!("{person} waited for {:?}", answer.took));
        }
        noticed.extend(untrue(lab, limits, person, answer, records.get(&person)));
    }
    let (surplus, most) = (surplus_binds(lab), ambiguous(records));
    if surplus > most {
        noticed.push(format!("{surplus} surplus binds, {most} ambiguous hand-offs"));
    }
    noticed
}

/// In what client, log and journal disagree about a sign-in that was answered.
pub(crate) fn untrue(
    lab: &ProcessLab,
    limits: &Limits,
    person: usize,
    answer: &Answer,
    record: Option<&Logged>,
) -> Vec<String> {
    let Some(record) = record else {
        return vec![format!("{person} is not in the log: {answer:?}")];
    };
    let mut untrue = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            untrue.push(format!("{person}: {what}: {answer:?}, {record:?}"));
        }
    };
    must(answer.outcome == Ok(record.outcome), "log and client agree");
    must(answer.request == record.request, "it is the same request");
    must(record.total <= limits.deadline, "it was judged by the deadline");
    let totals = totals(lab, person);
    let most = if record.is_ambiguous() { 2 } else { 1 };
    must(totals.0 <= most, "it was bound once, or twice after a hand-off");
    let judged = matches!(record.outcome, Outcome::SignedIn | Outcome::Refused);
    must(!judged || totals.0 >= 1, "somebody judged it");
    let counted = if mistypes(person) { totals.0 } else { 0 };
    must(totals.1 == counted, "what is wrong is counted, and nothing else");
    untrue
}

/// How often a person's password was judged, and how often a failure was counted.
pub(crate) fn totals(lab: &ProcessLab, person: usize) -> (u64, u64) {
    let (username, _) = &lab.tenant(0).unwrap().people[person];
    let directory = directory(lab);
    let object = directory.directory().guid_of(username.split('@').next().unwrap());
    let totals = directory.journal().totals(object.unwrap());
    (totals.judged, totals.counted)
}

/// Binds beyond one for each of the people.
fn surplus_binds(lab: &ProcessLab) -> usize {
    let surplus = (0..rush()).map(|person| totals(lab, person).0.saturating_sub(1));
    usize::try_from(surplus.sum::<u64>()).unwrap()
}

/// People are signed in through this agent again: with the others drained, since after a failure it counts as slow
/// for a while and would get little. People from number `first` on try until its session stands.
pub(crate) async fn is_used(lab: &mut ProcessLab, crowd: &Crowd, at: usize, first: usize) {
    let agents = lab.tenants[0].agents.iter();
    let others: Vec<_> = agents.enumerate().filter(|(place, _)| *place != at).collect();
    let tenant = lab.tenants[0].name.clone();
    let request = |id: &AgentId| wire::AgentRequest {
        tenant: tenant.clone(),
        id: id.to_string(),
    };
    let others: Vec<_> = others.iter().map(|(_, other)| request(&other.id)).collect();
    for other in &others {
        lab.admin().drain_agent(other.clone()).await.unwrap();
    }
    let mut people = (first..).filter(|person| !mistypes(*person));
    let person = eventually("it signs people in", async || {
        let person = people.next().unwrap();
        (crowd.sign_in(person).await.outcome == Ok(Outcome::SignedIn)).then_some(person)
    })
    .await;
    let name = lab.tenants[0].agents[at].name().to_owned();
    let records = lab.sign_ins(0).await.unwrap();
    let record = records
        .iter()
        .find(|record| record.account == Some(person))
        .unwrap();
    let by: Vec<_> = record.attempts.iter().map(|attempt| &attempt.agent).collect();
    assert_eq!(by, [&name], "{record:?}");
    for other in others {
        lab.admin().resume_agent(other).await.unwrap();
    }
}
