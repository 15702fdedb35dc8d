use super::*;
use postern_proto::ids::UserId;
use postern_proto::seal::DEADLINE_MAX;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_secs(1800);
/// How long a failure counts here.
const SPAN: Duration = Duration::from_secs(1860);
const RULES: Rules = Rules {
    failures: 4,
    window: WINDOW,
};
const ADA: Account = Account::User(UserId::from_bytes([1; 16]));
const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn unknown(number: u32) -> Account {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    Account::Unknown(digest)
}

struct World {
    core: Core,
    now: Timestamp,
}

/// Who is woken, and to what.
type Stored = (Account, Option<(u32, Timestamp)>);
type Woken = Vec<(Ticket, Result<Charge, Refusal>)>;

impl World {
    fn new() -> Self {
        Self::with_mark(None)
    }

    fn with_mark(mark: Option<Mark>) -> Self {
        Self {
            core: Core::new(RULES, mark, []),
            now: START,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    fn enter(&mut self, account: Account) -> Entry {
        self.core.enter(account, self.now)
    }

    #[track_caller]
    fn charge(&mut self, account: Account) -> Charge {
        match self.enter(account) {
            Entry::Charged(charge) => charge,
            other => panic!("{other:?}"),
        }
    }

    /// Ends an attempt: what is stored, and who is woken.
    fn end(&mut self, charge: Charge, proven: DirectoryCount) -> (Vec<Stored>, Woken) {
        let changed = self.core.count(&charge, proven, self.now);
        let stored = changed
            .into_iter()
            .map(|account| (account, self.core.row(account)))
            .collect();
        (stored, self.core.release(charge, self.now))
    }

    #[track_caller]
    fn fail(&mut self, account: Account) {
        let charge = self.charge(account);
        self.end(charge, DirectoryCount::PerhapsOneMore);
    }

    fn used_up(&mut self, account: Account) -> Option<Duration> {
        match self.enter(account) {
            Entry::Refused(Refusal::UsedUp { retry_after }) => Some(retry_after),
            Entry::Charged(charge) => {
                self.end(charge, DirectoryCount::Untouched);
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_budget_is_used_up_and_empties_a_window_after_the_last_failure() {
    let mut world = World::new();
    for _ in 0..4 {
        world.fail(ADA);
        world.pass(Duration::from_secs(60));
    }
    let left = SPAN - Duration::from_secs(60) + Duration::from_millis(1);
    assert_eq!(world.used_up(ADA), Some(left));
    world.pass(left - Duration::from_millis(1));
    assert!(world.used_up(ADA).is_some());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.used_up(ADA), None);
}

#[test]
fn a_failure_now_and_then_is_not_forgotten_before_its_window() {
    let mut world = World::new();
    for _ in 0..4 {
        world.fail(ADA);
        world.pass(SPAN);
    }
    assert!(world.used_up(ADA).is_some());
    assert_eq!(world.used_up(unknown(1)), None);
}

#[test]
fn a_success_empties_it_and_what_proves_nothing_wrong_costs_nothing() {
    let mut world = World::new();
    for _ in 0..3 {
        for _ in 0..3 {
            world.fail(ADA);
        }
        let charge = world.charge(ADA);
        let (changes, _) = world.end(charge, DirectoryCount::Cleared);
        assert_eq!(changes, [(ADA, None)]);
    }
    for _ in 0..10 {
        let charge = world.charge(ADA);
        assert_eq!(world.end(charge, DirectoryCount::Untouched), (vec![], vec![]));
    }
}

#[test]
fn a_success_does_not_excuse_a_failure_that_may_have_come_after_it() {
    let mut world = World::new();
    world.fail(ADA);
    let right = world.charge(ADA);
    let wrong = world.charge(ADA);
    world.end(wrong, DirectoryCount::PerhapsOneMore);
    let (changes, _) = world.end(right, DirectoryCount::Cleared);
    assert_eq!(changes[0].1, Some((1, world.now)));
}

#[test]
fn attempts_in_flight_are_charged_and_others_wait_for_them() {
    let mut world = World::new();
    world.fail(ADA);
    world.fail(ADA);
    world.fail(ADA);
    let last = world.charge(ADA);
    // The last one could use it up: whoever comes waits, and is refused if it does.
    let Entry::Waits(ticket) = world.enter(ADA) else {
        panic!("not waiting")
    };
    let (_, woken) = world.end(last, DirectoryCount::PerhapsOneMore);
    assert!(
        matches!(woken[..], [(woken, Err(Refusal::UsedUp { .. }))] if woken == ticket),
        "{woken:?}"
    );
}

#[test]
fn two_are_in_flight_sixteen_wait_in_their_order_and_more_are_too_many() {
    let mut world = World::new();
    let (first, second) = (world.charge(ADA), world.charge(ADA));
    let waiting: Vec<_> = (0..16)
        .map(|_| match world.enter(ADA) {
            Entry::Waits(ticket) => ticket,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(world.enter(ADA), Entry::Refused(Refusal::Busy));
    // One who leaves makes room and is not woken.
    world.core.leave(ADA, waiting[0]);
    let (_, mut woken) = world.end(first, DirectoryCount::Cleared);
    assert_eq!(woken.len(), 1);
    let (ticket, charge) = woken.remove(0);
    assert_eq!(ticket, waiting[1]);
    assert_eq!(world.core.in_flight(), 2);
    world.end(charge.unwrap(), DirectoryCount::Cleared);
    world.end(second, DirectoryCount::Cleared);
}

#[test]
fn an_unclean_stop_is_charged_to_everybody_until_a_success_or_the_window() {
    let mark = Mark {
        at: START,
        failures: 2,
    };
    let mut world = World::with_mark(Some(mark));
    // Two are left, one at a time.
    let first = world.charge(ADA);
    assert!(matches!(world.enter(ADA), Entry::Waits(_)));
    let (_, woken) = world.end(first, DirectoryCount::PerhapsOneMore);
    let [(_, Ok(second))] = <[_; 1]>::try_from(woken).unwrap() else {
        panic!("not woken")
    };
    world.end(second, DirectoryCount::PerhapsOneMore);
    assert!(world.used_up(ADA).is_some());
    let eve = Account::User(UserId::from_bytes([2; 16]));
    let charge = world.charge(eve);
    world.end(charge, DirectoryCount::Cleared);
    for _ in 0..4 {
        world.fail(eve);
    }
    assert!(world.used_up(eve).is_some());
    // Who fails late in the mark's window takes it along.
    world.pass(SPAN);
    let bob = Account::User(UserId::from_bytes([3; 16]));
    world.fail(bob);
    world.pass(Duration::from_secs(60));
    world.fail(bob);
    assert!(world.used_up(bob).is_some());
    world.pass(SPAN);
    world.pass(SPAN + Duration::from_millis(1));
    assert_eq!(world.used_up(ADA), None);
    let (one, two) = (world.charge(ADA), world.charge(ADA));
    world.end(one, DirectoryCount::Untouched);
    world.end(two, DirectoryCount::Untouched);
}

#[test]
fn what_may_be_lost_at_once_is_never_the_whole_budget() {
    let max = |failures, mark| {
        in_flight_max(
            &Rules {
                failures,
                window: WINDOW,
            },
            mark,
            START,
        )
    };
    assert_eq!(
        [max(2, None), max(3, None), max(4, None), max(100, None)],
        [1, 2, 2, 2]
    );
    assert_eq!(
        max(
            4,
            Some(Mark {
                at: START,
                failures: 2
            })
        ),
        1
    );
    assert_eq!(
        max(
            4,
            Some(Mark {
                at: START.minus(SPAN * 2),
                failures: 2
            })
        ),
        2
    );
}

#[test]
fn names_that_nobody_has_are_forgotten_oldest_first() {
    let mut world = World::new();
    for number in 0..=UNKNOWN_MAX as u32 {
        let charge = world.charge(unknown(number));
        let (changes, _) = world.end(charge, DirectoryCount::PerhapsOneMore);
        let forgotten = (number == UNKNOWN_MAX as u32).then_some((unknown(0), None));
        assert_eq!(changes.get(1), forgotten.as_ref());
        world.now = world.now.plus(Duration::from_millis(1));
    }
    assert_eq!(world.core.unknown_ages.len(), UNKNOWN_MAX);
    assert_eq!(world.core.accounts.len(), UNKNOWN_MAX);
}

#[test]
fn nothing_is_remembered_of_accounts_without_failures() {
    let mut world = World::new();
    for number in 0..100 {
        let charge = world.charge(unknown(number));
        world.end(charge, DirectoryCount::Untouched);
        world.fail(ADA);
        let charge = world.charge(ADA);
        world.end(charge, DirectoryCount::Cleared);
    }
    assert!(world.core.accounts.is_empty());
    assert!(world.core.known_ages.is_empty());
    assert_eq!(world.core.in_flight(), 0);
}

/// A directory that counts as Active Directory does: a window from the last counted failure.
#[derive(Default)]
struct Directory {
    failures: u32,
    last: Option<Timestamp>,
    most: u32,
}

impl Directory {
    fn judge(&mut self, right: bool, now: Timestamp) {
        if right {
            self.failures = 0;
            return;
        }
        if self.last.is_some_and(|last| now.since(last) > WINDOW) {
            self.failures = 0;
        }
        self.failures += 1;
        self.last = Some(now);
        self.most = self.most.max(self.failures);
    }
}

/// Something that happens in the life of an account.
#[derive(Clone, Debug)]
enum Step {
    Enter,
    /// The oldest attempt in flight reaches the directory; `right` or not.
    Judge {
        at: usize,
        right: bool,
    },
    /// Its verdict arrives, or it is lost.
    Return {
        at: usize,
        lost: bool,
    },
    /// Never past the deadline of an attempt in flight.
    Pass(u64),
    /// The process dies and starts again from what was stored.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Enter),
        4 => (0..3_usize, prop::bool::weighted(0.2)).prop_map(|(at, right)| Step::Judge { at, right }),
        4 => (0..3_usize, prop::bool::weighted(0.2)).prop_map(|(at, lost)| Step::Return { at, lost }),
        1 => prop_oneof![1..60_u64, 600..2000_u64].prop_map(Step::Pass),
        1 => Just(Step::Crash),
    ]
}

struct Flight {
    charge: Charge,
    began: Timestamp,
    judged: Option<bool>,
}

proptest! {
    /// Whatever is typed in whatever order, lost on its way or forgotten in a crash: the directory
    /// never counts more failures than the budget.
    #[test]
    fn a_directory_never_counts_more_than_the_budget(steps in prop::collection::vec(step(), 1..120)) {
        let (mut core, mut now) = (Core::new(RULES, None, []), START);
        let mut directory = Directory::default();
        let mut flights: Vec<Flight> = Vec::new();
        let mut stored: BTreeMap<Account, (u32, Timestamp)> = BTreeMap::new();
        let mut mark = None;
        for step in steps {
            match step {
                Step::Enter => if let Entry::Charged(charge) = core.enter(ADA, now) {
                    flights.push(Flight { charge, began: now, judged: None });
                },
                Step::Judge { at, right } => if let Some(flight) = flights.get_mut(at)
                    && flight.judged.is_none() {
                    flight.judged = Some(right);
                    directory.judge(right, now);
                },
                Step::Return { at, lost } => if at < flights.len() {
                    let mut flight = flights.remove(at);
                    let proven = match (flight.judged, lost) {
                        (Some(true), false) => DirectoryCount::Cleared,
                        _ => {
                            // Lost, and the directory may judge it a moment later still.
                            if flight.judged.is_none() {
                                directory.judge(false, now);
                            }
                            flight.judged = Some(false);
                            DirectoryCount::PerhapsOneMore
                        }
                    };
                    for account in core.count(&flight.charge, proven, now) {
                        match core.row(account) {
                            Some(row) => stored.insert(account, row),
                            None => stored.remove(&account),
                        };
                    }
                    for (_, woken) in core.release(flight.charge, now) {
                        if let Ok(charge) = woken {
                            flights.push(Flight { charge, began: now, judged: None });
                        }
                    }
                },
                Step::Pass(seconds) => {
                    let oldest = flights.iter().map(|flight| flight.began).min();
                    let most = oldest.map_or(Duration::MAX, |began| DEADLINE_MAX - now.since(began));
                    now = now.plus(Duration::from_secs(seconds).min(most));
                }
                Step::Crash => {
                    mark = Some(super::super::after_unclean_stop(&RULES, mark, now));
                    for flight in flights.drain(..) {
                        if flight.judged.is_none() {
                            directory.judge(false, now);
                        }
                    }
                    // As `open` does it: what is still stored may have been live when attempts were lost.
                    for row in stored.values_mut() {
                        row.1 = now;
                    }
                    let rows = stored.iter().map(|(account, (failures, last))| (*account, *failures, *last));
                    core = Core::new(RULES, mark, rows);
                }
            }
            prop_assert!(directory.most <= RULES.failures, "{} counted", directory.most);
        }
    }
}
