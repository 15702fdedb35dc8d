//! OpenLDAP's command line tools against the directory, in both flavours, over plain LDAP, StartTLS and
//! LDAPS. Where they are not installed the test says so, unless `POSTERN_TOOLS` or `POSTERN_REAL` is `required`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use postern_directory_mock::{Directory, Flavour, Server, ServerOptions, User};
use postern_kit::Seams;

const BASE: &str = "DC=corp,DC=example,DC=test";
const ADMIN: &str = "CORP\\root";
const ADMIN_PASSWORD: &str = "Root-Passw0rd-1";
const PASSWORD: &str = "First-Passw0rd-1";
const USERS: usize = 5;

/// How a tool reaches the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    StartTls,
    Ldaps,
}

/// A directory and what the tools need to reach it.
struct Target {
    server: Server,
    way: Way,
    root: tempfile::NamedTempFile,
}

impl Target {
    async fn new(flavour: Flavour, way: Way) -> Self {
        let users = (0..USERS).map(|at| User::new(&format!("user{at}"), PASSWORD).container("OU=Staff"));
        let directory = Directory::builder("corp.example.test", "CORP")
            .user(User::new("root", ADMIN_PASSWORD).administrator())
            .users(users)
            .build();
        let options = ServerOptions {
            flavour,
            ..ServerOptions::default()
        };
        let server = Server::start(directory, options, &Seams::real()).await.unwrap();
        let mut root = tempfile::NamedTempFile::new().unwrap();
        root.write_all(server.ca_pem().unwrap().as_bytes()).unwrap();
        Self { server, way, root }
    }

    /// Runs a tool bound as `name`: exit code, and all that it printed.
    async fn run(&self, tool: &str, name: &str, password: &str, rest: &[&str], input: &str) -> (i32, String) {
        let (scheme, addr) = match self.way {
            Way::Plain | Way::StartTls => ("ldap", self.server.ldap_addr()),
            Way::Ldaps => ("ldaps", self.server.ldaps_addr()),
        };
        let mut command = Command::new("timeout");
        command
            .args(["20", tool, "-x", "-D", name, "-w", password, "-H"])
            .arg(format!("{scheme}://{}", addr.unwrap()))
            .env("LDAPTLS_CACERT", self.root.path())
            .env("LDAPCONF", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.way == Way::StartTls {
            command.arg("-ZZ");
        }
        command.args(rest);
        let input = input.to_owned();
        // The tool blocks, the directory needs this thread meanwhile.
        let output = tokio::task::spawn_blocking(move || output(&mut command, &input)).await;
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code().unwrap(), text)
    }

    async fn admin(&self, tool: &str, rest: &[&str], input: &str) -> (i32, String) {
        self.run(tool, ADMIN, ADMIN_PASSWORD, rest, input).await
    }

    async fn search(&self, rest: &[&str]) -> String {
        let rest = [&["-LLL", "-o", "ldif-wrap=no"], rest].concat();
        let (code, text) = self.admin("ldapsearch", &rest, "").await;
        assert_eq!(code, 0, "{rest:?}: {text}");
        text
    }
}

