-- One row per sign-in that ended. No reference to anything: the log outlives tenants, users and agents.
CREATE TABLE sign_in (
    request        BLOB   NOT NULL PRIMARY KEY,
    at_ms          BIGINT NOT NULL,
    -- NULL where the tenant is not known here.
    tenant         BLOB,
    tenant_name    TEXT   NOT NULL,
    -- NULL for an unknown user; the name is then only @ and the domain, if there was one.
    user_record    BLOB,
    username       TEXT   NOT NULL,
    outcome        TEXT   NOT NULL,
    code           BIGINT NOT NULL,
    channel        TEXT   NOT NULL,
    source_address TEXT   NOT NULL,
    client         BLOB,
    total_us       BIGINT NOT NULL
);
CREATE INDEX sign_in_by_time ON sign_in (at_ms);
CREATE INDEX sign_in_by_tenant ON sign_in (tenant, at_ms);
CREATE INDEX sign_in_by_user ON sign_in (tenant, username, at_ms);

CREATE TABLE sign_in_attempt (
    request     BLOB   NOT NULL REFERENCES sign_in (request) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    agent       BLOB   NOT NULL,
    controller  TEXT   NOT NULL,
    verdict     TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    total_us    BIGINT NOT NULL,
    wait_us     BIGINT NOT NULL,
    bind_us     BIGINT NOT NULL,
    ldap_result BIGINT NOT NULL,
    sub_code    BIGINT NOT NULL,
    PRIMARY KEY (request, number)
);

-- Failures that the directory counted, or may have, per account: a user record's id (16 bytes) or
-- a keyed digest of a name that nobody has (32 bytes).
CREATE TABLE failure_budget (
    account  BLOB   NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_ms  BIGINT NOT NULL
);

-- 'running' while a process uses the budgets; 'unclean' for what its sudden end may have left uncounted.
CREATE TABLE budget_mark (
    name     TEXT   NOT NULL PRIMARY KEY,
    at_ms    BIGINT NOT NULL,
    failures BIGINT NOT NULL
);
