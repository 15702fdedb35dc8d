//! The cloud cannot be used to lock an account, and a record is one object whatever it is called.

use futures::future::join_all;
use postern_agent::BindName;
use postern_directory_mock::{BindOutcome, User};
use postern_harness::lab::TenantPlan;
use postern_kit::net::LdapProtection;
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::world::{DOMAIN, TENANT, WRONG, call, directory, person, plan, start, topology};

/// The failure budget, as configured by default.
const BUDGET: u64 = 4;

/// Ten ways to type one name.
fn spellings(username: &str) -> Vec<String> {
    let (local, domain) = username.split_once('@').unwrap();
    let mut first = local.chars();
    let capital: String = first.next().unwrap().to_uppercase().chain(first).collect();
    vec![
        username.to_owned(),
        username.to_uppercase(),
        format!("{capital}@{domain}"),
        format!("{local}@{}", domain.to_uppercase()),
        format!("{}@{domain}", local.to_uppercase()),
        format!(" {username}"),
        format!("{username} "),
        format!("\t{username}"),
        format!("{capital}@{}", domain.replace("corp", "Corp")),
        format!(" {} ", username.to_uppercase()),
    ]
}

#[tokio::test]
async fn ten_spellings_by_twenty_in_parallel_cost_no_more_than_the_budget() {
    let lab = start(topology(TenantPlan { agents: 2, ..plan(1) })).await;
    let (username, password) = person(0);
    let programme = lab.programme(lab.tenant()).unwrap();
    let names: Vec<_> = spellings(&username).into_iter().cycle().take(200).collect();
    let attempts = names.chunks(20);
    for twenty in attempts {
        let outcomes = join_all(twenty.iter().map(|name| programme.sign_in(name, WRONG))).await;
        for outcome in outcomes {
            let outcome = outcome.unwrap().outcome();
            let allowed = [Outcome::Refused, Outcome::TooManyAttempts, Outcome::Busy];
            assert!(allowed.contains(&outcome), "{outcome:?}");
        }
    }
    let directory = &lab.tenant().directory;
    let object = directory
        .directory()
        .guid_of(username.split_once('@').unwrap().0)
        .unwrap();
    let failed = directory.journal().failed_count(object);
    assert!((1..=BUDGET).contains(&failed), "{failed} failed binds");
    assert_eq!(directory.journal().total(), failed);
    assert!(!directory.directory().is_locked(object));
    // Nobody signs in now, not even with the right password, and nobody is asked.
    assert_eq!(call(&lab, &username, &password).await, Outcome::TooManyAttempts);
    assert_eq!(directory.journal().total(), failed);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn unknown_users_run_out_of_attempts_alike() {
    let lab = start(topology(plan(1))).await;
    let (known, _) = person(0);
    let unknown = format!("nobody@{DOMAIN}");
    for at in 0..BUDGET + 2 {
        let outcomes = (call(&lab, &known, WRONG).await, call(&lab, &unknown, WRONG).await);
        let expected = if at < BUDGET {
            Outcome::Refused
        } else {
            Outcome::TooManyAttempts
        };
        assert_eq!(outcomes, (expected, expected), "attempt {at}");
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_success_empties_the_budget() {
    let lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    for _ in 0..3 {
        for _ in 1..BUDGET {
            assert_eq!(call(&lab, &username, WRONG).await, Outcome::Refused);
        }
        assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    }
    lab.stop().await.unwrap();
}

/// The old name of a renamed user comes to mean somebody else.
async fn renamed(plan: TenantPlan) -> Vec<BindOutcome> {
    let lab = start(topology(plan)).await;
    let (username, password) = person(0);
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    let directory = lab.tenant().directory.directory();
    let sam = username.split_once('@').unwrap().0;
    let object = directory.guid_of(sam).unwrap();
    directory
        .rename(object, "renamed", Some(&format!("renamed@{DOMAIN}")))
        .unwrap();
    directory
        .add(User::new(sam, "Newcomers-Passw0rd").upn(&username))
        .unwrap();
    assert_eq!(
        call(&lab, &username, "Newcomers-Passw0rd").await,
        Outcome::Refused
    );
    let outcomes = lab
        .tenant()
        .directory
        .journal()
        .all()
        .into_iter()
        .map(|bind| bind.outcome)
        .collect();
    lab.stop().await.unwrap();
    outcomes
}

#[tokio::test]
async fn a_renamed_users_old_name_signs_nobody_in_when_bound_by_guid() {
    let outcomes = renamed(plan(1)).await;
    assert!(
        matches!(outcomes[..], [BindOutcome::Accepted, BindOutcome::Refused(_)]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_renamed_users_old_name_signs_nobody_in_when_bound_by_name() {
    let bind_name = BindName::Upn {
        base: "DC=corp,DC=example,DC=com".to_owned(),
    };
    let outcomes = renamed(TenantPlan { bind_name, ..plan(1) }).await;
    // The directory accepted the password, but for somebody else.
    assert!(
        matches!(outcomes[..], [BindOutcome::Accepted, BindOutcome::Accepted]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_renamed_user_signs_in_on_when_bound_by_guid() {
    let lab = start(topology(TenantPlan {
        protection: LdapProtection::StartTls,
        ..TenantPlan::new(TENANT, directory(1))
    }))
    .await;
    let (username, password) = person(0);
    let directory = lab.tenant().directory.directory();
    let object = directory.guid_of(username.split_once('@').unwrap().0).unwrap();
    directory
        .rename(object, "renamed", Some(&format!("renamed@{DOMAIN}")))
        .unwrap();
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    lab.stop().await.unwrap();
}
