//! Groups with their members, and which password settings follow from them.

use std::collections::BTreeSet;

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::account::Account;
use super::domain::{Domain, DomainError};
use super::names::escape_rdn;
use super::policy::{PasswordSettings, Policy};
use super::user::made_guid;

/// Where fine-grained settings lie below the domain.
const SETTINGS_CONTAINER: &str = "CN=Password Settings Container,CN=System";

/// A global security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// objectGUID.
    pub guid: Uuid,
    /// Last part of objectSid.
    pub rid: u32,
    /// sAMAccountName.
    pub sam: String,
    /// The name in the distinguished name.
    pub cn: String,
    /// Where it lies below the domain.
    pub container: String,
    /// Accounts and groups that are members themselves.
    pub members: BTreeSet<Uuid>,
    /// whenCreated.
    pub created: Timestamp,
}

/// Fine-grained settings as they are stored.
#[derive(Clone, Debug)]
pub struct StoredSettings {
    /// objectGUID.
    pub guid: Uuid,
    /// The name of the object.
    pub name: String,
    /// The lowest wins.
    pub precedence: u32,
    /// What holds instead of the domain's.
    pub policy: Policy,
    /// Accounts and groups to which it applies.
    pub applies_to: BTreeSet<Uuid>,
}

impl Domain {
    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// One group.
    pub fn group(&self, guid: Uuid) -> Option<&Group> {
        self.groups.get(&guid)
    }

    /// The group with this sAMAccountName.
    pub fn group_by_sam(&self, sam: &str) -> Option<&Group> {
        self.groups.get(self.by_sam.get(&sam.to_lowercase())?)
    }

    /// The distinguished name of a group.
    pub fn group_dn(&self, group: &Group) -> String {
        let place = self.full_name(&group.container);
        format!("CN={},{place}", escape_rdn(&group.cn))
    }

    /// Adds a group without members.
    ///
    /// # Errors
    /// [`DomainError`] if its name is in use or its container is not one.
    pub fn add_group(&mut self, sam: &str, container: &str, now: Timestamp) -> Result<Uuid, DomainError> {
        self.add_group_as(sam, sam, container, now)
    }

    pub(crate) fn add_group_as(
        &mut self,
        sam: &str,
        cn: &str,
        container: &str,
        now: Timestamp,
    ) -> Result<Uuid, DomainError> {
        let rid = self.take_rid();
        let group = Group {
            guid: made_guid(self.dns_name(), sam, rid),
            rid,
            sam: sam.to_owned(),
            cn: cn.to_owned(),
            container: container.to_owned(),
            members: BTreeSet::new(),
            created: now,
        };
        let guid = self.insert_group(group)?;
        self.changes.created(guid);
        Ok(guid)
    }

    /// Makes an account or group, by sAMAccountName, a member of a group.
    ///
    /// # Errors
    /// [`DomainError::NoSuchName`] if either is missing.
    pub fn add_member(&mut self, group: &str, member: &str) -> Result<(), DomainError> {
        let guid = self.guid_of(group)?;
        let member = self.guid_of(member)?;
        let group = self
            .groups
            .get_mut(&guid)
            .ok_or_else(|| DomainError::NoSuchName(group.to_owned()))?;
        if group.members.insert(member) {
            self.changes.changed(guid, ["member"]);
        }
        Ok(())
    }

    /// Replaces the members of a group.
    pub(crate) fn set_members(&mut self, group: Uuid, members: BTreeSet<Uuid>) {
        if let Some(group) = self.groups.get_mut(&group)
            && group.members != members
        {
            group.members = members;
            self.changes.changed(group.guid, ["member"]);
        }
    }

    /// Adds fine-grained settings.
    ///
    /// # Errors
    /// [`DomainError`] if their name is in use, their precedence is zero, or whom they apply to is missing.
    pub fn add_settings(&mut self, settings: &PasswordSettings) -> Result<(), DomainError> {
        settings.check()?;
        if self.settings.iter().any(|known| known.name == settings.name) {
            return Err(DomainError::InUse {
                attribute: "name of password settings",
                value: settings.name.clone(),
            });
        }
        let applies_to = settings.applies_to.iter().map(|sam| self.guid_of(sam));
        let stored = StoredSettings {
            guid: made_guid(self.dns_name(), &format!("settings/{}", settings.name), 0),
            name: settings.name.clone(),
            precedence: settings.precedence,
            policy: settings.policy,
            applies_to: applies_to.collect::<Result<_, _>>()?,
        };
        self.settings.push(stored);
        Ok(())
    }

