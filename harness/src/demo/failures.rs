//! The second act of the story: agents that fail. Each is a process of its own here, killed or stopped
//! without a warning while people sign in.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_proto::wire::signin::sign_in_response::Outcome;
use rustix::process::Signal;

use super::story::short;
use crate::client::Programme;
use crate::lab::processes::{People, ProcessLab, ProcessLabError};
use crate::load::engine::{self, NothingToDo, Plan};

/// Sign-ins a second, for how long, and when an agent fails: enough to see, and little for a small machine.
const RATE: f64 = 100.0;
const DURATION: Duration = Duration::from_secs(4);
const FAILS_AFTER: Duration = Duration::from_secs(2);
/// Agents at the beginning.
const AGENTS: usize = 3;
/// Longest wait for a sign-in after an agent came back, and how often one is tried meanwhile.
const BACK_WAIT_MAX: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(50);
/// How often the list of agents is looked at for one that is gone: what the figure is exact to.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Why the act cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The processes do not run.
    #[error(transparent)]
    Lab(#[from] ProcessLabError),
    /// A client cannot be set up.
    #[error("client cannot be set up")]
    Client(#[from] crate::client::ClientError),
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
    /// Sign-ins that a second agent was asked for.
    handed_over: usize,
    longest: Duration,
    /// Until the cloud took the agent for gone.
    noticed: Option<Duration>,
}

impl Event {
    /// Whether users saw what they should.
    pub fn agrees(&self) -> bool {
        self.expected == self.happened
    }
}

/// Plays it, which takes some fifteen seconds.
///
/// # Errors
/// [`ActError`] if the processes cannot be started or stopped. What users see is in the events.
///
/// # Cancellation
/// Dropping it kills the processes.
pub async fn fail(seams: &Seams) -> Result<Vec<Event>, ActError> {
    let plan = Plan {
        rate: RATE,
        duration: DURATION,
    };
    // Nobody signs in twice, and one more is left for the end.
    let each = usize::try_from(plan.count()).unwrap_or_default();
    let mut lab = ProcessLab::start(2 * each + 1, AGENTS, seams).await?;
    let users = Users {
        programme: lab.programme()?,
        people: Arc::new(lab.people.clone()),
    };
    let mut events = Vec::new();
    let what = "one of three is killed under load";
    let killed = under_load(&mut lab, &users, plan, (what, 0), |lab| {
        // Dropped is killed.
        drop(lab.agents.remove(0));
        Ok(())
    });
    events.push(killed.await?);
    let what = "one of two hangs under load";
    let stopped = under_load(&mut lab, &users, plan, (what, each), |lab| {
        lab.agents[0].signal(Signal::STOP)
    });
    events.push(stopped.await?);

    lab.agents.clear();
    let began = monotonic();
    let happened = users.sign_in(2 * each).await;
    events.push(Event {
        what: "all are killed",
        expected: described(1, Outcome::Unavailable),
        happened: format!("1 {happened}"),
        handed_over: 0,
        longest: since(began),
        noticed: None,
    });

    let began = monotonic();
    lab.start_agent(0).await?;
    let mut last = users.sign_in(2 * each).await;
    while last != short(Outcome::SignedIn) && since(began) < BACK_WAIT_MAX {
        tokio::time::sleep(TRY_EVERY).await;
        last = users.sign_in(2 * each).await;
    }
    events.push(Event {
        what: "one is started again",
        expected: described(1, Outcome::SignedIn),
        happened: format!("1 {last}"),
        handed_over: 0,
        longest: since(began),
        noticed: None,
    });
    lab.stop().await?;
    Ok(events)
}

/// Lets users from number `first` on sign in while `failure` befalls the agents: nobody should notice.
async fn under_load(
    lab: &mut ProcessLab,
    users: &Users,
    plan: Plan,
    (what, first): (&'static str, usize),
    failure: impl FnOnce(&mut ProcessLab) -> io::Result<()>,
) -> Result<Event, ActError> {
    let load = engine::run(plan, |number| {
        let users = users.clone();
        let index = first + usize::try_from(number).unwrap_or_default();
        async move { users.sign_in(index).await }
    });
    let failing = async {
        tokio::time::sleep(FAILS_AFTER).await;
        let before = lab.attached().await?;
        failure(lab)?;
        noticed(lab, before).await
    };
    let (measured, noticed) = tokio::join!(load, failing);
    let noticed = noticed?;
    let measured = measured?;
    let outcomes = measured.outcomes.iter();
    let outcomes: Vec<_> = outcomes
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    let handed_over = lab
        .handed_over(u32::try_from(plan.count()).unwrap_or(u32::MAX))
        .await?;
    Ok(Event {
        what,
        expected: described(plan.count(), Outcome::SignedIn),
        happened: outcomes.join(", "),
        handed_over,
        longest: Duration::from_micros(measured.latency_us.max()),
        noticed,
    })
}

/// How long it takes from now until fewer than `before` agents are attached.
async fn noticed(lab: &mut ProcessLab, before: usize) -> Result<Option<Duration>, ProcessLabError> {
    let began = monotonic();
    while since(began) < BACK_WAIT_MAX {
        if lab.attached().await? < before {
            return Ok(Some(since(began)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
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
            event.handed_over.to_string(),
            event.longest.as_millis().to_string(),
            event
                .noticed
                .map_or_else(|| "-".to_owned(), |noticed| noticed.as_millis().to_string()),
            if event.agrees() { "ok" } else { "DIFFERS" }.to_owned(),
        ]);
    }
    let verdict = if events.iter().all(Event::agrees) {
        "agents failed, and users saw what they should"
    } else {
        "agents failed, and users saw something else than they should"
    };
    format!("{}\n\n{verdict}\n", table.trim_fmt())
}
