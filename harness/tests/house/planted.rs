//! A breach of every rule, planted and found; and beside it what looks like one and is none.

use std::collections::BTreeMap;

use super::*;

/// Lines on which `check` finds something in `text` at `path`.
#[track_caller]
fn finds(check: fn(&str, &Code) -> Vec<Breach>, path: &str, text: &str, lines: &[usize]) {
    let found = check(path, &Code::of(text));
    assert!(
        found
            .iter()
            .all(|breach| breach.path == path && !breach.rule.is_empty())
    );
    let found: Vec<_> = found.iter().map(|breach| breach.line).collect();
    assert_eq!(found, lines, "{path}: {text}");
}

/// The same for a manifest of the crate `name`, whose dependencies begin on its third line.
#[track_caller]
fn manifest_finds(name: &str, dependencies: &str, lines: &[usize]) {
    let text = format!("[package]\nname = \"{name}\"\n{dependencies}");
    let found: Vec<_> = super::dependencies("Cargo.toml", &text)
        .iter()
        .map(|breach| breach.line)
        .collect();
    assert_eq!(found, lines, "{text}");
}

#[test]
fn crates() {
    let both = "[dependencies]\npostern-kit.workspace = true\npostern-proto.workspace = true";
    manifest_finds("postern-cloud", both, &[]);
    manifest_finds("postern-directory-mock", both, &[5]);
    manifest_finds("postern-proto", both, &[5]);
    manifest_finds("postern-kit", both, &[4, 5]);
    manifest_finds("postern-stranger", both, &[4, 5]);
    manifest_finds(
        "postern-cloud",
        "[dependencies]\npostern-agent.workspace = true",
        &[4],
    );
    manifest_finds(
        "postern-agent",
        "[dependencies]\npostern-cloud.workspace = true",
        &[4],
    );
    manifest_finds(
        "postern-cloud",
        "[build-dependencies]\npostern-harness.workspace = true # why",
        &[4],
    );
    manifest_finds(
        "postern-harness",
        "[target.'cfg(unix)'.dependencies]\npostern-benches.workspace = true",
        &[4],
    );
    manifest_finds(
        "postern-benches",
        "[dev-dependencies]\npostern-harness.workspace = true",
        &[],
    );
}

#[test]
fn the_agent_has_the_fake_in_its_tests_alone() {
    let fake = "postern-directory-mock.workspace = true";
    manifest_finds("postern-agent", &format!("[dev-dependencies]\n{fake}"), &[]);
    manifest_finds("postern-agent", &format!("[dependencies]\n{fake}"), &[4]);
    manifest_finds("postern-cloud", &format!("[dev-dependencies]\n{fake}"), &[4]);
}

#[test]
fn versions_outside_the_root() {
    manifest_finds(
        "postern-kit",
        "[lints]\nworkspace = true\n\n[dependencies]\nhex.workspace = true",
        &[],
    );
    manifest_finds("postern-kit", "[dependencies]\nhex = \"0.4\"", &[4]);
    manifest_finds(
        "postern-kit",
        "[dependencies]\nhex = { workspace = true, features = [\"std\"] }",
        &[4],
    );
    manifest_finds(
        "postern-kit",
        "[dependencies]\ncloud = { path = \"../../cloud\" }",
        &[4],
    );
    manifest_finds(
        "postern-kit",
        "[dependencies.cloud]\npath = \"../../cloud\"",
        &[3, 4],
    );
}

const ORDER: &[&str] = &["top", "middle", "bottom"];
const BESIDE: &[Beside] = &[("table", &["bottom"], &["top"])];

/// Rules that a file of a crate with [`ORDER`] breaks.
fn rooms(path: &str, text: &str) -> Vec<String> {
    let lib = Code::of("pub mod top;\npub use top::{Thing, thing};\npub use self::bottom::Stone;");
    let found = room_use("x/src/", (ORDER, BESIDE), &exports(&lib), path, &Code::of(text));
    found
        .into_iter()
        .map(|breach| format!("{}: {}", breach.line, breach.rule))
        .collect()
}

