use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use postern_proto::wire::signin::sign_in_client::SignInClient;
use postern_proto::wire::signin::sign_in_response::Outcome as Wire;
use postern_proto::wire::signin::{SignInRequest, SignInResponse};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

pub(super) fn basic(id: ClientId, secret: &Token256) -> String {
    let pair = format!("{id}:{}", secret.plaintext_text().as_str());
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

fn request(username: &str, authorization: Option<&str>) -> tonic::Request<SignInRequest> {
    let mut request = tonic::Request::new(SignInRequest {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
    });
    if let Some(value) = authorization {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", value.parse().unwrap());
    }
    request
}

impl World {
    async fn call(&self, request: tonic::Request<SignInRequest>) -> Result<SignInResponse, Status> {
        let answer = SignInClient::new(self.router.clone()).sign_in(request).await?;
        assert_eq!(
            answer.metadata().get("x-content-type-options").unwrap(),
            "nosniff"
        );
        assert_eq!(answer.metadata().get("cache-control").unwrap(), "no-store");
        Ok(answer.into_inner())
    }

    fn authorization(&self) -> String {
        basic(self.client.0, &self.client.1)
    }

    async fn reflect(&self, request: MessageRequest) -> MessageResponse {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        };
        let answers = ServerReflectionClient::new(self.router.clone())
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap();
        let answer: ServerReflectionResponse = answers.into_inner().next().await.unwrap().unwrap();
        answer.message_response.unwrap()
    }
}

#[tokio::test]
async fn each_outcome_is_told_to_a_client() {
    let world = World::new().await;
    for (at, outcome) in OUTCOMES.into_iter().enumerate() {
        let retry_after = matches!(outcome, Outcome::Busy).then_some(Duration::from_millis(1500));
        world.fake.will(outcome, retry_after);
        let authorization = world.authorization();
        let got = world
            .call(request("ada@corp.example", Some(&authorization)))
            .await
            .unwrap();
        let signed_in = matches!(outcome, Outcome::SignedIn(_));
        let expected = SignInResponse {
            outcome: i32::try_from(at).unwrap() + 1,
            code: outcome.code(),
            user_id: if signed_in {
                USER.to_string()
            } else {
                String::new()
            },
            request_id: REQUEST.to_string(),
            retry_after_ms: if retry_after.is_some() { 1500 } else { 0 },
        };
        assert_eq!(got, expected, "{outcome:?}");
    }
    // By name as well, so that the order of the wire's enum is no accident.
    world.fake.will(Outcome::Locked, None);
    let authorization = world.authorization();
    let got = world.call(request("a@b", Some(&authorization))).await.unwrap();
    assert_eq!(got.outcome(), Wire::Locked);
}

#[tokio::test]
async fn a_client_signs_in_for_its_own_tenant_only_and_within_its_own_time() {
    let world = World::new().await;
    let other = world
        .tenants
        .create("other".parse().unwrap(), false)
        .await
        .unwrap();
    let (client, secret) = world
        .tenants
        .create_client(other.id, "theirs".to_owned())
        .await
        .unwrap();
    let mut asked = request("ada@corp.example", Some(&basic(client.id, &secret)));
    asked.set_timeout(Duration::from_millis(1234));
    world.call(asked).await.unwrap();
    let expected = Seen {
        tenant: "other".to_owned(),
        username: "ada@corp.example".to_owned(),
        password: PASSWORD.to_owned(),
        entry: Entry::Rpc(client.id),
        source: FROM.ip(),
        timeout: Some(Duration::from_millis(1234)),
    };
    assert_eq!(world.fake.seen(), [expected]);
}

#[tokio::test]
async fn who_is_no_client_is_refused_in_one_way() {
    let world = World::new().await;
    let (id, _) = &world.client;
    let stranger = ClientId::from_bytes([1; 16]);
    let other = Token256::generate(&postern_kit::random::SeededRandom::new(1));
    let mut told = Vec::new();
    for authorization in [
        None,
        Some("Basic !".to_owned()),
        Some(basic(*id, &other)),
        Some(basic(stranger, &world.client.1)),
        Some(world.authorization().replace("Basic", "Bearer")),
    ] {
        let refused = world
            .call(request("ada@corp.example", authorization.as_deref()))
            .await
            .unwrap_err();
        told.push((refused.code(), refused.message().to_owned()));
    }
    assert!(told.iter().all(|t| *t == told[0]), "{told:?}");
    assert_eq!(told[0].0, Code::Unauthenticated);
    assert_eq!(world.fake.seen(), []);
}

#[tokio::test]
async fn what_a_call_may_not_be_is_refused_without_a_word_of_the_inside() {
    let world = World::new().await;
    let authorization = world.authorization();
    let mut large = request("ada@corp.example", Some(&authorization));
    large.get_mut().password = "x".repeat(17_000);
    let refused = world.call(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");

    let mut hasty = request("ada@corp.example", Some(&authorization));
    hasty
        .metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let refused = world.call(hasty).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(world.fake.seen(), []);

    *world.fake.answer.lock().unwrap() = None;
    let refused = world
        .call(request("ada@corp.example", Some(&authorization)))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Internal, "internal error")
    );
}

#[tokio::test]
async fn health_says_serving_until_the_end_and_lets_watchers_go() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.router.clone());
    for service in ["", "postern.signin.v1.SignIn"] {
        let service = service.to_owned();
        let got = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(got.into_inner().status(), ServingStatus::Serving);
    }
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    world.stop.cancel();
    let last = watch.next().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    let ended = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
    assert!(ended.expect("the stream ends").is_none());
}

#[tokio::test]
async fn reflection_describes_what_is_served_here_and_nothing_else() {
    let world = World::new().await;
    let listed = world.reflect(MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else {
        panic!("{listed:?}");
    };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "postern.signin.v1.SignIn",
    ];
    assert_eq!(names, expected);
    let symbol = MessageRequest::FileContainingSymbol("postern.signin.v1.SignIn".to_owned());
    let found = world.reflect(symbol).await;
    assert!(
        matches!(found, MessageResponse::FileDescriptorResponse(_)),
        "{found:?}"
    );
}
