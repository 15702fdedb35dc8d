//! Fault rules carried out: in place of a request, or on the bytes of its answer.

use std::time::Duration;

use bytes::BytesMut;
use ldap3_proto::proto::{LdapExtendedResponse, LdapMsg, LdapOp, LdapResult, LdapResultCode};
use postern_kit::random::{Random as _, SeededRandom};
use tokio::io::AsyncWriteExt as _;
use tokio_util::codec::Encoder as _;

use super::connection::{Frames, Next, Session, next_cut, reply};
use super::connections::{Cut, Reach};
use super::{Controller, WRITE_WAIT_MAX, bind, codec, result};
use crate::faults::{Decision, Effect, Operation};

/// What rules have in store for one request.
#[derive(Debug, Default)]
pub(super) struct Trouble(Decision);

/// How a slow or torn answer ended.
#[derive(Debug)]
pub(super) enum Sent {
    /// All of it is on the wire.
    Whole,
    /// The connection is to be dropped without a word.
    Torn,
    /// By order of a test.
    Cut(Cut),
}

impl Trouble {
    /// What becomes of a request.
    pub(super) fn of(controller: &Controller, session: &Session, request: &LdapOp) -> Self {
        let Some(operation) = operation(request) else {
            return Self::default();
        };
        let whose = || whose(controller, session, request);
        Self(controller.faults.decide(operation, &controller.host, whose))
    }

    /// What becomes of a new connection.
    pub(super) fn of_connection(controller: &Controller) -> Self {
        Self(
            controller
                .faults
                .decide(Operation::Connect, &controller.host, Vec::new),
        )
    }

    /// The effect, for binds, whose journal has to know it.
    pub(super) fn effect(&self) -> Option<&Effect> {
        self.0.effect.as_ref()
    }

    /// What follows instead of the request, if it is not carried out.
    pub(super) fn instead(&self, id: i32, request: &LdapOp) -> Option<Next> {
        match self.effect()? {
            Effect::Refuse => Some(Next::Close),
            Effect::Hang => Some(Next::Hang),
            effect @ Effect::Answer {
                carried_out: false, ..
            } => Some(reply(id, response(request, made_up(effect)?)?)),
            Effect::LoseAnswer
            | Effect::CutAnswer
            | Effect::Garble
            | Effect::SlowBytes { .. }
            | Effect::SubCode(_)
            | Effect::Answer { .. } => None,
        }
    }

