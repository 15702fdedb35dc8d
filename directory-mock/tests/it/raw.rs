//! A client that sends and reads single LDAP messages, for what a well-behaved one hides.

use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapDerefAliases, LdapFilter, LdapMsg, LdapOp, LdapSearchRequest,
    LdapSearchScope,
};
use postern_kit::Seams;
use postern_kit::net::BoxedIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::codec::{Encoder as _, Framed};

use crate::client::soon;

/// A plain connection.
pub(crate) struct Raw(Framed<BoxedIo, LdapCodec>);

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(Framed::new(dial(addr).await, LdapCodec::default()))
    }

    pub(crate) async fn send(&mut self, msgid: i32, op: LdapOp, ctrl: Vec<LdapControl>) {
        self.0.send(LdapMsg { msgid, op, ctrl }).await.unwrap();
    }

    /// Two messages in one write.
    pub(crate) async fn send_both(&mut self, msgid: i32, first: LdapOp, second: LdapOp) {
        for (msgid, op) in [(msgid, first), (msgid + 1, second)] {
            let ctrl = Vec::new();
            self.0.feed(LdapMsg { msgid, op, ctrl }).await.unwrap();
        }
        self.0.flush().await.unwrap();
    }

    /// The next message; `None` is the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<LdapMsg> {
        soon(self.0.next()).await?.ok()
    }
}

async fn dial(addr: SocketAddr) -> BoxedIo {
    let net = Seams::real().net;
    net.connect(&addr.ip().to_string(), addr.port()).await.unwrap()
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn bytes(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut io = dial(addr).await;
    // The server may close before it took everything.
    let _ = io.write_all(bytes).await;
    let _ = io.shutdown().await;
    let mut answer = Vec::new();
    let _ = soon(io.read_to_end(&mut answer)).await;
    answer
}

/// A message's bytes.
pub(crate) fn encoded(msgid: i32, op: LdapOp) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    let message = LdapMsg {
        msgid,
        op,
        ctrl: Vec::new(),
    };
    LdapCodec::default().encode(message, &mut bytes).unwrap();
    bytes.to_vec()
}

pub(crate) fn bind(name: &str, password: &str) -> LdapOp {
    LdapOp::BindRequest(LdapBindRequest {
        version: 3,
        dn: name.to_owned(),
        cred: LdapBindCred::Simple(password.to_owned()),
    })
}

pub(crate) fn search(base: &str, scope: LdapSearchScope) -> LdapOp {
    LdapOp::SearchRequest(LdapSearchRequest {
        base: base.to_owned(),
        scope,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter: LdapFilter::Present("objectClass".to_owned()),
        attrs: vec!["cn".to_owned()],
    })
}
