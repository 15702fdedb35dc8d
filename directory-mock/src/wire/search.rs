//! Searches: base, scope, who may read what, and how the entries are told: in order, in pages, with
//! referrals.

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapFilter, LdapMsg, LdapOp, LdapResult, LdapResultCode, LdapSearchRequest, LdapSearchResultReference,
    LdapSearchScope,
};
use postern_kit::clock::Timestamp;

use super::connection::{Session, message};
use super::entry::{self, Entry};
use super::pages::{self, PageError};
use super::{Controller, configuration, filter, result, root_dse};
use crate::model::{Account, Domain, Flavour, guid_base, normal_dn, parent};
use crate::semantics::write::Refusal;

/// Windows gives no more entries than this (MaxPageSize).
const WINDOWS_ENTRIES_MAX: usize = 1000;

const NO_SUCH_BASE: &str = "acl_read: Error retrieving instanceType for base.";
pub(super) const BASE_IS_NO_NAME: &str = "00002032: ldb_search: invalid basedn '(null)'";

/// Who searches, over what.
#[derive(Clone, Copy, Debug)]
struct Asker {
    encrypted: bool,
    referrals: bool,
    deleted: bool,
}

/// A search as it was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) id: i32,
    pub(super) controls: &'a [LdapControl],
    pub(super) request: &'a LdapSearchRequest,
}

impl<'a> Asked<'a> {
    /// Size and cookie of the page that is wanted.
    fn page(self) -> Option<(usize, &'a [u8])> {
        self.controls.iter().find_map(|control| match control {
            LdapControl::SimplePagedResults { size, cookie } => {
                Some((usize::try_from(*size).unwrap_or(0), cookie.as_slice()))
            }
            _ => None,
        })
    }
}

/// All answers to a search, the result last.
pub(super) fn answer(controller: &Controller, session: &mut Session, asked: Asked<'_>) -> Vec<LdapMsg> {
    let now = controller.directory.now();
    let (flavour, request) = (controller.flavour, asked.request);
    let plain = |ops: Vec<LdapOp>| ops.into_iter().map(|op| message(asked.id, op)).collect();
    if request.base.is_empty() && request.scope == LdapSearchScope::Base {
        let entry = controller
            .directory
            .read(|domain| root_dse::entry(domain, flavour, &controller.host, now));
        return plain(vec![shown(entry, request), done(LdapResultCode::Success, "")]);
    }
    if session.identity.is_none() {
        let text = Refusal::not_bound().text(flavour);
        return plain(vec![done(LdapResultCode::OperationsError, &text)]);
    }
    if let Some((size, cookie)) = asked.page()
        && !cookie.is_empty()
    {
        return match pages::go_on(&mut session.paged, cookie, request, size) {
            Ok(page) => told(asked, page.entries, Vec::new(), vec![page.control], None),
            Err(PageError::Cookie) => plain(vec![done(
                LdapResultCode::UnwillingToPerform,
                pages::FOREIGN_COOKIE,
            )]),
            Err(PageError::Request) => plain(vec![done(LdapResultCode::UnavailableCriticalExtension, "")]),
        };
    }
    let asker = Asker {
        encrypted: session.open.encrypted,
        referrals: !asked.controls.iter().any(is_domain_scope),
        deleted: asked
            .controls
            .iter()
            .any(|control| matches!(control, LdapControl::ShowDeleted { .. })),
    };
    let found = controller.directory.read(|domain| {
        let found = find(domain, &controller.host, now, asker, request)?;
        Ok((found, references(domain, asker, request)))
    });
    match found {
        Ok((found, references)) => list(flavour, session, asked, found, references),
        Err(refused) => plain(vec![LdapOp::SearchResultDone(refused)]),
    }
}

fn list(
    flavour: Flavour,
    session: &mut Session,
    asked: Asked<'_>,
    mut found: Vec<Entry>,
    references: Vec<LdapOp>,
) -> Vec<LdapMsg> {
    let mut back = Vec::new();
    for control in asked.controls {
        if let LdapControl::ServerSort { sort_requests } = control {
            back.push(pages::sort(&mut found, sort_requests));
        }
    }
    if let Some((size, _)) = asked.page() {
        session.searches += 1;
        let page = pages::start(&mut session.paged, session.searches, asked.request, found, size);
        back.push(page.control);
        return told(asked, page.entries, references, back, None);
    }
    let limit = match flavour {
        // Samba ignores the size limit of a search without paging.
        Flavour::Samba => usize::MAX,
        Flavour::Windows => usize::try_from(asked.request.sizelimit)
            .ok()
            .filter(|limit| (1..WINDOWS_ENTRIES_MAX).contains(limit))
            .unwrap_or(WINDOWS_ENTRIES_MAX),
    };
    let cut = found.len() > limit;
    found.truncate(limit);
    let code = cut.then_some(LdapResultCode::SizeLimitExceeded);
    told(asked, found, references, back, code)
}

/// Entries, references, and the result with its controls.
fn told(
    asked: Asked<'_>,
    entries: Vec<Entry>,
    references: Vec<LdapOp>,
    controls: Vec<LdapControl>,
    code: Option<LdapResultCode>,
) -> Vec<LdapMsg> {
    let entries = entries.into_iter().map(|entry| shown(entry, asked.request));
    let ops = entries.chain(references);
    let mut answers: Vec<LdapMsg> = ops.map(|op| message(asked.id, op)).collect();
    let mut last = message(asked.id, done(code.unwrap_or(LdapResultCode::Success), ""));
    last.ctrl = controls;
    answers.push(last);
    answers
}

/// Referrals are not wanted.
const OID_DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";

