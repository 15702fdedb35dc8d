//! The statements of this room.

use postern_kit::clock::Timestamp;
use postern_proto::ids::UserId;
use sqlx::{Row as _, SqliteConnection, query};

use super::Account;
use super::core::{Mark, UNKNOWN_MAX};
use crate::store::{StoreError, row};

/// Stands while a process uses the budgets.
pub(super) const RUNNING: &str = "running";
/// What a sudden stop may have left uncounted.
pub(super) const UNCLEAN: &str = "unclean";

fn account(bytes: &[u8]) -> Result<Account, StoreError> {
    if let Ok(digest) = <[u8; 32]>::try_from(bytes) {
        return Ok(Account::Unknown(digest));
    }
    Ok(Account::User(UserId::try_from(bytes)?))
}

fn bytes(account: &Account) -> &[u8] {
    match account {
        Account::User(id) => id.as_bytes(),
        Account::Unknown(digest) => digest,
    }
}

fn number(value: i64, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|_| StoreError::Corrupt(column))
}

/// All counts; of names that nobody has, the newest that there is room for.
pub(super) async fn rows(c: &mut SqliteConnection) -> Result<Vec<(Account, u32, Timestamp)>, StoreError> {
    let all = query("SELECT account, failures, last_ms FROM failure_budget ORDER BY last_ms DESC")
        .fetch_all(c)
        .await?;
    let mut rows = Vec::with_capacity(all.len());
    let mut unknown = 0;
    for found in &all {
        let account = account(found.try_get("account")?)?;
        unknown += usize::from(matches!(account, Account::Unknown(_)));
        if unknown > UNKNOWN_MAX && matches!(account, Account::Unknown(_)) {
            continue;
        }
        rows.push((
            account,
            number(found.try_get("failures")?, "failures")?,
            row::time(found, "last_ms")?,
        ));
    }
    Ok(rows)
}

/// Stores failures and the time of the last one, or that there are none.
pub(super) async fn put(
    c: &mut SqliteConnection,
    account: &Account,
    row: Option<(u32, Timestamp)>,
) -> Result<(), StoreError> {
    let statement = match row {
        None => query("DELETE FROM failure_budget WHERE account = $1").bind(bytes(account).to_vec()),
        Some((failures, last)) => query(
            "INSERT INTO failure_budget (account, failures, last_ms) VALUES ($1, $2, $3)
             ON CONFLICT (account) DO UPDATE SET failures = excluded.failures, last_ms = excluded.last_ms",
        )
        .bind(bytes(account).to_vec())
        .bind(i64::from(failures))
        .bind(last.unix_ms()),
    };
    statement.execute(c).await?;
    Ok(())
}

pub(super) async fn purge(c: &mut SqliteConnection, ended_before: Timestamp) -> Result<(), StoreError> {
    query("DELETE FROM failure_budget WHERE last_ms < $1")
        .bind(ended_before.unix_ms())
        .execute(c)
        .await?;
    Ok(())
}

/// Lets the window of every count begin anew.
pub(super) async fn renew(c: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    query("UPDATE failure_budget SET last_ms = $1")
        .bind(now.unix_ms())
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn mark(c: &mut SqliteConnection, name: &'static str) -> Result<Option<Mark>, StoreError> {
    let found = query("SELECT at_ms, failures FROM budget_mark WHERE name = $1")
        .bind(name)
        .fetch_optional(c)
        .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(Mark {
        at: row::time(&found, "at_ms")?,
        failures: number(found.try_get("failures")?, "failures")?,
    }))
}

pub(super) async fn set_mark(
    c: &mut SqliteConnection,
    name: &'static str,
    mark: Mark,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO budget_mark (name, at_ms, failures) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET at_ms = excluded.at_ms, failures = excluded.failures",
    )
    .bind(name)
    .bind(mark.at.unix_ms())
    .bind(i64::from(mark.failures))
    .execute(c)
    .await?;
    Ok(())
}

pub(super) async fn remove_mark(c: &mut SqliteConnection, name: &'static str) -> Result<(), StoreError> {
    query("DELETE FROM budget_mark WHERE name = $1")
        .bind(name)
        .execute(c)
        .await?;
    Ok(())
}
