//! The command line: `postern-cloud init`, `serve` and `admin`.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use postern_kit::{Seams, process, telemetry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminArgs};
use crate::config::{Config, EXAMPLE};
use crate::service;

/// Any failure, for the terminal.
type Failed = Box<dyn Error + Send + Sync>;

/// Takes sign-ins and has them judged by agents inside the organisations' networks.
#[derive(Debug, Parser)]
#[command(name = "postern-cloud", version)]
struct Cli {
    /// Log filter, such as `info,postern_cloud=debug`.
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
    /// Writes an example configuration, with every field explained.
    Init(ConfigArgs),
    /// Runs the cloud until SIGTERM or Ctrl-C.
    Serve(ConfigArgs),
    /// Administers a running cloud over its socket.
    Admin(AdminArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file in TOML.
    #[arg(long)]
    config: PathBuf,
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
    let args: Vec<_> = args.into_iter().collect();
    let cli = Cli::parse_from(&args);
    process::forbid_core_dumps()?;
    // Every connection is an open file, and the usual limit of 1,024 is less than we allow of them.
    let files = process::raise_open_files()?;
    match cli.command {
        Command::Init(init_args) => init(&init_args, &program(args.first())),
        Command::Serve(args) => {
            telemetry::start(&cli.log, cli.log_json)?;
            serve(&args, files, Seams::real()).await
        }
        Command::Admin(args) => Ok(admin::run(args, &mut std::io::stdout()).await?),
    }
}

/// What this program was called as, without its folder.
fn program(name: Option<&OsString>) -> String {
    let file = name.and_then(|name| Path::new(name).file_name());
    file.map_or("postern-cloud".into(), |file| file.to_string_lossy().into_owned())
}

fn init(args: &ConfigArgs, program: &str) -> Result<(), Failed> {
    let failed = |error| format!("{}: {error}", args.config.display());
    // Never over an existing one.
    let mut file = std::fs::File::create_new(&args.config).map_err(failed)?;
    file.write_all(EXAMPLE.as_bytes()).map_err(failed)?;
    writeln!(
        std::io::stdout(),
        "wrote {0}\nset the addresses and the page's certificate in it, then run: {program} serve --config {0}",
        args.config.display(),
    )?;
    Ok(())
}

/// Files of a cloud that are no connections to its listeners: database, administration, log.
const FILES_BESIDE: u64 = 128;

async fn serve(args: &ConfigArgs, files: u64, seams: Seams) -> Result<(), Failed> {
    let config = Config::load(&args.config, seams.disk.as_ref())?;
    let connections = config.public_connections_max + config.agents_connections_max;
    if files < connections as u64 + FILES_BESIDE {
        tracing::warn!(
            files,
            connections,
            "this process may open fewer files than its listeners allow connections: raise the limit (nofile) \
             or lower public.connections_max and agents.connections_max"
        );
    }
    let stop = CancellationToken::new();
    seams
        .tasks
        .spawn_essential("signals", process::stop_on_signal(stop.clone()));
    let (ready, _) = watch::channel(None);
    let served = service::serve(config, seams, stop.clone(), ready).await;
    stop.cancel();
    Ok(served?)
}
