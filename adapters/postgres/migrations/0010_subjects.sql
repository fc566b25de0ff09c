-- Subjects of any kind (ops/decisions/0048): a thing with a life has one row here; events, due dates, receipts, the inbox
-- and parked messages refer to it. The table of certificates becomes it, so nothing is copied: a certificate's own
-- columns stay beside the common ones, and `origin.certificate` is a view of them. Another kind keeps its own columns in
-- a table of its own.

ALTER TABLE origin.certificate RENAME TO subject;
ALTER TABLE origin.subject RENAME COLUMN number TO key;
ALTER TABLE origin.subject RENAME COLUMN exporter TO owner;
ALTER TABLE origin.subject
    ADD COLUMN kind text NOT NULL DEFAULT 'certificate',
    ALTER COLUMN revision SET DEFAULT 1,
    ALTER COLUMN certificate_type DROP NOT NULL,
    ALTER COLUMN applicant DROP NOT NULL,
    ALTER COLUMN client DROP NOT NULL,
    ALTER COLUMN content_sha256 DROP NOT NULL,
    ALTER COLUMN raw_sha256 DROP NOT NULL,
    ALTER COLUMN media_type DROP NOT NULL,
    ALTER COLUMN accepted_at DROP NOT NULL;
-- NOT VALID: those that are there had each column demanded one by one.
ALTER TABLE origin.subject ADD CONSTRAINT certificate_whole CHECK (
    kind <> 'certificate' OR NOT (
        certificate_type IS NULL OR applicant IS NULL OR client IS NULL OR content_sha256 IS NULL
        OR raw_sha256 IS NULL OR media_type IS NULL OR accepted_at IS NULL)
) NOT VALID;
-- A business key is unique within its kind.
CREATE UNIQUE INDEX subject_key ON origin.subject (key, kind);
ALTER TABLE origin.subject DROP CONSTRAINT certificate_number_key;

CREATE VIEW origin.certificate AS
SELECT id, key AS number, certificate_type, owner AS exporter, applicant, client, reference, invoice_no, destination,
       revision, status, sequence, content_sha256, raw_sha256, media_type, signed_on, state, accepted_at, updated_at,
       last_hash, overdue
FROM origin.subject WHERE kind = 'certificate';

DROP TRIGGER certificate_draft ON origin.subject;
CREATE TRIGGER certificate_draft AFTER UPDATE ON origin.subject FOR EACH ROW
    WHEN (NEW.kind = 'certificate' AND (OLD.status = 'draft') <> (NEW.status = 'draft'))
    EXECUTE FUNCTION origin.note_draft();

ALTER TABLE origin.event RENAME COLUMN certificate_id TO subject_id;
ALTER TABLE origin.timer RENAME COLUMN certificate_id TO subject_id;
ALTER TABLE origin.receipt RENAME COLUMN certificate_id TO subject_id;
ALTER TABLE origin.inbox RENAME COLUMN certificate_id TO subject_id;
ALTER TABLE origin.parked RENAME COLUMN certificate_id TO subject_id;

-- The turn in two round trips, as before (ops/decisions/0015), for subjects of any kind.
DROP FUNCTION origin.look(uuid[], uuid[], text[]);
DROP FUNCTION origin.leave_behind;

