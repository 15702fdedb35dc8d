//! The parts of the configuration file that describe more than one domain controller: further controllers,
//! further domains, and trusts.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use postern_kit::config::Fields;

use super::{DOMAIN_EXPECTED, is_domain_name, read_content, read_listen, read_names};
use crate::model::{Directory, Forests, Trust, TrustDirection};

/// A domain beside the first.
#[derive(Clone, Debug)]
pub struct FurtherDomain {
    /// The domain with its users.
    pub directory: Directory,
    /// The root of its forest; absent for a forest of its own.
    pub forest: Option<String>,
    /// Where plain LDAP of its first controller listens.
    pub ldap: Option<SocketAddr>,
    /// Where LDAPS of its first controller listens.
    pub ldaps: Option<SocketAddr>,
}

/// A controller beside the first of its domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FurtherController {
    /// Its domain; the file's first one if absent.
    pub domain: Option<String>,
    /// Its host name.
    pub host: String,
    /// Where plain LDAP listens.
    pub ldap: Option<SocketAddr>,
    /// Where LDAPS listens.
    pub ldaps: Option<SocketAddr>,
}

/// One controller that the file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) domain: String,
    pub(crate) host: String,
    pub(crate) ldap: Option<SocketAddr>,
    pub(crate) ldaps: Option<SocketAddr>,
}

/// Everything beside the first domain and its first controller.
#[derive(Clone, Debug, Default)]
pub struct Further {
    /// Domains.
    pub domains: Vec<FurtherDomain>,
    /// Controllers.
    pub controllers: Vec<FurtherController>,
    /// Trusts between the domains.
    pub trusts: Vec<Trust>,
}

impl Further {
    /// All domains with their trusts.
    pub(crate) fn forests(&self, first: &Directory) -> Forests {
        let mut builder = Forests::builder(first.clone());
        for domain in &self.domains {
            let directory = domain.directory.clone();
            builder = match &domain.forest {
                Some(root) => builder.domain(root, directory),
                None => builder.forest(directory),
            };
        }
        let trusts = self.trusts.iter().cloned();
        trusts
            .fold(builder, |builder, trust| builder.trust(trust))
            .build()
    }

    /// All controllers: the first, those of the further domains, and the further ones.
    pub(crate) fn wanted(
        &self,
        first: &Directory,
        (ldap, ldaps): (Option<SocketAddr>, Option<SocketAddr>),
    ) -> Vec<Wanted> {
        let of = |directory: &Directory, ldap, ldaps| Wanted {
            domain: directory.dns_name.clone(),
            host: directory.host.clone(),
            ldap,
            ldaps,
        };
        let mut wanted = vec![of(first, ldap, ldaps)];
        let domains = self.domains.iter();
        wanted.extend(domains.map(|domain| of(&domain.directory, domain.ldap, domain.ldaps)));
        wanted.extend(self.controllers.iter().map(|controller| {
            Wanted {
                domain: controller
                    .domain
                    .clone()
                    .unwrap_or_else(|| first.dns_name.clone()),
                host: controller.host.clone(),
                ldap: controller.ldap,
                ldaps: controller.ldaps,
            }
        }));
        wanted
    }
}

