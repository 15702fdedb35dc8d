//! The agents' stream: checks who attaches and what is announced, and passes everything else
//! between the stream and the bus.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use postern_kit::clock::Timestamp;
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
use crate::trust::AgentRegistration;

/// Time for the hello: one message after the handshake.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);

/// Clocks that differ by more are reported. They decide nothing.
const SKEW_MAX: Duration = Duration::from_secs(60);

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
        let close = CancellationToken::new();
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
        let messages = futures::stream::unfold(subscription, move |mut subscription| async move {
            loop {
                let message = Down::open(subscription.next().await?, id);
                if let Some(message) = message {
                    return Some((Ok(message), subscription));
                }
            }
        });
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
    #[error("connection failed")]
    Connection(#[from] Status),
}

/// One attached stream.
struct Attachment {
    dispatch: Dispatch,
    id: StreamId,
    certificate: Certificate,
    registration: AgentRegistration,
    close: CancellationToken,
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
        let stream = self.attach(hello).await?;
        while let Some(message) = incoming.message().await? {
            self.tell(Command::Heard(self.id)).await?;
            match message.message {
                Some(agent_message::Message::SealingKey(key)) => self.take_key(&stream, &key).await?,
                Some(agent_message::Message::Draining(_)) => self.tell(Command::AgentDrains(self.id)).await?,
                Some(
                    message
                    @ (agent_message::Message::Verdict(_) | agent_message::Message::UnknownSession(_)),
                ) => {
                    self.pass_up(AgentMessage {
                        message: Some(message),
                    })
                    .await
                }
                // A pong was heard, that is all. Another hello or an unknown message means nothing.
                Some(agent_message::Message::Pong(_) | agent_message::Message::Hello(_)) | None => {}
            }
        }
        Ok(())
    }

    async fn attach(&self, hello: Hello) -> Result<seal::Stream, Ended> {
        let nonce = <[u8; 32]>::try_from(hello.nonce.as_slice()).map_err(|_| Ended::NoHello)?;
        let AgentRegistration { agent, tenant, .. } = self.registration;
        let now = self.dispatch.seams.clock.now();
        let theirs = Timestamp::from_unix_ms(hello.wall_clock_unix_ms);
        let skew = now.since(theirs).max(theirs.since(now));
        if skew > SKEW_MAX {
            tracing::warn!(%agent, skew_s = skew.as_secs(), "clocks of agent and cloud differ");
        }
        if let Err(error) = self.dispatch.trust.seen(agent, &hello.agent_version, now).await {
            tracing::warn!(%agent, error = telemetry::chain(&error), "cannot note that the agent was seen");
        }
        let domains: BTreeSet<_> = self.registration.domains.iter().cloned().collect();
        tracing::info!(%agent, %tenant, version = hello.agent_version, "agent attached");
        let stream = seal::Stream { nonce, tenant, agent };
        let attached = Attached {
            agent,
            tenant,
            domains,
            since: now,
            drained: self.registration.drained,
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
