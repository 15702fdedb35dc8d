//! The statements of this room. What is refused is found out before the first write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postern_kit::random::Random;
use postern_proto::ids::{ClientId, TenantId, UserId};
use postern_proto::names::{DomainName, TenantName, Username};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, query};

use super::core::{Change, NewUser, plan};
use super::{Client, Imported, Refused, Resolved, Tenant, TenantChange, UserRecord};
use crate::store::{StoreError, row};

/// What an operation answers when the store works.
type Outcome<T> = Result<Result<T, Refused>, StoreError>;

fn tenant(found: &SqliteRow) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: row::id(found, "id")?,
        name: row::text(found, "name")?,
        created: row::time(found, "created_ms")?,
        tell_locked: found.try_get::<i64, _>("tell_locked")? != 0,
        alternate_id_attribute: row::optional_text(found, "alternate_id_attribute")?,
    })
}

fn user(found: &SqliteRow) -> Result<UserRecord, StoreError> {
    Ok(UserRecord {
        id: row::id(found, "id")?,
        tenant: row::id(found, "tenant")?,
        username: row::text(found, "username")?,
        alternate_id: row::optional_text(found, "alternate_id")?,
        object: row::id(found, "object")?,
        on_premises_name: row::text(found, "on_premises_name")?,
        domain: row::text(found, "domain")?,
    })
}

