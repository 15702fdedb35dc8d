//! Administration: as a library, by RPC over a Unix socket, and on the command line.
//!
//! [`Administration`] is the library face: the rooms that hold what is administered, and the two
//! lists that need several of them. The socket is outside the network seam; the lab and the
//! simulation use the library.

mod cli;
mod rpc;
mod shapes;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use postern_kit::clock::Timestamp;
use postern_kit::traffic::{Counts, Traffic};
use postern_proto::ids::{AgentId, ReplicaId, TenantId};

use crate::dispatch::{AgentPresence, Dispatch};
use crate::sign_in::{Load, Record, SignIn, SignInLog};
use crate::store::StoreError;
use crate::tenants::Tenants;
use crate::trust::{AgentError, AgentRecord, Trust};

pub use cli::{AdminArgs, AdminError, run};
pub use rpc::AdminService;

/// Everything that an administrator can do. Clones share it.
#[derive(Clone, Debug)]
pub struct Administration {
    tenants: Tenants,
    trust: Trust,
    dispatch: Dispatch,
    sign_ins: SignInLog,
    running: Running,
}

/// What shows how a replica is doing.
#[derive(Clone, Debug)]
pub struct Running {
    /// Since when it runs.
    pub since: Timestamp,
    /// Its sign-ins.
    pub sign_in: SignIn,
    /// Its listeners.
    pub traffic: Vec<Arc<Traffic>>,
}

/// How a replica is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// Which replica.
    pub replica: ReplicaId,
    /// Since when it runs.
    pub since: Timestamp,
    /// How much it has to do.
    pub load: Load,
    /// What came to each of its listeners.
    pub listeners: Vec<(&'static str, Counts)>,
}

impl Administration {
    /// Over the rooms that hold what is administered.
    pub fn new(
        tenants: Tenants,
        trust: Trust,
        dispatch: Dispatch,
        sign_ins: SignInLog,
        running: Running,
    ) -> Self {
        Self {
            tenants,
            trust,
            dispatch,
            sign_ins,
            running,
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
                let presence = self.dispatch.connected(record.registration.agent);
                (record, presence)
            })
            .collect())
    }

    /// Lets nothing new go to an agent, or lets it again; what it has is finished. Stands until it is
    /// taken back, also after restarts. The agent, unless the tenant has none of that id.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn set_drained(
        &self,
        tenant: TenantId,
        agent: AgentId,
        drained: bool,
    ) -> Result<Option<(AgentRecord, Option<AgentPresence>)>, StoreError> {
        if !self.trust.set_drained(tenant, agent, drained).await? {
            return Ok(None);
        }
        self.dispatch.set_drained(agent, drained).await;
        // A look at the registry that began before may still bring what was so then.
        self.dispatch.check_registrations();
        self.agent(tenant, agent).await
    }

    /// One of a tenant's agents.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
    ) -> Result<Option<(AgentRecord, Option<AgentPresence>)>, StoreError> {
        let all = self.agents(tenant).await?;
        Ok(all
            .into_iter()
            .find(|(record, _)| record.registration.agent == agent))
    }

    /// Revokes an agent, for good. Once this returns nothing is sealed to it, its stream is cut, and what it says
    /// about what it had counts for nothing; that goes on to another agent as when one is lost.
    ///
    /// # Errors
    /// [`AgentError`] if the tenant has no such agent.
    ///
    /// # Cancellation
    /// Revoked or not; if it is, its stream is cut within 30 s at the latest.
    pub async fn revoke(&self, tenant: TenantId, agent: AgentId) -> Result<(), AgentError> {
        self.trust.revoke(tenant, agent).await?;
        self.dispatch.revoke(agent).await;
        Ok(())
    }

    /// Up to `limit` sign-ins of the last `age` that succeeded because an agent said so, newest first: what is to be
    /// looked at if it cannot be trusted. Also of an agent that was deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn vouched_for(
        &self,
        tenant: TenantId,
        agent: AgentId,
        age: Duration,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let since = self.trust.now().minus(age);
        self.sign_ins.vouched_for(tenant, agent, since, limit).await
    }

    /// How this replica is doing.
    pub fn status(&self) -> Status {
        let Running {
            since,
            sign_in,
            traffic,
        } = &self.running;
        Status {
            replica: self.trust.replica().id,
            since: *since,
            load: sign_in.load(),
            listeners: traffic
                .iter()
                .map(|traffic| (traffic.listener(), traffic.counts()))
                .collect(),
        }
    }

    /// The sign-in log.
    pub fn sign_ins(&self) -> &SignInLog {
        &self.sign_ins
    }
}
