//! The directory as a client meets it: real sockets, real TLS, the `ldap3` client.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod against_samba;
mod changes;
mod client;
mod control;
mod faults;
mod forests;
mod passwords;
mod program;
mod raw;
mod sequence;
mod strangers;
mod tools;
mod wire;
mod writes;
