//! Changes of a group's members.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Change, ChangeKind, Refusal, Writer, text};
use crate::model::schema;
use crate::model::{Domain, normal_dn};

pub(super) fn modify(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    guid: Uuid,
    changes: &[Change],
) -> Result<(), Refusal> {
    if !writer.is_administrator(domain) {
        return Err(Refusal::no_control_right());
    }
    let group = domain.group(guid).ok_or_else(|| Refusal::no_object(dn))?;
    let mut members = group.members.clone();
    for change in changes {
        let attribute = &change.attribute;
        if schema::attribute(attribute).is_none() {
            let text =
                format!("acl_modify: attribute '{attribute}' on entry '{dn}' was not found in the schema!");
            return Err(Refusal::new(16, 0x57, text));
        }
        if !attribute.eq_ignore_ascii_case("member") {
            let text = "00002035: of a group only its members are kept";
            return Err(Refusal::unwilling(text));
        }
        apply(domain, &mut members, change)?;
    }
    domain.set_members(guid, members);
    Ok(())
}

/// Applies a change of members.
pub(super) fn apply(domain: &Domain, members: &mut BTreeSet<Uuid>, change: &Change) -> Result<(), Refusal> {
    let named = change.values.iter().map(|value| member(domain, &text(value)));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    match change.kind {
        ChangeKind::Replace => *members = named.into_iter().collect(),
        ChangeKind::Delete if named.is_empty() => members.clear(),
        ChangeKind::Add => {
            for guid in named {
                if !members.insert(guid) {
                    let text = format!("Attribute member already exists for target GUID {guid}");
                    return Err(Refusal::new(68, 0x562, text));
                }
            }
        }
        ChangeKind::Delete => {
            for guid in named {
                if !members.remove(&guid) {
                    let text = format!("Attribute member doesn't exist for target GUID {guid}");
                    return Err(Refusal::new(53, 0x561, text));
                }
            }
        }
    }
    Ok(())
}

fn member(domain: &Domain, dn: &str) -> Result<Uuid, Refusal> {
    let normal = normal_dn(dn).unwrap_or_default();
    let found = domain.object_by_dn(&normal);
    found.ok_or_else(|| {
        let text = "00000525: specified dn doesn't exist at \
                    ../../source4/dsdb/samdb/ldb_modules/extended_dn_store.c:160:extended_dn_handle_fpo_attr";
        Refusal::new(32, 0x525, text)
    })
}
