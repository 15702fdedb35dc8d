//! Listeners, searches and the life of a connection.

use postern_directory_mock::{AccountState, BindOutcome, Directory, Server, ServerOptions, SubCode, User};
use postern_kit::Seams;

use crate::client::{bind, ldaps, soon, start_tls};

const BASE: &str = "DC=corp,DC=example,DC=test";

async fn server(options: ServerOptions) -> Server {
    let directory = Directory::builder("corp.example.test", "CORP")
        .user(
            User::new("alice", "right")
                .container("OU=Fixture")
                .display_name("Alice F"),
        )
        .user(User::new("dora", "right").state(AccountState::Disabled))
        .build();
    Server::start(directory, options, &Seams::real()).await.unwrap()
}

#[tokio::test]
async fn binds_are_answered_and_recorded_over_ldaps_and_start_tls() {
    let server = server(ServerOptions::default()).await;
    let alice = server.directory().guid_of("alice").unwrap();
    for (mut ldap, encrypted) in [(ldaps(&server).await, true), (start_tls(&server).await, true)] {
        let name = "alice@corp.example.test";
        assert_eq!(bind(&mut ldap, name, "wrong").await, (49, Some("52e".into())));
        assert_eq!(bind(&mut ldap, name, "right").await, (0, None));
        assert_eq!(
            bind(&mut ldap, "CORP\\dora", "right").await,
            (49, Some("533".into()))
        );
        let last = server.journal().all().pop().unwrap();
        assert_eq!(last.name, "CORP\\dora");
        assert_eq!(last.encrypted, encrypted);
    }
    soon(server.journal().wait_for(6)).await;
    let outcomes: Vec<_> = server
        .journal()
        .for_object(alice)
        .into_iter()
        .map(|record| (record.connection, record.outcome, record.counted))
        .collect();
    let wrong = BindOutcome::Refused(SubCode::Wrong);
    assert_eq!(
        outcomes,
        [
            (1, wrong.clone(), true),
            (1, BindOutcome::Accepted, false),
            (2, wrong, true),
            (2, BindOutcome::Accepted, false),
        ]
    );
    assert_eq!(server.journal().failed_count(alice), 2);
    let counts = server.connections().counts();
    assert_eq!(
        (counts.opened_tls, counts.opened_plain, counts.start_tls),
        (1, 1, 1)
    );
    let connections = server.connections().clone();
    server.stop().await;
    assert_eq!(connections.counts().open, 0);
    let _ = BASE;
}
