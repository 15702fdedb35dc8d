//! One connection, with `ldap3` in it. Nothing of `ldap3` is seen outside.
//!
//! `ldap3` runs the connection in a task of its own. That task, and the reading of answers, can panic on
//! malformed bytes; a panic is taken for the loss of the connection. `ldap3` copies the password
//! into buffers that it does not wipe, and borrows ours until the call ends.

use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;
use ldap3::controls::RawControl;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, StdStream};
use postern_kit::clock::monotonic;
use postern_kit::net::{LdapLink, LdapStream};
use postern_proto::ids::ObjectId;
use postern_proto::names::OnPremisesName;
use postern_proto::verdict::{Unavailable, Verdict};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ldap::{Pool, connection_ended};
use super::policy::{PASSWORD_POLICY, PolicyAnswer};
use crate::config::{BindName, DirectoryKind, HostPort};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Items of a search that are read: one entry is expected, and Active Directory adds a reference
/// for each naming context below the base, such as a child domain. A directory that sends more is
/// not asked further.
const SEARCH_ITEMS_MAX: usize = 256;

/// An open connection.
pub(super) struct Link {
    ldap: Ldap,
    /// A second handle to the socket, to see whether something has come that nobody waited for.
    socket: AsyncFd<OwnedFd>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

/// What a bind was answered.
pub(super) struct BindAnswer {
    pub(super) code: u32,
    pub(super) message: String,
    pub(super) policy: Option<PolicyAnswer>,
}

/// Why a bind was not answered.
pub(super) enum BindFailed {
    /// The connection had ended before: the bind was certainly not written.
    NotSent,
    /// No answer came in time.
    TimedOut,
    /// The connection ended. `ldap3` does not say whether the bind was written before.
    Lost,
}

/// The library panicked, or the operation failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("malformed answer from the directory")]
    Panicked,
    #[error("no answer in time")]
    TimedOut,
    #[error("connection was closed before it was protected")]
    Closed,
    #[error("LDAP operation failed")]
    Ldap(#[source] LdapError),
}

/// Runs an operation until `until`, turning panics of the library into errors.
async fn guarded<T>(
    operation: impl Future<Output = ldap3::result::Result<T>>,
    until: Instant,
) -> Result<T, Failed> {
    let operation = AssertUnwindSafe(operation).catch_unwind();
    match tokio::time::timeout_at(until.into(), operation).await {
        Err(_) => Err(Failed::TimedOut),
        Ok(Err(_)) => Err(Failed::Panicked),
        Ok(Ok(Err(error))) => Err(Failed::Ldap(error)),
        Ok(Ok(Ok(value))) => Ok(value),
    }
}

/// Waits until the peer has closed.
async fn closed(socket: &AsyncFd<OwnedFd>) {
    while let Ok(mut came) = socket.readable().await {
        if came.ready().is_read_closed() {
            return;
        }
        came.clear_ready();
    }
}

impl Link {
    /// Connects, does TLS and starts the connection's task.
    pub(super) async fn open(pool: &Arc<Pool>, until: Instant) -> Result<Self, BoxedError> {
        let link = connect(pool, until).await?;
        let (stream, socket) = match link.stream {
            LdapStream::Tcp(stream) => {
                let socket = OwnedFd::from(stream.try_clone()?);
                (StdStream::Tcp(stream), socket)
            }
            LdapStream::Unix(stream) => {
                let socket = OwnedFd::from(stream.try_clone()?);
                (StdStream::Unix(stream), socket)
            }
        };
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types whose descriptor may change; an OwnedFd's does not"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        let options = LdapConnSettings::new()
            .set_starttls(link.start_tls)
            .set_config(link.tls)
            .set_std_stream(stream);
        let (connection, ldap) = tokio::select! {
            biased;
            opened = guarded(LdapConnAsync::with_settings(options, &link.url), until) => opened?,
            // `ldap3` does not see it while it waits for the answer to StartTLS.
            () = closed(&socket) => return Err(Failed::Closed.into()),
        };
        drive(pool, connection);
        Ok(Self { ldap, socket })
    }

    /// Whether its task has ended.
    pub(super) fn is_closed(&mut self) -> bool {
        self.ldap.is_closed()
    }