pub(super) async fn tenant_by_name(
    c: &mut SqliteConnection,
    name: &TenantName,
) -> Result<Option<Tenant>, StoreError> {
    let found =
        query("SELECT id, name, created_ms, tell_locked, alternate_id_attribute FROM tenant WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(c)
            .await?;
    found.as_ref().map(tenant).transpose()
}

pub(super) async fn tenant_by_id(
    c: &mut SqliteConnection,
    id: TenantId,
) -> Result<Option<Tenant>, StoreError> {
    let found =
        query("SELECT id, name, created_ms, tell_locked, alternate_id_attribute FROM tenant WHERE id = $1")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(c)
            .await?;
    found.as_ref().map(tenant).transpose()
}

pub(super) async fn tenants(c: &mut SqliteConnection) -> Result<Vec<Tenant>, StoreError> {
    let all =
        query("SELECT id, name, created_ms, tell_locked, alternate_id_attribute FROM tenant ORDER BY name")
            .fetch_all(c)
            .await?;
    all.iter().map(tenant).collect()
}

pub(super) async fn create_tenant(c: &mut SqliteConnection, new: &Tenant) -> Outcome<()> {
    if tenant_by_name(c, &new.name).await?.is_some() {
        return Ok(Err(Refused::Exists("tenant")));
    }
    query("INSERT INTO tenant (id, name, created_ms, tell_locked) VALUES ($1, $2, $3, $4)")
        .bind(new.id.as_bytes().as_slice())
        .bind(new.name.as_str())
        .bind(new.created.unix_ms())
        .bind(i64::from(new.tell_locked))
        .execute(c)
        .await?;
    Ok(Ok(()))
}

pub(super) async fn update_tenant(
    c: &mut SqliteConnection,
    id: TenantId,
    change: TenantChange,
) -> Outcome<Tenant> {
    let Some(mut tenant) = tenant_by_id(c, id).await? else {
        return Ok(Err(Refused::NotFound("tenant")));
    };
    if let Some(tell_locked) = change.tell_locked {
        tenant.tell_locked = tell_locked;
    }
    if let Some(attribute) = change.alternate_id_attribute {
        tenant.alternate_id_attribute = attribute;
    }
    query("UPDATE tenant SET tell_locked = $2, alternate_id_attribute = $3 WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .bind(i64::from(tenant.tell_locked))
        .bind(tenant.alternate_id_attribute.as_ref().map(ToString::to_string))
        .execute(c)
        .await?;
    Ok(Ok(tenant))
}

pub(super) async fn delete_tenant(c: &mut SqliteConnection, id: TenantId) -> Outcome<()> {
    let done = query("DELETE FROM tenant WHERE id = $1")
        .bind(id.as_bytes().as_slice())
        .execute(c)
        .await?;
    Ok(found(done.rows_affected(), "tenant"))
}

pub(super) async fn domain_owner(
    c: &mut SqliteConnection,
    domain: &DomainName,
) -> Result<Option<TenantId>, StoreError> {
    let found = query("SELECT tenant FROM domain WHERE name = $1")
        .bind(domain.as_str())
        .fetch_optional(c)
        .await?;
    found.map(|found| row::id(&found, "tenant")).transpose()
}

pub(super) async fn domains(
    c: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<Vec<DomainName>, StoreError> {
    let all = query("SELECT name FROM domain WHERE tenant = $1 ORDER BY name")
        .bind(tenant.as_bytes().as_slice())
        .fetch_all(c)
        .await?;
    all.iter().map(|found| row::text(found, "name")).collect()
}

pub(super) async fn create_domain(
    c: &mut SqliteConnection,
    tenant: TenantId,
    domain: &DomainName,
) -> Outcome<()> {
    if tenant_by_id(c, tenant).await?.is_none() {
        return Ok(Err(Refused::NotFound("tenant")));
    }
    match domain_owner(c, domain).await? {
        Some(owner) if owner == tenant => return Ok(Err(Refused::Exists("domain"))),
        Some(_) => return Ok(Err(Refused::DomainTaken)),
        None => {}
    }
    query("INSERT INTO domain (name, tenant) VALUES ($1, $2)")
        .bind(domain.as_str())
        .bind(tenant.as_bytes().as_slice())
        .execute(c)
        .await?;
    Ok(Ok(()))
}

pub(super) async fn delete_domain(
    c: &mut SqliteConnection,
    tenant: TenantId,
    domain: &DomainName,
) -> Outcome<()> {
    if domain_owner(c, domain).await? != Some(tenant) {
        return Ok(Err(Refused::NotFound("domain")));
    }
    let suffix = format!("@{domain}");
    let user = query(
        "SELECT 1 FROM user_record WHERE domain = $1
         UNION ALL
         SELECT 1 FROM user_record
         WHERE tenant = $2 AND (substr(username, -length($3)) = $3 OR substr(alternate_id, -length($3)) = $3)
         LIMIT 1",
    )
    .bind(domain.as_str())
    .bind(tenant.as_bytes().as_slice())
    .bind(suffix)
    .fetch_optional(&mut *c)
    .await?;
    if user.is_some() {
        return Ok(Err(Refused::DomainHasUsers));
    }
    query("DELETE FROM domain WHERE name = $1")
        .bind(domain.as_str())
        .execute(c)
        .await?;
    Ok(Ok(()))
}

/// The user of that name; `or_alternate`: or of that alternate id.
async fn user_by_name(
    c: &mut SqliteConnection,
    tenant: TenantId,
    name: &Username,
    or_alternate: bool,
) -> Result<Option<UserRecord>, StoreError> {
    // Each half by its own index.
    let found = query(
        "SELECT id, tenant, username, alternate_id, object, on_premises_name, domain
         FROM user_record WHERE tenant = $1 AND username = $2
         UNION ALL
         SELECT id, tenant, username, alternate_id, object, on_premises_name, domain
         FROM user_record WHERE $3 AND tenant = $1 AND alternate_id = $2
         LIMIT 1",
    )
    .bind(tenant.as_bytes().as_slice())
    .bind(name.as_str())
    .bind(i64::from(or_alternate))
    .fetch_optional(c)
    .await?;
    found.as_ref().map(user).transpose()
}

/// Whom a typed name means in the tenant of that name.
pub(super) async fn resolve(
    c: &mut SqliteConnection,
    tenant: &TenantName,
    username: Option<&Username>,
) -> Result<Resolved, StoreError> {
    let Some(tenant) = tenant_by_name(c, tenant).await? else {
        return Ok(Resolved::NoTenant);
    };
    let Some(username) = username else {
        return Ok(Resolved::NoDomain(tenant));
    };
    let or_alternate = tenant.alternate_id_attribute.is_some();
    if let Some(user) = user_by_name(c, tenant.id, username, or_alternate).await? {
        return Ok(Resolved::User(tenant, user));
    }
    let typed = username.domain();
    if domain_owner(c, &typed).await? != Some(tenant.id) {
        return Ok(Resolved::NoDomain(tenant));
    }
    let populated = populated_domain(c, tenant.id, &typed).await?;
    Ok(Resolved::NoUser(tenant, populated.unwrap_or(typed)))
}

/// A domain that may be one of names alone, without a directory: then the tenant's first domain in whose
/// directory users are.
async fn populated_domain(
    c: &mut SqliteConnection,
    tenant: TenantId,
    preferred: &DomainName,
) -> Result<Option<DomainName>, StoreError> {
    let found = query(
        "SELECT name FROM domain
         WHERE tenant = $1 AND EXISTS (SELECT 1 FROM user_record WHERE user_record.domain = domain.name)
         ORDER BY name <> $2, name LIMIT 1",
    )
    .bind(tenant.as_bytes().as_slice())
    .bind(preferred.as_str())
    .fetch_optional(c)
    .await?;
    found.map(|found| row::text(&found, "name")).transpose()
}

pub(super) async fn users(
    c: &mut SqliteConnection,
    tenant: TenantId,
    after: Option<Username>,
    limit: u32,
) -> Result<Vec<UserRecord>, StoreError> {
    let all = query(
        "SELECT id, tenant, username, alternate_id, object, on_premises_name, domain
         FROM user_record WHERE tenant = $1 AND username > $2 ORDER BY username LIMIT $3",
    )
    .bind(tenant.as_bytes().as_slice())
    .bind(after.as_ref().map_or("", Username::as_str).to_owned())
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    all.iter().map(user).collect()
}

/// The tenant's records that have the object or a name of one of `batch`.
async fn touched(
    c: &mut SqliteConnection,
    tenant: TenantId,
    batch: &[NewUser],
) -> Result<Vec<UserRecord>, StoreError> {
    let mut records = BTreeMap::new();
    for new in batch {
        let some = query(
            "SELECT id, tenant, username, alternate_id, object, on_premises_name, domain FROM user_record
             WHERE (tenant = $1 AND username IN ($2, $3)) OR (tenant = $1 AND alternate_id IN ($2, $3))
                OR (tenant = $1 AND object = $4)",
        )
        .bind(tenant.as_bytes().as_slice())
        .bind(new.username.as_str())
        .bind(alternate_id(new))
        .bind(new.object.as_bytes().as_slice())
        .fetch_all(&mut *c)
        .await?;
        for found in &some {
            let record = user(found)?;
            records.insert(record.id, record);
        }
    }
    Ok(records.into_values().collect())
}

/// Null where it would only say the username again.
fn alternate_id(new: &NewUser) -> Option<&str> {
    new.names().nth(1).map(|(_, id)| id.as_str())
}

async fn insert_user(
    c: &mut SqliteConnection,
    tenant: TenantId,
    id: UserId,
    new: &NewUser,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO user_record (id, tenant, username, object, on_premises_name, domain, alternate_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id.as_bytes().as_slice())
    .bind(tenant.as_bytes().as_slice())
    .bind(new.username.as_str())
    .bind(new.object.as_bytes().as_slice())
    .bind(new.on_premises_name.as_str())
    .bind(new.domain.as_str())
    .bind(alternate_id(new))
    .execute(c)
    .await?;
    Ok(())
}

pub(super) async fn create_user(
    c: &mut SqliteConnection,
    tenant: TenantId,
    id: UserId,
    new: NewUser,
) -> Outcome<UserRecord> {
    let batch = vec![new.clone()];
    if let Some(record) = touched(c, tenant, &batch).await?.first() {
        let theirs = [Some(&record.username), record.alternate_id.as_ref()];
        let field = if record.object == new.object {
            "object_id"
        } else if theirs.contains(&Some(&new.username)) {
            "username"
        } else {
            "alternate_id"
        };
        return Ok(Err(Refused::Exists(field)));
    }
    let owned: BTreeSet<_> = domains(c, tenant).await?.into_iter().collect();
    if let Err(refused) = plan(&owned, &[], batch) {
        return Ok(Err(Refused::Field {
            field: refused.field,
            expected: "a domain of the tenant",
        }));
    }
    insert_user(c, tenant, id, &new).await?;
    Ok(Ok(UserRecord {
        id,
        tenant,
        alternate_id: new.alternate_id.filter(|alternate| *alternate != new.username),
        username: new.username,
        object: new.object,
        on_premises_name: new.on_premises_name,
        domain: new.domain,
    }))
}

pub(super) async fn import(
    c: &mut SqliteConnection,
    tenant: TenantId,
    batch: Vec<NewUser>,
    random: Arc<dyn Random>,
) -> Outcome<Imported> {
    let owned: BTreeSet<_> = domains(c, tenant).await?.into_iter().collect();
    let existing = touched(c, tenant, &batch).await?;
    let changes = match plan(&owned, &existing, batch) {
        Ok(changes) => changes,
        Err(refused) => return Ok(Err(refused.into())),
    };
    // Two users may swap names: first everybody lets go of theirs. An object id is no username.
    for change in &changes {
        if let Change::Update(new) = change {
            query(
                "UPDATE user_record SET username = $3, alternate_id = NULL WHERE tenant = $1 AND object = $2",
            )
            .bind(tenant.as_bytes().as_slice())
            .bind(new.object.as_bytes().as_slice())
            .bind(new.object.to_string())
            .execute(&mut *c)
            .await?;
        }
    }
    let mut imported = Imported::default();
    for change in &changes {
        match change {
            Change::Create(new) => {
                insert_user(c, tenant, UserId::generate(random.as_ref()), new).await?;
                imported.created += 1;
            }
            Change::Update(new) => {
                query(
                    "UPDATE user_record SET username = $3, on_premises_name = $4, domain = $5, alternate_id = $6
                     WHERE tenant = $1 AND object = $2",
                )
                .bind(tenant.as_bytes().as_slice())
                .bind(new.object.as_bytes().as_slice())
                .bind(new.username.as_str())
                .bind(new.on_premises_name.as_str())
                .bind(new.domain.as_str())
                .bind(alternate_id(new))
                .execute(&mut *c)
                .await?;
                imported.updated += 1;
            }
        }
    }
    Ok(Ok(imported))
}

pub(super) async fn delete_user(
    c: &mut SqliteConnection,
    tenant: TenantId,
    username: &Username,
) -> Outcome<()> {
    let done = query("DELETE FROM user_record WHERE tenant = $1 AND username = $2")
        .bind(tenant.as_bytes().as_slice())
        .bind(username.as_str())
        .execute(c)
        .await?;
    Ok(found(done.rows_affected(), "username"))
}

pub(super) async fn create_client(
    c: &mut SqliteConnection,
    new: &Client,
    secret_sha256: &[u8; 32],
) -> Outcome<()> {
    if tenant_by_id(c, new.tenant).await?.is_none() {
        return Ok(Err(Refused::NotFound("tenant")));
    }
    query("INSERT INTO client (id, tenant, name, secret_sha256, created_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(new.id.as_bytes().as_slice())
        .bind(new.tenant.as_bytes().as_slice())
        .bind(new.name.as_str())
        .bind(secret_sha256.as_slice())
        .bind(new.created.unix_ms())
        .execute(c)
        .await?;
    Ok(Ok(()))
}

pub(super) async fn client_secret(
    c: &mut SqliteConnection,
    id: ClientId,
) -> Result<Option<([u8; 32], Tenant)>, StoreError> {
    let found = query(
        "SELECT client.secret_sha256, tenant.id, tenant.name, tenant.created_ms, tenant.tell_locked,
                tenant.alternate_id_attribute
         FROM client JOIN tenant ON tenant.id = client.tenant WHERE client.id = $1",
    )
    .bind(id.as_bytes().as_slice())
    .fetch_optional(c)
    .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some((row::bytes32(&found, "secret_sha256")?, tenant(&found)?)))
}

pub(super) async fn clients(c: &mut SqliteConnection, tenant: TenantId) -> Result<Vec<Client>, StoreError> {
    let all = query("SELECT id, tenant, name, created_ms FROM client WHERE tenant = $1 ORDER BY name, id")
        .bind(tenant.as_bytes().as_slice())
        .fetch_all(c)
        .await?;
    all.iter()
        .map(|found| {
            Ok(Client {
                id: row::id(found, "id")?,
                tenant: row::id(found, "tenant")?,
                name: found.try_get("name")?,
                created: row::time(found, "created_ms")?,
            })
        })
        .collect()
}

pub(super) async fn delete_client(
    c: &mut SqliteConnection,
    tenant: TenantId,
    client: ClientId,
) -> Outcome<()> {
    let done = query("DELETE FROM client WHERE tenant = $1 AND id = $2")
        .bind(tenant.as_bytes().as_slice())
        .bind(client.as_bytes().as_slice())
        .execute(c)
        .await?;
    Ok(found(done.rows_affected(), "id"))
}

fn found(rows: u64, what: &'static str) -> Result<(), Refused> {
    if rows == 0 {
        Err(Refused::NotFound(what))
    } else {
        Ok(())
    }
}
