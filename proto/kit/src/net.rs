//! Listening and connecting behind one seam, so that every server and client also runs on a
//! simulated network. TLS is ours on top of what comes out of here, except for `ldap3`, which
//! takes only streams of the standard library and does its own.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest time that opening a TCP connection may take. Within a data centre it takes
/// milliseconds; beyond this the peer is down and the caller should try another.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A bidirectional byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any byte stream.
pub type BoxedIo = Box<dyn Io>;

/// A listening socket.
#[async_trait]
pub trait Listener: Send {
    /// The next connection and the address it came from.
    ///
    /// # Errors
    /// As the operating system reports; the listener can still be used.
    ///
    /// # Cancellation
    /// Safe to drop; no connection is lost.
    async fn accept(&mut self) -> io::Result<(BoxedIo, SocketAddr)>;

    /// Where it listens; the port is known even if it was asked for as 0.
    ///
    /// # Errors
    /// As the operating system reports.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// How a connection to an LDAP server is protected. There is no unprotected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapProtection {
    /// TLS from the first byte, usually port 636.
    Ldaps,
    /// TLS after the StartTLS operation, usually port 389.
    StartTls,
}

/// A stream as `ldap3` wants it.
#[derive(Debug)]
pub enum LdapStream {
    /// A TCP connection; the client does TLS on it as the URL and `start_tls` say.
    Tcp(std::net::TcpStream),
    /// One end of a socket pair whose other end is already protected.
    Unix(std::os::unix::net::UnixStream),
}

/// An open connection to an LDAP server, for `ldap3`.
#[derive(Debug)]
pub struct LdapLink {
    /// The stream to hand over.
    pub stream: LdapStream,
    /// The URL to hand over; its host is the name that the certificate must have.
    pub url: String,
    /// Whether the client must send StartTLS first.
    pub start_tls: bool,
    /// The configuration for the client's TLS.
    pub tls: Arc<rustls::ClientConfig>,
}

impl LdapLink {
    /// The same link, that was dialled by an address, for a server of this name: what its certificate must have.
    #[must_use]
    pub fn named(self, host: &str, port: u16) -> Self {
        match self.stream {
            LdapStream::Tcp(_) => Self {
                url: ldap_url(host, port, self.start_tls),
                ..self
            },
            // It was protected when it was dialled, and the name was seen to then.
            LdapStream::Unix(_) => self,
        }
    }
}

fn ldap_url(host: &str, port: u16, start_tls: bool) -> String {
    let scheme = if start_tls { "ldap" } else { "ldaps" };
    // An IPv6 address needs its brackets in a URL.
    if host.contains(':') {
        format!("{scheme}://[{host}]:{port}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

/// The network.
#[async_trait]
pub trait Net: fmt::Debug + Send + Sync {
    /// Listens on `addr`; port 0 asks for any free port.
    ///
    /// # Errors
    /// As the operating system reports.
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>>;

    /// Connects to `host`, a name or an address, within [`CONNECT_WAIT_MAX`].
    ///
    /// # Errors
    /// As the operating system reports, or `TimedOut`.
    ///
    /// # Cancellation
    /// Safe to drop; the attempt is given up.
    async fn connect(&self, host: &str, port: u16) -> io::Result<BoxedIo>;

    /// Connects to an LDAP server within [`CONNECT_WAIT_MAX`].
    ///
    /// # Errors
    /// As the operating system reports, or `TimedOut`.
    ///
    /// # Cancellation
    /// Safe to drop; the attempt is given up.
    async fn connect_ldap(
        &self,
        host: &str,
        port: u16,
        protection: LdapProtection,
        tls: Arc<rustls::ClientConfig>,
    ) -> io::Result<LdapLink>;
}

/// Real sockets.
#[derive(Clone, Copy, Debug)]
pub struct Sockets;

#[expect(clippy::disallowed_types, reason = "this is the place that opens sockets")]
mod sockets {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[async_trait]
    impl Listener for TcpListener {
        async fn accept(&mut self) -> io::Result<(BoxedIo, SocketAddr)> {
            let (stream, peer) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), peer))
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            TcpListener::local_addr(self)
        }
    }

    pub(super) async fn listen(addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(TcpListener::bind(addr).await?))
    }

    pub(super) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = tokio::time::timeout(CONNECT_WAIT_MAX, TcpStream::connect((host, port)))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 5 s"))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[async_trait]
impl Net for Sockets {
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        sockets::listen(addr).await
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<BoxedIo> {
        Ok(Box::new(sockets::dial(host, port).await?))
    }

    async fn connect_ldap(
        &self,
        host: &str,
        port: u16,
        protection: LdapProtection,
        tls: Arc<rustls::ClientConfig>,
    ) -> io::Result<LdapLink> {
        let stream = sockets::dial(host, port).await?.into_std()?;
        let start_tls = protection == LdapProtection::StartTls;
        Ok(LdapLink {
            stream: LdapStream::Tcp(stream),
            url: ldap_url(host, port, start_tls),
            start_tls,
            tls,
        })
    }
}

/// Listens on a Unix socket that only its owner can open (0600), in place of a stale one.
///
/// Local administration is outside the network seam: the simulation calls it as a library.
///
/// # Errors
/// As the operating system reports; `AddrInUse` if something still answers there, and
/// `AlreadyExists` if what is there is no socket. Nothing but a stale socket is removed.
pub async fn listen_unix(path: &Path) -> io::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match tokio::net::UnixStream::connect(path).await {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process serves this socket",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        },
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is at this path",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = tokio::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to a Unix socket.
///
/// # Errors
/// As the operating system reports.
pub async fn connect_unix(path: &Path) -> io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_in_the_place_of_the_socket_stays_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        std::fs::write(&path, "precious").unwrap();
        let error = listen_unix(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("something else"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_the_socket_stays_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &path).unwrap();
        let error = listen_unix(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.is_symlink());
    }

    #[tokio::test]
    async fn a_live_socket_is_in_use_and_a_stale_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let first = listen_unix(&path).await.unwrap();
        let error = listen_unix(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        connect_unix(&path).await.unwrap();
        drop(first);
        assert!(path.exists());
        let _second = listen_unix(&path).await.unwrap();
        connect_unix(&path).await.unwrap();
    }
}
