//! Users from files: thousands at once, and what is wrong with a file told by its lines.

use std::fmt::Write as _;

use postern_harness::lab::{Lab, TenantPlan};
use uuid::Uuid;

use crate::admin::{admin, admin_json};
use crate::world::{DOMAIN, TENANT, plan, start, topology};

/// More than two calls of 1,000 take.
const MANY: usize = 2_345;

async fn lab() -> Lab {
    start(topology(TenantPlan { agents: 0, ..plan(0) })).await
}

async fn import(lab: &Lab, name: &str, text: &str) -> Result<String, String> {
    let file = lab.folder().join(name);
    std::fs::write(&file, text).unwrap();
    let words = format!("user import {} --tenant {TENANT} --json", file.display());
    admin(lab, &words).await
}

async fn usernames(lab: &Lab) -> Vec<String> {
    let users = admin_json(lab, &format!("user list --tenant {TENANT}")).await;
    users
        .iter()
        .map(|user| user["username"].as_str().unwrap().to_owned())
        .collect()
}

fn object(at: usize) -> Uuid {
    Uuid::from_u128(at as u128)
}

fn csv(users: impl IntoIterator<Item = (usize, String)>) -> String {
    let mut text = "object_id,username\n".to_owned();
    for (at, username) in users {
        writeln!(text, "{},{username}", object(at)).unwrap();
    }
    text
}

fn json(users: impl IntoIterator<Item = (usize, String)>) -> String {
    users
        .into_iter()
        .map(|(at, username)| {
            format!(
                "{{\"object_id\":\"{}\",\"username\":\"{username}\"}}\n",
                object(at)
            )
        })
        .collect()
}

fn people(sort: &str) -> Vec<(usize, String)> {
    (0..MANY)
        .map(|at| (at, format!("{sort}{at:05}@{DOMAIN}")))
        .collect()
}

#[tokio::test]
async fn thousands_are_imported_from_either_kind_of_file_and_found_again_by_their_object() {
    let lab = lab().await;
    let first = import(&lab, "users.csv", &csv(people("first"))).await.unwrap();
    assert_eq!(first, format!("{{\"created\":{MANY},\"updated\":0}}\n"));
    let expected: Vec<_> = people("first").into_iter().map(|(_, name)| name).collect();
    assert_eq!(usernames(&lab).await, expected);
    // Everybody has another name, and one is new.
    let mut renamed = people("second");
    renamed.push((MANY, format!("third@{DOMAIN}")));
    let second = import(&lab, "users.jsonl", &json(renamed.clone())).await.unwrap();
    assert_eq!(second, format!("{{\"created\":1,\"updated\":{MANY}}}\n"));
    let expected: Vec<_> = renamed.into_iter().map(|(_, name)| name).collect();
    assert_eq!(usernames(&lab).await, expected);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn all_mistakes_of_a_file_are_told_at_once_and_nothing_is_imported() {
    let lab = lab().await;
    let mut users = people("p");
    users[0].1 = "no-domain".to_owned();
    users[MANY - 1].0 = 7;
    let told = import(&lab, "users.csv", &csv(users.clone())).await.unwrap_err();
    let last = MANY + 1;
    assert_eq!(
        told,
        format!(
            "nothing was imported:\n  \
             line 2: username: expected name@domain, at most 512 bytes\n  \
             line {last}: object_id: stands in line 9 already"
        )
    );
    let text = json(users) + "{\"username\":\"x@y.example\"}\nnonsense\n";
    let told = import(&lab, "users.ndjson", &text).await.unwrap_err();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    assert_eq!(
        lines[1],
        "  line 1: username: expected name@domain, at most 512 bytes"
    );
    assert_eq!(
        lines[2],
        format!("  line {MANY}: object_id: stands in line 8 already")
    );
    assert_eq!(
        lines[3],
        format!("  line {last}: missing field `object_id` (column 26)")
    );
    assert!(
        lines[4].starts_with(&format!("  line {}: expected", last + 1)),
        "{told}"
    );
    assert_eq!(usernames(&lab).await, [] as [String; 0]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_record_that_the_cloud_refuses_is_named_by_its_line_and_what_was_imported_is_said() {
    let lab = lab().await;
    let mut users = people("p");
    // Only the cloud knows whose domain it is.
    users[1_500].1 = "eve@elsewhere.example".to_owned();
    let told = import(&lab, "users.csv", &csv(users.clone())).await.unwrap_err();
    assert_eq!(
        told,
        "line 1502: username: its domain is not the tenant's \
         (the first 1000 records were imported, and no others)"
    );
    assert_eq!(usernames(&lab).await.len(), 1000);
    // Mended and sent again, it goes through.
    users[1_500].1 = format!("eve@{DOMAIN}");
    let done = import(&lab, "users.csv", &csv(users)).await.unwrap();
    assert_eq!(
        done,
        format!("{{\"created\":{},\"updated\":1000}}\n", MANY - 1000)
    );
    let told = import(&lab, "users.csv", &csv([(0, "eve@elsewhere.example".to_owned())]))
        .await
        .unwrap_err();
    assert_eq!(
        told,
        "line 2: username: its domain is not the tenant's (nothing was imported)"
    );
    lab.stop().await.unwrap();
}
