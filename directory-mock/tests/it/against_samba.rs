//! One contract for the mock and for a real domain controller, so that the mock cannot drift.
//!
//! The real one is a Samba AD DC with the fixture users below. It is described by environment
//! variables (`AD_LDAPS_URL`, `AD_HOSTNAME`, `AD_CA_FILE`, `AD_FIXTURE_OU`, ...); without them its
//! half is skipped, unless `POSTERN_REAL=required`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use ldap3::exop::Exop;
use ldap3::{Ldap, Mod, Scope, SearchEntry};
use postern_directory_mock::{AccountState, Directory, Server, ServerOptions, User};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use postern_kit::tls::Certificate;

use crate::client::{bind, connect, soon};
use crate::{changes, writes};

const DOMAIN: &str = "corp.example.test";
pub(crate) const BASE: &str = "DC=corp,DC=example,DC=test";
pub(crate) const OU: &str = "OU=Fixture,DC=corp,DC=example,DC=test";
pub(crate) const PASSWORD: &str = "Fixture-Passw0rd-1";
const UTF8_PASSWORD: &str = "Pässwörd-密码-🔑-1";
const OLD_PASSWORD: &str = "Old-Passw0rd-0";
const THRESHOLD: u32 = 3;
const ADMIN_DN: &str = "CN=Administrator,CN=Users,DC=corp,DC=example,DC=test";
const ADMIN_PASSWORD: &str = "Adm1n-Test-Passw0rd";

/// A directory with the fixture users.
pub(crate) struct Target {
    addr: SocketAddr,
    /// Without TLS.
    pub(crate) plain: SocketAddr,
    host: String,
    roots: Vec<Certificate>,
    admin: Admin,
}

/// Who can lift a lockout.
enum Admin {
    Mock(Server),
    Real { dn: String, password: String },
}

impl Target {
    pub(crate) async fn connect(&self) -> Ldap {
        let roots = self.roots.clone();
        let connected = connect(self.addr, &self.host, roots, LdapProtection::Ldaps);
        connected.await.unwrap()
    }

    /// A connection of the administrator.
    pub(crate) async fn admin(&self) -> Ldap {
        let (dn, password) = match &self.admin {
            Admin::Mock(_) => (ADMIN_DN, ADMIN_PASSWORD),
            Admin::Real { dn, password } => (dn.as_str(), password.as_str()),
        };
        let mut ldap = self.connect().await;
        assert_eq!(bind(&mut ldap, dn, password).await, (0, None));
        ldap
    }

