//! The command line: `postern-agent enrol`, `run`, `check` and `check-directory`.

mod inspect;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use postern_kit::telemetry::chain;
use postern_kit::{Seams, process, telemetry};
use postern_proto::enrolment::EnrolmentToken;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::channel::{self, Attached};
use crate::config::{Config, HostPort, Trust};
use crate::forests::Forests;
use crate::trust::Identity;
use crate::{EnrolError, Enrolment, enrol, service};

/// Any failure, for the terminal.
type Failed = Box<dyn Error + Send + Sync>;

/// Checks passwords against the organisation's own directory, for a Postern cloud.
#[derive(Debug, Parser)]
#[command(name = "postern-agent", version)]
struct Cli {
    /// Log filter, such as `info,postern_agent=debug`.
    #[arg(long, global = true, default_value = "info", env = "POSTERN_LOG")]
    log: String,
    /// Logs as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes this host an agent, once, with a token of `postern-cloud admin token create`.
    Enrol(EnrolArgs),
    /// Runs the agent until SIGTERM or Ctrl-C.
    Run(ConfigArgs),
    /// Reads configuration and identity, and tries to connect to the cloud and to each domain controller.
    Check(ConfigArgs),
    /// Looks at a directory and a user in it: step by step what works, what does not, and what to do about it.
    CheckDirectory(inspect::InspectArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file in TOML.
    #[arg(long)]
    config: PathBuf,
}

#[derive(Args)]
struct EnrolArgs {
    /// The cloud's listener for agents, host:port.
    #[arg(long)]
    cloud: HostPort,
    /// Folder for the agent's identity; the `state` of its configuration.
    #[arg(long)]
    state: PathBuf,
    /// The token. Other users of this host can read command lines: better by file or environment.
    #[arg(
        long,
        env = "POSTERN_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    token: Option<String>,
    /// File that holds the token.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Replaces an identity that lies in the folder already.
    #[arg(long)]
    replace_identity: bool,
}

/// The token does not print.
impl std::fmt::Debug for EnrolArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolArgs")
            .field("cloud", &self.cloud)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Runs the program with the process's arguments.
pub async fn main() -> ExitCode {
    process::end(run(std::env::args_os()).await.map(|()| ExitCode::SUCCESS))
}

/// Runs the program with `args`, the first of which is its name. Help and usage errors end the process.
///
/// # Errors
/// What went wrong, for the terminal.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Failed> {
    let cli = Cli::parse_from(args);
    process::forbid_core_dumps()?;
    // Every connection is an open file, and the usual limit of 1,024 is less than we allow of them.
    process::raise_open_files()?;
    telemetry::start(&cli.log, cli.log_json)?;
    let seams = Seams::real();
    match cli.command {
        Command::Enrol(args) => enrol_here(args, &seams).await,
        Command::Run(args) => serve(read(&args, &seams)?, seams).await,
        Command::Check(args) => check(&read(&args, &seams)?, &seams).await,
        Command::CheckDirectory(args) => inspect::inspect(args, &seams, &mut std::io::stdout()).await,
    }
}

/// The configuration; paths in it count from its folder.
fn read(args: &ConfigArgs, seams: &Seams) -> Result<Config, Failed> {
    let text = text(&args.config, seams)?;
    let mut config = Config::from_toml(&text)?;
    let folder = args.config.parent().unwrap_or(Path::new(""));
    config.state = folder.join(&config.state);
    for forest in &mut config.forests {
        if let Trust::File(path) = &mut forest.trust {
            *path = folder.join(&*path);
        }
        if let Some(account) = &mut forest.service_account {
            account.password_file = folder.join(&account.password_file);
        }
    }
    Ok(config)
}

fn text(file: &Path, seams: &Seams) -> Result<Zeroizing<String>, Failed> {
    let failed = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", file.display());
    let bytes = seams.disk.read(file).map_err(|error| failed(&error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(_) => Err(failed(&"it is not UTF-8 text").into()),
    }
}

fn print(line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

async fn enrol_here(args: EnrolArgs, seams: &Seams) -> Result<(), Failed> {
    let token = match (args.token, args.token_file) {
        (Some(token), _) => Zeroizing::new(token),
        (None, Some(file)) => text(&file, seams)?,
        (None, None) => return Err("token: missing; give --token-file, --token or POSTERN_TOKEN".into()),
    };
    let token: EnrolmentToken = token.parse()?;
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (cloud, state) = (args.cloud, args.state);
    let enrolment = Enrolment {
        cloud,
        token,
        state: state.clone(),
        host_name,
        replace_identity: args.replace_identity,
    };
    let identity = enrol(enrolment, seams).await.map_err(told)?;
    let domains: Vec<_> = identity.domains.iter().map(ToString::to_string).collect();
    print(format_args!(
        "enrolled as agent {} of tenant {}",
        identity.agent, identity.tenant
    ))?;
    print(format_args!(
        "for {}; identity in {}",
        domains.join(", "),
        state.display()
    ))?;
    Ok(())
}

/// The cloud tells a stranger nothing of its reasons, so it is said here where they are found.
fn told(error: EnrolError) -> Failed {
    match error {
        EnrolError::Refused(_) => format!(
            "{error}\nthe cloud's log says why. A token serves once and not for ever: \
             `admin token create` makes another one"
        )
        .into(),
        EnrolError::Failed(_) | EnrolError::NoAnswer => format!(
            "{error}\ntry again with the same token; if it is refused then, it was spent: \
             `admin token create` makes another one"
        )
        .into(),
        other => other.into(),
    }
}

async fn serve(config: Config, seams: Seams) -> Result<(), Failed> {
    let stop = CancellationToken::new();
    seams
        .tasks
        .spawn_essential("signals", process::stop_on_signal(stop.clone()));
    let (ready, _) = watch::channel(Attached::No);
    let served = service::serve(config, seams, stop.clone(), ready).await;
    stop.cancel();
    Ok(served?)
}

async fn check(config: &Config, seams: &Seams) -> Result<(), Failed> {
    let identity = Identity::load(seams.disk.as_ref(), &config.state)?;
    print(format_args!("identity: agent {}", identity.agent))?;
    let cloud = channel::reach(config, &identity, seams).await;
    match &cloud {
        Ok(()) => print(format_args!("cloud: {}: ok", config.cloud))?,
        Err(error) => print(format_args!("cloud: {}: {}", config.cloud, chain(error)))?,
    }
    let forests = Forests::open(&config.forests, config.timeouts, seams)?;
    forests.find().await;
    let (mut all, mut unreachable, mut unfound) = (0, 0, 0);
    for forest in forests.all() {
        let reached = forest.reach().await;
        if reached.is_empty() {
            print(format_args!("{}: no domain controller was found", forest.name()))?;
            unfound += 1;
        }
        for (controller, reached) in reached {
            all += 1;
            match reached {
                Ok(()) => print(format_args!("{}: {controller}: ok", forest.name()))?,
                Err(error) => {
                    unreachable += 1;
                    print(format_args!("{}: {controller}: {}", forest.name(), chain(&error)))?;
                }
            }
        }
    }
    for difference in forests.compare_suffixes().await {
        print(format_args!("note: {difference}"))?;
    }
    if unfound > 0 {
        return Err("the name servers know no domain controller; the log says what was asked".into());
    }
    if unreachable > 0 {
        return Err(format!("{unreachable} of {all} domain controllers cannot be reached").into());
    }
    cloud.map_err(|_| "cloud cannot be reached".into())
}
