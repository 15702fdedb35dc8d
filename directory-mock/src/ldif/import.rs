//! Entries into a domain. Users and containers come first, then the groups that name them, then the settings that
//! name both: files have them in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postern_kit::clock::Timestamp;
use time::{Date, Month, PrimitiveDateTime, Time};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::text::{LdifErrors, Record, Value};
use super::{ADMINISTRATORS, ImportOptions, Imported, PROTECTED, is_left_out};
use crate::model::{
    Account, Counters, Domain, Group, Password, Policy, StoredSettings, escape_rdn, from_filetime, normal_dn,
};

/// ACCOUNTDISABLE, NORMAL_ACCOUNT and DONT_EXPIRE_PASSWORD, which are states of their own.
const UAC_STATES: u32 = 0x1_0202;
/// accountExpires: never.
const NEVER: i64 = i64::MAX;

/// What an entry is, as far as it is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Domain,
    Suffixes,
    Container,
    User,
    Group,
    Settings,
    Other,
}

impl Kind {
    fn of(record: &Record) -> Self {
        let is = |class: &str| {
            let mut classes = record.values("objectClass").iter();
            classes.any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
        };
        if is("computer") || record.text("isDeleted").is_some_and(|text| text == "TRUE") {
            Self::Other
        } else if is("crossRefContainer") {
            Self::Suffixes
        } else if record.dn.to_lowercase().contains("cn=configuration,dc=") {
            Self::Other
        } else if is("user") || is("inetOrgPerson") {
            Self::User
        } else if is("group") {
            Self::Group
        } else if is("domainDNS") {
            Self::Domain
        } else if is("organizationalUnit") || is("container") {
            Self::Container
        } else if is("msDS-PasswordSettings") {
            Self::Settings
        } else {
            Self::Other
        }
    }
}

/// Takes entries into a domain at `now`. After an error the domain may have a part of them.
pub(crate) fn import(
    domain: &mut Domain,
    records: &[Record],
    options: &ImportOptions,
    now: Timestamp,
) -> Result<Imported, LdifErrors> {
    let mut work = Import {
        domain,
        options,
        now,
        errors: LdifErrors::none(),
        done: Imported::default(),
    };
    let of = |kind| records.iter().filter(move |record| Kind::of(record) == kind);
    of(Kind::Domain).for_each(|record| work.domain_itself(record));
    for record in of(Kind::Suffixes) {
        for suffix in record.values("uPNSuffixes") {
            work.domain.add_upn_suffix(&String::from_utf8_lossy(suffix));
        }
    }
    of(Kind::Container).for_each(|record| work.container(record));
    of(Kind::User).for_each(|record| work.user(record));
    let groups: Vec<_> = of(Kind::Group)
        .map(|record| (work.group(record), record))
        .collect();
    groups
        .into_iter()
        .for_each(|(group, record)| work.members(group, record));
    of(Kind::Settings).for_each(|record| work.settings(record));
    for record in of(Kind::Other) {
        let class = record.values("objectClass").last();
        let class = class.map_or("no class".into(), |class| String::from_utf8_lossy(class));
        *work.done.passed_over.entry(class.into_owned()).or_default() += 1;
    }
    work.errors.or(work.done)
}

struct Import<'a> {
    domain: &'a mut Domain,
    options: &'a ImportOptions,
    now: Timestamp,
    errors: LdifErrors,
    done: Imported,
}

