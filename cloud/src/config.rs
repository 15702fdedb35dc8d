//! The configuration: from a file, all mistakes at once, or put together in code.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postern_kit::config::{self, ConfigErrors, Fields};
use postern_kit::disk::Disk;
use postern_kit::tls::{self, Identity};

use crate::budget;
use crate::trust::TrustConfig;

/// Where the cloud keeps its state, where it listens, and what it puts up with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the database and the private certificate authority.
    pub data: PathBuf,
    /// File of the master key, outside `data`. Made on first start.
    pub master_key: PathBuf,
    /// Where browsers and programmes sign in.
    pub public_listen: SocketAddr,
    /// Connections to it at once; who has most of them makes room for others.
    pub public_connections_max: usize,
    /// Certificate chain and key of that listener.
    pub public_identity: Identity,
    /// Where agents attach.
    pub agents_listen: SocketAddr,
    /// Connections to it at once: an agent needs one, and one more while it replaces it.
    pub agents_connections_max: usize,
    /// Names and addresses under which agents reach that listener.
    pub host_names: Vec<String>,
    /// The administration socket; `None` where administration is called as a library.
    pub admin_socket: Option<PathBuf>,
    /// What a sign-in may take and how often an account may fail.
    pub limits: Limits,
    /// How long records of the sign-in log are kept.
    pub log_keep: Duration,
}

impl Limits {
    /// The part that `budget` needs.
    pub fn rules(&self) -> budget::Rules {
        budget::Rules {
            failures: self.budget,
            window: self.window,
        }
    }
}

/// What a sign-in may take and how often an account may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a sign-in is answered at the latest.
    pub deadline: Duration,
    /// The share of it that one attempt at an agent has.
    pub attempt: Duration,
    /// Failures per account and window; must be below the directory's own threshold.
    pub budget: u32,
    /// The window of the budget; at least the directory's own observation window.
    pub window: Duration,
    /// No refusal leaves earlier after its receipt.
    pub floor: Duration,
    /// Whether a sign-in goes on to another agent after its first one may have asked the directory.
    pub hand_off: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            attempt: Duration::from_secs(4),
            // Active Directory's usual thresholds start at 5.
            budget: 4,
            // Active Directory's own default.
            window: Duration::from_secs(30 * 60),
            floor: Duration::from_millis(250),
            hand_off: true,
        }
    }
}

