//! Where a bind name may lead: which domains a controller asks besides its own. Pure.
//!
//! A controller looks in its own domain, then in its forest, then where trusts lead. Within a forest every
//! spelling of a name is found, as by the global catalog. Over a forest trust `name@suffix` goes to the
//! forest to which the suffix is routed, and `DOMAIN\name` to the forest with that domain; the trust of a
//! forest holds for all its domains and ends at the partner's. An external trust knows the names of the one
//! domain that it leads to.

use std::collections::BTreeSet;

use postern_kit::clock::Timestamp;

use super::names::{NameKind, RoutedName, SuffixState, is_below, routed_length, tops};
use super::trust_info::{self, PartnerDomain};
use super::{ForestError, Forests, Trust, TrustDirection, TrustKind};
use crate::model::domain::Domain;
use crate::model::names::{BindName, sid_bytes};
use crate::model::neighbours::{Neighbours, Partition, TrustReach, TrustedDomain};
use crate::model::user::made_guid;

/// One domain.
#[derive(Clone, Debug)]
struct Member {
    dns: String,
    netbios: String,
    sid: String,
    base_dn: String,
    root: usize,
    parent: Option<usize>,
    /// Added suffixes; those of the forest are its root's.
    suffixes: BTreeSet<String>,
    /// None of its controllers answers the others.
    cut_off: bool,
}

/// A trust as one of its ends has it.
#[derive(Clone, Debug)]
struct Side {
    at: usize,
    partner: usize,
    reach: TrustReach,
    direction: TrustDirection,
    /// The partner's suffixes, of a forest trust.
    names: Vec<RoutedName>,
    made: Timestamp,
}

/// All domains with the ways between them. Domains are known by their place in the description.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    members: Vec<Member>,
    sides: Vec<Side>,
}

/// The domains in which a name may be found that the asked controller's own has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// Of the same forest.
    pub(crate) forest: Vec<usize>,
    /// Where trusts lead.
    pub(crate) routed: Vec<usize>,
}

/// What the topology has to know of a domain.
#[derive(Clone, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) dns: &'a str,
    pub(crate) netbios: &'a str,
    pub(crate) sid: &'a str,
    pub(crate) base_dn: &'a str,
    pub(crate) suffixes: Vec<String>,
}

impl<'a> From<&'a Domain> for Named<'a> {
    fn from(domain: &'a Domain) -> Self {
        Self {
            dns: domain.dns_name(),
            netbios: domain.netbios_name(),
            sid: domain.sid(),
            base_dn: domain.base_dn(),
            suffixes: domain.upn_suffixes().map(str::to_owned).collect(),
        }
    }
}

impl Member {
    fn new(named: &Named<'_>, root: usize) -> Self {
        Self {
            dns: named.dns.to_owned(),
            netbios: named.netbios.to_owned(),
            sid: named.sid.to_owned(),
            base_dn: named.base_dn.to_owned(),
            root,
            parent: None,
            suffixes: named
                .suffixes
                .iter()
                .map(|suffix| suffix.to_lowercase())
                .collect(),
            cut_off: false,
        }
    }
}

