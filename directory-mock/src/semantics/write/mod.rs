//! Writes over LDAP: who may write what, and what a refusal is told. Pure: the directory, the time and
//! the request go in; the directory changes as a whole or not at all.
//!
//! An administrator may write anything, a user some attributes of its own, and whoever knows a password
//! may change it. The texts of refusals are Samba's to the letter; Windows' have the public form, of
//! which only result code and Win32 code mean anything.

mod account;
mod entry;
mod group;

use postern_kit::clock::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::model::{Domain, Flavour, normal_dn};

pub(crate) use entry::{Move, add, delete, rename};

/// A value; it may be a password.
pub(crate) type Value = Zeroizing<Vec<u8>>;

/// What is done with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Add,
    Delete,
    Replace,
}

/// One change of a modify request.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) attribute: String,
    pub(crate) values: Vec<Value>,
}

/// Values do not print.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {} ({} values)",
            self.kind,
            self.attribute,
            self.values.len()
        )
    }
}

/// Who writes, where and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) flavour: Flavour,
    pub(crate) host: &'a str,
    pub(crate) now: Timestamp,
    /// Whom the connection is bound as.
    pub(crate) identity: Option<Uuid>,
    pub(crate) encrypted: bool,
    /// The policy-hints control: a reset obeys the history.
    pub(crate) with_history: bool,
}

impl Writer<'_> {
    /// The object that writes.
    fn bound(&self) -> Result<Uuid, Refusal> {
        self.identity.ok_or_else(Refusal::not_bound)
    }

    fn is_administrator(&self, domain: &Domain) -> bool {
        let account = self.identity.and_then(|guid| domain.account(guid));
        account.is_some_and(|account| account.administrator)
    }
}

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    win32: u32,
    samba: String,
    /// Where Windows' text is known better than by its form.
    windows: Option<String>,
}

impl Refusal {
    fn new(code: u32, win32: u32, samba: impl Into<String>) -> Self {
        Self {
            code,
            win32,
            samba: samba.into(),
            windows: None,
        }
    }

    pub(crate) fn not_bound() -> Self {
        Self {
            windows: Some(
                "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful \
                 bind must be completed on the connection., data 0, v4563\0"
                    .to_owned(),
            ),
            ..Self::new(1, 0x4dc, "00002020: Operation unavailable without authentication")
        }
    }

    pub(crate) fn no_object(dn: &str) -> Self {
        Self::new(32, 0x208d, format!("00002030: No such Base DN: {dn}"))
    }

    fn no_name(operation: &str) -> Self {
        Self::new(
            34,
            0x208f,
            format!("00002032: ldb_{operation}: invalid dn '(null)'"),
        )
    }

    fn no_right(dn: &str) -> Self {
        let text = format!("00002098: Object {dn} has no write property access\n");
        Self::new(50, 0x2098, text)
    }

    fn no_control_right() -> Self {
        Self::new(
            50,
            0x5,
            "error in module acl: insufficient access rights during LDB_MODIFY (50)",
        )
    }

    fn unwilling(samba: impl Into<String>) -> Self {
        Self::new(53, 0x209a, samba)
    }

    /// diagnosticMessage.
    pub(crate) fn text(&self, flavour: Flavour) -> String {
        if flavour == Flavour::Samba {
            return self.samba.clone();
        }
        if let Some(text) = &self.windows {
            return text.clone();
        }
        let (family, problem) = match self.code {
            16 => ("AtrErr", "1001 (NO_ATTRIBUTE_OR_VAL)"),
            19 => ("AtrErr", "1005 (CONSTRAINT_ATT_TYPE)"),
            20 => ("AtrErr", "1006 (ATT_OR_VALUE_EXISTS)"),
            21 => ("AtrErr", "1002 (INVALID_ATT_SYNTAX)"),
            32 => ("NameErr", "2001 (NO_OBJECT)"),
            34 => ("NameErr", "2006 (BAD_NAME)"),
            50 => ("SecErr", "4003 (INSUFF_ACCESS_RIGHTS)"),
            65 => ("UpdErr", "6002 (OBJ_CLASS_VIOLATION)"),
            66 => ("UpdErr", "6003 (CANT_ON_NON_LEAF)"),
            67 => ("UpdErr", "6004 (CANT_ON_RDN)"),
            68 => ("UpdErr", "6005 (ENTRY_EXISTS)"),
            _ => ("SvcErr", "5003 (WILL_NOT_PERFORM)"),
        };
        let win32 = self.win32;
        format!("{win32:08X}: {family}: DSID-031A11E6, problem {problem}, data 0\n\0")
    }
}

/// Carries out a modify request.
pub(crate) fn modify(
    domain: &mut Domain,
    writer: &Writer<'_>,
    dn: &str,
    changes: &[Change],
) -> Result<(), Refusal> {
    writer.bound()?;
    let normal = normal_dn(dn).ok_or_else(|| Refusal::no_name("modify"))?;
    if let Some(guid) = domain.by_dn(&normal).map(|account| account.guid) {
        return account::modify(domain, writer, dn, guid, changes);
    }
    if let Some(guid) = domain.group_by_dn(&normal).map(|group| group.guid) {
        return group::modify(domain, writer, dn, guid, changes);
    }
    if Some(&normal) == normal_dn(domain.base_dn()).as_ref() {
        return account::modify_domain(domain, writer, dn, changes);
    }
    Err(Refusal::no_object(dn))
}

/// A value as text.
fn text(value: &Value) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests;
