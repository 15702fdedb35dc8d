use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use postern_kit::dns::ScriptedDns;
use postern_kit::random::SeededRandom;
use postern_proto::password::Password;
use postern_proto::verdict::{NotAsked, Verdict};

use super::*;
use crate::directory::{Connection, NotReady, Question};

const ALL: &str = "_ldap._tcp.dc._msdcs.corp.test";
const BERLIN: &str = "_ldap._tcp.berlin._sites.dc._msdcs.corp.test";
const TTL: Duration = Duration::from_secs(600);

/// A controller that is down.
#[derive(Debug)]
struct Down;

#[async_trait]
impl Directory for Down {
    async fn connection(&self, _: Instant) -> Result<Box<dyn Connection>, NotReady> {
        Err(NotReady::Unreachable(Box::new(io::Error::from(
            io::ErrorKind::ConnectionRefused,
        ))))
    }

    fn sweep(&self, _: Instant) {}
}

struct Desk {
    dns: Arc<ScriptedDns>,
    discovery: Discovery,
    made: Arc<AtomicUsize>,
}

impl Desk {
    fn new(change: impl FnOnce(&mut Discover)) -> Self {
        let mut question = Discover::of("corp.test".parse().unwrap());
        change(&mut question);
        let dns = Arc::new(ScriptedDns::default());
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
        let forest = Forest::new("corp", Vec::new(), Duration::from_secs(1), random.clone());
        let made = Arc::new(AtomicUsize::new(0));
        let counted = made.clone();
        let make: Make = Box::new(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::new(Down)
        });
        let discovery = Discovery::new(Arc::new(forest), question, Some(636), dns.clone(), random, make);
        Self { dns, discovery, made }
    }

    /// Hosts with their priorities.
    fn says(&self, name: &str, hosts: &[(&str, u16)]) {
        let found = hosts.iter().map(|(host, priority)| Service {
            host: format!("{host}.corp.test"),
            port: 389,
            priority: *priority,
            weight: 100,
        });
        self.dns.set(name, TTL, found.collect());
    }

    async fn known(&self) -> Vec<String> {
        let reached = self.discovery.forest.reach().await;
        reached.into_iter().map(|(name, _)| name).collect()
    }

    /// What a sign-in gets.
    async fn sign_in(&self) -> Verdict {
        let question = Question {
            object: "6995b085-9404-416e-8f04-0123456789ab".parse().unwrap(),
            name: "alice@corp.test".parse().unwrap(),
            password: Password::new("secret".to_owned()).unwrap(),
        };
        let now = monotonic();
        let report = self
            .discovery
            .forest
            .check(question, now, now + Duration::from_secs(4));
        report.await.verdict
    }

    /// Does `story` while the list is kept, from a first question on.
    async fn while_kept(&self, story: impl Future<Output = ()>) {
        let stop = CancellationToken::new();
        let keep = async {
            let wait = self.discovery.ask().await;
            self.discovery.keep(wait, &stop).await;
        };
        let story = async {
            story.await;
            stop.cancel();
        };
        tokio::join!(keep, story);
    }
}

