//! The closed table of what a directory can say about a password.
//!
//! "Unavailable" is never turned into "wrong": whoever matches a [`Verdict`] has to choose for
//! each of its cases.

use std::time::Duration;

use prost::Message as _;

use crate::ids::Malformed;
use crate::wire::channel::{self, verdict::Kind, verdict::Reason};

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The directory accepted the password for the expected object.
    Accepted,
    /// Wrong password or no such user (52e, 525).
    Wrong,
    /// The password was right, but the account may not sign in.
    RightBut(Obstacle),
    /// The directory has locked the account (775); says nothing about the password.
    Locked,
    /// The account is restricted (52f); says nothing about the password.
    Restricted,
    /// The directory accepted the password for another object than the expected one. Refused and alerted.
    OtherObject,
    /// The directory was asked, or may have been, and gave no verdict.
    Unavailable(Unavailable),
    /// The directory was certainly not asked.
    NotAsked(NotAsked),
}

/// Why a right password does not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// 532
    PasswordExpired,
    /// 773
    MustChange,
    /// 533
    Disabled,
    /// 701
    AccountExpired,
    /// 530
    LogonHours,
    /// 531
    Workstation,
}

/// Why there is no verdict although the directory was asked, or may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The bind was sent and no answer came in time.
    TimedOut,
    /// The connection broke after the bind was sent.
    ConnectionLost,
    /// The directory answered that it does not judge now (results 8, 51, 52).
    DirectoryDeclined,
    /// The directory answered something that is no verdict.
    DirectoryFault,
    /// The bind succeeded, but whose it is could not be read.
    ObjectUnknown,
}

/// Why the directory was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// The agent is stopping.
    Draining,
    /// The agent has as many requests as it takes.
    Busy,
    /// No domain controller can be reached.
    NoController,
    /// Name or password are such that no directory may see them.
    RefusedInput,
    /// The deadline was over.
    Late,
    /// The agent does not serve this domain.
    UnknownDomain,
    /// The directory has no entry for the user.
    NoEntry,
    /// The directory has several entries that could be the user's.
    SeveralEntries,
    /// The directory's entry is not the user's object.
    OtherEntry,
}

impl NotAsked {
    /// Whether it is about the user, so that every other agent would say the same.
    pub fn is_final(self) -> bool {
        match self {
            Self::RefusedInput | Self::NoEntry | Self::SeveralEntries | Self::OtherEntry => true,
            Self::Draining | Self::Busy | Self::NoController | Self::Late | Self::UnknownDomain => false,
        }
    }
}

/// What a verdict proves about the directory's own count of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryCount {
    /// The directory set its count to zero.
    Cleared,
    /// The directory counted nothing.
    Untouched,
    /// The directory counted a failure, or may have.
    PerhapsOneMore,
}

impl Verdict {
    /// What this proves about the directory's own count of failures.
    pub fn directory_count(self) -> DirectoryCount {
        match self {
            Self::Accepted => DirectoryCount::Cleared,
            Self::RightBut(_) | Self::Locked | Self::OtherObject | Self::NotAsked(_) => {
                DirectoryCount::Untouched
            }
            Self::Wrong | Self::Restricted => DirectoryCount::PerhapsOneMore,
            Self::Unavailable(why) => match why {
                Unavailable::DirectoryDeclined | Unavailable::ObjectUnknown => DirectoryCount::Untouched,
                Unavailable::TimedOut | Unavailable::ConnectionLost | Unavailable::DirectoryFault => {
                    DirectoryCount::PerhapsOneMore
                }
            },
        }
    }

