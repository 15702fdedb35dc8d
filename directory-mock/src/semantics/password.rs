//! Setting passwords: what the policy thinks of a new one, and what a refusal is told.
//!
//! A *change* (whoever knows the old password) obeys everything; a *reset* (an administrator) only
//! length and complexity, and on Windows the history if the policy-hints control asks for it.
//! Order of checks: lockout, old password, minimum age, length, complexity, history.

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::lockout;
use crate::model::{Account, Counters, Domain, DomainError, Flavour, LocalCounters, Policy, View};

/// How many of the five classes of characters a complex password has.
const CLASSES_MIN: usize = 3;
/// Shorter names are not looked for in a password.
const NAME_PART_MIN: usize = 3;

/// A new password.
#[derive(Clone, Copy)]
pub enum PasswordWrite<'a> {
    /// By an administrator, who does not know the old one.
    Reset {
        /// The new password.
        new: &'a str,
        /// The policy-hints control: the history counts here too.
        with_history: bool,
    },
    /// By somebody who knows the old one.
    Change {
        /// The old password as it was given.
        old: &'a str,
        /// The new password.
        new: &'a str,
    },
}

/// Passwords do not print.
impl std::fmt::Debug for PasswordWrite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reset { .. } => "Reset",
            Self::Change { .. } => "Change",
        })
    }
}

/// Why a password is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordRefusal {
    /// A change of a locked account.
    Locked,
    /// The old password is not the current one.
    WrongOld,
    /// minPwdAge is not over.
    TooYoung,
    /// Shorter than this.
    TooShort(u32),
    /// Too few classes of characters, or on Windows a part of the user's name in it.
    NotComplex,
    /// The current password again.
    Current,
    /// One of those before it.
    InHistory,
}

/// What the directory makes of a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordVerdict {
    /// Whether it is set.
    pub result: Result<(), PasswordRefusal>,
    /// Whether a wrong old password counted towards lockout.
    pub counted: bool,
    /// The account's counters afterwards, if they change: those that the PDC emulator has.
    pub counters: Option<Counters>,
    /// The counters of the controller that was asked, if they change and it is another.
    pub local: Option<LocalCounters>,
}

impl PasswordRefusal {
    /// resultCode and diagnosticMessage.
    pub fn answer(self, flavour: Flavour, reset: bool) -> (u32, String) {
        match flavour {
            Flavour::Samba => (19, self.samba()),
            Flavour::Windows => self.windows(reset),
        }
    }

    fn samba(self) -> String {
        let (win32, what) = match self {
            Self::Locked => return SAMBA_LOCKED.to_owned(),
            Self::WrongOld => ("00000056", "The old password specified doesn't match!".to_owned()),
            Self::TooYoung => ("0000052D", "password is too young to change!".to_owned()),
            Self::TooShort(least) => (
                "0000052D",
                format!("the password is too short. It should be equal or longer than {least} characters!"),
            ),
            Self::NotComplex => (
                "0000052D",
                "the password does not meet the complexity criteria!".to_owned(),
            ),
            Self::Current => (
                "0000052D",
                "the password was already used (previous password)!".to_owned(),
            ),
            Self::InHistory => (
                "0000052D",
                "the password was already used (in history)!".to_owned(),
            ),
        };
        format!("{win32}: Constraint violation - check_password_restrictions: {what}")
    }

    /// Windows does not say which rule failed.
    fn windows(self, reset: bool) -> (u32, String) {
        let win32 = match self {
            Self::Locked => "00000775",
            Self::WrongOld => "00000056",
            Self::TooYoung | Self::TooShort(_) | Self::NotComplex | Self::Current | Self::InHistory => {
                "0000052D"
            }
        };
        if reset {
            let text = format!("{win32}: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n\0");
            return (53, text);
        }
        let place = "DSID-03191083";
        let text = format!(
            "{win32}: AtrErr: {place}, #1:\n\t0: {win32}: {place}, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, \
             Att 9005a (unicodePwd)\n\0"
        );
        (19, text)
    }
}

/// To the letter, with the place in Samba 4.17's source.
const SAMBA_LOCKED: &str = "00000775: Password change not permitted, account locked out! at \
                            ../../source4/dsdb/samdb/ldb_modules/password_hash.c:3929:setup_io";

