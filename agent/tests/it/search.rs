//! Users who are searched before they are bound: who is found, who is not, and what an account does
//! that cannot search. What else holds for them is in the contract.

use postern_agent::BindName;
use postern_directory_mock::faults::{Effect, Operation, Rule};
use postern_directory_mock::{Flavour, User};
use postern_kit::net::LdapProtection;
use postern_proto::ids::ObjectId;
use postern_proto::verdict::{NotAsked, Verdict};

use crate::bench::{Arm, BASE, Bench, Form, PASSWORD, PATIENCE, Person, Which, ask};

const SHARED: &str = "ada@corp.example.test";

async fn bench() -> Bench {
    let arm = Arm {
        directory: Which::Simulated(Flavour::Windows),
        protection: LdapProtection::Ldaps,
        form: Form::Search,
    };
    Bench::open(arm).await.unwrap()
}

/// Adds a user with a mail address.
fn add(bench: &Bench, sam: &str, mail: &str) -> Person {
    let user = User::new(sam, PASSWORD)
        .container("OU=Fixture")
        .attribute("mail", mail);
    let guid = bench.server().unwrap().directory().add(user).unwrap();
    Person {
        object: ObjectId::from_bytes(guid.into_bytes()),
        name: mail.parse().unwrap(),
    }
}

/// A way that searches by mail address.
fn by_mail(bench: &Bench) -> postern_agent::forests::Forests {
    let mut way = bench.way();
    way.bind_name = BindName::Search {
        base: BASE.to_owned(),
        filter: "(mail={name})".parse().unwrap(),
    };
    way.open()
}

/// Binds of users, without the service account's.
fn users_bound(bench: &Bench) -> usize {
    let all = bench.server().unwrap().journal().all();
    let users = all.iter().filter(|bind| !bind.name.starts_with("CN=svc.reader,"));
    users.count()
}

#[tokio::test]
async fn a_user_is_found_by_another_name_of_theirs() {
    let bench = bench().await;
    let ada = add(&bench, "u1234", SHARED);
    let forests = by_mail(&bench);
    let report = ask(&forests.all()[0], &ada, PASSWORD, PATIENCE).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    let all = bench.server().unwrap().journal().all();
    assert_eq!(all.last().unwrap().name, format!("CN=u1234,OU=Fixture,{BASE}"));
}

#[tokio::test]
async fn nobody_is_bound_unless_one_entry_is_found_and_it_is_the_users() {
    let bench = bench().await;
    let (ada, other) = (
        add(&bench, "u1", SHARED),
        add(&bench, "u2", "other@corp.example.test"),
    );
    let twin = add(&bench, "u3", "twin@corp.example.test");
    add(&bench, "u4", "twin@corp.example.test");
    let forests = by_mail(&bench);
    let named = |name: &str, object| Person {
        object,
        name: name.parse().unwrap(),
    };
    for (who, why) in [
        (named("gone@corp.example.test", ada.object), NotAsked::NoEntry),
        (twin, NotAsked::SeveralEntries),
        (named(SHARED, other.object), NotAsked::OtherEntry),
        // What would match everybody, or end the filter, is a name like any other.
        (named("*", ada.object), NotAsked::NoEntry),
        (named("u*@corp.example.test", ada.object), NotAsked::NoEntry),
        (named("x)(objectClass=*", ada.object), NotAsked::NoEntry),
    ] {
        let report = ask(&forests.all()[0], &who, PASSWORD, PATIENCE).await;
        assert_eq!(report.verdict, Verdict::NotAsked(why), "{who:?}");
    }
    assert_eq!(users_bound(&bench), 0);
    assert_eq!(bench.relay.counts().opened, 2, "all on two connections");
}

#[tokio::test]
async fn a_refused_service_account_is_bound_once_until_its_file_changes() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    bench.write_secret("an old password");
    for _ in 0..5 {
        let report = bench.ask(&alice, PASSWORD).await;
        assert_eq!(report.verdict, Verdict::NotAsked(NotAsked::NoController));
    }
    assert_eq!(bench.failures("svc.reader").await, 1);
    assert_eq!(users_bound(&bench), 0);
    bench.write_secret(PASSWORD);
    assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    assert_eq!(bench.failures("svc.reader").await, 0);
}

#[tokio::test]
async fn a_refused_service_account_is_shown_to_one_controller_of_a_forest_and_by_one_request() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    bench.write_secret("an old password");
    let mut way = bench.way();
    way.controllers = [way.controllers.clone(), way.controllers.clone(), way.controllers].concat();
    let forests = way.open();
    let asked = (0..6).map(|_| ask(&forests.all()[0], &alice, PASSWORD, PATIENCE));
    for report in futures::future::join_all(asked).await {
        assert!(matches!(report.verdict, Verdict::NotAsked(_)), "{report:?}");
    }
    assert_eq!(bench.failures("svc.reader").await, 1);
}

#[tokio::test]
async fn a_controller_that_cannot_search_now_is_left_for_the_next_one() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    let mut way = bench.way();
    way.controllers = [way.controllers.clone(), way.controllers].concat();
    let forests = way.open();
    // Both tries at the first one.
    let busy = Rule::new("busy").on(&[Operation::Search]).times(2);
    let busy = busy.effect(Effect::busy());
    bench.server().unwrap().faults().set(busy).unwrap();
    let report = ask(&forests.all()[0], &alice, PASSWORD, PATIENCE).await;
    assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    assert_eq!(users_bound(&bench), 1);
}

#[tokio::test]
async fn what_cannot_be_searched_is_never_wrong() {
    let bench = bench().await;
    let alice = bench.person("alice").await;
    let mut way = bench.way();
    way.bind_name = BindName::Search {
        base: "DC=elsewhere".to_owned(),
        filter: "(sAMAccountName={local})".parse().unwrap(),
    };
    let forests = way.open();
    let report = ask(&forests.all()[0], &alice, PASSWORD, PATIENCE).await;
    assert_eq!(report.verdict, Verdict::NotAsked(NotAsked::NoController));
    assert_eq!(users_bound(&bench), 0);
}

#[tokio::test]
async fn the_service_account_stays_bound_while_users_fail() {
    let bench = bench().await;
    let (alice, bob) = (bench.person("alice").await, bench.person("bob").await);
    for _ in 0..2 {
        assert_eq!(bench.ask(&bob, "wrong").await.verdict, Verdict::Wrong);
        assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
    }
    let all = bench.server().unwrap().journal().all();
    let readers = all.iter().filter(|bind| bind.name.starts_with("CN=svc.reader,"));
    assert_eq!(readers.count(), 1);
    assert_eq!(bench.relay.counts().opened, 2);
}
