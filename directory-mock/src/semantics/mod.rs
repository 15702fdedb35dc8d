//! Who may sign in now, and why not: what Active Directory answers to a simple bind. Pure: the
//! directory's state, the time, name and password go in, the outcome and the change come out.
//!
//! Order of checks: restricted 52f, lockout 775, password 52e, disabled 533, account expired 701,
//! must change 773 or password expired 532, workstations 531, hours 530.

mod lockout;
mod password;
pub(crate) mod write;

use std::fmt;

use postern_kit::clock::Timestamp;
use time::Weekday;
use uuid::Uuid;

use crate::model::{Account, Counters, Domain, Flavour, LocalCounters, Policy, View};

pub use lockout::{count_failure, is_locked};
pub(crate) use password::write_password;
pub use password::{PasswordRefusal, PasswordVerdict, PasswordWrite, judge_password};

/// The data code of a refused bind (result 49).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubCode {
    /// 525, only Windows: no such user.
    UnknownUser,
    /// 52e: wrong password; on Samba also an unknown user.
    Wrong,
    /// 52f: the account may not use simple binds.
    Restricted,
    /// 530: not at this hour.
    Hours,
    /// 531: not from this workstation.
    Workstation,
    /// 532: password expired.
    PasswordExpired,
    /// 533: account disabled.
    Disabled,
    /// 701: account expired.
    AccountExpired,
    /// 773: password must be changed.
    MustChange,
    /// 775: account locked.
    Locked,
    /// Any other, injected as a fault.
    Odd(u32),
}

impl SubCode {
    /// The number after `data`.
    pub fn code(self) -> u32 {
        match self {
            Self::UnknownUser => 0x525,
            Self::Wrong => 0x52e,
            Self::Restricted => 0x52f,
            Self::Hours => 0x530,
            Self::Workstation => 0x531,
            Self::PasswordExpired => 0x532,
            Self::Disabled => 0x533,
            Self::AccountExpired => 0x701,
            Self::MustChange => 0x773,
            Self::Locked => 0x775,
            Self::Odd(code) => code,
        }
    }

    /// The diagnosticMessage, to the letter as Samba has it.
    pub fn message(self) -> String {
        self.message_in(Flavour::Samba)
    }

    /// The diagnosticMessage. Windows has another place and version in each release, and a NUL at the end;
    /// this is Windows Server 2019.
    pub fn message_in(self, flavour: Flavour) -> String {
        let (place, end) = match flavour {
            Flavour::Samba => ("0C0903A9", "v1db1"),
            Flavour::Windows => ("0C090439", "v4563\0"),
        };
        format!("80090308: LdapErr: DSID-{place}, comment: AcceptSecurityContext error, data {self}, {end}")
    }
}

/// The code in hexadecimal, as in the message.
impl fmt::Display for SubCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.code())
    }
}

/// How a bind ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Result 0, as nobody.
    Anonymous,
    /// Result 0, as this object.
    Accepted(Uuid),
    /// Result 49.
    Refused(SubCode),
}

/// What the directory makes of a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The object that the name means, if any.
    pub object: Option<Uuid>,
    /// The answer.
    pub outcome: Outcome,
    /// Whether it counted towards lockout.
    pub counted: bool,
    /// The object's counters afterwards, if they change: those that the PDC emulator has.
    pub counters: Option<Counters>,
    /// The counters of the controller that was asked, if they change and it is another.
    pub local: Option<LocalCounters>,
}

impl Judgement {
    pub(crate) fn plain(object: Option<Uuid>, outcome: Outcome) -> Self {
        Self {
            object,
            outcome,
            counted: false,
            counters: None,
            local: None,
        }
    }
}

/// Judges a simple bind at the domain controller `host`. Changes nothing by itself.
pub fn judge(
    domain: &Domain,
    flavour: Flavour,
    host: &str,
    now: Timestamp,
    name: &str,
    password: &str,
) -> Judgement {
    let (name, password) = (until_nul(name), until_nul(password));
    if password.is_empty() && (name.is_empty() || flavour == Flavour::Windows) {
        return Judgement::plain(None, Outcome::Anonymous);
    }
    let Some(account) = domain.resolve(name) else {
        let code = match flavour {
            Flavour::Samba => SubCode::Wrong,
            Flavour::Windows if name.is_empty() => SubCode::Wrong,
            Flavour::Windows => SubCode::UnknownUser,
        };
        return Judgement::plain(None, Outcome::Refused(code));
    };
    judge_account(domain, account, host, now, password)
}

