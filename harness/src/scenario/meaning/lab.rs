//! What the lab cannot do: its machine has one clock and one disk, its time is real, and its clients and directories
//! live in one process.

use std::time::Duration;

use super::Reader;
use crate::scenario::fault::Trouble;
use crate::scenario::file::Mischief;
use crate::scenario::plan::Scenario;

/// Longest scenario in the lab, where a minute takes a minute.
const DURATION_MAX: Duration = Duration::from_secs(30 * 60);

/// Most agents in the lab: each is a process.
const AGENTS_MAX: usize = 32;

/// The cloud's configuration counts the budget's window in minutes.
const MINUTE: Duration = Duration::from_secs(60);

/// What a wall clock that is set would take.
const CLOCK: &str = "`clock` sets the clock of one host";

/// What a store that fails would take.
const STORE: &str = "`store` fails the cloud's disk";

/// Where it can be instead.
const INSTEAD: &str = "leave \"lab\" out of `worlds`, or run it in the simulation";

impl Reader<'_> {
    fn not_in_the_lab(&mut self, field: &str, what: &str) {
        let problem = format!("{what}, which the lab cannot do");
        self.wrong_perhaps(field, problem, Some(INSTEAD.to_owned()));
    }

    /// What the lab cannot do, but for single faults.
    pub(super) fn lab(&mut self, scenario: &Scenario) {
        if scenario.duration > DURATION_MAX {
            let longest = humantime::format_duration(DURATION_MAX);
            let problem = format!("is real time in the lab; expected at most {longest} there");
            self.wrong("duration", problem);
        }
        if !scenario
            .limits
            .window
            .as_millis()
            .is_multiple_of(MINUTE.as_millis())
        {
            self.wrong("limits.window", "expected whole minutes where it is for the lab");
        }
        let agents = scenario.tenants.iter().map(|tenant| tenant.agents.len());
        let agents = agents.sum::<usize>();
        if agents > AGENTS_MAX {
            let problem = format!("{agents} agents in all; expected at most {AGENTS_MAX} in the lab");
            self.wrong("tenant", problem);
        }
        for (mischief, _) in scenario.nemesis.iter().flat_map(|nemesis| &nemesis.weights) {
            let (name, what) = match mischief {
                Mischief::Clock => ("clock", CLOCK),
                Mischief::Store => ("store", STORE),
                Mischief::SlowStore => ("slow_store", STORE),
                Mischief::CrashAgent
                | Mischief::CrashCloud
                | Mischief::CrashController
                | Mischief::RestartAgent
                | Mischief::StopAgent
                | Mischief::DrainAgent
                | Mischief::PartitionAgent
                | Mischief::OneWay
                | Mischief::Flapping
                | Mischief::PartitionController
                | Mischief::Delay
                | Mischief::Hold
                | Mischief::HangController
                | Mischief::ResetController
                | Mischief::BusyController
                | Mischief::SlowController => continue,
            };
            self.not_in_the_lab(&format!("nemesis.weights.{name}"), what);
        }
    }

    /// What of a fault the lab cannot do.
    pub(super) fn lab_trouble(&mut self, path: &str, trouble: &Trouble) {
        let (field, what) = match trouble {
            Trouble::Clock { .. } => ("kind", CLOCK),
            Trouble::Store { .. } => ("kind", STORE),
            Trouble::TornState { .. } => ("kind", "`torn_state` breaks a write in the middle"),
            Trouble::Crash { host } | Trouble::Restart { host } | Trouble::Stop { host }
                if host.starts_with("client") =>
            {
                ("host", "takes the process of a client")
            }
            Trouble::Crash { .. }
            | Trouble::Restart { .. }
            | Trouble::Stop { .. }
            | Trouble::Partition { .. }
            | Trouble::Isolate { .. }
            | Trouble::Flapping { .. }
            | Trouble::Delay { .. }
            | Trouble::Hold { .. }
            | Trouble::Directory { .. }
            | Trouble::DrainAgent { .. }
            | Trouble::RevokeAgent { .. }
            | Trouble::ChangePassword { .. }
            | Trouble::SetState { .. }
            | Trouble::Unlock { .. }
            | Trouble::DeleteUser { .. } => return,
        };
        self.not_in_the_lab(&format!("{path}.{field}"), what);
    }
}
