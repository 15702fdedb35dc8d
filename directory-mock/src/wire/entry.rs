//! Entries with their attributes as the directory shows them.

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};
use postern_kit::clock::Timestamp;

use uuid::Uuid;

use crate::model::{
    Account, Domain, Group, Stamp, StoredSettings, Tombstone, USN_FIRST, filetime, place_guid, sid_bytes,
    split_rdn,
};
use crate::semantics::{is_locked, is_password_expired};

/// accountExpires and the like: never.
const NEVER: &str = "9223372036854775807";
const DOMAIN_USERS_RID: u32 = 513;
/// Computed when read, and shown only to those who ask for them by name.
pub(super) const CONSTRUCTED: [&str; 5] = [
    "msDS-User-Account-Control-Computed",
    "msDS-UserPasswordExpiryTimeComputed",
    "msDS-ResultantPSO",
    "tokenGroups",
    "canonicalName",
];

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) dn: String,
    /// objectGUID of an account or group.
    pub(super) guid: Option<Uuid>,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    pub(super) fn new(dn: &str) -> Self {
        Self {
            dn: dn.to_owned(),
            guid: None,
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

    pub(super) fn owned_texts(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<_> = values.into_iter().map(String::into_bytes).collect();
        if !values.is_empty() {
            self.attributes.push((name.to_owned(), values));
        }
    }

    pub(super) fn bytes(&mut self, name: &str, value: Vec<u8>) {
        self.attributes.push((name.to_owned(), vec![value]));
    }

    /// The values of an attribute, by its name in any case.
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values.as_slice())
    }

    /// uSNCreated and uSNChanged.
    fn numbers(&mut self, domain: &Domain, guid: Uuid) {
        let stamp = domain.stamp_of(guid);
        let created = stamp.and_then(|stamp| stamp.created);
        let changed = stamp.and_then(Stamp::last);
        for (name, usn) in [("uSNCreated", created), ("uSNChanged", changed)] {
            self.text(name, &usn.unwrap_or(USN_FIRST).to_string());
        }
    }

    /// The names of all attributes that it has.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(name, _)| name.as_str())
    }

    /// objectGUID of what it lies in.
    pub(super) fn parent_guid(&self) -> Uuid {
        let above = split_rdn(&self.dn).map_or(String::new(), |(_, _, above)| above);
        place_guid(&above)
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
    let mut entry = Entry::new(domain.base_dn());
    entry.texts("objectClass", ["top", "domain", "domainDNS"]);
    entry.text("distinguishedName", domain.base_dn());
    entry.text("name", domain.dns_name().split('.').next().unwrap_or_default());
    entry.bytes("objectGUID", place_guid(domain.base_dn()).to_bytes_le().to_vec());
    entry.bytes("objectSid", sid_bytes(domain.sid(), None).unwrap_or_default());
    let numbers = [
        ("lockoutThreshold", policy.lockout_threshold),
        ("minPwdLength", policy.password_length_min),
        ("pwdHistoryLength", policy.password_history),
        ("pwdProperties", u32::from(policy.password_complexity)),
    ];
    for (name, value) in numbers {
        entry.text(name, &value.to_string());
    }
    entry.text("lockoutDuration", &or_never(policy.lockout_duration));
    entry.text("lockOutObservationWindow", &negative(policy.lockout_window));
    entry.text("maxPwdAge", &or_never(policy.password_age_max));
    entry.text("minPwdAge", &negative(policy.password_age_min));
    entry
}

/// A duration as AD stores it: a negative count of 100 ns.
fn negative(time: std::time::Duration) -> String {
    match time.as_nanos() / 100 {
        0 => "0".to_owned(),
        steps => format!("-{steps}"),
    }
}

/// The same where zero stands for never.
fn or_never(time: std::time::Duration) -> String {
    if time.is_zero() {
        i64::MIN.to_string()
    } else {
        negative(time)
    }
}

