//! The rules of the house that the compiler does not see: which way crates and rooms depend, what a
//! core may name, where generated and driver types stop, how long a file may be, which words `kit` is
//! free of.
//!
//! A check is a function of a path and a text. `planted.rs` plants each breach and sees it found, so
//! that none passes because it looks at nothing. Code is read without comments, literals and what is
//! `#[cfg(test)]`: tests may use anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[path = "house/planted.rs"]
mod planted;
#[path = "house/source.rs"]
mod source;

use source::{Code, idents};

/// Longest source file. Past it two ideas share the file.
const LINES_MAX: usize = 600;

/// A crate, what it may depend on, and what its tests may in addition.
type Dependencies = (&'static str, &'static [&'static str], &'static [&'static str]);

const KIT: &str = "postern-kit";
const PROTO: &str = "postern-proto";
const CLOUD: &str = "postern-cloud";
const AGENT: &str = "postern-agent";
const MOCK: &str = "postern-directory-mock";
const HARNESS: &str = "postern-harness";

const CRATES: &[Dependencies] = &[
    (KIT, &[], &[]),
    (PROTO, &[KIT], &[]),
    (CLOUD, &[KIT, PROTO], &[]),
    (AGENT, &[KIT, PROTO], &[MOCK]), // for its LDAP adapter
    (MOCK, &[KIT], &[]),             // the fake must not know the product that it judges
    (HARNESS, &[KIT, PROTO, CLOUD, AGENT, MOCK], &[]),
    ("postern-benches", &[KIT, PROTO, CLOUD, AGENT, MOCK, HARNESS], &[]),
];

/// Top to bottom; a room uses only rooms below it.
const CLOUD_ROOMS: &[&str] = &[
    "cli", "service", "web", "admin", "sign_in", "budget", "dispatch", "trust", "tenants", "bus", "store",
];

/// Top to bottom. `config` has the words in which all rooms are told what to do, and uses none.
const AGENT_ROOMS: &[&str] = &[
    "cli",
    "service",
    "channel",
    "trust",
    "validate",
    "forests",
    "directory",
    "config",
];

/// A room that stands beside the order: what it uses, and who uses it.
type Beside = (&'static str, &'static [&'static str], &'static [&'static str]);

const CLOUD_BESIDE: &[Beside] = &[
    // Who may call what, in front of the listeners: knows the callers, not the called.
    ("callers", &["trust", "tenants"], &["service", "web", "admin"]),
    // What one room alone is told is a type of that room; the rest is `config`'s.
    ("config", &["budget", "trust"], &["cli", "service", "sign_in"]),
];

/// Files and folders where generated types are named beside `rpc.rs`, and why. What is not needed fails.
const WIRE_BESIDE_RPC: &[(&str, &str)] = &[
    (
        "agent/src/channel/core.rs",
        "the stream's messages are the events and effects of its core",
    ),
    ("agent/src/channel/mod.rs", "the agent's end of the stream"),
    (
        "agent/src/trust/enrolment.rs",
        "the client of the one enrolment call",
    ),
    ("cloud/src/admin/cli/", "the command line is a client of the RPC"),
    (
        "cloud/src/admin/shapes.rs",
        "what the room's rpc.rs says, and nothing else",
    ),
    ("cloud/src/admin/socket.rs", "the command line's client"),
    (
        "cloud/src/dispatch/envelope.rs",
        "messages of the stream as they travel on the bus",
    ),
    (
        "cloud/src/dispatch/task.rs",
        "makes and reads sealed messages, which the core never sees",
    ),
    ("cloud/src/service.rs", "puts the services on their listeners"),
    ("cloud/src/web/meta.rs", "descriptors for reflection, no message"),
    ("cloud/src/web/mod.rs", "puts the service on the router"),
    (
        "proto/src/seal/key.rs",
        "a sealing key to its announcement and back",
    ),
    (
        "proto/src/seal/message.rs",
        "a request and a verdict to their sealed messages and back",
    ),
    (
        "proto/src/seal/session.rs",
        "a session to its announcement and back",
    ),
    (
        "proto/src/verdict.rs",
        "the closed table to the wire's numbers and back",
    ),
];

/// Crates that are named in one place: name, whether a file is that place, rule.
type Kept = (&'static str, fn(&str) -> bool, &'static str);

const KEPT: &[Kept] = &[
    (
        "sqlx",
        |path| {
            path.starts_with("cloud/src/store/")
                || path.starts_with("cloud/src/") && path.ends_with("/sql.rs")
        },
        "`sqlx` is named only in cloud's store and sql.rs",
    ),
    (
        "ldap3",
        |path| path.starts_with("agent/src/directory/") || path == "harness/src/load/ldap.rs",
        "`ldap3` is named only in agent/src/directory, and by the bare client it is compared with",
    ),
    (
        "ldap3_proto",
        |path| {
            path.starts_with("directory-mock/src/wire/")
                || ["faults/rule.rs", "ldif/export.rs"]
                    .iter()
                    .any(|file| path.strip_prefix("directory-mock/src/") == Some(file))
        },
        "`ldap3_proto` is named only in directory-mock/src/wire, by the rule that says a code, and by the export of what a search finds",
    ),
    (
        "rustls",
        |path| path.starts_with("proto/kit/src/"),
        "`rustls` is named only in kit, which makes all configurations",
    ),
    (
        "hickory_resolver",
        |path| path == "proto/kit/src/dns.rs",
        "`hickory_resolver` is named only in kit's dns.rs, behind the seam",
    ),
    (
        "turmoil",
        |path| path.starts_with("harness/src/sim/"),
        "`turmoil` is named only in harness/src/sim: all else takes its seams",
    ),
];

/// Crates, and all whose names begin with one of them and `_`, that a core does not name.
const SHELL_CRATES: &[&str] = &["ldap3", "rand", "sqlx", "tokio", "tonic"];
const SHELL_WORDS: &[&str] = &["SystemTime", "async", "await"];
const SHELL_STD: &[&str] = &["env", "fs", "net", "process", "thread"];

/// What the product is about and `kit` is not.
const PRODUCT_WORDS: &[&str] = &[
    "agent",
    "cloud",
    "enrolment",
    "forest",
    "postern",
    "sign-in",
    "sign in",
    "sign_in",
    "signin",
    "signing in",
    "tenant",
    "verdict",
];

// The rules over the tree.

#[test]
fn crates_depend_one_way() {
    let manifests = Tree::read().manifests;
    assert_eq!(manifests.len(), CRATES.len(), "each crate has its row in CRATES");
    report(manifests.iter().flat_map(|(path, text)| dependencies(path, text)));
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let product = Tree::read().product();
    let mut breaches = Vec::new();
    for (root, order, beside) in [
        ("cloud/src/", CLOUD_ROOMS, CLOUD_BESIDE),
        ("agent/src/", AGENT_ROOMS, &[]),
    ] {
        for room in order.iter().chain(beside.iter().map(|(room, ..)| room)) {
            let mut modules = product.keys().map(|path| module(root, path));
            if !modules.any(|module| module.first() == Some(room)) {
                breaches.push(Breach::new(
                    root,
                    0,
                    format!("room `{room}` of the tables does not exist"),
                ));
            }
        }
        let exported = exports(&product[&format!("{root}lib.rs")]);
        for (path, code) in &product {
            breaches.extend(room_use(root, (order, beside), &exported, path, code));
        }
    }
    report(breaches);
}

#[test]
fn cores_are_pure() {
    report(over_product(is_core, purity));
}

#[test]
fn generated_types_stop_at_the_edges() {
    let mut breaches = over_product(|path| !may_name_wire(path), wire_use);
    let product = Tree::read().product();
    for (path, why) in WIRE_BESIDE_RPC {
        let mut there = product.iter().filter(|(at, _)| at.starts_with(path));
        if there.all(|(at, code)| wire_use(at, code).is_empty()) {
            breaches.push(Breach::new(
                path,
                0,
                format!("names no generated type any more ({why})"),
            ));
        }
    }
    report(breaches);
}

#[test]
fn drivers_stay_in_their_rooms() {
    report(over_product(|_| true, drivers));
}

#[test]
fn kit_has_no_product_word() {
    report(over_product(|path| path.starts_with("proto/kit/"), product_words));
}

#[test]
fn files_are_short() {
    let sources = Tree::read().sources;
    report(sources.iter().filter_map(|(path, text)| length(path, text)));
}

/// All manifests and sources with their paths from the workspace's root.
#[derive(Default)]
struct Tree {
    manifests: BTreeMap<String, String>,
    sources: BTreeMap<String, String>,
}

impl Tree {
    fn read() -> Self {
        let mut tree = Self::default();
        tree.walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "");
        tree
    }

    fn walk(&mut self, folder: &Path, short: &str) {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{short}: {error}"));
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    self.walk(&path, &format!("{short}{name}/"));
                }
                continue;
            }
            let files = match &*name {
                // The root's holds the tables, and fuzzers stand outside the workspace.
                "Cargo.toml" if !short.is_empty() && !short.ends_with("fuzz/") => &mut self.manifests,
                _ if name.ends_with(".rs") => &mut self.sources,
                _ => continue,
            };
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{short}{name}: {error}"));
            files.insert(format!("{short}{name}"), text);
        }
    }

    /// What is compiled into the parts: no tests, no benches, and no file that is a module of tests alone.
    fn product(&self) -> BTreeMap<String, Code> {
        let sources = self
            .sources
            .iter()
            .filter(|(path, _)| path.contains("/src/") && !path.starts_with("benches/"));
        let mut product: BTreeMap<_, _> = sources
            .map(|(path, text)| (path.clone(), Code::of(text)))
            .collect();
        let tests: Vec<_> = product
            .iter()
            .flat_map(|(path, code)| test_modules(path, code))
            .collect();
        product.retain(|path, _| !tests.iter().any(|test| is_in(test, path)));
        product
    }
}

/// What `check` finds in the files of the product that it `concerns`. There must be such files.
fn over_product(concerns: fn(&str) -> bool, check: fn(&str, &Code) -> Vec<Breach>) -> Vec<Breach> {
    let product = Tree::read().product();
    let files: Vec<_> = product.iter().filter(|(path, _)| concerns(path)).collect();
    assert!(!files.is_empty(), "the check concerns no file");
    files
        .into_iter()
        .flat_map(|(path, code)| check(path, code))
        .collect()
}

/// One place that breaks one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    path: String,
    /// From 1; 0 is the whole file.
    line: usize,
    rule: String,
}

impl Breach {
    fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule: rule.into(),
        }
    }
}

