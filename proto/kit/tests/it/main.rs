//! TLS configurations and the accept loop over real sockets.

#![expect(clippy::unwrap_used, reason = "test code")]

mod pki;
mod serve;
mod tls;
