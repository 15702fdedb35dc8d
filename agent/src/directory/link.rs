//! One connection, with `ldap3` in it. Nothing of `ldap3` is seen outside.
//!
//! `ldap3` runs the connection in a task of its own. That task, and the reading of answers, can panic on
//! malformed bytes; a panic is taken for the loss of the connection. `ldap3` copies the password
//! into buffers that it does not wipe, and borrows ours until the call ends.

mod suffixes;

use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;
use ldap3::controls::RawControl;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, SearchOptions,
    StdStream,
};
use postern_kit::clock::monotonic;
use postern_kit::net::{LdapLink, LdapStream};
use postern_proto::ids::ObjectId;
use postern_proto::verdict::{Unavailable, Verdict};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::answer::{Answer, Judged, judge};
use super::ldap::{Pool, connection_ended};
use super::lockout::Texts;
use super::policy::{PASSWORD_EXPIRED, PASSWORD_POLICY, PolicyAnswer, PolicyError};
use super::whom::Search;
use crate::config::{DirectoryKind, HostPort};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Items of a search that are read: one entry is expected, and Active Directory adds a reference
/// for each naming context below the base, such as a child domain. A directory that sends more is
/// not asked further.
const SEARCH_ITEMS_MAX: usize = 256;

/// Entries of which texts are read: rules of a directory, of which there are a few.
const TEXTS_MAX: i32 = 100;

/// Result codes of a search that say how many entries there are.
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;

/// What a search for one entry finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    One(Entry),
    Nothing,
    Several,
}

/// An entry that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    /// The ids that the directory itself has given it; some give two.
    pub(super) objects: Vec<ObjectId>,
}

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

impl BindAnswer {
    /// What it means, from a directory of this kind.
    pub(super) fn judged(&self, kind: DirectoryKind) -> Judged {
        judge(
            kind,
            &Answer {
                code: self.code,
                message: &self.message,
                policy: self.policy,
            },
        )
    }
}

/// Why a bind was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum BindFailed {
    /// The connection had ended before: the bind was certainly not written.
    #[error("connection had ended before the bind")]
    NotSent,
    /// No answer came in time.
    #[error("no answer to the bind in time")]
    TimedOut,
    /// The connection ended. `ldap3` does not say whether the bind was written before.
    #[error("connection ended during the bind")]
    Lost,
}

impl From<BindAnswer> for Failed {
    fn from(answer: BindAnswer) -> Self {
        Self::Refused {
            code: answer.code,
            text: answer.message,
        }
    }
}