impl Import<'_> {
    fn wrong(&mut self, record: &Record, problem: impl std::fmt::Display) {
        self.errors.add(record.line, problem);
    }

    /// Kind and value of the entry's own name, and its container.
    fn place(&mut self, record: &Record) -> Option<(String, String, String)> {
        let place = self.domain.place_of(&record.dn);
        if place.is_none() {
            let base = self.domain.base_dn().to_owned();
            self.wrong(record, format_args!("dn: expected a name below {base}"));
        }
        place
    }

    fn domain_itself(&mut self, record: &Record) {
        if normal_dn(&record.dn) != normal_dn(self.domain.base_dn()) {
            let base = self.domain.base_dn().to_owned();
            return self.wrong(record, format_args!("dn: expected {base}, or another domain"));
        }
        if let Some(sid) = record.values("objectSid").first() {
            match read_sid(sid) {
                Some(parts) => self.domain.set_sid(&sid_text(&parts)),
                None => self.wrong(record, "objectSid: expected the bytes of a SID"),
            }
        }
        let mut read = Reader::new(record);
        let before = *self.domain.policy();
        let policy = Policy {
            lockout_threshold: read.number("lockoutThreshold", before.lockout_threshold),
            password_length_min: read.number("minPwdLength", before.password_length_min),
            password_history: read.number("pwdHistoryLength", before.password_history),
            password_complexity: read.number("pwdProperties", u32::from(before.password_complexity)) & 1 == 1,
            lockout_duration: read.time("lockoutDuration", before.lockout_duration),
            lockout_window: read.time("lockOutObservationWindow", before.lockout_window),
            password_age_max: read.time("maxPwdAge", before.password_age_max),
            password_age_min: read.time("minPwdAge", before.password_age_min),
            old_password_allowed: before.old_password_allowed,
        };
        read.tell(&mut self.errors);
        self.domain.set_policy(policy);
    }

    fn container(&mut self, record: &Record) {
        if let Some((key, name, container)) = self.place(record) {
            let rdn = format!("{key}={}", escape_rdn(&name));
            self.domain.add_container(&rdn, &container);
            self.done.containers += 1;
        }
    }

    fn user(&mut self, record: &Record) {
        let Some((_, cn, container)) = self.place(record) else {
            return;
        };
        let sam = record
            .text("sAMAccountName")
            .or_else(|| record.text("uid"))
            .unwrap_or(&cn)
            .to_owned();
        let mut read = Reader::new(record);
        let password = read.password();
        let has_password = password.is_some() || self.options.password.is_some();
        let rid = read.rid();
        let control: u32 = read.number("userAccountControl", 0x200);
        let account = Account {
            guid: read
                .guid()
                .unwrap_or_else(|| self.domain.guid_for(&sam, rid.unwrap_or(0))),
            rid: rid.unwrap_or(0),
            upn: record.text("userPrincipalName").map(str::to_owned),
            cn,
            container,
            display_name: record.text("displayName").map(str::to_owned),
            extra: extra(record),
            control_rest: control & !UAC_STATES,
            password: password
                .or_else(|| self.options.password.clone())
                .unwrap_or_else(|| Password::new("")),
            previous: Vec::new(),
            created: read.moment("whenCreated").unwrap_or(self.now),
            password_set: read.filetime("pwdLastSet").unwrap_or(self.now),
            must_change: record.text("pwdLastSet") == Some("0"),
            password_never_expires: control & 0x1_0000 != 0,
            disabled: control & 0x2 != 0,
            account_expires: read.filetime("accountExpires"),
            logon_hours: read.hours(),
            workstations: record
                .text("userWorkstations")
                .map_or(Vec::new(), |list| list.split(',').map(str::to_owned).collect()),
            protected: false,
            administrator: false,
            never_locks: false,
            counters: Counters {
                bad_pwd_count: read.number("badPwdCount", 0),
                bad_password_time: read.filetime("badPasswordTime"),
                lockout_time: read.filetime("lockoutTime"),
                last_logon: read.filetime("lastLogonTimestamp"),
            },
            sam,
        };
        read.tell(&mut self.errors);
        match self.domain.load_account(account) {
            Ok(_) => {
                self.done.users += 1;
                self.done.without_password += u64::from(!has_password);
            }
            Err(error) => self.wrong(record, error),
        }
    }

    /// Adds a group without its members; `None` for one that is only a mark of them.
    fn group(&mut self, record: &Record) -> Option<Uuid> {
        let (_, cn, container) = self.place(record)?;
        let sam = record.text("sAMAccountName").unwrap_or(&cn).to_owned();
        if sam == ADMINISTRATORS || sam == PROTECTED {
            return None;
        }
        let mut read = Reader::new(record);
        let rid = read.rid().unwrap_or(0);
        let group = Group {
            guid: read.guid().unwrap_or_else(|| self.domain.guid_for(&sam, rid)),
            rid,
            sam,
            cn,
            container,
            members: BTreeSet::new(),
            created: read.moment("whenCreated").unwrap_or(self.now),
        };
        read.tell(&mut self.errors);
        match self.domain.load_group(group) {
            Ok(guid) => {
                self.done.groups += 1;
                Some(guid)
            }
            Err(error) => {
                self.wrong(record, error);
                None
            }
        }
    }

    fn objects(&mut self, names: &[Value]) -> BTreeSet<Uuid> {
        let mut found = BTreeSet::new();
        for name in names {
            let normal = std::str::from_utf8(name).ok().and_then(normal_dn);
            match normal.and_then(|dn| self.domain.object_by_dn(&dn)) {
                Some(guid) => {
                    found.insert(guid);
                }
                // Another domain's, a computer, or one of a class that is not kept.
                None => self.done.unknown_members += 1,
            }
        }
        found
    }

    fn members(&mut self, group: Option<Uuid>, record: &Record) {
        let members = self.objects(record.values("member"));
        if let Some(group) = group {
            return self.domain.load_members(group, members);
        }
        let mark: fn(&mut Account) = match record.text("sAMAccountName") {
            Some(ADMINISTRATORS) => |account| account.administrator = true,
            Some(PROTECTED) => |account| account.protected = true,
            Some(_) | None => return,
        };
        for member in members {
            // A group inside a built-in group marks nobody.
            if self.domain.account(member).is_some()
                && let Err(error) = self.domain.update(member, mark)
            {
                self.wrong(record, error);
            }
        }
    }

    fn settings(&mut self, record: &Record) {
        let Some((_, name, _)) = self.place(record) else {
            return;
        };
        let mut read = Reader::new(record);
        let default = Policy::default();
        let complexity = record.text("msDS-PasswordComplexityEnabled");
        let policy = Policy {
            lockout_threshold: read.number("msDS-LockoutThreshold", default.lockout_threshold),
            lockout_window: read.time("msDS-LockoutObservationWindow", default.lockout_window),
            lockout_duration: read.time("msDS-LockoutDuration", default.lockout_duration),
            password_age_max: read.time("msDS-MaximumPasswordAge", default.password_age_max),
            password_age_min: read.time("msDS-MinimumPasswordAge", default.password_age_min),
            password_length_min: read.number("msDS-MinimumPasswordLength", default.password_length_min),
            password_history: read.number("msDS-PasswordHistoryLength", default.password_history),
            password_complexity: complexity.is_none_or(|text| text == "TRUE"),
            old_password_allowed: default.old_password_allowed,
        };
        let settings = StoredSettings {
            guid: read
                .guid()
                .unwrap_or_else(|| self.domain.guid_for(&format!("settings/{name}"), 0)),
            precedence: read.number("msDS-PasswordSettingsPrecedence", 0),
            name,
            policy,
            applies_to: self.objects(record.values("msDS-PSOAppliesTo")),
        };
        read.tell(&mut self.errors);
        match self.domain.load_settings(settings) {
            Ok(()) => self.done.settings += 1,
            Err(error) => self.wrong(record, error),
        }
    }
}

