use super::*;
use crate::model::Directory;
use crate::model::names;

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);

const CORP: usize = 0;
const EMEA: usize = 1;
const TREE: usize = 2;
const LAB: usize = 3;
const DEV: usize = 4;
const OLD: usize = 5;

fn directory(dns: &str, netbios: &str) -> Directory {
    Directory::builder(dns, netbios).build()
}

/// Corp with a child and another tree; lab with a child; old alone.
fn forests(trusts: &[Trust]) -> Forests {
    let builder = Forests::builder(directory("corp.test", "CORP"))
        .domain("corp.test", directory("emea.corp.test", "EMEA"))
        .domain("corp.test", directory("tree.test", "TREE"))
        .forest(
            Directory::builder("lab.test", "LAB")
                .upn_suffix("alt.test")
                .build(),
        )
        .domain("lab.test", directory("dev.lab.test", "DEV"))
        .forest(
            Directory::builder("old.test", "OLD")
                .upn_suffix("alt.test")
                .build(),
        );
    trusts
        .iter()
        .cloned()
        .fold(builder, super::super::ForestsBuilder::trust)
        .build()
}

fn topology(forests: &Forests) -> Result<Topology, ForestError> {
    let domains: Vec<Domain> = forests
        .directories()
        .map(|directory| directory.domain(NOW).unwrap())
        .collect();
    let named: Vec<Named<'_>> = domains.iter().map(Named::from).collect();
    Topology::new(forests, &named, NOW)
}

#[track_caller]
fn check(topology: &Topology, at: usize, name: &str, routed: &[usize]) {
    let name = names::read(name).unwrap();
    assert_eq!(topology.candidates(at, &name).routed, routed, "{name:?} at {at}");
}

#[test]
fn a_forest_trust_carries_names_to_all_domains_of_the_partner_and_no_further() {
    let trusts = [
        Trust::forest("corp.test", "lab.test").direction(TrustDirection::Outbound),
        Trust::forest("lab.test", "old.test"),
    ];
    let topology = topology(&forests(&trusts)).unwrap();
    for at in [CORP, EMEA, TREE] {
        for name in ["a@lab.test", "a@dev.lab.test", "a@x.lab.test", "a@alt.test"] {
            check(&topology, at, name, &[LAB, DEV]);
        }
        check(&topology, at, "DEV\\a", &[DEV]);
        for name in ["a@old.test", "OLD\\a", "EMEA\\a", "a@nowhere.test", "NOWHERE\\a"] {
            check(&topology, at, name, &[]);
        }
        for name in ["CN=a,DC=lab,DC=test", "lab.test/Users/a", "S-1-5-21-1-2-3-1103"] {
            check(&topology, at, name, &[]);
        }
    }
    // The other way nobody is let in.
    for at in [LAB, DEV] {
        check(&topology, at, "a@corp.test", &[]);
        check(&topology, at, "CORP\\a", &[]);
        check(&topology, at, "a@old.test", &[OLD]);
    }
    let anything = names::read("CORP\\a").unwrap();
    assert_eq!(topology.candidates(EMEA, &anything).forest, [CORP, TREE]);
    assert_eq!(topology.candidates(OLD, &anything).forest, Vec::<usize>::new());
}

#[test]
fn an_external_trust_leads_to_one_domain_from_one_domain() {
    let topology = topology(&forests(&[Trust::external("emea.corp.test", "dev.lab.test")])).unwrap();
    check(&topology, EMEA, "a@dev.lab.test", &[DEV]);
    check(&topology, EMEA, "DEV\\a", &[DEV]);
    check(&topology, DEV, "EMEA\\a", &[EMEA]);
    for (at, name) in [
        (EMEA, "a@lab.test"),
        (EMEA, "LAB\\a"),
        (EMEA, "a@alt.test"),
        (CORP, "a@dev.lab.test"),
        (LAB, "EMEA\\a"),
    ] {
        check(&topology, at, name, &[]);
    }
}

#[test]
fn a_suffix_is_routed_to_one_partner_and_only_while_it_is_enabled() {
    let trusts = [
        Trust::forest("corp.test", "lab.test").exclude("secret.lab.test"),
        Trust::forest("corp.test", "old.test"),
    ];
    let mut topology = topology(&forests(&trusts)).unwrap();
    check(&topology, CORP, "a@x.secret.lab.test", &[]);
    // Both have it; the first trust has it routed.
    check(&topology, CORP, "a@alt.test", &[LAB, DEV]);
    let conflict = topology.set_suffix("corp.test", "old.test", "alt.test", true);
    assert_eq!(conflict, Err(ForestError::Conflict("alt.test".into())));
    topology
        .set_suffix("corp.test", "lab.test", "ALT.test", false)
        .unwrap();
    check(&topology, CORP, "a@alt.test", &[]);
    topology
        .set_suffix("corp.test", "old.test", "alt.test", true)
        .unwrap();
    check(&topology, CORP, "a@alt.test", &[OLD]);
    let conflict = topology.set_suffix("corp.test", "lab.test", "alt.test", true);
    assert_eq!(conflict, Err(ForestError::Conflict("alt.test".into())));

    // One that appears later waits for somebody to enable it, and works at home at once.
    topology.add_suffix("lab.test", "New.test", NOW).unwrap();
    check(&topology, CORP, "a@new.test", &[]);
    topology
        .set_suffix("corp.test", "lab.test", "new.test", true)
        .unwrap();
    check(&topology, CORP, "a@new.test", &[LAB, DEV]);
    // A suffix of the forest's own is never routed away, and neither is what lies below.
    topology.add_suffix("corp.test", "new.test", NOW).unwrap();
    check(&topology, CORP, "a@new.test", &[]);
    let unknown = topology.set_suffix("corp.test", "lab.test", "nosuch.test", true);
    assert!(matches!(unknown, Err(ForestError::NoSuffix { .. })));
}

