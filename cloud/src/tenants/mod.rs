//! Tenants, their domains, users and clients: who may sign in where, as administrators wrote it down.
//!
//! # Invariants
//! * A domain belongs to one tenant on the whole server.
//! * Within a tenant a name, be it a username or an alternate id, names one record, and a directory object has one
//!   record.
//! * A record keeps its id as long as its directory object is known, whatever the user is called.

mod cache;
mod core;
mod sql;

use std::sync::Arc;

use futures::future::BoxFuture;
use postern_kit::Seams;
use postern_kit::clock::{Clock, Timestamp};
use postern_kit::digest;
use postern_kit::random::Random;
use postern_kit::secret::Token256;
use postern_proto::ids::{ClientId, ObjectId, TenantId, UserId};
use postern_proto::names::{AttributeName, DomainName, OnPremisesName, TenantName, Username};

use crate::store::{Connection, Store, StoreError};

use self::cache::Cache;

pub use self::core::{IMPORT_MAX, ImportRefused, NewUser};

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id, which never changes.
    pub id: TenantId,
    /// Its short name in addresses.
    pub name: TenantName,
    /// When it was made.
    pub created: Timestamp,
    /// Whether users are told that the directory has locked their account.
    pub tell_locked: bool,
    /// The directory attribute that alternate ids are values of. Without one they sign nobody in.
    pub alternate_id_attribute: Option<AttributeName>,
}

/// What is to become of a tenant. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Whether users are told that the directory has locked their account.
    pub tell_locked: Option<bool>,
    /// The attribute of alternate ids, or that there is none.
    pub alternate_id_attribute: Option<Option<AttributeName>>,
}

/// One user as the cloud knows them. Log, budget and lockout hang on `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The record's id.
    pub id: UserId,
    /// Whose user.
    pub tenant: TenantId,
    /// What the user types.
    pub username: Username,
    /// What the user may type instead, if the tenant has an attribute for it.
    pub alternate_id: Option<Username>,
    /// The directory object that this is.
    pub object: ObjectId,
    /// What the directory calls the user.
    pub on_premises_name: OnPremisesName,
    /// The domain whose directory owns the user.
    pub domain: DomainName,
}

/// A programme that may call `SignIn` for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Whose programme.
    pub tenant: TenantId,
    /// For people.
    pub name: String,
    /// When it was registered.
    pub created: Timestamp,
}

/// Whom a typed name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// A user.
    User(Tenant, UserRecord),
    /// Nobody, in a domain of the tenant's. Users who have names in it are, or might be, in the directory of the
    /// second.
    NoUser(Tenant, DomainName),
    /// Nobody; the domain is not the tenant's.
    NoDomain(Tenant),
    /// There is no such tenant.
    NoTenant,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that are new.
    pub created: u32,
    /// Records that were there.
    pub updated: u32,
}

