//! One accept loop for every HTTP server of ours: TLS, limits, the peer's certificate for the
//! handlers, the `date` header from the injected clock, and a graceful end.

mod places;
mod requests;

pub use self::requests::Lasting;

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::HeaderValue;
use http::header::DATE;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::places::{Place, Places};
use self::requests::{Requests, TookTooLong, Watcher};
use crate::Seams;
use crate::net::{BoxedIo, Listener};
use crate::traffic::{Closed, LOG_EVERY, Traffic};

/// The other end of a connection, in every request's extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it connects from.
    pub addr: SocketAddr,
    /// The certificate it proved to own, already verified by TLS, if it showed one.
    pub certificate: Option<CertificateDer<'static>>,
}

/// How long a connection that was told to end, and on which no request came, stays open: the
/// round trip after which HTTP/2 knows that none was under way.
const GOODBYE_WAIT_MAX: Duration = Duration::from_secs(1);

/// What one listener puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections at once. For one more the address (for IPv6 the /48) that has most of those
    /// without a [`Lasting`] response gives one up, if the new one's address has fewer: its oldest that is idle, or
    /// its oldest. Otherwise the new one is closed at once.
    pub connections_max: usize,
    /// Open connections without a client certificate at once, after their TLS handshakes; one more as above.
    /// Lower than `connections_max`, it leaves room for those with a certificate.
    pub anonymous_max: usize,
    /// Requests under way at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// Time for the TLS handshake, and then for the first request's headers. Also the time for
    /// the headers of every later HTTP/1 request, counted from the end of the one before.
    pub handshake_wait_max: Duration,
    /// Time that a connection may be open without a request under way. A request is under way
    /// until its response body has ended. After a [`Lasting`] one has, it is closed within seconds.
    pub idle_wait_max: Duration,
    /// Time that a request may be under way, with both bodies; then it is answered with 408 or its body breaks
    /// off. If not even that can be sent, the connection is closed. Not for a [`Lasting`] response.
    pub request_wait_max: Duration,
    /// Time between HTTP/2 pings on a connection, and for the answer to one.
    pub ping_every: Duration,
    /// Time after `stop` for requests in flight.
    pub drain_wait_max: Duration,
}

/// As many connections as [`Limits`] allows by itself.
const CONNECTIONS_MAX: usize = 4096;

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An idle connection costs about 50 kB with TLS and HTTP/2: 200 MB for all. A busy
            // one may cost far more: up to 1 MB of request bodies that no handler has read yet
            // (hyper's window per connection), and per stream up to 16 kB of headers and as much
            // of the response as the peer has not read yet, 400 kB at most.
            connections_max: CONNECTIONS_MAX,
            // A listener that asks for no certificates has only anonymous peers.
            anonymous_max: CONNECTIONS_MAX,
            // More than a busy peer has under way at once, and RFC 9113 advises 100 at least;
            // bounds what one connection may cost to 4 MB of headers and that many responses.
            streams_max: 256,
            // A handshake needs two round trips; 10 s allow for a very slow link.
            handshake_wait_max: Duration::from_secs(10),
            // A peer that comes back within minutes saves a handshake; one that does not only
            // takes a place. Opening another costs it three round trips.
            idle_wait_max: Duration::from_secs(120),
            // Longer than any request of a server that says nothing else.
            request_wait_max: Duration::from_secs(20),
            // Middleboxes cut idle streams after a minute or more.
            ping_every: Duration::from_secs(30),
            // As long as a request.
            drain_wait_max: Duration::from_secs(20),
        }
    }
}

/// What all connections of one listener share.
#[derive(Debug)]
struct Shared {
    router: Router,
    limits: Limits,
    seams: Seams,
    stop: CancellationToken,
    all: Places,
    anonymous: Places,
    traffic: Arc<Traffic>,
}