/// Bounds of `limits`, in milliseconds where they are times. The longest deadline is what the
/// sealing protocol carries; below a second no agent far away could answer.
const DEADLINE_MS: RangeInclusive<u64> = 1_000..=60_000;
const ATTEMPT_MS: RangeInclusive<u64> = 100..=60_000;
const FLOOR_MS: RangeInclusive<u64> = 0..=10_000;
/// With one failure a sudden stop would use everybody's budget up. More failures than any directory's
/// policy allows would protect nobody.
const BUDGET: RangeInclusive<u64> = 2..=100;
/// Active Directory's own bound of its observation window is 99,999 minutes; a day is already a
/// nuisance.
const WINDOW_MINUTES: RangeInclusive<u64> = 1..=1440;
/// Microsoft keeps a month; laws and insurers may ask for years.
const LOG_KEEP_DAYS: RangeInclusive<u64> = 1..=3650;
const LOG_KEEP_DAYS_DEFAULT: u64 = 30;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// 64 of the agents' port may be taken by hosts that enrol, and as many are left for agents. A process may open
/// about a million files on a usual system, and there are two listeners.
const CONNECTIONS: RangeInclusive<u64> = 128..=500_000;
/// Connections per listener unless configured. A busy one may cost a megabyte, an idle one 80 kB.
pub const CONNECTIONS_DEFAULT: usize = 4096;
/// How long records of the sign-in log are kept unless configured.
pub const LOG_KEEP_DEFAULT: Duration = Duration::from_secs(LOG_KEEP_DAYS_DEFAULT * 24 * 3600);

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    File {
        /// Which file.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not text.
    #[error("{0} is not UTF-8 text")]
    NotText(PathBuf),
    /// Its fields are wrong.
    #[error(transparent)]
    Mistakes(#[from] ConfigErrors),
}

/// An example with every field, for `init`.
pub const EXAMPLE: &str = include_str!("../example.toml");

impl Config {
    /// Reads `file`; paths in it count from its folder.
    ///
    /// # Errors
    /// [`ConfigError`] with all mistakes.
    pub fn load(file: &Path, disk: &dyn Disk) -> Result<Self, ConfigError> {
        let bytes = disk.read(file).map_err(|source| ConfigError::File {
            file: file.to_owned(),
            source,
        })?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::NotText(file.to_owned()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        Ok(Self::parse(&text, folder, disk)?)
    }

    /// Reads `text`, with paths that count from `folder`.
    ///
    /// # Errors
    /// All mistakes, each with its field.
    pub fn parse(text: &str, folder: &Path, disk: &dyn Disk) -> Result<Self, ConfigErrors> {
        config::parse(text, |fields| {
            let data = path(fields, "data", folder, "a folder for database and keys");
            let master_key = path(fields, "master_key", folder, "a file outside the data folder");
            if let (Some(data), Some(master_key)) = (&data, &master_key)
                && master_key.starts_with(data)
            {
                fields.mistake(
                    "master_key",
                    "is inside the data folder; expected a file outside of it",
                );
            }
            let public = fields.table("public", |fields| public(fields, folder, disk));
            let agents = fields.table("agents", agents);
            let admin = fields.table("admin", |fields| {
                path(fields, "socket", folder, "a path for the administration socket")
            });
            let limits = fields.table("limits", limits);
            let log_keep = fields.table("log", |fields| {
                let days = number(fields, "keep_days", LOG_KEEP_DAYS_DEFAULT, &LOG_KEEP_DAYS)?;
                Some(DAY * u32::try_from(days).ok()?)
            });
            let (public, agents) = (public?, agents?);
            Some(Self {
                data: data?,
                master_key: master_key?,
                public_listen: public.listen,
                public_connections_max: public.connections_max,
                public_identity: public.identity,
                agents_listen: agents.listen,
                agents_connections_max: agents.connections_max,
                host_names: agents.host_names,
                admin_socket: Some(admin?),
                limits: limits?,
                log_keep: log_keep?,
            })
        })
    }

    /// The part that `trust` needs.
    pub fn trust(&self) -> TrustConfig {
        TrustConfig {
            data: self.data.clone(),
            master_key: self.master_key.clone(),
            host_names: self.host_names.clone(),
        }
    }
}

fn path(fields: &mut Fields<'_>, name: &'static str, folder: &Path, expected: &str) -> Option<PathBuf> {
    let path = fields.required::<PathBuf>(name, expected)?;
    if path.as_os_str().is_empty() {
        fields.mistake(name, format_args!("is empty; expected {expected}"));
        return None;
    }
    Some(folder.join(path))
}

struct Public {
    listen: SocketAddr,
    connections_max: usize,
    identity: Identity,
}

fn public(fields: &mut Fields<'_>, folder: &Path, disk: &dyn Disk) -> Option<Public> {
    let listen = fields.required("listen", "an address like 0.0.0.0:443");
    let connections_max = connections(fields);
    let mut pem = |name| {
        let file = path(fields, name, folder, "a PEM file")?;
        match disk.read(&file) {
            Ok(bytes) => Some(zeroize::Zeroizing::new(bytes)),
            Err(error) => {
                fields.mistake(name, format_args!("{} cannot be read: {error}", file.display()));
                None
            }
        }
    };
    let (certificate, key) = (pem("certificate"), pem("key"));
    let identity = match Identity::from_pem(&certificate?, &key?) {
        Ok(identity) => identity,
        Err(error @ tls::TlsError::Pem("certificate")) => {
            fields.mistake("certificate", error);
            return None;
        }
        Err(error) => {
            fields.mistake("key", error);
            return None;
        }
    };
    if tls::fits(&identity).is_err() {
        fields.mistake("key", "is not the key of public.certificate");
        return None;
    }
    Some(Public {
        listen: listen?,
        connections_max: connections_max?,
        identity,
    })
}

struct Agents {
    listen: SocketAddr,
    connections_max: usize,
    host_names: Vec<String>,
}

fn agents(fields: &mut Fields<'_>) -> Option<Agents> {
    let listen = fields.required("listen", "an address like 0.0.0.0:8443");
    let connections_max = connections(fields);
    let expected = "DNS names or addresses under which agents reach this server";
    let names: Vec<String> = fields.required("host_names", expected)?;
    if names.is_empty() {
        fields.mistake("host_names", format_args!("is empty; expected {expected}"));
        return None;
    }
    for name in &names {
        if tls::server_name(name).is_err() {
            fields.mistake(
                "host_names",
                format_args!("{name:?}: expected a DNS name or an address"),
            );
            return None;
        }
    }
    Some(Agents {
        listen: listen?,
        connections_max: connections_max?,
        host_names: names,
    })
}

fn connections(fields: &mut Fields<'_>) -> Option<usize> {
    let max = number(
        fields,
        "connections_max",
        CONNECTIONS_DEFAULT as u64,
        &CONNECTIONS,
    )?;
    usize::try_from(max).ok()
}

fn limits(fields: &mut Fields<'_>) -> Option<Limits> {
    let default = Limits::default();
    let deadline = milliseconds(fields, "deadline_ms", default.deadline, &DEADLINE_MS);
    let attempt = milliseconds(fields, "attempt_ms", default.attempt, &ATTEMPT_MS);
    let floor = milliseconds(fields, "floor_ms", default.floor, &FLOOR_MS);
    let budget = number(fields, "budget", default.budget.into(), &BUDGET);
    let default_minutes = default.window.as_secs() / 60;
    let window = number(fields, "window_minutes", default_minutes, &WINDOW_MINUTES);
    let hand_off = fields.or("hand_off", default.hand_off, "true or false");
    let (deadline, attempt, floor) = (deadline?, attempt?, floor?);
    if attempt > deadline {
        fields.mistake("attempt_ms", "is more than deadline_ms; expected at most that");
    }
    if floor > deadline {
        fields.mistake("floor_ms", "is more than deadline_ms; expected at most that");
    }
    Some(Limits {
        deadline,
        attempt,
        floor,
        budget: u32::try_from(budget?).ok()?,
        window: Duration::from_secs(window? * 60),
        hand_off: hand_off?,
    })
}

fn milliseconds(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    range: &RangeInclusive<u64>,
) -> Option<Duration> {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    number(fields, name, default, range).map(Duration::from_millis)
}

fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: u64,
    range: &RangeInclusive<u64>,
) -> Option<u64> {
    let expected = format!("a number from {} to {}", range.start(), range.end());
    let value = fields.or(name, default, &expected)?;
    if !range.contains(&value) {
        fields.mistake(name, format_args!("expected {expected}"));
        return None;
    }
    Some(value)
}

/// Any free port of this machine, for configurations put together in code.
pub const ANY_LOCAL_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::disk::Files;

    fn check(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("public.crt"), identity.cert.pem()).unwrap();
        std::fs::write(
            folder.path().join("public.key"),
            identity.signing_key.serialize_pem(),
        )
        .unwrap();
        match Config::parse(text, folder.path(), &Files) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.mistakes().to_vec(),
        }
    }

    #[test]
    fn the_example_is_right_and_states_the_defaults() {
        assert_eq!(check(EXAMPLE), Vec::<String>::new());
        // Only the limits: what the example says is what is taken without it.
        let limits = config::parse(EXAMPLE, |fields| {
            let limits = fields.table("limits", limits);
            for name in ["data", "master_key", "public", "agents", "admin", "log"] {
                fields.or(name, serde::de::IgnoredAny, "")?;
            }
            limits
        });
        assert_eq!(limits.unwrap(), Limits::default());
    }

    #[test]
    fn all_mistakes_come_at_once_each_with_its_field() {
        let found = check(
            r#"
            data = "data"
            master_key = "data/master.key"
            colour = "blue"
            [public]
            listen = "somewhere"
            certificate = "public.crt"
            key = "missing.key"
            connections_max = 1
            [agents]
            listen = "127.0.0.1:0"
            host_names = []
            [limits]
            deadline_ms = 5
            budget = "many"
            attempt_ms = 4000
            "#,
        );
        for field in [
            "master_key: is inside",
            "public.listen: ",
            "public.key: ",
            "public.connections_max: ",
            "agents.host_names: ",
            "admin.socket: missing",
            "limits.deadline_ms: ",
            "limits.budget: ",
            "colour: unknown",
        ] {
            assert!(
                found.iter().any(|mistake| mistake.starts_with(field)),
                "{field} not in {found:#?}"
            );
        }
        if found
            .iter()
            .any(|mistake| mistake.contains("public.listen: missing"))
        {
            panic!("{found:#?}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_the_certificate_is_named() {
        let text = EXAMPLE.replace("certificate = \"public.crt\"", "certificate = \"public.key\"");
        let found = check(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("public.certificate: "), "{found:#?}");
        let found = check(&EXAMPLE.replace("attempt_ms = 4000", "attempt_ms = 20000"));
        assert!(found[0].starts_with("limits.attempt_ms: "), "{found:#?}");
    }
}
