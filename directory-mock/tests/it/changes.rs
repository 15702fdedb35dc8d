//! The part of the contract about what is around and after a domain's objects: other naming contexts, names
//! of other domains, limits, and the changes that the DirSync control tells.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ldap3::controls::RawControl;
use ldap3::{Ldap, Mod, Scope, SearchEntry, SearchOptions};

use crate::against_samba::{BASE, OU, PASSWORD, Target};
use crate::client::{bind, soon};
use crate::raw;

const FOREIGN: &str = "CN=x,DC=lab,DC=test";
const DIR_SYNC: &str = "1.2.840.113556.1.4.841";
const OBJECT_SECURITY: u8 = 1;

pub(crate) async fn check(target: &Target) {
    contexts(target).await;
    names_of_others(target).await;
    unreadable(target).await;
    follows(target).await;
    refuses(target).await;
}

async fn entries(ldap: &mut Ldap, base: &str, filter: &str, attributes: &[&str]) -> Vec<SearchEntry> {
    let found = soon(ldap.search(base, Scope::Subtree, filter, attributes)).await;
    let entries = found.unwrap().success().unwrap().0.into_iter();
    entries
        .filter(|entry| !entry.is_ref())
        .map(SearchEntry::construct)
        .collect()
}

async fn contexts(target: &Target) {
    let mut ldap = target.admin().await;
    let partitions = format!("CN=Partitions,CN=Configuration,{BASE}");
    let wanted = ["cn", "nCName", "dnsRoot", "systemFlags", "nETBIOSName"];
    let found = entries(&mut ldap, &partitions, "(objectClass=crossRef)", &wanted).await;
    // Not those of a name server, which a domain may have or not.
    let of_names = |entry: &&SearchEntry| {
        entry.attrs["nCName"]
            .iter()
            .any(|name| name.contains("DnsZones,"))
    };
    let found: BTreeSet<_> = found
        .iter()
        .filter(|entry| !of_names(entry))
        .map(|entry| {
            wanted.map(|name| {
                entry
                    .attrs
                    .get(name)
                    .map_or(String::new(), |values| values[0].clone())
            })
        })
        .collect();
    let configuration = format!("CN=Configuration,{BASE}");
    let schema = format!("CN=Schema,{configuration}");
    let dns = "corp.example.test";
    let expected = [
        ["CORP", BASE, dns, "3", "CORP"],
        ["Enterprise Configuration", &configuration, dns, "1", ""],
        ["Enterprise Schema", &schema, dns, "1", ""],
    ];
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)).into());
    let system = format!("CN=System,{BASE}");
    let trusts = entries(&mut ldap, &system, "(objectClass=trustedDomain)", &["cn"]).await;
    assert_eq!(trusts.len(), 0);
    // A limit that is not reached changes nothing.
    let limited = ldap.with_search_options(SearchOptions::new().timelimit(5));
    assert_eq!(entries(limited, OU, "(cn=alice)", &["cn"]).await.len(), 1);
}

/// What it says without the place in the source, which differs from release to release.
fn said(result: &ldap3::LdapResult) -> (u32, &str) {
    let text = result.text.split(" at ../../").next();
    (result.rc, text.unwrap_or_default())
}

async fn names_of_others(target: &Target) {
    let mut ldap = target.admin().await;
    let missing = "acl_read: Error retrieving instanceType for base.";
    for base in [FOREIGN, "DC=lab,DC=test", "DC=test"] {
        let found = soon(ldap.search(base, Scope::Base, "(cn=*)", ["cn"]))
            .await
            .unwrap()
            .1;
        assert_eq!(said(&found), (32, missing), "{base}");
        assert_eq!(found.refs, Vec::<String>::new());
    }
    let no_base = format!("00002030: No such Base DN: {FOREIGN}");
    let change = vec![Mod::Replace("displayName", HashSet::from(["x"]))];
    let modified = soon(ldap.modify(FOREIGN, change)).await.unwrap();
    assert_eq!(said(&modified), (32, no_base.as_str()));
    let compared = soon(ldap.compare(FOREIGN, "cn", "x")).await.unwrap().0;
    assert_eq!(said(&compared), (32, no_base.as_str()));
    let deleted = soon(ldap.delete(FOREIGN)).await.unwrap();
    let text = format!("00002030: objectclass: Cannot delete {FOREIGN}, entry does not exist!");
    assert_eq!(said(&deleted), (32, text.as_str()));
    let attributes = vec![("objectClass", HashSet::from(["user"]))];
    let added = soon(ldap.add(FOREIGN, attributes)).await.unwrap();
    let text = format!("00002030: objectclass: Cannot add {FOREIGN}, parent does not exist!");
    assert_eq!(said(&added), (32, text.as_str()));
    let renamed = soon(ldap.modifydn(FOREIGN, "CN=y", true, None)).await.unwrap();
    let text = format!("00002095: objectclass: Cannot rename {FOREIGN}, parent does not exist!");
    assert_eq!(said(&renamed), (80, text.as_str()));
}

