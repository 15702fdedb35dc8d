//! A forest whose controllers are found by name: the agent is told the domain, and signs users in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use postern_agent::forests::Forests;
use postern_agent::{BindName, Controllers, DirectoryKind, Discover, ForestConfig, Timeouts, Trust};
use postern_directory_mock::{DirectoryHandle, Server, ServerOptions};
use postern_kit::Seams;
use postern_kit::dns::{ScriptedDns, Service};
use postern_kit::net::LdapProtection;
use postern_kit::tls::Certificate;
use postern_proto::ids::ObjectId;
use postern_proto::verdict::Verdict;

use crate::bench::{DOMAIN, PASSWORD, PATIENCE, Person, ask, directory};
use crate::real::{self, Real};

fn config(discover: Discover, protection: LdapProtection, roots: Vec<Certificate>) -> ForestConfig {
    ForestConfig {
        name: "corp".to_owned(),
        domains: vec![DOMAIN.parse().unwrap()],
        suffixes: Vec::new(),
        controllers: Controllers::Discovered(discover),
        protection,
        bind_name: BindName::Guid,
        service_account: None,
        kind: DirectoryKind::ActiveDirectory,
        trust: Trust::Certificates(roots),
    }
}

/// By one of the domain's own name servers.
fn discover(server: SocketAddr) -> Discover {
    Discover {
        servers: vec![server],
        ..Discover::of(DOMAIN.parse().unwrap())
    }
}

async fn found(config: ForestConfig, seams: &Seams) -> Forests {
    let timeouts = Timeouts {
        connect: PATIENCE,
        ..Timeouts::default()
    };
    let forests = Forests::open(&[config], timeouts, seams).unwrap();
    forests.find().await;
    forests
}

async fn simulated() -> (Server, Person) {
    let seams = Seams::real();
    let directory = DirectoryHandle::open(&directory(), &seams).unwrap();
    let options = ServerOptions {
        host: Some("dc1".to_owned()),
        ..ServerOptions::default()
    };
    let server = Server::start_shared(directory.clone(), options, &seams)
        .await
        .unwrap();
    let guid = directory.guid_of("alice").unwrap();
    let alice = Person {
        object: ObjectId::from_bytes(guid.into_bytes()),
        name: "alice@corp.example.test".parse().unwrap(),
    };
    (server, alice)
}

/// Seams whose name servers know one controller, with these addresses.
fn seams(host: &str, port: u16, addresses: Vec<IpAddr>) -> Seams {
    let dns = ScriptedDns::default();
    let service = Service {
        host: host.to_owned(),
        port,
        priority: 0,
        weight: 100,
    };
    let name = format!("_ldap._tcp.dc._msdcs.{DOMAIN}");
    dns.set(&name, Duration::from_secs(600), vec![service]);
    dns.set_addresses(host, addresses);
    Seams {
        dns: Arc::new(dns),
        ..Seams::real()
    }
}

const ANY_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

#[tokio::test]
async fn a_controller_is_dialled_by_its_address_and_known_by_its_name() {
    for protection in [LdapProtection::Ldaps, LdapProtection::StartTls] {
        let (server, alice) = simulated().await;
        let roots = vec![server.ca_der().unwrap().clone()];
        // Nobody listens at the first: the second is tried.
        let addresses = vec![Ipv4Addr::new(127, 0, 0, 99).into(), Ipv4Addr::LOCALHOST.into()];
        let mut discover = discover(ANY_SERVER);
        // The records tell the port of plain LDAP, which StartTLS uses.
        let port = server.ldap_addr().unwrap().port();
        if protection == LdapProtection::Ldaps {
            discover.port = Some(server.ldaps_addr().unwrap().port());
        }
        let seams = seams("dc1.corp.example.test", port, addresses);
        let forests = found(config(discover, protection, roots), &seams).await;
        let report = ask(&forests.all()[0], &alice, PASSWORD, PATIENCE).await;
        assert_eq!(report.verdict, Verdict::Accepted, "{protection:?}");
        let controller = report.controller.unwrap();
        assert!(controller.starts_with("dc1.corp.example.test:"), "{controller}");
    }
}

#[tokio::test]
async fn a_controller_must_have_the_name_that_was_found() {
    let (server, alice) = simulated().await;
    let roots = vec![server.ca_der().unwrap().clone()];
    let mut discover = discover(ANY_SERVER);
    discover.port = Some(server.ldaps_addr().unwrap().port());
    let seams = seams("dc7.corp.example.test", 389, vec![Ipv4Addr::LOCALHOST.into()]);
    let forests = found(config(discover, LdapProtection::Ldaps, roots), &seams).await;
    let report = ask(&forests.all()[0], &alice, PASSWORD, PATIENCE).await;
    assert_eq!(report.controller, None);
    assert_eq!(server.journal().total(), 0);
}

#[tokio::test]
async fn a_real_domain_is_found_by_its_name_alone() {
    let Some(samba) = Real::samba().await else {
        return;
    };
    let Some(server) = real::present("AD_DNS_SERVER") else {
        return;
    };
    let alice = Person {
        object: samba.object("alice").await,
        name: "alice@corp.example.test".parse().unwrap(),
    };
    for site in [None, Some("Default-First-Site-Name"), Some("nowhere")] {
        let mut discover = discover(server.parse().unwrap());
        discover.site = site.map(|site| site.parse().unwrap());
        let config = config(discover, LdapProtection::Ldaps, samba.roots.clone());
        let forests = found(config, &Seams::real()).await;
        let report = ask(&forests.all()[0], &alice, PASSWORD, PATIENCE).await;
        let expected = (Verdict::Accepted, Some("dc1.corp.example.test:636"));
        assert_eq!(
            (report.verdict, report.controller.as_deref()),
            expected,
            "{site:?}"
        );
    }
}
