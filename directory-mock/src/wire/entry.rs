//! Entries with their attributes as the directory shows them.

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};
use postern_kit::clock::Timestamp;

use crate::model::{Account, Domain, filetime};
use crate::semantics::{is_locked, is_password_expired};

/// accountExpires and the like: never.
const NEVER: &str = "9223372036854775807";
const DOMAIN_USERS_RID: u32 = 513;
/// Computed when read, and shown only to those who ask for them by name.
const CONSTRUCTED: [&str; 2] = [
    "msDS-User-Account-Control-Computed",
    "msDS-UserPasswordExpiryTimeComputed",
];

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    pub(super) fn new(dn: &str) -> Self {
        Self {
            dn: dn.to_owned(),
            attributes: Vec::new(),
        }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes().to_vec());
    }

    pub(super) fn texts<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        let values = values.into_iter().map(|value| value.as_bytes().to_vec());
        self.attributes.push((name.to_owned(), values.collect()));
    }

    fn bytes(&mut self, name: &str, value: Vec<u8>) {
        self.attributes.push((name.to_owned(), vec![value]));
    }

    /// The values of an attribute, by its name in any case.
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values.as_slice())
    }

    /// The entry with the attributes that were asked for: none or `*` is all but the constructed
    /// ones, `1.1` is none.
    pub(super) fn show(self, asked: &[String], types_only: bool) -> LdapSearchResultEntry {
        let all = asked.is_empty() || asked.iter().any(|name| name == "*");
        let shown = |name: &str| {
            asked.iter().any(|asked| asked.eq_ignore_ascii_case(name))
                || (all && !CONSTRUCTED.contains(&name))
        };
        let attributes = self
            .attributes
            .into_iter()
            .filter(|(name, _)| shown(name))
            .map(|(atype, vals)| LdapPartialAttribute {
                atype,
                vals: if types_only { Vec::new() } else { vals },
            })
            .collect();
        LdapSearchResultEntry {
            dn: self.dn,
            attributes,
        }
    }
}

/// The entry of the domain itself.
pub(super) fn of_domain(domain: &Domain) -> Entry {
    let policy = domain.policy();
    let negative = |time: std::time::Duration| match time.as_nanos() / 100 {
        // Zero stands for never.
        0 => i64::MIN.to_string(),
        steps => format!("-{steps}"),
    };
    let mut entry = Entry::new(domain.base_dn());
    entry.texts("objectClass", ["top", "domain", "domainDNS"]);
    entry.text("distinguishedName", domain.base_dn());
    entry.text("name", domain.dns_name().split('.').next().unwrap_or_default());
    entry.bytes("objectSid", sid_bytes(domain.sid(), None));
    entry.text("lockoutThreshold", &policy.lockout_threshold.to_string());
    entry.text("lockoutDuration", &negative(policy.lockout_duration));
    entry.text("lockOutObservationWindow", &negative(policy.lockout_window));
    entry.text("maxPwdAge", &negative(policy.password_age_max));
    entry
}

/// The entry of a container such as `OU=Fixture` with its full name.
pub(super) fn of_container(dn: &str) -> Entry {
    let (kind, name) = dn
        .split(',')
        .next()
        .and_then(|first| first.split_once('='))
        .unwrap_or_default();
    let (class, attribute) = if kind.trim().eq_ignore_ascii_case("ou") {
        ("organizationalUnit", "ou")
    } else {
        ("container", "cn")
    };
    let mut entry = Entry::new(dn);
    entry.texts("objectClass", ["top", class]);
    entry.text(attribute, name.trim());
    entry.text("name", name.trim());
    entry.text("distinguishedName", dn);
    entry
}

/// The entry of a user.
pub(super) fn of_account(domain: &Domain, account: &Account, now: Timestamp) -> Entry {
    let dn = domain.dn(account);
    let base = domain.base_dn();
    let mut entry = Entry::new(&dn);
    entry.texts("objectClass", ["top", "person", "organizationalPerson", "user"]);
    entry.text(
        "objectCategory",
        &format!("CN=Person,CN=Schema,CN=Configuration,{base}"),
    );
    entry.text("cn", &account.cn);
    entry.text("name", &account.cn);
    entry.text("distinguishedName", &dn);
    entry.bytes("objectGUID", account.guid.to_bytes_le().to_vec());
    entry.bytes("objectSid", sid_bytes(domain.sid(), Some(account.rid)));
    entry.text("sAMAccountName", &account.sam);
    entry.text("sAMAccountType", "805306368");
    if let Some(upn) = &account.upn {
        entry.text("userPrincipalName", upn);
    }
    if let Some(name) = &account.display_name {
        entry.text("displayName", name);
    }
    entry.text("primaryGroupID", &DOMAIN_USERS_RID.to_string());
    if account.protected {
        entry.text("memberOf", &format!("CN=Protected Users,CN=Users,{base}"));
    }
    entry.text("userAccountControl", &account.user_account_control().to_string());
    add_times(&mut entry, account);
    add_computed(&mut entry, domain, account, now);
    for (name, value) in &account.extra {
        entry.text(name, value);
    }
    entry
}

fn add_times(entry: &mut Entry, account: &Account) {
    let counters = &account.counters;
    let password_set = if account.must_change {
        "0".to_owned()
    } else {
        filetime(account.password_set)
    };
    entry.text("pwdLastSet", &password_set);
    entry.text(
        "accountExpires",
        &account.account_expires.map_or(NEVER.to_owned(), filetime),
    );
    entry.text("badPwdCount", &counters.bad_pwd_count.to_string());
    entry.text(
        "badPasswordTime",
        &counters.bad_password_time.map_or("0".to_owned(), filetime),
    );
    if let Some(at) = counters.lockout_time {
        entry.text("lockoutTime", &filetime(at));
    }
    if let Some(at) = counters.last_logon {
        entry.text("lastLogonTimestamp", &filetime(at));
    }
    if let Some(hours) = account.logon_hours {
        entry.bytes("logonHours", hours.to_vec());
    }
    if !account.workstations.is_empty() {
        entry.text("userWorkstations", &account.workstations.join(","));
    }
}

fn add_computed(entry: &mut Entry, domain: &Domain, account: &Account, now: Timestamp) {
    let policy = &domain.policy_of(account);
    let mut bits = 0_u32;
    if is_locked(&account.counters, policy, now) {
        bits |= 0x10;
    }
    let must_change = account.must_change && !account.password_never_expires;
    if must_change || is_password_expired(account, policy, now) {
        bits |= 0x80_0000;
    }
    entry.text(CONSTRUCTED[0], &bits.to_string());
    let expiry = if account.password_never_expires || policy.password_age_max.is_zero() {
        NEVER.to_owned()
    } else if account.must_change {
        "0".to_owned()
    } else {
        filetime(account.password_set.plus(policy.password_age_max))
    };
    entry.text(CONSTRUCTED[1], &expiry);
}

/// 1, number of parts, 6-byte big-endian authority, 32-bit little-endian parts.
fn sid_bytes(domain_sid: &str, rid: Option<u32>) -> Vec<u8> {
    let parts: Vec<u32> = domain_sid
        .split('-')
        .skip(3)
        .filter_map(|part| part.parse().ok())
        .chain(rid)
        .collect();
    let mut bytes = vec![1, u8::try_from(parts.len()).unwrap_or(u8::MAX), 0, 0, 0, 0, 0, 5];
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    bytes
}

/// `20261123123834.0Z`.
pub(super) fn generalized_time(at: Timestamp) -> String {
    let t = at.date_time();
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}.0Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}