/// Judges a new password. Changes nothing by itself.
pub fn judge_password(
    domain: &Domain,
    flavour: Flavour,
    host: &str,
    now: Timestamp,
    account: &Account,
    write: PasswordWrite<'_>,
) -> PasswordVerdict {
    let policy = domain.policy_of(account);
    let plain = |result| PasswordVerdict {
        result,
        counted: false,
        counters: None,
        local: None,
    };
    let mut view = domain.view(host, account);
    let (new, with_history, change) = match write {
        PasswordWrite::Reset { new, with_history } => {
            (new, with_history && flavour == Flavour::Windows, false)
        }
        PasswordWrite::Change { old, new } => {
            if lockout::is_locked(&account.counters, &policy, now) {
                return plain(Err(PasswordRefusal::Locked));
            }
            // A password that was set a moment ago may not have come here yet.
            if !view.password.is(old) && domain.is_pdc_reachable() {
                view = domain.view(domain.host(), account);
            }
            if !view.password.is(old) {
                return wrong_old(domain, host, now, account, &policy);
            }
            (new, true, true)
        }
    };
    let refused = if change && is_too_young(&view, &policy, now) {
        Some(PasswordRefusal::TooYoung)
    } else {
        weakness(account, flavour, &policy, new)
            .or_else(|| with_history.then(|| used_before(&view, &policy, new)).flatten())
    };
    plain(refused.map_or(Ok(()), Err))
}

/// Judges a new password and keeps what follows.
pub(crate) fn write_password(
    domain: &mut Domain,
    flavour: Flavour,
    host: &str,
    now: Timestamp,
    guid: Uuid,
    write: PasswordWrite<'_>,
) -> Result<Result<(), PasswordRefusal>, DomainError> {
    let account = domain.account(guid).ok_or(DomainError::Unknown(guid))?;
    let verdict = judge_password(domain, flavour, host, now, account, write);
    domain.count(host, guid, verdict.counters, verdict.local);
    if verdict.result.is_ok() {
        let (PasswordWrite::Reset { new, .. } | PasswordWrite::Change { new, .. }) = write;
        domain.set_password(host, guid, new, now)?;
    }
    Ok(verdict.result)
}

/// A wrong old password counts as a wrong bind does, but here no former password is forgiven.
fn wrong_old(
    domain: &Domain,
    host: &str,
    now: Timestamp,
    account: &Account,
    policy: &Policy,
) -> PasswordVerdict {
    let mut verdict = PasswordVerdict {
        result: Err(PasswordRefusal::WrongOld),
        counted: false,
        counters: None,
        local: None,
    };
    if policy.lockout_threshold > 0 {
        let (counters, local) = lockout::count_at(domain, host, account, policy, now);
        verdict.counted = true;
        verdict.counters = Some(counters);
        verdict.local = local;
    }
    verdict
}

/// A password that must be changed is never too young.
fn is_too_young(view: &View<'_>, policy: &Policy, now: Timestamp) -> bool {
    !view.must_change && now < view.password_set.plus(policy.password_age_min)
}

fn weakness(account: &Account, flavour: Flavour, policy: &Policy, new: &str) -> Option<PasswordRefusal> {
    let units = u32::try_from(new.encode_utf16().count()).unwrap_or(u32::MAX);
    if units < policy.password_length_min {
        return Some(PasswordRefusal::TooShort(policy.password_length_min));
    }
    if !policy.password_complexity {
        return None;
    }
    let named = flavour == Flavour::Windows && holds_a_name(account, new);
    (named || classes(new) < CLASSES_MIN).then_some(PasswordRefusal::NotComplex)
}

fn used_before(view: &View<'_>, policy: &Policy, new: &str) -> Option<PasswordRefusal> {
    if policy.password_history == 0 {
        return None;
    }
    if view.password.is(new) {
        return Some(PasswordRefusal::Current);
    }
    let mut former = view.previous.iter().take(policy.previous_kept());
    former
        .any(|old| old.is(new))
        .then_some(PasswordRefusal::InHistory)
}

/// How many of the five classes a password has: upper, lower, digit, symbol, other letters.
fn classes(password: &str) -> usize {
    const SYMBOLS: &str = "~!@#$%^&*_-+=`|\\(){}[]:;\"'<>,.?/";
    let has = |class: fn(char) -> bool| usize::from(password.chars().any(class));
    has(char::is_uppercase)
        + has(char::is_lowercase)
        + has(|c| c.is_ascii_digit())
        + has(|c| SYMBOLS.contains(c))
        + has(|c| !c.is_ascii() && !c.is_uppercase() && !c.is_lowercase())
}

/// Whether the sAMAccountName or a part of the displayName is in the password, in any case.
fn holds_a_name(account: &Account, password: &str) -> bool {
    let password = password.to_lowercase();
    let held = |part: &str| part.chars().count() >= NAME_PART_MIN && password.contains(&part.to_lowercase());
    let separator = |c: char| matches!(c, ',' | '.' | '-' | '_' | ' ' | '#' | '\t');
    let display_name = account.display_name.as_deref().unwrap_or_default();
    held(&account.sam) || display_name.split(separator).any(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_classes_are_told_apart() {
        for (password, expected) in [
            ("", 0),
            ("abc", 1),
            ("abcDEF", 2),
            ("abcDEF1", 3),
            ("abcDEF1-", 4),
            ("abcDEF1-密", 5),
            ("密 码", 1),
            ("äÄ", 2),
        ] {
            assert_eq!(classes(password), expected, "{password}");
        }
    }
}