/// The library panicked, or the operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("malformed answer from the directory")]
    Panicked,
    #[error("no answer in time")]
    TimedOut,
    #[error("connection was closed before it was protected")]
    Closed,
    #[error("directory answers with result {code}: {text}")]
    Refused { code: u32, text: String },
    #[error("directory answers a search for one entry without an end")]
    Endless,
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
            Err(_) => Err(BindFailed::Lost),
        }
    }

    /// Whether the object that was just bound, which `search` finds, is the expected one.
    pub(super) async fn proves(
        &mut self,
        search: &Search,
        expected: ObjectId,
        kind: DirectoryKind,
        until: Instant,
    ) -> Verdict {
        match self.find(search, kind, until).await {
            Ok(Found::One(entry)) if entry.objects.contains(&expected) => Verdict::Accepted,
            Ok(Found::One(entry)) if !entry.objects.is_empty() => Verdict::OtherObject,
            Ok(Found::One(_) | Found::Nothing | Found::Several) => {
                Verdict::Unavailable(Unavailable::ObjectUnknown)
            }
            Err(error) => {
                tracing::warn!(
                    error = postern_kit::telemetry::chain(&error),
                    "cannot read whose the password is"
                );
                Verdict::Unavailable(Unavailable::ObjectUnknown)
            }
        }
    }

    /// What a search for one entry finds.
    pub(super) async fn find(
        &mut self,
        search: &Search,
        kind: DirectoryKind,
        until: Instant,
    ) -> Result<Found, Failed> {
        let answered = guarded(self.entries(search, id_attributes(kind), 2), until).await?;
        // It is in the middle of an answer: nothing else can be asked on this connection.
        let (found, result) = answered.ok_or(Failed::Endless)?;
        let mut found = found.into_iter();
        match (found.next(), found.next(), result.rc) {
            (_, Some(_), _) | (Some(_), _, SIZE_LIMIT_EXCEEDED) => Ok(Found::Several),
            (Some(entry), None, 0) => Ok(Found::One(Entry::of(entry, kind))),
            (None, _, 0) => Ok(Found::Nothing),
            (None, _, NO_SUCH_OBJECT) if search.scope == Scope::Base => Ok(Found::Nothing),
            _ => Err(Failed::Refused {
                code: result.rc,
                text: result.text,
            }),
        }
    }

    /// The first values of attributes, as text, of all entries that a search finds, up to a bound.
    pub(super) async fn texts(
        &mut self,
        search: &Search,
        attributes: &[&'static str],
        until: Instant,
    ) -> Result<Vec<Texts>, Failed> {
        let answered = guarded(self.entries(search, attributes, TEXTS_MAX), until).await?;
        let (found, result) = answered.ok_or(Failed::Endless)?;
        if !matches!(result.rc, 0 | SIZE_LIMIT_EXCEEDED) {
            return Err(Failed::Refused {
                code: result.rc,
                text: result.text,
            });
        }
        let texts = found.into_iter().map(|entry| {
            let first = |(name, values): (String, Vec<String>)| {
                Some((name.to_ascii_lowercase(), values.into_iter().next()?))
            };
            entry.attrs.into_iter().filter_map(first).collect()
        });
        Ok(texts.collect())
    }

    async fn entries(
        &mut self,
        search: &Search,
        attributes: &[&'static str],
        size_limit: i32,
    ) -> ldap3::result::Result<Option<(Vec<SearchEntry>, LdapResult)>> {
        let Search { base, scope, filter } = search;
        let mut stream = self
            .ldap
            .with_search_options(SearchOptions::new().sizelimit(size_limit))
            .streaming_search(base, *scope, filter, attributes.to_vec())
            .await?;
        let mut found = Vec::new();
        for _ in 0..SEARCH_ITEMS_MAX {
            match stream.next().await? {
                Some(item) if item.is_ref() || item.is_intermediate() => {}
                Some(item) => found.push(SearchEntry::construct(item)),
                None => return Ok(Some((found, stream.finish().await))),
            }
        }
        Ok(None)
    }
}

/// Dials the controller, each of its known addresses within its share of the time.
pub(super) async fn connect(pool: &Pool, until: Instant) -> Result<LdapLink, BoxedError> {
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

/// The attributes in which a directory keeps the ids that it gives. Only those: in another kind of
/// directory anybody may be allowed to write an attribute of that name.
fn id_attributes(kind: DirectoryKind) -> &'static [&'static str] {
    match kind {
        DirectoryKind::ActiveDirectory => &["objectGUID"],
        // RFC 4530; what 389-ds had before that.
        DirectoryKind::Ldap => &["entryUUID", "nsUniqueId"],
    }
}

impl Entry {
    fn of(found: SearchEntry, kind: DirectoryKind) -> Self {
        let ids = id_attributes(kind).iter().filter_map(|name| {
            let value = value(&found, name)?;
            let id = match kind {
                // Active Directory stores the first three fields with their bytes reversed.
                DirectoryKind::ActiveDirectory => uuid::Uuid::from_bytes_le(value.try_into().ok()?),
                // nsUniqueId has its hyphens in other places than a UUID has.
                DirectoryKind::Ldap => {
                    let digits = std::str::from_utf8(value).ok()?.replace('-', "");
                    uuid::Uuid::try_parse(&digits).ok()?
                }
            };
            Some(ObjectId::from_bytes(*id.as_bytes()))
        });
        let objects = ids.collect();
        Self {
            dn: found.dn,
            objects,
        }
    }
}

/// The first value of an attribute. A binary value that happens to be UTF-8 comes as text.
fn value<'a>(entry: &'a SearchEntry, name: &str) -> Option<&'a [u8]> {
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
}