    /// All fine-grained settings.
    pub fn settings(&self) -> &[StoredSettings] {
        &self.settings
    }

    /// The distinguished name of fine-grained settings.
    pub fn settings_dn(&self, settings: &StoredSettings) -> String {
        format!(
            "CN={},{SETTINGS_CONTAINER},{}",
            escape_rdn(&settings.name),
            self.base_dn()
        )
    }

    /// msDS-ResultantPSO: those linked to the account beat those of its groups; then the lowest
    /// precedence, then the smallest objectGUID.
    pub fn resultant_settings(&self, account: Uuid) -> Option<&StoredSettings> {
        if self.settings.is_empty() {
            return None;
        }
        let best = |settings: &mut dyn Iterator<Item = &'_ StoredSettings>| {
            settings
                .min_by_key(|settings| (settings.precedence, settings.guid))
                .map(|settings| settings.guid)
        };
        let mut own = self
            .settings
            .iter()
            .filter(|settings| settings.applies_to.contains(&account));
        let guid = best(&mut own).or_else(|| {
            let groups = self.groups_of(account);
            let mut through = self
                .settings
                .iter()
                .filter(|settings| !settings.applies_to.is_disjoint(&groups));
            best(&mut through)
        })?;
        self.settings.iter().find(|settings| settings.guid == guid)
    }

    /// The policy that holds for an account.
    pub fn policy_of(&self, account: &Account) -> Policy {
        let mut policy = match self.resultant_settings(account.guid) {
            Some(settings) => Policy {
                old_password_allowed: self.policy().old_password_allowed,
                ..settings.policy
            },
            None => *self.policy(),
        };
        if account.never_locks {
            policy.lockout_threshold = 0;
        }
        policy
    }

    /// The groups of which an account or group is a member, directly or through others.
    pub fn groups_of(&self, member: Uuid) -> BTreeSet<Uuid> {
        let mut found = BTreeSet::new();
        let mut members = vec![member];
        while let Some(member) = members.pop() {
            for group in self.direct_groups(member) {
                // Groups may be members of each other; each is looked at once.
                if found.insert(group) {
                    members.push(group);
                }
            }
        }
        found
    }

    /// The groups that name an account or group as a member.
    pub(crate) fn direct_groups(&self, member: Uuid) -> impl Iterator<Item = Uuid> {
        self.groups
            .values()
            .filter(move |group| group.members.contains(&member))
            .map(|group| group.guid)
    }

    fn guid_of(&self, sam: &str) -> Result<Uuid, DomainError> {
        let found = self.by_sam.get(&sam.to_lowercase()).copied();
        found.ok_or_else(|| DomainError::NoSuchName(sam.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::User;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);

    fn strict(threshold: u32) -> Policy {
        Policy {
            lockout_threshold: threshold,
            ..Policy::default()
        }
    }

    #[test]
    fn the_settings_of_a_user_beat_those_of_groups_and_then_the_lowest_precedence_wins() {
        let mut domain = Domain::new("corp.example.test", "CORP", "dc1", Policy::default());
        for sam in ["alice", "bob", "carol"] {
            domain.add(User::new(sam, "pw"), NOW).unwrap();
        }
        for group in ["inner", "outer", "ring"] {
            domain.add_group(group, "CN=Users", NOW).unwrap();
        }
        for (group, member) in [
            ("inner", "alice"),
            ("inner", "bob"),
            ("outer", "inner"),
            ("outer", "ring"),
            ("ring", "outer"),
        ] {
            domain.add_member(group, member).unwrap();
        }
        for (name, precedence, threshold, to) in [
            ("own", 50, 11, "alice"),
            ("far", 20, 12, "outer"),
            ("near", 30, 13, "inner"),
        ] {
            let settings = PasswordSettings::new(name, precedence, strict(threshold)).applies_to(to);
            domain.add_settings(&settings).unwrap();
        }
        let threshold = |sam| domain.policy_of(domain.by_sam(sam).unwrap()).lockout_threshold;
        assert_eq!(
            (threshold("alice"), threshold("bob"), threshold("carol")),
            (11, 12, 5)
        );
        assert!(matches!(
            domain.add_settings(&PasswordSettings::new("zero", 0, strict(1))),
            Err(DomainError::Precedence(_))
        ));
        assert!(matches!(
            domain.add_settings(&PasswordSettings::new("lost", 1, strict(1)).applies_to("nobody")),
            Err(DomainError::NoSuchName(_))
        ));
    }
}
