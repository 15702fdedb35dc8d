//! One connection: requests are answered one after the other, in their order, until the client
//! leaves, the idle limit passes, or a test cuts it.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapExtendedRequest, LdapExtendedResponse, LdapMsg, LdapOp, LdapResult, LdapResultCode, OID_WHOAMI,
};
use postern_kit::net::BoxedIo;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;
use uuid::Uuid;

use super::connections::{Cut, Open, Reach};
use super::meanwhile::{self, Received, Waited};
use super::pages::Paged;
use super::trouble::{Sent, Trouble};
use super::{Controller, HANDSHAKE_WAIT_MAX, WRITE_WAIT_MAX, bind, codec, result, search, write};
use crate::faults::Effect;
use crate::model::Flavour;

const OID_START_TLS: &str = "1.3.6.1.4.1.1466.20037";
const OID_NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";
/// How Windows calls a message that it cannot read.
const UNREADABLE: &str =
    "00000057: LdapErr: DSID-0C0C0095, comment: Error decoding ldap message, data 0, v4563\0";
/// Time for a client to stop sending what cannot be read: a request of the largest size takes far less.
const UNREAD_WAIT_MAX: Duration = Duration::from_secs(2);
/// Binds that check a password and leave the connection nobody's.
const OID_FAST_BIND: &str = "1.2.840.113556.1.4.1781";

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) open: Open,
    /// Whom the last successful bind made it.
    pub(super) identity: Option<Uuid>,
    /// Fast bind: no bind gives the connection an identity any more.
    pub(super) fast_bind: bool,
    /// A paged search between two pages.
    pub(super) paged: Option<Paged>,
    /// How many paged searches there were.
    pub(super) searches: u64,
    /// What was read before its turn.
    pub(super) ahead: Option<Received>,
}

impl Session {
    pub(super) fn new(open: Open) -> Self {
        Self {
            open,
            identity: None,
            fast_bind: false,
            paged: None,
            searches: 0,
            ahead: None,
        }
    }
}

/// What follows a request.
#[derive(Debug)]
pub(super) enum Next {
    /// These answers, in this order.
    Answer(Vec<LdapMsg>),
    /// This answer, then a TLS handshake.
    StartTls(LdapMsg),
    /// Nothing ever again, while the connection stays open.
    Hang,
    /// The end.
    Close,
}

pub(super) type Frames = Framed<BoxedIo, LdapCodec>;

/// Serves a connection to its end or until the controller stops.
pub(super) async fn serve(controller: Arc<Controller>, io: BoxedIo, open: Open) {
    tokio::select! {
        () = controller.stop.cancelled() => {}
        () = converse(&controller, io, open) => {}
    }
}

async fn converse(controller: &Controller, io: BoxedIo, open: Open) {
    let mut session = Session::new(open);
    let trouble = Trouble::of_connection(controller);
    if trouble.wait(&mut session).await.is_some() {
        return;
    }
    match trouble.effect() {
        None => {}
        Some(Effect::Hang) => {
            // The order to close is all that is waited for; what the client sends is not read.
            next_cut(&mut session, Reach::All).await;
            return;
        }
        Some(_) => return,
    }
    let io = if session.open.encrypted {
        match handshake(controller, &session.open, io).await {
            Some(io) => io,
            None => return,
        }
    } else {
        io
    };
    let mut frames = Framed::new(io, codec());
    while let Some(after) = turn(controller, &mut session, frames).await {
        frames = after;
    }
}

/// Waits for one request and answers it; `None` is the end.
async fn turn(controller: &Controller, session: &mut Session, mut frames: Frames) -> Option<Frames> {
    // Held here, so that a request that was read ahead is lost to none of the branches.
    let mut ahead = session.ahead.take();
    let request = tokio::select! {
        cut = next_cut(session, Reach::Idle) => return close(frames, cut.notice).await,
        () = tokio::time::sleep(controller.idle_limit) => return close(frames, true).await,
        request = meanwhile::next(&mut ahead, &mut frames) => request,
    };
    let Ok(request) = request? else {
        session.open.unreadable();
        return refuse_unreadable(controller.flavour, frames).await;
    };
    let (id, is_bind) = (request.msgid, matches!(request.op, LdapOp::BindRequest(_)));
    let limit = search::time_limit_of(controller.flavour, &request.op);
    let mut trouble = Trouble::of(controller, session, &request.op);
    let is_late = trouble.ends_at(limit);
    let mut next = answer(controller, session, request, &trouble);
    if is_bind && controller.flavour == Flavour::Windows {
        match meanwhile::wait_for_bind(&trouble, session, &mut frames).await {
            Waited::Over => {}
            Waited::Cut(cut) => return close(frames, cut.notice).await,
            Waited::Left => return None,
        }
    } else if let Some(cut) = trouble.wait(session).await {
        return close(frames, cut.notice).await;
    }
    if is_late && matches!(next, Next::Answer(_)) {
        next = reply(id, search::time_is_up());
    }
    match trouble.bend(next) {
        Next::Answer(answers) if !trouble.spares_answer() => {
            match trouble.send(session, &mut frames, answers).await {
                Sent::Whole => Some(frames),
                Sent::Torn => None,
                Sent::Cut(cut) => close(frames, cut.notice).await,
            }
        }
        Next::Answer(answers) => {
            meanwhile::deliver(session, &mut frames, id, answers).await?;
            Some(frames)
        }
        Next::StartTls(answer) => {
            send(&mut frames, vec![answer]).await?;
            start_tls(controller, session, frames).await
        }
        Next::Hang => hang(session, frames).await,
        Next::Close => None,
    }
}

