//! Searches: base, scope, who may read what, how long it may take, and how the entries are told: in order,
//! in pages, with referrals.

use std::time::Duration;

use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapFilter, LdapMsg, LdapOp, LdapResult, LdapResultCode, LdapSearchRequest, LdapSearchResultReference,
    LdapSearchScope,
};
use postern_kit::clock::{Timestamp, monotonic};

use super::connection::{Session, message};
use super::entry::{self, Entry};
use super::pages::{self, PageError};
use super::referral::{self, scheme};
use super::{Controller, configuration, dir_sync, filter, result, root_dse};
use crate::model::{Account, Domain, Flavour, guid_base, normal_dn, parent};
use crate::semantics::write::Refusal;

/// Windows gives no more entries than this (MaxPageSize).
const WINDOWS_ENTRIES_MAX: usize = 1000;

/// Windows searches no longer than this (MaxQueryDuration).
const WINDOWS_TIME_MAX: Duration = Duration::from_secs(120);

/// Accounts between two looks at the clock: about a millisecond of work.
const ACCOUNTS_PER_LOOK: usize = 64;

const TIME_IS_UP: &str = "00002022: SvcErr: DSID-031A1236, problem 5011 (ADMIN_LIMIT_EXCEEDED), data 0\n\0";

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
    if let Some(sync) = dir_sync::asked(asked.controls) {
        return dir_sync::answer(controller, session, asked, sync);
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
    let (started, limit) = (monotonic(), time_limit(flavour, request.timelimit));
    let is_over = || limit.is_some_and(|limit| started.elapsed() >= limit);
    let place = Place {
        flavour,
        host: &controller.host,
        now,
    };
    let found = controller.directory.read(|domain| {
        let found = find(domain, place, asker, request, &is_over)?;
        Ok((found, references(domain, flavour, asker, request)))
    });
    match found {
        Ok((found, references)) => list(flavour, session, asked, found, references),
        Err(refused) => plain(vec![LdapOp::SearchResultDone(refused)]),
    }
}

/// Seconds of the request, 0 for none. Only Windows has a limit of its own.
fn time_limit(flavour: Flavour, seconds: i32) -> Option<Duration> {
    let asked = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let asked = asked.map(Duration::from_secs);
    match flavour {
        Flavour::Samba => asked,
        Flavour::Windows => Some(asked.map_or(WINDOWS_TIME_MAX, |asked| asked.min(WINDOWS_TIME_MAX))),
    }
}

/// The same, if the request is a search.
pub(super) fn time_limit_of(flavour: Flavour, request: &LdapOp) -> Option<Duration> {
    match request {
        LdapOp::SearchRequest(request) => time_limit(flavour, request.timelimit),
        _ => None,
    }
}

/// The result of a search that found nothing in its time.
pub(super) fn time_is_up() -> LdapOp {
    done(LdapResultCode::TimeLimitExceeded, TIME_IS_UP)
}

/// Where and when a search is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) flavour: Flavour,
    pub(super) host: &'a str,
    pub(super) now: Timestamp,
}

/// What a search found, perhaps not all.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<Entry>,
    /// The time was up before everything had been looked at.
    late: bool,
}

fn list(
    flavour: Flavour,
    session: &mut Session,
    asked: Asked<'_>,
    found: Found,
    references: Vec<LdapOp>,
) -> Vec<LdapMsg> {
    let Found {
        entries: mut found,
        late,
    } = found;
    if late {
        // Pages of a part would look like the whole.
        let code = Some(LdapResultCode::TimeLimitExceeded);
        return told(asked, found, references, Vec::new(), code);
    }
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
    let text = match code {
        Some(LdapResultCode::TimeLimitExceeded) => TIME_IS_UP,
        Some(_) | None => "",
    };
    let mut last = message(asked.id, done(code.unwrap_or(LdapResultCode::Success), text));
    last.ctrl = controls;
    answers.push(last);
    answers
}

/// Referrals are not wanted.
const OID_DOMAIN_SCOPE: &str = "1.2.840.113556.1.4.1339";

fn is_domain_scope(control: &LdapControl) -> bool {
    matches!(control, LdapControl::Unknown { oid, .. } if oid == OID_DOMAIN_SCOPE)
}

/// What lies below the domain in other naming contexts: the configuration, and domains that are its children.
fn references(domain: &Domain, flavour: Flavour, asker: Asker, request: &LdapSearchRequest) -> Vec<LdapOp> {
    let base = domain.base_dn();
    let whole_domain =
        normal_dn(&request.base) == normal_dn(base) && request.scope == LdapSearchScope::Subtree;
    if !whole_domain || !asker.referrals {
        return Vec::new();
    }
    let scheme = scheme(flavour, asker.encrypted);
    let configuration = (domain.root_dn() == base)
        .then(|| format!("{scheme}://{}/CN=Configuration,{base}", domain.dns_name()));
    let children = domain.neighbours().partitions.iter();
    let children = children
        .filter(|partition| partition.parent.as_deref() == Some(base))
        .map(|child| format!("{scheme}://{}/{}", child.dns_name, child.base_dn));
    let uris = configuration.into_iter().chain(children);
    uris.map(|uri| LdapOp::SearchResultReference(LdapSearchResultReference { uris: vec![uri] }))
        .collect()
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
    let place = Place {
        flavour: Flavour::Samba,
        host,
        now,
    };
    find(domain, place, asker, &request, &|| false)
        .ok()?
        .entries
        .pop()
}

