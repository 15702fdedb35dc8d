-- An administrator lets nothing new go to the agent.
ALTER TABLE agent ADD COLUMN drained BIGINT NOT NULL DEFAULT 0;
