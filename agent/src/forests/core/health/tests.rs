use super::*;
use postern_kit::clock::monotonic;
use postern_kit::random::SeededRandom;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Draws as close to 1 as can be, so that every wait is the longest.
#[derive(Debug)]
struct Highest;
impl Random for Highest {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0xff);
    }
}

/// Controllers 0, 1, … in this order, on a clock of its own.
struct Desk {
    health: Health,
    now: Instant,
}

impl Desk {
    fn new(controllers: Id) -> Self {
        let mut desk = Self {
            health: Health::default(),
            now: monotonic(),
        };
        desk.health.set((0..controllers).collect(), desk.now);
        desk
    }

    fn choose(&mut self) -> Vec<Id> {
        self.health.choose(self.now)
    }

    fn begins(&mut self, id: Id) -> Attempt {
        self.health.begins(id, self.now)
    }

    fn ends(&mut self, attempt: &Attempt, outcome: Outcome) -> Option<News> {
        self.health.ends(attempt, outcome, self.now, &Highest)
    }

    /// One attempt that ends at once.
    fn has(&mut self, id: Id, outcome: Outcome) -> Option<News> {
        let attempt = self.begins(id);
        self.ends(&attempt, outcome)
    }

    /// For how many seconds it is avoided, if that is news.
    fn fails(&mut self, id: Id) -> Option<u64> {
        match self.has(id, Outcome::Failed) {
            Some(News::Avoided(wait)) => Some(wait.as_secs_f64().round() as u64),
            Some(News::Recovered) | None => None,
        }
    }

    fn recovers(&mut self, id: Id) {
        for trial in 1..=TRIALS {
            let news = self.has(id, Outcome::Judged);
            assert_eq!(news.is_some(), trial == TRIALS, "trial {trial}");
        }
    }
}

#[test]
fn the_preferred_one_is_avoided_for_a_while_and_then_tried_by_one_request_at_a_time() {
    let mut desk = Desk::new(3);
    assert_eq!(desk.choose(), [0, 1, 2]);
    assert_eq!(desk.fails(0), Some(1));
    assert_eq!(desk.choose(), [1, 2, 0]);
    desk.now += SECOND;
    assert_eq!(desk.choose(), [0, 1, 2]);
    assert_eq!(desk.choose(), [1, 2, 0], "only one request tries");
    for _ in 1..TRIALS {
        assert_eq!(desk.has(0, Outcome::Judged), None);
        assert_eq!(desk.choose(), [0, 1, 2], "the next one tries");
        assert_eq!(desk.choose(), [1, 2, 0]);
    }
    assert_eq!(desk.has(0, Outcome::Judged), Some(News::Recovered));
    assert_eq!(desk.choose(), [0, 1, 2]);
    assert_eq!(desk.choose(), [0, 1, 2]);
}

#[test]
fn the_longer_it_fails_the_longer_it_is_avoided() {
    let mut desk = Desk::new(1);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        desk.choose();
        assert_eq!(desk.fails(0), Some(seconds));
        desk.now += Duration::from_secs(seconds);
    }
}

#[test]
fn one_that_comes_and_goes_is_avoided_ever_longer_until_it_was_fine_for_long() {
    let mut desk = Desk::new(2);
    for seconds in [1, 2, 4, 8] {
        desk.choose();
        assert_eq!(desk.fails(0), Some(seconds));
        desk.now += Duration::from_secs(seconds);
        desk.choose();
        desk.recovers(0);
        desk.now += STEADY - SECOND;
    }
    desk.now += SECOND;
    assert_eq!(desk.fails(0), Some(1));
}

#[test]
fn a_good_answer_is_not_yet_a_recovery() {
    let mut desk = Desk::new(2);
    desk.fails(0);
    desk.now += SECOND;
    desk.choose();
    assert_eq!(desk.has(0, Outcome::Judged), None);
    assert_eq!(desk.fails(0), Some(2), "for longer than the first time");
}

