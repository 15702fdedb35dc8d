-- The directory attribute in which users' other sign-in names stand; null while they are not used.
ALTER TABLE tenant ADD COLUMN alternate_id_attribute TEXT;
-- Another name that the user may type. No name of one user is a name of another: the statements see to it
-- across both columns, the index within this one.
ALTER TABLE user_record ADD COLUMN alternate_id TEXT;
CREATE UNIQUE INDEX user_record_by_alternate_id ON user_record (tenant, alternate_id);
