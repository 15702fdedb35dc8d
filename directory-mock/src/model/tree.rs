//! The tree below a domain: containers, what lies where, and what was deleted.

use std::collections::{BTreeMap, VecDeque};

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::changes::place_guid;
use super::domain::{Domain, DomainError};
use super::membership::Group;
use super::names::normal_dn;
use super::user::made_guid;

/// Every domain has it, with or without accounts.
const USERS: &str = "CN=Users";

/// Deleted objects that are kept; the oldest fall out. Enough for a test that deletes and looks.
const TOMBSTONES_MAX: usize = 10_000;

/// What is left of a deleted account or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// objectGUID.
    pub guid: Uuid,
    /// Last part of objectSid.
    pub rid: u32,
    /// sAMAccountName.
    pub sam: String,
    /// The name that it had in its distinguished name.
    pub cn: String,
    /// userAccountControl; absent for a group.
    pub control: Option<u32>,
    /// lastKnownParent.
    pub parent: String,
    /// When it was deleted.
    pub deleted: Timestamp,
}

/// Containers that were added by themselves, and what was deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Relative to the domain, by normalised name.
    made: BTreeMap<String, String>,
    tombstones: VecDeque<Tombstone>,
}

impl Domain {
    /// The full name of a place below the domain; an empty one is the domain.
    pub(crate) fn full_name(&self, container: &str) -> String {
        if container.is_empty() {
            return self.base_dn().to_owned();
        }
        format!("{container},{}", self.base_dn())
    }

    /// The containers that hold accounts or were added, with those above them: normalised full name
    /// to shown full name.
    pub(crate) fn all_containers(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let made = self.tree.made.values().map(String::as_str);
        for path in self.containers().chain(made) {
            let mut rest = path;
            while !rest.is_empty() {
                let dn = self.full_name(rest);
                if let Some(normal) = normal_dn(&dn) {
                    all.insert(normal, dn);
                }
                rest = rest.split_once(',').map_or("", |(_, above)| above);
            }
        }
        all
    }

    /// The place below the domain that a full name means, if it is there.
    pub(crate) fn container_of(&self, dn: &str) -> Option<String> {
        let normal = normal_dn(dn)?;
        if Some(&normal) == normal_dn(self.base_dn()).as_ref() {
            return Some(String::new());
        }
        if Some(&normal) == normal_dn(&self.full_name(USERS)).as_ref() {
            return Some(USERS.to_owned());
        }
        let shown = self.all_containers().remove(&normal)?;
        let end = shown.len().checked_sub(self.base_dn().len() + 1)?;
        shown.get(..end).map(str::to_owned)
    }

    /// Whether there is a container of this normalised full name.
    pub(crate) fn has_container(&self, normal: &str) -> bool {
        self.all_containers().contains_key(normal)
    }

    /// Adds a container, as `OU=Staff`, in a place below the domain.
    pub(crate) fn add_container(&mut self, rdn: &str, container: &str) {
        let path = if container.is_empty() {
            rdn.to_owned()
        } else {
            format!("{rdn},{container}")
        };
        let dn = self.full_name(&path);
        if let Some(normal) = normal_dn(&dn) {
            self.tree.made.insert(normal, path);
            self.changes.created(place_guid(&dn));
        }
    }

    pub(crate) fn remove_container(&mut self, normal: &str) {
        self.tree.made.remove(normal);
    }

    /// How many accounts, groups and containers lie directly in a container.
    pub(crate) fn children(&self, normal: &str) -> usize {
        let here = |container: &str| normal_dn(&self.full_name(container)).as_deref() == Some(normal);
        let accounts = self.accounts().filter(|account| here(&account.container)).count();
        let groups = self.groups().filter(|group| here(&group.container)).count();
        let containers = self.all_containers();
        let inner = containers.keys().filter(|dn| parent(dn) == Some(normal)).count();
        accounts + groups + inner
    }

    /// The account or group with this sAMAccountName.
    pub(crate) fn object_by_sam(&self, sam: &str) -> Option<Uuid> {
        self.by_sam.get(&sam.to_lowercase()).copied()
    }

    /// The account or group with this normalised full name.
    pub(crate) fn object_by_dn(&self, normal: &str) -> Option<Uuid> {
        self.by_dn.get(normal).copied()
    }

    /// The group with this normalised full name.
    pub(crate) fn group_by_dn(&self, normal: &str) -> Option<&Group> {
        self.group(self.object_by_dn(normal)?)
    }

    /// The full name of an account or group.
    pub(crate) fn object_dn(&self, guid: Uuid) -> Option<String> {
        match self.account(guid) {
            Some(account) => Some(self.dn(account)),
            None => self.group(guid).map(|group| self.group_dn(group)),
        }
    }

    /// A sAMAccountName for an account that comes without one.
    pub(crate) fn made_sam(&mut self) -> String {
        let rid = self.take_rid();
        let digits = made_guid(self.dns_name(), "sAMAccountName", rid)
            .simple()
            .to_string();
        let digits = digits.to_uppercase();
        format!("${}-{}", &digits[..6], &digits[6..18])
    }

    /// Deletes an account or group; a tombstone is left.
    pub(crate) fn delete(&mut self, guid: Uuid, now: Timestamp) {
        let tombstone = if let Ok(account) = self.remove(guid) {
            Tombstone {
                guid,
                rid: account.rid,
                control: Some(account.user_account_control()),
                parent: self.full_name(&account.container),
                sam: account.sam,
                cn: account.cn,
                deleted: now,
            }
        } else if let Some(group) = self.remove_group(guid) {
            Tombstone {
                guid,
                rid: group.rid,
                control: None,
                parent: self.full_name(&group.container),
                sam: group.sam,
                cn: group.cn,
                deleted: now,
            }
        } else {
            return;
        };
        if self.tree.tombstones.len() == TOMBSTONES_MAX
            && let Some(oldest) = self.tree.tombstones.pop_front()
        {
            self.changes.forgotten(oldest.guid);
        }
        self.changes.deleted(guid);
        self.tree.tombstones.push_back(tombstone);
    }

    /// What was deleted over LDAP, oldest first.
    pub fn tombstones(&self) -> impl Iterator<Item = &Tombstone> {
        self.tree.tombstones.iter()
    }

    /// Gives an account or group another name and place.
    pub(crate) fn move_to(&mut self, guid: Uuid, cn: &str, container: &str) -> Result<(), DomainError> {
        if let Some(mut group) = self.take_group(guid) {
            let before = group.clone();
            cn.clone_into(&mut group.cn);
            container.clone_into(&mut group.container);
            if let Err(error) = self.insert_group(group) {
                self.insert_group(before)?;
                return Err(error);
            }
            self.changes.changed(guid, ["name", "parentGUID"]);
            return Ok(());
        }
        self.update(guid, |account| {
            cn.clone_into(&mut account.cn);
            container.clone_into(&mut account.container);
        })
    }
}

/// The normalised name above a normalised name.
pub(crate) fn parent(normal: &str) -> Option<&str> {
    super::names::split_rdn_text(normal).map(|(_, parent)| parent)
}