async fn pass(time: Duration) {
    sleep_until(monotonic() + time + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_list_is_read_again_when_it_expires() {
    let desk = Desk::new(|_| {});
    desk.says(ALL, &[("dc1", 0), ("dc2", 10)]);
    desk.while_kept(async {
        pass(Duration::ZERO).await;
        assert_eq!(desk.known().await, ["dc1.corp.test:636", "dc2.corp.test:636"]);
        desk.says(ALL, &[("dc3", 0), ("dc2", 10)]);
        pass(TTL - Duration::from_secs(2)).await;
        assert_eq!(desk.known().await[0], "dc1.corp.test:636");
        pass(Duration::from_secs(2)).await;
        assert_eq!(desk.known().await, ["dc3.corp.test:636", "dc2.corp.test:636"]);
        assert_eq!(
            desk.made.load(Ordering::Relaxed),
            3,
            "dc2 and its connections stay"
        );
        assert_eq!(desk.dns.take_asked(), [ALL, ALL]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_good_list_stays_while_nobody_answers() {
    let desk = Desk::new(|_| {});
    desk.says(ALL, &[("dc1", 0)]);
    desk.while_kept(async {
        pass(Duration::ZERO).await;
        for unhappy in [true, false] {
            desk.dns.set_silent(unhappy);
            desk.says(ALL, &[]);
            pass(Duration::from_secs(3600)).await;
            assert_eq!(desk.known().await, ["dc1.corp.test:636"]);
            let asked = desk.dns.take_asked().len();
            assert!((50..500).contains(&asked), "asked {asked} times in an hour");
        }
        desk.says(ALL, &[("dc2", 0)]);
        pass(Duration::from_secs(60)).await;
        assert_eq!(desk.known().await, ["dc2.corp.test:636"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_before_the_name_servers_gets_its_list_soon() {
    let desk = Desk::new(|_| {});
    desk.dns.set_silent(true);
    desk.while_kept(async {
        pass(Duration::ZERO).await;
        assert_eq!(desk.sign_in().await, Verdict::NotAsked(NotAsked::NoController));
        desk.says(ALL, &[("dc1", 0)]);
        desk.dns.set_silent(false);
        pass(Duration::from_secs(2)).await;
        assert_eq!(desk.known().await, ["dc1.corp.test:636"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_site_that_cannot_be_looked_up_keeps_nobody_from_the_first_list_and_changes_no_later_one() {
    let first = |desk: &Desk| desk.says(ALL, &[("dc1", 0), ("dc2", 1)]);
    let in_berlin = || Desk::new(|question| question.site = Some("Berlin".parse().unwrap()));
    let desk = in_berlin();
    first(&desk);
    desk.dns.set_silent_about(BERLIN);
    desk.discovery.ask().await;
    assert_eq!(desk.known().await, ["dc1.corp.test:636", "dc2.corp.test:636"]);
    let desk = in_berlin();
    first(&desk);
    desk.says(BERLIN, &[("dc2", 0)]);
    desk.discovery.ask().await;
    desk.dns.set_silent_about(BERLIN);
    desk.discovery.ask().await;
    assert_eq!(desk.known().await, ["dc2.corp.test:636", "dc1.corp.test:636"]);
}

#[tokio::test(start_paused = true)]
async fn when_no_controller_answers_others_are_asked_for_but_not_all_the_time() {
    let desk = Desk::new(|_| {});
    desk.says(ALL, &[("dc1", 0)]);
    desk.while_kept(async {
        pass(Duration::ZERO).await;
        desk.says(ALL, &[("dc2", 0)]);
        pass(Duration::from_secs(60)).await;
        assert_eq!(desk.known().await, ["dc1.corp.test:636"]);
        assert_eq!(desk.sign_in().await, Verdict::NotAsked(NotAsked::NoController));
        pass(Duration::ZERO).await;
        assert_eq!(desk.known().await, ["dc2.corp.test:636"], "at once");
        desk.dns.take_asked();
        for _ in 0..100 {
            assert_eq!(desk.sign_in().await, Verdict::NotAsked(NotAsked::NoController));
            pass(Duration::from_millis(99)).await;
        }
        assert_eq!(desk.dns.take_asked(), [ALL], "once in 10 s");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn controllers_of_the_site_come_first_and_foreign_hosts_never() {
    let desk = Desk::new(|question| question.site = Some("Berlin".parse().unwrap()));
    desk.says(BERLIN, &[("berlin1", 50)]);
    let oslo = |host: &str| Service {
        host: host.to_owned(),
        port: 389,
        priority: 0,
        weight: 100,
    };
    let hosts = ["oslo1.corp.test", "berlin1.corp.test", "corp.test.evil.test"];
    desk.dns.set(ALL, TTL, hosts.map(oslo).into());
    desk.discovery.ask().await;
    assert_eq!(
        desk.known().await,
        ["berlin1.corp.test:636", "oslo1.corp.test:636"]
    );
    // A site that nobody knows any more.
    desk.says(BERLIN, &[]);
    desk.discovery.ask().await;
    assert_eq!(desk.known().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn addresses_come_from_the_given_servers_and_the_last_ones_stay() {
    let desk = Desk::new(|question| question.servers = vec!["10.0.0.1:53".parse().unwrap()]);
    let dc1 = "dc1.corp.test";
    let known = || desk.discovery.forest.addresses("dc1.corp.test:636");
    desk.says(ALL, &[("dc1", 0)]);
    desk.dns.set_addresses(dc1, vec!["10.0.0.9".parse().unwrap()]);
    desk.discovery.ask().await;
    assert_eq!(known(), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
    assert_eq!(desk.dns.take_asked(), [ALL, dc1]);
    desk.dns.set_addresses(dc1, vec!["10.0.0.8".parse().unwrap()]);
    desk.discovery.ask().await;
    assert_eq!(known(), ["10.0.0.8".parse::<IpAddr>().unwrap()]);
    assert_eq!(
        desk.made.load(Ordering::Relaxed),
        2,
        "a host that moved is another one"
    );
}
