//! The agent's identity: a key that never leaves this host, the certificate that the cloud gave
//! for it, and the one root that the agent trusts.
//!
//! Everything lies in one private file that is replaced as a whole, so a crash at any moment
//! leaves either no identity or a complete one.

mod enrolment;
mod identity;

pub use enrolment::{EnrolError, EnrolledIdentity, Enrolment, enrol};
pub use identity::{FILE_NAME, Identity, IdentityError};
