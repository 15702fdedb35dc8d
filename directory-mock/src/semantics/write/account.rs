//! Changes of an account's attributes, its password among them, and of the domain's policy.

use std::time::Duration;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Change, ChangeKind, Refusal, Value, Writer, text};
use crate::model::schema::{self, Values};
use crate::model::{Account, Domain, Flavour, Policy, from_filetime};
use crate::semantics::{PasswordWrite, password};

const NEVER: i64 = i64::MAX;
/// What a user may write of its own account: the personal information of Active Directory.
const OWN: &[&str] = &[
    "mobile",
    "homephone",
    "wwwhomepage",
    "streetaddress",
    "info",
    "thumbnailphoto",
    "postalcode",
    "telephonenumber",
    "facsimiletelephonenumber",
    "pager",
    "l",
    "st",
    "c",
];
/// Kept by the directory itself.
const SYSTEM: &[&str] = &[
    "objectguid",
    "whencreated",
    "whenchanged",
    "usncreated",
    "usnchanged",
];
const CONSTRUCTED: &[&str] = &[
    "msds-user-account-control-computed",
    "msds-userpasswordexpirytimecomputed",
    "msds-resultantpso",
    "tokengroups",
    "canonicalname",
];
const NO_QUOTES: &str = "setup_io: it's not allowed to set the NT hash password directly'";
/// ACCOUNTDISABLE and DONT_EXPIRE_PASSWORD, which are states of their own.
const UAC_STATES: u32 = 0x1_0002;
/// LOCKOUT, NORMAL_ACCOUNT and PASSWORD_EXPIRED, which are never stored.
const UAC_NOT_STORED: u32 = 0x80_0210;

pub(super) fn modify(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    guid: Uuid,
    changes: &[Change],
) -> Result<(), Refusal> {
    let is_password = |change: &&Change| change.attribute.eq_ignore_ascii_case("unicodePwd");
    let passwords: Vec<&Change> = changes.iter().filter(is_password).collect();
    let others: Vec<&Change> = changes.iter().filter(|change| !is_password(change)).collect();
    let write = read_password(&passwords)?;
    may_write(domain, writer, dn, guid, &write, &others)?;
    let mut after = domain
        .account(guid)
        .ok_or_else(|| Refusal::no_object(dn))?
        .clone();
    // First on a copy: a refusal leaves everything as it was.
    for change in &others {
        apply(&mut after, writer, dn, change)?;
        names_are_free(domain, &after, change)?;
    }
    if let Some(write) = &write {
        set_password(domain, writer, guid, write)?;
    }
    let written = domain.update(guid, |account| {
        for change in &others {
            // Held on the copy, so it holds here.
            let _ = apply(account, writer, dn, change);
        }
    });
    written.map_err(|error| Refusal::unwilling(format!("00002035: {error}")))?;
    if others.iter().any(|change| unlocks(change)) {
        domain
            .unlock(guid)
            .map_err(|error| Refusal::unwilling(format!("00002035: {error}")))?;
    }
    Ok(())
}

/// The new password that a request asks for.
enum Asked {
    Reset(Zeroizing<String>),
    Change(Zeroizing<String>, Zeroizing<String>),
}

fn may_write(
    domain: &Domain,
    writer: &Writer<'_>,
    dn: &str,
    guid: Uuid,
    password: &Option<Asked>,
    others: &[&Change],
) -> Result<(), Refusal> {
    if writer.is_administrator(domain) {
        return Ok(());
    }
    if matches!(password, Some(Asked::Reset(_))) {
        return Err(Refusal::no_control_right());
    }
    let own = writer.identity == Some(guid);
    let may = |change: &&Change| own && OWN.contains(&change.attribute.to_ascii_lowercase().as_str());
    if others.iter().all(may) {
        Ok(())
    } else {
        Err(Refusal::no_right(dn))
    }
}

/// `replace` is a reset, `delete` with `add` a change.
fn read_password(changes: &[&Change]) -> Result<Option<Asked>, Refusal> {
    let unwilling = |text: &str| Err(Refusal::unwilling(format!("00002035: {text}")));
    let one = |change: &Change, code| match change.values.as_slice() {
        [value] => quoted(value).ok_or_else(|| bad_quotes(code)),
        _ => Err(bad_quotes(code)),
    };
    match changes {
        [] => Ok(None),
        [change] if change.kind == ChangeKind::Replace => Ok(Some(Asked::Reset(one(change, 53)?))),
        [change] if change.kind == ChangeKind::Add => {
            unwilling("Only the add action for a password change specified!")
        }
        [first, second] if first.kind == ChangeKind::Delete && second.kind == ChangeKind::Add => {
            Ok(Some(Asked::Change(one(first, 53)?, one(second, 19)?)))
        }
        _ => unwilling(
            "setup_io: It's not possible to delete the password (changes using the LAN Manager hash alone \
             could be deactivated)!",
        ),
    }
}

