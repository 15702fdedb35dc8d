//! Outcomes in the few groups that a reader tells apart at a glance.

use serde::{Deserialize, Serialize};

use crate::scenario::Outcome;

/// What an outcome means to who signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeGroup {
    /// In.
    SignedIn,
    /// Wrong password or unknown user.
    Refused,
    /// The account may not sign in: disabled, expired, locked and the like.
    AccountState,
    /// Told to try later, to protect the account or the system.
    HeldBack,
    /// Nobody could say.
    Unavailable,
    /// No answer came.
    Unanswered,
}

impl OutcomeGroup {
    /// All of them, from good to bad.
    pub const ALL: [Self; 6] = [
        Self::SignedIn,
        Self::Refused,
        Self::AccountState,
        Self::HeldBack,
        Self::Unavailable,
        Self::Unanswered,
    ];

    /// The group of an answer; of none if none came.
    pub fn of(outcome: Option<Outcome>) -> Self {
        match outcome {
            None => Self::Unanswered,
            Some(Outcome::SignedIn) => Self::SignedIn,
            Some(Outcome::Refused) => Self::Refused,
            Some(
                Outcome::PasswordExpired
                | Outcome::MustChange
                | Outcome::Disabled
                | Outcome::AccountExpired
                | Outcome::LogonHours
                | Outcome::Workstation
                | Outcome::Locked,
            ) => Self::AccountState,
            Some(Outcome::TooManyAttempts | Outcome::Busy) => Self::HeldBack,
            Some(Outcome::Unavailable) => Self::Unavailable,
        }
    }

    /// For readers.
    pub fn says(self) -> &'static str {
        match self {
            Self::SignedIn => "signed in",
            Self::Refused => "refused",
            Self::AccountState => "account may not",
            Self::HeldBack => "told to wait",
            Self::Unavailable => "unavailable",
            Self::Unanswered => "no answer",
        }
    }

    /// What it means, for newcomers.
    pub fn means(self) -> &'static str {
        match self {
            Self::SignedIn => "the directory accepted the password",
            Self::Refused => "wrong password, or nobody has that name",
            Self::AccountState => "the account is disabled, expired, locked, or not allowed here and now",
            Self::HeldBack => "too many failures of that account, or too much to do",
            Self::Unavailable => "nobody could check the password in time",
            Self::Unanswered => "the client got nothing back",
        }
    }

    /// Whether somebody said yes or no.
    pub fn is_judged(self) -> bool {
        match self {
            Self::SignedIn | Self::Refused | Self::AccountState => true,
            Self::HeldBack | Self::Unavailable | Self::Unanswered => false,
        }
    }
}
