//! A link that fails on demand: a relay between two parts that passes bytes on, at once or after a time, swallows
//! them without a word as a dead cable does, or cuts its connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postern_kit::Seams;
use postern_kit::clock::{monotonic, sleep_until};
use postern_kit::net::{BoxedIo, Net};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Bytes that one read takes: a TLS record.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks on the way in one direction: a megabyte, as much as a window of TCP's own. Whoever sends more waits.
const CHUNKS_MAX: usize = 64;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Passes everything on.
    Passes,
    /// Passes nothing on; connections stay open, and new ones are accepted. When it passes again, what was swallowed
    /// arrives after all, since TCP sends it again.
    Swallows,
    /// Passes nothing on and forgets: a connection in which something was sent meanwhile is silent for good, until one
    /// of its ends gives it up, as behind a firewall that forgot it.
    Forgets,
    /// Has no connection, and closes each new one.
    Cut,
}

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connects to the target.
    There,
    /// From the target back.
    Back,
}

/// What a link does now.
#[derive(Clone, Copy, Debug)]
struct Now {
    there: LinkState,
    back: LinkState,
    delay: Duration,
}

impl Now {
    fn of(&self, way: Way) -> LinkState {
        match way {
            Way::There => self.there,
            Way::Back => self.back,
        }
    }

    fn is_cut(&self) -> bool {
        [self.there, self.back].contains(&LinkState::Cut)
    }
}

/// A running link.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    now: watch::Sender<Now>,
    stop: CancellationToken,
}

