//! The demo's users: one for each thing that a directory can say about a right password.

use postern_directory_mock::{AccountState, User};
use postern_proto::wire::signin::sign_in_response::Outcome;

/// A user of the demo.
#[derive(Clone, Debug)]
pub struct Person {
    /// sAMAccountName; the username is this and the domain.
    pub sam: &'static str,
    /// What is the matter with the account.
    pub what: &'static str,
    /// The password, which is right.
    pub password: &'static str,
    /// What the right password gets.
    pub right: Outcome,
    /// What a wrong one gets.
    pub wrong: Outcome,
    state: AccountState,
    mail_name: Option<&'static str>,
}

impl Person {
    /// The user as the directory has it.
    pub fn user(&self, domain: &str) -> User {
        let user = User::new(self.sam, self.password)
            .upn(&self.username(domain))
            .state(self.state.clone());
        match self.mail(domain) {
            Some(mail) => user.attribute("mail", &mail),
            None => user,
        }
    }

    /// What the user may type instead.
    pub fn mail(&self, domain: &str) -> Option<String> {
        self.mail_name.map(|name| format!("{name}@{domain}"))
    }

    /// What the user types.
    pub fn username(&self, domain: &str) -> String {
        format!("{}@{domain}", self.sam)
    }
}

/// All of them.
pub fn people() -> Vec<Person> {
    let person = |sam, what, password, state, right| Person {
        sam,
        what,
        password,
        state,
        right,
        wrong: Outcome::Refused,
        mail_name: None,
    };
    vec![
        Person {
            mail_name: Some("ada.lovelace"),
            ..person(
                "ada",
                "may sign in",
                "Difference-Engine-1",
                AccountState::Normal,
                Outcome::SignedIn,
            )
        },
        person(
            "zoë",
            "may sign in, with an unusual password",
            "Pässwörd-密码-🔑-1",
            AccountState::Normal,
            Outcome::SignedIn,
        ),
        person(
            "bert",
            "must change the password",
            "Starter-Passw0rd",
            AccountState::MustChange,
            Outcome::MustChange,
        ),
        person(
            "cleo",
            "password has expired",
            "Papyrus-And-Reed-7",
            AccountState::PasswordExpired,
            Outcome::PasswordExpired,
        ),
        person(
            "dan",
            "disabled",
            "Lions-Den-0600",
            AccountState::Disabled,
            Outcome::Disabled,
        ),
        person(
            "eva",
            "account has expired",
            "Summer-Intern-24",
            AccountState::AccountExpired,
            Outcome::AccountExpired,
        ),
        person(
            "finn",
            "outside of the logon hours",
            "Night-Shift-99",
            AccountState::NoLogonHours,
            Outcome::LogonHours,
        ),
        person(
            "gina",
            "may sign in at her own workstation only",
            "Corner-Office-3",
            AccountState::Workstations(vec!["GINA-PC".to_owned()]),
            Outcome::Workstation,
        ),
        Person {
            // The directory says so whatever the password is.
            wrong: Outcome::Locked,
            ..person(
                "hugo",
                "locked by the directory",
                "Too-Many-Typos-5",
                AccountState::Locked,
                Outcome::Locked,
            )
        },
        // Says nothing about the password, so nothing is told.
        person(
            "ines",
            "member of Protected Users",
            "Guarded-Well-8",
            AccountState::Protected,
            Outcome::Refused,
        ),
    ]
}
