//! What a newcomer starts: the whole system with embedded defaults, and a story that plays itself.

mod failures;
mod people;
mod story;

use std::fmt::Write as _;
use std::net::SocketAddr;

use comfy_table::{Table, presets};
use postern_directory_mock::{Directory, Policy};
use postern_kit::Seams;

use crate::lab::{Lab, LabError, TenantPlan, Topology};

pub use failures::{ActError, Event, fail, report_failures};
pub use people::{Person, people};
pub use story::{Scene, play, report};

/// The demo's tenant and domain.
const TENANT: &str = "contoso";
const DOMAIN: &str = "corp.example.com";

/// Starts the demo's lab: one tenant with two agents, a directory with one user per state.
///
/// # Errors
/// [`LabError`] names the part that does not start.
pub async fn start(public_listen: SocketAddr, seams: Seams) -> Result<Lab, LabError> {
    let directory = Directory::builder(DOMAIN, "CORP")
        .policy(Policy::default())
        .users(people().iter().map(|person| person.user(DOMAIN)))
        .build();
    let tenant = TenantPlan {
        agents: 2,
        ..TenantPlan::new(TENANT, directory)
    };
    Lab::start(
        Topology {
            public_listen,
            ..Topology::of(tenant)
        },
        seams,
    )
    .await
}

/// What to do now, for the terminal.
pub fn welcome(lab: &Lab) -> String {
    let tenant = lab.tenant();
    let address = format!(
        "https://localhost:{}/t/{}/sign-in",
        lab.public().port(),
        tenant.tenant.name
    );
    let socket = lab.admin_socket();
    let socket = socket.display();
    let mut users = Table::new();
    users.load_preset(presets::NOTHING);
    users.set_header(["username", "password", "state"]);
    for person in people() {
        users.add_row([
            person.username(DOMAIN),
            person.password.to_owned(),
            person.what.to_owned(),
        ]);
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "Postern runs, with everything it needs, until you press Ctrl-C.\n"
    );
    let _ = writeln!(text, "Sign-in page   {address}");
    let _ = writeln!(
        text,
        "               (the certificate was made for this demo: your browser will ask)\n"
    );
    let _ = writeln!(text, "{}\n", users.trim_fmt());
    let _ = writeln!(
        text,
        "Directory      {DOMAIN}, a simulated Active Directory that locks an account after 5 wrong passwords;\n\
         \x20              Postern stops after 4"
    );
    for agent in &tenant.agents {
        let _ = writeln!(text, "Agent          {} (connected)", agent.id);
    }
    let _ = writeln!(text, "\nTo try in another terminal:\n");
    for command in [
        format!(
            "cargo run --release -p postern-harness -- cloud admin --socket {socket} sign-in list --tenant {TENANT}"
        ),
        format!(
            "cargo run --release -p postern-harness -- cloud admin --socket {socket} agent list --tenant {TENANT}"
        ),
        format!(
            "cargo run --release -p postern-harness -- cloud admin --socket {socket} user list --tenant {TENANT}"
        ),
        format!(
            "cargo run --release -p postern-harness -- cloud admin --socket {socket} agent drain {}",
            tenant.agents[0].id
        ),
        format!("curl --cacert {} {address}", lab.page_root_file().display()),
    ] {
        let _ = writeln!(text, "  {command}");
    }
    text
}
