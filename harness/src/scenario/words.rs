//! The words that scenarios, schedules, histories and checks share: kinds of accounts and passwords,
//! outcomes, invariants.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a value as it is written, from its `Serialize`.
fn written(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Where a scenario can run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// In virtual time, on a simulated network, from one seed.
    Sim,
    /// In real time, on real sockets, with a process for the cloud and for each agent.
    Lab,
}

/// What the directory has against a user.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing: a right password signs in.
    #[default]
    Ok,
    /// Nothing, and failures are never counted.
    NeverLocks,
    /// The account is disabled (533).
    Disabled,
    /// The account has expired (701).
    AccountExpired,
    /// The password has expired (532).
    PasswordExpired,
    /// The password must be changed first (773).
    MustChange,
    /// Locked since the start (775).
    Locked,
    /// No hour is allowed (530).
    WrongHours,
    /// Only from a workstation that is not ours (531).
    WrongWorkstation,
    /// Member of Protected Users, who cannot use simple binds (52f).
    Protected,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::NeverLocks,
        Self::Disabled,
        Self::AccountExpired,
        Self::PasswordExpired,
        Self::MustChange,
        Self::Locked,
        Self::WrongHours,
        Self::WrongWorkstation,
        Self::Protected,
    ];

    /// What a right password comes to when all works. `tell_locked`: the tenant tells its users that
    /// they are locked.
    pub fn with_right_password(self, tell_locked: bool) -> Outcome {
        match self {
            Self::Ok | Self::NeverLocks => Outcome::SignedIn,
            Self::Disabled => Outcome::Disabled,
            Self::AccountExpired => Outcome::AccountExpired,
            Self::PasswordExpired => Outcome::PasswordExpired,
            Self::MustChange => Outcome::MustChange,
            Self::WrongHours => Outcome::LogonHours,
            Self::WrongWorkstation => Outcome::Workstation,
            Self::Locked if tell_locked => Outcome::Locked,
            Self::Locked | Self::Protected => Outcome::Refused,
        }
    }
}

/// What is typed as the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Typed {
    /// The user's password as it is then.
    Right,
    /// A password that nobody has.
    Wrong,
    /// The password before the last change; a wrong one if it never changed.
    Old,
    /// The right password of another user.
    Anothers,
    /// Nothing.
    Empty,
    /// More than the 1,024 bytes that a password may have.
    TooLong,
    /// The right password, a NUL and more: directories stop reading at the NUL.
    Nul,
    /// A wrong password for a name that nobody has.
    Unknown,
    /// The right password, by an attacker who guessed it.
    Guessed,
}

/// How a sign-in ends for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted.
    SignedIn,
    /// Wrong password or unknown user.
    Refused,
    /// The password was right and has expired.
    PasswordExpired,
    /// The password was right and must be changed.
    MustChange,
    /// The password was right; the account is disabled.
    Disabled,
    /// The password was right; the account has expired.
    AccountExpired,
    /// The password was right; not at this hour.
    LogonHours,
    /// The password was right; not from here.
    Workstation,
    /// The directory has locked the account.
    Locked,
    /// The failure budget is used up.
    TooManyAttempts,
    /// Too much to do.
    Busy,
    /// Nobody could say.
    Unavailable,
}

impl Outcome {
    /// The one that the cloud's log calls so.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::SignedIn,
        Self::Refused,
        Self::PasswordExpired,
        Self::MustChange,
        Self::Disabled,
        Self::AccountExpired,
        Self::LogonHours,
        Self::Workstation,
        Self::Locked,
        Self::TooManyAttempts,
        Self::Busy,
        Self::Unavailable,
    ];

    /// The password was right, but the account may not sign in: told only to who knows the password.
    pub fn proves_the_password(self) -> bool {
        match self {
            Self::SignedIn
            | Self::PasswordExpired
            | Self::MustChange
            | Self::Disabled
            | Self::AccountExpired
            | Self::LogonHours
            | Self::Workstation => true,
            Self::Refused | Self::Locked | Self::TooManyAttempts | Self::Busy | Self::Unavailable => false,
        }
    }
}

/// What must always hold, as the design numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Invariant {
    /// No wrong accept.
    I1,
    /// No false reject.
    I2,
    /// One answer, at the deadline at the latest.
    I3,
    /// No plaintext password leaves memory.
    I4,
    /// Tenants are apart.
    I5,
    /// Nobody's account is locked through the cloud.
    I6,
    /// An agent that does not count any more gets no request.
    I7,
    /// One log record for each answer.
    I8,
    /// Draining and restarting leave no tenant without an agent.
    I9,
    /// Every answer is one that the reference model allows.
    Answers,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::Answers,
    ];

    /// What it says, in a few words.
    pub fn says(self) -> &'static str {
        match self {
            Self::I1 => "no wrong accept",
            Self::I2 => "no false reject",
            Self::I3 => "one answer, in time",
            Self::I4 => "no password leaves memory",
            Self::I5 => "tenants are apart",
            Self::I6 => "the cloud locks nobody's account",
            Self::I7 => "agents that do not count get nothing",
            Self::I8 => "one log record for each answer",
            Self::I9 => "draining leaves somebody to serve",
            Self::Answers => "every answer is an allowed one",
        }
    }

    /// What it means, in a sentence, for who has not met it before.
    pub fn means(self) -> &'static str {
        match self {
            Self::I1 => {
                "Nobody is signed in unless the directory accepted this password for this very account during this sign-in."
            }
            Self::I2 => {
                "A password that the asked controller would accept is never answered \"wrong\" while an agent and a controller can serve."
            }
            Self::I3 => "Each sign-in gets exactly one answer, at its deadline at the latest.",
            Self::I4 => "A password is never written to disk, logged, or sent unsealed between the parts.",
            Self::I5 => "No sign-in reaches an agent of another organisation.",
            Self::I6 => {
                "Failures that come through the cloud never bring an account to the count at which its directory locks it."
            }
            Self::I7 => {
                "An agent that has expired, was revoked or is not registered any more gets no sign-in."
            }
            Self::I8 => "Each answered sign-in has exactly one record in the log, whatever dies when.",
            Self::I9 => "Draining and restarting never leave an organisation without an agent that had one.",
            Self::Answers => {
                "A model of the whole system says for each sign-in which answers are allowed, given what happened meanwhile."
            }
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_called_as_in_the_log() {
        let user = postern_proto::ids::UserId::from_bytes([1; 16]);
        use postern_cloud::sign_in::Outcome as Logged;
        let logged = [
            Logged::SignedIn(user),
            Logged::Refused,
            Logged::PasswordExpired,
            Logged::MustChange,
            Logged::Disabled,
            Logged::AccountExpired,
            Logged::LogonHours,
            Logged::Workstation,
            Logged::Locked,
            Logged::TooManyAttempts,
            Logged::Busy,
            Logged::Unavailable,
        ];
        for (ours, logged) in Outcome::ALL.into_iter().zip(logged) {
            assert_eq!(ours.to_string(), logged.name());
        }
    }

    #[test]
    fn a_state_is_told_only_to_who_knows_the_password() {
        for state in State::ALL {
            let outcome = state.with_right_password(false);
            assert!(
                outcome.proves_the_password() || outcome == Outcome::Refused,
                "{state}"
            );
        }
    }
}
