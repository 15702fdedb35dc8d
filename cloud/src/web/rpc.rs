//! The `SignIn` service: wire types to ours and back, nothing else. Who calls is known from the
//! table of callers in front.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::clock;
use postern_kit::serve::Peer;
use postern_proto::wire::signin::sign_in_response::Outcome as Wire;
use postern_proto::wire::signin::sign_in_server::SignIn;
use postern_proto::wire::signin::{SignInRequest, SignInResponse};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::callers::AuthenticatedClient;
use crate::sign_in::{Answer, Entry, Input, Outcome, SignsIn};

/// Serves sign-ins by programme.
pub(super) struct Service(Arc<dyn SignsIn>);

impl Service {
    /// Over `sign_in`.
    pub(super) fn new(sign_in: Arc<dyn SignsIn>) -> Self {
        Self(sign_in)
    }
}

#[tonic::async_trait]
impl SignIn for Service {
    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        let received = clock::monotonic();
        let (metadata, extensions, SignInRequest { username, password }) = request.into_parts();
        let password = Zeroizing::new(password);
        let (Some(client), Some(peer)) = (extensions.get::<AuthenticatedClient>(), extensions.get::<Peer>())
        else {
            tracing::error!("a call without its caller: the server is put together wrongly");
            return Err(Status::internal("internal error"));
        };
        let answer = self
            .0
            .run(Input {
                received,
                tenant: client.tenant.name.clone(),
                username,
                password,
                entry: Entry::Rpc(client.id),
                source: peer.addr.ip().to_canonical(),
                deadline: timeout(&metadata)?.and_then(|timeout| received.checked_add(timeout)),
            })
            .await;
        Ok(Response::new(response(&answer)))
    }
}

fn response(answer: &Answer) -> SignInResponse {
    let user_id = match answer.outcome {
        Outcome::SignedIn(user) => user.to_string(),
        _ => String::new(),
    };
    let retry_after = answer.retry_after.unwrap_or_default();
    SignInResponse {
        outcome: wire(&answer.outcome).into(),
        code: answer.outcome.code(),
        user_id,
        request_id: answer.request.to_string(),
        retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
    }
}

fn wire(outcome: &Outcome) -> Wire {
    match outcome {
        Outcome::SignedIn(_) => Wire::SignedIn,
        Outcome::Refused => Wire::Refused,
        Outcome::PasswordExpired => Wire::PasswordExpired,
        Outcome::MustChange => Wire::MustChange,
        Outcome::Disabled => Wire::Disabled,
        Outcome::AccountExpired => Wire::AccountExpired,
        Outcome::LogonHours => Wire::LogonHours,
        Outcome::Workstation => Wire::Workstation,
        Outcome::Locked => Wire::Locked,
        Outcome::TooManyAttempts => Wire::TooManyAttempts,
        Outcome::Busy => Wire::Busy,
        Outcome::Unavailable => Wire::Unavailable,
    }
}

/// How long the caller waits, from `grpc-timeout`.
fn timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Status> {
    let Some(value) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let wait = value.to_str().ok().and_then(parse_timeout);
    wait.map(Some).ok_or_else(|| {
        Status::invalid_argument("grpc-timeout: expected 1 to 8 digits and one of H M S m u n")
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_timeout_is_read_in_every_unit() {
        for (text, expected) in [
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("4S", Some(Duration::from_secs(4))),
            ("15000m", Some(Duration::from_secs(15))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("", None),
            ("S", None),
            ("+1S", None),
            ("1s", None),
            ("123456789S", None),
            ("1ä", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }
}
