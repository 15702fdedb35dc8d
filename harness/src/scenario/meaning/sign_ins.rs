//! Single sign-ins: who signs in under which name, and what is typed.

use super::Reader;
use crate::scenario::file;
use crate::scenario::plan::{Person, Scenario, SignIn, Tenant};
use crate::scenario::words::Typed;

/// Most single sign-ins of a file: more are no case that anybody reads.
pub const SINGLE_MAX: usize = 20_000;

impl Reader<'_> {
    pub(super) fn single_sign_ins(
        &mut self,
        sign_ins: &file::Items<file::SignIn>,
        scenario: &Scenario,
    ) -> Vec<SignIn> {
        let count = sign_ins.0.len();
        if count > SINGLE_MAX {
            self.wrong(
                "sign_in",
                format!("{count} single sign-ins; expected at most {SINGLE_MAX}, or a [[load]]"),
            );
            return Vec::new();
        }
        let mut all = Vec::new();
        for (at, sign_in) in sign_ins.read() {
            all.extend(self.single(&format!("sign_in[{at}]"), sign_in, scenario));
        }
        all
    }

    fn single(&mut self, path: &str, written: &file::SignIn, scenario: &Scenario) -> Option<SignIn> {
        if written.at.0 >= scenario.duration {
            let end = humantime::format_duration(scenario.duration);
            self.wrong(
                &format!("{path}.at"),
                format!("is after the scenario's end at {end}"),
            );
        }
        let place = self.tenant(&format!("{path}.tenant"), written.tenant.as_deref(), scenario)?;
        let tenant = scenario.tenants.get(place)?;
        let whose = match &written.user {
            Some(user) => Some(self.person(&format!("{path}.user"), user, place, scenario)?),
            None => None,
        };
        let username = self.typed_name(path, written.name.as_deref(), whose, tenant)?;
        let typed = self.typed(path, written, whose);
        let another = match &written.another {
            Some(user) => self.person(&format!("{path}.another"), user, place, scenario),
            None => None,
        };
        Some(SignIn {
            at: written.at.0,
            tenant: place,
            whose,
            username,
            typed,
            number: written.number.unwrap_or(0),
            another,
            client: written.client.unwrap_or(1),
        })
    }

    /// The name that is typed: a spelling of the user's, or one that nobody has.
    fn typed_name(
        &mut self,
        path: &str,
        name: Option<&str>,
        whose: Option<Person>,
        tenant: &Tenant,
    ) -> Option<String> {
        let field = format!("{path}.name");
        let means = |name: &str, person| name.trim().to_lowercase() == tenant.username(person);
        match (name, whose) {
            (None, Some(person)) => Some(tenant.username(person)),
            (None, None) => {
                self.wrong(
                    &format!("{path}.user"),
                    "missing; expected a user, or a `name` that nobody has",
                );
                None
            }
            (Some(name), Some(person)) if !means(name, person) => {
                let right = tenant.username(person);
                self.wrong(
                    &field,
                    format!("is no spelling of {right}; expected one, or no `name`"),
                );
                None
            }
            (Some(name), None) if tenant.people().any(|person| means(name, person)) => {
                self.wrong(
                    &field,
                    "is a user's; expected `user` as well, or a name that nobody has",
                );
                None
            }
            (Some(name), _) => Some(name.to_owned()),
        }
    }

    fn typed(&mut self, path: &str, written: &file::SignIn, whose: Option<Person>) -> Typed {
        let nobody = whose.is_none();
        let typed = match written.typed {
            Some(typed) => typed,
            None if nobody => Typed::Unknown,
            None => Typed::Right,
        };
        if nobody != (typed == Typed::Unknown) {
            let right = if nobody {
                "is for a user's name; expected \"unknown\""
            } else {
                "is for a name that nobody has; expected another word, such as \"wrong\""
            };
            self.wrong(&format!("{path}.typed"), right);
        }
        match (typed == Typed::Anothers, &written.another) {
            (true, None) => self.wrong(
                &format!("{path}.another"),
                "missing; expected the user whose password is typed",
            ),
            (false, Some(_)) => self.wrong(&format!("{path}.another"), "is for \"anothers\" alone"),
            (true, Some(_)) | (false, None) => {}
        }
        let nobodys = match typed {
            Typed::Wrong | Typed::Unknown | Typed::Old => true,
            Typed::Right | Typed::Guessed | Typed::Anothers | Typed::Empty | Typed::TooLong | Typed::Nul => {
                false
            }
        };
        if written.number.is_some() && !nobodys {
            self.wrong(
                &format!("{path}.number"),
                "is for passwords that nobody has: wrong, old, unknown",
            );
        }
        typed
    }
}
