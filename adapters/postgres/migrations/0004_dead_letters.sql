-- Records that nobody could read, with their bytes. A person replays or discards them; the row stays either way.
CREATE TABLE origin.dead_letter (
    id             uuid PRIMARY KEY,
    topic          text        NOT NULL,
    partition      int         NOT NULL,
    "offset"       bigint      NOT NULL,
    key            text        NOT NULL,
    headers        jsonb       NOT NULL,
    body           bytea       NOT NULL,
    code           text        NOT NULL,
    detail         text        NOT NULL,
    consumer_group text        NOT NULL,
    attempts       int         NOT NULL,
    at             timestamptz NOT NULL,
    state          text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'replayed', 'discarded')),
    decided_at     timestamptz,
    decided_by     text,
    reason         text,
    CHECK ((state = 'waiting') = (decided_at IS NULL)),
    CHECK (state = 'waiting' OR decided_by IS NOT NULL AND reason IS NOT NULL)
);
CREATE INDEX dead_letter_waiting ON origin.dead_letter (at, id) WHERE state = 'waiting';

-- Does this client have topics of its own on the bus?
ALTER TABLE origin.client ADD COLUMN bus boolean NOT NULL DEFAULT false;
