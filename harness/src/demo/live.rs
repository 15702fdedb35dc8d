//! The demo that a newcomer plays with: everything in this process but the agents, which are processes of
//! their own so that they can be killed and stopped by hand, and a running account of what happens.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Table, presets};
use futures::future::join_all;
use postern_cloud::sign_in::{AttemptRecord, Record};
use postern_cloud::store::StoreError;
use postern_kit::Seams;
use postern_kit::clock::Timestamp;
use postern_kit::net::LdapProtection;
use postern_proto::ids::{AgentId, RequestId};

use super::people::people;
use super::{DOMAIN, TENANT, crowd, directory};
use crate::client::{ClientError, Programme};
use crate::lab::processes::{Forest, Program, ProgramError, QUIET, agent_config, start_agent};
use crate::lab::{Lab, LabError, PartError, TenantPlan, Topology};

/// Agents: enough to lose one and still have a choice.
const AGENTS: usize = 3;

/// How often the log and the list of agents are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Records that are looked at each time: all that can have begun within a sign-in's deadline at the
/// greatest rate.
const LOOK_AT: u32 = 400;

/// Most sign-ins a second that the demo makes by itself; the account would be unreadable beyond.
pub const RATE_MAX: u32 = 20;

/// Sign-ins that went well and that one line tells of together.
const SUMMED_UP: u32 = 50;

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The cloud or the directory does not start.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// An agent does not start.
    #[error(transparent)]
    Process(#[from] ProgramError),
    /// The way in cannot be set up.
    #[error("client cannot be set up")]
    Client(#[from] ClientError),
    /// A file cannot be made.
    #[error("agent's configuration cannot be written")]
    File(#[from] io::Error),
    /// The cloud's log does not answer.
    #[error("log cannot be read")]
    Log(#[from] StoreError),
    /// A part does not end well.
    #[error(transparent)]
    Stop(#[from] PartError),
}

struct LiveAgent {
    id: AgentId,
    program: Program,
}

/// The running demo.
pub struct Live {
    lab: Lab,
    agents: Vec<LiveAgent>,
}

impl Live {
    /// Starts it: one tenant, a directory with one user per state, three agents.
    ///
    /// # Errors
    /// [`LiveError`] names what does not start.
    pub async fn start(public_listen: SocketAddr, seams: Seams) -> Result<Self, LiveError> {
        let plan = TenantPlan {
            agents: 0,
            ..TenantPlan::new(TENANT, directory(true))
        };
        let topology = Topology {
            public_listen,
            ..Topology::of(plan)
        };
        let lab = Lab::start(topology, seams).await?;
        let mut live = Self {
            lab,
            agents: Vec::new(),
        };
        for number in 1..=AGENTS {
            let agent = live.agent(number).await?;
            live.agents.push(agent);
        }
        Ok(live)
    }

    async fn agent(&self, number: usize) -> Result<LiveAgent, LiveError> {
        let (lab, folder) = (&self.lab, self.lab.folder());
        let enrolled = lab.enrol_agent(0).await?;
        let name = format!("agent-{number}");
        let directory = &lab.tenant().directory;
        let ldaps = directory
            .ldaps_addr()
            .ok_or(LabError::NoListener(LdapProtection::Ldaps))?;
        let root = folder.join("controller-root.pem");
        std::fs::write(&root, directory.ca_pem().unwrap_or_default())?;
        let text = agent_config(
            &enrolled.state,
            lab.agents(),
            &Forest {
                domain: DOMAIN.to_owned(),
                controllers: vec![ldaps],
                root_file: root,
            },
        );
        std::fs::write(folder.join(format!("{name}.toml")), text)?;
        Ok(LiveAgent {
            id: enrolled.id,
            program: start_agent(&std::env::current_exe()?, folder, &name, QUIET).await?,
        })
    }

    /// Tells what happens through `tell`, a line each, and lets `rate` people a second sign in by
    /// themselves. Never ends by itself.
    ///
    /// # Errors
    /// [`LiveError`] if the log cannot be read.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub async fn tell(&self, rate: u32, tell: impl Fn(&str)) -> Result<(), LiveError> {
        let programme = Arc::new(self.lab.programme(self.lab.tenant())?);
        tokio::select! {
            told = self.watch(rate == 0, tell) => told,
            () = sign_in_for_ever(programme, rate) => Ok(()),
        }
    }

    async fn watch(&self, all: bool, tell: impl Fn(&str)) -> Result<(), LiveError> {
        let mut news = News::default();
        loop {
            for line in self.look(&mut news, all).await? {
                tell(&line);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, news: &mut News, all: bool) -> Result<Vec<String>, LiveError> {
        let (admin, tenant) = (&self.lab.admin, self.lab.tenant().tenant.id);
        let now = self.lab.seams().clock.now();
        // With the time of each, since what is looked at one after the other happened in another order.
        let mut lines = Vec::new();
        for (record, presence) in admin.agents(tenant).await? {
            let id = record.registration.agent;
            let state = match presence {
                None => "is gone",
                Some(_) if record.registration.drained => "is drained: nothing new goes there",
                Some(_) => "is there",
            };
            lines.extend(
                news.agent(id, state)
                    .map(|state| (now, line(now, &self.name(id), state))),
            );
        }
        let records = admin.sign_ins().list(Some(tenant), None, LOOK_AT).await?;
        // Newest first as it comes.
        for record in records.iter().rev() {
            if !news.is_new(record.request) {
                continue;
            }
            if all || is_remarkable(record) {
                lines.push((ended(record), self.told(record)));
            } else if let Some(attempt) = record.attempts.first() {
                *news.usual.entry(attempt.agent).or_default() += 1;
            }
        }
        if news.usual.values().sum::<u32>() >= SUMMED_UP {
            lines.push((now, self.summed_up(now, &mut news.usual)));
        }
        lines.sort_by_key(|(at, _)| *at);
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }

    fn name(&self, id: AgentId) -> String {
        let found = self.agents.iter().find(|agent| agent.id == id);
        found.map_or_else(|| id.to_string(), |agent| agent.program.name().to_owned())
    }

    fn told(&self, record: &Record) -> String {
        let who = if record.username.is_empty() {
            "somebody"
        } else {
            &record.username
        };
        let attempts = record.attempts.iter();
        let attempts: Vec<_> = attempts.map(|attempt| self.attempt(attempt)).collect();
        let way = match attempts.len() {
            0 => "nobody was asked".to_owned(),
            1 => attempts.concat(),
            _ => format!("HANDED OVER: {}", attempts.join(", then ")),
        };
        let what = format!(
            "{}, code {}, {} ms; {way}",
            record.outcome,
            record.code,
            record.total.as_millis()
        );
        line(ended(record), who, &what)
    }

    fn summed_up(&self, now: Timestamp, usual: &mut BTreeMap<AgentId, u32>) -> String {
        let shares: Vec<_> = self
            .agents
            .iter()
            .map(|agent| {
                let count = usual.get(&agent.id).copied().unwrap_or_default();
                format!("{} {count}", agent.program.name())
            })
            .collect();
        let count: u32 = std::mem::take(usual).into_values().sum();
        line(
            now,
            &format!("{count} people"),
            &format!("signed in; {}", shares.join(", ")),
        )
    }

    fn attempt(&self, attempt: &AttemptRecord) -> String {
        let said = if attempt.reason.is_empty() {
            &attempt.verdict
        } else {
            &attempt.reason
        };
        format!("{} {said}", self.name(attempt.agent))
    }

    /// What to do now, for the terminal.
    pub fn welcome(&self) -> String {
        let lab = &self.lab;
        let address = format!("https://localhost:{}/t/{TENANT}/sign-in", lab.public().port());
        let mut text = format!(
            "Postern runs, with everything it needs, until you press Ctrl-C.\n\n\
             Sign-in page   {address}\n\
             \x20              (the certificate was made for this demo: your browser will ask)\n\n\
             {}\n\n\
             Directory      {DOMAIN}, a simulated Active Directory that locks an account after 5 wrong passwords;\n\
             \x20              Postern stops after 4\n",
            users().trim_fmt()
        );
        for LiveAgent { id, program } in &self.agents {
            let _ = writeln!(text, "{:<14} process {}, id {id}", program.name(), program.pid());
        }
        text.push_str(&self.commands(&address));
        text
    }

    fn commands(&self, address: &str) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| "postern".into());
        let (program, folder) = (program.display(), self.lab.folder().display());
        let admin = format!(
            "{program} cloud admin --socket {}",
            self.lab.admin_socket().display()
        );
        let (first, pid) = self.agents.first().map_or_else(Default::default, |agent| {
            (agent.id.to_string(), agent.program.pid())
        });
        format!(
            "\nFail an agent by hand, in another terminal, and sign in meanwhile; what happens is told below. With\n\
             `demo --rate 10` people sign in by themselves all the time.\n\n\
             \x20 kill -9 {pid}       it is gone, and nobody notices\n\
             \x20 kill -STOP {pid}    it hangs: who was just given to it is handed over after 2 to 4 s\n\
             \x20 kill -CONT {pid}    it comes back\n\
             \x20 {program} agent run --config {folder}/agent-1.toml    starts it again\n\
             \x20 {admin} agent drain --tenant {TENANT} {first}\n\
             \x20 {admin} agent resume --tenant {TENANT} {first}\n\
             \nLook around:\n\n\
             \x20 {admin} status\n\
             \x20 {admin} sign-in list --tenant {TENANT}\n\
             \x20 {admin} agent list --tenant {TENANT}\n\
             \x20 {admin} user list --tenant {TENANT}\n\
             \x20 curl --cacert {} {address}\n\n",
            self.lab.page_root_file().display()
        )
    }

    /// Ends everything in order.
    ///
    /// # Errors
    /// [`LiveError::Stop`] for the first part that had failed. Agents may have been killed by hand.
    pub async fn stop(self) -> Result<(), LiveError> {
        join_all(self.agents.into_iter().map(|mut agent| async move {
            let _ = agent.program.terminate().await;
        }))
        .await;
        Ok(self.lab.stop().await?)
    }
}

fn users() -> Table {
    let mut users = Table::new();
    users.load_preset(presets::NOTHING);
    users.set_header(["username", "password", "state"]);
    for person in people() {
        users.add_row([
            person.username(DOMAIN),
            person.password.to_owned(),
            person.what.to_owned(),
        ]);
    }
    users
}

async fn sign_in_for_ever(programme: Arc<Programme>, rate: u32) {
    let Some(each) = Duration::from_secs(1).checked_div(rate) else {
        return std::future::pending().await;
    };
    let sign_ins = crowd().cycle().map(|(username, password)| {
        let programme = programme.clone();
        async move {
            // What becomes of it is in the log.
            let _ = programme.sign_in(&username, &password).await;
        }
    });
    let mut under_way = futures::stream::FuturesUnordered::new();
    let mut ticks = tokio::time::interval(each);
    for sign_in in sign_ins {
        under_way.push(sign_in);
        loop {
            tokio::select! {
                _ = ticks.tick() => break,
                Some(()) = futures::StreamExt::next(&mut under_way) => {}
            }
        }
    }
}

/// When its outcome stood: what is told in this order comes in the order in which it was known.
fn ended(record: &Record) -> Timestamp {
    record.at.plus(record.total)
}

/// Whether it is told when people sign in all the time.
fn is_remarkable(record: &Record) -> bool {
    record.attempts.len() > 1 || record.code != 0
}

fn line(at: Timestamp, who: &str, what: &str) -> String {
    let time = at.to_string();
    // The day is today.
    let time = time.get(11..23).unwrap_or(&time);
    format!("{time}  {who:<28}  {what}\n")
}

/// What was told already.
#[derive(Default)]
struct News {
    agents: BTreeMap<AgentId, &'static str>,
    told: VecDeque<RequestId>,
    /// Sign-ins that nothing need be said of, by agent.
    usual: BTreeMap<AgentId, u32>,
}

impl News {
    /// The state of an agent, if it was another one before.
    fn agent(&mut self, id: AgentId, state: &'static str) -> Option<&'static str> {
        let before = self.agents.insert(id, state);
        (before.is_some() && before != Some(state)).then_some(state)
    }

    fn is_new(&mut self, request: RequestId) -> bool {
        if self.told.contains(&request) {
            return false;
        }
        self.told.push_back(request);
        if self.told.len() > 2 * LOOK_AT as usize {
            self.told.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut news = News::default();
        let (one, other) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        assert_eq!(
            news.agent(one, "is there"),
            None,
            "that it is there at first is no news"
        );
        assert_eq!(news.agent(other, "is there"), None);
        assert_eq!(news.agent(one, "is gone"), Some("is gone"));
        assert_eq!(news.agent(one, "is gone"), None);
        assert_eq!(news.agent(one, "is there"), Some("is there"));
        let request = RequestId::from_bytes([3; 16]);
        assert!(news.is_new(request));
        assert!(!news.is_new(request));
    }
}