impl Link {
    /// Listens on this machine and passes on to `target`.
    ///
    /// # Errors
    /// If no port can be opened.
    pub async fn start(target: SocketAddr, seams: &Seams) -> io::Result<Self> {
        let mut listener = seams.net.listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let addr = listener.local_addr()?;
        let passes = Now {
            there: LinkState::Passes,
            back: LinkState::Passes,
            delay: Duration::ZERO,
        };
        let (now, stop) = (watch::Sender::new(passes), CancellationToken::new());
        let (watched, stopped) = (now.subscribe(), stop.clone());
        let (net, tasks) = (seams.net.clone(), seams.tasks.clone());
        seams.tasks.spawn("link", async move {
            while let Some(Ok((io, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let relay = relay(io, target, net.clone(), watched.clone());
                let stopped = stopped.clone();
                tasks.spawn("linked connection", async move {
                    // Either end may close as it likes.
                    let _ = stopped.run_until_cancelled(relay).await;
                });
            }
        });
        Ok(Self { addr, now, stop })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on it does this, in both directions.
    pub fn set(&self, state: LinkState) {
        self.now.send_modify(|now| (now.there, now.back) = (state, state));
    }

    /// From now on it does this in one direction. A cut is one of both.
    pub fn set_way(&self, way: Way, state: LinkState) {
        self.now.send_modify(|now| match way {
            Way::There => now.there = state,
            Way::Back => now.back = state,
        });
    }

    /// From now on what enters it comes out this much later, in each direction.
    pub fn set_delay(&self, delay: Duration) {
        self.now.send_modify(|now| now.delay = delay);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn relay(
    inner: BoxedIo,
    target: SocketAddr,
    net: Arc<dyn Net>,
    mut now: watch::Receiver<Now>,
) -> io::Result<()> {
    if now.borrow().is_cut() {
        return Ok(());
    }
    let outer = net.connect(&target.ip().to_string(), target.port()).await?;
    let (inner_read, inner_write) = tokio::io::split(inner);
    let (outer_read, outer_write) = tokio::io::split(outer);
    let forgotten = AtomicBool::new(false);
    let (there, back) = (now.clone(), now.clone());
    tokio::select! {
        both = async {
            tokio::try_join!(
                pass(inner_read, outer_write, there, (Way::There, &forgotten)),
                pass(outer_read, inner_write, back, (Way::Back, &forgotten)),
            )
        } => both.map(|_| ()),
        _ = now.wait_for(Now::is_cut) => Ok(()),
    }
}

/// One direction of a connection, until its sender has no more to say or the link is gone.
async fn pass(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    now: watch::Receiver<Now>,
    way: (Way, &AtomicBool),
) -> io::Result<()> {
    let (enters, leaves) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(enter(from, enters, now.clone()), leave(to, leaves, now, way)).map(|_| ())
}

/// A part of a stream, and when it is to come out.
type Chunk = (Instant, Vec<u8>);

async fn enter(
    mut from: impl AsyncRead + Unpin,
    enters: mpsc::Sender<Chunk>,
    now: watch::Receiver<Now>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await?;
        let due = monotonic() + now.borrow().delay;
        // The end is a chunk of its own, without bytes.
        let sent = enters.send((due, chunk[..length].to_vec())).await;
        if length == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

async fn leave(
    mut to: impl AsyncWrite + Unpin,
    mut leaves: mpsc::Receiver<Chunk>,
    mut now: watch::Receiver<Now>,
    (way, forgotten): (Way, &AtomicBool),
) -> io::Result<()> {
    while let Some((due, chunk)) = leaves.recv().await {
        if monotonic() < due {
            sleep_until(due).await;
        }
        let state = match now.wait_for(|now| now.of(way) != LinkState::Swallows).await {
            Ok(now) => now.of(way),
            // The link is gone.
            Err(_) => return Ok(()),
        };
        if state == LinkState::Forgets {
            forgotten.store(true, Ordering::Relaxed);
        }
        if forgotten.load(Ordering::Relaxed) {
            continue;
        }
        if chunk.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&chunk).await?;
        to.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"ping";

    /// A server that sends back what it gets, and a connection to it over a link.
    async fn echoed() -> (Link, BoxedIo) {
        let seams = Seams::real();
        let mut listener = seams.net.listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let target = listener.local_addr().unwrap();
        seams.tasks.spawn("echo", async move {
            let (io, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = tokio::io::split(io);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let link = Link::start(target, &seams).await.unwrap();
        let addr = link.addr();
        let io = seams.net.connect(&addr.ip().to_string(), addr.port()).await;
        (link, io.unwrap())
    }

    async fn ping(io: &mut BoxedIo) -> Duration {
        let began = monotonic();
        io.write_all(PING).await.unwrap();
        io.flush().await.unwrap();
        let mut back = [0; PING.len()];
        io.read_exact(&mut back).await.unwrap();
        assert_eq!(back, PING);
        monotonic().saturating_duration_since(began)
    }

    #[tokio::test]
    async fn a_delay_is_taken_on_each_way() {
        let (link, mut io) = echoed().await;
        ping(&mut io).await;
        let delay = Duration::from_millis(30);
        link.set_delay(delay);
        assert!(ping(&mut io).await >= 2 * delay);
    }

    #[tokio::test]
    async fn what_one_way_swallows_arrives_when_it_passes_again() {
        let (link, mut io) = echoed().await;
        ping(&mut io).await;
        for way in [Way::There, Way::Back] {
            link.set_way(way, LinkState::Swallows);
            let silent = Duration::from_millis(50);
            assert!(
                tokio::time::timeout(silent, ping(&mut io)).await.is_err(),
                "{way:?}"
            );
            link.set_way(way, LinkState::Passes);
            let mut back = [0; PING.len()];
            io.read_exact(&mut back).await.unwrap();
            assert_eq!(back, PING, "{way:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_forgotten_stays_silent_and_one_that_was_idle_does_not() {
        for sent in [true, false] {
            let (link, mut io) = echoed().await;
            ping(&mut io).await;
            link.set(LinkState::Forgets);
            let silent = Duration::from_millis(50);
            if sent {
                assert!(tokio::time::timeout(silent, ping(&mut io)).await.is_err());
            }
            link.set(LinkState::Passes);
            assert_eq!(tokio::time::timeout(silent, ping(&mut io)).await.is_err(), sent);
        }
    }

    #[tokio::test]
    async fn a_cut_ends_the_connection() {
        let (link, mut io) = echoed().await;
        ping(&mut io).await;
        link.set(LinkState::Cut);
        let mut rest = Vec::new();
        // Closed or reset: gone.
        assert_eq!(io.read_to_end(&mut rest).await.unwrap_or(0), 0);
    }
}
