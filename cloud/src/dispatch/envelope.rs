//! What travels on the bus: a message of the agents' protocol and the stream that it belongs to.
//! Everything secret in it is sealed.

use bytes::Bytes;
use postern_proto::ids::{AgentId, ReplicaId};
use postern_proto::wire::channel::{AgentMessage, CloudMessage};
use prost::Message as _;

use super::core::StreamId;

/// Subject of the messages to an agent. Whoever holds its stream is subscribed.
pub(super) fn to_agent(agent: AgentId) -> String {
    format!("agent/{agent}")
}

/// Subject of the messages back to the replica that sealed.
pub(super) fn to_replica(replica: ReplicaId) -> String {
    format!("replica/{replica}")
}

/// On the way down.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Down {
    #[prost(fixed64, tag = "1")]
    stream: u64,
    #[prost(message, optional, tag = "2")]
    message: Option<CloudMessage>,
}

/// On the way up.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Up {
    #[prost(fixed64, tag = "1")]
    stream: u64,
    #[prost(message, optional, tag = "2")]
    message: Option<AgentMessage>,
}

impl Down {
    pub(super) fn encode(stream: StreamId, message: CloudMessage) -> Bytes {
        Self {
            stream: stream.0,
            message: Some(message),
        }
        .encode_to_vec()
        .into()
    }

    /// The message, if it is one and for this stream.
    pub(super) fn open(payload: Bytes, stream: StreamId) -> Option<CloudMessage> {
        let down = Self::decode(payload).ok()?;
        down.message.filter(|_| down.stream == stream.0)
    }
}

impl Up {
    pub(super) fn encode(stream: StreamId, message: AgentMessage) -> Bytes {
        Self {
            stream: stream.0,
            message: Some(message),
        }
        .encode_to_vec()
        .into()
    }

    /// The message and its stream, if it is one.
    pub(super) fn open(payload: Bytes) -> Option<(StreamId, AgentMessage)> {
        let up = Self::decode(payload).ok()?;
        Some((StreamId(up.stream), up.message?))
    }
}
