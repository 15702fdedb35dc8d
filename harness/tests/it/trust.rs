//! Who is refused before anything secret is sent.

use std::sync::Arc;

use postern_agent::{EnrolError, Enrolment, HostPort};
use postern_kit::clock::SystemClock;
use postern_kit::dial::Connector;
use postern_kit::net::Sockets;
use postern_kit::tls::{self, Identity, ServerTrust, Versions};
use postern_proto::wire::channel::agent_channel_client::AgentChannelClient;
use postern_proto::wire::channel::{AgentMessage, Hello, agent_message};
use std::time::Duration;
use tonic::Code;
use tonic::transport::Endpoint;

use postern_harness::lab::{EnrolledAgent, Lab};

use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::admin::admin;
use crate::world::{DOMAIN, TENANT, call, eventually, person, plan, start, topology};

fn host_port(lab: &Lab) -> HostPort {
    HostPort {
        host: "localhost".to_owned(),
        port: lab.agents().port(),
    }
}

#[tokio::test]
async fn a_token_for_another_root_is_not_sent_and_stays_good() {
    let (one, other) = (start(topology(plan(1))).await, start(topology(plan(1))).await);
    let tenant = one.tenant();
    let made = one.admin.trust().create_token(
        tenant.tenant.id,
        vec![tenant.domain.clone()],
        Duration::from_secs(600),
    );
    let (_, token) = made.await.unwrap();
    let enrolment = Enrolment {
        cloud: host_port(&other),
        token,
        state: one.folder().join("stray"),
        host_name: "stray".to_owned(),
        replace_identity: false,
    };
    let error = postern_agent::enrol(enrolment, one.seams()).await.unwrap_err();
    assert!(matches!(error, EnrolError::Connect { .. }), "{error:?}");
    let tokens = one.admin.trust().tokens(tenant.tenant.id).await.unwrap();
    assert_eq!(tokens.iter().filter(|token| token.used_by.is_none()).count(), 1);
    assert!(
        !one.folder()
            .join("stray")
            .join(postern_agent::trust::FILE_NAME)
            .exists()
    );
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

/// Attaches with this identity; what the cloud says to that.
async fn attach(lab: &Lab, identity: Option<Identity>) -> Result<(), Code> {
    let trust = ServerTrust::Roots(vec![lab.admin.trust().root().clone()]);
    let tls = tls::client(trust, identity, Versions::Tls13, &["h2"], Arc::new(SystemClock)).unwrap();
    let connector = Connector::new(Arc::new(Sockets), tls, "localhost", lab.agents().port()).unwrap();
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
    let hello = Hello {
        nonce: vec![7; 32],
        ..Hello::default()
    };
    let hello = AgentMessage {
        message: Some(agent_message::Message::Hello(hello)),
    };
    let attached = AgentChannelClient::new(channel)
        .attach(tokio_stream::iter([hello]))
        .await;
    match attached {
        Ok(response) => match response.into_inner().message().await {
            Ok(_) => Ok(()),
            Err(status) => Err(status.code()),
        },
        Err(status) => Err(status.code()),
    }
}

#[tokio::test]
async fn without_an_agents_certificate_of_this_cloud_nobody_attaches() {
    let (one, other) = (start(topology(plan(1))).await, start(topology(plan(1))).await);
    assert_eq!(attach(&one, None).await, Err(Code::Unauthenticated));
    let identity = |lab: &Lab| {
        let state = &lab.tenant().agents[0].state;
        postern_agent::trust::Identity::load(lab.seams().disk.as_ref(), state)
            .unwrap()
            .tls()
    };
    assert!(attach(&one, Some(identity(&other))).await.is_err());
    // The check of the check: its own agent is let in.
    assert_eq!(attach(&one, Some(identity(&one))).await, Ok(()));
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_does_not_attach_to_another_cloud() {
    let (mut one, other) = (start(topology(plan(1))).await, start(topology(plan(1))).await);
    let enrolled: EnrolledAgent = one.enrol_agent(0).await.unwrap();
    let identity = postern_agent::trust::Identity::load(one.seams().disk.as_ref(), &enrolled.state).unwrap();
    let trust = ServerTrust::Roots(vec![identity.root.clone()]);
    let tls = tls::client(
        trust,
        Some(identity.tls()),
        Versions::Tls13,
        &["h2"],
        Arc::new(SystemClock),
    )
    .unwrap();
    let connector = Connector::new(Arc::new(Sockets), tls, "localhost", other.agents().port()).unwrap();
    let error = connector.connect().await.err().unwrap();
    assert!(error.to_string().contains("certificate"), "{error}");
    one.run_agent(0, enrolled, None).await.unwrap();
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_serves_a_domain_no_more_once_it_was_taken_away() {
    let lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    let users = lab
        .admin
        .tenants()
        .users(lab.tenant().tenant.id, None, 10)
        .await
        .unwrap();
    let object = users[0].object;
    for words in [
        format!("user delete --tenant {TENANT} {username}"),
        format!("domain delete --tenant {TENANT} {DOMAIN}"),
        format!("domain create --tenant {TENANT} {DOMAIN}"),
        format!("user create --tenant {TENANT} {username} --object-id {object}"),
    ] {
        admin(&lab, &words).await.unwrap();
    }
    // The agent is attached, but it was enrolled for what is not the same domain any more.
    eventually("the agent is looked at again", async || {
        (call(&lab, &username, &password).await == Outcome::Unavailable).then_some(())
    })
    .await;
    assert_eq!(call(&lab, &username, &password).await, Outcome::Unavailable);
    lab.stop().await.unwrap();
}