/// What is no LDAP ends its connection without a word, and no other.
async fn unreadable(target: &Target) {
    let mut ldap = target.admin().await;
    let page = format!("GET / HTTP/1.1\r\nUser-Agent: {}\r\n\r\n", "x".repeat(100));
    assert_eq!(raw::bytes(target.plain, page.as_bytes()).await, b"");
    assert_eq!(entries(&mut ldap, OU, "(cn=alice)", &["cn"]).await.len(), 1);
}

/// An answer to a search with the control: entries, the result code and the new cookie.
type Synced = (Vec<SearchEntry>, (u32, String), Vec<u8>);

async fn sync(ldap: &mut Ldap, base: &str, flags: u8, cookie: &[u8], attributes: &[&str]) -> Synced {
    let mut value = vec![2, 1, flags, 2, 1, 0, 4, u8::try_from(cookie.len()).unwrap()];
    value.extend(cookie);
    let mut control = vec![0x30, u8::try_from(value.len()).unwrap()];
    control.extend(value);
    let control = RawControl {
        ctype: DIR_SYNC.to_owned(),
        crit: true,
        val: Some(control),
    };
    let ldap = ldap.with_controls(vec![control]);
    let found = ldap.search(base, Scope::Subtree, "(sAMAccountName=u.sync*)", attributes);
    let ldap3::SearchResult(found, result) = soon(found).await.unwrap();
    let back = result.ctrls.iter().find(|control| control.1.ctype == DIR_SYNC);
    let value = back.and_then(|control| control.1.val.clone()).unwrap_or_default();
    let entries = found.into_iter().map(SearchEntry::construct).collect();
    let cookie = value[value.len().saturating_sub(108)..].to_vec();
    let text = said(&result).1.to_owned();
    (entries, (result.rc, text), cookie)
}

/// The attributes of an entry with the number of their values.
fn told(entry: &SearchEntry) -> BTreeMap<&str, usize> {
    let texts = entry
        .attrs
        .iter()
        .map(|(name, values)| (name.as_str(), values.len()));
    let bytes = entry
        .bin_attrs
        .iter()
        .map(|(name, values)| (name.as_str(), values.len()));
    texts.chain(bytes).collect()
}

