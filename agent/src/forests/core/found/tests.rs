use std::collections::BTreeMap;

use super::*;
use postern_kit::random::SeededRandom;
use proptest::prelude::*;

fn host(host: &str, priority: u16, weight: u16) -> Service {
    Service {
        host: host.to_owned(),
        port: 389,
        priority,
        weight,
    }
}

fn services(ttl_s: u64, found: Vec<Service>) -> Services {
    Services {
        found,
        ttl: Duration::from_secs(ttl_s),
    }
}

fn domain(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn finder() -> Finder {
    Finder::new(vec![domain("corp.test"), domain("dcs.test")])
}

fn hosts(found: &Found) -> Vec<&str> {
    found.controllers.iter().map(|host| host.host.as_str()).collect()
}

#[test]
fn questions_are_windows_own() {
    let site: SiteName = "Berlin".parse().unwrap();
    assert_eq!(everywhere(&domain("Corp.test")), "_ldap._tcp.dc._msdcs.corp.test");
    assert_eq!(
        near(&domain("corp.test"), &site),
        "_ldap._tcp.berlin._sites.dc._msdcs.corp.test"
    );
}

#[test]
fn the_site_comes_first_and_then_priority() {
    let site = services(
        600,
        vec![host("b.corp.test", 5, 100), host("a.corp.test", 9, 100)],
    );
    let all = vec![
        host("a.corp.test", 0, 100),
        host("c.corp.test", 7, 100),
        host("d.dcs.test", 3, 100),
        host("b.corp.test", 0, 100),
    ];
    let found = finder().learned(site, services(900, all), &SeededRandom::new(1));
    assert_eq!(
        hosts(&found),
        ["b.corp.test", "a.corp.test", "d.dcs.test", "c.corp.test"]
    );
    assert_eq!(found.again, Duration::from_secs(600), "the shorter life");
    assert_eq!(found.refused, Vec::<String>::new());
}

#[test]
fn an_order_is_kept_while_the_list_is_the_same() {
    let random = SeededRandom::new(7);
    let list = || {
        (0..20)
            .map(|number| host(&format!("dc{number}.corp.test"), 0, 100))
            .collect::<Vec<_>>()
    };
    let mut finder = finder();
    let mut learn = |list| {
        finder
            .learned(Services::default(), services(600, list), &random)
            .controllers
    };
    let first = learn(list());
    let mut shuffled = list();
    shuffled.reverse();
    assert_eq!(learn(shuffled), first);
    let mut longer = list();
    longer.push(host("dc99.corp.test", 0, 100));
    let drawn_anew = learn(longer);
    assert_eq!(drawn_anew.len(), 21);
    assert_ne!(drawn_anew[..20], first[..], "some other of 20! orders");
}

#[test]
fn lives_are_bounded_and_failures_are_asked_about_sooner_and_then_less_often() {
    let random = SeededRandom::new(1);
    let mut finder = finder();
    for (ttl, life) in [(0, 30), (30, 30), (600, 600), (86_400, 3600)] {
        let list = services(ttl, vec![host("a.corp.test", 0, 0)]);
        let found = finder.learned(Services::default(), list, &random);
        assert_eq!(found.again, Duration::from_secs(life), "{ttl}");
    }
    let waits: Vec<Duration> = (0..50).map(|_| finder.failed(&random)).collect();
    assert!(
        waits[0] >= AGAIN_FIRST / 2 && waits[0] <= AGAIN_FIRST,
        "{waits:?}"
    );
    assert!(waits.iter().all(|wait| *wait <= AGAIN_LAST));
    assert!(waits.iter().any(|wait| *wait > AGAIN_LAST / 2));
}

#[test]
fn no_controller_is_no_list() {
    let random = SeededRandom::new(1);
    let mut finder = finder();
    let list = || services(600, vec![host("a.corp.test", 0, 0)]);
    finder.learned(Services::default(), list(), &random);
    let nobody = finder.learned(Services::default(), Services::default(), &random);
    assert_eq!(nobody.controllers, []);
    assert!(nobody.again <= AGAIN_LAST);
    // Nor does a site without one make others be none.
    let found = finder.learned(Services::default(), list(), &random);
    assert_eq!(hosts(&found), ["a.corp.test"]);
}

#[test]
fn a_host_of_somebody_else_is_no_controller() {
    let list = vec![
        host("dc1.corp.test", 0, 100),
        host("dc1.corp.test.evil.test", 0, 100),
        host("evilcorp.test", 0, 100),
        host("corp.test", 0, 100),
    ];
    let found = finder().learned(Services::default(), services(600, list), &SeededRandom::new(1));
    assert_eq!(hosts(&found), ["dc1.corp.test"]);
    assert_eq!(
        found.refused,
        ["corp.test", "dc1.corp.test.evil.test", "evilcorp.test"]
    );
    let only = services(600, vec![host("evil.test", 0, 0)]);
    let none = finder().learned(Services::default(), only, &SeededRandom::new(1));
    assert_eq!(
        (none.controllers, none.refused),
        (vec![], vec!["evil.test".to_owned()])
    );
}

#[test]
fn a_list_has_an_end() {
    let many = (0..200).map(|number| host(&format!("dc{number}.corp.test"), number % 3, 1));
    let list = services(600, many.collect());
    let found = finder().learned(Services::default(), list, &SeededRandom::new(1));
    assert_eq!(found.controllers.len(), CONTROLLERS_MAX);
    assert!(found.controllers.iter().all(|host| host.priority == 0));
}

#[test]
fn weights_are_shares() {
    let random = SeededRandom::new(42);
    let list = [("a", 60), ("b", 30), ("c", 10), ("none", 0)];
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..10_000 {
        let drawn = draw(
            list.iter().map(|(name, weight)| host(name, 0, *weight)).collect(),
            &random,
        );
        assert_eq!(drawn.len(), 4);
        *first.entry(drawn[0].host.clone()).or_default() += 1;
    }
    let near = |name: &str, share: u32| {
        let times = first.get(name).copied().unwrap_or(0);
        assert!(times.abs_diff(share * 100) < 300, "{name}: {times}");
    };
    near("a", 60);
    near("b", 30);
    near("c", 10);
    near("none", 1);
    // Without weights all are equal.
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..4_000 {
        let drawn = draw(["a", "b"].map(|name| host(name, 0, 0)).into(), &random);
        *first.entry(drawn[0].host.clone()).or_default() += 1;
    }
    assert!(first["a"].abs_diff(2_000) < 300, "{first:?}");
}

proptest! {
    /// Every allowed host and port once, and never a later group before an earlier one.
    #[test]
    fn an_order_is_whole_and_by_groups(
        near in prop::collection::vec((0..8_u8, 0..3_u16, 0..4_u16), 0..8),
        far in prop::collection::vec((0..8_u8, 0..3_u16, 0..4_u16), 1..12),
        seed in any::<u64>(),
    ) {
        let list = |named: &[(u8, u16, u16)]| -> Vec<Service> {
            named.iter().map(|(name, priority, weight)| host(&format!("{name}.corp.test"), *priority, *weight)).collect()
        };
        let (near, far) = (list(&near), list(&far));
        let all: BTreeSet<&str> = near.iter().chain(&far).map(|host| host.host.as_str()).collect();
        let found = finder().learned(
            services(600, near.clone()),
            services(600, far.clone()),
            &SeededRandom::new(seed),
        );
        let listed: BTreeSet<&str> = hosts(&found).into_iter().collect();
        prop_assert_eq!(listed.len(), found.controllers.len());
        prop_assert_eq!(listed, all);
        let group = |host: &Service| (!near.iter().any(|other| other.host == host.host), host.priority);
        prop_assert!(found.controllers.is_sorted_by_key(group), "{:?}", found.controllers);
    }
}
