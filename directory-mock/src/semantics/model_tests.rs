//! The semantics against a small reference model, over random histories of binds at two controllers,
//! password changes and resets, unlocks and clock moves. The model is written from the rules, with lists
//! instead of counters, and shares no code with what it judges.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::Seams;
use postern_kit::clock::{ManualClock, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::handle::DirectoryHandle;
use crate::model::{AccountState, Directory, User};

const MINUTE_MS: i64 = 60_000;
const START: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);
const NAME: &str = "alice@corp.example.test";
/// What can be typed or set. The last two are no good passwords.
const WORDS: [&str; 8] = [
    "Passw0rd-0",
    "Passw0rd-1",
    "Passw0rd-2",
    "Passw0rd-3",
    "Passw0rd-4",
    "Passw0rd-5",
    "aB1",
    "lowercase",
];

/// The policy of a history; times in minutes.
#[derive(Clone, Copy, Debug)]
struct Rules {
    threshold: usize,
    window: i64,
    duration: i64,
    history: usize,
    age_min: i64,
    age_max: i64,
    grace: i64,
}

#[derive(Clone, Debug)]
struct Model {
    rules: Rules,
    now: i64,
    /// All that ever held, the current one last.
    passwords: Vec<usize>,
    set_at: i64,
    must_change: bool,
    disabled: bool,
    /// Failures of the running count.
    failures: Vec<i64>,
    locked_at: Option<i64>,
}