    /// A short constant name for logs and tables.
    pub fn name(self) -> &'static str {
        self.to_wire().0.as_str_name().trim_start_matches("KIND_")
    }

    /// The reason's constant name, if the verdict has one.
    pub fn reason_name(self) -> Option<&'static str> {
        match self.to_wire().1 {
            Reason::Unspecified => None,
            reason => Some(reason.as_str_name().trim_start_matches("REASON_")),
        }
    }

    fn to_wire(self) -> (Kind, Reason) {
        let kind = match self {
            Self::Accepted => Kind::Accepted,
            Self::Wrong => Kind::Wrong,
            Self::RightBut(Obstacle::PasswordExpired) => Kind::PasswordExpired,
            Self::RightBut(Obstacle::MustChange) => Kind::MustChange,
            Self::RightBut(Obstacle::Disabled) => Kind::Disabled,
            Self::RightBut(Obstacle::AccountExpired) => Kind::AccountExpired,
            Self::RightBut(Obstacle::LogonHours) => Kind::LogonHours,
            Self::RightBut(Obstacle::Workstation) => Kind::Workstation,
            Self::Locked => Kind::Locked,
            Self::Restricted => Kind::Restricted,
            Self::OtherObject => Kind::OtherObject,
            Self::Unavailable(why) => {
                let reason = match why {
                    Unavailable::TimedOut => Reason::TimedOut,
                    Unavailable::ConnectionLost => Reason::ConnectionLost,
                    Unavailable::DirectoryDeclined => Reason::DirectoryDeclined,
                    Unavailable::DirectoryFault => Reason::DirectoryFault,
                    Unavailable::ObjectUnknown => Reason::ObjectUnknown,
                };
                return (Kind::Unavailable, reason);
            }
            Self::NotAsked(why) => {
                let reason = match why {
                    NotAsked::Draining => Reason::Draining,
                    NotAsked::Busy => Reason::Busy,
                    NotAsked::NoController => Reason::NoController,
                    NotAsked::RefusedInput => Reason::RefusedInput,
                    NotAsked::Late => Reason::Late,
                    NotAsked::UnknownDomain => Reason::UnknownDomain,
                    NotAsked::NoEntry => Reason::NoEntry,
                    NotAsked::SeveralEntries => Reason::SeveralEntries,
                    NotAsked::OtherEntry => Reason::OtherEntry,
                };
                return (Kind::NotAsked, reason);
            }
        };
        (kind, Reason::Unspecified)
    }

    fn from_wire(kind: Kind, reason: Reason) -> Option<Self> {
        let verdict = match (kind, reason) {
            (Kind::Unavailable, reason) => Self::Unavailable(match reason {
                Reason::TimedOut => Unavailable::TimedOut,
                Reason::ConnectionLost => Unavailable::ConnectionLost,
                Reason::DirectoryDeclined => Unavailable::DirectoryDeclined,
                Reason::DirectoryFault => Unavailable::DirectoryFault,
                Reason::ObjectUnknown => Unavailable::ObjectUnknown,
                _ => return None,
            }),
            (Kind::NotAsked, reason) => Self::NotAsked(match reason {
                Reason::Draining => NotAsked::Draining,
                Reason::Busy => NotAsked::Busy,
                Reason::NoController => NotAsked::NoController,
                Reason::RefusedInput => NotAsked::RefusedInput,
                Reason::Late => NotAsked::Late,
                Reason::UnknownDomain => NotAsked::UnknownDomain,
                Reason::NoEntry => NotAsked::NoEntry,
                Reason::SeveralEntries => NotAsked::SeveralEntries,
                Reason::OtherEntry => NotAsked::OtherEntry,
                _ => return None,
            }),
            (_, reason) if reason != Reason::Unspecified => return None,
            (Kind::Accepted, _) => Self::Accepted,
            (Kind::Wrong, _) => Self::Wrong,
            (Kind::PasswordExpired, _) => Self::RightBut(Obstacle::PasswordExpired),
            (Kind::MustChange, _) => Self::RightBut(Obstacle::MustChange),
            (Kind::Disabled, _) => Self::RightBut(Obstacle::Disabled),
            (Kind::AccountExpired, _) => Self::RightBut(Obstacle::AccountExpired),
            (Kind::LogonHours, _) => Self::RightBut(Obstacle::LogonHours),
            (Kind::Workstation, _) => Self::RightBut(Obstacle::Workstation),
            (Kind::Locked, _) => Self::Locked,
            (Kind::Restricted, _) => Self::Restricted,
            (Kind::OtherObject, _) => Self::OtherObject,
            (Kind::Unspecified, _) => return None,
        };
        Some(verdict)
    }
}

/// A verdict and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictReport {
    /// What came of asking.
    pub verdict: Verdict,
    /// LDAP result code as the directory gave it, 0 if it gave none.
    pub ldap_result: u32,
    /// Active Directory's sub-code, 0 if it gave none.
    pub sub_code: u32,
    /// `host:port` of the domain controller that was asked, at most [`CONTROLLER_BYTES_MAX`] bytes.
    pub controller: Option<String>,
    /// From receipt of the request until the bind was sent.
    pub wait: Duration,
    /// From then until the answer.
    pub bind: Duration,
}

/// Longest controller name in a report, in bytes: a DNS name and a port. Longer ones are cut, so
/// that every report fits the fixed size of a sealed verdict.
pub const CONTROLLER_BYTES_MAX: usize = 300;

