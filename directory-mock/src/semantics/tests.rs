//! The observed tables, row by row, and what must hold whatever happens.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{Clock as _, ManualClock, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::handle::DirectoryHandle;
use crate::model::{AccountState, Directory, User};

const RIGHT: &str = "Fixture-Passw0rd-1";
const MINUTE: Duration = Duration::from_secs(60);

/// Wednesday 2026-11-25, 12:30 UTC.
const START: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);

/// A directory at a clock that stands still, threshold 3, window and duration 30 minutes.
struct Fixture {
    clock: Arc<ManualClock>,
    directory: DirectoryHandle,
    flavour: Flavour,
}

impl Fixture {
    fn new(users: Vec<User>) -> Self {
        Self::with_duration(users, 30 * MINUTE)
    }

    fn with_duration(users: Vec<User>, duration: Duration) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let mut seams = Seams::real();
        seams.clock = clock.clone();
        let description = Directory::builder("corp.example.test", "CORP")
            .lockout(3, 30 * MINUTE, duration)
            .users(users)
            .build();
        Self {
            clock,
            directory: DirectoryHandle::open(&description, &seams).unwrap(),
            flavour: Flavour::Samba,
        }
    }

    fn judge(&self, name: &str, password: &str) -> Judgement {
        self.directory.sign_in(self.flavour, "dc1", name, password)
    }

    /// "0", "anonymous", or the data code.
    fn bind(&self, name: &str, password: &str) -> String {
        match self.judge(name, password).outcome {
            Outcome::Accepted(_) => "0".to_owned(),
            Outcome::Anonymous => "anonymous".to_owned(),
            Outcome::Refused(code) => code.to_string(),
        }
    }

    fn alice(&self, password: &str) -> String {
        self.bind("alice@corp.example.test", password)
    }

    fn counters(&self) -> Counters {
        let guid = self.directory.guid_of("alice").unwrap();
        self.directory.account(guid).unwrap().counters
    }

    fn locked(&self) -> bool {
        self.directory.is_locked(self.directory.guid_of("alice").unwrap())
    }
}

fn alice() -> Fixture {
    Fixture::new(vec![User::new("alice", RIGHT)])
}

#[test]
fn the_message_is_the_directorys_to_the_letter() {
    assert_eq!(
        SubCode::Wrong.message(),
        "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1"
    );
    assert!(SubCode::Odd(0x51f).message().contains("data 51f,"));
}

/// One row of the table of states: right, wrong and empty password.
#[track_caller]
fn check(states: &[AccountState], right: &str, wrong: &str) {
    for (password, expected) in [(RIGHT, right), ("wrong", wrong), ("", wrong)] {
        // A fresh directory each time: wrong passwords count.
        let user = states
            .iter()
            .fold(User::new("u", RIGHT), |user, state| user.state(state.clone()));
        let fixture = Fixture::new(vec![user]);
        for name in [
            "u@corp.example.test",
            "CORP\\u",
            "CN=u,CN=Users,DC=corp,DC=example,DC=test",
        ] {
            let fresh = Fixture {
                clock: fixture.clock.clone(),
                directory: fixture.directory.clone(),
                flavour: Flavour::Samba,
            };
            assert_eq!(
                fresh.bind(name, password),
                expected,
                "{states:?} {password:?} {name}"
            );
            if expected == "52e" {
                break;
            }
        }
    }
}

