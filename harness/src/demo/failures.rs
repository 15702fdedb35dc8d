//! The second act of the story: agents that fail. Each is a process of its own here, killed or stopped
//! without a warning while people sign in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use postern_cloud::config::Limits;
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_proto::wire::signin::sign_in_response::Outcome;
use rustix::process::Signal;

use super::story::short;
use crate::client::Programme;
use crate::lab::processes::{AgentProcess, People, Place, ProcessLab, ProcessLabError, ProcessPlan};
use crate::load::engine::{self, NothingToDo, Plan};

/// Sign-ins a second, for how long, and when an agent fails: enough to see, and little for a small machine.
const RATE: f64 = 100.0;
const DURATION: Duration = Duration::from_secs(4);
const FAILS_AFTER: Duration = Duration::from_secs(2);
/// What the directory takes for an answer, and what shortly before an agent fails: it then holds some sign-ins.
const DIRECTORY_TAKES: Duration = Duration::from_millis(30);
const DIRECTORY_IS_SLOW: Duration = Duration::from_millis(500);
/// What an agent holds when it fails, at least: some of it is to be seen afterwards.
const HELD_MIN: u32 = 5;
/// Longest wait until one holds so many: as long as there is load.
const HELD_WAIT_MAX: Duration = Duration::from_secs(2);
/// Agents at the beginning.
const AGENTS: usize = 3;
/// Longest wait for a sign-in after an agent came back.
const BACK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is tried meanwhile, and how often an agent's load is looked at.
const TRY_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why the act cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The processes do not run.
    #[error(transparent)]
    Lab(#[from] ProcessLabError),
    /// The plan is empty.
    #[error(transparent)]
    Load(#[from] NothingToDo),
}

/// What was done to the agents, and what users saw of it.
#[derive(Debug)]
pub struct Event {
    what: &'static str,
    expected: String,
    happened: String,
    failed: Option<Failed>,
    longest: Duration,
}

/// What became of an agent that failed while it had something to do.
#[derive(Clone, Copy, Debug)]
struct Failed {
    /// Sign-ins that a second agent was asked for: those that it held. There must be some.
    handed_over: usize,
    /// Until the cloud took it for gone, which it must.
    noticed: Option<Duration>,
}

impl Event {
    /// Whether users saw what they should, and the hand-offs that it takes have happened.
    pub fn agrees(&self) -> bool {
        let handed_over = |failed: Failed| failed.handed_over > 0 && failed.noticed.is_some();
        self.expected == self.happened && self.failed.is_none_or(handed_over)
    }
}

/// How the act is played: processes of this very program, with hand-off.
///
/// # Errors
/// [`ActError`] if the file of this program is not known.
pub fn act() -> Result<ProcessPlan, ActError> {
    // Nobody signs in twice, and one more is left for the end.
    let mut plan = ProcessPlan::new(2 * each() + 1, AGENTS).map_err(ProcessLabError::from)?;
    for tenant in &mut plan.tenants {
        tenant.directory = Place::Here;
    }
    Ok(plan)
}

/// The same in a system that hands nothing over: users must notice.
///
/// # Errors
/// As [`act`].
pub fn act_without_hand_off() -> Result<ProcessPlan, ActError> {
    Ok(ProcessPlan {
        limits: Limits {
            hand_off: false,
            ..Limits::default()
        },
        ..act()?
    })
}

const LOAD: Plan = Plan {
    rate: RATE,
    duration: DURATION,
};

/// Sign-ins in each part under load.
fn each() -> usize {
    usize::try_from(LOAD.count()).unwrap_or_default()
}

/// Plays it, which takes some fifteen seconds.
///
/// # Errors
/// [`ActError`] if the processes cannot be started or stopped. What users see is in the events.
///
/// # Cancellation
/// Dropping it kills the processes.
pub async fn fail(plan: ProcessPlan, seams: &Seams) -> Result<Vec<Event>, ActError> {
    let mut lab = ProcessLab::start(plan, seams).await?;
    let users = Users {
        programme: lab.programme(0)?,
        people: Arc::new(lab.tenant(0)?.people.clone()),
    };
    let mut events = Vec::new();
    directory_takes(&lab, DIRECTORY_TAKES)?;
    let what = "one of three is killed under load";
    let killed = under_load(&mut lab, &users, (what, 0), |agent| {
        agent.kill();
        Ok(())
    });
    events.push(killed.await?);
    let what = "one of two hangs under load";
    let stopped = under_load(&mut lab, &users, (what, each()), |agent| {
        agent.signal(Signal::STOP)
    });
    events.push(stopped.await?);
    directory_takes(&lab, Duration::ZERO)?;

    for agent in lab.tenants.iter_mut().flat_map(|tenant| &mut tenant.agents) {
        agent.kill();
    }
    let began = monotonic();
    let happened = users.sign_in(2 * each()).await;
    events.push(Event {
        what: "all are killed",
        expected: described(1, Outcome::Unavailable),
        happened: format!("1 {happened}"),
        failed: None,
        longest: since(began),
    });

    let began = monotonic();
    if let Some(agent) = lab
        .tenants
        .iter_mut()
        .find_map(|tenant| tenant.agents.first_mut())
    {
        agent.start().await?;
    }
    let mut last = users.sign_in(2 * each()).await;
    while last != short(Outcome::SignedIn) && since(began) < BACK_WAIT_MAX {
        tokio::time::sleep(TRY_EVERY).await;
        last = users.sign_in(2 * each()).await;
    }
    events.push(Event {
        what: "one is started again",
        expected: described(1, Outcome::SignedIn),
        happened: format!("1 {last}"),
        failed: None,
        longest: since(began),
    });
    lab.stop().await?;
    Ok(events)
}

fn directory_takes(lab: &ProcessLab, time: Duration) -> Result<(), ProcessLabError> {
    if let Some(server) = lab.tenant(0)?.directory.server() {
        server.faults().set_latency(time);
    }
    Ok(())
}

/// Lets users from number `first` on sign in while `failure` befalls an agent that has something to do: nobody
/// should notice.
async fn under_load(
    lab: &mut ProcessLab,
    users: &Users,
    (what, first): (&'static str, usize),
    failure: impl FnOnce(&mut AgentProcess) -> Result<(), ProcessLabError>,
) -> Result<Event, ActError> {
    let load = engine::run(LOAD, |number| {
        let users = users.clone();
        let index = first + usize::try_from(number).unwrap_or_default();
        async move { users.sign_in(index).await }
    });
    let failing = async {
        tokio::time::sleep(FAILS_AFTER).await;
        fail_one(lab, failure).await
    };
    let (measured, noticed) = tokio::join!(load, failing);
    let noticed = noticed?;
    let measured = measured?;
    let outcomes = measured.outcomes.iter();
    let outcomes: Vec<_> = outcomes
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    let records = lab.sign_ins(0).await?;
    let newest = records.iter().rev().take(each());
    let handed_over = newest.filter(|record| record.attempts.len() > 1);
    Ok(Event {
        what,
        expected: described(LOAD.count(), Outcome::SignedIn),
        happened: outcomes.join(", "),
        failed: Some(Failed {
            handed_over: handed_over.count(),
            noticed,
        }),
        longest: Duration::from_micros(measured.latency_us.max()),
    })
}

/// Lets an agent fail that holds some sign-ins. How long it takes until the cloud knows that it is gone.
async fn fail_one(
    lab: &mut ProcessLab,
    failure: impl FnOnce(&mut AgentProcess) -> Result<(), ProcessLabError>,
) -> Result<Option<Duration>, ProcessLabError> {
    directory_takes(lab, DIRECTORY_IS_SLOW)?;
    let began = monotonic();
    let (busiest, attached) = loop {
        let mut agents = lab.agents(0).await?;
        agents.retain(|agent| agent.connected);
        let attached = agents.len();
        let busiest = agents.into_iter().max_by_key(|agent| agent.in_flight);
        let busiest = busiest.ok_or_else(|| ProcessLabError::NotRunning("an agent".to_owned()))?;
        if busiest.in_flight >= HELD_MIN || since(began) >= HELD_WAIT_MAX {
            break (busiest, attached);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let agents = lab.tenants.iter_mut().flat_map(|tenant| &mut tenant.agents);
    if let Some(agent) = agents
        .into_iter()
        .find(|agent| agent.id.to_string() == busiest.id)
    {
        failure(agent)?;
    }
    directory_takes(lab, DIRECTORY_TAKES)?;
    match lab.attached(0, attached.saturating_sub(1)).await {
        Ok(took) => Ok(Some(took)),
        Err(ProcessLabError::NotAttached { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Clone)]
struct Users {
    programme: Programme,
    people: Arc<People>,
}

impl Users {
    async fn sign_in(&self, index: usize) -> String {
        let (username, password) = &self.people[index];
        match self.programme.sign_in(username, password).await {
            Ok(answer) => short(answer.outcome()).to_owned(),
            Err(error) => postern_kit::telemetry::chain(&error),
        }
    }
}

fn since(began: Instant) -> Duration {
    monotonic().saturating_duration_since(began)
}

fn described(count: u64, outcome: Outcome) -> String {
    format!("{count} {}", short(outcome))
}

/// The act as a table, and a last line that says how it went.
pub fn report_failures(events: &[Event]) -> String {
    let nothing = || "-".to_owned();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "agents",
        "expected",
        "happened",
        "handed over",
        "longest ms",
        "noticed ms",
        "",
    ]);
    for event in events {
        table.add_row([
            event.what.to_owned(),
            event.expected.clone(),
            event.happened.clone(),
            event
                .failed
                .map_or_else(nothing, |failed| failed.handed_over.to_string()),
            event.longest.as_millis().to_string(),
            event
                .failed
                .and_then(|failed| failed.noticed)
                .map_or_else(nothing, |noticed| noticed.as_millis().to_string()),
            if event.agrees() { "ok" } else { "DIFFERS" }.to_owned(),
        ]);
    }
    let verdict = if events.iter().all(Event::agrees) {
        "agents failed with sign-ins under way, which were handed over, and users saw what they should"
    } else {
        "agents failed, and users saw something else than they should, or nothing was handed over"
    };
    format!("{}\n\n{verdict}\n", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_failed_with_nothing_to_hand_over_proves_nothing() {
        let event = |handed_over, noticed, happened: &str| Event {
            what: "one is killed",
            expected: described(1, Outcome::SignedIn),
            happened: happened.to_owned(),
            failed: Some(Failed { handed_over, noticed }),
            longest: Duration::ZERO,
        };
        let noticed = Some(Duration::ZERO);
        assert!(event(1, noticed, "1 SIGNED_IN").agrees());
        assert!(!event(0, noticed, "1 SIGNED_IN").agrees());
        assert!(!event(1, None, "1 SIGNED_IN").agrees());
        assert!(!event(1, noticed, "1 UNAVAILABLE").agrees());
    }
}
