//! Which entries a search filter matches. Text compares without regard to case; an attribute that
//! an entry lacks matches nothing.

use ldap3_proto::proto::{LdapFilter, LdapMatchingRuleAssertion, LdapSubstringFilter};
use uuid::Uuid;

use super::entry::{CONSTRUCTED, Entry};
use crate::model::schema::{self, Kind};
use crate::model::{Account, Domain, normal_dn, sid_bytes};

/// Bitwise "all of these bits".
const RULE_BIT_AND: &str = "1.2.840.113556.1.4.803";
/// Bitwise "any of these bits".
const RULE_BIT_OR: &str = "1.2.840.113556.1.4.804";
/// Along the whole chain of memberships.
const RULE_IN_CHAIN: &str = "1.2.840.113556.1.4.1941";
/// What ambiguous name resolution looks at.
const ANR: [&str; 6] = ["displayName", "givenName", "sn", "sAMAccountName", "name", "mail"];

pub(super) fn matches(domain: &Domain, filter: &LdapFilter, entry: &Entry) -> bool {
    match filter {
        LdapFilter::And(all) => all.iter().all(|part| matches(domain, part, entry)),
        LdapFilter::Or(any) => any.iter().any(|part| matches(domain, part, entry)),
        LdapFilter::Not(inner) => !matches(domain, inner, entry),
        LdapFilter::Present(name) => !stored(entry, name).is_empty(),
        LdapFilter::Equality(name, wanted) if name.eq_ignore_ascii_case("anr") => {
            let wanted = wanted.to_lowercase();
            ANR.iter()
                .any(|name| texts(entry, name).any(|text| text.starts_with(&wanted)))
        }
        LdapFilter::Equality(name, wanted) | LdapFilter::Approx(name, wanted) => equal(entry, name, wanted),
        LdapFilter::Substring(name, parts) => texts(entry, name).any(|text| contains(&text, parts)),
        LdapFilter::GreaterOrEqual(name, bound) => ordered(entry, name, bound, std::cmp::Ordering::is_ge),
        LdapFilter::LessOrEqual(name, bound) => ordered(entry, name, bound, std::cmp::Ordering::is_le),
        LdapFilter::Extensible(rule) => extensible(domain, rule, entry),
    }
}

/// Whether one of an attribute's values is `value`, as a compare request asks.
pub(super) fn compares(entry: &Entry, name: &str, value: &str) -> bool {
    equal(entry, name, value)
}

fn extensible(domain: &Domain, rule: &LdapMatchingRuleAssertion, entry: &Entry) -> bool {
    let value = &rule.match_value;
    match (rule.matching_rule.as_deref(), rule.type_.as_deref()) {
        (None, Some(name)) => equal(entry, name, value),
        (Some(RULE_IN_CHAIN), Some(name)) => in_chain(domain, entry, name, value),
        (Some(RULE_BIT_AND), Some(name)) => bits(entry, name, value, |value, bits| value & bits == bits),
        (Some(RULE_BIT_OR), Some(name)) => bits(entry, name, value, |value, bits| value & bits != 0),
        (Some(_), _) | (None, None) => false,
    }
}

/// memberOf: the entry is in the group, directly or through others; member: the group has the object so.
fn in_chain(domain: &Domain, entry: &Entry, name: &str, dn: &str) -> bool {
    let named = normal_dn(dn).and_then(|dn| domain.object_by_dn(&dn));
    let (Some(named), Some(guid)) = (named, entry.guid) else {
        return false;
    };
    match name.to_ascii_lowercase().as_str() {
        "memberof" => domain.groups_of(guid).contains(&named),
        "member" => domain.groups_of(named).contains(&guid),
        _ => false,
    }
}

/// Constructed attributes are shown but cannot be searched for.
fn stored<'a>(entry: &'a Entry, name: &str) -> &'a [Vec<u8>] {
    if CONSTRUCTED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return &[];
    }
    entry.values(name)
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
    let values = stored(entry, name).iter();
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
        "objectsid" => sid_bytes(wanted, None).is_some_and(|sid| entry.values(name).contains(&sid)),
        "distinguishedname" => normal_dn(wanted) == normal_dn(&entry.dn) && !entry.dn.is_empty(),
        "objectcategory" if !wanted.contains('=') => {
            let prefix = format!("cn={},", wanted.to_lowercase());
            texts(entry, name).any(|text| text.starts_with(&prefix))
        }
        _ if schema::attribute(name).is_some_and(|known| known.kind == Kind::Name) => {
            let wanted = normal_dn(wanted);
            wanted.is_some() && texts(entry, name).any(|text| normal_dn(&text) == wanted)
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

/// Numbers compare as numbers, everything else as text.
fn ordered(entry: &Entry, name: &str, bound: &str, holds: fn(std::cmp::Ordering) -> bool) -> bool {
    let (number, lower) = (bound.parse::<i64>().ok(), bound.to_lowercase());
    texts(entry, name).any(|text| match (text.parse::<i64>().ok(), number) {
        (Some(value), Some(number)) => holds(value.cmp(&number)),
        (_, _) => holds(text.cmp(&lower)),
    })
}

fn bits(entry: &Entry, name: &str, bits: &str, holds: fn(i64, i64) -> bool) -> bool {
    let Ok(bits) = bits.parse() else {
        return false;
    };
    texts(entry, name)
        .filter_map(|text| text.parse().ok())
        .any(|value| holds(value, bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Policy;

    fn domain() -> Domain {
        Domain::new("corp.example.test", "CORP", "dc1", Policy::default())
    }

    #[test]
    fn filters_match_as_in_a_directory() {
        let mut entry = Entry::new("CN=alice,DC=corp");
        entry.text("cn", "Alice Fixture");
        entry.texts("objectClass", ["top", "user"]);
        entry.text("userAccountControl", "514");
        let check = |text: &str| {
            let filter = ldap3_proto::parse_ldap_filter_str(text).unwrap();
            matches(&domain(), &filter, &entry)
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
            assert!(matches(&domain(), &filter, &entry), "{name}");
        }
    }
}
