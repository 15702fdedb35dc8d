//! The `Admin` service: wire types to ours and back, nothing else.

use std::str::FromStr;
use std::time::Duration;

use postern_kit::telemetry;
use postern_proto::ids::{AgentId, Malformed};
use postern_proto::names::{DomainName, TenantName, Username};
use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_server::Admin;
use tonic::{Request, Response, Status};

use super::Administration;
use super::shapes::{
    agent_wire, client_wire, domain_wire, sign_in_wire, status_wire, tenant_wire, token_wire, user_wire,
};
use crate::store::StoreError;
use crate::tenants::{NewUser, Refused, Tenant, TenantChange, TenantsError};
use crate::trust::{AgentError, TokenError};

/// Most entries that one answer lists.
const PAGE_MAX: u32 = 1000;

/// In the metadata of a refused import: which record it was, from 0.
pub(super) const RECORD_METADATA: &str = "postern-record";

/// Serves administration by RPC.
#[derive(Clone, Debug)]
pub struct AdminService(Administration);

impl AdminService {
    /// Over `administration`.
    pub fn new(administration: Administration) -> Self {
        Self(administration)
    }

    async fn tenant(&self, name: &str) -> Result<Tenant, Status> {
        let name: TenantName = parse(name)?;
        let found = self
            .0
            .tenants
            .by_name(&name)
            .await
            .map_err(|error| store(&error))?;
        found.ok_or_else(|| Status::not_found("tenant: not found"))
    }
}

impl AdminService {
    async fn set_drained(&self, request: wire::AgentRequest, drained: bool) -> Answer<wire::Agent> {
        let tenant = self.tenant(&request.tenant).await?;
        let id = parse(&request.id)?;
        let found = self.0.set_drained(tenant.id, id, drained).await;
        let (agent, presence) = found
            .map_err(|error| store(&error))?
            .ok_or_else(|| Status::not_found("id: not found"))?;
        Ok(Response::new(agent_wire(&tenant, agent, presence)))
    }

    async fn agent(&self, tenant: &Tenant, id: AgentId) -> Answer<wire::Agent> {
        let found = self.0.agent(tenant.id, id).await;
        let (agent, presence) = found
            .map_err(|error| store(&error))?
            .ok_or_else(|| Status::not_found("id: not found"))?;
        Ok(Response::new(agent_wire(tenant, agent, presence)))
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn deleted() -> Answer<wire::Deleted> {
    Ok(Response::new(wire::Deleted {}))
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn create_tenant(&self, request: Request<wire::CreateTenantRequest>) -> Answer<wire::Tenant> {
        let request = request.into_inner();
        let made = self
            .0
            .tenants
            .create(parse(&request.name)?, request.tell_locked)
            .await
            .map_err(|error| tenants(&error))?;
        Ok(Response::new(tenant_wire(&made)))
    }

    async fn list_tenants(
        &self,
        _request: Request<wire::ListTenantsRequest>,
    ) -> Answer<wire::ListTenantsResponse> {
        let all = self.0.tenants.list().await.map_err(|error| store(&error))?;
        let tenants = all.iter().map(tenant_wire).collect();
        Ok(Response::new(wire::ListTenantsResponse { tenants }))
    }

    async fn delete_tenant(&self, request: Request<wire::DeleteTenantRequest>) -> Answer<wire::Deleted> {
        let tenant = self.tenant(&request.into_inner().tenant).await?;
        self.0
            .tenants
            .delete(tenant.id)
            .await
            .map_err(|error| tenants(&error))?;
        self.0.dispatch.check_registrations();
        deleted()
    }

    async fn update_tenant(&self, request: Request<wire::UpdateTenantRequest>) -> Answer<wire::Tenant> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let attribute = request.alternate_id_attribute;
        let change = TenantChange {
            tell_locked: request.tell_locked,
            alternate_id_attribute: attribute.map(|name| optional(&name)).transpose()?,
        };
        let changed = self.0.tenants.update(tenant.id, change).await;
        let changed = changed.map_err(|error| tenants(&error))?;
        Ok(Response::new(tenant_wire(&changed)))
    }

    async fn create_domain(&self, request: Request<wire::CreateDomainRequest>) -> Answer<wire::Domain> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let domain: DomainName = parse(&request.name)?;
        let answer = domain_wire(&tenant, &domain);
        self.0
            .tenants
            .create_domain(tenant.id, domain)
            .await
            .map_err(|error| tenants(&error))?;
        Ok(Response::new(answer))
    }

