//! What can be asked at the control port. Bodies have the keys of the configuration file; what is wrong with one is
//! told by its field, all at once.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use postern_kit::clock::{Clock as _, Timestamp};
use postern_kit::config::{Fields, parse};
use postern_kit::secret::Token256;
use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{Controlled, Controller, users};
use crate::faults::{Faults, Rule, RuleError, read_rule};
use crate::handle::DirectoryHandle;
use crate::journal::{BindRecord, Binds, Journal};
use crate::ldif::ImportOptions;

/// Largest body: the LDIF of some thousand users. A rule or a user has some hundred bytes.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Binds that an answer shows unless it is told otherwise.
const SHOWN: usize = 20;
/// Binds that an answer shows at most, of about 300 bytes each.
const SHOWN_MAX: usize = 10_000;

pub(super) type Shared = State<Arc<Controlled>>;
/// What is answered: a JSON value, or why not.
pub(super) type Answer = Result<Json, Problem>;

/// A JSON value as a response.
pub(super) struct Json(pub(super) Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let text = format!("{}\n", self.0);
        ([(CONTENT_TYPE, "application/json")], text).into_response()
    }
}

/// Why a request is refused, each mistake with its field.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    mistakes: Vec<String>,
}

impl Problem {
    fn new(status: StatusCode, mistake: impl Into<String>) -> Self {
        Self {
            status,
            mistakes: vec![mistake.into()],
        }
    }

    pub(super) fn bad(mistake: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, mistake)
    }

    pub(super) fn missing(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    pub(super) fn conflict(why: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, why)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "mistakes": self.mistakes }))).into_response()
    }
}

