//! How an agent becomes one: once, with a token that an administrator made for it.
//!
//! Nothing secret is sent before the server has shown a chain under the root that the token
//! names, and nothing is written before the whole answer has been checked.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::dial::Connector;
use postern_kit::keys::{self, SigningKey};
use postern_kit::tls::{self, Certificate, ServerTrust, TlsError, Versions};
use postern_proto::enrolment::EnrolmentToken;
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::names::DomainName;
use postern_proto::wire::registration::registration_client::RegistrationClient;
use postern_proto::wire::registration::{EnrolRequest, EnrolResponse};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::identity::{FILE_NAME, Identity};
use crate::config::HostPort;

/// Longest time for the whole call. The cloud writes to its disk once and signs once.
const ENROL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Largest answer in bytes: three small certificates and 32 domains are below a tenth of it.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What enrolment needs to know.
#[derive(Debug)]
pub struct Enrolment {
    /// The cloud's listener for agents.
    pub cloud: HostPort,
    /// The token.
    pub token: EnrolmentToken,
    /// Folder for the identity; made if absent.
    pub state: PathBuf,
    /// What the host is called; shown to administrators.
    pub host_name: String,
    /// Whether an identity that lies in `state` may be replaced.
    pub replace_identity: bool,
}

/// Who the agent has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledIdentity {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its own id.
    pub agent: AgentId,
    /// The domains that it may serve.
    pub domains: Vec<DomainName>,
}

/// Why an agent is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is an identity already.
    #[error("{0} holds an identity already; it is replaced only on request")]
    IdentityExists(PathBuf),
    /// The state folder cannot be used. Found out before the token is spent.
    #[error("cannot write to the state folder {path}")]
    State {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The request for a certificate cannot be made.
    #[error("certificate signing request cannot be made")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server cannot be reached, or is not the one that the token names. Nothing was sent.
    #[error("no trusted connection to {address}; the token was not sent")]
    Connect {
        /// Where.
        address: HostPort,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cloud refused.
    #[error("the cloud refused: {0}")]
    Refused(String),
    /// The cloud could not, or the connection broke off. The token may be spent.
    #[error("the cloud did not enrol this host: {0}")]
    Failed(String),
    /// No answer came. The token may be spent.
    #[error("no answer from the cloud within 30 s; the token may be spent")]
    NoAnswer,
    /// The answer is not what was asked for.
    #[error("the cloud's answer cannot be used: {0} does not fit")]
    Answer(&'static str),
}

/// Enrols this agent and writes its identity.
///
/// # Errors
/// [`EnrolError`]; then no identity was written.
///
/// # Cancellation
/// Dropping it may leave the token spent, and then no identity written.
pub async fn enrol(enrolment: Enrolment, seams: &Seams) -> Result<EnrolledIdentity, EnrolError> {
    prepare(&enrolment, seams)?;
    let key = SigningKey::generate(seams.random.as_ref());
    let request = EnrolRequest {
        token_secret: enrolment.token.secret.plaintext_bytes().to_vec(),
        certificate_signing_request: signing_request(&key)?,
        host_name: enrolment.host_name.clone(),
        agent_version: crate::VERSION.to_owned(),
    };
    let call = call(&enrolment, request, seams);
    let answer = tokio::time::timeout(ENROL_WAIT_MAX, call)
        .await
        .map_err(|_| EnrolError::NoAnswer)??;
    let identity = check(answer, key, &enrolment.token, seams)?;
    identity
        .save(seams.disk.as_ref(), &enrolment.state)
        .map_err(|source| EnrolError::State {
            path: enrolment.state,
            source,
        })?;
    Ok(EnrolledIdentity {
        tenant: identity.tenant,
        agent: identity.agent,
        domains: identity.domains,
    })
}

/// Refuses what would spend the token for nothing.
fn prepare(enrolment: &Enrolment, seams: &Seams) -> Result<(), EnrolError> {
    let (disk, state) = (seams.disk.as_ref(), &enrolment.state);
    let failed = |source| EnrolError::State {
        path: state.clone(),
        source,
    };
    if Identity::exists(disk, state).map_err(failed)? && !enrolment.replace_identity {
        return Err(EnrolError::IdentityExists(state.join(FILE_NAME)));
    }
    disk.create_folder(state).map_err(failed)?;
    let trial = state.join("trial");
    disk.replace(&trial, b"can be written")
        .and_then(|()| disk.remove(&trial))
        .map_err(failed)
}

fn signing_request(key: &SigningKey) -> Result<Vec<u8>, EnrolError> {
    let key = key.rcgen().map_err(|error| EnrolError::Request(error.into()))?;
    // The names in it are ignored: what the certificate says stands in the token's record.
    let request = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .map_err(|error| EnrolError::Request(error.into()))?;
    Ok(request.der().to_vec())
}

async fn call(
    enrolment: &Enrolment,
    request: EnrolRequest,
    seams: &Seams,
) -> Result<EnrolResponse, EnrolError> {
    let HostPort { host, port } = &enrolment.cloud;
    let trust = ServerTrust::PinnedRoot(enrolment.token.root_spki_sha256);
    let tls = tls::client(trust, None, Versions::Tls13, &["h2"], seams.clock.clone())?;
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| EnrolError::Connect {
        address: enrolment.cloud.clone(),
        source,
    };
    let connector =
        Connector::new(seams.net.clone(), tls, host, *port).map_err(|error| refused(error.into()))?;
    // The connector does TLS: an https URI would ask tonic for its own.
    let channel = Endpoint::from_shared(format!("http://{}", enrolment.cloud))
        .map_err(|error| refused(error.into()))?
        .connect_with_connector(connector)
        .await
        .map_err(|error| refused(error.into()))?;
    let mut client = RegistrationClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    match client.enrol(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(failed(&status)),
    }
}

/// Only a refusal says anything of the token.
fn failed(status: &Status) -> EnrolError {
    let said = format!("{} ({})", status.message(), status.code());
    match status.code() {
        Code::PermissionDenied => EnrolError::Refused(said),
        _ => EnrolError::Failed(said),
    }
}

/// Takes the answer only if it is about our key, under the root that the token names.
fn check(
    answer: EnrolResponse,
    key: SigningKey,
    token: &EnrolmentToken,
    seams: &Seams,
) -> Result<Identity, EnrolError> {
    let root = Certificate::from(answer.root_certificate);
    let pinned = keys::spki_sha256(&root)
        .is_some_and(|found| postern_kit::digest::equal(&found, &token.root_spki_sha256));
    if !pinned {
        return Err(EnrolError::Answer("root_certificate"));
    }
    let chain: Vec<_> = answer
        .certificate_chain
        .into_iter()
        .map(Certificate::from)
        .collect();
    tls::verify_client_chain(&chain, &root, seams.clock.now())
        .map_err(|_| EnrolError::Answer("certificate_chain"))?;
    let identity = Identity::new(key, chain, root).map_err(EnrolError::Answer)?;
    if answer.tenant_id.parse() != Ok(identity.tenant) {
        return Err(EnrolError::Answer("tenant_id"));
    }
    if answer.agent_id.parse() != Ok(identity.agent) {
        return Err(EnrolError::Answer("agent_id"));
    }
    let told: Result<Vec<DomainName>, _> = answer.domains.iter().map(|domain| domain.parse()).collect();
    match told {
        Ok(mut told) => {
            let mut certified = identity.domains.clone();
            told.sort();
            certified.sort();
            if told == certified {
                Ok(identity)
            } else {
                Err(EnrolError::Answer("domains"))
            }
        }
        Err(_) => Err(EnrolError::Answer("domains")),
    }
}
