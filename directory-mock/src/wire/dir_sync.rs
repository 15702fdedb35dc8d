//! The DirSync control: what changed since a cookie was given.
//!
//! Without a cookie everything is told. Later only changed attributes are, beside objectGUID and instanceType;
//! one that was removed has no values, a deleted object is its tombstone. The scope is ignored: the whole
//! naming context is looked at. Everything comes in one answer, whatever the size asked for.

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapMsg, LdapOp, LdapPartialAttribute, LdapResult, LdapResultCode, LdapSearchRequest,
    LdapSearchResultEntry,
};
use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::connection::{Session, message};
use super::entry::{CONSTRUCTED, Entry};
use super::search::{self, Asked, Place};
use super::{Controller, referral, result};
use crate::model::{Domain, Flavour, Stamp, filetime_steps, normal_dn};

/// LDAP_DIRSYNC_OBJECT_SECURITY: whoever may read sees what it may read.
const OBJECT_SECURITY: i64 = 1;

/// Kept by each controller for itself, or computed, or said by the name.
const NOT_REPLICATED: [&str; 10] = [
    "badPwdCount",
    "badPasswordTime",
    "cn",
    "ou",
    "distinguishedName",
    "memberOf",
    "uSNChanged",
    "uSNCreated",
    "whenChanged",
    "objectGUID",
];

/// What a deleted object loses.
const LOST: [&str; 5] = [
    "pwdLastSet",
    "primaryGroupID",
    "accountExpires",
    "sAMAccountType",
    "objectCategory",
];

/// Length of a cookie, and where in it the number stands.
const COOKIE_BYTES: usize = 108;
const USN_AT: usize = 28;
const INVOCATION_AT: usize = 52;

/// What the control asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync<'a> {
    flags: i64,
    cookie: &'a [u8],
}

/// The control, if it is there.
pub(super) fn asked(controls: &[LdapControl]) -> Option<Sync<'_>> {
    controls.iter().find_map(|control| match control {
        LdapControl::AdDirsync { flags, cookie, .. } => Some(Sync {
            flags: *flags,
            cookie: cookie.as_deref().unwrap_or_default(),
        }),
        _ => None,
    })
}

/// All answers to a search with the control.
pub(super) fn answer(
    controller: &Controller,
    session: &Session,
    asked: Asked<'_>,
    sync: Sync<'_>,
) -> Vec<LdapMsg> {
    let place = Place {
        flavour: controller.flavour,
        host: &controller.host,
        now: controller.directory.now(),
    };
    let told = controller.directory.read(|domain| {
        let is_administrator = session
            .identity
            .and_then(|guid| domain.account(guid))
            .is_some_and(|account| account.administrator);
        may(domain, place.flavour, &asked.request.base, sync, is_administrator)?;
        let since = since(domain, place.flavour, sync.cookie)?;
        let found = search::everything(domain, place, asked.request)?;
        let changed = found
            .iter()
            .filter_map(|entry| changed(domain, entry, asked.request, since));
        Ok((
            changed.collect::<Vec<_>>(),
            cookie(domain.usn(), domain.invocation_id(), place.now),
        ))
    });
    let (entries, cookie) = match told {
        Ok(told) => told,
        Err(refused) => return vec![message(asked.id, LdapOp::SearchResultDone(refused))],
    };
    let entries = entries.into_iter().map(LdapOp::SearchResultEntry);
    let mut answers: Vec<LdapMsg> = entries.map(|op| message(asked.id, op)).collect();
    let done = result(LdapResultCode::Success, "");
    let mut last = message(asked.id, LdapOp::SearchResultDone(done));
    last.ctrl = vec![LdapControl::AdDirsync {
        flags: 0,
        max_bytes: 0,
        cookie: Some(cookie),
    }];
    answers.push(last);
    answers
}

fn may(
    domain: &Domain,
    flavour: Flavour,
    base: &str,
    sync: Sync<'_>,
    is_administrator: bool,
) -> Result<(), LdapResult> {
    let refused = |code: LdapResultCode, samba: &str, windows: &str| {
        let text = match flavour {
            Flavour::Samba => samba.to_owned(),
            Flavour::Windows => format!("{windows}, data 0, v4563\0"),
        };
        Err(result(code, text))
    };
    let normal = normal_dn(base);
    let configuration = format!("CN=Configuration,{}", domain.root_dn());
    let schema = format!("CN=Schema,{configuration}");
    let contexts = [domain.base_dn(), &configuration, &schema];
    if normal.is_none() || !contexts.iter().any(|context| normal_dn(context) == normal) {
        let (own, forest) = (domain.base_dn(), configuration.as_str());
        if flavour == Flavour::Windows
            && let Some(elsewhere) = referral::of(domain, base)
        {
            return Err(elsewhere);
        }
        let normal = normal.unwrap_or_default();
        if ![own, forest]
            .iter()
            .any(|context| referral::lies_in(&normal, context))
        {
            return refused(
                LdapResultCode::NoSuchObject,
                "dsdb_find_nc_root_string_based",
                "0000208D: NameErr: DSID-03100245, problem 2001 (NO_OBJECT)",
            );
        }
        let windows = "000020D6: SvcErr: DSID-031007DB, problem 5012 (DIR_ERROR)";
        return if sync.flags & OBJECT_SECURITY != 0 {
            let text = "DN is not one of the naming context";
            refused(LdapResultCode::UnwillingToPerform, text, windows)
        } else {
            let text = "dN is not one of the naming context";
            refused(LdapResultCode::InsufficentAccessRights, text, windows)
        };
    }
    if is_administrator || sync.flags & OBJECT_SECURITY != 0 {
        return Ok(());
    }
    refused(
        LdapResultCode::InsufficentAccessRights,
        "error in module dirsync: insufficient access rights during LDB_SEARCH (50)",
        "00002105: LdapErr: DSID-0C0909EA, comment: Error processing control",
    )
}

