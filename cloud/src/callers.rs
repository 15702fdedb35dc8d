//! Who may call what: one table, RPC to required identity. What is not in it is refused.
//!
//! [`Guard::protect`] puts it in front of RPC services. A caller that has shown the identity is
//! known to the handler by the request's extensions: an [`AgentRegistration`], an
//! [`AuthenticatedClient`] or an [`Administrator`].

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use postern_kit::secret::Token256;
use postern_kit::serve::{Lasting, Peer};
use postern_kit::telemetry;
use postern_proto::ids::ClientId;
use tonic::Status;
use tower_http::catch_panic::CatchPanicLayer;
use zeroize::Zeroizing;

use crate::tenants::{Tenant, Tenants};
use crate::trust::{AgentRefused, AgentRegistration, Trust};

/// Longest `authorization` value that is looked at: id and secret take 108 bytes in base64.
const AUTHORIZATION_BYTES_MAX: usize = 256;

/// What a caller must have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Nothing.
    Anyone,
    /// Client id and secret of a registered client, by HTTP Basic.
    Client,
    /// The certificate of a registered agent.
    Agent,
    /// A connection over the administration socket.
    Administrator,
}

/// RPC path to required identity, in order of the paths.
pub const TABLE: &[(&str, Required)] = &[
    ("/grpc.health.v1.Health/Check", Required::Anyone),
    ("/grpc.health.v1.Health/List", Required::Anyone),
    ("/grpc.health.v1.Health/Watch", Required::Anyone),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Required::Anyone,
    ),
    ("/postern.admin.v1.Admin/CreateClient", Required::Administrator),
    ("/postern.admin.v1.Admin/CreateDomain", Required::Administrator),
    ("/postern.admin.v1.Admin/CreateTenant", Required::Administrator),
    ("/postern.admin.v1.Admin/CreateToken", Required::Administrator),
    ("/postern.admin.v1.Admin/CreateUser", Required::Administrator),
    ("/postern.admin.v1.Admin/DeleteAgent", Required::Administrator),
    ("/postern.admin.v1.Admin/DeleteClient", Required::Administrator),
    ("/postern.admin.v1.Admin/DeleteDomain", Required::Administrator),
    ("/postern.admin.v1.Admin/DeleteTenant", Required::Administrator),
    ("/postern.admin.v1.Admin/DeleteToken", Required::Administrator),
    ("/postern.admin.v1.Admin/DeleteUser", Required::Administrator),
    ("/postern.admin.v1.Admin/DrainAgent", Required::Administrator),
    ("/postern.admin.v1.Admin/GetStatus", Required::Administrator),
    ("/postern.admin.v1.Admin/ImportUsers", Required::Administrator),
    ("/postern.admin.v1.Admin/ListAgents", Required::Administrator),
    ("/postern.admin.v1.Admin/ListClients", Required::Administrator),
    ("/postern.admin.v1.Admin/ListDomains", Required::Administrator),
    ("/postern.admin.v1.Admin/ListImpact", Required::Administrator),
    ("/postern.admin.v1.Admin/ListSignIns", Required::Administrator),
    ("/postern.admin.v1.Admin/ListTenants", Required::Administrator),
    ("/postern.admin.v1.Admin/ListTokens", Required::Administrator),
    ("/postern.admin.v1.Admin/ListUsers", Required::Administrator),
    ("/postern.admin.v1.Admin/RenameAgent", Required::Administrator),
    ("/postern.admin.v1.Admin/ResumeAgent", Required::Administrator),
    ("/postern.admin.v1.Admin/RevokeAgent", Required::Administrator),
    ("/postern.admin.v1.Admin/UpdateTenant", Required::Administrator),
    ("/postern.channel.v1.AgentChannel/Attach", Required::Agent),
    ("/postern.registration.v1.Registration/Enrol", Required::Anyone),
    ("/postern.signin.v1.SignIn/SignIn", Required::Client),
];

/// What `path` requires; `None` if nobody may call it.
pub fn required(path: &str) -> Option<Required> {
    let at = TABLE.binary_search_by_key(&path, |(path, _)| path).ok()?;
    TABLE.get(at).map(|(_, required)| *required)
}

/// A client that has shown its secret, and its tenant.
#[derive(Clone, Debug)]
pub struct AuthenticatedClient {
    /// The client.
    pub id: ClientId,
    /// Its tenant, which is also the tenant of everybody whom it signs in.
    pub tenant: Tenant,
}

/// Marks a request that came over the administration socket. Only `admin` puts it there.
#[derive(Clone, Copy, Debug)]
pub struct Administrator;

/// Checks callers against the table.
#[derive(Clone, Debug)]
pub struct Guard {
    trust: Trust,
    tenants: Tenants,
}

impl Guard {
    /// Asks `trust` for agents and `tenants` for clients.
    pub fn new(trust: Trust, tenants: Tenants) -> Self {
        Self { trust, tenants }
    }

    /// `rpcs` with the table in front, and panics turned into errors. Pages do not belong in there:
    /// their paths are not in the table.
    pub fn protect(&self, rpcs: Router) -> Router {
        rpcs.layer(middleware::from_fn_with_state(self.clone(), check))
            .layer(CatchPanicLayer::custom(panicked))
    }

