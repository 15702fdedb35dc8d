//! The spellings of a name that a bind accepts, and distinguished names in a comparable form.

use uuid::Uuid;

/// What a bind name refers to, before the directory is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BindName {
    /// `<GUID=...>`.
    Guid(Uuid),
    /// Last part of a SID of the given domain part.
    Sid { domain: String, rid: u32 },
    /// A distinguished name, normalised.
    Dn(String),
    /// `DOMAIN\sam`, lower case.
    Nt { domain: String, sam: String },
    /// Anything with an `@`, lower case, without blanks around its halves.
    Upn(String),
    /// `dns.domain/Container/name` as a normalised distinguished name's parts, top down.
    Canonical { domain: String, parts: Vec<String> },
}

/// Reads a bind name; `None` for spellings that no account can have.
pub(crate) fn read(name: &str) -> Option<BindName> {
    let trimmed = name.trim();
    let lower = trimmed.to_lowercase();
    if let Some(text) = bracketed(&lower, "<guid=") {
        return read_guid(text).map(BindName::Guid);
    }
    if let Some(sid) = bracketed(&lower, "<sid=") {
        return read_sid(sid);
    }
    if lower.starts_with("s-1-") {
        return read_sid(&lower);
    }
    if lower.contains('=') {
        return normal_dn(trimmed).map(BindName::Dn);
    }
    if let Some((domain, sam)) = lower.split_once('\\') {
        return Some(BindName::Nt {
            domain: domain.to_owned(),
            sam: sam.trim().to_owned(),
        });
    }
    if let Some((prefix, suffix)) = lower.rsplit_once('@') {
        return Some(BindName::Upn(format!("{}@{}", prefix.trim(), suffix.trim())));
    }
    let (domain, path) = lower.split_once('/')?;
    Some(BindName::Canonical {
        domain: domain.to_owned(),
        parts: path.split('/').map(str::to_owned).collect(),
    })
}

/// The GUID of a `<GUID=...>` name, also as a search base.
pub(crate) fn guid_base(dn: &str) -> Option<Uuid> {
    bracketed(&dn.trim().to_lowercase(), "<guid=").and_then(read_guid)
}

fn bracketed<'a>(lower: &'a str, prefix: &str) -> Option<&'a str> {
    lower.strip_prefix(prefix)?.strip_suffix('>')
}

/// With dashes it is the printed form; 32 hexadecimal digits are the 16 bytes of the attribute.
fn read_guid(text: &str) -> Option<Uuid> {
    if text.contains('-') {
        return Uuid::try_parse(text).ok();
    }
    let bytes: [u8; 16] = hex::decode(text).ok()?.try_into().ok()?;
    Some(Uuid::from_bytes_le(bytes))
}

fn read_sid(sid: &str) -> Option<BindName> {
    let (domain, rid) = sid.rsplit_once('-')?;
    Some(BindName::Sid {
        domain: domain.to_owned(),
        rid: rid.parse().ok()?,
    })
}

/// 1, number of parts, 6-byte big-endian authority, 32-bit little-endian parts; `None` for what is no SID
/// of the NT authority.
pub(crate) fn sid_bytes(domain_sid: &str, rid: Option<u32>) -> Option<Vec<u8>> {
    let parts = domain_sid.to_uppercase();
    let parts = parts.strip_prefix("S-1-5-")?.split('-').map(str::parse);
    let mut parts = parts.collect::<Result<Vec<u32>, _>>().ok()?;
    parts.extend(rid);
    let mut bytes = vec![1, u8::try_from(parts.len()).ok()?, 0, 0, 0, 0, 0, 5];
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    Some(bytes)
}

/// A distinguished name in lower case without blanks around its parts; `None` if it is not one.
pub(crate) fn normal_dn(dn: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in split_unescaped(dn, ',') {
        let (key, value) = part.split_once('=')?;
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            return None;
        }
        let value = unescape(value.trim())?.to_lowercase();
        parts.push(format!("{key}={}", escape_rdn(&value)));
    }
    Some(parts.join(","))
}

/// `value` as it stands in a distinguished name (RFC 4514).
pub(crate) fn escape_rdn(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') || (at == 0 && c == '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The first part of a distinguished name as it is written, and the rest.
pub(crate) fn split_rdn_text(dn: &str) -> Option<(&str, &str)> {
    let first = split_unescaped(dn, ',').first()?.len();
    Some((dn.get(..first)?, dn.get(first + 1..)?))
}

/// Attribute, value and the name above: `CN=Smith\\, Ann,OU=Staff` is `CN`, `Smith, Ann` and `OU=Staff`.
pub(crate) fn split_rdn(dn: &str) -> Option<(String, String, String)> {
    let (first, parent) = split_rdn_text(dn)?;
    let (key, value) = first.split_once('=')?;
    let value = unescape(value.trim())?;
    Some((key.trim().to_owned(), value, parent.trim().to_owned()))
}

fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let pair = rest.get(..2).and_then(|pair| hex::decode(pair).ok());
        if let Some(decoded) = pair {
            bytes.extend(decoded);
            rest = &rest[2..];
        } else {
            let (&next, after) = rest.split_first()?;
            bytes.push(next);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_distinguished_name_compare_equal() {
        let expected = Some("cn=smith\\, ann,ou=fixture,dc=corp".to_owned());
        for spelling in [
            "CN=Smith\\, Ann,OU=Fixture,DC=corp",
            " cn = smith\\2c ann , ou=FIXTURE,dc = CORP ",
        ] {
            assert_eq!(normal_dn(spelling), expected, "{spelling}");
        }
        for wrong in ["", "alice", "cn=a,,dc=b", "=x", "cn=a\\"] {
            assert_eq!(normal_dn(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_first_part_is_split_off() {
        let parts = |key: &str, value: &str, parent: &str| Some((key.into(), value.into(), parent.into()));
        assert_eq!(
            split_rdn("CN=Smith\\, Ann, OU=a,DC=b"),
            parts("CN", "Smith, Ann", "OU=a,DC=b")
        );
        assert_eq!(split_rdn("CN=alone"), None);
    }

    #[test]
    fn both_forms_of_a_guid_mean_the_same_object() {
        let guid = Uuid::try_parse("6995b085-9404-416e-8f04-000000000001").unwrap();
        assert_eq!(
            guid_base("<GUID=6995B085-9404-416e-8f04-000000000001>"),
            Some(guid)
        );
        assert_eq!(guid_base("<guid=85b09569049 46e41>"), None);
        assert_eq!(guid_base("<GUID=85b0956904946e418f04000000000001>"), Some(guid));
    }
}
