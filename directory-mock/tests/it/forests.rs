//! Several domains and forests: who is known where, and what a client reads about it.

use ldap3::{Ldap, Scope, SearchEntry};
use ldap3_proto::proto::{LdapOp, LdapSearchScope};
use postern_directory_mock::{
    BindOutcome, Directory, Flavour, Forests, ForestsHandle, Server, ServerOptions, SubCode, Trust,
    TrustDirection, User,
};
use postern_kit::Seams;

use crate::client::{bind, ldaps, soon};
use crate::raw::{self, Raw};

const CORP: &str = "corp.test";
const EMEA: &str = "emea.corp.test";
const LAB: &str = "lab.test";

struct World {
    forests: ForestsHandle,
    corp: Server,
    emea: Server,
    lab: Server,
}

fn directory(dns: &str, netbios: &str, user: &str) -> Directory {
    Directory::builder(dns, netbios)
        .lockout(
            3,
            std::time::Duration::from_secs(1800),
            std::time::Duration::from_secs(1800),
        )
        .user(User::new(user, "right"))
        .upn_suffix(&format!("{user}.alt.test"))
        .build()
}

/// Corp trusts lab; the other way nobody is let in.
async fn world(flavour: Flavour) -> World {
    let seams = Seams::real();
    let forests = Forests::builder(directory(CORP, "CORP", "carl"))
        .domain(CORP, directory(EMEA, "EMEA", "emil"))
        .forest(directory(LAB, "LAB", "lara"))
        .trust(Trust::forest(CORP, LAB).direction(TrustDirection::Outbound))
        .build();
    let forests = ForestsHandle::open(&forests, &seams).unwrap();
    let start = async |domain: &str| {
        let options = ServerOptions {
            flavour,
            ..ServerOptions::default()
        };
        Server::start_shared(forests.domain(domain).unwrap(), options, &seams)
            .await
            .unwrap()
    };
    World {
        corp: start(CORP).await,
        emea: start(EMEA).await,
        lab: start(LAB).await,
        forests,
    }
}

async fn code(ldap: &mut Ldap, name: &str, password: &str) -> String {
    bind(ldap, name, password).await.1.unwrap_or("0".to_owned())
}

#[tokio::test]
async fn binds_are_passed_on_within_the_forest_and_over_the_trust() {
    let world = world(Flavour::Windows).await;
    let lara = world.forests.domain(LAB).unwrap().guid_of("lara").unwrap();
    for server in [&world.corp, &world.emea] {
        let mut ldap = ldaps(server).await;
        for name in [
            "carl@corp.test",
            "emil@emea.corp.test",
            "EMEA\\emil",
            "CN=emil,CN=Users,DC=emea,DC=corp,DC=test",
            "lara@lab.test",
            "LARA@LAB.test",
            "LAB\\lara",
        ] {
            assert_eq!(code(&mut ldap, name, "right").await, "0", "{name}");
            assert_eq!(code(&mut ldap, name, "wrong").await, "52e", "{name}");
            assert_eq!(code(&mut ldap, name, "right").await, "0", "{name}");
        }
        for name in [
            &format!("<GUID={lara}>"),
            "CN=lara,CN=Users,DC=lab,DC=test",
            "lara@corp.test",
            "CORP\\lara",
            "lara@nowhere.test",
        ] {
            assert_eq!(code(&mut ldap, name, "right").await, "525", "{name}");
        }
    }
    let mut ldap = ldaps(&world.lab).await;
    for name in ["carl@corp.test", "CORP\\carl", "emil@emea.corp.test"] {
        assert_eq!(code(&mut ldap, name, "right").await, "525", "{name}");
    }
}

