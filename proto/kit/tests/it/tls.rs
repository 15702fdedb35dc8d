//! Who is taken for whom.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use postern_kit::Seams;
use postern_kit::dial::Connector;
use postern_kit::tls::{self, ClientTls, ClientTrust, Identity, ServerTls, ServerTrust, Versions};
use tokio::io::AsyncReadExt as _;

use crate::pki::{HALF_LIFE, Root, seams};

fn server(identity: Identity, clients: ClientTrust, versions: Versions, seams: &Seams) -> Arc<ServerTls> {
    tls::server(identity, clients, versions, &[], seams.clock.clone()).unwrap()
}

fn client(
    trust: ServerTrust,
    identity: Option<Identity>,
    versions: Versions,
    seams: &Seams,
) -> Arc<ClientTls> {
    tls::client(trust, identity, versions, &[], seams.clock.clone()).unwrap()
}

/// One handshake over a real socket: what the server saw of the client, or what the client says to it.
async fn handshake(
    server: Arc<ServerTls>,
    client: Arc<ClientTls>,
    seams: &Seams,
) -> io::Result<Option<usize>> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = seams.net.listen(any).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = async {
        let (io, _) = listener.accept().await?;
        let stream = tokio_rustls::TlsAcceptor::from(server).accept(io).await?;
        io::Result::Ok(stream.get_ref().1.peer_certificates().map(<[_]>::len))
    };
    let connecting = async {
        let mut stream = Connector::new(seams.net.clone(), client, "localhost", port)?
            .connect()
            .await?;
        // In TLS 1.3 a client learns only now that its certificate was refused.
        match stream.read(&mut [0]).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            other => other.map(|_| ()),
        }
    };
    let (served, connected) = tokio::join!(serving, connecting);
    connected?;
    served
}

#[tokio::test]
async fn a_pinned_root_is_known_by_its_key_alone() {
    let (seams, _) = seams();
    let (root, other) = (Root::new(), Root::new());
    let pinned = |root: &Root| {
        client(
            ServerTrust::PinnedRoot(root.fingerprint()),
            None,
            Versions::Tls13,
            &seams,
        )
    };
    let shows = |identity| server(identity, ClientTrust::NotAsked, Versions::Tls13, &seams);
    assert!(
        handshake(shows(root.leaf("localhost")), pinned(&root), &seams)
            .await
            .is_ok()
    );
    assert!(
        handshake(shows(root.leaf("localhost")), pinned(&other), &seams)
            .await
            .is_err()
    );
    assert!(
        handshake(shows(root.leaf("elsewhere")), pinned(&root), &seams)
            .await
            .is_err()
    );
    // The pinned root's certificate behind a leaf that it did not sign.
    let mut forged = other.leaf("localhost");
    forged.chain[1] = root.certificate.clone();
    assert!(handshake(shows(forged), pinned(&root), &seams).await.is_err());
    // A chain that does not show its root cannot be judged.
    let mut short = root.leaf("localhost");
    short.chain.truncate(1);
    assert!(handshake(shows(short), pinned(&root), &seams).await.is_err());
}

#[tokio::test]
async fn certificates_are_judged_by_the_injected_clock() {
    let (seams, clock) = seams();
    let root = Root::new();
    let trust = || ServerTrust::Roots(vec![root.certificate.clone()]);
    let shows = || {
        server(
            root.leaf("localhost"),
            ClientTrust::NotAsked,
            Versions::Tls13,
            &seams,
        )
    };
    assert!(
        handshake(shows(), client(trust(), None, Versions::Tls13, &seams), &seams)
            .await
            .is_ok()
    );
    clock.advance(HALF_LIFE * 2);
    assert!(
        handshake(shows(), client(trust(), None, Versions::Tls13, &seams), &seams)
            .await
            .is_err()
    );
    let pinned = ServerTrust::PinnedRoot(root.fingerprint());
    assert!(
        handshake(shows(), client(pinned, None, Versions::Tls13, &seams), &seams)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_client_may_show_no_certificate_but_no_foreign_one() {
    let (seams, _) = seams();
    let (root, other) = (Root::new(), Root::new());
    let asks = || {
        let clients = ClientTrust::Optional(root.certificate.clone());
        server(root.leaf("localhost"), clients, Versions::Tls13, &seams)
    };
    let shows = |identity| {
        let trust = ServerTrust::Roots(vec![root.certificate.clone()]);
        client(trust, identity, Versions::Tls13, &seams)
    };
    assert_eq!(handshake(asks(), shows(None), &seams).await.unwrap(), None);
    assert_eq!(
        handshake(asks(), shows(Some(root.leaf("client"))), &seams)
            .await
            .unwrap(),
        Some(2)
    );
    assert!(
        handshake(asks(), shows(Some(other.leaf("client"))), &seams)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_private_listener_speaks_nothing_older_than_1_3() {
    let (seams, _) = seams();
    let root = Root::new();
    let trust = || ServerTrust::Roots(vec![root.certificate.clone()]);
    let old_only = |versions| server(root.leaf("localhost"), ClientTrust::NotAsked, versions, &seams);
    let new = handshake(
        old_only(Versions::Tls13),
        client(trust(), None, Versions::Tls12And13, &seams),
        &seams,
    );
    assert!(new.await.is_ok());
    let twelve = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.certificate.clone()).unwrap();
    let twelve = Arc::new(twelve.with_root_certificates(roots).with_no_client_auth());
    let refused = handshake(old_only(Versions::Tls13), twelve, &seams)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
}