-- What is known of these messages and subjects, which are named by their ids, or by their kinds and keys. `what`:
-- subject, seen (a message id), parked (a subject's id). The locks come first: whoever waited for one sees in the other
-- tables what the other left there meanwhile.
CREATE FUNCTION origin.load_turn(message_ids uuid[], ids uuid[], kinds text[], keys text[])
RETURNS TABLE (what text, about uuid, kind text, key text, state text, last_hash bytea) LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(keys) > 0 THEN
        -- A subject keeps its key: this needs no lock.
        ids := ids || ARRAY(
            SELECT s.id FROM unnest(kinds, keys) AS w (kind, key)
            JOIN origin.subject s ON s.key = w.key AND s.kind = w.kind);
    END IF;
    RETURN QUERY
        SELECT 'subject', s.id, s.kind, s.key, s.state::text, s.last_hash FROM origin.subject s
        WHERE s.id = ANY (ids) ORDER BY s.id FOR UPDATE;
    RETURN QUERY
        SELECT 'seen', i.message_id, NULL::text, NULL::text, NULL::text, NULL::bytea FROM origin.inbox i
        WHERE i.message_id = ANY (message_ids);
    IF EXISTS (SELECT FROM origin.parked) THEN
        RETURN QUERY
            SELECT DISTINCT 'parked', p.subject_id, NULL::text, NULL::text, NULL::text, NULL::bytea
            FROM origin.parked p WHERE p.subject_id = ANY (ids);
    END IF;
END $$;

-- Everything a turn leaves behind but what is parked or dead, the log last. What is not there is not asked for.
CREATE FUNCTION origin.save_turn(
    -- bytes
    hashes bytea[], blob_kinds text[], media_types text[], contents bytea[],
    -- the inbox
    handled uuid[], handled_for uuid[],
    -- subjects that begin
    opened uuid[], opened_kinds text[], opened_keys text[], owners text[],
    -- states
    ids uuid[], states text[], statuses text[], sequences int[], signed text[], revisions int[], heads bytea[],
    missing text[],
    -- events
    event_of uuid[], event_sequences int[], event_ids uuid[], event_kinds text[], event_data text[],
    event_messages uuid[], event_times timestamptz[], event_hashes bytea[],
    -- due dates: settled, and set
    settled_of uuid[], settled_about text[], settled_revisions int[], settled_due timestamptz[],
    timer_of uuid[], timer_about text[], timer_revisions int[], timer_due timestamptz[],
    -- what customs sent
    receipt_messages uuid[], receipt_of uuid[], receipt_numbers text[], receipt_kinds text[], receipt_hashes bytea[],
    receipt_fields text[], receipt_times timestamptz[],
    -- the log
    topics text[], partitions int[], keys text[], headers text[], bodies bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(hashes) > 0 THEN
        -- The caller sorts them, so that two writers of the same bytes never wait for each other in a ring.
        INSERT INTO origin.blob (sha256, kind, media_type, content)
        SELECT * FROM unnest(hashes, blob_kinds, media_types, contents)
        ON CONFLICT (sha256) DO NOTHING;
    END IF;

    INSERT INTO origin.inbox (message_id, subject_id) SELECT * FROM unnest(handled, handled_for);

    IF cardinality(opened) > 0 THEN
        INSERT INTO origin.subject (id, kind, key, owner, status, updated_at)
        SELECT o.id, o.kind, o.key, o.owner, '', now()
        FROM unnest(opened, opened_kinds, opened_keys, owners) AS o (id, kind, key, owner) ORDER BY o.id;
    END IF;

    IF cardinality(ids) > 0 THEN
        -- A correction that waits on the log has the word about the status: this turn has not seen it yet.
        UPDATE origin.subject c
        SET state = s.state::jsonb,
            status = CASE WHEN c.revision > s.revision THEN c.status ELSE s.status END,
            sequence = s.sequence, signed_on = coalesce(s.signed_on, c.signed_on), updated_at = now(),
            last_hash = coalesce(s.last_hash, c.last_hash), overdue = s.overdue
        FROM unnest(ids, states, statuses, sequences, signed, revisions, heads, missing)
            AS s (id, state, status, sequence, signed_on, revision, last_hash, overdue)
        WHERE c.id = s.id;
    END IF;

    IF cardinality(event_of) > 0 THEN
        -- An event counts in the root of its day; where that day takes no more (adapters/store/audit.py), in the next
        -- one's.
        INSERT INTO origin.event (subject_id, sequence, id, kind, data, message_id, at, hash, day)
        SELECT e.of, e.sequence, e.id, e.kind, e.data::jsonb, e.message_id, e.at, e.hash,
               greatest((e.at AT TIME ZONE 'UTC')::date, (SELECT max(d.day) + 1 FROM origin.audit_day d))
        FROM unnest(event_of, event_sequences, event_ids, event_kinds, event_data, event_messages, event_times,
                    event_hashes) AS e (of, sequence, id, kind, data, message_id, at, hash);
    END IF;

    IF cardinality(settled_of) > 0 THEN
        DELETE FROM origin.timer t
        USING unnest(settled_of, settled_about, settled_revisions, settled_due) AS s (id, about, revision, due)
        WHERE t.subject_id = s.id AND t.about = s.about AND t.revision = s.revision AND t.due = s.due;
    END IF;
    IF cardinality(timer_of) > 0 THEN
        INSERT INTO origin.timer (subject_id, about, revision, due)
        SELECT * FROM unnest(timer_of, timer_about, timer_revisions, timer_due)
        ON CONFLICT (subject_id, about, revision) DO UPDATE SET due = excluded.due;
    END IF;

    IF cardinality(receipt_messages) > 0 THEN
        INSERT INTO origin.receipt (message_id, subject_id, number, kind, raw_sha256, fields, at)
        SELECT r.message_id, r.of, r.number, r.kind, r.hash, r.fields::jsonb, r.at
        FROM unnest(receipt_messages, receipt_of, receipt_numbers, receipt_kinds, receipt_hashes, receipt_fields,
                    receipt_times) AS r (message_id, of, number, kind, hash, fields, at);
    END IF;

    IF cardinality(topics) > 0 THEN
        PERFORM origin.append(topics, partitions, keys, headers, bodies);
    END IF;
END $$;
