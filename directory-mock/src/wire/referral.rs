//! Referrals: where a name lies that is of another domain.
//!
//! Windows sends whoever asks for one there with result 10, to the domain of its forest or, for anything
//! else below `DC=` parts, to the DNS name that these make. Samba answers 32.

use ldap3_proto::proto::{LdapResult, LdapResultCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Controller, result};
use crate::model::{Domain, Flavour, normal_dn, parent};

/// What a distinguished name in an LDAP URL escapes (RFC 4516).
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Samba's referrals have the connection's scheme; Windows knows one.
pub(super) fn scheme(flavour: Flavour, encrypted: bool) -> &'static str {
    if flavour == Flavour::Samba && encrypted {
        "ldaps"
    } else {
        "ldap"
    }
}

/// Where the controller sends a client that asks for this name, if it does.
pub(super) fn elsewhere(controller: &Controller, dn: &str) -> Option<LdapResult> {
    if controller.flavour == Flavour::Samba {
        return None;
    }
    controller.directory.read(|domain| of(domain, dn))
}

/// The result for a name of another domain, as Windows tells it.
pub(super) fn of(domain: &Domain, dn: &str) -> Option<LdapResult> {
    let host = host_of(domain, &normal_dn(dn)?)?;
    let place = utf8_percent_encode(dn.trim(), ESCAPED);
    let text = format!("0000202B: RefErr: DSID-0310082F, data 0, 1 access points\n\tref 1: '{host}'\n\0");
    Some(LdapResult {
        referral: vec![format!("ldap://{host}/{place}")],
        ..result(LdapResultCode::Referral, text)
    })
}

/// The DNS name of the other domain in which a normalised name lies; `None` if it is here or nowhere.
fn host_of(domain: &Domain, normal: &str) -> Option<String> {
    let configuration = format!("CN=Configuration,{}", domain.root_dn());
    if lies_in(normal, &configuration) {
        return None;
    }
    let partitions = domain.neighbours().partitions.iter();
    let near = partitions
        .filter(|partition| lies_in(normal, &partition.base_dn))
        .max_by_key(|partition| partition.base_dn.len());
    match near {
        Some(partition) if partition.base_dn == domain.base_dn() => None,
        Some(partition) => Some(partition.dns_name.clone()),
        None => {
            let mut labels = Vec::new();
            let mut rest = Some(normal);
            while let Some(name) = rest {
                let first = name.split(',').next().unwrap_or_default();
                match first.strip_prefix("dc=") {
                    Some(label) => labels.push(label),
                    None => labels.clear(),
                }
                rest = parent(name);
            }
            (!labels.is_empty()).then(|| labels.join("."))
        }
    }
}

/// Whether a normalised name is this base or lies below it.
pub(super) fn lies_in(normal: &str, base: &str) -> bool {
    let Some(base) = normal_dn(base) else {
        return false;
    };
    normal
        .strip_suffix(base.as_str())
        .is_some_and(|above| above.is_empty() || above.ends_with(','))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Policy;

    #[test]
    fn a_name_leads_to_the_domain_that_its_parts_spell() {
        let domain = Domain::new("corp.test", "CORP", "dc1", Policy::default());
        let check = |dn: &str, expected: Option<&str>| {
            let referral = of(&domain, dn).map(|result| result.referral);
            assert_eq!(referral, expected.map(|url| vec![url.to_owned()]), "{dn}");
        };
        check(
            "CN=Ann Lee,OU=A,DC=Lab,DC=test",
            Some("ldap://lab.test/CN=Ann%20Lee,OU=A,DC=Lab,DC=test"),
        );
        check("DC=test", Some("ldap://test/DC=test"));
        for here in [
            "DC=corp,DC=test",
            "CN=nosuch,DC=corp,DC=test",
            "CN=x,CN=Configuration,DC=corp,DC=test",
            "O=somewhere",
            "DC=x,O=somewhere",
            "nonsense",
        ] {
            check(here, None);
        }
    }
}
