//! What clients, the cloud's log and the directories' journals saw of a run, as a history on one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postern_cloud::sign_in::{AttemptRecord, Record};
use postern_directory_mock::{BindOutcome, BindRecord, DirectoryHandle};
use postern_kit::clock::Timestamp;
use postern_proto::ids::{AgentId, TenantId};
use postern_proto::wire::signin::sign_in_response::Outcome as Wire;
use uuid::Uuid;

use super::clocks::Clock;
use super::script::Script;
use crate::canary::Leak;
use crate::check::{
    Answer, Bind, BindEnd, Discharge, Event, Given, History, Logged, LoggedAttempt, Lost, Request, What,
    WhyLost,
};
use crate::scenario::{Action as Due, Arrival, Deed, Outcome, Scenario, Schedule, Trouble};
use crate::sim::{Answer as Seen, Asked, Heard, SimError, Stream, Taken};

/// The cloud's host.
const CLOUD: &str = "cloud";

/// What a world has to show after a run. Times count from the run's start.
pub(super) struct Sight {
    /// When the run ended.
    pub(super) ended: Duration,
    /// How long before its start everything was set up.
    pub(super) before: Duration,
    /// How far times of different observers may differ.
    pub(super) slack: Duration,
    /// What an exact wall clock showed at its start.
    pub(super) start: Timestamp,
    /// What was asked of the cloud's administrators.
    pub(super) asked: Vec<Asked>,
    /// What became of the schedule's arrivals, in their order.
    pub(super) sign_ins: Vec<Seeing>,
    /// The host of each agent, by all ids that it ever had.
    pub(super) agents: BTreeMap<AgentId, String>,
    /// The places of the tenants.
    pub(super) tenants: BTreeMap<TenantId, usize>,
    /// The cloud's sign-in log, newest first.
    pub(super) log: Vec<Record>,
    /// When which agent took which request, if they were looked at.
    pub(super) taken: Option<Vec<Taken>>,
    /// What was said of agents' streams.
    pub(super) heard: Vec<Heard>,
    /// Passwords where none may be.
    pub(super) leaks: Vec<Leak>,
    /// The tenants' directories, each with when its binds were noted.
    pub(super) directories: Vec<(DirectoryHandle, Vec<Duration>)>,
}

/// A sign-in as its client saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeing {
    /// When it was sent; never, if its client was down then.
    pub(super) sent: Option<Duration>,
    /// When it was answered, and how.
    pub(super) answered: Option<(Duration, Seen)>,
}

/// The outcome as scenarios call it.
fn outcome(wire: Wire) -> Option<Outcome> {
    let name = wire.as_str_name().strip_prefix("OUTCOME_")?.to_lowercase();
    Outcome::named(&name)
}

