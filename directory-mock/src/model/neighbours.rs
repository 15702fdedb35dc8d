//! What a domain shows of the domains around it: its forest's partitions, and its trusts.

use uuid::Uuid;

use super::forests::TrustDirection;

/// Neither forest-wide nor within a forest: foreign SIDs are filtered.
const QUARANTINED_DOMAIN: u32 = 0x4;
const FOREST_TRANSITIVE: u32 = 0x8;
const WITHIN_FOREST: u32 = 0x20;

/// One domain of the forest, as the partitions container lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) dns_name: String,
    pub(crate) netbios_name: String,
    pub(crate) base_dn: String,
    /// The base of the domain above it; absent for the root and for other trees.
    pub(crate) parent: Option<String>,
}

/// What a trust is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrustReach {
    /// Domains of one forest.
    Within,
    /// Two forests.
    Forest,
    /// Two domains of different forests.
    External,
}

impl TrustReach {
    /// trustAttributes.
    pub(crate) fn attributes(self) -> u32 {
        match self {
            Self::Within => WITHIN_FOREST,
            Self::Forest => FOREST_TRANSITIVE,
            Self::External => QUARANTINED_DOMAIN,
        }
    }
}

/// A trustedDomain object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedDomain {
    pub(crate) guid: Uuid,
    pub(crate) dns_name: String,
    pub(crate) netbios_name: String,
    pub(crate) sid: String,
    pub(crate) direction: TrustDirection,
    pub(crate) reach: TrustReach,
    /// msDS-TrustForestTrustInfo.
    pub(crate) info: Option<Vec<u8>>,
}

/// The surroundings of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbours {
    /// The domains of the forest, its root first.
    pub(crate) partitions: Vec<Partition>,
    pub(crate) trusts: Vec<TrustedDomain>,
}

impl Neighbours {
    /// A domain that is a forest by itself.
    pub(super) fn none(dns_name: &str, netbios_name: &str, base_dn: &str) -> Self {
        Self {
            partitions: vec![Partition {
                dns_name: dns_name.to_owned(),
                netbios_name: netbios_name.to_owned(),
                base_dn: base_dn.to_owned(),
                parent: None,
            }],
            trusts: Vec::new(),
        }
    }

    /// The root of the forest.
    pub(crate) fn root(&self) -> Option<&Partition> {
        self.partitions.first()
    }
}