/// The entry of fine-grained password settings.
pub(super) fn of_settings(domain: &Domain, settings: &StoredSettings) -> Entry {
    let (dn, policy) = (domain.settings_dn(settings), &settings.policy);
    let truth = |value: bool| if value { "TRUE" } else { "FALSE" };
    let mut entry = Entry::new(&dn);
    entry.texts("objectClass", ["top", "msDS-PasswordSettings"]);
    entry.text("cn", &settings.name);
    entry.text("name", &settings.name);
    entry.text("distinguishedName", &dn);
    entry.bytes("objectGUID", settings.guid.to_bytes_le().to_vec());
    let numbers = [
        ("msDS-PasswordSettingsPrecedence", settings.precedence),
        ("msDS-PasswordHistoryLength", policy.password_history),
        ("msDS-MinimumPasswordLength", policy.password_length_min),
        ("msDS-LockoutThreshold", policy.lockout_threshold),
    ];
    for (name, value) in numbers {
        entry.text(name, &value.to_string());
    }
    entry.text(
        "msDS-PasswordComplexityEnabled",
        truth(policy.password_complexity),
    );
    entry.text("msDS-PasswordReversibleEncryptionEnabled", "FALSE");
    entry.text("msDS-MinimumPasswordAge", &negative(policy.password_age_min));
    entry.text("msDS-MaximumPasswordAge", &or_never(policy.password_age_max));
    entry.text("msDS-LockoutObservationWindow", &negative(policy.lockout_window));
    entry.text("msDS-LockoutDuration", &or_never(policy.lockout_duration));
    let applies_to = settings.applies_to.iter();
    entry.owned_texts(
        "msDS-PSOAppliesTo",
        applies_to.filter_map(|guid| domain.object_dn(*guid)),
    );
    entry
}

/// The entry of a group.
pub(super) fn of_group(domain: &Domain, group: &Group) -> Entry {
    let dn = domain.group_dn(group);
    let mut entry = Entry::new(&dn);
    entry.guid = Some(group.guid);
    entry.texts("objectClass", ["top", "group"]);
    entry.text(
        "objectCategory",
        &format!("CN=Group,CN=Schema,CN=Configuration,{}", domain.root_dn()),
    );
    entry.text("cn", &group.cn);
    entry.text("name", &group.cn);
    entry.text("distinguishedName", &dn);
    entry.bytes("objectGUID", group.guid.to_bytes_le().to_vec());
    entry.bytes(
        "objectSid",
        sid_bytes(domain.sid(), Some(group.rid)).unwrap_or_default(),
    );
    entry.text("sAMAccountName", &group.sam);
    entry.text("sAMAccountType", "268435456");
    entry.text("groupType", "-2147483646");
    entry.text("whenCreated", &generalized_time(group.created));
    entry.numbers(domain, group.guid);
    let members = group.members.iter().filter_map(|guid| domain.object_dn(*guid));
    entry.owned_texts("member", members);
    entry.owned_texts("memberOf", member_of(domain, group.guid));
    entry
}

/// What is left of a deleted account or group.
pub(super) fn of_tombstone(domain: &Domain, tombstone: &Tombstone) -> Entry {
    let name = format!("{}\\0ADEL:{}", tombstone.cn, tombstone.guid);
    let dn = format!("CN={name},CN=Deleted Objects,{}", domain.base_dn());
    let mut entry = Entry::new(&dn);
    let classes: &[&str] = match tombstone.control {
        Some(_) => &["top", "person", "organizationalPerson", "user"],
        None => &["top", "group"],
    };
    entry.texts("objectClass", classes.iter().copied());
    entry.text("distinguishedName", &dn);
    entry.bytes("objectGUID", tombstone.guid.to_bytes_le().to_vec());
    entry.bytes(
        "objectSid",
        sid_bytes(domain.sid(), Some(tombstone.rid)).unwrap_or_default(),
    );
    entry.text("sAMAccountName", &tombstone.sam);
    if let Some(control) = tombstone.control {
        entry.text("userAccountControl", &control.to_string());
    }
    entry.text("name", &format!("{}\nDEL:{}", tombstone.cn, tombstone.guid));
    entry.text("isDeleted", "TRUE");
    entry.text("isRecycled", "TRUE");
    entry.text("lastKnownParent", &tombstone.parent);
    entry.text("whenChanged", &generalized_time(tombstone.deleted));
    entry.numbers(domain, tombstone.guid);
    entry
}

