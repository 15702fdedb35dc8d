//! Clients' connections through the network seam, with our TLS on top: what HTTP and RPC clients
//! are given as their connector.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio_rustls::client::TlsStream;

use crate::net::{BoxedIo, CONNECT_WAIT_MAX, Net};

/// Opens protected connections to one place, whatever URI it is asked for.
#[derive(Clone, Debug)]
pub struct Connector {
    net: Arc<dyn Net>,
    tls: Arc<ClientConfig>,
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Connector {
    /// For `host`, a name or an address that must also stand in the server's certificate.
    ///
    /// # Errors
    /// `InvalidInput` if `host` is neither.
    pub fn new(net: Arc<dyn Net>, tls: Arc<ClientConfig>, host: &str, port: u16) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "host: expected a DNS name or an address",
            )
        })?;
        Ok(Self {
            net,
            tls,
            host: host.to_owned(),
            port,
            name,
        })
    }

    /// Connects and does the TLS handshake, each within [`CONNECT_WAIT_MAX`].
    ///
    /// # Errors
    /// As the operating system or TLS reports, or `TimedOut`.
    ///
    /// # Cancellation
    /// Safe to drop; the attempt is given up.
    pub async fn connect(&self) -> io::Result<TlsStream<BoxedIo>> {
        let io = self.net.connect(&self.host, self.port).await?;
        let handshake = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(self.name.clone(), io);
        tokio::time::timeout(CONNECT_WAIT_MAX, handshake)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within 5 s"))?
    }
}

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<TlsStream<BoxedIo>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}
