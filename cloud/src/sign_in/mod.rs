//! One sign-in from first byte to outcome: the only place where its steps are put in order.
//!
//! Who is meant; is the password one that a directory may see; is an agent there; does the
//! account's budget allow an attempt; ask; count; write the record; answer. Decisions about a
//! verdict are in `core.rs`, the floor of refusals in `floor.rs`, how strangers fare in `weather.rs`,
//! the log in `log.rs`.
//!
//! # Invariants
//! * Each sign-in is answered once, at its deadline at the latest (I3), and goes on to its end when
//!   its caller is gone: somebody may have been asked, and that must be counted.
//! * The record is on disk before the answer (I8); what cannot be written is answered "unavailable".
//! * A refusal leaves at the same moment after its receipt whatever its reason, and holds no agent's
//!   slot and no charge while it waits. A success leaves at once.
//! * A name that nobody has passes the same checks as one that somebody has, and fares alike while
//!   nobody can say.

mod core;
mod floor;
mod log;
mod port;
mod scribe;
mod sql;
mod weather;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use postern_kit::Seams;
use postern_kit::clock::{Timestamp, monotonic, sleep_until};
use postern_kit::random;
use postern_kit::telemetry;
use postern_proto::ids::{RequestId, TenantId, UserId};
use postern_proto::names::{DomainName, TenantName, Username};
use postern_proto::password::Password;
use postern_proto::verdict::{DirectoryCount, Verdict};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use self::core::Ending;
use self::floor::Floors;
use self::scribe::Scribe;
use self::weather::{Sample, Weather};
use crate::budget::{Account, Budgets, Charged};
use crate::config::Limits;
use crate::dispatch::{Agents, Attempt, Charges, Judgement, Question};
use crate::store::Store;
use crate::tenants::{Resolved, Tenants, UserRecord};
use crate::trust::Trust;

pub use self::log::{AttemptRecord, Record, SignInLog};
pub use self::port::{Answer, Entry, Input, Outcome, SignsIn};

/// How often old records are removed.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

/// Records removed in one transaction: short enough that sign-ins do not wait for it.
const PURGE_BATCH: u32 = 1000;

/// Sign-ins under way at once; one more is told to come back at once. Refusals wait for the floor, so this
/// is some 16,000 wrong passwords a second; each holds a few kilobytes.
const UNDER_WAY_MAX: usize = 4096;

/// What the log says of an attempt that was under way when another one decided.
const NOT_AWAITED: &str = "not_awaited";

/// The rooms that a sign-in goes through.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who is who.
    pub tenants: Tenants,
    /// Digests of names that nobody has.
    pub trust: Trust,
    /// How often an account may fail.
    pub budgets: Budgets,
    /// Who asks the directories.
    pub agents: Arc<dyn Agents>,
    /// Where the log is.
    pub store: Store,
}

struct Inner {
    parts: Parts,
    limits: Limits,
    floors: Mutex<Floors>,
    weather: Mutex<Weather>,
    scribe: Scribe,
    /// One permit per sign-in under way.
    room: Arc<Semaphore>,
    /// How many found none.
    shed: AtomicU64,
    seams: Seams,
}

/// Signs people in. Clones share everything.
#[derive(Clone)]
pub struct SignIn(Arc<Inner>);

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Sign-ins that have no answer yet.
    pub under_way: usize,
    /// Sign-ins since the start that were told to come back, because too many were under way.
    pub shed: u64,
}

/// What is known of a sign-in once it is judged.
struct Judged {
    tenant: Option<TenantId>,
    user: Option<UserId>,
    username: String,
    ending: Ending,
    attempts: Vec<Attempt>,
    /// The account's charges and what came of each, if somebody was asked or would have been.
    charges: Vec<(Charged, DirectoryCount)>,
    /// The directory judged the password and found it wrong.
    wrong: bool,
}

impl Judged {
    /// Without anybody asked.
    fn unasked(whose: &Whose, ending: Ending) -> Self {
        Self {
            tenant: whose.tenant,
            user: whose.user.as_ref().map(|user| user.id),
            username: whose.logged_name(),
            ending,
            attempts: Vec::new(),
            charges: Vec::new(),
            wrong: false,
        }
    }
}

/// A sign-in under way.
struct Case {
    request: RequestId,
    at: Timestamp,
    received: Instant,
    /// When it is answered at the latest.
    deadline: Instant,
    /// Until when somebody may be asked.
    ask_until: Instant,
    /// The caller has less time than we would take.
    hurried: bool,
    tenant: TenantName,
    username: String,
    password: Zeroizing<String>,
    entry: Entry,
    source: IpAddr,
}

