//! What an administrator is told who wants to know whether a directory can be asked: step by step what works, what
//! does not, and what to do about it. Each step needs those before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_kit::clock::monotonic;
use postern_kit::telemetry::chain;
use postern_proto::ids::ObjectId;
use postern_proto::names::OnPremisesName;
use postern_proto::password::Password;
use postern_proto::verdict::{Obstacle, Unavailable, Verdict};

use super::link::{Failed, Found, Link, connect};
use super::lockout::{self, Lockout};
use super::whom::{Search, Way};
use super::{NotReady, ldap::Pool};
use crate::config::BindName;

/// Longest wait for each step after the connection stands: far more than a healthy directory takes, and short
/// enough for somebody who watches.
const STEP_WAIT_MAX: Duration = Duration::from_secs(10);

/// Whom to look at.
#[derive(Debug)]
pub struct Inspected {
    name: OnPremisesName,
    object: Option<ObjectId>,
    password: Option<Password>,
    shown: bool,
}

impl Inspected {
    /// The user whom the directory calls `name`. Only with the `object` of the user's record a bind is judged as for a
    /// sign-in. The `password` is shown once, and a wrong one counts.
    pub fn new(name: OnPremisesName, object: Option<ObjectId>, password: Option<Password>) -> Self {
        Self {
            name,
            object,
            password,
            shown: false,
        }
    }

    /// What the directory calls the user.
    pub fn name(&self) -> &OnPremisesName {
        &self.name
    }
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should.
    Good,
    /// Sign-ins will fail.
    Bad,
    /// Neither: something to know.
    Note,
}

/// What one step found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it went.
    pub mark: Mark,
    /// Which step.
    pub step: &'static str,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

/// The steps so far.
struct Report(Vec<Finding>);

/// A step failed: those after it make no sense.
struct Stop;

impl Report {
    fn add(&mut self, mark: Mark, step: &'static str, text: impl Into<String>, advice: Option<&'static str>) {
        let text = text.into();
        self.0.push(Finding {
            mark,
            step,
            text,
            advice,
        });
    }

    fn good(&mut self, step: &'static str, text: impl Into<String>) {
        self.add(Mark::Good, step, text, None);
    }

    fn note(&mut self, step: &'static str, text: impl Into<String>, advice: Option<&'static str>) {
        self.add(Mark::Note, step, text, advice);
    }

    fn stop(&mut self, step: &'static str, text: impl Into<String>, advice: &'static str) -> Stop {
        self.add(Mark::Bad, step, text, Some(advice));
        Stop
    }
}

/// Looks at a controller. The password leaves `asked` when it is shown: it is shown to one controller.
pub(super) async fn inspect(
    pool: &Arc<Pool>,
    asked: &mut Inspected,
    connect_wait_max: Duration,
) -> Vec<Finding> {
    let mut report = Report(Vec::new());
    // The steps end where one fails, which the report says.
    let _ = steps(pool, asked, connect_wait_max, &mut report).await;
    report.0
}

fn soon() -> Instant {
    monotonic() + STEP_WAIT_MAX
}

async fn steps(
    pool: &Arc<Pool>,
    asked: &mut Inspected,
    connect_wait_max: Duration,
    report: &mut Report,
) -> Result<(), Stop> {
    let mut link = connection(pool, connect_wait_max, report).await?;
    let mut reader = service_account(pool, report).await?;
    let bind = user(pool, asked, reader.as_mut(), report).await?;
    let accepted = password(pool, asked, bind, &mut link, report).await;
    // Active Directory lets every user read it, others only whom they are told to.
    let asks = match (reader, &accepted) {
        (Some(reader), _) => Some(reader),
        (None, Ok(true)) => Some(link),
        (None, _) => None,
    };
    policy(pool, asks, report).await;
    accepted.map(drop)
}

async fn connection(pool: &Arc<Pool>, wait_max: Duration, report: &mut Report) -> Result<Link, Stop> {
    if let Err(error) = connect(pool, monotonic() + wait_max).await {
        let advice = "check host name, port, name servers and firewalls between here and there";
        return Err(report.stop("connect", chain(error.as_ref()), advice));
    }
    report.good("connect", "host name found, connection opened");
    match Link::open(pool, monotonic() + wait_max).await {
        Ok(link) => {
            report.good("protect", "TLS stands, certificate is trusted");
            Ok(link)
        }
        Err(error) => {
            let text = chain(error.as_ref());
            let advice = if text.contains("UnknownIssuer") || text.contains("BadSignature") {
                "let `trust` name the CA that signed the controller's certificate"
            } else if text.contains("NotValidForName") {
                "let `controllers` name the host as its certificate does"
            } else if text.contains("Expired") || text.contains("NotValidYet") {
                "renew the controller's certificate, and check both clocks"
            } else {
                "check `protection` against the port: LDAPS is mostly 636, StartTLS 389; the controller needs a certificate"
            };
            Err(report.stop("protect", text, advice))
        }
    }
}

