//! The SQLite file: who may open it, who may read it, and what a crash or another program leaves.

use std::os::unix::fs::PermissionsExt as _;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;

#[tokio::test]
async fn a_failed_commit_is_told_to_its_group_and_the_store_goes_on() {
    let place = Place::new();
    let store = place.open().await;
    // A broken reference that is only looked at by the commit.
    let breaks = store.transact(|c| {
        Box::pin(async move {
            query("PRAGMA defer_foreign_keys = ON").execute(&mut *c).await?;
            let orphan = query("INSERT INTO domain (name, tenant) VALUES ('a.example', x'00')");
            Ok(orphan.execute(c).await.map(drop)?)
        })
    });
    let (beside, breaks) = while_busy(&store, async {
        (asked(note(&store, 1)).await, asked(breaks).await)
    })
    .await;
    assert!(matches!(beside.await, Err(StoreError::Commit(_))));
    assert!(matches!(breaks.await, Err(StoreError::Commit(_))));
    note(&store, 2).await.unwrap();
    assert_eq!(notes(&store).await, [2]);
    assert_careful(&store).await;
    store.close().await;
}

/// That the log is written ahead, each commit synced (2 is FULL), and references are checked.
async fn assert_careful(store: &Store) {
    for (setting, expected) in [
        ("SELECT journal_mode = 'wal' FROM pragma_journal_mode", 1),
        ("SELECT synchronous FROM pragma_synchronous", 2),
        ("SELECT foreign_keys FROM pragma_foreign_keys", 1),
    ] {
        let found = store.transact(move |c| {
            Box::pin(async move { Ok(query(setting).fetch_one(c).await?.get::<i64, _>(0)) })
        });
        assert_eq!(found.await.unwrap(), expected, "{setting}");
    }
}

#[tokio::test]
async fn commits_are_synced() {
    let place = Place::new();
    let store = place.open().await;
    assert_careful(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_crash_leaves_what_was_answered_and_nothing_half_done() {
    let (place, crashed) = (Place::new(), Place::new());
    let store = place.open().await;
    note(&store, 1).await.unwrap();
    note(&store, 2).await.unwrap();
    let log = beside(&place.database(), "-wal");
    let answered = std::fs::metadata(&log).unwrap().len();
    let halt = Halt::default();
    let inside = halt.clone();
    let writing = store.transact(move |c| {
        Box::pin(async move {
            // So much, and so little memory, that it goes to the file before it is committed.
            query("PRAGMA cache_size = 1").execute(&mut *c).await?;
            for n in 100..2000 {
                insert(c, n).await?;
            }
            inside.here().await
        })
    });
    let (written, ()) = tokio::join!(writing, async {
        halt.arrived.notified().await;
        assert!(std::fs::metadata(&log).unwrap().len() > answered);
        let (from, to) = (place.database(), crashed.database());
        std::fs::create_dir(to.parent().unwrap()).unwrap();
        for suffix in ["", "-wal", "-shm"] {
            std::fs::copy(beside(&from, suffix), beside(&to, suffix)).unwrap();
        }
        halt.go_on.notify_one();
    });
    written.unwrap();
    let copy = crashed.open().await;
    assert_eq!(notes(&copy).await, [1, 2]);
    note(&copy, 3).await.unwrap();
    copy.close().await;
    store.close().await;
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[tokio::test]
async fn its_files_are_for_the_owner_alone() {
    let place = Place::new();
    let store = place.open().await;
    note(&store, 1).await.unwrap();
    notes(&store).await;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let file = beside(&place.database(), suffix);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
    store.close().await;
}

#[tokio::test]
async fn one_process_uses_a_database_at_a_time() {
    let place = Place::new();
    let store = place.open().await;
    assert!(matches!(place.try_open().await, Err(StoreError::InUse)));
    note(&store, 1).await.unwrap();
    store.close().await;
    // It is free although somebody still holds the closed store.
    let next = place.open().await;
    assert!(matches!(place.try_open().await, Err(StoreError::InUse)));
    assert_eq!(notes(&next).await, [1]);
    next.close().await;
}

#[tokio::test]
async fn a_store_that_was_let_go_is_in_use_until_its_last_work_is_done() {
    let place = Place::new();
    let store = place.open().await;
    let halt = Halt::default();
    let inside = halt.clone();
    let store_of_the_caller = store.clone();
    let work = asked(async move {
        store_of_the_caller
            .transact(move |c| {
                Box::pin(async move {
                    inside.here().await?;
                    insert(c, 1).await
                })
            })
            .await
    })
    .await;
    halt.arrived.notified().await;
    drop((work, store));
    assert!(matches!(place.try_open().await, Err(StoreError::InUse)));
    halt.go_on.notify_one();
    let next = loop {
        match place.try_open().await {
            Err(StoreError::InUse) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    assert_eq!(notes(&next).await, [1]);
    next.close().await;
}

/// Does something to the closed database that this program never does.
async fn tamper(database: &Path, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = options.connect().await.unwrap();
    query(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let store = place.open().await;
    note(&store, 1).await.unwrap();
    store.close().await;
    let refused = async |statement| {
        tamper(&place.database(), statement).await;
        place.try_open().await.unwrap_err()
    };
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9001, 'of tomorrow', 1, x'00', 0)";
    assert!(matches!(refused(newer).await, StoreError::Newer(9001)));
    tamper(
        &place.database(),
        "DELETE FROM _sqlx_migrations WHERE version = 9001",
    )
    .await;
    let store = place.open().await;
    assert_eq!(notes(&store).await, [1]);
    store.close().await;

    let interrupted = "UPDATE _sqlx_migrations SET success = 0 WHERE version = 2";
    assert!(matches!(refused(interrupted).await, StoreError::Migration(_)));
    let changed = "UPDATE _sqlx_migrations SET success = 1, checksum = x'00' WHERE version = 2";
    assert!(matches!(refused(changed).await, StoreError::OtherMigration(2)));
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let database = place.database();
    std::fs::create_dir_all(&database).unwrap();
    assert!(matches!(place.try_open().await, Err(StoreError::File(_))));
    std::fs::remove_dir(&database).unwrap();
    let text = "minutes of the board\n".repeat(1000);
    std::fs::write(&database, &text).unwrap();
    assert!(matches!(place.try_open().await, Err(StoreError::Statement(_))));
    assert_eq!(std::fs::read_to_string(&database).unwrap(), text);
}
