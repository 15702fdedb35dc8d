//! What the control port does to users, as an administrator of the directory would.

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Controlled;
use super::api::{Answer, Json, Problem, Shared, no_domain, read};
use crate::config::{STATES, read_user, state};
use crate::handle::DirectoryHandle;
use crate::model::{Account, AccountState, DomainError};
use crate::semantics;

const ACTIONS: &str = "lock, unlock, disable, enable, state, password, rename";

fn find<'a>(controlled: &'a Controlled, name: &str) -> Result<(&'a DirectoryHandle, Uuid), Problem> {
    let found = controlled.user(name);
    found.ok_or_else(|| Problem::missing("name: no user has this sAMAccountName"))
}

fn told(error: DomainError) -> Problem {
    match error {
        DomainError::Unknown(_) | DomainError::NoSuchName(_) => Problem::missing(error.to_string()),
        DomainError::InUse { .. } => Problem::conflict(error.to_string()),
        DomainError::Container(_) | DomainError::Precedence(_) => Problem::bad(error.to_string()),
    }
}

/// One more user of the first domain, with the keys of the configuration file.
pub(super) async fn add(State(controlled): Shared, body: Bytes) -> Answer {
    let body = Zeroizing::new(body.to_vec());
    let user = read(&body, read_user)?;
    let directory = controlled.domain(None).ok_or_else(no_domain)?;
    let guid = directory.add(user).map_err(told)?;
    shown(directory, guid)
}

pub(super) async fn show(State(controlled): Shared, Path(name): Path<String>) -> Answer {
    let (directory, guid) = find(&controlled, &name)?;
    shown(directory, guid)
}

pub(super) async fn remove(State(controlled): Shared, Path(name): Path<String>) -> Answer {
    let (directory, guid) = find(&controlled, &name)?;
    directory.remove(guid).map_err(told)?;
    Ok(Json(json!({})))
}

pub(super) async fn change(
    State(controlled): Shared,
    Path((name, action)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let (directory, guid) = find(&controlled, &name)?;
    let body = Zeroizing::new(body.to_vec());
    // An action that needs nothing takes no fields either.
    let plain = || read(&body, |_| Some(()));
    match action.as_str() {
        "lock" => plain().map(|()| directory.set_state(guid, &AccountState::Locked))?,
        "unlock" => plain().map(|()| directory.unlock(guid))?,
        "disable" => plain().map(|()| directory.set_state(guid, &AccountState::Disabled))?,
        "enable" => plain().map(|()| {
            directory.change(|domain| domain.update(guid, |account: &mut Account| account.disabled = false))
        })?,
        "state" => {
            let state = read(&body, |fields| {
                let name: String = fields.required("state", &expected_state())?;
                let found = if name == "normal" {
                    Some(AccountState::Normal)
                } else {
                    state(&name)
                };
                if found.is_none() {
                    fields.mistake("state", format_args!("expected {}", expected_state()));
                }
                found
            })?;
            directory.set_state(guid, &state)
        }
        "password" => {
            let password = read(&body, |fields| {
                fields
                    .required::<String>("password", "a text")
                    .map(Zeroizing::new)
            })?;
            directory.set_password(guid, &password)
        }
        "rename" => {
            let (sam, upn) = read(&body, |fields| {
                let sam = fields.required::<String>("name", "a sAMAccountName");
                let upn: Option<Option<String>> =
                    fields.optional("upn", "a name such as alice@corp.example.test");
                Some((sam?, upn?))
            })?;
            directory.rename(guid, &sam, upn.as_deref())
        }
        _ => return Err(Problem::missing(format!("action: expected one of {ACTIONS}"))),
    }
    .map_err(told)?;
    shown(directory, guid)
}

fn expected_state() -> String {
    format!("normal or one of {STATES}")
}

/// A user as it is now. Never a password.
fn shown(directory: &DirectoryHandle, guid: Uuid) -> Answer {
    let now = directory.now();
    let shown = directory.read(|domain| {
        let account = domain.account(guid)?;
        let policy = domain.policy_of(account);
        Some(json!({
            "name": account.sam,
            "upn": account.upn,
            "dn": domain.dn(account),
            "guid": account.guid.to_string(),
            "disabled": account.disabled,
            "locked": semantics::is_locked(&account.counters, &policy, now),
            "must_change": account.must_change,
            "password_expired": semantics::is_password_expired(account, &policy, now),
            "password_set": account.password_set.to_string(),
            "bad_pwd_count": account.counters.bad_pwd_count,
            "administrator": account.administrator,
        }))
    });
    shown
        .map(Json)
        .ok_or_else(|| Problem::missing("name: the user is gone"))
}
