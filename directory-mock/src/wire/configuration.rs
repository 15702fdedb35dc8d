//! The other naming contexts, as far as clients look into them: partitions with the suffixes for
//! userPrincipalNames, and the schema's definitions.

use super::entry::Entry;
use crate::model::{Domain, schema};

/// All entries below (and with) `CN=Configuration`.
pub(super) fn entries(domain: &Domain) -> Vec<Entry> {
    let base = domain.base_dn();
    let configuration = format!("CN=Configuration,{base}");
    let partitions = format!("CN=Partitions,{configuration}");
    let schema_dn = format!("CN=Schema,{configuration}");
    let cross_ref = |name: &str, context: &str, netbios: Option<&str>| {
        let mut entry = named(&format!("CN={name},{partitions}"), "crossRef");
        entry.text("nCName", context);
        entry.text("dnsRoot", domain.dns_name());
        if let Some(netbios) = netbios {
            entry.text("nETBIOSName", netbios);
        }
        entry
    };
    let mut container = named(&partitions, "crossRefContainer");
    let suffixes: Vec<&str> = domain.upn_suffixes().collect();
    if !suffixes.is_empty() {
        container.texts("uPNSuffixes", suffixes);
    }
    vec![
        named(&configuration, "configuration"),
        container,
        cross_ref("Enterprise Configuration", &configuration, None),
        cross_ref("Enterprise Schema", &schema_dn, None),
        cross_ref(domain.netbios_name(), base, Some(domain.netbios_name())),
        named(&schema_dn, "dMD"),
        aggregate(&schema_dn),
    ]
}

/// The definitions that clients read. Operational: shown only to those who ask for them.
fn aggregate(schema_dn: &str) -> Entry {
    let mut entry = named(&format!("CN=Aggregate,{schema_dn}"), "subSchema");
    entry.owned_texts("attributeTypes", schema::attribute_types());
    entry.owned_texts("objectClasses", schema::object_classes());
    entry
}

fn named(dn: &str, class: &str) -> Entry {
    let mut entry = Entry::new(dn);
    let name = dn
        .split_once(',')
        .and_then(|(first, _)| first.split_once('='))
        .map_or("", |(_, name)| name);
    entry.texts("objectClass", ["top", class]);
    entry.text("cn", name);
    entry.text("name", name);
    entry.text("distinguishedName", dn);
    entry
}