    async fn list_domains(
        &self,
        request: Request<wire::ListDomainsRequest>,
    ) -> Answer<wire::ListDomainsResponse> {
        let tenant = self.tenant(&request.into_inner().tenant).await?;
        let all = self
            .0
            .tenants
            .domains(tenant.id)
            .await
            .map_err(|error| store(&error))?;
        let domains = all.iter().map(|domain| domain_wire(&tenant, domain)).collect();
        Ok(Response::new(wire::ListDomainsResponse { domains }))
    }

    async fn delete_domain(&self, request: Request<wire::DeleteDomainRequest>) -> Answer<wire::Deleted> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        self.0
            .tenants
            .delete_domain(tenant.id, parse(&request.name)?)
            .await
            .map_err(|error| tenants(&error))?;
        self.0.dispatch.check_registrations();
        deleted()
    }

    async fn create_user(&self, request: Request<wire::CreateUserRequest>) -> Answer<wire::User> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let user = new_user(&request.user.unwrap_or_default()).map_err(|error| malformed(&error))?;
        let made = self
            .0
            .tenants
            .create_user(tenant.id, user)
            .await
            .map_err(|error| tenants(&error))?;
        Ok(Response::new(user_wire(&tenant, &made)))
    }

    async fn import_users(
        &self,
        request: Request<wire::ImportUsersRequest>,
    ) -> Answer<wire::ImportUsersResponse> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let mut users = Vec::with_capacity(request.users.len());
        for (at, user) in request.users.iter().enumerate() {
            users.push(new_user(user).map_err(|error| at_record(malformed(&error), at))?);
        }
        let imported = self
            .0
            .tenants
            .import(tenant.id, users)
            .await
            .map_err(|error| match &error {
                TenantsError::Refused(Refused::Import(refused)) => at_record(
                    Status::invalid_argument(format!("{}: {}", refused.field, refused.problem)),
                    refused.at,
                ),
                _ => tenants(&error),
            })?;
        Ok(Response::new(wire::ImportUsersResponse {
            created: imported.created,
            updated: imported.updated,
        }))
    }

    async fn list_users(&self, request: Request<wire::ListUsersRequest>) -> Answer<wire::ListUsersResponse> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let after = optional::<Username>(&request.after)?;
        let limit = limit(request.limit)?;
        let all = self
            .0
            .tenants
            .users(tenant.id, after, limit)
            .await
            .map_err(|error| store(&error))?;
        let users = all.iter().map(|user| user_wire(&tenant, user)).collect();
        Ok(Response::new(wire::ListUsersResponse { users }))
    }

    async fn delete_user(&self, request: Request<wire::DeleteUserRequest>) -> Answer<wire::Deleted> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        self.0
            .tenants
            .delete_user(tenant.id, parse(&request.username)?)
            .await
            .map_err(|error| tenants(&error))?;
        deleted()
    }

    async fn create_client(
        &self,
        request: Request<wire::CreateClientRequest>,
    ) -> Answer<wire::CreateClientResponse> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let (client, secret) = self
            .0
            .tenants
            .create_client(tenant.id, request.name)
            .await
            .map_err(|error| tenants(&error))?;
        Ok(Response::new(wire::CreateClientResponse {
            client: Some(client_wire(&tenant, &client)),
            secret: secret.plaintext_text().to_string(),
        }))
    }

    async fn list_clients(
        &self,
        request: Request<wire::ListClientsRequest>,
    ) -> Answer<wire::ListClientsResponse> {
        let tenant = self.tenant(&request.into_inner().tenant).await?;
        let all = self
            .0
            .tenants
            .clients(tenant.id)
            .await
            .map_err(|error| store(&error))?;
        let clients = all.iter().map(|client| client_wire(&tenant, client)).collect();
        Ok(Response::new(wire::ListClientsResponse { clients }))
    }

    async fn delete_client(&self, request: Request<wire::DeleteClientRequest>) -> Answer<wire::Deleted> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        self.0
            .tenants
            .delete_client(tenant.id, parse(&request.id)?)
            .await
            .map_err(|error| tenants(&error))?;
        deleted()
    }

    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Answer<wire::CreateTokenResponse> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let domains = request
            .domains
            .iter()
            .map(|name| parse(name))
            .collect::<Result<_, _>>()?;
        let lifetime = Duration::from_secs(request.lifetime_s);
        let (record, token) = self
            .0
            .trust
            .create_token(tenant.id, domains, lifetime)
            .await
            .map_err(|error| tokens(&error))?;
        Ok(Response::new(wire::CreateTokenResponse {
            token: Some(token_wire(&tenant, &record)),
            text: token.plaintext_text().to_string(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Answer<wire::ListTokensResponse> {
        let tenant = self.tenant(&request.into_inner().tenant).await?;
        let all = self
            .0
            .trust
            .tokens(tenant.id)
            .await
            .map_err(|error| store(&error))?;
        let tokens = all.iter().map(|token| token_wire(&tenant, token)).collect();
        Ok(Response::new(wire::ListTokensResponse { tokens }))
    }

    async fn delete_token(&self, request: Request<wire::DeleteTokenRequest>) -> Answer<wire::Deleted> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        self.0
            .trust
            .delete_token(tenant.id, parse(&request.id)?)
            .await
            .map_err(|error| tokens(&error))?;
        deleted()
    }

    async fn list_agents(
        &self,
        request: Request<wire::ListAgentsRequest>,
    ) -> Answer<wire::ListAgentsResponse> {
        let tenant = self.tenant(&request.into_inner().tenant).await?;
        let all = self.0.agents(tenant.id).await.map_err(|error| store(&error))?;
        let agents = all
            .into_iter()
            .map(|(agent, presence)| agent_wire(&tenant, agent, presence))
            .collect();
        Ok(Response::new(wire::ListAgentsResponse { agents }))
    }

    async fn drain_agent(&self, request: Request<wire::AgentRequest>) -> Answer<wire::Agent> {
        self.set_drained(request.into_inner(), true).await
    }

    async fn resume_agent(&self, request: Request<wire::AgentRequest>) -> Answer<wire::Agent> {
        self.set_drained(request.into_inner(), false).await
    }

    async fn revoke_agent(&self, request: Request<wire::AgentRequest>) -> Answer<wire::Agent> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let id = parse(&request.id)?;
        self.0
            .revoke(tenant.id, id)
            .await
            .map_err(|error| agents(&error))?;
        self.agent(&tenant, id).await
    }

    async fn rename_agent(&self, request: Request<wire::RenameAgentRequest>) -> Answer<wire::Agent> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let id = parse(&request.id)?;
        let renamed = self.0.trust.rename(tenant.id, id, &request.name).await;
        renamed.map_err(|error| agents(&error))?;
        self.agent(&tenant, id).await
    }

    async fn delete_agent(&self, request: Request<wire::AgentRequest>) -> Answer<wire::Deleted> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        let done = self.0.trust.delete_agent(tenant.id, parse(&request.id)?).await;
        done.map_err(|error| agents(&error))?;
        deleted()
    }

    async fn list_impact(
        &self,
        request: Request<wire::ListImpactRequest>,
    ) -> Answer<wire::ListSignInsResponse> {
        let request = request.into_inner();
        let tenant = self.tenant(&request.tenant).await?;
        // Also of an agent that was deleted: the log outlives it.
        let agent = parse(&request.agent_id)?;
        let age = Duration::from_millis(request.age_ms);
        let limit = limit(request.limit)?;
        let records = self.0.vouched_for(tenant.id, agent, age, limit).await;
        let records = records.map_err(|error| store(&error))?;
        let records = records.into_iter().map(sign_in_wire).collect();
        Ok(Response::new(wire::ListSignInsResponse { records }))
    }

    async fn list_sign_ins(
        &self,
        request: Request<wire::ListSignInsRequest>,
    ) -> Answer<wire::ListSignInsResponse> {
        let request = request.into_inner();
        let tenant = match request.tenant.as_str() {
            "" => None,
            name => Some(self.tenant(name).await?.id),
        };
        let username = optional(&request.username)?;
        let limit = limit(request.limit)?;
        let records = self.0.sign_ins.list(tenant, username, limit).await;
        let records = records.map_err(|error| store(&error))?;
        let records = records.into_iter().map(sign_in_wire).collect();
        Ok(Response::new(wire::ListSignInsResponse { records }))
    }

    async fn get_status(&self, _: Request<wire::GetStatusRequest>) -> Answer<wire::Status> {
        Ok(Response::new(status_wire(self.0.status())))
    }
}

