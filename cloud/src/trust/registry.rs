//! Which agents there are, and which of them count now: TLS judges a certificate at the handshake only, and a
//! stream may live for months.

use std::time::Duration;

use postern_kit::clock::Timestamp;
use postern_kit::tls::Certificate;
use postern_kit::{digest, keys};
use postern_proto::certificate::{self, Role};
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::names::DomainName;

use super::{STATED_BYTES_MAX, Trust, pki, sql};
use crate::store::StoreError;

/// How long before its end a certificate is warned of.
const WARNED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Longest name for an agent, in bytes: a column of a table.
const AGENT_NAME_BYTES_MAX: usize = 64;

/// An agent as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRegistration {
    /// The agent.
    pub agent: AgentId,
    /// Whose agent.
    pub tenant: TenantId,
    /// What it serves: what it was enrolled for and what is still the tenant's.
    pub domains: Vec<DomainName>,
    /// What the operating system calls its host.
    pub host_name: String,
    /// The key of its certificate.
    pub key: [u8; 32],
    /// An administrator lets nothing new go to it.
    pub drained: bool,
}

/// Why a certificate does not make its owner an agent now.
#[derive(Debug, thiserror::Error)]
pub enum AgentRefused {
    /// The certificate is no agent's.
    #[error("certificate is not an agent's")]
    NotAnAgent,
    /// It is not valid at this time.
    #[error("certificate is not valid now")]
    NotValidNow,
    /// No such agent is registered; it may have been deleted.
    #[error("agent is not registered")]
    NotRegistered,
    /// An administrator revoked it.
    #[error("agent was revoked at {0}")]
    Revoked(Timestamp),
    /// The agent is registered with another key or tenant.
    #[error("agent is registered with another key or tenant")]
    OtherKey,
    /// It is not known.
    #[error("registry does not answer")]
    Store(#[from] StoreError),
}

/// An agent as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// What the registry has.
    pub registration: AgentRegistration,
    /// What it last said that it runs.
    pub version: String,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// When its certificate ends.
    pub expires: Timestamp,
    /// When it was revoked; `None` while it counts.
    pub revoked: Option<Timestamp>,
    /// What people call it; empty: as its host.
    pub name: String,
    /// When it last attached or was heard of.
    pub last_seen: Option<Timestamp>,
    /// SHA-256 of its certificate's public key (SPKI).
    pub fingerprint: [u8; 32],
}

/// Why nothing was done about an agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The tenant has no such agent.
    #[error("id: not found")]
    NotFound,
    /// What counts cannot be deleted.
    #[error("id: the agent is not revoked; `agent revoke` it first")]
    NotRevoked,
    /// The name is too long or has control characters.
    #[error("name: expected at most 64 bytes without control characters")]
    Name,
    /// The store is at fault.
    #[error("store does not answer")]
    Store(#[from] StoreError),
}

