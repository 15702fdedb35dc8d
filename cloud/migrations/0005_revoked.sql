-- When an administrator revoked the agent; NULL while it counts.
ALTER TABLE agent ADD COLUMN revoked_ms BIGINT;
-- What people call the agent; empty: by its host's name.
ALTER TABLE agent ADD COLUMN name TEXT NOT NULL DEFAULT '';
