//! What every store must do, over a store that somebody else opened: new kinds are added to
//! `places`. `sqlite.rs` has what holds for the SQLite file alone.

#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "store/ground.rs"]
mod ground;
#[path = "store/sqlite.rs"]
mod sqlite;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use futures::poll;
use postern_cloud::store::{Connection, Store, StoreError};
use postern_kit::Seams;
use sqlx::{Connection as _, Row as _, query};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Where a store is kept between one opening and the next.
struct Place {
    folder: TempDir,
    stop: CancellationToken,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            stop: CancellationToken::new(),
        }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("data/postern.sqlite")
    }

    async fn try_open(&self) -> Result<Store, StoreError> {
        open(&self.database(), &self.stop).await
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }
}

async fn open(database: &Path, stop: &CancellationToken) -> Result<Store, StoreError> {
    let store = Store::open(database, &Seams::real(), stop.child_token()).await?;
    let table = "CREATE TABLE IF NOT EXISTS note (n BIGINT NOT NULL PRIMARY KEY)";
    store
        .transact(move |c| Box::pin(async move { Ok(query(table).execute(c).await.map(drop)?) }))
        .await?;
    Ok(store)
}

fn places() -> Vec<Place> {
    vec![Place::new()]
}

async fn insert(c: &mut Connection, n: i64) -> Result<(), StoreError> {
    let note = query("INSERT INTO note (n) VALUES ($1)").bind(n);
    Ok(note.execute(c).await.map(drop)?)
}

async fn note(store: &Store, n: i64) -> Result<(), StoreError> {
    store.transact(move |c| Box::pin(insert(c, n))).await
}

async fn select(c: &mut Connection) -> Result<Vec<i64>, StoreError> {
    let all = query("SELECT n FROM note ORDER BY n").fetch_all(c).await?;
    Ok(all.iter().map(|found| found.get("n")).collect())
}

const NONE: [i64; 0] = [];

async fn notes(store: &Store) -> Vec<i64> {
    store.read(|c| Box::pin(select(c))).await.unwrap()
}