/// What follows a request. Nothing here waits.
pub(super) fn answer(
    controller: &Controller,
    session: &mut Session,
    request: LdapMsg,
    trouble: &Trouble,
) -> Next {
    let id = request.msgid;
    // A bind's trouble goes into the journal.
    if !matches!(request.op, LdapOp::BindRequest(_))
        && let Some(next) = trouble.instead(id, &request.op)
    {
        return next;
    }
    if let Some(refused) = refuse_control(controller.flavour, &request) {
        return reply(id, refused);
    }
    let controls = request.ctrl;
    match request.op {
        LdapOp::BindRequest(request) => bind::answer(controller, session, id, request, trouble.effect()),
        LdapOp::SearchRequest(request) => {
            let asked = search::Asked {
                id,
                controls: &controls,
                request: &request,
            };
            Next::Answer(search::answer(controller, session, asked))
        }
        LdapOp::ExtendedRequest(request) => extended(controller, session, id, &request),
        LdapOp::AbandonRequest(_) => Next::Answer(Vec::new()),
        LdapOp::ModifyRequest(request) => {
            let answer = write::modify(controller, session, &controls, request);
            reply(id, LdapOp::ModifyResponse(answer))
        }
        LdapOp::AddRequest(request) => {
            reply(id, LdapOp::AddResponse(write::add(controller, session, request)))
        }
        LdapOp::DelRequest(dn) => reply(id, LdapOp::DelResponse(write::delete(controller, session, &dn))),
        LdapOp::ModifyDNRequest(request) => {
            let answer = write::rename(controller, session, &request);
            reply(id, LdapOp::ModifyDNResponse(answer))
        }
        LdapOp::CompareRequest(request) => {
            let answer = write::compare(controller, session, &request);
            reply(id, LdapOp::CompareResult(answer))
        }
        // Unbind ends the connection; so does what only a server may send.
        _ => Next::Close,
    }
}

fn extended(controller: &Controller, session: &mut Session, id: i32, request: &LdapExtendedRequest) -> Next {
    let unsupported = || {
        let text = format!("Extended Operation({}) not supported", request.name);
        extended_response(result(LdapResultCode::ProtocolError, text), None, None)
    };
    match request.name.as_str() {
        OID_START_TLS if session.open.encrypted => {
            let text = "START-TLS: TLS is already enabled on this LDAP session";
            let refused = result(LdapResultCode::OperationsError, text);
            reply(id, extended_response(refused, Some(OID_START_TLS), None))
        }
        OID_START_TLS => {
            let granted = result(LdapResultCode::Success, "");
            let response = extended_response(granted, Some(OID_START_TLS), None);
            Next::StartTls(message(id, response))
        }
        OID_WHOAMI if controller.flavour == Flavour::Windows => {
            let name = session
                .identity
                .and_then(|guid| controller.directory.nt_name(guid));
            let value = name
                .map_or(String::new(), |name| format!("u:{name}"))
                .into_bytes();
            let granted = result(LdapResultCode::Success, "");
            reply(id, extended_response(granted, None, Some(value)))
        }
        OID_FAST_BIND if controller.flavour == Flavour::Windows => {
            if session.identity.is_some() {
                let text = "00002077: SvcErr: fast bind is not possible on a bound connection";
                let refused = result(LdapResultCode::UnwillingToPerform, text);
                return reply(id, extended_response(refused, None, None));
            }
            session.fast_bind = true;
            let granted = result(LdapResultCode::Success, "");
            reply(id, extended_response(granted, Some(OID_FAST_BIND), None))
        }
        _ => reply(id, unsupported()),
    }
}

