//! Clients: what they are to do, doing it by the real `SignIn` call over TLS, and what they saw.
//! Open loop: a sign-in is sent at its time whatever became of those before.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_directory_mock::DirectoryHandle;
use postern_kit::clock::sleep_until;
use postern_proto::wire::signin::SignInResponse;
use postern_proto::wire::signin::sign_in_response::Outcome;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::host::Host;
use super::time::VirtualTime;
use super::trace::{Happening, Trace};
use crate::client::{ClientError, Programme, Site};

/// What is typed as the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The account's password at that moment; something wrong for a name that nobody has.
    Right,
    /// Something that was never anybody's password.
    Wrong,
    /// The first guess, the second, and so on: the same number is the same wrong password.
    Guess(u32),
    /// This one.
    This(Secret),
}

/// A password of a plan. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(Arc::new(text))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A sign-in that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the world's start.
    pub at: Duration,
    /// Which client makes it, from 0.
    pub client: usize,
    /// The tenant's short name.
    pub tenant: Arc<str>,
    /// The username as it is typed.
    pub username: Arc<str>,
    /// The password.
    pub typed: Typed,
}

/// How a sign-in was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By the cloud's sign-in.
    Outcome {
        /// The outcome.
        outcome: Outcome,
        /// Its number.
        code: u32,
        /// Finds the record in the sign-in log.
        request: String,
    },
    /// By something else than an outcome: the connection failed or was lost, or the call was refused.
    /// Whether the directory was asked is not known.
    Failed {
        /// gRPC's name of the status.
        status: String,
        /// What it says.
        message: String,
    },
}

impl Answer {
    /// What a call of `SignIn` came to.
    pub(crate) fn of(called: Result<SignInResponse, ClientError>) -> Self {
        match called {
            Ok(response) => Self::Outcome {
                outcome: response.outcome(),
                code: response.code,
                request: response.request_id,
            },
            Err(ClientError::Refused(status)) => Self::Failed {
                status: format!("{:?}", status.code()),
                message: status.message().to_owned(),
            },
            Err(error) => Self::Failed {
                status: "Unknown".to_owned(),
                message: error.to_string(),
            },
        }
    }
}

/// A sign-in as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What was to be made.
    pub arrival: Arrival,
    /// When it was sent, from the world's start; never, if its client was down then.
    pub sent: Option<Duration>,
    /// When the answer was there, and which; none as long as it waits, and if its client crashed.
    pub answered: Option<(Duration, Answer)>,
}

impl Observation {
    /// The outcome, if it was answered with one.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.answered {
            Some((_, Answer::Outcome { outcome, .. })) => Some(*outcome),
            _ => None,
        }
    }

    /// The record in the sign-in log, if there was an outcome.
    pub fn request(&self) -> Option<&str> {
        match &self.answered {
            Some((_, Answer::Outcome { request, .. })) => Some(request),
            _ => None,
        }
    }

    /// From sending to the answer.
    pub fn latency(&self) -> Option<Duration> {
        let (at, _) = self.answered.as_ref()?;
        Some(at.saturating_sub(self.sent?))
    }
}

/// All observations, in the order in which their sign-ins were handed to clients. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Book(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    all: Vec<Observation>,
    /// Sent, and neither answered nor given up.
    waiting: usize,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, arrival: Arrival) -> usize {
        let mut pages = self.lock();
        pages.all.push(Observation {
            arrival,
            sent: None,
            answered: None,
        });
        pages.all.len() - 1
    }

    pub(super) fn all(&self) -> Vec<Observation> {
        self.lock().all.clone()
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn sent(&self, number: usize, at: Duration) {
        let mut pages = self.lock();
        pages.waiting += 1;
        if let Some(one) = pages.all.get_mut(number) {
            one.sent = Some(at);
        }
    }

    fn answered(&self, number: usize, at: Duration, answer: Answer) {
        if let Some(one) = self.lock().all.get_mut(number) {
            one.answered = Some((at, answer));
        }
    }

    fn given_up(&self) {
        self.lock().waiting -= 1;
    }
}

