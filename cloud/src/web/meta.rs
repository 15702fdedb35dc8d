//! gRPC health and reflection.

use std::sync::LazyLock;

use postern_kit::Seams;
use postern_proto::wire::DESCRIPTORS;
use prost::{DecodeError, Message as _};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use super::WebError;

/// What is served to strangers on the public listener; administration and the agents' channel are
/// nobody's business there.
const PUBLIC_PACKAGE: &str = "postern.signin.v1";
const SIGN_IN: &str = "postern.signin.v1.SignIn";

/// For ever, because reflection's type keeps the lifetime of what it was made from.
static PUBLIC: LazyLock<Result<Vec<u8>, DecodeError>> = LazyLock::new(|| public_files(DESCRIPTORS));

/// Health of the whole (the empty name) and of `SignIn`: serving until `stop`.
pub(super) async fn health(seams: &Seams, stop: CancellationToken) -> HealthServer<impl Health> {
    let (mut reporter, server) = tonic_health::server::health_reporter();
    reporter.set_service_status(SIGN_IN, ServingStatus::Serving).await;
    seams.tasks.spawn("health", async move {
        stop.cancelled().await;
        for name in ["", SIGN_IN] {
            reporter.set_service_status(name, ServingStatus::NotServing).await;
            // Ends the streams of those who watch, so that their connections can drain ...
            reporter.clear_service_status(name).await;
            // ... and answers those who ask once more.
            reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
    });
    server
}

/// Describes the calls that are served here.
pub(super) fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, WebError> {
    let public = PUBLIC
        .as_ref()
        .map_err(|error| WebError::Descriptors(error.clone()))?;
    Builder::configure()
        .register_encoded_file_descriptor_set(public)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(WebError::Reflection)
}

/// A descriptor set whose files stay as they are.
#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// Of a file, the one thing asked here.
#[derive(Clone, PartialEq, prost::Message)]
struct Package {
    #[prost(string, tag = "2")]
    name: String,
}

fn public_files(set: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut public = Files::default();
    for file in Files::decode(set)?.files {
        if Package::decode(file.as_slice())?.name == PUBLIC_PACKAGE {
            public.files.push(file);
        }
    }
    Ok(public.encode_to_vec())
}
