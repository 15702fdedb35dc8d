//! What an operator decides: where the cloud is, and which directories this agent may ask.
//! Read from TOML with all mistakes at once, or put together in code.

mod bind;
mod controllers;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use postern_kit::config::{ConfigErrors, Fields, parse};
use postern_kit::net::LdapProtection;
use postern_kit::tls::Certificate;
use postern_proto::ids::Malformed;
use postern_proto::names::DomainName;
use serde::Deserialize;

pub use self::bind::{BindName, NoTemplate, ServiceAccount, Template};
pub use controllers::{Controllers, Discover, SiteName};

/// Requests in flight unless configured. A domain controller judges some 400 binds a second per
/// core, so this many wait for less than a second.
const REQUESTS_MAX_DEFAULT: usize = 256;

/// Most requests in flight that can be configured: each holds a password in memory and a task.
const REQUESTS_MAX_LIMIT: usize = 4096;

/// Longest wait that can be configured: no request lives longer.
const WAIT_MS_MAX: u64 = 60_000;

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// A DNS name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            field: "address",
            expected: "host:port, such as dc1.corp.example.com:636",
        };
        let (host, port) = text.rsplit_once(':').ok_or(malformed.clone())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let port: u16 = port.parse().map_err(|_| malformed.clone())?;
        // A bare IPv6 address would swallow its last group as the port.
        let ambiguous = bare.is_none() && host.contains(':');
        if port == 0 || ambiguous || postern_kit::tls::server_name(host).is_err() {
            return Err(malformed);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whose habits a directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryKind {
    /// Tells in sub-codes why a bind failed.
    ActiveDirectory,
    /// Any other LDAP directory: result 49 alone means a wrong password.
    Ldap,
}

/// Whom the agent takes for a domain controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A chain under one of these certificates.
    Certificates(Vec<Certificate>),
    /// A chain under one of the certificates of this PEM file, read at start.
    File(PathBuf),
    /// A chain under a root that the operating system trusts.
    System,
}

/// A directory and the domains whose users it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForestConfig {
    /// For logs.
    pub name: String,
    /// The domains of users that this directory answers for. They are suffixes as well.
    pub domains: Vec<DomainName>,
    /// More suffixes of its users' names: whose name ends in one is bound here, whatever the domain.
    pub suffixes: Vec<DomainName>,
    /// Its controllers.
    pub controllers: Controllers,
    /// How connections to them are protected.
    pub protection: LdapProtection,
    /// How users are bound.
    pub bind_name: BindName,
    /// Under which account it is read, if there is one.
    pub service_account: Option<ServiceAccount>,
    /// Whose habits it has.
    pub kind: DirectoryKind,
    /// Whom to take for one of its controllers.
    pub trust: Trust,
}

/// How long single steps may take. The request's own deadline bounds all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to a controller, TLS included; then the next controller is tried.
    pub connect: Duration,
    /// For the answer of an idle connection that is probed before use.
    pub probe: Duration,
    /// For requests in flight when the agent stops.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // An attempt's share of the deadline is 4 s: two dead controllers fit before a live one.
            connect: Duration::from_millis(1500),
            probe: Duration::from_millis(1000),
            // A sign-in's deadline.
            drain: Duration::from_secs(15),
        }
    }
}

/// The agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of the identity.
    pub state: PathBuf,
    /// The cloud's listener for agents.
    pub cloud: HostPort,
    /// Most requests in flight; one more is answered "busy".
    pub max_requests: usize,
    /// How long single steps may take.
    pub timeouts: Timeouts,
    /// The directories, each with its own domains.
    pub forests: Vec<ForestConfig>,
}

impl Config {
    /// A configuration with defaults for the rest.
    pub fn new(state: PathBuf, cloud: HostPort, forests: Vec<ForestConfig>) -> Self {
        Self {
            state,
            cloud,
            max_requests: REQUESTS_MAX_DEFAULT,
            timeouts: Timeouts::default(),
            forests,
        }
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// All mistakes at once, each with its field.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        parse(text, config)
    }
}

fn config(fields: &mut Fields<'_>) -> Option<Config> {
    let state = fields.required("state", "a folder");
    let cloud = address(fields, "cloud");
    let max_requests = number(
        fields,
        "max_requests",
        REQUESTS_MAX_DEFAULT as u64,
        REQUESTS_MAX_LIMIT as u64,
    );
    let timeouts = fields.table("timeouts", timeouts);
    let forests = fields.tables("forest", forest);
    if let Some(forests) = &forests {
        check_forests(fields, forests)?;
    }
    Some(Config {
        state: state?,
        cloud: cloud?,
        max_requests: usize::try_from(max_requests?).ok()?,
        timeouts: timeouts?,
        forests: forests?,
    })
}

