CREATE TABLE agent (
    id             BLOB   NOT NULL PRIMARY KEY,
    tenant         BLOB   NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    host_name      TEXT   NOT NULL,
    version        TEXT   NOT NULL,
    -- The Ed25519 key of its certificate, and the SHA-256 of that key's SPKI.
    key            BLOB   NOT NULL UNIQUE,
    fingerprint    BLOB   NOT NULL,
    enrolled_ms    BIGINT NOT NULL,
    expires_ms     BIGINT NOT NULL,
    last_seen_ms   BIGINT
);
CREATE INDEX agent_by_tenant ON agent (tenant);

CREATE TABLE agent_domain (
    agent  BLOB NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    domain TEXT NOT NULL REFERENCES domain (name) ON DELETE CASCADE,
    PRIMARY KEY (agent, domain)
);
CREATE INDEX agent_domain_by_domain ON agent_domain (domain);

CREATE TABLE enrolment_token (
    id            BLOB   NOT NULL PRIMARY KEY,
    tenant        BLOB   NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    secret_sha256 BLOB   NOT NULL UNIQUE,
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    -- Set once, in the transaction that registers the agent.
    used_by       BLOB   REFERENCES agent (id) ON DELETE CASCADE
);
CREATE INDEX enrolment_token_by_tenant ON enrolment_token (tenant);
CREATE INDEX enrolment_token_by_agent ON enrolment_token (used_by);

CREATE TABLE enrolment_token_domain (
    token  BLOB NOT NULL REFERENCES enrolment_token (id) ON DELETE CASCADE,
    domain TEXT NOT NULL REFERENCES domain (name) ON DELETE CASCADE,
    PRIMARY KEY (token, domain)
);
CREATE INDEX enrolment_token_domain_by_domain ON enrolment_token_domain (domain);
