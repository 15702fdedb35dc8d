//! Administration: as a library, by RPC over a Unix socket, and on the command line.
//!
//! [`Administration`] is the library face: the rooms that hold what is administered, and the two
//! lists that need several of them. The socket is outside the network seam; the lab and the
//! simulation use the library.

mod rpc;
pub mod socket;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::names::Username;
use postern_proto::wire::admin::SignInRecord;

use crate::dispatch::{AgentPresence, Dispatch};
use crate::store::StoreError;
use crate::tenants::{Tenant, Tenants};
use crate::trust::{AgentRecord, Trust};

pub use rpc::AdminService;

/// Who is attached now.
pub trait Presence: fmt::Debug + Send + Sync {
    /// The agent's stream, if it is attached to this replica.
    fn connected(&self, agent: AgentId) -> Option<AgentPresence>;
}

impl Presence for Dispatch {
    fn connected(&self, agent: AgentId) -> Option<AgentPresence> {
        Self::connected(self, agent)
    }
}

/// The sign-in log.
#[async_trait]
pub trait SignIns: fmt::Debug + Send + Sync {
    /// A tenant's newest records, of one user or of all.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    async fn list(
        &self,
        tenant: &Tenant,
        username: Option<Username>,
        limit: u32,
    ) -> Result<Vec<SignInRecord>, StoreError>;
}

/// Everything that an administrator can do. Clones share it.
#[derive(Clone, Debug)]
pub struct Administration {
    tenants: Tenants,
    trust: Trust,
    presence: Arc<dyn Presence>,
    sign_ins: Arc<dyn SignIns>,
}

impl Administration {
    /// Over the rooms that hold what is administered.
    pub fn new(
        tenants: Tenants,
        trust: Trust,
        presence: Arc<dyn Presence>,
        sign_ins: Arc<dyn SignIns>,
    ) -> Self {
        Self {
            tenants,
            trust,
            presence,
            sign_ins,
        }
    }

    /// Tenants, domains, users, clients.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Enrolment tokens, and the root that agents trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A tenant's agents and, of those that are attached, their streams.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn agents(
        &self,
        tenant: TenantId,
    ) -> Result<Vec<(AgentRecord, Option<AgentPresence>)>, StoreError> {
        let records = self.trust.agents(tenant).await?;
        Ok(records
            .into_iter()
            .map(|record| {
                let presence = self.presence.connected(record.registration.agent);
                (record, presence)
            })
            .collect())
    }

    /// A tenant's newest sign-ins, of one user or of all.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn sign_ins(
        &self,
        tenant: &Tenant,
        username: Option<Username>,
        limit: u32,
    ) -> Result<Vec<SignInRecord>, StoreError> {
        self.sign_ins.list(tenant, username, limit).await
    }
}
