//! Whether what a scenario expects beside the invariants came true: counts, shares, percentiles, recovery,
//! what directories and log have.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failures::failures;
use super::history::{History, Logged, Request};
use super::{availability, codes};
use crate::report::text::{counted, duration};
use crate::scenario::{Amount, Latency, Limit, Of, Outcome, Scenario, Typed, Written};

/// An expectation and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its field in the file, such as `expect.answers[0].are.signed_in`.
    pub field: String,
    /// Whether it came true.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
    /// A sign-in that shows why it did not: its place among the requests.
    pub example: Option<usize>,
}

/// All expectations of a scenario, judged by a run of it, in the order of the file's sections.
pub fn expectations(scenario: &Scenario, history: &History) -> Vec<Finding> {
    let judge = Judge {
        scenario,
        history,
        records: records(history),
    };
    let mut findings = Vec::new();
    judge.answers(&mut findings);
    judge.latencies(&mut findings);
    for (at, expected) in scenario.expect.availability.read() {
        let path = format!("expect.availability[{at}]");
        availability::judge(&path, expected, judge.meant(&expected.of), history, &mut findings);
    }
    judge.recoveries(&mut findings);
    judge.directory(&mut findings);
    judge.log(&mut findings);
    judge.agents(&mut findings);
    findings
}

fn records(history: &History) -> BTreeMap<&str, &Logged> {
    let records = history.log.iter();
    records.map(|record| (record.request.as_str(), record)).collect()
}

struct Judge<'a> {
    scenario: &'a Scenario,
    history: &'a History,
    records: BTreeMap<&'a str, &'a Logged>,
}

pub(super) fn finding(field: String, holds: bool, seen: String) -> Finding {
    Finding {
        field,
        holds,
        seen,
        example: None,
    }
}

/// `12 of 30 (40.0%)`
fn share(count: u64, whole: u64) -> String {
    // For reading only.
    let percent = if whole == 0 {
        0.0
    } else {
        count as f64 * 100.0 / whole as f64
    };
    format!("{count} of {whole} ({percent:.1}%)")
}

pub(super) fn amount(
    findings: &mut Vec<Finding>,
    field: String,
    expected: Option<Written<Amount>>,
    count: u64,
    whole: u64,
) {
    if let Some(Written(expected)) = expected {
        let seen = if expected.share {
            share(count, whole)
        } else {
            count.to_string()
        };
        findings.push(finding(field, expected.holds(count, whole), seen));
    }
}

