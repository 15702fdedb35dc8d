//! The one outbound stream to the cloud: dial, attach, take requests, come back after every loss.
//!
//! # Invariants
//! * Nothing listens: the agent dials, over TLS 1.3, and trusts the root of its enrolment alone.
//! * Each request that opens is answered once, on the stream that it came on.
//! * On stop the cloud is told, what is in flight is finished, and then the stream ends.

mod core;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::backoff::Backoff;
use postern_kit::clock::{monotonic, sleep_until};
use postern_kit::dial::Connector;
use postern_kit::random;
use postern_kit::telemetry;
use postern_kit::tls::{self, ServerTrust, TlsError, Versions};
use postern_proto::seal::Stream;
use postern_proto::verdict::NotAsked;
use postern_proto::wire::channel::agent_channel_client::AgentChannelClient;
use postern_proto::wire::channel::{AgentMessage, CloudMessage, Draining, agent_message};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Endpoint;

use self::core::{Core, Effect, SealingKeys, Work, decline};
use crate::config::Config;
use crate::forests::Forests;
use crate::trust::Identity;
use crate::validate::validate;

/// First and longest ceiling of the wait before the next dial. A cloud that restarts is back
/// within seconds; one that is gone for good is not worth more than two dials a minute.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// A stream that held for this long was a success: the next dial starts from the first wait.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Time for the cloud to take the stream after the TLS handshake.
const ATTACH_WAIT_MAX: Duration = Duration::from_secs(10);

/// Life of a sealing key.
const KEY_RENEW_EVERY: Duration = Duration::from_secs(3600);

/// HTTP/2 pings, and the time to answer one: notices a cloud that is gone while nothing happens.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT_MAX: Duration = Duration::from_secs(10);

/// Largest message from the cloud: a session announcement with its certificates takes about 4 KiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Whether requests can come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// A session stands on the stream.
    Yes,
    /// There is no stream, or none with a session.
    No,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("cloud cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cloud did not take the stream within 10 s")]
    NotTaken,
    #[error("cloud ended the stream")]
    Ended,
    #[error("stream failed")]
    Failed(#[from] tonic::Status),
}

