//! The part of Active Directory's schema that the directory knows: which attributes there are, which
//! take one value only, and the definitions that clients read below `CN=Aggregate`.

use Kind::{Boolean, Integer, LargeInteger, Name, Octets, Oid, Text, Time};
use Values::{Many, Single};

/// What values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    LargeInteger,
    Octets,
    Name,
    Time,
    Oid,
    Boolean,
}

/// How many values an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Single,
    Many,
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    oid: &'static str,
    pub(crate) kind: Kind,
    pub(crate) values: Values,
}

const fn row(name: &'static str, oid: &'static str, kind: Kind, values: Values) -> Attribute {
    Attribute {
        name,
        oid,
        kind,
        values,
    }
}

/// Class, OID, class above, and what kind of class it is.
const CLASSES: &[(&str, &str, &str, &str)] = &[
    ("top", "2.5.6.0", "top", "ABSTRACT"),
    ("person", "2.5.6.6", "top", "STRUCTURAL"),
    ("organizationalPerson", "2.5.6.7", "person", "STRUCTURAL"),
    (
        "user",
        "1.2.840.113556.1.5.9",
        "organizationalPerson",
        "STRUCTURAL",
    ),
    ("group", "1.2.840.113556.1.5.8", "top", "STRUCTURAL"),
    ("container", "1.2.840.113556.1.3.23", "top", "STRUCTURAL"),
    ("organizationalUnit", "2.5.6.5", "top", "STRUCTURAL"),
    ("domain", "1.2.840.113556.1.5.66", "top", "ABSTRACT"),
    ("domainDNS", "1.2.840.113556.1.5.67", "domain", "STRUCTURAL"),
    ("leaf", "1.2.840.113556.1.5.20", "top", "ABSTRACT"),
    ("trustedDomain", "1.2.840.113556.1.5.34", "leaf", "STRUCTURAL"),
    ("crossRef", "1.2.840.113556.1.3.11", "top", "STRUCTURAL"),
    (
        "crossRefContainer",
        "1.2.840.113556.1.5.7000.53",
        "top",
        "STRUCTURAL",
    ),
    (
        "msDS-PasswordSettings",
        "1.2.840.113556.1.5.255",
        "top",
        "STRUCTURAL",
    ),
];

/// The attribute of this name, in any case.
pub(crate) fn attribute(name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

/// Whether there is such a class, in any case.
pub(crate) fn has_class(name: &str) -> bool {
    CLASSES.iter().any(|(known, ..)| known.eq_ignore_ascii_case(name))
}

/// The attributes' definitions (RFC 4512, AttributeTypeDescription).
pub(crate) fn attribute_types() -> impl Iterator<Item = String> {
    ATTRIBUTES.iter().map(|attribute| {
        let single = match attribute.values {
            Single => "SINGLE-VALUE ",
            Many => "",
        };
        let (oid, name, syntax) = (attribute.oid, attribute.name, attribute.kind.syntax());
        format!("( {oid} NAME '{name}' SYNTAX '{syntax}' {single})")
    })
}

/// The classes' definitions (RFC 4512, ObjectClassDescription), without their attributes.
pub(crate) fn object_classes() -> impl Iterator<Item = String> {
    CLASSES.iter().map(|(name, oid, above, kind)| match *name {
        "top" => format!("( {oid} NAME '{name}' {kind} )"),
        _ => format!("( {oid} NAME '{name}' SUP {above} {kind} )"),
    })
}

impl Kind {
    fn syntax(self) -> &'static str {
        match self {
            Text => "1.3.6.1.4.1.1466.115.121.1.15",
            Integer => "1.3.6.1.4.1.1466.115.121.1.27",
            LargeInteger => "1.2.840.113556.1.4.906",
            Octets => "1.3.6.1.4.1.1466.115.121.1.40",
            Name => "1.3.6.1.4.1.1466.115.121.1.12",
            Time => "1.3.6.1.4.1.1466.115.121.1.24",
            Oid => "1.3.6.1.4.1.1466.115.121.1.38",
            Boolean => "1.3.6.1.4.1.1466.115.121.1.7",
        }
    }
}

