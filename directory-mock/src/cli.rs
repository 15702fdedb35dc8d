//! The command line: `postern-directory-mock serve` runs a directory, `export` writes one as LDIF, `control`
//! steers one that runs.

mod control;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use comfy_table::Table;
use postern_kit::{Seams, process, telemetry};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config, LdifFile, TlsFiles};
use crate::handle::DirectoryHandle;
use crate::ldif::{self, ImportOptions};
use crate::model::Account;
use crate::semantics;
use crate::serve::{Running, read_ldif, serve};

/// Users that the table shows; a population may have a hundred thousand.
const TABLE_ROWS_MAX: usize = 40;

/// Connections close at once.
const STOP_WAIT_MAX: Duration = Duration::from_secs(15);

/// Any failure, for the terminal.
type Failed = Box<dyn Error + Send + Sync>;

/// A simulated Active Directory for tests and demonstrations.
#[derive(Debug, Parser)]
#[command(name = "postern-directory-mock", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a directory until SIGTERM or Ctrl-C.
    Serve(ServeArgs),
    /// Writes the directory that a configuration or a file of LDIF describes to standard output, as LDIF.
    Export(ExportArgs),
    /// Asks and steers a directory that runs: faults, clock, users, journal.
    Control(control::ControlArgs),
}

/// Where a directory's description is.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
struct Source {
    /// Configuration file in TOML.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Users and groups in LDIF, instead of the configuration's file. Without a configuration the domain is that
    /// of the first entry, on any free ports of the loopback address.
    #[arg(long)]
    ldif: Option<PathBuf>,
}

/// What `export` takes.
#[derive(Clone, Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    source: Source,
    /// DNS name of the domain, if it is not the first.
    #[arg(long)]
    domain: Option<String>,
    /// With the users' passwords, as `unicodePwd`.
    #[arg(long)]
    with_passwords: bool,
}

/// What `serve` takes.
#[derive(Clone, Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    source: Source,
    /// Writes all users with a userPrincipalName to this CSV file: username and object_id.
    #[arg(long)]
    write_users: Option<PathBuf>,
    /// Shows the users' passwords in the table.
    #[arg(long)]
    show_passwords: bool,
    /// Log filter, such as `info,postern_directory_mock=debug`.
    #[arg(long, default_value = "info", env = "POSTERN_LOG")]
    log: String,
    /// Logs as JSON lines.
    #[arg(long)]
    log_json: bool,
}

/// Runs the program with the process's arguments.
pub async fn main() -> ExitCode {
    process::end(run(std::env::args_os()).await.map(|()| ExitCode::SUCCESS))
}

/// Runs the program with `args`, the first of which is its name. Help and usage errors end the process.
///
/// # Errors
/// What is wrong with the configuration, why the directory does not start, or why a running one refuses.
///
/// # Cancellation
/// Dropping it stops the directory.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Failed> {
    let args = match Cli::parse_from(args).command {
        Command::Serve(args) => args,
        Command::Export(args) => return export(&args),
        Command::Control(args) => return control::run(args).await,
    };
    process::forbid_core_dumps()?;
    // Every connection is an open file, and the usual limit of 1,024 is less than we allow of them.
    process::raise_open_files()?;
    // The codec's own traces hold the bytes of every bind, passwords included.
    telemetry::start(&format!("{},ldap3_proto=warn", args.log), args.log_json)?;
    let seams = Seams::real();
    let config = load(&args.source, &seams)?;
    let stop = CancellationToken::new();
    seams
        .tasks
        .spawn_essential("signals", process::stop_on_signal(stop.clone()));
    let tasks = seams.tasks.clone();
    let show = |running: &Running| {
        if let Some(file) = &args.write_users
            && let Err(error) = std::fs::write(file, users(running))
        {
            tracing::error!(file = %file.display(), %error, "users cannot be written");
        }
        // A closed standard output does not stop the service.
        let _ = std::io::stdout().write_all(describe(running, args.show_passwords).as_bytes());
    };
    let served = serve(config, seams, stop.clone(), show).await;
    stop.cancel();
    served?;
    Ok(tasks.run_until(&stop, STOP_WAIT_MAX).await?)
}

