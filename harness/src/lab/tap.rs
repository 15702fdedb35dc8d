//! Reads the agents' stream in the clear: a relay that holds both ends' identities, which nobody
//! outside a lab does. What the canaries are searched in.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use postern_kit::Seams;
use postern_kit::dial::Connector;
use postern_kit::net::BoxedIo;
use postern_kit::tls::ServerTls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// Bytes that one read takes: a TLS record.
const CHUNK_BYTES: usize = 16 * 1024;

/// A running relay.
#[derive(Debug)]
pub struct Tap {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    stop: CancellationToken,
}

impl Tap {
    /// Listens as the server of `server` and passes on what comes through `upstream`.
    ///
    /// # Errors
    /// If no port can be opened.
    pub async fn start(server: Arc<ServerTls>, upstream: Connector, seams: &Seams) -> io::Result<Self> {
        let mut listener = seams.net.listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let addr = listener.local_addr()?;
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (tasks, record, stopped) = (seams.tasks.clone(), seen.clone(), stop.clone());
        seams.tasks.spawn("tap", async move {
            while let Some(Ok((io, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let relay = relay(io, server.clone(), upstream.clone(), record.clone());
                let stopped = stopped.clone();
                tasks.spawn("tapped connection", async move {
                    // Either end may close as it likes.
                    let _ = stopped.run_until_cancelled(relay).await;
                });
            }
        });
        Ok(Self { addr, seen, stop })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Everything that went through it so far, both ways.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn relay(
    io: BoxedIo,
    server: Arc<ServerTls>,
    upstream: Connector,
    record: Arc<Mutex<Vec<u8>>>,
) -> io::Result<()> {
    let inner = tokio_rustls::TlsAcceptor::from(server).accept(io).await?;
    let outer = upstream.connect().await?;
    let (inner_read, inner_write) = tokio::io::split(inner);
    let (outer_read, outer_write) = tokio::io::split(outer);
    tokio::try_join!(
        copy(inner_read, outer_write, record.clone()),
        copy(outer_read, inner_write, record),
    )?;
    Ok(())
}

async fn copy(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    record: Arc<Mutex<Vec<u8>>>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(&chunk[..length]);
        to.write_all(&chunk[..length]).await?;
        to.flush().await?;
    }
}
