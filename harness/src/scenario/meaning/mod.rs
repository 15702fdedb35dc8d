//! What a file means: names become things, defaults are filled in, and what cannot be is reported, all of
//! it at once.

mod expect;
mod lab;
mod sign_ins;
mod troubles;
mod work;

pub use sign_ins::SINGLE_MAX;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use postern_cloud::config::Limits;
use postern_proto::names::{DomainName, TenantName};

use super::file::{self, File, Several};
use super::mistakes::{Mistake, meant};
use super::plan::{Agent, Controller, Link, Lockout, Scenario, Tenant};
use super::shape::Places;
use super::units::Written;
use super::words::World;

/// Longest scenario: a day, which no simulation and no patience outlasts.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a message takes between two hosts where nothing is said: a good office network.
const LATENCY: Duration = Duration::from_millis(2);

/// Active Directory's own default of lockout window and duration.
const LOCKOUT_TIME: Duration = Duration::from_secs(30 * 60);

/// Most users of all tenants together: what a simulation holds in memory.
const USERS_MAX: u32 = 100_000;

/// Most hosts: a simulation's cost grows with their square.
const HOSTS_MAX: usize = 100;

/// Reads what a file means. `shape`: the mistakes of its shape; what they left out is not missed here. `asked`: a
/// world that it is to run in whatever it is for. `None` only with mistakes.
pub(super) fn read(
    file: File,
    places: &Places,
    shape: &[Mistake],
    asked: Option<World>,
) -> (Option<Scenario>, Vec<Mistake>) {
    let for_lab = asked == Some(World::Lab) || file.worlds.iter().flatten().any(|world| *world == World::Lab);
    let mut reader = Reader {
        places,
        for_lab,
        lost: Lost::of(&file, shape),
        mistakes: Vec::new(),
    };
    let scenario = reader.scenario(file);
    if let Some(scenario) = scenario.as_ref().filter(|_| for_lab) {
        reader.lab(scenario);
    }
    let whole = shape.is_empty() && reader.mistakes.is_empty();
    (scenario.filter(|_| whole), reader.mistakes)
}

struct Reader<'a> {
    places: &'a Places,
    /// It must be able to run in the lab.
    for_lab: bool,
    lost: Lost,
    mistakes: Vec<Mistake>,
}

/// Parts that could not be read: what names something in them may be right.
#[derive(Clone, Copy, Debug)]
struct Lost {
    tenants: bool,
    hosts: bool,
    users: bool,
    work: bool,
    faults: bool,
}