impl Case {
    fn open(request: RequestId, input: Input, longest: Duration, at: Timestamp) -> Self {
        let latest = input.received + longest;
        let deadline = input.deadline.map_or(latest, |own| own.min(latest));
        Self {
            request,
            at,
            received: input.received,
            deadline,
            ask_until: core::ask_until(input.received, deadline),
            hurried: deadline < latest,
            tenant: input.tenant,
            username: input.username,
            password: input.password,
            entry: input.entry,
            source: input.source,
        }
    }

    /// Its record in the log, with what `judged` has for it.
    fn record(&self, judged: &mut Judged) -> Record {
        let (channel, client) = match self.entry {
            Entry::Page => ("page", None),
            Entry::Rpc(client) => ("rpc", Some(client)),
        };
        Record {
            request: self.request,
            at: self.at,
            tenant: judged.tenant,
            tenant_name: self.tenant.clone(),
            user: judged.user,
            username: std::mem::take(&mut judged.username),
            outcome: judged.ending.outcome.name().to_owned(),
            code: judged.ending.code,
            channel: channel.to_owned(),
            source: self.source,
            client,
            total: monotonic().saturating_duration_since(self.received),
            attempts: std::mem::take(&mut judged.attempts)
                .into_iter()
                .map(attempt_record)
                .collect(),
        }
    }
}

/// Who is meant.
#[derive(Default)]
struct Whose {
    tenant: Option<TenantId>,
    tell_locked: bool,
    user: Option<UserRecord>,
    /// The domain of what was typed, if it is the tenant's. Of another one, which may be the half of a
    /// password, nothing is kept.
    typed_domain: Option<DomainName>,
    /// Account and domain of somebody who is asked about, or would be.
    account: Option<(Account, DomainName)>,
}

impl Whose {
    fn logged_name(&self) -> String {
        match (&self.user, &self.typed_domain) {
            (Some(user), _) => user.username.to_string(),
            (None, Some(domain)) => format!("@{domain}"),
            (None, None) => String::new(),
        }
    }
}

