//! What comes over the network and is not what it should be: refused, and the service goes on.

use std::sync::Arc;

use futures::StreamExt as _;
use postern_agent::trust::Identity as AgentIdentity;
use postern_harness::client::{ClientError, Programme};
use postern_harness::lab::Lab;
use postern_kit::clock::SystemClock;
use postern_kit::dial::Connector;
use postern_kit::net::{Net as _, Sockets};
use postern_kit::tls::{self, Certificate, Identity, ServerTrust, Versions};
use postern_proto::ids::ClientId;
use postern_proto::wire::admin::admin_client::AdminClient;
use postern_proto::wire::admin::{CreateTenantRequest, ListTenantsRequest};
use postern_proto::wire::channel::agent_channel_client::AgentChannelClient;
use postern_proto::wire::channel::{AgentMessage, Hello, agent_message};
use postern_proto::wire::signin::SignInRequest;
use postern_proto::wire::signin::sign_in_client::SignInClient;
use postern_proto::wire::signin::sign_in_response::Outcome;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::world::{PATIENCE, TENANT, call, person, plan, start, topology};

/// A call's connection to one of the cloud's ports.
fn channel(port: u16, root: Certificate, identity: Option<Identity>) -> Channel {
    let trust = ServerTrust::Roots(vec![root]);
    let tls = tls::client(trust, identity, Versions::Tls13, &["h2"], Arc::new(SystemClock)).unwrap();
    let connector = Connector::new(Arc::new(Sockets), tls, "localhost", port).unwrap();
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}

fn to_public(lab: &Lab) -> Channel {
    channel(lab.public().port(), lab.page_root(), None)
}

/// As the lab's agent, with its certificate.
fn to_agents(lab: &Lab) -> Channel {
    let state = &lab.tenant().agents[0].state;
    let identity = AgentIdentity::load(lab.seams().disk.as_ref(), state).unwrap();
    let root = lab.admin.trust().root().clone();
    channel(lab.agents().port(), root, Some(identity.tls()))
}

fn hello(agent_version: String) -> AgentMessage {
    let hello = Hello {
        nonce: vec![7; 32],
        agent_version,
        ..Hello::default()
    };
    AgentMessage {
        message: Some(agent_message::Message::Hello(hello)),
    }
}

/// Attaches, says hello and stays until the cloud ends the stream.
async fn attach(channel: Channel, hello: AgentMessage) -> Result<(), Code> {
    let messages = futures::stream::iter([hello]).chain(futures::stream::pending());
    let stays = async {
        let attached = AgentChannelClient::new(channel).attach(messages).await?;
        let mut stream = attached.into_inner();
        while stream.message().await?.is_some() {}
        Ok(())
    };
    let ended = tokio::time::timeout(PATIENCE, stays).await;
    ended
        .expect("the stream is left open")
        .map_err(|status: tonic::Status| status.code())
}

/// Everything still works.
async fn goes_on(lab: &Lab) {
    let (username, password) = person(0);
    assert_eq!(call(lab, &username, &password).await, Outcome::SignedIn);
}