async fn follows(target: &Target) {
    let mut ldap = target.admin().await;
    let dn = format!("CN=u.sync,{OU}");
    let mut cookie = sync(&mut ldap, BASE, 0, b"", &[]).await.2;
    assert!(cookie.len() == 108 && cookie.starts_with(b"MSDS\x03\0\0\0"));
    let class = HashSet::from(["user"]);
    let attributes = vec![
        ("objectClass", class),
        ("sAMAccountName", HashSet::from(["u.sync"])),
    ];
    soon(ldap.add(&dn, attributes)).await.unwrap().success().unwrap();
    let entry = changed(&mut ldap, &mut cookie).await;
    let names = told(&entry);
    for name in [
        "sAMAccountName",
        "objectGUID",
        "parentGUID",
        "name",
        "instanceType",
    ] {
        assert_eq!(names.get(name), Some(&1), "{name} of a new object: {names:?}");
    }
    for name in ["cn", "badPwdCount", "distinguishedName", "memberOf", "uSNChanged"] {
        assert_eq!(names.get(name), None, "{name} of a new object");
    }

    let set = |name, value| Mod::Replace(name, HashSet::from([value]));
    let changes = vec![set("displayName", "Sync"), set("mail", "s@x")];
    soon(ldap.modify(&dn, changes)).await.unwrap().success().unwrap();
    check_told(&mut ldap, &mut cookie, &[("displayName", 1), ("mail", 1)]).await;

    let gone = vec![Mod::Replace("mail", HashSet::new())];
    soon(ldap.modify(&dn, gone)).await.unwrap().success().unwrap();
    let before = cookie.clone();
    assert!(
        sync(&mut ldap, BASE, 0, &before, &["displayName"])
            .await
            .0
            .is_empty()
    );
    let asked = sync(&mut ldap, BASE, 0, &before, &["mail"]).await.0;
    assert_eq!(told(&asked[0])["mail"], 0);
    check_told(&mut ldap, &mut cookie, &[("mail", 0)]).await;

    let quoted = format!("\"{PASSWORD}\"");
    let value: Vec<u8> = quoted.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let reset = vec![Mod::Replace(b"unicodePwd".to_vec(), HashSet::from([value]))];
    soon(ldap.modify(&dn, reset)).await.unwrap().success().unwrap();
    let secrets = [
        ("pwdLastSet", 1),
        ("dBCSPwd", 0),
        ("unicodePwd", 0),
        ("ntPwdHistory", 0),
        ("supplementalCredentials", 0),
        ("lmPwdHistory", 0),
    ];
    check_told(&mut ldap, &mut cookie, &secrets).await;

    soon(ldap.modifydn(&dn, "CN=u.synced", true, None))
        .await
        .unwrap()
        .success()
        .unwrap();
    check_told(&mut ldap, &mut cookie, &[("parentGUID", 1), ("name", 1)]).await;

    let dn = format!("CN=u.synced,{OU}");
    soon(ldap.delete(&dn)).await.unwrap().success().unwrap();
    let entry = changed(&mut ldap, &mut cookie).await;
    let names = told(&entry);
    for name in ["isDeleted", "isRecycled", "lastKnownParent", "name", "parentGUID"] {
        assert_eq!(names.get(name), Some(&1), "{name} of a deleted object: {names:?}");
    }
    for name in ["pwdLastSet", "accountExpires", "sAMAccountType", "objectCategory"] {
        assert_eq!(names.get(name), Some(&0), "{name} of a deleted object: {names:?}");
    }
    assert!(entry.dn.contains("\\0ADEL:"), "{}", entry.dn);
    assert!(sync(&mut ldap, BASE, 0, &cookie, &[]).await.0.is_empty());
}

/// The one entry that changed.
async fn changed(ldap: &mut Ldap, cookie: &mut Vec<u8>) -> SearchEntry {
    let (mut entries, result, after) = sync(ldap, BASE, 0, cookie, &[]).await;
    assert_eq!((entries.len(), result.0), (1, 0), "{entries:?}");
    *cookie = after;
    entries.remove(0)
}

async fn check_told(ldap: &mut Ldap, cookie: &mut Vec<u8>, expected: &[(&str, usize)]) {
    let entry = changed(ldap, cookie).await;
    let always = [("objectGUID", 1), ("instanceType", 1)];
    let expected: BTreeMap<_, _> = expected.iter().copied().chain(always).collect();
    assert_eq!(told(&entry), expected);
}

async fn refuses(target: &Target) {
    let mut ldap = target.admin().await;
    let mut user = target.connect().await;
    assert_eq!(bind(&mut user, "CORP\\svc.reader", PASSWORD).await, (0, None));
    let junk: &[u8] = b"junk";
    let no_context = "DN is not one of the naming context";
    let denied = "error in module dirsync: insufficient access rights during LDB_SEARCH (50)";
    let unread = "0000202C: Unable to unmarshall cookie as a ldapControlDirSyncCookie structure";
    for (is_user, base, flags, cookie, expected) in [
        (
            false,
            OU,
            0,
            b"".as_slice(),
            (50, "dN is not one of the naming context"),
        ),
        (false, OU, OBJECT_SECURITY, b"", (53, no_context)),
        (
            false,
            "DC=lab,DC=test",
            0,
            b"",
            (32, "dsdb_find_nc_root_string_based"),
        ),
        (false, BASE, 0, junk, (12, unread)),
        (true, BASE, 0, b"", (50, denied)),
        (true, BASE, OBJECT_SECURITY, b"", (0, "")),
    ] {
        let ldap = if is_user { &mut user } else { &mut ldap };
        let result = sync(ldap, base, flags, cookie, &[]).await.1;
        assert_eq!((result.0, result.1.as_str()), expected, "{base} {flags}");
    }
}