#[track_caller]
fn report(breaches: impl IntoIterator<Item = Breach>) {
    let lines = breaches
        .into_iter()
        .map(|Breach { path, line, rule }| format!("\n  {path}:{line}: {rule}"));
    let lines: Vec<_> = lines.collect();
    assert!(
        lines.is_empty(),
        "{} breaches of the house's rules:{}",
        lines.len(),
        lines.concat()
    );
}

// The checks.

/// Which way crates depend, and that versions, folders and features stand in the root's table.
fn dependencies(path: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let (mut name, mut section) = ("", "");
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']);
        }
        if section == "package" && line.starts_with("name = ") {
            name = line.trim_start_matches("name = ").trim_matches('"');
        }
        let header = line.starts_with('[') && section.ends_with("dependencies");
        if line.is_empty() || header || !section.contains("dependencies") {
            continue;
        }
        let row = CRATES.iter().find(|(of, ..)| *of == name);
        let (_, always, in_tests) = row.unwrap_or(&("", &[], &[]));
        let rule = match line.strip_suffix(".workspace = true") {
            None => "write `NAME.workspace = true`: the rest stands in the root's table".to_owned(),
            Some(other) if !other.starts_with("postern-") || always.contains(&other) => continue,
            Some(other) if section == "dev-dependencies" && in_tests.contains(&other) => continue,
            Some(other) => format!("`{name}` must not depend on `{other}` in [{section}]"),
        };
        breaches.push(Breach::new(path, at + 1, rule));
    }
    breaches
}

