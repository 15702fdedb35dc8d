//! Two real controllers of one directory: a user notices as little as possible of the loss of one,
//! and a password is shown to one of them only.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use postern_agent::forests::{Forest, Forests};
use postern_directory_mock::{
    Accepting, BindFault, DirectoryHandle, Journal, Server, ServerOptions, TestCa, TlsChoice,
};
use postern_kit::Seams;
use postern_kit::random::Random;
use postern_proto::ids::ObjectId;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict, VerdictReport};

use crate::bench::{PASSWORD, PATIENCE, Person, Way, ask, directory, soon};
use crate::network::Names;

const DC1: &str = "dc1.corp.example.test";
const DC2: &str = "dc2.corp.example.test";
const SECOND: Duration = Duration::from_secs(1);

/// Always draws 0: a controller that failed is tried again after half a second.
#[derive(Debug)]
struct Lowest;
impl Random for Lowest {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

struct Corp {
    dc1: Server,
    dc2: Server,
    forests: Forests,
    names: Arc<Names>,
    alice: Person,
}

impl Corp {
    async fn start() -> Self {
        Self::start_with(PATIENCE, None).await
    }

    /// `ca_of_dc1` is another one than the agent trusts.
    async fn start_with(connect: Duration, ca_of_dc1: Option<Arc<TestCa>>) -> Self {
        let seams = Seams::real();
        let directory = DirectoryHandle::open(&directory(), &seams).unwrap();
        let ca = Arc::new(TestCa::generate(&seams).unwrap());
        let start = async |host: &str, ca: &Arc<TestCa>| {
            let options = ServerOptions {
                host: Some(host.to_owned()),
                tls: TlsChoice::By(ca.clone()),
                ..ServerOptions::default()
            };
            let started = Server::start_shared(directory.clone(), options, &seams);
            started.await.unwrap()
        };
        let dc1 = start("dc1", ca_of_dc1.as_ref().unwrap_or(&ca)).await;
        let dc2 = start("dc2", &ca).await;
        let guid = directory.guid_of("alice").unwrap();
        let (forests, names) = Way {
            controllers: vec![
                (DC1.to_owned(), dc1.ldaps_addr().unwrap()),
                (DC2.to_owned(), dc2.ldaps_addr().unwrap()),
            ],
            roots: vec![ca.der()],
            connect,
            random: Arc::new(Lowest),
            ..Way::default()
        }
        .open_counted();
        Self {
            dc1,
            dc2,
            forests,
            names,
            alice: Person {
                object: ObjectId::from_bytes(guid.into_bytes()),
                name: "alice@corp.example.test".parse().unwrap(),
            },
        }
    }

    fn forest(&self) -> &Forest {
        &self.forests.all()[0]
    }

    /// Shared by both controllers.
    fn journal(&self) -> &Journal {
        self.dc2.journal()
    }

    async fn ask(&self, password: &str) -> VerdictReport {
        ask(self.forest(), &self.alice, password, PATIENCE).await
    }