/// Counts a sign-in as waiting until it ends, in whichever way.
struct Waiting(Book);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.given_up();
    }
}

/// How a programme signs in for a tenant, and where the right passwords are.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) directory: DirectoryHandle,
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
}

/// A client's host.
pub(super) struct Client {
    pub(super) host: Rc<Host>,
    pub(super) site: Site,
    pub(super) inbox: Inbox,
    pub(super) book: Book,
    pub(super) time: VirtualTime,
    pub(super) trace: Trace,
    /// From the beginning of the simulation to the world's start.
    pub(super) start: Duration,
    pub(super) access: BTreeMap<Arc<str>, Access>,
}

/// Sign-ins that were handed over and not taken yet; a step's worth.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox {
    queue: Arc<Mutex<Vec<(usize, Arrival)>>>,
    came: Arc<Notify>,
}

impl Inbox {
    pub(super) fn put(&self, number: usize, arrival: Arrival) {
        self.lock().push((number, arrival));
        self.came.notify_one();
    }

    /// What was handed to a process that is gone.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(usize, Arrival)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sign-in and what it needs.
struct Call {
    number: usize,
    arrival: Arrival,
    programme: Programme,
    directory: DirectoryHandle,
    book: Book,
    time: VirtualTime,
    trace: Trace,
    host: Arc<str>,
    start: Duration,
}

impl Client {
    /// Runs until the host goes down.
    pub(super) async fn run(&self) -> Result<(), ClientError> {
        let mut programmes = BTreeMap::new();
        for (tenant, access) in &self.access {
            let programme = Programme::at(&self.site, &access.id, &access.secret)?;
            programmes.insert(tenant.clone(), (programme, access.directory.clone()));
        }
        let tasks = self.host.seams().tasks;
        loop {
            self.inbox.came.notified().await;
            for (number, arrival) in std::mem::take(&mut *self.inbox.lock()) {
                let Some((programme, directory)) = programmes.get(&arrival.tenant) else {
                    continue;
                };
                let call = Call {
                    number,
                    arrival,
                    programme: programme.clone(),
                    directory: directory.clone(),
                    book: self.book.clone(),
                    time: self.time.clone(),
                    trace: self.trace.clone(),
                    host: self.host.name.clone(),
                    start: self.start,
                };
                tasks.spawn("sign-in of a client", call.run());
            }
        }
    }
}

impl Call {
    async fn run(self) {
        let wait = (self.start + self.arrival.at).saturating_sub(self.time.now());
        sleep_until(postern_kit::clock::monotonic() + wait).await;
        let password = self.password();
        self.book.sent(self.number, self.now());
        let _waiting = Waiting(self.book.clone());
        let called = self.programme.sign_in(&self.arrival.username, &password).await;
        let answer = Answer::of(called);
        let text = match &answer {
            Answer::Outcome { outcome, code, .. } => format!("{} {outcome:?} {code}", self.number),
            Answer::Failed { status, .. } => format!("{} {status}", self.number),
        };
        self.trace.add(&self.host, "", Happening::Event(&text));
        self.book.answered(self.number, self.now(), answer);
    }

    fn now(&self) -> Duration {
        self.time.now().saturating_sub(self.start)
    }

    fn password(&self) -> Zeroizing<String> {
        let right = self.directory.read(|domain| {
            let account = domain.resolve(&self.arrival.username)?;
            Some(Zeroizing::new(account.password.plaintext().to_owned()))
        });
        match (&self.arrival.typed, right) {
            (Typed::Right, Some(right)) => right,
            (Typed::This(secret), _) => Zeroizing::new(secret.0.as_str().to_owned()),
            (Typed::Guess(number), _) => Zeroizing::new(format!("Guess-{number:08}")),
            _ => Zeroizing::new(format!("Wrong-{:08}", self.number)),
        }
    }
}
