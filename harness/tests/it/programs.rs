//! The programs as processes: the story of an administrator from an empty folder to a user who signs
//! in, and what is said when something is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use postern_harness::canary::{Canary, files_under};
use postern_harness::client::Programme;
use postern_proto::wire::signin::sign_in_response::Outcome;
use serde_json::Value;

use crate::office::{ADA, DIRECTORY, Office, PASSWORD};
use crate::process::{POSTERN, Program, Site, Socket, lines, logged, sockets};
use crate::world::{DOMAIN, TENANT, WRONG, eventually};

#[tokio::test]
async fn an_administrator_goes_from_an_empty_folder_to_a_user_who_signs_in() {
    let office = Office::with_tenant().await;
    let site = &office.site;
    office
        .admin(&format!("user import users.csv --tenant {TENANT}"))
        .await;
    let client = &office
        .admin(&format!("client create Payroll --tenant {TENANT}"))
        .await[0];
    let (id, secret) = (client["id"].as_str().unwrap(), client["secret"].as_str().unwrap());

    // One agent by file, one by environment.
    let tokens = [token_in_a_file(&office).await, office.token().await];
    let said = site
        .must(&format!("{} --token-file token.txt", office.enrol("one")))
        .await;
    assert!(
        said.starts_with("enrolled as agent ") && said.contains(DOMAIN),
        "{said}"
    );
    let mut by_environment = site.start_with(&office.enrol("two"), &[("POSTERN_TOKEN", &tokens[1])]);
    assert_eq!(by_environment.ended().await.unwrap().code, Some(0));
    office.configure_agent("one.toml", "one");
    office.configure_agent("two.toml", "two");
    let checked = site.must("agent check --config one.toml").await;
    let [identity, cloud, forest]: [&str; 3] = checked.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(identity.starts_with("identity: agent "), "{checked}");
    assert!(
        cloud.starts_with("cloud: localhost:") && cloud.ends_with(": ok"),
        "{checked}"
    );
    assert!(
        forest.starts_with("corp: localhost:") && forest.ends_with(": ok"),
        "{checked}"
    );
    let agents = [
        office.run_agent("one.toml").await,
        office.run_agent("two.toml").await,
    ];
    office.connected(2).await;

    let browser = office.browser();
    eventually("the first sign-in", async || {
        let page = browser.sign_in(TENANT, ADA, PASSWORD).await.unwrap();
        (page.heading() == Some("Signed in")).then_some(())
    })
    .await;
    let page = browser.sign_in(TENANT, ADA, WRONG).await.unwrap();
    assert_eq!(page.code(), Some(50126));
    let programme = Programme::new(office.public, vec![office.page_root.clone()], id, secret).unwrap();
    let answer = programme.sign_in(ADA, PASSWORD).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::SignedIn);
    let log = office.admin(&format!("sign-in list --tenant {TENANT}")).await;
    let seen = log
        .iter()
        .map(|record| format!("{} {}", record["by"], record["outcome"]));
    let seen: Vec<_> = seen.map(|text| text.replace('"', "")).take(3).collect();
    assert_eq!(seen, ["rpc signed_in", "page refused", "page signed_in"]);
    assert_eq!(log[0]["request_id"], answer.request_id);

    let [one, two] = agents;
    processes_keep_to_themselves(&office, [&one, &two]);
    files_are_private(site);
    let logs = [&one, &two, &office.cloud, &office.directory]
        .map(Program::log)
        .concat();
    // Of a token the middle is the secret.
    let tokens = tokens.each_ref().map(|token| token.split('.').nth(1).unwrap());
    for secret in [PASSWORD, WRONG, secret, tokens[0], tokens[1]] {
        assert_eq!(Canary::new(secret).find("log", logs.as_bytes()), []);
    }
    let wrong: Vec<_> = lines(&logs).filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(wrong, [] as [Value; 0]);

    // In the other order than they were started.
    let site = office.close(vec![one, two]).await;
    assert!(!site.path("admin.sock").exists());
    let unreachable = site.run("agent check --config one.toml").await;
    assert_eq!(unreachable.code, Some(1));
    for of in ["cloud: localhost:", "corp: localhost:"] {
        let line = unreachable.stdout.lines().find(|line| line.starts_with(of));
        assert!(
            line.is_some_and(|line| !line.ends_with(": ok")),
            "{}",
            unreachable.stdout
        );
    }
    assert_eq!(
        unreachable.stderr,
        "error: 1 of 1 domain controllers cannot be reached\n"
    );
}

