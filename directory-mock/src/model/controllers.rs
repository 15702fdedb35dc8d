//! What the controllers of a domain do not share: counts of failures, and passwords that have not
//! been replicated yet.
//!
//! The PDC emulator's view is the account itself; the others have only what differs from it.
//! lockoutTime is replicated at once and therefore never here.

use std::collections::{BTreeMap, HashMap};

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::account::{Account, Counters, Password};
use super::domain::{Domain, DomainError};

/// badPwdCount and badPasswordTime of one account at one controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalCounters {
    /// badPwdCount.
    pub bad_pwd_count: u32,
    /// badPasswordTime.
    pub bad_password_time: Option<Timestamp>,
}

/// What a controller knows of a password that was set elsewhere since.
#[derive(Clone, Debug)]
struct Old {
    password: Password,
    previous: Vec<Password>,
    password_set: Timestamp,
    must_change: bool,
}

/// What a controller other than the PDC emulator has of its own.
#[derive(Clone, Debug, Default)]
struct Own {
    counters: HashMap<Uuid, LocalCounters>,
    /// New passwords do not arrive.
    held: bool,
    old: HashMap<Uuid, Old>,
}

/// The controllers that differ from the PDC emulator in anything, by lower-case host name.
#[derive(Clone, Debug, Default)]
pub(super) struct Controllers {
    own: BTreeMap<String, Own>,
    pdc_unreachable: bool,
}

/// An account as one controller sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) password: &'a Password,
    pub(crate) previous: &'a [Password],
    pub(crate) password_set: Timestamp,
    pub(crate) must_change: bool,
    pub(crate) counters: Counters,
}

impl Domain {
    /// Whether this host is the PDC emulator, which is the first controller.
    pub fn is_pdc(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(self.host())
    }

    /// Whether other controllers can ask the PDC emulator before they refuse a password.
    pub fn is_pdc_reachable(&self) -> bool {
        !self.controllers.pdc_unreachable
    }

    /// Cuts the other controllers off from the PDC emulator, or connects them again.
    pub fn set_pdc_reachable(&mut self, reachable: bool) {
        self.controllers.pdc_unreachable = !reachable;
    }

    /// From now on passwords that are set elsewhere do not arrive at this controller. Nothing is held back
    /// from the PDC emulator, to which new passwords are sent at once.
    pub fn hold_replication(&mut self, host: &str) {
        if !self.is_pdc(host) {
            self.own(host).held = true;
        }
    }

    /// Everything that was held back from this controller arrives.
    pub fn replicate(&mut self, host: &str) {
        if let Some(own) = self.controllers.own.get_mut(&host.to_lowercase()) {
            own.held = false;
            own.old.clear();
        }
    }

    /// The counters of an account as this controller shows them.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn counters_at(&self, host: &str, guid: Uuid) -> Result<Counters, DomainError> {
        let account = self.account(guid).ok_or(DomainError::Unknown(guid))?;
        Ok(self.view(host, account).counters)
    }

    pub(crate) fn view<'a>(&'a self, host: &str, account: &'a Account) -> View<'a> {
        let pdc = View {
            password: &account.password,
            previous: &account.previous,
            password_set: account.password_set,
            must_change: account.must_change,
            counters: account.counters,
        };
        if self.is_pdc(host) {
            return pdc;
        }
        let own = if self.controllers.own.is_empty() {
            None
        } else {
            self.controllers.own.get(&host.to_lowercase())
        };
        let local = own.and_then(|own| own.counters.get(&account.guid)).copied();
        let local = local.unwrap_or_default();
        let counters = Counters {
            bad_pwd_count: local.bad_pwd_count,
            bad_password_time: local.bad_password_time,
            ..account.counters
        };
        match own.and_then(|own| own.old.get(&account.guid)) {
            Some(old) => View {
                password: &old.password,
                previous: &old.previous,
                password_set: old.password_set,
                must_change: old.must_change,
                counters,
            },
            None => View { counters, ..pdc },
        }
    }

    pub(crate) fn set_local(&mut self, host: &str, guid: Uuid, local: LocalCounters) {
        if self.is_pdc(host) {
            return;
        }
        if local == LocalCounters::default() {
            if let Some(own) = self.controllers.own.get_mut(&host.to_lowercase()) {
                own.counters.remove(&guid);
            }
            return;
        }
        self.own(host).counters.insert(guid, local);
    }

    /// Forgets the other controllers' counts of an account that was unlocked or deleted.
    pub(super) fn clear_local(&mut self, guid: Uuid) {
        for own in self.controllers.own.values_mut() {
            own.counters.remove(&guid);
        }
    }

    /// Keeps the password of an account for the controllers that will not see the new one.
    pub(super) fn keep_old(&mut self, host: &str, guid: Uuid) {
        let Some(account) = self.accounts.get(&guid) else {
            return;
        };
        let host = host.to_lowercase();
        for (name, own) in &mut self.controllers.own {
            if *name == host {
                own.old.remove(&guid);
            } else if own.held {
                own.old.entry(guid).or_insert_with(|| Old {
                    password: account.password.clone(),
                    previous: account.previous.clone(),
                    password_set: account.password_set,
                    must_change: account.must_change,
                });
            }
        }
    }

    fn own(&mut self, host: &str) -> &mut Own {
        self.controllers.own.entry(host.to_lowercase()).or_default()
    }
}
