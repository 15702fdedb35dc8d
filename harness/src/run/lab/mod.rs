//! A scenario in the lab: the cloud and each agent a process of the program `postern`, with real TLS, LDAP and
//! disks, in real time. What stands around them is in this process: clients, domain controllers, and the links
//! between all hosts, which are relays that swallow and delay.
//!
//! ```text
//!   client1 ══link══▶ cloud (process) ◀══link══ agent1 (process) ══link══▶ dc1
//! ```
//! The seed gives the same schedule as in the simulation; what comes of it differs from run to run, as machines do.
//!
//! # Rules
//! * What is scheduled happens when it is due. A machine that is late by more than two seconds makes no run.
//! * Observers may differ by the most that anything was late; checks know by how much.
//! * Nothing outlives a run: all processes are ended with it, also when it is given up.
//!
//! `stage`: the hosts; `act`: what is done to them, `admin`: what administrators do; `network`: the links; `clients`:
//! sign-ins; `told`: what processes say in their logs.

mod act;
mod admin;
mod clients;
mod network;
mod stage;
mod told;

use std::io;
use std::time::{Duration, Instant};

use postern_cloud::store::StoreError;
use postern_directory_mock::StartError;
use postern_directory_mock::certificates::CertificateError;
use postern_directory_mock::model::DomainError;
use postern_kit::Seams;
use postern_kit::clock::{Timestamp, monotonic, sleep_until};
use postern_proto::ids::Malformed;
use tokio::signal::unix::{SignalKind, signal};

use self::clients::Clients;
use self::stage::Stage;
use super::script::Script;
use super::seen::{self, Sight};
use super::sim::Ran;
use crate::client::ClientError;
use crate::lab::processes::{ProcessLabError, ProgramError};
use crate::scenario::{Arrival, Scenario, Schedule};
use crate::sim::{Action, SimError};

/// For clients, controllers and links: what they do is little beside the processes' work.
const THREADS: usize = 2;

/// Latest that anything may happen after it is due: less than what any promise of the product hangs on.
const LATE_MAX: Duration = Duration::from_secs(2);

/// What clocks differ by that are read one after the other, and show milliseconds.
const READING: Duration = Duration::from_millis(50);

