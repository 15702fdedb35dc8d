//! What happened around one sign-in, on all hosts, in one column of time.

use std::fmt;
use std::time::Duration;

use super::codes::{NO_AGENT, with_meaning};
use super::history::{Bind, BindEnd, History, Logged, Request, What};
use super::index::{Index, describe};
use crate::report::text::{duration, moment};

/// What happened around one sign-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline(pub Vec<Line>);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Duration,
    /// Where: a host.
    pub host: String,
    /// What.
    pub what: String,
}

/// How long before a sign-in something is of interest that happened to the system.
const BEFORE: Duration = Duration::from_secs(60);

/// Lines that are shown at most; a request has about ten.
const LINES_MAX: usize = 60;

impl Timeline {
    /// Around the sign-in at this place.
    pub fn of_request(history: &History, at: usize) -> Self {
        Self::of(&Index::of(history), at)
    }

    /// Everything that anybody saw of a run.
    pub fn whole(history: &History) -> Self {
        let index = Index::of(history);
        let mut lines: Vec<_> = (history.events.iter())
            .map(|event| {
                let (host, what) = happened(&index, &event.what, concerned(&event.what));
                let whose = concerned(&event.what).and_then(|account| history.accounts.get(account));
                let of = whose
                    .map(|account| format!(" ({})", account.username))
                    .unwrap_or_default();
                line(event.at, &host, format!("{what}{of}"))
            })
            .collect();
        for (place, request) in history.requests.iter().enumerate() {
            let seen = seen_by_the_client(request).into_iter();
            lines.extend(seen.map(|line| numbered(line, place)));
        }
        for record in &history.log {
            let short: String = record.request.chars().take(ID_SHOWN).collect();
            let said = recorded(record).into_iter().skip(1);
            lines.push(line(record.at, "cloud", format!("receives {}", record.request)));
            lines.extend(said.map(|one| line(one.at, &one.host, format!("{short}…: {}", one.what))));
        }
        for bind in &history.binds {
            let account = bind.account.and_then(|account| history.accounts.get(account));
            let whose = account.map_or("nobody", |account| &account.username);
            let one = bound(bind);
            lines.push(line(one.at, &one.host, format!("{} ({whose})", one.what)));
        }
        lines.sort_by_key(|line| line.at);
        Self(lines)
    }

    /// Of the request at this place.
    pub(super) fn of(index: &Index<'_>, at: usize) -> Self {
        let history = index.history;
        let Some(request) = history.requests.get(at) else {
            return Self::default();
        };
        let (sent, end) = (request.sent, request.end(history.ended));
        // What was done comes before what came of it.
        let mut lines = Vec::new();
        for event in history.events.iter().filter(|event| event.at <= end) {
            let (host, what) = happened(index, &event.what, request.account);
            if event.at + BEFORE >= sent && !what.is_empty() {
                lines.push(line(event.at, &host, what));
            }
        }
        lines.extend(seen_by_the_client(request));
        let ids: Vec<_> = (request.answers.iter())
            .map(|answer| answer.request.as_str())
            .collect();
        for record in ids.iter().filter_map(|id| index.records.get(*id)).flatten() {
            lines.extend(recorded(record));
            if record.attempts.is_empty() && record.code == NO_AGENT {
                let why = not_asked(history, request.tenant, record.at);
                lines.push(line(record.at, "cloud", why));
            }
        }
        for given in ids.iter().filter_map(|id| index.given.get(*id)).flatten() {
            lines.push(line(given.at, &given.agent, "is given it".to_owned()));
        }
        let binds = request.account.and_then(|account| index.binds.get(&account));
        let binds = binds.into_iter().flatten();
        lines.extend(
            binds
                .filter(|bind| sent <= bind.at && bind.at <= end)
                .map(|bind| bound(bind)),
        );
        // Stable: what happens at one moment stays in the order of its causes.
        lines.sort_by_key(|line| line.at);
        // What is long over goes first.
        let before = lines.iter().filter(|line| line.at < sent).count();
        let too_many = lines.len().saturating_sub(LINES_MAX);
        lines.drain(..too_many.min(before));
        lines.truncate(LINES_MAX);
        Self(lines)
    }
}

/// How much of a request's id tells it from the others on a page.
const ID_SHOWN: usize = 8;

/// The account that something was done to, if to one.
fn concerned(what: &What) -> Option<usize> {
    match what {
        What::Password { account, .. }
        | What::State { account, .. }
        | What::Unlocked { account }
        | What::Deleted { account } => Some(*account),
        What::Perhaps(what) => concerned(what),
        What::Begin { .. }
        | What::End { .. }
        | What::Down { .. }
        | What::Up { .. }
        | What::Drained { .. }
        | What::Attached { .. }
        | What::Detached { .. }
        | What::Dials { .. }
        | What::Discharged { .. } => None,
    }
}

fn numbered(line: Line, place: usize) -> Line {
    Line {
        what: format!("sign-in {place}: {}", line.what),
        ..line
    }
}

fn line(at: Duration, host: &str, what: String) -> Line {
    Line {
        at,
        host: host.to_owned(),
        what,
    }
}

fn seen_by_the_client(request: &Request) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |at, what| lines.push(line(at, &request.client, what));
    let name = request.username.escape_debug();
    add(request.sent, format!("sends {name} with {}", request.typed));
    for answer in &request.answers {
        add(answer.at, format!("is told {}", answer.outcome));
    }
    if let Some(lost) = &request.lost {
        add(lost.at, format!("gets no answer: {}", lost.why.says()));
    }
    lines
}