#[test]
fn requests_in_flight_together_fail_once() {
    let mut desk = Desk::new(2);
    let attempts: Vec<_> = (0..5).map(|_| desk.begins(0)).collect();
    desk.now += 100 * MS;
    let news: Vec<_> = attempts[..4]
        .iter()
        .map(|attempt| desk.ends(attempt, Outcome::Failed))
        .collect();
    assert_eq!(news, [Some(News::Avoided(SECOND)), None, None, None].map(round));
    // The last one fails when its time is over: what it waited for is what is known already.
    desk.now += SECOND;
    assert_eq!(desk.choose(), [1, 0], "it still waits");
    assert_eq!(desk.ends(&attempts[4], Outcome::Failed), None);
    assert_eq!(desk.choose(), [0, 1]);
    desk.recovers(0);
}

fn round(news: Option<News>) -> Option<News> {
    // The highest draw is a little below 1.
    news.map(|news| match news {
        News::Avoided(wait) => News::Avoided((wait / 2) + (wait / 2).mul_f64(fraction(&Highest))),
        News::Recovered => News::Recovered,
    })
}

#[test]
fn a_late_answer_of_before_is_no_recovery() {
    let mut desk = Desk::new(2);
    let (early, other) = (desk.begins(0), desk.begins(0));
    desk.now += 10 * MS;
    desk.ends(&other, Outcome::Failed);
    for _ in 0..TRIALS {
        assert_eq!(desk.ends(&early, Outcome::Judged), None);
    }
    assert_eq!(desk.choose(), [1, 0]);
}

#[test]
fn a_trial_that_never_ends_gives_way_to_another() {
    let mut desk = Desk::new(2);
    desk.fails(0);
    desk.now += SECOND;
    assert_eq!(desk.choose(), [0, 1]);
    desk.now += TRIAL / 2;
    assert_eq!(desk.choose(), [1, 0]);
    desk.now += TRIAL / 2;
    assert_eq!(desk.choose(), [0, 1]);
    // One that ended without telling anything gives way at once.
    assert_eq!(desk.has(0, Outcome::Nothing), None);
    assert_eq!(desk.choose(), [0, 1]);
}

#[test]
fn a_request_tries_one_of_several_that_failed() {
    let mut desk = Desk::new(3);
    desk.fails(0);
    desk.fails(1);
    assert_eq!(desk.choose(), [2, 0, 1]);
    desk.now += SECOND;
    assert_eq!(desk.choose(), [0, 2, 1]);
    assert_eq!(desk.choose(), [1, 2, 0]);
}

#[test]
fn one_whose_time_is_over_is_better_than_one_that_just_failed() {
    let mut desk = Desk::new(2);
    desk.fails(1);
    desk.now += SECOND;
    desk.fails(0);
    assert_eq!(desk.choose(), [1, 0], "the trial");
    assert_eq!(desk.choose(), [1, 0], "while it is tried");
}

#[test]
fn who_hangs_is_passed_by_before_the_time_out() {
    let mut desk = Desk::new(2);
    let hanging = desk.begins(0);
    desk.now += SILENCE - MS;
    assert_eq!(desk.choose(), [0, 1]);
    desk.now += MS;
    assert_eq!(desk.choose(), [1, 0]);
    // That somebody else is answered says that it is the one question.
    desk.has(0, Outcome::Judged);
    assert_eq!(desk.choose(), [0, 1]);
    desk.now += SILENCE;
    assert_eq!(desk.choose(), [1, 0]);
    assert_eq!(desk.ends(&hanging, Outcome::Nothing), None);
    assert_eq!(desk.choose(), [0, 1]);
}

#[test]
fn an_odd_answer_is_a_sign_of_life_and_nothing_else() {
    let mut desk = Desk::new(2);
    let _hanging = desk.begins(0);
    desk.now += SILENCE;
    desk.has(0, Outcome::Odd);
    assert_eq!(desk.choose(), [0, 1]);
    desk.fails(1);
    assert_eq!(desk.has(1, Outcome::Odd), None);
    assert_eq!(desk.choose(), [0, 1]);
}