/// Longest wait for the last answers after the end: a client gives up before.
const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum LabRunError {
    /// A thread, a file or a link cannot be made.
    #[error("the lab cannot be built")]
    Io(#[from] io::Error),
    /// A process is not as it should be.
    #[error(transparent)]
    Lab(#[from] ProcessLabError),
    /// The same of a single one.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Administration refuses.
    #[error("administration refuses")]
    Admin(#[from] tonic::Status),
    /// A directory does not start.
    #[error("directory does not start")]
    Directory(#[from] StartError),
    /// A directory does not take a change, or has no such user.
    #[error("directory refuses a change")]
    Change(#[from] DomainError),
    /// A certificate of a controller cannot be made.
    #[error("certificate of a controller cannot be made")]
    Certificate(#[from] CertificateError),
    /// A client cannot be set up.
    #[error("client cannot be set up")]
    Client(#[from] ClientError),
    /// What administration says is not usable.
    #[error("cloud's answer is not usable")]
    Answer(#[from] Malformed),
    /// The cloud's log cannot be read.
    #[error("the sign-in log cannot be read")]
    Log(#[from] StoreError),
    /// Something has a name that nobody knows.
    #[error(transparent)]
    Seen(#[from] SimError),
    /// The lab does not do that.
    #[error("the lab cannot do this: {0}")]
    Impossible(String),
    /// Agents do not attach.
    #[error("{wanted} agents of {tenant} should be attached within {within:?}, {found} are")]
    NotAttached {
        /// Whose.
        tenant: String,
        /// How many should be.
        wanted: usize,
        /// How many are.
        found: usize,
        /// In what time.
        within: Duration,
    },
    /// The machine does not keep up.
    #[error(
        "what was due at {due:?} was {late:?} late; expected at most {LATE_MAX:?}: the machine has too much to do"
    )]
    Late {
        /// When it was due.
        due: Duration,
        /// By how much.
        late: Duration,
    },
    /// It took too long.
    #[error("it did not end within {0:?} of real time (--limit)")]
    NoEnd(Duration),
    /// Somebody ended it.
    #[error("it was ended by a signal")]
    Ended,
}

/// Runs it with processes of this program; `limit` is real time on top of the scenario's own.
///
/// # Errors
/// [`LabRunError`] if there was no whole run; nothing of it is left then.
pub fn run(scenario: &Scenario, schedule: &Schedule, limit: Duration) -> Result<Ran, LabRunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    let time = scenario.duration + limit;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whatever comes first, the others are dropped, and with the run its processes.
        tokio::select! {
            ran = carry_out(scenario, schedule) => ran,
            () = tokio::time::sleep(time) => Err(LabRunError::NoEnd(time)),
            _ = interrupt.recv() => Err(LabRunError::Ended),
            _ = terminate.recv() => Err(LabRunError::Ended),
        }
    })
}

async fn carry_out(scenario: &Scenario, schedule: &Schedule) -> Result<Ran, LabRunError> {
    let seams = Seams::real();
    let began = monotonic();
    let script = Script::of(scenario, schedule);
    let mut stage = Stage::build(scenario, &script, schedule.seed, &seams).await?;
    let clients = Clients::of(scenario, schedule, &stage)?;
    let clock = RunClock {
        start: monotonic(),
        wall: seams.clock.now(),
    };
    stage.begins(clock);
    let worst = perform(scenario, schedule, &script, &mut stage, &clients).await?;
    clients.settle(SETTLE_WAIT).await;
    let ended = clock.now();
    let left = stage.end().await?;
    let before = clock.start.saturating_duration_since(began);
    let sight = Sight {
        ended,
        before,
        slack: worst + READING,
        start: clock.wall,
        asked: left.asked,
        sign_ins: clients.seen(),
        agents: left.agents,
        tenants: left.tenants,
        log: left.log,
        taken: Some(left.taken),
        heard: left.heard,
        leaks: left.leaks,
        directories: left.directories,
    };
    Ok(Ran {
        history: seen::history(scenario, schedule, &script, sight)?,
        // Nobody repeats it to the packet.
        digest: (String::new(), 0),
        failures: left.failures,
        hosts: scenario.hosts(),
        start: before,
    })
}

/// The time of a run, and when it began.
#[derive(Clone, Copy, Debug)]
struct RunClock {
    start: Instant,
    wall: Timestamp,
}

impl RunClock {
    fn now(&self) -> Duration {
        monotonic().saturating_duration_since(self.start)
    }

    /// A wall clock's time; zero before the start.
    fn of(&self, wall: Timestamp) -> Duration {
        wall.since(self.wall)
    }
}

/// Something that is due.
enum Due<'a> {
    Action(Action),
    Arrival(usize, &'a Arrival),
}

/// Does everything when it is due, until the scenario's end. The most that anything was late.
async fn perform(
    scenario: &Scenario,
    schedule: &Schedule,
    script: &Script<'_>,
    stage: &mut Stage,
    clients: &Clients,
) -> Result<Duration, LabRunError> {
    let controllers = scenario.tenants.iter().flat_map(|tenant| &tenant.controllers);
    let usual = controllers.filter_map(|controller| script.usual(&controller.name));
    let actions = schedule.actions.iter().flat_map(|due| script.actions(due));
    let actions = usual.map(|action| (Duration::ZERO, action)).chain(actions);
    let arrivals = schedule.arrivals.iter().enumerate();
    let mut all: Vec<_> = actions
        .map(|(at, action)| (at, Due::Action(action)))
        .chain(arrivals.map(|(place, arrival)| (arrival.at, Due::Arrival(place, arrival))))
        .filter(|(at, _)| *at <= scenario.duration)
        .collect();
    all.sort_by_key(|(at, _)| *at);
    let clock = stage.clock();
    let mut worst = Duration::ZERO;
    for (due, what) in all {
        sleep_until(clock.start + due).await;
        let late = clock.now().saturating_sub(due);
        if late > LATE_MAX {
            return Err(LabRunError::Late { due, late });
        }
        worst = worst.max(late);
        match what {
            Due::Action(action) => stage.apply(&action).await?,
            Due::Arrival(place, arrival) => clients.send(place, arrival, clock),
        }
    }
    sleep_until(clock.start + scenario.duration).await;
    Ok(worst)
}
