//! A link that fails on demand: a relay between two parts that passes bytes on, swallows them without a
//! word as a dead cable does, or cuts its connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use postern_kit::Seams;
use postern_kit::net::{BoxedIo, Net};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes that one read takes: a TLS record.
const CHUNK_BYTES: usize = 16 * 1024;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Passes everything on.
    Passes,
    /// Passes nothing on; connections stay open, and new ones are accepted. When it passes again, what was swallowed
    /// arrives after all, since TCP sends it again.
    Swallows,
    /// Has no connection, and closes each new one.
    Cut,
}

/// A running link.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    state: watch::Sender<LinkState>,
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
        let (state, stop) = (watch::Sender::new(LinkState::Passes), CancellationToken::new());
        let (watched, stopped) = (state.subscribe(), stop.clone());
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
        Ok(Self { addr, state, stop })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on it does this.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
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
    mut state: watch::Receiver<LinkState>,
) -> io::Result<()> {
    if *state.borrow() == LinkState::Cut {
        return Ok(());
    }
    let outer = net.connect(&target.ip().to_string(), target.port()).await?;
    let (inner_read, inner_write) = tokio::io::split(inner);
    let (outer_read, outer_write) = tokio::io::split(outer);
    let (up, down) = (state.clone(), state.clone());
    tokio::select! {
        both = async {
            tokio::try_join!(copy(inner_read, outer_write, up), copy(outer_read, inner_write, down))
        } => both.map(|_| ()),
        _ = state.wait_for(|state| *state == LinkState::Cut) => Ok(()),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<LinkState>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await?;
        let passes = state.wait_for(|state| *state != LinkState::Swallows);
        if passes.await.is_err() {
            // The link is gone.
            return Ok(());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..length]).await?;
        to.flush().await?;
    }
}
