//! A domain as LDIF: what a search shows of it, and on demand the passwords in `unicodePwd`, as Active Directory takes
//! them.

use std::collections::BTreeMap;

use ldap3_proto::proto::LdapSearchResultEntry;
use postern_kit::clock::Timestamp;
use zeroize::Zeroizing;

use super::text::{write_record, write_version};
use super::{ADMINISTRATORS, NEVER_LOCKS, PROTECTED, is_left_out};
use crate::model::{Account, Domain, normal_dn};
use crate::wire::dump;

/// The whole domain at `now`. Former passwords, and what controllers other than the PDC emulator count, are not in it.
pub(crate) fn export(domain: &Domain, now: Timestamp, with_passwords: bool) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::new());
    write_version(&mut out);
    let passwords: BTreeMap<String, &Account> = if with_passwords {
        let named = |account| Some((normal_dn(&domain.dn(account))?, account));
        domain.accounts().filter_map(named).collect()
    } else {
        BTreeMap::new()
    };
    dump::each(domain, domain.host(), now, &mut |entry| {
        let account = normal_dn(&entry.dn).and_then(|dn| passwords.get(&dn));
        let password = account.and_then(|account| unicode(account));
        let password = password.as_ref().map(|value| ("unicodePwd", value.as_slice()));
        write_record(&mut out, &entry.dn, kept(&entry).chain(password));
    });
    built_in(domain, &mut out, ADMINISTRATORS, |account| account.administrator);
    built_in(domain, &mut out, PROTECTED, |account| account.protected);
    never_locks(domain, &mut out);
    out
}

fn kept(entry: &LdapSearchResultEntry) -> impl Iterator<Item = (&str, &[u8])> {
    let kept = entry
        .attributes
        .iter()
        .filter(|attribute| !is_left_out(&attribute.atype));
    kept.flat_map(|attribute| {
        let values = attribute.vals.iter();
        values.map(|value| (attribute.atype.as_str(), value.as_slice()))
    })
}

/// A password in double quotes as UTF-16LE; none for an account that has an empty one, which never binds.
fn unicode(account: &Account) -> Option<Zeroizing<Vec<u8>>> {
    let text = account.password.plaintext();
    if text.is_empty() {
        return None;
    }
    let quoted = Zeroizing::new(format!("\"{text}\""));
    Some(Zeroizing::new(
        quoted.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ))
}

/// A group that every domain has and the mock keeps as a mark of its members.
fn built_in(domain: &Domain, out: &mut String, name: &str, is_in: fn(&Account) -> bool) {
    let members: Vec<_> = domain
        .accounts()
        .filter(|account| is_in(account))
        .map(|account| domain.dn(account))
        .collect();
    if members.is_empty() {
        return;
    }
    let dn = format!("CN={name},CN=Users,{}", domain.base_dn());
    let always: [(&str, &[u8]); 3] = [
        ("objectClass", b"top"),
        ("objectClass", b"group"),
        ("sAMAccountName", name.as_bytes()),
    ];
    let members = members.iter().map(|member| ("member", member.as_bytes()));
    write_record(out, &dn, always.into_iter().chain(members));
}

/// Accounts with a policy of their own that does not lock, as settings of their own: those that hold for them
/// otherwise, with a threshold of 0.
fn never_locks(domain: &Domain, out: &mut String) {
    let mut all: BTreeMap<String, Vec<&Account>> = BTreeMap::new();
    for account in domain.accounts().filter(|account| account.never_locks) {
        let settings = domain.resultant_settings(account.guid);
        let name = settings.map_or(NEVER_LOCKS.to_owned(), |settings| {
            format!("{NEVER_LOCKS} {}", settings.name)
        });
        all.entry(name).or_default().push(account);
    }
    for (name, accounts) in all {
        let Some(first) = accounts.first() else { continue };
        let applies_to = accounts.iter().map(|account| account.guid).collect();
        let settings = domain.own_settings(&name, domain.policy_of(first), applies_to);
        let entry = dump::settings(domain, &settings);
        write_record(out, &entry.dn, kept(&entry));
    }
}