/// Serves `router` until `stop`, then lets requests in flight end. A peer that negotiates `h2`
/// by ALPN gets HTTP/2, any other HTTP/1. What is closed and why is counted in `traffic`.
///
/// # Cancellation
/// Dropping it stops accepting; open connections go on until `stop`.
pub async fn https(
    listener: Box<dyn Listener>,
    tls: Arc<ServerConfig>,
    router: Router,
    limits: Limits,
    traffic: Arc<Traffic>,
    seams: Seams,
    stop: CancellationToken,
) {
    let shared = Arc::new(Shared {
        router,
        limits,
        seams,
        stop,
        all: Places::new(limits.connections_max),
        anonymous: Places::new(limits.anonymous_max),
        traffic,
    });
    tokio::select! {
        () = accept_all(listener, TlsAcceptor::from(tls), &shared) => {}
        () = shared.traffic.report() => {}
    }
    shared.traffic.log();
}

async fn accept_all(mut listener: Box<dyn Listener>, acceptor: TlsAcceptor, shared: &Arc<Shared>) {
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (io, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if warned.is_none_or(|warned| warned.elapsed() >= LOG_EVERY) {
                    tracing::warn!(%error, "cannot accept connections");
                    warned = Some(Instant::now());
                }
                // Out of file descriptors, most likely: give the others time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = shared.all.take(addr.ip()) else {
            shared.traffic.closed(Closed::AboveLimit);
            continue;
        };
        let (acceptor, for_it) = (acceptor.clone(), shared.clone());
        shared.traffic.opened();
        shared.seams.tasks.spawn("connection", async move {
            tokio::select! {
                () = serve_one(io, addr, acceptor, &place, &for_it) => {}
                () = place.given_away() => for_it.traffic.closed(Closed::MadeRoom),
            }
            for_it.traffic.ended();
        });
    }
}

async fn serve_one(io: BoxedIo, addr: SocketAddr, acceptor: TlsAcceptor, place: &Place, shared: &Shared) {
    let limits = shared.limits;
    let handshake = tokio::select! {
        () = shared.stop.cancelled() => return,
        handshake = tokio::time::timeout(limits.handshake_wait_max, acceptor.accept(io)) => handshake,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%addr, %error, "tls handshake failed");
            return shared.traffic.closed(Closed::NoHandshake);
        }
        Err(_) => {
            tracing::debug!(%addr, "tls handshake took too long");
            return shared.traffic.closed(Closed::SlowHandshake);
        }
    };
    let session = stream.get_ref().1;
    let certificate = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| leaf.clone().into_owned());
    let speaks_http2 = session.alpn_protocol() == Some(b"h2");
    let peer = Peer { addr, certificate };
    if peer.certificate.is_some() {
        return serve_http(stream, peer, speaks_http2, &[place], shared).await;
    }
    let Some(anonymous) = shared.anonymous.take(addr.ip()) else {
        return shared.traffic.closed(Closed::AnonymousAboveLimit);
    };
    let places = [place, &anonymous];
    tokio::select! {
        () = serve_http(stream, peer, speaks_http2, &places, shared) => {}
        () = anonymous.given_away() => shared.traffic.closed(Closed::MadeRoom),
    }
}

/// One connection after its handshake; `places` are its own.
async fn serve_http(
    stream: TlsStream<BoxedIo>,
    peer: Peer,
    speaks_http2: bool,
    places: &[&Place],
    shared: &Shared,
) {
    let (limits, addr) = (shared.limits, peer.addr);
    let (router, clock) = (shared.router.clone(), shared.seams.clock.clone());
    let (requests, watcher) = Requests::new(limits.request_wait_max);
    let requests = Arc::new(requests);
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (router, clock, requests) = (router.clone(), clock.clone(), requests.clone());
        async move {
            let mut response = requests.run(router.oneshot(request)).await?;
            // hyper would put the system's time here.
            if let Ok(date) = HeaderValue::from_str(&http_date(clock.now())) {
                response.headers_mut().insert(DATE, date);
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let io = TokioIo::new(stream);
    if speaks_http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping_every)
            .keep_alive_timeout(limits.handshake_wait_max)
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(16 * 1024)
            .serve_connection(io, service);
        drive(
            connection,
            http2::Connection::graceful_shutdown,
            watcher,
            (addr, places),
            shared,
        )
        .await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake_wait_max)
            .serve_connection(io, service);
        drive(
            connection,
            http1::Connection::graceful_shutdown,
            watcher,
            (addr, places),
            shared,
        )
        .await;
    }
}

