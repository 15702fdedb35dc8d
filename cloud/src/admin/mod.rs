//! Administration: as a library, by RPC over a Unix socket, and on the command line.
//!
//! [`Administration`] is the library face: the rooms that hold what is administered, and the two
//! lists that need several of them. The socket is outside the network seam; the lab and the
//! simulation use the library.

mod cli;
mod rpc;
pub mod socket;

use postern_proto::ids::TenantId;

use crate::dispatch::{AgentPresence, Dispatch};
use crate::sign_in::SignInLog;
use crate::store::StoreError;
use crate::tenants::Tenants;
use crate::trust::{AgentRecord, Trust};

pub use cli::{AdminArgs, run};
pub use rpc::AdminService;

/// Everything that an administrator can do. Clones share it.
#[derive(Clone, Debug)]
pub struct Administration {
    tenants: Tenants,
    trust: Trust,
    dispatch: Dispatch,
    sign_ins: SignInLog,
}

impl Administration {
    /// Over the rooms that hold what is administered.
    pub fn new(tenants: Tenants, trust: Trust, dispatch: Dispatch, sign_ins: SignInLog) -> Self {
        Self {
            tenants,
            trust,
            dispatch,
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
                let presence = self.dispatch.connected(record.registration.agent);
                (record, presence)
            })
            .collect())
    }

    /// The sign-in log.
    pub fn sign_ins(&self) -> &SignInLog {
        &self.sign_ins
    }
}
