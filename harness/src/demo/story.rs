//! A story that plays itself: each user signs in by page and by programme, with the right password
//! and with a wrong one, by another name and from another forest too; strangers knock, and a controller goes down. Who
//! watches sees what was expected and what happened.

use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use postern_directory_mock::Accepting;
use postern_kit::clock::monotonic;
use postern_proto::wire::signin::sign_in_response::Outcome;

use super::people::{Person, people};
use super::{GUEST, PARTNER};
use crate::client::{Browser, ClientError, Page, Programme};
use crate::lab::Lab;

/// One sign-in of the story.
#[derive(Debug)]
pub struct Scene {
    username: String,
    what: &'static str,
    way: &'static str,
    password: &'static str,
    expected: &'static str,
    happened: String,
    took: Duration,
}

impl Scene {
    /// Whether it went as expected.
    pub fn agrees(&self) -> bool {
        self.expected == self.happened
    }
}

/// Plays it.
///
/// # Errors
/// [`ClientError`] if a way in cannot be set up. What goes wrong in a scene is in the scene.
pub async fn play(lab: &Lab) -> Result<Vec<Scene>, ClientError> {
    let tenant = lab.tenant();
    let stage = Stage {
        tenant: tenant.tenant.name.to_string(),
        domain: tenant.domain.to_string(),
        browser: lab.browser()?,
        programme: lab.programme(tenant)?,
    };
    let mut scenes = Vec::new();
    for person in people() {
        scenes.extend(stage.person(&person).await);
        if let Some(mail) = person.mail(&stage.domain) {
            scenes.extend(
                stage
                    .both(&mail, "the same, by mail address", person.password)
                    .await,
            );
        }
    }
    scenes.extend(stage.guest().await);
    let strangers = [
        ("nobody", "no such user", stage.domain.as_str()),
        ("ada", "no such domain", "elsewhere.example"),
    ];
    for (sam, what, domain) in strangers {
        let username = format!("{sam}@{domain}");
        scenes.push(
            stage
                .page(&username, what, ("some", "Any-Passw0rd"), Outcome::Refused)
                .await,
        );
        scenes.push(
            stage
                .call(&username, what, ("some", "Any-Passw0rd"), Outcome::Refused)
                .await,
        );
    }
    let first = &tenant.directory;
    first.faults().set_accepting(Accepting::Close);
    first.connections().disconnect_all(false);
    first.connections().wait_until(|counts| counts.open == 0).await;
    scenes.extend(stage.without_the_first_controller().await);
    first.faults().clear();
    Ok(scenes)
}

struct Stage {
    tenant: String,
    domain: String,
    browser: Browser,
    programme: Programme,
}

impl Stage {
    async fn person(&self, person: &Person) -> [Scene; 3] {
        let (username, what) = (person.username(&self.domain), person.what);
        let right = ("right", person.password);
        [
            self.page(&username, what, right, person.right).await,
            self.call(&username, what, right, person.right).await,
            self.page(&username, what, ("wrong", "Not-The-Passw0rd"), person.wrong)
                .await,
        ]
    }

    /// Somebody whom another forest knows.
    async fn guest(&self) -> [Scene; 3] {
        let (sam, password) = GUEST;
        let (username, what) = (format!("{sam}@{PARTNER}"), "of a partner's forest");
        self.both(&username, what, password).await
    }

    /// The agents have the second one left.
    async fn without_the_first_controller(&self) -> Vec<Scene> {
        let anybody = people()
            .into_iter()
            .find(|person| person.right == Outcome::SignedIn);
        let Some(person) = anybody else {
            return Vec::new();
        };
        let username = person.username(&self.domain);
        let scenes = self.both(&username, "while a controller is down", person.password);
        scenes.await.into()
    }

    /// Somebody who may sign in.
    async fn both(&self, username: &str, what: &'static str, password: &str) -> [Scene; 3] {
        let right = ("right", password);
        [
            self.page(username, what, right, Outcome::SignedIn).await,
            self.call(username, what, right, Outcome::SignedIn).await,
            self.page(username, what, ("wrong", "Not-The-Passw0rd"), Outcome::Refused)
                .await,
        ]
    }

    async fn page(
        &self,
        username: &str,
        what: &'static str,
        (kind, password): (&'static str, &str),
        expected: Outcome,
    ) -> Scene {
        let start = monotonic();
        let page = self.browser.sign_in(&self.tenant, username, password).await;
        scene(
            username,
            what,
            ("page", kind),
            expected,
            page.map(|page| seen(&page)),
            start,
        )
    }

    async fn call(
        &self,
        username: &str,
        what: &'static str,
        (kind, password): (&'static str, &str),
        expected: Outcome,
    ) -> Scene {
        let start = monotonic();
        let response = self.programme.sign_in(username, password).await;
        let happened = response.map(|response| short(response.outcome()).to_owned());
        scene(username, what, ("RPC", kind), expected, happened, start)
    }
}

fn scene(
    username: &str,
    what: &'static str,
    (way, password): (&'static str, &'static str),
    expected: Outcome,
    happened: Result<String, ClientError>,
    start: Instant,
) -> Scene {
    Scene {
        username: username.to_owned(),
        what,
        way,
        password,
        expected: short(expected),
        happened: happened.unwrap_or_else(|error| postern_kit::telemetry::chain(&error)),
        took: monotonic().saturating_duration_since(start),
    }
}

pub(super) fn short(outcome: Outcome) -> &'static str {
    outcome.as_str_name().trim_start_matches("OUTCOME_")
}

/// The outcome that a page shows, told by its heading and its code: what a person sees.
fn seen(page: &Page) -> String {
    let heading = page.heading().unwrap_or("no heading");
    let code = page.code();
    let shown = match (heading, code) {
        ("Signed in", Some(0)) => Outcome::SignedIn,
        ("Sign in", Some(50126)) => Outcome::Refused,
        ("Your password has expired", Some(50144)) => Outcome::PasswordExpired,
        ("Your password must be changed", Some(_)) => Outcome::MustChange,
        ("Your account is disabled", Some(50057)) => Outcome::Disabled,
        ("Your account has expired", Some(50057)) => Outcome::AccountExpired,
        ("You cannot sign in at this time", Some(80012)) => Outcome::LogonHours,
        ("You cannot sign in from here", Some(_)) => Outcome::Workstation,
        ("Your account is locked", Some(50053)) => Outcome::Locked,
        ("Too many attempts", Some(50053)) => Outcome::TooManyAttempts,
        _ => return format!("page \"{heading}\" with code {code:?}"),
    };
    short(shown).to_owned()
}

/// The story as a table, and a last line that says how it went.
pub fn report(scenes: &[Scene]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "user", "state", "way", "password", "expected", "happened", "ms", "",
    ]);
    for scene in scenes {
        table.add_row([
            scene.username.clone(),
            scene.what.to_owned(),
            scene.way.to_owned(),
            scene.password.to_owned(),
            scene.expected.to_owned(),
            scene.happened.clone(),
            scene.took.as_millis().to_string(),
            if scene.agrees() { "ok" } else { "DIFFERS" }.to_owned(),
        ]);
    }
    let differ = scenes.iter().filter(|scene| !scene.agrees()).count();
    let verdict = match differ {
        0 => format!("all {} sign-ins went as expected", scenes.len()),
        _ => format!(
            "{differ} of {} sign-ins went otherwise than expected",
            scenes.len()
        ),
    };
    format!("{}\n\n{verdict}\n", table.trim_fmt())
}