/// Directories cut both strings at the first NUL, which lets `secret\0junk` in.
pub(crate) fn until_nul(text: &str) -> &str {
    text.split_once('\0').map_or(text, |(before, _)| before)
}

fn judge_account(
    domain: &Domain,
    account: &Account,
    host: &str,
    now: Timestamp,
    password: &str,
) -> Judgement {
    let refused = |code| Judgement::plain(Some(account.guid), Outcome::Refused(code));
    let policy = domain.policy_of(account);
    if account.protected {
        return refused(SubCode::Restricted);
    }
    if is_locked(&account.counters, &policy, now) {
        return refused(SubCode::Locked);
    }
    let mut view = domain.view(host, account);
    if !password_binds(&view, &policy, now, password) {
        // A password that was set a moment ago may not have come here yet.
        if domain.is_pdc_reachable() {
            view = domain.view(domain.host(), account);
        }
        if !password_binds(&view, &policy, now, password) {
            return wrong(domain, (account, &view, &policy), host, now, password);
        }
    }
    if let Some(code) = barred(account, &view, &policy, host, now) {
        return refused(code);
    }
    let (counters, local) = lockout::clear_at(domain, host, account, now);
    Judgement {
        counters: Some(counters),
        local,
        ..Judgement::plain(Some(account.guid), Outcome::Accepted(account.guid))
    }
}

/// A wrong password, which counts unless it is one of the two before the current one, or nothing locks.
fn wrong(
    domain: &Domain,
    (account, view, policy): (&Account, &View<'_>, &Policy),
    host: &str,
    now: Timestamp,
    password: &str,
) -> Judgement {
    let refused = Judgement::plain(Some(account.guid), Outcome::Refused(SubCode::Wrong));
    let forgiven = view.previous.iter().take(2).any(|old| old.is(password));
    if forgiven || policy.lockout_threshold == 0 {
        return refused;
    }
    let (counters, local) = lockout::count_at(domain, host, account, policy, now);
    Judgement {
        counted: true,
        counters: Some(counters),
        local,
        ..refused
    }
}

/// The current password, or for an hour after it was replaced the one before it. Where the
/// password must be changed (pwdLastSet is 0) that hour is over.
fn password_binds(view: &View<'_>, policy: &Policy, now: Timestamp, password: &str) -> bool {
    let grace_over = view.password_set.plus(policy.old_password_allowed);
    view.password.is(password)
        || (!view.must_change
            && now < grace_over
            && view.previous.first().is_some_and(|old| old.is(password)))
}

/// Why an account whose password was right may still not sign in.
fn barred(
    account: &Account,
    view: &View<'_>,
    policy: &Policy,
    host: &str,
    now: Timestamp,
) -> Option<SubCode> {
    if account.disabled {
        return Some(SubCode::Disabled);
    }
    if account.account_expires.is_some_and(|end| end <= now) {
        return Some(SubCode::AccountExpired);
    }
    if !account.password_never_expires {
        if view.must_change {
            return Some(SubCode::MustChange);
        }
        if is_too_old(view.password_set, policy, now) {
            return Some(SubCode::PasswordExpired);
        }
    }
    let listed = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case(host));
    if !account.workstations.is_empty() && !listed(&account.workstations) {
        return Some(SubCode::Workstation);
    }
    match account.logon_hours {
        Some(hours) if !hour_allowed(&hours, now) => Some(SubCode::Hours),
        Some(_) | None => None,
    }
}

/// Whether the password is older than the policy allows.
pub fn is_password_expired(account: &Account, policy: &Policy, now: Timestamp) -> bool {
    !account.password_never_expires && is_too_old(account.password_set, policy, now)
}

fn is_too_old(password_set: Timestamp, policy: &Policy, now: Timestamp) -> bool {
    let age_max = policy.password_age_max;
    !age_max.is_zero() && password_set.plus(age_max) <= now
}

/// Bit 0 of byte 0 is Sunday 00-01 h, in UTC.
fn hour_allowed(hours: &[u8; 21], now: Timestamp) -> bool {
    let time = now.date_time();
    let day = match time.weekday() {
        Weekday::Sunday => 0,
        Weekday::Monday => 1,
        Weekday::Tuesday => 2,
        Weekday::Wednesday => 3,
        Weekday::Thursday => 4,
        Weekday::Friday => 5,
        Weekday::Saturday => 6,
    };
    let bit = day * 24 + usize::from(time.hour());
    hours[bit / 8] >> (bit % 8) & 1 == 1
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod setting_tests;
#[cfg(test)]
mod tests;
