//! How many binds a directory takes: the simulated one and OpenLDAP, plain and over TLS, one after the other in the
//! same run on the same machine. A closed loop on some connections keeps the directory busy; what counts is binds for
//! each second of the directory's own CPU time, because this process shares the cores with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use postern_directory_mock::Population;
use postern_kit::clock::monotonic;
use postern_kit::tls::{Certificate, certificates_from_pem};
use serde_json::{Value, json};

use super::cli::Failed;
use super::ldap::Link;
use super::usage;
use crate::lab::processes::{Launch, People, Program};

/// The simulated directory's domain, and the seed of its users.
const DOMAIN: &str = "corp.example.com";
const SEED: u64 = 1;
/// Runs without being measured: connections, caches, clocks of the processor.
const WARM_UP: Duration = Duration::from_secs(1);
/// What `harness/real/start-slapd.sh` exports.
const ENVIRONMENT: [&str; 7] = [
    "SLAPD_LDAP_URL",
    "SLAPD_LDAPS_URL",
    "SLAPD_CA_FILE",
    "SLAPD_PEOPLE_DN",
    "SLAPD_USERS",
    "SLAPD_USER_PASSWORD",
    "SLAPD_PID_FILE",
];

/// What came of one directory and transport.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Which directory.
    pub directory: &'static str,
    /// `plain` or `TLS`.
    pub transport: &'static str,
    /// Binds that were accepted.
    pub binds: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// CPU time of the directory's process meanwhile.
    pub cpu: Duration,
}

impl Rate {
    /// Binds a second.
    pub fn per_second(&self) -> f64 {
        self.binds as f64 / self.elapsed.as_secs_f64()
    }

    /// Binds for each second of the directory's CPU time; 0 if it used none that can be seen.
    pub fn per_core(&self) -> f64 {
        if self.cpu.is_zero() {
            return 0.0;
        }
        self.binds as f64 / self.cpu.as_secs_f64()
    }
}

/// A directory that runs.
#[derive(Debug)]
struct Target {
    name: &'static str,
    plain: String,
    tls: String,
    roots: Vec<Certificate>,
    pid: u32,
    people: Arc<People>,
}

/// Measures the simulated directory with `users`, and OpenLDAP if its environment is there.
///
/// # Errors
/// What does not start, cannot be reached, or refuses a right password.
///
/// # Cancellation
/// Ends the simulated directory.
pub async fn measure(users: usize, connections: usize, duration: Duration) -> Result<Vec<Rate>, Failed> {
    let folder = tempfile::tempdir()?;
    let (_program, mock) = start_mock(folder.path(), users).await?;
    let mut targets = vec![mock];
    targets.extend(slapd()?);
    let mut rates = Vec::new();
    for target in &targets {
        for (transport, url) in [("plain", &target.plain), ("TLS", &target.tls)] {
            let mut links = Vec::new();
            for _ in 0..connections {
                links.push(Link::to(url, target.roots.clone()).await?);
            }
            run(&links, &target.people, WARM_UP).await?;
            let before = usage(target.pid)?;
            let start = monotonic();
            let binds = run(&links, &target.people, duration).await?;
            rates.push(Rate {
                directory: target.name,
                transport,
                binds,
                elapsed: start.elapsed(),
                cpu: usage(target.pid)?.cpu.saturating_sub(before.cpu),
            });
        }
    }
    Ok(rates)
}

/// Binds on all connections until the time is over; gives how many binds there were.
async fn run(links: &[Link], people: &Arc<People>, duration: Duration) -> Result<u64, Failed> {
    let (end, next) = (monotonic() + duration, Arc::new(AtomicU64::new(0)));
    let loops = links
        .iter()
        .map(|link| one_loop(link.clone(), people.clone(), next.clone(), end));
    let counts = futures::future::try_join_all(loops).await?;
    Ok(counts.into_iter().sum())
}

async fn one_loop(
    link: Link,
    people: Arc<People>,
    next: Arc<AtomicU64>,
    end: Instant,
) -> Result<u64, Failed> {
    let mut count = 0;
    while monotonic() < end {
        let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed))?;
        let who = number.checked_rem(people.len()).and_then(|at| people.get(at));
        let (name, password) = who.ok_or("expected at least one user")?;
        match link.bind(name, password).await.as_str() {
            "result 0" => count += 1,
            other => return Err(format!("{name} is answered {other}").into()),
        }
    }
    Ok(count)
}