fn bad_quotes(code: u32) -> Refusal {
    let win32 = if code == 53 { 0x2035 } else { 0x202f };
    Refusal::new(code, win32, format!("{win32:08X}: {NO_QUOTES}"))
}

/// The password in double quotes as UTF-16LE.
fn quoted(value: &Value) -> Option<Zeroizing<String>> {
    if !value.len().is_multiple_of(2) {
        return None;
    }
    let pairs = value
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units = Zeroizing::new(pairs.collect::<Vec<u16>>());
    let text = Zeroizing::new(String::from_utf16(&units).ok()?);
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(Zeroizing::new(inner.to_owned()))
}

fn set_password(domain: &mut Domain, writer: &Writer<'_>, guid: Uuid, asked: &Asked) -> Result<(), Refusal> {
    if writer.flavour == Flavour::Windows && !writer.encrypted {
        let text = "0000001F: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n\0";
        return Err(told(53, 0x1f, text));
    }
    let (write, reset) = match asked {
        Asked::Reset(new) => {
            let with_history = writer.with_history;
            (PasswordWrite::Reset { new, with_history }, true)
        }
        Asked::Change(old, new) => (PasswordWrite::Change { old, new }, false),
    };
    let written = password::write_password(domain, writer.flavour, writer.host, writer.now, guid, write);
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => {
            let (code, text) = refused.answer(writer.flavour, reset);
            Err(told(code, 0x52d, &text))
        }
        Err(error) => Err(Refusal::unwilling(format!("00002035: {error}"))),
    }
}

/// A refusal whose text is known for the flavour that asked.
fn told(code: u32, win32: u32, text: &str) -> Refusal {
    Refusal {
        windows: Some(text.to_owned()),
        ..Refusal::new(code, win32, text)
    }
}

fn unlocks(change: &Change) -> bool {
    let name = &change.attribute;
    // Disabling and enabling takes a lockout away.
    name.eq_ignore_ascii_case("userAccountControl")
        || (name.eq_ignore_ascii_case("lockoutTime")
            && change.values.iter().all(|value| value.as_slice() == b"0"))
}

fn names_are_free(domain: &Domain, after: &Account, change: &Change) -> Result<(), Refusal> {
    let other = |found: Option<Uuid>| found.is_some_and(|guid| guid != after.guid);
    match change.attribute.to_ascii_lowercase().as_str() {
        "samaccountname" if other(domain.object_by_sam(&after.sam)) => Err(sam_in_use(&after.sam)),
        "userprincipalname" => match &after.upn {
            Some(upn) if other(domain.by_upn(upn).map(|account| account.guid)) => Err(upn_in_use(upn)),
            Some(_) | None => Ok(()),
        },
        _ => Ok(()),
    }
}

pub(super) fn sam_in_use(sam: &str) -> Refusal {
    let text = format!("00002071: samldb: samAccountName '{sam}' already in use!");
    Refusal::new(68, 0x2071, text)
}

pub(super) fn upn_in_use(upn: &str) -> Refusal {
    let text = format!("0000202F: samldb: userPrincipalName '{upn}' is already in use ");
    Refusal::new(19, 0x21c8, text)
}

