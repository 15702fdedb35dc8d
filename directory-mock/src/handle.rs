//! The live directory: one lock around the domain, the clock and the journal. Several servers can
//! share it, as the controllers of one domain; [`DirectoryHandle::sign_in`] asks it without any
//! network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_kit::Seams;
use postern_kit::clock::{Clock, Timestamp};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::forests::{Found, Live};
use crate::journal::{Binds, Journal};
use crate::ldif::{self, ImportOptions, Imported, LdifErrors};
use crate::model::{Account, AccountState, Counters, Directory, Domain, DomainError, Flavour, User};
use crate::semantics::{self, Judgement, Outcome, PasswordRefusal, PasswordWrite, SubCode};

/// The sub-code of a bind whose domain has no controller that answers: no logon servers.
const NO_LOGON_SERVERS: u32 = 0x51f;

/// A running domain, alone or one of [`ForestsHandle`](crate::ForestsHandle)'s. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct DirectoryHandle {
    domain: Arc<Mutex<Domain>>,
    /// With the domains around it, of which it is the one at this place.
    live: Arc<Live>,
    at: usize,
    clock: Arc<dyn Clock>,
    journal: Journal,
}

impl DirectoryHandle {
    /// Opens a directory; the times in its description count from now.
    ///
    /// # Errors
    /// [`DomainError`] if two users have a name in common.
    pub fn open(directory: &Directory, seams: &Seams) -> Result<Self, DomainError> {
        let live = Arc::new(Live::alone(directory.domain(seams.clock.now())?));
        Ok(Self::of(live, 0, seams.clock.clone(), Journal::default()))
    }

    pub(crate) fn of(live: Arc<Live>, at: usize, clock: Arc<dyn Clock>, journal: Journal) -> Self {
        Self {
            domain: live.domain(at),
            live,
            at,
            clock,
            journal,
        }
    }

    /// The binds that were received.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The binds of the user with this sAMAccountName, to ask about. One that was deleted is asked about by its
    /// objectGUID.
    ///
    /// # Errors
    /// [`DomainError::NoSuchName`].
    pub fn binds_of(&self, sam: &str) -> Result<Binds, DomainError> {
        let guid = self.guid_of(sam);
        let guid = guid.ok_or_else(|| DomainError::NoSuchName(sam.to_owned()))?;
        Ok(self.journal.binds().of(guid))
    }

    /// Judges a simple bind and keeps the change, without network and without a journal record. A user of
    /// another domain, of the same forest or behind a trust, is judged there, at the PDC emulator.
    pub fn sign_in(&self, flavour: Flavour, host: &str, name: &str, password: &str) -> Judgement {
        let there = match self.live.find(self.at, name) {
            Found::At(at) => at,
            Found::Nobody => self.at,
            Found::CutOff => {
                return Judgement::plain(None, Outcome::Refused(SubCode::Odd(NO_LOGON_SERVERS)));
            }
        };
        let mut domain = self.live.lock(there);
        let pdc = (there != self.at).then(|| domain.host().to_owned());
        let host = pdc.as_deref().unwrap_or(host);
        let judgement = semantics::judge(&domain, flavour, host, self.clock.now(), name, password);
        if let Some(guid) = judgement.object {
            domain.count(host, guid, judgement.counters, judgement.local);
        }
        judgement
    }

