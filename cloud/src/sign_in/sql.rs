//! The statements of this room.

use std::time::Duration;

use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, ClientId, RequestId, TenantId, UserId};
use postern_proto::names::Username;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, query};

use super::log::{AttemptRecord, Record};
use crate::store::{StoreError, row};

/// Rows in one statement. With twelve values each they stay far below SQLite's 32,766.
const ROWS_MAX: usize = 128;

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Rows in parts whose lengths are powers of two, so that there are few different statements and each is
/// parsed once and kept.
fn parts<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let largest = 1 << rows.len().checked_ilog2()?;
        let (part, rest) = rows.split_at(largest.min(ROWS_MAX));
        rows = rest;
        Some(part)
    })
}

/// Writes records and their attempts, many rows in one statement.
pub(super) async fn insert(c: &mut SqliteConnection, records: &[Record]) -> Result<(), StoreError> {
    for some in parts(records) {
        insert_records(c, some).await?;
    }
    let attempts: Vec<_> = records
        .iter()
        .flat_map(|record| {
            (0_i64..)
                .zip(&record.attempts)
                .map(move |(number, attempt)| (record.request, number, attempt))
        })
        .collect();
    for some in parts(&attempts) {
        insert_attempts(c, some).await?;
    }
    Ok(())
}

async fn insert_records(c: &mut SqliteConnection, records: &[Record]) -> Result<(), StoreError> {
    let mut statement = QueryBuilder::<Sqlite>::new(
        "INSERT INTO sign_in (request, at_ms, tenant, tenant_name, user_record, username, outcome, code,
                              channel, source_address, client, total_us) ",
    );
    statement.push_values(records, |mut row, record| {
        row.push_bind(record.request.as_bytes().as_slice())
            .push_bind(record.at.unix_ms())
            .push_bind(record.tenant.as_ref().map(|tenant| tenant.as_bytes().as_slice()))
            .push_bind(record.tenant_name.as_str())
            .push_bind(record.user.as_ref().map(|user| user.as_bytes().as_slice()))
            .push_bind(record.username.as_str())
            .push_bind(record.outcome.as_str())
            .push_bind(i64::from(record.code))
            .push_bind(record.channel.as_str())
            .push_bind(record.source.to_string())
            .push_bind(record.client.as_ref().map(|client| client.as_bytes().as_slice()))
            .push_bind(micros(record.total));
    });
    statement.build().execute(c).await?;
    Ok(())
}

async fn insert_attempts(
    c: &mut SqliteConnection,
    attempts: &[(RequestId, i64, &AttemptRecord)],
) -> Result<(), StoreError> {
    let mut statement = QueryBuilder::<Sqlite>::new(
        "INSERT INTO sign_in_attempt (request, number, agent, controller, verdict, reason, total_us,
                                      wait_us, bind_us, ldap_result, sub_code) ",
    );
    statement.push_values(attempts, |mut row, (request, number, attempt)| {
        row.push_bind(request.as_bytes().as_slice())
            .push_bind(*number)
            .push_bind(attempt.agent.as_bytes().as_slice())
            .push_bind(attempt.controller.as_str())
            .push_bind(attempt.verdict.as_str())
            .push_bind(attempt.reason.as_str())
            .push_bind(micros(attempt.total))
            .push_bind(micros(attempt.wait))
            .push_bind(micros(attempt.bind))
            .push_bind(i64::from(attempt.ldap_result))
            .push_bind(i64::from(attempt.sub_code));
    });
    statement.build().execute(c).await?;
    Ok(())
}

fn duration(found: &SqliteRow, column: &'static str) -> Result<Duration, StoreError> {
    let micros = u64::try_from(found.try_get::<i64, _>(column)?).map_err(|_| StoreError::Corrupt(column))?;
    Ok(Duration::from_micros(micros))
}

fn number(found: &SqliteRow, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(found.try_get::<i64, _>(column)?).map_err(|_| StoreError::Corrupt(column))
}

fn attempt(found: &SqliteRow) -> Result<AttemptRecord, StoreError> {
    Ok(AttemptRecord {
        agent: row::id(found, "agent")?,
        controller: found.try_get("controller")?,
        verdict: found.try_get("verdict")?,
        reason: found.try_get("reason")?,
        total: duration(found, "total_us")?,
        wait: duration(found, "wait_us")?,
        bind: duration(found, "bind_us")?,
        ldap_result: number(found, "ldap_result")?,
        sub_code: number(found, "sub_code")?,
    })
}