/// A token that nobody sees who looks over the administrator's shoulder: in `token.txt`.
async fn token_in_a_file(office: &Office) -> String {
    let site = &office.site;
    let create = |domain: &str, file: &str| {
        format!(
            "cloud admin --socket admin.sock token create --domain {domain} --tenant {TENANT} --out {file}"
        )
    };
    let said = site.must(&create(DOMAIN, "token.txt")).await;
    assert!(!said.contains("postern1."), "{said}");
    let path = site.path("token.txt");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&path).unwrap();

    let again = site.run(&create(DOMAIN, "token.txt")).await;
    assert!(
        again.stderr.contains("token.txt cannot be made"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), token);
    let refused = site.run(&create("elsewhere.example.com", "other.txt")).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        !site.path("other.txt").exists(),
        "nothing is left of a token that was not made"
    );
    let made = office.admin(&format!("token list --tenant {TENANT}")).await;
    assert_eq!(made.len(), 1, "{made:?}");
    token.trim().to_owned()
}

/// Agents listen nowhere, all of this stays on this machine, and nobody leaves a core dump.
fn processes_keep_to_themselves(office: &Office, agents: [&Program; 2]) {
    let all = [agents[0], agents[1], &office.cloud, &office.directory];
    for program in all {
        let limits = fs::read_to_string(format!("/proc/{}/limits", program.pid())).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(core, ["0", "0"], "{limits}");
    }
    let Some(found) = all
        .into_iter()
        .map(|program| sockets(program.pid()))
        .collect::<Option<Vec<_>>>()
    else {
        eprintln!("sockets not looked at: only root may look into these processes");
        return;
    };
    // How many it listens on: network, then Unix.
    let listening = |(sockets, unix): &(Vec<Socket>, usize)| {
        (sockets.iter().filter(|socket| socket.listens).count(), *unix)
    };
    assert_eq!(
        found.iter().map(listening).collect::<Vec<_>>(),
        [(0, 0), (0, 0), (2, 1), (1, 0)]
    );
    for (sockets, _) in &found {
        assert!(!sockets.is_empty(), "no connection was seen");
        assert!(
            sockets.iter().all(|socket| socket.local.ip().is_loopback()),
            "{sockets:?}"
        );
    }
}

