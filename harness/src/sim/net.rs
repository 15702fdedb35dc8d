//! The network seam over turmoil's simulated TCP: unmodified TLS, HTTP/2 and LDAP clients and servers
//! on top, every connection's bytes counted into the trace.
//!
//! The simulator never sends a segment again: what a cut link loses, `cuts.rs` repeats. Connecting to a host that is
//! down neither succeeds nor fails until the caller's own deadline.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use postern_kit::net::{BoxedIo, CONNECT_WAIT_MAX, LdapLink, LdapProtection, LdapStream, Listener, Net};
use postern_kit::tasks::Tasks;
use postern_kit::tls::{self, ClientTls};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::Gate;
use super::trace::{Happening, Trace};

/// A host's network.
#[derive(Clone, Debug)]
pub(super) struct SimNet {
    host: Arc<str>,
    trace: Trace,
    gate: Gate,
}

impl SimNet {
    /// The network as `host` sees it, while its gate is open.
    pub(super) fn new(host: &str, trace: Trace, gate: Gate) -> Self {
        Self {
            host: host.into(),
            trace,
            gate,
        }
    }

    fn wrap(&self, stream: turmoil::net::TcpStream, happening: Happening<'_>) -> io::Result<Traced> {
        let link: Arc<str> = format!("{}>{}", stream.local_addr()?, stream.peer_addr()?).into();
        self.trace.add(&self.host, &link, happening);
        Ok(Traced {
            stream,
            link,
            of: self.clone(),
        })
    }

    async fn dial(&self, host: &str, port: u16) -> io::Result<Traced> {
        let dial = async {
            self.gate.passed().await;
            turmoil::net::TcpStream::connect((host, port)).await
        };
        let dialled = tokio::time::timeout(CONNECT_WAIT_MAX, dial)
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no connection within 5 s",
                ))
            });
        match dialled {
            Ok(stream) => self.wrap(stream, Happening::Connected),
            Err(error) => {
                self.trace.add(&self.host, host, Happening::NotConnected);
                Err(error)
            }
        }
    }
}

#[async_trait]
impl Net for SimNet {
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        // The simulator has one address per host.
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), addr.port());
        let listener = turmoil::net::TcpListener::bind(any).await?;
        Ok(Box::new(SimListener {
            listener,
            net: self.clone(),
        }))
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<BoxedIo> {
        Ok(Box::new(self.dial(host, port).await?))
    }

    /// `ldap3` takes only real sockets: TLS is done here, on the simulated connection, and `ldap3` gets
    /// one end of a socket pair.
    async fn connect_ldap(
        &self,
        host: &str,
        port: u16,
        protection: LdapProtection,
        tls: Arc<ClientTls>,
    ) -> io::Result<LdapLink> {
        if protection != LdapProtection::Ldaps {
            let text = "the simulation has LDAPS only; StartTLS is tested on real sockets";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let name =
            tls::server_name(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = self.dial(host, port).await?;
        let handshake = tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream);
        let mut far = tokio::time::timeout(CONNECT_WAIT_MAX, handshake)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within 5 s"))??;
        let (near, theirs) = std::os::unix::net::UnixStream::pair()?;
        near.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let mut near = tokio::net::UnixStream::from_std(near)?;
        Tasks::new().spawn("bytes of an LDAP connection", async move {
            // Either end may go at any time; both then see the end.
            let _ = tokio::io::copy_bidirectional(&mut far, &mut near).await;
        });
        Ok(LdapLink {
            stream: LdapStream::Unix(theirs),
            url: "ldapi:///".to_owned(),
            start_tls: false,
            tls,
        })
    }
}

struct SimListener {
    listener: turmoil::net::TcpListener,
    net: SimNet,
}

#[async_trait]
impl Listener for SimListener {
    async fn accept(&mut self) -> io::Result<(BoxedIo, SocketAddr)> {
        self.net.gate.passed().await;
        let (stream, peer) = self.listener.accept().await?;
        Ok((Box::new(self.net.wrap(stream, Happening::Accepted)?), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One end of a connection.
struct Traced {
    stream: turmoil::net::TcpStream,
    link: Arc<str>,
    of: SimNet,
}

impl Traced {
    fn add(&self, happening: Happening<'_>) {
        self.of.trace.add(&self.of.host, &self.link, happening);
    }
}

impl AsyncRead for Traced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.of.gate.poll(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.add(Happening::Received(buf.filled().len() - before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Traced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.of.gate.poll(cx));
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        let sent = buf.get(..written).unwrap_or_default();
        self.of.trace.sent(&self.of.host, &self.link, sent);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.of.gate.poll(cx));
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.add(Happening::Closed);
    }
}
