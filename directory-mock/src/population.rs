//! Users from a seed, in any number, with names and passwords that the test knows.

use std::sync::Arc;

use postern_kit::random::{Random, SeededRandom, array, below, uuid};
use uuid::Uuid;

use crate::model::{Password, User};

const GIVEN: [&str; 16] = [
    "Ada", "Bert", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Ines", "Jan", "Kim", "Lea", "Max", "Nora",
    "Otto", "Pia",
];
const FAMILY: [&str; 16] = [
    "Adams", "Brandt", "Costa", "Dubois", "Evans", "Fischer", "Garcia", "Haas", "Ito", "Jansen", "Keller",
    "Lind", "Meyer", "Novak", "Olsen", "Petit",
];

/// One user of a population.
#[derive(Clone, Debug)]
pub struct Person {
    /// sAMAccountName, unique.
    pub sam: String,
    /// displayName.
    pub display_name: String,
    /// objectGUID.
    pub guid: Uuid,
    /// The password, in plain text: this is a mock.
    pub password: Password,
}

impl Person {
    /// userPrincipalName in a domain.
    pub fn upn(&self, domain: &str) -> String {
        // Exactly as long as it is: there may be a million.
        [self.sam.as_str(), "@", domain].concat()
    }

    /// The user for a directory.
    pub fn user(&self, domain: &str) -> User {
        User::new(&self.sam, self.password.plaintext())
            .upn(&self.upn(domain))
            .display_name(&self.display_name)
            .guid(self.guid)
    }
}

/// Users from a seed. Clones share them.
#[derive(Clone, Debug)]
pub struct Population(Arc<[Person]>);

impl Population {
    /// `count` users; the same seed gives the same ones, and a larger count adds more of them.
    pub fn seeded(seed: u64, count: usize) -> Self {
        let random = SeededRandom::new(seed);
        Self((0..count).map(|at| person(&random, at)).collect())
    }

    /// The users in their order.
    pub fn people(&self) -> &[Person] {
        &self.0
    }
}

fn person(random: &dyn Random, at: usize) -> Person {
    let pick = |names: &[&'static str; 16]| names[usize::try_from(below(random, 16)).unwrap_or(0)];
    let (given, family) = (pick(&GIVEN), pick(&FAMILY));
    Person {
        sam: format!("{}.{}{at}", given.to_lowercase(), family.to_lowercase()),
        display_name: format!("{given} {family}"),
        guid: uuid(random),
        password: Password::new(&format!("Pw-{}", hex::encode(array::<8>(random)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_people() {
        let all = |seed, count| {
            let population = Population::seeded(seed, count);
            let texts = population
                .people()
                .iter()
                .map(|p| format!("{} {} {}", p.sam, p.guid, p.password.plaintext()));
            texts.collect::<Vec<_>>()
        };
        assert_eq!(all(1, 20), all(1, 20));
        assert_eq!(all(1, 30)[..20], all(1, 20));
        assert_ne!(all(1, 20), all(2, 20));
    }
}