/// Identities, database and keys are for their owner alone.
fn files_are_private(site: &Site) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folders = ["one", "two", "data"].map(|name| site.path(name));
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|folder| files_under(folder).unwrap())
        .collect();
    files.push(site.path("master.key"));
    assert!(files.len() > 6, "{files:?}");
    for folder in &folders {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn mistakes_in_a_configuration_are_told_all_at_once_and_nothing_is_started() {
    let site = Site::new();
    site.write(
        "cloud.toml",
        "data = 'data'\nmaster_key = 'data/master.key'\ncolour = 'blue'\n\
         [public]\nlisten = 'here'\ncertificate = 'none.crt'\nkey = 'none.key'\n\
         [agents]\nlisten = '127.0.0.1:0'\nhost_names = []\n[limits]\nbudget = 1\n",
    );
    site.write(
        "agent.toml",
        "cloud = 'localhost'\nmax_requests = 0\n[[forest]]\nname = 'corp'\n\
         domains = ['corp..example']\ncontrollers = ['dc1']\nprotection = 'none'\n",
    );
    site.write(
        "directory.toml",
        "domain = 'not a name'\n[[users]]\nname = 'ada'\nstates = ['odd']\n",
    );
    let checks: [(&str, &[&str]); 4] = [
        (
            "cloud serve --config cloud.toml",
            &[
                "master_key",
                "public.listen",
                "public.certificate",
                "public.key",
                "agents.host_names",
                "admin.socket",
                "limits.budget",
                "colour",
            ],
        ),
        ("agent run --config agent.toml", AGENT_FIELDS),
        ("agent check --config agent.toml", AGENT_FIELDS),
        (
            "directory serve --config directory.toml",
            &[
                "domain",
                "netbios",
                "listen.ldaps",
                "users[0].password",
                "users[0].states",
            ],
        ),
    ];
    for (words, fields) in checks {
        let ended = site.run(words).await;
        assert_eq!(ended.code, Some(1), "{words}: {ended:?}");
        let found: Vec<_> = ended
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .collect();
        let of: Vec<_> = found
            .iter()
            .filter_map(|line| Some(line.split_once(": ")?.0))
            .collect();
        assert_eq!(of, fields, "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "{words}");
    }
    assert_eq!(
        site.names(),
        ["agent.toml", "cloud.toml", "directory.toml"],
        "nothing was made"
    );
}

const AGENT_FIELDS: &[&str] = &[
    "state",
    "cloud",
    "max_requests",
    "forest[0].domains",
    "forest[0].controllers",
    "forest[0].protection",
    "forest[0].trust",
];

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let site = Site::new();
    fs::write(site.path("binary.toml"), [0xff, 0xfe]).unwrap();
    for program in ["cloud serve", "agent run", "agent check", "directory serve"] {
        for (file, why) in [
            ("missing.toml", "No such file"),
            ("binary.toml", "not UTF-8 text"),
        ] {
            let ended = site.run(&format!("{program} --config {file}")).await;
            assert_eq!(ended.code, Some(1), "{program}");
            let expected = ended.stderr.starts_with(&format!("error: {file} ")) && ended.stderr.contains(why);
            assert!(expected, "{program}: {}", ended.stderr);
        }
    }
    site.write("cloud.toml", "mine");
    let ended = site.run("cloud init --config cloud.toml").await;
    assert_eq!(ended.code, Some(1), "an existing file is not written over");
    assert_eq!(fs::read_to_string(site.path("cloud.toml")).unwrap(), "mine");
}

#[tokio::test]
async fn a_used_token_enrols_nobody_else_and_an_agent_without_identity_does_not_run() {
    let office = Office::with_tenant().await;
    let site = &office.site;
    site.write("token.txt", &office.token().await);
    site.must(&format!("{} --token-file token.txt", office.enrol("one")))
        .await;

    let again = site
        .run(&format!("{} --token-file token.txt", office.enrol("two")))
        .await;
    assert_eq!(again.code, Some(1));
    assert!(
        again.stderr.contains("error: the cloud refused"),
        "{}",
        again.stderr
    );
    assert!(
        again.stderr.contains("`admin token create` makes another"),
        "{}",
        again.stderr
    );
    let reasons = logged(&office.cloud.log(), "enrolment refused");
    assert!(
        reasons[0]["reason"].as_str().unwrap().contains("used"),
        "{reasons:?}"
    );
    office.configure_agent("two.toml", "two");
    let without = site.run("agent run --config two.toml").await;
    assert_eq!(without.code, Some(1));
    assert!(
        without.stderr.contains("enrol this agent first"),
        "{}",
        without.stderr
    );

    // The first one's identity is not written over by mistake, and its token is not spent by it.
    site.write("fresh.txt", &office.token().await);
    let by_mistake = site
        .run(&format!("{} --token-file fresh.txt", office.enrol("one")))
        .await;
    assert_eq!(by_mistake.code, Some(1));
    assert!(
        by_mistake.stderr.contains("holds an identity already"),
        "{}",
        by_mistake.stderr
    );
    site.must(&format!("{} --token-file fresh.txt", office.enrol("two")))
        .await;
    let neither = site.run(&office.enrol("three")).await;
    assert!(
        neither.stderr.contains("token: missing; give --token-file"),
        "{}",
        neither.stderr
    );
}

#[tokio::test]
async fn a_second_cloud_does_not_run_over_the_first_and_a_killed_one_starts_again() {
    let mut office = Office::with_tenant().await;
    let site = &office.site;
    site.write("token.txt", &office.token().await);
    site.must(&format!("{} --token-file token.txt", office.enrol("one")))
        .await;
    office.configure_agent("one.toml", "one");
    let mut agent = office.run_agent("one.toml").await;
    let object = office.object_of("ada");
    office
        .admin(&format!(
            "user create {ADA} --object-id {object} --tenant {TENANT}"
        ))
        .await;

    let second = site.run("cloud serve --config cloud.toml").await;
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("admin.socket: cannot listen on "),
        "{}",
        second.stderr
    );
    let text = fs::read_to_string(site.path("cloud.toml")).unwrap();
    site.write("second.toml", &text.replace("admin.sock", "second.sock"));
    let second = site.run("cloud serve --config second.toml").await;
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("database is used by another process"),
        "{}",
        second.stderr
    );
    let ports = text
        .replacen("127.0.0.1:0", &office.public.to_string(), 1)
        .replacen("127.0.0.1:0", &office.agents.to_string(), 1);
    site.write("cloud.toml", &ports);
    let second = site.run("cloud serve --config cloud.toml").await;
    assert_eq!(second.code, Some(1));
    let expected = format!("public.listen: cannot listen on {}", office.public);
    assert!(second.stderr.contains(&expected), "{}", second.stderr);
    office.connected(1).await;

    // Its socket lies there still, and so does what it held.
    office.cloud.kill();
    let site = &office.site;
    assert!(site.path("admin.sock").exists());
    office.cloud = site.start("cloud serve --config cloud.toml --log-json");
    office.cloud.logs("cloud runs").await.unwrap();
    agent
        .says("it is back", |_, log| logged(log, "connected").get(1).cloned())
        .await
        .unwrap();
    office.connected(1).await;
    let browser = office.browser();
    eventually("a sign-in after the crash", async || {
        let page = browser.sign_in(TENANT, ADA, PASSWORD).await.unwrap();
        (page.code() == Some(0)).then_some(())
    })
    .await;
    office.close(vec![agent]).await;
}

