//! What one attached stream knows and decides: keys, sessions, and what each message means. No
//! socket and no waiting: messages and times in, effects out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern_kit::clock::Timestamp;
use postern_kit::keys::SigningKey;
use postern_kit::random::Random;
use postern_kit::tls::Certificate;
use postern_proto::ids::SessionId;
use postern_proto::seal::{OpeningSession, Request, SealingKeyPair, Stream, VerdictSealer};
use postern_proto::verdict::{NotAsked, Verdict, VerdictReport};
use postern_proto::wire::channel::{
    AgentMessage, CloudMessage, Hello, Ping, Pong, SealedRequest, Session, UnknownSession, Welcome,
    agent_message, cloud_message,
};

use super::Attached;

/// Clocks that differ by more are reported. They decide nothing.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// Most sessions of one stream. The cloud announces one every 4 minutes and each is kept for 6;
/// more than this is a cloud that does not know what it does, and the oldest go.
const SESSIONS_MAX: usize = 16;

/// The sealing keys of this process, in memory only. They outlive streams.
#[derive(Debug)]
pub(super) struct SealingKeys {
    current: Arc<SealingKeyPair>,
    /// The one before, until the cloud has made a session with the current one.
    previous: Option<Arc<SealingKeyPair>>,
}

impl SealingKeys {
    pub(super) fn new(random: &dyn Random) -> Self {
        Self {
            current: Arc::new(SealingKeyPair::generate(random)),
            previous: None,
        }
    }

    /// Makes a new key. Sessions keep the old one alive until they end.
    pub(super) fn renew(&mut self, random: &dyn Random) {
        let new = Arc::new(SealingKeyPair::generate(random));
        self.previous = Some(std::mem::replace(&mut self.current, new));
    }

    fn find(&self, id: &[u8]) -> Option<&Arc<SealingKeyPair>> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id().as_bytes() == id)
    }
}

/// Something to be done.
#[derive(Debug)]
pub(super) enum Effect {
    Send(agent_message::Message),
    /// Have the directory asked, if there is room for one more.
    Validate(Box<Work>),
    /// The state of the stream for whoever watches.
    Attached(Attached),
}

/// An opened request on its way to the directory.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request: Request,
    pub(super) sealer: VerdictSealer,
    pub(super) received: Instant,
    pub(super) deadline: Instant,
}

/// Answers without asking anybody.
pub(super) fn decline(sealer: VerdictSealer, why: NotAsked) -> agent_message::Message {
    agent_message::Message::Verdict(sealer.seal(&VerdictReport::bare(Verdict::NotAsked(why))))
}

/// One attached stream.
pub(super) struct Core {
    stream: Stream,
    root: Certificate,
    sessions: BTreeMap<SessionId, (OpeningSession, Instant)>,
    draining: bool,
}

impl Core {
    /// Before anything was said on `stream`; sessions count if announced under `root`.
    pub(super) fn new(stream: Stream, root: Certificate) -> Self {
        Self {
            stream,
            root,
            sessions: BTreeMap::new(),
            draining: false,
        }
    }

    /// What the agent says first.
    pub(super) fn greet(
        &self,
        keys: &SealingKeys,
        certificate_key: &SigningKey,
        now: Timestamp,
    ) -> [AgentMessage; 2] {
        let hello = Hello {
            nonce: self.stream.nonce.to_vec(),
            agent_version: crate::VERSION.to_owned(),
            wall_clock_unix_ms: now.unix_ms(),
        };
        [
            agent_message::Message::Hello(hello),
            self.announce(keys, certificate_key),
        ]
        .map(|message| AgentMessage {
            message: Some(message),
        })
    }

    /// The announcement of the current sealing key.
    pub(super) fn announce(
        &self,
        keys: &SealingKeys,
        certificate_key: &SigningKey,
    ) -> agent_message::Message {
        agent_message::Message::SealingKey(keys.current.announce(&self.stream, certificate_key))
    }

