//! What an administrator is told of a directory: the first step that fails, and what to do about it.

use postern_agent::BindName;
use postern_agent::directory::{Finding, Inspected, Mark};
use postern_directory_mock::{Flavour, TestCa};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use postern_proto::password::Password;

use crate::bench::{Arm, BASE, Bench, Form, PASSWORD, Person, THRESHOLD, Way, Which, soon};

async fn bench(directory: Which, form: Form) -> Option<Bench> {
    let protection = LdapProtection::Ldaps;
    let arm = Arm {
        directory,
        protection,
        form,
    };
    Bench::open(arm).await
}

async fn look(way: Way, who: &Person, password: Option<&str>) -> Vec<Finding> {
    let forests = way.open();
    let password = password.map(|text| Password::new(text.to_owned()).unwrap());
    let mut asked = Inspected::new(who.name.clone(), Some(who.object), password);
    let mut all = soon(forests.all()[0].inspect(&mut asked)).await;
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

fn steps(findings: &[Finding]) -> Vec<(&'static str, Mark)> {
    findings
        .iter()
        .map(|finding| (finding.step, finding.mark))
        .collect()
}

#[tokio::test]
async fn every_step_is_told_where_all_is_well() {
    let simulated = Which::Simulated(Flavour::Windows);
    for (directory, user) in [(simulated, "alice"), (Which::OpenLdap, "bob")] {
        let Some(bench) = bench(directory, Form::Search).await else {
            continue;
        };
        let who = bench.person(user).await;
        let found = look(bench.way(), &who, Some(PASSWORD)).await;
        let good = ["connect", "protect", "service account", "user", "object", "bind"];
        let mut expected: Vec<_> = good.map(|step| (step, Mark::Good)).to_vec();
        expected.push(("lockout", Mark::Note));
        assert_eq!(steps(&found), expected, "{found:#?}");
        let rule = &found.last().unwrap().text;
        assert!(rule.starts_with(&format!("{THRESHOLD} failures lock")), "{rule}");
    }
}

#[tokio::test]
async fn the_step_that_fails_is_the_last_before_the_lockout_and_says_what_to_do() {
    let bench = bench(Which::Simulated(Flavour::Windows), Form::Search)
        .await
        .unwrap();
    let alice = bench.person("alice").await;
    let stranger = TestCa::generate(&Seams::real()).unwrap();
    let untrusted = Way {
        roots: vec![stranger.der()],
        ..bench.way()
    };
    let elsewhere = Way {
        bind_name: BindName::Search {
            base: BASE.to_owned(),
            filter: "(mail={name})".parse().unwrap(),
        },
        ..bench.way()
    };
    let bob = Person {
        name: bench.name("bob"),
        ..alice.clone()
    };
    for (way, who, step, advice) in [
        (untrusted, &alice, "protect", "`trust`"),
        (elsewhere, &alice, "user", "`filter`"),
        (bench.way(), &bob, "object", "import"),
        (bench.way(), &alice, "bind", "counted"),
    ] {
        let found = look(way, who, Some("wrong")).await;
        let failed = found.iter().find(|finding| finding.mark == Mark::Bad).unwrap();
        assert_eq!(failed.step, step, "{found:#?}");
        assert!(failed.advice.unwrap().contains(advice), "{found:#?}");
        assert!(!format!("{found:?}").contains("wrong\""), "no password is told");
    }
    assert_eq!(
        bench.failures("alice").await,
        1,
        "the password was shown in the last case only"
    );
    bench.write_secret("an old password");
    let found = look(bench.way(), &alice, Some("wrong")).await;
    assert_eq!(steps(&found).last(), Some(&("service account", Mark::Bad)));
}

#[tokio::test]
async fn without_a_password_nobody_is_bound() {
    let bench = bench(Which::Simulated(Flavour::Samba), Form::Guid).await.unwrap();
    let alice = bench.person("alice").await;
    let found = look(bench.way(), &alice, None).await;
    assert_eq!(steps(&found).last(), Some(&("bind", Mark::Note)), "{found:#?}");
    assert_eq!(bench.server().unwrap().journal().total(), 0);
}
