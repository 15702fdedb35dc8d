//! What can be done about agents.

use std::time::Duration;

use clap::Subcommand;
use postern_proto::wire::admin as wire;

use super::output::WholeAgent;
use super::{Done, InTenant, PAGE, Session};

#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Lists a tenant's agents.
    List(InTenant),
    /// Shows one agent with everything that is known of it.
    Show {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
    /// Gives an agent a name for people.
    Rename {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
        /// Its new name, up to 64 bytes; an empty one takes the name away.
        name: String,
    },
    /// Lets nothing new go to an agent, so that it can be stopped without anybody noticing; what it
    /// has is finished. Stands until `resume`.
    Drain {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
    /// Takes a drain back.
    Resume {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
    /// Ends an agent, at once and for good: for one that is stolen, lost or no longer trusted. `impact` says what it
    /// vouched for.
    Revoke {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
    /// Takes a revoked agent off the list.
    Delete {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
    /// Lists the sign-ins that succeeded because an agent said so, newest first.
    Impact {
        #[command(flatten)]
        of: InTenant,
        /// Its id; also of one that was deleted.
        id: String,
        /// Of so long ago, such as 2days or 6h.
        #[arg(long, value_parser = humantime::parse_duration)]
        since: Duration,
        /// At most so many, 1 to 1,000.
        #[arg(long, default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE)))]
        limit: u32,
    },
}

/// The agent that a command is about.
fn which(of: InTenant, id: String) -> wire::AgentRequest {
    wire::AgentRequest {
        tenant: of.tenant,
        id,
    }
}

impl Session<'_> {
    pub(super) async fn agent(&mut self, command: AgentCommand) -> Done {
        let agent = match command {
            AgentCommand::List(of) => return self.agents(of).await,
            AgentCommand::Show { of, id } => return self.show_agent(which(of, id)).await,
            AgentCommand::Impact { of, id, since, limit } => {
                return self.impact(which(of, id), since, limit).await;
            }
            AgentCommand::Delete { of, id } => {
                self.client.delete_agent(which(of, id.clone())).await?;
                return Ok(self.out.deleted("agent", &id)?);
            }
            AgentCommand::Rename { of, id, name } => {
                let tenant = of.tenant;
                let request = wire::RenameAgentRequest { tenant, id, name };
                self.client.rename_agent(request).await?
            }
            AgentCommand::Drain { of, id } => self.client.drain_agent(which(of, id)).await?,
            AgentCommand::Resume { of, id } => self.client.resume_agent(which(of, id)).await?,
            AgentCommand::Revoke { of, id } => self.client.revoke_agent(which(of, id)).await?,
        };
        Ok(self.out.one(&agent.into_inner())?)
    }

    async fn all_agents(&mut self, tenant: String) -> Result<Vec<wire::Agent>, super::AdminError> {
        let all = self
            .client
            .list_agents(wire::ListAgentsRequest { tenant })
            .await?;
        Ok(all.into_inner().agents)
    }

    async fn agents(&mut self, InTenant { tenant }: InTenant) -> Done {
        let all = self.all_agents(tenant).await?;
        Ok(self.out.all(&all)?)
    }

    async fn show_agent(&mut self, wire::AgentRequest { tenant, id }: wire::AgentRequest) -> Done {
        let all = self.all_agents(tenant).await?;
        let found = all.into_iter().find(|agent| agent.id == id);
        let found = found.ok_or_else(|| super::AdminError::Refused("id: not found".to_owned()))?;
        Ok(self.out.one(&WholeAgent(found))?)
    }

    async fn impact(&mut self, agent: wire::AgentRequest, since: Duration, limit: u32) -> Done {
        let request = wire::ListImpactRequest {
            tenant: agent.tenant,
            agent_id: agent.id,
            age_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            limit,
        };
        let all = self.client.list_impact(request).await?;
        Ok(self.out.all(&all.into_inner().records)?)
    }
}
