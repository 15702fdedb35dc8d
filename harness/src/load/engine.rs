//! An open loop: operations begin at their appointed times, however long earlier ones take, and
//! their time counts from then. A loop that waits for answers would hide every pause of the system.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use postern_kit::clock::{monotonic, sleep_until};
use postern_kit::tasks::Tasks;
use tokio::sync::Semaphore;

/// Operations under way at once; one more is not begun, and counted as such. At a thousand a second
/// and a deadline of 15 s all of them could hang.
const UNDER_WAY_MAX: usize = 20_000;

/// Longest wait for the last answers: a sign-in's deadline and room for the way.
const LAST_WAIT_MAX: Duration = Duration::from_secs(30);

/// Longest time that is told apart, in microseconds: a minute.
const LONGEST_US: u64 = 60_000_000;

/// How much, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Operations a second, at equal distances.
    pub rate: f64,
    /// How long operations are begun.
    pub duration: Duration,
}

impl Plan {
    /// Operations in all.
    pub fn count(&self) -> u64 {
        (self.rate * self.duration.as_secs_f64()).round() as u64
    }

    fn at(&self, start: Instant, number: u64) -> Instant {
        start + Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Measured {
    /// From the first appointed time to the last answer.
    pub elapsed: Duration,
    /// What operations came to, and how often.
    pub outcomes: BTreeMap<String, u64>,
    /// Operations that were not begun, because too many were under way.
    pub not_begun: u64,
    /// Operations without an answer at the end.
    pub unanswered: u64,
    /// Microseconds from the appointed time to the answer, of all that were answered.
    pub latency_us: Histogram<u64>,
}

#[derive(Debug)]
struct Tally {
    outcomes: BTreeMap<String, u64>,
    latency_us: Histogram<u64>,
    last: Option<Instant>,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
#[error("rate: expected a number above 0, and at least one operation in the duration")]
pub struct NothingToDo;

/// Runs `operation`, which gets its number and says what it came to, as `plan` says.
///
/// # Errors
/// [`NothingToDo`] if the plan has no operation.
///
/// # Cancellation
/// Dropping it begins nothing more; what is under way goes on.
pub async fn run<F>(plan: Plan, operation: impl Fn(u64) -> F) -> Result<Measured, NothingToDo>
where
    F: Future<Output = String> + Send + 'static,
{
    let usable = plan.rate.is_finite() && plan.rate > 0.0 && plan.count() > 0;
    let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3)
        .ok()
        .filter(|_| usable);
    let tally = Arc::new(Mutex::new(Tally {
        outcomes: BTreeMap::new(),
        latency_us: latency_us.ok_or(NothingToDo)?,
        last: None,
    }));
    let (tasks, room) = (Tasks::new(), Arc::new(Semaphore::new(UNDER_WAY_MAX)));
    let start = monotonic();
    let mut not_begun = 0;
    for number in 0..plan.count() {
        let appointed = plan.at(start, number);
        sleep_until(appointed).await;
        let Ok(permit) = room.clone().try_acquire_owned() else {
            not_begun += 1;
            continue;
        };
        let (operation, tally) = (operation(number), tally.clone());
        tasks.spawn("operation", async move {
            let outcome = operation.await;
            let now = monotonic();
            let took = now.saturating_duration_since(appointed).as_micros();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            *tally.outcomes.entry(outcome).or_default() += 1;
            tally
                .latency_us
                .saturating_record(u64::try_from(took).unwrap_or(LONGEST_US));
            tally.last = Some(now);
            drop(permit);
        });
    }
    // All permits are back when the last one has answered.
    let all = room.acquire_many(UNDER_WAY_MAX as u32);
    let _ = tokio::time::timeout(LAST_WAIT_MAX, all).await;
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let answered: u64 = tally.outcomes.values().sum();
    Ok(Measured {
        elapsed: tally
            .last
            .unwrap_or_else(monotonic)
            .saturating_duration_since(start),
        outcomes: std::mem::take(&mut tally.outcomes),
        not_begun,
        unanswered: plan.count() - not_begun - answered,
        latency_us: tally.latency_us.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_appointed_moment_and_nobody_waits_for_others() {
        let plan = Plan {
            rate: 10.0,
            duration: Duration::from_secs(2),
        };
        let measured = run(plan, |number| async move {
            // The first ten hang for a second: a closed loop would take ten.
            if number < 10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if number % 2 == 0 { "even" } else { "odd" }.to_owned()
        });
        let measured = measured.await.unwrap();
        assert_eq!(
            measured.outcomes,
            [("even".to_owned(), 10), ("odd".to_owned(), 10)].into()
        );
        assert_eq!((measured.not_begun, measured.unanswered), (0, 0));
        assert_eq!(measured.elapsed.as_millis(), 1900);
        assert_eq!(measured.latency_us.count_between(990_000, 1_010_000), 10);
        assert_eq!(measured.latency_us.count_between(0, 10_000), 10);
    }

    #[tokio::test]
    async fn a_plan_without_operations_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, 0.001] {
            let plan = Plan {
                rate,
                duration: Duration::from_secs(1),
            };
            assert!(run(plan, |_| async { String::new() }).await.is_err(), "{rate}");
        }
    }
}