    /// Which controllers received binds.
    fn asked(&self) -> Vec<String> {
        let binds = self.journal().all();
        binds.iter().map(|bind| bind.controller.to_string()).collect()
    }
}

/// Who answered, without the port.
fn answered(report: &VerdictReport) -> &str {
    report.controller.as_deref().unwrap().split_once(':').unwrap().0
}

#[tokio::test]
async fn a_wrong_password_is_tried_on_one_controller() {
    let corp = Corp::start().await;
    let report = corp.ask("wrong").await;
    assert_eq!((report.verdict, answered(&report)), (Verdict::Wrong, DC1));
    assert_eq!(corp.asked(), ["dc1"]);
    assert_eq!(corp.names.dials(DC2), 0);
}

#[tokio::test]
async fn when_the_first_is_down_the_second_is_asked() {
    let Corp {
        dc1,
        dc2,
        forests,
        alice,
        ..
    } = Corp::start().await;
    let forest = &forests.all()[0];
    let report = ask(forest, &alice, PASSWORD, PATIENCE).await;
    assert_eq!((report.verdict, answered(&report)), (Verdict::Accepted, DC1));
    dc1.stop().await;
    dc2.journal().clear();
    for (password, verdict) in [("wrong", Verdict::Wrong), (PASSWORD, Verdict::Accepted)] {
        let report = ask(forest, &alice, password, PATIENCE).await;
        assert_eq!((report.verdict, answered(&report)), (verdict, DC2));
    }
    assert_eq!(dc2.journal().total(), 2);
}

#[tokio::test]
async fn when_the_first_does_not_open_the_second_is_asked() {
    for accepting in [Accepting::Close, Accepting::Ignore] {
        // Long enough for the second, too short for a user to go away.
        let corp = Corp::start_with(2 * SECOND, None).await;
        corp.dc1.faults().set_accepting(accepting);
        let report = corp.ask("wrong").await;
        assert_eq!((report.verdict, answered(&report)), (Verdict::Wrong, DC2));
        assert_eq!(corp.asked(), ["dc2"], "{accepting:?}");
    }
}

#[tokio::test]
async fn a_first_that_is_not_trusted_sees_no_password() {
    let stranger = Arc::new(TestCa::generate(&Seams::real()).unwrap());
    let corp = Corp::start_with(PATIENCE, Some(stranger)).await;
    let report = corp.ask(PASSWORD).await;
    assert_eq!((report.verdict, answered(&report)), (Verdict::Accepted, DC2));
    assert_eq!(corp.asked(), ["dc2"]);
    assert_eq!(corp.names.dials(DC1), 1);
}

#[tokio::test]
async fn a_password_that_the_first_may_have_seen_is_not_shown_to_the_second() {
    use Unavailable::{ConnectionLost, DirectoryDeclined, DirectoryFault, TimedOut};
    for (fault, why) in [
        (BindFault::Hang, TimedOut),
        (BindFault::ResetUnjudged, ConnectionLost),
        (BindFault::ResetJudged, ConnectionLost),
        (BindFault::busy(), DirectoryDeclined),
        (BindFault::OddSubCode(0x51f), DirectoryFault),
    ] {
        let corp = Corp::start().await;
        corp.dc1.faults().set_bind(fault.clone());
        let report = ask(corp.forest(), &corp.alice, PASSWORD, 3 * SECOND).await;
        let expected = (Verdict::Unavailable(why), DC1);
        assert_eq!((report.verdict, answered(&report)), expected, "{fault:?}");
        assert_eq!(corp.asked(), ["dc1"], "{fault:?}");
        assert_eq!(corp.names.dials(DC2), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_full_first_leaves_users_to_the_second() {
    let corp = Corp::start_with(2 * SECOND, None).await;
    corp.dc1.faults().set_bind(BindFault::Hang);
    let hanging = join_all((0..8).map(|_| corp.ask(PASSWORD)));
    let another = async {
        soon(corp.journal().wait_for(8)).await;
        let report = corp.ask(PASSWORD).await;
        assert_eq!((report.verdict, answered(&report)), (Verdict::Accepted, DC2));
        corp.dc1.connections().disconnect_all(false);
    };
    tokio::join!(hanging, another);
}

#[tokio::test]
async fn a_first_that_comes_back_is_used_again() {
    let corp = Corp::start().await;
    corp.dc1.faults().set_accepting(Accepting::Close);
    assert_eq!(answered(&corp.ask(PASSWORD).await), DC2);
    corp.dc1.faults().clear();
    let back = async { while answered(&corp.ask(PASSWORD).await) != DC1 {} };
    soon(back).await;
    for _ in 0..5 {
        assert_eq!(answered(&corp.ask(PASSWORD).await), DC1, "and stays");
    }
}

#[tokio::test]
async fn without_any_controller_nobody_was_asked() {
    let Corp {
        dc1,
        dc2,
        forests,
        names,
        alice,
    } = Corp::start().await;
    let journal = dc2.journal().clone();
    dc1.stop().await;
    dc2.stop().await;
    for password in [PASSWORD, "wrong"] {
        let report = ask(&forests.all()[0], &alice, password, PATIENCE).await;
        assert_eq!(
            report,
            VerdictReport::bare(Verdict::NotAsked(NotAsked::NoController))
        );
    }
    assert_eq!(journal.total(), 0);
    assert_eq!((names.dials(DC1), names.dials(DC2)), (2, 2));
}
