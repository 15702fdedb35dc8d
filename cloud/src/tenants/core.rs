//! What an import does: decided before anything is written, from the records that are there.

use std::collections::{BTreeMap, BTreeSet};

use postern_proto::ids::ObjectId;
use postern_proto::names::{DomainName, OnPremisesName, Username};

use super::UserRecord;

/// Most records in one import: bounds how long the writer is busy for one call.
pub const IMPORT_MAX: usize = 1000;

/// A user as an administrator states them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// What the user types.
    pub username: Username,
    /// The directory object that this is.
    pub object: ObjectId,
    /// What the directory calls the user.
    pub on_premises_name: OnPremisesName,
    /// The domain whose directory owns the user.
    pub domain: DomainName,
}

/// A record of a batch that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {}: {field}: {problem}", at + 1)]
pub struct ImportRefused {
    /// Which record, from 0.
    pub at: usize,
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// What to do with one record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create(NewUser),
    /// The record of this object gets these values.
    Update(NewUser),
}

/// Decides an import. `owned` are the tenant's domains; `existing` its records that have an object
/// or a username of the batch.
pub(super) fn plan(
    owned: &BTreeSet<DomainName>,
    existing: &[UserRecord],
    batch: Vec<NewUser>,
) -> Result<Vec<Change>, ImportRefused> {
    let holders: BTreeMap<&Username, ObjectId> = existing
        .iter()
        .map(|record| (&record.username, record.object))
        .collect();
    let known: BTreeSet<ObjectId> = existing.iter().map(|record| record.object).collect();
    // Whoever is in the batch gives up the old name.
    let moving: BTreeSet<ObjectId> = batch.iter().map(|user| user.object).collect();
    let (mut objects, mut usernames) = (BTreeSet::new(), BTreeSet::new());
    for (at, user) in batch.iter().enumerate() {
        let refused = |field, problem| Err(ImportRefused { at, field, problem });
        if !owned.contains(&user.username.domain()) {
            return refused("username", "its domain is not the tenant's");
        }
        if !owned.contains(&user.domain) {
            return refused("domain", "is not the tenant's");
        }
        if !objects.insert(user.object) {
            return refused("object_id", "stands in the batch twice");
        }
        if !usernames.insert(&user.username) {
            return refused("username", "stands in the batch twice");
        }
        if let Some(holder) = holders.get(&user.username)
            && *holder != user.object
            && !moving.contains(holder)
        {
            return refused("username", "belongs to another object_id");
        }
    }
    Ok(batch
        .into_iter()
        .map(|user| {
            if known.contains(&user.object) {
                Change::Update(user)
            } else {
                Change::Create(user)
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_proto::ids::{TenantId, UserId};

    fn user(name: &str, object: u8) -> NewUser {
        NewUser {
            username: format!("{name}@corp.example").parse().unwrap(),
            object: ObjectId::from_bytes([object; 16]),
            on_premises_name: name.parse().unwrap(),
            domain: "corp.example".parse().unwrap(),
        }
    }

    fn record(name: &str, object: u8) -> UserRecord {
        let new = user(name, object);
        UserRecord {
            id: UserId::from_bytes([object; 16]),
            tenant: TenantId::from_bytes([1; 16]),
            username: new.username,
            object: new.object,
            on_premises_name: new.on_premises_name,
            domain: new.domain,
        }
    }

    fn check(existing: &[UserRecord], batch: Vec<NewUser>) -> Result<String, (usize, &'static str)> {
        let owned = BTreeSet::from(["corp.example".parse().unwrap()]);
        let changes = plan(&owned, existing, batch).map_err(|refused| (refused.at, refused.field))?;
        Ok(changes
            .iter()
            .map(|change| match change {
                Change::Create(_) => 'c',
                Change::Update(_) => 'u',
            })
            .collect())
    }

    #[test]
    fn records_are_found_by_their_object() {
        let there = [record("ada", 1), record("bob", 2)];
        assert_eq!(
            check(&there, vec![user("ada.l", 1), user("cid", 3)]),
            Ok("uc".into())
        );
        // Two users swap their names; a third takes one that becomes free.
        assert_eq!(
            check(&there, vec![user("bob", 1), user("ada", 2)]),
            Ok("uu".into())
        );
        assert_eq!(
            check(&there, vec![user("ada", 3), user("ada.l", 1)]),
            Ok("cu".into())
        );
    }

    #[test]
    fn a_batch_that_contradicts_itself_or_the_records_is_refused() {
        let there = [record("ada", 1)];
        assert_eq!(
            check(&there, vec![user("cid", 2), user("ada", 3)]),
            Err((1, "username"))
        );
        assert_eq!(
            check(&[], vec![user("ada", 1), user("bob", 1)]),
            Err((1, "object_id"))
        );
        assert_eq!(
            check(&[], vec![user("ada", 1), user("ada", 2)]),
            Err((1, "username"))
        );
        let mut foreign = user("ada", 1);
        foreign.domain = "other.example".parse().unwrap();
        assert_eq!(check(&[], vec![foreign.clone()]), Err((0, "domain")));
        foreign.username = "ada@other.example".parse().unwrap();
        assert_eq!(check(&[], vec![foreign]), Err((0, "username")));
    }
}
