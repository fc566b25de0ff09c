-- An audit that holds (gateway/core/audit.py, ops/decisions/0008): each event with its hash, each UTC day with a root.
-- Events from before this migration keep no hash, since SQL can't write the canonical form: nothing vouches for them.
-- A certificate of theirs begins its chain with its next event. NOT VALID: no row written from now on may lack it.

ALTER TABLE origin.event
    ADD COLUMN hash bytea CHECK (octet_length(hash) = 32),
    ADD COLUMN day  date;
ALTER TABLE origin.event ADD CONSTRAINT event_hashed CHECK (hash IS NOT NULL AND day IS NOT NULL) NOT VALID;
-- Rows stand in the order of their days: a few pages of index tell where a day is.
CREATE INDEX event_day ON origin.event USING brin (day) WITH (pages_per_range = 16, autosummarize = on);

-- One row a UTC day, without a gap. A day that is in here takes no more events; its root follows.
CREATE TABLE origin.audit_day (
    day    date PRIMARY KEY,
    root   bytea CHECK (octet_length(root) = 32),
    events bigint,
    CHECK ((root IS NULL) = (events IS NULL))
);

-- `last_hash`: what the next event follows. `overdue`: what it waits for too long, reminders with blanks between.
ALTER TABLE origin.certificate
    ADD COLUMN last_hash bytea CHECK (octet_length(last_hash) = 32),
    ADD COLUMN overdue   text NOT NULL DEFAULT '';
CREATE INDEX certificate_overdue ON origin.certificate (overdue) WHERE overdue <> '';
