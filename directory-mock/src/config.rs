//! The program's configuration file.

mod files;
mod forests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use postern_kit::config::{ConfigErrors, Fields, parse};

use crate::faults::{RULES_MAX, Rule, read_rule};
use crate::model::{AccountState, Directory, DirectoryBuilder, Flavour, PasswordSettings, Policy, User};
use crate::population::Population;
use crate::server::IDLE_LIMIT;

pub use files::{ControlFiles, LdifFile, of_ldif};
pub use forests::{Further, FurtherController, FurtherDomain};

/// Most users that a seeded population may have: about 1.2 kB each.
const POPULATION_MAX: usize = 1_000_000;

/// What the program serves and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domain with its users.
    pub directory: Directory,
    /// Where plain LDAP listens.
    pub ldap: Option<SocketAddr>,
    /// Where LDAPS listens.
    pub ldaps: Option<SocketAddr>,
    /// Whose habits.
    pub flavour: Flavour,
    /// Simple binds in the clear are answered 8.
    pub require_encryption: bool,
    /// Time without a request after which a connection is closed.
    pub idle_limit: Duration,
    /// The certificate.
    pub tls: TlsFiles,
    /// Troubles from the start.
    pub faults: Vec<Rule>,
    /// What their chance is drawn from; without it they differ from run to run.
    pub fault_seed: Option<u64>,
    /// More controllers and domains, and trusts.
    pub further: Further,
    /// A file with more users and groups, if there is one.
    pub ldif: Option<LdifFile>,
    /// Where the directory is steered from, if it is.
    pub control: Option<ControlFiles>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFiles {
    /// From these PEM files.
    Given {
        /// Chain, leaf first.
        certificate: PathBuf,
        /// Key of the leaf.
        key: PathBuf,
    },
    /// Made at start. The root goes to this file, for clients to trust.
    Made {
        /// PEM file to write.
        root: Option<PathBuf>,
        /// More names that the certificate is valid for.
        names: Vec<String>,
    },
}

/// Reads a configuration.
///
/// # Errors
/// All mistakes at once, each with its field.
pub fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, |fields| {
        let names = read_names(fields);
        let listen = read_listen(fields);
        let flavour = fields.or("flavour", "samba".to_owned(), "\"samba\" or \"windows\"");
        let flavour = flavour.and_then(|name| flavour_of(fields, &name));
        let require_encryption = fields.or("require_encryption", false, "true or false");
        let idle_limit = seconds(fields, "idle_limit_s", IDLE_LIMIT);
        let tls = fields.table("tls", read_tls);
        let directory = read_content(fields, names);
        let further = forests::read(fields, directory.as_ref());
        let ldif = fields.table("ldif", files::read_ldif);
        let control = fields.table("control", files::read_control);
        let faults = fields.tables("faults", read_rule);
        let faults = faults.and_then(|rules| few(fields, rules));
        let fault_seed: Option<Option<u64>> = fields.optional("fault_seed", "a number");
        let (ldap, ldaps) = listen?;
        Some(Config {
            directory: directory?,
            ldap,
            ldaps,
            flavour: flavour?,
            require_encryption: require_encryption?,
            idle_limit: idle_limit?,
            tls: tls?,
            faults: faults?,
            fault_seed: fault_seed?,
            further: further?,
            ldif: ldif?,
            control: control?,
        })
    })
}

fn few(fields: &Fields<'_>, rules: Vec<Rule>) -> Option<Vec<Rule>> {
    if rules.len() > RULES_MAX {
        fields.mistake("faults", format_args!("expected at most {RULES_MAX} rules"));
        return None;
    }
    Some(rules)
}

/// DNS name, NetBIOS name and host of a domain.
type Names = (String, String, String);

fn read_names(fields: &mut Fields<'_>) -> Option<Names> {
    let dns = domain_name(fields);
    let netbios: Option<String> = fields.required("netbios", "a NetBIOS name such as \"CORP\"");
    let host = fields.or("host", "dc1".to_owned(), "a host name such as \"dc1\"");
    Some((dns?, netbios?, host?))
}

