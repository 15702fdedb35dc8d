//! Names that people and directories use, parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use crate::ids::Malformed;

/// Longest name, in bytes: a DN of a deep tree fits, an attack on buffers does not.
pub const NAME_BYTES_MAX: usize = 512;

/// A DNS domain in lower case, such as `corp.example.com`: the suffix of usernames, and what an
/// agent serves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

impl DomainName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            field: "domain",
            expected: "a DNS name like corp.example.com",
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(malformed);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// A tenant's short name in addresses: 1 to 63 lower-case letters, digits and inner hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct TenantName(String);

impl TenantName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantName {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let inner = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !inner || text.is_empty() || text.len() > 63 || text.starts_with('-') || text.ends_with('-') {
            let expected = "1 to 63 lower-case letters, digits and inner hyphens";
            return Err(Malformed {
                field: "tenant",
                expected,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a user types to say who they are: `name@domain`, any case. Compared in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// The whole name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the at-sign.
    #[expect(
        clippy::expect_used,
        reason = "both halves were checked when the name was parsed"
    )]
    pub fn domain(&self) -> DomainName {
        self.0
            .rsplit_once('@')
            .expect("an at-sign")
            .1
            .parse()
            .expect("a domain")
    }
}

impl FromStr for Username {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            field: "username",
            expected: "name@domain, at most 512 bytes",
        };
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(malformed.clone())?;
        let plain = !local.is_empty() && !local.chars().any(|c| c.is_control() || c.is_whitespace());
        if !plain || text.len() > NAME_BYTES_MAX {
            return Err(malformed);
        }
        let domain: DomainName = domain.parse().map_err(|_| malformed.clone())?;
        let lower = format!("{}@{}", local.to_lowercase(), domain.as_str());
        // Lower case may be longer than what was typed.
        if lower.len() > NAME_BYTES_MAX {
            Err(malformed)
        } else {
            Ok(Self(lower))
        }
    }
}

/// What the directory calls a user: userPrincipalName or DN, 1 to 512 bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct OnPremisesName(String);

impl OnPremisesName {
    /// The name as the directory has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OnPremisesName {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            let expected = "1 to 512 bytes without control characters";
            return Err(Malformed {
                field: "on_premises_name",
                expected,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a directory calls a property of its entries, such as `mail`: 1 to 64 letters, digits and inner hyphens,
/// a letter first. Compared in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct AttributeName(String);

impl AttributeName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AttributeName {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !plain || !starts || text.ends_with('-') || text.len() > 64 {
            return Err(Malformed {
                field: "alternate_id_attribute",
                expected: "an attribute of the directory, such as mail",
            });
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

macro_rules! shown {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}
shown!(DomainName, TenantName, Username, OnPremisesName, AttributeName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        let one: Username = "alice@corp.example.com".parse().unwrap();
        for text in [
            "ALICE@Corp.Example.COM",
            " alice@corp.example.com ",
            "Alice@corp.example.com",
        ] {
            assert_eq!(text.parse::<Username>().unwrap(), one, "{text}");
        }
        assert_eq!(one.domain().as_str(), "corp.example.com");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "alice",
            "@corp.example",
            "a b@corp.example",
            "a\0@corp.example",
            "a@",
            "a@-x",
            "a@x..y",
        ] {
            assert!(text.parse::<Username>().is_err(), "{text:?}");
        }
        assert!(
            format!("{}@corp.example", "a".repeat(600))
                .parse::<Username>()
                .is_err()
        );
        for text in ["", "A", "-a", "a-", "a.b", "ä"] {
            assert!(text.parse::<TenantName>().is_err(), "{text:?}");
        }
        assert!("a\nb".parse::<OnPremisesName>().is_err());
        for text in ["", "1a", "-a", "a-", "a b", "a)(b", "ä"] {
            assert!(text.parse::<AttributeName>().is_err(), "{text:?}");
        }
        assert_eq!(
            "msDS-Mail".parse::<AttributeName>().unwrap().as_str(),
            "msds-mail"
        );
    }

    proptest! {
        #[test]
        fn a_parsed_username_parses_to_itself(text in ".{0,40}@[a-z0-9.-]{1,20}") {
            if let Ok(name) = text.parse::<Username>() {
                prop_assert_eq!(name.as_str().parse::<Username>().unwrap(), name.clone());
                prop_assert!(name.as_str().ends_with(name.domain().as_str()));
            }
        }
    }
}