/// Why no stream can be tried.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The identity does not serve for TLS.
    #[error("identity cannot be used for TLS")]
    Identity(#[from] TlsError),
    /// The cloud's address is none, or cannot be connected.
    #[error("cloud cannot be connected")]
    Connection(#[from] std::io::Error),
}

fn connector(config: &Config, identity: &Identity, seams: &Seams) -> Result<Connector, ChannelError> {
    let trust = ServerTrust::Roots(vec![identity.root.clone()]);
    let own = Some(identity.tls());
    let tls = tls::client(trust, own, Versions::Tls13, &["h2"], seams.clock.clone())?;
    Ok(Connector::new(
        seams.net.clone(),
        tls,
        &config.cloud.host,
        config.cloud.port,
    )?)
}

/// Whether the cloud can be connected and is the one that this agent was enrolled by. Whether it takes the
/// agent shows only when that runs.
///
/// # Errors
/// [`ChannelError`] says why not.
///
/// # Cancellation
/// Safe to drop.
pub async fn reach(config: &Config, identity: &Identity, seams: &Seams) -> Result<(), ChannelError> {
    connector(config, identity, seams)?.connect().await?;
    Ok(())
}

/// Everything that outlives a stream.
pub(crate) struct Channel {
    config: Config,
    identity: Identity,
    forests: Arc<Forests>,
    connector: Connector,
    seams: Seams,
    attached: watch::Sender<Attached>,
    /// One permit per request in flight.
    room: Arc<Semaphore>,
}

impl Channel {
    /// Does not dial yet.
    ///
    /// # Errors
    /// [`ChannelError`] if identity or address cannot be used for TLS.
    pub(crate) fn new(
        config: Config,
        identity: Identity,
        forests: Arc<Forests>,
        seams: Seams,
        attached: watch::Sender<Attached>,
    ) -> Result<Self, ChannelError> {
        let connector = connector(&config, &identity, &seams)?;
        let room = Arc::new(Semaphore::new(config.max_requests));
        Ok(Self {
            config,
            identity,
            forests,
            connector,
            seams,
            attached,
            room,
        })
    }

    /// Attaches again and again until `stop`, and then ends in order.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let random = self.seams.random.clone();
        let mut keys = SealingKeys::new(random.as_ref());
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        while !stop.is_cancelled() {
            let since = monotonic();
            let ended = self.attach(&mut keys, &stop).await;
            self.attached.send_replace(Attached::No);
            let Err(lost) = ended else { break };
            if monotonic().saturating_duration_since(since) >= STABLE_AFTER {
                backoff.reset();
            }
            let wait = backoff.next_wait(random.as_ref());
            tracing::warn!(
                cloud = %self.config.cloud,
                error = telemetry::chain(&lost),
                again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "not attached"
            );
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One stream, from dial to end. `Ok` means that it ended because of `stop`.
    async fn attach(&self, keys: &mut SealingKeys, stop: &CancellationToken) -> Result<(), Lost> {
        let stream = Stream {
            nonce: random::array(self.seams.random.as_ref()),
            tenant: self.identity.tenant,
            agent: self.identity.agent,
        };
        let mut core = Core::new(stream, self.identity.root.clone());
        // Each request in flight is answered once, and pings come one at a time: nothing waits here.
        let (outgoing, messages) = mpsc::channel(self.config.max_requests + 16);
        for message in core.greet(keys, &self.identity.key, self.seams.clock.now()) {
            outgoing.send(message).await.map_err(|_| Lost::Ended)?;
        }
        let dialled = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            dialled = self.dial(messages) => dialled,
        };
        let mut incoming = dialled?;
        let mut renewal = monotonic() + KEY_RENEW_EVERY;
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(self.config.timeouts.drain).await;
        };
        let mut drained = pin!(drained);
        let mut stopping = false;
        loop {
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    core.drain();
                    self.attached.send_replace(Attached::No);
                    send(&outgoing, agent_message::Message::Draining(Draining {})).await?;
                }
                () = &mut drained => {
                    tracing::warn!("requests in flight did not end within the drain time");
                    return Ok(());
                }
                () = sleep_until(renewal) => {
                    renewal += KEY_RENEW_EVERY;
                    keys.renew(self.seams.random.as_ref());
                    send(&outgoing, core.announce(keys, &self.identity.key)).await?;
                }
                message = incoming.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        // The cloud ends the stream of a draining agent when nothing is in flight.
                        _ if stopping => return Ok(()),
                        Ok(None) => return Err(Lost::Ended),
                        Err(status) => return Err(status.into()),
                    };
                    let effect = core.on(message, keys, monotonic(), self.seams.clock.now());
                    match effect {
                        Some(Effect::Send(message)) => send(&outgoing, message).await?,
                        Some(Effect::Validate(work)) => self.validate(*work, &outgoing).await?,
                        Some(Effect::Attached(attached)) => {
                            self.attached.send_replace(attached);
                        }
                        None => {}
                    }
                }
            }
        }
    }

    async fn dial(&self, messages: mpsc::Receiver<AgentMessage>) -> Result<Streaming<CloudMessage>, Lost> {
        let unreachable = |error: tonic::transport::Error| Lost::Unreachable(error.into());
        // The connector does TLS: an https URI would ask tonic for its own.
        let channel = Endpoint::from_shared(format!("http://{}", self.config.cloud))
            .map_err(unreachable)?
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT_MAX)
            .keep_alive_while_idle(true)
            .connect_with_connector(self.connector.clone())
            .await
            .map_err(unreachable)?;
        let mut client = AgentChannelClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let attached = client.attach(ReceiverStream::new(messages));
        let response = tokio::time::timeout(ATTACH_WAIT_MAX, attached)
            .await
            .map_err(|_| Lost::NotTaken)??;
        Ok(response.into_inner())
    }

    /// Asks the directory in a task of its own, which answers on the stream.
    async fn validate(&self, work: Work, outgoing: &mpsc::Sender<AgentMessage>) -> Result<(), Lost> {
        let Work {
            request,
            sealer,
            received,
            deadline,
        } = work;
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            return send(outgoing, decline(sealer, NotAsked::Busy)).await;
        };
        let (forests, outgoing) = (self.forests.clone(), outgoing.clone());
        self.seams.tasks.spawn("validation", async move {
            let report = validate(&forests, request, received, deadline).await;
            let verdict = agent_message::Message::Verdict(sealer.seal(&report));
            if send(&outgoing, verdict).await.is_err() {
                tracing::warn!("a verdict was lost with its stream");
            }
            drop(permit);
        });
        Ok(())
    }
}

async fn send(outgoing: &mpsc::Sender<AgentMessage>, message: agent_message::Message) -> Result<(), Lost> {
    outgoing
        .send(AgentMessage {
            message: Some(message),
        })
        .await
        .map_err(|_| Lost::Ended)
}
