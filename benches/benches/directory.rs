//! What the simulated directory costs: the judgement alone, and a bind over LDAPS.

#![expect(clippy::unwrap_used, reason = "bench code")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ldap3::{LdapConnAsync, LdapConnSettings};
use postern_directory_mock::{Directory, DirectoryHandle, Flavour, Population, Server, ServerOptions};
use postern_kit::Seams;
use postern_kit::clock::SystemClock;
use postern_kit::tls::{ServerTrust, Versions, client};
use std::sync::Arc;

const DOMAIN: &str = "corp.example.com";
const USERS: usize = 10_000;

fn directory() -> (Directory, String, String) {
    let population = Population::seeded(1, USERS);
    let person = &population.people()[USERS / 2];
    let (upn, password) = (person.upn(DOMAIN), person.password.plaintext().to_owned());
    (
        Directory::builder(DOMAIN, "CORP").population(&population).build(),
        upn,
        password,
    )
}

fn judgement(criterion: &mut Criterion) {
    let (directory, upn, password) = directory();
    let handle = DirectoryHandle::open(&directory, &Seams::real()).unwrap();
    criterion.bench_function("directory/judge", |bench| {
        bench.iter(|| black_box(handle.sign_in(Flavour::Samba, "dc1", &upn, &password)));
    });
}

fn bind(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (directory, upn, password) = directory();
    let seams = Seams::real();
    let (server, mut ldap) = runtime.block_on(async {
        let server = Server::start(directory, ServerOptions::default(), &seams)
            .await
            .unwrap();
        let root = server.ca_der().unwrap().clone();
        let clock = Arc::new(SystemClock);
        let tls = client(
            ServerTrust::Roots(vec![root]),
            None,
            Versions::Tls12And13,
            &[],
            clock,
        )
        .unwrap();
        let url = format!("ldaps://localhost:{}", server.ldaps_addr().unwrap().port());
        let settings = LdapConnSettings::new().set_config(tls);
        let (connection, ldap) = LdapConnAsync::with_settings(settings, &url).await.unwrap();
        seams.tasks.spawn("ldap connection", async move {
            // Ends with the bench.
            let _ = connection.drive().await;
        });
        (server, ldap)
    });
    criterion.bench_function("directory/bind over LDAPS", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                ldap.simple_bind(&upn, &password)
                    .await
                    .unwrap()
                    .success()
                    .unwrap()
            })
        });
    });
    runtime.block_on(server.stop());
}

criterion_group!(benches, judgement, bind);
criterion_main!(benches);