#[tokio::test]
async fn failures_count_where_the_account_is_whoever_was_asked() {
    let world = world(Flavour::Samba).await;
    let lab = world.forests.domain(LAB).unwrap();
    let lara = lab.guid_of("lara").unwrap();
    for (server, expected) in [(&world.corp, 1), (&world.emea, 2), (&world.lab, 3)] {
        let mut ldap = ldaps(server).await;
        assert_eq!(code(&mut ldap, "lara@lab.test", "wrong").await, "52e");
        assert_eq!(lab.account(lara).unwrap().counters.bad_pwd_count, expected);
    }
    assert!(lab.is_locked(lara));
    let mut ldap = ldaps(&world.corp).await;
    assert_eq!(code(&mut ldap, "LAB\\lara", "right").await, "775");
    let records = world.forests.journal().for_object(lara);
    assert_eq!(records.len(), 4);
    assert_eq!(records[3].outcome, BindOutcome::Refused(SubCode::Locked));
    lab.unlock(lara).unwrap();
    // Whoever is bound over a trust may search, and owns nothing.
    assert_eq!(code(&mut ldap, "LAB\\lara", "right").await, "0");
    let found = search(&mut ldap, "DC=corp,DC=test", "(sAMAccountName=carl)").await;
    assert_eq!(found.len(), 1);
    let reset = vec![ldap3::Mod::Replace(
        "displayName",
        std::collections::HashSet::from(["x"]),
    )];
    let refused = soon(ldap.modify(&found[0].dn, reset)).await.unwrap();
    assert_eq!(refused.rc, 50);
}

#[tokio::test]
async fn suffixes_are_routed_as_the_trust_says_while_it_says_so() {
    let world = world(Flavour::Samba).await;
    let lab = world.forests.domain(LAB).unwrap();
    let lara = lab.guid_of("lara").unwrap();
    let mut ldap = ldaps(&world.emea).await;
    let mut check = async |suffix: &str, expected: &str| {
        let upn = format!("lara@{suffix}");
        lab.rename(lara, "lara", Some(&upn)).unwrap();
        assert_eq!(code(&mut ldap, &upn, "right").await, expected, "{upn}");
    };
    check("lara.alt.test", "0").await;
    world.forests.disable_suffix(CORP, LAB, "lara.alt.test").unwrap();
    check("lara.alt.test", "52e").await;
    world.forests.add_upn_suffix(LAB, "late.test").unwrap();
    check("late.test", "52e").await;
    world.forests.enable_suffix(CORP, LAB, "late.test").unwrap();
    check("late.test", "0").await;
    world.forests.set_reachable(LAB, false).unwrap();
    check("late.test", "51f").await;
    world.forests.set_reachable(LAB, true).unwrap();
    check("late.test", "0").await;
    world.forests.remove_trust(CORP, LAB).unwrap();
    check("late.test", "52e").await;
}

#[tokio::test]
async fn clients_read_partitions_and_trusts() {
    let world = world(Flavour::Samba).await;
    let mut ldap = ldaps(&world.corp).await;
    assert_eq!(code(&mut ldap, "CORP\\carl", "right").await, "0");
    let system = "CN=System,DC=corp,DC=test";
    let trusts = search(&mut ldap, system, "(objectClass=trustedDomain)").await;
    let short = |entry: &SearchEntry| {
        let names = ["trustPartner", "flatName", "trustDirection", "trustAttributes"];
        names.map(|name| one(entry, name).to_owned())
    };
    let trusts: Vec<_> = trusts.iter().map(short).collect();
    assert_eq!(
        trusts,
        [
            ["emea.corp.test", "EMEA", "3", "32"],
            ["lab.test", "LAB", "2", "8"]
        ]
    );
    let with_info = search(&mut ldap, system, "(msDS-TrustForestTrustInfo=*)").await;
    let info = &with_info[0].bin_attrs["msDS-TrustForestTrustInfo"][0];
    let told = String::from_utf8_lossy(info);
    for name in ["lab.test", "lara.alt.test", "LAB"] {
        assert!(told.contains(name), "{name}: {told:?}");
    }

    // The whole forest has one configuration.
    let partitions = "CN=Partitions,CN=Configuration,DC=corp,DC=test";
    let mut child = ldaps(&world.emea).await;
    assert_eq!(code(&mut child, "EMEA\\emil", "right").await, "0");
    for ldap in [&mut ldap, &mut child] {
        let domains = search(ldap, partitions, "(&(objectClass=crossRef)(nETBIOSName=*))").await;
        let domains: Vec<_> = domains
            .iter()
            .map(|entry| [one(entry, "nCName"), one(entry, "dnsRoot")].map(str::to_owned))
            .collect();
        assert_eq!(
            domains,
            [
                ["DC=corp,DC=test", "corp.test"],
                ["DC=emea,DC=corp,DC=test", "emea.corp.test"]
            ]
        );
        let container = search(ldap, partitions, "(objectClass=crossRefContainer)").await;
        assert_eq!(
            container[0].attrs["uPNSuffixes"],
            ["carl.alt.test", "emil.alt.test"]
        );
    }
    let (root, _) = soon(child.search("", Scope::Base, "(objectClass=*)", ["*"]))
        .await
        .unwrap()
        .success()
        .unwrap();
    let root = SearchEntry::construct(root.into_iter().next().unwrap());
    assert_eq!(one(&root, "rootDomainNamingContext"), "DC=corp,DC=test");
    assert_eq!(one(&root, "defaultNamingContext"), "DC=emea,DC=corp,DC=test");
}