    /// Says that nobody waits for an answer any more: what came until now was waited for.
    pub(super) fn rest(&self) {
        if let Some(Ok(mut came)) = self.socket.readable().now_or_never() {
            came.clear_ready();
        }
    }

    /// Whether something has come since then: the end of the connection or a notice of it. `ldap3`
    /// reads a notice and drops it, so that unread bytes alone do not tell.
    pub(super) fn was_disturbed(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let mut byte = [0_u8; 1];
        let waiting = recv(&self.socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(waiting, Err(rustix::io::Errno::AGAIN)) || self.socket.readable().now_or_never().is_some()
    }

    /// Whether it answers: reads the rootDSE.
    pub(super) async fn probe(&mut self, until: Instant) -> bool {
        let read = self
            .ldap
            .search("", Scope::Base, "(objectClass=*)", ["supportedLDAPVersion"]);
        guarded(read, until).await.is_ok()
    }

    /// Binds. Empty names and passwords, which would bind nobody, are excluded by their types.
    pub(super) async fn bind(
        &mut self,
        name: &str,
        password: &str,
        kind: DirectoryKind,
        deadline: Instant,
    ) -> Result<BindAnswer, BindFailed> {
        if kind == DirectoryKind::Ldap {
            self.ldap.with_controls(vec![RawControl {
                ctype: PASSWORD_POLICY.to_owned(),
                crit: false,
                val: None,
            }]);
        }
        match guarded(self.ldap.simple_bind(name, password), deadline).await {
            Ok(result) => Ok(BindAnswer {
                code: result.rc,
                policy: policy(&result.ctrls),
                message: result.text,
            }),
            // Its task was gone before it could take the request.
            Err(Failed::Ldap(LdapError::OpSend { .. })) => Err(BindFailed::NotSent),
            Err(Failed::TimedOut) => Err(BindFailed::TimedOut),
            Err(Failed::Ldap(_) | Failed::Panicked | Failed::Closed) => Err(BindFailed::Lost),
        }
    }

    /// Whether the object that was just bound is the expected one.
    pub(super) async fn bound(
        &mut self,
        bind_name: &BindName,
        expected: ObjectId,
        name: &OnPremisesName,
        until: Instant,
    ) -> Verdict {
        let filter;
        let (base, scope, filter) = match bind_name {
            // The bound name is the object's id itself.
            BindName::Guid => return Verdict::Accepted,
            BindName::Upn { base } => {
                filter = format!("(userPrincipalName={})", ldap3::ldap_escape(name.as_str()));
                (base.as_str(), Scope::Subtree, filter.as_str())
            }
            BindName::Dn => (name.as_str(), Scope::Base, "(objectClass=*)"),
        };
        match guarded(self.only_object(base, scope, filter), until).await {
            Ok(Some(found)) if found == expected => Verdict::Accepted,
            Ok(Some(_)) => Verdict::OtherObject,
            Ok(None) => Verdict::Unavailable(Unavailable::ObjectUnknown),
            Err(error) => {
                tracing::warn!(
                    error = postern_kit::telemetry::chain(&error),
                    "cannot read whose the password is"
                );
                Verdict::Unavailable(Unavailable::ObjectUnknown)
            }
        }
    }

    /// The id of the one entry that is found; `None` if there is none, another, or no id.
    async fn only_object(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> ldap3::result::Result<Option<ObjectId>> {
        let mut search = self
            .ldap
            .with_search_options(SearchOptions::new().sizelimit(2))
            .streaming_search(base, scope, filter, vec!["objectGUID", "entryUUID"])
            .await?;
        let mut found = Vec::new();
        for _ in 0..SEARCH_ITEMS_MAX {
            match search.next().await? {
                Some(item) if item.is_ref() || item.is_intermediate() => {}
                Some(item) => found.push(object_id(SearchEntry::construct(item))),
                None => {
                    let result = search.finish().await;
                    let [Some(only)] = found.as_slice() else {
                        return Ok(None);
                    };
                    return Ok((result.rc == 0).then_some(*only));
                }
            }
        }
        Ok(None)
    }
}

/// Dials the controller, each of its known addresses within its share of the time.
async fn connect(pool: &Pool, until: Instant) -> Result<LdapLink, BoxedError> {
    let settings = &pool.settings;
    let HostPort { host, port } = &settings.controller;
    let dial = async |host: &str, until: Instant| -> Result<LdapLink, BoxedError> {
        let net = &pool.seams.net;
        let dialled = net.connect_ldap(host, *port, settings.protection, settings.tls.clone());
        let dialled = tokio::time::timeout_at(until.into(), dialled).await;
        Ok(dialled.map_err(|_| Failed::TimedOut)??)
    };
    let mut outcome = None;
    let mut left = u32::try_from(settings.addresses.len()).unwrap_or(u32::MAX);
    for address in &settings.addresses {
        let now = monotonic();
        let share = until.saturating_duration_since(now) / left.max(1);
        match dial(&address.to_string(), now + share).await {
            Ok(link) => return Ok(link.named(host, *port)),
            Err(error) => outcome = Some(error),
        }
        left -= 1;
    }
    match outcome {
        Some(error) => Err(error),
        None => dial(host, until).await,
    }
}

/// Runs the connection until it ends, which all its handles see.
fn drive(pool: &Arc<Pool>, connection: LdapConnAsync) {
    let controller = pool.settings.controller.to_string();
    let weak = Arc::downgrade(pool);
    pool.seams.tasks.spawn("ldap connection", async move {
        match AssertUnwindSafe(connection.drive()).catch_unwind().await {
            Ok(Ok(())) => tracing::debug!(controller, "directory connection ended"),
            Ok(Err(error)) => tracing::debug!(controller, %error, "directory connection failed"),
            Err(_) => tracing::warn!(controller, "directory sent a malformed answer"),
        }
        connection_ended(&weak);
    });
}

/// objectGUID, or entryUUID where there is none.
fn object_id(entry: SearchEntry) -> Option<ObjectId> {
    // A binary value that happens to be UTF-8 comes as text.
    let value = |name: &str| {
        let text = entry
            .attrs
            .iter()
            .map(|(key, values)| (key, values.first().map(String::as_bytes)));
        let bytes = entry
            .bin_attrs
            .iter()
            .map(|(key, values)| (key, values.first().map(Vec::as_slice)));
        text.chain(bytes)
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value)
    };
    if let Some(guid) = value("objectGUID") {
        // Active Directory stores the first three fields with their bytes reversed.
        let guid = uuid::Uuid::from_bytes_le(guid.try_into().ok()?);
        return Some(ObjectId::from_bytes(*guid.as_bytes()));
    }
    std::str::from_utf8(value("entryUUID")?).ok()?.parse().ok()
}

fn policy(controls: &[ldap3::controls::Control]) -> Option<PolicyAnswer> {
    controls
        .iter()
        .find(|control| control.1.ctype == PASSWORD_POLICY)
        .map(|control| PolicyAnswer::read(control.1.val.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const GUID: &str = "6995b085-9404-416e-8f04-0123456789ab";

    fn entry(text: &[(&str, &str)], bytes: &[(&str, Vec<u8>)]) -> SearchEntry {
        SearchEntry {
            dn: String::new(),
            attrs: text
                .iter()
                .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]))
                .collect(),
            bin_attrs: bytes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), vec![value.clone()]))
                .collect::<HashMap<_, _>>(),
        }
    }

    #[test]
    fn an_object_is_known_by_its_guid_or_entry_uuid() {
        let expected = Some(GUID.parse().unwrap());
        // As Samba sent it.
        let guid = vec![
            0x85, 0xb0, 0x95, 0x69, 0x04, 0x94, 0x6e, 0x41, 0x8f, 0x04, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
        ];
        assert_eq!(object_id(entry(&[], &[("objectguid", guid.clone())])), expected);
        assert_eq!(object_id(entry(&[("entryUUID", GUID)], &[])), expected);
        assert!(object_id(entry(&[("objectGUID", "abcdefghijklmnop")], &[])).is_some());
        assert_eq!(object_id(entry(&[], &[("objectGUID", guid[1..].to_vec())])), None);
        assert_eq!(object_id(entry(&[("entryUUID", "x")], &[])), None);
        assert_eq!(object_id(entry(&[], &[])), None);
    }
}
