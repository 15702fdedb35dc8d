//! What a fault rule says: which requests it is about, and what becomes of them.

use std::collections::BTreeSet;
use std::time::Duration;

use ldap3_proto::proto::LdapResultCode;

use super::delay::{DELAY_MAX, Delay};

/// What a client asks for. Unbinding and abandoning have no answer and therefore no trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A new connection, before its TLS handshake.
    Connect,
    /// A simple bind; no other is carried out anyway.
    Bind,
    /// A search.
    Search,
    /// A comparison.
    Compare,
    /// A change of an entry, new passwords among them.
    Modify,
    /// A new entry.
    Add,
    /// The end of an entry.
    Delete,
    /// Another name for an entry.
    ModifyDn,
    /// StartTLS, WhoAmI, fast bind and whatever else is called by an OID.
    Extended,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Bind,
        Self::Search,
        Self::Compare,
        Self::Modify,
        Self::Add,
        Self::Delete,
        Self::ModifyDn,
        Self::Extended,
    ];

    /// The name in files and at the control port.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Search => "search",
            Self::Compare => "compare",
            Self::Modify => "modify",
            Self::Add => "add",
            Self::Delete => "delete",
            Self::ModifyDn => "modify_dn",
            Self::Extended => "extended",
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The connection is closed before anybody looked at the request.
    Refuse,
    /// Never answered and not carried out; the connection stays open.
    Hang,
    /// Carried out, a failed bind counts, but the connection is closed before the answer.
    LoseAnswer,
    /// Carried out; the connection is closed in the middle of the answer.
    CutAnswer,
    /// Carried out; about every fourth byte of the answer is another. The connection stays open.
    Garble,
    /// Carried out; the answer is sent so many bytes at a time.
    SlowBytes {
        /// Bytes at a time, from 1.
        bytes: usize,
        /// Time before each of these pieces but the first.
        pause: Duration,
    },
    /// This result instead of the true one.
    Answer {
        /// resultCode (RFC 4511, 4.1.9).
        code: u32,
        /// diagnosticMessage.
        message: String,
        /// URLs of other servers; with code 10.
        referral: Vec<String>,
        /// Whether the request is carried out before, so that the answer is a lie.
        carried_out: bool,
    },
    /// Binds only: result 49 with this data code instead of a judgement.
    SubCode(u32),
}

impl Effect {
    /// 51, as an overloaded controller answers.
    pub fn busy() -> Self {
        Self::answer(51, "00002024: the directory is busy")
    }

    /// 52, as a controller that is going down answers.
    pub fn unavailable() -> Self {
        Self::answer(52, "0000200F: the directory is unavailable")
    }

    /// This result code and text; the request is not carried out.
    pub fn answer(code: u32, message: &str) -> Self {
        Self::Answer {
            code,
            message: message.to_owned(),
            referral: Vec::new(),
            carried_out: false,
        }
    }

    /// The request is carried out, and answered with this result code and text all the same.
    pub fn lie(code: u32, message: &str) -> Self {
        Self::Answer {
            code,
            message: message.to_owned(),
            referral: Vec::new(),
            carried_out: true,
        }
    }

    /// 10: ask these servers instead.
    pub fn referral(urls: &[&str]) -> Self {
        Self::Answer {
            code: 10,
            message: "0000202B: RefErr: DSID-03100781, data 0".to_owned(),
            referral: urls.iter().map(|&url| url.to_owned()).collect(),
            carried_out: false,
        }
    }
}

/// One trouble: which requests it is about, and what becomes of them.
///
/// Without more it is about every request of an open connection, from now on and for ever.
///
/// ```
/// use postern_directory_mock::faults::{Delay, Effect, Operation, Rule};
/// use std::time::Duration;
///
/// // Every third bind of alice at dc2 is lost after it counted, five times in all.
/// let lossy = Rule::new("lossy")
///     .on(&[Operation::Bind])
///     .account("alice")
///     .controller("dc2")
///     .every(3)
///     .times(5)
///     .effect(Effect::LoseAnswer);
/// // From ten minutes on and for an hour, a tenth of all requests takes long.
/// let slow = Rule::new("slow")
///     .after(Duration::from_secs(600))
///     .lasting(Duration::from_secs(3600))
///     .chance(0.1)
///     .delay(Delay::Exponential { mean: Duration::from_millis(80), most: Duration::from_secs(5) });
/// assert!(lossy.check().is_ok() && slow.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(super) name: String,
    pub(super) operations: BTreeSet<Operation>,
    pub(super) accounts: Vec<String>,
    pub(super) controller: Option<String>,
    pub(super) after: Duration,
    pub(super) lasting: Option<Duration>,
    pub(super) skip: u64,
    pub(super) every: u64,
    pub(super) times: Option<u64>,
    pub(super) chance: f64,
    pub(super) delay: Option<Delay>,
    pub(super) effect: Option<Effect>,
}

impl Rule {
    /// A rule that does nothing yet: give it a delay or an effect. Its name is what it is replaced and taken away by.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            operations: BTreeSet::new(),
            accounts: Vec::new(),
            controller: None,
            after: Duration::ZERO,
            lasting: None,
            skip: 0,
            every: 1,
            times: None,
            chance: 1.0,
            delay: None,
            effect: None,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Only these operations. Connections only if they are named.
    #[must_use]
    pub fn on(mut self, operations: &[Operation]) -> Self {
        self.operations.extend(operations);
        self
    }

    /// Only requests of this account: binds whose name means it, and requests of connections bound as it. By
    /// sAMAccountName, or by the name as it is typed at a bind. Called again: this one as well.
    #[must_use]
    pub fn account(mut self, name: &str) -> Self {
        self.accounts.push(name.to_lowercase());
        self
    }