fn is_domain_scope(control: &LdapControl) -> bool {
    matches!(control, LdapControl::Unknown { oid, .. } if oid == OID_DOMAIN_SCOPE)
}

/// The configuration lies in another naming context; the scheme follows the connection.
fn references(domain: &Domain, asker: Asker, request: &LdapSearchRequest) -> Vec<LdapOp> {
    let whole_domain =
        normal_dn(&request.base) == normal_dn(domain.base_dn()) && request.scope == LdapSearchScope::Subtree;
    if !whole_domain || !asker.referrals {
        return Vec::new();
    }
    let scheme = if asker.encrypted { "ldaps" } else { "ldap" };
    vec![LdapOp::SearchResultReference(LdapSearchResultReference {
        uris: vec![format!(
            "{scheme}://{}/CN=Configuration,{}",
            domain.dns_name(),
            domain.base_dn()
        )],
    })]
}

/// The one entry of this name.
pub(super) fn entry_of(domain: &Domain, host: &str, now: Timestamp, dn: &str) -> Option<Entry> {
    let request = LdapSearchRequest {
        base: dn.to_owned(),
        scope: LdapSearchScope::Base,
        aliases: ldap3_proto::proto::LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::And(Vec::new()),
        attrs: Vec::new(),
    };
    let asker = Asker {
        encrypted: false,
        referrals: false,
        deleted: false,
    };
    find(domain, host, now, asker, &request).ok()?.pop()
}

fn find(
    domain: &Domain,
    host: &str,
    now: Timestamp,
    asker: Asker,
    request: &LdapSearchRequest,
) -> Result<Vec<Entry>, LdapResult> {
    let no_such = || result(LdapResultCode::NoSuchObject, NO_SUCH_BASE);
    if request.base.is_empty() {
        return Err(no_such());
    }
    let base = match guid_base(&request.base) {
        Some(guid) => {
            let dn = domain.object_dn(guid).ok_or_else(no_such)?;
            normal_dn(&dn).ok_or_else(no_such)?
        }
        None => normal_dn(&request.base)
            .ok_or_else(|| result(LdapResultCode::InvalidDNSyntax, BASE_IS_NO_NAME))?,
    };
    let scope = Scope {
        base: &base,
        scope: &request.scope,
    };
    let fixed = fixed(domain, asker);
    if domain.object_by_dn(&base).is_none() && !fixed.iter().any(|(normal, _)| *normal == base) {
        return Err(no_such());
    }
    let mut found: Vec<Entry> = fixed
        .into_iter()
        .filter(|(normal, _)| scope.holds(normal) && same_context(&base, normal))
        .map(|(_, entry)| entry)
        .collect();
    for group in domain.groups() {
        if scope.holds(&normal_dn(&domain.group_dn(group)).unwrap_or_default()) {
            found.push(entry::of_group(domain, group));
        }
    }
    let account = |account: &Account| entry::of_account(domain, host, account, now);
    let inside = |account: &&Account| scope.holds(&normal_dn(&domain.dn(account)).unwrap_or_default());
    // An account as base, or one that the filter names, saves looking at all.
    if let Some(base) = domain.by_dn(&base) {
        found.extend(Some(base).filter(inside).map(account));
    } else if let Some(unique) = filter::unique(&request.filter, domain) {
        found.extend(unique.filter(inside).map(account));
    } else if request.scope != LdapSearchScope::Base {
        found.extend(domain.accounts().filter(inside).map(account));
    }
    found.retain(|entry| filter::matches(domain, &request.filter, entry));
    Ok(found)
}

/// What is neither account nor group, by normalised name.
fn fixed(domain: &Domain, asker: Asker) -> Vec<(String, Entry)> {
    let containers = domain.all_containers();
    let mut all = vec![entry::of_domain(domain)];
    all.extend(containers.values().map(|dn| entry::of_container(dn)));
    all.extend(
        domain
            .settings()
            .iter()
            .map(|settings| entry::of_settings(domain, settings)),
    );
    all.extend(configuration::entries(domain));
    if asker.deleted {
        all.extend(
            domain
                .tombstones()
                .map(|tombstone| entry::of_tombstone(domain, tombstone)),
        );
        all.push(entry::of_container(&format!(
            "CN=Deleted Objects,{}",
            domain.base_dn()
        )));
    }
    let named = all
        .into_iter()
        .filter_map(|entry| normal_dn(&entry.dn).map(|normal| (normal, entry)));
    named.collect()
}

/// The configuration is found from inside it only.
fn same_context(base: &str, normal: &str) -> bool {
    let configuration = |dn: &str| dn.contains("cn=configuration,dc=");
    configuration(base) == configuration(normal)
}

/// Base and scope of a search.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    base: &'a str,
    scope: &'a LdapSearchScope,
}

impl Scope<'_> {
    /// Whether an entry of this normalised name lies in it.
    fn holds(self, normal: &str) -> bool {
        let below = || {
            normal
                .strip_suffix(self.base)
                .is_some_and(|above| above.ends_with(',') && !above.ends_with("\\,"))
        };
        match self.scope {
            LdapSearchScope::Base => normal == self.base,
            LdapSearchScope::OneLevel => parent(normal) == Some(self.base),
            LdapSearchScope::Subtree => normal == self.base || below(),
            LdapSearchScope::Children => below(),
        }
    }
}

fn shown(entry: Entry, request: &LdapSearchRequest) -> LdapOp {
    LdapOp::SearchResultEntry(entry.show(&request.attrs, request.typesonly))
}

fn done(code: LdapResultCode, message: &str) -> LdapOp {
    LdapOp::SearchResultDone(result(code, message))
}
