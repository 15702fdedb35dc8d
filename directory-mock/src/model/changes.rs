//! What changed when: the update sequence numbers that clients follow.
//!
//! Every change of a replicated attribute takes the next number, which the object and the attribute keep.
//! What the directory was opened with has none: only what was changed since takes memory, an entry per object.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::account::Account;
use super::domain::Domain;
use super::names::normal_dn;
use super::policy::Policy;
use super::user::made_guid;

/// The number that the directory is opened with, as a new domain has it.
pub(crate) const USN_FIRST: u64 = 4120;

/// What a new password changes. All but the first are never shown.
const PASSWORD: [&str; 6] = [
    "pwdLastSet",
    "dBCSPwd",
    "unicodePwd",
    "ntPwdHistory",
    "supplementalCredentials",
    "lmPwdHistory",
];

/// When an object was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) created: Option<u64>,
    pub(crate) deleted: Option<u64>,
    pub(crate) attributes: BTreeMap<String, u64>,
}

impl Stamp {
    /// The last change.
    pub(crate) fn last(&self) -> Option<u64> {
        let single = [self.created, self.deleted].into_iter().flatten();
        single.chain(self.attributes.values().copied()).max()
    }
}

/// The numbers that were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    given: u64,
    objects: HashMap<Uuid, Stamp>,
}

impl Changes {
    fn stamp(&mut self, object: Uuid) -> (u64, &mut Stamp) {
        self.given += 1;
        (USN_FIRST + self.given, self.objects.entry(object).or_default())
    }

    pub(super) fn created(&mut self, object: Uuid) {
        let (usn, stamp) = self.stamp(object);
        stamp.created = Some(usn);
    }

    pub(super) fn deleted(&mut self, object: Uuid) {
        let (usn, stamp) = self.stamp(object);
        stamp.deleted = Some(usn);
    }

    /// Nothing is left of an object, not even a tombstone.
    pub(super) fn forgotten(&mut self, object: Uuid) {
        self.objects.remove(&object);
    }

    pub(super) fn changed<'a>(&mut self, object: Uuid, attributes: impl IntoIterator<Item = &'a str>) {
        let mut attributes = attributes.into_iter().peekable();
        if attributes.peek().is_none() {
            return;
        }
        let (usn, stamp) = self.stamp(object);
        for attribute in attributes {
            stamp.attributes.insert(attribute.to_owned(), usn);
        }
    }

    pub(super) fn password_set(&mut self, object: Uuid) {
        self.changed(object, PASSWORD);
    }

    /// What a bind changes is not replicated, but for a lockout and the first success.
    pub(super) fn counted(&mut self, before: &Account, after: &super::Counters) {
        let first = before.counters.last_logon.is_none() && after.last_logon.is_some();
        let locked = before.counters.lockout_time != after.lockout_time;
        let changed = [(locked, "lockoutTime"), (first, "lastLogonTimestamp")];
        let changed = changed.into_iter().filter(|(holds, _)| *holds);
        self.changed(before.guid, changed.map(|(_, name)| name));
    }
}

impl Domain {
    /// highestCommittedUSN.
    pub(crate) fn usn(&self) -> u64 {
        USN_FIRST + self.changes.given
    }

    /// When an object was changed since the directory was opened.
    pub(crate) fn stamp_of(&self, object: Uuid) -> Option<&Stamp> {
        self.changes.objects.get(&object)
    }

    /// What is there now is what the directory was opened with.
    pub(super) fn forget_changes(&mut self) {
        self.changes = Changes::default();
    }

    /// Which directory gave a number.
    pub(crate) fn invocation_id(&self) -> Uuid {
        made_guid(self.dns_name(), "invocationId", 0)
    }
}

/// objectGUID of the domain or a container, by its full name.
pub(crate) fn place_guid(dn: &str) -> Uuid {
    made_guid(&normal_dn(dn).unwrap_or_default(), "place", 0)
}

