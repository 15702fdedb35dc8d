//! What the numbers of the sign-in log mean, next to where they appear. The log's readers know the numbers from
//! Microsoft Entra; readers of reports need not.

/// No agent could be given the question.
pub(super) const NO_AGENT: u32 = 80001;

/// What a number says, in a few words; nothing for 0, and for what no part of ours writes.
pub(super) fn means(code: u32) -> Option<&'static str> {
    Some(match code {
        50126 => "wrong password, or nobody of that name",
        50144 => "right password that has expired or must be changed",
        50057 => "right password of an account that is disabled or has expired",
        80012 => "right password at a time at which the account may not sign in",
        80531 => "right password from where the account may not sign in",
        50053 => "too many failures: locked by the directory, or the failure budget is used up",
        90055 => "too much to do",
        NO_AGENT => "no agent could be asked",
        80002 => "somebody was asked and did not answer in time",
        80005 => "the connection broke after somebody was asked",
        80007 => "the directory answered something that is no verdict",
        _ => return None,
    })
}

/// `80001: no agent could be asked`, or the number alone.
pub(super) fn with_meaning(code: u32) -> String {
    match means(code) {
        Some(meaning) => format!("{code}: {meaning}"),
        None => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use postern_cloud::sign_in::Outcome as Cloud;
    use postern_proto::ids::UserId;

    use super::*;

    #[test]
    fn each_number_that_the_cloud_writes_has_a_meaning() {
        let all = [
            Cloud::Refused,
            Cloud::PasswordExpired,
            Cloud::MustChange,
            Cloud::Disabled,
            Cloud::AccountExpired,
            Cloud::LogonHours,
            Cloud::Workstation,
            Cloud::Locked,
            Cloud::TooManyAttempts,
            Cloud::Busy,
            Cloud::Unavailable,
        ];
        for outcome in all {
            assert!(means(outcome.code()).is_some(), "{outcome:?}");
        }
        assert_eq!(means(Cloud::SignedIn(UserId::from_bytes([0; 16])).code()), None);
        assert_eq!(with_meaning(80001), "80001: no agent could be asked");
        assert_eq!(with_meaning(7), "7");
    }
}
