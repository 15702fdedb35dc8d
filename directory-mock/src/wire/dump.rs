//! All entries of a domain with what a search would show of them, for an export.

use ldap3_proto::proto::LdapSearchResultEntry;
use postern_kit::clock::Timestamp;

use super::{configuration, entry};
use crate::model::{Domain, StoredSettings};

/// Shows each entry to `see`: the domain, its suffixes for userPrincipalNames, containers, groups, accounts,
/// settings. Never a password.
pub(crate) fn each(domain: &Domain, host: &str, now: Timestamp, see: &mut dyn FnMut(LdapSearchResultEntry)) {
    let mut show = |entry: entry::Entry| see(entry.show(&[], false));
    show(entry::of_domain(domain));
    for entry in configuration::entries(domain) {
        if !entry.values("uPNSuffixes").is_empty() {
            show(entry);
        }
    }
    let containers = domain.all_containers();
    // The shorter ones first, so that what lies in another comes after it.
    let mut containers: Vec<_> = containers.values().collect();
    containers.sort_by_key(|dn| dn.len());
    containers.iter().for_each(|dn| show(entry::of_container(dn)));
    domain
        .groups()
        .for_each(|group| show(entry::of_group(domain, group)));
    for account in domain.accounts() {
        show(entry::of_account(domain, host, account, now));
    }
    for settings in domain.settings() {
        show(entry::of_settings(domain, settings));
    }
}

/// The entry of settings that need not be the domain's.
pub(crate) fn settings(domain: &Domain, settings: &StoredSettings) -> LdapSearchResultEntry {
    entry::of_settings(domain, settings).show(&[], false)
}
