//! The shell with its streams: agents are enrolled by the real trust, attach by the real call
//! (in memory, without a socket) and open and seal as the protocol says. What they then do is up
//! to the test. Who gets a question, and what silence means, is the core's own tests' business.

mod hand_off;
mod streams;
mod verdicts;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use postern_kit::clock::{Clock as _, monotonic};
use postern_kit::keys::SigningKey;
use postern_kit::random::SystemRandom;
use postern_kit::serve::Peer;
use postern_kit::tls::Certificate;
use postern_proto::ids::SessionId;
use postern_proto::seal::{self, Opened, OpeningSession, SealingKeyPair, VerdictSealer};
use postern_proto::wire::channel::agent_channel_client::AgentChannelClient;
use postern_proto::wire::channel::agent_channel_server::AgentChannelServer;
use postern_proto::wire::channel::{
    AgentMessage, CloudMessage, Draining, Hello, Pong, SealedRequest, SealedVerdict, Session, UnknownSession,
    agent_message, cloud_message,
};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::*;
use crate::bus::InProcess;
use crate::trust::tests::World as Trusting;
use crate::trust::{AgentRegistration, Enrolled};

const PASSWORD: &str = "Difference-Engine-1";
const OBJECT: ObjectId = ObjectId::from_bytes([7; 16]);
const SHARE: Duration = Duration::from_secs(4);
const DEADLINE: Duration = Duration::from_secs(15);
/// Longer than anything takes that ends at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The account of all questions.
#[derive(Debug, Default)]
struct Account {
    used_up: AtomicBool,
    charged_again: AtomicUsize,
}

impl Charges for Arc<Account> {
    fn again(&mut self) -> bool {
        let can = !self.used_up.load(Ordering::Relaxed);
        self.charged_again.fetch_add(can.into(), Ordering::Relaxed);
        can
    }
}

/// A dispatch and one tenant, `contoso` with corp.example and lab.example.
struct World {
    trusting: Trusting,
    bus: Arc<dyn Bus>,
    dispatch: Dispatch,
    stop: CancellationToken,
    contoso: TenantId,
    account: Arc<Account>,
}

impl World {
    async fn new() -> Self {
        Self::with_share(SHARE).await
    }

    async fn with_share(attempt_share: Duration) -> Self {
        let trusting = Trusting::new().await;
        let contoso = trusting.tenant("contoso", &["corp.example", "lab.example"]).await;
        let (bus, stop) = (Arc::new(InProcess::default()), CancellationToken::new());
        let trust = trusting.trust.clone();
        let (seams, stopped) = (&trusting.seams, stop.clone());
        let dispatch = Dispatch::start(trust, bus.clone(), attempt_share, true, seams, stopped).await;
        Self {
            trusting,
            bus,
            dispatch,
            stop,
            contoso,
            account: Arc::default(),
        }
    }

    /// With one agent for corp.example.
    async fn with_agent() -> (Self, Agent) {
        let world = Self::new().await;
        let agent = world.agent().await;
        (world, agent)
    }

    /// One more agent for corp.example, ready to be asked.
    async fn agent(&self) -> Agent {
        self.agent_for(self.contoso, &["corp.example"]).await
    }

    async fn agent_for(&self, tenant: TenantId, domains: &[&str]) -> Agent {
        let (enrolled, key) = self.trusting.agent(tenant, domains).await;
        let mut agent = self.dial(&enrolled, key).await;
        agent.introduce().await;
        agent
    }

    /// One more for corp.example, which an administrator had drained before it attached.
    async fn drained_agent(&self) -> Agent {
        let (enrolled, key) = self.trusting.agent(self.contoso, &["corp.example"]).await;
        let id = enrolled.registration.agent;
        let drained = self.trusting.trust.set_drained(self.contoso, id, true);
        assert!(drained.await.unwrap());
        let mut agent = self.dial(&enrolled, key).await;
        agent.introduce().await;
        agent
    }