    /// Other tests, or an earlier run, may have counted failures.
    async fn unlock(&self, sam: &str) {
        match &self.admin {
            Admin::Mock(server) => {
                let guid = server.directory().guid_of(sam).unwrap();
                server.directory().unlock(guid).unwrap();
            }
            Admin::Real { .. } => {
                let mut ldap = self.admin().await;
                let change = Mod::Replace("lockoutTime", HashSet::from(["0"]));
                let user = format!("CN={sam},{OU}");
                soon(ldap.modify(&user, vec![change]))
                    .await
                    .unwrap()
                    .success()
                    .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_mock_answers_as_observed() {
    let directory = Directory::builder(DOMAIN, "CORP")
        .lockout(THRESHOLD, Duration::from_secs(1800), Duration::from_secs(1800))
        .users(fixtures())
        .build();
    let server = Server::start(directory, ServerOptions::default(), &Seams::real())
        .await
        .unwrap();
    check_answers(&Target {
        addr: server.ldaps_addr().unwrap(),
        plain: server.ldap_addr().unwrap(),
        host: "localhost".to_owned(),
        roots: vec![server.ca_der().unwrap().clone()],
        admin: Admin::Mock(server),
    })
    .await;
}

#[tokio::test]
async fn a_real_domain_controller_answers_the_same() {
    let Some(target) = real_target() else {
        let required = std::env::var("POSTERN_REAL").is_ok_and(|value| value == "required");
        assert!(!required, "POSTERN_REAL=required, but AD_LDAPS_URL is not set");
        println!("skipped: AD_LDAPS_URL and the other variables of a real directory are not set");
        return;
    };
    check_answers(&target).await;
}

fn real_target() -> Option<Target> {
    let url = std::env::var("AD_LDAPS_URL").ok()?;
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set with AD_LDAPS_URL"));
    assert_eq!(var("AD_FIXTURE_OU"), OU, "the fixtures of this test");
    assert_eq!(var("AD_LOCKOUT_THRESHOLD"), THRESHOLD.to_string());
    let pem = std::fs::read(var("AD_CA_FILE")).unwrap();
    Some(Target {
        addr: url.trim_start_matches("ldaps://").parse().unwrap(),
        plain: var("AD_LDAP_URL").trim_start_matches("ldap://").parse().unwrap(),
        host: var("AD_HOSTNAME"),
        roots: postern_kit::tls::certificates_from_pem(&pem).unwrap(),
        admin: Admin::Real {
            dn: var("AD_ADMIN_DN"),
            password: var("AD_ADMIN_PASSWORD"),
        },
    })
}

fn fixtures() -> Vec<User> {
    use AccountState::{
        AccountExpired, AccountExpiresIn, Disabled, Locked, MustChange, NeverLocks, NoLogonHours,
        PasswordExpired, PasswordNeverExpires, Protected, Workstations,
    };
    let user = |sam: &str, states: &[AccountState]| {
        states
            .iter()
            .cloned()
            .fold(User::new(sam, PASSWORD), User::state)
            .container("OU=Fixture")
            .display_name(&format!("{sam} Fixture"))
    };
    vec![
        user("alice", &[]),
        user("bob", &[]),
        user("carol", &[]),
        user("svc.reader", &[PasswordNeverExpires]),
        user("u.disabled", &[Disabled]),
        user("u.acctexpired", &[AccountExpired]),
        user(
            "u.willexpire",
            &[AccountExpiresIn(Duration::from_secs(1_000_000))],
        ),
        user("u.pwexpired", &[PasswordExpired]),
        user("u.oldneverexpires", &[PasswordExpired, PasswordNeverExpires]),
        user("u.oldpw", &[]).previous_password(OLD_PASSWORD),
        user("u.mustchange", &[MustChange]),
        user("u.locked", &[Locked]),
        user("u.nolockout", &[NeverLocks]),
        user("u.logonhours", &[NoLogonHours]),
        user(
            "u.workstations",
            &[Workstations(vec!["WS1".into(), "WS2".into()])],
        ),
        user("u.protected", &[Protected]),
        user("u.disabledexpired", &[Disabled, AccountExpired]),
        user("u.disabledmustchange", &[Disabled, MustChange]),
        user("u.expiredmustchange", &[AccountExpired, MustChange]),
        user("u.hoursmustchange", &[NoLogonHours, MustChange]),
        user("u.lockeddisabled", &[Disabled, Locked]),
        user("u.lockedmustchange", &[MustChange, Locked]),
        user("u.altupn", &[]).upn("alice@alt.example.test"),
        user("u.noupn", &[]).without_upn(),
        User::new("u.utf8", UTF8_PASSWORD).container("OU=Fixture"),
        User::new("u.nopw", "").container("OU=Fixture"),
        User::new("Administrator", ADMIN_PASSWORD).administrator(),
    ]
}

/// User, answer to the right password, answer to a wrong and to an empty one.
const STATES: &[(&str, &str, &str)] = &[
    ("alice", "0", "52e"),
    ("u.disabled", "533", "52e"),
    ("u.acctexpired", "701", "52e"),
    ("u.willexpire", "0", "52e"),
    ("u.pwexpired", "532", "52e"),
    ("u.oldneverexpires", "0", "52e"),
    ("u.mustchange", "773", "52e"),
    ("u.locked", "775", "775"),
    ("u.logonhours", "530", "52e"),
    ("u.workstations", "531", "52e"),
    ("u.protected", "52f", "52f"),
    ("u.disabledexpired", "533", "52e"),
    ("u.disabledmustchange", "533", "52e"),
    ("u.expiredmustchange", "701", "52e"),
    ("u.hoursmustchange", "773", "52e"),
    ("u.lockeddisabled", "775", "775"),
    ("u.lockedmustchange", "775", "775"),
    ("u.nopw", "52e", "52e"),
    ("u.nosuch", "52e", "52e"),
];

/// What both must answer.
async fn check_answers(target: &Target) {
    for (sam, ..) in STATES {
        if !sam.contains("lock") && *sam != "u.nosuch" {
            target.unlock(sam).await;
        }
    }
    states(target).await;
    names(target).await;
    hazards(target).await;
    lockout(target).await;
    searches(target).await;
    other_operations(target).await;
    writes::check(target).await;
    changes::check(target).await;
}

async fn code(ldap: &mut Ldap, name: &str, password: &str) -> String {
    match bind(ldap, name, password).await {
        (0, None) => "0".to_owned(),
        (49, Some(data)) => data,
        other => format!("{other:?}"),
    }
}

async fn states(target: &Target) {
    let mut ldap = target.connect().await;
    for (sam, right, wrong) in STATES {
        let upn = format!("{sam}@{DOMAIN}");
        assert_eq!(code(&mut ldap, &upn, "wrong").await, *wrong, "{sam}, wrong");
        // ldap3 refuses nothing: the empty password reaches the directory.
        assert_eq!(code(&mut ldap, &upn, "").await, *wrong, "{sam}, empty");
        for name in [upn, format!("CORP\\{sam}"), format!("CN={sam},{OU}")] {
            assert_eq!(code(&mut ldap, &name, PASSWORD).await, *right, "{name}");
            if *right == "52e" {
                // One more would lock it.
                break;
            }
        }
    }
}

async fn names(target: &Target) {
    let mut ldap = target.connect().await;
    let bound = code(&mut ldap, "svc.reader@corp.example.test", PASSWORD).await;
    assert_eq!(bound, "0");
    let alice = find(&mut ldap, "(sAMAccountName=alice)").await.unwrap();
    let guid = uuid::Uuid::from_slice_le(&alice.bin_attrs["objectGUID"][0]).unwrap();
    let sid = sid_text(&alice.bin_attrs["objectSid"][0]);
    for name in [
        "alice@corp.example.test",
        "ALICE@Corp.Example.TEST",
        " alice@corp.example.test ",
        "alice @ corp.example.test",
        " CORP\\ alice ",
        "alice@CORP",
        "corp\\ALICE",
        "CN=ALICE,ou=fixture,dc=corp,DC=example,DC=test",
        "CN=alice, OU=Fixture, DC=corp, DC=example, DC=test",
        "corp.example.test/Fixture/alice",
        &format!("<GUID={guid}>"),
        &format!("<GUID={}>", hex::encode(guid.to_bytes_le())),
        &format!("<SID={sid}>"),
        &sid,
        "alice@alt.example.test",
        "u.altupn@corp.example.test",
        "u.noupn@corp.example.test",
    ] {
        assert_eq!(code(&mut ldap, name, PASSWORD).await, "0", "{name}");
    }
    for name in [
        "alice",
        "alice Fixture",
        "corp.example.test\\alice",
        ".\\alice",
        "CORP/alice",
        "CORP\\\\alice",
        &format!("{{{guid}}}"),
        "CORP\\alice@corp.example.test",
        "bob@alt.example.test",
        "alice@nowhere.test",
        "NOWHERE\\alice",
        "CN=nosuch,OU=Fixture,DC=corp,DC=example,DC=test",
    ] {
        assert_eq!(code(&mut ldap, name, PASSWORD).await, "52e", "{name}");
    }
}

async fn hazards(target: &Target) {
    let mut ldap = target.connect().await;
    let alice = "alice@corp.example.test";
    assert_eq!(code(&mut ldap, "", "").await, "0");
    assert_eq!(code(&mut ldap, "", PASSWORD).await, "52e");
    assert_eq!(code(&mut ldap, alice, &format!("{PASSWORD}\0junk")).await, "0");
    assert_eq!(code(&mut ldap, &format!("{alice}\0junk"), PASSWORD).await, "0");
    assert_eq!(
        code(&mut ldap, "u.utf8@corp.example.test", UTF8_PASSWORD).await,
        "0"
    );
    for wrong in [
        format!(" {PASSWORD}"),
        format!("{PASSWORD} "),
        PASSWORD.to_lowercase(),
        "x".repeat(100_000),
    ] {
        assert_eq!(code(&mut ldap, alice, &wrong).await, "52e");
        assert_eq!(code(&mut ldap, alice, PASSWORD).await, "0");
    }
    let old = "u.oldpw@corp.example.test";
    assert_eq!(code(&mut ldap, old, PASSWORD).await, "0");
    if matches!(target.admin, Admin::Mock(_)) {
        // On a real one only within the hour after its fixtures were made.
        assert_eq!(code(&mut ldap, old, OLD_PASSWORD).await, "0");
    }
}

async fn lockout(target: &Target) {
    let (mut reader, mut ldap) = (target.connect().await, target.connect().await);
    let bound = code(&mut reader, "svc.reader@corp.example.test", PASSWORD).await;
    assert_eq!(bound, "0");
    target.unlock("carol").await;
    let carol = "carol@corp.example.test";
    for count in 1..=THRESHOLD {
        assert_eq!(code(&mut ldap, carol, "wrong").await, "52e", "{count}");
        let entry = find(&mut reader, "(sAMAccountName=carol)").await.unwrap();
        let locked = count == THRESHOLD;
        assert_eq!(one(&entry, "badPwdCount"), count.to_string());
        let computed = one(&entry, "msDS-User-Account-Control-Computed");
        assert_eq!(computed, if locked { "16" } else { "0" });
        if locked {
            assert_eq!(one(&entry, "lockoutTime"), one(&entry, "badPasswordTime"));
        }
    }
    for password in [PASSWORD, "wrong", ""] {
        assert_eq!(code(&mut ldap, carol, password).await, "775");
    }
    let entry = find(&mut reader, "(sAMAccountName=carol)").await.unwrap();
    assert_eq!(one(&entry, "badPwdCount"), THRESHOLD.to_string());
    target.unlock("carol").await;
    assert_eq!(code(&mut ldap, carol, PASSWORD).await, "0");
    for _ in 0..=THRESHOLD {
        let name = "u.nolockout@corp.example.test";
        assert_eq!(code(&mut ldap, name, "wrong").await, "52e");
    }
    let entry = find(&mut reader, "(sAMAccountName=u.nolockout)").await.unwrap();
    assert_eq!(one(&entry, "badPwdCount"), "0");
    assert_eq!(code(&mut ldap, "CORP\\u.nolockout", PASSWORD).await, "0");
    // Only a sign-in that succeeds starts the count again.
    target.unlock("u.disabled").await;
    for (password, expected) in [("wrong", "52e"), (PASSWORD, "533")] {
        let name = "u.disabled@corp.example.test";
        assert_eq!(code(&mut ldap, name, password).await, expected);
        let entry = find(&mut reader, "(sAMAccountName=u.disabled)").await.unwrap();
        assert_eq!(one(&entry, "badPwdCount"), "1");
    }
}

async fn searches(target: &Target) {
    let mut ldap = target.connect().await;
    let root = search(&mut ldap, "", Scope::Base, "(objectClass=*)").await;
    assert_eq!(one(&root.0[0], "defaultNamingContext"), BASE);
    assert_eq!(one(&root.0[0], "dnsHostName"), "dc1.corp.example.test");
    assert_eq!(
        search(&mut ldap, BASE, Scope::Subtree, "(cn=*)").await.1,
        (
            1,
            "00002020: Operation unavailable without authentication".to_owned()
        )
    );
    assert_eq!(code(&mut ldap, "CORP\\svc.reader", PASSWORD).await, "0");
    let filter = "(userPrincipalName=ALICE@corp.example.test)";
    let by_upn = search(&mut ldap, BASE, Scope::Subtree, filter).await.0;
    // The referral to the configuration is an entry for this client.
    let users: Vec<_> = by_upn.iter().filter(|entry| !entry.dn.is_empty()).collect();
    assert_eq!(users.len(), 1);
    assert_eq!(
        users[0].dn.to_lowercase(),
        format!("cn=alice,{OU}").to_lowercase()
    );
    let guid = uuid::Uuid::from_slice_le(&users[0].bin_attrs["objectGUID"][0]).unwrap();
    let base = format!("<GUID={guid}>");
    let by_guid = search(&mut ldap, &base, Scope::Base, "(objectClass=*)").await.0;
    assert_eq!(one(&by_guid[0], "sAMAccountName"), "alice");
    for (base, scope, filter, expected) in [
        (OU, Scope::Subtree, "(sAMAccountName=u.disabled)", 1),
        (OU, Scope::OneLevel, "(&(objectClass=user)(cn=u.dis*))", 3),
        (OU, Scope::Subtree, "(|(cn=alice)(cn=bob)(cn=nosuch))", 2),
        (OU, Scope::Subtree, "(&(cn=u.locked*)(!(cn=u.locked)))", 2),
        (OU, Scope::Subtree, "(nosuchattribute=x)", 0),
        (OU, Scope::Subtree, "(objectClass=organizationalUnit)", 1),
        (
            OU,
            Scope::Subtree,
            "(&(cn=u.disabled)(userAccountControl:1.2.840.113556.1.4.803:=2))",
            1,
        ),
    ] {
        let (found, result) = search(&mut ldap, base, scope, filter).await;
        assert_eq!((found.len(), result.0), (expected, 0), "{filter}");
    }
    for (base, expected) in [("CN=nosuch,DC=corp,DC=example,DC=test", 32), ("nonsense", 34)] {
        let (_, result) = search(&mut ldap, base, Scope::Base, "(cn=*)").await;
        assert_eq!(result.0, expected, "{base}: {}", result.1);
    }
    // A failed bind leaves the connection as it was.
    assert_eq!(code(&mut ldap, "CORP\\nosuch", PASSWORD).await, "52e");
    assert!(find(&mut ldap, "(cn=alice)").await.is_some());
    // An anonymous one succeeds and makes it nobody's.
    assert_eq!(code(&mut ldap, "", "").await, "0");
    assert!(find(&mut ldap, "(cn=alice)").await.is_none());
}

async fn other_operations(target: &Target) {
    let mut ldap = target.connect().await;
    let sasl = soon(ldap.sasl_external_bind()).await.unwrap();
    let refused = "SASL: Failed to start authentication system: NT_STATUS_INVALID_PARAMETER";
    assert_eq!((sasl.rc, sasl.text.as_str()), (1, refused));
    for (oid, expected, text) in [
        (
            "1.3.6.1.4.1.4203.1.11.3",
            2,
            "Extended Operation(1.3.6.1.4.1.4203.1.11.3) not supported",
        ),
        (
            "1.3.6.1.4.1.1466.20037",
            1,
            "START-TLS: TLS is already enabled on this LDAP session",
        ),
    ] {
        let request = Exop {
            name: Some(oid.to_owned()),
            val: None,
        };
        let result = soon(ldap.extended(request)).await.unwrap().1;
        assert_eq!((result.rc, result.text.as_str()), (expected, text));
    }
}

type Found = (Vec<SearchEntry>, (u32, String));

async fn search(ldap: &mut Ldap, base: &str, scope: Scope, filter: &str) -> Found {
    let attributes = ["*", "msDS-User-Account-Control-Computed"];
    let result = soon(ldap.search(base, scope, filter, attributes)).await.unwrap();
    let entries = result
        .0
        .into_iter()
        .filter(|entry| !entry.is_ref())
        .map(SearchEntry::construct)
        .collect();
    (entries, (result.1.rc, result.1.text))
}

async fn find(ldap: &mut Ldap, filter: &str) -> Option<SearchEntry> {
    search(ldap, OU, Scope::Subtree, filter).await.0.pop()
}

fn one<'a>(entry: &'a SearchEntry, name: &str) -> &'a str {
    &entry.attrs[name][0]
}

fn sid_text(bytes: &[u8]) -> String {
    let parts = bytes[8..].chunks(4);
    let numbers = parts.map(|part| format!("-{}", u32::from_le_bytes(part.try_into().unwrap())));
    format!("S-1-5{}", numbers.collect::<String>())
}