/// The number in a cookie; 0 for none, and for one of another directory, which resends all.
fn since(domain: &Domain, flavour: Flavour, cookie: &[u8]) -> Result<u64, LdapResult> {
    if cookie.is_empty() {
        return Ok(0);
    }
    let number = |at: usize| cookie.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let whole = cookie.len() == COOKIE_BYTES && cookie.starts_with(b"MSDS\x03\0\0\0");
    match number(USN_AT).filter(|_| whole) {
        Some(usn) => {
            let own = domain.invocation_id().to_bytes_le();
            let gave = cookie.get(INVOCATION_AT..INVOCATION_AT + 16) == Some(own.as_slice());
            Ok(if gave { usn } else { 0 })
        }
        None => {
            let text = match flavour {
                Flavour::Samba => {
                    "0000202C: Unable to unmarshall cookie as a ldapControlDirSyncCookie structure"
                }
                Flavour::Windows => {
                    "00000057: LdapErr: DSID-0C0909EA, comment: Error processing control, data 0, v4563\0"
                }
            };
            Err(result(LdapResultCode::UnavailableCriticalExtension, text))
        }
    }
}

/// The layout of a real controller's: mark, version, time, numbers, and an up-to-dateness vector of one.
fn cookie(usn: u64, invocation: Uuid, now: Timestamp) -> Vec<u8> {
    let (usn, own) = (usn.to_le_bytes(), invocation.to_bytes_le());
    let time = filetime_steps(now).to_le_bytes();
    let one = 1_u64.to_le_bytes();
    let parts: [&[u8]; 12] = [
        b"MSDS\x03\0\0\0",
        &time,
        &[0; 8],
        b"\x28\0\0\0",
        &usn,
        &[0; 8],
        &usn,
        &own,
        &one,
        &one,
        &own,
        &usn,
    ];
    parts.concat()
}

/// What is told of an entry, if anything.
fn changed(
    domain: &Domain,
    entry: &Entry,
    request: &LdapSearchRequest,
    since: u64,
) -> Option<LdapSearchResultEntry> {
    let guid = entry.values("objectGUID").first()?.clone();
    let stamp = domain.stamp_of(Uuid::from_slice_le(&guid).ok()?);
    let all = request.attrs.is_empty() || request.attrs.iter().any(|name| name == "*");
    let wanted = |name: &str| all || request.attrs.iter().any(|asked| asked.eq_ignore_ascii_case(name));
    let names = names(entry, stamp, since);
    let told = names.into_iter().filter(|name| wanted(name));
    let mut attributes: Vec<LdapPartialAttribute> = told
        .map(|name| {
            let vals = match name.as_str() {
                "parentGUID" => vec![entry.parent_guid().to_bytes_le().to_vec()],
                _ => entry.values(&name).to_vec(),
            };
            LdapPartialAttribute { atype: name, vals }
        })
        .collect();
    if attributes.is_empty() {
        return None;
    }
    let instance = if entry.dn == domain.base_dn() { b"5" } else { b"4" };
    for (name, value) in [("objectGUID", guid), ("instanceType", instance.to_vec())] {
        attributes.push(LdapPartialAttribute {
            atype: name.to_owned(),
            vals: vec![value],
        });
    }
    Some(LdapSearchResultEntry {
        dn: entry.dn.clone(),
        attributes,
    })
}

/// The attributes that changed after the number `since`.
fn names(entry: &Entry, stamp: Option<&Stamp>, since: u64) -> Vec<String> {
    let is_later = |usn: Option<u64>| usn.is_some_and(|usn| usn > since);
    let replicated = entry
        .names()
        .filter(|name| !NOT_REPLICATED.contains(name) && !CONSTRUCTED.contains(name));
    let whole = || {
        let names = replicated.chain(["parentGUID"]);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    match stamp {
        None if since == 0 => whole(),
        None => Vec::new(),
        Some(stamp) if is_later(stamp.deleted) && since > 0 => {
            let names = ["parentGUID", "name", "isRecycled", "lastKnownParent", "isDeleted"];
            names.into_iter().chain(LOST).map(str::to_owned).collect()
        }
        Some(stamp) if since == 0 || is_later(stamp.created) => whole(),
        Some(stamp) => {
            let later = stamp.attributes.iter().filter(|(_, usn)| **usn > since);
            later.map(|(name, _)| name.clone()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Policy;

    #[test]
    fn a_cookie_is_read_again_and_another_directorys_starts_anew() {
        let now = Timestamp::from_unix_ms(1_795_609_800_000);
        let domain = |dns: &str| Domain::new(dns, "CORP", "dc1", Policy::default());
        let own = domain("corp.test");
        let cookie = cookie(4711, own.invocation_id(), now);
        assert_eq!(cookie.len(), COOKIE_BYTES);
        assert_eq!(since(&own, Flavour::Samba, &cookie), Ok(4711));
        assert_eq!(since(&domain("lab.test"), Flavour::Samba, &cookie), Ok(0));
        assert_eq!(since(&own, Flavour::Samba, b""), Ok(0));
        for wrong in [&cookie[..107], b"junk", &[0; COOKIE_BYTES]] {
            let refused = since(&own, Flavour::Samba, wrong).unwrap_err();
            assert_eq!(refused.code, LdapResultCode::UnavailableCriticalExtension);
        }
    }
}
