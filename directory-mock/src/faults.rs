//! Troubles of one domain controller, switched on and off while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What goes wrong with a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindFault {
    /// The connection is closed before the password was looked at.
    ResetUnjudged,
    /// The password is judged and a failure counted, but the connection is closed before the answer.
    ResetJudged,
    /// Never answered, not judged; the connection stays open.
    Hang,
    /// This result code and text instead of a judgement: 8, 51, 52, 80 and so on.
    Answer {
        /// resultCode.
        code: ResultCode,
        /// diagnosticMessage.
        message: String,
    },
    /// Result 49 with this data code instead of a judgement: `0x51f`, `0x576`, `0x774`, anything.
    OddSubCode(u32),
}

impl BindFault {
    /// 51, as an overloaded controller answers.
    pub fn busy() -> Self {
        Self::answer(ResultCode::Busy, "00002024: the directory is busy")
    }

    /// 52, as a controller that is going down answers.
    pub fn unavailable() -> Self {
        Self::answer(ResultCode::Unavailable, "0000200F: the directory is unavailable")
    }

    /// 80.
    pub fn other() -> Self {
        Self::answer(ResultCode::Other, "00002024: internal error")
    }

    /// 8, as a controller that wants encryption answers.
    pub fn stronger_auth() -> Self {
        Self::answer(ResultCode::StrongerAuthRequired, crate::wire::ENCRYPTION_REQUIRED)
    }

    fn answer(code: ResultCode, message: &str) -> Self {
        Self::Answer {
            code,
            message: message.to_owned(),
        }
    }
}

/// Result codes that [`BindFault::Answer`] can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultCode {
    /// 1.
    OperationsError,
    /// 8.
    StrongerAuthRequired,
    /// 51.
    Busy,
    /// 52.
    Unavailable,
    /// 53.
    UnwillingToPerform,
    /// 80.
    Other,
}

/// How new connections are met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepting {
    /// Served.
    #[default]
    Normal,
    /// Accepted and closed at once.
    Close,
    /// Left in the operating system's queue: they open, and nothing ever answers.
    Ignore,
}

#[derive(Debug, Default)]
struct State {
    latency: Duration,
    bind: Option<BindFault>,
    /// How many binds it still hits; `None` is all.
    left: Option<u32>,
}

/// The switches. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    accepting: Arc<watch::Sender<Accepting>>,
}

impl Faults {
    /// Every bind is answered this much later than it was judged.
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Every bind from now on fails like this.
    pub fn set_bind(&self, fault: BindFault) {
        let mut state = self.lock();
        state.bind = Some(fault);
        state.left = None;
    }

    /// The next `count` binds fail like this.
    pub fn set_bind_for_next(&self, count: u32, fault: BindFault) {
        let mut state = self.lock();
        state.bind = Some(fault);
        state.left = Some(count);
    }

    /// How new connections are met.
    pub fn set_accepting(&self, accepting: Accepting) {
        self.accepting.send_replace(accepting);
    }

    /// Everything works again; hanging binds stay unanswered.
    pub fn clear(&self) {
        *self.lock() = State::default();
        self.set_accepting(Accepting::Normal);
    }

    pub(crate) fn latency(&self) -> Duration {
        self.lock().latency
    }

    pub(crate) fn take_bind(&self) -> Option<BindFault> {
        let mut state = self.lock();
        match state.left {
            Some(0) => return None,
            Some(left) => state.left = Some(left - 1),
            None => {}
        }
        state.bind.clone()
    }

    pub(crate) fn accepting(&self) -> watch::Receiver<Accepting> {
        self.accepting.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_fault_wears_off() {
        let faults = Faults::default();
        faults.set_bind_for_next(2, BindFault::Hang);
        let hits = (0..4).map(|_| faults.take_bind().is_some()).collect::<Vec<_>>();
        assert_eq!(hits, [true, true, false, false]);
        faults.set_bind(BindFault::busy());
        assert!((0..4).all(|_| faults.take_bind() == Some(BindFault::busy())));
        faults.clear();
        assert_eq!(faults.take_bind(), None);
    }
}