impl Trust {
    /// The time by which registrations are judged.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What ends within a month: this replica's certificate, and agents' by tenant. For the log, since nothing
    /// renews them by itself yet.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn warn_of_ends(&self) -> Result<(), StoreError> {
        let soon = self.0.clock.now().plus(WARNED_BEFORE);
        if self.0.replica_ends <= soon {
            tracing::warn!(ends = %self.0.replica_ends, "this process's certificate ends soon: restart it");
        }
        let ending = self.0.store.read(move |c| Box::pin(sql::ending(c, soon))).await?;
        for (agent, ends) in ending {
            tracing::warn!(%agent, %ends, "an agent's certificate ends soon: enrol it again");
        }
        Ok(())
    }

    /// Asks the registry whose certificate this is, now.
    ///
    /// # Errors
    /// [`AgentRefused`] unless it is a registered agent's, with the registered key, and valid.
    pub async fn agent(&self, certificate: &Certificate) -> Result<AgentRegistration, AgentRefused> {
        let Ok(Role::Agent {
            tenant,
            agent,
            domains,
        }) = certificate::role(certificate)
        else {
            return Err(AgentRefused::NotAnAgent);
        };
        let key = keys::certificate_key(certificate).ok_or(AgentRefused::NotAnAgent)?;
        let valid = pki::validity(certificate).ok_or(AgentRefused::NotAnAgent)?;
        if !valid.contains(&self.0.clock.now()) {
            return Err(AgentRefused::NotValidNow);
        }
        let found = self.0.store.read(move |c| Box::pin(sql::agent(c, agent))).await?;
        let found = found.ok_or(AgentRefused::NotRegistered)?;
        let mut registration = found.registration;
        if registration.tenant != tenant || !digest::equal(&registration.key, &key) {
            return Err(AgentRefused::OtherKey);
        }
        if let Some(at) = found.revoked {
            return Err(AgentRefused::Revoked(at));
        }
        registration.domains.retain(|domain| domains.contains(domain));
        Ok(registration)
    }

    /// Writes down that an agent was there, and what it runs.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn seen(&self, agent: AgentId, version: &str, at: Timestamp) -> Result<(), StoreError> {
        let version: String = version
            .chars()
            .filter(|c| !c.is_control())
            .take(STATED_BYTES_MAX / 4)
            .collect();
        self.0
            .store
            .transact(move |c| Box::pin(sql::seen(c, agent, version, at)))
            .await
    }

    /// A tenant's agents, by host name.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn agents(&self, tenant: TenantId) -> Result<Vec<AgentRecord>, StoreError> {
        self.0.store.read(move |c| Box::pin(sql::agents(c, tenant))).await
    }

    /// Writes down that nothing new is to go to an agent, or that it may again. `false`: the tenant has
    /// no such agent.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn set_drained(
        &self,
        tenant: TenantId,
        agent: AgentId,
        drained: bool,
    ) -> Result<bool, StoreError> {
        self.0
            .store
            .transact(move |c| Box::pin(sql::set_drained(c, tenant, agent, drained)))
            .await
    }

    /// Writes down that an agent counts no more, for good: it has to be enrolled anew, with another token and key.
    ///
    /// # Errors
    /// [`AgentError::NotFound`] if the tenant has no such agent.
    pub async fn revoke(&self, tenant: TenantId, agent: AgentId) -> Result<(), AgentError> {
        let now = self.0.clock.now();
        let revoked = self
            .0
            .store
            .transact(move |c| Box::pin(sql::revoke(c, tenant, agent, now)));
        if revoked.await? {
            tracing::warn!(%agent, %tenant, "agent revoked");
            Ok(())
        } else {
            Err(AgentError::NotFound)
        }
    }

    /// Gives an agent a name for people; empty: it is called as its host again.
    ///
    /// # Errors
    /// [`AgentError`] if the name cannot be, or the tenant has no such agent.
    pub async fn rename(&self, tenant: TenantId, agent: AgentId, name: &str) -> Result<(), AgentError> {
        let name = name.trim().to_owned();
        if name.len() > AGENT_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(AgentError::Name);
        }
        let renamed = self
            .0
            .store
            .transact(move |c| Box::pin(async move { sql::rename(c, tenant, agent, &name).await }));
        if renamed.await? {
            Ok(())
        } else {
            Err(AgentError::NotFound)
        }
    }

    /// Takes a revoked agent off the list, with the token that made it.
    ///
    /// # Errors
    /// [`AgentError`] unless the tenant has it and it was revoked before.
    pub async fn delete_agent(&self, tenant: TenantId, agent: AgentId) -> Result<(), AgentError> {
        let deleted = self.0.store.transact(move |c| {
            Box::pin(async move {
                let found = sql::agent(c, agent).await?;
                let Some(found) = found.filter(|found| found.registration.tenant == tenant) else {
                    return Ok(Err(AgentError::NotFound));
                };
                if found.revoked.is_none() {
                    return Ok(Err(AgentError::NotRevoked));
                }
                sql::delete(c, agent).await?;
                Ok(Ok(()))
            })
        });
        deleted.await??;
        tracing::info!(%agent, %tenant, "revoked agent deleted");
        Ok(())
    }
}