    /// An agent that has called and said nothing yet.
    async fn dial(&self, enrolled: &Enrolled, key: SigningKey) -> Agent {
        let (say, said) = mpsc::channel(16);
        let registration = enrolled.registration.clone();
        let hears = self
            .call(said, Some(&enrolled.chain[0]), Some(registration))
            .await
            .unwrap();
        let AgentRegistration { agent, tenant, .. } = enrolled.registration;
        Agent {
            id: agent,
            stream: seal::Stream {
                nonce: postern_kit::random::array(&SystemRandom),
                tenant,
                agent,
            },
            key,
            sealing_key: Arc::new(SealingKeyPair::generate(&SystemRandom)),
            announcement: Session::default(),
            sessions: BTreeMap::new(),
            root: self.trusting.trust.root().clone(),
            now: self.trusting.clock.now(),
            say: Some(say),
            hears,
        }
    }

    /// The call, with what the listener and the table of callers put into its extensions.
    async fn call(
        &self,
        said: mpsc::Receiver<AgentMessage>,
        certificate: Option<&Certificate>,
        registration: Option<AgentRegistration>,
    ) -> Result<Streaming<CloudMessage>, Status> {
        let mut call = tonic::Request::new(ReceiverStream::new(said));
        call.extensions_mut().insert(Peer {
            addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4711),
            certificate: certificate.cloned(),
        });
        if let Some(registration) = registration {
            call.extensions_mut().insert(registration);
        }
        let service = AgentChannelServer::new(self.dispatch.service());
        let answer = AgentChannelClient::new(service).attach(call).await?;
        Ok(answer.into_inner())
    }

    fn question(&self) -> Question {
        Question {
            request: RequestId::generate(&SystemRandom),
            tenant: self.contoso,
            domain: corp(),
            object: OBJECT,
            name: "ada.lovelace@corp.internal".parse().unwrap(),
            password: Password::new(PASSWORD.to_owned()).unwrap(),
            deadline: monotonic() + DEADLINE,
            charges: Box::new(self.account.clone()),
        }
    }

    async fn ask(&self) -> Judgement {
        self.dispatch.ask(self.question()).await
    }

    /// Asks, and lets the agents do meanwhile what must not come to an end by itself.
    async fn judged_while(&self, agents: impl Future<Output = ()>) -> Judgement {
        tokio::select! {
            judgement = self.ask() => judgement,
            () = agents => panic!("a stream ended"),
        }
    }

    fn in_flight(&self, agent: &Agent) -> Option<usize> {
        let presence = self.dispatch.connected(agent.id);
        presence.map(|presence| presence.in_flight)
    }

    fn admits(&self) -> Result<(), NotAdmitted> {
        self.dispatch.admit(self.contoso, &corp())
    }
}

fn corp() -> DomainName {
    "corp.example".parse().unwrap()
}

/// An agent's end of a stream.
struct Agent {
    id: AgentId,
    stream: seal::Stream,
    key: SigningKey,
    sealing_key: Arc<SealingKeyPair>,
    /// The newest session's.
    announcement: Session,
    sessions: BTreeMap<SessionId, OpeningSession>,
    root: Certificate,
    now: Timestamp,
    /// Gone once the agent has hung up.
    say: Option<mpsc::Sender<AgentMessage>>,
    hears: Streaming<CloudMessage>,
}

impl Agent {
    async fn say(&self, message: agent_message::Message) {
        let message = AgentMessage {
            message: Some(message),
        };
        // An error means that the cloud does not listen any more, which the test will see.
        let _ = self.say.as_ref().unwrap().send(message).await;
    }

    fn hang_up(&mut self) {
        self.say = None;
    }

    /// The next message, whatever it is; `None` at the end of the stream.
    async fn hear_any(&mut self) -> Option<cloud_message::Message> {
        let heard = timeout(PATIENCE, self.hears.message()).await;
        heard.expect("the cloud says something").unwrap()?.message
    }

    /// The next message that is no ping; pings are answered.
    async fn hear(&mut self) -> Option<cloud_message::Message> {
        loop {
            match self.hear_any().await {
                Some(cloud_message::Message::Ping(ping)) => {
                    let number = ping.number;
                    self.say(agent_message::Message::Pong(Pong { number })).await;
                }
                other => return other,
            }
        }
    }