/// The attributes of the domain in which a policy differs.
pub(super) fn differing_policy(before: &Policy, after: &Policy) -> impl Iterator<Item = &'static str> {
    let all = [
        (
            before.lockout_threshold != after.lockout_threshold,
            "lockoutThreshold",
        ),
        (
            before.lockout_window != after.lockout_window,
            "lockOutObservationWindow",
        ),
        (
            before.lockout_duration != after.lockout_duration,
            "lockoutDuration",
        ),
        (before.password_age_max != after.password_age_max, "maxPwdAge"),
        (before.password_age_min != after.password_age_min, "minPwdAge"),
        (
            before.password_length_min != after.password_length_min,
            "minPwdLength",
        ),
        (
            before.password_history != after.password_history,
            "pwdHistoryLength",
        ),
        (
            before.password_complexity != after.password_complexity,
            "pwdProperties",
        ),
    ];
    all.into_iter()
        .filter(|(differs, _)| *differs)
        .map(|(_, name)| name)
}

/// The replicated attributes in which an account differs.
pub(super) fn differing(before: &Account, after: &Account) -> Vec<String> {
    let password = before.password_set != after.password_set || before.must_change != after.must_change;
    let moved = before.container != after.container;
    let stored = [
        (before.sam != after.sam, "sAMAccountName"),
        (before.upn != after.upn, "userPrincipalName"),
        (before.display_name != after.display_name, "displayName"),
        (before.cn != after.cn || moved, "name"),
        (before.cn != after.cn || moved, "parentGUID"),
        (
            before.user_account_control() != after.user_account_control(),
            "userAccountControl",
        ),
        (password, "pwdLastSet"),
        (before.account_expires != after.account_expires, "accountExpires"),
        (before.logon_hours != after.logon_hours, "logonHours"),
        (before.workstations != after.workstations, "userWorkstations"),
        (
            before.counters.lockout_time != after.counters.lockout_time,
            "lockoutTime",
        ),
    ];
    let stored = stored.iter().filter(|(differs, _)| *differs);
    let mut names: Vec<String> = stored.map(|(_, name)| (*name).to_owned()).collect();
    let extra = before.extra.keys().chain(after.extra.keys());
    for name in extra {
        if before.extra.get(name) != after.extra.get(name) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use postern_kit::clock::Timestamp;

    use super::*;
    use crate::model::{Counters, User};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);

    #[test]
    fn what_is_replicated_takes_a_number_and_what_is_not_takes_none() {
        let mut domain = Domain::new("corp.test", "CORP", "dc1", Policy::default());
        let guid = domain.add(User::new("alice", "pw"), NOW).unwrap();
        domain.forget_changes();
        let first = domain.usn();
        let count = |domain: &mut Domain, bad_pwd_count, lockout_time, last_logon| {
            let counters = Counters {
                bad_pwd_count,
                bad_password_time: Some(NOW),
                lockout_time,
                last_logon,
            };
            domain.count("dc1", guid, Some(counters), None);
            domain.usn()
        };
        assert_eq!(count(&mut domain, 1, None, None), first);
        assert_eq!(domain.stamp_of(guid), None);
        assert_eq!(count(&mut domain, 3, Some(NOW), None), first + 1, "locked");
        assert_eq!(count(&mut domain, 0, None, Some(NOW)), first + 2, "first success");
        let later = NOW.plus(std::time::Duration::from_secs(1));
        assert_eq!(count(&mut domain, 0, None, Some(later)), first + 2);
        domain.update(guid, |account| account.upn = None).unwrap();
        domain.update(guid, |_| ()).unwrap();
        assert_eq!(domain.usn(), first + 3);
        let stamp = domain.stamp_of(guid).unwrap();
        assert_eq!(stamp.attributes["userPrincipalName"], first + 3);
        assert_eq!((stamp.last(), stamp.created), (Some(first + 3), None));
        let policy = Policy {
            password_length_min: 12,
            ..Policy::default()
        };
        domain.set_policy(policy);
        domain.set_policy(policy);
        let stamp = domain.stamp_of(place_guid(domain.base_dn())).unwrap();
        assert_eq!(
            stamp.attributes,
            BTreeMap::from([("minPwdLength".into(), first + 4)])
        );
        assert_eq!(domain.usn(), first + 4);
        domain.delete(guid, NOW);
        assert_eq!(domain.stamp_of(guid).unwrap().deleted, Some(first + 5));
    }
}
