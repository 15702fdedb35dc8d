//! What the answer to a bind means: the closed table of rule 7, as a pure function.
//!
//! Of the text that comes with a result only `data <hex>` is read: the rest differs between
//! releases. Whatever is not in the table is "unavailable", never "wrong".

use postern_proto::verdict::{Obstacle, Unavailable, Verdict};

use super::policy::{PolicyAnswer, PolicyError};
use crate::config::DirectoryKind;

/// The answer to a bind.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// resultCode.
    pub code: u32,
    /// diagnosticMessage.
    pub message: &'a str,
    /// The password policy response, if one came.
    pub policy: Option<PolicyAnswer>,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Active Directory's sub-code, 0 if there was none.
    pub sub_code: u32,
}

const SUCCESS: u32 = 0;
const CONSTRAINT_VIOLATION: u32 = 19;
const UNWILLING_TO_PERFORM: u32 = 53;
const STRONGER_AUTH_REQUIRED: u32 = 8;
const INVALID_CREDENTIALS: u32 = 49;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// Judges the answer of a directory of this kind. An acceptance says nothing yet about whose the
/// password is.
pub fn judge(kind: DirectoryKind, answer: &Answer<'_>) -> Judged {
    let bare = |verdict| Judged { verdict, sub_code: 0 };
    match answer.code {
        SUCCESS => bare(success(answer.policy)),
        INVALID_CREDENTIALS => match data(answer.message) {
            Data::Code(code) => Judged {
                verdict: sub_code(code),
                sub_code: code,
            },
            Data::Unclear => bare(Verdict::Unavailable(Unavailable::DirectoryFault)),
            Data::None => bare(match kind {
                DirectoryKind::ActiveDirectory => Verdict::Unavailable(Unavailable::DirectoryFault),
                DirectoryKind::Ldap => refusal(answer.policy),
            }),
        },
        STRONGER_AUTH_REQUIRED | BUSY | UNAVAILABLE => {
            bare(Verdict::Unavailable(Unavailable::DirectoryDeclined))
        }
        // 389-ds says so that an account is locked, and only with the control that it is one.
        CONSTRAINT_VIOLATION | UNWILLING_TO_PERFORM
            if kind == DirectoryKind::Ldap
                && answer.policy == Some(PolicyAnswer::Error(PolicyError::AccountLocked)) =>
        {
            bare(Verdict::Locked)
        }
        _ => bare(Verdict::Unavailable(Unavailable::DirectoryFault)),
    }
}

/// Result 0: the password is right, but the policy may say that it must not be used.
fn success(policy: Option<PolicyAnswer>) -> Verdict {
    match policy {
        None | Some(PolicyAnswer::Nothing) => Verdict::Accepted,
        Some(PolicyAnswer::Grace) => Verdict::RightBut(Obstacle::PasswordExpired),
        Some(PolicyAnswer::Error(error)) => match error {
            PolicyError::PasswordExpired => Verdict::RightBut(Obstacle::PasswordExpired),
            PolicyError::ChangeAfterReset => Verdict::RightBut(Obstacle::MustChange),
            PolicyError::AccountLocked => Verdict::Locked,
            PolicyError::Other => Verdict::Unavailable(Unavailable::DirectoryFault),
        },
        Some(PolicyAnswer::Unreadable) => Verdict::Unavailable(Unavailable::DirectoryFault),
    }
}

/// Result 49 without a sub-code, from a directory that has none.
fn refusal(policy: Option<PolicyAnswer>) -> Verdict {
    match policy {
        None | Some(PolicyAnswer::Nothing | PolicyAnswer::Grace) => Verdict::Wrong,
        Some(PolicyAnswer::Error(error)) => match error {
            PolicyError::PasswordExpired => Verdict::RightBut(Obstacle::PasswordExpired),
            PolicyError::AccountLocked => Verdict::Locked,
            PolicyError::ChangeAfterReset | PolicyError::Other => {
                Verdict::Unavailable(Unavailable::DirectoryFault)
            }
        },
        Some(PolicyAnswer::Unreadable) => Verdict::Unavailable(Unavailable::DirectoryFault),
    }
}

fn sub_code(code: u32) -> Verdict {
    match code {
        0x52e | 0x525 => Verdict::Wrong,
        0x532 => Verdict::RightBut(Obstacle::PasswordExpired),
        0x773 => Verdict::RightBut(Obstacle::MustChange),
        0x533 => Verdict::RightBut(Obstacle::Disabled),
        0x701 => Verdict::RightBut(Obstacle::AccountExpired),
        0x530 => Verdict::RightBut(Obstacle::LogonHours),
        0x531 => Verdict::RightBut(Obstacle::Workstation),
        0x775 => Verdict::Locked,
        0x52f => Verdict::Restricted,
        // 51f (no logon servers), 576, 774 and whatever comes next say nothing about the password.
        _ => Verdict::Unavailable(Unavailable::DirectoryFault),
    }
}

enum Data {
    None,
    Code(u32),
    /// More than one, or one that is no number.
    Unclear,
}