/// What only shows when all forests are seen together.
fn check_forests(fields: &Fields<'_>, forests: &[ForestConfig]) -> Option<()> {
    let mut fine = true;
    if forests.is_empty() {
        fields.mistake("forest", "missing; expected at least one [[forest]]");
        fine = false;
    }
    let mut owners = BTreeMap::new();
    for forest in forests {
        for domain in forest.domains.iter().chain(&forest.suffixes) {
            if let Some(other) = owners.insert(domain, &forest.name) {
                fields.mistake(
                    "forest",
                    format_args!(
                        "{domain} stands in both {other} and {}; expected one",
                        forest.name
                    ),
                );
                fine = false;
            }
        }
    }
    fine.then_some(())
}

fn timeouts(fields: &mut Fields<'_>) -> Option<Timeouts> {
    let default = Timeouts::default();
    let connect = wait(fields, "connect_ms", default.connect);
    let probe = wait(fields, "probe_ms", default.probe);
    let drain = wait(fields, "drain_ms", default.drain);
    Some(Timeouts {
        connect: connect?,
        probe: probe?,
        drain: drain?,
    })
}

fn wait(fields: &mut Fields<'_>, name: &'static str, default: Duration) -> Option<Duration> {
    let default = u64::try_from(default.as_millis()).unwrap_or(WAIT_MS_MAX);
    number(fields, name, default, WAIT_MS_MAX).map(Duration::from_millis)
}

fn number(fields: &mut Fields<'_>, name: &'static str, default: u64, max: u64) -> Option<u64> {
    let value: u64 = fields.or(name, default, &format!("a number from 1 to {max}"))?;
    if (1..=max).contains(&value) {
        return Some(value);
    }
    fields.mistake(name, format_args!("expected a number from 1 to {max}"));
    None
}

fn address(fields: &mut Fields<'_>, name: &'static str) -> Option<HostPort> {
    let expected = "host:port, such as cloud.example.com:8443";
    let text: String = fields.required(name, expected)?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            fields.mistake(name, format_args!("expected {expected}"));
            None
        }
    }
}

/// A list of texts, each parsed, at least one.
fn list<T: FromStr>(fields: &mut Fields<'_>, name: &'static str, expected: &str) -> Option<Vec<T>> {
    let texts: Vec<String> = fields.required(name, &format!("a list of {expected}"))?;
    if texts.is_empty() {
        fields.mistake(name, format_args!("expected a list of {expected}, at least one"));
        return None;
    }
    each(fields, name, expected, texts)
}

/// A list of texts, each parsed; an absent one reads as an empty one.
fn some<T: FromStr>(fields: &mut Fields<'_>, name: &'static str, expected: &str) -> Option<Vec<T>> {
    let texts = fields.or(name, Vec::new(), &format!("a list of {expected}"))?;
    each(fields, name, expected, texts)
}

