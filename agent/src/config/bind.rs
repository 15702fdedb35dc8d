//! How users are named in a bind, and under which account a directory is read before one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use postern_kit::config::Fields;
use postern_proto::ids::ObjectId;
use postern_proto::names::OnPremisesName;
use serde::Deserialize;

use super::DirectoryKind;

/// How the user is named in a bind, and so how it is made sure that the right object was bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindName {
    /// `<GUID=…>`: the bound name is the object, nothing has to be read. Active Directory only.
    Guid,
    /// The on-premises name; the object is then searched by userPrincipalName under this base.
    Upn {
        /// DN under which all users lie.
        base: String,
    },
    /// The on-premises name is a DN; its entry is then read.
    Dn,
    /// A DN made from the on-premises name; its entry is then read.
    Template(Template),
    /// The DN of the one entry that a search under the service account finds, if it is the expected
    /// object; its entry is then read again.
    Search {
        /// DN under which all users lie.
        base: String,
        /// Which entry is the user's.
        filter: Template,
    },
}

/// The account under which the agent reads the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// What it binds as: a DN, or a userPrincipalName.
    pub name: OnPremisesName,
    /// File that holds its password, which is read whenever it is needed: a new one is taken up
    /// without a restart. A line end after it does not count.
    pub password_file: PathBuf,
}

/// A text with places for what is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name,
    Local,
    Domain,
    Object,
}

/// What a template may have in braces.
const PLACES: &str = "{name}, {local}, {domain} and {object}";

impl Piece {
    fn place(word: &str) -> Option<Self> {
        match word {
            "name" => Some(Self::Name),
            "local" => Some(Self::Local),
            "domain" => Some(Self::Domain),
            "object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a text with at least one of {PLACES}, and no other braces")]
pub struct NoTemplate;

impl FromStr for Template {
    type Err = NoTemplate;
    fn from_str(text: &str) -> Result<Self, NoTemplate> {
        let (mut pieces, mut rest, mut places) = (Vec::new(), text, 0);
        while let Some((before, after)) = rest.split_once('{') {
            let (word, after) = after.split_once('}').ok_or(NoTemplate)?;
            if before.contains('}') {
                return Err(NoTemplate);
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::place(word).ok_or(NoTemplate)?);
            places += 1;
            rest = after;
        }
        if places == 0 || rest.contains('}') {
            return Err(NoTemplate);
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Name => f.write_str("{name}"),
            Piece::Local => f.write_str("{local}"),
            Piece::Domain => f.write_str("{domain}"),
            Piece::Object => f.write_str("{object}"),
        })
    }
}

impl Template {
    /// The text for a user, each value passed through `escape`. `None` if it asks for the domain of
    /// a name that has none.
    pub fn fill(
        &self,
        name: &OnPremisesName,
        object: ObjectId,
        escape: impl Fn(&str) -> String,
    ) -> Option<String> {
        let whole = name.as_str();
        let halves = whole.rsplit_once('@');
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Name => filled.push_str(&escape(whole)),
                Piece::Local => filled.push_str(&escape(halves.map_or(whole, |(local, _)| local))),
                Piece::Domain => filled.push_str(&escape(halves?.1)),
                Piece::Object => filled.push_str(&escape(&object.to_string())),
            }
        }
        Some(filled)
    }

    /// Whether it looks like a search filter: in parentheses, and those in pairs.
    fn is_filter(&self) -> bool {
        let mut depth = 0_i32;
        let text = self.to_string();
        let closes_early = text.char_indices().any(|(at, c)| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth < 0 || (depth == 0 && at + 1 < text.len())
        });
        text.starts_with('(') && depth == 0 && !closes_early
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Guid,
    Upn,
    Dn,
    Template,
    Search,
}