/// Applies a change of anything but the password.
pub(super) fn apply(
    account: &mut Account,
    writer: &Writer<'_>,
    dn: &str,
    change: &Change,
) -> Result<(), Refusal> {
    let name = change.attribute.to_ascii_lowercase();
    let known = schema::attribute(&name).ok_or_else(|| unknown(&change.attribute, dn))?;
    writable(&name, &change.attribute, dn)?;
    if change.values.iter().any(|value| value.is_empty()) {
        let attribute = &change.attribute;
        let text = format!("Element {attribute} has empty attribute in ldb message ({dn})!");
        return Err(Refusal::new(21, 0x57, text));
    }
    let single = known.values == Values::Single;
    let values = merged(current(account, &name), dn, change, single)?;
    let value = values.first();
    match name.as_str() {
        "samaccountname" => match value {
            Some(sam) => account.sam = text(sam),
            None => {
                let text = "00002077: samldb: 'samAccountName' can't be deleted/empty!";
                return Err(Refusal::new(53, 0x2077, text));
            }
        },
        "userprincipalname" => account.upn = value.map(text),
        "displayname" => account.display_name = value.map(text),
        "useraccountcontrol" => match value {
            Some(value) => set_control(account, number(value).unwrap_or(0)),
            None => {
                let text = "00002077: samldb: 'userAccountControl' can't be deleted!";
                return Err(Refusal::new(53, 0x2077, text));
            }
        },
        "accountexpires" => account.account_expires = value.and_then(number).and_then(expiry),
        "pwdlastset" => set_last_set(account, writer, value)?,
        "lockouttime" => {
            let at = value.and_then(number).filter(|at| *at != 0);
            account.counters.lockout_time = at.map(from_filetime);
        }
        "badpwdcount" => {
            let count = value.and_then(number).and_then(|count| u32::try_from(count).ok());
            account.counters.bad_pwd_count = count.unwrap_or(0);
        }
        "logonhours" => account.logon_hours = value.and_then(|value| value.as_slice().try_into().ok()),
        "userworkstations" => {
            let names = value.map(text).unwrap_or_default();
            account.workstations = names
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
        }
        _ => {
            let stored = values.iter().map(|value| value.to_vec()).collect::<Vec<_>>();
            if stored.is_empty() {
                account.extra.remove(known.name);
            } else {
                account.extra.insert(known.name.to_owned(), stored);
            }
        }
    }
    Ok(())
}

fn unknown(attribute: &str, dn: &str) -> Refusal {
    let text = format!("acl_modify: attribute '{attribute}' on entry '{dn}' was not found in the schema!");
    Refusal::new(16, 0x57, text)
}

fn writable(name: &str, attribute: &str, dn: &str) -> Result<(), Refusal> {
    let on_entry = format!("attribute '{attribute}' on entry '{dn}'");
    if SYSTEM.contains(&name) {
        let text = format!("0000202F: objectclass_attrs: {on_entry} can only be modified as system");
        return Err(Refusal::new(19, 0x202f, text));
    }
    if CONSTRUCTED.contains(&name) {
        let text = format!("0000202F: objectclass_attrs: {on_entry} is constructed!");
        return Err(Refusal::new(19, 0x202f, text));
    }
    match name {
        "cn" | "name" => {
            let what = if name == "cn" { "RDN 'CN'" } else { "'name'" };
            let text = format!(
                "00002016: Modify of {what} on {dn} not permitted, must use 'rename' operation instead"
            );
            Err(Refusal::new(67, 0x2016, text))
        }
        "objectsid" => Err(Refusal::unwilling(
            "00002035: samldb: objectSid must not be specified!",
        )),
        "memberof" => {
            let text = format!(
                "00002035: objectclass_attrs: {on_entry} must not be modified directly, it is a linked attribute"
            );
            Err(Refusal::unwilling(text))
        }
        _ => Ok(()),
    }
}

/// The values of an attribute as they are stored, where a change has to know them.
fn current(account: &Account, name: &str) -> Vec<Value> {
    let one = |value: Option<&str>| {
        let value = value.map(|value| Zeroizing::new(value.as_bytes().to_vec()));
        value.into_iter().collect::<Vec<_>>()
    };
    match name {
        "samaccountname" => one(Some(&account.sam)),
        "userprincipalname" => one(account.upn.as_deref()),
        "displayname" => one(account.display_name.as_deref()),
        "useraccountcontrol" => one(Some(&account.user_account_control().to_string())),
        "userworkstations" if !account.workstations.is_empty() => one(Some(&account.workstations.join(","))),
        "logonhours" => account
            .logon_hours
            .iter()
            .map(|hours| Zeroizing::new(hours.to_vec()))
            .collect(),
        "lockouttime" if account.counters.lockout_time.is_some() => one(Some("1")),
        _ => {
            let extra = account
                .extra
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            extra.map_or(Vec::new(), |(_, values)| {
                values.iter().map(|value| Zeroizing::new(value.clone())).collect()
            })
        }
    }
}

