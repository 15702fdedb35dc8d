//! Several domains, the forests that they form and the trusts between them, as a test describes them.
//!
//! A forest is a root domain and further domains, which are its children or trees of their own; all of them
//! share the added suffixes for userPrincipalNames and find each other's accounts. Between forests there
//! are trusts: a *forest trust* joins two roots and carries binds for all domains of both, by suffix; an
//! *external trust* joins two single domains. What follows from this is [`topology`]'s business.

mod names;
mod topology;
mod trust_info;

use postern_kit::clock::Timestamp;

use super::domain::{Domain, DomainError};
use super::user::Directory;

pub(crate) use topology::{Named, Topology};

/// Why a description of forests, or a change of one, is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ForestError {
    /// One of the domains contradicts itself.
    #[error("domain {domain} cannot be opened")]
    Domain {
        /// Its DNS name.
        domain: String,
        /// Why.
        source: DomainError,
    },
    /// Two domains have the same DNS name, or two of one forest the same NetBIOS name.
    #[error("two domains are called {0}")]
    Twice(String),
    /// A trust or a forest names a domain that is not described.
    #[error("no domain {0}; expected the DNS name of one that is described")]
    NoDomain(String),
    /// Only the first domain of a forest gives it its name, and only it has forest trusts.
    #[error("{0} is not the root of a forest")]
    NoRoot(String),
    /// Domains of one forest trust each other as they are.
    #[error("{at} and {partner} are of one forest and trust each other already")]
    OneForest {
        /// One of them.
        at: String,
        /// The other.
        partner: String,
    },
    /// There is such a trust already.
    #[error("{at} and {partner} have a trust already")]
    TrustTwice {
        /// One of them.
        at: String,
        /// The other.
        partner: String,
    },
    /// There is no trust of this kind.
    #[error("{at} has no forest trust with {partner}")]
    NoTrust {
        /// Whose.
        at: String,
        /// With whom.
        partner: String,
    },
    /// The partner has no such suffix.
    #[error("{partner} has no name suffix {suffix} of its own")]
    NoSuffix {
        /// The other forest.
        partner: String,
        /// What was asked for.
        suffix: String,
    },
    /// The suffix is routed to another forest, or is the forest's own.
    #[error("name suffix {0} is in use elsewhere")]
    Conflict(String),
}

/// Which way a trust goes, seen from the domain whose object it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustDirection {
    /// The partner trusts this domain: its users bind at the partner's controllers.
    Inbound,
    /// This domain trusts the partner: the partner's users bind here.
    Outbound,
    /// Both ways.
    #[default]
    Both,
}

impl TrustDirection {
    /// trustDirection.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Inbound => 1,
            Self::Outbound => 2,
            Self::Both => 3,
        }
    }

    /// The same trust seen from the partner.
    fn reversed(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
            Self::Both => Self::Both,
        }
    }

    /// Whether the partner's users bind here.
    fn lets_in(self) -> bool {
        matches!(self, Self::Outbound | Self::Both)
    }
}

/// What a trust joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustKind {
    /// Two forests, by their roots; binds are passed on by name suffix, for all domains of both.
    Forest,
    /// Two domains of different forests, and nobody else.
    External,
}

/// A trust between domains of different forests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    at: String,
    partner: String,
    kind: TrustKind,
    direction: TrustDirection,
    disabled: Vec<String>,
    excluded: Vec<String>,
}

impl Trust {
    /// A trust between two forests, named by their roots. Both ways, unless [`Trust::direction`] says otherwise.
    pub fn forest(at: &str, partner: &str) -> Self {
        Self::new(at, partner, TrustKind::Forest)
    }

    /// A trust between two domains.
    pub fn external(at: &str, partner: &str) -> Self {
        Self::new(at, partner, TrustKind::External)
    }

    fn new(at: &str, partner: &str, kind: TrustKind) -> Self {
        Self {
            at: at.to_lowercase(),
            partner: partner.to_lowercase(),
            kind,
            direction: TrustDirection::Both,
            disabled: Vec::new(),
            excluded: Vec::new(),
        }
    }

    /// Which way it goes, seen from the domain that is named first.
    #[must_use]
    pub fn direction(mut self, direction: TrustDirection) -> Self {
        self.direction = direction;
        self
    }

    /// The first domain does not route this name suffix of the partner.
    #[must_use]
    pub fn disable(mut self, suffix: &str) -> Self {
        self.disabled.push(suffix.to_lowercase());
        self
    }

    /// The first domain does not route this part of one of the partner's suffixes.
    #[must_use]
    pub fn exclude(mut self, suffix: &str) -> Self {
        self.excluded.push(suffix.to_lowercase());
        self
    }
}

/// The description of domains and trusts, opened by
/// [`ForestsHandle::open`](crate::ForestsHandle::open).
#[derive(Clone, Debug)]
pub struct Forests {
    /// With the root of the forest, unless it is one.
    domains: Vec<(Directory, Option<String>)>,
    trusts: Vec<Trust>,
}

impl Forests {
    /// Starts with the root of the first forest.
    pub fn builder(root: Directory) -> ForestsBuilder {
        ForestsBuilder(Self {
            domains: vec![(root, None)],
            trusts: Vec::new(),
        })
    }

    /// Whether all names fit together. Users are not looked at.
    ///
    /// # Errors
    /// [`ForestError`] if names are used twice, or a forest or trust names what is not there.
    pub(crate) fn check(&self) -> Result<(), ForestError> {
        let empty = |directory: &Directory| {
            let mut domain = directory.empty();
            for suffix in &directory.upn_suffixes {
                domain.add_upn_suffix(suffix);
            }
            domain
        };
        let domains: Vec<Domain> = self.directories().map(empty).collect();
        let named: Vec<Named<'_>> = domains.iter().map(Named::from).collect();
        Topology::new(self, &named, Timestamp::from_unix_ms(0)).map(|_| ())
    }

    /// The described domains in their order.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Directory> {
        self.domains.iter().map(|(directory, _)| directory)
    }
}

/// One domain alone.
impl From<Directory> for Forests {
    fn from(directory: Directory) -> Self {
        Self::builder(directory).build()
    }
}

/// Describes [`Forests`].
#[derive(Clone, Debug)]
pub struct ForestsBuilder(Forests);

impl ForestsBuilder {
    /// Another forest, by its root.
    #[must_use]
    pub fn forest(mut self, root: Directory) -> Self {
        self.0.domains.push((root, None));
        self
    }

    /// Another domain of the forest whose root is called `root`: the child of that domain in whose name its
    /// own ends, or else a tree of its own.
    #[must_use]
    pub fn domain(mut self, root: &str, directory: Directory) -> Self {
        self.0.domains.push((directory, Some(root.to_lowercase())));
        self
    }

    /// A trust between two forests, or two domains of different ones. Where two partners have the same name
    /// suffix, it is routed to the one whose trust came first.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.0.trusts.push(trust);
        self
    }

    /// The description.
    pub fn build(self) -> Forests {
        self.0
    }
}
