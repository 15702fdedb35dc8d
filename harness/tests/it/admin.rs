//! The administration command line over a cloud's real socket: what an administrator types, and
//! what they or their scripts read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser as _;
use postern_agent::BindName;
use postern_cloud::admin::{AdminArgs, run};
use postern_directory_mock::{Accepting, BindFault};
use postern_harness::canary::Canary;
use postern_harness::client::{ClientError, Programme};
use postern_harness::lab::{Lab, TenantPlan};
use postern_kit::telemetry::chain;
use postern_proto::wire::signin::sign_in_response::Outcome;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::world::{DOMAIN, TENANT, WRONG, call, eventually, person, plan, start, topology};

/// A directory object that nobody is.
const NOBODY: &str = "6995b085-9404-416e-8f04-0123456789ab";

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: AdminArgs,
}

/// Runs `admin` with these words: its output, or what the terminal shows instead.
pub(crate) async fn admin(lab: &Lab, words: &str) -> Result<String, String> {
    admin_at(&lab.admin_socket(), words).await
}

async fn admin_at(socket: &Path, words: &str) -> Result<String, String> {
    // After the command, where people put it.
    let line = format!("admin {words} --socket {}", socket.display());
    let Line { args } = Line::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
    let mut output = Vec::new();
    run(args, &mut output).await.map_err(|error| chain(&error))?;
    Ok(String::from_utf8(output).unwrap())
}

/// The same with `--json`: an object a line.
pub(crate) async fn admin_json(lab: &Lab, words: &str) -> Vec<Value> {
    let output = admin(lab, &format!("{words} --json")).await.unwrap();
    output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .inspect(|value: &Value| assert!(value.is_object(), "{value}"))
        .collect()
}

/// A table's rows, its heading first. Columns stand apart by two spaces at least.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let cells = |line| {
        str::split(line, "  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
    };
    table.lines().map(|line| cells(line).collect()).collect()
}

/// The value that stands beside `name` where a single thing is shown.
fn value<'a>(shown: &'a str, name: &str) -> &'a str {
    let mut pairs = shown.lines().filter_map(|line| line.split_once(' '));
    let found = pairs.find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("{name} in {shown}")).1.trim()
}

/// The directory object of one of the population.
fn object_of(lab: &Lab, at: usize) -> String {
    let (username, _) = person(at);
    let sam = username.split_once('@').unwrap().0;
    lab.tenant()
        .directory
        .directory()
        .guid_of(sam)
        .unwrap()
        .to_string()
}

async fn without_agents() -> Lab {
    start(topology(TenantPlan { agents: 0, ..plan(1) })).await
}

