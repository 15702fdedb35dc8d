//! A plaintext password is never written, logged, traced or put on the bus (I4): canary passwords
//! are looked for in everything that leaves memory, and a leak planted in each place is found.
//!
//! One test and a process of its own, because subscriber and panic hook are process-wide.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::join_all;
use postern_agent::trust::Identity;
use postern_cloud::bus::Bus as _;
use postern_directory_mock::{BindFault, Directory, User};
use postern_harness::canary::{Canary, Leak};
use postern_harness::lab::{Lab, RecordingBus, Tap, TenantPlan, Topology};
use postern_kit::Seams;
use postern_kit::dial::Connector;
use postern_kit::tls::{self, ServerTrust, Versions};
use postern_proto::wire::signin::sign_in_response::Outcome;
use tokio::io::AsyncWriteExt as _;
use tracing_subscriber::fmt::format::FmtSpan;

const TENANT: &str = "contoso";
const DOMAIN: &str = "corp.example.com";
/// The right password and a wrong one. Every spelling of them differs from every other.
const RIGHT: &str = "Kanarienvogel \"rechts\" +ä7%&\\密";
const WRONG: &str = "Kanarienvogel 'links' +ö8%&\\码";

/// The most verbose level of everything but the simulated directory's codec, which prints the bytes
/// that it decodes: it stands for somebody else's server.
const EVERYTHING_OF_OURS: &str = "trace,ldap3_proto=warn";

/// Everything that is logged, and every panic.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn seen(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn start(&self) {
        let writer = self.clone();
        tracing_subscriber::fmt()
            .with_env_filter(EVERYTHING_OF_OURS)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        let panics = self.clone();
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let _ = writeln!(panics.clone(), "{info}");
            print(info);
        }));
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A lab whose agent attaches through a tap.
struct Watched {
    lab: Lab,
    log: Log,
    bus: RecordingBus,
    tap: Tap,
}

impl Watched {
    async fn start() -> Self {
        let log = Log::default();
        log.start();
        let bus = RecordingBus::default();
        let directory = Directory::builder(DOMAIN, "CORP")
            .user(User::new("ada", RIGHT))
            .build();
        let plan = TenantPlan {
            agents: 0,
            ..TenantPlan::new(TENANT, directory)
        };
        let topology = Topology {
            bus: Arc::new(bus.clone()),
            ..Topology::of(plan)
        };
        let mut lab = Lab::start(topology, Seams::real()).await.unwrap();
        let agent = lab.enrol_agent(0).await.unwrap();
        let seams = lab.seams().clone();
        let identity = Identity::load(seams.disk.as_ref(), &agent.state).unwrap();
        let trust = ServerTrust::Roots(vec![identity.root.clone()]);
        let client = tls::client(
            trust,
            Some(identity.tls()),
            Versions::Tls13,
            &["h2"],
            seams.clock.clone(),
        )
        .unwrap();
        let upstream = Connector::new(seams.net.clone(), client, "localhost", lab.agents().port()).unwrap();
        let tap = Tap::start(lab.admin.trust().agents_tls().unwrap(), upstream, &seams)
            .await
            .unwrap();
        lab.run_agent(0, agent, Some(tap.addr())).await.unwrap();
        Self { lab, log, bus, tap }
    }

    /// Both canaries in every place.
    fn leaks(&self) -> Vec<Leak> {
        [RIGHT, WRONG]
            .into_iter()
            .flat_map(|password| {
                let canary = Canary::new(password);
                let mut leaks = canary.find("log", &self.log.seen());
                leaks.extend(canary.find("bus", &self.bus.seen()));
                leaks.extend(canary.find("stream", &self.tap.seen()));
                leaks.extend(canary.find_in_folder(self.lab.folder()).unwrap());
                leaks
            })
            .collect()
    }

