//! One directory with its controllers: who is asked, and what is learned of each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern_kit::clock::monotonic;
use postern_kit::random::Random;
use postern_kit::telemetry::chain;
use postern_proto::names::DomainName;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict, VerdictReport};
use tokio::sync::Notify;

use super::core::health::{Attempt, Health, Id, News, Outcome};
use crate::directory::{Connections, Directory, Finding, Inspected, NotReady, NotSent, Question, Reply};

/// Connections that are tried on one controller when they turn out dead before the bind is
/// written: the one that was idle, and a new one.
const CONNECTION_TRIES: usize = 2;

/// What tells one controller from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// In reports.
    pub(super) name: String,
    /// Where it is, if that is known beside the name: a host that moved is another controller.
    pub(super) addresses: Vec<IpAddr>,
}

/// One domain controller.
#[derive(Debug)]
struct Controller {
    spot: Spot,
    directory: Box<dyn Directory>,
    counts: Mutex<Counts>,
}

/// What became of the requests that turned to a controller since the last account of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// It was asked, and answered.
    pub answered: u64,
    /// It could not be connected, did not answer in time, or declined.
    pub failed: u64,
    /// All connections to it were in use.
    pub busy: u64,
}

/// How a controller was used since the last account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name in reports.
    pub controller: String,
    /// What became of requests.
    pub counts: Counts,
    /// Its connections now.
    pub connections: Connections,
}

/// The controllers that are known now. Requests hold on to those that they ask.
#[derive(Debug, Default)]
struct Roster {
    health: Health,
    controllers: BTreeMap<Id, Arc<Controller>>,
    numbered: Id,
}

/// How the list of controllers changed, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) new: Vec<String>,
    pub(super) gone: Vec<String>,
}

/// One directory with its controllers.
#[derive(Debug)]
pub struct Forest {
    name: String,
    roster: Mutex<Roster>,
    connect_wait_max: Duration,
    random: Arc<dyn Random>,
    exhausted: Notify,
}

/// What became of a request at one controller.
enum Turn {
    /// It was asked, and that is the answer.
    Asked(Reply),
    /// It was not, so that another one may be.
    Unasked(Question),
    /// Nor has it a connection to spare.
    Busy(Question),
    /// The request's time is over.
    Late,
}

impl Forest {
    /// A forest of these controllers, each with its name for reports, the preferred one first.
    pub fn new(
        name: &str,
        controllers: Vec<(String, Box<dyn Directory>)>,
        connect_wait_max: Duration,
        random: Arc<dyn Random>,
    ) -> Self {
        let forest = Self {
            name: name.to_owned(),
            roster: Mutex::default(),
            connect_wait_max,
            random,
            exhausted: Notify::new(),
        };
        let mut roster = forest.roster();
        let mut order = Vec::new();
        for (name, directory) in controllers {
            let addresses = Vec::new();
            order.push(roster.add(Spot { name, addresses }, directory));
        }
        roster.health.set(order, monotonic());
        drop(roster);
        forest
    }

    /// Its name in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether no controller is known.
    pub(super) fn is_empty(&self) -> bool {
        self.roster().controllers.is_empty()
    }

    /// From now on these are the controllers, the preferred one first; `make` makes those that are new, by their
    /// place. What is known of the others stays, and so do their connections.
    pub(super) fn replace(&self, spots: &[Spot], make: impl Fn(usize) -> Box<dyn Directory>) -> Changed {
        let mut roster = self.roster();
        let mut before = std::mem::take(&mut roster.controllers);
        let mut changed = Changed::default();
        let mut order = Vec::new();
        for (at, spot) in spots.iter().enumerate() {
            let known = before.iter().find(|(_, controller)| controller.spot == *spot);
            let known = known.map(|(id, _)| *id);
            if let Some((id, controller)) = known.and_then(|id| before.remove_entry(&id)) {
                roster.controllers.insert(id, controller);
                order.push(id);
            } else {
                changed.new.push(spot.name.clone());
                order.push(roster.add(spot.clone(), make(at)));
            }
        }
        changed.gone = before.into_values().map(|gone| gone.spot.name.clone()).collect();
        roster.health.set(order, monotonic());
        changed
    }

