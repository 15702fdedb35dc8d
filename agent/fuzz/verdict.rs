// What must hold of a verdict whatever a directory says. Shared by the fuzz target and the test that replays
// its corpus.

use postern_agent::DirectoryKind;
use postern_agent::directory::{Answer, PolicyAnswer, judge};
use postern_proto::verdict::Verdict;

/// The first byte is the kind of directory (bit 0) and whether a policy response came (bit 1), the second the
/// result code, the third the length of that response's value; the value and the diagnostic text follow.
pub(crate) fn check(bytes: &[u8]) {
    let [flags, code, length, rest @ ..] = bytes else {
        return;
    };
    let (value, text) = rest.split_at(usize::from(*length).min(rest.len()));
    let text = String::from_utf8_lossy(text);
    let kind = if flags & 1 == 0 {
        DirectoryKind::ActiveDirectory
    } else {
        DirectoryKind::Ldap
    };
    let policy = (flags & 2 != 0).then(|| PolicyAnswer::read(Some(value)));
    let judged = judge(
        kind,
        &Answer {
            code: u32::from(*code),
            message: &text,
            policy,
        },
    );
    let clean = matches!(policy, None | Some(PolicyAnswer::Nothing));
    match judged.verdict {
        Verdict::Accepted => assert!(*code == 0 && clean, "accepted without a clean success"),
        Verdict::Wrong => {
            assert_eq!(*code, 49, "wrong without a refusal");
            let said = matches!(judged.sub_code, 0x52e | 0x525);
            let bare = kind == DirectoryKind::Ldap && judged.sub_code == 0 && clean;
            assert!(said || bare, "wrong, but nobody said so");
        }
        Verdict::RightBut(_) | Verdict::Locked | Verdict::Restricted | Verdict::Unavailable(_) => {
            let clean_success = *code == 0 && clean;
            assert!(!clean_success, "a clean success is no acceptance");
        }
        Verdict::OtherObject | Verdict::NotAsked(_) => panic!("an answer cannot say {:?}", judged.verdict),
    }
    if judged.sub_code != 0 {
        let digits = format!("{:x}", judged.sub_code);
        let words = text.to_ascii_lowercase();
        assert!(
            words.contains("data") && words.contains(&digits),
            "sub-code {digits} stands nowhere"
        );
    }
}
