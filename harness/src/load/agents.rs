//! What an attached agent costs a cloud that has nothing for it to do, and how soon it is attached.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use postern_agent::{Attached, Config, ServeError};
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::config::ConfigErrors;
use postern_kit::tasks::{TaskFailed, Tasks};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::account::usage;
use crate::lab::processes::{ProcessLab, ProcessLabError, ProcessPlan, Program};

/// Longest wait for one agent to attach; it takes some milliseconds.
const ATTACH_WAIT_MAX: Duration = Duration::from_secs(10);

/// After the last one: for its session, and for the allocator to be done.
const SETTLE: Duration = Duration::from_secs(2);

/// Longest wait for all agents to end.
const END_WAIT_MAX: Duration = Duration::from_secs(30);

/// Why it cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// The processes do not run.
    #[error(transparent)]
    Lab(#[from] ProcessLabError),
    /// A file or an account cannot be read.
    #[error("account cannot be read")]
    Account(#[from] io::Error),
    /// The lab's own configuration is refused.
    #[error("agent's configuration is refused")]
    Config(#[from] ConfigErrors),
    /// An agent does not attach.
    #[error("agent {0} did not attach within 10 s")]
    NotAttached(usize),
    /// An agent failed.
    #[error(transparent)]
    Failed(#[from] TaskFailed),
}

/// What was measured.
#[derive(Debug)]
pub struct IdleAgents {
    /// How many agents were attached.
    pub agents: usize,
    /// The cloud's resident memory without agents, in bytes.
    pub before_bytes: u64,
    /// The same with all of them attached and idle.
    pub after_bytes: u64,
    /// From an agent's start until it knows that it is attached, in microseconds.
    pub attach_us: Histogram<u64>,
}

impl IdleAgents {
    /// The cloud's memory for each agent, in bytes.
    pub fn each_bytes(&self) -> u64 {
        let grown = self.after_bytes.saturating_sub(self.before_bytes);
        grown / self.agents.max(1) as u64
    }

    fn attach_ms(&self, percentile: f64) -> f64 {
        self.attach_us.value_at_percentile(percentile) as f64 / 1000.0
    }

    /// For people.
    pub fn text(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        format!(
            "{} idle agents: the cloud has {:.1} MiB resident, {:.1} MiB without them: {:.0} KiB each\n\
             from an agent's start until it is attached: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms\n",
            self.agents,
            mib(self.after_bytes),
            mib(self.before_bytes),
            self.each_bytes() as f64 / 1024.0,
            self.attach_ms(50.0),
            self.attach_ms(99.0),
            self.attach_ms(100.0),
        )
    }

    /// For programmes.
    pub fn json(&self) -> Value {
        json!({
            "agents": self.agents,
            "cloud_bytes_without": self.before_bytes,
            "cloud_bytes_with": self.after_bytes,
            "bytes_each": self.each_bytes(),
            "attach_ms": { "p50": self.attach_ms(50.0), "p99": self.attach_ms(99.0), "max": self.attach_ms(100.0) },
        })
    }
}

/// Attaches so many agents, one after the other, to a cloud that is a process of its own. The agents run
/// in this process.
///
/// # Errors
/// [`AgentsError`] names what does not start or attach.
///
/// # Cancellation
/// Dropping it ends everything.
pub async fn measure(agents: usize, seams: &Seams) -> Result<IdleAgents, AgentsError> {
    let mut lab = ProcessLab::start(ProcessPlan::new(1, 0)?, seams).await?;
    let mut files = Vec::new();
    for _ in 0..agents {
        files.push(lab.enrol_agent(0).await?.config());
    }
    let cloud = lab.cloud.program().map(Program::pid);
    let cloud = cloud.ok_or_else(|| ProcessLabError::NotRunning("cloud".to_owned()))?;
    let before_bytes = usage(cloud)?.resident_bytes;
    let mut attach_us = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(io::Error::other)?;
    let (tasks, stop) = (Tasks::new(), CancellationToken::new());
    let _ended = stop.clone().drop_guard();
    for (number, file) in files.into_iter().enumerate() {
        let began = monotonic();
        let attaching = start(file, &tasks, seams, &stop)?;
        let attached = tokio::select! {
            attached = attach(attaching) => attached,
            () = tasks.failed() => false,
        };
        if !attached {
            // The reason, if it has one.
            tasks.run_until(&stop, END_WAIT_MAX).await?;
            return Err(AgentsError::NotAttached(number));
        }
        let took = monotonic().saturating_duration_since(began).as_micros();
        attach_us.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
    }
    tokio::time::sleep(SETTLE).await;
    let after_bytes = usage(cloud)?.resident_bytes;
    stop.cancel();
    tasks.run_until(&stop, END_WAIT_MAX).await?;
    lab.stop().await?;
    Ok(IdleAgents {
        agents,
        before_bytes,
        after_bytes,
        attach_us,
    })
}

async fn attach(mut attaching: watch::Receiver<Attached>) -> bool {
    let attached = attaching.wait_for(|now| *now == Attached::Yes);
    matches!(tokio::time::timeout(ATTACH_WAIT_MAX, attached).await, Ok(Ok(_)))
}

/// Starts the agent that this file configures.
fn start(
    file: PathBuf,
    tasks: &Tasks,
    seams: &Seams,
    stop: &CancellationToken,
) -> Result<watch::Receiver<Attached>, AgentsError> {
    let config = Config::from_toml(&std::fs::read_to_string(file)?)?;
    let (ready, attaching) = watch::channel(Attached::No);
    let own = Seams {
        tasks: Tasks::new(),
        ..seams.clone()
    };
    let stop = stop.clone();
    tasks.spawn_essential::<ServeError>("agent", postern_agent::serve(config, own, stop, ready));
    Ok(attaching)
}
