//! The agents' stream: checks who attaches and what is announced, and passes everything else
//! between the stream and the bus.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use postern_kit::clock::{Timestamp, monotonic, sleep_until};
use postern_kit::random;
use postern_kit::serve::Peer;
use postern_kit::telemetry;
use postern_kit::tls::Certificate;
use postern_proto::seal::{self, AnnouncedKey};
use postern_proto::wire::channel::agent_channel_server::AgentChannel;
use postern_proto::wire::channel::{
    AgentMessage, CloudMessage, Hello, SealingKey, Welcome, agent_message, cloud_message,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Dispatch;
use super::core::{Attached, StreamId};
use super::envelope::{self, Down, Up};
use super::task::{Command, NewStream};
use crate::trust::{AgentRefused, AgentRegistration};

/// Time for the hello: one message after the handshake.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);

/// Clocks that differ by more are reported. They decide nothing.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// How often an attached agent's registration is looked at again; changes made here are seen at once.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Answers in the life of a stream that nobody asked for, before it is ended.
const ANSWERS_EXTRA: u64 = 1000;

/// Messages that are no answers, in a time: ten times what an honest agent says.
const OTHERS_MAX: u32 = 300;
const OTHERS_WINDOW: Duration = Duration::from_secs(60);

/// Serves `AgentChannel`.
#[derive(Clone, Debug)]
pub struct ChannelService(Dispatch);

impl ChannelService {
    pub(super) fn new(dispatch: Dispatch) -> Self {
        Self(dispatch)
    }
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<CloudMessage, Status>> + Send>>;

#[tonic::async_trait]
impl AgentChannel for ChannelService {
    type AttachStream = Outgoing;

    async fn attach(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Outgoing>, Status> {
        // Both were put there before: by the listener, and by the table of callers.
        let certificate = request
            .extensions()
            .get::<Peer>()
            .and_then(|peer| peer.certificate.clone());
        let registration = request.extensions().get::<AgentRegistration>().cloned();
        let (Some(certificate), Some(registration)) = (certificate, registration) else {
            return Err(Status::unauthenticated("an agent's certificate is required"));
        };
        let id = StreamId(u64::from_be_bytes(random::array(self.0.seams.random.as_ref())));
        let (close, asked) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let subscription = self
            .0
            .bus
            .subscribe(&envelope::to_agent(registration.agent))
            .await;
        let now = self.0.seams.clock.now();
        let attachment = Attachment {
            dispatch: self.0.clone(),
            id,
            certificate,
            registration,
            close: close.clone(),
            asked: asked.clone(),
        };
        let welcome = cloud_message::Message::Welcome(Welcome {
            replica_id: self.0.trust.replica().id.to_string(),
            wall_clock_unix_ms: now.unix_ms(),
        });
        let welcome = CloudMessage {
            message: Some(welcome),
        };
        let incoming = request.into_inner();
        self.0.seams.tasks.spawn("agent stream", attachment.run(incoming));
        let messages = futures::stream::unfold(
            (subscription, asked),
            move |(mut subscription, asked)| async move {
                loop {
                    let message = Down::open(subscription.next().await?, id);
                    if let Some(message) = message {
                        if matches!(message.message, Some(cloud_message::Message::Request(_))) {
                            asked.fetch_add(1, Ordering::Relaxed);
                        }
                        return Some((Ok(message), (subscription, asked)));
                    }
                }
            },
        );
        let outgoing = futures::stream::iter([Ok(welcome)])
            .chain(messages)
            .take_until(close.cancelled_owned());
        Ok(Response::new(Box::pin(outgoing)))
    }
}

/// Why a stream ends before the agent ends it.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("no hello with a nonce of 32 bytes came within 10 s")]
    NoHello,
    #[error("dispatch has ended")]
    Stopped,
    #[error("announced sealing key is not the agent's")]
    Key(#[from] seal::SealError),
    #[error("agent may not be attached any more")]
    Refused(#[from] crate::trust::AgentRefused),
    #[error("agent says more than it was asked")]
    Flood,
    /// The status's own source would say the same again, three times.
    #[error("connection failed: {}", .0.message())]
    Connection(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Connection(status)
    }
}

/// How much a stream has said. An honest agent answers each request once, or says once that it does not
/// know its session; everything else it says is a pong every two seconds at most and a key every hour.
#[derive(Debug, Default)]
struct Others {
    answers: u64,
    since: Option<Instant>,
    others: u32,
}

impl Others {
    /// One more answer, after so many requests. Whether that can be.
    fn answer(&mut self, asked: u64) -> bool {
        self.answers += 1;
        self.answers <= asked.saturating_mul(2).saturating_add(ANSWERS_EXTRA)
    }

    /// Something else. Whether that can be.
    fn other(&mut self, now: Instant) -> bool {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > OTHERS_WINDOW)
        {
            (self.since, self.others) = (Some(now), 0);
        }
        self.others += 1;
        self.others <= OTHERS_MAX
    }
}

/// One attached stream.
struct Attachment {
    dispatch: Dispatch,
    id: StreamId,
    certificate: Certificate,
    registration: AgentRegistration,
    close: CancellationToken,
    /// Requests that were sent down the stream.
    asked: Arc<AtomicU64>,
}

impl Attachment {
    async fn run(self, mut incoming: Streaming<AgentMessage>) {
        let (close, agent) = (self.close.clone(), self.registration.agent);
        let ended = tokio::select! {
            () = close.cancelled() => Ok(()),
            ended = self.serve(&mut incoming) => ended,
        };
        close.cancel();
        match ended {
            Ok(()) => tracing::info!(%agent, "agent detached"),
            Err(error) => tracing::warn!(%agent, error = telemetry::chain(&error), "agent's stream ended"),
        }
        // If the task has ended, so have all streams.
        let _ = self.dispatch.commands.send(Command::Detach(self.id)).await;
    }

    async fn serve(&self, incoming: &mut Streaming<AgentMessage>) -> Result<(), Ended> {
        let hello = tokio::time::timeout(HELLO_WAIT_MAX, incoming.message())
            .await
            .map_err(|_| Ended::NoHello)??;
        let Some(agent_message::Message::Hello(hello)) = hello.and_then(|message| message.message) else {
            return Err(Ended::NoHello);
        };
        // Before the registry is read: what changes from then on is seen.
        let mut changed = self.dispatch.registry_changed.subscribe();
        let stream = self.attach(hello).await?;
        let mut check_at = monotonic() + CHECK_EVERY;
        let mut others = Others::default();
        loop {
            tokio::select! {
                message = incoming.message() => {
                    let Some(message) = message? else { return Ok(()) };
                    self.take(message, &stream, &mut others).await?;
                }
                () = sleep_until(check_at) => {
                    check_at = monotonic() + CHECK_EVERY;
                    self.check().await?;
                }
                Ok(()) = changed.changed() => self.check().await?,
            }
        }
    }

    async fn take(
        &self,
        message: AgentMessage,
        stream: &seal::Stream,
        others: &mut Others,
    ) -> Result<(), Ended> {
        if let Some(agent_message::Message::Verdict(_) | agent_message::Message::UnknownSession(_)) =
            &message.message
        {
            if !others.answer(self.asked.load(Ordering::Relaxed)) {
                return Err(Ended::Flood);
            }
            self.pass_up(message).await;
            return Ok(());
        }
        if !others.other(monotonic()) {
            return Err(Ended::Flood);
        }
        self.tell(Command::Heard(self.id)).await?;
        match message.message {
            Some(agent_message::Message::SealingKey(key)) => self.take_key(stream, &key).await,
            Some(agent_message::Message::Draining(_)) => self.tell(Command::AgentDrains(self.id)).await,
            // A pong was heard, that is all. Another hello or an unknown message means nothing.
            _ => Ok(()),
        }
    }

    /// Asks the registry again: TLS judges at the handshake only, and a stream may live for months.
    async fn check(&self) -> Result<(), Ended> {
        match self.dispatch.trust.agent(&self.certificate).await {
            Ok(registration) => self.refresh(&registration).await,
            Err(AgentRefused::Store(error)) => {
                // Next time. Meanwhile what was known stands.
                let agent = self.registration.agent;
                tracing::warn!(%agent, error = telemetry::chain(&error), "registry does not answer");
                Ok(())
            }
            Err(refused) => Err(refused.into()),
        }
    }

    async fn refresh(&self, registration: &AgentRegistration) -> Result<(), Ended> {
        let domains = registration.domains.iter().cloned().collect();
        let drained = registration.drained;
        self.tell(Command::Refresh(self.id, domains, drained)).await
    }

    async fn attach(&self, hello: Hello) -> Result<seal::Stream, Ended> {
        let nonce = <[u8; 32]>::try_from(hello.nonce.as_slice()).map_err(|_| Ended::NoHello)?;
        // What may have changed between the check at the door and now.
        let registration = self.dispatch.trust.agent(&self.certificate).await?;
        let AgentRegistration { agent, tenant, .. } = registration;
        let now = self.dispatch.seams.clock.now();
        let theirs = Timestamp::from_unix_ms(hello.wall_clock_unix_ms);
        let skew = now.since(theirs).max(theirs.since(now));
        if skew > SKEW_MAX {
            tracing::warn!(%agent, skew_s = skew.as_secs(), "clocks of agent and cloud differ");
        }
        if let Err(error) = self.dispatch.trust.seen(agent, &hello.agent_version, now).await {
            tracing::warn!(%agent, error = telemetry::chain(&error), "cannot note that the agent was seen");
        }
        let domains: BTreeSet<_> = registration.domains.iter().cloned().collect();
        tracing::info!(%agent, %tenant, version = hello.agent_version, "agent attached");
        let stream = seal::Stream { nonce, tenant, agent };
        let attached = Attached {
            agent,
            tenant,
            domains,
            since: now,
            drained: registration.drained,
        };
        let new = NewStream {
            id: self.id,
            attached,
            stream,
            close: self.close.clone(),
        };
        self.tell(Command::Attach(Box::new(new))).await?;
        Ok(stream)
    }

    /// TLS judged the certificate at the handshake; the registry judges it now.
    async fn take_key(&self, stream: &seal::Stream, announcement: &SealingKey) -> Result<(), Ended> {
        let registration = self.dispatch.trust.agent(&self.certificate).await?;
        let key = AnnouncedKey::verify(stream, announcement, &registration.key)?;
        self.refresh(&registration).await?;
        self.tell(Command::Key(self.id, Box::new(key))).await
    }

    async fn pass_up(&self, message: AgentMessage) {
        let subject = envelope::to_replica(self.dispatch.trust.replica().id);
        if let Err(error) = self
            .dispatch
            .bus
            .publish(&subject, Up::encode(self.id, message))
            .await
        {
            tracing::warn!(agent = %self.registration.agent, %error, "answer lost");
        }
    }

    async fn tell(&self, command: Command) -> Result<(), Ended> {
        self.dispatch
            .commands
            .send(command)
            .await
            .map_err(|_| Ended::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_no_more_than_an_honest_agent_could() {
        let (mut others, now) = (Others::default(), monotonic());
        assert!((0..ANSWERS_EXTRA + 20).all(|_| others.answer(10)));
        assert!(!others.answer(10));
        assert!((0..OTHERS_MAX).all(|_| others.other(now)));
        assert!(!others.other(now));
        assert!(others.other(now + OTHERS_WINDOW + Duration::from_millis(1)));
    }
}
