//! The part of the contract that writes: attributes, passwords, members, entries, and what a refusal
//! is told, to the letter, on the mock and on a real domain controller.

use std::collections::HashSet;

use ldap3::{Ldap, LdapResult, Mod, Scope, SearchEntry};

use crate::against_samba::{OU, PASSWORD, Target};
use crate::client::{bind, soon};
use crate::passwords;

pub(crate) const NAME: &str = "CN=t.write,OU=Fixture,DC=corp,DC=example,DC=test";
pub(crate) type Answer = (u32, String);

pub(crate) async fn check(target: &Target) {
    let (mut admin, mut alice) = (target.admin().await, target.connect().await);
    assert_eq!(bind(&mut alice, "CORP\\alice", PASSWORD).await, (0, None));
    for left in ["t.write", "t.other", "t.moved", "t.group"] {
        // Of a run that was cut short.
        let _ = soon(admin.delete(&format!("CN={left},{OU}"))).await.unwrap();
    }
    let _ = soon(admin.delete(&format!("OU=t.unit,{OU}"))).await.unwrap();
    entries(&mut admin, &mut alice).await;
    attributes(&mut admin, &mut alice).await;
    passwords::check(target, &mut admin, &mut alice).await;
    members(&mut admin, &mut alice).await;
    comparisons(target, &mut alice).await;
    for left in ["t.write", "t.group"] {
        assert_eq!(delete(&mut admin, &format!("CN={left},{OU}")).await.0, 0);
    }
}

pub(crate) fn answer(result: LdapResult) -> Answer {
    (result.rc, result.text)
}

pub(crate) fn done() -> Answer {
    (0, "00000000: Success".to_owned())
}

pub(crate) fn refused(code: u32, text: impl Into<String>) -> Answer {
    (code, text.into())
}

async fn add(ldap: &mut Ldap, dn: &str, attributes: &[(&str, &str)]) -> Answer {
    let attributes = attributes.iter();
    let attributes = attributes.map(|(name, value)| (*name, HashSet::from([*value])));
    answer(soon(ldap.add(dn, attributes.collect())).await.unwrap())
}

async fn delete(ldap: &mut Ldap, dn: &str) -> Answer {
    answer(soon(ldap.delete(dn)).await.unwrap())
}

async fn rename(ldap: &mut Ldap, dn: &str, rdn: &str, delete_old: bool, superior: Option<&str>) -> Answer {
    answer(soon(ldap.modifydn(dn, rdn, delete_old, superior)).await.unwrap())
}

pub(crate) async fn modify(ldap: &mut Ldap, dn: &str, changes: Vec<Mod<&str>>) -> Answer {
    answer(soon(ldap.modify(dn, changes)).await.unwrap())
}

pub(crate) fn replace<'a>(name: &'a str, value: &'a str) -> Mod<&'a str> {
    Mod::Replace(name, HashSet::from([value]))
}

async fn entries(admin: &mut Ldap, alice: &mut Ldap) {
    let user = |sam| [("objectClass", "user"), ("sAMAccountName", sam)];
    assert_eq!(add(admin, NAME, &user("t.write")).await, done());
    let entry = read(admin, NAME).await;
    for (name, value) in [
        ("userAccountControl", "546"),
        ("pwdLastSet", "0"),
        ("badPwdCount", "0"),
    ] {
        assert_eq!(entry.attrs[name], [value], "{name}");
    }
    let other = format!("CN=t.other,{OU}");
    refused_additions(admin, &other).await;
    let lost = format!("CN=t.other,OU=nosuch,{OU}");
    let no_parent = format!("00002030: objectclass: Cannot add {lost}, parent does not exist!");
    assert_eq!(add(admin, &lost, &user("t.other")).await, refused(32, no_parent));
    let no_access = format!("acl: unable to get access to {other}\n");
    assert_eq!(add(alice, &other, &user("t.other")).await, refused(50, no_access));
    assert_eq!(add(admin, &other, &user("t.other")).await, done());
    let unit = format!("OU=t.unit,{OU}");
    assert_eq!(
        add(admin, &unit, &[("objectClass", "organizationalUnit")]).await,
        done()
    );
    moves(admin, alice, &other, &unit).await;
}

