//! What is administered, as messages.

use std::time::Duration;

use postern_kit::traffic::Counts;
use postern_proto::names::DomainName;
use postern_proto::wire::admin as wire;

use super::Status;
use crate::dispatch::AgentPresence;
use crate::sign_in::{AttemptRecord, Record};
use crate::tenants::{Client, Tenant, UserRecord};
use crate::trust::{AgentRecord, TokenRecord};

pub(super) fn status_wire(status: Status) -> wire::Status {
    let listener = |(name, counts): (&str, Counts)| wire::ListenerStatus {
        name: name.to_owned(),
        open: counts.open,
        accepted: counts.accepted,
        above_limit: counts.above_limit,
        anonymous_above_limit: counts.anonymous_above_limit,
        no_handshake: counts.no_handshake,
        slow_handshake: counts.slow_handshake,
        unreadable: counts.unreadable,
        silent: counts.silent,
        overdue: counts.overdue,
        made_room: counts.made_room,
    };
    wire::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        replica_id: status.replica.to_string(),
        started_unix_ms: status.since.unix_ms(),
        sign_ins_under_way: status.load.under_way as u64,
        sign_ins_shed: status.load.shed,
        listeners: status.listeners.into_iter().map(listener).collect(),
    }
}

pub(super) fn tenant_wire(tenant: &Tenant) -> wire::Tenant {
    wire::Tenant {
        id: tenant.id.to_string(),
        name: tenant.name.to_string(),
        created_unix_ms: tenant.created.unix_ms(),
        tell_locked: tenant.tell_locked,
        alternate_id_attribute: tenant
            .alternate_id_attribute
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

pub(super) fn domain_wire(tenant: &Tenant, domain: &DomainName) -> wire::Domain {
    wire::Domain {
        tenant: tenant.name.to_string(),
        name: domain.to_string(),
    }
}

pub(super) fn user_wire(tenant: &Tenant, user: &UserRecord) -> wire::User {
    wire::User {
        id: user.id.to_string(),
        tenant: tenant.name.to_string(),
        username: user.username.to_string(),
        object_id: user.object.to_string(),
        on_premises_name: user.on_premises_name.to_string(),
        domain: user.domain.to_string(),
        alternate_id: user
            .alternate_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

pub(super) fn client_wire(tenant: &Tenant, client: &Client) -> wire::Client {
    wire::Client {
        id: client.id.to_string(),
        tenant: tenant.name.to_string(),
        name: client.name.clone(),
        created_unix_ms: client.created.unix_ms(),
    }
}

pub(super) fn token_wire(tenant: &Tenant, token: &TokenRecord) -> wire::Token {
    wire::Token {
        id: token.id.to_string(),
        tenant: tenant.name.to_string(),
        domains: token.domains.iter().map(ToString::to_string).collect(),
        created_unix_ms: token.created.unix_ms(),
        expires_unix_ms: token.expires.unix_ms(),
        used_by_agent: token.used_by.map(|agent| agent.to_string()).unwrap_or_default(),
    }
}

pub(super) fn agent_wire(
    tenant: &Tenant,
    agent: AgentRecord,
    presence: Option<AgentPresence>,
) -> wire::Agent {
    wire::Agent {
        id: agent.registration.agent.to_string(),
        tenant: tenant.name.to_string(),
        host_name: agent.registration.host_name,
        version: agent.version,
        domains: agent
            .registration
            .domains
            .iter()
            .map(ToString::to_string)
            .collect(),
        enrolled_unix_ms: agent.enrolled.unix_ms(),
        last_seen_unix_ms: agent.last_seen.map_or(0, |at| at.unix_ms()),
        connected: presence.is_some(),
        in_flight: presence.map_or(0, |presence| {
            u32::try_from(presence.in_flight).unwrap_or(u32::MAX)
        }),
        fingerprint: hex::encode(agent.fingerprint),
        certificate_expires_unix_ms: agent.expires.unix_ms(),
        drained: agent.registration.drained,
        revoked_unix_ms: agent.revoked.map_or(0, |at| at.unix_ms()),
        name: agent.name,
    }
}

pub(super) fn sign_in_wire(record: Record) -> wire::SignInRecord {
    wire::SignInRecord {
        request_id: record.request.to_string(),
        at_unix_ms: record.at.unix_ms(),
        tenant: record.tenant_name.to_string(),
        user_id: record.user.map(|user| user.to_string()).unwrap_or_default(),
        username: record.username,
        outcome: record.outcome,
        code: record.code,
        channel: record.channel,
        source_address: record.source.to_string(),
        client_id: record.client.map(|client| client.to_string()).unwrap_or_default(),
        total_us: micros(record.total),
        attempts: record.attempts.into_iter().map(attempt_wire).collect(),
    }
}

fn attempt_wire(attempt: AttemptRecord) -> wire::Attempt {
    wire::Attempt {
        agent_id: attempt.agent.to_string(),
        controller: attempt.controller,
        verdict: attempt.verdict,
        reason: attempt.reason,
        total_us: micros(attempt.total),
        agent_wait_us: micros(attempt.wait),
        bind_us: micros(attempt.bind),
        ldap_result: attempt.ldap_result,
        sub_code: attempt.sub_code,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
