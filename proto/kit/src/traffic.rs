//! What came to a listener and was not served: connections above a limit, noise, peers that say
//! nothing. Each is closed within a bound; here it is counted, for ever by reason and in few lines of log,
//! so that a flood can be seen and does not become a flood of lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Shortest time between two lines about the same listener.
pub(crate) const LOG_EVERY: Duration = Duration::from_secs(10);

/// Why a connection was closed on its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// There were too many.
    AboveLimit,
    /// There were too many without a client certificate.
    AnonymousAboveLimit,
    /// It did not get through the TLS handshake: noise, a wrong certificate, a port scan.
    NoHandshake,
    /// It took too long over the handshake.
    SlowHandshake,
    /// After the handshake it sent what is no request, or too much of one.
    Unreadable,
    /// After the handshake it asked for nothing.
    Silent,
    /// It did not end its request, or did not read the answer.
    Overdue,
    /// Its address had the most when another needed a place.
    MadeRoom,
}

const ALL: [Closed; 8] = [
    Closed::AboveLimit,
    Closed::AnonymousAboveLimit,
    Closed::NoHandshake,
    Closed::SlowHandshake,
    Closed::Unreadable,
    Closed::Silent,
    Closed::Overdue,
    Closed::MadeRoom,
];

/// What a listener has seen since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were accepted and not closed for being above a limit.
    pub accepted: u64,
    /// Closed because there were too many.
    pub above_limit: u64,
    /// Closed because there were too many without a client certificate.
    pub anonymous_above_limit: u64,
    /// Closed in the TLS handshake.
    pub no_handshake: u64,
    /// Closed because the handshake took too long.
    pub slow_handshake: u64,
    /// Closed for what they sent.
    pub unreadable: u64,
    /// Closed because they asked for nothing.
    pub silent: u64,
    /// Closed because a request took too long.
    pub overdue: u64,
    /// Closed to make room for another address.
    pub made_room: u64,
}

/// The traffic of one listener.
#[derive(Debug)]
pub struct Traffic {
    listener: &'static str,
    opened: AtomicU64,
    ended: AtomicU64,
    closed: [AtomicU64; ALL.len()],
    /// How many of them were logged.
    logged: [AtomicU64; ALL.len()],
    some: Notify,
}

impl Traffic {
    /// Of a listener that people call so.
    pub fn new(listener: &'static str) -> Self {
        Self {
            listener,
            opened: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            closed: Default::default(),
            logged: Default::default(),
            some: Notify::new(),
        }
    }

    /// What people call the listener.
    pub fn listener(&self) -> &'static str {
        self.listener
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        let of = |why: Closed| self.closed[why as usize].load(Ordering::Relaxed);
        // In this order, so that no connection has ended that was not opened.
        let ended = self.ended.load(Ordering::Relaxed);
        let accepted = self.opened.load(Ordering::Relaxed);
        Counts {
            open: accepted.saturating_sub(ended),
            accepted,
            above_limit: of(Closed::AboveLimit),
            anonymous_above_limit: of(Closed::AnonymousAboveLimit),
            no_handshake: of(Closed::NoHandshake),
            slow_handshake: of(Closed::SlowHandshake),
            unreadable: of(Closed::Unreadable),
            silent: of(Closed::Silent),
            overdue: of(Closed::Overdue),
            made_room: of(Closed::MadeRoom),
        }
    }

    /// Counts a connection that is closed on its peer.
    pub fn closed(&self, why: Closed) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
        self.some.notify_one();
    }

    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs what was closed since the last line, if anything was.
    pub(crate) fn log(&self) {
        let since = ALL.map(|why| {
            let now = self.closed[why as usize].load(Ordering::Relaxed);
            now - self.logged[why as usize].swap(now, Ordering::Relaxed)
        });
        let [
            above_limit,
            anonymous_above_limit,
            no_handshake,
            slow_handshake,
            unreadable,
            silent,
            overdue,
            made_room,
        ] = since;
        let listener = self.listener;
        if above_limit + anonymous_above_limit + made_room > 0 {
            tracing::warn!(
                listener,
                above_limit,
                anonymous_above_limit,
                no_handshake,
                slow_handshake,
                unreadable,
                silent,
                overdue,
                made_room,
                "closed connections, some because there were too many"
            );
        } else if since.iter().sum::<u64>() > 0 {
            tracing::info!(
                listener,
                no_handshake,
                slow_handshake,
                unreadable,
                silent,
                overdue,
                "closed connections"
            );
        }
    }

    /// Logs as it comes, the first at once, then at most a line every 10 s.
    ///
    /// # Cancellation
    /// Safe to drop; what is not logged then is logged by nobody.
    pub(crate) async fn report(&self) {
        loop {
            self.some.notified().await;
            self.log();
            tokio::time::sleep(LOG_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn number(line: &str, field: &str) -> u64 {
        let (_, rest) = line.split_once(&format!(" {field}=")).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_makes_a_line_every_ten_seconds_with_its_number() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let _log = tracing::subscriber::set_default(subscriber);

        let traffic = Traffic::new("front door");
        let flood = async {
            for _ in 0..1000 {
                traffic.closed(Closed::AboveLimit);
                traffic.closed(Closed::NoHandshake);
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            // Nothing more comes, and the rest is logged all the same.
            tokio::time::sleep(LOG_EVERY * 2).await;
        };
        tokio::select! {
            () = traffic.report() => {}
            () = flood => {}
        }
        let lines = lines.take();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("listener=\"front door\"")));
        for field in ["above_limit", "no_handshake"] {
            let closed: Vec<_> = lines.iter().map(|line| number(line, field)).collect();
            assert_eq!(closed[0], 1);
            assert_eq!(closed.iter().sum::<u64>(), 1000);
        }
        assert_eq!(traffic.counts().above_limit, 1000);
    }
}