async fn refused_additions(admin: &mut Ldap, other: &str) {
    let user = [("objectClass", "user"), ("sAMAccountName", "t.other")];
    let taken_upn = [&user[..], &[("userPrincipalName", "alice@corp.example.test")]].concat();
    let upn_in_use = "0000202F: samldb: userPrincipalName 'alice@corp.example.test' is already in use ";
    let unknown = format!("attribute 'nosuch' on entry '{other}' was not found in the schema!");
    for (dn, attributes, code, text) in [
        (NAME, user.to_vec(), 68, format!("Entry {NAME} already exists")),
        (
            other,
            vec![user[0], ("sAMAccountName", "ALICE")],
            68,
            "00002071: samldb: samAccountName 'ALICE' already in use!".to_owned(),
        ),
        (other, taken_upn, 19, upn_in_use.to_owned()),
        (
            other,
            vec![user[1]],
            65,
            format!("00002014: objectclass: Cannot add {other}, no objectclass specified!"),
        ),
        (
            other,
            vec![("objectClass", "nosuch"), user[1]],
            16,
            "0000200A: objectclass nosuch is not a valid objectClass in schema".to_owned(),
        ),
        (
            other,
            [&user[..], &[("nosuch", "1")]].concat(),
            16,
            format!("0000200A: objectclass_attrs: {unknown}"),
        ),
    ] {
        assert_eq!(add(admin, dn, &attributes).await, refused(code, text));
    }
}

async fn moves(admin: &mut Ldap, alice: &mut Ldap, other: &str, unit: &str) {
    let nosuch = format!("CN=nosuch,{OU}");
    let nowhere = format!("OU=nowhere,{OU}");
    for (dn, rdn, delete_old, superior, expected) in [
        (
            &nosuch[..],
            "CN=t.moved",
            true,
            None,
            refused(
                32,
                format!("00002030: objectclass: Cannot rename {nosuch}, entry does not exist!"),
            ),
        ),
        (
            other,
            "CN=t.write",
            true,
            None,
            refused(68, format!("Entry {NAME} already exists")),
        ),
        (
            other,
            "CN=t.moved",
            false,
            None,
            refused(53, "00002035: Unwilling to perform. Old RDN must be deleted"),
        ),
        (
            other,
            "OU=t.moved",
            true,
            None,
            refused(
                53,
                "00002035: objectclass: Invalid RDN 'OU' for objectclass 'user'!",
            ),
        ),
        (
            other,
            "CN=t.moved",
            true,
            Some(&nowhere[..]),
            refused(
                80,
                format!("00002095: objectclass: Cannot rename {other}, parent does not exist!"),
            ),
        ),
        (
            "nonsense",
            "CN=x",
            true,
            None,
            refused(32, "00002030: No such object"),
        ),
        (other, "CN=t.moved", true, Some(unit), done()),
    ] {
        assert_eq!(
            rename(admin, dn, rdn, delete_old, superior).await,
            expected,
            "{dn} {rdn}"
        );
    }
    let no_right = format!("00002098: Object {NAME} has no wp on name\n");
    assert_eq!(
        rename(alice, NAME, "CN=x", true, None).await,
        refused(50, no_right)
    );
    deletions(admin, alice, other, unit).await;
}

async fn deletions(admin: &mut Ldap, alice: &mut Ldap, other: &str, unit: &str) {
    let no_access = format!("dsdb_access: Access check failed on {OU}");
    assert_eq!(delete(alice, NAME).await, refused(50, no_access));
    let not_leaf = "00002015: subtree_delete: Unable to delete a non-leaf node (it has 1 children)!";
    assert_eq!(delete(admin, unit).await, refused(66, not_leaf));
    let gone = format!("00002030: objectclass: Cannot delete {other}, entry does not exist!");
    assert_eq!(delete(admin, other).await, refused(32, gone));
    assert_eq!(
        delete(admin, "nonsense").await,
        refused(34, "00002032: ldb_delete: invalid dn '(null)'")
    );
    assert_eq!(delete(admin, &format!("CN=t.moved,{unit}")).await, done());
    assert_eq!(delete(admin, unit).await, done());
}