impl Judge<'_> {
    /// Each with its place.
    fn meant<'b>(&'b self, of: &'b Of) -> impl Iterator<Item = (usize, &'b Request)> {
        let requests = self.history.requests.iter().enumerate();
        requests.filter(|(_, request)| self.is_meant(request, of))
    }

    fn is_meant(&self, request: &Request, of: &Of) -> bool {
        let tenant = self.scenario.tenants.get(request.tenant);
        let person = request
            .account
            .and_then(|at| self.history.accounts.get(at))
            .map(|account| account.person);
        // A stranger is in no state; who asks for a state asks for users.
        let state = of
            .users
            .is_none_or(|state| person.is_some_and(|person| person.state == state));
        let user = of
            .user
            .as_ref()
            .is_none_or(|name| person.is_some_and(|person| person.to_string() == *name));
        of.tenant
            .as_ref()
            .is_none_or(|name| tenant.is_some_and(|tenant| tenant.name == *name))
            && state
            && user
            && of.typed.is_none_or(|typed| typed == request.typed)
            && of.from.is_none_or(|from| from.0 <= request.sent)
            && of.to.is_none_or(|to| request.sent < to.0)
    }

    fn answers(&self, findings: &mut Vec<Finding>) {
        for (at, expected) in self.scenario.expect.answers.read() {
            let path = format!("expect.answers[{at}]");
            let meant: Vec<_> = self.meant(&expected.of).collect();
            let outcomes: Vec<_> = meant
                .iter()
                .map(|(place, request)| (*place, request.answer().map(|answer| answer.outcome)))
                .collect();
            let is_about_some = expected.are.0.values().any(|wanted| !wanted.0.is_none());
            if meant.is_empty() && is_about_some {
                let seen = "there was no such sign-in, so that nothing is known of it".to_owned();
                findings.push(finding(format!("{path}.of"), false, seen));
                continue;
            }
            let unanswered = outcomes.iter().filter(|(_, seen)| seen.is_none()).count() as u64;
            let all = meant.len() as u64;
            for (outcome, wanted) in &expected.are.0 {
                let is_it = |seen: &Option<Outcome>| *seen == Some(*outcome);
                let count = outcomes.iter().filter(|(_, seen)| is_it(seen)).count() as u64;
                let field = format!("{path}.are.{outcome}");
                amount(findings, field, Some(*wanted), count, all - unanswered);
                if let Some(finding) = findings.last_mut().filter(|finding| !finding.holds) {
                    // One of the others if too few, one of these if too many.
                    let many = wanted.0.is_exceeded(count, all - unanswered);
                    let mut odd = (outcomes.iter()).filter(|(_, seen)| seen.is_some() && is_it(seen) == many);
                    finding.example = odd.next().map(|(place, _)| *place);
                }
            }
            amount(findings, format!("{path}.count"), expected.count, all, all);
            let field = format!("{path}.unanswered");
            amount(findings, field, expected.unanswered, unanswered, all);
            if let (Some(finding), Some(_)) = (findings.last_mut(), expected.unanswered) {
                let mut odd = outcomes.iter().filter(|(_, seen)| seen.is_none());
                finding.example = odd.next().map(|(place, _)| *place).filter(|_| !finding.holds);
            }
        }
    }

    fn latencies(&self, findings: &mut Vec<Finding>) {
        for (at, expected) in self.scenario.expect.latency.read() {
            let path = format!("expect.latency[{at}]");
            let mut times = self.times(expected);
            times.sort();
            let limits = [
                ("min", 0, expected.min),
                ("p50", 50, expected.p50),
                ("p90", 90, expected.p90),
                ("p99", 99, expected.p99),
                ("max", 100, expected.max),
            ];
            for (name, percent, limit) in limits {
                if let Some(Written(limit)) = limit {
                    findings.push(percentile(format!("{path}.{name}"), &times, percent, limit));
                }
            }
        }
    }

    /// How long answers took, each with its sign-in's place.
    fn times(&self, expected: &Latency) -> Vec<(Duration, usize)> {
        let meant = self.meant(&expected.of);
        let answered = meant.filter_map(|(place, request)| Some((place, request.sent, request.answer()?)));
        answered
            .filter(|(_, _, answer)| expected.outcome.is_none_or(|outcome| outcome == answer.outcome))
            .map(|(place, sent, answer)| (answer.at.saturating_sub(sent), place))
            .collect()
    }

    /// After a fault, and after the time that it may be felt, each right password is judged.
    fn recoveries(&self, findings: &mut Vec<Finding>) {
        for (at, expected) in self.scenario.expect.recovery.read() {
            let named =
                |fault: &&crate::scenario::Fault| fault.name.as_deref() == Some(expected.after.as_str());
            let Some(fault) = self.scenario.faults.iter().find(named) else {
                continue;
            };
            let counted = match fault.until.filter(|_| !expected.from_begin) {
                Some(until) => until,
                None => fault.at,
            };
            let unjudged = |request: &&Request| {
                let outcome = request.answer().map(|answer| answer.outcome);
                request.typed == Typed::Right
                    && request.sent >= counted
                    && matches!(outcome, None | Some(Outcome::Unavailable | Outcome::Busy))
                    // One that was sent shortly before the end need not be answered by then.
                    && (outcome.is_some() || request.lost.is_some())
            };
            // What another fault does later is not this one's.
            let next = self
                .scenario
                .faults
                .iter()
                .map(|other| other.at)
                .filter(|at| *at > counted)
                .min();
            let until = next.unwrap_or(Duration::MAX);
            let requests = self.history.requests.iter().enumerate();
            let last = requests
                .filter(|(_, request)| unjudged(request) && request.sent < until)
                .max_by_key(|(_, request)| request.sent);
            let took = last.map_or(Duration::ZERO, |(_, last)| last.sent.saturating_sub(counted));
            let holds = took <= expected.within.0;
            let seen = match last {
                None => "at once".to_owned(),
                Some(_) => format!("the last without a verdict was sent after {}", duration(took)),
            };
            findings.push(Finding {
                example: last.map(|(place, _)| place).filter(|_| !holds),
                ..finding(format!("expect.recovery[{at}]"), holds, seen)
            });
        }
    }

    fn directory(&self, findings: &mut Vec<Finding>) {
        let (expected, history) = (&self.scenario.expect.directory, self.history);
        let binds = history.binds.len() as u64;
        amount(
            findings,
            "expect.directory.binds".to_owned(),
            expected.binds,
            binds,
            binds,
        );
        let mut asked: BTreeMap<usize, u64> = BTreeMap::new();
        for bind in history.binds.iter().filter(|bind| bind.judged) {
            if let Some(account) = bind.account {
                *asked.entry(account).or_default() += 1;
            }
        }
        let failures = failures(history);
        let most = failures.values().map(|of| of.highest).max().unwrap_or(0).into();
        let field = "expect.directory.failures_per_account".to_owned();
        amount(findings, field, expected.failures_per_account, most, 1);
        if let Some(Written(expected)) = expected.binds_per_wrong {
            let field = "expect.directory.binds_per_wrong".to_owned();
            findings.push(self.binds_per_wrong(field, expected, &asked));
        }
        let locked = failures.values().filter(|of| of.locked_at.is_some());
        let (locked, all) = (locked.count() as u64, history.accounts.len() as u64);
        let field = "expect.directory.locked_accounts".to_owned();
        amount(findings, field, expected.locked_accounts, locked, all);
    }

    /// Binds of accounts that signed in once, with a wrong password, and were asked about: only there is it
    /// known which sign-in a bind is of.
    fn binds_per_wrong(&self, field: String, expected: Amount, asked: &BTreeMap<usize, u64>) -> Finding {
        let mut sign_ins: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
        for request in &self.history.requests {
            let Some(account) = request.account else { continue };
            let entry = sign_ins.entry(account).or_default();
            let refused = request
                .answer()
                .is_some_and(|answer| answer.outcome == Outcome::Refused);
            *entry = (entry.0 + 1, request.typed == Typed::Wrong && refused);
        }
        let alone = sign_ins
            .iter()
            .filter(|(_, (count, wrong))| *count == 1 && *wrong);
        let binds: Vec<_> = alone
            .map(|(account, _)| asked.get(account).copied().unwrap_or(0))
            .collect();
        let (least, most) = (binds.iter().min(), binds.iter().max());
        let (Some(least), Some(most)) = (least, most) else {
            return finding(field, true, "no account with a single wrong sign-in".to_owned());
        };
        let holds = expected.holds(*least, 1) && expected.holds(*most, 1);
        finding(
            field,
            holds,
            format!(
                "{least} to {most}, over {}",
                counted(binds.len() as u64, "sign-in")
            ),
        )
    }

    fn log(&self, findings: &mut Vec<Finding>) {
        let (expected, log) = (&self.scenario.expect.log, &self.history.log);
        let all = log.len() as u64;
        let count = |test: &dyn Fn(&Logged) -> bool| log.iter().filter(|record| test(record)).count() as u64;
        let handed = count(&|record| record.attempts.len() > 1);
        amount(
            findings,
            "expect.log.hand_offs".to_owned(),
            expected.hand_offs,
            handed,
            all,
        );
        let ambiguous = count(&Logged::is_ambiguous);
        let field = "expect.log.ambiguous_hand_offs".to_owned();
        amount(findings, field, expected.ambiguous_hand_offs, ambiguous, all);
        let answers = self.history.requests.iter().flat_map(|request| &request.answers);
        let told: std::collections::BTreeSet<_> = answers.map(|answer| answer.request.as_str()).collect();
        let unheard = self.records.keys().filter(|id| !told.contains(**id)).count() as u64;
        amount(
            findings,
            "expect.log.without_answer".to_owned(),
            expected.without_answer,
            unheard,
            all,
        );
        for (code, wanted) in &expected.codes {
            let seen = count(&|record| record.code.to_string() == *code);
            amount(
                findings,
                format!("expect.log.codes.{code}"),
                Some(*wanted),
                seen,
                all,
            );
            let meaning = code.parse().ok().and_then(codes::means);
            if let (Some(finding), Some(meaning)) = (findings.last_mut(), meaning) {
                finding.seen = format!("{} ({meaning})", finding.seen);
            }
        }
    }

    fn agents(&self, findings: &mut Vec<Finding>) {
        let attempts = || self.history.log.iter().flat_map(|record| &record.attempts);
        let all = attempts().count() as u64;
        for (agent, wanted) in &self.scenario.expect.agents {
            let theirs = attempts().filter(|attempt| attempt.agent == *agent).count() as u64;
            amount(
                findings,
                format!("expect.agents.{agent}"),
                Some(*wanted),
                theirs,
                all,
            );
        }
    }
}

