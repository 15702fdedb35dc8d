//! Files as people write them: right ones, and all the ways to get them wrong.

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
title = "An agent dies under load and nobody notices"
duration = "60s"
quiet = "20s"

[[tenant]]
name = "contoso"
users = { ok = 200, disabled = 5 }
controllers = [{ latency = "20ms" }, {}]
agents = [{}, { controllers = ["dc2"] }]

[[link]]
between = ["agent1", "dc1"]
latency = "40ms"

[[load]]
rate = { from = "20/s", to = "40/s" }
users = { ok = 9, disabled = 1 }
mix = { right = 9, wrong = 1 }

[[fault]]
name = "death"
at = "20s"
for = "10s"
kind = "crash"
host = "agent1"

[[fault]]
at = "25s"
kind = "change_password"
user = "ok-7"

[nemesis]
every = "5s"
loud = "20s"
quiet = "5s"
weights = { crash_agent = 1, partition_controller = 2 }

[[expect.answers]]
of = { typed = "right", users = "ok" }
are = { signed_in = ">= 99%", unavailable = "<= 1%" }

[[expect.recovery]]
after = "death"
within = "5s"

[expect.log]
hand_offs = "some"
"#;

/// The mistakes in `GOOD` with the first `old` replaced, as `line:column field: problem (help)`.
fn with(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "{old}");
    let text = GOOD.replacen(old, new, 1);
    let Err(mistakes) = parse("f", &text) else {
        return Vec::new();
    };
    let shown = mistakes.to_string();
    shown
        .lines()
        .map(|line| line.trim_start_matches("f:").to_owned())
        .collect()
}

#[track_caller]
fn check(old: &str, new: &str, expected: &[&str]) {
    let found = with(old, new);
    let alike = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.contains(expected));
    assert!(alike, "{new}: {found:#?}");
}

#[test]
fn a_good_file_is_read_with_defaults() {
    let scenario = parse("f", GOOD).unwrap();
    assert_eq!(scenario.worlds, [World::Sim]);
    assert_eq!(scenario.limits, postern_cloud::config::Limits::default());
    let tenant = &scenario.tenants[0];
    assert_eq!(tenant.domain, "contoso.example.test");
    assert_eq!(tenant.agents[0].controllers, ["dc1", "dc2"]);
    assert_eq!(tenant.agents[1].controllers, ["dc2"]);
    assert_eq!(tenant.people().count(), 205);
    let person = tenant.person("disabled-5").unwrap();
    assert_eq!(tenant.username(person), "disabled-5@contoso.example.test");
    assert_eq!(
        scenario.hosts(),
        ["cloud", "dc1", "dc2", "agent1", "agent2", "client1"]
    );
    let Trouble::ChangePassword { tenant, .. } = &scenario.faults[1].trouble else {
        panic!("{:?}", scenario.faults);
    };
    assert_eq!(tenant.as_deref(), Some("contoso"), "filled in");
}

/// What nobody can read says nothing about the fields beside it.
#[test]
fn a_mistake_in_a_field_hides_none_in_the_others() {
    check(
        "kind = \"crash\"\nhost = \"agent1\"",
        "kind = \"crash\"\nhost = \"agnet1\"\nfrom = \"now\"",
        &["fault[0].host: there is no host", "fault[0].from: unknown field"],
    );
    let old = "at = \"20s\"\nfor = \"10s\"\nkind = \"crash\"\nhost = \"agent1\"";
    check(
        old,
        &old.replace("20s", "20x").replace("agent1", "agnet1"),
        &["fault[0].at: expected a time", "fault[0].host: there is no host"],
    );
    // Perhaps into the quiet part, and perhaps not.
    check(
        old,
        &old.replace("20s", "20x").replace("10s", "35s"),
        &["fault[0].at: expected a time"],
    );
    check(
        "users = { ok = 9, disabled = 1 }",
        "users = { ok = 9, locked = 1 }\nclients = 0",
        &["load[0].users", "load[0].clients: expected a whole number"],
    );
    check(
        "weights = { crash_agent = 1, partition_controller = 2 }",
        "weights = 3\nlongest = \"1ms\"",
        &["nemesis.weights: expected a table", "nemesis.longest"],
    );
    // What is there cannot be read, so that it is not missing.
    check(
        "are = { signed_in = \">= 99%\", unavailable = \"<= 1%\" }",
        "are = { signed_in = \"al\" }",
        &["expect.answers[0].are.signed_in: expected an amount"],
    );
}

