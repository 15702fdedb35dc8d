//! Binds: faults first, then the judgement, then the journal, then the answer.

use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapBindResponse, LdapOp, LdapResult, LdapResultCode,
};
use uuid::Uuid;

use super::connection::{Next, Session, reply};
use super::{Controller, ENCRYPTION_REQUIRED, result, trouble};
use crate::faults::Effect;
use crate::journal::{BindOutcome, BindRecord};
use crate::model::Flavour;
use crate::semantics::{Outcome, SubCode};

const SASL_REFUSED: &str = "SASL: Failed to start authentication system: NT_STATUS_INVALID_PARAMETER";

pub(super) fn answer(
    controller: &Controller,
    session: &mut Session,
    id: i32,
    request: LdapBindRequest,
    fault: Option<&Effect>,
) -> Next {
    let password = match request.cred {
        LdapBindCred::Simple(password) => zeroize::Zeroizing::new(password),
        LdapBindCred::SASL(_) => {
            let refused = result(LdapResultCode::OperationsError, SASL_REFUSED);
            return reply(id, response(refused));
        }
        LdapBindCred::Unsupported => return Next::Close,
    };
    match decide(controller, session, &request.dn, &password, fault) {
        Decision::Answer(answer) => reply(id, response(answer)),
        Decision::Close => Next::Close,
        Decision::Hang => Next::Hang,
    }
}

enum Decision {
    Answer(LdapResult),
    Close,
    Hang,
}

fn decide(
    controller: &Controller,
    session: &mut Session,
    name: &str,
    password: &str,
    fault: Option<&Effect>,
) -> Decision {
    let mut record = BindRecord {
        at: controller.directory.now(),
        controller: controller.host.clone(),
        connection: session.open.number,
        encrypted: session.open.encrypted,
        name: name.to_owned(),
        object: controller.directory.object_of(name),
        outcome: BindOutcome::Dropped,
        judged: false,
        counted: false,
    };
    let decision = match fault {
        Some(Effect::Hang) => Decision::Hang,
        Some(Effect::Refuse) => Decision::Close,
        Some(effect @ Effect::Answer { carried_out, .. }) => {
            let truth = carried_out.then(|| judge(controller, session, name, password, &mut record));
            let answer = trouble::made_up(effect).or(truth);
            let answer = answer.unwrap_or_else(|| result(LdapResultCode::Other, ""));
            record.outcome = BindOutcome::Answered(answer.code.clone() as i64);
            Decision::Answer(answer)
        }
        Some(Effect::SubCode(code)) => {
            record.outcome = BindOutcome::Refused(SubCode::Odd(*code));
            Decision::Answer(refusal(controller.flavour, SubCode::Odd(*code)))
        }
        Some(Effect::LoseAnswer | Effect::CutAnswer | Effect::Garble) => {
            let answer = judge(controller, session, name, password, &mut record);
            record.outcome = BindOutcome::Dropped;
            Decision::Answer(answer)
        }
        None | Some(Effect::SlowBytes { .. }) if controller.require_encryption && !session.open.encrypted => {
            let answer = result(LdapResultCode::StrongerAuthRequired, ENCRYPTION_REQUIRED);
            record.outcome = BindOutcome::Answered(8);
            Decision::Answer(answer)
        }
        None | Some(Effect::SlowBytes { .. }) => {
            Decision::Answer(judge(controller, session, name, password, &mut record))
        }
    };
    controller.directory.journal().add(record);
    decision
}

fn judge(
    controller: &Controller,
    session: &mut Session,
    name: &str,
    password: &str,
    record: &mut BindRecord,
) -> LdapResult {
    let judgement = controller
        .directory
        .sign_in(controller.flavour, &controller.host, name, password);
    record.object = judgement.object;
    record.counted = judgement.counted;
    record.judged = true;
    match judgement.outcome {
        Outcome::Accepted(guid) => {
            session.identity = (!session.fast_bind).then_some(guid);
            record.outcome = BindOutcome::Accepted;
            result(LdapResultCode::Success, "")
        }
        Outcome::Anonymous => {
            session.identity = None;
            record.outcome = BindOutcome::Anonymous;
            result(LdapResultCode::Success, "")
        }
        Outcome::Refused(code) => {
            session.identity = identity_after_refusal(controller.flavour, session.identity);
            record.outcome = BindOutcome::Refused(code);
            refusal(controller.flavour, code)
        }
    }
}

/// Samba keeps the former identity, which RFC 4511 forbids.
fn identity_after_refusal(flavour: Flavour, before: Option<Uuid>) -> Option<Uuid> {
    match flavour {
        Flavour::Samba => before,
        Flavour::Windows => None,
    }
}

fn refusal(flavour: Flavour, code: SubCode) -> LdapResult {
    result(LdapResultCode::InvalidCredentials, code.message_in(flavour))
}

pub(super) fn response(res: LdapResult) -> LdapOp {
    LdapOp::BindResponse(LdapBindResponse { res, saslcreds: None })
}
