//! Messages between replicas, and within one: subjects, at most once, nothing kept.
//!
//! Only sealed passwords travel here. In one process it is a table of queues; several replicas
//! need a broker behind the same trait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

/// Messages that wait for one subscriber; one more is lost. As many as 32 streams have in flight at most,
/// since all of a replica's verdicts come to one subscriber. Each takes about a kilobyte.
pub const QUEUE_MAX: usize = 8192;

/// Why a message was certainly not delivered. That none of these came does not mean that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// The subscriber does not keep up.
    #[error("subscriber's queue is full")]
    Full,
    /// Nobody is subscribed.
    #[error("nobody is subscribed")]
    NobodyListens,
}

/// Publish and subscribe.
#[async_trait]
pub trait Bus: fmt::Debug + Send + Sync {
    /// Messages on `subject` from now on, in the order in which one publisher sent them. Ends when
    /// the subscription is dropped.
    async fn subscribe(&self, subject: &str) -> Subscription;

    /// Sends `payload` to everybody who is subscribed to `subject` now, at most once.
    ///
    /// # Errors
    /// [`NotDelivered`] if nobody got it for sure.
    ///
    /// # Cancellation
    /// Dropping it leaves open whether the message was sent.
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), NotDelivered>;
}

/// The receiving end.
#[derive(Debug)]
pub struct Subscription(mpsc::Receiver<Bytes>);

impl Subscription {
    /// Over a queue that somebody fills.
    pub fn new(queue: mpsc::Receiver<Bytes>) -> Self {
        Self(queue)
    }

    /// The next message; `None` when no more can come.
    ///
    /// # Cancellation
    /// Safe to drop; no message is lost.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

/// The bus of a single replica.
#[derive(Clone, Debug, Default)]
pub struct InProcess(Arc<Mutex<BTreeMap<String, Vec<mpsc::Sender<Bytes>>>>>);

#[async_trait]
impl Bus for InProcess {
    async fn subscribe(&self, subject: &str) -> Subscription {
        let (queue, subscription) = mpsc::channel(QUEUE_MAX);
        let mut subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Subjects come and go with agents: those that nobody listens to any more go here.
        subjects.retain(|_, queues| {
            queues.retain(|queue| !queue.is_closed());
            !queues.is_empty()
        });
        subjects.entry(subject.to_owned()).or_default().push(queue);
        Subscription::new(subscription)
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), NotDelivered> {
        let subjects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Err(NotDelivered::NobodyListens);
        for queue in subjects.get(subject).into_iter().flatten() {
            match queue.try_send(payload.clone()) {
                Ok(()) => outcome = Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) if outcome.is_err() => {
                    outcome = Err(NotDelivered::Full)
                }
                Err(_) => {}
            }
        }
        outcome
    }
}
