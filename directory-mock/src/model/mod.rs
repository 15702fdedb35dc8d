//! What the directory holds: one domain with its policies, accounts and groups, the indexes by which
//! names are looked up, and what its controllers have of their own. No clock and no network: the time is an argument wherever it matters.

mod account;
mod controllers;
mod domain;
mod load;
mod membership;
mod names;
mod policy;
pub(crate) mod schema;
mod tree;
mod user;

pub use account::{Account, Counters, Password};
pub(crate) use account::{filetime, from_filetime};
pub use controllers::LocalCounters;
pub(crate) use controllers::View;
pub use domain::{Domain, DomainError};
pub use membership::{Group, StoredSettings};
pub(crate) use names::{escape_rdn, guid_base, normal_dn, split_rdn};
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
