//! The generated messages and services. They stop at the edges: inside, the types of the other
//! modules are spoken.

#![allow(missing_docs, clippy::all, unreachable_pub)]
#![allow(clippy::missing_errors_doc, reason = "generated code")]

/// Enrolment of agents.
pub mod registration {
    tonic::include_proto!("postern.registration.v1");
}

/// The agents' stream.
pub mod channel {
    tonic::include_proto!("postern.channel.v1");
}

/// Signing in by programme.
pub mod signin {
    tonic::include_proto!("postern.signin.v1");
}

/// Administration.
pub mod admin {
    tonic::include_proto!("postern.admin.v1");
}

/// The descriptors of all of the above, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