impl Lost {
    fn of(file: &File, shape: &[Mistake]) -> Self {
        fn some<T>(items: &file::Items<T>) -> bool {
            items.0.iter().any(Option::is_none)
        }
        let wrong = |test: &dyn Fn(&str) -> bool| shape.iter().any(|mistake| test(&mistake.field));
        let named = |field: &str, table: &str| field.starts_with(table) && field.ends_with("].name");
        let tenants = some(&file.tenant) || wrong(&|field| field == "tenant" || named(field, "tenant["));
        let in_tenant = |field: &str, what: &[&str]| {
            let rest = field
                .strip_prefix("tenant[")
                .and_then(|rest| rest.split_once("]."));
            rest.is_some_and(|(_, rest)| what.iter().any(|what| rest.starts_with(what)))
        };
        let whole = |field: &str, what: &[&str]| in_tenant(field, what) && !field.ends_with(']');
        Self {
            tenants,
            hosts: tenants
                || wrong(&|field| whole(field, &["agents", "controllers"]) && !field.contains("].agents[")),
            users: tenants || wrong(&|field| in_tenant(field, &["users"])),
            work: some(&file.load)
                || some(&file.attack)
                || some(&file.sign_in)
                || wrong(&|field| {
                    ["load", "attack", "sign_in"]
                        .iter()
                        .any(|work| field.starts_with(work))
                }),
            faults: some(&file.fault) || wrong(&|field| field == "fault" || named(field, "fault[")),
        }
    }
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, problem: impl Into<String>) {
        self.wrong_perhaps(field, problem, None);
    }

    fn wrong_perhaps(&mut self, field: &str, problem: impl Into<String>, help: Option<String>) {
        self.mistakes.push(Mistake {
            at: self.places.find(field),
            field: field.to_owned(),
            problem: problem.into(),
            help,
        });
    }

    /// A name that nothing has.
    fn unknown<'n>(&mut self, field: &str, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        let help = meant(name, known);
        self.wrong_perhaps(field, format!("there is no {what} `{name}`"), help);
    }

    /// A time of its range, or its default.
    fn time(
        &mut self,
        field: &str,
        written: Option<Written<Duration>>,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(Written(time)) = written else {
            return default;
        };
        if range.contains(&time) {
            return time;
        }
        let [least, most] = [range.start(), range.end()].map(|end| humantime::format_duration(*end));
        self.wrong(field, format!("expected a time from {least} to {most}"));
        default
    }

    fn scenario(&mut self, file: File) -> Option<Scenario> {
        self.title(file.title.as_deref());
        let some = Duration::from_secs(1)..=DURATION_MAX;
        let known = file.duration.is_some();
        // Where it is not known, nothing comes after it.
        let duration = self.time("duration", file.duration, some, DURATION_MAX);
        let quiet = self.time("quiet", file.quiet, Duration::ZERO..=DURATION_MAX, Duration::ZERO);
        let quiet = if quiet >= duration && known {
            self.wrong(
                "quiet",
                "is as long as all of it; expected less than the duration",
            );
            Duration::ZERO
        } else {
            quiet.min(duration)
        };
        let limits = self.limits(&file.limits);
        let latency = Duration::ZERO..=Duration::from_secs(10);
        let latency = self.time("latency", file.latency, latency, LATENCY);
        let mut scenario = Scenario {
            title: file.title.unwrap_or_default(),
            about: file.about.unwrap_or_default(),
            worlds: self.worlds(file.worlds),
            duration,
            quiet,
            limits,
            latency,
            tenants: self.tenants(&file.tenant),
            links: Vec::new(),
            loads: Vec::new(),
            attacks: Vec::new(),
            sign_ins: Vec::new(),
            faults: Vec::new(),
            nemesis: None,
            expect: file.expect,
        };
        let excepted = scenario
            .expect
            .except
            .read()
            .map(|(_, except)| except.invariant)
            .collect();
        self.budgets(&scenario, &excepted);
        scenario.loads = self.loads(&file.load, &scenario);
        scenario.attacks = self.attacks(&file.attack, &scenario);
        scenario.sign_ins = self.single_sign_ins(&file.sign_in, &scenario);
        if known {
            self.sign_ins(&scenario);
        }
        let nobody = file.load.0.is_empty() && file.attack.0.is_empty() && file.sign_in.0.is_empty();
        if nobody && !self.lost.work {
            self.wrong(
                "load",
                "nobody signs in; expected a [[load]], an [[attack]] or a [[sign_in]]",
            );
        }
        scenario.links = self.links(&file.link, &scenario);
        scenario.faults = self.faults(&file.fault, &scenario);
        scenario.nemesis = file.nemesis.and_then(|nemesis| self.nemesis(&nemesis, &scenario));
        self.expectations(&scenario);
        Some(scenario)
    }

    fn title(&mut self, title: Option<&str>) {
        let Some(title) = title else { return };
        let words = title.split_whitespace().count();
        if words < 3
            || title.ends_with('.')
            || title.starts_with(char::is_lowercase)
            || title.contains(char::is_control)
        {
            let right =
                "expected a sentence without its full stop, such as \"An agent dies and nobody notices\"";
            self.wrong("title", right);
        }
    }

    fn worlds(&mut self, worlds: Option<Vec<World>>) -> Vec<World> {
        let mut worlds = worlds.unwrap_or_else(|| vec![World::Sim]);
        if worlds.is_empty() {
            self.wrong("worlds", "is empty; expected \"sim\", \"lab\" or both");
        }
        worlds.sort();
        worlds.dedup();
        worlds
    }

    fn limits(&mut self, limits: &file::Limits) -> Limits {
        let plain = Limits::default();
        let ms = Duration::from_millis;
        let deadline = self.time(
            "limits.deadline",
            limits.deadline,
            ms(1_000)..=ms(60_000),
            plain.deadline,
        );
        let attempt = self.time(
            "limits.attempt",
            limits.attempt,
            ms(100)..=ms(60_000),
            plain.attempt,
        );
        let window = ms(60_000)..=ms(24 * 3_600_000);
        let window = self.time("limits.window", limits.window, window, plain.window);
        let floor = self.time("limits.floor", limits.floor, ms(0)..=ms(10_000), plain.floor);
        if limits.attempt.is_some() && attempt > deadline {
            self.wrong(
                "limits.attempt",
                "is more than the deadline; expected a share of it",
            );
        }
        Limits {
            deadline,
            attempt,
            budget: limits.budget.unwrap_or(plain.budget),
            window,
            floor,
            hand_off: limits.hand_off.unwrap_or(plain.hand_off),
        }
    }

    fn tenants(&mut self, tenants: &file::Items<file::Tenant>) -> Vec<Tenant> {
        let (mut names, mut domains) = (BTreeSet::new(), BTreeSet::new());
        let (mut controllers, mut agents, mut users) = (0, 0, 0_u32);
        let mut all = Vec::new();
        for (at, tenant) in tenants.read() {
            let path = format!("tenant[{at}]");
            let domain = tenant.domain.clone();
            let domain = domain.unwrap_or_else(|| format!("{}.example.test", tenant.name));
            self.tenant_names(&path, tenant, &domain);
            if !names.insert(tenant.name.clone()) {
                self.wrong(
                    &format!("{path}.name"),
                    "is another tenant's as well; expected one of its own",
                );
            }
            if !domains.insert(domain.to_lowercase()) {
                self.wrong(
                    &format!("{path}.domain"),
                    "is another tenant's as well; a domain belongs to one",
                );
            }
            let counts: std::collections::BTreeMap<_, _> = (tenant.users.0.iter())
                .filter(|(_, count)| count.0 > 0)
                .map(|(state, count)| (*state, count.0))
                .collect();
            users = users.saturating_add(counts.values().sum());
            if counts.is_empty() && !self.lost.users {
                self.wrong(
                    &format!("{path}.users"),
                    "nobody; expected counts such as { ok = 10 }",
                );
            }
            let own = self.controllers(&path, tenant, &mut controllers);
            let agents = self.agents(&path, tenant, &own, &mut agents);
            all.push(Tenant {
                name: tenant.name.clone(),
                domain: domain.to_lowercase(),
                tell_locked: tenant.tell_locked.unwrap_or(true),
                users: counts,
                lockout: self.lockout(&path, &tenant.lockout),
                controllers: own,
                agents,
            });
        }
        if tenants.0.is_empty() && !self.lost.tenants {
            self.wrong("tenant", "there is none; expected at least one [[tenant]]");
        }
        if users > USERS_MAX {
            self.wrong(
                "tenant",
                format!("{users} users in all; expected at most {USERS_MAX}"),
            );
        }
        if controllers + agents > HOSTS_MAX {
            self.wrong(
                "tenant",
                format!("more than {HOSTS_MAX} hosts in all; expected fewer"),
            );
        }
        all
    }

    fn tenant_names(&mut self, path: &str, tenant: &file::Tenant, domain: &str) {
        if let Err(wrong) = tenant.name.parse::<TenantName>() {
            self.wrong(&format!("{path}.name"), format!("expected {}", wrong.expected));
        } else if let Err(wrong) = domain.parse::<DomainName>() {
            self.wrong(&format!("{path}.domain"), format!("expected {}", wrong.expected));
        }
    }

    fn lockout(&mut self, path: &str, lockout: &file::Lockout) -> Lockout {
        let minute = Duration::from_secs(60);
        let (window, duration) = (
            format!("{path}.lockout.window"),
            format!("{path}.lockout.duration"),
        );
        Lockout {
            threshold: lockout.threshold.unwrap_or(5),
            window: self.time(&window, lockout.window, minute..=DURATION_MAX, LOCKOUT_TIME),
            duration: self.time(
                &duration,
                lockout.duration,
                Duration::ZERO..=DURATION_MAX,
                LOCKOUT_TIME,
            ),
        }
    }

    fn controllers(&mut self, path: &str, tenant: &file::Tenant, before: &mut usize) -> Vec<Controller> {
        let listed = tenant.controllers.as_ref().map(Several::all);
        let mut all = Vec::new();
        for (at, controller) in listed.unwrap_or_else(|| vec![None]).into_iter().enumerate() {
            *before += 1;
            let field = format!("{path}.controllers[{at}].latency");
            let written = controller.and_then(|controller| controller.latency);
            let range = Duration::ZERO..=Duration::from_secs(60);
            all.push(Controller {
                name: format!("dc{before}"),
                latency: self.time(&field, written, range, Duration::ZERO),
            });
        }
        if all.is_empty() {
            self.wrong(
                &format!("{path}.controllers"),
                "is empty; expected at least one controller",
            );
        }
        all
    }

    fn agents(
        &mut self,
        path: &str,
        tenant: &file::Tenant,
        controllers: &[Controller],
        before: &mut usize,
    ) -> Vec<Agent> {
        let listed = tenant.agents.as_ref().map(Several::all);
        let own: Vec<_> = controllers
            .iter()
            .map(|controller| controller.name.as_str())
            .collect();
        let mut all = Vec::new();
        for (at, agent) in listed.unwrap_or_else(|| vec![None]).into_iter().enumerate() {
            *before += 1;
            let chosen = agent.and_then(|agent| agent.controllers.clone());
            let field = format!("{path}.agents[{at}].controllers");
            if chosen.as_ref().is_some_and(Vec::is_empty) {
                self.wrong(
                    &field,
                    "is empty; expected at least one controller, or nothing for all",
                );
            }
            for (at, name) in chosen.iter().flatten().enumerate() {
                if !own.contains(&name.as_str()) && !self.lost.hosts {
                    let what = "controller of this tenant called";
                    self.unknown(&format!("{field}[{at}]"), what, name, own.iter().copied());
                }
            }
            all.push(Agent {
                name: format!("agent{before}"),
                controllers: chosen.unwrap_or_else(|| own.iter().map(|name| (*name).to_owned()).collect()),
            });
        }
        if all.is_empty() {
            self.wrong(&format!("{path}.agents"), "is empty; expected at least one agent");
        }
        all
    }

    /// A budget that reaches the directory's threshold protects nobody.
    fn budgets(&mut self, scenario: &Scenario, excepted: &BTreeSet<super::words::Invariant>) {
        if excepted.contains(&super::words::Invariant::I6) {
            return;
        }
        for (at, tenant) in scenario.tenants.iter().enumerate() {
            let Lockout {
                threshold, window, ..
            } = tenant.lockout;
            let only_with = "or [[expect.except]] of I6 with a reason";
            if threshold != 0 && threshold <= scenario.limits.budget {
                let budget = scenario.limits.budget;
                let problem =
                    format!("{threshold} is not above the budget of {budget}; expected more, {only_with}");
                self.wrong(&format!("tenant[{at}].lockout.threshold"), problem);
            }
            if threshold != 0 && window > scenario.limits.window {
                let problem = format!("is longer than limits.window; expected at most as long, {only_with}");
                self.wrong(&format!("tenant[{at}].lockout.window"), problem);
            }
        }
    }

    fn links(&mut self, links: &file::Items<file::Link>, scenario: &Scenario) -> Vec<Link> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for (at, link) in links.read() {
            let path = format!("link[{at}]");
            self.ends(&format!("{path}.between"), &link.between, scenario);
            let mut ends = link.between.clone();
            ends.sort();
            if !seen.insert(ends) {
                self.wrong(
                    &format!("{path}.between"),
                    "has a link above already; expected one for two hosts",
                );
            }
            let range = Duration::ZERO..=Duration::from_secs(60);
            let latency = self.time(&format!("{path}.latency"), Some(link.latency), range, LATENCY);
            all.push(Link {
                between: link.between.clone(),
                latency,
            });
        }
        all
    }

    /// Whether there are two such hosts, and anything passes between them. Says what is wrong.
    fn ends(&mut self, path: &str, between: &[String; 2], scenario: &Scenario) {
        let known = |name: &String| self.is_host(scenario, name);
        let [a, b] = between;
        let there = [known(a), known(b)];
        for (at, name) in between.iter().enumerate() {
            if !there.get(at).is_some_and(|there| *there) {
                self.host(&format!("{path}[{at}]"), name, scenario);
            }
        }
        if there == [true, true] && !talk(scenario, a, b) && !talk(scenario, b, a) {
            let problem = format!("nothing passes between {a} and {b}");
            let help = "agents talk with the cloud and their controllers, clients with the cloud".to_owned();
            self.wrong_perhaps(path, problem, Some(help));
        }
    }

    fn is_host(&self, scenario: &Scenario, name: &str) -> bool {
        scenario.hosts().iter().any(|host| host == name)
    }

    fn host(&mut self, field: &str, name: &str, scenario: &Scenario) -> bool {
        let hosts = scenario.hosts();
        let there = hosts.iter().any(|host| host == name);
        if !there && !self.lost.hosts {
            self.unknown(field, "host", name, hosts.iter().map(String::as_str));
        }
        there
    }

    /// The place of the tenant that is meant: of the only one, or of the named one.
    fn tenant(&mut self, field: &str, name: Option<&str>, scenario: &Scenario) -> Option<usize> {
        let tenants = &scenario.tenants;
        let Some(name) = name else {
            if tenants.len() > 1 && !self.lost.tenants {
                self.wrong(
                    field,
                    "missing; there are several tenants, so expected the name of one",
                );
            }
            return (tenants.len() == 1).then_some(0);
        };
        let found = tenants.iter().position(|tenant| tenant.name == name);
        if found.is_none() && !self.lost.tenants {
            self.unknown(
                field,
                "tenant",
                name,
                tenants.iter().map(|tenant| tenant.name.as_str()),
            );
        }
        found
    }
}

/// Whether the first calls the second.
fn talk(scenario: &Scenario, a: &str, b: &str) -> bool {
    let agents = || scenario.tenants.iter().flat_map(|tenant| &tenant.agents);
    match b {
        "cloud" => a.starts_with("client") || agents().any(|agent| agent.name == a),
        _ => agents().any(|agent| agent.name == a && agent.controllers.iter().any(|name| name == b)),
    }
}
