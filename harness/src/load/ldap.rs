//! A bare LDAP client, for comparison: what binds cost without cloud and agents.

use std::sync::Arc;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings};
use postern_kit::Seams;
use postern_kit::tls::{self, Certificate, ServerTrust, Versions};
use tokio::sync::Mutex;

use super::cli::Failed;
use crate::lab::processes::LabDirectory;

/// A connection with one bind at a time. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Mutex<Ldap>>);

impl Link {
    /// Connects to a lab's directory over LDAPS.
    pub(super) async fn connect(directory: &LabDirectory) -> Result<Self, Failed> {
        let url = format!("ldaps://localhost:{}", directory.ldaps.port());
        Self::to(&url, vec![directory.root.clone()]).await
    }

    /// Connects to any directory, over TLS if the URL says so; `roots` are whom it is then trusted by.
    pub(super) async fn to(url: &str, roots: Vec<Certificate>) -> Result<Self, Failed> {
        let seams = Seams::real();
        let trust = ServerTrust::Roots(roots);
        let tls = tls::client(trust, None, Versions::Tls12And13, &[], seams.clock.clone())?;
        let settings = LdapConnSettings::new().set_config(tls);
        let (connection, ldap) = LdapConnAsync::with_settings(settings, url).await?;
        seams.tasks.spawn("ldap connection", async move {
            // Ends with its handle.
            let _ = connection.drive().await;
        });
        Ok(Self(Arc::new(Mutex::new(ldap))))
    }

    /// Binds; what it came to.
    pub(super) async fn bind(&self, username: &str, password: &str) -> String {
        match self.0.lock().await.simple_bind(username, password).await {
            Ok(result) => format!("result {}", result.rc),
            Err(error) => error.to_string(),
        }
    }
}
