//! A project that wants only this crate: its own sign-in code, here [`sign_in`], meets a lockout, a busy controller, a
//! lost answer and the end of the lockout, without a directory and without waiting.
//!
//! `cargo run -p postern-directory-mock --example sign_in_code`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{LdapConnAsync, LdapConnSettings};
use postern_directory_mock::{Directory, Effect, MovableClock, Operation, Rule, Server, ServerOptions, User};
use postern_kit::Seams;
use postern_kit::tls::{ServerTrust, Versions, client};

/// What the code under test makes of a bind.
#[derive(Debug, PartialEq, Eq)]
enum SignIn {
    In,
    Wrong,
    Locked,
    TryAgain,
}

/// The code under test: a bind over LDAPS, and what its answer means.
async fn sign_in(
    server: &Server,
    seams: &Seams,
    name: &str,
    password: &str,
) -> Result<SignIn, Box<dyn Error>> {
    let root = server.ca_der().ok_or("the certificate was made here")?.clone();
    let trust = ServerTrust::Roots(vec![root]);
    let tls = client(trust, None, Versions::Tls12And13, &[], seams.clock.clone())?;
    let addr = server.ldaps_addr().ok_or("LDAPS is served")?;
    let settings = LdapConnSettings::new().set_config(tls);
    let url = format!("ldaps://localhost:{}", addr.port());
    let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &url).await?;
    seams.tasks.spawn("ldap connection", async move {
        // How it ends is what the bind sees.
        let _ = connection.drive().await;
    });
    Ok(match ldap.simple_bind(name, password).await {
        Ok(answer) if answer.rc == 0 => SignIn::In,
        Ok(answer) if answer.rc == 49 && answer.text.contains("data 775") => SignIn::Locked,
        Ok(answer) if answer.rc == 49 => SignIn::Wrong,
        Ok(_) | Err(_) => SignIn::TryAgain,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut seams = Seams::real();
    let clock = Arc::new(MovableClock::new(seams.clock.clone()));
    let directory = Directory::builder("corp.example.test", "CORP")
        .lockout(3, Duration::from_secs(1800), Duration::from_secs(1800))
        .user(User::new("alice", "correct horse"))
        .build();
    let real = seams.clone();
    seams.clock = clock.clone();
    let server = Server::start(directory, ServerOptions::default(), &seams).await?;
    let alice = "alice@corp.example.test";
    let with = async |password| sign_in(&server, &real, alice, password).await;

    assert_eq!(with("correct horse").await?, SignIn::In);
    assert_eq!(with("battery").await?, SignIn::Wrong);

    // A busy controller says nothing of the password; neither does an answer that never comes, but that one counted.
    let binds = Rule::new("trouble").on(&[Operation::Bind]).times(1);
    server.faults().set(binds.clone().effect(Effect::busy()))?;
    assert_eq!(with("battery").await?, SignIn::TryAgain);
    server.faults().set(binds.effect(Effect::LoseAnswer))?;
    assert_eq!(with("battery").await?, SignIn::TryAgain);

    assert_eq!(with("battery").await?, SignIn::Wrong);
    assert_eq!(
        with("correct horse").await?,
        SignIn::Locked,
        "after three that counted"
    );
    clock.forward(Duration::from_secs(1801));
    assert_eq!(with("correct horse").await?, SignIn::In, "the lockout is over");

    let journal = server.directory().binds_of("alice")?;
    for (outcome, count) in journal.outcomes() {
        println!("{outcome}: {count}");
    }
    assert_eq!(journal.counted().count(), 3);
    server.stop().await;
    Ok(())
}
