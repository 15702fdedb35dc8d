//! Examples of the administration's messages.

use super::examples::Example;
use crate::wire::admin;

const TENANT: &str = "acme";
const DOMAIN: &str = "corp.example";
const USER: &str = "alice@corp.example";

pub(super) fn examples() -> Vec<Example> {
    let mut examples = tenants();
    examples.extend(domains());
    examples.extend(users());
    examples.extend(clients());
    examples.extend(tokens());
    examples.extend(agents());
    examples.extend(sign_ins());
    examples.extend(status());
    examples
}

fn tenants() -> Vec<Example> {
    let tenant = |name: &str, tell_locked| admin::Tenant {
        id: "11111111-9404-416e-8f04-0123456789ab".into(),
        name: name.into(),
        created_unix_ms: 1_800_000_000_001,
        tell_locked,
        alternate_id_attribute: "mail".into(),
    };
    vec![
        Example::of(admin::Deleted {}),
        Example::of(admin::UpdateTenantRequest {
            tenant: TENANT.into(),
            tell_locked: Some(false),
            alternate_id_attribute: Some(String::new()),
        }),
        Example::of(tenant(TENANT, true)),
        Example::of(admin::CreateTenantRequest {
            name: TENANT.into(),
            tell_locked: true,
        }),
        Example::of(admin::ListTenantsRequest {}),
        Example::of(admin::ListTenantsResponse {
            tenants: vec![tenant(TENANT, true), tenant("globex", false)],
        }),
        Example::of(admin::DeleteTenantRequest {
            tenant: TENANT.into(),
        }),
    ]
}

fn domains() -> Vec<Example> {
    let domain = |name: &str| admin::Domain {
        tenant: TENANT.into(),
        name: name.into(),
    };
    vec![
        Example::of(domain(DOMAIN)),
        Example::of(admin::CreateDomainRequest {
            tenant: TENANT.into(),
            name: DOMAIN.into(),
        }),
        Example::of(admin::ListDomainsRequest {
            tenant: TENANT.into(),
        }),
        Example::of(admin::ListDomainsResponse {
            domains: vec![domain(DOMAIN), domain("lab.example")],
        }),
        Example::of(admin::DeleteDomainRequest {
            tenant: TENANT.into(),
            name: DOMAIN.into(),
        }),
    ]
}

fn users() -> Vec<Example> {
    let user = |username: &str| admin::User {
        id: "33333333-9404-416e-8f04-0123456789ab".into(),
        tenant: TENANT.into(),
        username: username.into(),
        object_id: "55555555-9404-416e-8f04-0123456789ab".into(),
        on_premises_name: "CN=Alice,DC=corp,DC=example".into(),
        domain: DOMAIN.into(),
        alternate_id: "alice@example".into(),
    };
    let new_user = |username: &str| admin::NewUser {
        username: username.into(),
        object_id: "55555555-9404-416e-8f04-0123456789ab".into(),
        on_premises_name: "CN=Alice,DC=corp,DC=example".into(),
        domain: DOMAIN.into(),
        alternate_id: "alice@example".into(),
    };
    vec![
        Example::of(user(USER)),
        Example::of(new_user(USER)),
        Example::of(admin::CreateUserRequest {
            tenant: TENANT.into(),
            user: Some(new_user(USER)),
        }),
        Example::of(admin::ImportUsersRequest {
            tenant: TENANT.into(),
            users: vec![new_user(USER), new_user("bob@corp.example")],
        }),
        Example::of(admin::ImportUsersResponse {
            created: 1_000,
            updated: 7,
        }),
        Example::of(admin::ListUsersRequest {
            tenant: TENANT.into(),
            after: USER.into(),
            limit: 1_000,
        }),
        Example::of(admin::ListUsersResponse {
            users: vec![user(USER), user("bob@corp.example")],
        }),
        Example::of(admin::DeleteUserRequest {
            tenant: TENANT.into(),
            username: USER.into(),
        }),
    ]
}

fn clients() -> Vec<Example> {
    let client = |name: &str| admin::Client {
        id: "66666666-9404-416e-8f04-0123456789ab".into(),
        tenant: TENANT.into(),
        name: name.into(),
        created_unix_ms: 1_800_000_000_002,
    };
    vec![
        Example::of(client("portal")),
        Example::of(admin::CreateClientRequest {
            tenant: TENANT.into(),
            name: "portal".into(),
        }),
        Example::of(admin::CreateClientResponse {
            client: Some(client("portal")),
            secret: "secret-of-the-client".into(),
        }),
        Example::of(admin::ListClientsRequest {
            tenant: TENANT.into(),
        }),
        Example::of(admin::ListClientsResponse {
            clients: vec![client("portal"), client("vpn")],
        }),
        Example::of(admin::DeleteClientRequest {
            tenant: TENANT.into(),
            id: "66666666-9404-416e-8f04-0123456789ab".into(),
        }),
    ]
}