/// Where a controller listens: plain and with TLS.
type Listen = (Option<SocketAddr>, Option<SocketAddr>);

fn read_listen(fields: &mut Fields<'_>) -> Option<Listen> {
    fields.table("listen", |listen| {
        let expected = "an address like 127.0.0.1:636";
        let ldap = listen.optional("ldap", expected);
        let ldaps = listen.optional("ldaps", expected);
        let (ldap, ldaps) = (ldap?, ldaps?);
        if ldap.is_none() && ldaps.is_none() {
            listen.mistake(
                "ldaps",
                format_args!("missing; expected {expected} here or in listen.ldap"),
            );
            return None;
        }
        Some((ldap, ldaps))
    })
}

/// Policy, users and groups of a domain.
fn read_content(fields: &mut Fields<'_>, names: Option<Names>) -> Option<Directory> {
    let policy = fields.table("policy", read_policy);
    let users = fields.tables("users", read_user);
    let groups = fields.tables("groups", read_group);
    let settings = fields.tables("password_settings", read_settings);
    let suffixes: Option<Vec<String>> = fields.or("upn_suffixes", Vec::new(), "a list of DNS names");
    let population = fields.table("population", read_population);
    let (dns, netbios, host) = names?;
    let mut builder = Directory::builder(&dns, &netbios).host(&host).policy(policy?);
    builder = builder.users(users?);
    for (name, container, members) in groups? {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        builder = builder.group(&name, &container, &members);
    }
    builder = settings?
        .into_iter()
        .fold(builder, DirectoryBuilder::password_settings);
    for suffix in suffixes? {
        builder = builder.upn_suffix(&suffix);
    }
    if let Some((seed, count)) = population? {
        builder = builder.population(&Population::seeded(seed, count));
    }
    Some(builder.build())
}

const DOMAIN_EXPECTED: &str = "a DNS name such as \"corp.example.test\"";

fn domain_name(fields: &mut Fields<'_>) -> Option<String> {
    let name: String = fields.required("domain", DOMAIN_EXPECTED)?;
    if is_domain_name(&name) {
        return Some(name);
    }
    fields.mistake("domain", format_args!("expected {DOMAIN_EXPECTED}"));
    None
}

fn is_domain_name(name: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    name.split('.').all(label)
}

fn flavour_of(fields: &Fields<'_>, name: &str) -> Option<Flavour> {
    match name {
        "samba" => Some(Flavour::Samba),
        "windows" => Some(Flavour::Windows),
        _ => {
            fields.mistake("flavour", "expected \"samba\" or \"windows\"");
            None
        }
    }
}

fn seconds(fields: &mut Fields<'_>, name: &'static str, default: Duration) -> Option<Duration> {
    fields
        .or(name, default.as_secs(), "a number of seconds")
        .map(Duration::from_secs)
}

fn read_policy(fields: &mut Fields<'_>) -> Option<Policy> {
    let default = Policy::default();
    let threshold = fields.or(
        "lockout_threshold",
        default.lockout_threshold,
        "a number of failures, 0 for no lockout",
    );
    let window = seconds(fields, "lockout_window_s", default.lockout_window);
    let duration = seconds(fields, "lockout_duration_s", default.lockout_duration);
    let age = seconds(fields, "password_age_max_s", default.password_age_max);
    let old = seconds(fields, "old_password_allowed_s", default.old_password_allowed);
    let age_min = seconds(fields, "password_age_min_s", default.password_age_min);
    let length_min = fields.or(
        "password_length_min",
        default.password_length_min,
        "a number of characters",
    );
    let history = fields.or(
        "password_history",
        default.password_history,
        "a number of passwords",
    );
    let complexity = fields.or(
        "password_complexity",
        default.password_complexity,
        "true or false",
    );
    Some(Policy {
        lockout_threshold: threshold?,
        lockout_window: window?,
        lockout_duration: duration?,
        password_age_max: age?,
        old_password_allowed: old?,
        password_age_min: age_min?,
        password_length_min: length_min?,
        password_history: history?,
        password_complexity: complexity?,
    })
}