#[test]
fn what_is_not_known_is_said_with_what_was_meant() {
    check(
        "rate = {",
        "raet = {",
        &[
            "16:1: load[0].rate: missing",
            "17:1: load[0].raet: unknown field (did you mean `rate`?)",
        ],
    );
    check(
        "disabled = 5",
        "disbled = 5",
        &["8:21: tenant[0].users.disbled: unknown field (did you mean `disabled`?)"],
    );
    check(
        "\"crash\"",
        "\"crush\"",
        &["25:8: fault[0].kind: there is no `crush` here (did you mean `crash`?)"],
    );
    check(
        "host = \"agent1\"",
        "host = \"agnet1\"",
        &["fault[0].host: there is no host `agnet1` (did you mean `agent1`?)"],
    );
    check(
        "user = \"ok-7\"",
        "user = \"ok-700\"",
        &["contoso has no user `ok-700` (known here: ok-1 to ok-200, disabled-1 to disabled-5)"],
    );
    check(
        "[\"dc2\"]",
        "[\"dc3\"]",
        &["tenant[0].agents[1].controllers[0]: there is no controller of this tenant called `dc3`"],
    );
    check(
        "after = \"death\"",
        "after = \"deth\"",
        &["there is no fault named `deth` (did you mean `death`?)"],
    );
    check(
        "crash_agent = 1",
        "crash_agnet = 1",
        &["nemesis.weights.crash_agnet: unknown field (did you mean `crash_agent`?)"],
    );
    check(
        "signed_in =",
        "signedin =",
        &["expect.answers[0].are.signedin: unknown field (did you mean `signed_in`?)"],
    );
    check(
        "[expect.log]",
        "[expect.agents]\nagent7 = \"none\"\n[expect.log]",
        &["expect.agents.agent7: there is no agent `agent7`"],
    );
    check(
        "[[load]]",
        "[[load]]\ntenant = \"contso\"",
        &[
            "load[0].tenant: there is no tenant `contso` (did you mean `contoso`?)",
            "expect.answers[0].of: nobody sends such",
        ],
    );
}

#[test]
fn what_the_lab_cannot_do_is_refused_where_the_lab_is_asked_for() {
    let text = GOOD.replace(
        "[[load]]",
        "[[fault]]\nat = \"1s\"\nkind = \"clock\"\nhost = \"cloud\"\nby = \"+1s\"\n\
         [[fault]]\nat = \"2s\"\nkind = \"crash\"\nhost = \"client1\"\n\
         [[load]]",
    );
    let text = text.replace("crash_agent = 1", "crash_agent = 1, slow_store = 1");
    parse("f", &text).unwrap();
    let for_lab = format!("worlds = [\"sim\", \"lab\"]\n{text}");
    for (text, asked) in [(&text, Some(World::Lab)), (&for_lab, None)] {
        let found = parse_for("f", text, asked).unwrap_err();
        let seen: Vec<_> = (found.all().iter())
            .map(|mistake| (mistake.field.as_str(), found.position(mistake).0))
            .collect();
        let line_of = |what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
        let expected = [
            ("fault[0].kind", line_of("\"clock\"")),
            ("fault[1].host", line_of("\"client1\"")),
            ("nemesis.weights.slow_store", line_of("slow_store")),
        ];
        let mut sorted = expected.to_vec();
        sorted.sort_by_key(|(_, line)| *line);
        assert_eq!(seen, sorted);
        assert!(
            found
                .to_string()
                .contains("`clock` sets the clock of one host, which the lab cannot do")
        );
    }
}