    /// Only at the controller of this host name.
    #[must_use]
    pub fn controller(mut self, host: &str) -> Self {
        self.controller = Some(host.to_lowercase());
        self
    }

    /// Only when this much time has passed on the directory's clock since the rule was set.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// Only for so long, from [`Rule::after`] on.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasting = Some(time);
        self
    }

    /// Not the first so many requests.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Only every so many-th request, beginning with the first; 1 is each.
    #[must_use]
    pub fn every(mut self, count: u64) -> Self {
        self.every = count;
        self
    }

    /// So many requests at most.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// With this probability, from 0 to 1.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }

    /// The answer comes this much later than the request was carried out. Delays of several rules add up.
    #[must_use]
    pub fn delay(mut self, delay: Delay) -> Self {
        self.delay = Some(delay);
        self
    }

    /// What becomes of the request. Where several rules have an effect on it, the one that was set first counts.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// Whether the rule makes sense.
    ///
    /// # Errors
    /// [`RuleError`] with the field that does not, and what would be right.
    pub fn check(&self) -> Result<(), RuleError> {
        let wrong = |field, expected| Err(RuleError::Field { field, expected });
        if self.name.is_empty() || self.name.contains(['/', '?', '#', '%']) {
            return wrong("name", "a name without any of / ? # %");
        }
        if !(0.0..=1.0).contains(&self.chance) {
            return wrong("chance", "a probability from 0 to 1");
        }
        if self.every == 0 {
            return wrong("every", "a number from 1");
        }
        if self.delay.is_none() && self.effect.is_none() {
            return wrong("effect", "an effect, a delay, or both");
        }
        if self.delay.is_some_and(|delay| !delay.is_sound()) {
            return wrong(
                "delay",
                "times up to an hour, the smaller one first, and above zero where they are drawn",
            );
        }
        self.check_connect()?;
        match &self.effect {
            Some(Effect::SubCode(_)) if self.operations != BTreeSet::from([Operation::Bind]) => {
                wrong("effect", "operations [\"bind\"], which alone have sub-codes")
            }
            Some(Effect::SlowBytes { bytes, pause }) if *bytes == 0 || *pause > DELAY_MAX => {
                wrong("bytes", "1 byte or more, and a pause of an hour at most")
            }
            Some(Effect::Answer { code, .. }) if !is_result_code(*code) => {
                wrong("code", "a result code of LDAP, such as 51 or 80")
            }
            Some(Effect::Answer { code, referral, .. }) if (*code == 10) == referral.is_empty() => {
                wrong("referral", "URLs with result code 10, and with no other")
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_connect(&self) -> Result<(), RuleError> {
        if !self.operations.contains(&Operation::Connect) {
            return Ok(());
        }
        let wrong = |field, expected| Err(RuleError::Field { field, expected });
        if !self.accounts.is_empty() {
            return wrong("account", "none: who connects has not said who it is");
        }
        match self.effect {
            None | Some(Effect::Refuse | Effect::Hang) => Ok(()),
            Some(_) => wrong(
                "effect",
                "refuse, hang or a delay: there is no answer to a connection",
            ),
        }
    }
}

fn is_result_code(code: u32) -> bool {
    // Those of RFC 4511 and what Active Directory adds; the codec's own check logs what it does not know.
    code <= 123 && LdapResultCode::try_from(i64::from(code)).is_ok()
}

/// Why a rule is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A field makes no sense.
    #[error("{field}: expected {expected}")]
    Field {
        /// Which, as files call it.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// There are [`RULES_MAX`](super::RULES_MAX) already.
    #[error("too many rules: expected {max} at most")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told_by_its_field() {
        let second = Duration::from_secs(1);
        let busy = || Rule::new("r").effect(Effect::busy());
        for (rule, expected) in [
            (busy(), None),
            (Rule::new("r"), Some("effect")),
            (Rule::new("").effect(Effect::Hang), Some("name")),
            (Rule::new("a/b").effect(Effect::Hang), Some("name")),
            (busy().chance(1.5), Some("chance")),
            (busy().chance(f64::NAN), Some("chance")),
            (busy().every(0), Some("every")),
            (busy().on(&[Operation::Connect]), Some("effect")),
            (
                Rule::new("r").on(&[Operation::Connect]).effect(Effect::Hang),
                None,
            ),
            (
                Rule::new("r")
                    .on(&[Operation::Connect])
                    .account("a")
                    .effect(Effect::Hang),
                Some("account"),
            ),
            (Rule::new("r").effect(Effect::SubCode(0x51f)), Some("effect")),
            (
                Rule::new("r")
                    .on(&[Operation::Bind])
                    .effect(Effect::SubCode(0x51f)),
                None,
            ),
            (Rule::new("r").effect(Effect::answer(9, "")), Some("code")),
            (Rule::new("r").effect(Effect::answer(10, "")), Some("referral")),
            (Rule::new("r").effect(Effect::referral(&["ldap://x"])), None),
            (
                Rule::new("r").effect(Effect::SlowBytes {
                    bytes: 0,
                    pause: second,
                }),
                Some("bytes"),
            ),
            (Rule::new("r").delay(Delay::Fixed(second * 3601)), Some("delay")),
            (
                Rule::new("r").delay(Delay::Uniform {
                    from: second * 2,
                    to: second,
                }),
                Some("delay"),
            ),
        ] {
            let field = match rule.check() {
                Ok(()) => None,
                Err(RuleError::Field { field, .. }) => Some(field),
                Err(RuleError::TooMany { .. }) => panic!("one rule is not too many"),
            };
            assert_eq!(field, expected, "{rule:?}");
        }
    }
}
