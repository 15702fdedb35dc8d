//! The part of the contract that sets passwords: resets, changes, what a refusal is told, and what
//! follows for binds, on the mock and on a real domain controller.

use std::collections::HashSet;

use ldap3::{Ldap, Mod};

use crate::against_samba::Target;
use crate::client::{bind, soon};
use crate::writes::{Answer, NAME, answer, done, modify, read, refused, replace};

const WRONG_OLD: &str =
    "00000056: Constraint violation - check_password_restrictions: The old password specified doesn't match!";
const LOCKED: &str = "00000775: Password change not permitted, account locked out! at \
                      ../../source4/dsdb/samdb/ldb_modules/password_hash.c:3929:setup_io";
const NOT_BOUND: &str = "00002020: Operation unavailable without authentication";

fn quoted(password: &str) -> Vec<u8> {
    let text = format!("\"{password}\"");
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

async fn set(ldap: &mut Ldap, changes: Vec<Mod<Vec<u8>>>) -> Answer {
    answer(soon(ldap.modify(NAME, changes)).await.unwrap())
}

fn bytes(name: &str) -> Vec<u8> {
    name.as_bytes().to_vec()
}

async fn reset(ldap: &mut Ldap, value: Vec<u8>) -> Answer {
    set(
        ldap,
        vec![Mod::Replace(bytes("unicodePwd"), HashSet::from([value]))],
    )
    .await
}

async fn change(ldap: &mut Ldap, old: &str, new: &str) -> Answer {
    let changes = vec![
        Mod::Delete(bytes("unicodePwd"), HashSet::from([quoted(old)])),
        Mod::Add(bytes("unicodePwd"), HashSet::from([quoted(new)])),
    ];
    set(ldap, changes).await
}

fn too_short() -> Answer {
    policy("the password is too short. It should be equal or longer than 7 characters!")
}

fn simple() -> Answer {
    policy("the password does not meet the complexity criteria!")
}

fn policy(text: &str) -> Answer {
    refused(
        19,
        format!("0000052D: Constraint violation - check_password_restrictions: {text}"),
    )
}

pub(crate) async fn check(target: &Target, admin: &mut Ldap, alice: &mut Ldap) {
    resets(admin, alice).await;
    changes(target, admin, alice).await;
    lockout(target, admin, alice).await;
    let mut nobody = target.connect().await;
    assert_eq!(
        reset(&mut nobody, quoted("Sixth-Passw0rd-6")).await,
        refused(1, NOT_BOUND)
    );
}

async fn resets(admin: &mut Ldap, alice: &mut Ldap) {
    let no_hash = || {
        refused(
            53,
            "00002035: setup_io: it's not allowed to set the NT hash password directly'",
        )
    };
    for (value, expected) in [
        (quoted("aB1"), too_short()),
        (quoted(""), too_short()),
        (quoted("lowercaseletters"), simple()),
        (bytes("abc"), no_hash()),
        (bytes("\"abcDEF123\""), no_hash()),
        (quoted("First-Passw0rd-1"), done()),
        (quoted("First-Passw0rd-1"), done()),
        (quoted("Second-Passw0rd-2"), done()),
    ] {
        assert_eq!(reset(admin, value).await, expected);
    }
    assert_eq!(
        modify(admin, NAME, vec![replace("userAccountControl", "512")]).await,
        done()
    );
    let no_right = "error in module acl: insufficient access rights during LDB_MODIFY (50)";
    assert_eq!(
        reset(alice, quoted("Third-Passw0rd-3")).await,
        refused(50, no_right)
    );
    let only_add = vec![Mod::Add(
        bytes("unicodePwd"),
        HashSet::from([quoted("Third-Passw0rd-3")]),
    )];
    let text = "00002035: Only the add action for a password change specified!";
    assert_eq!(set(admin, only_add).await, refused(53, text));
    let only_delete = vec![Mod::Delete(
        bytes("unicodePwd"),
        HashSet::from([quoted("Second-Passw0rd-2")]),
    )];
    let text = "00002035: setup_io: It's not possible to delete the password (changes using the LAN Manager \
                hash alone could be deactivated)!";
    assert_eq!(set(admin, only_delete).await, refused(53, text));
}

/// Anybody who knows the old password may change it.
async fn changes(target: &Target, admin: &mut Ldap, alice: &mut Ldap) {
    assert_eq!(
        change(alice, "Second-Passw0rd-2", "Third-Passw0rd-3").await,
        done()
    );
    for (new, expected) in [
        ("aB1", too_short()),
        ("lowercaseletters", simple()),
        (
            "Third-Passw0rd-3",
            policy("the password was already used (previous password)!"),
        ),
        (
            "First-Passw0rd-1",
            policy("the password was already used (in history)!"),
        ),
    ] {
        assert_eq!(change(alice, "Third-Passw0rd-3", new).await, expected, "{new}");
    }
    must_change(target, admin).await;
}

/// A wrong old password counts, also one that was right before.
async fn lockout(target: &Target, admin: &mut Ldap, alice: &mut Ldap) {
    for (old, count) in [("nope", "1"), ("Second-Passw0rd-2", "2"), ("nope", "3")] {
        assert_eq!(change(alice, old, "x").await, refused(19, WRONG_OLD), "{old}");
        assert_eq!(read(admin, NAME).await.attrs["badPwdCount"], [count]);
    }
    assert_eq!(
        change(alice, "Third-Passw0rd-3", "Fourth-Passw0rd-4").await,
        refused(19, LOCKED)
    );
    let mut user = target.connect().await;
    assert_eq!(reset(admin, quoted("Fourth-Passw0rd-4")).await, done());
    assert_eq!(
        bind(&mut user, NAME, "Fourth-Passw0rd-4").await,
        (49, Some("775".into()))
    );
    let unlock = vec![
        Mod::Replace(bytes("unicodePwd"), HashSet::from([quoted("Fifth-Passw0rd-5")])),
        Mod::Replace(bytes("lockoutTime"), HashSet::from([bytes("0")])),
    ];
    assert_eq!(set(admin, unlock).await, done());
    assert_eq!(bind(&mut user, NAME, "Fifth-Passw0rd-5").await, (0, None));
}

/// pwdLastSet 0 ends the grace of the previous password until it is taken back.
async fn must_change(target: &Target, admin: &mut Ldap) {
    let mut user = target.connect().await;
    let (current, previous) = ("Third-Passw0rd-3", "Second-Passw0rd-2");
    assert_eq!(bind(&mut user, NAME, previous).await, (0, None));
    assert_eq!(
        modify(admin, NAME, vec![replace("pwdLastSet", "0")]).await,
        done()
    );
    assert_eq!(bind(&mut user, NAME, current).await, (49, Some("773".into())));
    assert_eq!(bind(&mut user, NAME, previous).await, (49, Some("52e".into())));
    let entry = read(admin, NAME).await;
    assert_eq!(entry.attrs["badPwdCount"], ["0"]);
    assert_eq!(entry.attrs["msDS-User-Account-Control-Computed"], ["8388608"]);
    assert_eq!(
        modify(admin, NAME, vec![replace("pwdLastSet", "-1")]).await,
        done()
    );
    assert_eq!(bind(&mut user, NAME, current).await, (0, None));
}
