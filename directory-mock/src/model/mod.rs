//! What the directory holds: one domain, its policy and its accounts, with the indexes by which
//! names are looked up. No clock and no network: the time is an argument wherever it matters.

mod account;
mod domain;
mod names;
mod user;

pub(crate) use account::filetime;
pub use account::{Account, Counters, Password};
pub use domain::{Domain, DomainError};
pub(crate) use names::{guid_base, normal_dn};
pub use user::{AccountState, Directory, DirectoryBuilder, Policy, User};

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
