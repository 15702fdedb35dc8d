//! Lookups at a real name server on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::proto::rr::rdata::{A, AAAA, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::Server;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use postern_kit::dns::{Dns as _, LookupError, Service, Services, SystemDns};

const ZONE: &str = "corp.example.test";
const LDAP: &str = "_ldap._tcp.dc._msdcs.corp.example.test";

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn srv(priority: u16, weight: u16, port: u16, host: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(host)))
}

/// A name server for one zone, over UDP and TCP on one port.
struct NameServer {
    addr: SocketAddr,
    _server: Server<Catalog>,
}

impl NameServer {
    #[expect(
        clippy::disallowed_types,
        reason = "the server takes the runtime's own socket"
    )]
    async fn start(records: impl IntoIterator<Item = (&str, u32, RData)>) -> Self {
        let mut zone = InMemoryZoneHandler::<hickory_server::net::runtime::TokioRuntimeProvider>::empty(
            name(ZONE),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        let soa = SOA::new(name(ZONE), name(ZONE), 1, 600, 60, 3600, 60);
        zone.upsert_mut(Record::from_rdata(name(ZONE), 600, RData::SOA(soa)), 1);
        for (owner, ttl, data) in records {
            zone.upsert_mut(Record::from_rdata(name(owner), ttl, data), 1);
        }
        let mut catalog = Catalog::new();
        catalog.upsert(name(ZONE).into(), vec![Arc::new(zone)]);
        let mut server = Server::new(catalog);
        // One number that is free both ways: somebody may have it on the other.
        let (udp, tcp) = loop {
            let tcp = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .unwrap();
            if let Ok(udp) = tokio::net::UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let addr = udp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(20), 16);
        Self {
            addr,
            _server: server,
        }
    }

    async fn services(&self, name: &str) -> Services {
        SystemDns.services(name, &[self.addr]).await.unwrap()
    }
}

fn service(priority: u16, weight: u16, port: u16, host: &str) -> Service {
    Service {
        host: host.to_owned(),
        port,
        priority,
        weight,
    }
}

#[tokio::test]
async fn services_come_with_all_that_a_choice_needs() {
    let server = NameServer::start([
        (LDAP, 600, srv(0, 100, 389, "DC1.Corp.Example.Test")),
        (LDAP, 600, srv(10, 5, 3890, "dc2.corp.example.test")),
    ])
    .await;
    let mut services = server.services(LDAP).await;
    services.found.sort();
    assert_eq!(services.ttl, Duration::from_secs(600));
    assert_eq!(
        services.found,
        [
            service(0, 100, 389, "dc1.corp.example.test"),
            service(10, 5, 3890, "dc2.corp.example.test"),
        ]
    );
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_a_packet_is_whole() {
    let hosts: Vec<String> = (0..100)
        .map(|number| format!("a-rather-long-name-of-controller-{number:03}.{ZONE}"))
        .collect();
    let records = hosts.iter().map(|host| (LDAP, 600, srv(0, 1, 389, host)));
    let server = NameServer::start(records).await;
    assert_eq!(server.services(LDAP).await.found.len(), 100);
}

#[tokio::test]
async fn nobody_is_an_answer() {
    let server = NameServer::start([(LDAP, 600, srv(0, 0, 0, "."))]).await;
    let decidedly = server.services(LDAP).await;
    assert_eq!(
        (decidedly.found, decidedly.ttl),
        (vec![], Duration::from_secs(600))
    );
    let nothing = server.services("_ldap._tcp.nowhere.corp.example.test").await;
    assert_eq!(nothing, Services::default());
}

#[tokio::test]
async fn addresses_are_those_of_the_given_servers() {
    let server = NameServer::start([
        (
            "dc1.corp.example.test",
            60,
            RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1)),
        ),
        ("dc1.corp.example.test", 60, RData::A(A::new(127, 0, 0, 9))),
    ])
    .await;
    let found = SystemDns.addresses("dc1.corp.example.test", &[server.addr]).await;
    let expected: [IpAddr; 2] = ["127.0.0.9".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(found.unwrap(), expected);
    let none = SystemDns.addresses("dc9.corp.example.test", &[server.addr]).await;
    assert_eq!(none.unwrap(), Vec::<IpAddr>::new());
}

#[tokio::test]
async fn a_server_that_is_down_or_does_not_know_leaves_it_to_the_next() {
    let server = NameServer::start([(LDAP, 600, srv(0, 0, 389, "dc1.corp.example.test"))]).await;
    let knows_nothing = NameServer::start([]).await;
    // Nothing listens there any more.
    let gone = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for first in [gone, knows_nothing.addr] {
        let services = SystemDns.services(LDAP, &[first, server.addr]).await.unwrap();
        assert_eq!(services.found.len(), 1);
    }
}

#[tokio::test]
async fn no_answer_is_an_error_that_names_what_was_asked() {
    let server = NameServer::start([]).await;
    // Not its zone: it refuses.
    let error = SystemDns
        .services("_ldap._tcp.other.test", &[server.addr])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, LookupError::NotAnswered { name, .. } if name == "_ldap._tcp.other.test"),
        "{error:?}"
    );
    let error = SystemDns.services("a..b", &[server.addr]).await.unwrap_err();
    assert!(matches!(error, LookupError::Name { .. }), "{error:?}");
}
