//! The authority and the registry over real files, a real store and a clock that is moved by hand.

mod certificates;
mod enrolment;
mod keep;
mod registry;

use super::*;
use crate::tenants::Tenants;
use postern_kit::clock::ManualClock;
use postern_kit::digest;
use postern_proto::certificate::{self, Role};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOST: &str = "pta1.corp.example";
const VERSION: &str = "1.2.3";

/// A cloud's trust, tenants and store, as the tests of rooms above want them too.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) seams: Seams,
    pub(crate) store: Store,
    pub(crate) tenants: Tenants,
    pub(crate) trust: Trust,
    folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let seams = Seams {
            clock: clock.clone(),
            ..Seams::real()
        };
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("data/postern.sqlite");
        let store = Store::open(&database, &seams, CancellationToken::new())
            .await
            .unwrap();
        Self {
            trust: Trust::open(&config(&folder), store.clone(), &seams).unwrap(),
            tenants: Tenants::new(store.clone(), &seams),
            clock,
            seams,
            store,
            folder,
        }
    }

    /// A new tenant with these domains.
    pub(crate) async fn tenant(&self, name: &str, domains: &[&str]) -> TenantId {
        let tenant = self
            .tenants
            .create(name.parse().unwrap(), false)
            .await
            .unwrap()
            .id;
        for domain in domains {
            let domain = domain.parse().unwrap();
            self.tenants.create_domain(tenant, domain).await.unwrap();
        }
        tenant
    }

    /// A token for these domains that is valid for an hour.
    async fn token(&self, tenant: TenantId, domains: &[&str]) -> (TokenRecord, EnrolmentToken) {
        let domains = names(domains);
        self.trust
            .create_token(tenant, domains, 60 * MINUTE)
            .await
            .unwrap()
    }

    /// An agent of the tenant's that is enrolled for these domains, and its key.
    pub(crate) async fn agent(&self, tenant: TenantId, domains: &[&str]) -> (Enrolled, SigningKey) {
        let (_, token) = self.token(tenant, domains).await;
        let key = SigningKey::generate(self.seams.random.as_ref());
        let enrolled = self.trust.enrol(enrolment(&token, request(&key))).await;
        (enrolled.unwrap(), key)
    }

    /// All bytes of the data folder.
    fn data(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path().join("data")).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

fn config(folder: &TempDir) -> TrustConfig {
    TrustConfig {
        data: folder.path().join("data"),
        master_key: folder.path().join("master.key"),
        host_names: vec!["cloud.example".to_owned(), "192.0.2.7".to_owned()],
    }
}

fn names(domains: &[&str]) -> Vec<DomainName> {
    domains.iter().map(|domain| domain.parse().unwrap()).collect()
}

/// A certificate request over this key, signed with it.
fn request(key: &SigningKey) -> Vec<u8> {
    let request = rcgen::CertificateParams::default().serialize_request(&key.rcgen().unwrap());
    request.unwrap().der().to_vec()
}

/// What an agent brings.
fn enrolment(token: &EnrolmentToken, request: Vec<u8>) -> Enrolment {
    Enrolment {
        secret_sha256: token.secret.digest(),
        request,
        host_name: HOST.to_owned(),
        version: VERSION.to_owned(),
    }
}

/// Whether `bytes` hold `part` somewhere.
fn hold(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
