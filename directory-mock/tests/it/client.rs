//! What the tests say to a directory, through the `ldap3` crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapResult, StdStream};
use postern_directory_mock::{Flavour, Server, SubCode};
use postern_kit::Seams;
use postern_kit::clock::SystemClock;
use postern_kit::net::{LdapProtection, LdapStream};
use postern_kit::tls::{Certificate, ServerTrust, Versions};

/// Longer than any answer takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a directory, driven in the background.
pub(crate) async fn connect(
    addr: SocketAddr,
    host: &str,
    roots: Vec<Certificate>,
    protection: LdapProtection,
) -> ldap3::result::Result<Ldap> {
    let tls = postern_kit::tls::client(
        ServerTrust::Roots(roots),
        None,
        Versions::Tls12And13,
        &[],
        Arc::new(SystemClock),
    )
    .unwrap();
    let seams = Seams::real();
    let ip = addr.ip().to_string();
    let link = seams
        .net
        .connect_ldap(&ip, addr.port(), protection, tls)
        .await
        .map_err(|source| ldap3::LdapError::Io { source })?;
    let stream = match link.stream {
        LdapStream::Tcp(stream) => StdStream::Tcp(stream),
        LdapStream::Unix(stream) => StdStream::Unix(stream),
    };
    let settings = LdapConnSettings::new()
        .set_conn_timeout(PATIENCE)
        .set_starttls(link.start_tls)
        .set_config(link.tls)
        .set_std_stream(stream);
    let url = link.url.replace(&ip, host);
    let (connection, ldap) = LdapConnAsync::with_settings(settings, &url).await?;
    seams.tasks.spawn("ldap client", async move {
        // How it ends is what the tests see on their handle.
        let _ = connection.drive().await;
    });
    Ok(ldap)
}

/// A protected connection to the mock.
pub(crate) async fn ldaps(server: &Server) -> Ldap {
    let roots = vec![server.ca_der().unwrap().clone()];
    let addr = server.ldaps_addr().unwrap();
    connect(addr, "localhost", roots, LdapProtection::Ldaps)
        .await
        .unwrap()
}

/// The same over StartTLS.
pub(crate) async fn start_tls(server: &Server) -> Ldap {
    let roots = vec![server.ca_der().unwrap().clone()];
    let addr = server.ldap_addr().unwrap();
    connect(addr, "localhost", roots, LdapProtection::StartTls)
        .await
        .unwrap()
}

/// Binds, and gives the result code with the data code of the message if it has one.
pub(crate) async fn bind(ldap: &mut Ldap, name: &str, password: &str) -> (u32, Option<String>) {
    let result = try_bind(ldap, name, password).await.unwrap();
    let data = data_code(&result.text);
    if let Some(data) = &data {
        let code = SubCode::Odd(u32::from_str_radix(data, 16).unwrap());
        let known = [Flavour::Samba, Flavour::Windows].map(|flavour| code.message_in(flavour));
        assert!(known.contains(&result.text), "{:?}", result.text);
        assert_eq!(result.matched, "");
    } else {
        assert_ne!(result.rc, 49, "{}", result.text);
    }
    (result.rc, data)
}

/// Binds; an error means that there was no answer.
pub(crate) async fn try_bind(
    ldap: &mut Ldap,
    name: &str,
    password: &str,
) -> ldap3::result::Result<LdapResult> {
    tokio::time::timeout(PATIENCE, ldap.simple_bind(name, password))
        .await
        .expect("an answer or the end of the connection")
}

fn data_code(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(", data ")?;
    Some(rest.split_once(',')?.0.to_owned())
}

/// Waits for `what`, with a bound.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it happens soon")
}
