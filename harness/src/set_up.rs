//! What an administrator does first, in every world alike: a tenant, its domain, its users, and a client
//! that may sign in for it.

use postern_cloud::admin::Administration;
use postern_cloud::tenants::{NewUser, Tenant, TenantChange, TenantsError};
use postern_directory_mock::DirectoryHandle;
use postern_proto::ids::{ClientId, Malformed, ObjectId, TenantId};
use postern_proto::names::DomainName;
use zeroize::Zeroizing;

/// Users in one call of an import, as administration takes them.
const IMPORT_BATCH: usize = 1000;

/// Why a tenant is not set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The plan has a name that is none.
    #[error("a name is none")]
    Name(#[from] Malformed),
    /// Administration refuses.
    #[error("administration refuses")]
    Refused(#[from] TenantsError),
}

/// A tenant as it was set up.
#[derive(Clone, Debug)]
pub(crate) struct SetUp {
    pub(crate) tenant: Tenant,
    pub(crate) domain: DomainName,
    /// Id and secret of a client that may sign in for it.
    pub(crate) client: (ClientId, Zeroizing<String>),
}

/// Where the other names stand under which users may sign in.
const ALTERNATE_ID: &str = "mail";

/// Creates tenant, domain, users and a client that is called `client`. Everybody in the directory who has a
/// userPrincipalName becomes a user, with the mail address as an alternate id.
///
/// # Errors
/// [`SetUpError`] says what is wrong with the plan.
pub(crate) async fn set_up(
    admin: &Administration,
    name: &str,
    tell_locked: bool,
    directory: &DirectoryHandle,
    client: &str,
) -> Result<SetUp, SetUpError> {
    let tenants = admin.tenants();
    let tenant = tenants.create(name.parse()?, tell_locked).await?;
    let domain = add_directory(admin, tenant.id, directory).await?;
    let (client, secret) = tenants.create_client(tenant.id, client.to_owned()).await?;
    Ok(SetUp {
        tenant,
        domain,
        client: (client.id, Zeroizing::new(secret.plaintext_text().to_string())),
    })
}

/// Gives a tenant the domain of a directory, and its users.
///
/// # Errors
/// [`SetUpError`] says what is wrong with the plan.
pub(crate) async fn add_directory(
    admin: &Administration,
    tenant: TenantId,
    directory: &DirectoryHandle,
) -> Result<DomainName, SetUpError> {
    let tenants = admin.tenants();
    let domain: DomainName = directory.read(|domain| domain.dns_name().parse())?;
    tenants.create_domain(tenant, domain.clone()).await?;
    let users = users(directory)?;
    if users.iter().any(|user| user.alternate_id.is_some()) {
        let change = TenantChange {
            alternate_id_attribute: Some(Some(ALTERNATE_ID.parse()?)),
            ..TenantChange::default()
        };
        tenants.update(tenant, change).await?;
    }
    for batch in users.chunks(IMPORT_BATCH) {
        tenants.import(tenant, batch.to_vec()).await?;
    }
    Ok(domain)
}

fn users(directory: &DirectoryHandle) -> Result<Vec<NewUser>, Malformed> {
    directory.read(|domain| {
        domain
            .accounts()
            .filter_map(|account| account.upn.as_ref().map(|upn| (account, upn)))
            .map(|(account, upn)| {
                let other = account.extra.get(ALTERNATE_ID).and_then(|values| values.first());
                let other = other.and_then(|value| std::str::from_utf8(value).ok());
                Ok(NewUser {
                    username: upn.parse()?,
                    alternate_id: other.map(str::parse).transpose()?,
                    object: ObjectId::from_bytes(account.guid.into_bytes()),
                    on_premises_name: upn.parse()?,
                    domain: domain.dns_name().parse()?,
                })
            })
            .collect()
    })
}