#[test]
fn a_disabled_suffix_is_not_routed() {
    let trust = Trust::forest("corp.test", "lab.test").disable("lab.test");
    let mut topology = topology(&forests(std::slice::from_ref(&trust))).unwrap();
    check(&topology, EMEA, "a@dev.lab.test", &[]);
    check(&topology, EMEA, "a@alt.test", &[LAB, DEV]);
    // Seen from the partner nothing is disabled.
    check(&topology, DEV, "a@emea.corp.test", &[CORP, EMEA, TREE]);
    topology.remove_trust("lab.test", "corp.test").unwrap();
    check(&topology, EMEA, "a@alt.test", &[]);
    assert!(topology.remove_trust("lab.test", "corp.test").is_err());
    topology.add_trust(&trust, NOW).unwrap();
    check(&topology, EMEA, "a@alt.test", &[LAB, DEV]);
}

#[test]
fn the_second_forest_with_a_netbios_name_is_in_conflict() {
    let forests = Forests::builder(directory("corp.test", "CORP"))
        .forest(directory("one.test", "SAME"))
        .forest(directory("two.test", "SAME"))
        .trust(Trust::forest("corp.test", "one.test"))
        .trust(Trust::forest("corp.test", "two.test"))
        .build();
    let topology = topology(&forests).unwrap();
    check(&topology, 0, "SAME\\a", &[1]);
    check(&topology, 0, "a@two.test", &[2]);
    // The flag of the domain's record, which is the last.
    let flag = |trust: usize| {
        let info = topology.neighbours(0).trusts[trust].info.clone().unwrap();
        let body = 4 + 8 + 1 + (4 + 24) + (4 + 8) + (4 + 4);
        info[info.len() - body]
    };
    assert_eq!((flag(0), flag(1)), (0, 8));
}

#[test]
fn a_domain_shows_its_forest_and_its_trusts() {
    let trusts = [Trust::forest("corp.test", "lab.test").direction(TrustDirection::Inbound)];
    let topology = topology(&forests(&trusts)).unwrap();
    let shown = |at: usize| {
        let trusts = topology.neighbours(at).trusts.into_iter();
        let short = |trust: TrustedDomain| {
            let info = trust.info.is_some();
            (
                trust.netbios_name,
                trust.direction.number(),
                trust.reach.attributes(),
                info,
            )
        };
        trusts.map(short).collect::<Vec<_>>()
    };
    let within = |name: &str| (name.to_owned(), 3, 0x20, false);
    assert_eq!(
        shown(CORP),
        [within("EMEA"), within("TREE"), ("LAB".to_owned(), 1, 8, true)]
    );
    assert_eq!(shown(EMEA), [within("CORP")]);
    assert_eq!(shown(LAB), [within("DEV"), ("CORP".to_owned(), 2, 8, true)]);
    let partitions = topology.neighbours(EMEA).partitions.into_iter();
    let partitions: Vec<_> = partitions.map(|part| (part.netbios_name, part.parent)).collect();
    let base = Some("DC=corp,DC=test".to_owned());
    let expected = [("CORP", None), ("EMEA", base), ("TREE", None)];
    assert_eq!(
        partitions,
        expected.map(|(name, parent)| (name.to_owned(), parent))
    );
}

#[test]
fn what_contradicts_itself_is_refused() {
    let check = |trusts: &[Trust], expected: &str| {
        let error = topology(&forests(trusts)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        &[Trust::forest("corp.test", "nosuch.test")],
        "no domain nosuch.test; expected the DNS name of one that is described",
    );
    check(
        &[Trust::forest("emea.corp.test", "lab.test")],
        "emea.corp.test is not the root of a forest",
    );
    check(
        &[Trust::external("emea.corp.test", "tree.test")],
        "emea.corp.test and tree.test are of one forest and trust each other already",
    );
    let twice = Trust::external("corp.test", "lab.test");
    check(
        &[twice.clone(), Trust::forest("lab.test", "corp.test")],
        "lab.test and corp.test have a trust already",
    );
    check(
        &[Trust::forest("corp.test", "lab.test").disable("nosuch.test")],
        "lab.test has no name suffix nosuch.test of its own",
    );
    for (second, expected) in [
        (directory("corp.test", "OTHER"), "corp.test"),
        (directory("other.test", "corp"), "corp"),
    ] {
        let twice = Forests::builder(directory("corp.test", "CORP"))
            .domain("corp.test", second)
            .build();
        assert_eq!(
            topology(&twice).unwrap_err(),
            ForestError::Twice(expected.to_owned())
        );
    }
}