/// Finds `data <hex>` as a word of its own.
fn data(message: &str) -> Data {
    let mut found = Data::None;
    let mut before = "";
    let words = message.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        if before == "data" {
            found = match (found, u32::from_str_radix(word, 16)) {
                (Data::None, Ok(code)) => Data::Code(code),
                _ => return Data::Unclear,
            };
        }
        before = word;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use DirectoryKind::{ActiveDirectory, Ldap};
    use proptest::prelude::*;

    /// The text that a real controller sends, with the sub-code put in.
    fn samba(data: &str) -> String {
        format!("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1")
    }

    fn verdict(kind: DirectoryKind, code: u32, message: &str, policy: Option<PolicyAnswer>) -> Verdict {
        judge(
            kind,
            &Answer {
                code,
                message,
                policy,
            },
        )
        .verdict
    }

    #[test]
    fn sub_codes_mean_what_the_table_says() {
        use Obstacle as O;
        let fault = Verdict::Unavailable(Unavailable::DirectoryFault);
        for (data, expected) in [
            ("52e", Verdict::Wrong),
            ("525", Verdict::Wrong),
            ("532", Verdict::RightBut(O::PasswordExpired)),
            ("773", Verdict::RightBut(O::MustChange)),
            ("533", Verdict::RightBut(O::Disabled)),
            ("701", Verdict::RightBut(O::AccountExpired)),
            ("530", Verdict::RightBut(O::LogonHours)),
            ("531", Verdict::RightBut(O::Workstation)),
            ("775", Verdict::Locked),
            ("52f", Verdict::Restricted),
            ("51f", fault),
            ("576", fault),
            ("774", fault),
            ("0", fault),
            ("fffffffff", fault),
            ("", fault),
        ] {
            let windows = format!(
                "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {data}, v4563\0"
            );
            for (kind, text) in [
                (ActiveDirectory, samba(data)),
                (ActiveDirectory, windows),
                (Ldap, samba(data)),
            ] {
                assert_eq!(verdict(kind, 49, &text, None), expected, "{kind:?} {text:?}");
            }
        }
        let judged = judge(
            ActiveDirectory,
            &Answer {
                code: 49,
                message: &samba("52e"),
                policy: None,
            },
        );
        assert_eq!(judged.sub_code, 0x52e);
    }

    #[test]
    fn a_bare_49_means_wrong_only_where_there_are_no_sub_codes() {
        let fault = Verdict::Unavailable(Unavailable::DirectoryFault);
        for text in ["", "Invalid Credentials", "nodata 52e", "data52e", "metadata 52e"] {
            assert_eq!(verdict(Ldap, 49, text, None), Verdict::Wrong, "{text}");
            assert_eq!(verdict(ActiveDirectory, 49, text, None), fault, "{text}");
        }
        for text in ["data 52e, data 775", "data base error", "data"] {
            assert_eq!(verdict(ActiveDirectory, 49, text, None), fault, "{text}");
        }
    }

    #[test]
    fn other_results_are_never_a_verdict() {
        let declined = Verdict::Unavailable(Unavailable::DirectoryDeclined);
        let fault = Verdict::Unavailable(Unavailable::DirectoryFault);
        for kind in [ActiveDirectory, Ldap] {
            for code in [8, 51, 52] {
                assert_eq!(verdict(kind, code, &samba("52e"), None), declined);
            }
            for code in [1, 2, 10, 14, 32, 34, 48, 50, 53, 80, 4096] {
                assert_eq!(verdict(kind, code, &samba("52e"), None), fault);
            }
            assert_eq!(verdict(kind, 0, &samba("52e"), None), Verdict::Accepted);
        }
    }

    #[test]
    fn the_policy_control_outweighs_the_result() {
        use PolicyAnswer::{Error, Grace, Nothing, Unreadable};
        let fault = Verdict::Unavailable(Unavailable::DirectoryFault);
        for (code, policy, expected) in [
            (0, Nothing, Verdict::Accepted),
            (0, Grace, Verdict::RightBut(Obstacle::PasswordExpired)),
            (49, Grace, Verdict::Wrong),
            (19, Error(PolicyError::AccountLocked), Verdict::Locked),
            (53, Error(PolicyError::AccountLocked), Verdict::Locked),
            (19, Nothing, fault),
            (53, Error(PolicyError::PasswordExpired), fault),
            (
                0,
                Error(PolicyError::ChangeAfterReset),
                Verdict::RightBut(Obstacle::MustChange),
            ),
            (
                0,
                Error(PolicyError::PasswordExpired),
                Verdict::RightBut(Obstacle::PasswordExpired),
            ),
            (0, Error(PolicyError::AccountLocked), Verdict::Locked),
            (0, Error(PolicyError::Other), fault),
            (0, Unreadable, fault),
            (49, Nothing, Verdict::Wrong),
            (49, Error(PolicyError::AccountLocked), Verdict::Locked),
            (
                49,
                Error(PolicyError::PasswordExpired),
                Verdict::RightBut(Obstacle::PasswordExpired),
            ),
            (49, Error(PolicyError::ChangeAfterReset), fault),
            (49, Unreadable, fault),
        ] {
            assert_eq!(
                verdict(Ldap, code, "", Some(policy)),
                expected,
                "{code} {policy:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_an_acceptance_or_a_wrong_password(
            code in prop_oneof![Just(0), Just(49), 0..100_u32],
            text in prop_oneof![".{0,60}", "[a-z ,]{0,8}data [0-9a-fx ]{0,5}.{0,8}"],
            ldap in any::<bool>(),
        ) {
            let kind = if ldap { Ldap } else { ActiveDirectory };
            let judged = judge(kind, &Answer { code, message: &text, policy: None });
            match judged.verdict {
                Verdict::Accepted => prop_assert_eq!(code, 0),
                Verdict::Wrong => {
                    prop_assert_eq!(code, 49);
                    let said = matches!(judged.sub_code, 0x52e | 0x525);
                    prop_assert!(said || (ldap && judged.sub_code == 0));
                    if said {
                        let digits = format!("{:x}", judged.sub_code);
                        prop_assert!(text.contains("data") && text.contains(&digits));
                    }
                }
                _ => prop_assert_ne!(code, 0),
            }
        }
    }
}
