-- The door's common case in one round trip: a batch of declarations nobody has seen, which want a number each. What
-- is special (a key on file, a number of the ERP's own, a full series) makes it write nothing, and the gateway goes
-- the careful way, statement by statement in one transaction (adapters/store/sql.py).

-- Appending to the log, to be the last thing a transaction does: `held` locks the partitions' counters in one order
-- for everybody (no deadlock) and until commit, so offsets have no gaps and rise in the order of commits.
-- A partition that is not there gives no offset, and the statement fails as a whole.
CREATE FUNCTION origin.append(topics text[], partitions int[], keys text[], headers text[], bodies bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH input AS (
        SELECT m.*, row_number() OVER (PARTITION BY m.topic, m.partition ORDER BY m.n) - 1 AS rank
        FROM unnest(topics, partitions, keys, headers, bodies) WITH ORDINALITY
            AS m (topic, partition, key, headers, body, n)
    ), wanted AS (
        SELECT input.topic, input.partition, count(*) AS n FROM input GROUP BY input.topic, input.partition
    ), held AS (
        SELECT p.topic, p.partition, p.next_offset, w.n
        FROM origin.log_partition p JOIN wanted w USING (topic, partition)
        ORDER BY p.topic, p.partition
        FOR UPDATE OF p
    ), moved AS (
        UPDATE origin.log_partition p SET next_offset = h.next_offset + h.n
        FROM held h WHERE p.topic = h.topic AND p.partition = h.partition
        RETURNING p.topic, p.partition, h.next_offset AS first
    )
    INSERT INTO origin.log (topic, partition, "offset", key, headers, body)
    SELECT i.topic, i.partition, m.first + i.rank, i.key, i.headers::jsonb, i.body
    FROM input i LEFT JOIN moved m USING (topic, partition);
END $$;

-- Returns the numbers given, in order; NULL: a key is on file, nothing was written. Raises OG001 when a series is full.
-- Answers and bodies come with serial 0 in the number's place, which is where the number stands first in both.
CREATE FUNCTION origin.open_certificates(
    moment timestamptz,
    -- the series, sorted, so that two transactions take the counters in the same order; and how many from each
    organisations text[], types text[], years text[], prefixes text[], wanted int[],
    -- the keys to remember: which declaration (from 1), and the key
    kept int[], kept_keys text[],
    -- the declarations, and which series (from 1) each gets its number from
    series int[], clients text[], channels text[], ids uuid[], exporters text[], applicants text[], refs text[],
    invoice_nos text[], destinations text[], raws bytea[], raw_hashes bytea[], media_types text[],
    content_hashes bytea[], answers bytea[],
    -- the messages that tell the turn
    topic text, partitions int[], headers text[], bodies bytea[]
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    lasts int[];
    numbers text[];
    blanks text[];
BEGIN
    IF EXISTS (
        SELECT FROM unnest(kept, kept_keys) AS k (n, key)
        JOIN origin.intake i ON i.client = clients[k.n] AND i.key = k.key
    ) THEN
        RETURN NULL;
    END IF;

    WITH drawn AS (
        INSERT INTO origin.number_series AS s (organisation, certificate_type, year, prefix, last)
        SELECT * FROM unnest(organisations, types, years, prefixes, wanted)
        ON CONFLICT (organisation, certificate_type, year, prefix) DO UPDATE SET last = s.last + excluded.last
        RETURNING s.organisation, s.certificate_type, s.year, s.prefix, s.last
    )
    SELECT array_agg(d.last ORDER BY w.n) INTO lasts
    FROM drawn d
    JOIN unnest(organisations, types, years, prefixes) WITH ORDINALITY
        AS w (organisation, certificate_type, year, prefix, n) USING (organisation, certificate_type, year, prefix);
    IF EXISTS (SELECT FROM unnest(lasts, prefixes) AS s (last, prefix) WHERE s.last >= 10 ^ (4 - length(s.prefix))) THEN
        RAISE EXCEPTION USING ERRCODE = 'OG001', MESSAGE = 'a number series is full';
    END IF;

    SELECT array_agg(g.head || lpad(g.serial::text, g.width, '0') ORDER BY g.n),
           array_agg(g.head || repeat('0', g.width) ORDER BY g.n)
    INTO numbers, blanks
    FROM (
        SELECT r.n, types[r.s] || years[r.s] || organisations[r.s] || prefixes[r.s] AS head,
               4 - length(prefixes[r.s]) AS width,
               lasts[r.s] - wanted[r.s] + row_number() OVER (PARTITION BY r.s ORDER BY r.n) AS serial
        FROM unnest(series) WITH ORDINALITY AS r (s, n)
    ) g;

    SELECT array_agg(overlay(a.answer PLACING convert_to(a.number, 'UTF8')
                     FROM position(convert_to(a.blank, 'UTF8') IN a.answer)) ORDER BY a.n),
           array_agg(overlay(a.body PLACING convert_to(a.number, 'UTF8')
                     FROM position(convert_to(a.blank, 'UTF8') IN a.body)) ORDER BY a.n)
    INTO answers, bodies
    FROM unnest(answers, bodies, numbers, blanks) WITH ORDINALITY AS a (answer, body, number, blank, n);

    INSERT INTO origin.intake (client, key, channel, raw_sha256, certificate_id, answer, at)
    SELECT clients[k.n], k.key, channels[k.n], raw_hashes[k.n], ids[k.n], answers[k.n], moment
    FROM unnest(kept, kept_keys) AS k (n, key);

    -- In the order of hashes, so that two writers of the same bytes never wait for each other in a ring.
    INSERT INTO origin.blob (sha256, kind, media_type, content)
    SELECT b.sha256, 'declaration', b.media_type, b.content
    FROM unnest(raw_hashes, media_types, raws) AS b (sha256, media_type, content) ORDER BY b.sha256
    ON CONFLICT (sha256) DO NOTHING;

    INSERT INTO origin.certificate (
        id, number, certificate_type, exporter, applicant, client, reference, invoice_no, destination, revision, status,
        content_sha256, raw_sha256, media_type, accepted_at, updated_at)
    SELECT c.id, c.number, types[c.s], c.exporter, c.applicant, c.client, c.reference, c.invoice_no, c.destination, 1,
           'accepted', c.content_sha256, c.raw_sha256, c.media_type, moment, moment
    FROM unnest(ids, numbers, series, exporters, applicants, clients, refs, invoice_nos, destinations, content_hashes,
                raw_hashes, media_types)
        AS c (id, number, s, exporter, applicant, client, reference, invoice_no, destination, content_sha256,
              raw_sha256, media_type);

    PERFORM origin.append(array_fill(topic, ARRAY[cardinality(ids)]), partitions, ids::text[], headers, bodies);
    RETURN numbers;
END $$;