/// What the controls of an answer say about the password.
fn policy(controls: &[ldap3::controls::Control]) -> Option<PolicyAnswer> {
    let find = |oid| controls.iter().find(|control| control.1.ctype == oid);
    let answer = find(PASSWORD_POLICY).map(|control| PolicyAnswer::read(control.1.val.as_deref()));
    match answer {
        None | Some(PolicyAnswer::Nothing) if find(PASSWORD_EXPIRED).is_some() => {
            Some(PolicyAnswer::Error(PolicyError::PasswordExpired))
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::controls::Control;
    use std::collections::HashMap;

    const GUID: &str = "6995b085-9404-416e-8f04-0123456789ab";

    fn ids(kind: DirectoryKind, text: &[(&str, &str)], bytes: &[(&str, Vec<u8>)]) -> Vec<ObjectId> {
        let found = SearchEntry {
            dn: String::new(),
            attrs: text
                .iter()
                .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]))
                .collect(),
            bin_attrs: bytes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), vec![value.clone()]))
                .collect::<HashMap<_, _>>(),
        };
        Entry::of(found, kind).objects
    }

    #[test]
    fn an_object_is_known_by_what_its_directory_calls_it() {
        use DirectoryKind::{ActiveDirectory as Ad, Ldap};
        let expected = [GUID.parse().unwrap()];
        // As Samba sent it.
        let guid = vec![
            0x85, 0xb0, 0x95, 0x69, 0x04, 0x94, 0x6e, 0x41, 0x8f, 0x04, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
        ];
        let unique = "6995b085-9404416e-8f040123-456789ab";
        assert_eq!(ids(Ad, &[], &[("objectguid", guid.clone())]), expected);
        assert_eq!(ids(Ad, &[("objectGUID", "abcdefghijklmnop")], &[]).len(), 1);
        assert_eq!(ids(Ldap, &[("entryUUID", GUID)], &[]), expected);
        assert_eq!(ids(Ldap, &[("nsUniqueId", unique)], &[]), expected);
        let both = ids(
            Ldap,
            &[
                ("nsUniqueId", unique),
                ("entryUUID", &GUID.replace("6995", "7777")),
            ],
            &[],
        );
        assert_eq!((both.len(), both.contains(&expected[0])), (2, true));

        assert_eq!(ids(Ad, &[], &[("objectGUID", guid[1..].to_vec())]), []);
        assert_eq!(ids(Ldap, &[("entryUUID", "x")], &[]), []);
        assert_eq!(ids(Ad, &[("entryUUID", GUID)], &[]), [], "anybody's attribute");
        assert_eq!(ids(Ldap, &[], &[("objectGUID", guid)]), [], "anybody's attribute");
    }

    #[test]
    fn the_older_control_says_what_the_newer_one_does_not() {
        let control = |oid: &str, value: Option<&[u8]>| {
            let raw = RawControl {
                ctype: oid.to_owned(),
                crit: false,
                val: value.map(<[u8]>::to_vec),
            };
            Control(None, raw)
        };
        // As 389-ds writes it; other servers leave the value out.
        let expired = || control(PASSWORD_EXPIRED, Some(b"0"));
        let nothing = control(PASSWORD_POLICY, Some(&[0x30, 0]));
        let change = control(PASSWORD_POLICY, Some(&[0x30, 3, 0x81, 1, 2]));
        let old = Some(PolicyAnswer::Error(PolicyError::PasswordExpired));
        assert_eq!(policy(&[]), None);
        assert_eq!(policy(&[expired()]), old);
        assert_eq!(policy(&[control(PASSWORD_EXPIRED, None), nothing]), old);
        let new = Some(PolicyAnswer::Error(PolicyError::ChangeAfterReset));
        assert_eq!(policy(&[expired(), change]), new);
    }
}