/// Everything.
///
/// # Errors
/// [`SimError`] if something is called what nobody calls it.
pub(super) fn history(
    scenario: &Scenario,
    schedule: &Schedule,
    script: &Script<'_>,
    sight: Sight,
) -> Result<History, SimError> {
    let mut history = History::of(scenario);
    history.ended = sight.ended;
    history.before = sight.before;
    history.slack = sight.slack;
    history.events = events(&history, schedule, script);
    history.events.extend(administered(&history, &sight.asked));
    history.events.extend(streams(&sight.heard, &sight.agents));
    history.events.sort_by_key(|event| event.at);
    for (arrival, seen) in schedule.arrivals.iter().zip(&sight.sign_ins) {
        history.requests.extend(request(&history, arrival, seen)?);
    }
    history.requests.sort_by_key(|request| request.sent);
    let cloud = Clock::of(schedule, CLOUD);
    let names: BTreeMap<_, _> = (history.accounts.iter().enumerate())
        .map(|(at, account)| ((account.tenant, account.username.clone()), at))
        .collect();
    let answers = history.requests.iter().flat_map(|request| {
        let answers = request.answers.iter();
        answers.map(|answer| (answer.request.clone(), request.sent))
    });
    let sent: BTreeMap<_, _> = answers.collect();
    // Oldest first.
    for record in sight.log.iter().rev() {
        let tenant = record.tenant.and_then(|id| sight.tenants.get(&id).copied());
        let account = tenant.and_then(|tenant| names.get(&(tenant, record.username.clone())).copied());
        let shown = since(sight.start, record.at);
        let at = match sent.get(&record.request.to_string()) {
            Some(sent) => cloud.time_near(shown, *sent),
            None => cloud.time(shown),
        };
        let logged = logged(record, at, tenant, account, &sight.agents)?;
        history.log.push(logged);
    }
    history.given = given(&history, sight.taken);
    history.leaks = sight.leaks;
    for ((at, tenant), (directory, noted)) in scenario.tenants.iter().enumerate().zip(&sight.directories) {
        let objects: BTreeMap<Uuid, usize> = (history.accounts.iter().enumerate())
            .filter(|(_, account)| account.tenant == at)
            .filter_map(|(place, account)| Some((directory.guid_of(&account.person.to_string())?, place)))
            .collect();
        let journal = directory.journal().all();
        // The journal may have forgotten the first ones.
        let noted = noted
            .get(noted.len().saturating_sub(journal.len())..)
            .unwrap_or_default();
        // A directory goes by the clock of its first controller.
        let first = tenant
            .controllers
            .first()
            .map_or("", |controller| &controller.name);
        let clock = Clock::of(schedule, first);
        for (record, noted) in journal.iter().zip(noted) {
            let at = clock.time_near(since(sight.start, record.at), *noted);
            history.binds.push(bind(record, at, &objects));
        }
    }
    history.binds.sort_by_key(|bind| bind.at);
    Ok(history)
}

/// Which requests agents got: by their own word, or by the cloud's log where theirs are not looked at. Whose they
/// were, the client knows, or the log.
fn given(history: &History, taken: Option<Vec<Taken>>) -> Vec<Given> {
    let of_log = history
        .log
        .iter()
        .map(|record| (record.request.as_str(), record.tenant.unwrap_or(usize::MAX)));
    let of_clients = history.requests.iter().flat_map(|request| {
        let answers = request.answers.iter();
        answers.map(|answer| (answer.request.as_str(), request.tenant))
    });
    let tenants: BTreeMap<_, _> = of_log.chain(of_clients).collect();
    let logged = || {
        let attempts = history.log.iter().flat_map(|record| {
            let attempts = record.attempts.iter();
            attempts.map(move |attempt| Taken {
                at: record.at,
                host: attempt.agent.clone(),
                request: record.request.clone(),
            })
        });
        attempts.collect()
    };
    let taken = taken.unwrap_or_else(logged);
    let whose = |taken: Taken| {
        // Of a sign-in that was lost with the cloud nobody knows any more.
        let tenant = *tenants.get(taken.request.as_str())?;
        Some(Given {
            at: taken.at,
            agent: taken.host,
            tenant,
            request: taken.request,
        })
    };
    taken.into_iter().filter_map(whose).collect()
}

/// Milliseconds from one wall-clock time to another.
fn since(start: Timestamp, at: Timestamp) -> i64 {
    at.unix_ms().saturating_sub(start.unix_ms())
}

fn unknown(field: &'static str, value: &str) -> SimError {
    SimError::Unknown {
        field,
        value: value.to_owned(),
        expected: "what scenarios have a name for".to_owned(),
    }
}

