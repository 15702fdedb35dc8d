//! Requests that change the directory, and comparisons: from LDAP messages to
//! [`semantics::write`](crate::semantics::write) and back.

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapAddRequest, LdapCompareRequest, LdapModify, LdapModifyDNRequest, LdapModifyRequest, LdapModifyType,
    LdapResult, LdapResultCode,
};
use zeroize::Zeroizing;

use super::connection::Session;
use super::{Controller, filter, referral, result, search};
use crate::model::{Flavour, normal_dn};
use crate::semantics::write::{self, Change, ChangeKind, Move, Refusal, Writer};

/// A reset obeys the history: the present number and the one before it.
pub(super) const POLICY_HINTS: [&str; 2] = ["1.2.840.113556.1.4.2239", "1.2.840.113556.1.4.2066"];

/// What every successful write is told by Samba.
const DONE: &str = "00000000: Success";

/// Carries out a modify request.
pub(super) fn modify(
    controller: &Controller,
    session: &Session,
    controls: &[LdapControl],
    request: LdapModifyRequest,
) -> LdapResult {
    let changes = request
        .changes
        .into_iter()
        .map(change)
        .collect::<Option<Vec<_>>>();
    let Some(changes) = changes else {
        return result(LdapResultCode::ProtocolError, "increment is not supported");
    };
    let writer = writer(controller, session, controls);
    let dn = request.dn;
    if let Some(elsewhere) = elsewhere(controller, session, &dn) {
        return elsewhere;
    }
    answer(
        controller,
        controller
            .directory
            .change(|domain| write::modify(domain, &writer, &dn, &changes)),
    )
}

/// Carries out an add request.
pub(super) fn add(controller: &Controller, session: &Session, request: LdapAddRequest) -> LdapResult {
    let attributes = request.attributes.into_iter().map(|attribute| {
        let values = attribute.vals.into_iter().map(Zeroizing::new).collect::<Vec<_>>();
        (attribute.atype, values)
    });
    let attributes = attributes.collect::<Vec<_>>();
    let writer = writer(controller, session, &[]);
    let dn = request.dn;
    if let Some(elsewhere) = elsewhere(controller, session, &dn) {
        return elsewhere;
    }
    answer(
        controller,
        controller
            .directory
            .change(|domain| write::add(domain, &writer, &dn, &attributes)),
    )
}

/// Carries out a delete request.
pub(super) fn delete(controller: &Controller, session: &Session, dn: &str) -> LdapResult {
    if let Some(elsewhere) = elsewhere(controller, session, dn) {
        return elsewhere;
    }
    let writer = writer(controller, session, &[]);
    answer(
        controller,
        controller
            .directory
            .change(|domain| write::delete(domain, &writer, dn)),
    )
}

/// Carries out a modifyDN request.
pub(super) fn rename(
    controller: &Controller,
    session: &Session,
    request: &LdapModifyDNRequest,
) -> LdapResult {
    if let Some(elsewhere) = elsewhere(controller, session, &request.dn) {
        return elsewhere;
    }
    let writer = writer(controller, session, &[]);
    let to = Move {
        rdn: &request.newrdn,
        delete_old: request.deleteoldrdn,
        superior: request.new_superior.as_deref(),
    };
    answer(
        controller,
        controller
            .directory
            .change(|domain| write::rename(domain, &writer, &request.dn, &to)),
    )
}

/// Compares a value with those of an entry.
pub(super) fn compare(
    controller: &Controller,
    session: &Session,
    request: &LdapCompareRequest,
) -> LdapResult {
    let flavour = controller.flavour;
    let refused = |refusal: Refusal| told(&refusal, flavour);
    // Samba compares for anybody who asks.
    if session.identity.is_none() && flavour == Flavour::Windows {
        return refused(Refusal::not_bound());
    }
    if normal_dn(&request.dn).is_none() {
        return result(LdapResultCode::InvalidDNSyntax, search::BASE_IS_NO_NAME);
    }
    if let Some(elsewhere) = elsewhere(controller, session, &request.dn) {
        return elsewhere;
    }
    let now = controller.directory.now();
    let value = String::from_utf8_lossy(&request.val);
    controller.directory.read(
        |domain| match search::entry_of(domain, &controller.host, now, &request.dn) {
            None => refused(Refusal::no_object(&request.dn)),
            Some(entry) if filter::compares(&entry, &request.atype, &value) => {
                result(LdapResultCode::CompareTrue, "")
            }
            Some(_) => result(LdapResultCode::CompareFalse, ""),
        },
    )
}

/// Where somebody who is bound is sent with a name of another domain.
fn elsewhere(controller: &Controller, session: &Session, dn: &str) -> Option<LdapResult> {
    session.identity?;
    referral::elsewhere(controller, dn)
}

fn writer<'a>(controller: &'a Controller, session: &Session, controls: &[LdapControl]) -> Writer<'a> {
    let hints = |control: &LdapControl| match control {
        LdapControl::Unknown { oid, .. } => POLICY_HINTS.contains(&oid.as_str()),
        _ => false,
    };
    Writer {
        flavour: controller.flavour,
        host: &controller.host,
        now: controller.directory.now(),
        identity: session.identity,
        encrypted: session.open.encrypted,
        with_history: controls.iter().any(hints),
    }
}

fn change(modify: LdapModify) -> Option<Change> {
    let kind = match modify.operation {
        LdapModifyType::Add => ChangeKind::Add,
        LdapModifyType::Delete => ChangeKind::Delete,
        LdapModifyType::Replace => ChangeKind::Replace,
        LdapModifyType::Increment => return None,
    };
    Some(Change {
        kind,
        attribute: modify.modification.atype,
        values: modify.modification.vals.into_iter().map(Zeroizing::new).collect(),
    })
}

fn answer(controller: &Controller, written: Result<(), Refusal>) -> LdapResult {
    match written {
        Ok(()) if controller.flavour == Flavour::Samba => result(LdapResultCode::Success, DONE),
        Ok(()) => result(LdapResultCode::Success, ""),
        Err(refusal) => told(&refusal, controller.flavour),
    }
}

fn told(refusal: &Refusal, flavour: Flavour) -> LdapResult {
    let code = LdapResultCode::try_from(i64::from(refusal.code)).unwrap_or(LdapResultCode::Other);
    result(code, refusal.text(flavour))
}