    /// The addresses that a controller of this name was last known at.
    pub(super) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let roster = self.roster();
        let known = roster.controllers.values().find(|known| known.spot.name == name);
        known.map_or_else(Vec::new, |known| known.spot.addresses.clone())
    }

    /// Waits until no controller could be asked, for whoever can find others.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub(super) async fn exhausted(&self) {
        self.exhausted.notified().await;
    }

    /// Whether each controller can be connected now, in the order in which they are preferred.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn reach(&self) -> Vec<(String, Result<(), NotReady>)> {
        let mut all = Vec::new();
        for (_, controller) in self.choose() {
            let until = monotonic() + self.connect_wait_max;
            let reached = controller.directory.connection(until).await;
            all.push((controller.spot.name.clone(), reached.map(|_| ())));
        }
        all
    }

    /// The suffixes that its directory lists, as the first controller says that can. `None` if none is asked.
    ///
    /// # Errors
    /// Why the last controller could not.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub(super) async fn suffixes(&self) -> Result<Option<BTreeSet<DomainName>>, NotReady> {
        let mut outcome = Ok(None);
        for (_, controller) in self.choose() {
            outcome = controller
                .directory
                .suffixes(monotonic() + self.connect_wait_max)
                .await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Looks at each controller for an administrator, in the order in which they are preferred.
    ///
    /// # Cancellation
    /// Dropping it closes its connections; the directory may have been asked.
    pub async fn inspect(&self, asked: &mut Inspected) -> Vec<(String, Vec<Finding>)> {
        let mut all = Vec::new();
        for (_, controller) in self.choose() {
            let findings = controller.directory.inspect(asked, self.connect_wait_max).await;
            all.push((controller.spot.name.clone(), findings));
        }
        all
    }

    /// Gives up connections that nobody uses.
    pub(super) fn sweep(&self, now: Instant) {
        let all: Vec<_> = self.roster().controllers.values().cloned().collect();
        all.iter().for_each(|controller| controller.directory.sweep(now));
    }

    /// How each controller was used since the last call, those that nobody turned to left out.
    pub fn take_account(&self) -> Vec<Account> {
        let all: Vec<_> = self.roster().controllers.values().cloned().collect();
        let accounts = all.iter().map(|controller| Account {
            controller: controller.spot.name.clone(),
            counts: std::mem::take(&mut *controller.counts()),
            connections: controller.directory.connections(),
        });
        accounts
            .filter(|account| account.counts != Counts::default())
            .collect()
    }

    /// Asks one controller. The report comes at `deadline` at the latest; its wait counts from `received`.
    ///
    /// # Cancellation
    /// Dropping it closes the connection in use; the directory may have been asked.
    pub async fn check(&self, mut question: Question, received: Instant, deadline: Instant) -> VerdictReport {
        let mut busy = false;
        for (id, controller) in self.choose() {
            question = match self.turn(id, &controller, question, deadline).await {
                Turn::Asked(reply) => {
                    return VerdictReport {
                        verdict: reply.verdict,
                        ldap_result: reply.ldap_result,
                        sub_code: reply.sub_code,
                        controller: Some(controller.spot.name.clone()),
                        wait: reply.sent.saturating_duration_since(received),
                        bind: reply.bind,
                    };
                }
                Turn::Unasked(question) => question,
                Turn::Busy(question) => {
                    busy = true;
                    question
                }
                Turn::Late => return VerdictReport::bare(Verdict::NotAsked(NotAsked::Late)),
            };
        }
        let why = if monotonic() >= deadline {
            NotAsked::Late
        } else if busy {
            NotAsked::Busy
        } else {
            self.exhausted.notify_one();
            NotAsked::NoController
        };
        VerdictReport::bare(Verdict::NotAsked(why))
    }

    /// One controller's turn: the password is shown to it once at most.
    async fn turn(&self, id: Id, controller: &Controller, mut question: Question, deadline: Instant) -> Turn {
        let attempt = Trying::begin(self, id);
        for _ in 0..CONNECTION_TRIES {
            let now = monotonic();
            if now >= deadline {
                return Turn::Late;
            }
            let until = deadline.min(now + self.connect_wait_max);
            let connection = match controller.directory.connection(until).await {
                Ok(connection) => connection,
                Err(NotReady::Busy) => {
                    controller.counts().busy += 1;
                    return Turn::Busy(question);
                }
                // It was given less than its time: that says nothing about it.
                Err(_) if monotonic() >= deadline => return Turn::Late,
                Err(error) => {
                    attempt.end(controller, Outcome::Failed, &chain(&error));
                    return Turn::Unasked(question);
                }
            };
            if monotonic() >= deadline {
                return Turn::Late;
            }
            match connection.ask(question, deadline).await {
                Err(NotSent(unasked)) => question = unasked,
                Ok(reply) => {
                    let why = reply.verdict.reason_name().unwrap_or_default();
                    attempt.end(controller, outcome(reply.verdict), why);
                    return Turn::Asked(reply);
                }
            }
        }
        attempt.end(
            controller,
            Outcome::Failed,
            "connections end before a bind is written",
        );
        Turn::Unasked(question)
    }

    /// The controllers in the order in which a request tries them.
    fn choose(&self) -> Vec<(Id, Arc<Controller>)> {
        let mut roster = self.roster();
        let order = roster.health.choose(monotonic());
        let known = order
            .into_iter()
            .filter_map(|id| Some((id, roster.controllers.get(&id)?.clone())));
        known.collect()
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Roster {
    fn add(&mut self, spot: Spot, directory: Box<dyn Directory>) -> Id {
        self.numbered += 1;
        let controller = Arc::new(Controller {
            spot,
            directory,
            counts: Mutex::default(),
        });
        self.controllers.insert(self.numbered, controller);
        self.numbered
    }
}

/// What an answer says of the controller that gave it.
fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Unavailable(
            Unavailable::TimedOut | Unavailable::ConnectionLost | Unavailable::DirectoryDeclined,
        ) => Outcome::Failed,
        Verdict::Unavailable(Unavailable::DirectoryFault | Unavailable::ObjectUnknown) => Outcome::Odd,
        Verdict::NotAsked(_) => Outcome::Nothing,
        Verdict::Accepted
        | Verdict::Wrong
        | Verdict::RightBut(_)
        | Verdict::Locked
        | Verdict::Restricted
        | Verdict::OtherObject => Outcome::Judged,
    }
}

