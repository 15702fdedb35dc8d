//! What can be done to a world while it runs, as plain data: faults, and what administrators and users
//! of the directory do.

use std::time::Duration;

use postern_directory_mock::{Accepting, AccountState, BindFault, Connections, Faults};

use super::disk::Tear;
use super::store::StoreFault;

/// A trouble of one domain controller. It ends with [`DirectoryFault::Clear`], or with its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryFault {
    /// Every bind is answered this much later than it was judged.
    Slow(Duration),
    /// Binds are not judged and never answered.
    Hang,
    /// Binds are not judged, and their connections closed.
    ResetUnjudged,
    /// Binds are judged and counted, and their connections closed before the answer.
    ResetJudged,
    /// Binds are answered 51.
    Busy,
    /// Binds are answered 52.
    Unavailable,
    /// Binds are answered 80.
    Other,
    /// Binds are answered 8, as if they came without encryption.
    StrongerAuth,
    /// Binds are answered 49 with this sub-code.
    SubCode(u32),
    /// New connections are closed at once.
    Close,
    /// New connections are never served.
    Ignore,
    /// All open connections are closed, once, with a notice.
    Disconnect,
    /// All of these are over.
    Clear,
}

impl DirectoryFault {
    /// Throws the switch: for the next `times` binds, or until it is cleared.
    pub(crate) fn apply(&self, faults: &Faults, connections: &Connections, times: Option<u32>) {
        let bind = match self {
            Self::Disconnect => return connections.disconnect_all(true),
            Self::Slow(by) => return faults.set_latency(*by),
            Self::Close => return faults.set_accepting(Accepting::Close),
            Self::Ignore => return faults.set_accepting(Accepting::Ignore),
            Self::Clear => return faults.clear(),
            Self::Hang => BindFault::Hang,
            Self::ResetUnjudged => BindFault::ResetUnjudged,
            Self::ResetJudged => BindFault::ResetJudged,
            Self::Busy => BindFault::busy(),
            Self::Unavailable => BindFault::unavailable(),
            Self::Other => BindFault::other(),
            Self::StrongerAuth => BindFault::stronger_auth(),
            Self::SubCode(code) => BindFault::OddSubCode(*code),
        };
        match times {
            Some(times) => faults.set_bind_for_next(times, bind),
            None => faults.set_bind(bind),
        }
    }
}

/// Something that goes wrong, or is put right. Hosts are given by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between two hosts. What they send is repeated, as TCP does, until it arrives.
    Partition {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// It is not: connections in which something was sent meanwhile stay silent for good, as behind a firewall
        /// that forgot them.
        lost: bool,
    },
    /// Nothing passes from one host to another; the other way everything does.
    PartitionOneWay {
        /// From here.
        from: String,
        /// To here.
        to: String,
        /// As in a partition.
        lost: bool,
    },
    /// A partition of two hosts is over. If others are not, that changes nothing yet.
    Repair {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// As the partition was.
        lost: bool,
    },
    /// A partition from one host to another is over.
    RepairOneWay {
        /// From here.
        from: String,
        /// To here.
        to: String,
        /// As the partition was.
        lost: bool,
    },
    /// Nothing passes between a host and all others.
    Isolate {
        /// The host.
        host: String,
    },
    /// A host is connected to all others again.
    Rejoin {
        /// The host.
        host: String,
    },
    /// What is sent between two hosts is kept, in order, until it is released.
    Hold {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// What was held arrives, and the link works again.
    Release {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Messages between two hosts take this long from now on.
    Latency {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// How long.
        latency: Duration,
    },
    /// A host's process is killed. Its connections are closed; of its files what is durable stays.
    Crash {
        /// The host.
        host: String,
    },
    /// A host's process is told to end in order.
    Stop {
        /// The host.
        host: String,
    },
    /// A host's process is started; one that runs is killed before.
    Start {
        /// The host.
        host: String,
    },
    /// A host's process is stopped where it is; its connections stay open.
    Hang {
        /// The host.
        host: String,
    },
    /// It goes on.
    Resume {
        /// The host.
        host: String,
    },
    /// A host's wall clock is off by this much from now on: positive is ahead.
    ClockOff {
        /// The host.
        host: String,
        /// In milliseconds.
        ms: i64,
    },
    /// A host's wall clock jumps, from where it is.
    ClockJump {
        /// The host.
        host: String,
        /// In milliseconds.
        ms: i64,
    },
    /// The cloud's database has this trouble.
    Store {
        /// Which.
        fault: StoreFault,
        /// With how many of the next accesses; all if absent.
        times: Option<u32>,
    },
    /// The cloud's database is well again.
    StoreWell,
    /// A host dies in the middle of the replacement of a file.
    TearFile {
        /// The host.
        host: String,
        /// How far it gets.
        tear: Tear,
        /// In which of its replacements to come, from 1. An agent that enrols makes two: a trial, and
        /// its identity.
        nth: u32,
    },
    /// A domain controller has this trouble.
    Directory {
        /// Its host.
        host: String,
        /// Which.
        fault: DirectoryFault,
        /// With how many of the next binds; all if absent.
        times: Option<u32>,
    },
}

/// What happens at one time of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A fault begins or ends.
    Fault(Fault),
    /// An administrator lets nothing new go to an agent, or lets it again. Done when the cloud runs.
    Drain {
        /// The agent's host.
        host: String,
        /// Whether it is drained.
        drained: bool,
    },
    /// An administrator revokes an agent, for good. Done when the cloud runs.
    Revoke {
        /// The agent's host.
        host: String,
    },
    /// An agent is enrolled once more: its process is started anew and replaces its identity.
    Enrol {
        /// The agent's host.
        host: String,
    },
    /// A user of a directory gets another password.
    SetPassword {
        /// The tenant's short name.
        tenant: String,
        /// Any name of the user.
        user: String,
        /// The new one.
        password: String,
    },
    /// A user of a directory is put into a state.
    SetState {
        /// The tenant's short name.
        tenant: String,
        /// Any name of the user.
        user: String,
        /// Which.
        state: AccountState,
    },
    /// A directory's administrator unlocks a user.
    Unlock {
        /// The tenant's short name.
        tenant: String,
        /// Any name of the user.
        user: String,
    },
    /// An administrator of the cloud deletes a user's record; the directory keeps the user. Done when the
    /// cloud runs.
    DeleteUser {
        /// The tenant's short name.
        tenant: String,
        /// The username.
        username: String,
    },
}

impl From<Fault> for Action {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
