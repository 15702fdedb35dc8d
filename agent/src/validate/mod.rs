//! From an opened request to a report: find the forest, ask one of its controllers, say what came
//! of it. With `directory`, the only room that sees a password.

use std::time::Instant;

use postern_kit::clock::monotonic;
use postern_proto::seal::Request;
use postern_proto::verdict::{NotAsked, Verdict, VerdictReport};

use crate::directory::Question;
use crate::forests::Forests;

/// Has a password judged. The report comes at `deadline` at the latest, the monotonic time after
/// which nobody waits for it; times in it count from `received`.
///
/// # Cancellation
/// Dropping it closes the connection in use; the directory may have been asked.
pub async fn validate(
    forests: &Forests,
    request: Request,
    received: Instant,
    deadline: Instant,
) -> VerdictReport {
    let Request {
        header,
        object,
        name,
        password,
    } = request;
    tracing::debug!(request = %header.request, domain = %header.domain, "request taken");
    let forest = match forests.of(&header.domain, &name) {
        Ok(forest) => forest,
        Err(error) => {
            // The user is told nothing of it; an administrator has a configuration to put right.
            tracing::warn!(request = %header.request, %error, "no forest can be asked about this user");
            return VerdictReport::bare(Verdict::NotAsked(NotAsked::UnknownDomain));
        }
    };
    let report = forest
        .check(
            Question {
                object,
                name,
                password,
            },
            received,
            deadline,
        )
        .await;
    if report.verdict == Verdict::OtherObject {
        tracing::error!(
            request = %header.request,
            forest = forest.name(),
            expected = %object,
            "the directory accepted the password for another object than the user's"
        );
    }
    tracing::info!(
        request = %header.request,
        forest = forest.name(),
        controller = report.controller,
        verdict = report.verdict.name(),
        reason = report.verdict.reason_name(),
        total_ms = u64::try_from(monotonic().saturating_duration_since(received).as_millis()).unwrap_or(u64::MAX),
        "request answered"
    );
    report
}