impl Model {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: 0,
            passwords: vec![0],
            set_at: 0,
            must_change: false,
            disabled: false,
            failures: Vec::new(),
            locked_at: None,
        }
    }

    fn locked(&self) -> bool {
        let forever = self.rules.duration == 0;
        self.locked_at
            .is_some_and(|at| forever || self.now - at < self.rules.duration)
    }

    /// The passwords that are remembered, the current one first.
    fn remembered(&self) -> Vec<usize> {
        let count = self.rules.history.max(1);
        self.passwords.iter().rev().take(count).copied().collect()
    }

    fn fail(&mut self) {
        if self.rules.threshold == 0 {
            return;
        }
        let stale = self
            .failures
            .last()
            .is_some_and(|last| self.now - last >= self.rules.window);
        let after_lockout = self.locked_at.take().is_some();
        if stale || after_lockout {
            self.failures.clear();
        }
        self.failures.push(self.now);
        if self.failures.len() >= self.rules.threshold {
            self.locked_at = Some(self.now);
        }
    }

    fn bind(&mut self, word: usize) -> &'static str {
        if self.locked() {
            return "775";
        }
        let known = self.remembered();
        let in_grace = !self.must_change && self.now - self.set_at < self.rules.grace;
        if known[0] != word && !(in_grace && known.get(1) == Some(&word)) {
            if !known.iter().skip(1).take(2).any(|old| *old == word) {
                self.fail();
            }
            return "52e";
        }
        if self.disabled {
            return "533";
        }
        if self.must_change {
            return "773";
        }
        if self.rules.age_max > 0 && self.now - self.set_at >= self.rules.age_max {
            return "532";
        }
        self.failures.clear();
        self.locked_at = None;
        "0"
    }

    fn set(&mut self, old: Option<usize>, new: usize) -> Result<(), PasswordRefusal> {
        if let Some(old) = old {
            if self.locked() {
                return Err(PasswordRefusal::Locked);
            }
            if self.remembered()[0] != old {
                self.fail();
                return Err(PasswordRefusal::WrongOld);
            }
            if !self.must_change && self.now - self.set_at < self.rules.age_min {
                return Err(PasswordRefusal::TooYoung);
            }
        }
        match new {
            6 => return Err(PasswordRefusal::TooShort(7)),
            7 => return Err(PasswordRefusal::NotComplex),
            _ => {}
        }
        if old.is_some() && self.rules.history > 0 {
            let known = self.remembered();
            if known[0] == new {
                return Err(PasswordRefusal::Current);
            }
            if known.contains(&new) {
                return Err(PasswordRefusal::InHistory);
            }
        }
        self.passwords.push(new);
        self.set_at = self.now;
        self.must_change = false;
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Bind {
        host: &'static str,
        word: usize,
    },
    Change {
        host: &'static str,
        old: usize,
        new: usize,
    },
    Reset {
        new: usize,
    },
    Unlock,
    MustChange,
    Disable,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let host = || prop_oneof![Just("dc1"), Just("dc2")];
    let word = || 0..WORDS.len();
    prop_oneof![
        8 => (host(), word()).prop_map(|(host, word)| Step::Bind { host, word }),
        3 => (host(), word(), word()).prop_map(|(host, old, new)| Step::Change { host, old, new }),
        2 => word().prop_map(|new| Step::Reset { new }),
        1 => Just(Step::Unlock),
        1 => Just(Step::MustChange),
        1 => Just(Step::Disable),
        4 => (0_i64..50).prop_map(Step::Wait),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let some = |most: i64| prop_oneof![Just(0), 1..most];
    (
        0_usize..4,
        1_i64..60,
        some(60),
        0_usize..6,
        some(40),
        some(300),
        some(60),
    )
        .prop_map(
            |(threshold, window, duration, history, age_min, age_max, grace)| Rules {
                threshold,
                window,
                duration,
                history,
                age_min,
                age_max,
                grace,
            },
        )
}

fn open(rules: Rules) -> (DirectoryHandle, Arc<ManualClock>) {
    let minutes = |minutes: i64| Duration::from_secs(u64::try_from(minutes).unwrap() * 60);
    let clock = Arc::new(ManualClock::new(START));
    let mut seams = Seams::real();
    seams.clock = clock.clone();
    let directory = Directory::builder("corp.example.test", "CORP")
        .policy(Policy {
            lockout_threshold: u32::try_from(rules.threshold).unwrap(),
            lockout_window: minutes(rules.window),
            lockout_duration: minutes(rules.duration),
            password_age_max: minutes(rules.age_max),
            password_age_min: minutes(rules.age_min),
            password_history: u32::try_from(rules.history).unwrap(),
            old_password_allowed: minutes(rules.grace),
            ..Policy::default()
        })
        .user(User::new("alice", WORDS[0]))
        .build();
    (DirectoryHandle::open(&directory, &seams).unwrap(), clock)
}

fn bind(directory: &DirectoryHandle, host: &str, word: usize) -> String {
    match directory.sign_in(Flavour::Samba, host, NAME, WORDS[word]).outcome {
        Outcome::Accepted(_) => "0".to_owned(),
        Outcome::Anonymous => "anonymous".to_owned(),
        Outcome::Refused(code) => code.to_string(),
    }
}

proptest! {
    #[test]
    fn any_history_goes_as_the_reference_model_says(rules in rules(), steps in proptest::collection::vec(step(), 0..80)) {
        let (directory, clock) = open(rules);
        let guid = directory.guid_of("alice").unwrap();
        let mut model = Model::new(rules);
        for step in steps {
            match step {
                Step::Bind { host, word } => {
                    prop_assert_eq!(bind(&directory, host, word), model.bind(word), "{:?} {:?}", step, model);
                }
                Step::Change { host, old, new } => {
                    let write = PasswordWrite::Change { old: WORDS[old], new: WORDS[new] };
                    let written = directory.write_password(Flavour::Samba, host, guid, write).unwrap();
                    prop_assert_eq!(written, model.set(Some(old), new), "{:?} {:?}", step, model);
                }
                Step::Reset { new } => {
                    let write = PasswordWrite::Reset { new: WORDS[new], with_history: true };
                    let written = directory.write_password(Flavour::Samba, "dc2", guid, write).unwrap();
                    prop_assert_eq!(written, model.set(None, new), "{:?} {:?}", step, model);
                }
                Step::Unlock => {
                    directory.unlock(guid).unwrap();
                    model.failures.clear();
                    model.locked_at = None;
                }
                Step::MustChange => {
                    directory.set_state(guid, &AccountState::MustChange).unwrap();
                    model.must_change = true;
                }
                Step::Disable => {
                    directory.set_state(guid, &AccountState::Disabled).unwrap();
                    model.disabled = true;
                }
                Step::Wait(minutes) => {
                    clock.advance(Duration::from_millis(u64::try_from(minutes * MINUTE_MS).unwrap()));
                    model.now += minutes;
                }
            }
            let shared = directory.account(guid).unwrap().counters;
            prop_assert_eq!(shared.bad_pwd_count as usize, model.failures.len());
            prop_assert_eq!(directory.is_locked(guid), model.locked(), "{:?}", model);
            let own = directory.counters_at("dc2", guid).unwrap();
            prop_assert_eq!(own.lockout_time, shared.lockout_time, "a lockout is everywhere at once");
        }
    }
}
