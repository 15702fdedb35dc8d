//! Live domains, forests and trusts. A bind at a controller for a user of another domain is judged and
//! counted in that domain, at its PDC emulator, as controllers pass it on among themselves.
//!
//! Locks are taken in this order: the topology, then one domain; never two domains at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use postern_kit::Seams;
use postern_kit::clock::Clock;
use uuid::Uuid;

use crate::handle::DirectoryHandle;
use crate::journal::Journal;
use crate::model::{Domain, ForestError, Forests, Named, Topology, Trust, read_name};
use crate::semantics;

/// Running domains with the trusts between them. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct ForestsHandle {
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    journal: Journal,
}

impl ForestsHandle {
    /// Opens all domains; the times in their descriptions count from now.
    ///
    /// # Errors
    /// [`ForestError`] if a domain contradicts itself, names are used twice, or a trust names what is not there.
    pub fn open(forests: &Forests, seams: &Seams) -> Result<Self, ForestError> {
        let now = seams.clock.now();
        let mut domains = Vec::new();
        for directory in forests.directories() {
            let domain = directory.domain(now).map_err(|source| ForestError::Domain {
                domain: directory.dns_name.clone(),
                source,
            })?;
            domains.push(domain);
        }
        let names: Vec<Named<'_>> = domains.iter().map(Named::from).collect();
        let topology = Topology::new(forests, &names, now)?;
        Ok(Self {
            live: Arc::new(Live::new(domains, topology)),
            clock: seams.clock.clone(),
            journal: Journal::default(),
        })
    }

    /// The handle of one domain, for its controllers: [`Server::start_shared`](crate::Server::start_shared).
    pub fn domain(&self, dns_name: &str) -> Option<DirectoryHandle> {
        let named = |at: &usize| self.live.lock(*at).dns_name().eq_ignore_ascii_case(dns_name);
        let at = (0..self.live.domains.len()).find(named)?;
        Some(self.handle(at))
    }

    /// The handles of all domains, in the order of their description.
    pub fn domains(&self) -> Vec<DirectoryHandle> {
        (0..self.live.domains.len()).map(|at| self.handle(at)).collect()
    }

    fn handle(&self, at: usize) -> DirectoryHandle {
        DirectoryHandle::of(self.live.clone(), at, self.clock.clone(), self.journal.clone())
    }

    /// The binds that were received by any controller of any domain.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Adds a trust between two forests or domains.
    ///
    /// # Errors
    /// [`ForestError`] if an end is missing or not fit for it, or there is one already.
    pub fn add_trust(&self, trust: &Trust) -> Result<(), ForestError> {
        let now = self.clock.now();
        self.live.change(|topology| topology.add_trust(trust, now))
    }

    /// Takes a trust away at both ends.
    ///
    /// # Errors
    /// [`ForestError::NoTrust`] if there is none.
    pub fn remove_trust(&self, at: &str, partner: &str) -> Result<(), ForestError> {
        self.live.change(|topology| topology.remove_trust(at, partner))
    }

    /// Adds a suffix for userPrincipalNames to a forest. Its partners learn of it, but route it only after
    /// [`ForestsHandle::enable_suffix`].
    ///
    /// # Errors
    /// [`ForestError`] if there is no forest with this root.
    pub fn add_upn_suffix(&self, root: &str, suffix: &str) -> Result<(), ForestError> {
        let now = self.clock.now();
        self.live
            .change(|topology| topology.add_suffix(root, suffix, now))
    }

    /// From now on the forest `at` passes binds with this suffix on to its partner.
    ///
    /// # Errors
    /// [`ForestError::Conflict`] if it is the forest's own or routed to another partner; [`ForestError`] if there
    /// is no such trust or suffix.
    pub fn enable_suffix(&self, at: &str, partner: &str, suffix: &str) -> Result<(), ForestError> {
        self.live
            .change(|topology| topology.set_suffix(at, partner, suffix, true))
    }

    /// From now on it does not.
    ///
    /// # Errors
    /// [`ForestError`] if there is no such trust or suffix.
    pub fn disable_suffix(&self, at: &str, partner: &str, suffix: &str) -> Result<(), ForestError> {
        self.live
            .change(|topology| topology.set_suffix(at, partner, suffix, false))
    }

