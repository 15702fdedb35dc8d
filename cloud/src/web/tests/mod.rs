//! The router as a browser and a programme see it, over a fake that signs in.

mod pages;
mod rpc;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use postern_kit::Seams;
use postern_kit::secret::Token256;
use postern_kit::serve::Peer;
use postern_proto::ids::{ClientId, RequestId, UserId};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::callers::Guard;
use crate::sign_in::{Answer, Entry, Input, Outcome, SignsIn};
use crate::store::Store;
use crate::tenants::Tenants;
use crate::trust::{Trust, TrustConfig};

const REQUEST: RequestId = RequestId::from_bytes([7; 16]);
const USER: UserId = UserId::from_bytes([9; 16]);
const PASSWORD: &str = "Right+Horse&Staple-42";

/// All outcomes in the order of the wire's enum.
const OUTCOMES: [Outcome; 12] = [
    Outcome::SignedIn(USER),
    Outcome::Refused,
    Outcome::PasswordExpired,
    Outcome::MustChange,
    Outcome::Disabled,
    Outcome::AccountExpired,
    Outcome::LogonHours,
    Outcome::Workstation,
    Outcome::Locked,
    Outcome::TooManyAttempts,
    Outcome::Busy,
    Outcome::Unavailable,
];

/// What somebody was asked to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    tenant: String,
    username: String,
    password: String,
    entry: Entry,
    source: IpAddr,
    timeout: Option<Duration>,
}

/// Answers as it is told to.
struct Fake {
    answer: Mutex<Option<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

impl Fake {
    fn will(&self, outcome: Outcome, retry_after: Option<Duration>) {
        *self.answer.lock().unwrap() = Some(Answer {
            request: REQUEST,
            outcome,
            retry_after,
        });
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

#[async_trait]
impl SignsIn for Fake {
    async fn run(&self, input: Input) -> Answer {
        let since = |deadline: Instant| deadline.duration_since(input.received);
        self.seen.lock().unwrap().push(Seen {
            tenant: input.tenant.to_string(),
            username: input.username,
            password: input.password.to_string(),
            entry: input.entry,
            source: input.source,
            timeout: input.deadline.map(since),
        });
        let answer = *self.answer.lock().unwrap();
        match answer {
            Some(answer) => answer,
            None => panic!("on purpose, with {}", input.password.as_str()),
        }
    }
}

/// The router over a store with tenant `acme` and one client of it.
struct World {
    router: Router,
    fake: Arc<Fake>,
    client: (ClientId, Token256),
    tenants: Tenants,
    stop: CancellationToken,
    _folder: TempDir,
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4711);

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (seams, stop) = (Seams::real(), CancellationToken::new());
        let store = Store::open(&folder.path().join("data/postern.sqlite"), &seams, stop.clone())
            .await
            .unwrap();
        let tenants = Tenants::new(store.clone(), &seams);
        let acme = tenants.create("acme".parse().unwrap(), false).await.unwrap();
        let (client, secret) = tenants.create_client(acme.id, "test".to_owned()).await.unwrap();
        let config = TrustConfig {
            data: folder.path().join("data"),
            master_key: folder.path().join("master.key"),
            host_names: vec!["localhost".to_owned()],
        };
        let guard = Guard::new(Trust::open(&config, store, &seams).unwrap(), tenants.clone());
        let fake = Arc::new(Fake {
            answer: Mutex::new(None),
            seen: Mutex::default(),
        });
        fake.will(Outcome::Refused, None);
        let router = super::public_router(fake.clone(), &guard, &seams, stop.clone())
            .await
            .unwrap();
        let peer = Peer {
            addr: FROM,
            certificate: None,
        };
        Self {
            router: router.layer(axum::Extension(peer)),
            fake,
            client: (client.id, secret),
            tenants,
            stop,
            _folder: folder,
        }
    }

    async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Got {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Posts a form as a browser does from our own page.
    async fn post(&self, path: &str, form: &str) -> Got {
        let request = form_request(path, form).header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(form.to_owned())).unwrap())
            .await
    }

    /// Second step.
    async fn sign_in(&self, tenant: &str, username: &str) -> Got {
        let form = form(username, Some(PASSWORD));
        self.post(&format!("/t/{tenant}/sign-in"), &form).await
    }
}

fn form_request(path: &str, form: &str) -> http::request::Builder {
    Request::post(path)
        .header("host", "sign-in.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", form.len())
}

fn form(username: &str, password: Option<&str>) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    match password {
        Some(password) => format!("username={}&password={}", encode(username), encode(password)),
        None => format!("username={}", encode(username)),
    }
}
