//! Crowds of mutated messages: the directory outlives them and goes on answering.
//!
//! The originals are the fuzzer's corpus, which is replayed here as well. Each run prints its seed first.

use std::path::{Path, PathBuf};

use postern_directory_mock::{Directory, Flavour, Loopback, Server, ServerOptions, User};
use postern_kit::Seams;
use postern_kit::random::{Random, SeededRandom, below};

use crate::client::{bind, ldaps};
use crate::raw;

const WATCHED: &str = "watched@corp.example.test";

#[path = "../../fuzz/answers.rs"]
mod answers;

fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/wire");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the corpus is there");
    files
}

async fn server(flavour: Flavour) -> Server {
    let directory = Directory::builder("corp.example.test", "CORP")
        .lockout(0, std::time::Duration::ZERO, std::time::Duration::ZERO)
        .user(User::new("root", "right").administrator())
        .user(User::new("alice", "right").container("OU=Staff"))
        .user(User::new("bob", "right").container("OU=Staff"))
        // Nobody in the corpus knows the name.
        .user(User::new("watched", "Watched-Passw0rd"))
        .group("staff", "OU=Staff", &["alice", "bob"])
        .build();
    let options = ServerOptions {
        flavour,
        ..ServerOptions::default()
    };
    Server::start(directory, options, &Seams::real()).await.unwrap()
}

#[tokio::test]
async fn the_corpus_is_answered() {
    for flavour in [Flavour::Samba, Flavour::Windows] {
        let server = server(flavour).await;
        for (path, bytes) in corpus() {
            answers::check(&server, &bytes);
            let valid = !path.to_string_lossy().contains("broken");
            let before = server.connections().counts().unreadable;
            server.loopback().unwrap().send(&bytes);
            let after = server.connections().counts().unreadable;
            assert_eq!(after == before, valid, "{path:?}");
        }
    }
}

#[tokio::test]
async fn mutated_messages_leave_the_directory_answering() {
    for (seed, flavour) in [(1, Flavour::Samba), (2, Flavour::Windows)] {
        crowd(seed, 20_000, flavour).await;
    }
}

#[tokio::test]
#[ignore = "half a minute on two cores; run by hand with `-- --ignored a_million`"]
async fn a_million_mutated_messages_leave_the_directory_answering() {
    for (seed, flavour) in [(11, Flavour::Samba), (12, Flavour::Windows)] {
        crowd(seed, 500_000, flavour).await;
    }
}

async fn crowd(seed: u64, count: u64, flavour: Flavour) {
    println!("seed {seed}, {count} messages, {flavour:?}");
    let (server, random) = (server(flavour).await, SeededRandom::new(seed));
    let originals: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes)| bytes).collect();
    let (mut answered, mut opened) = (0_u64, 0_u64);
    let mut loopback: Option<Loopback> = None;
    for _ in 0..count {
        let open = loopback.take().filter(Loopback::is_open);
        let mut here = match open {
            // A message that waits for its end would swallow those that follow.
            Some(open) if below(&random, 8) > 0 => open,
            _ => {
                opened += 1;
                server.loopback().expect("closed connections do not count")
            }
        };
        let message = mutated(&random, &originals);
        answered += u64::from(!here.send(&message).is_empty());
        loopback = Some(here);
    }
    println!("{answered} answered on {opened} connections");
    assert!(
        answered > count / 20 && answered < count,
        "some are read and some are not: {answered}"
    );
    drop(loopback);
    assert_eq!(server.connections().counts().open, 0);
    let mut ldap = ldaps(&server).await;
    assert_eq!(bind(&mut ldap, WATCHED, "Watched-Passw0rd").await, (0, None));
    server.stop().await;
}

#[tokio::test]
async fn mutated_messages_on_the_wire_harm_no_other_connection() {
    let (server, random) = (server(Flavour::Windows).await, SeededRandom::new(5));
    let originals: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes)| bytes).collect();
    let mut ldap = ldaps(&server).await;
    for round in 0..20 {
        let strangers = (0..10).map(|_| mutated(&random, &originals));
        let strangers: Vec<Vec<u8>> = strangers.collect();
        let addr = server.ldap_addr().unwrap();
        futures::future::join_all(strangers.iter().map(|stranger| raw::bytes(addr, stranger))).await;
        let answer = bind(&mut ldap, WATCHED, "Watched-Passw0rd").await;
        assert_eq!(answer, (0, None), "round {round}");
    }
}

/// One of the originals with a few changes.
fn mutated(random: &dyn Random, originals: &[Vec<u8>]) -> Vec<u8> {
    let place = |length: usize| usize::try_from(below(random, length.max(1) as u64)).unwrap();
    let mut bytes = originals[place(originals.len())].clone();
    for _ in 0..=below(random, 3) {
        if bytes.is_empty() {
            break;
        }
        let (at, other) = (place(bytes.len()), place(bytes.len()));
        let (from, to) = (at.min(other), at.max(other));
        let byte = u8::try_from(below(random, 256)).unwrap();
        match below(random, 8) {
            0 => bytes[at] ^= 1 << (byte % 8),
            1 => bytes[at] = byte,
            // Lengths and tags that mean something.
            2 => bytes[at] = [0x00, 0x7f, 0x80, 0x81, 0x84, 0xff, 0x30, 0xa0][usize::from(byte % 8)],
            3 => bytes.insert(at, byte),
            4 => drop(bytes.drain(from..to)),
            5 => bytes.truncate(at),
            6 => {
                let part = bytes[from..to].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let donor = &originals[place(originals.len())];
                let part = donor[place(donor.len())..].to_vec();
                bytes.splice(at.., part);
            }
        }
    }
    bytes
}