    /// Cuts a domain's controllers off from those of other domains, or connects them again. Meanwhile a bind
    /// elsewhere for one of its users is refused with 51f; at its own controllers nothing changes.
    ///
    /// # Errors
    /// [`ForestError::NoDomain`].
    pub fn set_reachable(&self, dns_name: &str, reachable: bool) -> Result<(), ForestError> {
        self.live
            .change(|topology| topology.set_reachable(dns_name, reachable))
    }
}

/// Which domain judges a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The one at this place.
    At(usize),
    /// None has the name, or several have it.
    Nobody,
    /// One whose controllers do not answer.
    CutOff,
}

/// The domains behind their locks.
#[derive(Debug)]
pub(crate) struct Live {
    domains: Vec<Arc<Mutex<Domain>>>,
    topology: RwLock<Topology>,
}

impl Live {
    fn new(domains: Vec<Domain>, topology: Topology) -> Self {
        let live = Self {
            domains: domains
                .into_iter()
                .map(|domain| Arc::new(Mutex::new(domain)))
                .collect(),
            topology: RwLock::new(topology),
        };
        live.tell(&live.topology());
        live
    }

    /// One domain that is a forest by itself.
    pub(crate) fn alone(domain: Domain) -> Self {
        let topology = Topology::alone(&Named::from(&domain));
        Self::new(vec![domain], topology)
    }

    pub(crate) fn domain(&self, at: usize) -> Arc<Mutex<Domain>> {
        self.domains[at].clone()
    }

    pub(crate) fn lock(&self, at: usize) -> MutexGuard<'_, Domain> {
        self.domains[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topology(&self) -> RwLockReadGuard<'_, Topology> {
        self.topology.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Topology) -> Result<(), ForestError>,
    ) -> Result<(), ForestError> {
        let mut topology = self.topology.write().unwrap_or_else(PoisonError::into_inner);
        // First on a copy: a refusal leaves everything as it was.
        let mut after = topology.clone();
        change(&mut after)?;
        self.tell(&after);
        *topology = after;
        Ok(())
    }

    /// Each domain shows its surroundings to whoever searches.
    fn tell(&self, topology: &Topology) {
        for at in 0..self.domains.len() {
            let mut domain = self.lock(at);
            domain.set_neighbours(topology.neighbours(at));
            for suffix in topology.suffixes(at) {
                domain.add_upn_suffix(suffix);
            }
        }
    }

    /// Which domain judges a bind at a controller of the domain `at`.
    pub(crate) fn find(&self, at: usize, name: &str) -> Found {
        if self.domains.len() == 1 {
            return Found::At(at);
        }
        let name = semantics::until_nul(name);
        let holds = |other: &usize| self.lock(*other).resolve(name).is_some();
        if holds(&at) {
            return Found::At(at);
        }
        let Some(read) = read_name(name) else {
            return Found::Nobody;
        };
        let topology = self.topology();
        let candidates = topology.candidates(at, &read);
        let near: Vec<usize> = candidates.forest.into_iter().filter(holds).collect();
        match near.as_slice() {
            [] => {}
            [one] if topology.is_reachable(*one) => return Found::At(*one),
            [_] => return Found::CutOff,
            [..] => return Found::Nobody,
        }
        let (answering, silent): (Vec<usize>, Vec<usize>) = candidates
            .routed
            .into_iter()
            .partition(|other| topology.is_reachable(*other));
        let far: Vec<usize> = answering.into_iter().filter(holds).collect();
        match far.as_slice() {
            [one] => Found::At(*one),
            // Without its controllers nobody knows whether the domain has the name.
            [] if !silent.is_empty() => Found::CutOff,
            [..] => Found::Nobody,
        }
    }

    /// objectGUID of the account that a bind name means at a controller of the domain `at`.
    pub(crate) fn object_of(&self, at: usize, name: &str) -> Option<Uuid> {
        match self.find(at, name) {
            Found::At(at) => self.lock(at).resolve(name).map(|account| account.guid),
            Found::Nobody | Found::CutOff => None,
        }
    }

    /// `CORP\alice`, of whichever domain.
    pub(crate) fn nt_name(&self, guid: Uuid) -> Option<String> {
        (0..self.domains.len()).find_map(|at| {
            let domain = self.lock(at);
            let account = domain.account(guid)?;
            Some(format!("{}\\{}", domain.netbios_name(), account.sam))
        })
    }
}
