//! How a user is named in a bind, and by what it is seen that the right object was bound: pure.

use ldap3::{Scope, dn_escape, ldap_escape};
use postern_proto::ids::ObjectId;
use postern_proto::names::OnPremisesName;

use crate::config::BindName;

/// A search that must find one entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Search {
    pub(super) base: String,
    pub(super) scope: Scope,
    pub(super) filter: String,
}

impl Search {
    /// The entry of that name itself.
    pub(super) fn entry(dn: &str) -> Self {
        Self {
            base: dn.to_owned(),
            scope: Scope::Base,
            filter: "(objectClass=*)".to_owned(),
        }
    }

    fn under(base: &str, filter: String) -> Self {
        Self {
            base: base.to_owned(),
            scope: Scope::Subtree,
            filter,
        }
    }
}

/// How a bind comes about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    /// By a name that is the object's id: nothing is left to prove.
    ById(String),
    /// By a name; on the bound connection the search must find the object.
    ByName(String, Search),
    /// The service account searches the entry, whose DN is bound if it is the object.
    Found(Search),
}

impl Way {
    /// How this user is bound. `None` if the name is not one of which the bind name can be made.
    pub(super) fn of(bind_name: &BindName, object: ObjectId, name: &OnPremisesName) -> Option<Self> {
        let for_dn = |value: &str| dn_escape(value).into_owned();
        let for_filter = |value: &str| ldap_escape(value).into_owned();
        Some(match bind_name {
            BindName::Guid => Self::ById(format!("<GUID={object}>")),
            BindName::Upn { base } => {
                let filter = format!("(userPrincipalName={})", for_filter(name.as_str()));
                Self::ByName(name.as_str().to_owned(), Search::under(base, filter))
            }
            BindName::Dn => Self::ByName(name.as_str().to_owned(), Search::entry(name.as_str())),
            BindName::Template(template) => {
                let dn = template.fill(name, object, for_dn)?;
                let search = Search::entry(&dn);
                Self::ByName(dn, search)
            }
            BindName::Search { base, filter } => {
                Self::Found(Search::under(base, filter.fill(name, object, for_filter)?))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "6995b085-9404-416e-8f04-0123456789ab";

    fn way(bind_name: &BindName, name: &str) -> Option<Way> {
        Way::of(bind_name, OBJECT.parse().unwrap(), &name.parse().unwrap())
    }

    #[test]
    fn a_name_cannot_say_more_than_a_name() {
        let base = "dc=x".to_owned();
        let search = |filter: &str| BindName::Search {
            base: "dc=x".to_owned(),
            filter: filter.parse().unwrap(),
        };
        for (bind_name, name, filter) in [
            (search("(uid={name})"), "*", "(uid=\\2a)"),
            (search("(uid={name})"), "a)(uid=b", "(uid=a\\29\\28uid=b)"),
            (search("(mail={local}@x)"), "\\*@y", "(mail=\\5c\\2a@x)"),
            (
                BindName::Upn { base },
                "a)(b=*",
                "(userPrincipalName=a\\29\\28b=\\2a)",
            ),
        ] {
            let Some(Way::Found(search) | Way::ByName(_, search)) = way(&bind_name, name) else {
                panic!("{bind_name:?}");
            };
            assert_eq!((search.filter.as_str(), search.base.as_str()), (filter, "dc=x"));
        }
        let template = BindName::Template("uid={local},ou=people,dc=x".parse().unwrap());
        for (name, dn) in [
            ("ada@corp.example", "uid=ada,ou=people,dc=x"),
            ("ada,ou=admins@x", "uid=ada\\2cou\\3dadmins,ou=people,dc=x"),
            ("a+cn=b", "uid=a\\2bcn\\3db,ou=people,dc=x"),
            (" a", "uid=\\20a,ou=people,dc=x"),
        ] {
            let expected = Way::ByName(dn.to_owned(), Search::entry(dn));
            assert_eq!(way(&template, name), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_name_without_a_domain_fills_no_place_for_one() {
        let template = BindName::Template("uid={local},dc={domain}".parse().unwrap());
        assert_eq!(way(&template, "ada"), None);
        assert!(way(&template, "ada@x").is_some());
    }
}
