//! Entries that are added, deleted and renamed: users, groups and the containers they lie in.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::account::{apply, sam_in_use, upn_in_use};
use super::{Change, ChangeKind, Refusal, Value, Writer, group, modify, text};
use crate::model::schema;
use crate::model::{Domain, User, escape_rdn, normal_dn, split_rdn};

/// A new place for an entry.
#[derive(Clone, Debug)]
pub(crate) struct Move<'a> {
    pub(crate) rdn: &'a str,
    pub(crate) delete_old: bool,
    pub(crate) superior: Option<&'a str>,
}

/// Attributes of a new entry and their values.
type Attributes = [(String, Vec<Value>)];

/// Carries out an add request.
pub(crate) fn add(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    attributes: &Attributes,
) -> Result<(), Refusal> {
    writer.bound()?;
    let normal = normal_dn(dn).ok_or_else(|| Refusal::no_name("add"))?;
    let (key, name, parent) = split_rdn(dn).ok_or_else(|| Refusal::no_name("add"))?;
    let Some(container) = domain.container_of(&parent) else {
        let text = format!("00002030: objectclass: Cannot add {dn}, parent does not exist!");
        return Err(Refusal::new(32, 0x208d, text));
    };
    if !writer.is_administrator(domain) {
        let text = format!("acl: unable to get access to {dn}\n");
        return Err(Refusal::new(50, 0x2098, text));
    }
    let class = class(dn, attributes)?;
    if domain.object_by_dn(&normal).is_some() || domain.has_container(&normal) {
        let text = format!("Entry {dn} already exists");
        return Err(Refusal::new(68, 0x2071, text));
    }
    match class.as_str() {
        "user" => add_user(domain, writer, (dn, &name, &container), attributes),
        "group" => add_group(domain, writer, (&name, &container), attributes),
        "organizationalunit" | "container" => {
            domain.add_container(&format!("{key}={}", escape_rdn(&name)), &container);
            Ok(())
        }
        _ => Err(Refusal::unwilling(
            "00002035: only users, groups and containers are kept",
        )),
    }
}

/// The last class, in lower case.
fn class(dn: &str, attributes: &Attributes) -> Result<String, Refusal> {
    let classes: Vec<String> = values(attributes, "objectClass").iter().map(text).collect();
    if let Some(unknown) = classes.iter().find(|class| !schema::has_class(class)) {
        let text = format!("0000200A: objectclass {unknown} is not a valid objectClass in schema");
        return Err(Refusal::new(16, 0x200a, text));
    }
    match classes.last() {
        Some(class) => Ok(class.to_lowercase()),
        None => {
            let text = format!("00002014: objectclass: Cannot add {dn}, no objectclass specified!");
            Err(Refusal::new(65, 0x2014, text))
        }
    }
}

fn values<'a>(attributes: &'a Attributes, name: &str) -> &'a [Value] {
    let found = attributes
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or(&[], |(_, values)| values.as_slice())
}

fn first(attributes: &Attributes, name: &str) -> Option<String> {
    values(attributes, name).first().map(text)
}

/// What is in the name or said otherwise and not written again.
fn is_said(attribute: &str) -> bool {
    [
        "objectClass",
        "cn",
        "name",
        "sAMAccountName",
        "userPrincipalName",
        "unicodePwd",
        "distinguishedName",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(attribute))
}

fn add_user(
    domain: &mut Domain,
    writer: &Writer<'_>,
    (dn, cn, container): (&str, &str, &str),
    attributes: &Attributes,
) -> Result<(), Refusal> {
    let sam = match first(attributes, "sAMAccountName") {
        Some(sam) => sam,
        None => domain.made_sam(),
    };
    if domain.object_by_sam(&sam).is_some() {
        return Err(sam_in_use(&sam));
    }
    let mut user = User::new(&sam, "").cn(cn).container(container);
    user = match first(attributes, "userPrincipalName") {
        Some(upn) if domain.by_upn(&upn).is_some() => return Err(upn_in_use(&upn)),
        Some(upn) => user.upn(&upn),
        None => user.without_upn(),
    };
    let guid = domain
        .add(user, writer.now)
        .map_err(|error| Refusal::unwilling(format!("00002035: {error}")))?;
    let filled = fill(domain, writer, dn, guid, attributes);
    if filled.is_err() {
        // It was there for a moment only; nobody else has seen it.
        let _ = domain.remove(guid);
    }
    filled
}

