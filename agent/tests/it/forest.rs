//! Which controller is asked, in which order and how often: with controllers that do as they are
//! told, so that time can be paused. What real ones do is in `controllers.rs`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_agent::directory::{Connection, Directory, NotReady, NotSent, Question, Reply};
use postern_agent::forests::{Claim, Counts, Forest, Forests};
use postern_kit::clock::{monotonic, sleep_until};
use postern_kit::random::Random;
use postern_proto::verdict::{NotAsked, Obstacle, Unavailable, Verdict, VerdictReport};

use crate::bench::{PASSWORD, Person, question};

const CONNECT: Duration = Duration::from_millis(1500);
const SHARE: Duration = Duration::from_secs(4);
const SECOND: Duration = Duration::from_secs(1);

/// What a controller does when a connection to it is wanted.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Refuses the connection.
    Down,
    /// The connection never opens.
    Deaf,
    /// All connections are in use.
    Full,
    /// The connection turns out dead before the bind is written.
    Dead,
    /// The bind is written, and no answer comes.
    Hangs,
    /// Answers the bind.
    Says(Verdict),
}

const ACCEPTS: Act = Act::Says(Verdict::Accepted);

#[derive(Debug)]
struct State {
    acts: VecDeque<Act>,
    tried: u32,
    asked: u32,
}

/// A controller. Clones are handles to the same.
#[derive(Clone, Debug)]
struct Puppet(Arc<Mutex<State>>);

impl Puppet {
    /// Acts one by one; the last act lasts.
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self(Arc::new(Mutex::new(State {
            acts: acts.into_iter().collect(),
            tried: 0,
            asked: 0,
        })))
    }

    fn now(&self, act: Act) {
        self.0.lock().unwrap().acts = VecDeque::from([act]);
    }

    /// How often a connection was wanted.
    fn tried(&self) -> u32 {
        self.0.lock().unwrap().tried
    }

    /// How often it saw a password.
    fn asked(&self) -> u32 {
        self.0.lock().unwrap().asked
    }
}

#[async_trait]
impl Directory for Puppet {
    async fn connection(&self, until: Instant) -> Result<Box<dyn Connection>, NotReady> {
        let act = {
            let mut state = self.0.lock().unwrap();
            state.tried += 1;
            if state.acts.len() > 1 {
                state.acts.pop_front().unwrap()
            } else {
                state.acts[0]
            }
        };
        let unreachable = |kind: io::ErrorKind| Err(NotReady::Unreachable(Box::new(io::Error::from(kind))));
        match act {
            Act::Down => unreachable(io::ErrorKind::ConnectionRefused),
            Act::Deaf => {
                sleep_until(until).await;
                unreachable(io::ErrorKind::TimedOut)
            }
            Act::Full => {
                sleep_until(until).await;
                Err(NotReady::Busy)
            }
            Act::Dead | Act::Hangs | Act::Says(_) => Ok(Box::new(Opened(self.clone(), act))),
        }
    }

    fn sweep(&self, _: Instant) {}
}

struct Opened(Puppet, Act);

#[async_trait]
impl Connection for Opened {
    async fn ask(self: Box<Self>, question: Question, deadline: Instant) -> Result<Reply, NotSent> {
        let sent = monotonic();
        let verdict = match self.1 {
            Act::Says(verdict) => verdict,
            Act::Hangs => Verdict::Unavailable(Unavailable::TimedOut),
            _ => return Err(NotSent(question)),
        };
        self.0.0.lock().unwrap().asked += 1;
        if matches!(self.1, Act::Hangs) {
            sleep_until(deadline).await;
        }
        Ok(Reply {
            verdict,
            ldap_result: 0,
            sub_code: 0,
            sent,
            bind: monotonic() - sent,
        })
    }
}

/// Draws as close to 1 as can be, so that every wait is its ceiling.
#[derive(Debug)]
struct Highest;
impl Random for Highest {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }
}

fn forest(controllers: &[&Puppet]) -> Forest {
    let named = (1..).zip(controllers).map(|(number, controller)| {
        let directory: Box<dyn Directory> = Box::new(Puppet::clone(controller));
        (format!("dc{number}"), directory)
    });
    Forest::new("corp", named.collect(), CONNECT, Arc::new(Highest))
}

fn alice() -> Person {
    Person {
        object: "6995b085-9404-416e-8f04-0123456789ab".parse().unwrap(),
        name: "alice@corp.example.test".parse().unwrap(),
    }
}

async fn check(forest: &Forest, within: Duration) -> VerdictReport {
    let now = monotonic();
    forest
        .check(question(&alice(), PASSWORD), now, now + within)
        .await
}

/// Who answered, if anybody.
async fn answers(forest: &Forest) -> Option<String> {
    check(forest, SHARE).await.controller
}