/// Opens a directory, serves nobody, and writes one domain of it.
fn export(args: &ExportArgs) -> Result<(), Failed> {
    let seams = Seams::real();
    let forests = crate::serve::open(&load(&args.source, &seams)?, &seams)?;
    let domain = match &args.domain {
        Some(name) => forests.domain(name),
        None => forests.domains().into_iter().next(),
    };
    let domain = domain.ok_or("domain: expected the DNS name of one that is described")?;
    let text = domain.export_ldif(args.with_passwords);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// The configuration, or what is served without one.
fn load(source: &Source, seams: &Seams) -> Result<Config, Failed> {
    let mut config = match &source.config {
        Some(file) => load_file(file, seams)?,
        None => {
            let file = source.ldif.clone().unwrap_or_default();
            let text =
                read_ldif(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            let ldif = LdifFile {
                file,
                options: ImportOptions::default(),
            };
            let of_first = config::of_ldif(&ldif::read(&text)?, ldif);
            of_first.ok_or("the first entry's name has no DC= part: give a configuration with --config")?
        }
    };
    if let Some(file) = &source.ldif {
        let options = config.ldif.map(|ldif| ldif.options).unwrap_or_default();
        config.ldif = Some(LdifFile {
            file: file.clone(),
            options,
        });
    }
    Ok(config)
}

/// The configuration in a file; paths in it count from its folder.
fn load_file(file: &Path, seams: &Seams) -> Result<Config, Failed> {
    let failed = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", file.display());
    let bytes = seams.disk.read(file).map_err(|error| failed(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8 text"))?;
    let mut config = config::read(&text)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    if let Some(ldif) = &mut config.ldif {
        ldif.file = folder.join(&ldif.file);
    }
    if let Some(control) = &mut config.control {
        control.token_file = folder.join(&control.token_file);
    }
    config.tls = match config.tls {
        TlsFiles::Given { certificate, key } => TlsFiles::Given {
            certificate: folder.join(certificate),
            key: folder.join(key),
        },
        TlsFiles::Made { root, names } => TlsFiles::Made {
            root: root.map(|root| folder.join(root)),
            names,
        },
    };
    Ok(config)
}

/// Everybody with a userPrincipalName, as CSV. Neither names nor ids hold what CSV would have to quote.
fn users(running: &Running) -> String {
    let mut text = "username,object_id\n".to_owned();
    for directory in running.forests.domains() {
        directory.read(|domain| {
            for account in domain.accounts() {
                if let Some(upn) = &account.upn {
                    text.push_str(&format!("{upn},{}\n", account.guid));
                }
            }
        });
    }
    text
}

/// Addresses and users of the running controllers.
fn describe(running: &Running, passwords: bool) -> String {
    let mut text = String::new();
    for server in &running.servers {
        if running.servers.len() > 1 {
            let domain = server.directory().read(|domain| domain.dns_name().to_owned());
            text.push_str(&format!("{}.{domain}\n", server.host()));
        }
        let addresses = [("ldap", server.ldap_addr()), ("ldaps", server.ldaps_addr())];
        for (scheme, addr) in addresses {
            if let Some(addr) = addr {
                text.push_str(&format!("{scheme}://{addr}\n"));
            }
        }
    }
    if let Some(addr) = running.control {
        text.push_str(&format!("control on {addr}\n"));
    }
    let mut table = Table::new();
    let mut header = vec!["sAMAccountName", "userPrincipalName", "objectGUID", "states"];
    if passwords {
        header.push("password");
    }
    table.set_header(header);
    let mut users = 0;
    for directory in running.forests.domains() {
        users += add_rows(&mut table, &directory, passwords);
    }
    text.push_str(&table.to_string());
    text.push('\n');
    let shown = table.row_count();
    if users > shown {
        text.push_str(&format!("and {} more users\n", users - shown));
    }
    text
}

/// Adds the users of a domain while there is room, and says how many it has.
fn add_rows(table: &mut Table, directory: &DirectoryHandle, passwords: bool) -> usize {
    let now = directory.now();
    directory.read(|domain| {
        let mut accounts: Vec<_> = domain.accounts().collect();
        // In the order of the file; a population comes after the users.
        accounts.sort_by_key(|account| account.rid);
        let room = TABLE_ROWS_MAX.saturating_sub(table.row_count());
        for account in accounts.iter().take(room) {
            let policy = domain.policy_of(account);
            let locked = semantics::is_locked(&account.counters, &policy, now);
            let expired = semantics::is_password_expired(account, &policy, now);
            let mut row = vec![
                account.sam.clone(),
                account.upn.clone().unwrap_or_default(),
                account.guid.to_string(),
                states(account, locked, expired),
            ];
            if passwords {
                row.push(account.password.plaintext().to_owned());
            }
            table.add_row(row);
        }
        accounts.len()
    })
}

fn states(account: &Account, locked: bool, password_expired: bool) -> String {
    let all = [
        (account.protected, "protected"),
        (locked, "locked"),
        (account.disabled, "disabled"),
        (account.account_expires.is_some(), "account expires"),
        (account.must_change, "must change"),
        (password_expired, "password expired"),
        (!account.workstations.is_empty(), "workstations"),
        (account.logon_hours.is_some(), "logon hours"),
    ];
    let held = all.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name);
    held.collect::<Vec<_>>().join(", ")
}
