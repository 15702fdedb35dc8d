//! Objects that come from elsewhere as they are: with their own objectGUID, RID and times.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::account::Account;
use super::domain::{Domain, DomainError};
use super::membership::{Group, StoredSettings};
use super::names::{normal_dn, split_rdn, split_rdn_text};
use super::policy::Policy;
use super::user::made_guid;

impl Domain {
    /// Kind and value of a name's first part, and the place below the domain where it lies; `None` if it lies
    /// elsewhere.
    pub(crate) fn place_of(&self, dn: &str) -> Option<(String, String, String)> {
        let base = normal_dn(self.base_dn())?;
        let (key, value, mut rest) = split_rdn(dn)?;
        let mut parts = Vec::new();
        while normal_dn(&rest)? != base {
            let (first, above) = split_rdn_text(&rest)?;
            parts.push(first.trim().to_owned());
            rest = above.trim().to_owned();
        }
        Some((key, value, parts.join(",")))
    }

    /// Adds an account. If another has its RID it gets a new one.
    pub(crate) fn load_account(&mut self, mut account: Account) -> Result<Uuid, DomainError> {
        let guid = account.guid;
        // Another of the same name is told as such, and one without an objectGUID gets it from its name.
        if self.object_dn(guid).is_some() && self.object_by_sam(&account.sam).is_none() {
            return Err(self.guid_in_use(guid));
        }
        account.rid = self.free_rid(account.rid);
        self.insert(account)?;
        Ok(guid)
    }

    /// Adds a group, as [`Domain::load_account`] does.
    pub(crate) fn load_group(&mut self, mut group: Group) -> Result<Uuid, DomainError> {
        if self.object_dn(group.guid).is_some() && self.object_by_sam(&group.sam).is_none() {
            return Err(self.guid_in_use(group.guid));
        }
        group.rid = self.free_rid(group.rid);
        self.insert_group(group)
    }

    /// Adds fine-grained settings.
    pub(crate) fn load_settings(&mut self, settings: StoredSettings) -> Result<(), DomainError> {
        if self.settings.iter().any(|known| known.name == settings.name) {
            return Err(DomainError::InUse {
                attribute: "name of password settings",
                value: settings.name,
            });
        }
        if settings.precedence == 0 {
            return Err(DomainError::Precedence(settings.name));
        }
        self.settings.push(settings);
        Ok(())
    }

    /// Settings before all others, for these accounts; not added.
    pub(crate) fn own_settings(
        &self,
        name: &str,
        policy: Policy,
        applies_to: BTreeSet<Uuid>,
    ) -> StoredSettings {
        StoredSettings {
            guid: self.guid_for(&format!("settings/{name}"), 0),
            name: name.to_owned(),
            precedence: 1,
            policy,
            applies_to,
        }
    }

    /// The objectGUID of an object that comes without one.
    pub(crate) fn guid_for(&self, name: &str, rid: u32) -> Uuid {
        made_guid(self.dns_name(), name, rid)
    }

    /// Makes objects members of a group, beside those that it has.
    pub(crate) fn load_members(&mut self, group: Uuid, members: BTreeSet<Uuid>) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.members.extend(members);
        }
    }

    fn guid_in_use(&self, guid: Uuid) -> DomainError {
        DomainError::InUse {
            attribute: "objectGUID",
            value: guid.to_string(),
        }
    }

    /// This RID if it is free and not zero, or the next; later ones are above it.
    fn free_rid(&mut self, rid: u32) -> u32 {
        let taken = self.by_rid.contains_key(&rid) || self.groups.values().any(|group| group.rid == rid);
        if rid == 0 || taken {
            return self.take_rid();
        }
        self.rid_next = self.rid_next.max(rid.saturating_add(1));
        rid
    }
}