#[tokio::test]
async fn a_program_whose_terminal_is_gone_still_ends_when_told() {
    let site = Site::new();
    site.write("directory.toml", DIRECTORY);
    let mut directory = site.start_unread("directory serve --config directory.toml");
    let table = |output: &str, _: &str| output.contains("ada@").then_some(());
    directory.says("its users", table).await.unwrap();
    assert_eq!(directory.terminate().await.unwrap().code, Some(0));
}

#[test]
fn load_measures_each_process_and_says_what_came_of_it() {
    let arguments = "load sign-in --rate 20 --duration 1s --warm-up 0s --users 50 --wrong 50 --json";
    let ran = Command::new(POSTERN).args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(
        ran.status.success(),
        "{said} {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let report: Value = serde_json::from_str(&said).unwrap();
    let outcomes = &report["outcomes"];
    let counted = ["signed in", "refused"].map(|outcome| outcomes[outcome].as_u64().unwrap_or(0));
    assert_eq!(counted.iter().sum::<u64>(), 20, "{said}");
    assert!(counted[1] > 0, "{said}");
    assert!(report["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{said}");
    let processes = report["processes"].as_array().unwrap();
    let names: Vec<_> = processes
        .iter()
        .map(|one| one["process"].as_str().unwrap())
        .collect();
    for name in ["cloud", "directory", "agent-1", "agent-2", "agent-3"] {
        assert!(names.contains(&name), "{said}");
    }
    assert!(
        processes
            .iter()
            .all(|one| one["peak_bytes"].as_u64().unwrap() > 1_000_000),
        "{said}"
    );
}

#[test]
fn load_compares_directories_by_what_a_bind_costs_them() {
    let arguments = "load directories --connections 2 --duration 1s --users 20 --json";
    let ran = Command::new(POSTERN)
        .args(arguments.split(' '))
        .env_remove("SLAPD_LDAP_URL")
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said} {told}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let rates = report["rates"].as_array().unwrap();
    let transports: Vec<_> = rates.iter().map(|rate| rate["transport"].as_str()).collect();
    assert_eq!(transports, [Some("plain"), Some("TLS")], "{said}");
    for rate in rates {
        assert!(
            rate["binds"].as_u64().unwrap() > 0 && rate["cpu_s"].as_f64().unwrap() > 0.0,
            "{said}"
        );
    }
}
