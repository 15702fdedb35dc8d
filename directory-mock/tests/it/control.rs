//! The control port, as its client and as a stranger meets it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use postern_directory_mock::control::{self, Client, ClientError};
use postern_directory_mock::{config, serve};
use postern_kit::Seams;
use postern_kit::random::SystemRandom;
use postern_kit::secret::Token256;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::client::soon;
use crate::raw::{self, Raw};

const ALICE: &str = "CORP\\alice";

/// Serves a directory with alice, controlled, and runs a test against it: addresses of LDAP and of control, and a client.
async fn controlled(test: impl AsyncFnOnce(SocketAddr, SocketAddr, Client)) {
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("control.token");
    let text = format!(
        "domain = 'corp.example.test'\nnetbios = 'CORP'\nlisten.ldap = '127.0.0.1:0'\n\
         policy.lockout_threshold = 2\n\
         [control]\nlisten = '127.0.0.1:0'\ntoken_file = '{}'\n\
         [[users]]\nname = 'alice'\npassword = 'right'\n",
        token_file.display()
    );
    let config = config::read(&text).unwrap();
    let (seams, stop) = (Seams::real(), CancellationToken::new());
    let (tell, told) = oneshot::channel();
    let served = serve::serve(config, seams.clone(), stop.clone(), |running| {
        tell.send((running.servers[0].ldap_addr().unwrap(), running.control.unwrap()))
            .unwrap();
    });
    let client = async {
        let (ldap, control) = soon(told).await.unwrap();
        let token = token(&token_file, &seams);
        test(ldap, control, Client::new(control, token, seams.clone())).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(served, client);
    served.unwrap();
    let ended = seams.tasks.run_until(&stop, crate::client::PATIENCE);
    ended.await.unwrap();
}

fn token(file: &Path, seams: &Seams) -> Token256 {
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    control::token_in(file, seams).unwrap()
}

async fn post(client: &Client, path: &str, body: Value) -> Value {
    soon(client.call("POST", path, Some(&body))).await.unwrap()
}

async fn get(client: &Client, path: &str) -> Value {
    soon(client.call("GET", path, None)).await.unwrap()
}

/// Result code of a bind on a connection of its own.
async fn bind(ldap: SocketAddr, name: &str, password: &str) -> u32 {
    let mut raw = Raw::connect(ldap).await;
    raw.send(1, raw::bind(name, password), Vec::new()).await;
    match raw.next().await.unwrap().op {
        ldap3_proto::proto::LdapOp::BindResponse(response) => response.res.code as u32,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn users_clock_faults_and_journal_are_at_hand() {
    controlled(async |ldap, _, client| {
        for _ in 0..2 {
            assert_eq!(bind(ldap, ALICE, "wrong").await, 49);
        }
        assert_eq!(get(&client, "/users/alice").await["locked"], true);
        post(&client, "/clock", json!({ "forward_s": 1801 })).await;
        assert_eq!(get(&client, "/users/alice").await["locked"], false);
        assert_eq!(bind(ldap, ALICE, "right").await, 0);

        for (action, body, code) in [
            ("lock", json!({}), 49),
            ("unlock", json!({}), 0),
            ("disable", json!({}), 49),
            ("enable", json!({}), 0),
            ("state", json!({ "state": "must_change" }), 49),
            ("state", json!({ "state": "normal" }), 0),
            ("password", json!({ "password": "other" }), 49),
        ] {
            post(&client, &format!("/users/alice/{action}"), body).await;
            if action == "password" {
                // The former one would bind for an hour.
                post(&client, "/clock", json!({ "forward_s": 3601 })).await;
            }
            assert_eq!(bind(ldap, ALICE, "right").await, code, "{action}");
        }
        let anna = post(&client, "/users/alice/rename", json!({ "name": "anna" })).await;
        assert_eq!((&anna["name"], &anna["upn"]), (&json!("anna"), &Value::Null));
        assert_eq!(bind(ldap, "CORP\\anna", "other").await, 0);
        post(&client, "/users", json!({ "name": "bob", "password": "b" })).await;
        assert_eq!(bind(ldap, "CORP\\bob", "b").await, 0);

        let rule =
            json!({ "name": "r", "operations": ["bind"], "accounts": ["bob"], "times": 1, "effect": "busy" });
        soon(client.call("PUT", "/faults", Some(&rule))).await.unwrap();
        assert_eq!(bind(ldap, "CORP\\anna", "other").await, 0);
        assert_eq!(bind(ldap, "CORP\\bob", "b").await, 51);
        assert_eq!(bind(ldap, "CORP\\bob", "b").await, 0);
        let faults = get(&client, "/faults").await;
        assert_eq!(
            (&faults["faults"][0]["seen"], &faults["faults"][0]["hits"]),
            (&json!(2), &json!(1))
        );
        let left = soon(client.call("DELETE", "/faults/r", None)).await.unwrap();
        assert_eq!(left, json!({ "faults": [] }));

        let binds = get(&client, "/journal?account=bob&controller=dc1").await;
        assert_eq!(binds["outcomes"], json!({ "accepted": 2, "result 51": 1 }));
        let last = get(&client, "/journal?account=bob&outcome=accepted&last=1").await;
        assert_eq!(
            (&last["count"], last["binds"].as_array().unwrap().len()),
            (&json!(2), 1)
        );
        let ldif = soon(client.text("GET", "/ldif?passwords=true", String::new()));
        let ldif = ldif
            .await
            .unwrap()
            .replace("anna", "carol")
            .replace("objectGUID::", "info:");
        let ldif = ldif.replace("objectSid::", "pager:").replace("bob", "dave");
        let done = soon(client.text("POST", "/ldif", ldif)).await.unwrap();
        assert!(done.contains("\"users\":2"), "{done}");
        assert_eq!(bind(ldap, "CORP\\carol", "other").await, 0);
        soon(client.call("DELETE", "/users/carol", None)).await.unwrap();
        soon(client.call("DELETE", "/users/dave", None)).await.unwrap();
        let mut raw = Raw::connect(ldap).await;
        post(&client, "/connections/close", json!({ "notice": false })).await;
        assert!(raw.next().await.is_none());
        soon(client.call("DELETE", "/users/bob", None)).await.unwrap();
        assert_eq!(get(&client, "/").await["domains"][0]["users"], 1);
    })
    .await;
}

/// Status and mistakes of a refused call.
async fn refused(client: &Client, method: &str, path: &str, body: Option<Value>) -> (u16, Vec<String>) {
    match soon(client.call(method, path, body.as_ref())).await {
        Err(ClientError::Refused { status, mistakes }) => (status, mistakes),
        other => panic!("{method} {path}: {other:?}"),
    }
}

#[tokio::test]
async fn mistakes_are_told_by_their_fields_and_strangers_are_refused() {
    controlled(async |_, control, client| {
        for (method, path, body, expected) in [
            ("GET", "/users/nobody", None, (404, "name")),
            ("GET", "/nowhere", None, (404, "path")),
            ("GET", "/journal?colour=red", None, (400, "query")),
            ("GET", "/journal?account=nobody", None, (404, "account")),
            ("DELETE", "/faults/r", None, (404, "name")),
            ("POST", "/clock", Some(json!({})), (400, "forward_s")),
            ("POST", "/clock", Some(json!({ "set": "noon" })), (400, "set")),
            ("POST", "/clock", Some(json!(7)), (400, "body")),
            ("POST", "/clock", Some(json!({ "set": null })), (400, "body")),
            ("POST", "/users", Some(json!({ "name": "x" })), (400, "password")),
            (
                "POST",
                "/users",
                Some(json!({ "name": "alice", "password": "p" })),
                (409, "sAMAccountName \"alice\" is already in use"),
            ),
            ("POST", "/ldif", Some(json!("x")), (400, "line 1")),
            ("GET", "/ldif?passwords=perhaps", None, (400, "query")),
            ("GET", "/ldif?domain=other.test", None, (404, "domain")),
            ("GET", "/users/EMEA%5Calice", None, (404, "name")),
            ("POST", "/users/alice/fly", None, (404, "action")),
            ("POST", "/users/alice/lock", Some(json!({ "x": 1 })), (400, "x")),
            (
                "POST",
                "/users/alice/state",
                Some(json!({ "state": "odd" })),
                (400, "state"),
            ),
            ("PUT", "/faults", Some(json!({ "name": "r" })), (400, "effect")),
            (
                "PUT",
                "/faults",
                Some(json!({ "name": "r", "effect": "hang", "controller": "dc9" })),
                (400, "controller"),
            ),
        ] {
            let (status, mistakes) = refused(&client, method, path, body).await;
            let field = mistakes[0].split(':').next().unwrap();
            assert_eq!((status, field), expected, "{method} {path}: {mistakes:?}");
        }
        let stranger = Client::new(control, Token256::generate(&SystemRandom), Seams::real());
        let (status, _) = refused(&stranger, "GET", "/", None).await;
        assert_eq!(status, 401);
        let request = b"POST /clock HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let answer = raw::bytes(control, request).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 401 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    })
    .await;
}