    /// From now on requests are declined.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Takes a message that was received at `now`, which is `wall` on the wall clock.
    pub(super) fn on(
        &mut self,
        message: CloudMessage,
        keys: &mut SealingKeys,
        now: Instant,
        wall: Timestamp,
    ) -> Option<Effect> {
        self.sessions
            .retain(|_, (session, since)| !session.is_over(now.saturating_duration_since(*since)));
        match message.message? {
            cloud_message::Message::Welcome(welcome) => {
                greeted(&welcome, wall);
                None
            }
            cloud_message::Message::Session(announcement) => self.accept(&announcement, keys, now, wall),
            cloud_message::Message::Request(sealed) => self.open(&sealed, now),
            cloud_message::Message::Ping(Ping { number }) => {
                Some(Effect::Send(agent_message::Message::Pong(Pong { number })))
            }
            cloud_message::Message::Draining(_) => {
                tracing::info!("the cloud takes nothing new on this stream");
                Some(Effect::Attached(Attached::No))
            }
        }
    }

    fn accept(
        &mut self,
        announcement: &Session,
        keys: &mut SealingKeys,
        now: Instant,
        wall: Timestamp,
    ) -> Option<Effect> {
        let Some(key) = keys.find(&announcement.sealing_key_id).cloned() else {
            tracing::warn!("session announced for a sealing key that is not in use");
            return None;
        };
        let current = key.id() == keys.current.id();
        match OpeningSession::accept(&self.stream, key, announcement, &self.root, wall) {
            Ok(session) => {
                if current {
                    keys.previous = None;
                }
                if self.sessions.len() >= SESSIONS_MAX {
                    let oldest = self
                        .sessions
                        .iter()
                        .min_by_key(|(_, (_, since))| *since)
                        .map(|(id, _)| *id);
                    oldest.and_then(|id| self.sessions.remove(&id));
                }
                self.sessions.insert(session.id(), (session, now));
                Some(Effect::Attached(if self.draining {
                    Attached::No
                } else {
                    Attached::Yes
                }))
            }
            Err(error) => {
                tracing::error!(error = postern_kit::telemetry::chain(&error), "session refused");
                None
            }
        }
    }

    fn open(&mut self, sealed: &SealedRequest, now: Instant) -> Option<Effect> {
        let found = SessionId::try_from(sealed.session_id.as_slice())
            .ok()
            .and_then(|id| self.sessions.get_mut(&id));
        let Some((session, since)) = found else {
            let unknown = UnknownSession {
                session_id: sealed.session_id.clone(),
                sequence: sealed.sequence,
            };
            return Some(Effect::Send(agent_message::Message::UnknownSession(unknown)));
        };
        let opened = match session.open(sealed, now.saturating_duration_since(*since)) {
            Ok(opened) => opened,
            Err(error) => {
                // Not authentic, or seen before: whoever sent it gets no answer.
                tracing::warn!(error = postern_kit::telemetry::chain(&error), "request ignored");
                return None;
            }
        };
        match opened.request {
            Ok(_) if self.draining => Some(Effect::Send(decline(opened.sealer, NotAsked::Draining))),
            Ok(request) => {
                let deadline = *since + request.header.deadline;
                Some(Effect::Validate(Box::new(Work {
                    request,
                    sealer: opened.sealer,
                    received: now,
                    deadline,
                })))
            }
            Err(why) => Some(Effect::Send(decline(opened.sealer, why))),
        }
    }
}

fn greeted(welcome: &Welcome, now: Timestamp) {
    let theirs = Timestamp::from_unix_ms(welcome.wall_clock_unix_ms);
    let skew = now.since(theirs).max(theirs.since(now));
    if skew > SKEW_MAX {
        tracing::warn!(skew_s = skew.as_secs(), "clocks of agent and cloud differ");
    }
    tracing::info!(replica = welcome.replica_id, "connected");
}

#[cfg(test)]
mod tests;