impl Topology {
    /// Puts the described domains in their places.
    ///
    /// # Errors
    /// [`ForestError`] if names are used twice, or a forest or trust names what is not there.
    pub(crate) fn new(forests: &Forests, named: &[Named<'_>], now: Timestamp) -> Result<Self, ForestError> {
        let mut topology = Self {
            members: Vec::new(),
            sides: Vec::new(),
        };
        for (at, (named, (_, root))) in named.iter().zip(&forests.domains).enumerate() {
            let root = match root {
                None => at,
                Some(root) => topology.root(root)?,
            };
            topology.add_member(named, root)?;
        }
        topology.join_forests(now);
        for trust in &forests.trusts {
            topology.add_trust(trust, now)?;
        }
        Ok(topology)
    }

    /// One domain that is a forest by itself.
    pub(crate) fn alone(named: &Named<'_>) -> Self {
        Self {
            members: vec![Member::new(named, 0)],
            sides: Vec::new(),
        }
    }

    fn add_member(&mut self, named: &Named<'_>, root: usize) -> Result<(), ForestError> {
        let same_netbios =
            |known: &Member| known.root == root && known.netbios.eq_ignore_ascii_case(named.netbios);
        if self.members.iter().any(|known| known.dns == named.dns) {
            return Err(ForestError::Twice(named.dns.to_owned()));
        }
        if self.members.iter().any(same_netbios) {
            return Err(ForestError::Twice(named.netbios.to_owned()));
        }
        self.members.push(Member::new(named, root));
        let suffixes = self.members.last().map(|member| member.suffixes.clone());
        self.members[root].suffixes.extend(suffixes.unwrap_or_default());
        Ok(())
    }

    /// Parents and children trust each other, and so do the root and the roots of other trees.
    fn join_forests(&mut self, now: Timestamp) {
        for at in 0..self.members.len() {
            let (root, dns) = (self.members[at].root, self.members[at].dns.clone());
            if root == at {
                continue;
            }
            let above = |other: &usize| {
                let member = &self.members[*other];
                *other != at && member.root == root && is_below(&dns, &member.dns)
            };
            let parent = (0..self.members.len())
                .filter(above)
                .max_by_key(|other| self.members[*other].dns.len());
            self.members[at].parent = parent;
            let partner = parent.unwrap_or(root);
            for (at, partner) in [(at, partner), (partner, at)] {
                self.sides.push(Side {
                    at,
                    partner,
                    reach: TrustReach::Within,
                    direction: TrustDirection::Both,
                    names: Vec::new(),
                    made: now,
                });
            }
        }
    }

    /// Adds a trust: an object at both ends.
    ///
    /// # Errors
    /// [`ForestError`] if an end is missing or not fit for it, or there is one already.
    pub(crate) fn add_trust(&mut self, trust: &Trust, now: Timestamp) -> Result<(), ForestError> {
        let (at, partner) = (self.domain(&trust.at)?, self.domain(&trust.partner)?);
        let ends = || (trust.at.clone(), trust.partner.clone());
        if self.members[at].root == self.members[partner].root {
            let (at, partner) = ends();
            return Err(ForestError::OneForest { at, partner });
        }
        if self
            .sides
            .iter()
            .any(|side| side.at == at && side.partner == partner)
        {
            let (at, partner) = ends();
            return Err(ForestError::TrustTwice { at, partner });
        }
        let reach = match trust.kind {
            TrustKind::Forest => {
                self.root(&trust.at)?;
                self.root(&trust.partner)?;
                TrustReach::Forest
            }
            TrustKind::External => TrustReach::External,
        };
        let (there, back) = (trust.direction, trust.direction.reversed());
        for (at, partner, direction) in [(at, partner, there), (partner, at, back)] {
            self.sides.push(Side {
                at,
                partner,
                reach,
                direction,
                names: Vec::new(),
                made: now,
            });
            let side = self.sides.len() - 1;
            if reach == TrustReach::Forest {
                for name in self.names_of(partner) {
                    self.learn(side, name, SuffixState::Enabled, now);
                }
            }
        }
        let first = self.sides.len() - 2;
        for suffix in &trust.disabled {
            self.set_state_at(first, suffix, SuffixState::Disabled)?;
        }
        for suffix in &trust.excluded {
            let kind = NameKind::Excluded;
            let name = suffix.clone();
            self.sides[first].names.push(RoutedName {
                name,
                kind,
                since: now,
            });
        }
        Ok(())
    }

    /// Takes a trust away at both ends; those within a forest stay.
    ///
    /// # Errors
    /// [`ForestError::NoTrust`] if there is none.
    pub(crate) fn remove_trust(&mut self, at: &str, partner: &str) -> Result<(), ForestError> {
        let ends = BTreeSet::from([self.domain(at)?, self.domain(partner)?]);
        let before = self.sides.len();
        self.sides.retain(|side| {
            side.reach == TrustReach::Within || BTreeSet::from([side.at, side.partner]) != ends
        });
        if self.sides.len() == before {
            return Err(no_trust(at, partner));
        }
        Ok(())
    }

    /// Adds a suffix to a forest. Its partners learn of it, but do not route it until somebody enables it.
    ///
    /// # Errors
    /// [`ForestError`] if there is no such forest.
    pub(crate) fn add_suffix(&mut self, root: &str, suffix: &str, now: Timestamp) -> Result<(), ForestError> {
        let root = self.root(root)?;
        let suffix = suffix.to_lowercase();
        self.members[root].suffixes.insert(suffix.clone());
        if !self.names_of(root).contains(&suffix) {
            return Ok(());
        }
        for side in 0..self.sides.len() {
            if self.sides[side].partner == root && self.sides[side].reach == TrustReach::Forest {
                self.learn(side, suffix.clone(), SuffixState::New, now);
            }
        }
        Ok(())
    }

    /// Routes a partner's suffix from now on, or no longer.
    ///
    /// # Errors
    /// [`ForestError`] if there is no such trust or suffix, or if it is in use elsewhere.
    pub(crate) fn set_suffix(
        &mut self,
        at: &str,
        partner: &str,
        suffix: &str,
        enabled: bool,
    ) -> Result<(), ForestError> {
        let ends = (self.root(at)?, self.root(partner)?);
        let side = self
            .sides
            .iter()
            .position(|side| (side.at, side.partner) == ends && side.reach == TrustReach::Forest)
            .ok_or_else(|| no_trust(at, partner))?;
        let suffix = suffix.to_lowercase();
        if !enabled {
            return self.set_state_at(side, &suffix, SuffixState::Disabled);
        }
        if self.in_use(side, &suffix) {
            return Err(ForestError::Conflict(suffix));
        }
        self.set_state_at(side, &suffix, SuffixState::Enabled)
    }

    /// Whether the controllers of a domain answer those of others.
    ///
    /// # Errors
    /// [`ForestError::NoDomain`].
    pub(crate) fn set_reachable(&mut self, dns: &str, reachable: bool) -> Result<(), ForestError> {
        let at = self.domain(dns)?;
        self.members[at].cut_off = !reachable;
        Ok(())
    }

    /// Whether a domain's controllers answer those of others.
    pub(crate) fn is_reachable(&self, at: usize) -> bool {
        self.members.get(at).is_some_and(|member| !member.cut_off)
    }

    fn set_state_at(&mut self, side: usize, suffix: &str, state: SuffixState) -> Result<(), ForestError> {
        let partner = self.members[self.sides[side].partner].dns.clone();
        let mut names = self.sides[side].names.iter_mut();
        let known = names.find(|known| known.name == suffix && known.kind != NameKind::Excluded);
        let Some(known) = known else {
            let suffix = suffix.to_owned();
            return Err(ForestError::NoSuffix { partner, suffix });
        };
        known.kind = NameKind::Top(state);
        Ok(())
    }

    /// Notes a partner's suffix; one that is in use elsewhere is a conflict.
    fn learn(&mut self, side: usize, name: String, state: SuffixState, now: Timestamp) {
        let state = if self.in_use(side, &name) {
            SuffixState::Conflict
        } else {
            state
        };
        self.sides[side].names.push(RoutedName {
            name,
            kind: NameKind::Top(state),
            since: now,
        });
    }

    /// Whether a suffix is the forest's own or routed to another partner.
    fn in_use(&self, side: usize, suffix: &str) -> bool {
        let at = self.sides[side].at;
        let elsewhere = |(other, known): (usize, &Side)| {
            let mut names = known.names.iter();
            other != side && known.at == at && names.any(|known| known.is_enabled() && known.name == suffix)
        };
        self.names_of(at).iter().any(|own| own == suffix) || self.sides.iter().enumerate().any(elsewhere)
    }

    /// The top-level names of a forest: of its trees and of its added suffixes.
    fn names_of(&self, root: usize) -> Vec<String> {
        let domains = self.forest(root).map(|at| self.members[at].dns.clone());
        let suffixes = self.members[root].suffixes.iter().cloned();
        tops(domains.chain(suffixes).collect())
    }

    /// The domains of a forest, its root first.
    fn forest(&self, root: usize) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(move |at| self.members[*at].root == root)
    }

