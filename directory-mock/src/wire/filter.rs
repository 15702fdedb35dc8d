//! Which entries a search filter matches. Text compares without regard to case; an attribute that
//! an entry lacks matches nothing.

use ldap3_proto::proto::{LdapFilter, LdapSubstringFilter};
use uuid::Uuid;

use super::entry::Entry;
use crate::model::{Account, Domain, normal_dn};

/// Bitwise "all of these bits".
const RULE_BIT_AND: &str = "1.2.840.113556.1.4.803";
/// Bitwise "any of these bits".
const RULE_BIT_OR: &str = "1.2.840.113556.1.4.804";

pub(super) fn matches(filter: &LdapFilter, entry: &Entry) -> bool {
    match filter {
        LdapFilter::And(all) => all.iter().all(|part| matches(part, entry)),
        LdapFilter::Or(any) => any.iter().any(|part| matches(part, entry)),
        LdapFilter::Not(inner) => !matches(inner, entry),
        LdapFilter::Present(name) => !entry.values(name).is_empty(),
        LdapFilter::Equality(name, wanted) | LdapFilter::Approx(name, wanted) => equal(entry, name, wanted),
        LdapFilter::Substring(name, parts) => texts(entry, name).any(|text| contains(&text, parts)),
        LdapFilter::GreaterOrEqual(name, bound) => ordered(entry, name, bound, |value, bound| value >= bound),
        LdapFilter::LessOrEqual(name, bound) => ordered(entry, name, bound, |value, bound| value <= bound),
        LdapFilter::Extensible(rule) => {
            let (Some(id), Some(name)) = (&rule.matching_rule, &rule.type_) else {
                return false;
            };
            ordered(entry, name, &rule.match_value, |value, bits| match id.as_str() {
                RULE_BIT_AND => value & bits == bits,
                RULE_BIT_OR => value & bits != 0,
                _ => false,
            })
        }
    }
}

/// The one account that can match, where the filter asks for a unique name; outer `None` if it
/// does not. Saves looking at a hundred thousand entries.
pub(super) fn unique<'a>(filter: &LdapFilter, domain: &'a Domain) -> Option<Option<&'a Account>> {
    match filter {
        LdapFilter::Equality(name, wanted) => match name.to_ascii_lowercase().as_str() {
            "userprincipalname" => Some(domain.by_upn(wanted)),
            "samaccountname" => Some(domain.by_sam(wanted)),
            "distinguishedname" => Some(domain.by_dn(wanted)),
            _ => None,
        },
        LdapFilter::And(all) => all.iter().find_map(|part| unique(part, domain)),
        _ => None,
    }
}

fn texts<'a>(entry: &'a Entry, name: &str) -> impl Iterator<Item = String> + 'a {
    let values = entry.values(name).iter();
    values.filter_map(|value| std::str::from_utf8(value).ok().map(str::to_lowercase))
}

fn equal(entry: &Entry, name: &str, wanted: &str) -> bool {
    match name.to_ascii_lowercase().as_str() {
        "objectguid" => Uuid::try_parse(wanted).is_ok_and(|guid| {
            entry
                .values(name)
                .iter()
                .any(|value| *value == guid.to_bytes_le())
        }),
        "distinguishedname" => normal_dn(wanted) == normal_dn(&entry.dn) && !entry.dn.is_empty(),
        "objectcategory" if !wanted.contains('=') => {
            let prefix = format!("cn={},", wanted.to_lowercase());
            texts(entry, name).any(|text| text.starts_with(&prefix))
        }
        _ => {
            let wanted = wanted.to_lowercase();
            texts(entry, name).any(|text| text == wanted)
        }
    }
}

fn contains(text: &str, parts: &LdapSubstringFilter) -> bool {
    let lower = |part: &Option<String>| part.as_deref().unwrap_or_default().to_lowercase();
    let Some(mut rest) = text.strip_prefix(&lower(&parts.initial)) else {
        return false;
    };
    for part in &parts.any {
        let part = part.to_lowercase();
        match rest.find(&part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(&lower(&parts.final_))
}

fn ordered(entry: &Entry, name: &str, bound: &str, holds: impl Fn(i64, i64) -> bool) -> bool {
    let Ok(bound) = bound.parse() else {
        return false;
    };
    texts(entry, name)
        .filter_map(|text| text.parse().ok())
        .any(|value| holds(value, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_in_a_directory() {
        let mut entry = Entry::new("CN=alice,DC=corp");
        entry.text("cn", "Alice Fixture");
        entry.texts("objectClass", ["top", "user"]);
        entry.text("userAccountControl", "514");
        let check = |text: &str| {
            let filter = ldap3_proto::parse_ldap_filter_str(text).unwrap();
            matches(&filter, &entry)
        };
        for yes in [
            "(&(objectClass=USER)(cn=*))",
            "(|(cn=bob)(cn=al*x*e))",
            "(!(mail=*))",
            "(userAccountControl:1.2.840.113556.1.4.803:=2)",
            "(userAccountControl>=514)",
        ] {
            assert!(check(yes), "{yes}");
        }
        for no in [
            "(cn=alice)",
            "(nosuch=*)",
            "(cn=*z*)",
            "(cn=al*x)",
            "(userAccountControl:1.2.840.113556.1.4.803:=16)",
            "(userAccountControl<=513)",
            "(&(cn=*)(cn=bob))",
        ] {
            assert!(!check(no), "{no}");
        }
        // The text parser takes no blanks.
        for (name, value) in [
            ("CN", "alice fixture"),
            ("distinguishedName", "cn=ALICE, dc=corp"),
        ] {
            let filter = LdapFilter::Equality(name.to_owned(), value.to_owned());
            assert!(matches(&filter, &entry), "{name}");
        }
    }
}