    /// Holds the answer back no longer than a search's time limit; whether that is too short for it.
    pub(super) fn ends_at(&mut self, limit: Option<Duration>) -> bool {
        match limit {
            Some(limit) if self.0.delay >= limit => {
                self.0.delay = limit;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Waits as long as the answer is held back, unless the connection is cut meanwhile.
    pub(super) async fn wait(&self, session: &mut Session) -> Option<Cut> {
        if self.0.delay.is_zero() {
            return None;
        }
        tokio::select! {
            cut = next_cut(session, Reach::All) => Some(cut),
            () = tokio::time::sleep(self.0.delay) => None,
        }
    }

    /// What follows a request that was carried out.
    pub(super) fn bend(&self, next: Next) -> Next {
        match (self.effect(), next) {
            (Some(Effect::LoseAnswer), Next::Answer(_) | Next::StartTls(_)) => Next::Close,
            (
                Some(
                    effect @ Effect::Answer {
                        carried_out: true, ..
                    },
                ),
                Next::Answer(answers),
            ) => Next::Answer(lied(answers, effect)),
            // A client that was refused does not begin a handshake.
            (
                Some(
                    effect @ Effect::Answer {
                        carried_out: true, ..
                    },
                ),
                Next::StartTls(answer),
            ) => Next::Answer(lied(vec![answer], effect)),
            (_, next) => next,
        }
    }

    /// Whether the answer goes out as any other does.
    pub(super) fn spares_answer(&self) -> bool {
        !matches!(
            self.effect(),
            Some(Effect::CutAnswer | Effect::Garble | Effect::SlowBytes { .. })
        )
    }

    /// Sends an answer that is not spared.
    pub(super) async fn send(
        &self,
        session: &mut Session,
        frames: &mut Frames,
        answers: Vec<LdapMsg>,
    ) -> Sent {
        let mut bytes = BytesMut::new();
        for answer in answers {
            if codec().encode(answer, &mut bytes).is_err() {
                return Sent::Torn;
            }
        }
        let (mut piece, mut pause, mut torn) = (bytes.len(), Duration::ZERO, false);
        match self.effect() {
            Some(Effect::CutAnswer) => {
                bytes.truncate(bytes.len().div_ceil(2));
                torn = true;
            }
            Some(Effect::Garble) => garble(&mut bytes, self.0.seed),
            Some(Effect::SlowBytes { bytes, pause: time }) => (piece, pause) = (*bytes, *time),
            Some(_) | None => {}
        }
        for (at, piece) in bytes.chunks(piece.max(1)).enumerate() {
            if at > 0 {
                tokio::select! {
                    cut = next_cut(session, Reach::All) => return Sent::Cut(cut),
                    () = tokio::time::sleep(pause) => {}
                }
            }
            let io = frames.get_mut();
            let write = async {
                io.write_all(piece).await?;
                io.flush().await
            };
            if !matches!(tokio::time::timeout(WRITE_WAIT_MAX, write).await, Ok(Ok(()))) {
                return Sent::Torn;
            }
        }
        if torn { Sent::Torn } else { Sent::Whole }
    }
}

fn operation(request: &LdapOp) -> Option<Operation> {
    Some(match request {
        LdapOp::BindRequest(_) => Operation::Bind,
        LdapOp::SearchRequest(_) => Operation::Search,
        LdapOp::CompareRequest(_) => Operation::Compare,
        LdapOp::ModifyRequest(_) => Operation::Modify,
        LdapOp::AddRequest(_) => Operation::Add,
        LdapOp::DelRequest(_) => Operation::Delete,
        LdapOp::ModifyDNRequest(_) => Operation::ModifyDn,
        LdapOp::ExtendedRequest(_) => Operation::Extended,
        _ => return None,
    })
}

fn whose(controller: &Controller, session: &Session, request: &LdapOp) -> Vec<String> {
    controller.directory.read(|domain| {
        let (typed, account) = match request {
            LdapOp::BindRequest(bind) => (Some(bind.dn.to_lowercase()), domain.resolve(&bind.dn)),
            _ => (None, session.identity.and_then(|guid| domain.account(guid))),
        };
        let sam = account.map(|account| account.sam.to_lowercase());
        typed.into_iter().chain(sam).collect()
    })
}

/// The result that a rule makes up.
pub(super) fn made_up(effect: &Effect) -> Option<LdapResult> {
    let Effect::Answer {
        code,
        message,
        referral,
        ..
    } = effect
    else {
        return None;
    };
    let code = LdapResultCode::try_from(i64::from(*code)).ok()?;
    Some(LdapResult {
        referral: referral.clone(),
        ..result(code, message.clone())
    })
}

/// A result as the answer to this kind of request.
pub(super) fn response(request: &LdapOp, res: LdapResult) -> Option<LdapOp> {
    Some(match request {
        LdapOp::BindRequest(_) => bind::response(res),
        LdapOp::SearchRequest(_) => LdapOp::SearchResultDone(res),
        LdapOp::CompareRequest(_) => LdapOp::CompareResult(res),
        LdapOp::ModifyRequest(_) => LdapOp::ModifyResponse(res),
        LdapOp::AddRequest(_) => LdapOp::AddResponse(res),
        LdapOp::DelRequest(_) => LdapOp::DelResponse(res),
        LdapOp::ModifyDNRequest(_) => LdapOp::ModifyDNResponse(res),
        LdapOp::ExtendedRequest(_) => LdapOp::ExtendedResponse(LdapExtendedResponse {
            res,
            name: None,
            value: None,
        }),
        _ => return None,
    })
}

/// The answers with another result at their end.
fn lied(mut answers: Vec<LdapMsg>, effect: &Effect) -> Vec<LdapMsg> {
    let told = answers.last_mut().and_then(|last| match &mut last.op {
        LdapOp::BindResponse(response) => Some(&mut response.res),
        LdapOp::ExtendedResponse(response) => Some(&mut response.res),
        LdapOp::SearchResultDone(res)
        | LdapOp::CompareResult(res)
        | LdapOp::ModifyResponse(res)
        | LdapOp::AddResponse(res)
        | LdapOp::DelResponse(res)
        | LdapOp::ModifyDNResponse(res) => Some(res),
        _ => None,
    });
    if let (Some(told), Some(lie)) = (told, made_up(effect)) {
        *told = lie;
    }
    answers
}

/// Changes about every fourth byte, and the last one for certain.
fn garble(bytes: &mut [u8], seed: u64) {
    let mut noise = vec![0; bytes.len() * 2];
    SeededRandom::new(seed).fill(&mut noise);
    let last = bytes.len().saturating_sub(1);
    for (at, (byte, noise)) in bytes.iter_mut().zip(noise.chunks_exact(2)).enumerate() {
        if at == last || noise[0] < 64 {
            *byte ^= noise[1].max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_garbled_answer_has_its_length_and_repeats_with_its_seed() {
        let garbled = |seed, length| {
            let mut bytes = vec![7; length];
            garble(&mut bytes, seed);
            bytes
        };
        let all = garbled(1, 4000);
        let other = all.iter().filter(|byte| **byte != 7).count();
        assert!((850..1150).contains(&other), "{other} of 4,000");
        assert_eq!(all, garbled(1, 4000));
        assert_ne!(all, garbled(2, 4000));
        assert!((0..100).all(|seed| garbled(seed, 1) != [7]));
        assert!(garbled(1, 0).is_empty());
    }
}