/// Rooms that a file may not use and names: by path, or by what `lib.rs` exports of them.
fn room_use(
    root: &str,
    (order, beside): (&[&str], &[Beside]),
    exported: &BTreeMap<String, String>,
    path: &str,
    code: &Code,
) -> Vec<Breach> {
    let module = module(root, path);
    let Some(own) = module.first() else {
        return Vec::new();
    };
    let place = |name: &str| order.iter().position(|room| *room == name);
    let aside = |name: &str| beside.iter().find(|(room, ..)| *room == name);
    if place(own).is_none() && aside(own).is_none() {
        return vec![Breach::new(
            path,
            0,
            format!("room `{own}` has no place in the tables"),
        )];
    }
    let mut breaches = Vec::new();
    for (at, name) in code
        .children("crate")
        .into_iter()
        .chain(code.children_of_root(module.len()))
    {
        let target = exported.get(name).map_or(name, String::as_str);
        if target == *own || place(target).is_none() && aside(target).is_none() {
            continue;
        }
        let rule = match (aside(own), aside(target)) {
            (Some((_, uses, _)), _) if !uses.contains(&target) => {
                format!("room `{own}` uses `{target}`; it may use only {uses:?}")
            }
            (None, Some((.., users))) if !users.contains(own) => {
                format!("room `{own}` uses `{target}`, which is only for {users:?}")
            }
            (None, None) if place(target) < place(own) => {
                format!("room `{own}` uses `{target}`, which stands above it")
            }
            _ => continue,
        };
        breaches.push(Breach::new(path, code.line(at), rule));
    }
    breaches
}

