//! The sign-in log as administration shows it, read as the checks over a run read it.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_proto::ids::Malformed;
use postern_proto::wire::admin as wire;

use super::ProcessTenant;
use crate::check::{Logged, LoggedAttempt};
use crate::scenario::Outcome;

/// `records`, which come newest first, of the tenant at `at`: oldest first, and its agents and users by their names and
/// places. Times count from `start_unix_ms`.
///
/// # Errors
/// [`Malformed`] if an outcome is called what nobody calls it.
pub(super) fn read(
    records: &[wire::SignInRecord],
    at: usize,
    tenant: &ProcessTenant,
    start_unix_ms: i64,
) -> Result<Vec<Logged>, Malformed> {
    let agents = tenant.agents.iter();
    let agents: BTreeMap<_, _> = agents.map(|agent| (agent.id.to_string(), agent.name())).collect();
    let people = tenant.people.iter().enumerate();
    let people: BTreeMap<_, _> = people
        .map(|(place, (username, _))| (username.as_str(), place))
        .collect();
    let attempt = |attempt: &wire::Attempt| LoggedAttempt {
        agent: agents
            .get(&attempt.agent_id)
            .map_or_else(|| attempt.agent_id.clone(), |name| (*name).to_owned()),
        controller: attempt.controller.clone(),
        verdict: attempt.verdict.clone(),
        reason: attempt.reason.clone(),
        total: Duration::from_micros(attempt.total_us),
    };
    let record = |record: &wire::SignInRecord| {
        let since_start = record.at_unix_ms.saturating_sub(start_unix_ms);
        Ok(Logged {
            request: record.request_id.clone(),
            at: Duration::from_millis(u64::try_from(since_start).unwrap_or(0)),
            tenant: Some(at),
            account: people.get(record.username.as_str()).copied(),
            outcome: Outcome::named(&record.outcome).ok_or(Malformed {
                field: "outcome",
                expected: "the name of an outcome, such as signed_in",
            })?,
            code: record.code,
            total: Duration::from_micros(record.total_us),
            attempts: record.attempts.iter().map(attempt).collect(),
        })
    };
    records.iter().rev().map(record).collect()
}
