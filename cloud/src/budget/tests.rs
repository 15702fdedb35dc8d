//! The shell: waiting, giving back, and what a restart knows.

use super::*;
use postern_kit::clock::{ManualClock, monotonic};
use postern_proto::verdict::DirectoryCount::{PerhapsOneMore, Untouched};
use tokio_util::sync::CancellationToken;

const ADA: Account = Account::User(UserId::from_bytes([1; 16]));
const RULES: Rules = Rules {
    failures: 4,
    window: Duration::from_secs(1800),
};

struct World {
    folder: tempfile::TempDir,
    seams: Seams,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_800_000_000_000)));
        let seams = Seams {
            clock: clock.clone(),
            ..Seams::real()
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            seams,
            clock,
        }
    }

    async fn open(&self) -> (Store, Budgets) {
        let path = self.folder.path().join("postern.db");
        let store = Store::open(&path, &self.seams, CancellationToken::new())
            .await
            .unwrap();
        let budgets = Budgets::open(RULES, store.clone(), &self.seams).await.unwrap();
        (store, budgets)
    }
}

async fn charge(budgets: &Budgets) -> Result<Charged, Refusal> {
    budgets.charge(ADA, monotonic() + Duration::from_secs(10)).await
}

async fn fail(store: &Store, budgets: &Budgets) {
    let mut charged = charge(budgets).await.unwrap();
    charged.asking();
    let changes = charged.count(PerhapsOneMore);
    store
        .transact(move |c| Box::pin(async move { changes.store(c).await }))
        .await
        .unwrap();
}

/// How many failures the account has left before it is used up.
async fn left(store: &Store, budgets: &Budgets) -> u32 {
    for done in 0..=RULES.failures {
        match charge(budgets).await {
            Err(Refusal::UsedUp { .. }) => return done,
            other => drop(other.unwrap()),
        }
        fail(store, budgets).await;
    }
    panic!("never used up")
}

#[tokio::test]
async fn counts_survive_a_clean_stop_and_nothing_more_is_charged() {
    let world = World::new();
    let (store, budgets) = world.open().await;
    fail(&store, &budgets).await;
    budgets.close().await.unwrap();
    store.close().await;
    let (store, budgets) = world.open().await;
    assert_eq!(left(&store, &budgets).await, 3);
    store.close().await;
}

#[tokio::test]
async fn unclean_stops_are_charged_until_their_window_is_over() {
    let world = World::new();
    let (store, budgets) = world.open().await;
    fail(&store, &budgets).await;
    store.close().await;
    let (store, budgets) = world.open().await;
    assert_eq!(left(&store, &budgets).await, 1);
    // One more soon after: one attempt of each account may have been lost, on top.
    store.close().await;
    world.clock.advance(Duration::from_secs(1700));
    let (store, budgets) = world.open().await;
    let stranger = Account::User(UserId::from_bytes([2; 16]));
    let soon = monotonic() + Duration::from_secs(10);
    assert!(budgets.charge(stranger, soon).await.is_ok());
    assert_eq!(left(&store, &budgets).await, 0);
    world.clock.advance(Duration::from_secs(1861));
    assert_eq!(left(&store, &budgets).await, 4);
    budgets.close().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_is_dropped_before_anybody_is_asked_is_given_back_and_later_it_is_kept() {
    let world = World::new();
    let (store, budgets) = world.open().await;
    for _ in 0..10 {
        drop(charge(&budgets).await.unwrap());
    }
    for _ in 0..4 {
        let mut charged = charge(&budgets).await.unwrap();
        charged.asking();
        drop(charged);
    }
    assert!(matches!(charge(&budgets).await, Err(Refusal::UsedUp { .. })));
    store.close().await;
}

#[tokio::test]
async fn what_could_not_be_stored_makes_the_next_stop_an_unclean_one() {
    let world = World::new();
    let (store, budgets) = world.open().await;
    let mut charged = charge(&budgets).await.unwrap();
    charged.asking();
    charged.count(PerhapsOneMore).lost();
    drop(charged);
    budgets.close().await.unwrap();
    store.close().await;
    let (store, budgets) = world.open().await;
    assert_eq!(left(&store, &budgets).await, 2);
    store.close().await;
}

#[tokio::test]
async fn the_last_to_store_stores_the_newest_count() {
    let world = World::new();
    let (store, budgets) = world.open().await;
    let (mut one, mut two) = (charge(&budgets).await.unwrap(), charge(&budgets).await.unwrap());
    let (first, second) = (one.count(PerhapsOneMore), two.count(PerhapsOneMore));
    // In the other order than they were counted.
    for changes in [second, first] {
        store
            .transact(move |c| Box::pin(async move { changes.store(c).await }))
            .await
            .unwrap();
    }
    drop((one, two));
    budgets.close().await.unwrap();
    store.close().await;
    let (store, budgets) = world.open().await;
    assert_eq!(left(&store, &budgets).await, 2);
    store.close().await;
}

#[tokio::test]
async fn who_waits_gets_the_place_of_who_was_there_or_is_busy_at_the_deadline() {
    let world = World::new();
    let (store, budgets) = world.open().await;
    let (mut first, _second) = (charge(&budgets).await.unwrap(), charge(&budgets).await.unwrap());
    let late = budgets.charge(ADA, monotonic()).await;
    assert_eq!(late.err(), Some(Refusal::Busy));
    let (third, ()) = tokio::join!(charge(&budgets), async {
        first.count(Untouched);
        drop(first);
    });
    assert!(third.is_ok());
    // Two are in flight again; the one who gave up holds no place.
    assert_eq!(budgets.charge(ADA, monotonic()).await.err(), Some(Refusal::Busy));
    drop(third);
    assert!(charge(&budgets).await.is_ok());
    store.close().await;
}