/// Reads `controllers`, `domains` and `trusts`; `first` is the file's first domain, if it could be read.
pub(super) fn read(fields: &mut Fields<'_>, first: Option<&Directory>) -> Option<Further> {
    let domains = fields.tables("domains", read_domain);
    let controllers = fields.tables("controllers", read_controller);
    let trusts = fields.tables("trusts", read_trust);
    let further = Further {
        domains: domains?,
        controllers: controllers?,
        trusts: trusts?,
    };
    let first = first?;
    if let Err(error) = further.forests(first).check() {
        let field = if further.trusts.is_empty() {
            "domains"
        } else {
            "trusts"
        };
        fields.mistake(field, error);
        return None;
    }
    let domains: BTreeSet<&str> = std::iter::once(first)
        .chain(further.domains.iter().map(|domain| &domain.directory))
        .map(|directory| directory.dns_name.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    for wanted in further.wanted(first, (None, None)) {
        let name = format!("{}.{}", wanted.host.to_lowercase(), wanted.domain);
        if !domains.contains(wanted.domain.as_str()) {
            let problem = format_args!(
                "no domain {}; expected one of `domain` and `domains`",
                wanted.domain
            );
            fields.mistake("controllers", problem);
            return None;
        }
        if !seen.insert(name.clone()) {
            fields.mistake(
                "controllers",
                format_args!("two are called {name}; expected another host name"),
            );
            return None;
        }
    }
    Some(further)
}

fn read_domain(fields: &mut Fields<'_>) -> Option<FurtherDomain> {
    let names = read_names(fields);
    let forest = optional_domain(fields, "forest");
    let listen = read_listen(fields);
    let directory = read_content(fields, names);
    let (ldap, ldaps) = listen?;
    Some(FurtherDomain {
        directory: directory?,
        forest: forest?,
        ldap,
        ldaps,
    })
}

fn read_controller(fields: &mut Fields<'_>) -> Option<FurtherController> {
    let domain = optional_domain(fields, "domain");
    let host: Option<String> = fields.required("host", "a host name such as \"dc2\"");
    let listen = read_listen(fields);
    let (ldap, ldaps) = listen?;
    Some(FurtherController {
        domain: domain?,
        host: host?,
        ldap,
        ldaps,
    })
}

fn read_trust(fields: &mut Fields<'_>) -> Option<Trust> {
    const KINDS: &str = "\"forest\" or \"external\"";
    const DIRECTIONS: &str = "\"both\", \"outbound\" (the partner's users bind here) or \"inbound\"";
    let at: Option<String> = fields.required("domain", DOMAIN_EXPECTED);
    let partner: Option<String> = fields.required("partner", DOMAIN_EXPECTED);
    let kind = fields.or("kind", "forest".to_owned(), KINDS);
    let direction = fields.or("direction", "both".to_owned(), DIRECTIONS);
    let disabled: Option<Vec<String>> = fields.or("disable", Vec::new(), "a list of name suffixes");
    let excluded: Option<Vec<String>> = fields.or("exclude", Vec::new(), "a list of name suffixes");
    let direction = direction.and_then(|text| match text.as_str() {
        "both" => Some(TrustDirection::Both),
        "outbound" => Some(TrustDirection::Outbound),
        "inbound" => Some(TrustDirection::Inbound),
        _ => {
            fields.mistake("direction", format_args!("expected {DIRECTIONS}"));
            None
        }
    });
    let make = kind.and_then(|text| match text.as_str() {
        "forest" => Some(Trust::forest as fn(&str, &str) -> Trust),
        "external" => Some(Trust::external as fn(&str, &str) -> Trust),
        _ => {
            fields.mistake("kind", format_args!("expected {KINDS}"));
            None
        }
    });
    let trust = make?(&at?, &partner?).direction(direction?);
    let trust = disabled?
        .iter()
        .fold(trust, |trust, suffix| trust.disable(suffix));
    Some(
        excluded?
            .iter()
            .fold(trust, |trust, suffix| trust.exclude(suffix)),
    )
}

fn optional_domain(fields: &mut Fields<'_>, name: &'static str) -> Option<Option<String>> {
    let domain: Option<String> = fields.optional(name, DOMAIN_EXPECTED)?;
    if domain.as_deref().is_some_and(|domain| !is_domain_name(domain)) {
        fields.mistake(name, format_args!("expected {DOMAIN_EXPECTED}"));
        return None;
    }
    Some(domain.map(|domain| domain.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::super::read;

    const FIRST: &str = "domain = 'corp.test'\nnetbios = 'CORP'\nlisten.ldaps = '127.0.0.1:0'\n";

    #[test]
    fn controllers_domains_and_trusts_are_read() {
        let config = read(&format!(
            r#"{FIRST}
            upn_suffixes = ["alt.test"]
            [[controllers]]
            host = "dc2"
            listen.ldap = "127.0.0.1:0"
            [[domains]]
            domain = "emea.corp.test"
            netbios = "EMEA"
            forest = "corp.test"
            listen.ldaps = "127.0.0.1:0"
            [[domains]]
            domain = "lab.test"
            netbios = "LAB"
            host = "lab1"
            listen.ldaps = "127.0.0.1:0"
            users = [{{ name = "ada", password = "secret" }}]
            [[trusts]]
            domain = "corp.test"
            partner = "lab.test"
            direction = "outbound"
            exclude = ["hidden.lab.test"]
            "#
        ))
        .unwrap();
        let wanted = config
            .further
            .wanted(&config.directory, (config.ldap, config.ldaps));
        let names: Vec<_> = wanted
            .iter()
            .map(|wanted| format!("{}.{}", wanted.host, wanted.domain))
            .collect();
        assert_eq!(
            names,
            [
                "dc1.corp.test",
                "dc1.emea.corp.test",
                "lab1.lab.test",
                "dc2.corp.test"
            ]
        );
        assert_eq!(config.further.trusts.len(), 1);
        assert_eq!(config.further.forests(&config.directory).directories().count(), 3);
    }

    #[test]
    fn what_is_missing_or_there_twice_is_told_with_its_field() {
        let check = |more: &str, expected: &[&str]| {
            let wrong = read(&format!("{FIRST}{more}")).unwrap_err();
            assert_eq!(wrong.mistakes(), expected, "{more}");
        };
        let lab = "[[domains]]\ndomain = 'lab.test'\nnetbios = 'LAB'\nlisten.ldaps = '127.0.0.1:0'\n";
        check(
            "[[controllers]]\nhost = 'DC1'\nlisten.ldaps = '127.0.0.1:0'",
            &["controllers: two are called dc1.corp.test; expected another host name"],
        );
        check(
            "[[controllers]]\ndomain = 'lab.test'\nhost = 'dc2'\nlisten.ldaps = '127.0.0.1:0'",
            &["controllers: no domain lab.test; expected one of `domain` and `domains`"],
        );
        check(
            &format!("{lab}forest = 'nosuch.test'"),
            &["domains: no domain nosuch.test; expected the DNS name of one that is described"],
        );
        check(
            &format!(
                "{lab}[[trusts]]\ndomain = 'corp.test'\npartner = 'lab.test'\nkind = 'x'\ndirection = 'y'"
            ),
            &[
                "trusts[0].direction: expected \"both\", \"outbound\" (the partner's users bind here) or \
                 \"inbound\"",
                "trusts[0].kind: expected \"forest\" or \"external\"",
            ],
        );
        check(
            &format!("{lab}[[trusts]]\ndomain = 'corp.test'\npartner = 'lab.test'\ndisable = ['x.test']"),
            &["trusts: lab.test has no name suffix x.test of its own"],
        );
    }
}
