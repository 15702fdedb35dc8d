//! What pages and calls need of this room: somebody who signs people in.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_proto::ids::{ClientId, RequestId, UserId};
use postern_proto::names::TenantName;
use zeroize::Zeroizing;

/// Somebody who signs people in.
#[async_trait]
pub trait SignsIn: Send + Sync + 'static {
    /// Always answers, at the deadline at the latest; refusals not before the floor.
    async fn run(&self, input: Input) -> Answer;
}

/// Who wants to sign in, and how they came here. Does not print, because of the password.
pub struct Input {
    /// When it was received, on the monotonic clock.
    pub received: Instant,
    /// The tenant that was addressed, whether or not it exists.
    pub tenant: TenantName,
    /// As typed.
    pub username: String,
    /// As typed.
    pub password: Zeroizing<String>,
    /// The way in.
    pub entry: Entry,
    /// Where the caller connects from.
    pub source: IpAddr,
    /// The caller's own deadline; may only shorten ours.
    pub deadline: Option<Instant>,
}

/// The way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The sign-in page.
    Page,
    /// The `SignIn` RPC, called by this client.
    Rpc(ClientId),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Finds the record in the sign-in log.
    pub request: RequestId,
    /// The outcome.
    pub outcome: Outcome,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

/// How a sign-in ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The directory accepted the password for this very user.
    SignedIn(UserId),
    /// Wrong password, unknown user, domain or tenant: alike.
    Refused,
    /// The password was right and has expired.
    PasswordExpired,
    /// The password was right and must be changed first.
    MustChange,
    /// The password was right; the account is disabled.
    Disabled,
    /// The password was right; the account has expired.
    AccountExpired,
    /// The password was right; not at this time.
    LogonHours,
    /// The password was right; not from here.
    Workstation,
    /// The directory has locked the account.
    Locked,
    /// The account's failure budget is used up; nobody was asked.
    TooManyAttempts,
    /// Too much to do; nobody was asked.
    Busy,
    /// Nobody could say.
    Unavailable,
}

impl Outcome {
    /// The number under which people and help desks know it: Microsoft Entra's where there is one.
    pub fn code(&self) -> u32 {
        match self {
            Self::SignedIn(_) => 0,
            Self::Refused => 50126,
            Self::PasswordExpired | Self::MustChange => 50144,
            Self::Disabled | Self::AccountExpired => 50057,
            Self::LogonHours => 80012,
            // Entra has none: 80000 and the directory's own sub-code.
            Self::Workstation => 80531,
            Self::Locked | Self::TooManyAttempts => 50053,
            // Tenant throttled.
            Self::Busy => 90055,
            Self::Unavailable => 80002,
        }
    }

    /// A short constant name for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SignedIn(_) => "signed_in",
            Self::Refused => "refused",
            Self::PasswordExpired => "password_expired",
            Self::MustChange => "must_change",
            Self::Disabled => "disabled",
            Self::AccountExpired => "account_expired",
            Self::LogonHours => "logon_hours",
            Self::Workstation => "workstation",
            Self::Locked => "locked",
            Self::TooManyAttempts => "too_many_attempts",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}
