//! What can go wrong, or be done to the system while it runs: plain data, as the file has it and as a
//! runner carries it out.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::units::{Shift, Written};
use super::words::State;

/// One thing that goes wrong or is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trouble {
    /// Nothing passes between two hosts. What they send is repeated with growing pauses, as TCP does, and arrives after
    /// the end.
    Partition {
        /// The two hosts.
        between: [String; 2],
        /// Only what the first sends to the second is stopped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        one_way: bool,
        /// What is sent is lost for good: a connection in which something was sent stays silent until an end gives it
        /// up, as behind a firewall that forgot it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
    },
    /// A host is cut off from all others.
    Isolate {
        /// The host.
        host: String,
    },
    /// A link that comes and goes, beginning with gone.
    Flapping {
        /// The two hosts.
        between: [String; 2],
        /// How long it is gone each time.
        down: Written<Duration>,
        /// How long it works in between.
        up: Written<Duration>,
    },
    /// Messages between two hosts take longer, each way.
    Delay {
        /// The two hosts.
        between: [String; 2],
        /// How long they take.
        latency: Written<Duration>,
    },
    /// Messages between two hosts wait, and arrive together at the end.
    Hold {
        /// The two hosts.
        between: [String; 2],
    },
    /// A host dies where it stands, and starts again at the end.
    Crash {
        /// The host.
        host: String,
    },
    /// A host stops in order, and starts again at the end, or at once.
    Restart {
        /// The host.
        host: String,
    },
    /// A host hangs: its connections stay open, and it says nothing.
    Stop {
        /// The host.
        host: String,
    },
    /// A host's wall clock jumps, and jumps back at the end.
    Clock {
        /// The host.
        host: String,
        /// How far, such as "+90s" or "-5 min".
        by: Written<Shift>,
    },
    /// The cloud's store fails.
    Store {
        /// How.
        fails: StoreFailure,
        /// How much longer everything takes, if it is slow.
        delay: Option<Written<Duration>>,
    },
    /// An agent's host dies while it writes its state files at a start.
    TornState {
        /// The agent.
        agent: String,
        /// After which step.
        after: DiskStep,
    },
    /// A domain controller misbehaves.
    Directory {
        /// The controller.
        controller: String,
        /// How.
        does: Misdeed,
        /// How much later it answers, if it is slow.
        delay: Option<Written<Duration>>,
        /// Only to the next so many binds.
        #[schemars(range(min = 1, max = 1_000_000))]
        binds: Option<u32>,
    },
    /// An administrator drains an agent, and resumes it at the end.
    DrainAgent {
        /// The agent.
        agent: String,
    },
    /// An administrator revokes an agent, for good.
    RevokeAgent {
        /// The agent.
        agent: String,
    },
    /// A user's password is changed in the directory.
    ChangePassword {
        /// The user, such as "ok-1".
        user: String,
        /// Whose; may be left out where there is one tenant.
        tenant: Option<String>,
    },
    /// An administrator of the directory puts a user into another state, instead of the present one.
    SetState {
        /// The user, such as "ok-1".
        user: String,
        /// Whose; may be left out where there is one tenant.
        tenant: Option<String>,
        /// The state; "ok" takes all others away.
        state: State,
    },
    /// An administrator of the directory ends a user's lockout.
    Unlock {
        /// The user, such as "locked-1".
        user: String,
        /// Whose; may be left out where there is one tenant.
        tenant: Option<String>,
    },
    /// An administrator of the cloud deletes a user's record; the directory keeps the user.
    DeleteUser {
        /// The user, such as "ok-1".
        user: String,
        /// Whose; may be left out where there is one tenant.
        tenant: Option<String>,
    },
}

/// How a store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreFailure {
    /// Nothing was done.
    Before,
    /// All was done, and an error is reported.
    After,
    /// Sometimes the one and sometimes the other.
    Unknown,
    /// Everything takes longer.
    Slow,
    /// The disk is full: writes fail, reads work.
    Full,
}

/// A step of writing a file so that it is whole or not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskStep {
    /// Its bytes were written, not flushed.
    Write,
    /// It was flushed under a temporary name.
    Fsync,
    /// It was renamed, and its folder not flushed.
    Rename,
}

/// How a domain controller misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Misdeed {
    /// Answers later.
    Slow,
    /// Closes new connections at once.
    Refuse,
    /// Lets connections open and says nothing.
    Ignore,
    /// Never answers a bind.
    Hang,
    /// Closes the connection before it looks at the password.
    ResetUnjudged,
    /// Judges and counts, and closes the connection before it answers.
    ResetJudged,
    /// Result 51.
    Busy,
    /// Result 52.
    Unavailable,
    /// Result 80.
    Other,
    /// Result 8.
    StrongerAuth,
    /// Result 49 with a sub-code that says nothing about the password.
    OddCode,
    /// Closes all connections once, with a notice.
    Disconnect,
}