/// Two ends of a halt inside a closure: the closure has come there, and it may go on.
#[derive(Clone, Default)]
struct Halt {
    arrived: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Halt {
    async fn here(self) -> Result<(), StoreError> {
        self.arrived.notify_one();
        self.go_on.notified().await;
        Ok(())
    }
}

/// Runs `meanwhile` while the writer is busy with a closure of somebody else's.
async fn while_busy<T>(store: &Store, meanwhile: impl Future<Output = T>) -> T {
    let halt = Halt::default();
    let inside = halt.clone();
    let busy = store.transact(move |_| Box::pin(inside.here()));
    let (busy, result) = tokio::join!(busy, async {
        halt.arrived.notified().await;
        let result = meanwhile.await;
        halt.go_on.notify_one();
        result
    });
    busy.unwrap();
    result
}

/// Asks, and comes back as soon as the work waits for the writer.
async fn asked<'a, T>(work: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    let mut work = Box::pin(work);
    assert!(poll!(work.as_mut()).is_pending());
    work
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_next_opening() {
    for place in places() {
        let store = place.open().await;
        note(&store, 1).await.unwrap();
        store.close().await;
        let store = place.open().await;
        note(&store, 2).await.unwrap();
        assert_eq!(notes(&store).await, [1, 2]);
        store.close().await;
    }
}

#[tokio::test]
async fn a_closure_that_fails_changes_nothing_and_disturbs_nobody() {
    for place in places() {
        let store = place.open().await;
        let fails = |n, again| {
            store.transact(move |c| {
                Box::pin(async move {
                    insert(c, n).await?;
                    insert(c, again).await?;
                    Err::<(), _>(StoreError::Corrupt("on purpose"))
                })
            })
        };
        let group = while_busy(&store, async {
            let one = asked(note(&store, 1)).await;
            let by_its_own_word = asked(fails(10, 11)).await;
            let two = asked(note(&store, 2)).await;
            let by_a_statement = asked(fails(20, 20)).await;
            (
                one,
                by_its_own_word,
                two,
                by_a_statement,
                asked(note(&store, 3)).await,
            )
        });
        let (one, by_its_own_word, two, by_a_statement, three) = group.await;
        assert!(matches!(
            by_its_own_word.await,
            Err(StoreError::Corrupt("on purpose"))
        ));
        assert!(matches!(by_a_statement.await, Err(StoreError::Statement(_))));
        for good in [one, two, three] {
            good.await.unwrap();
        }
        assert_eq!(notes(&store).await, [1, 2, 3]);
        store.close().await;
    }
}

#[tokio::test]
async fn those_who_wait_together_are_answered_by_one_commit() {
    const TOGETHER: i64 = 100;
    for place in places() {
        let store = place.open().await;
        let ran = Arc::new(Mutex::new(0));
        let work = |n| {
            let ran = ran.clone();
            store.transact(move |c| {
                Box::pin(async move {
                    insert(c, n).await?;
                    *ran.lock().unwrap() += 1;
                    Ok(())
                })
            })
        };
        let mut waiting = while_busy(&store, async {
            let mut waiting = Vec::new();
            for n in 0..TOGETHER {
                waiting.push(asked(work(n)).await);
            }
            waiting
        })
        .await;
        waiting.remove(0).await.unwrap();
        // With a commit each, the first would be answered before the last has run.
        assert_eq!(*ran.lock().unwrap(), TOGETHER);
        join_all(waiting).await.into_iter().for_each(Result::unwrap);
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served_completely_and_one_at_a_time() {
    const CROWD: i64 = 3000;
    for place in places() {
        let store = place.open().await;
        note(&store, 0).await.unwrap();
        // What two read before either writes would be counted once.
        let count = || {
            store.transact(|c| {
                Box::pin(async move {
                    let before = select(c).await?[0];
                    let set = query("UPDATE note SET n = $1").bind(before + 1);
                    set.execute(c).await?;
                    Ok(before)
                })
            })
        };
        let answers = join_all((0..CROWD).map(|_| count())).await;
        let mut answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        answers.sort_unstable();
        assert_eq!(answers, (0..CROWD).collect::<Vec<_>>());
        assert_eq!(notes(&store).await, [CROWD]);
        store.close().await;
    }
}

#[tokio::test]
async fn the_work_of_a_caller_who_goes_away_is_whole() {
    for place in places() {
        let store = place.open().await;
        let halt = Halt::default();
        let inside = halt.clone();
        let half_way = asked(store.transact(move |c| {
            Box::pin(async move {
                insert(c, 1).await?;
                inside.here().await?;
                insert(c, 2).await
            })
        }))
        .await;
        let not_begun = asked(note(&store, 3)).await;
        halt.arrived.notified().await;
        drop((half_way, not_begun));
        halt.go_on.notify_one();
        note(&store, 4).await.unwrap();
        assert_eq!(notes(&store).await, [1, 2, 3, 4]);
        store.close().await;
    }
}

#[tokio::test]
async fn a_read_waits_for_no_writer_and_sees_nothing_half_done() {
    for place in places() {
        let store = place.open().await;
        let halt = Halt::default();
        let inside = halt.clone();
        let writing = store.transact(move |c| {
            Box::pin(async move {
                insert(c, 1).await?;
                inside.here().await
            })
        });
        let (written, ()) = tokio::join!(writing, async {
            halt.arrived.notified().await;
            assert_eq!(notes(&store).await, NONE);
            halt.go_on.notify_one();
        });
        written.unwrap();
        assert_eq!(notes(&store).await, [1]);
        store.close().await;
    }
}

#[tokio::test]
async fn a_read_sees_all_that_was_answered_before() {
    for place in places() {
        let store = place.open().await;
        for n in 0..50 {
            note(&store, n).await.unwrap();
            // Also on a connection whose last reader looked at one row of many, and on all of them.
            let first = store.read(|c| {
                Box::pin(async move {
                    let first = query("SELECT n FROM note ORDER BY n DESC").fetch_optional(c);
                    Ok(first.await?.map(|found| found.get::<i64, _>("n")))
                })
            });
            assert_eq!(first.await.unwrap(), Some(n));
            for seen in join_all((0..6).map(|_| notes(&store))).await {
                assert_eq!(seen.last(), Some(&n));
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_read_in_a_transaction_sees_one_state_and_the_next_read_the_new_one() {
    for place in places() {
        let store = place.open().await;
        let halt = Halt::default();
        let inside = halt.clone();
        let reading = store.read(move |c| {
            Box::pin(async move {
                let mut one_state = c.begin().await?;
                let before = select(&mut one_state).await?;
                inside.here().await?;
                let after = select(&mut one_state).await?;
                // Forgotten here: whoever gets the connection next must not be caught in it.
                drop(one_state);
                Ok((before, after))
            })
        });
        let (seen, ()) = tokio::join!(reading, async {
            halt.arrived.notified().await;
            note(&store, 1).await.unwrap();
            halt.go_on.notify_one();
        });
        assert_eq!(seen.unwrap(), (vec![], vec![]));
        assert_eq!(notes(&store).await, [1]);
        store.close().await;
    }
}

#[tokio::test]
async fn a_read_cannot_write() {
    for place in places() {
        let store = place.open().await;
        let refused = store.read(|c| Box::pin(insert(c, 1))).await;
        assert!(matches!(refused, Err(StoreError::Statement(_))));
        assert_eq!(notes(&store).await, NONE);
        store.close().await;
    }
}

#[tokio::test]
async fn closing_finishes_what_waits_and_refuses_what_comes_later() {
    for by_stop in [false, true] {
        for place in places() {
            let store = place.open().await;
            let (one, two, closing) = while_busy(&store, async {
                let one = asked(note(&store, 1)).await;
                let two = asked(note(&store, 2)).await;
                if by_stop {
                    place.stop.cancel();
                }
                (one, two, asked(store.close()).await)
            })
            .await;
            closing.await;
            one.await.unwrap();
            two.await.unwrap();
            let clone = store.clone();
            assert!(matches!(note(&clone, 3).await, Err(StoreError::Closed)));
            let read = clone.read(|c| Box::pin(select(c))).await;
            assert!(matches!(read, Err(StoreError::Closed)));
            // Once more is no harm.
            store.close().await;
            let again = open(&place.database(), &CancellationToken::new()).await.unwrap();
            assert_eq!(notes(&again).await, [1, 2]);
            again.close().await;
        }
    }
}
