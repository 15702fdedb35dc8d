//! The password policy response control of `draft-behera-ldap-password-policy`, with which OpenLDAP
//! and others say about a bind what Active Directory says with sub-codes.

use ldap3::asn1::{StructureTag, TagClass, Types, parse_tag};

/// OID of request and response.
pub const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// OID of the older control by which 389-ds says, unasked, that the password must be changed before
/// anything else: it has expired, or somebody else has set it. It has no content.
pub const PASSWORD_EXPIRED: &str = "2.16.840.1.113730.3.4.4";

/// The `error` of a response that can concern a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// passwordExpired (0).
    PasswordExpired,
    /// accountLocked (1).
    AccountLocked,
    /// changeAfterReset (2).
    ChangeAfterReset,
    /// One that does not belong to a bind.
    Other,
}

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyAnswer {
    /// Nothing that concerns a verdict; at most when the password will expire.
    Nothing,
    /// The password has expired, and the bind has used up one of a few that are left.
    Grace,
    /// An error.
    Error(PolicyError),
    /// Not readable.
    Unreadable,
}

/// Longest response that is read, in bytes: a warning and an error take 13.
const RESPONSE_BYTES_MAX: usize = 64;

impl PolicyAnswer {
    /// Reads `PasswordPolicyResponseValue`:
    /// a sequence of an optional `[0]` warning and an optional `[1]` error.
    pub fn read(value: Option<&[u8]>) -> Self {
        match value {
            None => Self::Nothing,
            Some(value) => Self::parse(value).unwrap_or(Self::Unreadable),
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > RESPONSE_BYTES_MAX {
            return None;
        }
        let (rest, response) = parse_tag(value).ok()?;
        let is_sequence = response.class == TagClass::Universal && response.id == Types::Sequence as u64;
        if !rest.is_empty() || !is_sequence {
            return None;
        }
        let (mut answer, mut next) = (Self::Nothing, WARNING);
        for part in response.expect_constructed()? {
            // Each stands there once, in order.
            if part.class != TagClass::Context || part.id < next {
                return None;
            }
            next = part.id + 1;
            answer = match part.id {
                WARNING => warning(part)?,
                ERROR => Self::Error(error(part)?),
                _ => return None,
            };
        }
        Some(answer)
    }
}

const WARNING: u64 = 0;
const ERROR: u64 = 1;
const TIME_BEFORE_EXPIRATION: u64 = 0;
const GRACE_AUTHENTICATIONS_REMAINING: u64 = 1;

fn warning(warning: StructureTag) -> Option<PolicyAnswer> {
    let [choice] = <[StructureTag; 1]>::try_from(warning.expect_constructed()?).ok()?;
    match (choice.class, choice.id) {
        (TagClass::Context, TIME_BEFORE_EXPIRATION) => Some(PolicyAnswer::Nothing),
        (TagClass::Context, GRACE_AUTHENTICATIONS_REMAINING) => Some(PolicyAnswer::Grace),
        _ => None,
    }
}

fn error(error: StructureTag) -> Option<PolicyError> {
    let [code] = <[u8; 1]>::try_from(error.expect_primitive()?).ok()?;
    Some(match code {
        0 => PolicyError::PasswordExpired,
        1 => PolicyError::AccountLocked,
        2 => PolicyError::ChangeAfterReset,
        _ => PolicyError::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_read() {
        use PolicyAnswer as A;
        for (value, expected) in [
            (vec![0x30, 0], A::Nothing),
            // A warning: 100 seconds until the password expires; 3 grace logins.
            (vec![0x30, 5, 0xa0, 3, 0x80, 1, 100], A::Nothing),
            (vec![0x30, 5, 0xa0, 3, 0x81, 1, 3], A::Grace),
            (vec![0x30, 5, 0xa0, 3, 0x81, 1, 0], A::Grace),
            // As 389-ds has it: the last grace login is used up.
            (
                vec![0x30, 8, 0xa0, 3, 0x81, 1, 0, 0x81, 1, 0],
                A::Error(PolicyError::PasswordExpired),
            ),
            // Long lengths are BER as well.
            (
                vec![0x30, 0x81, 3, 0x81, 1, 1],
                A::Error(PolicyError::AccountLocked),
            ),
            (vec![0x30, 3, 0x81, 1, 0], A::Error(PolicyError::PasswordExpired)),
            (vec![0x30, 3, 0x81, 1, 1], A::Error(PolicyError::AccountLocked)),
            (vec![0x30, 3, 0x81, 1, 2], A::Error(PolicyError::ChangeAfterReset)),
            (vec![0x30, 3, 0x81, 1, 5], A::Error(PolicyError::Other)),
            (
                vec![0x30, 8, 0xa0, 3, 0x80, 1, 9, 0x81, 1, 2],
                A::Error(PolicyError::ChangeAfterReset),
            ),
            (vec![], A::Unreadable),
            (vec![0x30], A::Unreadable),
            (vec![0x30, 3, 0x81, 1], A::Unreadable),
            (vec![0x30, 3, 0x81, 1, 2, 0], A::Unreadable),
            (vec![0x30, 4, 0x81, 2, 0, 0], A::Unreadable),
            (vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], A::Unreadable),
            (vec![0x31, 0], A::Unreadable),
            (vec![0x30, 2, 0xa0, 0], A::Unreadable),
            (vec![0x30, 5, 0xa0, 3, 0x82, 1, 3], A::Unreadable),
            (vec![0x30, 3, 0x82, 1, 0], A::Unreadable),
            (vec![0x30, 8, 0x81, 1, 0, 0xa0, 3, 0x80, 1, 9], A::Unreadable),
            (vec![0x30, 6, 0x81, 1, 0, 0x81, 1, 1], A::Unreadable),
            (vec![0x30; 65], A::Unreadable),
        ] {
            assert_eq!(PolicyAnswer::read(Some(&value)), expected, "{value:x?}");
        }
        assert_eq!(PolicyAnswer::read(None), A::Nothing);
    }
}
