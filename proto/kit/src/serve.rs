//! One accept loop for every HTTP server of ours: TLS, limits, the peer's certificate for the
//! handlers, the `date` header from the injected clock, and a graceful end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::HeaderValue;
use http::header::DATE;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::Seams;
use crate::net::{BoxedIo, Listener};

/// The other end of a connection, in every request's extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it connects from.
    pub addr: SocketAddr,
    /// The certificate it proved to own, already verified by TLS, if it showed one.
    pub certificate: Option<CertificateDer<'static>>,
}

/// What one listener puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections at once; one more is closed at once.
    pub connections_max: usize,
    /// Time for the TLS handshake, and then for the first request's headers.
    pub handshake_wait_max: Duration,
    /// Time between HTTP/2 pings on a connection, and for the answer to one.
    pub ping_every: Duration,
    /// Time after `stop` for requests in flight.
    pub drain_wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A connection costs about 50 kB with TLS and HTTP/2: 200 MB at most.
            connections_max: 4096,
            // A handshake needs two round trips; 10 s allow for a very slow link.
            handshake_wait_max: Duration::from_secs(10),
            // Middleboxes cut idle streams after a minute or more.
            ping_every: Duration::from_secs(30),
            // Longer than any request of a server that says nothing else.
            drain_wait_max: Duration::from_secs(20),
        }
    }
}

/// Serves `router` until `stop`, then lets requests in flight end.
///
/// # Cancellation
/// Dropping it stops accepting; open connections go on until `stop`.
pub async fn https(
    mut listener: Box<dyn Listener>,
    tls: Arc<ServerConfig>,
    router: Router,
    limits: Limits,
    seams: Seams,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (io, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: give the others time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            tracing::warn!(
                limit = limits.connections_max,
                "closed a connection above the limit"
            );
            continue;
        };
        let connection = serve_one(
            io,
            addr,
            acceptor.clone(),
            router.clone(),
            limits,
            seams.clone(),
            stop.clone(),
        );
        seams.tasks.spawn("connection", async move {
            connection.await;
            drop(permit);
        });
    }
}

async fn serve_one(
    io: BoxedIo,
    addr: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
    limits: Limits,
    seams: Seams,
    stop: CancellationToken,
) {
    let handshake = tokio::select! {
        () = stop.cancelled() => return,
        handshake = tokio::time::timeout(limits.handshake_wait_max, acceptor.accept(io)) => handshake,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%addr, %error, "tls handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%addr, "tls handshake took too long");
            return;
        }
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| leaf.clone().into_owned());
    let peer = Peer { addr, certificate };
    let clock = seams.clock.clone();
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (router, clock) = (router.clone(), clock.clone());
        async move {
            let mut response = router.oneshot(request).await?;
            // hyper would put the system's time here.
            if let Ok(date) = HeaderValue::from_str(&http_date(clock.now())) {
                response.headers_mut().insert(DATE, date);
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_wait_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.handshake_wait_max)
        .max_concurrent_streams(1024)
        .max_header_list_size(16 * 1024);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain_wait_max, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!(%addr, "connection did not end within the drain time");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%addr, %error, "connection ended");
    }
}

/// IMF-fixdate, as HTTP wants it.
fn http_date(now: crate::clock::Timestamp) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(now.unix_s()))
}