/// An attempt that ends at the latest when it is dropped, with whoever dropped the request.
struct Trying<'a> {
    forest: &'a Forest,
    attempt: Option<Attempt>,
}

impl<'a> Trying<'a> {
    fn begin(forest: &'a Forest, id: Id) -> Self {
        let attempt = forest.roster().health.begins(id, monotonic());
        Self {
            forest,
            attempt: Some(attempt),
        }
    }

    /// It ended like that; `why` is for the log.
    fn end(mut self, controller: &Controller, outcome: Outcome, why: &str) {
        match outcome {
            Outcome::Judged | Outcome::Odd => controller.counts().answered += 1,
            Outcome::Failed => controller.counts().failed += 1,
            Outcome::Nothing => {}
        }
        let (forest, controller) = (self.forest.name.as_str(), controller.spot.name.as_str());
        match self.settle(outcome) {
            Some(News::Avoided(wait)) => {
                let avoided_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(
                    forest,
                    controller,
                    avoided_ms,
                    why,
                    "domain controller is avoided"
                );
            }
            Some(News::Recovered) => tracing::info!(forest, controller, "domain controller is back"),
            None => {}
        }
    }

    fn settle(&mut self, outcome: Outcome) -> Option<News> {
        let attempt = self.attempt.take()?;
        let (mut roster, random) = (self.forest.roster(), self.forest.random.as_ref());
        roster.health.ends(&attempt, outcome, monotonic(), random)
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.settle(Outcome::Nothing);
    }
}
