//! What a listener puts up with, and how it ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use postern_kit::Seams;
use postern_kit::dial::Connector;
use postern_kit::net::BoxedIo;
use postern_kit::serve::{Lasting, Limits, Peer, https};
use postern_kit::tasks::Tasks;
use postern_kit::tls::{self, ClientTrust, Identity, ServerTrust, Versions};
use postern_kit::traffic::{Counts, Traffic};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::pki::{Root, seams};

struct World {
    seams: Seams,
    addr: SocketAddr,
    root: Root,
    stop: CancellationToken,
    traffic: Arc<Traffic>,
    arrived: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let (seams, _) = seams();
        let (root, stop) = (Root::new(), CancellationToken::new());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = seams.net.listen(any).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let versions = Versions::Tls12And13;
        let tls = tls::server(
            root.leaf("localhost"),
            ClientTrust::Optional(root.certificate.clone()),
            versions,
            &["h2", "http/1.1"],
            seams.clock.clone(),
        );
        let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (seen, waits) = (arrived.clone(), go_on.clone());
        let (streamed, leaving) = (go_on.clone(), go_on.clone());
        let router = Router::new()
            .route(
                "/quick",
                get(async |peer: axum::Extension<Peer>| peer.addr.ip().to_string()),
            )
            .route(
                "/slow",
                get(move || async move {
                    seen.notify_one();
                    waits.notified().await;
                    "slow"
                }),
            )
            .route(
                "/stream",
                get(move || async move {
                    let rest = futures::stream::once(async move {
                        streamed.notified().await;
                        Ok::<_, std::io::Error>("rest")
                    });
                    let first = futures::stream::iter([Ok("first")]);
                    Body::from_stream(futures::StreamExt::chain(first, rest))
                }),
            );
        let endless = || {
            let lines = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 4096]));
            Body::from_stream(lines)
        };
        let router = router
            .route("/endless", get(move || async move { endless() }))
            .route(
                "/lasting",
                get(|| async {
                    let never = futures::stream::pending::<io::Result<Vec<u8>>>();
                    let first = futures::stream::iter([Ok(b"first".to_vec())]);
                    let body = Body::from_stream(futures::StreamExt::chain(first, never));
                    (axum::Extension(Lasting), body)
                }),
            )
            .route(
                "/leaving",
                get(move || async move {
                    let rest = futures::stream::once(async move {
                        leaving.notified().await;
                        Ok::<_, std::io::Error>("rest")
                    });
                    (axum::Extension(Lasting), Body::from_stream(rest))
                }),
            )
            .route(
                "/taken",
                post(|body: axum::body::Bytes| async move { body.len().to_string() }),
            );
        let traffic = Arc::new(Traffic::new("door"));
        let serving = https(
            listener,
            tls.unwrap(),
            router,
            limits,
            traffic.clone(),
            seams.clone(),
            stop.clone(),
        );
        seams.tasks.spawn("listener", serving);
        Self {
            seams,
            addr,
            root,
            stop,
            traffic,
            arrived,
            go_on,
        }
    }

    async fn connect(&self, alpn: &[&str], identity: Option<Identity>) -> io::Result<TlsStream<BoxedIo>> {
        let trust = ServerTrust::Roots(vec![self.root.certificate.clone()]);
        let clock = self.seams.clock.clone();
        let client = tls::client(trust, identity, Versions::Tls13, alpn, clock).unwrap();
        let net = self.seams.net.clone();
        let connector = Connector::new(net, client, "localhost", self.addr.port()).unwrap();
        connector.connect().await
    }

    /// An HTTP/2 connection; the receiver is told when it has ended.
    async fn http2(&self) -> (SendRequest<Body>, oneshot::Receiver<()>) {
        let stream = TokioIo::new(self.connect(&["h2"], None).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let (tell, ended) = oneshot::channel();
        self.seams.tasks.spawn("client", async move {
            let _ = connection.await;
            let _ = tell.send(());
        });
        (sender, ended)
    }

    /// The whole answer to one request on a connection of its own; empty if there is none.
    async fn get(&self, path: &str) -> String {
        self.get_as(None, path).await
    }

    async fn get_as(&self, identity: Option<Identity>, path: &str) -> String {
        let Ok(mut stream) = self.connect(&["http/1.1"], identity).await else {
            return String::new();
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let mut answer = Vec::new();
        if stream.write_all(request.as_bytes()).await.is_ok() {
            // The end of the connection ends the answer, however it comes.
            let _ = stream.read_to_end(&mut answer).await;
        }
        String::from_utf8(answer).unwrap()
    }

    /// A connection without TLS from another address of this machine.
    async fn raw_from(&self, from: impl Into<IpAddr>) -> io::Result<BoxedIo> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.into(), 0))?;
        Ok(Box::new(socket.connect(self.addr).await?))
    }

    async fn end(self) {
        let tasks: &Tasks = &self.seams.tasks;
        tasks
            .run_until(&self.stop, Duration::from_secs(10))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn answers_carry_the_injected_date_and_handlers_know_the_peer() {
    let world = World::new(Limits::default()).await;
    let answer = world.get("/quick").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("date: Fri, 15 Jan 2027 08:00:00 GMT"), "{answer}");
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_after_the_stop_and_nothing_new_is_taken() {
    let world = World::new(Limits::default()).await;
    let (answer, ()) = tokio::join!(world.get("/slow"), async {
        world.arrived.notified().await;
        world.stop.cancel();
        // The listener is gone once its task has ended; until then a connection may still be accepted and closed.
        assert_eq!(world.get("/quick").await, "");
        world.go_on.notify_one();
    });
    assert!(answer.ends_with("slow"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn who_holds_all_connections_is_not_joined_by_another_and_who_says_nothing_is_closed() {
    let world = World::new(Limits {
        connections_max: 1,
        handshake_wait_max: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let mut silent = world
        .seams
        .net
        .connect("localhost", world.addr.port())
        .await
        .unwrap();
    assert_eq!(world.get("/quick").await, "");
    // The silent one is closed by the server, and that makes room.
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    let mut answer = String::new();
    for _ in 0..1000 {
        answer = world.get("/quick").await;
        if !answer.is_empty() {
            break;
        }
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let counts = world.traffic.counts();
    assert!(counts.above_limit >= 1);
    assert_eq!(counts.slow_handshake, 1);
    world.stop.cancel();
    world.end().await;
}

/// Far more than any wait in these tests, and far less than the defaults that they do not change.
const SOON: Duration = Duration::from_secs(5);

fn uri(path: &str) -> http::Request<Body> {
    let uri = format!("https://localhost{path}");
    http::Request::get(uri).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn who_says_nothing_after_the_handshake_is_closed() {
    let world = World::new(Limits {
        handshake_wait_max: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    for alpn in [&["h2"][..], &["http/1.1"], &[]] {
        for said in ["", "GET /quick HTT", "PRI * HTTP/2.0\r\n\r\nS"] {
            let mut silent = world.connect(alpn, None).await.unwrap();
            silent.write_all(said.as_bytes()).await.unwrap();
            let mut heard = Vec::new();
            let end = silent.read_to_end(&mut heard);
            assert!(timeout(SOON, end).await.is_ok(), "{alpn:?} {said:?}");
        }
    }
    // The preface alone is no request.
    let (_sender, ended) = world.http2().await;
    timeout(SOON, ended).await.unwrap().unwrap();
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn what_is_closed_is_counted_by_its_reason_and_an_honest_end_is_not() {
    let world = World::new(Limits {
        handshake_wait_max: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let closed = async |alpn: &[&str], said: &[u8]| {
        let mut stream = world.connect(alpn, None).await.unwrap();
        let _ = stream.write_all(said).await;
        let _ = timeout(SOON, stream.read_to_end(&mut Vec::new())).await.unwrap();
    };
    let raw = async |said: &[u8]| {
        let port = world.addr.port();
        let mut stream = world.seams.net.connect("localhost", port).await.unwrap();
        let _ = stream.write_all(said).await;
        let _ = timeout(SOON, stream.read_to_end(&mut Vec::new())).await.unwrap();
    };
    assert!(world.get("/quick").await.starts_with("HTTP/1.1 200"));
    raw(b"GET / HTTP/1.1\r\n\r\n").await;
    raw(b"").await;
    closed(&["http/1.1"], b"\0\0\0 HELO\r\n\r\n").await;
    closed(
        &["h2"],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    )
    .await;
    closed(&["http/1.1"], b"").await;
    closed(&["h2"], b"").await;
    // Who opens and goes away again has done nothing wrong.
    drop(world.connect(&["h2"], None).await.unwrap());
    world.stop.cancel();
    let traffic = world.traffic.clone();
    world.end().await;
    let expected = Counts {
        open: 0,
        accepted: 8,
        no_handshake: 1,
        slow_handshake: 1,
        unreadable: 2,
        silent: 2,
        ..Counts::default()
    };
    assert_eq!(traffic.counts(), expected);
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_the_stop() {
    let world = World::new(Limits::default()).await;
    let _silent = world.connect(&["h2"], None).await.unwrap();
    let _older = world.connect(&["http/1.1"], None).await.unwrap();
    assert!(world.get("/quick").await.starts_with("HTTP/1.1 200"));
    world.stop.cancel();
    timeout(SOON, world.end()).await.unwrap();
}

#[tokio::test]
async fn without_alpn_it_is_http_1() {
    let world = World::new(Limits::default()).await;
    let mut stream = world.connect(&[], None).await.unwrap();
    let request = "GET /quick HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn a_connection_is_idle_only_when_every_response_has_ended() {
    let idle = Duration::from_millis(200);
    let world = World::new(Limits {
        idle_wait_max: idle,
        ..Limits::default()
    })
    .await;
    let (mut sender, mut ended) = world.http2().await;
    let streaming = sender.send_request(uri("/stream")).await.unwrap();
    assert_eq!(streaming.headers()["date"], "Fri, 15 Jan 2027 08:00:00 GMT");
    // Longer than idleness and the time to close that follows it.
    assert!(timeout(idle * 10, &mut ended).await.is_err());
    let quick = sender.send_request(uri("/quick")).await.unwrap();
    assert_eq!(quick.status(), 200);
    drop(quick);
    world.go_on.notify_one();
    let body = axum::body::to_bytes(Body::new(streaming.into_body()), 1024).await;
    assert_eq!(body.unwrap(), "firstrest");
    timeout(SOON, ended).await.unwrap().unwrap();
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn a_connection_whose_lasting_response_has_ended_is_closed_though_it_might_be_idle() {
    let world = World::new(Limits {
        idle_wait_max: SOON * 10,
        ..Limits::default()
    })
    .await;
    let (mut sender, ended) = world.http2().await;
    let lasting = sender.send_request(uri("/leaving")).await.unwrap();
    world.go_on.notify_one();
    let body = axum::body::to_bytes(Body::new(lasting.into_body()), 1024).await;
    assert_eq!(body.unwrap(), "rest");
    timeout(SOON, ended).await.unwrap().unwrap();
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn an_idle_http_1_connection_is_closed() {
    let world = World::new(Limits {
        idle_wait_max: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let mut stream = world.connect(&["http/1.1"], None).await.unwrap();
    stream
        .write_all(b"GET /quick HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    timeout(SOON, end).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn anonymous_peers_do_not_take_the_places_of_those_with_certificates() {
    let world = World::new(Limits {
        anonymous_max: 1,
        ..Limits::default()
    })
    .await;
    let identity = world.root.leaf("localhost");
    let (answer, ()) = tokio::join!(world.get("/slow"), async {
        world.arrived.notified().await;
        assert_eq!(world.get("/quick").await, "");
        let known = world.get_as(Some(identity), "/quick").await;
        assert!(known.starts_with("HTTP/1.1 200"), "{known}");
        world.go_on.notify_one();
    });
    assert!(answer.ends_with("slow"), "{answer}");
    assert_eq!(world.traffic.counts().anonymous_above_limit, 1);
    world.stop.cancel();
    world.end().await;
}

fn hasty() -> Limits {
    Limits {
        request_wait_max: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_told_so_and_its_connection_goes_on() {
    let world = World::new(hasty()).await;
    let (mut sender, _ended) = world.http2().await;
    // The handler waits, the request's body never ends, the answer's body never ends.
    let waits = sender.send_request(uri("/slow")).await.unwrap();
    assert_eq!(waits.status(), 408);
    let never = futures::stream::pending::<io::Result<Vec<u8>>>();
    let body = Body::from_stream(never);
    let request = http::Request::post("https://localhost/taken").body(body).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 408);
    let stream = sender.send_request(uri("/stream")).await.unwrap();
    assert_eq!(stream.status(), 200);
    let body = axum::body::to_bytes(Body::new(stream.into_body()), 1024);
    timeout(SOON, body).await.unwrap().unwrap_err();
    let quick = sender.send_request(uri("/quick")).await.unwrap();
    assert_eq!(quick.status(), 200);
    assert!(world.get("/slow").await.starts_with("HTTP/1.1 408"));
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_closed() {
    let world = World::new(hasty()).await;
    for alpn in ["h2", "http/1.1"] {
        let mut stream = world.connect(&[alpn], None).await.unwrap();
        if alpn == "h2" {
            let io = TokioIo::new(stream);
            let (mut sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), io)
                .await
                .unwrap();
            let (tell, ended) = oneshot::channel();
            world.seams.tasks.spawn("client", async move {
                let _ = connection.await;
                let _ = tell.send(());
            });
            // Kept and not read: the peer's window is full soon.
            let _answer = sender.send_request(uri("/endless")).await.unwrap();
            timeout(SOON, ended).await.unwrap().unwrap();
        } else {
            let request = b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n";
            stream.write_all(request).await.unwrap();
            // What is in buffers when it is closed can still be read.
            let open = async {
                while world.traffic.counts().overdue < 2 {
                    tokio::task::yield_now().await
                }
            };
            let in_time = timeout(SOON, open).await;
            assert!(in_time.is_ok(), "{:?}", world.traffic.counts());
        }
    }
    assert_eq!(world.traffic.counts().overdue, 2);
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn what_is_meant_to_last_lasts() {
    let world = World::new(hasty()).await;
    let (mut sender, mut ended) = world.http2().await;
    let lasting = sender.send_request(uri("/lasting")).await.unwrap();
    assert!(timeout(hasty().request_wait_max * 8, &mut ended).await.is_err());
    assert_eq!(sender.send_request(uri("/quick")).await.unwrap().status(), 200);
    drop(lasting);
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn who_holds_all_connections_makes_room_for_another_address() {
    let world = World::new(Limits {
        connections_max: 8,
        ..Limits::default()
    })
    .await;
    let mut greedy = Vec::new();
    for _ in 0..8 {
        greedy.push(world.raw_from([127, 0, 0, 2]).await.unwrap());
    }
    // Its own ninth finds none.
    let mut ninth = world.raw_from([127, 0, 0, 2]).await.unwrap();
    let end = timeout(SOON, ninth.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let answer = world.get("/quick").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let end = timeout(SOON, greedy[0].read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let counts = world.traffic.counts();
    assert_eq!((counts.above_limit, counts.made_room), (1, 1));
    world.stop.cancel();
    world.end().await;
}

#[tokio::test]
async fn who_has_a_certificate_makes_room_too_but_for_a_response_that_lasts() {
    let world = World::new(Limits {
        connections_max: 3,
        ..Limits::default()
    })
    .await;
    let (mut sender, _ended) = world.http2().await;
    let lasting = sender.send_request(uri("/lasting")).await.unwrap();
    let mut known = Vec::new();
    for _ in 0..2 {
        let identity = Some(world.root.leaf("localhost"));
        known.push(world.connect(&["h2"], identity).await.unwrap());
    }
    let _other = world.raw_from([127, 0, 0, 2]).await.unwrap();
    let mut heard = Vec::new();
    let _ = timeout(SOON, known[0].read_to_end(&mut heard)).await.unwrap();
    assert_eq!(world.traffic.counts().made_room, 1);
    assert_eq!(sender.send_request(uri("/quick")).await.unwrap().status(), 200);
    drop(lasting);
    world.stop.cancel();
    world.end().await;
}
