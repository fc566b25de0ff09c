-- What one client may do (ops/decisions/0024), and how fast series of numbers empty.

-- A client's own quotas, by their names; what is not here is as the gateway's defaults say. null: no limit.
ALTER TABLE origin.client ADD COLUMN quotas jsonb NOT NULL DEFAULT '{}';

-- What each process counted of a client in the minute and the day (of Shanghai) that it counted last, by their numbers
-- since 1970. Each process writes rows of its own, once a second at most. The spare room keeps updates on their page.
CREATE TABLE origin.quota_use (
    client                 text   NOT NULL,
    process                uuid   NOT NULL,
    minute                 bigint NOT NULL,
    day                    int    NOT NULL,
    declarations_in_minute bigint NOT NULL,
    bytes_in_minute        bigint NOT NULL,
    declarations_in_day    bigint NOT NULL,
    bytes_in_day           bigint NOT NULL,
    PRIMARY KEY (client, process)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Drafts (暂存) that are not declared yet, kept by the certificate's own status: who counts a client's reads these rows
-- and nothing else. An index on the status would make each change of any status dearer.
CREATE TABLE origin.open_draft (
    certificate_id uuid PRIMARY KEY,
    client         text NOT NULL
);
CREATE INDEX open_draft_client ON origin.open_draft (client);

CREATE FUNCTION origin.note_draft() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'draft' THEN
        INSERT INTO origin.open_draft (certificate_id, client) VALUES (NEW.id, NEW.client) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM origin.open_draft WHERE certificate_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER certificate_draft AFTER UPDATE ON origin.certificate FOR EACH ROW
    WHEN ((OLD.status = 'draft') <> (NEW.status = 'draft')) EXECUTE FUNCTION origin.note_draft();
INSERT INTO origin.open_draft (certificate_id, client) SELECT id, client FROM origin.certificate WHERE status = 'draft';

-- How far a series was at the first look in an hour, and how many numbers were drawn since the row before; no row where
-- there were none. What was usual for an enterprise is read from these rows, whatever their series and year.
CREATE TABLE origin.number_series_past (
    organisation     text        NOT NULL,
    certificate_type text        NOT NULL,
    prefix           text        NOT NULL,
    hour             timestamptz NOT NULL,
    year             text        NOT NULL,
    last             integer     NOT NULL,
    drawn            integer     NOT NULL,
    PRIMARY KEY (organisation, certificate_type, prefix, hour, year)
);
-- What was drawn before this migration tells nothing about an hour or a day.
INSERT INTO origin.number_series_past (organisation, certificate_type, prefix, hour, year, last, drawn)
SELECT organisation, certificate_type, prefix, date_trunc('hour', now()) - interval '2 days', year, last, 0
FROM origin.number_series;
