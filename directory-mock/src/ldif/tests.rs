use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{ManualClock, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::model::{AccountState, Directory, DirectoryBuilder, PasswordSettings, Policy, User};
use crate::semantics::{Outcome, SubCode};
use crate::{DirectoryHandle, Flavour, Population};

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_609_800_123);

fn corp() -> DirectoryBuilder {
    Directory::builder("corp.example.test", "CORP")
}

fn open(directory: &Directory) -> DirectoryHandle {
    let seams = Seams {
        clock: Arc::new(ManualClock::new(NOW)),
        ..Seams::real()
    };
    DirectoryHandle::open(directory, &seams).unwrap()
}

/// A directory with nobody in it, and what an import made of it.
fn imported(text: &str) -> (DirectoryHandle, Imported) {
    let directory = open(&corp().build());
    let done = directory.import_ldif(text, &ImportOptions::default());
    let done = done.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    (directory, done)
}

fn bind(directory: &DirectoryHandle, name: &str, password: &str) -> Result<(), SubCode> {
    match directory.sign_in(Flavour::Samba, "dc1", name, password).outcome {
        Outcome::Refused(code) => Err(code),
        Outcome::Accepted(_) | Outcome::Anonymous => Ok(()),
    }
}

#[test]
fn a_directory_comes_back_from_its_export() {
    let hour = Duration::from_secs(3600);
    let user = |name: &str| User::new(name, &format!("Pw-{name}"));
    let strict = Policy {
        lockout_threshold: 2,
        password_complexity: false,
        ..Policy::default()
    };
    let before = open(
        &corp()
            .lockout(3, hour, Duration::ZERO)
            .upn_suffix("alt.example.test")
            .user(user("root").administrator())
            .user(
                user("alice")
                    .cn("Smith, Alice")
                    .container("OU=Inner,OU=Staff")
                    .upn("a@alt.example.test")
                    .display_name("Älice")
                    .attribute("mail", "a@example.test")
                    .attribute("proxyAddresses", "smtp:a")
                    .attribute("proxyAddresses", "smtp:b"),
            )
            .user(user("nobody").without_upn())
            .user(user("d").state(AccountState::Disabled))
            .user(user("e").state(AccountState::AccountExpired))
            .user(user("p").state(AccountState::PasswordExpired))
            .user(user("n").state(AccountState::PasswordNeverExpires))
            .user(user("m").state(AccountState::MustChange))
            .user(user("l").state(AccountState::Locked))
            .user(user("h").state(AccountState::NoLogonHours))
            .user(user("w").state(AccountState::Workstations(vec!["A".into(), "B".into()])))
            .user(user("r").state(AccountState::Protected))
            .user(user("k").state(AccountState::NeverLocks))
            .group("staff", "OU=Groups", &["alice", "inner"])
            .group("inner", "OU=Groups", &["d", "staff"])
            .password_settings(PasswordSettings::new("strict", 10, strict).applies_to("staff"))
            .build(),
    );
    let text = before.export_ldif(true);
    let (after, done) = imported(&text);
    assert_eq!(
        (done.users, done.without_password, done.groups, done.settings),
        (13, 0, 2, 2)
    );
    assert!(
        done.passed_over.is_empty() && done.unknown_members == 0,
        "{done:?}"
    );
    for (name, expected) in [
        ("alice", Ok(())),
        ("d", Err(SubCode::Disabled)),
        ("e", Err(SubCode::AccountExpired)),
        ("p", Err(SubCode::PasswordExpired)),
        ("n", Ok(())),
        ("m", Err(SubCode::MustChange)),
        ("l", Err(SubCode::Locked)),
        ("h", Err(SubCode::Hours)),
        ("w", Err(SubCode::Workstation)),
        ("r", Err(SubCode::Restricted)),
        ("k", Ok(())),
    ] {
        let typed = (&format!("CORP\\{name}"), &format!("Pw-{name}"));
        assert_eq!(bind(&before, typed.0, typed.1), expected, "{name}");
        assert_eq!(bind(&after, typed.0, typed.1), expected, "{name} after");
    }
    for name in ["root", "alice", "nobody"] {
        let view = |directory: &DirectoryHandle| {
            let account = directory.account(directory.guid_of(name).unwrap()).unwrap();
            let policy = directory.read(|domain| domain.policy_of(&account));
            let dn = directory.dn_of(account.guid);
            (
                account.guid,
                account.rid,
                account.upn,
                dn,
                account.extra,
                account.administrator,
                policy,
            )
        };
        assert_eq!(view(&before), view(&after));
    }
    for _ in 0..9 {
        assert_eq!(bind(&after, "CORP\\k", "wrong"), Err(SubCode::Wrong));
    }
    assert_eq!(bind(&after, "CORP\\k", "Pw-k"), Ok(()), "it still never locks");
    let sid = |directory: &DirectoryHandle| directory.read(|domain| domain.sid().to_owned());
    assert_eq!(sid(&before), sid(&after));
    assert_eq!(after.read(|domain| domain.upn_suffixes().count()), 1);
}

#[test]
fn an_export_without_passwords_has_none() {
    let directory = open(&corp().population(&Population::seeded(1, 20)).build());
    let text = directory.export_ldif(false);
    assert!(!text.contains("unicodePwd") && text.contains("sAMAccountName"));
    let (after, done) = imported(&text);
    assert_eq!((done.users, done.without_password), (20, 20));
    let name = Population::seeded(1, 1).people()[0].upn("corp.example.test");
    assert_eq!(bind(&after, &name, ""), Err(SubCode::Wrong));
    let with = open(&corp().build());
    let options = ImportOptions {
        password: Some(Password::new("for all")),
    };
    assert_eq!(with.import_ldif(&text, &options).unwrap().without_password, 0);
    assert_eq!(bind(&with, &name, "for all"), Ok(()));
}

