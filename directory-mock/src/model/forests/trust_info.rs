//! msDS-TrustForestTrustInfo (MS-ADTS 6.1.6.9.3): what a forest knows of its partner's names, in bytes.
//!
//! Little-endian and unaligned: version 1, the number of records, then each record as its length without
//! these four bytes, flags, a FILETIME, the type, and data with lengths before texts.

use postern_kit::clock::Timestamp;

use super::names::{NameKind, RoutedName};
use crate::model::account::filetime_steps;

const VERSION: u32 = 1;
const TOP_LEVEL_NAME: u8 = 0;
const TOP_LEVEL_NAME_EXCLUSION: u8 = 1;
const DOMAIN: u8 = 2;
/// The NetBIOS name is used elsewhere.
const NETBIOS_CONFLICT: u32 = 8;

/// One domain of the partner's forest.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartnerDomain<'a> {
    pub(super) sid: &'a [u8],
    pub(super) dns_name: &'a str,
    pub(super) netbios_name: &'a str,
    /// Another forest has the same NetBIOS name.
    pub(super) conflict: bool,
}

/// The attribute's value.
pub(super) fn encode(names: &[RoutedName], domains: &[PartnerDomain<'_>], made: Timestamp) -> Vec<u8> {
    let names = names.iter().map(|name| {
        let kind = match name.kind {
            NameKind::Top(_) => TOP_LEVEL_NAME,
            NameKind::Excluded => TOP_LEVEL_NAME_EXCLUSION,
        };
        record(name.flags(), name.since, kind, &[name.name.as_bytes()])
    });
    let domains = domains.iter().map(|domain| {
        let flags = if domain.conflict { NETBIOS_CONFLICT } else { 0 };
        let texts = [domain.dns_name.as_bytes(), domain.netbios_name.as_bytes()];
        record(flags, made, DOMAIN, &[domain.sid, texts[0], texts[1]])
    });
    let records: Vec<Vec<u8>> = names.chain(domains).collect();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    bytes.extend(length(records.len()));
    bytes.extend(records.concat());
    bytes
}

fn record(flags: u32, since: Timestamp, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut body = flags.to_le_bytes().to_vec();
    body.extend(filetime_steps(since).to_le_bytes());
    body.push(kind);
    for part in parts {
        body.extend(length(part.len()));
        body.extend_from_slice(part);
    }
    let mut record = length(body.len()).to_vec();
    record.extend(body);
    record
}

/// Names and numbers of domains are far below four billion.
fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::names::SuffixState;
    use super::*;

    #[test]
    fn records_lie_as_published() {
        let name = RoutedName {
            name: "lab.test".to_owned(),
            kind: NameKind::Top(SuffixState::New),
            since: Timestamp::from_unix_ms(-11_644_473_600_000 + 1),
        };
        let domain = PartnerDomain {
            sid: &[1, 4],
            dns_name: "d.test",
            netbios_name: "D",
            conflict: true,
        };
        let bytes = encode(&[name], &[domain], Timestamp::from_unix_ms(-11_644_473_600_000));
        let expected: &[&[u8]] = &[
            b"\x01\0\0\0\x02\0\0\0",
            b"\x19\0\0\0\x01\0\0\0\x10\x27\0\0\0\0\0\0\0\x08\0\0\0lab.test",
            b"\x22\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\x02\x02\0\0\0\x01\x04\x06\0\0\0d.test\x01\0\0\0D",
        ];
        assert_eq!(bytes, expected.concat());
    }
}