async fn service_account(pool: &Arc<Pool>, report: &mut Report) -> Result<Option<Link>, Stop> {
    let Some(account) = &pool.settings.service_account else {
        return Ok(None);
    };
    match pool.reader(account, soon()).await {
        Ok(reader) => {
            report.good("service account", format!("{} is bound", account.name));
            Ok(Some(reader))
        }
        Err(error @ NotReady::ServiceAccount(_)) => {
            let advice = "check `service_account.name` and what is in `password_file`, and whether the account is locked or disabled";
            Err(report.stop("service account", chain(&error), advice))
        }
        Err(error) => {
            let advice = "the controller does not answer as it did before: look at its own log";
            Err(report.stop("service account", chain(&error), advice))
        }
    }
}

/// What is bound, and the search that must find the user afterwards.
type Bind = (String, Option<Search>);

async fn user(
    pool: &Arc<Pool>,
    asked: &Inspected,
    reader: Option<&mut Link>,
    report: &mut Report,
) -> Result<Bind, Stop> {
    let Inspected { name, object, .. } = asked;
    let bind_name = &pool.settings.bind_name;
    if *bind_name == BindName::Guid && object.is_none() {
        let advice = Some("give --object with the record's object_id, and the bind is the one of a sign-in");
        report.note(
            "user",
            format!("bound by the name {name}, since the object is not known"),
            advice,
        );
        return Ok((name.as_str().to_owned(), None));
    }
    // Only a template that asks for the object has use for it here.
    let wanted = object.unwrap_or(ObjectId::from_bytes([0; 16]));
    let way = Way::of(bind_name, wanted, name);
    let search = match (way, reader) {
        (None, _) => {
            let advice = "the template asks for the name's domain: the on-premises name must have one";
            return Err(report.stop("user", format!("no bind name can be made of {name}"), advice));
        }
        (Some(Way::ById(bind)), _) => {
            report.good("user", format!("is bound as {bind}"));
            return Ok((bind, None));
        }
        (Some(Way::ByName(bind, search)), _) => {
            report.good("user", format!("is bound as {bind}"));
            return Ok((bind, Some(search)));
        }
        (Some(Way::Found(search)), Some(reader)) => (search, reader),
        (Some(Way::Found(_)), None) => {
            let advice = "configure [forest.service_account]";
            return Err(report.stop("user", "there is nobody to search under", advice));
        }
    };
    let (search, reader) = search;
    Ok((searched(pool, *object, &search, reader, report).await?, None))
}

/// The DN that the service account finds.
async fn searched(
    pool: &Arc<Pool>,
    object: Option<ObjectId>,
    search: &Search,
    reader: &mut Link,
    report: &mut Report,
) -> Result<String, Stop> {
    let searched = format!("{} under {}", search.filter, search.base);
    let entry = match reader.find(search, pool.settings.kind, soon()).await {
        Ok(Found::One(entry)) => entry,
        Ok(Found::Nothing) => {
            let advice = "check `base` and `filter` against the user's entry, and that the service account may read it";
            return Err(report.stop("user", format!("{searched}: no entry"), advice));
        }
        Ok(Found::Several) => {
            let advice =
                "nobody is bound who is not the only one: make `filter` narrower, or the values unique";
            return Err(report.stop("user", format!("{searched}: several entries"), advice));
        }
        Err(error) => {
            let advice = "check `base` and `filter`, and that the service account may search there";
            return Err(report.stop("user", format!("{searched}: {}", chain(&error)), advice));
        }
    };
    report.good("user", format!("{searched}: {}", entry.dn));
    whose(object, &entry.objects, report)?;
    Ok(entry.dn)
}

/// Whether an entry is the record's object.
fn whose(object: Option<ObjectId>, found: &[ObjectId], report: &mut Report) -> Result<(), Stop> {
    let all: Vec<_> = found.iter().map(ToString::to_string).collect();
    let all = all.join(" and ");
    if found.is_empty() {
        let advice = "let whoever reads it see objectGUID, entryUUID or nsUniqueId";
        return Err(report.stop("object", "the entry shows no id", advice));
    }
    match object {
        Some(object) if found.contains(&object) => report.good("object", format!("{object} is the record's")),
        Some(object) => {
            let advice =
                "it is another user's entry, or the record's object_id is wrong: import the user again";
            return Err(report.stop("object", format!("{all} instead of {object}"), advice));
        }
        None => report.note(
            "object",
            all,
            Some("the user's record must have this as its object_id"),
        ),
    }
    Ok(())
}