/// Reads `bind_name` and what belongs to it.
pub(super) fn bind_name(
    fields: &mut Fields<'_>,
    kind: Option<DirectoryKind>,
    has_service_account: Option<bool>,
) -> Option<BindName> {
    let expected = "\"guid\", \"upn\", \"dn\", \"template\" or \"search\"";
    let word = fields.or("bind_name", Word::Guid, expected);
    let base = fields.optional::<String>("base", "a DN, such as DC=corp,DC=example,DC=com");
    let template = fields.optional::<String>("template", "a text like \"uid={local},ou=people,dc=corp\"");
    let filter = fields.optional::<String>("filter", "a text like \"(mail={name})\"");
    let word = word?;
    let present = [
        (
            "base",
            matches!(base, Some(Some(_))),
            &[Word::Upn, Word::Search][..],
        ),
        ("template", matches!(template, Some(Some(_))), &[Word::Template]),
        ("filter", matches!(filter, Some(Some(_))), &[Word::Search]),
    ];
    let mut fine = nothing_unused(fields, word, &present);
    let base = needed(fields, "base", word, &[Word::Upn, Word::Search], base?);
    let template = needed(fields, "template", word, &[Word::Template], template?);
    let filter = needed(fields, "filter", word, &[Word::Search], filter?);
    let (base, template, filter) = (base?, template?, filter?);
    let template = parsed(fields, "template", template);
    let filter = parsed(fields, "filter", filter);
    if let Some(Some(filter)) = &filter
        && !filter.is_filter()
    {
        fields.mistake(
            "filter",
            "expected parentheses around it and in pairs, as in \"(mail={name})\"",
        );
        fine = false;
    }
    if word == Word::Guid && kind == Some(DirectoryKind::Ldap) {
        fields.mistake(
            "bind_name",
            "\"guid\" works with active-directory only; expected \"upn\", \"dn\", \"template\" or \"search\"",
        );
        fine = false;
    }
    if word == Word::Search && has_service_account == Some(false) {
        fields.mistake(
            "service_account",
            "missing; bind_name \"search\" needs an account to search under, as in [forest.service_account]",
        );
        fine = false;
    }
    let (template, filter) = (template?, filter?);
    if !fine {
        return None;
    }
    match word {
        Word::Guid => Some(BindName::Guid),
        Word::Upn => Some(BindName::Upn { base: base? }),
        Word::Dn => Some(BindName::Dn),
        Word::Template => Some(BindName::Template(template?)),
        Word::Search => Some(BindName::Search {
            base: base?,
            filter: filter?,
        }),
    }
}

/// Whether every field that is present is one that the bind name uses.
fn nothing_unused(fields: &Fields<'_>, word: Word, present: &[(&str, bool, &[Word])]) -> bool {
    let unused = present
        .iter()
        .filter(|(_, is_there, of)| *is_there && !of.contains(&word));
    let mut fine = true;
    for (name, _, of) in unused {
        let of: Vec<_> = of.iter().map(|word| word.in_quotes()).collect();
        fields.mistake(
            name,
            format_args!("is used with bind_name {} only", of.join(" and ")),
        );
        fine = false;
    }
    fine
}

impl Word {
    fn in_quotes(self) -> &'static str {
        match self {
            Self::Guid => "\"guid\"",
            Self::Upn => "\"upn\"",
            Self::Dn => "\"dn\"",
            Self::Template => "\"template\"",
            Self::Search => "\"search\"",
        }
    }
}

/// The value of a field that some bind names need. The outer `None` means that it is missing.
fn needed(
    fields: &Fields<'_>,
    name: &'static str,
    word: Word,
    of: &[Word],
    value: Option<String>,
) -> Option<Option<String>> {
    if value.is_none() && of.contains(&word) {
        fields.mistake(
            name,
            format_args!("missing; bind_name {} needs it", word.in_quotes()),
        );
        return None;
    }
    Some(value)
}

/// The outer `None` means that it is wrong.
fn parsed(fields: &Fields<'_>, name: &'static str, text: Option<String>) -> Option<Option<Template>> {
    match text.map(|text| text.parse()).transpose() {
        Ok(template) => Some(template),
        Err(error) => {
            fields.mistake(name, error);
            None
        }
    }
}