#[test]
fn a_new_list_keeps_what_is_known() {
    let mut desk = Desk::new(2);
    desk.fails(0);
    desk.health.set(vec![2, 0, 1], desk.now);
    assert_eq!(desk.choose(), [2, 1, 0]);
    let attempt = desk.begins(1);
    desk.health.set(vec![0], desk.now);
    assert_eq!(desk.choose(), [0], "there is no other");
    assert_eq!(desk.ends(&attempt, Outcome::Failed), None);
    desk.health.set(vec![0, 1], desk.now);
    assert_eq!(desk.choose(), [1, 0], "one that comes back is a new one");
}

/// What happens to a desk of three controllers.
#[derive(Clone, Copy, Debug)]
enum Step {
    Choose,
    Begin(Id),
    End(usize, Outcome),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Judged),
        3 => Just(Outcome::Failed),
        1 => Just(Outcome::Odd),
        1 => Just(Outcome::Nothing),
    ];
    prop_oneof![
        2 => Just(Step::Choose),
        2 => (0..3_u64).prop_map(Step::Begin),
        3 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Step::End(at, outcome)),
        1 => (0..90_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens, each is tried by each request, and none that is avoided comes before one that is fine.
    #[test]
    fn none_is_left_out_and_the_avoided_ones_come_last(
        steps in prop::collection::vec(step(), 0..200),
        seed in any::<u64>(),
    ) {
        let random = SeededRandom::new(seed);
        let mut desk = Desk::new(3);
        let mut open: Vec<Attempt> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(ms) => desk.now += Duration::from_millis(ms),
                Step::Begin(id) => open.push(desk.health.begins(id, desk.now)),
                Step::End(at, outcome) if !open.is_empty() => {
                    let attempt = open.swap_remove(at % open.len());
                    let _ = desk.health.ends(&attempt, outcome, desk.now, &random);
                }
                Step::End(..) => {}
                Step::Choose => {
                    let order = desk.choose();
                    let mut sorted = order.clone();
                    sorted.sort_unstable();
                    prop_assert_eq!(sorted, [0, 1, 2]);
                    let avoided: Vec<bool> = order
                        .iter()
                        .map(|id| desk.health.controllers[id].is_avoided_until().is_some())
                        .collect();
                    prop_assert!(avoided.is_sorted(), "{:?}: {:?}", order, avoided);
                }
            }
        }
    }

    /// One that always fails is turned to first at most some times in a while, since each may cost a user four
    /// seconds; one that is repaired is back within a minute and three requests.
    #[test]
    fn a_dead_one_costs_little_and_a_repaired_one_is_back(
        seed in any::<u64>(),
        gap_ms in 1..5_000_u64,
        dead_s in 1..600_u64,
        good_now_and_then in any::<bool>(),
    ) {
        let random = SeededRandom::new(seed);
        let mut desk = Desk::new(2);
        let dies = desk.now;
        let (mut turned, mut failed) = (0_u32, 0_u32);
        while desk.now < dies + Duration::from_secs(dead_s) {
            if desk.choose()[0] == 0 {
                turned += 1;
                // A good answer in between never makes up for what failed.
                let outcome = if good_now_and_then && turned.is_multiple_of(2) {
                    Outcome::Judged
                } else {
                    failed += 1;
                    Outcome::Failed
                };
                let attempt = desk.begins(0);
                let _ = desk.health.ends(&attempt, outcome, desk.now, &random);
            }
            desk.now += Duration::from_millis(gap_ms);
        }
        // Half of 1, 2, … 32 seconds passes at least within six failures, then half a minute for each.
        let bound = 7 + u32::try_from(dead_s / 30).unwrap();
        prop_assert!(failed <= bound, "{} of {} in {} s", failed, bound, dead_s);

        let repaired = desk.now;
        let mut good = 0;
        while good < 2 * TRIALS {
            if desk.choose()[0] == 0 {
                good += 1;
                let attempt = desk.begins(0);
                let _ = desk.health.ends(&attempt, Outcome::Judged, desk.now, &random);
            }
            desk.now += Duration::from_millis(gap_ms);
        }
        let requests = Duration::from_millis(gap_ms) * (2 * TRIALS + 1);
        prop_assert!(desk.now - repaired <= AVOID_LAST + requests);
    }
}