/// What a whole naming context has, deleted objects among it.
pub(super) fn everything(
    domain: &Domain,
    place: Place<'_>,
    request: &LdapSearchRequest,
) -> Result<Vec<Entry>, LdapResult> {
    let asker = Asker {
        encrypted: false,
        referrals: false,
        deleted: true,
    };
    let whole = LdapSearchRequest {
        scope: LdapSearchScope::Subtree,
        ..request.clone()
    };
    Ok(find(domain, place, asker, &whole, &|| false)?.entries)
}

/// `is_over` is asked now and then whether the time is up.
fn find(
    domain: &Domain,
    place: Place<'_>,
    asker: Asker,
    request: &LdapSearchRequest,
    is_over: &dyn Fn() -> bool,
) -> Result<Found, LdapResult> {
    let no_such = || no_such_base(domain, place.flavour, &request.base);
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
    let matches = |entry: &Entry| filter::matches(domain, &request.filter, entry);
    let mut found = Found::default();
    let here = fixed
        .into_iter()
        .filter(|(normal, _)| scope.holds(normal) && same_context(&base, normal));
    found
        .entries
        .extend(here.map(|(_, entry)| entry).filter(|entry| matches(entry)));
    let groups = domain
        .groups()
        .filter(|group| scope.holds(&normal_dn(&domain.group_dn(group)).unwrap_or_default()));
    found.entries.extend(
        groups
            .map(|group| entry::of_group(domain, group))
            .filter(|entry| matches(entry)),
    );
    for (at, account) in accounts(domain, &base, request).enumerate() {
        if at % ACCOUNTS_PER_LOOK == 0 && is_over() {
            found.late = true;
            break;
        }
        if !scope.holds(&normal_dn(&domain.dn(account)).unwrap_or_default()) {
            continue;
        }
        let entry = entry::of_account(domain, place.host, account, place.now);
        if matches(&entry) {
            found.entries.push(entry);
        }
    }
    Ok(found)
}

/// The accounts that a search has to look at. One as base, or one that the filter names, saves looking at all.
fn accounts<'a>(
    domain: &'a Domain,
    base: &str,
    request: &LdapSearchRequest,
) -> Box<dyn Iterator<Item = &'a Account> + 'a> {
    if let Some(base) = domain.by_dn(base) {
        return Box::new(std::iter::once(base));
    }
    match filter::unique(&request.filter, domain) {
        Some(unique) => Box::new(unique.into_iter()),
        None if request.scope == LdapSearchScope::Base => Box::new(std::iter::empty()),
        None => Box::new(domain.accounts()),
    }
}

/// Nothing of this name is here. Windows says where it may be, or which name above it there is.
fn no_such_base(domain: &Domain, flavour: Flavour, base: &str) -> LdapResult {
    if flavour == Flavour::Samba {
        return result(LdapResultCode::NoSuchObject, NO_SUCH_BASE);
    }
    if let Some(elsewhere) = referral::of(domain, base) {
        return elsewhere;
    }
    let best = best_match(domain, base);
    let text = format!(
        "0000208D: NameErr: DSID-03100245, problem 2001 (NO_OBJECT), data 0, best match of:\n\t'{best}'\n\0"
    );
    LdapResult {
        matcheddn: best,
        ..result(LdapResultCode::NoSuchObject, text)
    }
}

/// The nearest name above this one that the domain has.
fn best_match(domain: &Domain, dn: &str) -> String {
    let normal = normal_dn(dn).unwrap_or_default();
    let mut above = parent(&normal);
    while let Some(name) = above {
        if let Some(container) = domain.container_of(name) {
            return domain.full_name(&container);
        }
        above = parent(name);
    }
    String::new()
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
    all.push(entry::of_container(&format!("CN=System,{}", domain.base_dn())));
    all.extend(configuration::trusts(domain));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Policy, User};

    #[test]
    fn a_search_stops_when_its_time_is_up() {
        let now = Timestamp::from_unix_ms(1_795_609_800_000);
        let mut domain = Domain::new("corp.test", "CORP", "dc1", Policy::default());
        for number in 0..200 {
            domain
                .add(User::new(&format!("user{number}"), "pw"), now)
                .unwrap();
        }
        let request = LdapSearchRequest {
            base: "CN=Users,DC=corp,DC=test".to_owned(),
            scope: LdapSearchScope::OneLevel,
            aliases: ldap3_proto::proto::LdapDerefAliases::Never,
            sizelimit: 0,
            timelimit: 1,
            typesonly: false,
            filter: LdapFilter::Present("cn".to_owned()),
            attrs: Vec::new(),
        };
        let (flavour, host) = (Flavour::Windows, "dc1");
        let place = Place { flavour, host, now };
        let asker = Asker {
            encrypted: false,
            referrals: false,
            deleted: false,
        };
        let looks = std::cell::Cell::new(0);
        let is_over = || looks.replace(looks.get() + 1) >= 2;
        let found = find(&domain, place, asker, &request, &is_over).unwrap();
        assert_eq!((found.entries.len(), found.late), (128, true));
        let all = find(&domain, place, asker, &request, &|| false).unwrap();
        assert_eq!((all.entries.len(), all.late), (200, false));
    }

    #[test]
    fn the_time_limit_is_the_requests_and_windows_has_one_of_its_own() {
        let seconds = Duration::from_secs;
        for (flavour, asked, expected) in [
            (Flavour::Samba, 0, None),
            (Flavour::Samba, 500, Some(seconds(500))),
            (Flavour::Samba, -1, None),
            (Flavour::Windows, 0, Some(seconds(120))),
            (Flavour::Windows, 5, Some(seconds(5))),
            (Flavour::Windows, 500, Some(seconds(120))),
        ] {
            assert_eq!(time_limit(flavour, asked), expected, "{flavour:?} {asked}");
        }
    }
}
