//! Whoever holds connections open on the cloud's own ports holds up nobody else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use futures::stream;
use postern_harness::lab::{Lab, Topology};
use postern_kit::clock::SystemClock;
use postern_kit::dial::Connector;
use postern_kit::net::{BoxedIo, LdapLink, LdapProtection, Listener, Net, Sockets};
use postern_kit::tasks::Tasks;
use postern_kit::tls::{self, Certificate, ServerTrust, Versions};
use postern_kit::traffic::Counts;
use postern_proto::wire::signin::sign_in_response::Outcome;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::world::{PATIENCE, TENANT, call, eventually, person, plan, start};

/// Connections that the cloud allows in these tests, to each of its ports.
const PLACES: usize = 160;

/// Of those to the agents' port, for strangers.
const ENROLLING: usize = 64;

/// More than there are places.
const CROWD: usize = PLACES + 40;

async fn a_lab() -> Lab {
    start(Topology {
        connections_max: PLACES,
        ..Topology::of(plan(4))
    })
    .await
}

async fn connect(to: SocketAddr) -> io::Result<BoxedIo> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    Ok(Box::new(socket.connect(to).await?))
}

/// The network, from another address than that of everybody else in these tests.
#[derive(Debug)]
struct Elsewhere;

#[async_trait]
impl Net for Elsewhere {
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Sockets.listen(addr).await
    }

    async fn connect(&self, _: &str, port: u16) -> io::Result<BoxedIo> {
        connect(SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    async fn connect_ldap(
        &self,
        host: &str,
        port: u16,
        protection: LdapProtection,
        tls: Arc<rustls::ClientConfig>,
    ) -> io::Result<LdapLink> {
        Sockets.connect_ldap(host, port, protection, tls).await
    }
}

/// A connection with a call that its sender never ends; `None` if the cloud closes it before.
async fn hold(crowd: &Crowd, to: SocketAddr, root: &Certificate, path: &'static str) -> Option<()> {
    let trust = ServerTrust::Roots(vec![root.clone()]);
    let tls = tls::client(trust, None, Versions::Tls13, &["h2"], Arc::new(SystemClock)).unwrap();
    let connector = Connector::new(Arc::new(Elsewhere), tls, "localhost", to.port()).unwrap();
    let channel = Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .ok()?;
    let mut client = Grpc::new(channel);
    client.ready().await.ok()?;
    let gone = crowd.gone.clone();
    crowd.tasks.spawn("one of the crowd", async move {
        let path = http::uri::PathAndQuery::from_static(path);
        let (first, never) = (stream::iter([()]), stream::pending());
        let request = tonic::Request::new(futures::StreamExt::chain(first, never));
        let codec = ProstCodec::<(), ()>::default();
        // What came stays unread, and the connection open.
        let stays = async {
            let _answered = client.streaming(request, path, codec).await;
            std::future::pending::<()>().await;
        };
        gone.run_until_cancelled(stays).await;
    });
    Some(())
}

/// Many who hold a connection each.
struct Crowd {
    tasks: Tasks,
    gone: CancellationToken,
}

impl Crowd {
    /// All come at once. At least so many get a place, if only for a while.
    async fn hold(to: SocketAddr, root: &Certificate, path: &'static str, places: usize) -> Self {
        let crowd = Self {
            tasks: Tasks::new(),
            gone: CancellationToken::new(),
        };
        let held = join_all((0..CROWD).map(|_| hold(&crowd, to, root, path))).await;
        let got = held.iter().flatten().count();
        assert!(got >= places, "{path}: {got}");
        crowd
    }

    async fn goes(self) {
        self.gone.cancel();
        self.tasks.run_until(&self.gone, PATIENCE).await.unwrap();
    }
}

fn counts(lab: &Lab, name: &str) -> Counts {
    let listeners = lab.admin.status().listeners;
    let (_, counts) = listeners
        .into_iter()
        .find(|(listener, _)| *listener == name)
        .unwrap();
    counts
}

/// By call and by page, with the right answer.
async fn everybody_else_signs_in(lab: &Lab) {
    for at in 0..4 {
        let (username, password) = person(at);
        assert_eq!(call(lab, &username, &password).await, Outcome::SignedIn);
        let page = lab
            .browser()
            .unwrap()
            .sign_in(TENANT, &username, &password)
            .await
            .unwrap();
        assert_eq!(page.heading(), Some("Signed in"), "{username}");
    }
}

#[tokio::test]
async fn who_holds_every_connection_to_the_page_holds_up_nobody_else() {
    let lab = a_lab().await;
    let root = lab.page_root();
    for path in [
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/postern.signin.v1.SignIn/SignIn",
    ] {
        let crowd = Crowd::hold(lab.public(), &root, path, PLACES).await;
        everybody_else_signs_in(&lab).await;
        crowd.goes().await;
        eventually("the crowd is gone", async || {
            (counts(&lab, "public").open < 16).then_some(())
        })
        .await;
    }
    let counts = counts(&lab, "public");
    assert!(counts.made_room > 0, "{counts:?}");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn connections_that_say_nothing_hold_up_nobody_else() {
    let lab = a_lab().await;
    let mut silent = join_all((0..PLACES).map(|_| connect(lab.public()))).await;
    // All wait in their handshakes before anybody else comes.
    eventually("all places are taken", async || {
        (counts(&lab, "public").open >= PLACES as u64).then_some(())
    })
    .await;
    everybody_else_signs_in(&lab).await;
    assert!(counts(&lab, "public").made_room > 0);
    let mut given_up = 0;
    for stream in silent.iter_mut().flatten() {
        // Room was made of the oldest; the others are closed for their slowness.
        let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0]))
            .await
            .unwrap();
        given_up += usize::from(matches!(end, Ok(0) | Err(_)));
    }
    assert_eq!(given_up, PLACES);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn who_holds_every_place_for_enrolment_holds_up_no_host() {
    let mut lab = a_lab().await;
    let root = lab.admin.trust().root().clone();
    let path = "/postern.registration.v1.Registration/Enrol";
    let crowd = Crowd::hold(lab.agents(), &root, path, ENROLLING).await;
    let enrolled = lab.enrol_agent(0).await.unwrap();
    lab.run_agent(0, enrolled, None).await.unwrap();
    let counts = counts(&lab, "agents");
    assert!(counts.made_room > 0, "{counts:?}");
    everybody_else_signs_in(&lab).await;
    crowd.goes().await;
    lab.stop().await.unwrap();
}
