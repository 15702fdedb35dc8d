//! One sign-in from end to end, by RPC: TLS, dispatch, sealing, agent, LDAPS, directory, the
//! durable log record, and all the way back. One caller, so it is the latency, not the capacity.

#![expect(clippy::unwrap_used, reason = "bench code")]

use criterion::{Criterion, criterion_group, criterion_main};
use postern_directory_mock::{Directory, Population};
use postern_harness::lab::{Lab, TenantPlan, Topology};
use postern_kit::Seams;
use postern_proto::wire::signin::sign_in_response::Outcome;

const DOMAIN: &str = "corp.example.com";

fn sign_in(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The programme's channel starts a task of its own.
    let _entered = runtime.enter();
    let population = Population::seeded(1, 100);
    let person = &population.people()[0];
    let (username, password) = (person.upn(DOMAIN), person.password.plaintext().to_owned());
    let directory = Directory::builder(DOMAIN, "CORP").population(&population).build();
    let topology = Topology::of(TenantPlan::new("contoso", directory));
    let lab = runtime.block_on(Lab::start(topology, Seams::real())).unwrap();
    let programme = lab.programme(lab.tenant()).unwrap();
    criterion.bench_function("sign-in/right password by RPC", |bench| {
        bench.iter(|| {
            let response = runtime.block_on(programme.sign_in(&username, &password)).unwrap();
            assert_eq!(response.outcome(), Outcome::SignedIn);
        });
    });
    runtime.block_on(lab.stop()).unwrap();
}

criterion_group!(benches, sign_in);
criterion_main!(benches);
