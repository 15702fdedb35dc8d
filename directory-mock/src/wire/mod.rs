//! The LDAP server of one domain controller: listeners, connections, and the translation between
//! LDAPv3 messages and [`semantics`](crate::semantics). The codec is `ldap3_proto`'s.
//!
//! Known difference from a real server, from the codec: a name, password or filter value that is not
//! UTF-8 closes the connection instead of being answered (address objects by `<GUID=...>` instead of an
//! objectGUID filter).

mod bind;
mod configuration;
mod connection;
mod connections;
mod dir_sync;
pub(crate) mod dump;
mod entry;
mod filter;
mod loopback;
mod meanwhile;
mod pages;
mod referral;
mod root_dse;
mod search;
mod trouble;
mod write;

use std::sync::Arc;
use std::time::Duration;

use ldap3_proto::LdapCodec;
use ldap3_proto::proto::{LdapResult, LdapResultCode};
use postern_kit::net::Listener;
use postern_kit::tasks::Tasks;
use postern_kit::tls::ServerTls;
use tokio_util::sync::CancellationToken;

use crate::faults::{Accepting, Faults};
use crate::handle::DirectoryHandle;
use crate::model::Flavour;

pub use connections::{ConnectionCounts, Connections};
pub use loopback::Loopback;

/// What a bind without encryption is told, to the letter.
pub(crate) const ENCRYPTION_REQUIRED: &str = "BindSimple: Transport encryption required.";

/// Largest request in bytes, as Samba has it before authentication: one that is larger closes the
/// connection.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Time for a TLS handshake. It needs two round trips.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Time for a client to take an answer off the wire; then it is gone.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Pause after a failed accept: the process is out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections of one domain controller share.
#[derive(Debug)]
pub(crate) struct Controller {
    pub(crate) directory: DirectoryHandle,
    pub(crate) flavour: Flavour,
    pub(crate) host: Arc<str>,
    pub(crate) require_encryption: bool,
    pub(crate) idle_limit: Duration,
    pub(crate) connections_max: u64,
    pub(crate) faults: Faults,
    pub(crate) connections: Connections,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) stop: CancellationToken,
}

/// Accepts connections until the controller stops.
pub(crate) async fn listen(
    controller: Arc<Controller>,
    mut listener: Box<dyn Listener>,
    encrypted: bool,
    tasks: Tasks,
) {
    let mut accepting = controller.faults.accepting();
    loop {
        let mode = *accepting.borrow_and_update();
        let accepted = tokio::select! {
            // A switch that was thrown before a connection came must hold for it.
            biased;
            () = controller.stop.cancelled() => return,
            _ = accepting.changed() => continue,
            accepted = listener.accept(), if mode != Accepting::Ignore => accepted,
        };
        match accepted {
            Ok(_) if mode == Accepting::Close => {}
            Ok((io, peer)) => {
                tracing::debug!(controller = %controller.host, %peer, encrypted, "connection accepted");
                let most = controller.connections_max;
                let Some(open) = controller.connections.open(encrypted, most) else {
                    continue;
                };
                tasks.spawn(
                    "directory connection",
                    connection::serve(controller.clone(), io, open),
                );
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn codec() -> LdapCodec {
    LdapCodec::new(Some(REQUEST_BYTES_MAX), None)
}

fn result(code: LdapResultCode, message: impl Into<String>) -> LdapResult {
    LdapResult {
        code,
        matcheddn: String::new(),
        message: message.into(),
        referral: Vec::new(),
    }
}