    fn domain(&self, dns: &str) -> Result<usize, ForestError> {
        let lower = dns.to_lowercase();
        let found = self.members.iter().position(|member| member.dns == lower);
        found.ok_or_else(|| ForestError::NoDomain(dns.to_owned()))
    }

    fn root(&self, dns: &str) -> Result<usize, ForestError> {
        let at = self.domain(dns)?;
        if self.members[at].root == at {
            Ok(at)
        } else {
            Err(ForestError::NoRoot(dns.to_owned()))
        }
    }

    /// Where a name may be found that is not of the domain `at`.
    pub(crate) fn candidates(&self, at: usize, name: &BindName) -> Candidates {
        let root = self.members[at].root;
        Candidates {
            forest: self.forest(root).filter(|other| *other != at).collect(),
            routed: match name {
                BindName::Upn(upn) => upn
                    .rsplit_once('@')
                    .map_or(Vec::new(), |(_, suffix)| self.by_suffix(at, suffix)),
                BindName::Nt { domain, .. } => self.by_netbios(at, domain),
                BindName::Guid(_) | BindName::Sid { .. } | BindName::Dn(_) | BindName::Canonical { .. } => {
                    Vec::new()
                }
            },
        }
    }

    /// The trusts by which users of others bind at `at`: those of its forest and its own.
    fn ways(&self, at: usize) -> impl Iterator<Item = &Side> {
        let root = self.members[at].root;
        self.sides.iter().filter(move |side| {
            side.direction.lets_in()
                && match side.reach {
                    TrustReach::Within => false,
                    TrustReach::Forest => side.at == root,
                    TrustReach::External => side.at == at,
                }
        })
    }

