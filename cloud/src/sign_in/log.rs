//! The sign-in log: one record for each sign-in that was answered, on disk before the answer.
//!
//! No password and no token is in it, and no name that means nobody here: people type passwords
//! into the wrong field, so of such a name only the domain is kept, and that only if it is the tenant's.

use std::net::IpAddr;
use std::time::Duration;

use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, ClientId, RequestId, TenantId, UserId};
use postern_proto::names::{TenantName, Username};

use super::{Outcome, sql};
use crate::store::{Store, StoreError};

/// A sign-in as it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id, which programmes are told.
    pub request: RequestId,
    /// When it was received.
    pub at: Timestamp,
    /// The tenant that was addressed; `None` if there is none of that name.
    pub tenant: Option<TenantId>,
    /// The name under which it was addressed.
    pub tenant_name: TenantName,
    /// The user record; `None` for a name that nobody has.
    pub user: Option<UserId>,
    /// The user's name; of a name that nobody has only `@` and the domain, if it is the tenant's.
    pub username: String,
    /// The outcome's name.
    pub outcome: String,
    /// Its number, which may say more than what the user was told.
    pub code: u32,
    /// `page` or `rpc`.
    pub channel: String,
    /// Where the caller connected from.
    pub source: IpAddr,
    /// The client that called, if it was one.
    pub client: Option<ClientId>,
    /// From receipt until the outcome stood. (A refusal leaves later, at the floor.)
    pub total: Duration,
    /// All agents that were given it, in order.
    pub attempts: Vec<AttemptRecord>,
}

/// One agent that was given a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The agent.
    pub agent: AgentId,
    /// The domain controller that it asked; empty if none.
    pub controller: String,
    /// The verdict's name.
    pub verdict: String,
    /// Its reason's name, if it has one; else empty.
    pub reason: String,
    /// From when the request was written until the verdict was there.
    pub total: Duration,
    /// In the agent, until the bind was sent.
    pub wait: Duration,
    /// In the directory, until its answer.
    pub bind: Duration,
    /// LDAP result code, 0 if there was none.
    pub ldap_result: u32,
    /// Active Directory's sub-code, 0 if there was none.
    pub sub_code: u32,
}

impl Record {
    /// The sign-in was answered "unavailable", whatever came of it.
    pub(super) fn is_unavailable(&mut self) {
        self.outcome = Outcome::Unavailable.name().to_owned();
        self.code = Outcome::Unavailable.code();
    }
}

/// The log as administrators read it. Clones share it.
#[derive(Clone, Debug)]
pub struct SignInLog(Store);

impl SignInLog {
    /// Over `store`.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Up to `limit` records, newest first: of a tenant or of all, of one of its users or of all.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn list(
        &self,
        tenant: Option<TenantId>,
        username: Option<Username>,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        self.0
            .read(move |c| Box::pin(async move { sql::list(c, tenant, username, limit).await }))
            .await
    }

    /// Up to `limit` sign-ins of a tenant since `since` that succeeded because this agent said so, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn vouched_for(
        &self,
        tenant: TenantId,
        agent: AgentId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        self.0
            .read(move |c| Box::pin(sql::vouched_for(c, tenant, agent, since, limit)))
            .await
    }

    /// Removes up to `limit` records that are older than `before`. How many it removed.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn purge(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.0
            .transact(move |c| Box::pin(sql::purge(c, before, limit)))
            .await
    }
}
