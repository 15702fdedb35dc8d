//! Each thing that a directory can say, through both ways in.

use postern_directory_mock::Server;
use postern_harness::demo;
use postern_harness::lab::{TenantPlan, Topology};
use postern_kit::net::LdapProtection;
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::world::{DOMAIN, TENANT, WRONG, call, person, plan, start, topology};

async fn plays(protection: LdapProtection) {
    let lab = start(Topology::of(TenantPlan {
        protection,
        ..demo::tenant()
    }))
    .await;
    let scenes = demo::play(&lab).await.unwrap();
    assert!(
        scenes.iter().all(demo::Scene::agrees),
        "\n{}",
        demo::report(&scenes)
    );
    assert!(scenes.len() > 30);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn every_account_state_gives_its_verdict_over_ldaps() {
    plays(LdapProtection::Ldaps).await;
}

#[tokio::test]
async fn every_account_state_gives_its_verdict_over_start_tls() {
    plays(LdapProtection::StartTls).await;
}

#[tokio::test]
async fn a_password_crosses_the_network_encrypted_only() {
    let lab = start(topology(plan(1))).await;
    let (username, password) = person(0);
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    let binds = lab.tenant().directory.journal().all();
    assert_eq!(binds.len(), 1);
    assert!(binds[0].encrypted);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn strangers_get_the_same_page_as_a_wrong_password() {
    let lab = start(topology(plan(1))).await;
    let browser = lab.browser().unwrap();
    let (username, _) = person(0);
    let wrong = browser.sign_in(TENANT, &username, WRONG).await.unwrap();
    // The pages differ in what was typed, and in nothing else.
    for typed in [format!("nobody@{DOMAIN}"), "someone@elsewhere.example".to_owned()] {
        let page = browser.sign_in(TENANT, &typed, WRONG).await.unwrap();
        assert_eq!(page.status, wrong.status);
        assert_eq!(
            page.html.replace(&typed, "NAME"),
            wrong.html.replace(&username, "NAME")
        );
    }
    let foreign = browser.sign_in("fabrikam", &username, WRONG).await.unwrap();
    assert_eq!(foreign.html.replace("fabrikam", TENANT), wrong.html);
    assert_eq!(foreign.status, wrong.status);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenants_programme_signs_in_its_own_users_only() {
    let other = postern_directory_mock::Directory::builder("lab.example.com", "LAB")
        .user(postern_directory_mock::User::new("ada", "Ada-Passw0rd"))
        .build();
    let mut topology = topology(plan(1));
    topology.tenants.push(TenantPlan::new("fabrikam", other));
    let lab = start(topology).await;
    let theirs = lab.programme(&lab.tenants[1]).unwrap();
    let (username, password) = person(0);
    assert_eq!(
        theirs.sign_in(&username, &password).await.unwrap().outcome(),
        Outcome::Refused
    );
    let own = theirs
        .sign_in("ada@lab.example.com", "Ada-Passw0rd")
        .await
        .unwrap();
    assert_eq!(own.outcome(), Outcome::SignedIn);
    assert_eq!(binds(&lab.tenants[0].directory), 0);
    assert_eq!(binds(&lab.tenants[1].directory), 1);
    lab.stop().await.unwrap();
}

fn binds(directory: &Server) -> u64 {
    directory.journal().total()
}
