//! Name suffixes: what lies below what, and whether a partner's suffix is routed.

use postern_kit::clock::Timestamp;

/// Whether binds with a suffix of the partner's are passed on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuffixState {
    /// They are.
    Enabled,
    /// Not yet: the suffix appeared after the trust was made, and nobody has enabled it.
    New,
    /// Not by order of an administrator.
    Disabled,
    /// Not: the suffix is the forest's own or is routed to another partner.
    Conflict,
}

/// What a record of routing data is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A suffix with everything below it.
    Top(SuffixState),
    /// A part of a suffix that is not routed.
    Excluded,
}

/// One name suffix of a partner, as a forest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutedName {
    pub(crate) name: String,
    pub(crate) kind: NameKind,
    pub(crate) since: Timestamp,
}

impl RoutedName {
    pub(crate) fn is_enabled(&self) -> bool {
        self.kind == NameKind::Top(SuffixState::Enabled)
    }

    /// The flags of its record in msDS-TrustForestTrustInfo.
    pub(super) fn flags(&self) -> u32 {
        match self.kind {
            NameKind::Top(SuffixState::Enabled) | NameKind::Excluded => 0,
            NameKind::Top(SuffixState::New) => 1,
            NameKind::Top(SuffixState::Disabled) => 2,
            NameKind::Top(SuffixState::Conflict) => 4,
        }
    }
}

/// Whether `name` is `top` or lies below it, both in lower case.
pub(super) fn is_below(name: &str, top: &str) -> bool {
    name.strip_suffix(top)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The length of the longest enabled suffix above `name`, unless that part of it is excluded.
pub(super) fn routed_length(names: &[RoutedName], name: &str) -> Option<usize> {
    let above = |known: &&RoutedName| is_below(name, &known.name);
    let enabled = names.iter().filter(|known| known.is_enabled());
    let best = enabled.filter(above).map(|known| known.name.len()).max()?;
    let mut excluded = names.iter().filter(|known| known.kind == NameKind::Excluded);
    let barred = excluded.any(|known| above(&known) && known.name.len() >= best);
    (!barred).then_some(best)
}

/// The names of `all` that lie below none of the others: one record covers everything below it.
pub(super) fn tops(mut all: Vec<String>) -> Vec<String> {
    all.sort_by_key(String::len);
    let mut tops: Vec<String> = Vec::new();
    for name in all {
        if !tops.iter().any(|top| is_below(&name, top)) {
            tops.push(name);
        }
    }
    tops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_enabled_suffix_counts_unless_a_part_of_it_is_excluded() {
        let top = |name: &str, state| RoutedName {
            name: name.to_owned(),
            kind: NameKind::Top(state),
            since: Timestamp::from_unix_ms(0),
        };
        let mut names = vec![
            top("lab.test", SuffixState::Enabled),
            top("alt.test", SuffixState::Disabled),
        ];
        for (name, expected) in [
            ("lab.test", Some(8)),
            ("x.y.lab.test", Some(8)),
            ("collab.test", None),
            ("test", None),
            ("alt.test", None),
        ] {
            assert_eq!(routed_length(&names, name), expected, "{name}");
        }
        names.push(RoutedName {
            kind: NameKind::Excluded,
            ..top("y.lab.test", SuffixState::Enabled)
        });
        assert_eq!(routed_length(&names, "x.y.lab.test"), None);
        assert_eq!(routed_length(&names, "z.lab.test"), Some(8));
    }

    #[test]
    fn what_lies_below_another_name_needs_none_of_its_own() {
        let all = [
            "emea.corp.test",
            "corp.test",
            "tree.test",
            "xcorp.test",
            "corp.test",
        ];
        let tops = tops(all.map(str::to_owned).to_vec());
        assert_eq!(tops, ["corp.test", "tree.test", "xcorp.test"]);
    }
}