#[test]
fn what_is_of_another_kind_is_said_with_what_would_be_right() {
    check(
        "\"60s\"",
        "60",
        &["3:12: duration: expected a time such as \"250ms\", \"10s\" or \"30 min\", not 60"],
    );
    check("\"60s\"", "\"60 sconds\"", &["duration: expected a time"]);
    check(
        "{ from = \"20/s\", to = \"40/s\" }",
        "20",
        &["load[0].rate: expected a rate such as"],
    );
    check(
        "right = 9",
        "right = -9",
        &["load[0].mix.right: expected a number from 0 to 1000000, not -9"],
    );
    check(
        "[\"agent1\", \"dc1\"]",
        "[\"agent1\"]",
        &["link[0].between: expected a list of 2, not of 1"],
    );
    check(
        "\"some\"",
        "\"many\"",
        &["expect.log.hand_offs: expected an amount"],
    );
    check(
        "[{}, { controllers",
        "[3, { controllers",
        &["tenant[0].agents[0]: expected a table, not 3"],
    );
    check(
        "title = \"An agent dies under load and nobody notices\"",
        "title = true",
        &["title: expected a text, not true"],
    );
    check("[[load]]\n", "[load]\n", &["load: expected a list, not a table"]);
    check(
        "duration = \"60s\"\n",
        "",
        &["1:1: duration: missing; expected a time"],
    );
}

#[test]
fn what_cannot_be_is_refused() {
    check(
        "nobody notices",
        "nobody notices.",
        &["title: expected a sentence"],
    );
    check(
        "quiet = \"20s\"",
        "quiet = \"60s\"",
        &["quiet: is as long as all of it"],
    );
    check(
        "quiet = \"20s\"",
        "quiet = \"20s\"\nlimits = { attempt = \"20s\" }",
        &["limits.attempt: is more than the deadline"],
    );
    check(
        "{ ok = 200, disabled = 5 }",
        "{ ok = 0 }",
        &[
            "tenant[0].users: nobody",
            "load[0].users",
            "load[0].users",
            "ok-7",
        ],
    );
    check(
        "from = \"20/s\"",
        "from = \"99999/s\"",
        &["load: 3001170 sign-ins in all; expected at most 2000000"],
    );
}

#[test]
fn times_that_cannot_be_are_refused() {
    check(
        "for = \"10s\"",
        "for = \"30s\"",
        &["fault[0].for: lasts into the quiet part; expected an end at 40s at the latest"],
    );
    check(
        "at = \"20s\"",
        "at = \"70s\"",
        &[
            "fault[0].at: is after the scenario's end at 1m",
            "recovery[0].within: is after",
        ],
    );
    check(
        "at = \"25s\"",
        "at = \"45s\"",
        &["fault[1].at: is in the quiet part; expected a time before 40s"],
    );
    check(
        "at = \"25s\"",
        "at = \"25s\"\nfor = \"1s\"",
        &["fault[1].for: is for what lasts"],
    );
    check(
        "rate = {",
        "from = \"50s\"\nto = \"40s\"\nrate = {",
        &["load[0].to: is not after `from`"],
    );
    check(
        "within = \"5s\"",
        "within = \"30s\"",
        &["expect.recovery[0].within: is after the scenario's end"],
    );
    check(
        "for = \"10s\"\n",
        "",
        &["expect.recovery[0].after: never ends; expected `from_begin = true`"],
    );
    check("quiet = \"5s\"\n", "", &["nemesis.quiet: missing"]);
    check(
        "loud = \"20s\"",
        "shortest = \"30s\"\nloud = \"20s\"",
        &["nemesis.shortest: is longer than a loud phase"],
    );
}

