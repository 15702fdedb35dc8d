//! What cannot be seen from outside, or only with effort: a refused request leaves everything as it was.

use std::time::Duration;

use super::*;
use crate::model::{Directory, User};

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);
const BASE: &str = "DC=corp,DC=example,DC=test";

fn domain() -> Domain {
    let description = Directory::builder("corp.example.test", "CORP")
        .lockout(3, Duration::from_secs(1800), Duration::from_secs(1800))
        .user(User::new("root", "Root-Passw0rd").administrator())
        .user(User::new("alice", "First-Passw0rd"))
        .group("staff", "CN=Users", &["alice"])
        .build();
    description.domain(NOW).unwrap()
}

fn writer(domain: &Domain, sam: &str) -> Writer<'static> {
    Writer {
        flavour: Flavour::Samba,
        host: "dc1",
        now: NOW,
        identity: domain.by_sam(sam).map(|account| account.guid),
        encrypted: true,
        with_history: false,
    }
}

fn change(kind: ChangeKind, attribute: &str, value: &[u8]) -> Change {
    Change {
        kind,
        attribute: attribute.to_owned(),
        values: vec![Zeroizing::new(value.to_vec())],
    }
}

fn quoted(password: &str) -> Vec<u8> {
    let text = format!("\"{password}\"");
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn shown(domain: &Domain) -> String {
    let accounts = domain
        .accounts()
        .map(|a| (&a.sam, &a.upn, &a.extra, &a.counters, a.password.plaintext()));
    let groups = domain.groups().map(|g| (&g.sam, &g.members));
    format!(
        "{:?} {:?}",
        accounts.collect::<Vec<_>>(),
        groups.collect::<Vec<_>>()
    )
}

#[test]
fn a_refused_request_changes_nothing() {
    let mut domain = domain();
    let alice = format!("CN=alice,CN=Users,{BASE}");
    let before = shown(&domain);
    let root = writer(&domain, "root");
    let mail = || change(ChangeKind::Replace, "mail", b"a@b");
    for second in [
        change(ChangeKind::Replace, "nosuch", b"x"),
        change(ChangeKind::Replace, "sAMAccountName", b"ROOT"),
        change(ChangeKind::Replace, "pwdLastSet", b"5"),
        change(ChangeKind::Replace, "unicodePwd", &quoted("short")),
        change(ChangeKind::Replace, "mail", b""),
    ] {
        assert!(
            modify(&mut domain, &root, &alice, &[mail(), second.clone()]).is_err(),
            "{second:?}"
        );
        assert_eq!(shown(&domain), before, "{second:?}");
    }
    let weak = [
        ("objectClass".to_owned(), vec![Zeroizing::new(b"user".to_vec())]),
        ("unicodePwd".to_owned(), vec![Zeroizing::new(quoted("weak"))]),
    ];
    let new = format!("CN=new,CN=Users,{BASE}");
    assert_eq!(add(&mut domain, &root, &new, &weak).unwrap_err().code, 19);
    assert_eq!(shown(&domain), before);
    assert!(modify(&mut domain, &root, &alice, &[mail()]).is_ok());
    assert_ne!(shown(&domain), before);
}

#[test]
fn only_administrators_and_owners_write() {
    let mut domain = domain();
    let (alice, root) = (
        format!("CN=alice,CN=Users,{BASE}"),
        format!("CN=root,CN=Users,{BASE}"),
    );
    let as_alice = writer(&domain, "alice");
    let mut code = |writer: &Writer<'_>, dn: &str, change: Change| {
        modify(&mut domain, writer, dn, &[change]).map_or_else(|refused| refused.code, |()| 0)
    };
    let phone = || change(ChangeKind::Replace, "telephoneNumber", b"1");
    assert_eq!(code(&as_alice, &alice, phone()), 0);
    assert_eq!(code(&as_alice, &root, phone()), 50);
    assert_eq!(
        code(&as_alice, &alice, change(ChangeKind::Replace, "department", b"x")),
        50
    );
    let reset = || change(ChangeKind::Replace, "unicodePwd", &quoted("Second-Passw0rd"));
    assert_eq!(code(&as_alice, &alice, reset()), 50);
    let group = format!("CN=staff,CN=Users,{BASE}");
    let member = change(ChangeKind::Delete, "member", alice.as_bytes());
    assert_eq!(code(&as_alice, &group, member), 50);
    let nobody = Writer {
        identity: None,
        ..as_alice
    };
    assert_eq!(code(&nobody, &alice, phone()), 1);
}

#[test]
fn windows_takes_passwords_over_encrypted_connections_only() {
    let mut domain = domain();
    let alice = format!("CN=alice,CN=Users,{BASE}");
    for (flavour, encrypted, expected) in [
        (Flavour::Samba, false, 0),
        (Flavour::Windows, false, 53),
        (Flavour::Windows, true, 0),
    ] {
        let writer = Writer {
            flavour,
            encrypted,
            ..writer(&domain, "root")
        };
        let reset = change(ChangeKind::Replace, "unicodePwd", &quoted("Second-Passw0rd"));
        let written = modify(&mut domain, &writer, &alice, &[reset]);
        let code = written.as_ref().map_or_else(|refused| refused.code, |()| 0);
        assert_eq!(code, expected, "{flavour:?}");
        if let Err(refused) = written {
            assert!(refused.text(flavour).starts_with("0000001F: SvcErr:"));
        }
    }
}

#[test]
fn nothing_of_a_value_prints() {
    let change = change(ChangeKind::Replace, "unicodePwd", &quoted("canary-Passw0rd"));
    assert_eq!(format!("{change:?}"), "Replace unicodePwd (1 values)");
}