    /// Sets a password at the controller `host` as a client asks for it over LDAP: with the policy, the
    /// history and the count of wrong old passwords.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn write_password(
        &self,
        flavour: Flavour,
        host: &str,
        guid: Uuid,
        write: PasswordWrite<'_>,
    ) -> Result<Result<(), PasswordRefusal>, DomainError> {
        let now = self.clock.now();
        semantics::write_password(&mut self.lock(), flavour, host, now, guid, write)
    }

    /// Adds a user while the directory runs.
    ///
    /// # Errors
    /// [`DomainError`] if one of its names is in use.
    pub fn add(&self, user: User) -> Result<Uuid, DomainError> {
        let now = self.clock.now();
        self.lock().add(user, now)
    }

    /// objectGUID of the user that a bind name means at this domain's controllers, of whichever domain.
    pub fn object_of(&self, name: &str) -> Option<Uuid> {
        self.live.object_of(self.at, name)
    }

    /// `CORP\alice`, of whichever domain.
    pub(crate) fn nt_name(&self, guid: Uuid) -> Option<String> {
        self.live.nt_name(guid)
    }

    /// Deletes a user. One that is made again has another objectGUID.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn remove(&self, guid: Uuid) -> Result<(), DomainError> {
        self.lock().remove(guid).map(|_| ())
    }

    /// Gives a user another sAMAccountName, userPrincipalName and common name.
    ///
    /// # Errors
    /// [`DomainError`]; then nothing has changed.
    pub fn rename(&self, guid: Uuid, sam: &str, upn: Option<&str>) -> Result<(), DomainError> {
        self.lock().update(guid, |account| {
            sam.clone_into(&mut account.sam);
            sam.clone_into(&mut account.cn);
            account.upn = upn.map(str::to_owned);
        })
    }

    /// Resets a password. The old one still binds for the allowed period, and a lockout stays.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn set_password(&self, guid: Uuid, password: &str) -> Result<(), DomainError> {
        let now = self.clock.now();
        let mut domain = self.lock();
        let host = domain.host().to_owned();
        domain.set_password(&host, guid, password, now)
    }

    /// Puts the PDC emulator out of the other controllers' reach, or back into it.
    pub fn set_pdc_reachable(&self, reachable: bool) {
        self.lock().set_pdc_reachable(reachable);
    }

    /// New passwords do not arrive at this controller until [`DirectoryHandle::replicate`].
    pub fn hold_replication(&self, host: &str) {
        self.lock().hold_replication(host);
    }

    /// Everything that was held back from this controller arrives.
    pub fn replicate(&self, host: &str) {
        self.lock().replicate(host);
    }

    /// badPwdCount and the like as this controller has them.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn counters_at(&self, host: &str, guid: Uuid) -> Result<Counters, DomainError> {
        self.lock().counters_at(host, guid)
    }

    /// Puts a user into a state; [`AccountState::Normal`] takes all states away.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn set_state(&self, guid: Uuid, state: &AccountState) -> Result<(), DomainError> {
        let now = self.clock.now();
        self.lock().set_state(guid, state, now)
    }

    /// Ends a lockout, as an administrator does.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn unlock(&self, guid: Uuid) -> Result<(), DomainError> {
        self.lock().unlock(guid)
    }

    /// objectGUID of the user with this sAMAccountName.
    pub fn guid_of(&self, sam: &str) -> Option<Uuid> {
        self.lock().by_sam(sam).map(|account| account.guid)
    }

    /// The user as it is now.
    pub fn account(&self, guid: Uuid) -> Option<Account> {
        self.lock().account(guid).cloned()
    }

    /// The distinguished name of a user.
    pub fn dn_of(&self, guid: Uuid) -> Option<String> {
        let domain = self.lock();
        domain.account(guid).map(|account| domain.dn(account))
    }

    /// Whether the user is locked now.
    pub fn is_locked(&self, guid: Uuid) -> bool {
        let (domain, now) = (self.lock(), self.clock.now());
        domain
            .account(guid)
            .is_some_and(|account| semantics::is_locked(&account.counters, &domain.policy_of(account), now))
    }

    /// How many accounts are locked now.
    pub fn locked_count(&self) -> usize {
        let (domain, now) = (self.lock(), self.clock.now());
        domain
            .accounts()
            .filter(|account| semantics::is_locked(&account.counters, &domain.policy_of(account), now))
            .count()
    }

    /// Takes in users, groups, containers, policy and settings from LDIF; all of it or nothing.
    ///
    /// # Errors
    /// [`LdifErrors`], each mistake with its line.
    pub fn import_ldif(&self, text: &str, options: &ImportOptions) -> Result<Imported, LdifErrors> {
        let records = ldif::read(text)?;
        let now = self.clock.now();
        let mut domain = self.lock();
        let mut after = domain.clone();
        let done = ldif::import(&mut after, &records, options, now)?;
        *domain = after;
        Ok(done)
    }

    /// The directory as LDIF, on demand with its passwords, in plain text: this is a mock.
    pub fn export_ldif(&self, with_passwords: bool) -> Zeroizing<String> {
        let now = self.clock.now();
        ldif::export(&self.lock(), now, with_passwords)
    }

    /// Reads whatever else is wanted of the domain.
    pub fn read<T>(&self, read: impl FnOnce(&Domain) -> T) -> T {
        read(&self.lock())
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Domain) -> T) -> T {
        change(&mut self.lock())
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Domain> {
        self.domain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
