//! One contract for every directory and every way to it, so that the simulated directory cannot
//! promise what a real one does not keep.
//!
//! The real ones are a Samba domain controller and an OpenLDAP server, see `harness/real/`.

use std::time::Duration;

use postern_agent::directory::NotReady;
use postern_agent::{BindName, HostPort};
use postern_directory_mock::{Flavour, TestCa};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict};

use crate::bench::{
    Arm, BASE, Bench, Form, PASSWORD, PATIENCE, Person, THRESHOLD, UTF8_PASSWORD, Way, Which, ask, soon,
};

macro_rules! contract {
    (on [$($arm:tt)*] check $cases:tt) => { $( arm! { $arm $cases } )* };
}

macro_rules! arm {
    (($arm:ident: $directory:expr, $protection:ident, $form:ident) [$($case:ident)*]) => {
        mod $arm {
            use super::*;
            const ARM: Arm = Arm {
                directory: $directory,
                protection: LdapProtection::$protection,
                form: Form::$form,
            };
            $(
                #[tokio::test]
                async fn $case() {
                    if let Some(bench) = Bench::open(ARM).await {
                        super::$case(&bench).await;
                    }
                }
            )*
        }
    };
}

contract! {
    on [
        (simulated_ldaps_guid: Which::Simulated(Flavour::Samba), Ldaps, Guid)
        (simulated_ldaps_upn: Which::Simulated(Flavour::Samba), Ldaps, Upn)
        (simulated_ldaps_dn: Which::Simulated(Flavour::Samba), Ldaps, Dn)
        (simulated_starttls_guid: Which::Simulated(Flavour::Samba), StartTls, Guid)
        (simulated_starttls_upn: Which::Simulated(Flavour::Samba), StartTls, Upn)
        (simulated_windows_guid: Which::Simulated(Flavour::Windows), Ldaps, Guid)
        (simulated_windows_upn: Which::Simulated(Flavour::Windows), StartTls, Upn)
        (samba_ldaps_guid: Which::Samba, Ldaps, Guid)
        (samba_ldaps_upn: Which::Samba, Ldaps, Upn)
        (samba_ldaps_dn: Which::Samba, Ldaps, Dn)
        (samba_starttls_guid: Which::Samba, StartTls, Guid)
        (simulated_ldaps_template: Which::Simulated(Flavour::Samba), Ldaps, Template)
        (simulated_ldaps_search: Which::Simulated(Flavour::Samba), Ldaps, Search)
        (simulated_windows_search: Which::Simulated(Flavour::Windows), StartTls, Search)
        (samba_ldaps_search: Which::Samba, Ldaps, Search)
        (openldap_ldaps_dn: Which::OpenLdap, Ldaps, Dn)
        (openldap_ldaps_template: Which::OpenLdap, Ldaps, Template)
        (openldap_ldaps_search: Which::OpenLdap, Ldaps, Search)
        (openldap_starttls_dn: Which::OpenLdap, StartTls, Dn)
    ]
    check [
        the_right_password_is_accepted
        a_wrong_password_is_wrong_and_says_why
        a_user_whom_nobody_knows_is_wrong
        the_password_of_another_object_is_not_accepted
        every_state_of_an_account_is_told_only_to_who_knows_the_password
        a_locked_account_is_locked_for_every_password
        a_password_is_text_in_any_script
        one_connection_serves_many_users
        a_failed_bind_leaves_nobody_bound
        a_closed_connection_is_noticed_before_the_next_bind
        a_connection_that_fell_silent_is_given_up
        an_untrusted_certificate_gets_no_password
        a_certificate_for_another_name_gets_no_password
    ]
}

async fn the_right_password_is_accepted(bench: &Bench) {
    let alice = bench.person("alice").await;
    let report = bench.ask(&alice, PASSWORD).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    assert_eq!((report.ldap_result, report.sub_code), (0, 0));
    let controller: HostPort = report.controller.unwrap().parse().unwrap();
    assert_eq!(controller.port, bench.relay.addr().port());
    if let Some(server) = bench.server() {
        let mut binds = server.journal().all();
        if bench.arm.form == Form::Search {
            let [reader, _] = &binds[..] else {
                panic!("the service account and the user")
            };
            assert!(reader.encrypted && reader.name.starts_with("CN=svc.reader,"));
            binds.remove(0);
        }
        let [bind] = &binds[..] else { panic!("one bind") };
        assert!(bind.encrypted);
        let name = match bench.arm.form {
            Form::Guid => format!("<GUID={}>", alice.object),
            Form::Upn | Form::Dn => alice.name.to_string(),
            Form::Template | Form::Search => format!("CN=alice,OU=Fixture,{BASE}"),
        };
        assert_eq!(bind.name, name);
    }
}

