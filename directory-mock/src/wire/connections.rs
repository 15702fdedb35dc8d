//! Which connections a controller has, and how tests cut them.

use std::sync::Arc;

use tokio::sync::watch;

/// How many connections there are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Open now.
    pub open: u64,
    /// Opened since the start, on the plain port; StartTLS may have come later.
    pub opened_plain: u64,
    /// Opened since the start, on the TLS port.
    pub opened_tls: u64,
    /// StartTLS operations that succeeded.
    pub start_tls: u64,
    /// Closed at once, because there were too many.
    pub above_limit: u64,
    /// Closed because the TLS handshake failed or took too long.
    pub no_handshake: u64,
    /// Closed for what they sent: no LDAP, or a request that is too large.
    pub unreadable: u64,
}

impl ConnectionCounts {
    /// Opened since the start.
    pub fn opened(&self) -> u64 {
        self.opened_plain + self.opened_tls
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// Only those that wait for a request.
    #[default]
    Idle,
    /// Those with a bind in flight as well.
    All,
}

/// An order to close.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cut {
    pub(super) reach: Reach,
    pub(super) notice: bool,
}

/// The connections of one controller. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Connections {
    counts: Arc<watch::Sender<ConnectionCounts>>,
    cut: Arc<watch::Sender<Cut>>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            counts: Arc::new(watch::Sender::default()),
            cut: Arc::new(watch::Sender::default()),
        }
    }
}

impl Connections {
    /// The counts now.
    pub fn counts(&self) -> ConnectionCounts {
        *self.counts.borrow()
    }

    /// The counts as they change.
    pub fn watch(&self) -> watch::Receiver<ConnectionCounts> {
        self.counts.subscribe()
    }

    /// Waits until `reached` holds.
    ///
    /// # Cancellation
    /// Safe to drop; tests put a time-out around it.
    pub async fn wait_until(&self, reached: impl Fn(&ConnectionCounts) -> bool) {
        // The sender lives as long as this handle.
        let _ = self.watch().wait_for(|counts| reached(counts)).await;
    }

    /// Closes the connections that wait for a request, with a notice of disconnection, as the idle
    /// limit does.
    pub fn drop_idle(&self) {
        self.cut.send_replace(Cut {
            reach: Reach::Idle,
            notice: true,
        });
    }

    /// Closes all connections, also in the middle of a bind; with a notice of disconnection or
    /// without a word.
    pub fn disconnect_all(&self, with_notice: bool) {
        self.cut.send_replace(Cut {
            reach: Reach::All,
            notice: with_notice,
        });
    }

    /// A connection, unless `most` are open.
    pub(super) fn open(&self, encrypted: bool, most: u64) -> Option<Open> {
        let mut number = None;
        self.counts.send_modify(|counts| {
            if counts.open >= most {
                counts.above_limit += 1;
                return;
            }
            counts.open += 1;
            if encrypted {
                counts.opened_tls += 1;
            } else {
                counts.opened_plain += 1;
            }
            number = Some(counts.opened());
        });
        Some(Open {
            number: number?,
            encrypted,
            cut: self.cut.subscribe(),
            connections: self.clone(),
        })
    }
}

/// One open connection; counted until dropped.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) encrypted: bool,
    pub(super) cut: watch::Receiver<Cut>,
    connections: Connections,
}

impl Open {
    pub(super) fn started_tls(&mut self) {
        self.encrypted = true;
        self.connections
            .counts
            .send_modify(|counts| counts.start_tls += 1);
    }

    pub(super) fn no_handshake(&self) {
        self.connections
            .counts
            .send_modify(|counts| counts.no_handshake += 1);
    }

    pub(super) fn unreadable(&self) {
        self.connections
            .counts
            .send_modify(|counts| counts.unreadable += 1);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.counts.send_modify(|counts| counts.open -= 1);
    }
}