async fn record(c: &mut SqliteConnection, found: &SqliteRow) -> Result<Record, StoreError> {
    let request: RequestId = row::id(found, "request")?;
    let attempts = query(
        "SELECT agent, controller, verdict, reason, total_us, wait_us, bind_us, ldap_result, sub_code
         FROM sign_in_attempt WHERE request = $1 ORDER BY number",
    )
    .bind(request.as_bytes().as_slice())
    .fetch_all(c)
    .await?;
    let id = |column| found.try_get::<Option<&[u8]>, _>(column);
    let source: String = found.try_get("source_address")?;
    Ok(Record {
        request,
        at: row::time(found, "at_ms")?,
        tenant: id("tenant")?.map(TenantId::try_from).transpose()?,
        tenant_name: row::text(found, "tenant_name")?,
        user: id("user_record")?.map(UserId::try_from).transpose()?,
        username: found.try_get("username")?,
        outcome: found.try_get("outcome")?,
        code: number(found, "code")?,
        channel: found.try_get("channel")?,
        source: source
            .parse()
            .map_err(|_| StoreError::Corrupt("source_address"))?,
        client: id("client")?.map(ClientId::try_from).transpose()?,
        total: duration(found, "total_us")?,
        attempts: attempts.iter().map(attempt).collect::<Result<_, _>>()?,
    })
}

pub(super) async fn list(
    c: &mut SqliteConnection,
    tenant: Option<TenantId>,
    username: Option<Username>,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    // One statement per question, so that each can use the index that was made for it.
    let tenant = tenant.map(|tenant| tenant.as_bytes().to_vec());
    let found = match (tenant, username) {
        (Some(tenant), Some(username)) => query(
            "SELECT * FROM sign_in WHERE tenant = $1 AND username = $2 ORDER BY at_ms DESC, request LIMIT $3",
        )
        .bind(tenant)
        .bind(username.as_str().to_owned()),
        (Some(tenant), None) => {
            query("SELECT * FROM sign_in WHERE tenant = $1 ORDER BY at_ms DESC, request LIMIT $2")
                .bind(tenant)
        }
        (None, Some(username)) => {
            query("SELECT * FROM sign_in WHERE username = $1 ORDER BY at_ms DESC, request LIMIT $2")
                .bind(username.as_str().to_owned())
        }
        (None, None) => query("SELECT * FROM sign_in ORDER BY at_ms DESC, request LIMIT $1"),
    };
    let all = found.bind(i64::from(limit)).fetch_all(&mut *c).await?;
    let mut records = Vec::with_capacity(all.len());
    for found in &all {
        records.push(record(c, found).await?);
    }
    Ok(records)
}

pub(super) async fn vouched_for(
    c: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    let all = query(
        "SELECT * FROM sign_in WHERE tenant = $1 AND at_ms >= $2 AND outcome = 'signed_in' AND EXISTS
           (SELECT 1 FROM sign_in_attempt AS attempt WHERE attempt.request = sign_in.request
              AND attempt.agent = $3 AND attempt.verdict = 'accepted')
         ORDER BY at_ms DESC, request LIMIT $4",
    )
    .bind(tenant.as_bytes().as_slice())
    .bind(since.unix_ms())
    .bind(agent.as_bytes().as_slice())
    .bind(i64::from(limit))
    .fetch_all(&mut *c)
    .await?;
    let mut records = Vec::with_capacity(all.len());
    for found in &all {
        records.push(record(c, found).await?);
    }
    Ok(records)
}

pub(super) async fn purge(
    c: &mut SqliteConnection,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let done = query(
        "DELETE FROM sign_in WHERE request IN
         (SELECT request FROM sign_in WHERE at_ms < $1 ORDER BY at_ms LIMIT $2)",
    )
    .bind(before.unix_ms())
    .bind(i64::from(limit))
    .execute(c)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_parts_of_few_lengths_and_none_is_lost() {
        for count in 0..1000_usize {
            let rows: Vec<_> = (0..count).collect();
            let all: Vec<_> = parts(&rows).collect();
            assert!(
                all.iter()
                    .all(|part| part.len().is_power_of_two() && part.len() <= ROWS_MAX)
            );
            assert_eq!(all.concat(), rows);
        }
    }
}