#[test]
fn what_is_not_kept_is_passed_over_and_counted() {
    let text = "dn: CN=PC1,CN=Computers,DC=corp,DC=example,DC=test\nobjectClass: top\nobjectClass: user\n\
                objectClass: computer\n\n\
                dn: CN=Sites,CN=Configuration,DC=corp,DC=example,DC=test\nobjectClass: container\n\n\
                dn: OU=People,DC=corp,DC=example,DC=test\nobjectClass: organizationalUnit\n\n\
                dn: CN=Ann,OU=People,DC=corp,DC=example,DC=test\nobjectClass: inetOrgPerson\nuid: ann\n\
                userPassword: Plain-1\nwhenCreated: 20200101120000.0Z\n\n\
                dn: CN=Team,OU=People,DC=corp,DC=example,DC=test\nobjectClass: group\n\
                member: cn=ann, ou=people,dc=corp,dc=example,dc=test\nmember: CN=Else,DC=other\n";
    let (directory, done) = imported(text);
    assert_eq!(
        (done.users, done.groups, done.containers, done.unknown_members),
        (1, 1, 1, 1)
    );
    assert_eq!(
        done.passed_over.into_iter().collect::<Vec<_>>(),
        [("computer".to_owned(), 1), ("container".to_owned(), 1)]
    );
    assert_eq!(bind(&directory, "CORP\\ann", "Plain-1"), Ok(()));
    let ann = directory.account(directory.guid_of("ann").unwrap()).unwrap();
    assert_eq!(ann.created.to_string(), "2020-01-01T12:00:00.000Z");
    assert_eq!(directory.read(|domain| domain.groups_of(ann.guid).len()), 1);
}

#[test]
fn mistakes_change_nothing_and_are_told_by_their_lines() {
    let good = "dn: CN=a,CN=Users,DC=corp,DC=example,DC=test\nobjectClass: user\n";
    for (rest, expected) in [
        (
            "\ndn: CN=b,DC=elsewhere\nobjectClass: user\n",
            "line 4: dn: expected a name below DC=corp,DC=example,DC=test",
        ),
        (
            "badPwdCount: many\n",
            "line 1: badPwdCount: expected a whole number",
        ),
        ("objectGUID: short\n", "line 1: objectGUID: expected 16 bytes"),
        (
            "objectSid: short\n",
            "line 1: objectSid: expected the bytes of a SID",
        ),
        ("logonHours: short\n", "line 1: logonHours: expected 21 bytes"),
        (
            "whenCreated: yesterday\n",
            "line 1: whenCreated: expected a time such as 20261123123834.0Z",
        ),
        (
            "userPassword: {SSHA}x\n",
            "line 1: userPassword: expected plain text; a hash says no password",
        ),
        (
            "unicodePwd: \"x\"\n",
            "line 1: unicodePwd: expected the password in double quotes as UTF-16, little end first",
        ),
        (
            "\ndn: CN=A,OU=x,DC=corp,DC=example,DC=test\nobjectClass: user\n",
            "line 4: sAMAccountName \"A\" is already in use",
        ),
    ] {
        let directory = open(&corp().build());
        let errors = directory.import_ldif(&format!("{good}{rest}"), &ImportOptions::default());
        assert_eq!(errors.unwrap_err().mistakes(), [expected]);
        assert_eq!(directory.read(|domain| domain.accounts().count()), 0);
    }
}

#[test]
fn names_of_attributes_are_in_order() {
    assert!(LEFT_OUT.is_sorted());
}

fn state() -> impl Strategy<Value = AccountState> {
    prop_oneof![
        Just(AccountState::Disabled),
        Just(AccountState::AccountExpired),
        Just(AccountState::PasswordNeverExpires),
        Just(AccountState::MustChange),
        Just(AccountState::Locked),
        prop::array::uniform21(any::<u8>()).prop_map(AccountState::LogonHours),
        prop::collection::vec("[A-Z]{1,8}", 1..3).prop_map(AccountState::Workstations),
        Just(AccountState::Protected),
        Just(AccountState::NeverLocks),
    ]
}

proptest! {
    #[test]
    fn an_export_of_what_was_imported_says_the_same(
        users in prop::collection::btree_map(
            "[a-z]{1,8}",
            (
                "[ -~äß密]{1,20}",
                "[ -~äß密🔑]{0,20}",
                prop::option::of("[ -~ä]{1,20}"),
                prop::collection::vec(state(), 0..3),
                any::<bool>(),
            ),
            1..8,
        )
    ) {
        let names: Vec<_> = users.keys().cloned().collect();
        let mut builder = corp();
        for (at, (name, (cn, password, display, states, administrator))) in users.into_iter().enumerate() {
            // Blanks at the ends of a name are not part of it, and names differ.
            let mut user = User::new(&name, &password).cn(&format!("{at}{}.", cn.trim()));
            if let Some(display) = &display {
                user = user.display_name(display);
            }
            if administrator {
                user = user.administrator();
            }
            builder = builder.user(states.into_iter().fold(user, User::state));
        }
        let members: Vec<&str> = names.iter().map(String::as_str).collect();
        let before = open(&builder.group("The Group", "OU=Groups", &members).build());
        let first = before.export_ldif(true);
        let (after, done) = imported(&first);
        prop_assert_eq!(done.users as usize, names.len());
        let second = after.export_ldif(true);
        // What never locks has become settings of its own: these come with the others from then on.
        let sorted = |text: &str| {
            let mut records: Vec<_> = text.split("\n\n").map(|record| record.trim().to_owned()).collect();
            records.sort();
            records
        };
        let (first, second) = (sorted(&first), sorted(&second));
        prop_assert_eq!(first, second);
    }
}