async fn start_mock(folder: &Path, users: usize) -> Result<(Program, Target), Failed> {
    let text = format!(
        "domain = '{DOMAIN}'\nnetbios = 'CORP'\nlisten = {{ ldap = '127.0.0.1:0', ldaps = '127.0.0.1:0' }}\n\
         tls.root = 'root.pem'\npopulation = {{ seed = {SEED}, count = {users} }}\n"
    );
    std::fs::write(folder.join("directory.toml"), text)?;
    let mut program = Program::start(Launch {
        program: &std::env::current_exe()?,
        folder,
        name: "directory",
        args: &[
            "directory",
            "serve",
            "--config",
            "directory.toml",
            "--log",
            "warn",
        ],
        environment: &[],
        unread: false,
    })?;
    let port = |output: &str, scheme: &str| {
        let address = output.lines().find_map(|line| line.strip_prefix(scheme))?;
        address.rsplit_once(':')?.1.parse::<u16>().ok()
    };
    let both = |output: &str, _: &str| Some((port(output, "ldap://")?, port(output, "ldaps://")?));
    let (plain, tls) = program.says("its addresses", both).await?;
    let population = Population::seeded(SEED, users);
    let people = population.people().iter();
    let people = people.map(|person| (person.upn(DOMAIN), person.password.plaintext().to_owned()));
    let target = Target {
        name: "simulated directory",
        plain: format!("ldap://localhost:{plain}"),
        tls: format!("ldaps://localhost:{tls}"),
        roots: certificates_from_pem(&std::fs::read(folder.join("root.pem"))?)?,
        pid: program.pid(),
        people: Arc::new(people.collect()),
    };
    Ok((program, target))
}

/// OpenLDAP, if its environment is there.
fn slapd() -> Result<Option<Target>, Failed> {
    let values = ENVIRONMENT.map(std::env::var);
    let Ok([plain, tls, ca, base, users, password, pid]) =
        <[String; 7]>::try_from(values.into_iter().filter_map(Result::ok).collect::<Vec<_>>())
    else {
        return Ok(None);
    };
    let users: usize = users.parse().map_err(|_| "SLAPD_USERS: expected a number")?;
    let pid = std::fs::read_to_string(pid)?;
    let people = (1..=users).map(|at| (format!("uid=user{at:05},{base}"), password.clone()));
    Ok(Some(Target {
        name: "OpenLDAP",
        plain,
        tls,
        roots: certificates_from_pem(&std::fs::read(ca)?)?,
        pid: pid
            .trim()
            .parse()
            .map_err(|_| "SLAPD_PID_FILE: expected a number")?,
        people: Arc::new(people.collect()),
    }))
}

/// The rates as a table.
pub fn text(rates: &[Rate]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header([
        "directory",
        "transport",
        "binds a second",
        "CPU for each",
        "binds a second and core",
    ]);
    for rate in rates {
        let cpu = rate.cpu.as_secs_f64() * 1e6 / (rate.binds.max(1)) as f64;
        table.add_row([
            rate.directory.to_owned(),
            rate.transport.to_owned(),
            format!("{:.0}", rate.per_second()),
            format!("{cpu:.1} µs"),
            format!("{:.0}", rate.per_core()),
        ]);
    }
    let mut text = format!("{table}\n");
    if !rates.iter().any(|rate| rate.directory == "OpenLDAP") {
        text.push_str(
            "OpenLDAP is not measured: read the environment that harness/real/start-slapd.sh makes first.\n",
        );
    }
    if cfg!(debug_assertions) {
        text.push_str("This is no release build: the simulated directory's figures say nothing.\n");
    }
    text
}

/// The rates for programmes.
pub fn json(rates: &[Rate]) -> Value {
    let one = |rate: &Rate| {
        json!({
            "directory": rate.directory,
            "transport": rate.transport,
            "binds": rate.binds,
            "elapsed_s": rate.elapsed.as_secs_f64(),
            "cpu_s": rate.cpu.as_secs_f64(),
            "binds_per_second": rate.per_second(),
            "binds_per_core_second": rate.per_core(),
        })
    };
    json!({
        "release": !cfg!(debug_assertions),
        "rates": rates.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_told_by_second_and_by_core() {
        let rate = Rate {
            directory: "OpenLDAP",
            transport: "TLS",
            binds: 3000,
            elapsed: Duration::from_secs(2),
            cpu: Duration::from_millis(500),
        };
        let text = text(std::slice::from_ref(&rate));
        let told = ["1500", "166.7 µs", "6000"].map(|figure| text.contains(figure));
        assert_eq!(
            (told, text.contains("not measured")),
            ([true; 3], false),
            "{text}"
        );
        let none = Rate {
            cpu: Duration::ZERO,
            ..rate
        };
        assert_eq!(json(&[none])["rates"][0]["binds_per_core_second"], 0.0);
    }
}
