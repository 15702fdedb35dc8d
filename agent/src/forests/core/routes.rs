//! Which forest a user belongs to.
//!
//! The cloud says two things of a user: the domain by which it chose this agent, and the name that the directory
//! has for the user. The name's suffix decides, as in a directory: a user of a trusted forest is bound on a
//! controller of that forest. A suffix that no forest claims says nothing (many an organisation has an internal one
//! that only its own directory knows); then the domain decides.

use std::collections::{BTreeMap, BTreeSet};

use postern_proto::names::{DomainName, OnPremisesName};

/// Why no forest can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forests) enum NoRoute {
    /// No forest answers for the domain, nor for the suffix.
    Unknown,
    /// Several forests claim the suffix, or the domain if there is no suffix to go by.
    Ambiguous {
        /// What they claim.
        claimed: DomainName,
        /// Which forests, by their places.
        forests: BTreeSet<usize>,
    },
}

/// What forests claim, by their places in the list of forests.
#[derive(Debug, Default)]
pub(in crate::forests) struct Routes {
    domains: BTreeMap<DomainName, BTreeSet<usize>>,
    suffixes: BTreeMap<DomainName, BTreeSet<usize>>,
}

impl Routes {
    /// A forest answers for users of this domain, and for names that end in it.
    pub(in crate::forests) fn add_domain(&mut self, domain: &DomainName, forest: usize) {
        self.domains.entry(domain.clone()).or_default().insert(forest);
        self.add_suffix(domain, forest);
    }

    /// Names that end in this suffix are a forest's.
    pub(in crate::forests) fn add_suffix(&mut self, suffix: &DomainName, forest: usize) {
        self.suffixes.entry(suffix.clone()).or_default().insert(forest);
    }

    /// Whether any forest answers for users of this domain, as long as their names do not say otherwise.
    pub(in crate::forests) fn serves(&self, domain: &DomainName) -> bool {
        self.domains.contains_key(domain) || self.suffixes.contains_key(domain)
    }

    /// The place of a user's forest.
    pub(in crate::forests) fn find(
        &self,
        domain: &DomainName,
        name: &OnPremisesName,
    ) -> Result<usize, NoRoute> {
        let by_suffix = suffix(name).and_then(|suffix| self.suffixes.get_key_value(&suffix));
        let claim = by_suffix.or_else(|| self.domains.get_key_value(domain));
        let Some((claimed, forests)) = claim else {
            return Err(NoRoute::Unknown);
        };
        let mut all = forests.iter();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(*only),
            _ => Err(NoRoute::Ambiguous {
                claimed: claimed.clone(),
                forests: forests.clone(),
            }),
        }
    }
}

/// Where what a forest's directory lists and what the configuration says differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forests) enum Difference {
    /// The forest's directory has users of this suffix, and their names lead to another forest.
    Elsewhere {
        /// The suffix.
        suffix: DomainName,
        /// Where they lead, by its place.
        forest: usize,
    },
    /// The forest's directory has users of this suffix, and it is nobody's.
    Nobodys {
        /// The suffix.
        suffix: DomainName,
    },
}

impl Routes {
    /// What an administrator should know of the suffixes that a forest's directory lists. They are not routed by
    /// themselves: whoever administers one forest could draw the passwords of another's users there by adding a
    /// suffix. Forests that trust each other do not route new suffixes by themselves either.
    pub(in crate::forests) fn compare(
        &self,
        forest: usize,
        listed: impl IntoIterator<Item = DomainName>,
    ) -> Vec<Difference> {
        let differs = listed
            .into_iter()
            .filter_map(|suffix| match self.suffixes.get(&suffix) {
                None => Some(Difference::Nobodys { suffix }),
                Some(claims) if claims.contains(&forest) => None,
                Some(claims) => claims.first().map(|forest| Difference::Elsewhere {
                    suffix,
                    forest: *forest,
                }),
            });
        differs.collect()
    }
}

/// The suffix of a userPrincipalName. A DN has none: what follows an at-sign in it is no DNS name, as a rule, since
/// a comma comes before the end.
pub(in crate::forests) fn suffix(name: &OnPremisesName) -> Option<DomainName> {
    name.as_str().trim_end().rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn routes() -> Routes {
        let mut routes = Routes::default();
        routes.add_domain(&domain("corp.example.test"), 0);
        routes.add_domain(&domain("example.test"), 0);
        routes.add_suffix(&domain("alt.example.test"), 0);
        routes.add_domain(&domain("partner.example.test"), 1);
        routes.add_suffix(&domain("merged.test"), 0);
        routes.add_suffix(&domain("merged.test"), 1);
        routes
    }

    fn find(domain_name: &str, name: &str) -> Result<usize, NoRoute> {
        routes().find(&domain(domain_name), &name.parse().unwrap())
    }

    #[test]
    fn the_suffix_decides_and_then_the_domain() {
        for (domain, name, forest) in [
            ("corp.example.test", "alice@corp.example.test", 0),
            ("corp.example.test", "alice@ALT.example.test", 0),
            // A user of the trusted forest, whatever the cloud calls her domain.
            ("example.test", "bob@partner.example.test", 1),
            ("nowhere.test", "bob@Partner.Example.Test ", 1),
            // Suffixes that nobody claims, and names without any.
            ("example.test", "alice@corp.local", 0),
            ("partner.example.test", "bob@corp.local", 1),
            ("partner.example.test", "CN=bob@corp.example.test,DC=partner", 1),
            ("partner.example.test", "bob", 1),
            ("partner.example.test", "bob@", 1),
            // The last at-sign is the one that counts.
            ("example.test", "odd@corp.example.test@partner.example.test", 1),
        ] {
            assert_eq!(find(domain, name), Ok(forest), "{name} of {domain}");
        }
    }

    #[test]
    fn what_a_directory_lists_is_compared_and_routes_nobody() {
        let listed = [
            "partner.example.test",
            "merged.test",
            "alt.example.test",
            "new.test",
        ];
        let routes = routes();
        assert_eq!(
            routes.compare(1, listed.map(domain)),
            [
                Difference::Elsewhere {
                    suffix: domain("alt.example.test"),
                    forest: 0
                },
                Difference::Nobodys {
                    suffix: domain("new.test")
                },
            ]
        );
        assert_eq!(routes.compare(0, [domain("corp.example.test")]), []);
    }

    #[test]
    fn a_child_domain_is_another_domain() {
        assert_eq!(
            find("sub.corp.example.test", "eve@sub.corp.example.test"),
            Err(NoRoute::Unknown)
        );
        assert_eq!(find("ple.test", "eve@ple.test"), Err(NoRoute::Unknown));
    }

    #[test]
    fn what_two_forests_claim_is_nobodys() {
        let ambiguous = NoRoute::Ambiguous {
            claimed: domain("merged.test"),
            forests: [0, 1].into(),
        };
        assert_eq!(find("example.test", "carol@merged.test"), Err(ambiguous));
        // The domain is not asked instead: it would be a guess, and the password would go to a stranger.
        assert_eq!(find("example.test", "carol@corp.example.test"), Ok(0));
    }
}