/// A sign-in; none if its client was down when it was to be sent.
fn request(history: &History, arrival: &Arrival, seen: &Seeing) -> Result<Option<Request>, SimError> {
    let Some(sent) = seen.sent else {
        return Ok(None);
    };
    let client = format!("client{}", arrival.client);
    let mut request = Request {
        tenant: arrival.tenant,
        account: arrival
            .whose
            .and_then(|person| history.account(arrival.tenant, person)),
        username: arrival.username.clone(),
        typed: arrival.typed,
        password: arrival.password,
        sent,
        answers: Vec::new(),
        lost: None,
        client,
    };
    match &seen.answered {
        Some((
            at,
            Seen::Outcome {
                outcome: wire,
                request: id,
                ..
            },
        )) => request.answers.push(Answer {
            at: *at,
            outcome: outcome(*wire).ok_or_else(|| unknown("outcome", wire.as_str_name()))?,
            request: id.clone(),
        }),
        Some((at, Seen::Failed { .. })) => {
            let cloud_died = was_down(history, CLOUD, sent, *at);
            let why = if cloud_died {
                WhyLost::CloudDied
            } else {
                WhyLost::Disconnected
            };
            request.lost = Some(Lost { at: *at, why });
        }
        None => {
            let died = went_down(history, &request.client, sent);
            request.lost = died.map(|at| Lost {
                at,
                why: WhyLost::ClientDied,
            });
        }
    }
    Ok(Some(request))
}

/// When a host went down from `from` on.
fn went_down(history: &History, host: &str, from: Duration) -> Option<Duration> {
    let is_it = |event: &&Event| matches!(&event.what, What::Down { host: down, .. } if down == host);
    let mut downs = history.events.iter().filter(is_it);
    downs.find(|event| event.at >= from).map(|event| event.at)
}

/// Whether a host was down at some time of a span.
fn was_down(history: &History, host: &str, from: Duration, to: Duration) -> bool {
    let mut down = false;
    for event in &history.events {
        if event.at > to {
            break;
        }
        match &event.what {
            What::Down { host: name, .. } if name == host => {
                down = true;
                if event.at >= from {
                    return true;
                }
            }
            What::Up { host: name } if name == host => {
                if down && event.at >= from {
                    return true;
                }
                down = false;
            }
            _ => {}
        }
    }
    down
}

fn logged(
    record: &Record,
    at: Duration,
    tenant: Option<usize>,
    account: Option<usize>,
    agents: &BTreeMap<AgentId, String>,
) -> Result<Logged, SimError> {
    let attempt = |attempt: &AttemptRecord| LoggedAttempt {
        agent: agents
            .get(&attempt.agent)
            .cloned()
            .unwrap_or_else(|| attempt.agent.to_string()),
        controller: attempt.controller.clone(),
        verdict: attempt.verdict.clone(),
        reason: attempt.reason.clone(),
        total: attempt.total,
    };
    Ok(Logged {
        request: record.request.to_string(),
        at,
        tenant,
        account,
        outcome: Outcome::named(&record.outcome).ok_or_else(|| unknown("outcome", &record.outcome))?,
        code: record.code,
        total: record.total,
        attempts: record.attempts.iter().map(attempt).collect(),
    })
}

fn bind(record: &BindRecord, at: Duration, objects: &BTreeMap<Uuid, usize>) -> Bind {
    Bind {
        at,
        controller: record.controller.to_string(),
        account: record.object.and_then(|object| objects.get(&object).copied()),
        end: match record.outcome {
            BindOutcome::Anonymous => BindEnd::Anonymous,
            BindOutcome::Accepted => BindEnd::Accepted,
            BindOutcome::Refused(code) => BindEnd::Refused(code.code()),
            BindOutcome::Answered(code) => BindEnd::Answered(code),
            BindOutcome::Dropped => BindEnd::Dropped,
        },
        judged: record.judged,
        counted: record.counted,
    }
}

/// What was done and what followed from it, by time.
fn events(history: &History, schedule: &Schedule, script: &Script<'_>) -> Vec<Event> {
    let mut all = Vec::new();
    let mut begun = BTreeSet::new();
    for due in &schedule.actions {
        let Some(fault) = schedule.faults.get(due.fault) else {
            continue;
        };
        let lasting = matches!(fault.trouble, Trouble::Flapping { .. });
        // A link that flaps is one trouble from its first going to its last coming.
        let whole =
            !lasting || (due.deed == Deed::Begin && begun.insert(due.fault)) || Some(due.at) == fault.until;
        if whole {
            let what = match due.deed {
                Deed::Begin => What::Begin {
                    fault: due.fault,
                    trouble: fault.trouble.clone(),
                },
                Deed::End => What::End { fault: due.fault },
            };
            all.push(Event { at: due.at, what });
        }
        all.extend(follows(history, script, due, &fault.trouble));
    }
    // A link that flaps may end while it is up.
    for (at, fault) in schedule.faults.iter().enumerate() {
        let ends = all.iter().any(|event| event.what == What::End { fault: at });
        if let (Trouble::Flapping { .. }, Some(until), false) = (&fault.trouble, fault.until, ends) {
            all.push(Event {
                at: until,
                what: What::End { fault: at },
            });
        }
    }
    all.sort_by_key(|event| event.at);
    all
}

