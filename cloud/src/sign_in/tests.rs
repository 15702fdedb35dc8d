//! One sign-in over a real store and agents that say what they are told to.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::dispatch::{Judgement, NotAdmitted};
use crate::tenants::NewUser;
use crate::trust::TrustConfig;
use postern_proto::ids::{AgentId, ClientId, ObjectId};
use postern_proto::verdict::{NotAsked, Obstacle, Unavailable, VerdictReport};
use tokio::sync::Notify;

const TENANT: &str = "contoso";
const DOMAIN: &str = "corp.example";
const ADA: &str = "ada@corp.example";
const PASSWORD: &str = "Difference-Engine-1";
const AGENT: AgentId = AgentId::from_bytes([5; 16]);
/// Long enough to be seen, short enough not to be waited for.
const FLOOR: Duration = Duration::from_millis(30);

/// Agents that say what they are told to.
#[derive(Debug, Default)]
struct Fake {
    verdicts: Mutex<VecDeque<Verdict>>,
    asked: Mutex<Vec<(String, String)>>,
    deadlines: Mutex<Vec<Instant>>,
    refuses: Mutex<Option<NotAdmitted>>,
    /// Answers only when it is told to go on.
    holds: Mutex<Option<Arc<Notify>>>,
    arrived: Notify,
}

impl Fake {
    fn will(&self, verdict: Verdict) {
        self.verdicts.lock().unwrap().push_back(verdict);
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Agents for Fake {
    fn admit(&self, _: TenantId, _: &DomainName) -> Result<(), NotAdmitted> {
        self.refuses.lock().unwrap().map_or(Ok(()), Err)
    }

    async fn ask(&self, question: Question) -> Judgement {
        let asked = (
            question.name.to_string(),
            question.password.plaintext().to_owned(),
        );
        self.asked.lock().unwrap().push(asked);
        self.deadlines.lock().unwrap().push(question.deadline);
        self.arrived.notify_one();
        let held = self.holds.lock().unwrap().clone();
        if let Some(go_on) = held {
            tokio::select! {
                () = go_on.notified() => {}
                () = sleep_until(question.deadline) => {}
            }
        }
        let verdict = self
            .verdicts
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Verdict::Wrong);
        let report = VerdictReport {
            controller: Some("dc1:636".to_owned()),
            ..VerdictReport::bare(verdict)
        };
        let attempt = Attempt {
            agent: AGENT,
            report: Some(report),
            total: Duration::from_millis(3),
        };
        Judgement {
            verdict,
            attempts: vec![attempt],
        }
    }
}

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    log: SignInLog,
    agents: Arc<Fake>,
    sign_in: SignIn,
}

impl World {
    async fn new() -> Self {
        Self::with(Limits {
            floor: FLOOR,
            ..Limits::default()
        })
        .await
    }

    async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seams = Seams::real();
        let data = folder.path().join("data");
        let store = Store::open(&data.join("postern.db"), &seams, CancellationToken::new())
            .await
            .unwrap();
        let config = TrustConfig {
            data,
            master_key: folder.path().join("master.key"),
            host_names: vec!["localhost".to_owned()],
        };
        let tenants = Tenants::new(store.clone(), &seams);
        for (name, tell_locked) in [(TENANT, true), ("silent", false)] {
            let tenant = tenants.create(name.parse().unwrap(), tell_locked).await.unwrap();
            let domain: DomainName = if tell_locked { DOMAIN } else { "silent.example" }
                .parse()
                .unwrap();
            tenants.create_domain(tenant.id, domain.clone()).await.unwrap();
            let user = NewUser {
                username: format!("ada@{domain}").parse().unwrap(),
                alternate_id: None,
                object: ObjectId::from_bytes([7; 16]),
                on_premises_name: "ada.lovelace@corp.internal".parse().unwrap(),
                domain,
            };
            tenants.create_user(tenant.id, user).await.unwrap();
        }
        let agents = Arc::new(Fake::default());
        let parts = Parts {
            tenants,
            trust: Trust::open(&config, store.clone(), &seams).unwrap(),
            budgets: Budgets::open(limits.rules(), store.clone(), &seams)
                .await
                .unwrap(),
            agents: agents.clone(),
            store: store.clone(),
        };
        Self {
            _folder: folder,
            log: SignInLog::new(store.clone()),
            store,
            agents,
            sign_in: SignIn::new(parts, limits, &seams, &seams, CancellationToken::new()),
        }
    }

    fn input(tenant: &str, username: &str, password: &str) -> Input {
        Input {
            received: monotonic(),
            tenant: tenant.parse().unwrap(),
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            entry: Entry::Page,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            deadline: None,
        }
    }

    async fn run(&self, username: &str, password: &str) -> Answer {
        self.sign_in.run(Self::input(TENANT, username, password)).await
    }

    async fn says(&self, verdict: Verdict) -> Outcome {
        self.agents.will(verdict);
        self.run(ADA, PASSWORD).await.outcome
    }

    async fn records(&self) -> Vec<Record> {
        self.log.list(None, None, 1000).await.unwrap()
    }
}