/// What a crate's `lib.rs` exports of its rooms, item to room.
fn exports(lib: &Code) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for tree in lib
        .code
        .split(';')
        .filter_map(|statement| statement.split_once("pub use "))
    {
        let mut names = idents(tree.1)
            .map(|(_, name)| name)
            .filter(|name| !["self", "crate"].contains(name));
        if let Some(room) = names.next() {
            exported.extend(names.map(|item| (item.to_owned(), room.to_owned())));
        }
    }
    exported
}

/// What a core names of the world outside: I/O, waiting, chance, clocks.
fn purity(path: &str, code: &Code) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut add = |at, rule| breaches.push(Breach::new(path, code.line(at), rule));
    for (at, name) in idents(&code.code) {
        let shell = SHELL_CRATES.iter().any(|shell| {
            name.strip_prefix(shell)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        let called = code.code[at + name.len()..].starts_with('(') && !code.code[..at].ends_with("fn ");
        if shell || SHELL_WORDS.contains(&name) {
            add(at, format!("a core names `{name}`"));
        } else if called && ["now", "monotonic"].contains(&name) {
            add(
                at,
                format!("a core reads a clock by `{name}()`: times come in as values"),
            );
        }
    }
    for (at, name) in code
        .children("std")
        .into_iter()
        .filter(|(_, name)| SHELL_STD.contains(name))
    {
        add(at, format!("a core names `std::{name}`"));
    }
    breaches
}

/// Generated messages and services.
fn wire_use(path: &str, code: &Code) -> Vec<Breach> {
    let mut named = code.children("postern_proto");
    if path.starts_with("proto/src/") {
        named.extend(code.children("crate"));
        named.extend(code.children_of_root(module("proto/src/", path).len()));
    }
    let rule = "generated types are named only in rpc.rs and what WIRE_BESIDE_RPC lists";
    let wire = named.into_iter().filter(|(_, name)| *name == "wire");
    wire.map(|(at, _)| Breach::new(path, code.line(at), rule))
        .collect()
}

/// Crates that have their one place elsewhere.
fn drivers(path: &str, code: &Code) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, name) in idents(&code.code) {
        let astray = KEPT
            .iter()
            .filter(|(kept, at_home, _)| *kept == name && !at_home(path));
        breaches.extend(astray.map(|(.., rule)| Breach::new(path, code.line(at), *rule)));
    }
    breaches
}

/// Words of the product, in comments and literals too.
fn product_words(path: &str, code: &Code) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, line) in code.whole.lines().enumerate() {
        let line = line.replace("postern_kit", "").replace("postern-kit", "");
        let words = PRODUCT_WORDS.iter().filter(|word| has_word(&line, word));
        breaches.extend(
            words.map(|word| Breach::new(path, at + 1, format!("kit has the product's word `{word}`"))),
        );
    }
    breaches
}

fn length(path: &str, text: &str) -> Option<Breach> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| Breach::new(path, lines, format!("{lines} lines, {LINES_MAX} at most")))
}

// Paths.

/// Modules that the file at `path` has for its tests alone, as paths without `.rs`.
fn test_modules(path: &str, code: &Code) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let within = match file.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => folder.to_owned(),
        name => format!("{folder}/{name}"),
    };
    code.test_modules
        .iter()
        .map(|name| format!("{within}/{name}"))
        .collect()
}

/// Whether the file at `path` belongs to the module whose path without `.rs` is `module`.
fn is_in(module: &str, path: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_core(path: &str) -> bool {
    path.contains("/src/") && (path.ends_with("/core.rs") || path.contains("/core/"))
}

/// The harness stands outside and speaks the wire as any caller does.
fn may_name_wire(path: &str) -> bool {
    let inside = ["cloud/src/", "agent/src/", "proto/src/"]
        .iter()
        .any(|root| path.starts_with(root));
    let listed = || WIRE_BESIDE_RPC.iter().any(|(at, _)| path.starts_with(at));
    !inside || path.ends_with("/rpc.rs") || path == "proto/src/wire.rs" || listed()
}

/// Module path of a file below `root`; empty for the crate's own root and for files elsewhere.
fn module<'a>(root: &str, path: &'a str) -> Vec<&'a str> {
    let inside = path
        .strip_prefix(root)
        .and_then(|inside| inside.strip_suffix(".rs"));
    let parts = inside.into_iter().flat_map(|inside| inside.split('/'));
    parts
        .filter(|part| !["mod", "lib", "main"].contains(part))
        .collect()
}

/// Whether `word` or its plural stands in `line`, in any case, also as a part of a name.
fn has_word(line: &str, word: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(word).any(|(at, _)| {
        let rest = &line[at + word.len()..];
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let named = line[at..].starts_with(char::is_uppercase) && line[..at].ends_with(char::is_lowercase);
        (named || !line[..at].ends_with(char::is_alphabetic)) && !rest.starts_with(char::is_lowercase)
    })
}
