//! The password policy response control of `draft-behera-ldap-password-policy`, with which OpenLDAP
//! and others say about a bind what Active Directory says with sub-codes.

/// OID of request and response.
pub const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

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
    /// Nothing that concerns a verdict; at most warnings.
    Nothing,
    /// An error.
    Error(PolicyError),
    /// Not readable.
    Unreadable,
}

const SEQUENCE: u8 = 0x30;
const WARNING: u8 = 0xa0;
const ERROR: u8 = 0x81;

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
        let (SEQUENCE, mut inside, []) = element(value)? else {
            return None;
        };
        if let Some((WARNING, _, rest)) = element(inside) {
            inside = rest;
        }
        if inside.is_empty() {
            return Some(Self::Nothing);
        }
        let (ERROR, [code], []) = element(inside)? else {
            return None;
        };
        Some(Self::Error(match code {
            0 => PolicyError::PasswordExpired,
            1 => PolicyError::AccountLocked,
            2 => PolicyError::ChangeAfterReset,
            _ => PolicyError::Other,
        }))
    }
}

/// Tag, content and rest of one element. A response is tiny: only short lengths are read.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else {
        return None;
    };
    if *length >= 0x80 {
        return None;
    }
    let (content, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((*tag, content, rest))
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
            (vec![0x30, 5, 0xa0, 3, 0x81, 1, 3], A::Nothing),
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
        ] {
            assert_eq!(PolicyAnswer::read(Some(&value)), expected, "{value:x?}");
        }
        assert_eq!(PolicyAnswer::read(None), A::Nothing);
    }
}