/// The routes. `token` is the digest of what requests must show.
pub(super) fn router(controlled: Controlled, token: [u8; 32]) -> Router {
    let check = middleware::from_fn(move |request: Request, next: Next| async move {
        if is_allowed(&request, token) {
            return next.run(request).await;
        }
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "authorization: expected `Bearer` and the token of the control port",
        );
        problem.into_response()
    });
    Router::new()
        .route("/", get(status))
        .route("/clock", get(clock).post(move_clock))
        .route("/faults", get(faults).put(set_fault).delete(clear_faults))
        .route("/faults/{name}", delete(remove_fault))
        .route("/fault-seed", post(seed_faults))
        .route("/users", post(users::add))
        .route("/users/{name}", get(users::show).delete(users::remove))
        .route("/users/{name}/{action}", post(users::change))
        .route("/journal", get(journal).delete(clear_journal))
        .route("/connections/close", post(close_connections))
        .route("/ldif", get(export).post(import))
        .fallback(async || Problem::missing("path: there is nothing here"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(check)
        .with_state(Arc::new(controlled))
}

/// The answer to a request that took too long.
pub(super) fn too_late() -> Response {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body: it did not come in time").into_response()
}

fn is_allowed(request: &Request, token: [u8; 32]) -> bool {
    let shown = request.headers().get(AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Digests are compared, so that the time it takes says nothing of the token.
    shown
        .and_then(Token256::parse)
        .is_some_and(|shown| shown.digest() == token)
}

/// Reads a body with the reader of the configuration file; an empty one is an empty object.
pub(super) fn read<T>(body: &[u8], read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
    let expected = || Problem::bad("body: expected a JSON object without null");
    let object = if body.is_empty() {
        serde_json::Map::new()
    } else {
        serde_json::from_slice(body).map_err(|_| expected())?
    };
    let text = toml::to_string(&object).map_err(|_| expected())?;
    parse(&text, read).map_err(|errors| Problem {
        status: StatusCode::BAD_REQUEST,
        mistakes: errors.mistakes().to_vec(),
    })
}

async fn status(State(controlled): Shared) -> Json {
    let controllers = controlled.controllers.iter().map(|controller| {
        json!({
            "host": controller.host,
            "domain": controller.domain,
            "ldap": controller.ldap.map(|addr| addr.to_string()),
            "ldaps": controller.ldaps.map(|addr| addr.to_string()),
            "connections": controller.connections.counts().open,
        })
    });
    let domains = controlled.domains.iter().map(|directory| {
        let (name, users) =
            directory.read(|domain| (domain.dns_name().to_owned(), domain.accounts().count()));
        json!({ "name": name, "users": users, "locked": directory.locked_count() })
    });
    let (controllers, domains): (Vec<_>, Vec<_>) = (controllers.collect(), domains.collect());
    Json(json!({
        "now": controlled.clock.now().to_string(),
        "domains": domains,
        "controllers": controllers,
    }))
}

async fn clock(State(controlled): Shared) -> Json {
    Json(json!({ "now": controlled.clock.now().to_string() }))
}

async fn move_clock(State(controlled): Shared, body: Bytes) -> Answer {
    let (forward, to) = read(&body, |fields| {
        let forward: Option<Option<u64>> = fields.optional("forward_s", "a number of seconds");
        let to: Option<Option<String>> = fields.optional("set", "a time such as 2026-11-25T12:00:00Z");
        let (forward, to) = (forward?, to?);
        let to = match to.map(|text| time::OffsetDateTime::parse(&text, &Rfc3339)) {
            Some(Err(_)) => {
                fields.mistake("set", "expected a time such as 2026-11-25T12:00:00Z");
                return None;
            }
            Some(Ok(to)) => Some(to),
            None => None,
        };
        if forward.is_some() == to.is_some() {
            fields.mistake("forward_s", "expected forward_s or set");
            return None;
        }
        Some((forward, to))
    })?;
    if let Some(to) = to {
        let ms = to.unix_timestamp_nanos() / 1_000_000;
        controlled
            .clock
            .set(Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
    }
    controlled
        .clock
        .forward(Duration::from_secs(forward.unwrap_or(0)));
    Ok(clock(State(controlled)).await)
}

async fn faults(State(controlled): Shared) -> Json {
    let of = |controller: &Controller| {
        let rules = controller.faults.rules().into_iter();
        let (host, domain) = (controller.host.clone(), controller.domain.clone());
        let rules = rules.map(move |state| {
            json!({
                "controller": host,
                "domain": domain,
                "since": state.since.to_string(),
                "seen": state.seen,
                "hits": state.hits,
                "rule": state.rule.keys(),
            })
        });
        rules.collect::<Vec<_>>()
    };
    let all: Vec<_> = controlled.controllers.iter().flat_map(of).collect();
    Json(json!({ "faults": all }))
}

/// At the controllers that the rule is about: those others would never ask it.
fn set_at(controllers: &[Controller], rule: &Rule) -> Result<usize, RuleError> {
    let mut count = 0;
    for controller in controllers {
        if rule
            .at()
            .is_none_or(|host| host.eq_ignore_ascii_case(&controller.host))
        {
            controller.faults.set(rule.clone())?;
            count += 1;
        }
    }
    Ok(count)
}

async fn set_fault(State(controlled): Shared, body: Bytes) -> Answer {
    let rule = read(&body, read_rule)?;
    match set_at(&controlled.controllers, &rule) {
        Ok(0) => Err(Problem::bad("controller: expected one of those that run here")),
        Ok(_) => Ok(faults(State(controlled)).await),
        Err(error) => Err(Problem::conflict(error.to_string())),
    }
}

fn each(controlled: &Controlled) -> impl Iterator<Item = &Faults> {
    controlled.controllers.iter().map(|controller| &controller.faults)
}

async fn clear_faults(State(controlled): Shared) -> Json {
    each(&controlled).for_each(Faults::clear);
    faults(State(controlled)).await
}

async fn remove_fault(State(controlled): Shared, Path(name): Path<String>) -> Answer {
    let removed = each(&controlled).filter(|faults| faults.remove(&name)).count();
    if removed == 0 {
        return Err(Problem::missing("name: there is no such rule"));
    }
    Ok(faults(State(controlled)).await)
}

async fn seed_faults(State(controlled): Shared, body: Bytes) -> Answer {
    let seed = read(&body, |fields| fields.required::<u64>("seed", "a number"))?;
    each(&controlled).for_each(|faults| faults.seed(seed));
    Ok(faults(State(controlled)).await)
}

/// Which binds are asked about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    account: Option<String>,
    name: Option<String>,
    controller: Option<String>,
    outcome: Option<String>,
    last: Option<usize>,
}

async fn journal(
    State(controlled): Shared,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Ok(Query(asked)) = asked else {
        return Err(Problem::bad(
            "query: expected account, name, controller, outcome and last, a number",
        ));
    };
    // All domains write into one.
    let journal = journal_of(&controlled)?;
    let mut binds: Binds = match &asked.account {
        Some(account) => {
            let found = controlled.user(account);
            let (_, guid) = found.ok_or_else(|| Problem::missing("account: no user has this name"))?;
            journal.binds().of(guid)
        }
        None => journal.binds(),
    };
    if let Some(name) = &asked.name {
        binds = binds.named(name);
    }
    if let Some(host) = &asked.controller {
        binds = binds.at(host);
    }
    let mut outcomes = binds.outcomes();
    let mut shown = binds.last(SHOWN_MAX);
    if let Some(wanted) = &asked.outcome {
        outcomes.retain(|outcome, _| outcome == wanted);
        shown.retain(|record| record.outcome.to_string() == *wanted);
    }
    let skipped = shown
        .len()
        .saturating_sub(asked.last.unwrap_or(SHOWN).min(SHOWN_MAX));
    let binds: Vec<_> = shown.iter().skip(skipped).map(told).collect();
    Ok(Json(json!({
        "count": outcomes.values().sum::<u64>(),
        "outcomes": outcomes,
        "forgotten": journal.forgotten(),
        "binds": binds,
    })))
}

fn told(record: &BindRecord) -> Value {
    json!({
        "at": record.at.to_string(),
        "controller": &*record.controller,
        "connection": record.connection,
        "encrypted": record.encrypted,
        "name": record.name,
        "object": record.object.map(|guid| guid.to_string()),
        "outcome": record.outcome.to_string(),
        "judged": record.judged,
        "counted": record.counted,
    })
}

fn journal_of(controlled: &Controlled) -> Result<&Journal, Problem> {
    let first = controlled.domains.first();
    Ok(first.ok_or_else(no_domain)?.journal())
}

async fn clear_journal(State(controlled): Shared) -> Answer {
    journal_of(&controlled)?.clear();
    Ok(Json(json!({})))
}

async fn close_connections(State(controlled): Shared, body: Bytes) -> Answer {
    let (idle_only, notice) = read(&body, |fields| {
        let idle_only = fields.or("idle_only", false, "true or false");
        let notice = fields.or("notice", true, "true or false");
        Some((idle_only?, notice?))
    })?;
    for controller in &controlled.controllers {
        if idle_only {
            controller.connections.drop_idle();
        } else {
            controller.connections.disconnect_all(notice);
        }
    }
    Ok(Json(json!({})))
}

/// Of which domain, and whether an export has passwords.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OfDomain {
    domain: Option<String>,
    passwords: bool,
}

type AskedOf = Result<Query<OfDomain>, axum::extract::rejection::QueryRejection>;

pub(super) fn no_domain() -> Problem {
    Problem::missing("domain: expected the DNS name of one that runs here")
}

fn of_domain(controlled: &Controlled, asked: AskedOf) -> Result<(&DirectoryHandle, bool), Problem> {
    let Ok(Query(asked)) = asked else {
        return Err(Problem::bad(
            "query: expected domain and passwords, true or false",
        ));
    };
    let directory = controlled.domain(asked.domain.as_deref()).ok_or_else(no_domain)?;
    Ok((directory, asked.passwords))
}

async fn export(State(controlled): Shared, asked: AskedOf) -> Result<String, Problem> {
    let (directory, passwords) = of_domain(&controlled, asked)?;
    // It leaves the process as text, whatever it is kept in here.
    Ok(directory.export_ldif(passwords).to_string())
}

async fn import(State(controlled): Shared, asked: AskedOf, body: Bytes) -> Answer {
    let (directory, _) = of_domain(&controlled, asked)?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::bad("body: expected LDIF in UTF-8"))?;
    let done = directory.import_ldif(text, &ImportOptions::default());
    let done = done.map_err(|errors| Problem {
        status: StatusCode::BAD_REQUEST,
        mistakes: errors.mistakes().to_vec(),
    })?;
    Ok(Json(json!({
        "users": done.users,
        "without_password": done.without_password,
        "groups": done.groups,
        "containers": done.containers,
        "settings": done.settings,
        "passed_over": done.passed_over,
        "unknown_members": done.unknown_members,
    })))
}
