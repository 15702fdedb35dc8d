//! The directory as a client meets it: real sockets, real TLS, the `ldap3` client.

mod client;
mod wire;