fn read_tls(fields: &mut Fields<'_>) -> Option<TlsFiles> {
    let certificate: Option<Option<PathBuf>> = fields.optional("certificate", "the path of a PEM file");
    let key: Option<Option<PathBuf>> = fields.optional("key", "the path of a PEM file");
    let root: Option<Option<PathBuf>> = fields.optional("root", "the path of a file to write");
    let names: Option<Vec<String>> = fields.or("names", Vec::new(), "a list of host names");
    let (root, names) = (root?, names?);
    match (certificate?, key?) {
        (Some(certificate), Some(key)) => {
            if root.is_some() || !names.is_empty() {
                fields.mistake(
                    "root",
                    "root and names are for a certificate that is made at start",
                );
                return None;
            }
            Some(TlsFiles::Given { certificate, key })
        }
        (None, None) => Some(TlsFiles::Made { root, names }),
        _ => {
            fields.mistake("certificate", "expected certificate and key, or neither");
            None
        }
    }
}

/// One user.
pub(crate) fn read_user(fields: &mut Fields<'_>) -> Option<User> {
    let name: Option<String> = fields.required("name", "a sAMAccountName");
    let password: Option<String> = fields.required("password", "a text");
    let upn: Option<Option<String>> = fields.optional("upn", "a name such as alice@corp.example.test");
    let display_name: Option<Option<String>> = fields.optional("display_name", "a text");
    let container: Option<Option<String>> = fields.optional("container", "a place such as OU=Staff");
    let administrator: Option<bool> = fields.or("administrator", false, "true or false");
    let states: Option<Vec<String>> = fields.or("states", Vec::new(), "a list of states");
    let mut known = Some(Vec::new());
    for text in states? {
        match (state(&text), known.as_mut()) {
            (Some(state), Some(known)) => known.push(state),
            (Some(_), None) => {}
            (None, _) => {
                fields.mistake("states", format_args!("expected one of {STATES}"));
                known = None;
            }
        }
    }
    let mut user = User::new(&name?, &password?);
    if let Some(upn) = upn? {
        user = user.upn(&upn);
    }
    if let Some(name) = display_name? {
        user = user.display_name(&name);
    }
    if let Some(container) = container? {
        user = user.container(&container);
    }
    if administrator? {
        user = user.administrator();
    }
    Some(known?.into_iter().fold(user, User::state))
}

/// Name, container and members of a group.
type Group = (String, String, Vec<String>);

fn read_group(fields: &mut Fields<'_>) -> Option<Group> {
    let name: Option<String> = fields.required("name", "a sAMAccountName");
    let container = fields.or("container", "CN=Users".to_owned(), "a place such as OU=Staff");
    let members: Option<Vec<String>> = fields.or("members", Vec::new(), "a list of sAMAccountNames");
    Some((name?, container?, members?))
}

/// Fine-grained settings: the keys of `policy` and whom they apply to.
fn read_settings(fields: &mut Fields<'_>) -> Option<PasswordSettings> {
    const EXPECTED: &str = "a number from 1, of which the lowest wins";
    let name: Option<String> = fields.required("name", "a name");
    let precedence: Option<u32> = fields.required("precedence", EXPECTED);
    let applies_to: Option<Vec<String>> = fields.required("applies_to", "a list of sAMAccountNames");
    let policy = read_policy(fields);
    let (name, precedence) = (name?, precedence?);
    if precedence == 0 {
        fields.mistake("precedence", format_args!("expected {EXPECTED}"));
        return None;
    }
    Some(PasswordSettings {
        name,
        precedence,
        policy: policy?,
        applies_to: applies_to?,
    })
}

/// The states by their names here.
pub(crate) const STATES: &str = "disabled, account_expired, password_expired, password_never_expires, must_change, locked, \
                      no_logon_hours, other_workstations, protected, never_locks";