async fn a_wrong_password_is_wrong_and_says_why(bench: &Bench) {
    let alice = bench.person("alice").await;
    let report = bench.ask(&alice, "wrong").await;
    assert_eq!((report.verdict, report.ldap_result), (Verdict::Wrong, 49));
    let why = if bench.is_active_directory() { 0x52e } else { 0 };
    assert_eq!(report.sub_code, why);
    assert_eq!(bench.failures("alice").await, 1);
    let report = bench.ask(&alice, PASSWORD).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    assert_eq!(bench.failures("alice").await, 0);
}

async fn a_user_whom_nobody_knows_is_wrong(bench: &Bench) {
    let nobody = Person {
        object: "6995b085-9404-416e-8f04-0123456789ab".parse().unwrap(),
        name: bench.name("u.nosuch"),
    };
    let report = bench.ask(&nobody, PASSWORD).await;
    if bench.arm.form == Form::Search {
        // Nobody was bound.
        let verdict = Verdict::NotAsked(NotAsked::NoEntry);
        assert_eq!((report.verdict, report.ldap_result), (verdict, 0));
        return;
    }
    assert_eq!((report.verdict, report.ldap_result), (Verdict::Wrong, 49));
    let why = match bench.arm.directory {
        Which::Simulated(Flavour::Windows) => 0x525,
        Which::Simulated(Flavour::Samba) | Which::Samba => 0x52e,
        Which::OpenLdap => 0,
    };
    assert_eq!(report.sub_code, why);
}

async fn the_password_of_another_object_is_not_accepted(bench: &Bench) {
    let (alice, other) = (bench.person("alice").await, bench.person("u.utf8").await);
    let mixed = Person {
        object: alice.object,
        name: other.name,
    };
    // Also where the same connection was alice's just now.
    for before in [false, true] {
        if before {
            assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
        }
        let report = bench.ask(&mixed, UTF8_PASSWORD).await;
        let (verdict, result) = match bench.arm.form {
            // The name is not used: it is alice who is bound.
            Form::Guid => (Verdict::Wrong, 49),
            Form::Upn | Form::Dn | Form::Template => (Verdict::OtherObject, 0),
            Form::Search => (Verdict::NotAsked(NotAsked::OtherEntry), 0),
        };
        assert_eq!(
            (report.verdict, report.ldap_result),
            (verdict, result),
            "{before}"
        );
    }
    assert_eq!(bench.relay.counts().opened, bench.connections());
}

async fn every_state_of_an_account_is_told_only_to_who_knows_the_password(bench: &Bench) {
    for (user, right, wrong) in bench.states() {
        let person = bench.person(user).await;
        for (password, expected) in [("wrong", wrong), (PASSWORD, right)] {
            let report = bench.ask(&person, password).await;
            assert_eq!((report.verdict, report.sub_code), expected, "{user}, {password}");
        }
    }
    assert_eq!(bench.relay.counts().opened, bench.connections());
}

async fn a_locked_account_is_locked_for_every_password(bench: &Bench) {
    let carol = bench.person("carol").await;
    for _ in 0..THRESHOLD {
        assert_eq!(bench.ask(&carol, "wrong").await.verdict, Verdict::Wrong);
    }
    for password in [PASSWORD, "wrong"] {
        let report = bench.ask(&carol, password).await;
        assert_eq!((report.verdict, report.ldap_result), (Verdict::Locked, 49));
        let why = if bench.is_active_directory() { 0x775 } else { 0 };
        assert_eq!(report.sub_code, why);
    }
    let carol = bench.person("carol").await;
    assert_eq!(bench.ask(&carol, PASSWORD).await.verdict, Verdict::Accepted);
}

async fn a_password_is_text_in_any_script(bench: &Bench) {
    let person = bench.person("u.utf8").await;
    let decomposed = UTF8_PASSWORD.replace('ä', "a\u{308}");
    for (password, expected) in [
        (decomposed.as_str(), Verdict::Wrong),
        (UTF8_PASSWORD, Verdict::Accepted),
        (&UTF8_PASSWORD.replace('P', "p"), Verdict::Wrong),
        (&format!("{UTF8_PASSWORD} "), Verdict::Wrong),
        (UTF8_PASSWORD, Verdict::Accepted),
    ] {
        assert_eq!(
            bench.ask(&person, password).await.verdict,
            expected,
            "{password:?}"
        );
    }
}

