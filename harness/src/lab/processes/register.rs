//! What an administrator does first for a tenant, over the cloud's socket.

use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_client::AdminClient;
use tonic::transport::Channel;

/// Users in one call of an import, as administration takes them.
const IMPORT_BATCH: usize = 1000;

/// A tenant that is to be.
#[derive(Debug)]
pub(crate) struct NewTenant<'a> {
    /// Its short name.
    pub(crate) name: &'a str,
    /// Its domain.
    pub(crate) domain: &'a str,
    /// Whether its users are told that the directory has locked them.
    pub(crate) tell_locked: bool,
    /// Its users.
    pub(crate) users: Vec<wire::NewUser>,
}

/// A tenant that is registered.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    /// Its id.
    pub(crate) id: String,
    /// Id and secret of a client that may sign in for it.
    pub(crate) client: (String, String),
}

/// Creates tenant, domain, users and a client.
///
/// # Errors
/// Administration refuses.
pub(crate) async fn register(
    admin: &mut AdminClient<Channel>,
    new: NewTenant<'_>,
) -> Result<Registered, tonic::Status> {
    let tenant = || new.name.to_owned();
    let request = wire::CreateTenantRequest {
        name: tenant(),
        tell_locked: new.tell_locked,
    };
    let id = admin.create_tenant(request).await?.into_inner().id;
    let request = wire::CreateDomainRequest {
        tenant: tenant(),
        name: new.domain.to_owned(),
    };
    admin.create_domain(request).await?;
    for batch in new.users.chunks(IMPORT_BATCH) {
        let request = wire::ImportUsersRequest {
            tenant: tenant(),
            users: batch.to_vec(),
        };
        admin.import_users(request).await?;
    }
    let request = wire::CreateClientRequest {
        tenant: tenant(),
        name: "lab".to_owned(),
    };
    let made = admin.create_client(request).await?.into_inner();
    let client = made.client.unwrap_or_default();
    Ok(Registered {
        id,
        client: (client.id, made.secret),
    })
}