fn each<T: FromStr>(fields: &Fields<'_>, name: &str, expected: &str, texts: Vec<String>) -> Option<Vec<T>> {
    let mut parsed = Some(Vec::new());
    for text in texts {
        match text.parse() {
            Ok(value) => {
                if let Some(parsed) = &mut parsed {
                    parsed.push(value);
                }
            }
            Err(_) => {
                fields.mistake(name, format_args!("{text:?} is none of {expected}"));
                parsed = None;
            }
        }
    }
    parsed
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protection {
    Ldaps,
    StartTls,
}

fn forest(fields: &mut Fields<'_>) -> Option<ForestConfig> {
    let name = fields.required("name", "a text");
    let domains = list(fields, "domains", "DNS names like corp.example.com");
    let suffixes = some(fields, "suffixes", "DNS names like corp.example.com");
    let controllers = controllers::controllers(fields);
    let protection = fields.or("protection", Protection::Ldaps, "\"ldaps\" or \"starttls\"");
    let kind = fields.or(
        "kind",
        DirectoryKind::ActiveDirectory,
        "\"active-directory\" or \"ldap\"",
    );
    let service_account = bind::service_account(fields);
    let bind_name = bind::bind_name(fields, kind, service_account.as_ref().map(Option::is_some));
    let trust: Option<String> = fields.required("trust", "the path of a PEM file, or \"system\"");
    Some(ForestConfig {
        name: name?,
        domains: domains?,
        suffixes: suffixes?,
        controllers: controllers?,
        protection: match protection? {
            Protection::Ldaps => LdapProtection::Ldaps,
            Protection::StartTls => LdapProtection::StartTls,
        },
        bind_name: bind_name?,
        service_account: service_account?,
        kind: kind?,
        trust: match trust?.as_str() {
            "system" => Trust::System,
            path => Trust::File(path.into()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        state = "/var/lib/agent"
        cloud = "cloud.example.com:8443"
        [[forest]]
        name = "corp"
        domains = ["Corp.Example.com", "example.com"]
        controllers = ["dc1.corp.example.com:636", "10.0.0.2:636"]
        trust = "/etc/corp-ca.pem"
        [[forest]]
        name = "lab"
        domains = ["lab.example.com"]
        controllers = ["ldap.lab.example.com:389"]
        protection = "starttls"
        kind = "ldap"
        bind_name = "upn"
        base = "dc=lab"
        trust = "system"
    "#;

    #[test]
    fn a_good_file_is_read_with_defaults() {
        let config = Config::from_toml(GOOD).unwrap();
        assert_eq!(config.max_requests, 256);
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!(config.cloud.to_string(), "cloud.example.com:8443");
        let [corp, lab] = config.forests.as_slice() else {
            panic!("two forests");
        };
        assert_eq!(corp.domains[0].as_str(), "corp.example.com");
        let Controllers::Listed(controllers) = &corp.controllers else {
            panic!("a list");
        };
        assert_eq!(controllers[1].to_string(), "10.0.0.2:636");
        assert_eq!(corp.suffixes, []);
        assert_eq!(corp.bind_name, BindName::Guid);
        assert_eq!(corp.kind, DirectoryKind::ActiveDirectory);
        assert_eq!(corp.protection, LdapProtection::Ldaps);
        assert_eq!(
            lab.bind_name,
            BindName::Upn {
                base: "dc=lab".into()
            }
        );
        assert_eq!(lab.protection, LdapProtection::StartTls);
        assert_eq!(lab.trust, Trust::System);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let wrong = Config::from_toml(
            r#"
            cloud = "cloud.example.com"
            max_requests = 0
            timeouts.connect_ms = 100000
            [[forest]]
            name = "a"
            domains = ["bad_name..x", "fine.example"]
            controllers = []
            kind = "ldap"
            trust = "system"
            [[forest]]
            name = "b"
            domains = ["b.example"]
            controllers = ["dc1:0"]
            protection = "none"
            bind_name = "upn"
            password = "x"
            "#,
        )
        .unwrap_err();
        let fields: Vec<_> = wrong
            .mistakes()
            .iter()
            .map(|mistake| mistake.split(": ").next().unwrap_or_default())
            .collect();
        assert_eq!(
            fields,
            [
                "state",
                "cloud",
                "max_requests",
                "timeouts.connect_ms",
                "forest[0].domains",
                "forest[0].controllers",
                "forest[0].bind_name",
                "forest[1].controllers",
                "forest[1].protection",
                "forest[1].base",
                "forest[1].trust",
                "forest[1].password",
            ]
        );
    }

    #[test]
    fn a_domain_belongs_to_one_forest() {
        let twice = GOOD.replace("lab.example.com\"]", "EXAMPLE.com\"]");
        let wrong = Config::from_toml(&twice).unwrap_err();
        assert_eq!(
            wrong.mistakes(),
            ["forest: example.com stands in both corp and lab; expected one"]
        );
        let suffix = GOOD.replace("kind = \"ldap\"", "kind = \"ldap\"\nsuffixes = [\"example.com\"]");
        assert_eq!(
            Config::from_toml(&suffix).unwrap_err().mistakes(),
            ["forest: example.com stands in both corp and lab; expected one"]
        );
        let none = GOOD.split("[[forest]]").next().unwrap_or_default();
        assert!(
            Config::from_toml(none)
                .unwrap_err()
                .to_string()
                .contains("at least one")
        );
    }

    #[test]
    fn a_controller_is_not_an_ipv6_address() {
        let wrong = Config::from_toml(&GOOD.replace("10.0.0.2:636", "[::1]:636")).unwrap_err();
        let [mistake] = wrong.mistakes() else {
            panic!("{wrong}");
        };
        assert!(
            mistake.starts_with("forest[0].controllers: [::1]:636: IPv6"),
            "{mistake}"
        );
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in [
            "",
            "host",
            "host:",
            ":1",
            "host:0",
            "::1:636",
            "a b:1",
            "host:99999",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        assert_eq!("127.0.0.1:1".parse::<HostPort>().unwrap().port, 1);
        assert_eq!("[::1]:636".parse::<HostPort>().unwrap().to_string(), "[::1]:636");
    }
}
