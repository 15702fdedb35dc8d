//! What the directory holds: domains with their policies, accounts and groups, the indexes by which
//! names are looked up, what controllers have of their own, and the ways between domains. No clock and no network: the time is an argument wherever it matters.

mod account;
mod changes;
mod controllers;
mod domain;
mod forests;
mod load;
mod membership;
mod names;
mod neighbours;
mod policy;
pub(crate) mod schema;
mod tree;
mod user;

pub use account::{Account, Counters, Password};
pub(crate) use account::{filetime, filetime_steps, from_filetime};
pub(crate) use changes::{Stamp, USN_FIRST, place_guid};
pub use controllers::LocalCounters;
pub(crate) use controllers::View;
pub use domain::{Domain, DomainError};
pub use forests::{ForestError, Forests, ForestsBuilder, Trust, TrustDirection, TrustKind};
pub(crate) use forests::{Named, Topology};
pub use membership::{Group, StoredSettings};
pub(crate) use names::{escape_rdn, guid_base, normal_dn, read as read_name, sid_bytes, split_rdn};
pub(crate) use neighbours::TrustedDomain;
pub use policy::{PasswordSettings, Policy};
pub use tree::Tombstone;
pub(crate) use tree::parent;
pub use user::{AccountState, Directory, DirectoryBuilder, User};

/// Which server's habits are played where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// Samba AD DC 4.17, where everything was seen on the wire.
    #[default]
    Samba,
    /// Microsoft's server, from public documentation: 525 for an unknown name, a name with an
    /// empty password is anonymous, and a failed re-bind makes the connection anonymous.
    Windows,
}