impl SignIn {
    /// Over its parts. Sign-ins run among the tasks of `front`. What writes their log runs among those of
    /// `back`, and ends with `back_stop`.
    pub fn new(
        parts: Parts,
        limits: Limits,
        front: &Seams,
        back: &Seams,
        back_stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            scribe: Scribe::start(parts.store.clone(), back, back_stop),
            parts,
            limits,
            floors: Mutex::new(Floors::new(limits.floor, limits.deadline)),
            weather: Mutex::default(),
            room: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            shed: AtomicU64::new(0),
            seams: front.clone(),
        }))
    }

    /// How many sign-ins are under way and were shed.
    pub fn load(&self) -> Load {
        Load {
            under_way: UNDER_WAY_MAX.saturating_sub(self.0.room.available_permits()),
            shed: self.0.shed.load(Ordering::Relaxed),
        }
    }

    /// Removes records that are older than `keep`, and counts whose window is over, until `stop`.
    pub async fn purge(&self, keep: Duration, stop: CancellationToken) {
        loop {
            self.purge_once(keep, &stop).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PURGE_EVERY) => {}
            }
        }
    }

    async fn purge_once(&self, keep: Duration, stop: &CancellationToken) {
        let log = SignInLog::new(self.0.parts.store.clone());
        let before = self.0.seams.clock.now().minus(keep);
        let mut outcome = self
            .0
            .parts
            .budgets
            .purge()
            .await
            .map(|()| u64::from(PURGE_BATCH));
        while !stop.is_cancelled() && matches!(outcome, Ok(removed) if removed >= u64::from(PURGE_BATCH)) {
            outcome = log.purge(before, PURGE_BATCH).await;
        }
        if let Err(error) = outcome {
            tracing::warn!(error = telemetry::chain(&error), "old records are not removed");
        }
    }

    async fn sign_in(&self, request: RequestId, input: Input, answer: oneshot::Sender<Answer>) {
        let mut case = Case::open(request, input, self.0.limits.deadline, self.0.seams.clock.now());
        let (username, password) = (
            std::mem::take(&mut case.username),
            std::mem::take(&mut case.password),
        );
        let mut judged = self.judge(&case, username, password).await;
        let record = case.record(&mut judged);
        let counts = judged
            .charges
            .iter_mut()
            .map(|(charged, proven)| charged.count(*proven));
        let changes: Vec<_> = counts.collect();
        let late = Arc::new(AtomicBool::new(false));
        let write = self.0.scribe.write(record, changes, late.clone());
        tokio::pin!(write);
        let unwritten = Ending::plain(Outcome::Unavailable);
        let (written, answer) = tokio::select! {
            written = &mut write => (written, Some(answer)),
            () = sleep_until(case.deadline) => {
                // The record comes later, and says so if it is not being written already; the charge
                // stands until then.
                late.store(true, Ordering::Relaxed);
                let _ = answer.send(unwritten.answer(request));
                (write.await, None)
            }
        };
        judged.charges.clear();
        let ending = match written {
            Ok(()) => judged.ending,
            Err(error) => {
                tracing::error!(%request, error = telemetry::chain(&error), "sign-in cannot be logged");
                unwritten
            }
        };
        tracing::info!(
            %request,
            user = judged.user.map(tracing::field::display),
            outcome = ending.outcome.name(),
            code = ending.code,
            "sign-in ended"
        );
        let Some(answer) = answer else { return };
        if !matches!(ending.outcome, Outcome::SignedIn(_)) {
            let floor = self.floor(judged.tenant, judged.wrong, case.received);
            sleep_until((case.received + floor).min(case.deadline)).await;
        }
        // The caller may be gone.
        let _ = answer.send(ending.answer(request));
    }

    fn floor(&self, tenant: Option<TenantId>, wrong: bool, received: Instant) -> Duration {
        let mut floors = self.0.floors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenant.filter(|_| wrong) {
            floors.took(tenant, monotonic().saturating_duration_since(received));
        }
        floors.of(tenant)
    }

    async fn judge(&self, case: &Case, username: String, mut password: Zeroizing<String>) -> Judged {
        let request = case.request;
        let unavailable = || Judged::unasked(&Whose::default(), Ending::plain(Outcome::Unavailable));
        let whose = tokio::select! {
            whose = self.whose(&case.tenant, &username) => match whose {
                Ok(whose) => whose,
                Err(error) => {
                    tracing::error!(%request, error = telemetry::chain(&error), "user cannot be looked up");
                    return unavailable();
                }
            },
            () = sleep_until(case.ask_until) => {
                tracing::error!(%request, "the store did not say in time who the user is");
                return unavailable();
            }
        };
        let refused = Ending::plain(Outcome::Refused);
        let (Some(tenant), Some((account, domain))) = (whose.tenant, whose.account.clone()) else {
            return Judged::unasked(&whose, refused);
        };
        let Ok(password) = Password::new(std::mem::take(&mut *password)) else {
            return Judged::unasked(&whose, refused);
        };
        if let Err(why) = self.0.parts.agents.admit(tenant, &domain) {
            return Judged::unasked(&whose, core::not_admitted(why));
        }
        let charged = match self.0.parts.budgets.charge(account, case.ask_until).await {
            Ok(charged) => charged,
            Err(why) => return Judged::unasked(&whose, core::not_charged(why)),
        };
        let judged = Judged::unasked(&whose, refused);
        let Some(user) = whose.user else {
            // Nobody has this name, and nobody is asked.
            let (ending, cost) = self.stranger(case, tenant, &domain).await;
            return Judged {
                ending: ending.unwrap_or(refused),
                charges: vec![(charged, cost)],
                ..judged
            };
        };
        let again = Again::new(self.0.parts.budgets.clone(), account);
        let question = Question {
            request,
            tenant,
            domain: domain.clone(),
            object: user.object,
            name: user.on_premises_name,
            password,
            deadline: case.ask_until,
            charges: Box::new(again.clone()),
        };
        let (judgement, charges) = self.ask(question, charged, again).await;
        if judgement.verdict == Verdict::OtherObject {
            tracing::warn!(
                %request,
                user = %user.id,
                "the directory accepted the password for another object than the user's: is the record's name out of date?"
            );
        }
        let ending = core::after_verdict(judgement.verdict, user.id, whose.tell_locked);
        let proven = core::proven(&judgement.attempts, judgement.verdict, charges.len());
        let proven = core::as_shown(ending.outcome, !judgement.attempts.is_empty(), proven);
        self.learn(case, tenant, &domain, &ending, &proven);
        Judged {
            ending,
            attempts: judgement.attempts,
            charges: charges.into_iter().zip(proven).collect(),
            wrong: judgement.verdict == Verdict::Wrong,
            ..judged
        }
    }

    async fn ask(&self, question: Question, mut charged: Charged, again: Again) -> (Judgement, Vec<Charged>) {
        charged.asking();
        let judgement = self.0.parts.agents.ask(question).await;
        let charges = std::iter::once(charged).chain(again.take()).collect();
        (judgement, charges)
    }

    /// Notes how a sign-in went, for strangers. One whose caller was in a hurry says nothing about others.
    fn learn(
        &self,
        case: &Case,
        tenant: TenantId,
        domain: &DomainName,
        ending: &Ending,
        proven: &[DirectoryCount],
    ) {
        if case.hurried {
            return;
        }
        let is_unjudged = matches!(ending.outcome, Outcome::Unavailable | Outcome::Busy);
        let cost = proven.first().copied().unwrap_or(DirectoryCount::Untouched);
        let sample = Sample {
            took: monotonic().saturating_duration_since(case.received),
            unjudged: is_unjudged.then_some((*ending, cost)),
        };
        self.weather().seen(tenant, domain, sample, monotonic());
    }

    /// Waits as long as a user of the domain would, and ends as a user's sign-in would: without a verdict,
    /// or as a wrong password.
    async fn stranger(
        &self,
        case: &Case,
        tenant: TenantId,
        domain: &DomainName,
    ) -> (Option<Ending>, DirectoryCount) {
        let wrong = (None, DirectoryCount::PerhapsOneMore);
        let random = self.0.seams.random.as_ref();
        let drawn = self
            .weather()
            .stranger(tenant, domain, monotonic(), |bound| random::below(random, bound));
        let Some(Sample { took, unjudged }) = drawn else {
            return wrong;
        };
        sleep_until((case.received + took).min(case.ask_until)).await;
        unjudged.map_or(wrong, |(ending, cost)| (Some(ending), cost))
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.0.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn whose(&self, tenant: &TenantName, typed: &str) -> Result<Whose, crate::store::StoreError> {
        let name: Option<Username> = typed.parse().ok();
        let typed_domain = name.as_ref().map(Username::domain);
        let resolved = self.0.parts.tenants.resolve(tenant, name.as_ref()).await?;
        Ok(match (resolved, name) {
            (Resolved::User(tenant, user), _) => Whose {
                tenant: Some(tenant.id),
                tell_locked: tenant.tell_locked,
                account: Some((Account::User(user.id), user.domain.clone())),
                user: Some(user),
                typed_domain,
            },
            (Resolved::NoUser(tenant, domain), Some(name)) => {
                let mut typed = tenant.id.as_bytes().to_vec();
                typed.extend_from_slice(name.as_str().as_bytes());
                let digest = self.0.parts.trust.name_digest(&Zeroizing::new(typed));
                Whose {
                    tenant: Some(tenant.id),
                    // A name of somebody would be asked about there.
                    account: Some((Account::Unknown(digest), domain)),
                    typed_domain,
                    ..Whose::default()
                }
            }
            (Resolved::NoUser(tenant, _) | Resolved::NoDomain(tenant), _) => Whose {
                tenant: Some(tenant.id),
                ..Whose::default()
            },
            (Resolved::NoTenant, _) => Whose::default(),
        })
    }
}

