//! Labs as the tests want them.

use std::time::Duration;

use postern_cloud::config::Limits;
use postern_directory_mock::{Directory, Population};
use postern_harness::lab::{Lab, TenantPlan, Topology};
use postern_kit::Seams;
use postern_proto::wire::signin::sign_in_response::Outcome;

pub(crate) const TENANT: &str = "contoso";
pub(crate) const DOMAIN: &str = "corp.example.com";
pub(crate) const WRONG: &str = "Not-The-Passw0rd";

/// Short enough that a test of silence does not take long, long enough for a loaded machine.
pub(crate) const ATTEMPT: Duration = Duration::from_millis(1500);

/// A directory with so many users, as `Population::seeded(1, users)` knows them.
pub(crate) fn directory(users: usize) -> Directory {
    Directory::builder(DOMAIN, "CORP")
        .population(&Population::seeded(1, users))
        .build()
}

/// One tenant with that directory.
pub(crate) fn plan(users: usize) -> TenantPlan {
    TenantPlan::new(TENANT, directory(users))
}

/// With short attempts.
pub(crate) fn topology(plan: TenantPlan) -> Topology {
    Topology {
        limits: Limits {
            attempt: ATTEMPT,
            ..Limits::default()
        },
        ..Topology::of(plan)
    }
}

/// Longest wait for a state that must come: far more than a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a state again and again until it is there. `what` is for whoever reads the failure.
pub(crate) async fn eventually<T>(what: &str, mut read: impl AsyncFnMut() -> Option<T>) -> T {
    let until_found = async {
        loop {
            if let Some(found) = read().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, until_found).await {
        Ok(found) => found,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

pub(crate) async fn start(topology: Topology) -> Lab {
    Lab::start(topology, Seams::real()).await.unwrap()
}

/// One of the population: what is typed, and the right password.
pub(crate) fn person(at: usize) -> (String, String) {
    let population = Population::seeded(1, at + 1);
    let person = &population.people()[at];
    (person.upn(DOMAIN), person.password.plaintext().to_owned())
}

/// The outcome of one call of `SignIn`.
pub(crate) async fn call(lab: &Lab, username: &str, password: &str) -> Outcome {
    lab.programme(lab.tenant())
        .unwrap()
        .sign_in(username, password)
        .await
        .unwrap()
        .outcome()
}
