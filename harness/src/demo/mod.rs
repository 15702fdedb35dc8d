//! What a newcomer starts: the whole system with embedded defaults, and a story that plays itself.

mod failures;
mod live;
mod people;
mod story;

use std::net::SocketAddr;

use postern_directory_mock::{Directory, Policy, ServerOptions, User};
use postern_kit::Seams;

use crate::lab::{Lab, LabError, TenantPlan, Topology};

pub use failures::{ActError, Event, act, act_without_hand_off, fail, report_failures};
pub use live::{Live, LiveError, RATE_MAX};
pub use people::{Person, people};
pub use story::{Scene, play, report};

/// The demo's tenant and domain.
const TENANT: &str = "contoso";
const DOMAIN: &str = "corp.example.com";

/// The domain of a forest that the demo's trusts, and its one user: sAMAccountName and password.
const PARTNER: &str = "partner.example.org";
const GUEST: (&str, &str) = ("pia", "Visiting-Badge-12");

fn partner() -> Directory {
    let (sam, password) = GUEST;
    let guest = User::new(sam, password).upn(&format!("{sam}@{PARTNER}"));
    Directory::builder(PARTNER, "PARTNER").users([guest]).build()
}

/// A user for each state, and a crowd if there is to be one.
fn directory(with_crowd: bool) -> Directory {
    let crowd = crowd().filter(|_| with_crowd);
    Directory::builder(DOMAIN, "CORP")
        .policy(Policy::default())
        .users(people().iter().map(|person| person.user(DOMAIN)))
        .users(crowd.map(|(username, password)| {
            let sam = username.split('@').next().unwrap_or_default();
            User::new(sam, &password).upn(&username)
        }))
        .build()
}

/// Usernames and passwords of people who sign in by themselves: as many as a sign-in's deadline is long
/// at the greatest rate, so that nobody does it twice at once.
fn crowd() -> impl Iterator<Item = (String, String)> + Clone {
    (1..=400).map(|number| {
        (
            format!("worker{number}@{DOMAIN}"),
            format!("Morning-Shift-{number}"),
        )
    })
}

/// The story's tenant: two agents, a directory with one user per state and two controllers, and a partner's forest.
pub fn tenant() -> TenantPlan {
    TenantPlan {
        agents: 2,
        standby: vec![ServerOptions::default()],
        partners: vec![partner()],
        ..TenantPlan::new(TENANT, directory(false))
    }
}

/// Starts the story's lab.
///
/// # Errors
/// [`LabError`] names the part that does not start.
pub async fn start(public_listen: SocketAddr, seams: Seams) -> Result<Lab, LabError> {
    Lab::start(
        Topology {
            public_listen,
            ..Topology::of(tenant())
        },
        seams,
    )
    .await
}