#[tokio::test]
async fn a_right_password_signs_in_the_record_and_asks_by_the_stored_name() {
    let world = World::new().await;
    world.agents.will(Verdict::Accepted);
    let client = ClientId::from_bytes([3; 16]);
    let answer = world
        .sign_in
        .run(Input {
            entry: Entry::Rpc(client),
            ..World::input(TENANT, " ADA@Corp.Example ", PASSWORD)
        })
        .await;
    let Outcome::SignedIn(user) = answer.outcome else {
        panic!("{answer:?}")
    };
    let expected = ("ada.lovelace@corp.internal".to_owned(), PASSWORD.to_owned());
    assert_eq!(world.agents.asked(), [expected]);
    let record = &world.records().await[0];
    assert_eq!(
        (record.request, record.user, record.client),
        (answer.request, Some(user), Some(client))
    );
    assert_eq!(
        (record.username.as_str(), record.outcome.as_str(), record.code),
        (ADA, "signed_in", 0)
    );
    let [attempt] = &record.attempts[..] else {
        panic!("{record:?}")
    };
    assert_eq!((attempt.agent, attempt.verdict.as_str()), (AGENT, "accepted"));
    assert_eq!(attempt.controller, "dc1:636");
}

#[tokio::test]
async fn every_refusal_leaves_at_the_floor_and_a_success_need_not_wait() {
    let world = World::with(Limits {
        floor: Duration::from_secs(10),
        ..Limits::default()
    })
    .await;
    // It would not be answered within the test's patience if it waited.
    assert!(matches!(
        world.says(Verdict::Accepted).await,
        Outcome::SignedIn(_)
    ));
    let world = World::new().await;
    for (username, password) in [
        (ADA, "wrong"),
        (ADA, ""),
        ("nobody@corp.example", "x"),
        ("x@y.example", "x"),
        ("x", "x"),
    ] {
        let start = monotonic();
        assert_eq!(
            world.run(username, password).await.outcome,
            Outcome::Refused,
            "{username}"
        );
        assert!(
            monotonic().saturating_duration_since(start) >= FLOOR,
            "{username}"
        );
    }
    let start = monotonic();
    let answer = world.sign_in.run(World::input("nowhere", ADA, "x")).await;
    assert_eq!(answer.outcome, Outcome::Refused);
    assert!(monotonic().saturating_duration_since(start) >= FLOOR);
    assert_eq!(world.agents.asked().len(), 1);
}

#[tokio::test]
async fn what_no_directory_may_see_is_refused_and_nobody_is_asked() {
    let world = World::new().await;
    let long = "x".repeat(2000);
    for password in ["", "right\0junk", long.as_str()] {
        for username in [ADA, "nobody@corp.example"] {
            assert_eq!(world.run(username, password).await.outcome, Outcome::Refused);
        }
    }
    assert_eq!(world.agents.asked(), []);
    // It cost nothing.
    assert!(matches!(
        world.says(Verdict::Accepted).await,
        Outcome::SignedIn(_)
    ));
}

