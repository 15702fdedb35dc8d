//! Administration in the simulation: jobs that run on the cloud's host over its library face, and
//! what an administrator does first.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use postern_cloud::admin::Administration;
use postern_cloud::store::StoreError;
use postern_directory_mock::DirectoryHandle;
use postern_kit::telemetry::chain;
use tokio::sync::Notify;

use crate::set_up::{self, SetUp};

/// What the clients' programmes are called.
const CLIENT: &str = "simulation";

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

/// All tenants, by their short names.
pub(super) type SetUps = BTreeMap<Arc<str>, SetUp>;

/// Creates tenants, domains, users and clients.
///
/// # Errors
/// What is wrong with the plan, with the tenant's name.
pub(super) async fn set_up(admin: &Administration, plans: &[ToSetUp]) -> Result<SetUps, String> {
    let mut done = BTreeMap::new();
    for plan in plans {
        let made = set_up::set_up(admin, &plan.name, plan.tell_locked, &plan.directory, CLIENT);
        let tenant = made.await;
        let tenant = tenant.map_err(|error| format!("tenant {}: {}", plan.name, chain(&error)))?;
        done.insert(plan.name.clone(), tenant);
    }
    Ok(done)
}

/// What may be asked of a store that does not answer.
pub(super) fn not_answered(error: &StoreError) -> String {
    format!("the cloud's store: {}", chain(error))
}