impl VerdictReport {
    /// A report without a directory's answer.
    pub fn bare(verdict: Verdict) -> Self {
        let (wait, bind) = (Duration::ZERO, Duration::ZERO);
        Self {
            verdict,
            ldap_result: 0,
            sub_code: 0,
            controller: None,
            wait,
            bind,
        }
    }

    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, reason) = self.verdict.to_wire();
        let mut controller = self.controller.clone().unwrap_or_default();
        controller.truncate(controller.floor_char_boundary(CONTROLLER_BYTES_MAX));
        channel::Verdict {
            kind: kind.into(),
            reason: reason.into(),
            ldap_result: self.ldap_result,
            sub_code: self.sub_code,
            controller,
            wait_us: micros(self.wait),
            bind_us: micros(self.bind),
        }
        .encode_to_vec()
    }

    /// From the wire form.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that are no verdict of the table.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let malformed = Malformed {
            field: "verdict",
            expected: "a verdict of the closed table",
        };
        let wire = channel::Verdict::decode(bytes).map_err(|_| malformed.clone())?;
        let verdict = Kind::try_from(wire.kind)
            .ok()
            .zip(Reason::try_from(wire.reason).ok())
            .and_then(|(kind, reason)| Verdict::from_wire(kind, reason))
            .ok_or(malformed)?;
        Ok(Self {
            verdict,
            ldap_result: wire.ldap_result,
            sub_code: wire.sub_code,
            controller: Some(wire.controller).filter(|name| !name.is_empty()),
            wait: Duration::from_micros(wire.wait_us),
            bind: Duration::from_micros(wire.bind_us),
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every verdict there is.
    fn all() -> Vec<Verdict> {
        use {NotAsked as N, Obstacle as O, Unavailable as U, Verdict as V};
        vec![
            V::Accepted,
            V::Wrong,
            V::RightBut(O::PasswordExpired),
            V::RightBut(O::MustChange),
            V::RightBut(O::Disabled),
            V::RightBut(O::AccountExpired),
            V::RightBut(O::LogonHours),
            V::RightBut(O::Workstation),
            V::Locked,
            V::Restricted,
            V::OtherObject,
            V::Unavailable(U::TimedOut),
            V::Unavailable(U::ConnectionLost),
            V::Unavailable(U::DirectoryDeclined),
            V::Unavailable(U::DirectoryFault),
            V::Unavailable(U::ObjectUnknown),
            V::NotAsked(N::Draining),
            V::NotAsked(N::Busy),
            V::NotAsked(N::NoController),
            V::NotAsked(N::RefusedInput),
            V::NotAsked(N::Late),
            V::NotAsked(N::UnknownDomain),
            V::NotAsked(N::NoEntry),
            V::NotAsked(N::SeveralEntries),
            V::NotAsked(N::OtherEntry),
        ]
    }

    #[test]
    fn every_verdict_survives_the_wire() {
        for verdict in all() {
            let report = VerdictReport {
                verdict,
                ldap_result: 49,
                sub_code: 0x52e,
                controller: Some("dc1.corp.example.com:636".to_owned()),
                wait: Duration::from_micros(17),
                bind: Duration::from_millis(50),
            };
            assert_eq!(VerdictReport::decode(&report.encode()), Ok(report));
        }
    }

    #[test]
    fn a_reason_that_does_not_fit_its_kind_is_refused() {
        let wire = |kind: Kind, reason: Reason| {
            channel::Verdict {
                kind: kind.into(),
                reason: reason.into(),
                ..Default::default()
            }
            .encode_to_vec()
        };
        for bytes in [
            wire(Kind::Unspecified, Reason::Unspecified),
            wire(Kind::Accepted, Reason::Busy),
            wire(Kind::Unavailable, Reason::Busy),
            wire(Kind::NotAsked, Reason::TimedOut),
            channel::Verdict {
                kind: 99,
                ..Default::default()
            }
            .encode_to_vec(),
            vec![0xff; 9],
        ] {
            assert!(VerdictReport::decode(&bytes).is_err());
        }
    }

    #[test]
    fn only_what_proves_that_nothing_was_counted_releases_the_budget() {
        let untouched = all()
            .into_iter()
            .filter(|v| v.directory_count() == DirectoryCount::Untouched);
        let names: Vec<_> = untouched.map(|v| v.reason_name().unwrap_or(v.name())).collect();
        assert_eq!(
            names,
            [
                "PASSWORD_EXPIRED",
                "MUST_CHANGE",
                "DISABLED",
                "ACCOUNT_EXPIRED",
                "LOGON_HOURS",
                "WORKSTATION",
                "LOCKED",
                "OTHER_OBJECT",
                "DIRECTORY_DECLINED",
                "OBJECT_UNKNOWN",
                "DRAINING",
                "BUSY",
                "NO_CONTROLLER",
                "REFUSED_INPUT",
                "LATE",
                "UNKNOWN_DOMAIN",
                "NO_ENTRY",
                "SEVERAL_ENTRIES",
                "OTHER_ENTRY",
            ]
        );
    }
}