fn fill(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    guid: Uuid,
    attributes: &Attributes,
) -> Result<(), Refusal> {
    let unwilling = |error| Refusal::unwilling(format!("00002035: {error}"));
    let mut after = domain
        .account(guid)
        .ok_or_else(|| Refusal::no_object(dn))?
        .clone();
    // Without more a new user is disabled and must change the password that it lacks.
    after.disabled = true;
    after.control_rest = 0x20;
    after.must_change = true;
    for (attribute, values) in attributes {
        if schema::attribute(attribute).is_none() {
            let text = format!(
                "0000200A: objectclass_attrs: attribute '{attribute}' on entry '{dn}' was not found in the schema!"
            );
            return Err(Refusal::new(16, 0x200a, text));
        }
        if is_said(attribute) || attribute.eq_ignore_ascii_case("pwdLastSet") {
            continue;
        }
        apply(&mut after, writer, dn, &change(attribute, values))?;
    }
    domain
        .update(guid, |account| *account = after)
        .map_err(unwilling)?;
    for attribute in ["unicodePwd", "pwdLastSet"] {
        let values = values(attributes, attribute);
        if !values.is_empty() {
            modify(domain, writer, dn, &[change(attribute, values)])?;
        }
    }
    Ok(())
}

fn change(attribute: &str, values: &[Value]) -> Change {
    Change {
        kind: ChangeKind::Replace,
        attribute: attribute.to_owned(),
        values: values.to_vec(),
    }
}

fn add_group(
    domain: &mut Domain,
    writer: &Writer<'_>,
    (cn, container): (&str, &str),
    attributes: &Attributes,
) -> Result<(), Refusal> {
    let sam = first(attributes, "sAMAccountName").unwrap_or_else(|| cn.to_owned());
    if domain.object_by_sam(&sam).is_some() {
        return Err(sam_in_use(&sam));
    }
    let mut members = BTreeSet::new();
    group::apply(
        domain,
        &mut members,
        &change("member", values(attributes, "member")),
    )?;
    let guid = domain
        .add_group_as(&sam, cn, container, writer.now)
        .map_err(|error| Refusal::unwilling(format!("00002035: {error}")))?;
    domain.set_members(guid, members);
    Ok(())
}

/// Carries out a delete request.
pub(crate) fn delete(domain: &mut Domain, writer: &Writer<'_>, dn: &str) -> Result<(), Refusal> {
    writer.bound()?;
    let normal = normal_dn(dn).ok_or_else(|| Refusal::no_name("delete"))?;
    let (_, _, parent) = split_rdn(dn).ok_or_else(|| Refusal::no_name("delete"))?;
    let object = domain.object_by_dn(&normal);
    if object.is_none() && !domain.has_container(&normal) {
        let text = format!("00002030: objectclass: Cannot delete {dn}, entry does not exist!");
        return Err(Refusal::new(32, 0x208d, text));
    }
    if !writer.is_administrator(domain) {
        let text = format!("dsdb_access: Access check failed on {parent}");
        return Err(Refusal::new(50, 0x2098, text));
    }
    let Some(guid) = object else {
        let children = domain.children(&normal);
        if children > 0 {
            let text = format!(
                "00002015: subtree_delete: Unable to delete a non-leaf node (it has {children} children)!"
            );
            return Err(Refusal::new(66, 0x2015, text));
        }
        domain.remove_container(&normal);
        return Ok(());
    };
    domain.delete(guid, writer.now);
    Ok(())
}

/// Carries out a modifyDN request.
pub(crate) fn rename(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    to: &Move<'_>,
) -> Result<(), Refusal> {
    writer.bound()?;
    let missing = || Refusal::new(32, 0x208d, "00002030: No such object");
    let normal = normal_dn(dn).ok_or_else(missing)?;
    let (_, _, old_parent) = split_rdn(dn).ok_or_else(missing)?;
    if !to.delete_old {
        return Err(Refusal::unwilling(
            "00002035: Unwilling to perform. Old RDN must be deleted",
        ));
    }
    let Some(container) = domain.container_of(to.superior.unwrap_or(&old_parent)) else {
        let text = format!("00002095: objectclass: Cannot rename {dn}, parent does not exist!");
        return Err(Refusal::new(80, 0x2095, text));
    };
    let Some(guid) = domain.object_by_dn(&normal) else {
        let text = format!("00002030: objectclass: Cannot rename {dn}, entry does not exist!");
        return Err(Refusal::new(32, 0x208d, text));
    };
    if !writer.is_administrator(domain) {
        let text = format!("00002098: Object {dn} has no wp on name\n");
        return Err(Refusal::new(50, 0x2098, text));
    }
    let new_dn = format!("{},{}", to.rdn, to.superior.unwrap_or(&old_parent));
    let (key, name, _) = split_rdn(&new_dn).ok_or_else(missing)?;
    if !key.eq_ignore_ascii_case("cn") {
        let class = if domain.group(guid).is_some() {
            "group"
        } else {
            "user"
        };
        let text = format!("00002035: objectclass: Invalid RDN '{key}' for objectclass '{class}'!");
        return Err(Refusal::unwilling(text));
    }
    let taken = normal_dn(&new_dn).and_then(|new| domain.object_by_dn(&new));
    if taken.is_some_and(|other| other != guid) {
        let text = format!("Entry {new_dn} already exists");
        return Err(Refusal::new(68, 0x2071, text));
    }
    domain
        .move_to(guid, &name, &container)
        .map_err(|error| Refusal::unwilling(format!("00002035: {error}")))
}
