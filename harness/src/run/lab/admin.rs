//! The lab's administrators of the cloud: what they are asked for is done when the cloud takes it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_kit::tasks::Tasks;
use postern_kit::telemetry::chain;
use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_client::AdminClient;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

use super::RunClock;
use crate::sim::{Action, Asked};

/// How often a cloud that is down is asked again: what people do who wait for it.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Something that is asked of the cloud.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// To drain an agent.
    Drain(wire::AgentRequest),
    /// To resume an agent.
    Resume(wire::AgentRequest),
    /// To revoke an agent.
    Revoke(wire::AgentRequest),
    /// To delete a user's record.
    Delete(wire::DeleteUserRequest),
}

/// Administrators.
pub(super) struct Administrators {
    client: AdminClient<Channel>,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: CancellationToken,
}

impl Administrators {
    pub(super) fn new(client: AdminClient<Channel>) -> Self {
        Self {
            client,
            asked: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Asks for `order`, which is `action` in the words of the schedule, until the cloud has taken or refused it.
    pub(super) fn ask(&self, order: Order, action: Action, clock: RunClock, tasks: &Tasks) {
        let place = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(Asked {
                what: action,
                at: clock.now(),
                done: None,
            });
            asked.len() - 1
        };
        let (asked, stop, client) = (self.asked.clone(), self.stop.clone(), self.client.clone());
        tasks.spawn("administrator", async move {
            if let Some(true) = stop.run_until_cancelled(insist(client, order)).await {
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(one) = asked.get_mut(place) {
                    one.done = Some(clock.now());
                }
            }
        });
    }

    /// Nobody asks any more. What was asked, and when it was done.
    pub(super) fn end(self) -> Vec<Asked> {
        self.stop.cancel();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether it was done.
async fn insist(mut client: AdminClient<Channel>, order: Order) -> bool {
    loop {
        let answer = match order.clone() {
            Order::Drain(request) => client.drain_agent(request).await.map(|_| ()),
            Order::Resume(request) => client.resume_agent(request).await.map(|_| ()),
            Order::Revoke(request) => client.revoke_agent(request).await.map(|_| ()),
            Order::Delete(request) => client.delete_user(request).await.map(|_| ()),
        };
        match answer {
            Ok(()) => return true,
            // It is down.
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(ASK_EVERY).await,
            Err(status) => {
                tracing::warn!(?order, error = chain(&status), "the cloud refuses");
                return false;
            }
        }
    }
}
