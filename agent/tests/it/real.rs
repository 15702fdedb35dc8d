//! Real directories, which `harness/real/` starts: where they are, and what an administrator does
//! to them between tests. They are described by environment variables; without them their half is
//! skipped, unless `POSTERN_REAL=required`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use ldap3::controls::{MakeCritical as _, RelaxRules};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Mod, Scope, SearchEntry, StdStream};
use postern_kit::Seams;
use postern_kit::net::{LdapProtection, LdapStream, Net as _};
use postern_kit::tls::{self, Certificate, ServerTrust, Versions};
use postern_proto::ids::ObjectId;
use tokio::sync::{Mutex, MutexGuard};

use crate::bench::soon;
use crate::network::Names;

/// Its users are shared by all tests, and so are their failures: one test at a time.
static SAMBA: Mutex<()> = Mutex::const_new(());
static OPEN_LDAP: Mutex<()> = Mutex::const_new(());

/// Whose habits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Samba,
    OpenLdap,
}

/// A real directory.
pub(crate) struct Real {
    pub(crate) kind: Kind,
    pub(crate) ldap: SocketAddr,
    pub(crate) ldaps: SocketAddr,
    /// The name in its certificate.
    pub(crate) host: String,
    pub(crate) roots: Vec<Certificate>,
    /// DN under which everything lies.
    pub(crate) base: String,
    admin: (String, String),
    _turn: MutexGuard<'static, ()>,
}

impl Real {
    /// The Samba domain controller, unless there is none.
    pub(crate) async fn samba() -> Option<Self> {
        let url = present("AD_LDAPS_URL")?;
        assert_eq!(var("AD_LOCKOUT_THRESHOLD"), crate::bench::THRESHOLD.to_string());
        Some(Self {
            kind: Kind::Samba,
            ldap: address(&var("AD_LDAP_URL")),
            ldaps: address(&url),
            host: var("AD_HOSTNAME"),
            roots: roots(&var("AD_CA_FILE")),
            base: var("AD_BASE_DN"),
            admin: (var("AD_ADMIN_DN"), var("AD_ADMIN_PASSWORD")),
            _turn: SAMBA.lock().await,
        })
    }

    /// The OpenLDAP server, unless there is none.
    pub(crate) async fn open_ldap() -> Option<Self> {
        let url = present("SLAPD_LDAPS_URL")?;
        assert_eq!(
            var("SLAPD_LOCKOUT_THRESHOLD"),
            crate::bench::THRESHOLD.to_string()
        );
        Some(Self {
            kind: Kind::OpenLdap,
            ldap: address(&var("SLAPD_LDAP_URL")),
            ldaps: address(&url),
            host: var("SLAPD_HOSTNAME"),
            roots: roots(&var("SLAPD_CA_FILE")),
            base: var("SLAPD_BASE_DN"),
            admin: (var("SLAPD_ADMIN_DN"), var("SLAPD_ADMIN_PASSWORD")),
            _turn: OPEN_LDAP.lock().await,
        })
    }

    /// DN of a fixture user.
    pub(crate) fn dn(&self, user: &str) -> String {
        match self.kind {
            Kind::Samba => format!("CN={user},OU=Fixture,{}", self.base),
            Kind::OpenLdap => format!("uid={user},ou=fixture,{}", self.base),
        }
    }

    /// objectGUID or entryUUID, as the directory itself has it.
    pub(crate) async fn object(&self, user: &str) -> ObjectId {
        match self.kind {
            Kind::Samba => {
                let found = self.read(user, "objectGUID").await;
                let guid = uuid::Uuid::from_slice_le(&found.bin_attrs["objectGUID"][0]).unwrap();
                ObjectId::from_bytes(guid.into_bytes())
            }
            Kind::OpenLdap => {
                let found = self.read(user, "entryUUID").await;
                found.attrs["entryUUID"][0].parse().unwrap()
            }
        }
    }

    /// How many failures of a user the directory has counted.
    pub(crate) async fn failures(&self, user: &str) -> u64 {
        match self.kind {
            Kind::Samba => {
                let found = self.read(user, "badPwdCount").await;
                found.attrs["badPwdCount"][0].parse().unwrap()
            }
            Kind::OpenLdap => {
                let found = self.read(user, "pwdFailureTime").await;
                found.attrs.get("pwdFailureTime").map_or(0, Vec::len) as u64
            }
        }
    }

    /// Forgets failures and lifts a lockout.
    pub(crate) async fn forgive(&self, user: &str) {
        let (controls, changes) = match self.kind {
            Kind::Samba => (
                Vec::new(),
                vec![Mod::Replace("lockoutTime", HashSet::from(["0"]))],
            ),
            Kind::OpenLdap => (
                // Nobody but the server may write these otherwise.
                vec![RelaxRules.critical().into()],
                vec![
                    Mod::Replace("pwdFailureTime", HashSet::new()),
                    Mod::Replace("pwdAccountLockedTime", HashSet::new()),
                ],
            ),
        };
        let mut ldap = self.administrator().await;
        let dn = self.dn(user);
        let changed = ldap.with_controls(controls).modify(&dn, changes);
        soon(changed).await.unwrap().success().unwrap();
    }

    async fn read(&self, user: &str, attribute: &str) -> SearchEntry {
        let mut ldap = self.administrator().await;
        let dn = self.dn(user);
        let found = ldap.search(&dn, Scope::Base, "(objectClass=*)", [attribute]);
        let (mut entries, _) = soon(found).await.unwrap().success().unwrap();
        SearchEntry::construct(entries.pop().unwrap())
    }

    /// A connection of the test's own.
    async fn administrator(&self) -> Ldap {
        let seams = Seams::real();
        let trust = ServerTrust::Roots(self.roots.clone());
        let tls = tls::client(trust, None, Versions::Tls12And13, &[], seams.clock.clone()).unwrap();
        let names = Names::new([(self.host.clone(), self.ldaps)]);
        let link = names
            .connect_ldap(&self.host, 636, LdapProtection::Ldaps, tls)
            .await
            .unwrap();
        let LdapStream::Tcp(stream) = link.stream else {
            panic!("a socket")
        };
        let settings = LdapConnSettings::new()
            .set_config(Arc::clone(&link.tls))
            .set_std_stream(StdStream::Tcp(stream));
        let connected = LdapConnAsync::with_settings(settings, &link.url);
        let (connection, mut ldap) = soon(connected).await.unwrap();
        seams.tasks.spawn("administrator", async move {
            // How it ends is what the caller sees on its handle.
            let _ = connection.drive().await;
        });
        let (dn, password) = &self.admin;
        soon(ldap.simple_bind(dn, password))
            .await
            .unwrap()
            .success()
            .unwrap();
        ldap
    }
}

/// The variable that says whether there is such a directory.
pub(crate) fn present(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        let required = std::env::var("POSTERN_REAL").is_ok_and(|value| value == "required");
        assert!(!required, "POSTERN_REAL=required, but {name} is not set");
        println!("skipped: {name} and the other variables of a real directory are not set");
    }
    value
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set with the others of its directory"))
}

fn address(url: &str) -> SocketAddr {
    let (_, addr) = url.split_once("://").unwrap();
    addr.parse().unwrap()
}

fn roots(file: &str) -> Vec<Certificate> {
    tls::certificates_from_pem(&std::fs::read(file).unwrap()).unwrap()
}
