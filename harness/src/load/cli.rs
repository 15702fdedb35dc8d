//! `postern load`: starts a directory, a cloud and agents as processes, and puts them under an open
//! loop from this one.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use postern_kit::Seams;
use postern_proto::wire::signin::sign_in_response::Outcome;

use super::ldap::Link;
use super::{Cost, Measured, Plan, Report, Usage, agents, directories, engine, usage};
use crate::client::Programme;
use crate::lab::processes::{People, ProcessLab, ProcessPlan};

/// Any failure, for the terminal.
pub(super) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A password that is nobody's.
const WRONG: &str = "Not-The-Passw0rd";

/// What `load` takes.
#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign-ins by RPC through cloud and agents.
    SignIn {
        #[command(flatten)]
        common: Common,
        /// How many agents run.
        #[arg(long, default_value_t = 3)]
        agents: usize,
        /// Connections over which the sign-ins come.
        #[arg(long, default_value_t = 4)]
        connections: usize,
    },
    /// Agents that have nothing to do: the cloud's memory for each, and how soon one is attached.
    Agents {
        /// How many agents.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=2000))]
        count: u16,
        /// Prints one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// As many binds as the simulated directory takes, plain and over TLS, and beside it OpenLDAP on the same machine, if
    /// the environment of `harness/real/start-slapd.sh` is there.
    Directories {
        /// Connections to each, each with one bind at a time.
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// How long each of the four is measured, such as 10s.
        #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
        duration: Duration,
        /// Users of the simulated directory. OpenLDAP has those that it was started with.
        #[arg(long, default_value_t = 1_000)]
        users: usize,
        /// Prints one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Bare binds over LDAPS, for comparison.
    Bind {
        #[command(flatten)]
        common: Common,
        /// Connections to the directory, each with one bind at a time.
        #[arg(long, default_value_t = 32)]
        connections: usize,
    },
}

#[derive(Clone, Debug, Args)]
struct Common {
    /// Operations a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long operations are begun, such as 10s.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long before that the system runs under the same load without being measured.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Percentage of wrong passwords. Each user mistypes once at most, so as not to use a budget up.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100))]
    wrong: u64,
    /// Users in the directory.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Prints one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

impl Common {
    fn plan(&self, duration: Duration) -> Plan {
        Plan {
            rate: self.rate,
            duration,
        }
    }
}

/// Whom an operation is about: each number has its own user until all had their turn.
fn whose(people: &People, number: u64, wrong: u64) -> Option<(&str, &str)> {
    let at = usize::try_from(number).ok()?.checked_rem(people.len())?;
    let (username, password) = people.get(at)?;
    let first_turn = usize::try_from(number).ok()? < people.len();
    let mistypes = first_turn && number % 100 < wrong;
    Some((username, if mistypes { WRONG } else { password }))
}

/// Runs a command and writes its report to `out`.
///
/// # Errors
/// What did not start or cannot be measured.
pub async fn run(args: LoadArgs, out: &mut (dyn Write + Send)) -> Result<(), Failed> {
    // Every connection is an open file, and a thousand agents are as many connections.
    postern_kit::process::raise_open_files()?;
    match args.command {
        Command::SignIn {
            common,
            agents,
            connections,
        } => {
            let plan = ProcessPlan::new(common.users, agents)?;
            let lab = ProcessLab::start(plan, &Seams::real()).await?;
            let programmes = (0..connections.max(1)).map(|_| lab.programme(0));
            let programmes: Vec<_> = programmes.collect::<Result<_, _>>()?;
            let people = Arc::new(lab.tenant(0)?.people.clone());
            let wrong = common.wrong;
            let operation = move |number| sign_in(programmes.clone(), people.clone(), number, wrong);
            measure("sign-in", common, lab, operation, out).await
        }
        Command::Agents { count, json } => {
            let idle = agents::measure(count.into(), &Seams::real()).await?;
            if json {
                writeln!(out, "{}", idle.json())?;
            } else {
                write!(out, "{}", idle.text())?;
            }
            Ok(())
        }
        Command::Directories {
            connections,
            duration,
            users,
            json,
        } => {
            let rates = directories::measure(users, connections.max(1), duration).await?;
            if json {
                writeln!(out, "{}", directories::json(&rates))?;
            } else {
                write!(out, "{}", directories::text(&rates))?;
            }
            Ok(())
        }
        Command::Bind { common, connections } => {
            let lab = ProcessLab::start(ProcessPlan::new(common.users, 0)?, &Seams::real()).await?;
            let tenant = lab.tenant(0)?;
            let mut links = Vec::new();
            for _ in 0..connections.max(1) {
                links.push(Link::connect(&tenant.directory).await?);
            }
            let people = Arc::new(tenant.people.clone());
            let wrong = common.wrong;
            let operation = move |number| bind(links.clone(), people.clone(), number, wrong);
            measure("bind", common, lab, operation, out).await
        }
    }
}

async fn sign_in(programmes: Vec<Programme>, people: Arc<People>, number: u64, wrong: u64) -> String {
    let Some((username, password)) = whose(&people, number, wrong) else {
        return "no user".to_owned();
    };
    let at = usize::try_from(number).unwrap_or(0) % programmes.len();
    let Some(programme) = programmes.get(at) else {
        return "no connection".to_owned();
    };
    match programme.sign_in(username, password).await {
        Ok(answer) => name(answer.outcome()),
        Err(error) => postern_kit::telemetry::chain(&error),
    }
}

fn name(outcome: Outcome) -> String {
    let name = outcome.as_str_name().trim_start_matches("OUTCOME_");
    name.to_lowercase().replace('_', " ")
}

async fn bind(links: Vec<Link>, people: Arc<People>, number: u64, wrong: u64) -> String {
    let Some((username, password)) = whose(&people, number, wrong) else {
        return "no user".to_owned();
    };
    let at = usize::try_from(number).unwrap_or(0) % links.len();
    match links.get(at) {
        Some(link) => link.bind(username, password).await,
        None => "no connection".to_owned(),
    }
}

async fn measure<F>(
    what: &'static str,
    common: Common,
    lab: ProcessLab,
    operation: impl Fn(u64) -> F,
    out: &mut (dyn Write + Send),
) -> Result<(), Failed>
where
    F: Future<Output = String> + Send + 'static,
{
    let plan = common.plan(common.duration);
    let warm_up = common.plan(common.warm_up);
    if warm_up.count() > 0 {
        engine::run(warm_up, &operation).await?;
    }
    let before = accounts(&lab)?;
    let begun = warm_up.count();
    let measured: Measured = engine::run(plan, |number| operation(begun + number)).await?;
    let after = accounts(&lab)?;
    let costs = before.iter().zip(&after);
    let report = Report {
        what,
        plan,
        measured,
        costs: costs
            .map(|((name, before), (_, after))| Cost::between(name, before, after))
            .collect(),
    };
    // First of all: the processes may not end well, and the figures are there.
    if common.json {
        writeln!(out, "{}", report.json())?;
    } else {
        write!(out, "{}", report.text())?;
    }
    lab.stop().await?;
    match report.judged() {
        0 => Err(format!("no password of {} was judged: nothing was measured", plan.count()).into()),
        _ => Ok(()),
    }
}

fn accounts(lab: &ProcessLab) -> std::io::Result<Vec<(String, Usage)>> {
    let mut all: Vec<_> = lab
        .programs()
        .map(|program| Ok((program.name().to_owned(), usage(program.pid())?)))
        .collect::<std::io::Result<_>>()?;
    // What making the load costs is told too.
    all.push(("load (this process)".to_owned(), usage(std::process::id())?));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_take_turns_and_mistype_once_at_most() {
        let people: People = (0..200)
            .map(|at| (format!("user{at}"), format!("right{at}")))
            .collect();
        let turns: Vec<_> = (0..400)
            .map(|number| whose(&people, number, 30).unwrap())
            .collect();
        assert_eq!(
            turns.iter().filter(|(_, password)| *password == WRONG).count(),
            60
        );
        assert!(turns[200..].iter().all(|(_, password)| *password != WRONG));
        assert_eq!((turns[0].0, turns[200].0), ("user0", "user0"));
        assert_eq!(whose(&Vec::new(), 0, 0), None);
    }
}
