//! Troubles of one domain controller, set and taken away while it runs.
//!
//! A [`Rule`] says which requests it is about (by operation, account, controller, time, count and chance) and what
//! becomes of them. Which rule hits a request is decided by the pure [`core`]; `wire` carries it out. The switches
//! of [`Faults`] that are about binds are rules as well.

pub mod core;
mod delay;
mod rule;
mod text;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_kit::clock::{Clock, Timestamp};
use postern_kit::random::{Random, SeededRandom, fraction};
use tokio::sync::watch;

pub use self::core::{Decision, RULES_MAX, Request, RuleState, Rules};
pub use delay::{DELAY_MAX, Delay};
pub use rule::{Effect, Operation, Rule, RuleError};
pub(crate) use text::read_rule;

/// The rule that [`Faults::set_latency`] sets.
pub const LATENCY: &str = "latency";
/// The rule that [`Faults::set_bind`] sets.
pub const BIND: &str = "bind";

/// What goes wrong with a bind; the short way to the commonest rules.
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

    fn effect(self) -> Effect {
        match self {
            Self::ResetUnjudged => Effect::Refuse,
            Self::ResetJudged => Effect::LoseAnswer,
            Self::Hang => Effect::Hang,
            Self::Answer { code, message } => Effect::answer(code.number(), &message),
            Self::OddSubCode(code) => Effect::SubCode(code),
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

impl ResultCode {
    fn number(self) -> u32 {
        match self {
            Self::OperationsError => 1,
            Self::StrongerAuthRequired => 8,
            Self::Busy => 51,
            Self::Unavailable => 52,
            Self::UnwillingToPerform => 53,
            Self::Other => 80,
        }
    }
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

/// The troubles of a controller. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Arc<Mutex<Rules>>,
    random: Arc<Mutex<Arc<dyn Random>>>,
    clock: Arc<dyn Clock>,
    accepting: Arc<watch::Sender<Accepting>>,
}

impl Faults {
    /// No troubles yet. `clock` is the directory's; chance is drawn from `random`.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            rules: Arc::default(),
            random: Arc::new(Mutex::new(random)),
            clock,
            accepting: Arc::default(),
        }
    }

    /// Sets a rule, in the place of one with the same name.
    ///
    /// # Errors
    /// [`RuleError`] if it makes no sense or there are too many; then nothing has changed.
    pub fn set(&self, rule: Rule) -> Result<(), RuleError> {
        let now = self.clock.now();
        self.lock().set(rule, now)
    }

    /// Takes a rule away; whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.lock().remove(name)
    }

    /// The rules in the order in which they are asked, each with how often it was in play.
    pub fn rules(&self) -> Vec<RuleState> {
        self.lock().all().to_vec()
    }

    /// How many requests a rule has hit; 0 if there is none of this name.
    pub fn hits(&self, name: &str) -> u64 {
        let rules = self.lock();
        let state = rules.all().iter().find(|state| state.rule.name() == name);
        state.map_or(0, |state| state.hits)
    }

    /// Draws chance from this seed from now on, so that a run repeats itself.
    pub fn seed(&self, seed: u64) {
        *self.random.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(SeededRandom::new(seed));
    }

    /// Every bind is answered this much later than it was judged; [`DELAY_MAX`] at most.
    pub fn set_latency(&self, latency: Duration) {
        if latency.is_zero() {
            self.remove(LATENCY);
            return;
        }
        let delay = Delay::Fixed(latency.min(DELAY_MAX));
        self.switch(Rule::new(LATENCY).on(&[Operation::Bind]).delay(delay));
    }

    /// Every bind from now on fails like this.
    pub fn set_bind(&self, fault: BindFault) {
        self.switch(Rule::new(BIND).on(&[Operation::Bind]).effect(fault.effect()));
    }

    /// The next `count` binds fail like this.
    pub fn set_bind_for_next(&self, count: u32, fault: BindFault) {
        let rule = Rule::new(BIND)
            .on(&[Operation::Bind])
            .times(count.into())
            .effect(fault.effect());
        self.switch(rule);
    }

    /// How new connections are met.
    pub fn set_accepting(&self, accepting: Accepting) {
        self.accepting.send_replace(accepting);
    }

    /// Everything works again; hanging requests stay unanswered.
    pub fn clear(&self) {
        *self.lock() = Rules::default();
        self.set_accepting(Accepting::Normal);
    }

    /// What becomes of a request; `accounts` is asked only if a rule wants to know.
    pub(crate) fn decide(
        &self,
        operation: Operation,
        controller: &str,
        accounts: impl FnOnce() -> Vec<String>,
    ) -> Decision {
        let mut rules = self.lock();
        if rules.all().is_empty() {
            return Decision::default();
        }
        let accounts = if rules.ask_whose() { accounts() } else { Vec::new() };
        let request = Request {
            operation,
            controller: &controller.to_lowercase(),
            accounts: &accounts,
        };
        let random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        rules.decide(&request, self.now(), &mut || fraction(random.as_ref()))
    }

    pub(crate) fn accepting(&self) -> watch::Receiver<Accepting> {
        self.accepting.subscribe()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sets a rule of our own making, which is sound; where there is no room for it, the last one gives way.
    fn switch(&self, rule: Rule) {
        let now = self.now();
        let mut rules = self.lock();
        if rules.set(rule.clone(), now) == Err(RuleError::TooMany { max: RULES_MAX }) {
            let last = rules.all().last().map(|state| state.rule.name().to_owned());
            rules.remove(&last.unwrap_or_default());
            let _ = rules.set(rule, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use postern_kit::clock::ManualClock;

    use super::*;

    fn faults() -> Faults {
        let clock = ManualClock::new(Timestamp::from_unix_ms(0));
        Faults::new(Arc::new(clock), Arc::new(SeededRandom::new(1)))
    }

    fn bind(faults: &Faults) -> Decision {
        faults.decide(Operation::Bind, "dc1", Vec::new)
    }

    #[test]
    fn a_limited_fault_wears_off() {
        let faults = faults();
        faults.set_bind_for_next(2, BindFault::Hang);
        let hits = (0..4).map(|_| bind(&faults).effect.is_some()).collect::<Vec<_>>();
        assert_eq!(hits, [true, true, false, false]);
        assert_eq!(faults.hits(BIND), 2);
        faults.set_bind(BindFault::busy());
        assert!((0..4).all(|_| bind(&faults).effect == Some(Effect::busy())));
        faults.set_latency(Duration::from_secs(1));
        assert_eq!(bind(&faults).delay, Duration::from_secs(1));
        assert_eq!(
            faults.decide(Operation::Search, "dc1", Vec::new),
            Decision::default()
        );
        faults.set_latency(Duration::ZERO);
        assert_eq!(bind(&faults).delay, Duration::ZERO);
        faults.clear();
        assert_eq!(bind(&faults), Decision::default());
    }

    #[test]
    fn a_switch_finds_room() {
        let faults = faults();
        for at in 0..RULES_MAX {
            let rule = Rule::new(&format!("r{at}"))
                .on(&[Operation::Search])
                .effect(Effect::Hang);
            faults.set(rule).unwrap();
        }
        faults.set_bind(BindFault::busy());
        assert_eq!(bind(&faults).effect, Some(Effect::busy()));
        assert_eq!(faults.rules().len(), RULES_MAX);
    }
}