#[test]
fn each_state_is_answered_as_observed() {
    use AccountState::{
        AccountExpired, AccountExpiresIn, Disabled, LogonHours, MustChange, NoLogonHours, Normal,
        PasswordExpired, PasswordNeverExpires, Protected, Workstations,
    };
    let elsewhere = || Workstations(vec!["WS1".into(), "WS2".into()]);
    check(&[], "0", "52e");
    check(&[Disabled, Normal], "0", "52e");
    check(&[Disabled], "533", "52e");
    check(&[AccountExpired], "701", "52e");
    check(&[AccountExpiresIn(MINUTE)], "0", "52e");
    check(&[PasswordExpired], "532", "52e");
    check(&[PasswordExpired, PasswordNeverExpires], "0", "52e");
    check(&[MustChange], "773", "52e");
    check(&[AccountState::Locked], "775", "775");
    check(&[NoLogonHours], "530", "52e");
    check(&[elsewhere()], "531", "52e");
    check(&[Workstations(vec!["WS1".into(), "DC1".into()])], "0", "52e");
    check(
        &[Workstations(vec!["dc1.corp.example.test".into()])],
        "531",
        "52e",
    );
    check(&[Protected], "52f", "52f");
    check(&[Disabled, AccountExpired], "533", "52e");
    check(&[Disabled, MustChange], "533", "52e");
    check(&[AccountExpired, MustChange], "701", "52e");
    check(&[NoLogonHours, MustChange], "773", "52e");
    check(&[Disabled, AccountState::Locked], "775", "775");
    check(&[MustChange, AccountState::Locked], "775", "775");
    check(&[NoLogonHours, elsewhere()], "531", "52e");
    // Wednesday 12-13 h alone is bit 3 * 24 + 12.
    let mut hours = [0; 21];
    hours[84 / 8] = 1 << (84 % 8);
    check(&[LogonHours(hours)], "0", "52e");
    hours[84 / 8] = !(1 << (84 % 8));
    check(&[LogonHours(hours)], "530", "52e");
}

#[test]
fn nobody_and_nothing() {
    let fixture = alice();
    for name in [
        "bob@corp.example.test",
        "alice@other.test",
        "OTHER\\alice",
        "CN=bob,DC=corp",
        "alice",
    ] {
        assert_eq!(fixture.bind(name, RIGHT), "52e", "{name}");
    }
    assert_eq!(fixture.bind("", ""), "anonymous");
    assert_eq!(fixture.bind("", RIGHT), "52e");
    let nobody = Fixture::new(vec![User::new("u.nopw", "")]);
    for password in ["", "x"] {
        assert_eq!(nobody.bind("CORP\\u.nopw", password), "52e");
    }
}

#[test]
fn hazards_of_empty_passwords_and_nul() {
    let fixture = alice();
    assert_eq!(fixture.alice(""), "52e");
    assert_eq!(fixture.counters().bad_pwd_count, 1);
    assert_eq!(fixture.alice(&format!("{RIGHT}\0junk")), "0");
    assert_eq!(fixture.bind("CORP\\alice\0junk", RIGHT), "0");
    for wrong in [
        format!(" {RIGHT}"),
        format!("{RIGHT} "),
        RIGHT.to_lowercase(),
        "x".repeat(100_000),
    ] {
        assert_eq!(alice().alice(&wrong), "52e");
    }
    let nul = Fixture::new(vec![User::new("alice", "se\0cret")]);
    assert_eq!(nul.alice("se\0cret"), "52e");
    let unicode = Fixture::new(vec![User::new("alice", "Pässwörd-密码-🔑-1")]);
    assert_eq!(unicode.alice("Pässwörd-密码-🔑-1"), "0");
}

#[test]
fn windows_differs_where_documented() {
    let fixture = Fixture {
        flavour: Flavour::Windows,
        ..alice()
    };
    assert_eq!(fixture.bind("bob@corp.example.test", RIGHT), "525");
    assert_eq!(fixture.alice(""), "anonymous");
    assert_eq!(fixture.counters(), Counters::default());
    assert_eq!(fixture.alice("wrong"), "52e");
}

#[test]
fn wrong_passwords_lock_at_the_threshold_and_no_later_attempt_changes_it() {
    let fixture = alice();
    for expected in 1..=2 {
        assert_eq!(fixture.alice("wrong"), "52e");
        let counters = fixture.counters();
        assert_eq!((counters.bad_pwd_count, counters.lockout_time), (expected, None));
        fixture.clock.advance(MINUTE);
    }
    assert_eq!(
        fixture.alice("wrong"),
        "52e",
        "the locking one is answered as wrong"
    );
    let locked = fixture.counters();
    assert_eq!(locked.bad_pwd_count, 3);
    assert_eq!(locked.lockout_time, locked.bad_password_time);
    for password in [RIGHT, "wrong", ""] {
        fixture.clock.advance(MINUTE);
        let judgement = fixture.judge("CORP\\alice", password);
        assert_eq!(judgement.outcome, Outcome::Refused(SubCode::Locked));
        assert!(!judgement.counted);
        assert_eq!(fixture.counters(), locked);
    }
}

