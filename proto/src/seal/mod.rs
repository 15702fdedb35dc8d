//! How a password travels so that one agent alone can read it, once, and how the verdict comes
//! back so that nobody between can forge, swap or replay it.
//!
//! One hybrid post-quantum key agreement (HPKE base mode, X-Wing, HKDF-SHA256, export only) opens
//! a *session* between the replica that seals and one attached stream; every message then costs
//! one key derivation and one AES-256-GCM. The suite is fixed: another suite is another protocol
//! version. Nothing here knows the time or a socket: elapsed times are arguments.
//!
//! | step | cloud | agent |
//! |---|---|---|
//! | key | [`AnnouncedKey::verify`] | [`SealingKeyPair::announce`] |
//! | session | [`SealingSession::establish`] | [`OpeningSession::accept`] |
//! | request | [`SealingSession::seal`] | [`OpeningSession::open`] |
//! | verdict | [`VerdictOpener::open`] | [`VerdictSealer::seal`] |

mod canonical;
mod key;
mod message;
mod session;

use std::time::Duration;

use crate::certificate::NotAReplica;
use crate::ids::{AgentId, Malformed, TenantId};

pub use key::{AnnouncedKey, SealingKeyPair};
pub use message::{Credentials, Header, Opened, Request, VerdictOpener, VerdictSealer};
pub use session::{OpeningSession, Replica, SealingSession};

/// Name of this version of the protocol, in every derivation.
const VERSION: &str = "postern/1";

/// No request is sealed under a session that is older: bounds what one exporter secret protects.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Most requests under one session: bounds the replay bitmap to 128 KiB.
pub const MESSAGES_MAX: u32 = 1 << 20;

/// Longest deadline of a request, from when it is sealed. An agent keeps a session for this long
/// beyond its lifetime, so that what was sealed last can still be opened.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);

/// Size of a request's plaintext: three lengths, an object id, the longest name and the longest
/// password make 1,564 bytes. Fixed, so that no length tells anything.
pub const REQUEST_BYTES: usize = 1600;

/// Size of a verdict's plaintext: a length, and at most 345 bytes of message.
pub const VERDICT_BYTES: usize = 384;

/// The stream that keys and sessions are announced on: what is signed for one stream is worth
/// nothing on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// 32 fresh random bytes of the agent's hello.
    pub nonce: [u8; 32],
    /// The agent's tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
}

/// Why something sealed or announced is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A field has the wrong shape.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The signature does not cover what was announced, or is another's.
    #[error("signature of the announcement does not verify")]
    Signature,
    /// The announcement's certificate is not a replica's.
    #[error("session is not announced by a replica of this cloud")]
    Replica(#[from] NotAReplica),
    /// The session was announced for another sealing key.
    #[error("session is for another sealing key")]
    OtherKey,
    /// The key agreement failed.
    #[error("key agreement failed")]
    KeyAgreement,
    /// The session has sealed [`MESSAGES_MAX`] requests.
    #[error("session is used up")]
    UsedUp,
    /// The message names another session than the one it was brought to.
    #[error("message is for another session")]
    OtherSession,
    /// The session ended before the message came.
    #[error("session is over")]
    SessionOver,
    /// This sequence number was opened before.
    #[error("sequence number was opened before")]
    Replayed,
    /// The ciphertext is not authentic.
    #[error("message does not open")]
    DoesNotOpen,
}

#[cfg(test)]
mod tests;
