//! Source text as the checks of `house.rs` read it: enough of Rust's grammar to tell code from prose and
//! product from tests, and to see what a path names.

type Range = std::ops::Range<usize>;

/// A file as the checks read it. In both texts everything stands where it stood.
pub(crate) struct Code {
    /// Without comments, literals and tests.
    pub(crate) code: String,
    /// Without tests.
    pub(crate) whole: String,
    /// Modules in other files that are tests.
    pub(crate) test_modules: Vec<String>,
}

impl Code {
    pub(crate) fn of(text: &str) -> Self {
        let mut code = text.as_bytes().to_vec();
        blank(&mut code, &prose(text.as_bytes()));
        let mut whole = text.as_bytes().to_vec();
        let tests = test_items(&String::from_utf8_lossy(&code));
        let test_modules = tests
            .iter()
            .filter_map(|item| module_elsewhere(&code[item.clone()]))
            .collect();
        blank(&mut code, &tests);
        blank(&mut whole, &tests);
        let [code, whole] = [code, whole].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self {
            code,
            whole,
            test_modules,
        }
    }

    pub(crate) fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// What is named directly below `root`: `a` and `b` of `root::a::x` and of `root::{a, b::y}`.
    pub(crate) fn children(&self, root: &str) -> Vec<(usize, &str)> {
        let roots = idents(&self.code).filter(|(_, name)| *name == root);
        roots.flat_map(|(at, _)| self.below(at + root.len())).collect()
    }

    /// The same for `super::super` and so on, as far as it is the crate's root from `depth` below it.
    pub(crate) fn children_of_root(&self, depth: usize) -> Vec<(usize, &str)> {
        let (mut found, mut chain, mut end) = (Vec::new(), 0, 0);
        for (at, name) in idents(&self.code).filter(|(_, name)| *name == "super") {
            chain = if self.code[end..at].trim() == "::" {
                chain + 1
            } else {
                1
            };
            end = at + name.len();
            if chain >= depth {
                found.extend(self.below(end));
            }
        }
        found
    }

