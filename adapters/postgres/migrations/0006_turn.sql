-- The turn in two round trips between BEGIN and COMMIT (ops/decisions/0015): what is known, then everything that the
-- batch leaves behind. Each statement in a VOLATILE function sees what was committed before it began, as it would alone.

-- What is known of these messages and certificates. `what`: certificate, seen (a message id), parked (a certificate
-- id). The locks come first: whoever waited for one sees in the other tables what the other left there meanwhile.
CREATE FUNCTION origin.look(message_ids uuid[], ids uuid[], numbers text[])
RETURNS TABLE (what text, about uuid, number text, state text, last_hash bytea) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        SELECT 'certificate', c.id, c.number, c.state::text, c.last_hash FROM origin.certificate c
        WHERE c.id = ANY (ids) OR c.number = ANY (numbers) ORDER BY c.id FOR UPDATE;
    RETURN QUERY
        SELECT 'seen', i.message_id, NULL::text, NULL::text, NULL::bytea FROM origin.inbox i
        WHERE i.message_id = ANY (message_ids);
    IF EXISTS (SELECT FROM origin.parked) THEN
        RETURN QUERY
            SELECT DISTINCT 'parked', p.certificate_id, NULL::text, NULL::text, NULL::bytea
            FROM origin.parked p JOIN origin.certificate c ON c.id = p.certificate_id
            WHERE c.id = ANY (ids) OR c.number = ANY (numbers);
    END IF;
END $$;

-- Everything a turn leaves behind but what is parked or dead, the log last. What is not there is not asked for.
CREATE FUNCTION origin.leave_behind(
    -- bytes
    hashes bytea[], blob_kinds text[], media_types text[], contents bytea[],
    -- the inbox
    handled uuid[], handled_for uuid[],
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

    INSERT INTO origin.inbox (message_id, certificate_id) SELECT * FROM unnest(handled, handled_for);

    IF cardinality(ids) > 0 THEN
        -- A correction that waits on the log has the word about the status: this turn has not seen it yet.
        UPDATE origin.certificate c
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
        INSERT INTO origin.event (certificate_id, sequence, id, kind, data, message_id, at, hash, day)
        SELECT e.of, e.sequence, e.id, e.kind, e.data::jsonb, e.message_id, e.at, e.hash,
               greatest((e.at AT TIME ZONE 'UTC')::date, (SELECT max(d.day) + 1 FROM origin.audit_day d))
        FROM unnest(event_of, event_sequences, event_ids, event_kinds, event_data, event_messages, event_times,
                    event_hashes) AS e (of, sequence, id, kind, data, message_id, at, hash);
    END IF;

    IF cardinality(settled_of) > 0 THEN
        DELETE FROM origin.timer t
        USING unnest(settled_of, settled_about, settled_revisions, settled_due) AS s (id, about, revision, due)
        WHERE t.certificate_id = s.id AND t.about = s.about AND t.revision = s.revision AND t.due = s.due;
    END IF;
    IF cardinality(timer_of) > 0 THEN
        INSERT INTO origin.timer (certificate_id, about, revision, due)
        SELECT * FROM unnest(timer_of, timer_about, timer_revisions, timer_due)
        ON CONFLICT (certificate_id, about, revision) DO UPDATE SET due = excluded.due;
    END IF;

    IF cardinality(receipt_messages) > 0 THEN
        INSERT INTO origin.receipt (message_id, certificate_id, number, kind, raw_sha256, fields, at)
        SELECT r.message_id, r.of, r.number, r.kind, r.hash, r.fields::jsonb, r.at
        FROM unnest(receipt_messages, receipt_of, receipt_numbers, receipt_kinds, receipt_hashes, receipt_fields,
                    receipt_times) AS r (message_id, of, number, kind, hash, fields, at);
    END IF;

    IF cardinality(topics) > 0 THEN
        PERFORM origin.append(topics, partitions, keys, headers, bodies);
    END IF;
END $$;