#[tokio::test]
async fn an_agent_that_is_revoked_is_nobody_at_once_and_what_it_vouched_for_can_be_listed() {
    let lab = start(topology(TenantPlan { agents: 2, ..plan(4) })).await;
    let programme = lab.programme(lab.tenant()).unwrap();
    for at in 0..4 {
        let (username, password) = person(at);
        assert_eq!(programme.sign_in(&username, &password).await.unwrap().code, 0);
    }
    let agents = admin_json(&lab, &format!("agent list --tenant {TENANT}")).await;
    let id = |at: usize| agents[at]["id"].as_str().unwrap().to_owned();
    let (first, second) = (id(0), id(1));
    let of = format!("--tenant {TENANT}");
    let impact = async |id: &str| {
        let all = admin_json(&lab, &format!("agent impact {id} {of} --since 1h")).await;
        all.iter()
            .map(|record| record["username"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (by_first, by_second) = (impact(&first).await, impact(&second).await);
    let mut all: Vec<_> = by_first.iter().chain(&by_second).cloned().collect();
    all.sort();
    let mut everybody: Vec<_> = (0..4).map(|at| person(at).0).collect();
    everybody.sort();
    assert_eq!(all, everybody);

    let named = admin(&lab, &format!("agent rename {first} cellar {of}"))
        .await
        .unwrap();
    assert_eq!((value(&named, "name"), value(&named, "revoked")), ("cellar", "-"));
    let early = admin(&lab, &format!("agent delete {first} {of}"))
        .await
        .unwrap_err();
    assert!(early.contains("revoke") && early.starts_with("id:"), "{early}");
    let revoked = admin(&lab, &format!("agent revoke {first} {of}")).await.unwrap();
    // By the time that the command has ended, not a second later.
    assert_eq!(value(&revoked, "connected"), "no");
    assert_ne!(value(&revoked, "revoked"), "-");
    for at in 0..4 {
        let (username, password) = person(at);
        assert_eq!(programme.sign_in(&username, &password).await.unwrap().code, 0);
    }
    assert_eq!(impact(&first).await, by_first);
    assert_eq!(impact(&second).await.len(), by_second.len() + 4);
    let shown = admin(&lab, &format!("agent show {first} {of}")).await.unwrap();
    assert_eq!(value(&shown, "fingerprint").len(), 64);

    // Nobody is left when the other one goes, and the first does not come back.
    admin(&lab, &format!("agent revoke {second} {of}")).await.unwrap();
    let (username, password) = person(0);
    let answer = programme.sign_in(&username, &password).await.unwrap();
    assert_eq!(answer.code, 80002);
    let log = admin_json(&lab, &format!("sign-in list {of} --limit 1")).await;
    assert_eq!(log[0]["code"], 80001);
    admin(&lab, &format!("agent delete {first} {of}")).await.unwrap();
    assert_eq!(admin_json(&lab, &format!("agent list {of}")).await.len(), 1);
    assert_eq!(impact(&first).await, by_first, "the log outlives it");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn everything_is_made_listed_and_deleted() {
    let lab = without_agents().await;
    let made = admin(&lab, "tenant create fabrikam --tell-locked").await.unwrap();
    assert_eq!(
        (value(&made, "name"), value(&made, "tell_locked")),
        ("fabrikam", "yes")
    );

    // What is said to make one, and the field by which it is deleted.
    let domain = ("domain", "fabrikam.example".to_owned(), "name");
    let user = (
        "user",
        format!("eve@fabrikam.example --object-id {NOBODY}"),
        "username",
    );
    let client = ("client", "Payroll".to_owned(), "id");
    let token = (
        "token",
        "--domain fabrikam.example --expires 2days".to_owned(),
        "id",
    );
    for (thing, words, _) in [&domain, &user, &client, &token] {
        let list = format!("{thing} list --tenant fabrikam");
        assert_eq!(admin(&lab, &list).await.unwrap(), "none\n", "{thing}");
        let create = format!("{thing} create {words} --tenant fabrikam");
        admin(&lab, &create).await.unwrap();
        let table = admin(&lab, &list).await.unwrap();
        let rows = rows(&table);
        assert_eq!(rows.len(), 2, "{table}");
        assert_eq!(rows[0].len(), rows[1].len(), "{table}");
        let objects = admin_json(&lab, &list).await;
        assert_eq!(objects.len(), 1, "{thing}");
        for name in &rows[0] {
            assert!(
                objects[0].get(name).is_some(),
                "{name} of {thing} in {}",
                objects[0]
            );
        }
    }
    let tenants = admin(&lab, "tenant list").await.unwrap();
    let names: Vec<_> = rows(&tenants)[1..].iter().map(|row| row[0]).collect();
    assert_eq!(names, [TENANT, "fabrikam"]);

    // The domain goes after its users.
    for (thing, _, key) in [&user, &client, &token, &domain] {
        let list = format!("{thing} list --tenant fabrikam");
        let object = &admin_json(&lab, &list).await[0];
        let key = object[key].as_str().unwrap();
        let shown = admin(&lab, &format!("{thing} delete {key} --tenant fabrikam"))
            .await
            .unwrap();
        assert_eq!((value(&shown, "deleted"), value(&shown, thing)), (*thing, key));
        assert_eq!(admin_json(&lab, &list).await, [] as [Value; 0], "{thing}");
    }
    let unsure = admin(&lab, "tenant delete fabrikam").await.unwrap_err();
    assert!(unsure.starts_with("--yes: missing"), "{unsure}");
    assert_eq!(admin_json(&lab, "tenant list").await.len(), 2);
    let deleted = admin_json(&lab, "tenant delete fabrikam --yes").await;
    assert_eq!(deleted[0]["tenant"], "fabrikam");
    assert_eq!(admin_json(&lab, "tenant list").await.len(), 1);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn errors_are_one_sentence_that_names_the_field() {
    let lab = without_agents().await;
    admin(&lab, "tenant create fabrikam").await.unwrap();
    let ((taken, _), object, long) = (person(0), object_of(&lab, 0), "x".repeat(129));
    let of_contoso = format!(
        "domain create corp..example                     > domain: expected a DNS name like corp.example.com
         domain create {DOMAIN}                          > domain: exists already
         domain delete {DOMAIN}                          > domain: still has users; delete them first
         user create eve --object-id {NOBODY}            > username: expected name@domain, at most 512 bytes
         user create eve@else.example --object-id {NOBODY} > username: expected a domain of the tenant
         user create {taken} --object-id {NOBODY}        > username: exists already
         user create eve@{DOMAIN} --object-id {object}   > object_id: exists already
         user create eve@{DOMAIN} --object-id 7          > object_id: expected a UUID like 6995b085-9404-416e-8f04-123456789abc
         user create eve@{DOMAIN} --object-id {NOBODY} --domain else.example > domain: expected a domain of the tenant
         user delete eve@{DOMAIN}                        > username: not found
         client create {long}                            > name: expected 1 to 128 bytes without control characters
         client delete {NOBODY}                          > id: not found
         token create --domain else.example              > domains: else.example is not the tenant's
         token delete {NOBODY}                           > id: not found
         sign-in list --username eve                     > username: expected name@domain, at most 512 bytes"
    );
    let others = format!(
        "tenant create Fabrikam                          > tenant: expected 1 to 63 lower-case letters, digits and inner hyphens
         tenant create {TENANT}                          > tenant: exists already
         tenant delete nobody --yes                      > tenant: not found
         user list --tenant nobody                       > tenant: not found
         domain create {DOMAIN} --tenant fabrikam        > domain: belongs to another tenant"
    );
    let of_contoso = of_contoso
        .lines()
        .map(|line| line.replace(" > ", " --tenant contoso > "));
    for line in of_contoso.chain(others.lines().map(str::to_owned)) {
        let (words, expected) = line.split_once(" > ").unwrap();
        assert_eq!(admin(&lab, words).await.unwrap_err(), expected, "{words}");
    }
    // What the parser sees is refused there, with the option's own name.
    for (words, option) in [
        (
            "token create --tenant contoso --domain corp.example.com --expires 30s",
            "--expires",
        ),
        ("sign-in list --limit 0", "--limit"),
        ("user list", "--tenant"),
    ] {
        let error = admin(&lab, words).await.unwrap_err();
        assert!(error.contains(option), "{words}: {error}");
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_socket_is_told_with_what_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("admin.sock");
    let expected = format!("cannot connect to {} (does the cloud run, ", missing.display());
    let error = admin_at(&missing, "tenant list").await.unwrap_err();
    assert!(
        error.starts_with(&expected) && error.contains("No such file"),
        "{error}"
    );
    // A file of another kind.
    std::fs::write(&missing, "").unwrap();
    let error = admin_at(&missing, "tenant list").await.unwrap_err();
    assert!(error.starts_with(&expected), "{error}");
    let Line { args } = Line::try_parse_from(["admin", "tenant", "list"]).unwrap();
    let error = run(args, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.starts_with("--socket: missing"), "{error}");
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone_and_goes_with_the_cloud() {
    let lab = without_agents().await;
    let socket = lab.admin_socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ended = lab.stop_cloud().await.unwrap();
    assert!(!socket.exists());
    drop(ended);
}

#[tokio::test]
async fn a_secret_and_a_token_are_shown_once_and_kept_nowhere() {
    let lab = without_agents().await;
    let client = admin(&lab, "client create Payroll --tenant contoso")
        .await
        .unwrap();
    let token = format!("token create --domain {DOMAIN} --tenant contoso");
    let token = admin(&lab, &token).await.unwrap();
    let (id, secret) = (value(&client, "id"), value(&client, "secret"));
    // The token's middle part is its secret; the rest is the root's fingerprint, which is public.
    let token_secret = value(&token, "token").split('.').nth(1).unwrap();
    let programme = Programme::new(lab.public(), vec![lab.page_root()], id, secret).unwrap();
    programme.sign_in(&format!("eve@{DOMAIN}"), WRONG).await.unwrap();

    let mut lists = admin(&lab, "tenant list").await.unwrap();
    for thing in ["domain", "user", "client", "token", "agent", "sign-in"] {
        for format in ["", "--json"] {
            let list = format!("{thing} list --tenant contoso {format}");
            lists += &admin(&lab, &list).await.unwrap();
        }
    }
    assert_eq!(lists.matches("Payroll").count(), 2, "{lists}");
    for secret in [secret, token_secret] {
        assert_eq!(secret.len(), 43, "256 bits in base64: {secret}");
        assert!(!lists.contains(secret), "{lists}");
        assert_eq!(Canary::new(secret).find_in_folder(lab.folder()).unwrap(), []);
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_user_and_a_client_work_until_they_are_deleted() {
    let lab = start(topology(plan(1))).await;
    let ((username, password), object) = (person(0), object_of(&lab, 0));
    let delete_user = format!("user delete {username} --tenant contoso");
    admin(&lab, &delete_user).await.unwrap();
    assert_eq!(call(&lab, &username, &password).await, Outcome::Refused);
    let create_user = format!("user create {username} --object-id {object} --tenant contoso");
    let user = admin(&lab, &create_user).await.unwrap();

    let client = admin(&lab, "client create Payroll --tenant contoso")
        .await
        .unwrap();
    let (id, secret) = (value(&client, "id"), value(&client, "secret"));
    let programme = Programme::new(lab.public(), vec![lab.page_root()], id, secret).unwrap();
    let answer = programme.sign_in(&username, &password).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::SignedIn);
    assert_eq!(answer.user_id, value(&user, "id"), "the record that was shown");

    admin(&lab, &delete_user).await.unwrap();
    let answer = programme.sign_in(&username, &password).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::Refused);
    admin(&lab, &format!("client delete {id} --tenant contoso"))
        .await
        .unwrap();
    let refused = programme.sign_in(&username, &password).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused(status) if status.code() == Code::Unauthenticated),
        "{refused:?}"
    );
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_user_of_another_on_premises_domain_signs_in_with_the_name_that_the_cloud_knows() {
    let bind_name = BindName::Upn {
        base: "DC=corp,DC=example,DC=com".to_owned(),
    };
    let lab = start(topology(TenantPlan { bind_name, ..plan(1) })).await;
    let ((on_premises, password), object) = (person(0), object_of(&lab, 0));
    admin(&lab, "domain create brand.example --tenant contoso")
        .await
        .unwrap();
    let file = lab.folder().join("users.csv");
    let text = format!(
        "username,object_id,on_premises_name,domain\n\
         ada@brand.example,{object},{on_premises},{DOMAIN}\n"
    );
    std::fs::write(&file, text).unwrap();
    let import = format!("user import {} --tenant contoso", file.display());
    let done = admin(&lab, &import).await.unwrap();
    // The same object: the record gets the new name.
    assert_eq!((value(&done, "created"), value(&done, "updated")), ("0", "1"));
    assert_eq!(
        call(&lab, "ada@brand.example", &password).await,
        Outcome::SignedIn
    );
    assert_eq!(lab.tenant().directory.journal().all()[0].name, on_premises);
    assert_eq!(call(&lab, &on_premises, &password).await, Outcome::Refused);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_list_of_agents_says_who_is_connected() {
    let mut lab = start(topology(TenantPlan { agents: 2, ..plan(1) })).await;
    let list = "agents list --tenant contoso";
    let connected = async |lab: &Lab| {
        let agents = admin_json(lab, list).await;
        let found = agents.iter().map(|agent| {
            let id = agent["id"].as_str().unwrap().to_owned();
            (id, agent["connected"] == true)
        });
        found.collect::<std::collections::BTreeMap<_, _>>()
    };
    let ids = lab.tenant().agents.iter().map(|agent| agent.id.to_string());
    let mut expected: std::collections::BTreeMap<_, _> = ids.map(|id| (id, true)).collect();
    assert_eq!(connected(&lab).await, expected);

    let stopped = lab.tenants[0].agents.remove(0);
    let id = stopped.id.to_string();
    stopped.stop().await.unwrap();
    expected.insert(id.clone(), false);
    eventually("one of two agents is not connected", async || {
        (connected(&lab).await == expected).then_some(())
    })
    .await;
    let table = admin(&lab, list).await.unwrap();
    let rows = rows(&table);
    let row = rows.iter().find(|row| row[0] == id).unwrap();
    assert_eq!((rows[0][3], row[3]), ("connected", "no"), "{table}");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_sign_in_log_says_who_was_asked_and_what_came_of_it() {
    let lab = start(topology(plan(2))).await;
    let ((ada, password), (bert, _)) = (person(0), person(1));
    let directory = &lab.tenant().directory;
    let controller = format!("localhost:{}", directory.ldaps_addr().unwrap().port());
    assert_eq!(call(&lab, &ada, &password).await, Outcome::SignedIn);
    let page = lab.browser().unwrap().sign_in(TENANT, &ada, WRONG).await.unwrap();
    assert_eq!(page.code(), Some(50126));
    assert_eq!(
        call(&lab, &format!("eve@{DOMAIN}"), WRONG).await,
        Outcome::Refused
    );
    directory.faults().set_accepting(Accepting::Close);
    directory.connections().disconnect_all(false);
    assert_eq!(call(&lab, &bert, WRONG).await, Outcome::Unavailable);

    let records = admin_json(&lab, "sign-in list --tenant contoso").await;
    let shown = |at: usize| {
        let record: &Value = &records[at];
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        format!(
            "{} {} {} {}",
            text("username"),
            text("outcome"),
            record["code"],
            text("by")
        )
    };
    // Newest first; the codes say more than what the users were told.
    assert_eq!(
        [0, 1, 2, 3].map(shown),
        [
            format!("{bert} unavailable 80001 rpc"),
            format!("@{DOMAIN} refused 50126 rpc"),
            format!("{ada} refused 50126 page"),
            format!("{ada} signed_in 0 rpc"),
        ]
    );
    let attempts = |at: usize| records[at]["details"]["attempts"].as_array().unwrap();
    assert_eq!(attempts(0)[0]["verdict"], "not_asked");
    assert_eq!(
        attempts(1).len(),
        0,
        "nobody is asked about a name that nobody has"
    );
    assert_eq!(attempts(2).len(), 1);
    let attempt = &attempts(2)[0];
    assert_eq!(attempt["agent_id"], lab.tenant().agents[0].id.to_string());
    assert_eq!(attempt["controller"], controller);
    assert_eq!(
        (&attempt["verdict"], &attempt["sub_code"]),
        (&"wrong".into(), &"52e".into())
    );

    let of_ada = format!("sign-in list --tenant contoso --username {}", ada.to_uppercase());
    let table = admin(&lab, &of_ada).await.unwrap();
    let rows = rows(&table);
    assert_eq!(rows.len(), 3, "{table}");
    let agent = lab.tenant().agents[0].id.to_string();
    let asked = |verdict: &str| format!("{}@{controller} {verdict}", &agent[..8]);
    assert!(rows[1].contains(&asked("wrong").as_str()), "{table}");
    assert!(rows[2].contains(&asked("accepted").as_str()), "{table}");
    let newest = admin_json(&lab, "sign-in list --tenant contoso --limit 1").await;
    assert_eq!(newest, records[..1]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_status_says_what_there_is_to_do_and_what_was_closed() {
    let lab = start(topology(plan(1))).await;
    let net = &lab.seams().net;
    let mut noise = net.connect("127.0.0.1", lab.agents().port()).await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = noise.read_to_end(&mut Vec::new()).await;
    lab.tenant().directory.faults().set_bind(BindFault::Hang);
    let (ada, password) = person(0);
    let waiting = call(&lab, &ada, &password);
    let looking = async {
        eventually("a sign-in under way and noise that was closed", async || {
            let status = &admin_json(&lab, "status").await[0];
            let agents = &status["listeners"][1];
            let seen = status["sign_ins_under_way"] == 1
                && agents["listener"] == "agents"
                && agents["open"] == 1
                && agents["no_handshake"] == 1;
            seen.then_some(())
        })
        .await;
        let shown = admin(&lab, "status").await.unwrap();
        assert_eq!(value(&shown, "sign_ins_under_way"), "1");
        assert_eq!(value(&shown, "sign_ins_shed"), "0");
        let (_, table) = shown.split_once("\n\n").unwrap();
        let rows = rows(table);
        assert_eq!(
            (rows[0][0], rows[1][0], rows[2][0]),
            ("listener", "public", "agents")
        );
        lab.tenant().directory.connections().disconnect_all(false);
    };
    let (outcome, ()) = tokio::join!(waiting, looking);
    assert_eq!(outcome, Outcome::Unavailable);
    lab.stop().await.unwrap();
}
