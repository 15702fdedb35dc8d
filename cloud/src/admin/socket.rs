//! The administration socket: a Unix socket (0600) that serves this process's user and root, and
//! the client's end of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use postern_kit::tasks::Tasks;
use postern_proto::wire::admin::admin_client::AdminClient;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;

use crate::callers::Administrator;

/// Open connections at once: a handful of people and scripts. One more is closed at once.
const CONNECTIONS_MAX: usize = 32;

/// Time after the stop for calls in flight: an import of 1,000 takes a fraction of it.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `stop`, then lets calls in flight end and removes the socket.
///
/// # Cancellation
/// Dropping it stops accepting; open connections go on until `stop`.
pub async fn serve(
    listener: UnixListener,
    path: PathBuf,
    router: Router,
    tasks: Tasks,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an administrator");
                // Out of file descriptors, most likely: give the others time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if !may_administer(&stream) {
            continue;
        }
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tracing::warn!(
                limit = CONNECTIONS_MAX,
                "closed an administrator's connection above the limit"
            );
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn("administration", async move {
            serve_one(stream, router, stop).await;
            drop(permit);
        });
    }
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::debug!(%error, "administration socket was not removed");
    }
}

/// Whether the other end is this process's user or root. The socket's mode says the same, unless
/// somebody changed it.
fn may_administer(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    let allowed = is_allowed(peer.uid(), rustix::process::geteuid().as_raw());
    if !allowed {
        tracing::warn!(uid = peer.uid(), "refused an administrator of another user");
    }
    allowed
}

fn is_allowed(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn serve_one(stream: UnixStream, router: Router, stop: CancellationToken) {
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Administrator);
        let router = router.clone();
        async move { router.oneshot(request).await }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN_WAIT_MAX, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!("administration did not end within the drain time");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "administration connection ended");
    }
}

/// Connects to the socket at `path`.
///
/// # Errors
/// As the operating system reports.
///
/// # Cancellation
/// Safe to drop.
pub async fn connect(path: &Path) -> io::Result<AdminClient<Channel>> {
    // Connected here, so that a missing socket is a plain error and not a failed call.
    let mut first = Some(postern_kit::net::connect_unix(path).await?);
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: http::Uri| {
        let (first, path) = (first.take(), path.clone());
        async move {
            let stream = match first {
                Some(stream) => stream,
                None => postern_kit::net::connect_unix(&path).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let channel = Endpoint::from_static("http://administration")
        .connect_with_connector(connector)
        .await
        .map_err(io::Error::other)?;
    Ok(AdminClient::new(channel))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn only_the_own_user_and_root_administer() {
        assert!(is_allowed(1000, 1000));
        assert!(is_allowed(0, 1000));
        assert!(!is_allowed(1001, 1000));
        assert!(!is_allowed(1000, 0));
    }
}