#[tokio::test]
async fn a_name_of_another_domain_is_referred_by_windows_and_unknown_to_samba() {
    for flavour in [Flavour::Windows, Flavour::Samba] {
        let world = world(flavour).await;
        let mut ldap = ldaps(&world.corp).await;
        assert_eq!(code(&mut ldap, "CORP\\carl", "right").await, "0");
        for (base, host) in [
            ("CN=Users,DC=emea,DC=corp,DC=test", "emea.corp.test"),
            ("DC=lab,DC=test", "lab.test"),
        ] {
            let searched = soon(ldap.search(base, Scope::Base, "(cn=*)", ["cn"]));
            let result = searched.await.unwrap().1;
            let deleted = soon(ldap.delete(base)).await.unwrap();
            match flavour {
                Flavour::Windows => {
                    let url = format!("ldap://{host}/{base}");
                    assert_eq!((result.rc, result.refs), (10, vec![url.clone()]));
                    assert_eq!((deleted.rc, deleted.refs), (10, vec![url]));
                }
                Flavour::Samba => assert_eq!((result.rc, deleted.rc), (32, 32), "{base}"),
            }
        }
        assert_eq!(
            references(&world.corp).await,
            [
                "ldap://corp.test/CN=Configuration,DC=corp,DC=test",
                "ldap://emea.corp.test/DC=emea,DC=corp,DC=test",
            ]
        );
        let missing = soon(ldap.search("CN=nosuch,DC=corp,DC=test", Scope::Base, "(cn=*)", ["cn"]));
        let missing = missing.await.unwrap().1;
        let matched = match flavour {
            Flavour::Windows => "DC=corp,DC=test",
            Flavour::Samba => "",
        };
        assert_eq!((missing.rc, missing.matched.as_str()), (32, matched));
    }
}

/// What a search of the whole domain is referred to besides, over plain LDAP.
async fn references(server: &Server) -> Vec<String> {
    let mut raw = Raw::connect(server.ldap_addr().unwrap()).await;
    raw.send(1, raw::bind("CORP\\carl", "right"), Vec::new()).await;
    raw.next().await.unwrap();
    let all = raw::search("DC=corp,DC=test", LdapSearchScope::Subtree);
    raw.send(2, all, Vec::new()).await;
    let mut uris = Vec::new();
    loop {
        match raw.next().await.unwrap().op {
            LdapOp::SearchResultEntry(_) => {}
            LdapOp::SearchResultReference(reference) => uris.extend(reference.uris),
            LdapOp::SearchResultDone(_) => return uris,
            other => panic!("{other:?}"),
        }
    }
}

async fn search(ldap: &mut Ldap, base: &str, filter: &str) -> Vec<SearchEntry> {
    let found = soon(ldap.search(base, Scope::Subtree, filter, ["*"]))
        .await
        .unwrap();
    let entries = found.0.into_iter().filter(|entry| !entry.is_ref());
    entries.map(SearchEntry::construct).collect()
}

fn one<'a>(entry: &'a SearchEntry, name: &str) -> &'a str {
    &entry.attrs[name][0]
}
