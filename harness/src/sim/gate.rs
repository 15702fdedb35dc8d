//! A host whose process has been stopped, as by SIGSTOP: its connections stay open, and nothing comes
//! out of it or goes into it until it goes on.
//!
//! The simulator cannot stop a host's timers. So inside of it time goes on, and what its timers do
//! meanwhile is seen by others when it goes on, as with a process whose timers all fire at once then. Only
//! a connection that it gives up meanwhile is seen to close at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether anything passes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    shut: Arc<AtomicBool>,
    waiting: Arc<Mutex<Vec<Waker>>>,
}

impl Gate {
    /// Nothing passes from now on.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    /// Everything passes again.
    pub(super) fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
        for waker in std::mem::take(&mut *self.lock()) {
            waker.wake();
        }
    }

    /// Whether nothing passes.
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }

    /// Ready while it is open.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_shut() {
            return Poll::Ready(());
        }
        let mut waiting = self.lock();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until it is open.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub(super) async fn passed(&self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
