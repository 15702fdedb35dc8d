//! Real processes of the program `postern`, which live in a folder of their own and die with the test.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use postern_harness::lab::processes::Launch;
pub(crate) use postern_harness::lab::processes::{Ended, Program, lines, logged};
use tempfile::TempDir;

/// The program, as it was built for these tests.
pub(crate) const POSTERN: &str = env!("CARGO_BIN_EXE_postern");

/// A folder in which programs run.
pub(crate) struct Site {
    folder: TempDir,
    started: AtomicUsize,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            started: AtomicUsize::new(0),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Names of what lies in the folder, but for the programs' own output.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.ends_with(".output")).collect();
        names.sort();
        names
    }

    /// Starts `postern WORDS` in the folder.
    pub(crate) fn start(&self, words: &str) -> Program {
        self.start_with(words, &[])
    }

    pub(crate) fn start_with(&self, words: &str, environment: &[(&str, &str)]) -> Program {
        self.spawn(words, environment, false)
    }

    /// The same with a standard error that nobody reads any more, as when a terminal is closed.
    pub(crate) fn start_unread(&self, words: &str) -> Program {
        self.spawn(words, &[], true)
    }

    fn spawn(&self, words: &str, environment: &[(&str, &str)], unread: bool) -> Program {
        let number = self.started.fetch_add(1, SeqCst);
        let launch = Launch {
            program: Path::new(POSTERN),
            folder: self.folder.path(),
            name: &format!("{number}-postern"),
            args: &words.split_whitespace().collect::<Vec<_>>(),
            environment,
            unread,
        };
        Program::start(launch).unwrap()
    }

    /// Runs `postern WORDS` to its end.
    pub(crate) async fn run(&self, words: &str) -> Ended {
        self.start(words).ended().await.unwrap()
    }

    /// The same, which must go well: what it says.
    pub(crate) async fn must(&self, words: &str) -> String {
        let ended = self.run(words).await;
        assert_eq!(ended.code, Some(0), "{words}: {}", ended.stderr);
        ended.stdout
    }
}

/// A TCP or UDP socket of a process.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) local: SocketAddr,
    /// Takes connections, or datagrams from anybody.
    pub(crate) listens: bool,
}

/// All of a process's internet sockets, and how many Unix sockets of it take connections. `None`
/// where this user may not look into a process that forbids it.
pub(crate) fn sockets(pid: u32) -> Option<(Vec<Socket>, usize)> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let open = fs::read_dir(process.join("fd")).ok()?;
    let open: Vec<_> = open
        .filter_map(|entry| {
            fs::read_link(entry.ok()?.path())
                .ok()?
                .into_os_string()
                .into_string()
                .ok()
        })
        .collect();
    let is_own = |inode: &str| open.contains(&format!("socket:[{inode}]"));
    let rows = |table: &str| {
        let text = fs::read_to_string(process.join("net").join(table)).unwrap();
        let rows = text
            .lines()
            .skip(1)
            .map(|row| row.split_whitespace().map(str::to_owned).collect());
        rows.collect::<Vec<Vec<String>>>()
    };
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let own = rows(table).into_iter().filter(|row| is_own(&row[9]));
        found.extend(own.map(|row| Socket {
            local: address(&row[1]),
            // 0A is LISTEN; an unconnected UDP socket has 07.
            listens: row[3] == "0A" || row[3] == "07",
        }));
    }
    // Flag __SO_ACCEPTCON.
    let accepting = rows("unix")
        .into_iter()
        .filter(|row| is_own(&row[6]) && row[3] == "00010000");
    Some((found, accepting.count()))
}

/// As `/proc/net` writes them: each group of four bytes in this machine's order.
fn address(text: &str) -> SocketAddr {
    let (host, port) = text.split_once(':').unwrap();
    let bytes: Vec<u8> = host
        .as_bytes()
        .chunks(8)
        .flat_map(|word| {
            u32::from_str_radix(std::str::from_utf8(word).unwrap(), 16)
                .unwrap()
                .to_ne_bytes()
        })
        .collect();
    let port = u16::from_str_radix(port, 16).unwrap();
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => (Ipv4Addr::from(four), port).into(),
        Err(_) => (
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_canonical(),
            port,
        )
            .into(),
    }
}