/// Reads the table `service_account`. The outer `None` means that it is wrong.
pub(super) fn service_account(fields: &mut Fields<'_>) -> Option<Option<ServiceAccount>> {
    fields.table("service_account", |fields| {
        let expected = "what the account binds as, such as \"cn=postern,dc=corp\"";
        let name = fields.optional::<String>("name", expected);
        let file = fields.optional::<PathBuf>("password_file", "the path of a file");
        match (name?, file?) {
            (None, None) => Some(None),
            (Some(name), Some(password_file)) => match name.parse() {
                Ok(name) => Some(Some(ServiceAccount { name, password_file })),
                Err(error) => {
                    fields.mistake("name", format_args!("expected {}", error.expected));
                    None
                }
            },
            (Some(_), None) => {
                fields.mistake("password_file", "missing; expected the path of a file");
                None
            }
            (None, Some(_)) => {
                fields.mistake("name", format_args!("missing; expected {expected}"));
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::config::{ConfigErrors, parse};

    const OBJECT: &str = "6995b085-9404-416e-8f04-0123456789ab";

    fn fill(template: &str, name: &str) -> Option<String> {
        let template: Template = template.parse().unwrap();
        template.fill(&name.parse().unwrap(), OBJECT.parse().unwrap(), |value| {
            value.replace('*', "\\2a")
        })
    }

    #[test]
    fn a_template_is_filled_with_what_is_known() {
        for (template, name, expected) in [
            (
                "(mail={name})",
                "ada@corp.example",
                Some("(mail=ada@corp.example)"),
            ),
            ("uid={local},dc=x", "ada@corp.example", Some("uid=ada,dc=x")),
            ("uid={local},dc=x", "ada", Some("uid=ada,dc=x")),
            ("{local}+{domain}", "a@b@corp.example", Some("a@b+corp.example")),
            ("{local}+{domain}", "ada", None),
            (
                "(|(uid={local})(mail={name}))",
                "a*@x",
                Some("(|(uid=a\\2a)(mail=a\\2a@x))"),
            ),
        ] {
            assert_eq!(fill(template, name).as_deref(), expected, "{template}");
        }
        let object = fill("(entryUUID={object})", "ada");
        assert_eq!(object, Some(format!("(entryUUID={OBJECT})")));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "",
            "(uid=ada)",
            "{nane}",
            "{name",
            "name}",
            "}{name}",
            "{name}}",
            "{{name}}",
        ] {
            assert_eq!(text.parse::<Template>(), Err(NoTemplate), "{text}");
        }
        for text in ["(mail={name})", "{object}", "a{local}b{domain}c"] {
            assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_filter_stands_in_parentheses() {
        for (text, is) in [
            ("(mail={name})", true),
            ("(&(a=b)(|(uid={local})(mail={name})))", true),
            ("mail={name}", false),
            ("(mail={name}", false),
            ("(mail={name}))", false),
            ("(a=b)(mail={name})", false),
            (")(mail={name}", false),
        ] {
            assert_eq!(text.parse::<Template>().unwrap().is_filter(), is, "{text}");
        }
    }

    type Read = (BindName, Option<ServiceAccount>);

    fn read(text: &str) -> Result<Read, ConfigErrors> {
        parse(text, |fields| {
            let account = service_account(fields);
            let bind = bind_name(
                fields,
                Some(DirectoryKind::Ldap),
                account.as_ref().map(Option::is_some),
            );
            Some((bind?, account?))
        })
    }

    #[test]
    fn each_way_to_name_a_user_is_read() {
        let (bind, account) = read(
            "bind_name = \"search\"\nbase = \"dc=x\"\nfilter = \"(mail={name})\"\n\
             [service_account]\nname = \"cn=svc,dc=x\"\npassword_file = \"svc.secret\"",
        )
        .unwrap();
        let account = account.unwrap();
        assert_eq!(account.name.as_str(), "cn=svc,dc=x");
        assert_eq!(account.password_file, PathBuf::from("svc.secret"));
        let filter = "(mail={name})".parse().unwrap();
        let base = "dc=x".to_owned();
        assert_eq!(bind, BindName::Search { base, filter });
        let (bind, account) = read("bind_name = \"template\"\ntemplate = \"uid={local},dc=x\"").unwrap();
        assert_eq!(bind, BindName::Template("uid={local},dc=x".parse().unwrap()));
        assert_eq!(account, None);
    }

    #[test]
    fn mistakes_name_their_fields() {
        for (text, mistakes) in [
            ("bind_name = \"search\"", &["base", "filter"][..]),
            (
                "bind_name = \"search\"\nbase = \"dc=x\"\nfilter = \"(a={name})\"",
                &["service_account"],
            ),
            (
                "bind_name = \"search\"\nbase = \"dc=x\"\nfilter = \"(uid=ada)\"\n\
                 [service_account]\nname = \"cn=svc\"\npassword_file = \"x\"",
                &["filter"],
            ),
            ("bind_name = \"template\"", &["template"]),
            (
                "bind_name = \"dn\"\nbase = \"dc=x\"\nfilter = \"(a={name})\"",
                &["base", "filter"],
            ),
            (
                "bind_name = \"dn\"\nservice_account.name = \"cn=svc\"",
                &["service_account.password_file"],
            ),
            (
                "bind_name = \"dn\"\nservice_account.password_file = \"x\"",
                &["service_account.name"],
            ),
            (
                "bind_name = \"dn\"\nservice_account.name = \"\"\nservice_account.password_file = \"x\"",
                &["service_account.name"],
            ),
            ("", &["bind_name"]),
        ] {
            let wrong = read(text).unwrap_err();
            let fields: Vec<_> = wrong
                .mistakes()
                .iter()
                .map(|mistake| mistake.split(": ").next().unwrap_or_default())
                .collect();
            assert_eq!(fields, mistakes, "{text}");
        }
    }
}
