//! What an outcome looks like: pure, and the only place with the sentences.

use std::time::Duration;

use http::StatusCode;

use crate::sign_in::{Answer, Outcome};

/// When to try again if `sign_in` does not say: long enough to keep a crowd from coming back at
/// once, short enough for a person to wait.
const RETRY_DEFAULT: Duration = Duration::from_secs(30);

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The end of the way.
    SignedIn,
    /// The password form again: trying again may help.
    Again(Alert),
    /// A page of its own: typing the same again does not help now.
    Notice(&'static str, Alert),
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alert {
    /// The outcome's number.
    pub(super) code: u32,
    /// What is the matter and what to do next.
    pub(super) text: String,
    /// The answer's status.
    pub(super) status: StatusCode,
    /// When to try again, where that is known.
    pub(super) retry_after: Option<Duration>,
}

/// Decides it.
pub(super) fn view(answer: &Answer) -> View {
    match answer.outcome {
        Outcome::SignedIn(_) => View::SignedIn,
        Outcome::Refused => View::Again(alert(answer, "The username or password is wrong.")),
        Outcome::Busy => View::Again(later(
            answer,
            StatusCode::TOO_MANY_REQUESTS,
            "There is too much to do at the moment, so your password was not checked.",
        )),
        Outcome::Unavailable => View::Again(later(
            answer,
            StatusCode::SERVICE_UNAVAILABLE,
            "Your organisation's directory gave no answer, so your password could not be checked.",
        )),
        Outcome::TooManyAttempts => View::Notice(
            "Too many attempts",
            later(
                answer,
                StatusCode::TOO_MANY_REQUESTS,
                "Signing in with this name has failed too often, so your password was not checked.",
            ),
        ),
        Outcome::PasswordExpired => View::Notice("Your password has expired", alert(answer, EXPIRED)),
        Outcome::MustChange => View::Notice("Your password must be changed", alert(answer, MUST_CHANGE)),
        Outcome::Disabled => View::Notice(
            "Your account is disabled",
            alert(answer, "Ask your administrator to enable it."),
        ),
        Outcome::AccountExpired => View::Notice(
            "Your account has expired",
            alert(answer, "Ask your administrator to extend it."),
        ),
        Outcome::LogonHours => View::Notice("You cannot sign in at this time", alert(answer, HOURS)),
        Outcome::Workstation => View::Notice("You cannot sign in from here", alert(answer, WORKSTATION)),
        Outcome::Locked => View::Notice("Your account is locked", alert(answer, LOCKED)),
    }
}

const EXPIRED: &str = "Change it on a computer of your organisation, or ask your administrator for a new one. Then sign in again.";
const MUST_CHANGE: &str = "Your administrator wants you to choose a new password first. Do so on a computer of your organisation, then sign in again.";
const HOURS: &str = "Your organisation allows your account to sign in at certain hours only. Try again then, or ask your administrator.";
const WORKSTATION: &str = "Your organisation allows your account to sign in from certain computers only. Ask your administrator to allow this.";
const LOCKED: &str = "Wait until your organisation unlocks it, or ask your administrator to do so.";

fn alert(answer: &Answer, text: &str) -> Alert {
    Alert {
        code: answer.outcome.code(),
        text: text.to_owned(),
        status: StatusCode::OK,
        retry_after: None,
    }
}

fn later(answer: &Answer, status: StatusCode, text: &str) -> Alert {
    let wait = answer.retry_after.unwrap_or(RETRY_DEFAULT);
    Alert {
        code: answer.outcome.code(),
        text: format!("{text} Wait {}, then try again.", words(wait)),
        status,
        retry_after: Some(wait),
    }
}

/// Whole seconds, rounded up, as `retry-after` wants them.
pub(super) fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1)
}

fn words(wait: Duration) -> String {
    match seconds(wait) {
        1 => "a second".to_owned(),
        seconds @ 2..=90 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_times_are_rounded_up() {
        for (ms, expected) in [
            (0, "a second"),
            (1001, "2 seconds"),
            (90_000, "90 seconds"),
            (90_001, "2 minutes"),
            (1_740_001, "30 minutes"),
        ] {
            assert_eq!(words(Duration::from_millis(ms)), expected, "{ms}");
        }
        assert_eq!(seconds(Duration::MAX), u64::MAX);
    }
}