/// Whether the password was accepted for the object.
async fn password(
    pool: &Arc<Pool>,
    asked: &mut Inspected,
    (bind, proof): Bind,
    link: &mut Link,
    report: &mut Report,
) -> Result<bool, Stop> {
    if asked.shown {
        report.note(
            "bind",
            "not tried: the password was shown to another controller",
            None,
        );
        return Ok(false);
    }
    let Some(password) = asked.password.take() else {
        let advice =
            Some("give --password-file to have a password judged; a wrong one counts towards the lockout");
        report.note("bind", "not tried: there is no password", advice);
        return Ok(false);
    };
    asked.shown = true;
    let kind = pool.settings.kind;
    let answer = match link.bind(&bind, password.plaintext(), kind, soon()).await {
        Ok(answer) => answer,
        Err(error) => {
            let advice = "the controller was asked and did not answer: look at its own log";
            return Err(report.stop("bind", chain(&error), advice));
        }
    };
    drop(password);
    let judged = answer.judged(kind);
    let said = chain(&Failed::from(answer));
    match meaning(judged.verdict) {
        None => report.good("bind", "the directory accepts the password"),
        Some((text, advice)) => return Err(report.stop("bind", format!("{text} ({said})"), advice)),
    }
    let Some(search) = proof else { return Ok(true) };
    match link.find(&search, kind, soon()).await {
        Ok(Found::One(entry)) => whose(asked.object, &entry.objects, report).map(|()| true),
        Ok(Found::Nothing | Found::Several) => {
            let advice = "check `base`, and that users may read their own entries";
            Err(report.stop("object", "the bound entry is not found by its name", advice))
        }
        Err(error) => Err(report.stop("object", chain(&error), "let users read their own entries")),
    }
}

/// What a refusal means and what to do about it; `None` for an acceptance.
fn meaning(verdict: Verdict) -> Option<(&'static str, &'static str)> {
    const USER: &str = "this is about the account, not about Postern: change it in the directory";
    Some(match verdict {
        Verdict::Accepted => return None,
        Verdict::Wrong => (
            "wrong password, or no such user",
            "try the name and password elsewhere; the failure was counted",
        ),
        Verdict::RightBut(obstacle) => (
            match obstacle {
                Obstacle::PasswordExpired => "the password is right and has expired",
                Obstacle::MustChange => "the password is right and must be changed first",
                Obstacle::Disabled => "the password is right, the account is disabled",
                Obstacle::AccountExpired => "the password is right, the account has expired",
                Obstacle::LogonHours => "the password is right, the account may not sign in at this hour",
                Obstacle::Workstation => "the password is right, the account may not sign in from this host",
            },
            USER,
        ),
        Verdict::Locked => ("the account is locked", USER),
        Verdict::Restricted => (
            "the account is restricted",
            "members of Protected Users and the like cannot sign in by simple bind",
        ),
        Verdict::OtherObject => ("another object was bound", "import the user again"),
        Verdict::Unavailable(Unavailable::DirectoryDeclined) => (
            "the directory does not judge now",
            "result 8 asks for protection, 51 and 52 for patience: look at its own log",
        ),
        Verdict::Unavailable(_) => (
            "the directory answers something that is no verdict",
            "check `kind` and `bind_name`: not every directory takes every form of a name",
        ),
        Verdict::NotAsked(_) => ("the directory was not asked", "look at the log"),
    })
}

async fn policy(pool: &Arc<Pool>, link: Option<Link>, report: &mut Report) {
    let Some(mut link) = link else { return };
    match lockout::read(&mut link, pool.settings.kind, soon()).await {
        Ok(all) => match (lockout::strictest(&all), all.is_empty()) {
            (Some(rule), _) => {
                let advice = "the cloud's `limits.budget` must be below that, or sign-ins can lock accounts";
                report.note("lockout", rule_text(rule), Some(advice));
            }
            (None, false) => report.note("lockout", "accounts are never locked", None),
            (None, true) => report.note(
                "lockout",
                "no rule can be read",
                Some("find it out in the directory: the cloud's `limits.budget` must be below the threshold"),
            ),
        },
        Err(error) => report.note("lockout", format!("cannot be read: {}", chain(&error)), None),
    }
}

fn rule_text(rule: Lockout) -> String {
    let time = |time: Option<Duration>, never: &str| match time {
        Some(time) => format!("for {} min", time.as_secs().div_ceil(60)),
        None => never.to_owned(),
    };
    format!(
        "{} failures lock an account {}; they are remembered {}",
        rule.threshold,
        time(rule.duration, "until it is unlocked"),
        time(rule.window, "until a success"),
    )
}