fn member_of(domain: &Domain, guid: Uuid) -> impl Iterator<Item = String> {
    let groups = domain.direct_groups(guid);
    groups.filter_map(|group| domain.object_dn(group))
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
    entry.bytes("objectGUID", place_guid(dn).to_bytes_le().to_vec());
    entry
}

/// The entry of a user.
pub(super) fn of_account(domain: &Domain, host: &str, account: &Account, now: Timestamp) -> Entry {
    let dn = domain.dn(account);
    let base = domain.base_dn();
    let mut entry = Entry::new(&dn);
    entry.guid = Some(account.guid);
    entry.texts("objectClass", ["top", "person", "organizationalPerson", "user"]);
    entry.text(
        "objectCategory",
        &format!("CN=Person,CN=Schema,CN=Configuration,{}", domain.root_dn()),
    );
    entry.text("cn", &account.cn);
    entry.text("name", &account.cn);
    entry.text("distinguishedName", &dn);
    entry.bytes("objectGUID", account.guid.to_bytes_le().to_vec());
    entry.bytes(
        "objectSid",
        sid_bytes(domain.sid(), Some(account.rid)).unwrap_or_default(),
    );
    entry.text("sAMAccountName", &account.sam);
    entry.text("sAMAccountType", "805306368");
    if let Some(upn) = &account.upn {
        entry.text("userPrincipalName", upn);
    }
    if let Some(name) = &account.display_name {
        entry.text("displayName", name);
    }
    entry.text("primaryGroupID", &DOMAIN_USERS_RID.to_string());
    let built_in = [
        (account.protected, "Protected Users"),
        (account.administrator, "Domain Admins"),
    ];
    let built_in = built_in.iter().filter(|(holds, _)| *holds);
    let built_in = built_in.map(|(_, group)| format!("CN={group},CN=Users,{base}"));
    entry.owned_texts("memberOf", built_in.chain(member_of(domain, account.guid)));
    entry.text("whenCreated", &generalized_time(account.created));
    entry.numbers(domain, account.guid);
    entry.text("userAccountControl", &account.user_account_control().to_string());
    add_times(&mut entry, domain, host, account);
    add_computed(&mut entry, domain, account, now);
    for (name, values) in &account.extra {
        entry.attributes.push((name.clone(), values.clone()));
    }
    entry
}

fn add_times(entry: &mut Entry, domain: &Domain, host: &str, account: &Account) {
    let counters = domain.view(host, account).counters;
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
    if let Some(settings) = domain.resultant_settings(account.guid) {
        entry.text(CONSTRUCTED[2], &domain.settings_dn(settings));
    }
    let groups = domain.groups_of(account.guid);
    let rids = groups
        .iter()
        .filter_map(|guid| Some(domain.group(*guid)?.rid))
        .chain([DOMAIN_USERS_RID]);
    let sids = rids.filter_map(|rid| sid_bytes(domain.sid(), Some(rid)));
    entry.attributes.push((CONSTRUCTED[3].to_owned(), sids.collect()));
    let mut path: Vec<&str> = account.container.split(',').collect();
    path.reverse();
    let names = path.iter().filter_map(|part| part.split_once('='));
    let mut canonical = domain.dns_name().to_owned();
    for (_, name) in names {
        canonical.push('/');
        canonical.push_str(name.trim());
    }
    entry.text(CONSTRUCTED[4], &format!("{canonical}/{}", account.cn));
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
