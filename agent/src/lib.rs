//! The agent: it stands inside an organisation's network, keeps one outbound connection to the
//! cloud, and asks the organisation's own directory whether a password is right. It listens nowhere.
//!
//! Rooms, top to bottom; a room uses only rooms below it:
//!
//! * [`service`]: starts, supervises and stops the rest.
//! * [`channel`]: the one outbound stream: dial, back off, sessions, drain.
//! * [`trust`]: key pair, enrolment, the identity on disk.
//! * [`validate`]: from an opened request to a sealed verdict. With [`directory`], the only room that
//!   sees a password.
//! * [`forests`]: which directory serves a domain, and which of its controllers is asked.
//! * [`directory`]: the port [`directory::Directory`] and its LDAP adapter.

pub mod channel;
pub mod cli;
pub mod config;
pub mod directory;
pub mod forests;
pub mod service;
pub mod trust;
pub mod validate;

pub use channel::Attached;
pub use config::{
    BindName, Config, Controllers, DirectoryKind, Discover, ForestConfig, HostPort, ServiceAccount, SiteName,
    Template, Timeouts, Trust,
};
pub use service::{ServeError, serve};
pub use trust::{EnrolError, EnrolledIdentity, Enrolment, enrol};

/// Version of this agent, as it tells the cloud.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
