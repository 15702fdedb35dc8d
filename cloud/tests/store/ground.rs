//! A store on another ground, as the simulation has it: its work is run by whoever asks, while time
//! stands still, and troubles come as they are told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use postern_cloud::store::{Access, Failure, Ground, Place, Store, StoreError, Trouble};
use postern_kit::Seams;
use sqlx::query;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{NONE, insert, note, notes, select};

#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<VecDeque<(Access, Trouble)>>>);

impl Script {
    fn fails(&self, access: Access, failure: Failure) {
        let (wait, failure) = (Duration::ZERO, Some(failure));
        self.0
            .lock()
            .unwrap()
            .push_back((access, Trouble { wait, failure }));
    }

    fn waits(&self, access: Access, wait: Duration) {
        let failure = None;
        self.0
            .lock()
            .unwrap()
            .push_back((access, Trouble { wait, failure }));
    }
}

impl Place for Script {
    fn run<'a>(&'a self, work: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        Box::pin(async move { futures::executor::block_on(tokio::task::unconstrained(work)) })
    }

    fn trouble(&self, access: Access) -> Trouble {
        let mut script = self.0.lock().unwrap();
        let next = script.pop_front_if(|(of, _)| *of == access);
        next.map(|(_, trouble)| trouble).unwrap_or_default()
    }
}

async fn open(place: impl Place + 'static, folder: &tempfile::TempDir) -> Result<Store, StoreError> {
    let database = folder.path().join("data/postern.sqlite");
    let ground = Ground::Elsewhere(Arc::new(place));
    let store = Store::open_on(ground, &database, &Seams::real(), CancellationToken::new()).await?;
    let table = "CREATE TABLE IF NOT EXISTS note (n BIGINT NOT NULL PRIMARY KEY)";
    store
        .transact(move |c| Box::pin(async move { Ok(query(table).execute(c).await.map(drop)?) }))
        .await?;
    Ok(store)
}

#[tokio::test(start_paused = true)]
async fn simulated_time_stands_still_while_the_database_answers() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let store = open(Script::default(), &folder).await.unwrap();
    for n in 0..20 {
        note(&store, n).await.unwrap();
        assert_eq!(notes(&store).await.len() as i64, n + 1);
    }
    store.close().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn what_failed_before_is_not_there_and_what_failed_after_is() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::default();
    let store = open(script.clone(), &folder).await.unwrap();
    script.fails(Access::Write, Failure::Before);
    assert!(matches!(note(&store, 1).await, Err(StoreError::Commit(_))));
    assert_eq!(notes(&store).await, NONE);
    script.fails(Access::Write, Failure::After);
    assert!(matches!(note(&store, 2).await, Err(StoreError::Commit(_))));
    assert_eq!(notes(&store).await, [2]);
    script.fails(Access::Read, Failure::Before);
    let refused = store.read(|c| Box::pin(select(c))).await;
    assert!(matches!(refused, Err(StoreError::Statement(_))));
    note(&store, 3).await.unwrap();
    assert_eq!(notes(&store).await, [2, 3]);
    store.close().await;
}

/// Needs many pages, all of which must be new.
async fn big(store: &Store) -> Result<(), StoreError> {
    let work = store.transact(|c| {
        Box::pin(async move {
            insert(c, 1).await?;
            let table = "CREATE TABLE big AS SELECT zeroblob(1000000) AS bytes";
            Ok(query(table).execute(c).await.map(drop)?)
        })
    });
    work.await
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_takes_again_when_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::default();
    let store = open(script.clone(), &folder).await.unwrap();
    script.fails(Access::Write, Failure::Full);
    let full = big(&store).await.unwrap_err();
    assert!(
        postern_kit::telemetry::chain(&full).contains("database or disk is full"),
        "{full:?}"
    );
    assert_eq!(notes(&store).await, NONE);
    big(&store).await.unwrap();
    assert_eq!(notes(&store).await, [1]);
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_takes_its_time_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::default();
    let store = open(script.clone(), &folder).await.unwrap();
    let began = Instant::now();
    script.waits(Access::Write, Duration::from_secs(3));
    note(&store, 1).await.unwrap();
    script.waits(Access::Read, Duration::from_secs(4));
    assert_eq!(notes(&store).await, [1]);
    assert_eq!(began.elapsed(), Duration::from_secs(7));
    store.close().await;
}

/// Drops what it is given.
#[derive(Debug)]
struct Nowhere;

impl Place for Nowhere {
    fn run<'a>(&'a self, _: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn trouble(&self, _: Access) -> Trouble {
        Trouble::default()
    }
}

#[tokio::test]
async fn what_was_not_run_is_not_answered_as_done() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(Nowhere, &folder).await, Err(StoreError::Closed)));
}
