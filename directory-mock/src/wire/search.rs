//! Searches: base, scope and who may read what.

use std::collections::BTreeMap;

use ldap3_proto::proto::{
    LdapOp, LdapResult, LdapResultCode, LdapSearchRequest, LdapSearchResultReference, LdapSearchScope,
};
use postern_kit::clock::Timestamp;

use super::entry::{self, Entry};
use super::{Controller, filter, result, root_dse};
use crate::model::{Account, Domain, Flavour, guid_base, normal_dn};

/// Windows gives no more entries than this (MaxPageSize).
const WINDOWS_ENTRIES_MAX: usize = 1000;

const NOT_BOUND: &str = "00002020: Operation unavailable without authentication";
const NO_SUCH_BASE: &str = "acl_read: Error retrieving instanceType for base.";
const BASE_IS_NO_NAME: &str = "00002032: ldb_search: invalid basedn '(null)'";

/// Who searches, over what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) bound: bool,
    pub(super) encrypted: bool,
    pub(super) referrals: bool,
}

/// All answers to a search, the result last.
pub(super) fn answer(controller: &Controller, asker: Asker, request: &LdapSearchRequest) -> Vec<LdapOp> {
    let now = controller.directory.now();
    let flavour = controller.flavour;
    controller.directory.read(|domain| {
        if request.base.is_empty() && request.scope == LdapSearchScope::Base {
            let entry = root_dse::entry(domain, flavour, &controller.host, now);
            return vec![shown(entry, request), done(LdapResultCode::Success, "")];
        }
        if !asker.bound {
            return vec![done(LdapResultCode::OperationsError, NOT_BOUND)];
        }
        match find(domain, now, request) {
            Ok(found) => list(domain, flavour, asker, request, found),
            Err(refused) => vec![LdapOp::SearchResultDone(refused)],
        }
    })
}

fn list(
    domain: &Domain,
    flavour: Flavour,
    asker: Asker,
    request: &LdapSearchRequest,
    found: Vec<Entry>,
) -> Vec<LdapOp> {
    let limit = match flavour {
        // Samba ignores the size limit of a search without paging.
        Flavour::Samba => usize::MAX,
        Flavour::Windows => usize::try_from(request.sizelimit)
            .ok()
            .filter(|limit| (1..WINDOWS_ENTRIES_MAX).contains(limit))
            .unwrap_or(WINDOWS_ENTRIES_MAX),
    };
    let cut = found.len() > limit;
    let entries = found.into_iter().take(limit);
    let mut answers: Vec<LdapOp> = entries.map(|entry| shown(entry, request)).collect();
    let whole_domain =
        normal_dn(&request.base) == normal_dn(domain.base_dn()) && request.scope == LdapSearchScope::Subtree;
    if whole_domain && asker.referrals {
        answers.push(referral(domain, asker.encrypted));
    }
    answers.push(if cut {
        done(LdapResultCode::SizeLimitExceeded, "")
    } else {
        done(LdapResultCode::Success, "")
    });
    answers
}

/// The configuration lies in another naming context; the scheme follows the connection.
fn referral(domain: &Domain, encrypted: bool) -> LdapOp {
    let scheme = if encrypted { "ldaps" } else { "ldap" };
    LdapOp::SearchResultReference(LdapSearchResultReference {
        uris: vec![format!(
            "{scheme}://{}/CN=Configuration,{}",
            domain.dns_name(),
            domain.base_dn()
        )],
    })
}

/// Where a search starts.
enum Base<'a> {
    Domain,
    /// Normalised name.
    Container(String),
    Account(&'a Account),
}

fn find(domain: &Domain, now: Timestamp, request: &LdapSearchRequest) -> Result<Vec<Entry>, LdapResult> {
    let no_such = || result(LdapResultCode::NoSuchObject, NO_SUCH_BASE);
    if request.base.is_empty() {
        return Err(no_such());
    }
    let containers = containers(domain);
    let base = if let Some(guid) = guid_base(&request.base) {
        Base::Account(domain.account(guid).ok_or_else(no_such)?)
    } else {
        let dn = normal_dn(&request.base)
            .ok_or_else(|| result(LdapResultCode::InvalidDNSyntax, BASE_IS_NO_NAME))?;
        if Some(&dn) == normal_dn(domain.base_dn()).as_ref() {
            Base::Domain
        } else if let Some(account) = domain.by_dn(&dn) {
            Base::Account(account)
        } else if containers.contains_key(&dn) {
            Base::Container(dn)
        } else {
            return Err(no_such());
        }
    };
    let mut found = candidates(domain, &containers, now, request, &base);
    found.retain(|entry| filter::matches(&request.filter, entry));
    Ok(found)
}

fn candidates(
    domain: &Domain,
    containers: &BTreeMap<String, String>,
    now: Timestamp,
    request: &LdapSearchRequest,
    base: &Base<'_>,
) -> Vec<Entry> {
    let (with_base, with_children, deep) = match request.scope {
        LdapSearchScope::Base => (true, false, false),
        LdapSearchScope::OneLevel => (false, true, false),
        LdapSearchScope::Subtree => (true, true, true),
        LdapSearchScope::Children => (false, true, true),
    };
    let mut found = Vec::new();
    let base_dn = match base {
        Base::Account(account) => {
            if with_base {
                found.push(entry::of_account(domain, account, now));
            }
            return found;
        }
        Base::Domain => {
            if with_base {
                found.push(entry::of_domain(domain));
            }
            normal_dn(domain.base_dn()).unwrap_or_default()
        }
        Base::Container(dn) => {
            if with_base && let Some(shown) = containers.get(dn) {
                found.push(entry::of_container(shown));
            }
            dn.clone()
        }
    };
    if !with_children {
        return found;
    }
    let below = |dn: &str| match dn.split_once(',') {
        Some((_, parent)) => parent == base_dn || (deep && parent.ends_with(&format!(",{base_dn}"))),
        None => false,
    };
    let inner = containers.iter().filter(|(dn, _)| below(dn));
    found.extend(inner.map(|(_, shown)| entry::of_container(shown)));
    let in_base = |account: &&Account| {
        let whole_domain = deep && matches!(base, Base::Domain);
        // The account's own name may hold a comma, its container's does not.
        let parent = || normal_dn(&format!("cn=x,{},{}", account.container, domain.base_dn()));
        whole_domain || parent().is_some_and(|dn| below(&dn))
    };
    match filter::unique(&request.filter, domain) {
        Some(account) => {
            let account = account.filter(in_base);
            found.extend(account.map(|account| entry::of_account(domain, account, now)));
        }
        None => {
            let accounts = domain.accounts().filter(in_base);
            found.extend(accounts.map(|account| entry::of_account(domain, account, now)));
        }
    }
    found
}

/// The containers that hold accounts, with those above them: normalised name to shown name.
fn containers(domain: &Domain) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for path in domain.containers() {
        let mut rest = path;
        loop {
            let dn = format!("{rest},{}", domain.base_dn());
            if let Some(normal) = normal_dn(&dn) {
                all.insert(normal, dn);
            }
            match rest.split_once(',') {
                Some((_, above)) => rest = above,
                None => break,
            }
        }
    }
    all
}

fn shown(entry: Entry, request: &LdapSearchRequest) -> LdapOp {
    LdapOp::SearchResultEntry(entry.show(&request.attrs, request.typesonly))
}

fn done(code: LdapResultCode, message: &str) -> LdapOp {
    LdapOp::SearchResultDone(result(code, message))
}