    /// Answers pings until the stream ends.
    async fn live(&mut self) {
        while self.hear().await.is_some() {}
    }

    /// What was said and has arrived already.
    async fn maybe_hear(&mut self) -> Option<cloud_message::Message> {
        for _ in 0..100 {
            if let Some(heard) = self.hear().now_or_never() {
                return heard;
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Hello and sealing key, until a session stands.
    async fn introduce(&mut self) {
        self.hello().await;
        self.announce_key().await;
        let announcement = self.session().await;
        self.accept(&announcement);
    }

    async fn hello(&mut self) {
        let Some(cloud_message::Message::Welcome(_)) = self.hear().await else {
            panic!("no welcome")
        };
        let hello = Hello {
            nonce: self.stream.nonce.to_vec(),
            agent_version: "4.5.6".to_owned(),
            wall_clock_unix_ms: self.now.unix_ms(),
        };
        self.say(agent_message::Message::Hello(hello)).await;
    }

    async fn announce_key(&self) {
        let announcement = self.sealing_key.announce(&self.stream, &self.key);
        self.say(agent_message::Message::SealingKey(announcement)).await;
    }

    async fn session(&mut self) -> Session {
        match self.hear().await {
            Some(cloud_message::Message::Session(announcement)) => announcement,
            other => panic!("no session but {other:?}"),
        }
    }

    fn opening(&self, announcement: &Session) -> OpeningSession {
        let key = self.sealing_key.clone();
        OpeningSession::accept(&self.stream, key, announcement, &self.root, self.now).unwrap()
    }

    fn accept(&mut self, announcement: &Session) {
        let session = self.opening(announcement);
        self.announcement = announcement.clone();
        self.sessions.insert(session.id(), session);
    }

    async fn request(&mut self) -> SealedRequest {
        match self.hear().await {
            Some(cloud_message::Message::Request(request)) => request,
            other => panic!("no request but {other:?}"),
        }
    }

    fn open(&mut self, request: &SealedRequest) -> Opened {
        let session = SessionId::try_from(request.session_id.as_slice()).unwrap();
        let session = self.sessions.get_mut(&session).expect("an announced session");
        session.open(request, Duration::ZERO).unwrap()
    }

    /// Takes the next request; what answers it.
    async fn take(&mut self) -> VerdictSealer {
        let request = self.request().await;
        self.open(&request).sealer
    }

    async fn send(&self, verdict: SealedVerdict) {
        self.say(agent_message::Message::Verdict(verdict)).await;
    }

    /// Says this about a request.
    async fn answer_to(&mut self, request: &SealedRequest, verdict: Verdict) {
        let sealer = self.open(request).sealer;
        self.send(seal(sealer, verdict)).await;
    }

    /// Takes the next request and says this about it.
    async fn answer(&mut self, verdict: Verdict) {
        let request = self.request().await;
        self.answer_to(&request, verdict).await;
    }

    async fn say_unknown(&self, request: &SealedRequest) {
        let unknown = UnknownSession {
            session_id: request.session_id.clone(),
            sequence: request.sequence,
        };
        self.say(agent_message::Message::UnknownSession(unknown)).await;
    }
}

fn seal(sealer: VerdictSealer, verdict: Verdict) -> SealedVerdict {
    sealer.seal(&VerdictReport::bare(verdict))
}

fn verdicts(judgement: &Judgement) -> Vec<Option<Verdict>> {
    judgement.attempts.iter().map(Attempt::verdict).collect()
}

/// That so much time has passed since, within what a timer needs.
#[track_caller]
fn assert_near(start: Instant, expected: Duration) {
    let passed = monotonic().saturating_duration_since(start);
    let most = expected + Duration::from_millis(10);
    assert!((expected..=most).contains(&passed), "{passed:?}");
}

/// Waits for a state that is reached without time passing.
async fn until(mut reached: impl FnMut() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the state is reached");
}

const LOST: Verdict = Verdict::Unavailable(Unavailable::ConnectionLost);
const TIMED_OUT: Verdict = Verdict::Unavailable(Unavailable::TimedOut);
const NOBODY: Verdict = Verdict::NotAsked(NotAsked::NoController);
