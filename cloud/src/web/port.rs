//! The one thing that pages and calls need: somebody who signs in.

use async_trait::async_trait;

/// Somebody who signs in: `sign_in`, or a fake.
#[async_trait]
pub trait SignsIn: Send + Sync + 'static {
    /// Always answers, at the deadline at the latest.
    async fn run(&self, input: Input) -> Answer;
}

use postern_proto::ids::{ClientId, RequestId, UserId};
use postern_proto::names::TenantName;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// in
#[derive(Debug)]
pub struct Input {
    pub received: Instant,
    pub tenant: TenantName,
    pub username: String,
    pub password: Zeroizing<String>,
    pub entry: Entry,
    pub source: IpAddr,
    pub deadline: Option<Instant>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Page,
    Rpc(ClientId),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub request: RequestId,
    pub outcome: Outcome,
    pub retry_after: Option<Duration>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    SignedIn(UserId),
    Refused,
    PasswordExpired,
    MustChange,
    Disabled,
    AccountExpired,
    LogonHours,
    Workstation,
    Locked,
    TooManyAttempts,
    Busy,
    Unavailable,
}
impl Outcome {
    pub fn code(&self) -> u32 {
        match self {
            Self::SignedIn(_) => 0,
            Self::Refused => 50126,
            Self::PasswordExpired => 50144,
            Self::MustChange => 50055,
            Self::Disabled | Self::AccountExpired => 50057,
            Self::LogonHours => 80012,
            Self::Workstation => 80014,
            Self::Locked | Self::TooManyAttempts => 50053,
            Self::Busy => 80011,
            Self::Unavailable => 80002,
        }
    }
}
