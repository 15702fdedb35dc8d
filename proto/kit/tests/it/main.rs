//! TLS configurations, the accept loop and name lookups over real sockets.

#![expect(clippy::unwrap_used, reason = "test code")]

mod dns;
mod pki;
mod serve;
mod tls;
