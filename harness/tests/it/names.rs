//! Names that are not the directory's own: what users type, and how they are found by it.

use postern_agent::BindName;
use postern_directory_mock::{Directory, User};
use postern_harness::lab::{Lab, TenantPlan};
use postern_proto::wire::signin::sign_in_response::Outcome;

use crate::admin::{admin, admin_json};
use crate::world::{DOMAIN, TENANT, WRONG, call, person, plan, start, topology};

const SECRET: &str = "Service-Passw0rd-1";
const MAIL: &str = "ada.lovelace@brand.example";

/// Whether the page signs somebody in.
async fn on_page(lab: &Lab, name: &str, password: &str) -> bool {
    let browser = lab.browser().unwrap();
    browser.sign_in(TENANT, name, password).await.unwrap().code() == Some(0)
}

/// Names under which users were bound.
fn bound(lab: &Lab) -> Vec<String> {
    let all = lab.tenant().directory.journal().all();
    all.into_iter().map(|bind| bind.name).collect()
}

#[tokio::test]
async fn an_alternate_id_signs_its_user_in_by_page_and_programme() {
    let lab = start(topology(plan(2))).await;
    let ((username, password), (other, _)) = (person(0), person(1));
    let directory = lab.tenant().directory.directory();
    let object = directory.guid_of(username.split_once('@').unwrap().0).unwrap();
    admin(&lab, "domain create brand.example --tenant contoso")
        .await
        .unwrap();
    let file = lab.folder().join("users.csv");
    let text = format!("username,object_id,alternate_id\n{username},{object},{MAIL}\n");
    std::fs::write(&file, text).unwrap();
    let import = format!("user import {} --tenant contoso", file.display());
    admin(&lab, &import).await.unwrap();

    assert_eq!(call(&lab, MAIL, &password).await, Outcome::Refused, "not yet");
    assert_eq!(bound(&lab), [""; 0]);
    admin(&lab, "tenant update contoso --alternate-id mail")
        .await
        .unwrap();
    assert!(on_page(&lab, "Ada.Lovelace@Brand.example", &password).await);
    assert_eq!(call(&lab, MAIL, &password).await, Outcome::SignedIn);
    assert_eq!(call(&lab, &username, &password).await, Outcome::SignedIn);
    // What was typed never left the cloud, and it is one account that fails.
    assert_eq!(
        bound(&lab),
        [
            format!("<GUID={object}>"),
            format!("<GUID={object}>"),
            format!("<GUID={object}>")
        ]
    );
    for name in [MAIL, &username, MAIL, &username, MAIL] {
        call(&lab, name, WRONG).await;
    }
    assert_eq!(bound(&lab).len(), 3 + 4, "the budget is the account's");
    let log = admin_json(&lab, "sign-in list --tenant contoso --limit 1").await;
    assert_eq!(log[0]["username"], username.as_str());

    let taken = format!(
        "user create {other}x --tenant contoso --object-id {} --alternate-id {MAIL}",
        uuid::Uuid::nil()
    );
    let refused = admin(&lab, &taken).await.unwrap_err();
    assert_eq!(refused, "alternate_id: exists already");
    admin(&lab, "tenant update contoso --no-alternate-id")
        .await
        .unwrap();
    assert_eq!(call(&lab, MAIL, &password).await, Outcome::Refused);
    lab.stop().await.unwrap();
}

/// The name that the cloud has is a mail address, by which the directory does not bind.
#[tokio::test]
async fn a_user_who_is_known_by_mail_alone_is_searched_under_a_service_account() {
    let base = "DC=corp,DC=example,DC=com";
    let user = |sam: &str, mail: &str| {
        User::new(sam, "Right-Passw0rd-1")
            .upn(mail)
            .attribute("mail", mail)
    };
    let (ada, twin) = (format!("ada@{DOMAIN}"), format!("twin@{DOMAIN}"));
    let directory = Directory::builder(DOMAIN, "CORP")
        .users([
            user("u1", &ada),
            user("u2", &twin),
            User::new("u3", "Right-Passw0rd-1")
                .without_upn()
                .attribute("mail", &twin),
            User::new("svc", SECRET).without_upn(),
        ])
        .build();
    let lab = start(topology(TenantPlan {
        bind_name: BindName::Search {
            base: base.to_owned(),
            filter: "(mail={name})".parse().unwrap(),
        },
        service_account: Some((format!("svc@{DOMAIN}").parse().unwrap(), SECRET)),
        ..TenantPlan::new(TENANT, directory)
    }))
    .await;
    assert!(on_page(&lab, &ada, "Right-Passw0rd-1").await);
    assert_eq!(
        bound(&lab),
        [format!("svc@{DOMAIN}"), format!("CN=u1,CN=Users,{base}")]
    );
    assert_eq!(call(&lab, &ada, WRONG).await, Outcome::Refused);
    assert_eq!(bound(&lab).len(), 3, "the service account is bound already");
    // Two entries: nobody is bound, and it is not called wrong.
    assert_eq!(call(&lab, &twin, "Right-Passw0rd-1").await, Outcome::Unavailable);
    assert_eq!(bound(&lab).len(), 3);
    let log = admin_json(&lab, "sign-in list --tenant contoso --limit 1").await;
    assert_eq!(log[0]["details"]["attempts"][0]["reason"], "several_entries");
    lab.stop().await.unwrap();
}
