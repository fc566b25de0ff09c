-- The log: every message the gateway sends, in the transaction that causes it; and who has read how far.
-- Applied by adapters/postgres/migrate.py in one transaction. An applied file never changes: add the next one.

-- One row per partition. Appending locks it until commit, so offsets are gapless and in commit order: a reader may
-- remember "everything before offset n" here, and nowhere else. The spare room keeps its updates on one page.
CREATE TABLE origin.log_partition (
    topic       text   NOT NULL,
    partition   int    NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL DEFAULT 0 CHECK (next_offset >= 0),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE origin.log (
    topic      text        NOT NULL,
    partition  int         NOT NULL,
    "offset"   bigint      NOT NULL,
    key        text        NOT NULL,
    headers    jsonb       NOT NULL,
    body       bytea       NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, "offset")
) WITH (autovacuum_vacuum_insert_scale_factor = 0.5, toast_tuple_target = 8160);

-- Compressing a message of a few kB costs more than writing it.
ALTER TABLE origin.log ALTER COLUMN body SET STORAGE EXTERNAL;

-- The lock under which the members of a group agree who reads what.
CREATE TABLE origin.consumer_group (
    "group" text PRIMARY KEY
);

-- A member is alive while its lease runs and its session holds the advisory lock (1329744711, lock_key): a killed
-- process is replaced at once, a paused one when the lease is over.
CREATE TABLE origin.consumer_member (
    "group"     text        NOT NULL REFERENCES origin.consumer_group,
    member      uuid        NOT NULL,
    topics      text[]      NOT NULL,
    lock_key    int         NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY ("group", member)
) WITH (fillfactor = 50);

-- Who reads a partition, under which epoch, and what is handled: everything before `position`.
-- The epoch rises with every change of hands and is checked by the statement that moves the position.
CREATE TABLE origin.consumer_position (
    "group"   text   NOT NULL REFERENCES origin.consumer_group,
    topic     text   NOT NULL,
    partition int    NOT NULL,
    position  bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    epoch     bigint NOT NULL DEFAULT 0,
    owner     uuid,
    PRIMARY KEY ("group", topic, partition),
    FOREIGN KEY (topic, partition) REFERENCES origin.log_partition
) WITH (fillfactor = 50);
