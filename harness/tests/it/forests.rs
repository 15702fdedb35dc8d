//! A tenant with several forests and several controllers, from the sign-in page down: everybody is asked about in his own
//! forest, and a controller that fails is noticed by nobody, or by those who were there first.

use postern_cloud::tenants::NewUser;
use postern_directory_mock::{Accepting, BindFault, Directory, Server, ServerOptions, User};
use postern_harness::lab::{Lab, TenantPlan};
use postern_kit::clock::monotonic;
use postern_proto::ids::ObjectId;

use crate::world::{ATTEMPT, DOMAIN, TENANT, WRONG, eventually, person, plan, start, topology};

const PARTNER: &str = "partner.example.org";
const BOB: &str = "Bobs-Own-Passw0rd";

fn controller(host: &str) -> ServerOptions {
    ServerOptions {
        host: Some(host.to_owned()),
        ..ServerOptions::default()
    }
}

/// What the page says to who signs in: its code, 0 after a success.
async fn page(lab: &Lab, username: &str, password: &str) -> u32 {
    let browser = lab.browser().unwrap();
    let page = browser.sign_in(TENANT, username, password).await.unwrap();
    page.code().expect("every answer has its code")
}

const SIGNED_IN: u32 = 0;
const REFUSED: u32 = 50126;

/// Which controllers were bound at since the last call.
fn bound(server: &Server) -> Vec<String> {
    let all = server.journal().all();
    server.journal().clear();
    all.iter().map(|bind| bind.controller.to_string()).collect()
}

#[tokio::test]
async fn each_user_is_asked_about_in_his_own_forest() {
    let bob = format!("bob@{PARTNER}");
    let partner = Directory::builder(PARTNER, "PARTNER")
        .users([User::new("bob", BOB).upn(&bob)])
        .build();
    let lab = start(topology(TenantPlan {
        partners: vec![partner],
        ..plan(1)
    }))
    .await;
    let (own, (_, other)) = (&lab.tenant().directory, &lab.tenant().partners[0]);
    let (alice, password) = person(0);
    for (username, password, code, binds) in [
        (&alice, password.as_str(), SIGNED_IN, (1, 0)),
        (&bob, BOB, SIGNED_IN, (0, 1)),
        (&bob, WRONG, REFUSED, (0, 1)),
        (&alice, BOB, REFUSED, (1, 0)),
    ] {
        assert_eq!(page(&lab, username, password).await, code, "{username}");
        assert_eq!((bound(own).len(), bound(other).len()), binds, "{username}");
    }
    // Whom the tenant knows by a name of its own is asked about by the name that the directory has.
    let guest = format!("guest@{DOMAIN}");
    let guid = other.directory().guid_of("bob").unwrap();
    let tenant = lab.tenant().tenant.id;
    let user = NewUser {
        alternate_id: None,
        username: guest.parse().unwrap(),
        object: ObjectId::from_bytes(guid.into_bytes()),
        on_premises_name: bob.parse().unwrap(),
        domain: DOMAIN.parse().unwrap(),
    };
    lab.admin.tenants().import(tenant, vec![user]).await.unwrap();
    assert_eq!(page(&lab, &guest, BOB).await, SIGNED_IN);
    assert_eq!((bound(own).len(), bound(other).len()), (0, 1));
    lab.stop().await.unwrap();
}

/// Two controllers of one directory.
async fn two() -> Lab {
    let lab = start(topology(TenantPlan {
        options: controller("dc1"),
        standby: vec![controller("dc2")],
        ..plan(3)
    }))
    .await;
    let (username, password) = person(0);
    assert_eq!(page(&lab, &username, &password).await, SIGNED_IN);
    assert_eq!(bound(&lab.tenant().directory), ["dc1"]);
    lab
}

#[tokio::test]
async fn a_controller_that_goes_down_is_noticed_by_nobody_and_comes_back() {
    let lab = two().await;
    let dc1 = &lab.tenant().directory;
    let (username, password) = person(0);
    dc1.faults().set_accepting(Accepting::Close);
    dc1.connections().disconnect_all(false);
    dc1.connections().wait_until(|counts| counts.open == 0).await;
    assert_eq!(page(&lab, &username, &password).await, SIGNED_IN);
    assert_eq!(page(&lab, &username, WRONG).await, REFUSED);
    assert_eq!(bound(dc1), ["dc2", "dc2"], "each password once");
    dc1.faults().clear();
    let back = async || {
        assert_eq!(page(&lab, &username, &password).await, SIGNED_IN);
        (bound(dc1) == ["dc1"]).then_some(())
    };
    eventually("the first controller is asked again", back).await;
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_controller_that_hangs_costs_one_sign_in_its_attempt_and_the_next_nothing() {
    let lab = two().await;
    let dc1 = &lab.tenant().directory;
    dc1.faults().set_bind(BindFault::Hang);
    let (username, password) = person(1);
    let began = monotonic();
    let code = page(&lab, &username, &password).await;
    assert!(![SIGNED_IN, REFUSED].contains(&code), "{code}");
    let took = monotonic() - began;
    assert!(took >= ATTEMPT / 2 && took < 3 * ATTEMPT, "{took:?}");
    assert_eq!(bound(dc1), ["dc1"]);
    let (username, password) = person(2);
    assert_eq!(page(&lab, &username, &password).await, SIGNED_IN);
    assert_eq!(bound(dc1), ["dc2"]);
    lab.stop().await.unwrap();
}
