//! The inside of a sealed verdict, for every verdict of the table.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message as _;

use super::messages::enumerations;
use super::{bytes, check, read};
use crate::verdict::{Verdict, VerdictReport};
use crate::wire::channel;

/// Every verdict that the wire can say, found by trying every number.
fn all() -> Vec<Verdict> {
    let mut found = Vec::new();
    for (kind, reason) in (0..64).flat_map(|kind| (0..64).map(move |reason| (kind, reason))) {
        let wire = channel::Verdict {
            kind,
            reason,
            ..Default::default()
        };
        found.extend(VerdictReport::decode(&wire.encode_to_vec()).map(|report| report.verdict));
    }
    found
}

fn report(verdict: Verdict) -> VerdictReport {
    VerdictReport {
        verdict,
        ldap_result: 49,
        sub_code: 0x52e,
        controller: Some("dc1.corp.example:636".to_owned()),
        wait: Duration::from_micros(1_500),
        bind: Duration::from_micros(4_000_000),
    }
}

/// What the inside calls it. The name for logs would not do, being made from the wire's.
fn name(verdict: Verdict) -> String {
    format!("{verdict:?}")
}

#[test]
fn every_verdict_has_its_golden_bytes() {
    let made: Vec<_> = all()
        .into_iter()
        .map(|verdict| bytes(name(verdict), &report(verdict).encode()))
        .collect();
    check("verdicts.txt", &made);
    let golden = read("verdicts.txt");
    for verdict in all() {
        let decoded = VerdictReport::decode(&golden[&name(verdict)]);
        assert_eq!(decoded, Ok(report(verdict)));
    }
}

#[test]
fn every_kind_and_reason_of_the_contract_is_a_verdict() {
    let wanted = |enumeration: &str, prefix: &str| -> BTreeSet<String> {
        let values = enumerations()[&format!("postern.channel.v1.Verdict.{enumeration}")]
            .value
            .clone();
        let names = values
            .iter()
            .map(|value| value.name().trim_start_matches(prefix).to_owned());
        names.filter(|name| name != "UNSPECIFIED").collect()
    };
    let kinds: BTreeSet<_> = all()
        .into_iter()
        .map(|verdict| verdict.name().to_owned())
        .collect();
    assert_eq!(kinds, wanted("Kind", "KIND_"));
    let reasons = all()
        .into_iter()
        .filter_map(Verdict::reason_name)
        .map(str::to_owned);
    assert_eq!(reasons.collect::<BTreeSet<_>>(), wanted("Reason", "REASON_"));
}