    fn by_suffix(&self, at: usize, suffix: &str) -> Vec<usize> {
        let own = self.names_of(self.members[at].root);
        let own = own.iter().filter(|own| is_below(suffix, own));
        let own = own.map(String::len).max().unwrap_or(0);
        let routed = self.ways(at).filter_map(|side| {
            let length = match side.reach {
                TrustReach::External => {
                    let dns = &self.members[side.partner].dns;
                    (dns == suffix).then_some(dns.len())
                }
                TrustReach::Forest | TrustReach::Within => routed_length(&side.names, suffix),
            };
            length.filter(|length| *length > own).map(|length| (length, side))
        });
        match routed.max_by_key(|(length, _)| *length) {
            Some((_, side)) if side.reach == TrustReach::External => vec![side.partner],
            Some((_, side)) => self.forest(side.partner).collect(),
            None => Vec::new(),
        }
    }

    fn by_netbios(&self, at: usize, netbios: &str) -> Vec<usize> {
        let has_name = |other: &usize| self.members[*other].netbios.eq_ignore_ascii_case(netbios);
        let root = self.members[at].root;
        if self.forest(root).any(|other| has_name(&other)) {
            return Vec::new();
        }
        // The first trust has the name; later ones are in conflict with it.
        let mut found = self.ways(at).filter_map(|side| match side.reach {
            TrustReach::External => Some(side.partner).filter(has_name),
            TrustReach::Forest | TrustReach::Within => self.forest(side.partner).find(has_name),
        });
        found.next().into_iter().collect()
    }

    /// What the domain `at` shows of the others.
    pub(crate) fn neighbours(&self, at: usize) -> Neighbours {
        let root = self.members[at].root;
        let partition = |at: usize| {
            let member = &self.members[at];
            Partition {
                dns_name: member.dns.clone(),
                netbios_name: member.netbios.clone(),
                base_dn: member.base_dn.clone(),
                parent: member.parent.map(|parent| self.members[parent].base_dn.clone()),
            }
        };
        let trusts = self.sides.iter().filter(|side| side.at == at);
        Neighbours {
            partitions: self.forest(root).map(partition).collect(),
            trusts: trusts.map(|side| self.trusted(side)).collect(),
        }
    }

    fn trusted(&self, side: &Side) -> TrustedDomain {
        let (own, partner) = (&self.members[side.at], &self.members[side.partner]);
        let of_forest = side.reach == TrustReach::Forest;
        TrustedDomain {
            guid: made_guid(&own.dns, &format!("trust/{}", partner.dns), 0),
            dns_name: partner.dns.clone(),
            netbios_name: partner.netbios.clone(),
            sid: partner.sid.clone(),
            direction: side.direction,
            reach: side.reach,
            info: of_forest.then(|| self.trust_info(side)),
        }
    }

    fn trust_info(&self, side: &Side) -> Vec<u8> {
        let domains: Vec<usize> = self.forest(side.partner).collect();
        let sid = |at: &usize| sid_bytes(&self.members[*at].sid, None).unwrap_or_default();
        let sids: Vec<Vec<u8>> = domains.iter().map(sid).collect();
        let domains = domains.iter().zip(&sids).map(|(at, sid)| {
            let member = &self.members[*at];
            PartnerDomain {
                sid,
                dns_name: &member.dns,
                netbios_name: &member.netbios,
                conflict: side.direction.lets_in() && self.by_netbios(side.at, &member.netbios) != [*at],
            }
        });
        trust_info::encode(&side.names, &domains.collect::<Vec<_>>(), side.made)
    }

    /// The suffixes that were added to the forest of the domain `at`.
    pub(crate) fn suffixes(&self, at: usize) -> impl Iterator<Item = &str> {
        let root = self.members[at].root;
        self.members[root].suffixes.iter().map(String::as_str)
    }
}

fn no_trust(at: &str, partner: &str) -> ForestError {
    ForestError::NoTrust {
        at: at.to_owned(),
        partner: partner.to_owned(),
    }
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