/// The state of this name.
pub(crate) fn state(name: &str) -> Option<AccountState> {
    Some(match name {
        "disabled" => AccountState::Disabled,
        "account_expired" => AccountState::AccountExpired,
        "password_expired" => AccountState::PasswordExpired,
        "password_never_expires" => AccountState::PasswordNeverExpires,
        "must_change" => AccountState::MustChange,
        "locked" => AccountState::Locked,
        "no_logon_hours" => AccountState::NoLogonHours,
        "other_workstations" => AccountState::Workstations(vec!["ELSEWHERE".to_owned()]),
        "protected" => AccountState::Protected,
        "never_locks" => AccountState::NeverLocks,
        _ => return None,
    })
}

fn read_population(fields: &mut Fields<'_>) -> Option<Option<(u64, usize)>> {
    let seed = fields.or("seed", 1_u64, "a number");
    let count = fields.or("count", 0_usize, "a number of users");
    let (seed, count) = (seed?, count?);
    if count > POPULATION_MAX {
        fields.mistake("count", format_args!("expected at most {POPULATION_MAX} users"));
        return None;
    }
    Some((count > 0).then_some((seed, count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::clock::Timestamp;

    #[test]
    fn a_full_file_is_read() {
        let config = read(
            r#"
            domain = "corp.example.test"
            netbios = "CORP"
            flavour = "windows"
            idle_limit_s = 60
            listen.ldaps = "127.0.0.1:0"
            policy.lockout_threshold = 3
            population = { seed = 7, count = 5 }
            ldif = { file = "users.ldif", password = "for all" }
            control = { listen = "127.0.0.1:0", token_file = "control.token" }
            tls.root = "/tmp/root.pem"
            [[users]]
            name = "alice"
            password = "secret"
            administrator = true
            states = ["disabled", "locked"]
            [[groups]]
            name = "staff"
            members = ["alice"]
            [[password_settings]]
            name = "strict"
            precedence = 10
            applies_to = ["staff"]
            password_length_min = 14
            [[faults]]
            name = "slow"
            controller = "dc1"
            delay_ms = 30
            "#,
        )
        .unwrap();
        assert_eq!(config.flavour, Flavour::Windows);
        assert_eq!(config.idle_limit, Duration::from_secs(60));
        let domain = config.directory.domain(Timestamp::from_unix_ms(0)).unwrap();
        assert_eq!(domain.accounts().count(), 6);
        assert_eq!(domain.policy().lockout_threshold, 3);
        let alice = domain.by_sam("alice").unwrap();
        assert!(alice.disabled && alice.administrator);
        assert_eq!(domain.policy_of(alice).password_length_min, 14);
        let ldif = config.ldif.unwrap();
        assert_eq!(ldif.file, PathBuf::from("users.ldif"));
        assert!(ldif.options.password.unwrap().is("for all"));
        assert_eq!(config.control.unwrap().token_file, PathBuf::from("control.token"));
        assert_eq!(config.faults[0].name(), "slow");
        let TlsFiles::Made { root, .. } = config.tls else {
            panic!("a certificate was given")
        };
        assert_eq!(root, Some(PathBuf::from("/tmp/root.pem")));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let wrong = read(
            "domain = 'not a name'\nflavour = 'other'\nldif.password = 'p'\ncontrol.listen = '[::1]:1'\ntls.key = 'k'\n[[users]]\nname = 'a'\nstates = ['odd']\n\
             [[faults]]\nname = 'f'\neffect = 'sub_code'",
        )
        .unwrap_err();
        let fields: Vec<_> = wrong
            .mistakes()
            .iter()
            .map(|mistake| mistake.split(':').next().unwrap_or_default())
            .collect();
        assert_eq!(
            fields,
            [
                "domain",
                "netbios",
                "listen.ldaps",
                "flavour",
                "tls.certificate",
                "users[0].password",
                "users[0].states",
                "ldif.file",
                "control.token_file",
                "faults[0].sub_code",
            ]
        );
    }
}
