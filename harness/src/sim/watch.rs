//! What the hosts of a simulation let out: looks for passwords in every line of their logs and in everything
//! that they send, and hears from agents which requests they took.
//!
//! What the cloud says of its agents is then not the only word about them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::log::{Words, elapsed, host_of, note_host};
use crate::canary::{Canary, Leak};

/// Everything that our own parts say, and what libraries say that concerns an operator: their frames and packets
/// would cost more than the run itself.
pub(crate) const FILTER: &str = "info,postern_kit=trace,postern_proto=trace,postern_cloud=trace,postern_agent=trace,\
                      postern_harness=off,postern_directory_mock=off";

/// What an agent says when it has opened a request.
pub(crate) const TAKEN: &str = "request taken";

/// What the cloud says when it can give an agent requests, when it cannot any more, and why not.
const ATTACHED: &str = "agent attached";
const DETACHED: &str = "agent detached";
const ENDED: &str = "agent's stream ended";

/// What an agent says before it dials again.
const NOT_ATTACHED: &str = "not attached";

/// Words about agents that are kept: one that flaps through an hour says a few thousand.
const HEARD_MAX: usize = 10_000;

/// Leaks that are kept: who leaks once leaks again.
const LEAKS_MAX: usize = 20;

/// An agent has opened a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Since the simulation began.
    pub at: Duration,
    /// The agent's host.
    pub host: String,
    /// The request's id.
    pub request: String,
}

/// How it is with an agent's stream, in the words of one of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Since the simulation began.
    pub at: Duration,
    /// Who says so: the agent's own host, or the cloud's.
    pub host: String,
    /// The agent's id, where another host speaks of it.
    pub agent: Option<String>,
    /// What is said.
    pub what: Stream,
}

/// How it is with an agent's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// It stands.
    Stands,
    /// It has ended: why, unless whoever says so has ended it.
    Ended(String),
}

impl Stream {
    /// What a line of a log says of a stream, if it is about one.
    pub(crate) fn said(message: &str, error: &str) -> Option<Self> {
        match message {
            ATTACHED => Some(Self::Stands),
            DETACHED => Some(Self::Ended(String::new())),
            ENDED | NOT_ATTACHED => Some(Self::Ended(error.to_owned())),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    leaks: Vec<Leak>,
    heard: Vec<Heard>,
    taken: Vec<Taken>,
    /// Whether logs are looked at.
    hears: bool,
}

/// Watches over a simulation. Clones share what they saw.
#[derive(Clone, Debug)]
pub struct Watch {
    canary: Arc<Canary>,
    kept: Arc<Mutex<Kept>>,
}

impl Watch {
    /// Looks for `canary`, in logs too unless this process's log is somebody else's or was watched before.
    pub fn begin(canary: Canary) -> Self {
        let watch = Self {
            canary: Arc::new(canary),
            kept: Arc::default(),
        };
        // Whoever has the log shown or kept has set ears up; else they are set up now.
        let _ = tracing_subscriber::registry().with(ears()).try_init();
        let there = tracing::dispatcher::get_default(|log| log.downcast_ref::<Ears>().cloned());
        watch.lock().hears = there.is_some_and(|ears| ears.0.set(watch.clone()).is_ok());
        watch
    }

    /// Looks into some bytes that are on their way out.
    pub(super) fn look(&self, place: &str, bytes: &[u8]) {
        let found = self.canary.find(place, bytes);
        if !found.is_empty() {
            let mut kept = self.lock();
            let free = LEAKS_MAX.saturating_sub(kept.leaks.len());
            kept.leaks.extend(found.into_iter().take(free));
        }
    }

    /// What is looked for.
    pub(super) fn canary(&self) -> &Canary {
        &self.canary
    }

    /// What was found up to now, the first ones.
    pub fn leaks(&self) -> Vec<Leak> {
        self.lock().leaks.clone()
    }

    /// The requests that agents took up to now; `None` if their logs are not looked at.
    pub fn taken(&self) -> Option<Vec<Taken>> {
        let kept = self.lock();
        kept.hears.then(|| kept.taken.clone())
    }

    /// What was said of agents' streams, the first words; nothing if logs are not looked at.
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().heard.clone()
    }

    fn hear(&self, words: &Words, host: impl FnOnce() -> String) {
        let Some(what) = Stream::said(&words.message, &words.error) else {
            return;
        };
        let mut kept = self.lock();
        if kept.heard.len() < HEARD_MAX {
            kept.heard.push(Heard {
                at: elapsed().unwrap_or_default(),
                host: host(),
                agent: words.field("agent").map(str::to_owned),
                what,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a watch hears with: part of each log that a simulation can have, and deaf until a watch begins.
#[derive(Clone, Debug, Default)]
struct Ears(Arc<OnceLock<Watch>>);

/// For a log: what a watch needs of it, whatever else is shown.
pub(super) fn ears<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Ears::default().with_filter(EnvFilter::new(FILTER))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ears {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        note_host(attributes, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(watch) = self.0.get() else { return };
        let mut words = Words::default();
        event.record(&mut words);
        let host = || host_of(event, &context).unwrap_or_default();
        for text in [&words.message, &words.fields] {
            let found = watch.canary.find("", text.as_bytes());
            if !found.is_empty() {
                watch.look(&format!("the log of {}", host()), text.as_bytes());
            }
        }
        watch.hear(&words, host);
        if words.message == TAKEN
            && let Some(request) = words.field("request")
        {
            watch.lock().taken.push(Taken {
                at: elapsed().unwrap_or_default(),
                host: host(),
                request: request.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hearing(watch: &Watch) -> Ears {
        Ears(Arc::new(OnceLock::from(watch.clone())))
    }

    #[test]
    fn what_is_said_and_sent_is_looked_at() {
        let watch = Watch {
            canary: Arc::new(Canary::new("Canary-5f1db07e")),
            kept: Arc::default(),
        };
        let subscriber = tracing_subscriber::registry().with(hearing(&watch));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("node", name = "agent1");
            let _entered = span.enter();
            tracing::debug!(request = %"4711", "request taken");
            assert_eq!(watch.leaks(), []);
            tracing::warn!(password = "Canary-5f1db07e-0-00", "cannot bind");
        });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(hearing(&watch)), || {
            let agent = "0b";
            tracing::info!(%agent, tenant = "t", "agent attached");
            tracing::warn!(%agent, error = "connection failed: h2 protocol error", "agent's stream ended");
            tracing::warn!(
                cloud = "c:1",
                error = "no connection within 5 s",
                again_in_ms = 7,
                "not attached"
            );
        });
        let heard = watch.heard();
        let heard: Vec<_> = heard
            .iter()
            .map(|one| (one.agent.as_deref(), &one.what))
            .collect();
        let ended = |why: &str| Stream::Ended(why.to_owned());
        let expected = [
            (Some("0b"), &Stream::Stands),
            (Some("0b"), &ended("connection failed: h2 protocol error")),
            (None, &ended("no connection within 5 s")),
        ];
        assert_eq!(heard, expected);
        watch.look("the network", b"xCanary-5f1db07e-1-ff");
        let places: Vec<_> = watch.leaks().into_iter().map(|leak| leak.place).collect();
        assert!(places.contains(&"the log of agent1".to_owned()), "{places:?}");
        assert!(places.contains(&"the network".to_owned()), "{places:?}");
        let taken = watch.lock().taken.clone();
        assert_eq!(
            (taken[0].host.as_str(), taken[0].request.as_str()),
            ("agent1", "4711")
        );
    }
}
