//! The program's service from its configuration file.

use postern_directory_mock::{config, serve};
use postern_kit::Seams;
use postern_kit::net::LdapProtection;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::client::{bind, connect, soon};

#[tokio::test]
async fn the_program_serves_what_its_file_says_and_writes_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    let ldif = folder.path().join("users.ldif");
    std::fs::write(
        &ldif,
        "dn: CN=Lea,OU=Staff,DC=corp,DC=example,DC=test\nobjectClass: user\nsAMAccountName: lea\n",
    )
    .unwrap();
    let text = format!(
        "domain = 'corp.example.test'\n\
         netbios = 'CORP'\n\
         listen.ldaps = '127.0.0.1:0'\n\
         tls.root = '{}'\n\
         [[users]]\n\
         name = 'alice'\n\
         password = 'right'\n\
         states = ['must_change']\n\
         [ldif]\n\
         file = '{}'\n\
         password = 'for all'\n",
        root.display(),
        ldif.display()
    );
    let config = config::read(&text).unwrap();
    let (seams, stop) = (Seams::real(), CancellationToken::new());
    let (tell, told) = oneshot::channel();
    let served = serve::serve(config, seams.clone(), stop.clone(), |running| {
        let server = &running.servers[0];
        tell.send((server.ldap_addr(), server.ldaps_addr())).unwrap();
    });
    let client = async {
        let (plain, tls) = soon(told).await.unwrap();
        assert_eq!(plain, None);
        let roots = postern_kit::tls::certificates_from_pem(&std::fs::read(&root).unwrap()).unwrap();
        let connected = connect(
            tls.unwrap(),
            "dc1.corp.example.test",
            roots,
            LdapProtection::Ldaps,
        );
        let mut ldap = connected.await.unwrap();
        assert_eq!(
            bind(&mut ldap, "CORP\\alice", "right").await,
            (49, Some("773".into()))
        );
        assert_eq!(bind(&mut ldap, "CORP\\lea", "for all").await, (0, None));
        stop.cancel();
    };
    let (served, ()) = tokio::join!(served, client);
    served.unwrap();
    seams
        .tasks
        .run_until(&stop, crate::client::PATIENCE)
        .await
        .unwrap();
}