#[tokio::test]
async fn without_a_clients_credentials_nobody_calls() {
    let lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    let sign_in = async |authorization: Option<&str>| {
        let mut request = Request::new(SignInRequest {
            username: username.clone(),
            password: password.clone(),
        });
        if let Some(value) = authorization {
            request
                .metadata_mut()
                .insert("authorization", value.parse().unwrap());
        }
        SignInClient::new(to_public(&lab))
            .sign_in(request)
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(sign_in(None).await, Code::Unauthenticated);
    assert_eq!(sign_in(Some("Basic YTpi")).await, Code::Unauthenticated);
    let (id, secret) = &lab.tenant().client;
    assert_eq!(
        sign_in(Some(&format!("Bearer {}", secret.as_str()))).await,
        Code::Unauthenticated
    );
    let other = ClientId::generate(lab.seams().random.as_ref()).to_string();
    let wrong_secret: String = secret.chars().rev().collect();
    for (id, secret) in [(id.to_string(), wrong_secret.as_str()), (other, secret.as_str())] {
        let programme = Programme::new(lab.public(), vec![lab.page_root()], &id, secret).unwrap();
        let refused = programme.sign_in(&username, &password).await.unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused(status) if status.code() == Code::Unauthenticated),
            "{refused:?}"
        );
    }
    assert_eq!(lab.tenant().directory.journal().total(), 0);
    assert_eq!(lab.admin.sign_ins().list(None, None, 10).await.unwrap(), []);
    goes_on(&lab).await;
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn each_port_takes_its_own_calls_alone() {
    let lab = start(topology(plan(1))).await;
    // Administration is on the socket alone: one port denies it, the other has a page for what it
    // does not know, which is nothing that a caller understands.
    for (channel, expected) in [
        (to_public(&lab), &[Code::Unimplemented][..]),
        (to_agents(&lab), &[Code::PermissionDenied]),
    ] {
        let mut admin = AdminClient::new(channel);
        let request = CreateTenantRequest {
            name: "mallory".to_owned(),
            tell_locked: false,
        };
        for refused in [
            admin.create_tenant(request).await.unwrap_err(),
            admin.list_tenants(ListTenantsRequest {}).await.unwrap_err(),
        ] {
            assert!(expected.contains(&refused.code()), "{refused:?}");
        }
    }
    assert_eq!(lab.admin.tenants().list().await.unwrap().len(), 1);
    // The check of the check: over the socket it is no secret.
    let mut admin = postern_cloud::admin::socket::connect(&lab.admin_socket())
        .await
        .unwrap();
    let tenants = admin
        .list_tenants(ListTenantsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(tenants.tenants.len(), 1);

    let attached = attach(to_public(&lab), hello(String::new())).await;
    assert!(attached.is_err());
    let (username, password) = person(0);
    let request = SignInRequest { username, password };
    let over_agents = SignInClient::new(to_agents(&lab)).sign_in(request).await;
    assert_eq!(over_agents.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(lab.tenant().directory.journal().total(), 0);
    goes_on(&lab).await;
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_service_goes_on() {
    let lab = start(topology(plan(1))).await;
    let (username, _) = person(0);
    let huge = "x".repeat(100_000);
    let browser = lab.browser().unwrap();
    let page = browser
        .post(TENANT, &[("username", &username), ("password", &huge)])
        .await
        .unwrap();
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!page.html.contains("xxx"), "it is not given back");
    let programme = lab.programme(lab.tenant()).unwrap();
    let refused = programme.sign_in(&username, &huge).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused(status) if status.code() == Code::OutOfRange),
        "{refused:?}"
    );
    // What is a password and none that a directory may see is refused like a wrong one.
    let long = programme.sign_in(&username, &huge[..10_000]).await.unwrap();
    assert_eq!(long.outcome(), Outcome::Refused);
    assert_eq!(lab.tenant().directory.journal().total(), 0);
    // An agent whose hello is too large does not take the place of its older stream.
    let agents = async || {
        let agents = lab.admin.agents(lab.tenant().tenant.id).await.unwrap();
        agents
            .into_iter()
            .map(|(_, presence)| presence)
            .collect::<Vec<_>>()
    };
    let before = agents().await;
    assert_eq!(attach(to_agents(&lab), hello(huge.clone())).await, Ok(()));
    assert_eq!(agents().await, before);
    goes_on(&lab).await;
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn noise_ends_its_own_connection_alone() {
    let lab = start(topology(plan(1))).await;
    for address in [lab.public(), lab.agents()] {
        for noise in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0; 70_000],
            b"\x16\x03\x01\xff\xff",
        ] {
            let mut connection = Sockets.connect("127.0.0.1", address.port()).await.unwrap();
            // It may close before all is written.
            let _ = connection.write_all(noise).await;
            let _ = connection.shutdown().await;
            let mut answer = Vec::new();
            let _ = connection.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP"), "answered without TLS");
        }
    }
    goes_on(&lab).await;
    let admin = lab.admin.clone();
    // Its end waits for all connections, also those of which the peer has seen the end already.
    lab.stop().await.unwrap();
    for (listener, counts) in admin.status().listeners {
        assert_eq!(counts.no_handshake, 3, "{listener}: {counts:?}");
        assert_eq!(counts.open, 0);
    }
}
