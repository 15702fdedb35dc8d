//! One user account as it is stored, and its values as a directory shows them.

use std::collections::BTreeMap;
use std::fmt;

use postern_kit::clock::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Milliseconds from 1601-01-01, where FILETIME starts, to 1970-01-01.
const FILETIME_EPOCH_MS: i64 = 11_644_473_600_000;

/// A password in plain text: this is a mock. It does not print and is zeroed when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Keeps `text`.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// Whether `typed` is this password. An account with an empty one cannot sign in.
    pub fn is(&self, typed: &str) -> bool {
        !typed.is_empty() && self.0.as_str() == typed
    }

    /// The text itself, for the test that has to type it.
    pub fn plaintext(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What binds change about an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// badPwdCount.
    pub bad_pwd_count: u32,
    /// badPasswordTime; the last failure that was counted.
    pub bad_password_time: Option<Timestamp>,
    /// lockoutTime; stays after the lockout is over.
    pub lockout_time: Option<Timestamp>,
    /// lastLogonTimestamp.
    pub last_logon: Option<Timestamp>,
}

/// One user.
#[derive(Clone, Debug)]
pub struct Account {
    /// objectGUID; survives renaming.
    pub guid: Uuid,
    /// Last part of objectSid.
    pub rid: u32,
    /// sAMAccountName.
    pub sam: String,
    /// userPrincipalName.
    pub upn: Option<String>,
    /// The name in the distinguished name.
    pub cn: String,
    /// Where it lies below the domain, for example `CN=Users`.
    pub container: String,
    /// displayName.
    pub display_name: Option<String>,
    /// Other attributes, as they are shown.
    pub extra: BTreeMap<String, Vec<Vec<u8>>>,
    /// What of userAccountControl says nothing about the states below.
    pub control_rest: u32,
    /// The current password.
    pub password: Password,
    /// The passwords before it, newest first: as many as the policy's history has room for.
    pub previous: Vec<Password>,
    /// whenCreated.
    pub created: Timestamp,
    /// When the password was last set.
    pub password_set: Timestamp,
    /// pwdLastSet is 0.
    pub must_change: bool,
    /// DONT_EXPIRE_PASSWORD.
    pub password_never_expires: bool,
    /// ACCOUNTDISABLE.
    pub disabled: bool,
    /// accountExpires; absent is never.
    pub account_expires: Option<Timestamp>,
    /// logonHours; absent is always.
    pub logon_hours: Option<[u8; 21]>,
    /// userWorkstations; empty is all.
    pub workstations: Vec<String>,
    /// Member of Protected Users, who cannot use simple binds.
    pub protected: bool,
    /// Member of Domain Admins.
    pub administrator: bool,
    /// A policy of its own with lockoutThreshold 0.
    pub never_locks: bool,
    /// What binds change.
    pub counters: Counters,
}

impl Account {
    /// userAccountControl.
    pub fn user_account_control(&self) -> u32 {
        let mut bits = 0x200 | self.control_rest;
        if self.disabled {
            bits |= 0x2;
        }
        if self.password_never_expires {
            bits |= 0x1_0000;
        }
        bits
    }

    /// Replaces the password and remembers as many before it as the history has room for.
    pub(crate) fn set_password(&mut self, new: &str, policy: &super::Policy, now: Timestamp) {
        let old = std::mem::replace(&mut self.password, Password::new(new));
        self.previous.insert(0, old);
        self.previous.truncate(policy.previous_kept());
        self.password_set = now;
        self.must_change = false;
    }

    /// What the administrator's `lockoutTime: 0` does.
    pub(crate) fn unlock(&mut self) {
        self.counters.bad_pwd_count = 0;
        self.counters.lockout_time = None;
    }
}

/// A moment as AD's FILETIME: 100 ns steps since 1601.
pub(crate) fn filetime_steps(at: Timestamp) -> i64 {
    at.unix_ms()
        .saturating_add(FILETIME_EPOCH_MS)
        .saturating_mul(10_000)
}

/// A FILETIME in decimal.
pub(crate) fn filetime(at: Timestamp) -> String {
    filetime_steps(at).to_string()
}

/// The moment of a FILETIME.
pub(crate) fn from_filetime(steps: i64) -> Timestamp {
    Timestamp::from_unix_ms((steps / 10_000).saturating_sub(FILETIME_EPOCH_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filetime_counts_from_1601() {
        // 2017-01-01, as the fixtures of the real directory have it.
        assert_eq!(
            filetime(Timestamp::from_unix_ms(1_483_228_800_000)),
            "131277024000000000"
        );
    }

    #[test]
    fn a_password_does_not_print_and_an_empty_one_never_matches() {
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(..)");
        assert!(!Password::new("").is(""));
    }
}