#[test]
fn faults_that_name_nothing_or_collide_are_refused() {
    check(
        "kind = \"crash\"\nhost = \"agent1\"",
        "kind = \"partition\"\nbetween = [\"agent2\", \"dc1\"]",
        &["fault[0].between: nothing passes between agent2 and dc1 (agents talk"],
    );
    check(
        "kind = \"crash\"\nhost = \"agent1\"",
        "kind = \"directory\"\ncontroller = \"agent1\"\ndoes = \"hang\"",
        &["fault[0].controller: `agent1` is none; expected one of dc1, dc2"],
    );
    check(
        "kind = \"crash\"\nhost = \"agent1\"",
        "kind = \"directory\"\ncontroller = \"dc1\"\ndoes = \"slow\"",
        &["fault[0].delay: missing; expected how much slower"],
    );
    check(
        "kind = \"crash\"\nhost = \"agent1\"",
        "kind = \"store\"\nfails = \"full\"\ndelay = \"1s\"",
        &["fault[0].delay: is for \"slow\" alone"],
    );
    check(
        "kind = \"crash\"",
        "kind = \"crash\"\nbetween = [\"agent1\", \"dc1\"]",
        &["fault[0].between: unknown field"],
    );
    check(
        "kind = \"change_password\"\nuser = \"ok-7\"",
        "kind = \"stop\"\nhost = \"agent1\"",
        &["fault[1].at: the same host or link is in trouble already, since 20s"],
    );
}

#[test]
fn expectations_that_can_never_hold_are_refused() {
    check(
        "typed = \"right\"",
        "typed = \"wrong\"",
        &["a sign-in with wrong never comes to signed_in (I1)"],
    );
    check(
        "users = \"ok\"",
        "users = \"disabled\"",
        &["users who are disabled never come to signed_in"],
    );
    check(
        "users = \"ok\"",
        "users = \"locked\"",
        &[
            "expect.answers[0].of: nobody sends such a sign-in",
            "never come to signed_in",
        ],
    );
    check(
        "unavailable = \"<= 1%\"",
        "unavailable = \">= 10%\"",
        &["expect.answers[0].are: can never hold: the least shares are 109% together"],
    );
    check(
        "agents = [{}, { controllers = [\"dc2\"] }]",
        "agents = 1",
        &["expect.log.hand_offs: can never hold: no tenant has a second agent"],
    );
    let refused =
        "[[expect.latency]]\noutcome = \"refused\"\nmax = \"<= 100ms\"\np50 = \">= 20s\"\n[expect.log]";
    check(
        "[expect.log]",
        refused,
        &[
            "max: can never hold: no refusal leaves before the floor of 250ms",
            "p50: can never hold: the deadline is 15s",
        ],
    );
    check(
        "are = { signed_in = \">= 99%\", unavailable = \"<= 1%\" }",
        "",
        &["expects nothing"],
    );
}

#[test]
fn a_budget_above_the_directorys_threshold_needs_a_reason() {
    check(
        "agents = [",
        "lockout = { threshold = 4 }\nagents = [",
        &["tenant[0].lockout.threshold: 4 is not above the budget of 4"],
    );
    let excepted = "lockout = { threshold = 4 }\nagents = [";
    let text = GOOD.replacen("agents = [", excepted, 1)
        + "[[expect.except]]\ninvariant = \"I6\"\nbecause = \"the budget is too high\"";
    parse("f", &text).unwrap();
}

#[test]
fn mistakes_of_all_kinds_are_reported_together() {
    let text = GOOD
        .replace("\"60s\"", "\"60\"")
        .replace("\"crash\"", "\"crush\"")
        .replace("\"ok-7\"", "\"ok-0\"")
        .replace("name = \"contoso\"", "name = \"Contoso\"");
    let mistakes = parse("f", &text).unwrap_err();
    let fields: Vec<_> = mistakes
        .all()
        .iter()
        .map(|mistake| mistake.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["duration", "tenant[0].name", "fault[0].kind", "fault[1].user"]
    );
}

#[test]
fn what_is_not_toml_is_said_with_all_its_places() {
    let mistakes = parse("f", "title = \"x\nduration = \n[[tenant]\n").unwrap_err();
    let lines: Vec<_> = mistakes
        .all()
        .iter()
        .map(|mistake| mistakes.position(mistake).0)
        .collect();
    assert_eq!(lines, [1, 2, 3]);
    assert!(
        mistakes
            .all()
            .iter()
            .all(|mistake| mistake.problem.starts_with("not TOML"))
    );
    assert_eq!(parse("f", &"#".repeat(BYTES_MAX + 1)).unwrap_err().all().len(), 1);
}