/// A control that is critical and unknown: 12. Samba sends it as an extended response, whatever
/// was asked.
fn refuse_control(flavour: Flavour, request: &LdapMsg) -> Option<LdapOp> {
    let unknown = request.ctrl.iter().any(|control| match control {
        LdapControl::Unknown { oid, criticality, .. } => {
            *criticality && !super::root_dse::has_control(oid, flavour)
        }
        LdapControl::SyncRequest { criticality, .. } | LdapControl::PasswordPolicyRequest { criticality } => {
            *criticality
        }
        _ => false,
    });
    if !unknown {
        return None;
    }
    let refused = result(LdapResultCode::UnavailableCriticalExtension, "");
    Some(match (&request.op, flavour) {
        (LdapOp::UnbindRequest | LdapOp::AbandonRequest(_), _) => return None,
        (LdapOp::SearchRequest(_), Flavour::Windows) => LdapOp::SearchResultDone(refused),
        (LdapOp::BindRequest(_), _) => bind::response(refused),
        _ => extended_response(refused, None, None),
    })
}

pub(super) fn message(msgid: i32, op: LdapOp) -> LdapMsg {
    LdapMsg {
        msgid,
        op,
        ctrl: Vec::new(),
    }
}

pub(super) fn reply(id: i32, op: LdapOp) -> Next {
    Next::Answer(vec![message(id, op)])
}

fn extended_response(res: LdapResult, name: Option<&str>, value: Option<Vec<u8>>) -> LdapOp {
    LdapOp::ExtendedResponse(LdapExtendedResponse {
        res,
        name: name.map(str::to_owned),
        value,
    })
}

/// Waits for an order to close that reaches a connection in this state.
pub(super) async fn next_cut(session: &mut Session, reach: Reach) -> Cut {
    loop {
        if session.open.cut.changed().await.is_err() {
            // The controller is gone, and `stop` ends this connection.
            std::future::pending::<()>().await;
        }
        let cut = *session.open.cut.borrow_and_update();
        if reach == Reach::Idle || cut.reach == Reach::All {
            return cut;
        }
    }
}

async fn close(mut frames: Frames, notice: bool) -> Option<Frames> {
    if notice {
        let gone = result(
            LdapResultCode::Unavailable,
            "the connection is closed by the server",
        );
        send(&mut frames, vec![notice_of_disconnection(gone)]).await?;
    }
    end(&mut frames).await;
    None
}

fn notice_of_disconnection(reason: LdapResult) -> LdapMsg {
    message(
        0,
        extended_response(reason, Some(OID_NOTICE_OF_DISCONNECTION), None),
    )
}

/// What a client is told that sent no LDAP, or a request that is too large. Samba says nothing.
pub(super) fn unreadable(flavour: Flavour) -> Option<LdapMsg> {
    match flavour {
        Flavour::Samba => None,
        Flavour::Windows => {
            let reason = result(LdapResultCode::ProtocolError, UNREADABLE);
            Some(notice_of_disconnection(reason))
        }
    }
}

async fn refuse_unreadable(flavour: Flavour, mut frames: Frames) -> Option<Frames> {
    let notice = unreadable(flavour)?;
    send(&mut frames, vec![notice]).await?;
    end(&mut frames).await;
    // Closed with something unread, the notice would be lost to a reset.
    let io = frames.get_mut();
    let rest = async {
        let mut skipped = [0; 4096];
        while io.read(&mut skipped).await.is_ok_and(|read| read > 0) {}
    };
    // Past the limit it is lost.
    let _ = tokio::time::timeout(UNREAD_WAIT_MAX, rest).await;
    None
}

async fn end(frames: &mut Frames) {
    // A TLS client should see an orderly end.
    let _ = tokio::time::timeout(WRITE_WAIT_MAX, frames.close()).await;
}

async fn send(frames: &mut Frames, answers: Vec<LdapMsg>) -> Option<()> {
    let write = async {
        for answer in answers {
            frames.feed(answer).await?;
        }
        frames.flush().await
    };
    tokio::time::timeout(WRITE_WAIT_MAX, write).await.ok()?.ok()
}

async fn start_tls(controller: &Controller, session: &mut Session, frames: Frames) -> Option<Frames> {
    let parts = frames.into_parts();
    // Bytes sent in the clear before the handshake must not count as protected.
    if !parts.read_buf.is_empty() {
        return None;
    }
    let io = handshake(controller, &session.open, parts.io).await?;
    session.open.started_tls();
    Some(Framed::new(io, codec()))
}

async fn handshake(controller: &Controller, open: &Open, io: BoxedIo) -> Option<BoxedIo> {
    let acceptor = TlsAcceptor::from(controller.tls.clone());
    match tokio::time::timeout(HANDSHAKE_WAIT_MAX, acceptor.accept(io)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(controller = %controller.host, %error, "tls handshake failed");
            open.no_handshake();
            None
        }
        Err(_) => {
            tracing::debug!(controller = %controller.host, "tls handshake took too long");
            open.no_handshake();
            None
        }
    }
}

/// Takes requests and answers none, until the client leaves or the connection is cut.
async fn hang(session: &mut Session, mut frames: Frames) -> Option<Frames> {
    loop {
        tokio::select! {
            cut = next_cut(session, Reach::All) => return close(frames, cut.notice).await,
            request = frames.next() => { request?.ok()?; }
        }
    }
}