async fn attributes(admin: &mut Ldap, alice: &mut Ldap) {
    for (change, expected) in values().into_iter().chain(not_writable()) {
        let what = format!("{change:?}");
        assert_eq!(modify(admin, NAME, vec![change]).await, expected, "{what}");
    }
    let nosuch = format!("CN=nosuch,{OU}");
    assert_eq!(
        modify(admin, &nosuch, vec![replace("mail", "x")]).await,
        refused(32, format!("00002030: No such Base DN: {nosuch}"))
    );
    assert_eq!(
        modify(admin, "nonsense", vec![replace("mail", "x")]).await,
        refused(34, "00002032: ldb_modify: invalid dn '(null)'")
    );
    let own = format!("CN=alice,{OU}");
    for (dn, name, may) in [
        (&own[..], "telephoneNumber", true),
        (&own, "department", false),
        (NAME, "telephoneNumber", false),
    ] {
        let no_right = format!("00002098: Object {dn} has no write property access\n");
        let expected = if may { done() } else { refused(50, no_right) };
        assert_eq!(
            modify(alice, dn, vec![replace(name, "1")]).await,
            expected,
            "{dn} {name}"
        );
    }
}

type Steps = Vec<(Mod<&'static str>, Answer)>;

/// How values come and go, one step after the other.
fn values() -> Steps {
    let once = format!("0000200D: SINGLE-VALUE attribute mail on {NAME} specified more than once");
    let one = |value| HashSet::from([value]);
    let not_there =
        format!("attribute 'mail': no matching attribute value while deleting attribute on '{NAME}'");
    let nothing = format!("attribute 'mail': no such attribute for delete on '{NAME}'");
    let empty = format!("Element mail has empty attribute in ldb message ({NAME})!");
    vec![
        (replace("mail", "a@b"), done()),
        (Mod::Add("mail", one("a@c")), refused(20, &once)),
        (
            Mod::Replace("mail", HashSet::from(["a", "b"])),
            refused(20, &once),
        ),
        (Mod::Delete("mail", one("other")), refused(16, not_there)),
        (Mod::Delete("mail", one("A@B")), done()),
        (Mod::Delete("mail", HashSet::new()), refused(16, nothing)),
        (replace("mail", ""), refused(21, empty)),
        (Mod::Add("otherTelephone", one("1")), done()),
        (Mod::Add("otherTelephone", one("2")), done()),
    ]
}

fn not_writable() -> Steps {
    let on_entry = |name: &str, what: &str| format!("attribute '{name}' on entry '{NAME}' {what}");
    let computed = "msDS-User-Account-Control-Computed";
    let rename = |what: &str| {
        let text = format!(
            "00002016: Modify of {what} on {NAME} not permitted, must use 'rename' operation instead"
        );
        refused(67, text)
    };
    let class = |text: String| refused(19, format!("0000202F: objectclass_attrs: {text}"));
    let nosuch = format!(
        "acl_modify: {}",
        on_entry("nosuch", "was not found in the schema!")
    );
    let last_set = "00000057: setup_last_set_field: pwdLastSet must be 0 or -1 only! at \
                    ../../source4/dsdb/samdb/ldb_modules/password_hash.c:2436:setup_last_set_field";
    let samldb = |code, text: &str| refused(code, text);
    let upn = "ALICE@corp.example.test";
    vec![
        (replace("nosuch", "x"), refused(16, nosuch)),
        (
            replace("objectGUID", "x"),
            class(on_entry("objectGUID", "can only be modified as system")),
        ),
        (
            replace(computed, "1"),
            class(on_entry(computed, "is constructed!")),
        ),
        (replace("cn", "x"), rename("RDN 'CN'")),
        (replace("name", "x"), rename("'name'")),
        (
            replace("objectSid", "x"),
            samldb(53, "00002035: samldb: objectSid must not be specified!"),
        ),
        (
            Mod::Delete("sAMAccountName", HashSet::new()),
            samldb(53, "00002077: samldb: 'samAccountName' can't be deleted/empty!"),
        ),
        (
            Mod::Delete("userAccountControl", HashSet::new()),
            samldb(53, "00002077: samldb: 'userAccountControl' can't be deleted!"),
        ),
        (
            replace("sAMAccountName", "alice"),
            samldb(68, "00002071: samldb: samAccountName 'alice' already in use!"),
        ),
        (
            replace("userPrincipalName", upn),
            samldb(
                19,
                "0000202F: samldb: userPrincipalName 'ALICE@corp.example.test' is already in use ",
            ),
        ),
        (replace("pwdLastSet", "5"), refused(80, last_set)),
    ]
}

async fn members(admin: &mut Ldap, alice: &mut Ldap) {
    let (group, nosuch) = (format!("CN=t.group,{OU}"), format!("CN=nosuch,{OU}"));
    let own = format!("CN=alice,{OU}");
    let attributes = [("objectClass", "group"), ("sAMAccountName", "t.group")];
    assert_eq!(add(admin, &group, &attributes).await, done());
    let member = |dn| Mod::Add("member", HashSet::from([dn]));
    assert_eq!(modify(admin, &group, vec![member(&own[..])]).await, done());
    assert!(read(admin, &own).await.attrs["memberOf"].contains(&group));
    let guid = |entry: SearchEntry| uuid::Uuid::from_slice_le(&entry.bin_attrs["objectGUID"][0]).unwrap();
    let text = format!(
        "Attribute member already exists for target GUID {}",
        guid(read(admin, &own).await)
    );
    assert_eq!(modify(admin, &group, vec![member(&own)]).await, refused(68, text));
    let text = format!(
        "Attribute member doesn't exist for target GUID {}",
        guid(read(admin, NAME).await)
    );
    let gone = Mod::Delete("member", HashSet::from([NAME]));
    assert_eq!(modify(admin, &group, vec![gone]).await, refused(53, text));
    let text = "00000525: specified dn doesn't exist at \
                ../../source4/dsdb/samdb/ldb_modules/extended_dn_store.c:160:extended_dn_handle_fpo_attr";
    assert_eq!(
        modify(admin, &group, vec![member(&nosuch)]).await,
        refused(32, text)
    );
    let no_right = "error in module acl: insufficient access rights during LDB_MODIFY (50)";
    assert_eq!(
        modify(alice, &group, vec![member(NAME)]).await,
        refused(50, no_right)
    );
    let direct = format!("(memberOf={group})");
    let chain = format!("(memberOf:1.2.840.113556.1.4.1941:={group})");
    for filter in [direct, chain, format!("(member={own})")] {
        let found = soon(alice.search(OU, Scope::Subtree, &filter, ["cn"]))
            .await
            .unwrap();
        assert!(!found.0.is_empty(), "{filter}");
    }
}

async fn comparisons(target: &Target, alice: &mut Ldap) {
    let own = format!("CN=alice,{OU}");
    let compare = async |ldap: &mut Ldap, dn: &str, name: &str, value: &str| {
        let result = soon(ldap.compare(dn, name, value)).await.unwrap().0;
        answer(result)
    };
    for (name, value, expected) in [
        ("sAMAccountName", "ALICE", 6),
        ("samaccountname", "bob", 5),
        ("objectClass", "user", 6),
        ("userAccountControl", "512", 6),
        ("nosuch", "x", 5),
        ("pager", "1", 5),
        ("unicodePwd", "x", 5),
        ("msDS-User-Account-Control-Computed", "0", 5),
    ] {
        assert_eq!(compare(alice, &own, name, value).await.0, expected, "{name}");
    }
    let nosuch = format!("CN=nosuch,{OU}");
    let missing = format!("00002030: No such Base DN: {nosuch}");
    assert_eq!(compare(alice, &nosuch, "cn", "x").await, refused(32, missing));
    let no_name = "00002032: ldb_search: invalid basedn '(null)'";
    assert_eq!(compare(alice, "nonsense", "cn", "x").await, refused(34, no_name));
    let mut nobody = target.connect().await;
    assert_eq!(
        compare(&mut nobody, &own, "cn", "alice").await.0,
        6,
        "whoever asks"
    );
}

pub(crate) async fn read(ldap: &mut Ldap, dn: &str) -> SearchEntry {
    let attributes = ["*", "msDS-User-Account-Control-Computed"];
    let found = soon(ldap.search(dn, Scope::Base, "(objectClass=*)", attributes));
    SearchEntry::construct(found.await.unwrap().0.remove(0))
}
