//! The entry with the empty name, which anybody may read.

use postern_kit::clock::Timestamp;

use super::entry::{Entry, generalized_time};
use crate::model::{Domain, Flavour};

const CONTROLS: [&str; 16] = [
    "1.2.840.113556.1.4.1413",
    "1.2.840.113556.1.4.528",
    "1.2.840.113556.1.4.841",
    "1.2.840.113556.1.4.319",
    "1.2.840.113556.1.4.473",
    "1.2.840.113556.1.4.1504",
    "1.2.840.113556.1.4.801",
    "1.2.840.113556.1.4.805",
    "1.2.840.113556.1.4.1338",
    "1.2.840.113556.1.4.529",
    "1.2.840.113556.1.4.417",
    "1.2.840.113556.1.4.2064",
    "1.2.840.113556.1.4.1339",
    "1.2.840.113556.1.4.1340",
    "1.2.840.113556.1.4.1341",
    "2.16.840.1.113730.3.4.9",
];

const CAPABILITIES: [&str; 5] = [
    "1.2.840.113556.1.4.800",
    "1.2.840.113556.1.4.1670",
    "1.2.840.113556.1.4.1791",
    "1.2.840.113556.1.4.1935",
    "1.2.840.113556.1.4.2080",
];

/// What Windows has and Samba does not.
const WINDOWS_CONTROLS: [&str; 2] = super::write::POLICY_HINTS;

/// WhoAmI and fast bind.
const WINDOWS_EXTENSIONS: [&str; 3] = [
    "1.3.6.1.4.1.1466.20037",
    "1.3.6.1.4.1.4203.1.11.3",
    "1.2.840.113556.1.4.1781",
];

pub(super) fn has_control(oid: &str, flavour: Flavour) -> bool {
    CONTROLS.contains(&oid) || (flavour == Flavour::Windows && WINDOWS_CONTROLS.contains(&oid))
}

pub(super) fn entry(domain: &Domain, flavour: Flavour, host: &str, now: Timestamp) -> Entry {
    let base = domain.base_dn();
    let dns = domain.dns_name();
    let root = domain.root_dn();
    let config = format!("CN=Configuration,{root}");
    let schema = format!("CN=Schema,{config}");
    let server = format!(
        "CN={},CN=Servers,CN=Default-First-Site-Name,CN=Sites,{config}",
        host.to_uppercase()
    );
    let mut entry = Entry::new("");
    entry.text("configurationNamingContext", &config);
    entry.text("defaultNamingContext", base);
    entry.text("rootDomainNamingContext", root);
    entry.text("schemaNamingContext", &schema);
    entry.text("subschemaSubentry", &format!("CN=Aggregate,{schema}"));
    entry.texts("namingContexts", [base, &config, &schema]);
    entry.texts("supportedCapabilities", CAPABILITIES);
    match flavour {
        Flavour::Samba => entry.texts("supportedControl", CONTROLS),
        Flavour::Windows => {
            entry.texts("supportedControl", CONTROLS.into_iter().chain(WINDOWS_CONTROLS));
            entry.texts("supportedExtension", WINDOWS_EXTENSIONS);
        }
    }
    entry.texts("supportedLDAPVersion", ["2", "3"]);
    entry.texts("supportedSASLMechanisms", ["GSS-SPNEGO", "GSSAPI", "NTLM"]);
    if flavour == Flavour::Samba {
        entry.text("vendorName", "Samba Team (https://www.samba.org)");
    }
    entry.text("isSynchronized", "TRUE");
    entry.text("isGlobalCatalogReady", "TRUE");
    entry.text("dsServiceName", &format!("CN=NTDS Settings,{server}"));
    entry.text("serverName", &server);
    entry.text("dnsHostName", &format!("{}.{dns}", host.to_lowercase()));
    entry.text(
        "ldapServiceName",
        &format!("{dns}:{}$@{}", host.to_lowercase(), dns.to_uppercase()),
    );
    entry.text("currentTime", &generalized_time(now));
    entry.text("highestCommittedUSN", &domain.usn().to_string());
    for level in [
        "domainFunctionality",
        "forestFunctionality",
        "domainControllerFunctionality",
    ] {
        entry.text(level, "4");
    }
    entry
}