proptest! {
    /// Whatever is done to a file, it is read or its mistakes are shown, and they point into it.
    #[test]
    fn mutated_files_never_panic(
        edits in prop::collection::vec((0.0..1.0_f64, 0_usize..40, "[a-z0-9\"\\[\\]{}=,.\n ü-]{0,12}"), 1..6),
    ) {
        let mut text = GOOD.to_owned();
        for (at, length, new) in edits {
            let from = text.floor_char_boundary((at * text.len() as f64) as usize);
            let to = text.ceil_char_boundary((from + length).min(text.len()));
            text.replace_range(from..to, &new);
        }
        match parse("f", &text) {
            Ok(scenario) => {
                let schedule = Schedule::draw(&scenario, 1);
                prop_assert!(schedule.arrivals.iter().all(|arrival| arrival.at <= scenario.duration));
            }
            Err(mistakes) => {
                prop_assert!(!mistakes.all().is_empty());
                prop_assert!(mistakes.all().iter().all(|mistake| mistake.at.end <= text.len()));
                prop_assert!(!mistakes.render(true).is_empty() && !mistakes.to_string().is_empty());
            }
        }
    }

    /// The same for files that lost or changed a whole line, which are more often TOML.
    #[test]
    fn files_with_other_lines_never_panic(
        lines in prop::collection::vec((0_usize..60, prop::option::of(0_usize..60)), 1..5),
    ) {
        let all: Vec<_> = GOOD.lines().collect();
        let mut text = all.clone();
        for (at, other) in lines {
            let place = at % text.len();
            text[place] = other.map_or("", |other| all[other % all.len()]);
        }
        let text = text.join("\n");
        if let Err(mistakes) = parse("f", &text) {
            prop_assert!(!mistakes.all().is_empty());
            prop_assert!(!mistakes.render(false).is_empty());
        }
    }
}

#[test]
fn single_sign_ins_are_of_somebody_or_of_nobody() {
    let single = |fields: &str, expected: &[&str]| {
        check(
            "[[fault]]\nname",
            &format!("[[sign_in]]\nat = \"1s\"\n{fields}\n[[fault]]\nname"),
            expected,
        );
    };
    single("user = \"ok-1\"", &[]);
    single(
        "user = \"ok-1\"\nname = \" OK-1@contoso.example.test\"\ntyped = \"wrong\"\nnumber = 7",
        &[],
    );
    single("name = \"nobody@contoso.example.test\"", &[]);
    single("user = \"ok-1\"\ntyped = \"anothers\"\nanother = \"ok-2\"", &[]);
    single(
        "",
        &["sign_in[0].user: missing; expected a user, or a `name` that nobody has"],
    );
    single(
        "user = \"ok-201\"",
        &["sign_in[0].user: contoso has no user `ok-201`"],
    );
    single(
        "user = \"ok-1\"\nname = \"ok-2@contoso.example.test\"",
        &["sign_in[0].name: is no spelling of ok-1@contoso.example.test"],
    );
    single(
        "name = \"OK-2@contoso.example.test\"",
        &["sign_in[0].name: is a user's"],
    );
    single(
        "user = \"ok-1\"\ntyped = \"unknown\"",
        &["sign_in[0].typed: is for a name that nobody has"],
    );
    single(
        "name = \"x\"\ntyped = \"right\"",
        &["sign_in[0].typed: is for a user's name"],
    );
    single(
        "user = \"ok-1\"\ntyped = \"anothers\"",
        &["sign_in[0].another: missing"],
    );
    single(
        "user = \"ok-1\"\nanother = \"ok-2\"",
        &["sign_in[0].another: is for \"anothers\" alone"],
    );
    single(
        "user = \"ok-1\"\nnumber = 1",
        &["sign_in[0].number: is for passwords that nobody has"],
    );
    check(
        "[[fault]]\nname",
        "[[sign_in]]\nat = \"60s\"\nuser = \"ok-1\"\n[[fault]]\nname",
        &["sign_in[0].at: is after the scenario's end at 1m"],
    );
}
