//! The `Admin` service: wire types to ours and back, nothing else.

use std::str::FromStr;
use std::time::Duration;

use postern_kit::telemetry;
use postern_kit::traffic::Counts;
use postern_proto::ids::Malformed;
use postern_proto::names::{DomainName, TenantName, Username};
use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_server::Admin;
use tonic::{Request, Response, Status};

use super::Administration;
use crate::dispatch::AgentPresence;
use crate::sign_in::{AttemptRecord, Record};
use crate::store::StoreError;
use crate::tenants::{Client, NewUser, Refused, Tenant, TenantsError, UserRecord};
use crate::trust::{AgentRecord, TokenError, TokenRecord};

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

fn status_wire(status: super::Status) -> wire::Status {
    let listener = |(name, counts): (&str, Counts)| wire::ListenerStatus {
        name: name.to_owned(),
        open: counts.open,
        accepted: counts.accepted,
        above_limit: counts.above_limit,
        anonymous_above_limit: counts.anonymous_above_limit,
        no_handshake: counts.no_handshake,
        slow_handshake: counts.slow_handshake,
        unreadable: counts.unreadable,
        silent: counts.silent,
        overdue: counts.overdue,
        made_room: counts.made_room,
    };
    wire::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        replica_id: status.replica.to_string(),
        started_unix_ms: status.since.unix_ms(),
        sign_ins_under_way: status.load.under_way as u64,
        sign_ins_shed: status.load.shed,
        listeners: status.listeners.into_iter().map(listener).collect(),
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

fn tenant_wire(tenant: &Tenant) -> wire::Tenant {
    wire::Tenant {
        id: tenant.id.to_string(),
        name: tenant.name.to_string(),
        created_unix_ms: tenant.created.unix_ms(),
        tell_locked: tenant.tell_locked,
    }
}

fn domain_wire(tenant: &Tenant, domain: &DomainName) -> wire::Domain {
    wire::Domain {
        tenant: tenant.name.to_string(),
        name: domain.to_string(),
    }
}

fn user_wire(tenant: &Tenant, user: &UserRecord) -> wire::User {
    wire::User {
        id: user.id.to_string(),
        tenant: tenant.name.to_string(),
        username: user.username.to_string(),
        object_id: user.object.to_string(),
        on_premises_name: user.on_premises_name.to_string(),
        domain: user.domain.to_string(),
    }
}

fn client_wire(tenant: &Tenant, client: &Client) -> wire::Client {
    wire::Client {
        id: client.id.to_string(),
        tenant: tenant.name.to_string(),
        name: client.name.clone(),
        created_unix_ms: client.created.unix_ms(),
    }
}

fn token_wire(tenant: &Tenant, token: &TokenRecord) -> wire::Token {
    wire::Token {
        id: token.id.to_string(),
        tenant: tenant.name.to_string(),
        domains: token.domains.iter().map(ToString::to_string).collect(),
        created_unix_ms: token.created.unix_ms(),
        expires_unix_ms: token.expires.unix_ms(),
        used_by_agent: token.used_by.map(|agent| agent.to_string()).unwrap_or_default(),
    }
}

fn agent_wire(tenant: &Tenant, agent: AgentRecord, presence: Option<AgentPresence>) -> wire::Agent {
    wire::Agent {
        id: agent.registration.agent.to_string(),
        tenant: tenant.name.to_string(),
        host_name: agent.registration.host_name,
        version: agent.version,
        domains: agent
            .registration
            .domains
            .iter()
            .map(ToString::to_string)
            .collect(),
        enrolled_unix_ms: agent.enrolled.unix_ms(),
        last_seen_unix_ms: agent.last_seen.map_or(0, |at| at.unix_ms()),
        connected: presence.is_some(),
        in_flight: presence.map_or(0, |presence| {
            u32::try_from(presence.in_flight).unwrap_or(u32::MAX)
        }),
        fingerprint: hex::encode(agent.fingerprint),
        certificate_expires_unix_ms: agent.expires.unix_ms(),
        drained: agent.registration.drained,
    }
}

fn sign_in_wire(record: Record) -> wire::SignInRecord {
    wire::SignInRecord {
        request_id: record.request.to_string(),
        at_unix_ms: record.at.unix_ms(),
        tenant: record.tenant_name.to_string(),
        user_id: record.user.map(|user| user.to_string()).unwrap_or_default(),
        username: record.username,
        outcome: record.outcome,
        code: record.code,
        channel: record.channel,
        source_address: record.source.to_string(),
        client_id: record.client.map(|client| client.to_string()).unwrap_or_default(),
        total_us: micros(record.total),
        attempts: record.attempts.into_iter().map(attempt_wire).collect(),
    }
}

fn attempt_wire(attempt: AttemptRecord) -> wire::Attempt {
    wire::Attempt {
        agent_id: attempt.agent.to_string(),
        controller: attempt.controller,
        verdict: attempt.verdict,
        reason: attempt.reason,
        total_us: micros(attempt.total),
        agent_wait_us: micros(attempt.wait),
        bind_us: micros(attempt.bind),
        ldap_result: attempt.ldap_result,
        sub_code: attempt.sub_code,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
