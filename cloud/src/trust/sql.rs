//! The statements of this room. What is refused is found out before the first write.

use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, TenantId, TokenId};
use postern_proto::names::DomainName;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, query};

use super::{AgentRecord, AgentRegistration, EnrolRefused, TokenRecord};
use crate::store::{StoreError, row};

async fn agent_domains(c: &mut SqliteConnection, agent: AgentId) -> Result<Vec<DomainName>, StoreError> {
    let all = query("SELECT domain FROM agent_domain WHERE agent = $1 ORDER BY domain")
        .bind(agent.as_bytes().as_slice())
        .fetch_all(c)
        .await?;
    all.iter().map(|found| row::text(found, "domain")).collect()
}

async fn agent_record(c: &mut SqliteConnection, found: &SqliteRow) -> Result<AgentRecord, StoreError> {
    let agent = row::id(found, "id")?;
    let last_seen: Option<i64> = found.try_get("last_seen_ms")?;
    let revoked: Option<i64> = found.try_get("revoked_ms")?;
    Ok(AgentRecord {
        registration: AgentRegistration {
            agent,
            tenant: row::id(found, "tenant")?,
            domains: agent_domains(c, agent).await?,
            host_name: found.try_get("host_name")?,
            key: row::bytes32(found, "key")?,
            drained: found.try_get::<i64, _>("drained")? != 0,
        },
        version: found.try_get("version")?,
        enrolled: row::time(found, "enrolled_ms")?,
        expires: row::time(found, "expires_ms")?,
        revoked: revoked.map(Timestamp::from_unix_ms),
        name: found.try_get("name")?,
        last_seen: last_seen.map(Timestamp::from_unix_ms),
        fingerprint: row::bytes32(found, "fingerprint")?,
    })
}

pub(super) async fn agent(
    c: &mut SqliteConnection,
    agent: AgentId,
) -> Result<Option<AgentRecord>, StoreError> {
    let found = query(
        "SELECT id, tenant, host_name, version, key, fingerprint, enrolled_ms, expires_ms, last_seen_ms, drained,
                revoked_ms, name
         FROM agent WHERE id = $1",
    )
    .bind(agent.as_bytes().as_slice())
    .fetch_optional(&mut *c)
    .await?;
    match found {
        Some(found) => Ok(Some(agent_record(c, &found).await?)),
        None => Ok(None),
    }
}