#[test]
fn a_success_starts_the_count_again() {
    let fixture = alice();
    for _ in 0..4 {
        fixture.alice("wrong");
        fixture.alice("wrong");
        assert_eq!(fixture.alice(RIGHT), "0");
        assert_eq!(fixture.counters().bad_pwd_count, 0);
        assert!(fixture.counters().bad_password_time.is_some(), "kept");
    }
    assert!(!fixture.locked());
}

#[test]
fn the_count_starts_again_after_a_whole_window_without_a_failure() {
    let fixture = alice();
    for _ in 0..5 {
        fixture.alice("wrong");
        assert_eq!(fixture.counters().bad_pwd_count, 1);
        fixture.clock.advance(30 * MINUTE);
    }
    // The window does not slide over single failures: two close ones each time do lock.
    fixture.alice("wrong");
    fixture.clock.advance(29 * MINUTE);
    fixture.alice("wrong");
    fixture.clock.advance(29 * MINUTE);
    fixture.alice("wrong");
    assert!(fixture.locked());
}

#[test]
fn a_lockout_ends_after_its_duration() {
    let fixture = alice();
    for _ in 0..3 {
        fixture.alice("wrong");
    }
    let locked = fixture.counters();
    fixture.clock.advance(30 * MINUTE - Duration::from_millis(1));
    assert_eq!(fixture.alice(RIGHT), "775");
    fixture.clock.advance(Duration::from_millis(1));
    assert!(!fixture.locked());
    assert_eq!(fixture.counters(), locked, "nothing happens by itself");
    assert_eq!(fixture.alice("wrong"), "52e");
    assert_eq!(fixture.counters().bad_pwd_count, 1);
    assert_eq!(fixture.alice(RIGHT), "0");
    let counters = fixture.counters();
    assert_eq!((counters.bad_pwd_count, counters.lockout_time), (0, None));
}

#[test]
fn a_second_lockout_needs_the_whole_threshold_even_inside_the_window() {
    let fixture = Fixture::with_duration(vec![User::new("alice", RIGHT)], MINUTE);
    for _ in 0..3 {
        fixture.alice("wrong");
    }
    fixture.clock.advance(MINUTE);
    for expected in 1..=3 {
        assert!(!fixture.locked());
        fixture.alice("wrong");
        assert_eq!(fixture.counters().bad_pwd_count, expected);
    }
    assert!(fixture.locked());
}

#[test]
fn a_lockout_of_duration_zero_lasts_until_it_is_lifted() {
    let fixture = Fixture::with_duration(vec![User::new("alice", RIGHT)], Duration::ZERO);
    let guid = fixture.directory.guid_of("alice").unwrap();
    for _ in 0..3 {
        fixture.alice("wrong");
    }
    fixture.clock.advance(Duration::from_secs(10 * 24 * 3600));
    assert_eq!(fixture.alice(RIGHT), "775");
    fixture.directory.set_password(guid, "new").unwrap();
    assert_eq!(fixture.alice("new"), "775", "a reset does not unlock");
    fixture.directory.unlock(guid).unwrap();
    assert_eq!(fixture.alice("new"), "0");
}

#[test]
fn barred_accounts_count_failures_too() {
    for state in [
        AccountState::Disabled,
        AccountState::AccountExpired,
        AccountState::NoLogonHours,
        AccountState::MustChange,
    ] {
        let fixture = Fixture::new(vec![User::new("alice", RIGHT).state(state.clone())]);
        for _ in 0..3 {
            assert_eq!(fixture.alice("wrong"), "52e");
        }
        assert_eq!(fixture.alice(RIGHT), "775", "{state:?}");
    }
    let never = Fixture::new(vec![User::new("alice", RIGHT).state(AccountState::NeverLocks)]);
    for _ in 0..20 {
        assert_eq!(never.alice("wrong"), "52e");
    }
    assert_eq!(never.counters(), Counters::default());
    assert_eq!(never.alice(RIGHT), "0");
}