#[tokio::test(start_paused = true)]
async fn the_preferred_controller_is_asked() {
    let (dc1, dc2) = (Puppet::new([ACCEPTS]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    for _ in 0..3 {
        assert_eq!(answers(&forest).await.unwrap(), "dc1");
    }
    assert_eq!((dc1.asked(), dc2.tried()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_down_is_avoided_and_used_again_later() {
    let (dc1, dc2) = (Puppet::new([Act::Down]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    for _ in 0..3 {
        assert_eq!(answers(&forest).await.unwrap(), "dc2");
    }
    assert_eq!(dc1.tried(), 1, "the others did not lose time on it");
    // Still down after the first second, so that it is left alone for longer.
    tokio::time::advance(SECOND).await;
    assert_eq!(answers(&forest).await.unwrap(), "dc2");
    assert_eq!(dc1.tried(), 2);
    dc1.now(ACCEPTS);
    tokio::time::advance(SECOND).await;
    assert_eq!(answers(&forest).await.unwrap(), "dc2");
    tokio::time::advance(SECOND).await;
    for _ in 0..5 {
        assert_eq!(answers(&forest).await.unwrap(), "dc1");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_fail_together_count_as_one_failure() {
    let (dc1, dc2) = (Puppet::new([Act::Deaf]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    let reports = futures::future::join_all((0..8).map(|_| check(&forest, SHARE))).await;
    assert!(reports.iter().all(|report| report.verdict == Verdict::Accepted));
    assert_eq!((dc1.tried(), dc2.asked()), (8, 8));
    dc1.now(ACCEPTS);
    tokio::time::advance(SECOND).await;
    assert_eq!(answers(&forest).await.unwrap(), "dc1");
}

#[tokio::test(start_paused = true)]
async fn two_deaf_controllers_leave_time_for_the_third() {
    let (dc1, dc2) = (Puppet::new([Act::Deaf]), Puppet::new([Act::Deaf]));
    let forest = forest(&[&dc1, &dc2, &Puppet::new([ACCEPTS])]);
    let report = check(&forest, SHARE).await;
    assert_eq!(report.controller.unwrap(), "dc3");
    assert_eq!(report.wait, 2 * CONNECT);
    // Later only one of them is tried again, not both.
    tokio::time::advance(SECOND).await;
    let report = check(&forest, SHARE).await;
    assert_eq!(report.controller.unwrap(), "dc3");
    assert_eq!(report.wait, CONNECT);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_hangs_costs_those_who_came_in_its_first_second() {
    let (dc1, dc2) = (Puppet::new([Act::Hangs]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    // One sign-in every 100 ms, for 40 s.
    let sign_ins = (0..400_u32).map(|number| {
        let forest = &forest;
        async move {
            tokio::time::sleep(Duration::from_millis(100) * number).await;
            check(forest, SHARE).await
        }
    });
    let reports = futures::future::join_all(sign_ins).await;
    let lost = reports
        .iter()
        .filter(|report| report.verdict != Verdict::Accepted);
    // Ten in the first second, and then one for each trial, at 5, 11, 19 and 31 s: 4 s of hanging and 1, 2, 4, 8 s apart.
    assert_eq!(lost.count(), 10 + 4);
    let waited = reports
        .iter()
        .filter(|report| report.verdict == Verdict::Accepted);
    assert!(waited.map(|report| report.wait).max().unwrap() < Duration::from_millis(10));
    assert_eq!(dc1.asked() + dc2.asked(), 400, "each password was shown to one");
}

#[tokio::test(start_paused = true)]
async fn no_second_controller_sees_a_password() {
    use Verdict::{Accepted, Locked, OtherObject, Restricted, RightBut, Unavailable as Un, Wrong};
    for (verdict, next) in [
        (Accepted, "dc1"),
        (Wrong, "dc1"),
        (RightBut(Obstacle::Disabled), "dc1"),
        (Locked, "dc1"),
        (Restricted, "dc1"),
        (OtherObject, "dc1"),
        (Un(Unavailable::DirectoryFault), "dc1"),
        (Un(Unavailable::ObjectUnknown), "dc1"),
        // These do not judge: the next user is asked about elsewhere.
        (Un(Unavailable::DirectoryDeclined), "dc2"),
        (Un(Unavailable::TimedOut), "dc2"),
        (Un(Unavailable::ConnectionLost), "dc2"),
    ] {
        let (dc1, dc2) = (Puppet::new([Act::Says(verdict)]), Puppet::new([ACCEPTS]));
        let forest = forest(&[&dc1, &dc2]);
        let report = check(&forest, SHARE).await;
        assert_eq!(
            (report.verdict, report.controller.as_deref()),
            (verdict, Some("dc1"))
        );
        assert_eq!((dc1.asked(), dc2.tried()), (1, 0), "{verdict:?}");
        assert_eq!(answers(&forest).await.unwrap(), next, "after {verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_replaced_and_the_password_is_shown_once() {
    let (dc1, dc2) = (Puppet::new([Act::Dead, ACCEPTS]), Puppet::new([ACCEPTS]));
    assert_eq!(answers(&forest(&[&dc1, &dc2])).await.unwrap(), "dc1");
    assert_eq!((dc1.tried(), dc1.asked(), dc2.tried()), (2, 1, 0));

    let (dc1, dc2) = (Puppet::new([Act::Dead]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    for _ in 0..2 {
        assert_eq!(answers(&forest).await.unwrap(), "dc2");
    }
    assert_eq!((dc1.tried(), dc1.asked(), dc2.asked()), (2, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_controller_nobody_was_asked_and_it_is_said_why() {
    use Act::{Dead, Deaf, Down, Full};
    for (first, second, why) in [
        (Down, Down, NotAsked::NoController),
        (Deaf, Down, NotAsked::NoController),
        (Dead, Dead, NotAsked::NoController),
        (Full, Full, NotAsked::Busy),
        (Full, Down, NotAsked::Busy),
        (Down, Full, NotAsked::Busy),
    ] {
        let report = check(&forest(&[&Puppet::new([first]), &Puppet::new([second])]), SHARE).await;
        let expected = VerdictReport::bare(Verdict::NotAsked(why));
        assert_eq!(report, expected, "{first:?}, {second:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_controller_gives_way_and_is_not_avoided() {
    let (dc1, dc2) = (Puppet::new([Act::Full, ACCEPTS]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    assert_eq!(answers(&forest).await.unwrap(), "dc2");
    assert_eq!(answers(&forest).await.unwrap(), "dc1");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_requests_is_counted_for_each_controller() {
    let declines = Act::Says(Verdict::Unavailable(Unavailable::DirectoryDeclined));
    let dc1 = Puppet::new([ACCEPTS, Act::Full, declines, ACCEPTS]);
    let forest = forest(&[&dc1, &Puppet::new([ACCEPTS]), &Puppet::new([ACCEPTS])]);
    for _ in 0..4 {
        answers(&forest).await;
    }
    let counted = || {
        let accounts = forest.take_account().into_iter();
        let counts = accounts.map(|account| (account.controller, account.counts));
        counts.collect::<Vec<_>>()
    };
    let counts = |answered, failed, busy| Counts {
        answered,
        failed,
        busy,
    };
    assert_eq!(
        counted(),
        [
            ("dc1".to_owned(), counts(1, 1, 1)),
            ("dc2".to_owned(), counts(2, 0, 0))
        ]
    );
    assert_eq!(counted(), []);
}

#[tokio::test(start_paused = true)]
async fn the_last_controller_is_tried_even_if_it_is_avoided() {
    let dc1 = Puppet::new([Act::Down, ACCEPTS]);
    let forest = forest(&[&dc1]);
    assert_eq!(answers(&forest).await, None);
    assert_eq!(answers(&forest).await.unwrap(), "dc1");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_comes_first_is_not_held_against_the_controller() {
    let (dc1, dc2) = (Puppet::new([Act::Deaf, ACCEPTS]), Puppet::new([ACCEPTS]));
    let forest = forest(&[&dc1, &dc2]);
    let start = monotonic();
    let report = check(&forest, CONNECT / 2).await;
    assert_eq!(report, VerdictReport::bare(Verdict::NotAsked(NotAsked::Late)));
    assert_eq!(monotonic() - start, CONNECT / 2);
    assert_eq!(dc2.tried(), 0);
    assert_eq!(answers(&forest).await.unwrap(), "dc1");
}

#[tokio::test(start_paused = true)]
async fn a_late_request_is_not_asked_at_all() {
    let dc1 = Puppet::new([ACCEPTS]);
    let report = check(&forest(&[&dc1]), Duration::ZERO).await;
    assert_eq!(report.verdict, Verdict::NotAsked(NotAsked::Late));
    assert_eq!(dc1.tried(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_user_is_asked_about_in_his_own_forest() {
    let (corp, lab) = (Puppet::new([ACCEPTS]), Puppet::new([ACCEPTS]));
    let domain = |name: &str| name.parse().unwrap();
    let forests = Forests::new(vec![
        Claim {
            domains: vec![domain("corp.example.test"), domain("example.test")],
            suffixes: vec![domain("alt.example.test"), domain("merged.test")],
            forest: forest(&[&corp]),
        },
        Claim {
            domains: vec![domain("lab.example.test")],
            suffixes: vec![domain("merged.test")],
            forest: forest(&[&lab]),
        },
    ]);
    let of = |of: &str, name: &str| forests.of(&domain(of), &name.parse().unwrap());
    for (of_domain, name) in [
        ("corp.example.test", "alice@corp.example.test"),
        ("Example.TEST", "alice@corp.local"),
        ("lab.example.test", "alice@alt.example.test"),
    ] {
        check(of(of_domain, name).unwrap(), SHARE).await;
    }
    check(of("corp.example.test", "bob@lab.example.test").unwrap(), SHARE).await;
    assert_eq!((corp.asked(), lab.asked()), (3, 1));
    let said = |of_domain, name| of(of_domain, name).unwrap_err().to_string();
    assert_eq!(
        said("sub.corp.example.test", "eve@other.test"),
        "no forest here answers for domain sub.corp.example.test, nor for suffix other.test"
    );
    assert_eq!(
        said("nowhere.test", "CN=eve,DC=nowhere,DC=test"),
        "no forest here answers for domain nowhere.test"
    );
    assert_eq!(
        said("corp.example.test", "carol@merged.test"),
        "merged.test is claimed by several forests: corp, corp"
    );
}