pub(super) async fn agents(
    c: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<Vec<AgentRecord>, StoreError> {
    let all = query(
        "SELECT id, tenant, host_name, version, key, fingerprint, enrolled_ms, expires_ms, last_seen_ms, drained,
                revoked_ms, name
         FROM agent WHERE tenant = $1 ORDER BY host_name, id",
    )
    .bind(tenant.as_bytes().as_slice())
    .fetch_all(&mut *c)
    .await?;
    let mut records = Vec::with_capacity(all.len());
    for found in &all {
        records.push(agent_record(c, found).await?);
    }
    Ok(records)
}

pub(super) async fn seen(
    c: &mut SqliteConnection,
    agent: AgentId,
    version: String,
    at: Timestamp,
) -> Result<(), StoreError> {
    query("UPDATE agent SET version = $2, last_seen_ms = $3 WHERE id = $1")
        .bind(agent.as_bytes().as_slice())
        .bind(version)
        .bind(at.unix_ms())
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn set_drained(
    c: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    drained: bool,
) -> Result<bool, StoreError> {
    let done = query("UPDATE agent SET drained = $3 WHERE id = $2 AND tenant = $1")
        .bind(tenant.as_bytes().as_slice())
        .bind(agent.as_bytes().as_slice())
        .bind(i64::from(drained))
        .execute(c)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// From `at` on the agent counts no more, unless it was revoked before. Whether the tenant has it.
pub(super) async fn revoke(
    c: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let done = query("UPDATE agent SET revoked_ms = coalesce(revoked_ms, $3) WHERE id = $2 AND tenant = $1")
        .bind(tenant.as_bytes().as_slice())
        .bind(agent.as_bytes().as_slice())
        .bind(at.unix_ms())
        .execute(c)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn rename(
    c: &mut SqliteConnection,
    tenant: TenantId,
    agent: AgentId,
    name: &str,
) -> Result<bool, StoreError> {
    let done = query("UPDATE agent SET name = $3 WHERE id = $2 AND tenant = $1")
        .bind(tenant.as_bytes().as_slice())
        .bind(agent.as_bytes().as_slice())
        .bind(name.to_owned())
        .execute(c)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn delete(c: &mut SqliteConnection, agent: AgentId) -> Result<(), StoreError> {
    query("DELETE FROM agent WHERE id = $1")
        .bind(agent.as_bytes().as_slice())
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn create_token(
    c: &mut SqliteConnection,
    new: &TokenRecord,
    secret_sha256: &[u8; 32],
) -> Result<Result<(), DomainName>, StoreError> {
    for domain in &new.domains {
        let owned = query("SELECT 1 FROM domain WHERE name = $1 AND tenant = $2")
            .bind(domain.as_str())
            .bind(new.tenant.as_bytes().as_slice())
            .fetch_optional(&mut *c)
            .await?;
        if owned.is_none() {
            return Ok(Err(domain.clone()));
        }
    }
    query(
        "INSERT INTO enrolment_token (id, tenant, secret_sha256, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(new.id.as_bytes().as_slice())
    .bind(new.tenant.as_bytes().as_slice())
    .bind(secret_sha256.as_slice())
    .bind(new.created.unix_ms())
    .bind(new.expires.unix_ms())
    .execute(&mut *c)
    .await?;
    for domain in &new.domains {
        query("INSERT INTO enrolment_token_domain (token, domain) VALUES ($1, $2)")
            .bind(new.id.as_bytes().as_slice())
            .bind(domain.as_str())
            .execute(&mut *c)
            .await?;
    }
    Ok(Ok(()))
}

async fn token_record(c: &mut SqliteConnection, found: &SqliteRow) -> Result<TokenRecord, StoreError> {
    let id: TokenId = row::id(found, "id")?;
    let domains = query("SELECT domain FROM enrolment_token_domain WHERE token = $1 ORDER BY domain")
        .bind(id.as_bytes().as_slice())
        .fetch_all(c)
        .await?;
    let used_by: Option<&[u8]> = found.try_get("used_by")?;
    Ok(TokenRecord {
        id,
        tenant: row::id(found, "tenant")?,
        domains: domains
            .iter()
            .map(|found| row::text(found, "domain"))
            .collect::<Result<_, _>>()?,
        created: row::time(found, "created_ms")?,
        expires: row::time(found, "expires_ms")?,
        used_by: used_by.map(AgentId::try_from).transpose()?,
    })
}

pub(super) async fn tokens(
    c: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<Vec<TokenRecord>, StoreError> {
    let all = query(
        "SELECT id, tenant, created_ms, expires_ms, used_by FROM enrolment_token
         WHERE tenant = $1 ORDER BY created_ms DESC, id",
    )
    .bind(tenant.as_bytes().as_slice())
    .fetch_all(&mut *c)
    .await?;
    let mut records = Vec::with_capacity(all.len());
    for found in &all {
        records.push(token_record(c, found).await?);
    }
    Ok(records)
}

pub(super) async fn delete_token(
    c: &mut SqliteConnection,
    tenant: TenantId,
    token: TokenId,
) -> Result<bool, StoreError> {
    let done = query("DELETE FROM enrolment_token WHERE tenant = $1 AND id = $2")
        .bind(tenant.as_bytes().as_slice())
        .bind(token.as_bytes().as_slice())
        .execute(c)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The token with this secret, if it can make an agent now.
pub(super) async fn usable_token(
    c: &mut SqliteConnection,
    secret_sha256: &[u8; 32],
    now: Timestamp,
) -> Result<Result<TokenRecord, EnrolRefused>, StoreError> {
    let found = query(
        "SELECT id, tenant, created_ms, expires_ms, used_by FROM enrolment_token WHERE secret_sha256 = $1",
    )
    .bind(secret_sha256.as_slice())
    .fetch_optional(&mut *c)
    .await?;
    let Some(found) = found else {
        return Ok(Err(EnrolRefused::UnknownToken));
    };
    let token = token_record(c, &found).await?;
    Ok(if let Some(agent) = token.used_by {
        Err(EnrolRefused::UsedToken(agent))
    } else if token.expires <= now {
        Err(EnrolRefused::ExpiredToken(token.expires))
    } else if token.domains.is_empty() {
        Err(EnrolRefused::NoDomains)
    } else {
        Ok(token)
    })
}

pub(super) async fn key_is_known(c: &mut SqliteConnection, key: &[u8; 32]) -> Result<bool, StoreError> {
    let found = query("SELECT 1 FROM agent WHERE key = $1")
        .bind(key.as_slice())
        .fetch_optional(c)
        .await?;
    Ok(found.is_some())
}

/// Agents whose certificates end before `soon`, and when; a log's worth of them.
pub(super) async fn ending(
    c: &mut SqliteConnection,
    soon: Timestamp,
) -> Result<Vec<(AgentId, Timestamp)>, StoreError> {
    let all = query("SELECT id, expires_ms FROM agent WHERE expires_ms <= $1 AND revoked_ms IS NULL ORDER BY expires_ms LIMIT 100")
        .bind(soon.unix_ms())
        .fetch_all(c)
        .await?;
    all.iter()
        .map(|found| Ok((row::id(found, "id")?, row::time(found, "expires_ms")?)))
        .collect()
}

/// Writes down the agent and that the token is used.
pub(super) async fn register(
    c: &mut SqliteConnection,
    new: &AgentRecord,
    token: TokenId,
) -> Result<(), StoreError> {
    let agent = new.registration.agent;
    query(
        "INSERT INTO agent (id, tenant, host_name, version, key, fingerprint, enrolled_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(agent.as_bytes().as_slice())
    .bind(new.registration.tenant.as_bytes().as_slice())
    .bind(new.registration.host_name.as_str())
    .bind(new.version.as_str())
    .bind(new.registration.key.as_slice())
    .bind(new.fingerprint.as_slice())
    .bind(new.enrolled.unix_ms())
    .bind(new.expires.unix_ms())
    .execute(&mut *c)
    .await?;
    for domain in &new.registration.domains {
        query("INSERT INTO agent_domain (agent, domain) VALUES ($1, $2)")
            .bind(agent.as_bytes().as_slice())
            .bind(domain.as_str())
            .execute(&mut *c)
            .await?;
    }
    query("UPDATE enrolment_token SET used_by = $2 WHERE id = $1")
        .bind(token.as_bytes().as_slice())
        .bind(agent.as_bytes().as_slice())
        .execute(c)
        .await?;
    Ok(())
}
