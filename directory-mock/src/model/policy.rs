//! What a domain asks of passwords and when it locks accounts, and the fine-grained settings that
//! replace this for some users and groups.

use std::time::Duration;

use super::domain::DomainError;

/// AD's default: 42 days.
const PASSWORD_AGE_MAX: Duration = Duration::from_secs(42 * 24 * 3600);
/// AD's default for lockout window and duration: 30 minutes.
const LOCKOUT_TIME: Duration = Duration::from_secs(30 * 60);
/// How long the previous password still binds: 60 minutes.
const OLD_PASSWORD_ALLOWED: Duration = Duration::from_secs(60 * 60);
/// AD's default for minPwdLength.
const PASSWORD_LENGTH_MIN: u32 = 7;
/// AD's default for pwdHistoryLength.
const PASSWORD_HISTORY: u32 = 24;
/// The most that AD takes; more is as much.
const PASSWORD_HISTORY_MAX: u32 = 1024;

/// The password and lockout policy of a domain, or of fine-grained settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// lockoutThreshold; 0 never locks and counts nothing.
    pub lockout_threshold: u32,
    /// lockOutObservationWindow: after this long without a failure the count starts again.
    pub lockout_window: Duration,
    /// lockoutDuration; zero lasts until an administrator unlocks.
    pub lockout_duration: Duration,
    /// maxPwdAge; zero never expires.
    pub password_age_max: Duration,
    /// minPwdAge: a password that is younger is not changed, only reset.
    pub password_age_min: Duration,
    /// minPwdLength, in UTF-16 units.
    pub password_length_min: u32,
    /// pwdHistoryLength: how many passwords are remembered, the current one among them. With less
    /// than 2 no previous password binds or is forgiven.
    pub password_history: u32,
    /// pwdProperties, bit 0: three of five classes of characters.
    pub password_complexity: bool,
    /// How long the previous password binds after it was replaced; zero turns it off. A setting of
    /// the controllers, so that the domain's counts also where fine-grained settings apply.
    pub old_password_allowed: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lockout_threshold: 5,
            lockout_window: LOCKOUT_TIME,
            lockout_duration: LOCKOUT_TIME,
            password_age_max: PASSWORD_AGE_MAX,
            password_age_min: Duration::ZERO,
            password_length_min: PASSWORD_LENGTH_MIN,
            password_history: PASSWORD_HISTORY,
            password_complexity: true,
            old_password_allowed: OLD_PASSWORD_ALLOWED,
        }
    }
}

impl Policy {
    /// How many passwords before the current one are remembered.
    pub(crate) fn previous_kept(&self) -> usize {
        let history = self.password_history.min(PASSWORD_HISTORY_MAX);
        usize::try_from(history.saturating_sub(1)).unwrap_or(0)
    }
}

/// Fine-grained password settings (class msDS-PasswordSettings) as a test describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// The name of the object.
    pub name: String,
    /// msDS-PasswordSettingsPrecedence: the lowest wins.
    pub precedence: u32,
    /// What holds instead of the domain's.
    pub policy: Policy,
    /// sAMAccountNames of the users and groups to which it applies.
    pub applies_to: Vec<String>,
}

impl PasswordSettings {
    /// Settings that apply to nobody yet.
    pub fn new(name: &str, precedence: u32, policy: Policy) -> Self {
        Self {
            name: name.to_owned(),
            precedence,
            policy,
            applies_to: Vec::new(),
        }
    }

    /// Applies to this user or group, by its sAMAccountName.
    #[must_use]
    pub fn applies_to(mut self, sam: &str) -> Self {
        self.applies_to.push(sam.to_owned());
        self
    }

    /// Settings without a precedence above zero are none.
    pub(super) fn check(&self) -> Result<(), DomainError> {
        if self.precedence == 0 {
            return Err(DomainError::Precedence(self.name.clone()));
        }
        Ok(())
    }
}
