//! The command line of `postern`.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use postern_kit::telemetry;
use postern_kit::{Seams, process};
use tokio_util::sync::CancellationToken;

use crate::demo;
use crate::experiment::cli::{self as experiment, ExperimentArgs};
use crate::load::{self, cli::LoadArgs};
use crate::planted::cli::{self as planted, PlantedArgs};
use crate::run::cli::{self as scenario, ScenarioArgs};
use crate::simulate::cli::{self as simulate, ReplayArgs, ShrinkArgs, SimulateArgs};
use crate::stories::cli::{self as story, StoryArgs};

/// Any failure, for the terminal.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Open pass-through authentication, and a lab to try it in.
#[derive(Debug, Parser)]
#[command(name = "postern", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs everything: cloud, agents, and a directory with a user for each state.
    Demo(DemoArgs),
    /// Puts the system under load, each part as a process of its own, and says what it takes.
    Load(LoadArgs),
    /// Stories that the whole system goes through: runs and checks them, and says how they are written.
    Scenario(ScenarioArgs),
    /// Runs scenarios that nobody wrote, drawn from seeds, until it is time or one fails.
    Simulate(SimulateArgs),
    /// Runs one again, and says everything that happened on all hosts.
    Replay(ReplayArgs),
    /// Looks for the smallest case that still fails in the same way.
    Shrink(ShrinkArgs),
    /// Plants bugs in a copy of the source, one by one, and says whether the scenarios see them.
    Planted(PlantedArgs),
    /// Runs a scenario over a grid of parameters, and writes figures and plots.
    Experiment(ExperimentArgs),
    /// Plays a story in simulated time, from a seed.
    Story(StoryArgs),
    /// postern-cloud, with its own arguments.
    #[command(disable_help_flag = true)]
    Cloud(Rest),
    /// postern-agent, with its own arguments.
    #[command(disable_help_flag = true)]
    Agent(Rest),
    /// postern-directory-mock, with its own arguments.
    #[command(disable_help_flag = true)]
    Directory(Rest),
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Plays a story by itself, and ends with 0 only if all went as expected.
    #[arg(long)]
    once: bool,
    /// Port of the sign-in page on this machine.
    #[arg(long, default_value_t = 9443)]
    port: u16,
    /// People who sign in by themselves, a second: to watch what becomes of them while agents fail.
    #[arg(long, default_value_t = 0, conflicts_with = "once", value_parser = clap::value_parser!(u32).range(0..=i64::from(demo::RATE_MAX)))]
    rate: u32,
    /// Log filter, such as `warn,postern_cloud=debug`.
    #[arg(long, default_value = "warn", env = "POSTERN_LOG")]
    log: String,
}

#[derive(Debug, Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Rest {
    fn of(self, name: &str) -> impl Iterator<Item = OsString> {
        std::iter::once(OsString::from(name)).chain(self.args)
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    process::end(run(Cli::parse().command))
}

fn run(command: Command) -> Result<ExitCode, Failed> {
    match command {
        // The simulation has runtimes of its own, one for each host.
        Command::Story(args) => story::run(&args, &mut std::io::stdout()),
        Command::Experiment(args) => experiment::run(args, &mut std::io::stdout()),
        Command::Scenario(args) => scenario::run(args, &mut std::io::stdout()),
        Command::Simulate(args) => simulate::simulate(&args, &mut std::io::stdout()),
        Command::Replay(args) => simulate::again(&args, &mut std::io::stdout()),
        Command::Shrink(args) => simulate::smaller(&args, &mut std::io::stdout()),
        Command::Planted(args) => planted::run(&args, &mut std::io::stdout()),
        Command::Demo(args) => block_on(demo(args)),
        Command::Load(args) => block_on(done(load::cli::run(args, &mut std::io::stdout()))),
        Command::Cloud(rest) => block_on(done(postern_cloud::cli::run(rest.of("postern cloud")))),
        Command::Agent(rest) => block_on(done(postern_agent::cli::run(rest.of("postern agent")))),
        Command::Directory(rest) => block_on(done(postern_directory_mock::cli::run(
            rest.of("postern directory"),
        ))),
    }
}

fn block_on(work: impl Future<Output = Result<ExitCode, Failed>>) -> Result<ExitCode, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// What says nothing when all is well.
async fn done<E: Into<Failed>>(work: impl Future<Output = Result<(), E>>) -> Result<ExitCode, Failed> {
    work.await.map_err(Into::into)?;
    Ok(ExitCode::SUCCESS)
}

async fn demo(args: DemoArgs) -> Result<ExitCode, Failed> {
    process::forbid_core_dumps()?;
    // Every connection is an open file.
    process::raise_open_files()?;
    telemetry::start(&args.log, false)?;
    // A port that somebody else has is no reason to fail a story that nobody visits.
    let port = if args.once { 0 } else { args.port };
    let seams = Seams::real();
    let page = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if !args.once {
        return live(page, args.rate, seams)
            .await
            .map_err(|error| other_port(error, port));
    }
    let lab = demo::start(page, seams.clone()).await?;
    let scenes = demo::play(&lab).await?;
    print(&demo::report(&scenes))?;
    lab.stop().await?;
    let events = demo::fail(demo::act()?, &seams).await?;
    print(&format!("\n{}", demo::report_failures(&events)))?;
    let agree = scenes.iter().all(demo::Scene::agrees) && events.iter().all(demo::Event::agrees);
    Ok(if agree {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// With what to do about it, if the page's port is somebody else's.
fn other_port(error: Failed, port: u16) -> Failed {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::AddrInUse) {
            return format!("port {port} is in use; choose another one with --port, 0 is any").into();
        }
        cause = error.source();
    }
    error
}

async fn live(page: SocketAddr, rate: u32, seams: Seams) -> Result<ExitCode, Failed> {
    let demo = demo::Live::start(page, seams).await?;
    print(&demo.welcome())?;
    tokio::select! {
        // A terminal that is gone reads nothing.
        told = demo.tell(rate, |line| { let _ = print(line); }) => told?,
        stopped = process::stop_on_signal(CancellationToken::new()) => stopped?,
    }
    demo.stop().await?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}