#[test]
fn a_right_password_of_a_barred_account_does_not_reset_the_count() {
    let fixture = Fixture::new(vec![User::new("alice", RIGHT).state(AccountState::Disabled)]);
    fixture.alice("wrong");
    assert_eq!(fixture.alice(RIGHT), "533");
    assert_eq!(fixture.counters().bad_pwd_count, 1);
}

#[test]
fn the_last_two_passwords_are_refused_uncounted_and_the_previous_one_binds_for_an_hour() {
    let fixture = Fixture::new(vec![User::new("alice", "first")]);
    let guid = fixture.directory.guid_of("alice").unwrap();
    for new in ["second", "third", "fourth"] {
        fixture.directory.set_password(guid, new).unwrap();
    }
    assert_eq!(fixture.alice("fourth"), "0");
    assert_eq!(fixture.alice("third"), "0");
    assert_eq!(fixture.alice("second"), "52e");
    assert_eq!(fixture.counters().bad_pwd_count, 0);
    assert_eq!(fixture.alice("first"), "52e");
    assert_eq!(fixture.counters().bad_pwd_count, 1, "older ones count");
    fixture.clock.advance(60 * MINUTE);
    assert_eq!(fixture.alice("third"), "52e");
    assert_eq!(fixture.counters().bad_pwd_count, 1);
}

#[test]
fn a_password_grows_old() {
    let fixture = alice();
    fixture
        .clock
        .advance(Duration::from_secs(42 * 24 * 3600) - MINUTE);
    assert_eq!(fixture.alice(RIGHT), "0");
    fixture.clock.advance(MINUTE);
    assert_eq!(fixture.alice(RIGHT), "532");
    let guid = fixture.directory.guid_of("alice").unwrap();
    fixture.directory.set_password(guid, "new").unwrap();
    assert_eq!(fixture.alice("new"), "0");
}

/// What an account goes through.
#[derive(Clone, Debug)]
enum Step {
    Right,
    Wrong,
    Empty,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Right),
        4 => Just(Step::Wrong),
        1 => Just(Step::Empty),
        2 => (0_u64..40).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn lockout_holds_whatever_the_order(steps in steps(), disabled: bool, duration_min in 0_u64..50) {
        let mut user = User::new("alice", RIGHT);
        if disabled {
            user = user.state(AccountState::Disabled);
        }
        let fixture = Fixture::with_duration(vec![user], duration_min as u32 * MINUTE);
        for step in steps {
            let (before, locked) = (fixture.counters(), fixture.locked());
            let answer = match step {
                Step::Right => fixture.alice(RIGHT),
                Step::Wrong => fixture.alice("wrong"),
                Step::Empty => fixture.alice(""),
                Step::Wait(minutes) => {
                    fixture.clock.advance(minutes as u32 * MINUTE);
                    continue;
                }
            };
            let after = fixture.counters();
            prop_assert!(after.bad_pwd_count <= 3, "never past the threshold");
            prop_assert_eq!(locked, answer == "775", "locked is always 775 and nothing else is");
            if locked {
                prop_assert_eq!(before, after);
            }
            match step {
                Step::Right if !locked => prop_assert_eq!(answer, if disabled { "533" } else { "0" }),
                Step::Wrong | Step::Empty if !locked => {
                    prop_assert_eq!(answer, "52e");
                    prop_assert_eq!(fixture.locked(), after.bad_pwd_count == 3);
                }
                _ => {}
            }
        }
        prop_assert!(fixture.clock.now() >= START);
    }

    #[test]
    fn no_name_or_password_panics(name: String, password: String, windows: bool) {
        let fixture = Fixture {
            flavour: if windows { Flavour::Windows } else { Flavour::Samba },
            ..alice()
        };
        let judgement = fixture.judge(&name, &password);
        prop_assert!(!matches!(judgement.outcome, Outcome::Accepted(_)));
    }
}
