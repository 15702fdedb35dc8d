//! Where a forest's controllers are: a list, or a question to the domain name system.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use postern_kit::config::Fields;
use postern_proto::ids::Malformed;
use postern_proto::names::DomainName;

use super::{HostPort, list, some};

/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// Where a forest's controllers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controllers {
    /// Here, the preferred one first.
    Listed(Vec<HostPort>),
    /// Where the domain name system says.
    Discovered(Discover),
}

/// How controllers are found as Windows finds them: by SRV records, read again when they expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    /// The DNS name of their domain. Only hosts in it are taken for controllers,
    pub domain: DomainName,
    /// and hosts in these domains, where controllers have names of another one.
    pub hosts_under: Vec<DomainName>,
    /// The site whose controllers are preferred.
    pub site: Option<SiteName>,
    /// Name servers that know the domain, such as controllers; the system's if there are none.
    pub servers: Vec<SocketAddr>,
    /// Where the controllers listen, if not where the protection usually does: for LDAPS on 636, which no record
    /// tells; for StartTLS as the records say.
    pub port: Option<u16>,
}

impl Discover {
    /// The controllers of a domain, as the system's name servers know them.
    pub fn of(domain: DomainName) -> Self {
        Self {
            domain,
            hosts_under: Vec::new(),
            site: None,
            servers: Vec::new(),
            port: None,
        }
    }
}

/// A site of Active Directory, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteName(String);

impl FromStr for SiteName {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        // It is a label of a DNS name.
        match text.parse::<DomainName>() {
            Ok(name) if !text.contains('.') => Ok(Self(name.as_str().to_owned())),
            _ => Err(Malformed {
                field: "site",
                expected: "the name of a site, such as Default-First-Site-Name",
            }),
        }
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn controllers(fields: &mut Fields<'_>) -> Option<Controllers> {
    let discover = fields.optional_table("discover", discover)?;
    let Some(discover) = discover else {
        return listed(fields).map(Controllers::Listed);
    };
    let listed: Option<Vec<String>> = fields.optional("controllers", "a list")?;
    if listed.is_some() {
        fields.mistake("controllers", "stands beside discover; expected one of them");
        return None;
    }
    Some(Controllers::Discovered(discover))
}

fn listed(fields: &mut Fields<'_>) -> Option<Vec<HostPort>> {
    let expected = "host:port, such as dc1.corp.example.com:636";
    let controllers: Vec<HostPort> = list(fields, "controllers", expected)?;
    // The LDAP client hands the brackets to TLS, which knows no such name.
    if let Some(address) = controllers
        .iter()
        .find(|controller| controller.host.contains(':'))
    {
        fields.mistake(
            "controllers",
            format_args!("{address}: IPv6 addresses do not work with LDAP over TLS; expected a host name"),
        );
        return None;
    }
    Some(controllers)
}

fn discover(fields: &mut Fields<'_>) -> Option<Discover> {
    let expected = "the DNS name of the controllers' domain, such as corp.example.com";
    let domain = fields.required("domain", expected);
    let domain = domain.and_then(|text: String| parsed(fields, "domain", expected, &text));
    let expected = "the name of a site, such as Default-First-Site-Name";
    let site = match fields.optional::<String>("site", expected) {
        Some(Some(text)) => parsed(fields, "site", expected, &text).map(Some),
        Some(None) => Some(None),
        None => None,
    };
    let hosts_under = some(fields, "hosts_under", "DNS names like corp.example.com");
    let expected = "addresses of name servers, such as 10.0.0.1 or 10.0.0.1:53";
    let servers: Option<Vec<NameServer>> = some(fields, "servers", expected);
    let port: Option<Option<NonZeroU16>> = fields.optional("port", "a number from 1 to 65535");
    Some(Discover {
        domain: domain?,
        site: site?,
        hosts_under: hosts_under?,
        servers: servers?.into_iter().map(|server| server.0).collect(),
        port: port?.map(NonZeroU16::get),
    })
}

fn parsed<T: FromStr>(fields: &Fields<'_>, name: &str, expected: &str, text: &str) -> Option<T> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        fields.mistake(name, format_args!("expected {expected}"));
    }
    parsed
}

/// An address with or without a port.
struct NameServer(SocketAddr);

impl FromStr for NameServer {
    type Err = std::net::AddrParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(SocketAddr::new(address, DNS_PORT))),
            Err(_) => text.parse().map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const FOREST: &str = r#"
        state = "/var/lib/agent"
        cloud = "cloud.example.com:8443"
        [[forest]]
        name = "corp"
        domains = ["corp.example.com"]
        trust = "/etc/corp-ca.pem"
    "#;

    fn read(rest: &str) -> Result<Controllers, Vec<String>> {
        match Config::from_toml(&format!("{FOREST}{rest}")) {
            Ok(config) => Ok(config.forests[0].controllers.clone()),
            Err(wrong) => Err(wrong.mistakes().to_vec()),
        }
    }

    fn mistakes(rest: &str) -> Vec<String> {
        read(rest).unwrap_err()
    }

    #[test]
    fn a_domain_is_enough_to_discover() {
        let discover = Discover::of("corp.example.com".parse().unwrap());
        assert_eq!(
            read("discover = { domain = 'Corp.example.com' }"),
            Ok(Controllers::Discovered(discover))
        );
    }

    #[test]
    fn everything_about_discovery_can_be_said() {
        let Ok(Controllers::Discovered(discover)) = read(
            r#"
            [forest.discover]
            domain = "corp.example.com"
            hosts_under = ["dc.example.com"]
            site = "Berlin-1"
            servers = ["10.0.0.1", "10.0.0.2:5353", "::1"]
            port = 3636
            "#,
        ) else {
            panic!("it is right");
        };
        assert_eq!(discover.site.unwrap().to_string(), "berlin-1");
        assert_eq!(discover.hosts_under[0].as_str(), "dc.example.com");
        let servers: Vec<_> = discover.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "10.0.0.2:5353", "[::1]:53"]);
        assert_eq!(discover.port, Some(3636));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(
            mistakes(
                r#"
                [forest.discover]
                site = "a.b"
                hosts_under = ["..", "fine.example"]
                servers = ["dc1.corp.example.com"]
                port = 0
                "#
            ),
            [
                "forest[0].discover.domain: missing; expected the DNS name of the controllers' domain, such as corp.example.com",
                "forest[0].discover.site: expected the name of a site, such as Default-First-Site-Name",
                "forest[0].discover.hosts_under: \"..\" is none of DNS names like corp.example.com",
                "forest[0].discover.servers: \"dc1.corp.example.com\" is none of addresses of name servers, such as 10.0.0.1 or 10.0.0.1:53",
                "forest[0].discover.port: expected a number from 1 to 65535",
            ]
        );
        assert_eq!(
            mistakes("controllers = ['dc1:636']\ndiscover = { domain = 'corp.example.com' }"),
            ["forest[0].controllers: stands beside discover; expected one of them"]
        );
        assert_eq!(
            mistakes(""),
            [
                "forest[0].controllers: missing; expected a list of host:port, such as dc1.corp.example.com:636"
            ]
        );
    }
}