/// Why something was not written down. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is one already.
    #[error("{0}: exists already")]
    Exists(&'static str),
    /// There is none.
    #[error("{0}: not found")]
    NotFound(&'static str),
    /// The domain belongs to another tenant.
    #[error("domain: belongs to another tenant")]
    DomainTaken,
    /// Users of the domain are still there.
    #[error("domain: still has users; delete them first")]
    DomainHasUsers,
    /// A field has a value that cannot be.
    #[error("{field}: expected {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A record of a batch is refused, and with it the batch.
    #[error(transparent)]
    Import(#[from] ImportRefused),
}

/// Why an operation did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum TenantsError {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store is at fault.
    #[error("store does not answer")]
    Store(#[from] StoreError),
}

/// Longest name of a client, in bytes: a line in a table.
const CLIENT_NAME_BYTES_MAX: usize = 128;

/// The tenants and what belongs to them.
#[derive(Clone, Debug)]
pub struct Tenants {
    store: Store,
    cache: Cache,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Tenants {
    /// Over `store`.
    pub fn new(store: Store, seams: &Seams) -> Self {
        Self {
            store,
            cache: Cache::default(),
            clock: seams.clock.clone(),
            random: seams.random.clone(),
        }
    }

    /// The tenant of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn by_name(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError> {
        let name = name.clone();
        self.store
            .read(move |c| Box::pin(async move { sql::tenant_by_name(c, &name).await }))
            .await
    }

    /// Whom a typed name means in the tenant of that name. `None`: what was typed cannot be a name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn resolve(
        &self,
        tenant: &TenantName,
        username: Option<&Username>,
    ) -> Result<Resolved, StoreError> {
        let key = username.map(|username| (tenant.clone(), username.clone()));
        let generation = match key.as_ref().map(|key| self.cache.user(key)) {
            Some(Ok((tenant, user))) => return Ok(Resolved::User(tenant, user)),
            Some(Err(generation)) => generation,
            None => 0,
        };
        let (tenant, username) = (tenant.clone(), username.cloned());
        let resolved = self
            .store
            .read(move |c| Box::pin(async move { sql::resolve(c, &tenant, username.as_ref()).await }))
            .await?;
        if let (Some(key), Resolved::User(tenant, user)) = (key, &resolved) {
            self.cache
                .keep_user(generation, key, (tenant.clone(), user.clone()));
        }
        Ok(resolved)
    }

    /// The client of that id and its tenant, if the secret is the client's.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn client(
        &self,
        id: ClientId,
        secret: &Token256,
    ) -> Result<Option<(ClientId, Tenant)>, StoreError> {
        let (expected, tenant) = match self.cache.client(id) {
            Ok(found) => found,
            Err(generation) => {
                let found = self
                    .store
                    .read(move |c| Box::pin(sql::client_secret(c, id)))
                    .await?;
                let Some(found) = found else { return Ok(None) };
                self.cache.keep_client(generation, id, &found);
                found
            }
        };
        Ok(digest::equal(&expected, &secret.digest()).then_some((id, tenant)))
    }

    /// Runs `work` in a transaction, after which nothing is remembered of what was before.
    async fn write<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let forgets = self.cache.forgets();
        let (done, _forgets) = self
            .store
            .transact(move |c| Box::pin(async move { Ok((work(c).await?, forgets)) }))
            .await?;
        Ok(done)
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// [`Refused::Exists`] if the name is taken.
    pub async fn create(&self, name: TenantName, tell_locked: bool) -> Result<Tenant, TenantsError> {
        let tenant = Tenant {
            id: TenantId::generate(self.random.as_ref()),
            name,
            created: self.clock.now(),
            tell_locked,
            alternate_id_attribute: None,
        };
        let new = tenant.clone();
        self.write(move |c| Box::pin(async move { sql::create_tenant(c, &new).await }))
            .await??;
        Ok(tenant)
    }

    /// Changes a tenant's settings.
    ///
    /// # Errors
    /// [`Refused::NotFound`] if there is none.
    pub async fn update(&self, tenant: TenantId, change: TenantChange) -> Result<Tenant, TenantsError> {
        Ok(self
            .write(move |c| Box::pin(sql::update_tenant(c, tenant, change)))
            .await??)
    }

    /// All tenants, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn list(&self) -> Result<Vec<Tenant>, StoreError> {
        self.store.read(|c| Box::pin(sql::tenants(c))).await
    }

    /// Deletes a tenant with its domains, users, clients, tokens and agents. The sign-in log stays.
    ///
    /// # Errors
    /// [`Refused::NotFound`] if there is none.
    pub async fn delete(&self, tenant: TenantId) -> Result<(), TenantsError> {
        Ok(self
            .write(move |c| Box::pin(sql::delete_tenant(c, tenant)))
            .await??)
    }

    /// Gives a domain to a tenant.
    ///
    /// # Errors
    /// [`Refused::Exists`] or [`Refused::DomainTaken`] if a tenant has it.
    pub async fn create_domain(&self, tenant: TenantId, domain: DomainName) -> Result<(), TenantsError> {
        Ok(self
            .write(move |c| Box::pin(async move { sql::create_domain(c, tenant, &domain).await }))
            .await??)
    }

    /// A tenant's domains, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn domains(&self, tenant: TenantId) -> Result<Vec<DomainName>, StoreError> {
        self.store.read(move |c| Box::pin(sql::domains(c, tenant))).await
    }

    /// Takes a domain from a tenant, and from its agents and tokens.
    ///
    /// # Errors
    /// [`Refused::NotFound`], or [`Refused::DomainHasUsers`] while it has some.
    pub async fn delete_domain(&self, tenant: TenantId, domain: DomainName) -> Result<(), TenantsError> {
        Ok(self
            .write(move |c| Box::pin(async move { sql::delete_domain(c, tenant, &domain).await }))
            .await??)
    }

    /// Makes a user record.
    ///
    /// # Errors
    /// [`Refused`] if a name or the object has a record, or a domain is not the tenant's.
    pub async fn create_user(&self, tenant: TenantId, user: NewUser) -> Result<UserRecord, TenantsError> {
        let id = UserId::generate(self.random.as_ref());
        Ok(self
            .write(move |c| Box::pin(sql::create_user(c, tenant, id, user)))
            .await??)
    }

    /// Makes or updates user records, found by their directory object: all of them or none.
    ///
    /// # Errors
    /// [`Refused::Import`] names the first record that cannot be.
    pub async fn import(&self, tenant: TenantId, users: Vec<NewUser>) -> Result<Imported, TenantsError> {
        if users.len() > IMPORT_MAX {
            return Err(Refused::Field {
                field: "users",
                expected: "at most 1,000 in one call",
            }
            .into());
        }
        let random = self.random.clone();
        Ok(self
            .write(move |c| Box::pin(sql::import(c, tenant, users, random)))
            .await??)
    }

    /// Up to `limit` user records whose names come after `after`, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn users(
        &self,
        tenant: TenantId,
        after: Option<Username>,
        limit: u32,
    ) -> Result<Vec<UserRecord>, StoreError> {
        self.store
            .read(move |c| Box::pin(sql::users(c, tenant, after, limit)))
            .await
    }

    /// Deletes a user record.
    ///
    /// # Errors
    /// [`Refused::NotFound`] if there is none.
    pub async fn delete_user(&self, tenant: TenantId, username: Username) -> Result<(), TenantsError> {
        Ok(self
            .write(move |c| Box::pin(async move { sql::delete_user(c, tenant, &username).await }))
            .await??)
    }

    /// Registers a client. The secret is not kept: this is the only time that it is known.
    ///
    /// # Errors
    /// [`Refused`] if the name is empty or too long, or the tenant is gone.
    pub async fn create_client(
        &self,
        tenant: TenantId,
        name: String,
    ) -> Result<(Client, Token256), TenantsError> {
        if name.is_empty() || name.len() > CLIENT_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Refused::Field {
                field: "name",
                expected: "1 to 128 bytes without control characters",
            }
            .into());
        }
        let secret = Token256::generate(self.random.as_ref());
        let client = Client {
            id: ClientId::generate(self.random.as_ref()),
            tenant,
            name,
            created: self.clock.now(),
        };
        let (new, digest) = (client.clone(), secret.digest());
        self.write(move |c| Box::pin(async move { sql::create_client(c, &new, &digest).await }))
            .await??;
        Ok((client, secret))
    }

    /// A tenant's clients, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn clients(&self, tenant: TenantId) -> Result<Vec<Client>, StoreError> {
        self.store.read(move |c| Box::pin(sql::clients(c, tenant))).await
    }

    /// Deletes a client: its secret is worth nothing from now on.
    ///
    /// # Errors
    /// [`Refused::NotFound`] if there is none.
    pub async fn delete_client(&self, tenant: TenantId, client: ClientId) -> Result<(), TenantsError> {
        Ok(self
            .write(move |c| Box::pin(sql::delete_client(c, tenant, client)))
            .await??)
    }
}

#[cfg(test)]
mod tests;
