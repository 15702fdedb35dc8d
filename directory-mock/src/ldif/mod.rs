//! Directories from and to LDIF: users, groups, containers, the domain's policy and fine-grained settings, as Active
//! Directory, Samba and this program itself export them.
//!
//! Entries of other classes are passed over and counted, so that the export of a whole domain can be taken as it is.
//! No export of a real directory has passwords; give one for all, or add `unicodePwd` (in Active Directory's form) or
//! `userPassword` (plain text).

mod export;
mod import;
mod text;

use std::collections::BTreeMap;
use std::fmt;

use crate::model::Password;

pub(crate) use export::export;
pub(crate) use import::import;
pub use text::{LdifErrors, Record, read};

/// Built-in group whose members the mock marks as administrators.
const ADMINISTRATORS: &str = "Domain Admins";
/// Built-in group whose members the mock marks as protected.
const PROTECTED: &str = "Protected Users";
/// Settings for accounts that never lock.
const NEVER_LOCKS: &str = "Never Locks";

/// Attributes that follow from others, in lower case.
const LEFT_OUT: &[&str] = &[
    "canonicalname",
    "changetype",
    "cn",
    "createtimestamp",
    "distinguishedname",
    "dscorepropagationdata",
    "instancetype",
    "memberof",
    "modifytimestamp",
    "msds-resultantpso",
    "msds-user-account-control-computed",
    "msds-userpasswordexpirytimecomputed",
    "name",
    "ntsecuritydescriptor",
    "objectcategory",
    "primarygroupid",
    "samaccounttype",
    "tokengroups",
    "usnchanged",
    "usncreated",
    "whenchanged",
];

fn is_left_out(attribute: &str) -> bool {
    LEFT_OUT
        .binary_search(&attribute.to_ascii_lowercase().as_str())
        .is_ok()
}

/// How entries are taken in.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The password of users that come without one. Without it they cannot sign in.
    pub password: Option<Password>,
}

/// What was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Users.
    pub users: u64,
    /// Users of these who have no password and cannot sign in.
    pub without_password: u64,
    /// Groups.
    pub groups: u64,
    /// Organizational units and containers.
    pub containers: u64,
    /// Fine-grained password settings.
    pub settings: u64,
    /// Entries that were passed over, by their last class.
    pub passed_over: BTreeMap<String, u64>,
    /// Members of groups that are none of the users and groups here.
    pub unknown_members: u64,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} users ({} without a password), {} groups, {} containers, {} password settings; passed over {} entries",
            self.users,
            self.without_password,
            self.groups,
            self.containers,
            self.settings,
            self.passed_over.values().sum::<u64>(),
        )
    }
}

#[cfg(test)]
mod tests;