fn parse<T: FromStr<Err = Malformed>>(text: &str) -> Result<T, Status> {
    text.parse().map_err(|error| malformed(&error))
}

fn optional<T: FromStr<Err = Malformed>>(text: &str) -> Result<Option<T>, Status> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

fn limit(limit: u32) -> Result<u32, Status> {
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Status::invalid_argument("limit: expected 1 to 1,000"))
    }
}

/// A user as an administrator states them, with the defaults filled in.
pub(super) fn new_user(user: &wire::NewUser) -> Result<NewUser, Malformed> {
    let username: Username = user.username.parse()?;
    Ok(NewUser {
        object: user.object_id.parse()?,
        on_premises_name: match user.on_premises_name.as_str() {
            "" => username.as_str().parse()?,
            name => name.parse()?,
        },
        domain: match user.domain.as_str() {
            "" => username.domain(),
            name => name.parse()?,
        },
        alternate_id: match user.alternate_id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|error: Malformed| Malformed {
                field: "alternate_id",
                ..error
            })?),
        },
        username,
    })
}

fn malformed(error: &Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn at_record(mut status: Status, at: usize) -> Status {
    if let Ok(at) = at.to_string().parse() {
        status.metadata_mut().insert(RECORD_METADATA, at);
    }
    status
}

fn store(error: &StoreError) -> Status {
    tracing::error!(error = telemetry::chain(error), "administration failed");
    Status::unavailable("store does not answer; see the log")
}

fn tenants(error: &TenantsError) -> Status {
    let refused = match error {
        TenantsError::Store(error) => return store(error),
        TenantsError::Refused(refused) => refused,
    };
    let text = refused.to_string();
    match refused {
        Refused::Exists(_) | Refused::DomainTaken => Status::already_exists(text),
        Refused::NotFound(_) => Status::not_found(text),
        Refused::DomainHasUsers => Status::failed_precondition(text),
        Refused::Field { .. } | Refused::Import(_) => Status::invalid_argument(text),
    }
}

fn tokens(error: &TokenError) -> Status {
    match error {
        TokenError::Store(error) => store(error),
        TokenError::NotFound => Status::not_found(error.to_string()),
        TokenError::Lifetime | TokenError::Domains | TokenError::ForeignDomain(_) => {
            Status::invalid_argument(error.to_string())
        }
    }
}

fn agents(error: &AgentError) -> Status {
    match error {
        AgentError::Store(error) => store(error),
        AgentError::NotFound => Status::not_found(error.to_string()),
        AgentError::NotRevoked => Status::failed_precondition(error.to_string()),
        AgentError::Name => Status::invalid_argument(error.to_string()),
    }
}
