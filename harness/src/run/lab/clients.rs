//! The lab's clients: programmes that call `SignIn` when it is time, whatever became of the calls before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_kit::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::stage::{CLOUD, Stage};
use super::{LabRunError, RunClock};
use crate::client::Programme;
use crate::run::seen::Seeing;
use crate::scenario::{Arrival, Scenario, Schedule};
use crate::sim::Answer;

/// All clients of a run, and what they saw.
#[derive(Debug)]
pub(super) struct Clients {
    /// By client, from 1, and tenant. Each client has connections of its own.
    programmes: BTreeMap<(u32, usize), Programme>,
    /// What makes a password of an arrival: the run's seed, and the tenants' domains.
    seed: u64,
    domains: Vec<String>,
    seen: Book,
    tasks: Tasks,
}

/// What was seen of each arrival. Clones share it.
#[derive(Clone, Debug)]
struct Book(Arc<Mutex<Vec<Seeing>>>);

impl Book {
    fn lock(&self) -> MutexGuard<'_, Vec<Seeing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, place: usize, what: impl FnOnce(&mut Seeing)) {
        if let Some(seen) = self.lock().get_mut(place) {
            what(seen);
        }
    }
}

impl Clients {
    /// Connects nobody yet.
    ///
    /// # Errors
    /// [`LabRunError`] if one cannot be set up.
    pub(super) fn of(scenario: &Scenario, schedule: &Schedule, stage: &Stage) -> Result<Self, LabRunError> {
        let mut programmes = BTreeMap::new();
        for client in 1..=scenario.clients() {
            let host = format!("client{client}");
            let addr = stage.network().addr(&host, CLOUD);
            let addr = addr.ok_or_else(|| LabRunError::Impossible(format!("{host} has no link")))?;
            for (at, (id, secret)) in stage.programmes().enumerate() {
                let programme = Programme::new(addr, vec![stage.page_root()], id, secret)?;
                programmes.insert((client, at), programme);
            }
        }
        let nothing = vec![Seeing::default(); schedule.arrivals.len()];
        Ok(Self {
            programmes,
            seed: schedule.seed,
            domains: (scenario.tenants.iter())
                .map(|tenant| tenant.domain.clone())
                .collect(),
            seen: Book(Arc::new(Mutex::new(nothing))),
            tasks: Tasks::new(),
        })
    }

    /// Sends the sign-in at `place` of the schedule, and does not wait for its answer.
    pub(super) fn send(&self, place: usize, arrival: &Arrival, clock: RunClock) {
        let programme = self.programmes.get(&(arrival.client, arrival.tenant)).cloned();
        let (Some(programme), Some(domain)) = (programme, self.domains.get(arrival.tenant)) else {
            return;
        };
        let (username, password) = (arrival.username.clone(), arrival.password.text(self.seed, domain));
        let book = self.seen.clone();
        // A task for each sign-in of the schedule, which has a bound; each ends when its client gives up.
        self.tasks.spawn("sign-in of a client", async move {
            book.note(place, |seen| seen.sent = Some(clock.now()));
            let answer = Answer::of(programme.sign_in(&username, &password).await);
            book.note(place, |seen| seen.answered = Some((clock.now(), answer)));
        });
    }

    /// Waits until all are answered or given up, but no longer than `at_most`. Afterwards nobody sends any more.
    pub(super) async fn settle(&self, at_most: Duration) {
        let stop = CancellationToken::new();
        stop.cancel();
        // Who waits longer has no answer, which is what is seen.
        if let Err(error) = self.tasks.run_until(&stop, at_most).await {
            tracing::warn!(%error, "clients still wait");
        }
    }

    /// What became of the arrivals, in their order.
    pub(super) fn seen(&self) -> Vec<Seeing> {
        self.seen.lock().clone()
    }
}
