//! Passwords set over LDAP, row by row as observed, and what several controllers make of it.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{ManualClock, Timestamp};

use super::*;
use crate::handle::DirectoryHandle;
use crate::model::{AccountState, Directory, PasswordSettings, User};

const START: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);
const NAME: &str = "alice@corp.example.test";
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    clock: Arc<ManualClock>,
    directory: DirectoryHandle,
    alice: Uuid,
}

impl Fixture {
    fn new(policy: Policy) -> Self {
        Self::with(policy, |builder| builder)
    }

    fn with(
        policy: Policy,
        more: impl FnOnce(crate::model::DirectoryBuilder) -> crate::model::DirectoryBuilder,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let mut seams = Seams::real();
        seams.clock = clock.clone();
        let builder = Directory::builder("corp.example.test", "CORP")
            .policy(policy)
            .user(User::new("alice", "First-1").display_name("Alice Liddell"));
        let directory = DirectoryHandle::open(&more(builder).build(), &seams).unwrap();
        Self {
            clock,
            alice: directory.guid_of("alice").unwrap(),
            directory,
        }
    }

    fn bind(&self, host: &str, password: &str) -> String {
        match self
            .directory
            .sign_in(Flavour::Samba, host, NAME, password)
            .outcome
        {
            Outcome::Accepted(_) => "0".to_owned(),
            Outcome::Anonymous => "anonymous".to_owned(),
            Outcome::Refused(code) => code.to_string(),
        }
    }

    fn change(&self, old: &str, new: &str) -> Result<(), PasswordRefusal> {
        self.write("dc1", Flavour::Samba, PasswordWrite::Change { old, new })
    }

    fn reset(&self, flavour: Flavour, new: &str, with_history: bool) -> Result<(), PasswordRefusal> {
        self.write("dc1", flavour, PasswordWrite::Reset { new, with_history })
    }

    fn write(&self, host: &str, flavour: Flavour, write: PasswordWrite<'_>) -> Result<(), PasswordRefusal> {
        let written = self.directory.write_password(flavour, host, self.alice, write);
        written.unwrap()
    }

    fn count(&self, host: &str) -> u32 {
        self.directory
            .counters_at(host, self.alice)
            .unwrap()
            .bad_pwd_count
    }
}

fn threshold(lockout_threshold: u32) -> Policy {
    Policy {
        lockout_threshold,
        ..Policy::default()
    }
}

#[test]
fn a_change_obeys_everything_and_a_reset_length_and_complexity() {
    use PasswordRefusal::{Current, InHistory, NotComplex, TooShort, TooYoung, WrongOld};
    let fixture = Fixture::new(Policy {
        lockout_threshold: 0,
        password_age_min: 10 * MINUTE,
        ..Policy::default()
    });
    assert_eq!(
        fixture.change("nope", "x"),
        Err(WrongOld),
        "whatever the new one is"
    );
    assert_eq!(fixture.change("First-1", "x"), Err(TooYoung));
    assert_eq!(
        fixture.reset(Flavour::Samba, "Second-2", true),
        Ok(()),
        "at any age"
    );
    fixture.clock.advance(10 * MINUTE);
    for (new, expected) in [
        ("x", TooShort(7)),
        ("", TooShort(7)),
        ("lowercase", NotComplex),
        ("Second-2", Current),
        ("First-1", InHistory),
    ] {
        assert_eq!(fixture.change("Second-2", new), Err(expected), "{new}");
    }
    for (new, expected) in [
        ("x", Err(TooShort(7))),
        ("lowercase", Err(NotComplex)),
        ("Second-2", Ok(())),
        ("First-1", Ok(())),
    ] {
        assert_eq!(fixture.reset(Flavour::Samba, new, true), expected, "{new}");
    }
}

