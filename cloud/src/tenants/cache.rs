//! What was read lately, until something is written: each sign-in asks who its client and its user
//! are, and a way to the database's thread and back costs more than everything else in it.
//!
//! # Invariants
//! * What is answered was true at some moment during the question: a write is answered only after the
//!   cache has forgotten what was before, and what was read before that is not kept.
//! * Only what exists is kept, so that strangers cannot fill it.
//!
//! It is right for one replica. Several will have to tell each other about writes.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_proto::ids::ClientId;
use postern_proto::names::{TenantName, Username};

use super::{Tenant, UserRecord};

/// Entries of each kind: about 10 MB of users. When there are more, all are forgotten.
const ENTRIES_MAX: usize = 32_768;

/// A client's secret as a digest, and its tenant.
pub(super) type ClientEntry = ([u8; 32], Tenant);

#[derive(Default)]
struct Entries {
    /// Counts writes.
    generation: u64,
    clients: HashMap<ClientId, ClientEntry>,
    users: HashMap<(TenantName, Username), (Tenant, UserRecord)>,
}

/// The cache. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Cache(Arc<Mutex<Entries>>);

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cache(..)")
    }
}

/// Forgets everything when it is dropped: after the write whose result it travels with, also if nobody
/// waits for that result any more.
#[derive(Debug)]
pub(super) struct Forgets(Cache);

impl Drop for Forgets {
    fn drop(&mut self) {
        let mut entries = self.0.entries();
        entries.generation += 1;
        entries.clients.clear();
        entries.users.clear();
    }
}

impl Cache {
    /// For a write.
    pub(super) fn forgets(&self) -> Forgets {
        Forgets(self.clone())
    }

    /// The client, or what [`Cache::keep_client`] needs once it was read.
    pub(super) fn client(&self, id: ClientId) -> Result<ClientEntry, u64> {
        let entries = self.entries();
        entries.clients.get(&id).cloned().ok_or(entries.generation)
    }

    /// Keeps what was read after `generation` was given out, unless something was written since.
    pub(super) fn keep_client(&self, generation: u64, id: ClientId, entry: &ClientEntry) {
        let mut entries = self.entries();
        if entries.generation == generation {
            keep(&mut entries.clients, id, entry.clone());
        }
    }

    /// The user, or what [`Cache::keep_user`] needs once it was read.
    pub(super) fn user(&self, key: &(TenantName, Username)) -> Result<(Tenant, UserRecord), u64> {
        let entries = self.entries();
        entries.users.get(key).cloned().ok_or(entries.generation)
    }

    /// Keeps what was read after `generation` was given out, unless something was written since.
    pub(super) fn keep_user(
        &self,
        generation: u64,
        key: (TenantName, Username),
        entry: (Tenant, UserRecord),
    ) {
        let mut entries = self.entries();
        if entries.generation == generation {
            keep(&mut entries.users, key, entry);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= ENTRIES_MAX {
        map.clear();
    }
    map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::clock::Timestamp;
    use postern_proto::ids::TenantId;

    fn entry() -> ClientEntry {
        let tenant = Tenant {
            id: TenantId::from_bytes([1; 16]),
            name: "contoso".parse().unwrap(),
            created: Timestamp::from_unix_ms(0),
            tell_locked: false,
            alternate_id_attribute: None,
        };
        ([7; 32], tenant)
    }

    #[test]
    fn a_write_forgets_everything_and_what_was_read_before_it_is_not_kept() {
        let (cache, id) = (Cache::default(), ClientId::from_bytes([1; 16]));
        let generation = cache.client(id).unwrap_err();
        cache.keep_client(generation, id, &entry());
        assert_eq!(cache.client(id), Ok(entry()));
        let write = cache.forgets();
        assert_eq!(
            cache.client(id),
            Ok(entry()),
            "until it is done, what was still is"
        );
        drop(write);
        let generation = cache.client(id).unwrap_err();
        // Read before another write, brought after it.
        drop(cache.forgets());
        cache.keep_client(generation, id, &entry());
        assert!(cache.client(id).is_err());
    }

    #[test]
    fn it_is_bounded() {
        let cache = Cache::default();
        for number in 0..=ENTRIES_MAX as u128 {
            let id = ClientId::from_bytes(number.to_be_bytes());
            cache.keep_client(0, id, &entry());
        }
        assert_eq!(cache.entries().clients.len(), 1);
    }
}
