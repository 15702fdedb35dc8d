//! A bus that keeps what passes over it, for the canaries.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use postern_cloud::bus::{Bus, InProcess, NotDelivered, Subscription};

/// Records every payload and passes it on. Clones share the record.
#[derive(Clone, Debug, Default)]
pub struct RecordingBus {
    bus: InProcess,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl RecordingBus {
    /// Everything that was published so far.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, parts: &[&[u8]]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().for_each(|part| seen.extend_from_slice(part));
    }
}

#[async_trait]
impl Bus for RecordingBus {
    async fn subscribe(&self, subject: &str) -> Subscription {
        self.bus.subscribe(subject).await
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), NotDelivered> {
        self.record(&[subject.as_bytes(), &payload]);
        self.bus.publish(subject, payload).await
    }
}
