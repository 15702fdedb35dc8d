//! The public listener's HTTP: the sign-in page for people, the `SignIn` RPC for programmes, gRPC
//! health and reflection.
//!
//! # Invariants
//! * A page depends on the address's tenant, the typed name and the outcome alone. No tenant, domain
//!   or user is looked up to draw one, so that unknown ones get the same bytes as a wrong password.
//! * No answer repeats a password, and what holds one here zeroes itself. (The HTTP library's own
//!   buffers do not.)
//! * Every answer, errors included, carries the headers of `headers.rs`.
//! * A form that another site made a browser send is refused, though there is no cookie yet: it
//!   could spend an account's failure budget from a stranger's browser.

mod form;
mod headers;
mod meta;
mod pages;
mod rpc;
mod style;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use postern_kit::Seams;
use postern_proto::wire::signin::sign_in_server::SignInServer;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::callers::Guard;
use crate::sign_in::SignsIn;

/// Largest request, form or message: an on-premises name and a password of the greatest lengths,
/// percent-encoded, take below 5 KiB.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Why there is no router.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The descriptors that the program carries are damaged: it was built wrongly.
    #[error("descriptors of the calls cannot be read")]
    Descriptors(#[source] prost::DecodeError),
    /// Reflection does not take them.
    #[error("reflection cannot be served")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// Everything that the public listener serves. From `stop` on health says "not serving", while what
/// is under way ends.
///
/// Requests must have a [`postern_kit::serve::Peer`] in their extensions.
///
/// # Errors
/// [`WebError`] if the program was built wrongly.
pub async fn public_router(
    sign_in: Arc<dyn SignsIn>,
    guard: &Guard,
    seams: &Seams,
    stop: CancellationToken,
) -> Result<Router, WebError> {
    let service =
        SignInServer::new(rpc::Service::new(sign_in.clone())).max_decoding_message_size(REQUEST_BYTES_MAX);
    // Without `Routes`' own fallback: paths that nobody serves are the pages' matter.
    let rpcs = Routes::from(Router::new())
        .add_service(service)
        .add_service(meta::health(seams, stop).await)
        .add_service(meta::reflection()?)
        .into_axum_router();
    Ok(pages::router(sign_in)
        .merge(guard.protect(rpcs))
        .layer(axum::middleware::map_response(headers::add)))
}
