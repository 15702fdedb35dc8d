//! The requests of one connection: which are under way, since when, and what ends those that take too long.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::places::{Doing, Place};

/// In a response's extensions: its body has no bound in time. For streams that are meant to stay, to peers
/// that have shown who they are.
#[derive(Clone, Copy, Debug)]
pub struct Lasting;

/// Breaks off a body.
#[derive(Debug, thiserror::Error)]
#[error("request took too long")]
pub(super) struct TookTooLong;

/// For the answer that ends a request before its time to leave, before its connection is closed.
const FAREWELL_WAIT: Duration = Duration::from_secs(1);

/// Counts the requests of one connection.
pub(super) struct Requests {
    known: Arc<watch::Sender<Known>>,
    wait_max: Duration,
}

/// What is known of them.
#[derive(Clone, Debug, Default)]
struct Known {
    /// How many there ever were; the number of the next one.
    came: u64,
    /// Those under way, the oldest first.
    bounded: BTreeSet<(Instant, u64)>,
    /// The number of those that may stay.
    lasting: usize,
    /// One that was to stay has ended. Its peer has nothing else to ask here, or does not hear us.
    left: bool,
}

/// Looks at the same requests.
#[derive(Clone, Debug)]
pub(super) struct Watcher(watch::Receiver<Known>);

impl Requests {
    /// Each may be under way for `wait_max`.
    pub(super) fn new(wait_max: Duration) -> (Self, Watcher) {
        let (known, watcher) = watch::channel(Known::default());
        let known = Arc::new(known);
        (Self { known, wait_max }, Watcher(watcher))
    }

    /// Runs one: `handler` makes its response, or 408 is answered for it. A body that takes longer breaks off,
    /// unless the response is [`Lasting`].
    pub(super) async fn run<E>(
        &self,
        handler: impl Future<Output = Result<Response, E>>,
    ) -> Result<http::Response<Guarded>, E> {
        let mut under_way = self.under_way();
        let ends = under_way.ends;
        let response = match tokio::time::timeout_at(ends, handler).await {
            Ok(response) => response?,
            Err(_) => {
                let mut late = Response::default();
                *late.status_mut() = StatusCode::REQUEST_TIMEOUT;
                late
            }
        };
        let lasting = response.extensions().get::<Lasting>().is_some();
        if lasting {
            under_way.stays();
        }
        let ends = (!lasting).then(|| Box::pin(tokio::time::sleep_until(ends)));
        Ok(response.map(|body| Guarded {
            body,
            ends,
            _under_way: under_way,
        }))
    }

    fn under_way(&self) -> UnderWay {
        let ends = Instant::now() + self.wait_max;
        let mut number = 0;
        self.known.send_modify(|known| {
            number = known.came;
            known.came += 1;
            known.bounded.insert((ends, number));
        });
        UnderWay {
            known: self.known.clone(),
            ends,
            number,
        }
    }
}

impl Watcher {
    /// Tells places what their connection does, without end.
    pub(super) async fn note(&mut self, places: &[&Place]) {
        loop {
            let doing = {
                let known = self.0.borrow_and_update();
                match (known.lasting, known.bounded.len()) {
                    (0, 0) => Doing::Idle,
                    (0, _) => Doing::Busy,
                    _ => Doing::Lasts,
                }
            };
            places.iter().for_each(|place| place.is(doing));
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether one ever came.
    pub(super) fn any(&self) -> bool {
        self.0.borrow().came > 0
    }

    /// Ends when no request has been under way for `later`, or for `first` if none ever came; sooner where one
    /// that was to stay has ended.
    pub(super) async fn quiet(&mut self, first: Duration, later: Duration) {
        loop {
            let (any, left, under_way) = {
                let known = self.0.borrow_and_update();
                (known.came > 0, known.left, known.lasting + known.bounded.len())
            };
            if under_way > 0 {
                if self.0.changed().await.is_err() {
                    // The connection is about to end by itself.
                    return std::future::pending().await;
                }
                continue;
            }
            let wait = match (any, left) {
                (false, _) => first,
                (true, false) => later,
                (true, true) => later.min(FAREWELL_WAIT),
            };
            match tokio::time::timeout(wait, self.0.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) => return,
            }
        }
    }

    /// Ends when a request is still under way after its time: its peer does not read, so that it cannot even
    /// be told.
    pub(super) async fn overdue(&mut self) {
        loop {
            let first = self.0.borrow_and_update().bounded.first().copied();
            let changed = match first {
                None => self.0.changed().await,
                Some((ends, _)) => tokio::select! {
                    () = tokio::time::sleep_until(ends + FAREWELL_WAIT) => return,
                    changed = self.0.changed() => changed,
                },
            };
            if changed.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Counts a request as under way until it is dropped.
struct UnderWay {
    known: Arc<watch::Sender<Known>>,
    ends: Instant,
    number: u64,
}

impl UnderWay {
    /// It has no bound any more.
    fn stays(&mut self) {
        let key = (self.ends, self.number);
        self.known.send_modify(|known| {
            if known.bounded.remove(&key) {
                known.lasting += 1;
            }
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let key = (self.ends, self.number);
        self.known.send_modify(|known| {
            if !known.bounded.remove(&key) {
                known.lasting -= 1;
                known.left = true;
            }
        });
    }
}

/// A response body whose request is under way until hyper drops it, which it does at its end.
pub(super) struct Guarded {
    body: axum::body::Body,
    ends: Option<Pin<Box<Sleep>>>,
    _under_way: UnderWay,
}

impl Body for Guarded {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(ends) = &mut self.ends
            && ends.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(axum::Error::new(TookTooLong))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