    /// What `path` requires, once the caller has shown it.
    async fn identify(&self, parts: &mut Parts) -> Result<Required, Status> {
        let Some(required) = required(parts.uri.path()) else {
            return Err(Status::unimplemented("no such call"));
        };
        match required {
            Required::Anyone => {}
            Required::Administrator => {
                if parts.extensions.get::<Administrator>().is_none() {
                    return Err(Status::permission_denied("only over the administration socket"));
                }
            }
            Required::Agent => {
                let registration = self.agent(parts).await?;
                parts.extensions.insert(registration);
            }
            Required::Client => {
                let client = self.client(&parts.headers).await?;
                parts.extensions.insert(client);
            }
        }
        Ok(required)
    }

    async fn agent(&self, parts: &Parts) -> Result<AgentRegistration, Status> {
        let certificate = parts
            .extensions
            .get::<Peer>()
            .and_then(|peer| peer.certificate.clone())
            .ok_or_else(|| Status::unauthenticated("an agent's certificate is required"))?;
        self.trust.agent(&certificate).await.map_err(|refused| {
            let reason = telemetry::chain(&refused);
            match refused {
                AgentRefused::Store(_) => {
                    tracing::error!(reason, "cannot tell whether an agent is registered");
                    Status::unavailable("try again")
                }
                AgentRefused::NotAnAgent
                | AgentRefused::NotValidNow
                | AgentRefused::NotRegistered
                | AgentRefused::Revoked(_)
                | AgentRefused::OtherKey => {
                    tracing::warn!(reason, "agent refused");
                    Status::unauthenticated("certificate is not a registered agent's")
                }
            }
        })
    }

    async fn client(&self, headers: &HeaderMap) -> Result<AuthenticatedClient, Status> {
        let refused = || Status::unauthenticated("client id and secret are required");
        let Some((id, secret)) = client_credentials(headers) else {
            tracing::warn!("client without an id and a secret refused");
            return Err(refused());
        };
        match self.tenants.client(id, &secret).await {
            Ok(Some((id, tenant))) => Ok(AuthenticatedClient { id, tenant }),
            Ok(None) => {
                tracing::warn!(client = %id, "client refused: unknown, deleted, or another secret");
                Err(refused())
            }
            Err(error) => {
                tracing::error!(
                    error = telemetry::chain(&error),
                    "cannot tell whether a client is registered"
                );
                Err(Status::unavailable("try again"))
            }
        }
    }
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match guard.identify(&mut parts).await {
        Ok(required) => {
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if required == Required::Agent {
                // Its stream stays; everybody else's call has a bound.
                response.extensions_mut().insert(Lasting);
            }
            response
        }
        Err(status) => status.into_http(),
    }
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a call panicked");
    Status::internal("internal error").into_http()
}

/// Client id and secret of HTTP Basic; `None` if there are none or they have another form.
pub fn client_credentials(headers: &HeaderMap) -> Option<(ClientId, Token256)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > AUTHORIZATION_BYTES_MAX {
        return None;
    }
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((id.parse().ok()?, Token256::parse(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::SeededRandom;
    use prost::Message as _;

    #[test]
    fn every_call_of_the_contract_stands_in_the_table() {
        let set = prost_types::FileDescriptorSet::decode(postern_proto::wire::DESCRIPTORS).unwrap();
        let mut calls = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    calls.push(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        assert!(calls.len() > 15, "{calls:?}");
        for call in &calls {
            assert!(required(call).is_some(), "{call} is missing");
        }
        for (path, _) in TABLE.iter().filter(|(path, _)| path.starts_with("/postern.")) {
            assert!(calls.iter().any(|call| call == path), "{path} is no call");
        }
    }

    #[test]
    fn the_table_is_in_order_and_what_is_missing_is_refused() {
        assert!(TABLE.is_sorted_by_key(|(path, _)| *path));
        for (path, identity) in TABLE {
            assert_eq!(required(path), Some(*identity), "{path}");
            let anyone = *identity == Required::Anyone;
            let open = ["/grpc.health", "/grpc.reflection", "/postern.registration"];
            assert_eq!(
                anyone,
                open.iter().any(|prefix| path.starts_with(prefix)),
                "{path}"
            );
        }
        assert_eq!(required("/postern.admin.v1.Admin/BecomeKing"), None);
        assert_eq!(required("/postern.admin.v1.Admin/CreateTenant/"), None);
        assert_eq!(required(""), None);
    }

    #[test]
    fn client_credentials_are_read_from_http_basic() {
        let random = SeededRandom::new(1);
        let (id, secret) = (ClientId::generate(&random), Token256::generate(&random));
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            client_credentials(&headers).map(|(id, secret)| (id, *secret.plaintext_bytes()))
        };
        let pair = format!("{id}:{}", secret.plaintext_text().as_str());
        let encoded = BASE64_STANDARD.encode(&pair);
        let expected = Some((id, *secret.plaintext_bytes()));
        assert_eq!(read(&format!("Basic {encoded}")), expected);
        assert_eq!(read(&format!("basic {encoded}")), expected);
        for wrong in [
            encoded.clone(),
            format!("Bearer {encoded}"),
            "Basic !".to_owned(),
            pair,
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        assert!(client_credentials(&HeaderMap::new()).is_none());
    }
}
