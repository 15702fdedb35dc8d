//! Suffixes that directories list, and what is said of those that lead elsewhere.

use postern_agent::forests::Forests;
use postern_agent::{BindName, Controllers, DirectoryKind, ForestConfig, HostPort, Timeouts, Trust};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use std::sync::Arc;

use crate::bench::{Arm, Bench, Form, PATIENCE, Way, Which, soon};
use crate::network::Names;
use postern_directory_mock::Flavour;

/// The forest of the bench, and another one that claims what it lists.
fn two(way: Way, suffixes: &[&str]) -> Forests {
    let names = Arc::new(Names::new(way.controllers.iter().cloned()));
    let listed = |controllers: &[(String, std::net::SocketAddr)]| {
        let named = controllers.iter().map(|(host, addr)| HostPort {
            host: host.clone(),
            port: addr.port(),
        });
        Controllers::Listed(named.collect())
    };
    let corp = ForestConfig {
        name: "corp".to_owned(),
        domains: vec!["corp.example.test".parse().unwrap()],
        suffixes: Vec::new(),
        controllers: listed(&way.controllers),
        protection: way.protection,
        bind_name: BindName::Guid,
        service_account: way.service_account,
        kind: DirectoryKind::ActiveDirectory,
        trust: Trust::Certificates(way.roots),
    };
    let other = ForestConfig {
        name: "other".to_owned(),
        domains: vec!["other.test".parse().unwrap()],
        suffixes: suffixes.iter().map(|suffix| suffix.parse().unwrap()).collect(),
        // Nobody is asked there: it has no account to read with.
        service_account: None,
        ..corp.clone()
    };
    let timeouts = Timeouts {
        connect: PATIENCE,
        ..Timeouts::default()
    };
    let seams = Seams {
        net: names,
        ..Seams::real()
    };
    Forests::open(&[corp, other], timeouts, &seams).unwrap()
}

async fn suffixes_are_read_and_compared(directory: Which) {
    let arm = Arm {
        directory,
        protection: LdapProtection::Ldaps,
        form: Form::Search,
    };
    let Some(bench) = Bench::open(arm).await else {
        return;
    };
    if let Some(server) = bench.server() {
        server
            .directory()
            .read(|domain| assert!(domain.upn_suffixes().any(|suffix| suffix == "alt.example.test")));
    }
    let nobodys = two(bench.way(), &[]);
    assert_eq!(
        soon(nobodys.compare_suffixes()).await,
        [
            "forest corp has suffix alt.example.test, by which nobody is routed: if it should be, add it to the forest's suffixes"
        ]
    );
    let elsewhere = two(bench.way(), &["alt.example.test"]);
    assert_eq!(
        soon(elsewhere.compare_suffixes()).await,
        ["forest corp has suffix alt.example.test, which leads to forest other"]
    );
    let only = bench.way().open();
    assert_eq!(
        soon(only.compare_suffixes()).await,
        Vec::<String>::new(),
        "one forest has everybody"
    );
}

#[tokio::test]
async fn of_a_simulated_directory() {
    suffixes_are_read_and_compared(Which::Simulated(Flavour::Windows)).await;
}

#[tokio::test]
async fn of_a_real_one() {
    suffixes_are_read_and_compared(Which::Samba).await;
}