async fn one_connection_serves_many_users(bench: &Bench) {
    let people = [bench.person("alice").await, bench.person("bob").await];
    for _ in 0..3 {
        for person in &people {
            assert_eq!(bench.ask(person, PASSWORD).await.verdict, Verdict::Accepted);
        }
    }
    assert_eq!(bench.relay.counts().opened, bench.connections());
    assert_eq!(bench.relay.counts().open, bench.connections());
}

async fn a_failed_bind_leaves_nobody_bound(bench: &Bench) {
    let (alice, bob) = (bench.person("alice").await, bench.person("bob").await);
    let mixed = Person {
        object: alice.object,
        name: bob.name.clone(),
    };
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    // Some directories take the connection for alice's still.
    for person in [&bob, &mixed] {
        let verdict = bench.ask(person, "wrong").await.verdict;
        let expected = match bench.arm.form {
            Form::Search if person.object != bob.object => Verdict::NotAsked(NotAsked::OtherEntry),
            _ => Verdict::Wrong,
        };
        assert_eq!(verdict, expected, "{person:?}");
        let verdict = bench.ask(&bob, PASSWORD).await.verdict;
        assert_eq!(verdict, Verdict::Accepted, "after {person:?}");
        let verdict = bench.ask(&alice, PASSWORD).await.verdict;
        assert_eq!(verdict, Verdict::Accepted, "after {person:?}");
    }
    assert_eq!(bench.relay.counts().opened, bench.connections());
}

async fn a_closed_connection_is_noticed_before_the_next_bind(bench: &Bench) {
    let alice = bench.person("alice").await;
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    bench.relay.cut();
    soon(bench.relay.wait_until(|counts| counts.open == 0)).await;
    assert_eq!(bench.ask(&alice, "wrong").await.verdict, Verdict::Wrong);
    assert_eq!(bench.failures("alice").await, 1, "bound once");
    assert_eq!(bench.relay.counts().opened, 2 * bench.connections());
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    assert_eq!(bench.relay.counts().opened, 2 * bench.connections());
}

async fn a_connection_that_fell_silent_is_given_up(bench: &Bench) {
    let alice = bench.person("alice").await;
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    bench.relay.silence();
    let within = Duration::from_secs(1);
    let report = ask(bench.forest(), &alice, PASSWORD, within).await;
    let expected = match bench.arm.form {
        // It was the search that got no answer.
        Form::Search => Verdict::NotAsked(NotAsked::Late),
        _ => Verdict::Unavailable(Unavailable::TimedOut),
    };
    assert_eq!(report.verdict, expected);
    soon(bench.relay.wait_until(|counts| counts.open == 0)).await;
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    assert_eq!(bench.relay.counts().opened, 2 * bench.connections());
}

async fn an_untrusted_certificate_gets_no_password(bench: &Bench) {
    let stranger = TestCa::generate(&Seams::real()).unwrap();
    let way = Way {
        roots: vec![stranger.der()],
        ..bench.way()
    };
    gets_no_password(bench, way).await;
}

async fn a_certificate_for_another_name_gets_no_password(bench: &Bench) {
    let way = Way {
        controllers: vec![("dc1.other.example.test".to_owned(), bench.relay.addr())],
        ..bench.way()
    };
    gets_no_password(bench, way).await;
}

async fn gets_no_password(bench: &Bench, way: Way) {
    let alice = bench.person("alice").await;
    let forests = way.open();
    let forest = &forests.all()[0];
    let reached = soon(forest.reach()).await;
    assert!(
        matches!(reached[..], [(_, Err(NotReady::Unreachable(_)))]),
        "{reached:?}"
    );
    let report = ask(forest, &alice, "wrong", PATIENCE).await;
    assert_eq!(report.verdict, Verdict::NotAsked(NotAsked::NoController));
    assert_eq!(bench.relay.counts().opened, 2, "it was tried twice");
    assert_eq!(bench.failures("alice").await, 0);
    if let Some(server) = bench.server() {
        assert_eq!(server.journal().total(), 0);
    }
}

/// A directory that takes only DNs answers what is no verdict.
#[tokio::test]
async fn a_name_that_openldap_does_not_take_is_never_wrong() {
    let arm = Arm {
        directory: Which::OpenLdap,
        protection: LdapProtection::Ldaps,
        form: Form::Upn,
    };
    if let Some(bench) = Bench::open(arm).await {
        assert!(matches!(bench.way().bind_name, BindName::Upn { .. }));
        let alice = bench.person("alice").await;
        for password in [PASSWORD, "wrong"] {
            let report = bench.ask(&alice, password).await;
            let fault = Verdict::Unavailable(Unavailable::DirectoryFault);
            assert_eq!((report.verdict, report.ldap_result), (fault, 34));
        }
    }
}
