//! Identifiers. Each is a type of its own, so that no two can be mixed up.

use std::fmt;
use std::str::FromStr;

use postern_kit::random::{self, Random};
use uuid::Uuid;

/// A text or byte string that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}")]
pub struct Malformed {
    /// Which field.
    pub field: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Draws a new one.
            pub fn generate(random: &dyn Random) -> Self {
                Self(random::uuid(random))
            }

            /// From its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let expected = "a UUID like 6995b085-9404-416e-8f04-123456789abc";
                Uuid::try_parse(text).map(Self).map_err(|_| Malformed { field: $field, expected })
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Malformed;
            fn try_from(bytes: &[u8]) -> Result<Self, Malformed> {
                Uuid::from_slice(bytes).map(Self).map_err(|_| Malformed { field: $field, expected: "16 bytes" })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A tenant: one organisation.
    TenantId, "tenant_id");
uuid_id!(
    /// An agent, from enrolment to its end.
    AgentId, "agent_id");
uuid_id!(
    /// A user record.
    UserId, "user_id");
uuid_id!(
    /// A programme that may call `SignIn` for one tenant.
    ClientId, "client_id");
uuid_id!(
    /// An enrolment token.
    TokenId, "token_id");
uuid_id!(
    /// One process of the cloud.
    ReplicaId, "replica_id");
uuid_id!(
    /// One sign-in, from first byte to outcome.
    RequestId, "request_id");
uuid_id!(
    /// A sealing key of an agent.
    SealingKeyId, "key_id");
uuid_id!(
    /// A sealing session between a replica and an attached stream.
    SessionId, "session_id");
uuid_id!(
    /// A directory object that keeps its identity through every rename: objectGUID or entryUUID,
    /// in the order of the text form (Active Directory stores the first three fields the other way round).
    ObjectId, "object_id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_bytes() {
        let text = "6995b085-9404-416e-8f04-0123456789ab";
        let id: ObjectId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(ObjectId::try_from(id.as_bytes().as_slice()), Ok(id));
        assert_eq!("x".parse::<AgentId>().unwrap_err().field, "agent_id");
        assert!(SessionId::try_from([1_u8; 15].as_slice()).is_err());
    }
}