/// Attributes of a user that are shown as they come.
fn extra(record: &Record) -> BTreeMap<String, Vec<Vec<u8>>> {
    const READ: &[&str] = &[
        "accountexpires",
        "badpasswordtime",
        "badpwdcount",
        "displayname",
        "lastlogontimestamp",
        "lockouttime",
        "logonhours",
        "objectclass",
        "objectguid",
        "objectsid",
        "pwdlastset",
        "samaccountname",
        "unicodepwd",
        "useraccountcontrol",
        "userpassword",
        "userprincipalname",
        "userworkstations",
        "whencreated",
    ];
    let is_read = |name: &str| READ.binary_search(&name.to_ascii_lowercase().as_str()).is_ok();
    let rest = record
        .attributes
        .iter()
        .filter(|(name, _)| !is_left_out(name) && !is_read(name));
    rest.map(|(name, values)| (name.clone(), values.iter().map(|value| value.to_vec()).collect()))
        .collect()
}

/// Reads values of one entry and remembers what is wrong with them.
struct Reader<'a> {
    record: &'a Record,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(record: &'a Record) -> Self {
        Self {
            record,
            mistakes: Vec::new(),
        }
    }

    fn tell(self, errors: &mut LdifErrors) {
        for mistake in self.mistakes {
            errors.add(self.record.line, mistake);
        }
    }

    fn wrong<T>(&mut self, name: &str, expected: &str) -> Option<T> {
        self.mistakes.push(format!("{name}: expected {expected}"));
        None
    }

    fn whole(&mut self, name: &str) -> Option<i64> {
        if self.record.values(name).is_empty() {
            return None;
        }
        let number = self.record.text(name).and_then(|text| text.trim().parse().ok());
        number.or_else(|| self.wrong(name, "a whole number"))
    }

    /// userAccountControl and the like are signed in some exports.
    fn number(&mut self, name: &str, default: u32) -> u32 {
        let Some(number) = self.whole(name) else {
            return default;
        };
        match u32::try_from(number).or_else(|_| i32::try_from(number).map(i32::cast_unsigned)) {
            Ok(number) => number,
            Err(_) => self.wrong(name, "a number of 32 bits").unwrap_or(default),
        }
    }

    /// A negative count of 100 ns; the smallest number is "never", which is zero here.
    fn time(&mut self, name: &str, default: Duration) -> Duration {
        match self.whole(name) {
            None => default,
            Some(i64::MIN) => Duration::ZERO,
            Some(steps) => Duration::from_nanos(steps.unsigned_abs().saturating_mul(100)),
        }
    }

    /// A moment; 0 and the greatest number are none.
    fn filetime(&mut self, name: &str) -> Option<Timestamp> {
        let steps = self.whole(name)?;
        (steps != 0 && steps != NEVER).then(|| from_filetime(steps))
    }

    /// `20261123123834.0Z`.
    fn moment(&mut self, name: &str) -> Option<Timestamp> {
        const EXPECTED: &str = "a time such as 20261123123834.0Z";
        let text = match self.record.values(name) {
            [] => return None,
            _ => self.record.text(name).unwrap_or_default(),
        };
        let digits = |range: std::ops::Range<usize>| text.get(range)?.parse::<u16>().ok();
        let small = |range| u8::try_from(digits(range)?).ok();
        let read = || {
            let month = Month::try_from(small(4..6)?).ok()?;
            let date = Date::from_calendar_date(i32::from(digits(0..4)?), month, small(6..8)?).ok()?;
            let time = Time::from_hms(small(8..10)?, small(10..12)?, small(12..14)?).ok()?;
            let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
            Some(Timestamp::from_unix_ms(seconds * 1000))
        };
        read().or_else(|| self.wrong(name, EXPECTED))
    }

    fn guid(&mut self) -> Option<Uuid> {
        let value = self.record.values("objectGUID").first()?;
        match <[u8; 16]>::try_from(value.as_slice()) {
            Ok(bytes) => Some(Uuid::from_bytes_le(bytes)),
            Err(_) => self.wrong("objectGUID", "16 bytes"),
        }
    }

    /// The last part of the SID.
    fn rid(&mut self) -> Option<u32> {
        let value = self.record.values("objectSid").first()?;
        let last = read_sid(value).and_then(|parts| parts.last().copied());
        last.or_else(|| self.wrong("objectSid", "the bytes of a SID"))
    }

    fn hours(&mut self) -> Option<[u8; 21]> {
        let value = self.record.values("logonHours").first()?;
        // None at all is what some tools write for "always".
        if value.is_empty() {
            return None;
        }
        let hours = <[u8; 21]>::try_from(value.as_slice()).ok();
        hours.or_else(|| self.wrong("logonHours", "21 bytes"))
    }

    fn password(&mut self) -> Option<Password> {
        if let Some(value) = self.record.values("unicodePwd").first() {
            let expected = "the password in double quotes as UTF-16, little end first";
            return match unquoted(value) {
                Some(text) => Some(Password::new(&text)),
                None => self.wrong("unicodePwd", expected),
            };
        }
        let value = self.record.values("userPassword").first()?;
        match std::str::from_utf8(value) {
            Ok(text) if !text.starts_with('{') => Some(Password::new(text)),
            Ok(_) | Err(_) => self.wrong("userPassword", "plain text; a hash says no password"),
        }
    }
}

fn unquoted(value: &[u8]) -> Option<Zeroizing<String>> {
    let pairs = value.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units = Zeroizing::new(units.collect::<Vec<u16>>());
    let text = Zeroizing::new(String::from_utf16(&units).ok()?);
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(Zeroizing::new(inner.to_owned()))
}

/// The parts of a SID of the NT authority.
fn read_sid(bytes: &[u8]) -> Option<Vec<u32>> {
    let (head, parts) = bytes.split_at_checked(8)?;
    let sound = head.first() == Some(&1) && head.get(2..) == Some(&[0, 0, 0, 0, 0, 5]);
    let count = usize::from(*head.get(1)?);
    let parts = parts.chunks_exact(4);
    if !sound || !parts.remainder().is_empty() || parts.len() != count {
        return None;
    }
    Some(
        parts
            .map(|part| u32::from_le_bytes([part[0], part[1], part[2], part[3]]))
            .collect(),
    )
}

fn sid_text(parts: &[u32]) -> String {
    parts
        .iter()
        .fold("S-1-5".to_owned(), |text, part| text + &format!("-{part}"))
}
