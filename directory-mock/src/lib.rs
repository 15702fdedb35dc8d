//! A simulated Active Directory: a real LDAPv3 server (LDAP, StartTLS, LDAPS) whose simple bind
//! answers as a domain controller does, to the letter of its messages, with lockout, account
//! states, faults on demand, and a journal of every bind for tests to ask afterwards.
//!
//! It is a mock. Passwords lie in memory in plain text (zeroed when dropped), nothing survives the
//! process. Administrators write over LDAP as they would in Active Directory; tests change the directory
//! through [`DirectoryHandle`] as well.
//!
//! ```
//! use postern_directory_mock::{AccountState, Directory, Server, ServerOptions, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = Directory::builder("corp.example.test", "CORP")
//!     .user(User::new("alice", "correct horse"))
//!     .user(User::new("dora", "battery").state(AccountState::Disabled))
//!     .build();
//! let seams = postern_kit::Seams::real();
//! let server = Server::start(directory, ServerOptions::default(), &seams).await?;
//! println!("ldaps://{}", server.ldaps_addr().ok_or("no listener")?);
//! assert_eq!(server.journal().total(), 0);
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod faults;
pub mod forests;
pub mod handle;
pub mod journal;
pub mod ldif;
pub mod model;
pub mod population;
pub mod semantics;
pub mod serve;
pub mod server;
pub mod wire;

pub use certificates::TestCa;
pub use clock::MovableClock;
pub use faults::{Accepting, BindFault, Delay, Effect, Faults, Operation, ResultCode, Rule, RuleError};
pub use forests::ForestsHandle;
pub use handle::DirectoryHandle;
pub use journal::{BindOutcome, BindRecord, Binds, Journal, ObjectTotals};
pub use model::{
    Account, AccountState, Counters, Directory, DirectoryBuilder, Domain, Flavour, ForestError, Forests,
    ForestsBuilder, Group, Password, PasswordSettings, Policy, Trust, TrustDirection, TrustKind, User,
};
pub use population::{Person, Population};
pub use semantics::{Judgement, Outcome, PasswordRefusal, PasswordWrite, SubCode};
pub use server::{Server, ServerOptions, StartError, TlsChoice};
pub use wire::{ConnectionCounts, Connections, Loopback};
