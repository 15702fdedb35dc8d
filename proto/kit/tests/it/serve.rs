//! What a listener puts up with, and how it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use postern_kit::Seams;
use postern_kit::dial::Connector;
use postern_kit::serve::{Limits, Peer, https};
use postern_kit::tasks::Tasks;
use postern_kit::tls::{self, ClientTrust, ServerTrust, Versions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::pki::{Root, seams};

struct World {
    seams: Seams,
    addr: SocketAddr,
    root: Root,
    stop: CancellationToken,
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
            ClientTrust::NotAsked,
            versions,
            &["http/1.1"],
            seams.clock.clone(),
        );
        let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (seen, waits) = (arrived.clone(), go_on.clone());
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
            );
        let serving = https(
            listener,
            tls.unwrap(),
            router,
            limits,
            seams.clone(),
            stop.clone(),
        );
        seams.tasks.spawn("listener", serving);
        Self {
            seams,
            addr,
            root,
            stop,
            arrived,
            go_on,
        }
    }

    /// The whole answer to one request on a connection of its own; empty if there is none.
    async fn get(&self, path: &str) -> String {
        let trust = ServerTrust::Roots(vec![self.root.certificate.clone()]);
        let client = tls::client(
            trust,
            None,
            Versions::Tls13,
            &["http/1.1"],
            self.seams.clock.clone(),
        )
        .unwrap();
        let connector =
            Connector::new(self.seams.net.clone(), client, "localhost", self.addr.port()).unwrap();
        let Ok(mut stream) = connector.connect().await else {
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
    world.stop.cancel();
    world.end().await;
}