fn tokens() -> Vec<Example> {
    let token = |used_by: &str| admin::Token {
        id: "77777777-9404-416e-8f04-0123456789ab".into(),
        tenant: TENANT.into(),
        domains: vec![DOMAIN.into(), "lab.example".into()],
        created_unix_ms: 1_800_000_000_003,
        expires_unix_ms: 1_800_000_060_003,
        used_by_agent: used_by.into(),
    };
    vec![
        Example::of(token("22222222-9404-416e-8f04-0123456789ab")),
        Example::of(admin::CreateTokenRequest {
            tenant: TENANT.into(),
            domains: vec![DOMAIN.into(), "lab.example".into()],
            lifetime_s: 604_800,
        }),
        Example::of(admin::CreateTokenResponse {
            token: Some(token("")),
            text: "text-of-the-token".into(),
        }),
        Example::of(admin::ListTokensRequest {
            tenant: TENANT.into(),
        }),
        Example::of(admin::ListTokensResponse {
            tokens: vec![token(""), token("22222222-9404-416e-8f04-0123456789ab")],
        }),
        Example::of(admin::DeleteTokenRequest {
            tenant: TENANT.into(),
            id: "77777777-9404-416e-8f04-0123456789ab".into(),
        }),
    ]
}

fn agents() -> Vec<Example> {
    let agent = |host_name: &str| admin::Agent {
        id: "22222222-9404-416e-8f04-0123456789ab".into(),
        tenant: TENANT.into(),
        host_name: host_name.into(),
        version: "1.2.3".into(),
        domains: vec![DOMAIN.into(), "lab.example".into()],
        enrolled_unix_ms: 1_800_000_000_004,
        last_seen_unix_ms: 1_800_000_000_005,
        connected: true,
        in_flight: 64,
        fingerprint: "ab".repeat(32),
        certificate_expires_unix_ms: 1_800_000_000_006,
        drained: true,
        revoked_unix_ms: 1_800_000_000_007,
        name: "cellar".into(),
    };
    vec![
        Example::of(agent("host-1")),
        Example::of(admin::RenameAgentRequest {
            tenant: TENANT.into(),
            id: "22222222-9404-416e-8f04-0123456789ab".into(),
            name: "cellar".into(),
        }),
        Example::of(admin::ListImpactRequest {
            tenant: TENANT.into(),
            agent_id: "22222222-9404-416e-8f04-0123456789ab".into(),
            age_ms: 86_400_000,
            limit: 100,
        }),
        Example::of(admin::AgentRequest {
            tenant: TENANT.into(),
            id: "22222222-9404-416e-8f04-0123456789ab".into(),
        }),
        Example::of(admin::ListAgentsRequest {
            tenant: TENANT.into(),
        }),
        Example::of(admin::ListAgentsResponse {
            agents: vec![agent("host-1"), agent("host-2")],
        }),
    ]
}

fn sign_ins() -> Vec<Example> {
    let attempt = |controller: &str| admin::Attempt {
        agent_id: "22222222-9404-416e-8f04-0123456789ab".into(),
        controller: controller.into(),
        verdict: "UNAVAILABLE".into(),
        reason: "CONNECTION_LOST".into(),
        total_us: 4_001_000,
        agent_wait_us: 1_000,
        bind_us: 4_000_000,
        ldap_result: 49,
        sub_code: 0x52e,
    };
    let record = |user_id: &str| admin::SignInRecord {
        request_id: "44444444-9404-416e-8f04-0123456789ab".into(),
        at_unix_ms: 1_800_000_000_007,
        tenant: TENANT.into(),
        user_id: user_id.into(),
        username: USER.into(),
        outcome: "REFUSED".into(),
        code: 50_126,
        channel: "page".into(),
        source_address: "192.0.2.1".into(),
        client_id: "66666666-9404-416e-8f04-0123456789ab".into(),
        total_us: 250_000,
        attempts: vec![attempt("dc1.corp.example:636"), attempt("dc2.corp.example:636")],
    };
    vec![
        Example::of(attempt("dc1.corp.example:636")),
        Example::of(record("33333333-9404-416e-8f04-0123456789ab")),
        Example::of(admin::ListSignInsRequest {
            tenant: TENANT.into(),
            username: USER.into(),
            limit: 50,
        }),
        Example::of(admin::ListSignInsResponse {
            records: vec![record("33333333-9404-416e-8f04-0123456789ab"), record("")],
        }),
    ]
}

fn status() -> Vec<Example> {
    let listener = |name: &str| admin::ListenerStatus {
        name: name.into(),
        open: 3,
        accepted: 5_000,
        above_limit: 7,
        anonymous_above_limit: 1,
        no_handshake: 40,
        slow_handshake: 2,
        unreadable: 9,
        silent: 11,
        overdue: 12,
        made_room: 13,
    };
    vec![
        Example::of(admin::GetStatusRequest {}),
        Example::of(listener("public")),
        Example::of(admin::Status {
            version: "1.2.3".into(),
            replica_id: "77777777-9404-416e-8f04-0123456789ab".into(),
            started_unix_ms: 1_800_000_000_008,
            sign_ins_under_way: 12,
            sign_ins_shed: 4,
            listeners: vec![listener("public"), listener("agents")],
        }),
    ]
}
