use super::*;
use postern_kit::dial::Connector;
use postern_kit::serve::{self, Limits};
use postern_kit::tls::{self, ClientTrust, Identity, ServerTrust, Versions};
use postern_kit::traffic::Traffic;
use postern_proto::wire::signin::SignInRequest;
use postern_proto::wire::signin::sign_in_client::SignInClient;
use tonic::transport::Endpoint;

/// Serves the world's router on a real socket; also the certificate to trust.
async fn listen(world: &World, seams: &Seams) -> (u16, Vec<rustls_pki_types::CertificateDer<'static>>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let identity = Identity::from_pem(made.cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let roots = identity.chain.clone();
    let clock = seams.clock.clone();
    let alpn = ["h2", "http/1.1"];
    let tls = tls::server(
        identity,
        ClientTrust::NotAsked,
        Versions::Tls12And13,
        &alpn,
        clock,
    );
    let listener = seams.net.listen(crate::config::ANY_LOCAL_PORT).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = serve::https(
        listener,
        tls.unwrap(),
        world.router.clone(),
        Limits::default(),
        Arc::new(Traffic::new("public")),
        seams.clone(),
        world.stop.clone(),
    );
    seams.tasks.spawn("public", serving);
    (port, roots)
}

#[tokio::test]
async fn page_and_calls_share_one_listener() {
    let (world, seams) = (World::new().await, Seams::real());
    let (port, roots) = listen(&world, &seams).await;
    world.fake.will(Outcome::SignedIn(USER), None);
    let trust = |alpn: &[&str]| {
        let trust = ServerTrust::Roots(roots.clone());
        tls::client(trust, None, Versions::Tls12And13, alpn, seams.clock.clone()).unwrap()
    };

    let connector = Connector::new(seams.net.clone(), trust(&["h2"]), "localhost", port).unwrap();
    let endpoint = Endpoint::from_static("https://localhost");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let mut call = tonic::Request::new(SignInRequest {
        username: "ada@corp.example".to_owned(),
        password: PASSWORD.to_owned(),
    });
    let authorization = super::rpc::basic(world.client.0, &world.client.1);
    call.metadata_mut()
        .insert("authorization", authorization.parse().unwrap());
    let answer = SignInClient::new(channel).sign_in(call).await.unwrap();
    assert_eq!(answer.into_inner().user_id, USER.to_string());

    let browser = reqwest::Client::builder()
        .tls_backend_preconfigured((*trust(&["http/1.1"])).clone())
        .build()
        .unwrap();
    let url = format!("https://localhost:{port}/t/acme/sign-in");
    let page = browser
        .post(&url)
        .header("origin", format!("https://localhost:{port}"))
        .form(&[("username", "ada@corp.example"), ("password", PASSWORD)])
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("data-code=\"0\""));

    let seen = world.fake.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.password == PASSWORD));
    world.stop.cancel();
}
