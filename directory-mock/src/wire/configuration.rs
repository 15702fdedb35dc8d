//! The other naming contexts, as far as clients look into them: the forest's partitions with the suffixes
//! for userPrincipalNames, and the schema's definitions. Beside them the domain's trusts.

use super::entry::Entry;
use crate::model::{Domain, TrustedDomain, schema, sid_bytes};

/// FLAG_CR_NTDS_NC: replicated by domain controllers.
const REPLICATED: u32 = 1;
/// With FLAG_CR_NTDS_DOMAIN: a domain.
const DOMAIN: u32 = 3;
/// trustType: Active Directory.
const UPLEVEL: u32 = 2;

/// All entries below (and with) `CN=Configuration`, which is the forest's.
pub(super) fn entries(domain: &Domain) -> Vec<Entry> {
    let configuration = format!("CN=Configuration,{}", domain.root_dn());
    let partitions = format!("CN=Partitions,{configuration}");
    let schema_dn = format!("CN=Schema,{configuration}");
    let neighbours = domain.neighbours();
    let root_dns = neighbours.root().map_or("", |root| &root.dns_name);
    let mut container = named(&partitions, "crossRefContainer");
    let suffixes: Vec<&str> = domain.upn_suffixes().collect();
    if !suffixes.is_empty() {
        container.texts("uPNSuffixes", suffixes);
    }
    let mut all = vec![named(&configuration, "configuration"), container];
    for (name, context) in [
        ("Enterprise Configuration", &configuration),
        ("Enterprise Schema", &schema_dn),
    ] {
        all.push(cross_ref((name, &partitions), context, root_dns, REPLICATED));
    }
    for partition in &neighbours.partitions {
        let name = partition.netbios_name.as_str();
        let mut entry = cross_ref(
            (name, &partitions),
            &partition.base_dn,
            &partition.dns_name,
            DOMAIN,
        );
        entry.text("nETBIOSName", name);
        let above = neighbours
            .partitions
            .iter()
            .find(|other| Some(&other.base_dn) == partition.parent.as_ref());
        match (above, neighbours.root()) {
            (Some(parent), _) => {
                entry.text("trustParent", &format!("CN={},{partitions}", parent.netbios_name));
            }
            (None, Some(root)) if root != partition => {
                entry.text("rootTrust", &format!("CN={},{partitions}", root.netbios_name));
            }
            (None, _) => {}
        }
        all.push(entry);
    }
    all.push(named(&schema_dn, "dMD"));
    all.push(aggregate(&schema_dn));
    all
}

fn cross_ref((name, partitions): (&str, &str), context: &str, dns: &str, flags: u32) -> Entry {
    let mut entry = named(&format!("CN={name},{partitions}"), "crossRef");
    entry.text("nCName", context);
    entry.text("dnsRoot", dns);
    entry.text("systemFlags", &flags.to_string());
    entry
}

/// What lies below `CN=System`: the trusts.
pub(super) fn trusts(domain: &Domain) -> impl Iterator<Item = Entry> {
    domain
        .neighbours()
        .trusts
        .iter()
        .map(|trust| trusted(domain, trust))
}

fn trusted(domain: &Domain, trust: &TrustedDomain) -> Entry {
    let dn = format!("CN={},CN=System,{}", trust.dns_name, domain.base_dn());
    let mut entry = bare(&dn);
    entry.texts("objectClass", ["top", "leaf", "trustedDomain"]);
    let category = format!(
        "CN=Trusted-Domain,CN=Schema,CN=Configuration,{}",
        domain.root_dn()
    );
    entry.text("objectCategory", &category);
    entry.bytes("objectGUID", trust.guid.to_bytes_le().to_vec());
    entry.text("trustPartner", &trust.dns_name);
    entry.text("flatName", &trust.netbios_name);
    entry.bytes(
        "securityIdentifier",
        sid_bytes(&trust.sid, None).unwrap_or_default(),
    );
    for (name, value) in [
        ("trustDirection", trust.direction.number()),
        ("trustType", UPLEVEL),
        ("trustAttributes", trust.reach.attributes()),
    ] {
        entry.text(name, &value.to_string());
    }
    if let Some(info) = &trust.info {
        entry.bytes("msDS-TrustForestTrustInfo", info.clone());
    }
    entry
}

/// The definitions that clients read. Operational: shown only to those who ask for them.
fn aggregate(schema_dn: &str) -> Entry {
    let mut entry = named(&format!("CN=Aggregate,{schema_dn}"), "subSchema");
    entry.owned_texts("attributeTypes", schema::attribute_types());
    entry.owned_texts("objectClasses", schema::object_classes());
    entry
}

fn named(dn: &str, class: &str) -> Entry {
    let mut entry = bare(dn);
    entry.texts("objectClass", ["top", class]);
    entry
}

/// An entry with its name.
fn bare(dn: &str) -> Entry {
    let mut entry = Entry::new(dn);
    let name = dn
        .split_once(',')
        .and_then(|(first, _)| first.split_once('='))
        .map_or("", |(_, name)| name);
    entry.text("cn", name);
    entry.text("name", name);
    entry.text("distinguishedName", dn);
    entry
}