/// Charges the account of a sign-in once more while dispatch has the question.
#[derive(Clone, Debug)]
struct Again {
    budgets: Budgets,
    account: Account,
    taken: Arc<Mutex<Option<Charged>>>,
}

impl Again {
    fn new(budgets: Budgets, account: Account) -> Self {
        let taken = Arc::default();
        Self {
            budgets,
            account,
            taken,
        }
    }

    fn take(&self) -> Option<Charged> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Charges for Again {
    fn again(&mut self) -> bool {
        let Some(mut charged) = self.budgets.charge_now(self.account) else {
            return false;
        };
        charged.asking();
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(charged);
        true
    }
}

fn attempt_record(attempt: Attempt) -> AttemptRecord {
    let Some(report) = attempt.report else {
        return AttemptRecord {
            agent: attempt.agent,
            controller: String::new(),
            verdict: NOT_AWAITED.to_owned(),
            reason: String::new(),
            total: attempt.total,
            wait: Duration::ZERO,
            bind: Duration::ZERO,
            ldap_result: 0,
            sub_code: 0,
        };
    };
    AttemptRecord {
        agent: attempt.agent,
        controller: report.controller.unwrap_or_default(),
        verdict: report.verdict.name().to_lowercase(),
        reason: report.verdict.reason_name().unwrap_or_default().to_lowercase(),
        total: attempt.total,
        wait: report.wait,
        bind: report.bind,
        ldap_result: report.ldap_result,
        sub_code: report.sub_code,
    }
}

#[async_trait]
impl SignsIn for SignIn {
    async fn run(&self, input: Input) -> Answer {
        let request = RequestId::generate(self.0.seams.random.as_ref());
        let Ok(permit) = self.0.room.clone().try_acquire_owned() else {
            // Before anything of it was looked at: there is nothing to log, and no time to.
            self.0.shed.fetch_add(1, Ordering::Relaxed);
            return core::busy().answer(request);
        };
        let (answer, answered) = oneshot::channel();
        let this = self.clone();
        // A task of its own: a caller who goes away does not stop it.
        self.0.seams.tasks.spawn("sign-in", async move {
            this.sign_in(request, input, answer).await;
            drop(permit);
        });
        let unavailable = Answer {
            request,
            outcome: Outcome::Unavailable,
            retry_after: None,
        };
        answered.await.unwrap_or(unavailable)
    }
}

#[cfg(test)]
mod tests;
