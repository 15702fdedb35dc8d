-- Times are milliseconds since 1970 UTC; ids and digests are raw bytes; flags are 0 or 1.

CREATE TABLE tenant (
    id          BLOB    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    created_ms  BIGINT  NOT NULL,
    tell_locked BIGINT  NOT NULL
);

-- The name alone is the key: a domain belongs to one tenant on the whole server.
CREATE TABLE domain (
    name   TEXT NOT NULL PRIMARY KEY,
    tenant BLOB NOT NULL REFERENCES tenant (id) ON DELETE CASCADE
);
CREATE INDEX domain_by_tenant ON domain (tenant, name);

CREATE TABLE user_record (
    id               BLOB NOT NULL PRIMARY KEY,
    tenant           BLOB NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    username         TEXT NOT NULL,
    object           BLOB NOT NULL,
    on_premises_name TEXT NOT NULL,
    domain           TEXT NOT NULL REFERENCES domain (name),
    UNIQUE (tenant, username),
    UNIQUE (tenant, object)
);
CREATE INDEX user_record_by_domain ON user_record (domain);

-- Programmes that may call SignIn for one tenant.
CREATE TABLE client (
    id            BLOB   NOT NULL PRIMARY KEY,
    tenant        BLOB   NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
    name          TEXT   NOT NULL,
    secret_sha256 BLOB   NOT NULL,
    created_ms    BIGINT NOT NULL
);
CREATE INDEX client_by_tenant ON client (tenant);
