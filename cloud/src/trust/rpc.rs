//! The `Registration` service: wire types to ours and back, nothing else.

use postern_kit::telemetry;
use postern_proto::wire::registration::registration_server::Registration;
use postern_proto::wire::registration::{EnrolRequest, EnrolResponse};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{EnrolRefused, Enrolled, Enrolment, Trust};

/// Serves enrolment, the one call that needs no client certificate.
#[derive(Clone, Debug)]
pub struct RegistrationService(Trust);

impl RegistrationService {
    /// Over `trust`.
    pub fn new(trust: Trust) -> Self {
        Self(trust)
    }
}

#[tonic::async_trait]
impl Registration for RegistrationService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        let secret = Zeroizing::new(request.token_secret);
        let enrolment = Enrolment {
            secret_sha256: postern_kit::digest::sha256(&secret),
            request: request.certificate_signing_request,
            host_name: request.host_name,
            version: request.agent_version,
        };
        match self.0.enrol(enrolment).await {
            Ok(enrolled) => Ok(Response::new(response(&self.0, enrolled))),
            Err(refused) => Err(status(&refused)),
        }
    }
}

fn response(trust: &Trust, enrolled: Enrolled) -> EnrolResponse {
    let Enrolled { registration, chain } = enrolled;
    tracing::info!(agent = %registration.agent, tenant = %registration.tenant, "agent enrolled");
    EnrolResponse {
        tenant_id: registration.tenant.to_string(),
        agent_id: registration.agent.to_string(),
        domains: registration.domains.iter().map(ToString::to_string).collect(),
        certificate_chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        root_certificate: trust.root().to_vec(),
    }
}

/// What a stranger may know: that it was refused, or that it may try again.
fn status(refused: &EnrolRefused) -> Status {
    let reason = telemetry::chain(refused);
    match refused {
        EnrolRefused::Store(_) | EnrolRefused::Pki(_) => {
            tracing::error!(reason, "enrolment failed");
            Status::unavailable("try again")
        }
        EnrolRefused::UnknownToken
        | EnrolRefused::UsedToken(_)
        | EnrolRefused::ExpiredToken(_)
        | EnrolRefused::NoDomains
        | EnrolRefused::Request
        | EnrolRefused::UsedKey
        | EnrolRefused::Text(_) => {
            tracing::warn!(reason, "enrolment refused");
            Status::permission_denied("enrolment refused")
        }
    }
}