impl Trouble {
    /// Whether it can last. What cannot is done, and that is that.
    pub fn can_last(&self) -> bool {
        match self {
            Self::Partition { .. }
            | Self::Isolate { .. }
            | Self::Flapping { .. }
            | Self::Delay { .. }
            | Self::Hold { .. }
            | Self::Crash { .. }
            | Self::Restart { .. }
            | Self::Stop { .. }
            | Self::Clock { .. }
            | Self::Store { .. }
            | Self::DrainAgent { .. } => true,
            Self::Directory { does, .. } => *does != Misdeed::Disconnect,
            Self::TornState { .. }
            | Self::RevokeAgent { .. }
            | Self::ChangePassword { .. }
            | Self::SetState { .. }
            | Self::Unlock { .. }
            | Self::DeleteUser { .. } => false,
        }
    }

    /// Something that is done, by somebody who may, and no failure of a part.
    pub fn is_administration(&self) -> bool {
        match self {
            Self::DrainAgent { .. }
            | Self::RevokeAgent { .. }
            | Self::Restart { .. }
            | Self::ChangePassword { .. }
            | Self::SetState { .. }
            | Self::Unlock { .. }
            | Self::DeleteUser { .. } => true,
            Self::Partition { .. }
            | Self::Isolate { .. }
            | Self::Flapping { .. }
            | Self::Delay { .. }
            | Self::Hold { .. }
            | Self::Crash { .. }
            | Self::Stop { .. }
            | Self::Clock { .. }
            | Self::Store { .. }
            | Self::TornState { .. }
            | Self::Directory { .. } => false,
        }
    }

    /// The hosts that it is about, each with its field.
    pub fn hosts(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Partition { between, .. }
            | Self::Flapping { between, .. }
            | Self::Delay { between, .. }
            | Self::Hold { between } => {
                let [a, b] = between;
                vec![("between[0]", a), ("between[1]", b)]
            }
            Self::Isolate { host }
            | Self::Crash { host }
            | Self::Restart { host }
            | Self::Stop { host }
            | Self::Clock { host, .. } => vec![("host", host)],
            Self::TornState { agent, .. } | Self::DrainAgent { agent } | Self::RevokeAgent { agent } => {
                vec![("agent", agent)]
            }
            Self::Directory { controller, .. } => vec![("controller", controller)],
            Self::Store { .. } => vec![],
            Self::ChangePassword { .. }
            | Self::SetState { .. }
            | Self::Unlock { .. }
            | Self::DeleteUser { .. } => vec![],
        }
    }

    /// The user that it is about, and the tenant if it is named.
    pub fn user(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Self::ChangePassword { user, tenant }
            | Self::SetState { user, tenant, .. }
            | Self::Unlock { user, tenant }
            | Self::DeleteUser { user, tenant } => Some((user, tenant.as_deref())),
            Self::Partition { .. }
            | Self::Isolate { .. }
            | Self::Flapping { .. }
            | Self::Delay { .. }
            | Self::Hold { .. }
            | Self::Crash { .. }
            | Self::Restart { .. }
            | Self::Stop { .. }
            | Self::Clock { .. }
            | Self::Store { .. }
            | Self::TornState { .. }
            | Self::Directory { .. }
            | Self::DrainAgent { .. }
            | Self::RevokeAgent { .. } => None,
        }
    }
}

/// A fault as the file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// When it begins, from the start.
    pub at: Written<Duration>,
    /// How long it lasts; for ever if that is not said.
    #[serde(rename = "for")]
    pub lasts: Option<Written<Duration>>,
    /// A name under which expectations mean it.
    pub name: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// The fields that every fault has, for the schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the schema alone")]
struct Common {
    /// When it begins, from the start.
    at: Written<Duration>,
    /// How long it lasts; for ever if that is not said.
    #[serde(rename = "for")]
    lasts: Option<Written<Duration>>,
    /// A name under which expectations mean it.
    name: Option<String>,
}

impl JsonSchema for Fault {
    fn schema_name() -> Cow<'static, str> {
        "Fault".into()
    }

    /// Each kind with its own fields and the common ones, so that an editor offers just these.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = Common::json_schema(generator);
        let mut schema = Trouble::json_schema(generator);
        let kinds = schema.get_mut("oneOf").and_then(Value::as_array_mut);
        for kind in kinds.into_iter().flatten() {
            if let (Some(Value::Object(fields)), Some(Value::Object(all))) =
                (kind.get_mut("properties"), common.get("properties"))
            {
                fields.extend(all.clone());
            }
            if let Some(Value::Array(required)) = kind.get_mut("required") {
                required.push("at".into());
            }
        }
        schema
    }
}