/// Runs one connection until it ends, is silent for too long, does not take its answers, or has drained after
/// the stop.
async fn drive<C>(
    connection: C,
    graceful_shutdown: impl Fn(Pin<&mut C>),
    requests: Watcher,
    (addr, places): (SocketAddr, &[&Place]),
    shared: &Shared,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let (mut late, mut noted) = (requests.clone(), requests.clone());
    tokio::select! {
        () = noted.note(places) => {}
        () = drive_while_read(connection, graceful_shutdown, requests, addr, shared) => {}
        () = late.overdue() => {
            tracing::debug!(%addr, "closed a connection whose peer does not end its request or read the answer");
            shared.traffic.closed(Closed::Overdue);
        }
    }
}

async fn drive_while_read<C>(
    connection: C,
    graceful_shutdown: impl Fn(Pin<&mut C>),
    mut requests: Watcher,
    addr: SocketAddr,
    shared: &Shared,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let limits = shared.limits;
    tokio::pin!(connection);
    let stopped = tokio::select! {
        ended = connection.as_mut() => return note_end(addr, ended, shared),
        () = requests.quiet(limits.handshake_wait_max, limits.idle_wait_max) => false,
        () = shared.stop.cancelled() => true,
    };
    graceful_shutdown(connection.as_mut());
    if !stopped {
        if !requests.any() {
            shared.traffic.closed(Closed::Silent);
        }
        // A request that was sent before the peer heard of the end is still answered.
        tokio::select! {
            ended = connection.as_mut() => return note_end(addr, ended, shared),
            () = requests.quiet(GOODBYE_WAIT_MAX, GOODBYE_WAIT_MAX) => {
                tracing::debug!(%addr, "closed a silent connection");
                return;
            }
            () = shared.stop.cancelled() => {}
        }
    }
    tokio::select! {
        ended = connection.as_mut() => note_end(addr, ended, shared),
        // Nobody waits for an answer here.
        () = requests.quiet(GOODBYE_WAIT_MAX, Duration::MAX) => {}
        () = tokio::time::sleep(limits.drain_wait_max) => {
            tracing::warn!(%addr, "connection did not end within the drain time");
        }
    }
}

fn note_end(addr: SocketAddr, ended: hyper::Result<()>, shared: &Shared) {
    let Err(error) = ended else { return };
    tracing::debug!(%addr, %error, "connection ended");
    if is_lost(&error) {
        return;
    }
    shared.traffic.closed(if error.is_timeout() {
        Closed::Silent
    } else if causes(&error).any(|cause| cause.is::<TookTooLong>()) {
        Closed::Overdue
    } else {
        Closed::Unreadable
    });
}

fn causes(error: &hyper::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// Whether the connection just broke off, which says nothing of its peer.
fn is_lost(error: &hyper::Error) -> bool {
    error.is_closed()
        || error.is_canceled()
        || error.is_incomplete_message()
        || causes(error).any(|cause| match cause.downcast_ref::<std::io::Error>() {
            // Of TLS, what is no record or has no right signature comes so.
            Some(io) => io.kind() != std::io::ErrorKind::InvalidData,
            None => false,
        })
}

/// IMF-fixdate, as HTTP wants it.
fn http_date(now: crate::clock::Timestamp) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(now.unix_s()))
}
