//! What a host keeps over crashes: its name, clock, randomness, disk, and how its process ended.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use postern_kit::Seams;
use postern_kit::dns::ScriptedDns;
use postern_kit::random::SeededRandom;
use postern_kit::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::disk::SimDisk;
use super::gate::Gate;
use super::net::SimNet;
use super::random;
use super::time::{SimClock, VirtualTime};
use super::trace::{Happening, Trace};

/// How a host's process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Running,
    /// It ended in order.
    Ended,
    /// It ended with an error, or a task of it panicked.
    Failed(String),
    Crashed,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    pub(super) clock: SimClock,
    pub(super) disk: SimDisk,
    pub(super) gate: Gate,
    pub(super) process: RefCell<Process>,
    random: Arc<SeededRandom>,
    net: SimNet,
    trace: Trace,
    stop: RefCell<CancellationToken>,
    /// Starts of its process.
    starts: Cell<u32>,
}

impl Host {
    pub(super) fn new(name: &str, seed: u64, time: &VirtualTime, trace: &Trace) -> Self {
        let gate = Gate::default();
        Self {
            name: name.into(),
            clock: SimClock::new(time.clone()),
            disk: SimDisk::new(random::stream(seed, &format!("{name}/disk")), gate.clone()),
            net: SimNet::new(name, trace.clone(), gate.clone()),
            gate,
            process: RefCell::new(Process::Running),
            random: random::stream(seed, name),
            trace: trace.clone(),
            stop: RefCell::default(),
            starts: Cell::new(0),
        }
    }

    /// Its seams, with a new group of tasks. The randomness goes on where it was: nothing that a former
    /// process drew comes again.
    pub(super) fn seams(&self) -> Seams {
        Seams {
            clock: Arc::new(self.clock.clone()),
            random: self.random.clone(),
            net: Arc::new(self.net.clone()),
            dns: Arc::new(ScriptedDns::default()),
            disk: Arc::new(self.disk.clone()),
            tasks: Tasks::new(),
        }
    }

    /// A process starts. What stops it in order.
    pub(super) fn starts(&self) -> CancellationToken {
        let stop = CancellationToken::new();
        *self.stop.borrow_mut() = stop.clone();
        *self.process.borrow_mut() = Process::Running;
        self.starts.set(self.starts.get() + 1);
        self.event(&format!("start {}", self.starts.get()));
        stop
    }

    /// Tells the process to end in order.
    pub(super) fn stop(&self) {
        self.stop.borrow().cancel();
    }

    pub(super) fn ends(&self, process: Process) {
        self.event(&format!("end {process:?}"));
        *self.process.borrow_mut() = process;
    }

    /// Into the trace.
    pub(super) fn event(&self, text: &str) {
        self.trace.add(&self.name, "", Happening::Event(text));
    }
}
