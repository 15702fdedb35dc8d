//! Whatever a client sends, the directory answers or ends the connection, and goes on.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use postern_directory_mock::{Directory, Server, ServerOptions, User};
use postern_kit::Seams;
use tokio::runtime::{Builder, Runtime};

#[path = "../answers.rs"]
mod answers;

static SERVER: LazyLock<(Runtime, Server)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let directory = Directory::builder("corp.example.test", "CORP")
        .user(User::new("root", "right").administrator())
        .user(User::new("alice", "right").container("OU=Staff"))
        .group("staff", "OU=Staff", &["alice"])
        .build();
    let options = ServerOptions {
        ldap: None,
        ldaps: None,
        ..ServerOptions::default()
    };
    let server = runtime
        .block_on(Server::start(directory, options, &Seams::real()))
        .unwrap();
    (runtime, server)
});

fuzz_target!(|bytes: &[u8]| answers::check(&SERVER.1, bytes));