    /// Names directly below the path that ends at `end`.
    fn below(&self, end: usize) -> Vec<(usize, &str)> {
        let skip_blanks = |at: usize| self.code.len() - self.code[at..].trim_start().len();
        let at = skip_blanks(end);
        if !self.code[at..].starts_with("::") {
            return Vec::new();
        }
        let at = skip_blanks(at + 2);
        let (mut starts, mut depth) = (Vec::new(), 0_usize);
        for (offset, char) in self.code[at..].char_indices() {
            match char {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(char, '{' | ',') {
                starts.push(at + offset + 1);
            }
        }
        if starts.is_empty() {
            starts.push(at);
        }
        let first = |start| {
            idents(&self.code[start..])
                .next()
                .filter(|(offset, _)| *offset == 0)
        };
        let starts = starts.into_iter().map(skip_blanks);
        starts
            .filter_map(|start| first(start).map(|(_, name)| (start, name)))
            .collect()
    }
}

/// Identifiers and keywords with their places.
pub(crate) fn idents(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = code.split(|char: char| !char.is_alphanumeric() && char != '_');
    let words = words.scan(0, |next, word| {
        let at = *next;
        // One separator follows, which may be longer than a byte.
        *next = at + word.len();
        *next += code[*next..].chars().next().map_or(0, char::len_utf8);
        Some((at, word))
    });
    words.filter(|(_, word)| word.starts_with(|first: char| !first.is_ascii_digit()))
}

fn blank(text: &mut [u8], ranges: &[Range]) {
    for byte in ranges.iter().flat_map(Range::clone) {
        if text[byte] != b'\n' {
            text[byte] = b' ';
        }
    }
}

/// Comments, and literals of texts and characters.
fn prose(text: &[u8]) -> Vec<Range> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        let in_name = at > 0 && (text[at - 1].is_ascii_alphanumeric() || text[at - 1] == b'_');
        let length = match rest {
            [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            [b'"', ..] => quoted(rest, b'"'),
            // A lifetime has no second quote behind its first character.
            [b'\'', b'\\', ..] => quoted(rest, b'\''),
            [b'\'', ..] => character(rest),
            [b'r', b'"' | b'#', ..] if !in_name => raw(rest, 1),
            [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_name => raw(rest, 2),
            _ => 0,
        };
        if length > 0 {
            found.push(at..at + length);
        }
        at += length.max(1);
    }
    found
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn character(rest: &[u8]) -> usize {
    let width = match rest.get(1) {
        None => return 0,
        Some(0..0x80) => 1,
        Some(0x80..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(_) => 4,
    };
    if rest.get(1 + width) == Some(&b'\'') {
        width + 2
    } else {
        0
    }
}

/// A raw text literal with `prefix` letters; 0 for a raw identifier.
fn raw(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = prefix + hashes + 1;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| body + at + end.len())
}

/// Items under `#[cfg(test)]`, from the attribute to the end of the item.
fn test_items(code: &str) -> Vec<Range> {
    let mut found: Vec<Range> = Vec::new();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        if found.last().is_some_and(|last| last.contains(&start)) {
            continue;
        }
        let mut at = start + attribute.len();
        while let Some(next) = code[at..].trim_start().strip_prefix("#[") {
            at = code.len() - next.len() + next.find(']').map_or(next.len(), |close| close + 1);
        }
        let use_tree = code[at..].trim_start().starts_with("use ");
        let mut depth = 0_i32;
        let end = code[at..].char_indices().find(|(_, char)| {
            depth += match char {
                '(' | '[' | '{' => 1,
                ')' | ']' | '}' => -1,
                _ => 0,
            };
            depth <= 0 && (*char == ';' || *char == '}' && !use_tree)
        });
        found.push(start..end.map_or(code.len(), |(offset, _)| at + offset + 1));
    }
    found
}

/// The name of `mod name;`.
fn module_elsewhere(item: &[u8]) -> Option<String> {
    let item = String::from_utf8_lossy(item);
    let names: Vec<_> = idents(&item).map(|(_, name)| name).collect();
    match names[..] {
        [.., "mod", name] if item.ends_with(';') => Some(name.to_owned()),
        _ => None,
    }
}

#[test]
fn prose_is_not_code_and_code_is_not_prose() {
    let text = r##"a /* b /* c */ d */ e "f \" g" 'h' '"' i // j
        'k k<'l> r#"m " n"# br"o" r#p b'q' '\'' '密' r" /// s
        t" u"##;
    let Code { code, whole, .. } = Code::of(text);
    let names: Vec<_> = idents(&code).map(|(_, name)| name).collect();
    assert_eq!(names, ["a", "e", "i", "k", "k", "l", "r", "p", "b", "u"]);
    assert_eq!((code.len(), &*whole), (text.len(), text));
    let places = idents("1x é aé\nb_2")
        .map(|(at, name)| (name, at))
        .collect::<Vec<_>>();
    assert_eq!(places, [("é", 3), ("aé", 6), ("b_2", 10)]);
}

#[test]
fn tests_are_left_out_and_nothing_else() {
    let text = "fn a() {}
        #[cfg(test)]
        mod tests { fn b() { c[1]; } }
        fn d() {}
        #[cfg(test)]
        #[allow(e)]
        mod more { fn b() { c(); } use c; }
        #[cfg(test)]
        #[allow(e)]
        use f::{g, h};
        #[cfg(test)]
        mod tests;
        #[cfg(test)]
        fn i(j: [u8; 4]) -> k { l(); }
        /* #[cfg(test)] */ fn m() { \"#[cfg(test)]\"; n(); }";
    let code = Code::of(text);
    let names: Vec<_> = idents(&code.code).map(|(_, name)| name).collect();
    assert_eq!(names, ["fn", "a", "fn", "d", "fn", "m", "n"]);
    assert_eq!(code.test_modules, ["tests"]);
    assert!(!code.whole.contains("tests;") && code.whole.contains("/* #[cfg(test)] */"));
}

#[test]
fn paths_are_seen_in_all_their_forms() {
    let code = Code::of(
        "use crate::a::x; use crate :: {b, c::{d, e}, self,\n f as g,}; crate::h(); pub(crate) fn i() {}
        use super::j; super::super::k::l; super::super::{m, n}; // crate::o",
    );
    let names = |found: Vec<(usize, &str)>| {
        found
            .into_iter()
            .map(|(_, name)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(code.children("crate")), ["a", "b", "c", "self", "f", "h"]);
    assert_eq!(names(code.children_of_root(2)), ["k", "m", "n"]);
    assert_eq!(
        names(code.children_of_root(1)),
        ["j", "super", "k", "super", "m", "n"]
    );
    let (at, _) = code.children("crate")[4];
    assert_eq!((code.line(at), &code.code[at..=at]), (2, "f"));
}