/// Names, OIDs and syntaxes as a real domain controller publishes them.
const ATTRIBUTES: &[Attribute] = &[
    row("accountExpires", "1.2.840.113556.1.4.159", LargeInteger, Single),
    row("badPasswordTime", "1.2.840.113556.1.4.49", LargeInteger, Single),
    row("badPwdCount", "1.2.840.113556.1.4.12", Integer, Single),
    row("c", "2.5.4.6", Text, Single),
    row("canonicalName", "1.2.840.113556.1.4.916", Text, Many),
    row("cn", "2.5.4.3", Text, Single),
    row("co", "1.2.840.113556.1.2.131", Text, Single),
    row("codePage", "1.2.840.113556.1.4.16", Integer, Single),
    row("company", "1.2.840.113556.1.2.146", Text, Single),
    row("countryCode", "1.2.840.113556.1.4.25", Integer, Single),
    row("dc", "0.9.2342.19200300.100.1.25", Text, Single),
    row("department", "1.2.840.113556.1.2.141", Text, Single),
    row("departmentNumber", "2.16.840.1.113730.3.1.2", Text, Many),
    row("description", "2.5.4.13", Text, Many),
    row("directReports", "1.2.840.113556.1.2.436", Name, Many),
    row("displayName", "1.2.840.113556.1.2.13", Text, Single),
    row("distinguishedName", "2.5.4.49", Name, Single),
    row("dnsRoot", "1.2.840.113556.1.4.28", Text, Many),
    row("employeeID", "1.2.840.113556.1.4.35", Text, Single),
    row("employeeNumber", "1.2.840.113556.1.2.610", Text, Single),
    row("employeeType", "1.2.840.113556.1.2.613", Text, Single),
    row("facsimileTelephoneNumber", "2.5.4.23", Text, Single),
    row("flatName", "1.2.840.113556.1.4.511", Text, Single),
    row("givenName", "2.5.4.42", Text, Single),
    row("groupType", "1.2.840.113556.1.4.750", Integer, Single),
    row("homePhone", "0.9.2342.19200300.100.1.20", Text, Single),
    row("info", "1.2.840.113556.1.2.81", Text, Single),
    row("initials", "2.5.4.43", Text, Single),
    row("instanceType", "1.2.840.113556.1.2.1", Integer, Single),
    row("ipPhone", "1.2.840.113556.1.4.721", Text, Single),
    row("isDeleted", "1.2.840.113556.1.2.48", Boolean, Single),
    row("isRecycled", "1.2.840.113556.1.4.2058", Boolean, Single),
    row("l", "2.5.4.7", Text, Single),
    row("lastKnownParent", "1.2.840.113556.1.4.781", Name, Single),
    row("lastLogoff", "1.2.840.113556.1.4.51", LargeInteger, Single),
    row("lastLogon", "1.2.840.113556.1.4.52", LargeInteger, Single),
    row(
        "lastLogonTimestamp",
        "1.2.840.113556.1.4.1696",
        LargeInteger,
        Single,
    ),
    row("lockoutDuration", "1.2.840.113556.1.4.60", LargeInteger, Single),
    row(
        "lockOutObservationWindow",
        "1.2.840.113556.1.4.61",
        LargeInteger,
        Single,
    ),
    row("lockoutThreshold", "1.2.840.113556.1.4.73", Integer, Single),
    row("lockoutTime", "1.2.840.113556.1.4.662", LargeInteger, Single),
    row("logonCount", "1.2.840.113556.1.4.169", Integer, Single),
    row("logonHours", "1.2.840.113556.1.4.64", Octets, Single),
    row("mail", "0.9.2342.19200300.100.1.3", Text, Single),
    row("manager", "0.9.2342.19200300.100.1.10", Name, Single),
    row("maxPwdAge", "1.2.840.113556.1.4.74", LargeInteger, Single),
    row("member", "2.5.4.31", Name, Many),
    row("memberOf", "1.2.840.113556.1.2.102", Name, Many),
    row("minPwdAge", "1.2.840.113556.1.4.78", LargeInteger, Single),
    row("minPwdLength", "1.2.840.113556.1.4.79", Integer, Single),
    row("mobile", "0.9.2342.19200300.100.1.41", Text, Single),
    row(
        "msDS-LockoutDuration",
        "1.2.840.113556.1.4.2018",
        LargeInteger,
        Single,
    ),
    row(
        "msDS-LockoutObservationWindow",
        "1.2.840.113556.1.4.2017",
        LargeInteger,
        Single,
    ),
    row(
        "msDS-LockoutThreshold",
        "1.2.840.113556.1.4.2019",
        Integer,
        Single,
    ),
    row(
        "msDS-MaximumPasswordAge",
        "1.2.840.113556.1.4.2011",
        LargeInteger,
        Single,
    ),
    row(
        "msDS-MinimumPasswordAge",
        "1.2.840.113556.1.4.2012",
        LargeInteger,
        Single,
    ),
    row(
        "msDS-MinimumPasswordLength",
        "1.2.840.113556.1.4.2013",
        Integer,
        Single,
    ),
    row(
        "msDS-PasswordComplexityEnabled",
        "1.2.840.113556.1.4.2015",
        Boolean,
        Single,
    ),
    row(
        "msDS-PasswordHistoryLength",
        "1.2.840.113556.1.4.2014",
        Integer,
        Single,
    ),
    row(
        "msDS-PasswordReversibleEncryptionEnabled",
        "1.2.840.113556.1.4.2016",
        Boolean,
        Single,
    ),
    row(
        "msDS-PasswordSettingsPrecedence",
        "1.2.840.113556.1.4.2023",
        Integer,
        Single,
    ),
    row("msDS-PSOAppliesTo", "1.2.840.113556.1.4.2020", Name, Many),
    row("msDS-ResultantPSO", "1.2.840.113556.1.4.2022", Name, Single),
    row(
        "msDS-SupportedEncryptionTypes",
        "1.2.840.113556.1.4.1963",
        Integer,
        Single,
    ),
    row(
        "msDS-TrustForestTrustInfo",
        "1.2.840.113556.1.4.1702",
        Octets,
        Single,
    ),
    row(
        "msDS-User-Account-Control-Computed",
        "1.2.840.113556.1.4.1460",
        Integer,
        Single,
    ),
    row(
        "msDS-UserPasswordExpiryTimeComputed",
        "1.2.840.113556.1.4.1996",
        LargeInteger,
        Single,
    ),
    row("name", "1.2.840.113556.1.4.1", Text, Single),
    row("nCName", "1.2.840.113556.1.2.16", Name, Single),
    row("nETBIOSName", "1.2.840.113556.1.4.87", Text, Single),
    row("o", "2.5.4.10", Text, Many),
    row("objectCategory", "1.2.840.113556.1.4.782", Name, Single),
    row("objectClass", "2.5.4.0", Oid, Many),
    row("objectGUID", "1.2.840.113556.1.4.2", Octets, Single),
    row("objectSid", "1.2.840.113556.1.4.146", Octets, Single),
    row("otherMailbox", "1.2.840.113556.1.4.651", Text, Many),
    row("otherMobile", "1.2.840.113556.1.4.647", Text, Many),
    row("otherTelephone", "1.2.840.113556.1.2.18", Text, Many),
    row("ou", "2.5.4.11", Text, Many),
    row("pager", "0.9.2342.19200300.100.1.42", Text, Single),
    row("physicalDeliveryOfficeName", "2.5.4.19", Text, Single),
    row("postalCode", "2.5.4.17", Text, Single),
    row("postOfficeBox", "2.5.4.18", Text, Many),
    row("preferredLanguage", "2.16.840.1.113730.3.1.39", Text, Single),
    row("primaryGroupID", "1.2.840.113556.1.4.98", Integer, Single),
    row("proxyAddresses", "1.2.840.113556.1.2.210", Text, Many),
    row("pwdHistoryLength", "1.2.840.113556.1.4.95", Integer, Single),
    row("pwdLastSet", "1.2.840.113556.1.4.96", LargeInteger, Single),
    row("pwdProperties", "1.2.840.113556.1.4.93", Integer, Single),
    row("rootTrust", "1.2.840.113556.1.4.674", Name, Single),
    row("sAMAccountName", "1.2.840.113556.1.4.221", Text, Single),
    row("sAMAccountType", "1.2.840.113556.1.4.302", Integer, Single),
    row("securityIdentifier", "1.2.840.113556.1.4.121", Octets, Single),
    row("servicePrincipalName", "1.2.840.113556.1.4.771", Text, Many),
    row("sn", "2.5.4.4", Text, Single),
    row("st", "2.5.4.8", Text, Single),
    row("street", "2.5.4.9", Text, Single),
    row("streetAddress", "1.2.840.113556.1.2.256", Text, Single),
    row("systemFlags", "1.2.840.113556.1.4.375", Integer, Single),
    row("telephoneNumber", "2.5.4.20", Text, Single),
    row("thumbnailPhoto", "2.16.840.1.113730.3.1.35", Octets, Single),
    row("title", "2.5.4.12", Text, Single),
    row("tokenGroups", "1.2.840.113556.1.4.1301", Octets, Many),
    row("trustAttributes", "1.2.840.113556.1.4.470", Integer, Single),
    row("trustDirection", "1.2.840.113556.1.4.132", Integer, Single),
    row("trustParent", "1.2.840.113556.1.4.471", Name, Single),
    row("trustPartner", "1.2.840.113556.1.4.133", Text, Single),
    row("trustType", "1.2.840.113556.1.4.136", Integer, Single),
    row("uid", "0.9.2342.19200300.100.1.1", Text, Many),
    row("unicodePwd", "1.2.840.113556.1.4.90", Octets, Single),
    row("uPNSuffixes", "1.2.840.113556.1.4.890", Text, Many),
    row("url", "1.2.840.113556.1.4.749", Text, Many),
    row("userAccountControl", "1.2.840.113556.1.4.8", Integer, Single),
    row("userCertificate", "2.5.4.36", Octets, Many),
    row("userParameters", "1.2.840.113556.1.4.138", Octets, Single),
    row("userPassword", "2.5.4.35", Octets, Many),
    row("userPrincipalName", "1.2.840.113556.1.4.656", Text, Single),
    row("userWorkstations", "1.2.840.113556.1.4.86", Text, Single),
    row("uSNChanged", "1.2.840.113556.1.2.120", LargeInteger, Single),
    row("uSNCreated", "1.2.840.113556.1.2.19", LargeInteger, Single),
    row("whenChanged", "1.2.840.113556.1.2.3", Time, Single),
    row("whenCreated", "1.2.840.113556.1.2.2", Time, Single),
    row("wWWHomePage", "1.2.840.113556.1.2.464", Text, Single),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_in_any_case_and_described_as_published() {
        let mail = attribute("MAIL").unwrap();
        assert_eq!((mail.name, mail.values, mail.kind), ("mail", Single, Text));
        assert!(attribute("nosuch").is_none() && has_class("USER") && !has_class("nosuch"));
        let definition = "( 2.5.4.31 NAME 'member' SYNTAX '1.3.6.1.4.1.1466.115.121.1.12' )";
        assert!(attribute_types().any(|text| text == definition));
        let user = "( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL )";
        assert!(object_classes().any(|text| text == user));
    }
}