    /// What must be there if the places are looked at at all.
    fn is_watched(&self) {
        let found = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(found(&self.log.seen(), "agent attached"));
        assert!(found(&self.bus.seen(), "agent/"));
        assert!(found(&self.tap.seen(), DOMAIN), "the stream is read in the clear");
        let database = postern_harness::canary::files_under(&self.lab.cloud_data()).unwrap();
        let stored = database
            .iter()
            .any(|file| found(&std::fs::read(file).unwrap(), "ada@corp.example.com"));
        assert!(stored, "the sign-in log is on disk");
    }
}

async fn sign_ins(lab: &Lab) {
    let (browser, programme) = (lab.browser().unwrap(), lab.programme(lab.tenant()).unwrap());
    let username = format!("ada@{DOMAIN}");
    let call = async |password| programme.sign_in(&username, password).await.unwrap().outcome();
    assert_eq!(
        browser.sign_in(TENANT, &username, RIGHT).await.unwrap().code(),
        Some(0)
    );
    assert_eq!(
        browser.sign_in(TENANT, &username, WRONG).await.unwrap().code(),
        Some(50126)
    );
    assert_eq!(call(RIGHT).await, Outcome::SignedIn);
    assert_eq!(call(WRONG).await, Outcome::Refused);
    let strangers = [format!("nobody@{DOMAIN}"), "ada@elsewhere.example".to_owned()];
    join_all(strangers.iter().map(|name| programme.sign_in(name, WRONG))).await;
    // Into the wrong field, as people do.
    assert!(browser.post(TENANT, &[("username", WRONG)]).await.is_ok());
    join_all(
        [format!("{WRONG}@{DOMAIN}"), WRONG.to_owned()]
            .iter()
            .map(|name| programme.sign_in(name, RIGHT)),
    )
    .await;
    lab.tenant()
        .directory
        .faults()
        .set_bind_for_next(1, BindFault::ResetJudged);
    assert_eq!(call(RIGHT).await, Outcome::Unavailable);
    assert_eq!(call(RIGHT).await, Outcome::SignedIn);
}

#[tokio::test]
async fn no_password_leaves_memory_and_a_planted_leak_is_found() {
    let watched = Watched::start().await;
    sign_ins(&watched.lab).await;
    watched.is_watched();
    assert_eq!(watched.leaks(), [], "a password leaked");

    let planted = async |place: &str| {
        let leaks = watched.leaks();
        assert!(
            leaks.iter().any(|leak| leak.place.contains(place)),
            "planted in {place}: {leaks:?}"
        );
    };
    tracing::trace!(password = RIGHT, "planted");
    planted("log").await;
    watched.log.0.lock().unwrap().clear();
    tracing::trace_span!("planted", password = RIGHT).in_scope(|| {});
    planted("log").await;
    watched.log.0.lock().unwrap().clear();
    let _ = std::panic::catch_unwind(|| panic!("planted {RIGHT}"));
    planted("log").await;
    watched.log.0.lock().unwrap().clear();
    let _ = watched
        .bus
        .publish("agent/planted", Bytes::from_static(RIGHT.as_bytes()))
        .await;
    planted("bus").await;
    plant_in_stream(&watched).await;
    planted("stream").await;
    plant_in_database(&watched.lab).await;
    planted(".db").await;
    watched.lab.stop().await.unwrap();
}

/// A connection through the tap on which somebody says the password.
async fn plant_in_stream(watched: &Watched) {
    let trust = ServerTrust::Roots(vec![watched.lab.admin.trust().root().clone()]);
    let seams = watched.lab.seams();
    let client = tls::client(trust, None, Versions::Tls13, &["h2"], seams.clock.clone()).unwrap();
    let connector =
        Connector::new(seams.net.clone(), client, "localhost", watched.tap.addr().port()).unwrap();
    let mut stream = connector.connect().await.unwrap();
    stream.write_all(RIGHT.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // Read to the end: then the tap has passed it on.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// A row in the database, which is in its write-ahead log first.
async fn plant_in_database(lab: &Lab) {
    let tenants = lab.admin.tenants();
    tenants
        .create_client(lab.tenant().tenant.id, RIGHT.to_owned())
        .await
        .unwrap();
}