/// The values after a change.
fn merged(before: Vec<Value>, dn: &str, change: &Change, single: bool) -> Result<Vec<Value>, Refusal> {
    let attribute = &change.attribute;
    let same = |a: &Value, b: &Value| a == b || text(a).to_lowercase() == text(b).to_lowercase();
    let after = match change.kind {
        ChangeKind::Replace => change.values.clone(),
        ChangeKind::Add => {
            let twice = change
                .values
                .iter()
                .any(|value| before.iter().any(|old| same(old, value)));
            if twice && !single {
                let text = format!("attribute '{attribute}': value #23 on '{dn}' already exists");
                return Err(Refusal::new(20, 0x2083, text));
            }
            before.into_iter().chain(change.values.iter().cloned()).collect()
        }
        ChangeKind::Delete if change.values.is_empty() => {
            if before.is_empty() {
                let text = format!("attribute '{attribute}': no such attribute for delete on '{dn}'");
                return Err(Refusal::new(16, 0x2085, text));
            }
            Vec::new()
        }
        ChangeKind::Delete => {
            let mut rest = before;
            for value in &change.values {
                let Some(at) = rest.iter().position(|old| same(old, value)) else {
                    let text = format!(
                        "attribute '{attribute}': no matching attribute value while deleting attribute on '{dn}'"
                    );
                    return Err(Refusal::new(16, 0x2085, text));
                };
                rest.remove(at);
            }
            rest
        }
    };
    if single && after.len() > 1 {
        let text = format!("0000200D: SINGLE-VALUE attribute {attribute} on {dn} specified more than once");
        return Err(Refusal::new(20, 0x200d, text));
    }
    Ok(after)
}

fn number(value: &Value) -> Option<i64> {
    text(value).parse().ok()
}

fn expiry(at: i64) -> Option<postern_kit::clock::Timestamp> {
    (at != 0 && at != NEVER).then(|| from_filetime(at))
}

fn set_control(account: &mut Account, bits: i64) {
    let bits = u32::try_from(bits).unwrap_or(0);
    account.disabled = bits & 0x2 != 0;
    account.password_never_expires = bits & 0x1_0000 != 0;
    account.control_rest = bits & !UAC_STATES & !UAC_NOT_STORED;
}

/// Only 0 (must be changed) and -1 (set now) can be written.
fn set_last_set(account: &mut Account, writer: &Writer<'_>, value: Option<&Value>) -> Result<(), Refusal> {
    match value.and_then(number) {
        Some(0) => account.must_change = true,
        Some(-1) => {
            if account.must_change {
                account.password_set = writer.now;
            }
            account.must_change = false;
        }
        Some(_) | None => {
            let text = "00000057: setup_last_set_field: pwdLastSet must be 0 or -1 only! at \
                        ../../source4/dsdb/samdb/ldb_modules/password_hash.c:2436:setup_last_set_field";
            return Err(Refusal::new(80, 0x57, text));
        }
    }
    Ok(())
}

/// Changes the domain's own policy.
pub(super) fn modify_domain(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    changes: &[Change],
) -> Result<(), Refusal> {
    if !writer.is_administrator(domain) {
        return Err(Refusal::no_right(dn));
    }
    let mut policy = *domain.policy();
    for change in changes {
        set_policy(&mut policy, dn, change)?;
    }
    domain.set_policy(policy);
    Ok(())
}

fn set_policy(policy: &mut Policy, dn: &str, change: &Change) -> Result<(), Refusal> {
    let name = change.attribute.to_ascii_lowercase();
    schema::attribute(&name).ok_or_else(|| unknown(&change.attribute, dn))?;
    let value = change.values.first().and_then(number);
    let count = value.and_then(|value| u32::try_from(value).ok());
    // Durations are negative counts of 100 ns; the smallest number is "never".
    let steps = value
        .filter(|value| *value != i64::MIN)
        .map_or(0, i64::unsigned_abs);
    let time = Duration::from_nanos(steps.saturating_mul(100));
    let wrong = || {
        let text = format!(
            "0000200B: objectclass_attrs: attribute '{}' on entry '{dn}' contains at least one invalid value!",
            change.attribute
        );
        Refusal::new(21, 0x200b, text)
    };
    match name.as_str() {
        "lockoutthreshold" => policy.lockout_threshold = count.ok_or_else(wrong)?,
        "minpwdlength" => policy.password_length_min = count.ok_or_else(wrong)?,
        "pwdhistorylength" => policy.password_history = count.ok_or_else(wrong)?,
        "pwdproperties" => policy.password_complexity = count.ok_or_else(wrong)? & 1 == 1,
        "lockoutduration" => policy.lockout_duration = time,
        "lockoutobservationwindow" => policy.lockout_window = time,
        "maxpwdage" => policy.password_age_max = time,
        "minpwdage" => policy.password_age_min = time,
        _ => {
            return Err(Refusal::unwilling(
                "00002035: this attribute of the domain is not kept",
            ));
        }
    }
    Ok(())
}