#[test]
fn rooms_above() {
    let above = |line: usize| vec![format!("{line}: room `middle` uses `top`, which stands above it")];
    for text in [
        "use crate::top;",
        "use crate::top::Thing;",
        "use crate::{bottom, top::Thing};",
        "use crate::Thing;",
        "fn f() { crate::thing() }",
        "use super::top;",
        "use super::{bottom, top};",
        "use crate::{\n    bottom::x,\n    top,\n};",
    ] {
        assert_eq!(
            rooms("x/src/middle/mod.rs", text),
            above(text.matches('\n').count().max(1)),
            "{text}"
        );
    }
    assert_eq!(rooms("x/src/middle.rs", "use crate::top;"), above(1));
    assert_eq!(rooms("x/src/middle/rpc.rs", "\nuse super::super::top;"), above(2));
    assert_eq!(
        rooms("x/src/middle/core/deep.rs", "use super::super::super::top;"),
        above(1)
    );
}

#[test]
fn rooms_below_and_what_only_looks_like_a_room() {
    for text in [
        "use crate::bottom; use crate::Stone;",
        "use crate::middle::{self, top};",
        "use super::top;",
        "use other::top; use top::x;",
        "/// See [`crate::top`].\nfn f() { \"crate::top\"; }",
        "#[cfg(test)]\nmod tests { use crate::top; }",
        "use crate::VERSION;",
    ] {
        assert_eq!(rooms("x/src/middle/rpc.rs", text), [""; 0], "{text}");
    }
    assert_eq!(rooms("x/src/lib.rs", "use crate::top;"), [""; 0]);
    assert_eq!(rooms("x/src/main.rs", "use crate::top;"), [""; 0]);
}

#[test]
fn rooms_beside_the_order() {
    assert_eq!(rooms("x/src/top.rs", "use crate::table;"), [""; 0]);
    assert_eq!(rooms("x/src/table.rs", "use crate::bottom;"), [""; 0]);
    let found = rooms("x/src/bottom/mod.rs", "use crate::table;");
    assert_eq!(
        found,
        ["1: room `bottom` uses `table`, which is only for [\"top\"]"]
    );
    let found = rooms("x/src/table.rs", "use crate::middle;");
    assert_eq!(
        found,
        ["1: room `table` uses `middle`; it may use only [\"bottom\"]"]
    );
    assert_eq!(
        rooms("x/src/new/mod.rs", ""),
        ["0: room `new` has no place in the tables"]
    );
}

#[test]
fn cores() {
    let core = "cloud/src/dispatch/core.rs";
    for text in [
        "use tokio::sync::mpsc;",
        "use tokio_util::sync::CancellationToken;",
        "fn f() -> tonic::Status {}",
        "use std::fs;",
        "use std::{collections::BTreeMap, net::IpAddr};",
        "fn f() { ::std::fs::read(x) }",
        "use sqlx::Row;",
        "fn f() { rand::random() }",
        "fn f() { Instant::now() }",
        "fn f() { self.clock.now() }",
        "fn f() { SystemTime::UNIX_EPOCH }",
        "fn f() { clock::monotonic() }",
        "async fn f() {}",
    ] {
        finds(purity, core, text, &[1]);
    }
    let pure = "use std::time::Instant;\nfn on(now: Instant, random: &dyn Random) { now + random.step(now) }";
    finds(purity, core, pure, &[]);
    finds(
        purity,
        core,
        "fn now(&self) -> Instant {}\n// Instant::now()\n#[cfg(test)]\nuse tokio::time;",
        &[],
    );
    assert!(
        is_core(core)
            && is_core("agent/src/channel/core/sessions.rs")
            && !is_core("cloud/src/dispatch/task.rs")
    );
}

#[test]
fn generated_types() {
    let cloud = "cloud/src/dispatch/core.rs";
    finds(wire_use, cloud, "\nuse postern_proto::wire::channel::Ping;", &[2]);
    finds(
        wire_use,
        cloud,
        "use postern_proto::{ids::AgentId, wire::channel};",
        &[1],
    );
    finds(
        wire_use,
        cloud,
        "fn f() -> postern_proto::wire::channel::Ping {}",
        &[1],
    );
    finds(
        wire_use,
        cloud,
        "use postern_proto::ids::AgentId; use crate::wire; // postern_proto::wire",
        &[],
    );
    finds(
        wire_use,
        "proto/src/ids.rs",
        "use crate::wire::channel; use super::wire;",
        &[1, 1],
    );
    finds(
        wire_use,
        "proto/src/seal/key.rs",
        "use super::super::wire; use super::wire;",
        &[1],
    );
    assert!(!may_name_wire(cloud) && !may_name_wire("agent/src/x.rs") && !may_name_wire("proto/src/ids.rs"));
    assert!(may_name_wire("cloud/src/dispatch/rpc.rs") && may_name_wire("harness/src/client.rs"));
}