/// The time below which so many percent are; 0 is the shortest. Each time with its sign-in's place.
fn percentile(field: String, sorted: &[(Duration, usize)], percent: usize, limit: Limit) -> Finding {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    match sorted.get(place) {
        Some((time, request)) => {
            let holds = limit.holds(*time);
            Finding {
                example: (!holds).then_some(*request),
                ..finding(field, holds, duration(*time))
            }
        }
        None => finding(field, true, "no such sign-in".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::honest::{Honest, Op, SCENARIO};
    use super::*;
    use crate::scenario::parse;

    const SECOND: Duration = Duration::from_secs(1);

    /// What a run of five sign-ins says to these expectations: field and whether it holds.
    fn judged(expect: &str, run: impl FnOnce(&mut Honest)) -> Vec<(String, bool)> {
        let loads = "[[load]]\ntenant = \"contoso\"\nrate = \"1/min\"\nmix = { wrong = 1, unknown = 1 }\n";
        let text = format!("{SCENARIO}{loads}{expect}");
        let scenario = parse("f", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let mut honest = Honest::new();
        run(&mut honest);
        let findings = expectations(&scenario, &honest.end());
        findings
            .into_iter()
            .map(|finding| (finding.field, finding.holds))
            .collect()
    }

    /// Four right sign-ins of two users and a wrong one of a third, ten seconds apart.
    fn five(honest: &mut Honest) {
        for account in [0, 1, 0, 1] {
            honest.step(
                10 * SECOND,
                Op::SignIn {
                    account,
                    typed: Typed::Right,
                    bits: 0,
                },
            );
        }
        honest.step(
            10 * SECOND,
            Op::SignIn {
                account: 2,
                typed: Typed::Wrong,
                bits: 1,
            },
        );
    }

    #[track_caller]
    fn check(expect: &str, expected: &[(&str, bool)]) {
        let found = judged(expect, five);
        let found: Vec<_> = found
            .iter()
            .map(|(field, holds)| (field.as_str(), *holds))
            .collect();
        assert_eq!(found, expected, "{expect}");
    }

    #[test]
    fn answers_are_counted_among_those_that_are_meant() {
        let fields = |of: &str, are: &str| format!("[[expect.answers]]\nof = {of}\nare = {are}\n");
        let signed_in = "expect.answers[0].are.signed_in";
        check(&fields("{}", "{ signed_in = \"80%\" }"), &[(signed_in, true)]);
        check(&fields("{}", "{ signed_in = \"all\" }"), &[(signed_in, false)]);
        check(
            &fields("{ typed = \"right\" }", "{ signed_in = \"all\" }"),
            &[(signed_in, true)],
        );
        check(
            &fields("{ from = \"35s\", to = \"45s\" }", "{ signed_in = \"1\" }"),
            &[(signed_in, true)],
        );
        check(
            &fields(
                "{ tenant = \"contoso\", user = \"ok-2\" }",
                "{ signed_in = \"3..9\" }",
            ),
            &[(signed_in, false)],
        );
        let count = "[[expect.answers]]\ncount = \"5\"\nunanswered = \"none\"\n";
        check(
            count,
            &[
                ("expect.answers[0].count", true),
                ("expect.answers[0].unanswered", true),
            ],
        );
    }

    #[test]
    fn latencies_are_percentiles_of_what_came_to_an_outcome() {
        let limits = "[[expect.latency]]\noutcome = \"signed_in\"\nmin = \">= 20ms\"\np50 = \"<= 20ms\"\nmax = \">= 21ms\"\n";
        let fields = ["min", "p50", "max"].map(|name| format!("expect.latency[0].{name}"));
        check(
            limits,
            &[(&fields[0], true), (&fields[1], true), (&fields[2], false)],
        );
        check(
            "[[expect.latency]]\noutcome = \"refused\"\nmin = \">= 250ms\"\n",
            &[(&fields[0], true)],
        );
    }

    #[test]
    fn availability_is_of_those_with_the_right_password() {
        check(
            "[[expect.availability]]\njudged = \"all\"\nlongest_outage = \"<= 1s\"\n\
             [[expect.availability]]\nof = { from = \"19h\" }\njudged = \"some\"\n",
            &[
                ("expect.availability[0].judged", true),
                ("expect.availability[0].longest_outage", true),
                ("expect.availability[1].of", false),
            ],
        );
        let text = "[[expect.availability]]\njudged = \">= 90%\"\nlongest_outage = \"<= 5s\"\n";
        let run = |honest: &mut Honest| {
            let right = Op::SignIn {
                account: 0,
                typed: Typed::Right,
                bits: 0,
            };
            honest.step(SECOND, Op::Crash(0));
            honest.step(SECOND, Op::Crash(1));
            for _ in 0..3 {
                honest.step(10 * SECOND, right);
            }
            honest.step(SECOND, Op::Crash(0));
            honest.step(SECOND, right);
        };
        assert_eq!(
            judged(text, run),
            [
                ("expect.availability[0].judged".to_owned(), false),
                ("expect.availability[0].longest_outage".to_owned(), false),
            ]
        );
    }

    #[test]
    fn directory_log_and_agents_are_counted() {
        check(
            "[expect.directory]\nbinds = \"5\"\nbinds_per_wrong = \"2\"\nfailures_per_account = \"1\"\nlocked_accounts = \"none\"\n",
            &[
                ("expect.directory.binds", true),
                ("expect.directory.failures_per_account", true),
                ("expect.directory.binds_per_wrong", false),
                ("expect.directory.locked_accounts", true),
            ],
        );
        check(
            "[expect.log]\nhand_offs = \"1\"\nambiguous_hand_offs = \"some\"\ncodes = { 50053 = \"some\" }\n",
            &[
                ("expect.log.hand_offs", true),
                ("expect.log.ambiguous_hand_offs", false),
                ("expect.log.codes.50053", false),
            ],
        );
        check(
            "[expect.agents]\nagent1 = \">= 80%\"\nagent3 = \"some\"\n",
            &[("expect.agents.agent1", true), ("expect.agents.agent3", false)],
        );
    }

    #[test]
    fn recovery_is_the_last_sign_in_without_a_verdict() {
        let expect = |within| {
            format!(
                "[[fault]]\nname = \"outage\"\nat = \"5s\"\nfor = \"30s\"\nkind = \"crash\"\nhost = \"agent1\"\n\
             [[expect.recovery]]\nafter = \"outage\"\nwithin = \"{within}\"\n"
            )
        };
        let run = |honest: &mut Honest| {
            honest.step(5 * SECOND, Op::Crash(0));
            honest.step(SECOND, Op::Crash(1));
            for _ in 0..4 {
                honest.step(
                    10 * SECOND,
                    Op::SignIn {
                        account: 0,
                        typed: Typed::Right,
                        bits: 0,
                    },
                );
            }
            honest.step(SECOND, Op::Crash(0));
            honest.step(
                SECOND,
                Op::SignIn {
                    account: 0,
                    typed: Typed::Right,
                    bits: 0,
                },
            );
        };
        // The last one without an agent was sent at 46 s, eleven after the end.
        assert_eq!(
            judged(&expect("12s"), run),
            [("expect.recovery[0]".to_owned(), true)]
        );
        assert_eq!(
            judged(&expect("10s"), run),
            [("expect.recovery[0]".to_owned(), false)]
        );
    }
}