#[test]
fn windows_looks_for_names_and_takes_the_policy_hints() {
    let fixture = Fixture::new(Policy::default());
    for named in ["xxAlice-1", "my-LIDDELL-9"] {
        assert_eq!(fixture.reset(Flavour::Samba, named, false), Ok(()));
        assert_eq!(
            fixture.reset(Flavour::Windows, named, false),
            Err(PasswordRefusal::NotComplex)
        );
    }
    assert_eq!(
        fixture.reset(Flavour::Windows, "First-1", true),
        Err(PasswordRefusal::InHistory)
    );
    assert_eq!(fixture.reset(Flavour::Windows, "First-1", false), Ok(()));
}

#[test]
fn wrong_old_passwords_lock_and_no_former_one_is_forgiven() {
    let fixture = Fixture::new(threshold(3));
    fixture.change("First-1", "Second-2").unwrap();
    for (count, old) in [(1, "nope"), (2, "First-1")] {
        assert_eq!(fixture.change(old, "Third-3"), Err(PasswordRefusal::WrongOld));
        assert_eq!(fixture.count("dc1"), count);
    }
    assert_eq!(
        fixture.change("Second-2", "x"),
        Err(PasswordRefusal::TooShort(7)),
        "a right old one does not start the count again"
    );
    assert_eq!(fixture.count("dc1"), 2);
    assert_eq!(fixture.change("nope", "Third-3"), Err(PasswordRefusal::WrongOld));
    assert_eq!(
        fixture.change("Second-2", "Third-3"),
        Err(PasswordRefusal::Locked)
    );
    assert_eq!(fixture.reset(Flavour::Samba, "Third-3", false), Ok(()));
    assert_eq!(fixture.bind("dc1", "Third-3"), "775", "a reset does not unlock");
}

#[test]
fn must_change_and_expiry_follow_a_new_password() {
    let fixture = Fixture::new(Policy {
        password_age_min: MINUTE,
        ..threshold(3)
    });
    let must_change = || {
        fixture
            .directory
            .set_state(fixture.alice, &AccountState::MustChange)
    };
    must_change().unwrap();
    assert_eq!(fixture.bind("dc1", "First-1"), "773");
    assert_eq!(fixture.change("First-1", "Second-2"), Ok(()), "never too young");
    assert_eq!(fixture.bind("dc1", "Second-2"), "0");
    assert_eq!(fixture.bind("dc1", "First-1"), "0", "for an hour");
    must_change().unwrap();
    assert_eq!(
        fixture.bind("dc1", "First-1"),
        "52e",
        "but not while it must be changed"
    );
    assert_eq!(fixture.count("dc1"), 0);
    fixture.clock.advance(Policy::default().password_age_max + MINUTE);
    assert_eq!(fixture.change("Second-2", "Third-3"), Ok(()));
    assert_eq!(fixture.bind("dc1", "Third-3"), "0");
}

#[test]
fn a_history_of_one_or_none_forgives_no_former_password() {
    for (history, again) in [(0, Ok(())), (1, Err(PasswordRefusal::Current))] {
        let fixture = Fixture::new(Policy {
            password_history: history,
            ..threshold(9)
        });
        fixture.change("First-1", "Second-2").unwrap();
        assert_eq!(fixture.bind("dc1", "First-1"), "52e");
        assert_eq!(fixture.count("dc1"), 1);
        assert_eq!(fixture.change("Second-2", "Second-2"), again);
        assert_eq!(fixture.change("Second-2", "First-1"), Ok(()));
    }
}

#[test]
fn fine_grained_settings_replace_the_domains_policy() {
    let strict = Policy {
        password_length_min: 12,
        password_complexity: false,
        ..threshold(1)
    };
    let settings = PasswordSettings::new("strict", 5, strict).applies_to("alice");
    let fixture = Fixture::with(threshold(9), |builder| builder.password_settings(settings));
    assert_eq!(
        fixture.reset(Flavour::Samba, "Second-2", false),
        Err(PasswordRefusal::TooShort(12))
    );
    assert_eq!(fixture.reset(Flavour::Samba, "onlylowercase", false), Ok(()));
    assert_eq!(fixture.bind("dc1", "wrong"), "52e");
    assert_eq!(fixture.bind("dc1", "onlylowercase"), "775");
}