#[tokio::test]
async fn of_names_that_nobody_has_the_log_knows_the_tenants_domain_only() {
    let world = World::new().await;
    for username in [
        "Secret-Passw0rd@corp.example",
        "Secret-Passw0rd@elsewhere.example",
        "Secret Passw0rd",
    ] {
        world.run(username, PASSWORD).await;
        world
            .sign_in
            .run(World::input("nowhere", username, PASSWORD))
            .await;
    }
    let mut names: Vec<_> = world
        .records()
        .await
        .into_iter()
        .map(|record| record.username)
        .collect();
    names.sort();
    let expected = ["", "", "", "", "", "@corp.example"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn without_an_agent_known_and_unknown_users_get_the_same_and_pay_nothing() {
    let world = World::new().await;
    for (why, outcome, code) in [
        (NotAdmitted::NoAgent, Outcome::Unavailable, 80001),
        (NotAdmitted::Busy, Outcome::Busy, 90055),
    ] {
        *world.agents.refuses.lock().unwrap() = Some(why);
        for _ in 0..5 {
            for username in [ADA, "nobody@corp.example"] {
                assert_eq!(world.run(username, PASSWORD).await.outcome, outcome);
            }
        }
        assert_eq!(world.records().await[0].code, code);
    }
    *world.agents.refuses.lock().unwrap() = None;
    assert!(matches!(
        world.says(Verdict::Accepted).await,
        Outcome::SignedIn(_)
    ));
    assert_eq!(
        world.run("nobody@corp.example", PASSWORD).await.outcome,
        Outcome::Refused
    );
}

#[tokio::test]
async fn a_used_up_budget_asks_nobody_and_says_when_to_come_back() {
    let world = World::new().await;
    for username in [ADA, "nobody@corp.example"] {
        for _ in 0..4 {
            assert_eq!(world.run(username, "wrong").await.outcome, Outcome::Refused);
        }
        let answer = world.run(username, PASSWORD).await;
        assert_eq!(answer.outcome, Outcome::TooManyAttempts);
        let wait = answer.retry_after.unwrap();
        assert!(
            (Duration::from_secs(1700)..=Duration::from_secs(1861)).contains(&wait),
            "{wait:?}"
        );
    }
    assert_eq!(world.agents.asked().len(), 4);
}

#[tokio::test]
async fn only_what_the_directory_may_have_counted_is_charged() {
    let world = World::new().await;
    let free = [
        Verdict::RightBut(Obstacle::Disabled),
        Verdict::Locked,
        Verdict::NotAsked(NotAsked::NoController),
        Verdict::Unavailable(Unavailable::DirectoryDeclined),
    ];
    for verdict in free.into_iter().cycle().take(20) {
        assert_ne!(world.says(verdict).await, Outcome::TooManyAttempts, "{verdict:?}");
    }
    let charged = [
        Verdict::Wrong,
        Verdict::Unavailable(Unavailable::TimedOut),
        Verdict::Unavailable(Unavailable::ConnectionLost),
        Verdict::Restricted,
    ];
    for verdict in charged {
        assert_ne!(world.says(verdict).await, Outcome::TooManyAttempts, "{verdict:?}");
    }
    assert_eq!(world.says(Verdict::Accepted).await, Outcome::TooManyAttempts);
}

#[tokio::test]
async fn locked_is_told_as_the_tenant_wants_it() {
    let world = World::new().await;
    assert_eq!(world.says(Verdict::Locked).await, Outcome::Locked);
    world.agents.will(Verdict::Locked);
    let answer = world
        .sign_in
        .run(World::input("silent", "ada@silent.example", PASSWORD))
        .await;
    assert_eq!(answer.outcome, Outcome::Refused);
    assert_eq!(
        world
            .records()
            .await
            .iter()
            .filter(|record| record.code == 50053)
            .count(),
        2
    );
}

#[tokio::test]
async fn a_caller_who_goes_away_is_counted_and_logged_all_the_same() {
    let world = World::new().await;
    let go_on = Arc::new(Notify::new());
    *world.agents.holds.lock().unwrap() = Some(go_on.clone());
    tokio::select! {
        _ = world.run(ADA, "wrong") => panic!("answered"),
        () = world.agents.arrived.notified() => {}
    }
    *world.agents.holds.lock().unwrap() = None;
    go_on.notify_one();
    for _ in 0..3 {
        world.run(ADA, "wrong").await;
    }
    assert_eq!(world.run(ADA, PASSWORD).await.outcome, Outcome::TooManyAttempts);
    assert_eq!(world.records().await.len(), 5);
}

#[tokio::test]
async fn the_callers_own_deadline_is_kept_and_time_is_left_for_the_record() {
    let world = World::new().await;
    let mut input = World::input(TENANT, ADA, PASSWORD);
    let (received, own) = (input.received, Duration::from_secs(5));
    input.deadline = Some(received + own);
    world.sign_in.run(input).await;
    let mut input = World::input(TENANT, ADA, PASSWORD);
    input.deadline = Some(input.received + Duration::from_secs(3600));
    let ours = input.received + Limits::default().deadline;
    world.sign_in.run(input).await;
    let deadlines = world.agents.deadlines.lock().unwrap().clone();
    assert!(deadlines[0] > received && deadlines[0] < received + own);
    assert!(deadlines[1] > received + own && deadlines[1] < ours);
}

#[tokio::test]
async fn what_cannot_be_logged_is_not_answered() {
    let world = World::new().await;
    let go_on = Arc::new(Notify::new());
    *world.agents.holds.lock().unwrap() = Some(go_on.clone());
    world.agents.will(Verdict::Accepted);
    let (answer, ()) = tokio::join!(world.run(ADA, PASSWORD), async {
        world.agents.arrived.notified().await;
        world.store.close().await;
        go_on.notify_one();
    });
    assert_eq!(answer.outcome, Outcome::Unavailable);
    // And whoever comes now is not even looked up.
    assert_eq!(world.run(ADA, PASSWORD).await.outcome, Outcome::Unavailable);
}

#[tokio::test]
async fn old_records_are_removed_and_new_ones_stay() {
    let world = World::new().await;
    world.says(Verdict::Accepted).await;
    world.says(Verdict::Accepted).await;
    let stop = CancellationToken::new();
    world.sign_in.purge_once(Duration::from_secs(3600), &stop).await;
    assert_eq!(world.records().await.len(), 2);
    let newest = world.records().await[0].at;
    let removed = world
        .log
        .purge(newest.plus(Duration::from_millis(1)), 1)
        .await
        .unwrap();
    assert_eq!((removed, world.records().await.len()), (1, 1));
    assert_eq!(
        world
            .log
            .purge(newest.minus(Duration::from_secs(60)), 1000)
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn a_name_that_nobody_has_fares_as_the_domains_users_do() {
    let world = World::new().await;
    let stranger = "nobody@corp.example";
    assert_eq!(world.run(stranger, "x").await.outcome, Outcome::Refused);
    // Free of charge, so that it can be said often.
    let declined = Verdict::Unavailable(Unavailable::DirectoryDeclined);
    for _ in 0..40 {
        assert_eq!(world.says(declined).await, Outcome::Unavailable);
    }
    assert_eq!(world.run(stranger, "x").await.outcome, Outcome::Unavailable);
    let record = &world.records().await[0];
    assert_eq!((record.code, record.attempts.len()), (80007, 0));
    for _ in 0..40 {
        assert!(matches!(
            world.says(Verdict::Accepted).await,
            Outcome::SignedIn(_)
        ));
    }
    assert_eq!(world.run(stranger, "x").await.outcome, Outcome::Refused);
}

#[tokio::test]
async fn strangers_run_out_of_attempts_when_users_would_and_not_before() {
    let world = World::new().await;
    // Free for users, so free for strangers.
    let declined = Verdict::Unavailable(Unavailable::DirectoryDeclined);
    for _ in 0..40 {
        assert_eq!(world.says(declined).await, Outcome::Unavailable);
    }
    for _ in 0..6 {
        assert_eq!(
            world.run("nobody@corp.example", "x").await.outcome,
            Outcome::Unavailable
        );
    }
    // A locked account that nobody is told of reads as wrong, and costs as much.
    let silent = async |username: &str| {
        world.agents.will(Verdict::Locked);
        world
            .sign_in
            .run(World::input("silent", username, PASSWORD))
            .await
            .outcome
    };
    for _ in 0..4 {
        assert_eq!(silent("ada@silent.example").await, Outcome::Refused);
        assert_eq!(silent("nobody@silent.example").await, Outcome::Refused);
    }
    assert_eq!(silent("ada@silent.example").await, Outcome::TooManyAttempts);
    assert_eq!(silent("nobody@silent.example").await, Outcome::TooManyAttempts);
}

#[tokio::test]
async fn a_caller_in_a_hurry_says_nothing_about_the_weather() {
    let world = World::new().await;
    *world.agents.holds.lock().unwrap() = Some(Arc::new(Notify::new()));
    for _ in 0..4 {
        world
            .agents
            .will(Verdict::Unavailable(Unavailable::DirectoryDeclined));
        let mut input = World::input(TENANT, ADA, PASSWORD);
        input.deadline = Some(input.received + Duration::from_millis(50));
        world.sign_in.run(input).await;
    }
    assert_eq!(
        world.run("nobody@corp.example", "x").await.outcome,
        Outcome::Refused
    );
}

#[tokio::test]
async fn a_slow_store_does_not_hold_an_answer_back_and_the_record_says_what_was_answered() {
    let world = World::with(Limits {
        deadline: Duration::from_millis(300),
        floor: Duration::ZERO,
        ..Limits::default()
    })
    .await;
    world.agents.will(Verdict::Accepted);
    let (go_on, held) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, holds) = (go_on.clone(), held.clone());
    let holding = world.store.transact(move |_| {
        Box::pin(async move {
            holds.notify_one();
            waits.notified().await;
            Ok(())
        })
    });
    let signing_in = async {
        held.notified().await;
        // Two: the first is in the scribe's hands when its time is over, the second still waits for it.
        let answers = tokio::join!(world.run(ADA, PASSWORD), world.run(ADA, PASSWORD));
        go_on.notify_one();
        answers
    };
    let (done, (one, two)) = tokio::join!(holding, signing_in);
    done.unwrap();
    assert_eq!([one.outcome, two.outcome], [Outcome::Unavailable; 2]);
    loop {
        let records = world.records().await;
        if records.len() == 2 {
            assert!(
                records.iter().any(|record| record.outcome == "unavailable"),
                "{records:?}"
            );
            break;
        }
        tokio::task::yield_now().await;
    }
}