#[test]
fn kept_crates() {
    for (text, home, elsewhere) in [
        (
            "use sqlx::Row;",
            "cloud/src/trust/sql.rs",
            "cloud/src/trust/mod.rs",
        ),
        (
            "use sqlx::Row;",
            "cloud/src/store/writer.rs",
            "agent/src/trust/sql.rs",
        ),
        (
            "#[derive(sqlx::FromRow)]",
            "cloud/src/store/row.rs",
            "harness/src/lab/store.rs",
        ),
        (
            "use ldap3::Ldap;",
            "agent/src/directory/link.rs",
            "agent/src/forests/mod.rs",
        ),
        (
            "use ldap3_proto::LdapCodec;",
            "directory-mock/src/wire/mod.rs",
            "directory-mock/src/model/mod.rs",
        ),
        (
            "fn f() -> rustls::Error {}",
            "proto/kit/src/tls.rs",
            "directory-mock/src/server.rs",
        ),
        (
            "fn f() { turmoil::lookup(\"cloud\"); }",
            "harness/src/sim/net.rs",
            "harness/src/stories/flow.rs",
        ),
    ] {
        finds(drivers, home, text, &[]);
        finds(drivers, elsewhere, text, &[1]);
    }
    finds(
        drivers,
        "cloud/src/trust/mod.rs",
        "use tokio_rustls::x; use rustls_pki_types::y; // rustls::z",
        &[],
    );
}

#[test]
fn words_of_the_product() {
    let kit = "proto/kit/src/lib.rs";
    for text in [
        "// for the tenant",
        "//! Tenants",
        "struct AgentId;",
        "fn f(last_agent: u8) {}",
        "static A: &str = \"MyAgent\";",
        "/* a sign-in's deadline */",
        "fn sign_in() {}",
        "// has nothing to do with signing in",
        "use postern_cloud_x;",
        "const VERDICTS: u8 = 1;",
    ] {
        finds(
            product_words,
            kit,
            &format!("\n{text}"),
            &vec![2; if text.contains("postern_cloud") { 2 } else { 1 }],
        );
    }
    finds(
        product_words,
        kit,
        "use postern_kit::keys; // postern-kit: signing input, reagent, agency",
        &[],
    );
    finds(
        product_words,
        kit,
        "#[cfg(test)]\nmod tests { /* tenant */ }",
        &[],
    );
}

#[test]
fn files_of_tests_are_known_by_their_declaration() {
    let tests = |path| {
        test_modules(
            path,
            &Code::of("mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nmod c { mod d; }"),
        )
    };
    assert_eq!(tests("x/src/lib.rs"), ["x/src/b"]);
    assert_eq!(tests("x/src/room/mod.rs"), ["x/src/room/b"]);
    assert_eq!(tests("x/src/room/core.rs"), ["x/src/room/core/b"]);
    assert!(
        is_in("x/src/b", "x/src/b.rs")
            && is_in("x/src/b", "x/src/b/deep.rs")
            && !is_in("x/src/b", "x/src/bc.rs")
    );

    let sources = [
        ("x/src/lib.rs", "#[cfg(test)]\nmod b;"),
        ("x/src/b.rs", ""),
        ("x/src/room/tests.rs", ""),
        ("x/tests/it.rs", ""),
        ("x/build.rs", ""),
        ("benches/src/lib.rs", ""),
    ];
    let sources = sources
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
    let product = Tree {
        sources,
        ..Tree::default()
    }
    .product();
    assert_eq!(
        product.keys().collect::<Vec<_>>(),
        ["x/src/lib.rs", "x/src/room/tests.rs"]
    );
}

#[test]
fn long_files() {
    assert_eq!(length("a.rs", &"x\n".repeat(LINES_MAX)), None);
    assert!(length("a.rs", &"x\n".repeat(LINES_MAX + 1)).is_some());
}

#[test]
#[should_panic(expected = "1 breaches of the house's rules:\n  a.rs:7: no")]
fn a_breach_fails_the_test() {
    report([Breach::new("a.rs", 7, "no")]);
}

#[test]
fn exports_are_known_by_room() {
    let lib = Code::of("pub use channel::Attached; pub mod x;\npub use trust::{\n    Error,\n    enrol,\n};");
    let room = |(item, room): (&str, &str)| (item.to_owned(), room.to_owned());
    let expected = [("Attached", "channel"), ("Error", "trust"), ("enrol", "trust")].map(room);
    assert_eq!(exports(&lib), BTreeMap::from(expected));
}