fn recorded(record: &Logged) -> Vec<Line> {
    let mut lines = vec![line(
        record.at,
        "cloud",
        format!("receives it as {}", record.request),
    )];
    // When the cloud knew: attempts are made one after the other.
    let mut known = record.at;
    for attempt in &record.attempts {
        known = known.saturating_add(attempt.total);
        let asked = match attempt.controller.as_str() {
            "" => String::new(),
            controller => format!(" asked {controller}"),
        };
        let reason = match attempt.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        let what = format!(
            "{}{asked}: {}{reason} after {}",
            attempt.agent,
            attempt.verdict,
            duration(attempt.total)
        );
        lines.push(line(known, "cloud", what));
    }
    let what = match record.code {
        0 => format!("records {}", record.outcome),
        code => format!("records {} ({})", record.outcome, with_meaning(code)),
    };
    lines.push(line(record.at + record.total, "cloud", what));
    lines
}

fn detached(agent: &str, why: &str) -> String {
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{agent} is not attached any more{colon}{why}")
}

/// Why a tenant's sign-in came to no agent: how each of them was then.
fn not_asked(history: &History, tenant: usize, at: Duration) -> String {
    let agents = history.tenants.get(tenant).map(|tenant| tenant.agents.as_slice());
    let agents = agents.unwrap_or_default().iter();
    let reasons: Vec<_> = agents.filter_map(|agent| away(history, agent, at)).collect();
    match reasons.as_slice() {
        [] => "asks nobody, although all agents are attached".to_owned(),
        reasons => format!("asks nobody: {}", reasons.join(", ")),
    }
}

/// Why an agent could be given nothing at a time, and since when.
fn away(history: &History, agent: &str, at: Duration) -> Option<String> {
    let (mut detached, mut drained) = (None, None);
    for event in history.events.iter().take_while(|event| event.at <= at) {
        match &event.what {
            What::Attached { agent: name } if name == agent => detached = None,
            What::Detached { agent: name, .. } if name == agent => detached = Some(event.at),
            // Who dies says nothing of its streams.
            What::Down { host, .. } if host == "cloud" => detached = Some(event.at),
            What::Drained {
                agent: name,
                drained: yes,
            } if name == agent => {
                drained = yes.then_some(event.at);
            }
            _ => {}
        }
    }
    let since = |what, since| format!("{agent} is {what} since {} s", moment(since));
    let detached = detached.map(|at| since("not attached", at));
    detached.or_else(|| drained.map(|at| since("drained", at)))
}

fn bound(bind: &Bind) -> Line {
    let judged = if bind.judged { "judges" } else { "does not judge" };
    let counted = if bind.counted { ", counts a failure" } else { "" };
    let end = match bind.end {
        BindEnd::Accepted => "accepts".to_owned(),
        BindEnd::Refused(code) => format!("refuses, data {code:x}"),
        BindEnd::Answered(code) => format!("answers {code}"),
        BindEnd::Dropped => "does not answer".to_owned(),
        BindEnd::Anonymous => "binds nobody".to_owned(),
    };
    let what = format!("{judged} a password of the account: {end}{counted}");
    line(bind.at, &bind.controller, what)
}

/// Where something happened and what; nothing for what is not about the account.
fn happened(index: &Index<'_>, what: &What, account: Option<usize>) -> (String, String) {
    let mine = |of: &usize| account == Some(*of);
    match what {
        What::Begin { fault, trouble } => (
            "fault".to_owned(),
            format!("{fault} begins: {}", describe(trouble)),
        ),
        What::End { fault } => ("fault".to_owned(), format!("{fault} ends")),
        What::Down { host, clean } => (
            host.clone(),
            if *clean {
                "stops".to_owned()
            } else {
                "dies".to_owned()
            },
        ),
        What::Up { host } => (host.clone(), "is up".to_owned()),
        What::Drained { agent, drained } => (
            agent.clone(),
            if *drained {
                "is drained".to_owned()
            } else {
                "is resumed".to_owned()
            },
        ),
        What::Perhaps(what) => {
            let (host, what) = happened(index, what, account);
            let asked = if what.is_empty() {
                what
            } else {
                format!("{what}: asked for")
            };
            (host, asked)
        }
        What::Attached { agent } => ("cloud".to_owned(), format!("{agent} is attached")),
        What::Detached { agent, why } => ("cloud".to_owned(), detached(agent, why)),
        What::Dials { agent, why } => (agent.clone(), format!("is not attached and dials again: {why}")),
        What::Discharged { agent, why } => {
            (agent.clone(), format!("does not count any more: {}", why.says()))
        }
        What::Password { account, change } if mine(account) => (
            "directory".to_owned(),
            format!("the password is changed, for the {change}. time"),
        ),
        What::State { account, state } if mine(account) => {
            ("directory".to_owned(), format!("the account is set to {state}"))
        }
        What::Unlocked { account } if mine(account) => {
            ("directory".to_owned(), "the account is unlocked".to_owned())
        }
        What::Deleted { account } if mine(account) => {
            let facts = index.history.accounts.get(*account);
            (
                "cloud".to_owned(),
                format!(
                    "the record of {} is deleted",
                    facts.map_or("", |facts| &facts.username)
                ),
            )
        }
        What::Password { .. } | What::State { .. } | What::Unlocked { .. } | What::Deleted { .. } => {
            (String::new(), String::new())
        }
    }
}

/// One line each, in columns: time, host, what.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|line| line.host.len()).max().unwrap_or(0);
        for line in &self.0 {
            write!(
                f,
                "\n  {:>10.3} s  {:width$}  {}",
                line.at.as_secs_f64(),
                line.host,
                line.what
            )?;
        }
        Ok(())
    }
}