/// What administrators of the cloud were asked to do, and did.
fn administered(history: &History, all_asked: &[Asked]) -> Vec<Event> {
    let mut all = Vec::new();
    for asked in all_asked {
        let what = match &asked.what {
            crate::sim::Action::Drain { host, drained } => Some(What::Drained {
                agent: host.clone(),
                drained: *drained,
            }),
            crate::sim::Action::Revoke { host } => Some(What::Discharged {
                agent: host.clone(),
                why: Discharge::Revoked,
            }),
            crate::sim::Action::DeleteUser { username, .. } => {
                let is_it = |account: &crate::check::Account| account.username == *username;
                let account = history.accounts.iter().position(is_it);
                account.map(|account| What::Deleted { account })
            }
            _ => None,
        };
        let Some(what) = what else { continue };
        all.push(Event {
            at: asked.at,
            what: What::Perhaps(Box::new(what.clone())),
        });
        all.extend(asked.done.map(|at| Event { at, what }));
    }
    all
}

/// What cloud and agents said of the agents' streams, from the world's start on.
fn streams(all: &[Heard], hosts: &BTreeMap<AgentId, String>) -> Vec<Event> {
    let event = |heard: &Heard| {
        let known = |id: &String| hosts.get(&id.parse().ok()?).cloned();
        let what = match (&heard.agent, &heard.what) {
            (Some(id), Stream::Stands) => What::Attached { agent: known(id)? },
            (Some(id), Stream::Ended(why)) => What::Detached {
                agent: known(id)?,
                why: why.clone(),
            },
            (None, Stream::Ended(why)) => What::Dials {
                agent: heard.host.clone(),
                why: why.clone(),
            },
            (None, Stream::Stands) => return None,
        };
        Some(Event { at: heard.at, what })
    };
    all.iter().filter_map(event).collect()
}

/// What an action brings beside itself.
fn follows(history: &History, script: &Script<'_>, due: &Due, trouble: &Trouble) -> Vec<Event> {
    let account = || {
        let (tenant, _, person) = script.user(trouble)?;
        history.account(tenant, person)
    };
    let down = |host: &String, clean| {
        vec![What::Down {
            host: host.clone(),
            clean,
        }]
    };
    let up = |host: &String| vec![What::Up { host: host.clone() }];
    let whats = match (trouble, due.deed) {
        (Trouble::Crash { host }, Deed::Begin) => down(host, false),
        (Trouble::Restart { host }, Deed::Begin) => down(host, true),
        (Trouble::TornState { agent, .. }, _) => down(agent, false),
        (Trouble::Crash { host } | Trouble::Restart { host }, Deed::End) => up(host),
        (Trouble::ChangePassword { .. }, _) => {
            let change = script.changes.get(&due.fault).copied().unwrap_or(1);
            account()
                .map(|account| What::Password { account, change })
                .into_iter()
                .collect()
        }
        (Trouble::SetState { state, .. }, _) => {
            let state = *state;
            account()
                .map(|account| What::State { account, state })
                .into_iter()
                .collect()
        }
        (Trouble::Unlock { .. }, _) => account()
            .map(|account| What::Unlocked { account })
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    let mut events: Vec<_> = whats.into_iter().map(|what| Event { at: due.at, what }).collect();
    // What comes back by itself.
    for (at, action) in script.actions(due) {
        if let crate::sim::Action::Fault(crate::sim::Fault::Start { host }) = action
            && at > due.at
        {
            events.push(Event {
                at,
                what: What::Up { host },
            });
        }
    }
    events
}
