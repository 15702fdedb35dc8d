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
    /// What the user may type instead.
    pub alternate_id: Option<Username>,
    /// The directory object that this is.
    pub object: ObjectId,
    /// What the directory calls the user.
    pub on_premises_name: OnPremisesName,
    /// The domain whose directory owns the user.
    pub domain: DomainName,
}

impl NewUser {
    /// Every name that the user may type, each with its field.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &Username)> {
        let alternate = self.alternate_id.iter().filter(|id| **id != self.username);
        [("username", &self.username)]
            .into_iter()
            .chain(alternate.map(|id| ("alternate_id", id)))
    }
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
/// or a name of the batch.
pub(super) fn plan(
    owned: &BTreeSet<DomainName>,
    existing: &[UserRecord],
    batch: Vec<NewUser>,
) -> Result<Vec<Change>, ImportRefused> {
    let holders: BTreeMap<&Username, ObjectId> = existing
        .iter()
        .flat_map(|record| {
            let names = [Some(&record.username), record.alternate_id.as_ref()];
            names.into_iter().flatten().map(|name| (name, record.object))
        })
        .collect();
    let known: BTreeSet<ObjectId> = existing.iter().map(|record| record.object).collect();
    // Whoever is in the batch gives up the old name.
    let moving: BTreeSet<ObjectId> = batch.iter().map(|user| user.object).collect();
    let (mut objects, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (at, user) in batch.iter().enumerate() {
        let refused = |field, problem| Err(ImportRefused { at, field, problem });
        let foreign = user.names().find(|(_, name)| !owned.contains(&name.domain()));
        if let Some((field, _)) = foreign {
            return refused(field, "its domain is not the tenant's");
        }
        if !owned.contains(&user.domain) {
            return refused("domain", "is not the tenant's");
        }
        if !objects.insert(user.object) {
            return refused("object_id", "stands in the batch twice");
        }
        for (field, name) in user.names() {
            if !names.insert(name) {
                return refused(field, "stands in the batch twice");
            }
            if let Some(holder) = holders.get(name)
                && *holder != user.object
                && !moving.contains(holder)
            {
                return refused(field, "belongs to another object_id");
            }
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
            alternate_id: None,
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
            alternate_id: new.alternate_id,
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

    fn also(user: NewUser, name: &str) -> NewUser {
        let alternate_id = Some(format!("{name}@corp.example").parse().unwrap());
        NewUser { alternate_id, ..user }
    }

    #[test]
    fn no_name_of_one_user_is_a_name_of_another() {
        let mut ada = record("ada", 1);
        ada.alternate_id = also(user("ada", 1), "lovelace").alternate_id;
        let there = [ada, record("bob", 2)];
        let check = |batch| check(&there, batch);
        let (username, alternate_id) = ("username", "alternate_id");
        assert_eq!(check(vec![user("lovelace", 2)]), Err((0, username)));
        assert_eq!(check(vec![also(user("bob", 2), "ada")]), Err((0, alternate_id)));
        assert_eq!(
            check(vec![also(user("bob", 2), "lovelace")]),
            Err((0, alternate_id))
        );
        assert_eq!(
            check(vec![also(user("x", 3), "y"), also(user("z", 4), "x")]),
            Err((1, alternate_id))
        );
        // Their own name, once more; a name that its holder gives up; a swap of both.
        assert_eq!(check(vec![also(user("ada", 1), "ada")]), Ok("u".into()));
        assert_eq!(check(vec![user("ada", 1), user("lovelace", 3)]), Ok("uc".into()));
        let swapped = vec![also(user("lovelace", 1), "bob"), also(user("ada", 2), "babbage")];
        assert_eq!(check(swapped), Ok("uu".into()));
        let mut foreign = user("ada", 1);
        foreign.alternate_id = Some("ada@other.example".parse().unwrap());
        assert_eq!(check(vec![foreign]), Err((0, alternate_id)));
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
