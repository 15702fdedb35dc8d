//! What a client sends while it still waits for an answer.
//!
//! Requests are answered one after the other. Two things are looked at ahead of their turn: an abandon
//! request ends the answers to a search, and Windows refuses whatever comes while a bind is outstanding (Samba
//! takes it up afterwards). At most one request is read ahead and kept on its [`Session`].

use std::io;

use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use ldap3_proto::proto::{LdapMsg, LdapOp, LdapResultCode};

use super::connection::{Frames, Session, message};
use super::connections::Cut;
use super::trouble::{self, Trouble};
use super::{WRITE_WAIT_MAX, result};

/// Entries between two looks for an abandon request.
const ANSWERS_PER_LOOK: usize = 64;

const BIND_OUTSTANDING: &str =
    "00002077: LdapErr: DSID-0C090D10, comment: a bind is outstanding on this connection, data 0, v4563\0";

/// What was read: a request, an error, or the end.
pub(super) type Received = Option<Result<LdapMsg, io::Error>>;

/// The next request: the one that was read ahead, or one that comes.
///
/// # Cancellation
/// Safe to drop: nothing is lost.
pub(super) async fn next(ahead: &mut Option<Received>, frames: &mut Frames) -> Received {
    match ahead.take() {
        Some(received) => received,
        None => frames.next().await,
    }
}

/// Sends the answers to the request `id`. Those of a search end when the client abandons it.
pub(super) async fn deliver(
    session: &mut Session,
    frames: &mut Frames,
    id: i32,
    answers: Vec<LdapMsg>,
) -> Option<()> {
    // One answer, or one entry with the result, is gone before anybody can want it no longer.
    let looks = answers.len() > 2;
    let write = async {
        for (at, answer) in answers.into_iter().enumerate() {
            if looks && at % ANSWERS_PER_LOOK == 0 && is_abandoned(session, frames, id) {
                break;
            }
            frames.feed(answer).await?;
        }
        frames.flush().await
    };
    tokio::time::timeout(WRITE_WAIT_MAX, write).await.ok()?.ok()
}

/// Reads ahead, unless something waits already.
fn is_abandoned(session: &mut Session, frames: &mut Frames, id: i32) -> bool {
    if session.ahead.is_some() {
        return false;
    }
    match frames.next().now_or_never() {
        Some(Some(Ok(LdapMsg {
            op: LdapOp::AbandonRequest(abandoned),
            ..
        }))) if abandoned == id => true,
        Some(received) => {
            session.ahead = Some(received);
            false
        }
        None => false,
    }
}

/// How the wait for a bind's answer ended.
#[derive(Debug)]
pub(super) enum Waited {
    /// The answer may go.
    Over,
    /// By order of a test.
    Cut(Cut),
    /// The client has left.
    Left,
}

/// Waits as long as the answer to a bind is held back, and refuses what comes meanwhile.
pub(super) async fn wait_for_bind(trouble: &Trouble, session: &mut Session, frames: &mut Frames) -> Waited {
    let mut ended = None;
    let cut = {
        let waiting = trouble.wait(session);
        tokio::pin!(waiting);
        loop {
            let received = tokio::select! {
                // What is sent together with a bind that is answered at once has not come too early.
                biased;
                cut = &mut waiting => break cut,
                received = frames.next(), if ended.is_none() => received,
            };
            let Some(Ok(request)) = received else {
                ended = Some(received);
                continue;
            };
            if matches!(request.op, LdapOp::UnbindRequest) {
                return Waited::Left;
            }
            let refused = result(LdapResultCode::OperationsError, BIND_OUTSTANDING);
            let Some(refused) = trouble::response(&request.op, refused) else {
                continue;
            };
            let refused = message(request.msgid, refused);
            let sent = tokio::time::timeout(WRITE_WAIT_MAX, frames.send(refused)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return Waited::Left;
            }
        }
    };
    session.ahead = session.ahead.take().or(ended);
    cut.map_or(Waited::Over, Waited::Cut)
}
