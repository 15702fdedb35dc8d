//! A connection without a network: bytes in, bytes out. For fuzzing, and for tests that send millions of
//! messages.

use std::sync::Arc;

use bytes::BytesMut;
use ldap3_proto::LdapCodec;
use ldap3_proto::proto::LdapMsg;
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::connection::{self, Next, Session};
use super::trouble::Trouble;
use super::{Controller, codec};

/// A connection of a [`Server`](crate::Server) in process. It speaks as one on the plain port does, except that
/// fault rules pass it by and StartTLS ends it after its answer.
pub struct Loopback {
    controller: Arc<Controller>,
    session: Session,
    codec: LdapCodec,
    unread: BytesMut,
    open: bool,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loopback")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Loopback {
    pub(crate) fn new(controller: Arc<Controller>) -> Option<Self> {
        let open = controller.connections.open(false, controller.connections_max)?;
        Some(Self {
            controller,
            session: Session::new(open),
            codec: codec(),
            unread: BytesMut::new(),
            open: true,
        })
    }

    /// Takes what a client sends and gives what it is answered. Part of a message waits for the rest.
    pub fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut answers = BytesMut::new();
        while self.open {
            match self.codec.decode(&mut self.unread) {
                Ok(Some(request)) => self.answer(request, &mut answers),
                Ok(None) => break,
                Err(_) => {
                    self.session.open.unreadable();
                    self.open = false;
                    let notice = connection::unreadable(self.controller.flavour);
                    self.write(notice.into_iter().collect(), &mut answers);
                }
            }
        }
        answers.to_vec()
    }

    /// Whether the server would keep the connection.
    pub fn is_open(&self) -> bool {
        self.open
    }

    fn answer(&mut self, request: LdapMsg, answers: &mut BytesMut) {
        let trouble = Trouble::default();
        match connection::answer(&self.controller, &mut self.session, request, &trouble) {
            Next::Answer(messages) => self.write(messages, answers),
            Next::StartTls(message) => {
                self.write(vec![message], answers);
                self.open = false;
            }
            Next::Hang | Next::Close => self.open = false,
        }
    }

    fn write(&mut self, messages: Vec<LdapMsg>, answers: &mut BytesMut) {
        for message in messages {
            // What cannot be encoded ends a connection on the network, too.
            self.open &= self.codec.encode(message, answers).is_ok();
        }
    }
}
