//! Administration in the simulation: jobs that run on the cloud's host over its library face, and
//! what an administrator does first.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use postern_cloud::admin::Administration;
use postern_cloud::store::StoreError;
use postern_cloud::tenants::{NewUser, TenantsError};
use postern_directory_mock::DirectoryHandle;
use postern_kit::telemetry::chain;
use postern_proto::ids::{Malformed, ObjectId, TenantId};
use postern_proto::names::DomainName;
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// Users in one call of an import, as administration takes them.
const IMPORT_BATCH: usize = 1000;

/// What an administrator does on a running cloud.
pub(super) type Job = Box<dyn FnOnce(Administration) -> LocalBoxFuture<'static, ()>>;

/// Jobs that wait for a running cloud. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Jobs {
    queue: Rc<RefCell<VecDeque<Job>>>,
    came: Rc<Notify>,
}

impl Jobs {
    pub(super) fn put(&self, job: Job) {
        self.queue.borrow_mut().push_back(job);
        self.came.notify_one();
    }

    /// Runs one after the other, for as long as the cloud runs.
    pub(super) async fn run(&self, admin: Administration) {
        loop {
            let job = self.queue.borrow_mut().pop_front();
            match job {
                Some(job) => job(admin.clone()).await,
                None => self.came.notified().await,
            }
        }
    }
}

/// A tenant before it is set up.
pub(super) struct ToSetUp {
    pub(super) name: Arc<str>,
    pub(super) tell_locked: bool,
    pub(super) directory: DirectoryHandle,
}

/// A tenant as it was set up.
#[derive(Clone, Debug)]
pub(super) struct SetUp {
    pub(super) id: TenantId,
    pub(super) domain: DomainName,
    /// Of a client that may sign in for it.
    pub(super) client: String,
    pub(super) secret: Zeroizing<String>,
}

/// All tenants, by their short names.
pub(super) type SetUps = BTreeMap<Arc<str>, SetUp>;

#[derive(Debug, thiserror::Error)]
enum NotSetUp {
    #[error("a name is none")]
    Name(#[from] Malformed),
    #[error("administration refuses")]
    Refused(#[from] TenantsError),
}

/// Creates tenants, domains, users and clients.
///
/// # Errors
/// What is wrong with the plan, with the tenant's name.
pub(super) async fn set_up(admin: &Administration, plans: &[ToSetUp]) -> Result<SetUps, String> {
    let mut done = BTreeMap::new();
    for plan in plans {
        let tenant = one(admin, plan).await;
        let tenant = tenant.map_err(|error| format!("tenant {}: {}", plan.name, chain(&error)))?;
        done.insert(plan.name.clone(), tenant);
    }
    Ok(done)
}

async fn one(admin: &Administration, plan: &ToSetUp) -> Result<SetUp, NotSetUp> {
    let tenants = admin.tenants();
    let tenant = tenants.create(plan.name.parse()?, plan.tell_locked).await?;
    let domain: DomainName = plan.directory.read(|domain| domain.dns_name().parse())?;
    tenants.create_domain(tenant.id, domain.clone()).await?;
    for batch in users(&plan.directory)?.chunks(IMPORT_BATCH) {
        tenants.import(tenant.id, batch.to_vec()).await?;
    }
    let (client, secret) = tenants.create_client(tenant.id, "simulation".to_owned()).await?;
    Ok(SetUp {
        id: tenant.id,
        domain,
        client: client.id.to_string(),
        secret: Zeroizing::new(secret.plaintext_text().to_string()),
    })
}

/// Everybody in the directory who has a userPrincipalName.
fn users(directory: &DirectoryHandle) -> Result<Vec<NewUser>, Malformed> {
    directory.read(|domain| {
        domain
            .accounts()
            .filter_map(|account| account.upn.as_ref().map(|upn| (account.guid, upn)))
            .map(|(guid, upn)| {
                Ok(NewUser {
                    username: upn.parse()?,
                    object: ObjectId::from_bytes(guid.into_bytes()),
                    on_premises_name: upn.parse()?,
                    domain: domain.dns_name().parse()?,
                })
            })
            .collect()
    })
}

/// What may be asked of a store that does not answer.
pub(super) fn not_answered(error: &StoreError) -> String {
    format!("the cloud's store: {}", chain(error))
}