fn output(command: &mut Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Whether the tools are here; without them the test ends.
fn are_installed() -> bool {
    let there = Command::new("ldapsearch").arg("-VV").output().is_ok();
    let is_required = |name| std::env::var(name).is_ok_and(|value| value == "required");
    let required = is_required("POSTERN_TOOLS") || is_required("POSTERN_REAL");
    assert!(
        there || !required,
        "the tools are required, but ldap-utils are not installed"
    );
    if !there {
        println!("skipped: ldap-utils are not installed");
    }
    there
}

#[tokio::test]
async fn openldaps_tools_work_in_both_flavours_over_every_transport() {
    if !are_installed() {
        return;
    }
    for flavour in [Flavour::Samba, Flavour::Windows] {
        for way in [Way::Plain, Way::StartTls, Way::Ldaps] {
            let target = Target::new(flavour, way).await;
            searches(&target).await;
            compares(&target).await;
            extended(&target, flavour).await;
            sets_passwords(&target, flavour).await;
            writes(&target).await;
        }
    }
}

async fn searches(target: &Target) {
    let staff = format!("OU=Staff,{BASE}");
    let lines = |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    let all = ["-b", &staff, "(objectClass=user)", "cn"];
    assert_eq!(lines(&target.search(&all).await, "cn: "), USERS);
    let paged = target
        .search(&[&["-E", "!pr=2/noprompt"], &all[..]].concat())
        .await;
    assert_eq!(lines(&paged, "cn: "), USERS, "{paged}");
    assert_eq!(lines(&paged, "# pagedresults: "), USERS.div_ceil(2), "{paged}");
    let sorted = target.search(&[&["-E", "!sss=-cn"], &all[..]].concat()).await;
    let names: Vec<_> = sorted
        .lines()
        .filter_map(|line| line.strip_prefix("cn: "))
        .collect();
    assert_eq!(names, ["user4", "user3", "user2", "user1", "user0"]);
    let types = target
        .search(&["-A", "-b", &staff, "(cn=user1)", "cn", "mail"])
        .await;
    assert!(types.contains("\ncn:\n") && !types.contains("mail"), "{types}");
    let none = target.search(&["-b", &staff, "(cn=user1)", "1.1"]).await;
    assert_eq!(none.trim(), format!("dn: CN=user1,{staff}"));
    let schema = format!("CN=Aggregate,CN=Schema,CN=Configuration,{BASE}");
    let schema = target
        .search(&["-b", &schema, "-s", "base", "attributeTypes", "objectClasses"])
        .await;
    assert!(schema.contains("NAME 'unicodePwd'") && schema.contains("NAME 'user'"));
    for (filter, expected) in [
        ("(cn>=user3)", 2),
        ("(cn<=user1)", 2),
        ("(anr=user2)", 1),
        ("(cn=us*r*3)", 1),
        ("(|(cn=user1)(!(cn=user*)))", 1),
        ("(userAccountControl:1.2.840.113556.1.4.804:=514)", 5),
        ("(cn:1.2.3.4:=user1)", 0),
    ] {
        let found = target
            .search(&["-b", &staff, &format!("(&(objectClass=user){filter})"), "cn"])
            .await;
        assert_eq!(lines(&found, "cn: "), expected, "{filter}: {found}");
    }
    let (code, text) = target
        .run("ldapsearch", "CORP\\user1", "wrong", &["-b", &staff], "")
        .await;
    assert_eq!(code, 49, "{text}");
}

async fn compares(target: &Target) {
    let dn = format!("CN=user1,OU=Staff,{BASE}");
    for (assertion, expected) in [("cn:USER1", 6), ("cn:user2", 5), ("mail:x", 5)] {
        let (code, text) = target.admin("ldapcompare", &[&dn, assertion], "").await;
        assert_eq!(code, expected, "{assertion}: {text}");
    }
}

async fn extended(target: &Target, flavour: Flavour) {
    let (code, text) = target.run("ldapwhoami", "CORP\\user1", PASSWORD, &[], "").await;
    match flavour {
        Flavour::Windows => assert_eq!((code, text.trim()), (0, "u:CORP\\user1")),
        Flavour::Samba => assert!(code != 0 && text.contains("Protocol error (2)"), "{text}"),
    }
    let rest = ["-s", "Second-Passw0rd-2"];
    let (code, text) = target.run("ldappasswd", "CORP\\user1", PASSWORD, &rest, "").await;
    assert!(code != 0 && text.contains("Protocol error (2)"), "{text}");
}

async fn sets_passwords(target: &Target, flavour: Flavour) {
    let dn = format!("CN=user2,OU=Staff,{BASE}");
    let value = "\"Second-Passw0rd-2\"".encode_utf16();
    let value = value.flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    let reset = format!("dn: {dn}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: {value}\n");
    let (code, text) = target.admin("ldapmodify", &[], &reset).await;
    let clear = flavour == Flavour::Windows && target.way == Way::Plain;
    let (expected, password) = if clear {
        (53, PASSWORD)
    } else {
        (0, "Second-Passw0rd-2")
    };
    assert_eq!(code, expected, "{text}");
    let rest = ["-s", "base", "-b", ""];
    let (code, text) = target.run("ldapsearch", "CORP\\user2", password, &rest, "").await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = target
        .run("ldapmodify", "CORP\\user1", PASSWORD, &[], &reset)
        .await;
    assert_eq!(code, 50, "{text}");
}

async fn writes(target: &Target) {
    let staff = format!("OU=Staff,{BASE}");
    let new = format!("dn: CN=new,{staff}\nobjectClass: user\nsAMAccountName: new\nmail: new@x\n");
    let (code, text) = target.admin("ldapadd", &[], &new).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = target.admin("ldapadd", &[], &new).await;
    assert_eq!(code, 68, "{text}");
    let dn = format!("CN=new,{staff}");
    let (code, text) = target.admin("ldapmodrdn", &["-r", &dn, "CN=newer"], "").await;
    assert_eq!(code, 0, "{text}");
    let dn = format!("CN=newer,{staff}");
    let more = format!(
        "dn: {dn}\nchangetype: modify\nreplace: description\ndescription: changed\n-\nadd: mobile\nmobile: +1 555\n"
    );
    let (code, text) = target.admin("ldapmodify", &[], &more).await;
    assert_eq!(code, 0, "{text}");
    for assertion in ["description:changed", "mobile:+1 555"] {
        let (code, text) = target.admin("ldapcompare", &[&dn, assertion], "").await;
        assert_eq!(code, 6, "{assertion}: {text}");
    }
    assert!(target.search(&["-b", &dn, "mail"]).await.contains("mail: new@x"));
    let (code, text) = target.admin("ldapdelete", &[&dn], "").await;
    assert_eq!(code, 0, "{text}");
    let gone = target.search(&["-b", BASE, "(sAMAccountName=new)", "1.1"]).await;
    assert!(!gone.contains("dn: "), "{gone}");
    let rest = [
        "-e",
        "!1.2.840.113556.1.4.417",
        "-b",
        BASE,
        "(sAMAccountName=new)",
        "lastKnownParent",
    ];
    let deleted = target.search(&rest).await;
    assert!(
        deleted.contains(&format!("lastKnownParent: {staff}")),
        "{deleted}"
    );
}
