//! The trace of a run: everything that happened on its network and at its ends, folded into one
//! digest. Two runs with the same digest did the same.
//!
//! Of what crosses a connection it has time, ends, direction and length; not the bytes, because the
//! randomness of TLS cannot be seeded.

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_kit::digest::sha256;

use super::time::VirtualTime;
use super::watch::Watch;

/// Bytes that are folded into the digest at once.
const FOLD_BYTES: usize = 1 << 16;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening<'a> {
    /// Bytes were written to a connection.
    Sent(usize),
    /// Bytes were read from a connection.
    Received(usize),
    /// A connection was opened from here.
    Connected,
    /// A connection could not be opened from here.
    NotConnected,
    /// A connection was accepted here.
    Accepted,
    /// This end of a connection was closed.
    Closed,
    /// Something that is not about bytes.
    Event(&'a str),
}

struct Inner {
    digest: [u8; 32],
    pending: Vec<u8>,
    happenings: u64,
    /// Every happening as a line, for the comparison of two runs that differ.
    lines: Option<std::io::BufWriter<std::fs::File>>,
}

/// The trace. Clones share it.
#[derive(Clone)]
pub(super) struct Trace {
    time: VirtualTime,
    /// Looks into what is sent.
    watch: Option<Watch>,
    inner: Arc<Mutex<Inner>>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("happenings", &self.lock().happenings)
            .finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty one; it also writes every happening as a line to `lines`, if given.
    pub(super) fn new(time: VirtualTime, lines: Option<std::fs::File>, watch: Option<Watch>) -> Self {
        let inner = Inner {
            digest: [0; 32],
            pending: Vec::with_capacity(FOLD_BYTES + 256),
            happenings: 0,
            lines: lines.map(std::io::BufWriter::new),
        };
        Self {
            time,
            watch,
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// These bytes were sent from `host`.
    pub(super) fn sent(&self, host: &str, link: &str, bytes: &[u8]) {
        self.add(host, link, Happening::Sent(bytes.len()));
        if let Some(watch) = &self.watch {
            watch.look(&format!("what {host} sends"), bytes);
        }
    }

    /// Something happened at `host`, on the connection that `link` names, if it was on one.
    pub(super) fn add(&self, host: &str, link: &str, happening: Happening<'_>) {
        self.add_at(self.time.now(), host, link, happening);
    }

    fn add_at(&self, at: Duration, host: &str, link: &str, happening: Happening<'_>) {
        let mut inner = self.lock();
        inner.happenings += 1;
        let (kind, length, text) = match happening {
            Happening::Sent(length) => (0_u8, length, ""),
            Happening::Received(length) => (1, length, ""),
            Happening::Connected => (2, 0, ""),
            Happening::NotConnected => (3, 0, ""),
            Happening::Accepted => (4, 0, ""),
            Happening::Closed => (5, 0, ""),
            Happening::Event(text) => (6, 0, text),
        };
        let pending = &mut inner.pending;
        pending.extend_from_slice(&at.as_nanos().to_be_bytes());
        pending.push(kind);
        pending.extend_from_slice(&length.to_be_bytes());
        for part in [host, link, text] {
            pending.extend_from_slice(&part.len().to_be_bytes());
            pending.extend_from_slice(part.as_bytes());
        }
        if inner.pending.len() >= FOLD_BYTES {
            inner.fold();
        }
        if let Some(lines) = &mut inner.lines {
            // A full disk spoils the comparison, not the run.
            let _ = writeln!(lines, "{:>14} {host} {link} {happening:?}", at.as_micros());
        }
    }

    /// The digest up to here, in hexadecimal, and how many happenings are in it.
    pub(super) fn digest(&self) -> (String, u64) {
        let mut inner = self.lock();
        inner.fold();
        if let Some(lines) = &mut inner.lines {
            let _ = lines.flush();
        }
        (hex::encode(inner.digest), inner.happenings)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn fold(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.pending.extend_from_slice(&self.digest);
        self.digest = sha256(&self.pending);
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(happenings: &[(u64, &str, Happening<'_>)]) -> String {
        let trace = Trace::new(VirtualTime::default(), None, None);
        for (ms, host, happening) in happenings {
            trace.add_at(Duration::from_millis(*ms), host, "link", *happening);
        }
        trace.digest().0
    }

    #[test]
    fn each_part_of_a_happening_counts() {
        let one = digest(&[(1, "cloud", Happening::Sent(5))]);
        assert_eq!(one, digest(&[(1, "cloud", Happening::Sent(5))]));
        for other in [
            digest(&[]),
            digest(&[(2, "cloud", Happening::Sent(5))]),
            digest(&[(1, "agent1", Happening::Sent(5))]),
            digest(&[(1, "cloud", Happening::Sent(6))]),
            digest(&[(1, "cloud", Happening::Received(5))]),
            digest(&[(1, "cloud", Happening::Event("x"))]),
        ] {
            assert_ne!(one, other);
        }
    }
}