#[test]
fn the_pdc_emulator_counts_what_others_refuse() {
    let fixture = Fixture::new(threshold(3));
    for host in ["dc2", "DC3"] {
        assert_eq!(fixture.bind(host, "wrong"), "52e");
    }
    let counts = ["dc1", "dc2", "dc3"].map(|host| fixture.count(host));
    assert_eq!(counts, [2, 1, 1]);
    assert_eq!(fixture.bind("dc2", "wrong"), "52e");
    for host in ["dc1", "dc2", "dc3", "dc4"] {
        assert_eq!(fixture.bind(host, "First-1"), "775", "{host}");
    }
    fixture.directory.unlock(fixture.alice).unwrap();
    assert_eq!(["dc1", "dc2", "dc3"].map(|host| fixture.count(host)), [0; 3]);
    fixture.bind("dc2", "wrong");
    assert_eq!(fixture.bind("dc3", "First-1"), "0");
    assert_eq!(
        ["dc1", "dc2", "dc3"].map(|host| fixture.count(host)),
        [0, 1, 0],
        "a success is told to the PDC emulator, not to others"
    );
}

#[test]
fn without_the_pdc_emulator_each_controller_counts_for_itself() {
    let fixture = Fixture::new(threshold(2));
    fixture.directory.set_pdc_reachable(false);
    for host in ["dc2", "dc3"] {
        assert_eq!(fixture.bind(host, "wrong"), "52e");
    }
    assert_eq!(["dc1", "dc2", "dc3"].map(|host| fixture.count(host)), [0, 1, 1]);
    assert!(!fixture.directory.is_locked(fixture.alice));
    assert_eq!(fixture.bind("dc3", "wrong"), "52e");
    assert_eq!(fixture.bind("dc2", "First-1"), "775");
}

#[test]
fn a_new_password_that_has_not_arrived_is_asked_of_the_pdc_emulator() {
    let fixture = Fixture::new(threshold(3));
    fixture.directory.hold_replication("dc2");
    fixture.reset(Flavour::Samba, "Second-2", false).unwrap();
    fixture.clock.advance(61 * MINUTE);
    assert_eq!(fixture.bind("dc2", "Second-2"), "0", "the PDC emulator knows it");
    assert_eq!(fixture.bind("dc2", "First-1"), "0", "still the password here");
    assert_eq!(fixture.bind("dc1", "First-1"), "52e");
    fixture.directory.set_pdc_reachable(false);
    assert_eq!(fixture.bind("dc2", "Second-2"), "52e");
    assert_eq!(fixture.count("dc2"), 1);
    fixture.directory.replicate("dc2");
    assert_eq!(fixture.bind("dc2", "Second-2"), "0");
    assert_eq!(fixture.bind("dc2", "First-1"), "52e");
}

#[test]
fn each_refusal_is_told_as_observed() {
    use PasswordRefusal::{Current, InHistory, Locked, NotComplex, TooShort, TooYoung, WrongOld};
    const PREFIX: &str = "0000052D: Constraint violation - check_password_restrictions: ";
    for (refusal, text) in [
        (
            TooShort(7),
            "the password is too short. It should be equal or longer than 7 characters!",
        ),
        (NotComplex, "the password does not meet the complexity criteria!"),
        (TooYoung, "password is too young to change!"),
        (Current, "the password was already used (previous password)!"),
        (InHistory, "the password was already used (in history)!"),
    ] {
        let expected = (19, format!("{PREFIX}{text}"));
        assert_eq!(refusal.answer(Flavour::Samba, false), expected);
        let (code, text) = refusal.answer(Flavour::Windows, true);
        assert_eq!((code, &text[..17]), (53, "0000052D: SvcErr:"));
    }
    for (refusal, win32) in [(WrongOld, "00000056"), (Locked, "00000775")] {
        for flavour in [Flavour::Samba, Flavour::Windows] {
            let (code, text) = refusal.answer(flavour, false);
            assert_eq!((code, &text[..8]), (19, win32));
        }
    }
}
