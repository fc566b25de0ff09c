"""The statements of the store, and how values become their columns. Everything is schema-qualified (pgbouncer)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson

from adapters.bus.log import columns as log_columns
from adapters.bus.log import place
from gateway.core.life import State
from gateway.ports import Blob
from gateway.storage import Admitted, DeadLetter, Fresh, Parked, ReceiptRow, Repetition, Stored, Timer, TurnWork

PRIORS = """
SELECT i.client, i.key, i.raw_sha256, i.certificate_id, i.answer
FROM unnest($1::text[], $2::text[]) AS asked(client, key)
JOIN origin.intake i USING (client, key)
"""

KNOWN = """
SELECT id, number, applicant, revision, status, encode(content_sha256, 'hex')
FROM origin.certificate WHERE number = ANY($1::text[]) ORDER BY id FOR UPDATE
"""

# The caller sorts the rows, so that two transactions take the counters in the same order.
DRAW = """
INSERT INTO origin.number_series AS s (organisation, certificate_type, year, prefix, last)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[])
ON CONFLICT (organisation, certificate_type, year, prefix) DO UPDATE SET last = s.last + excluded.last
RETURNING organisation, certificate_type, year, prefix, last
"""

TAKEN = "SELECT number FROM origin.certificate WHERE number = ANY($1::text[])"

# adapters/postgres/migrations has it: one round trip for a batch of which nothing is on file.
OPEN = f"SELECT origin.open_certificates({', '.join(f'${place}' for place in range(1, 27))})"

# A correction meets its own row (same id) and replaces the content; a number taken meanwhile is a unique violation.
ADMIT = """
WITH sent AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::int[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::bytea[], $14::bytea[], $15::text[], $16::bytea[], $17::bytea[],
        $18::timestamptz[]
    ) AS s(client, key, channel, id, number, revision, certificate_type, exporter, applicant, reference, invoice_no,
           destination, raw, raw_sha256, media_type, content_sha256, answer, at)
), kept AS (
    INSERT INTO origin.blob (sha256, kind, media_type, content)
    SELECT DISTINCT ON (raw_sha256) raw_sha256, 'declaration', media_type, raw FROM sent ORDER BY raw_sha256
    ON CONFLICT (sha256) DO NOTHING
), remembered AS (
    INSERT INTO origin.intake (client, key, channel, raw_sha256, certificate_id, answer, at)
    SELECT client, key, channel, raw_sha256, id, answer, at FROM sent
)
INSERT INTO origin.certificate AS c (
    id, number, certificate_type, exporter, applicant, client, reference, invoice_no, destination, revision, status,
    content_sha256, raw_sha256, media_type, accepted_at, updated_at)
SELECT id, number, certificate_type, exporter, applicant, client, reference, invoice_no, destination, revision,
       'accepted', content_sha256, raw_sha256, media_type, at, at
FROM sent
ON CONFLICT (id) DO UPDATE SET
    certificate_type = excluded.certificate_type, exporter = excluded.exporter, reference = excluded.reference,
    invoice_no = excluded.invoice_no, destination = excluded.destination, revision = excluded.revision,
    status = excluded.status, content_sha256 = excluded.content_sha256, raw_sha256 = excluded.raw_sha256,
    media_type = excluded.media_type, updated_at = excluded.updated_at
"""

REPEAT = """
INSERT INTO origin.intake (client, key, channel, raw_sha256, certificate_id, answer, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::bytea[], $7::timestamptz[])
"""

# adapters/postgres/migrations has both: what a turn starts from, and what it leaves behind.
LOAD_TURN = "SELECT what, about, kind, key, state, last_hash FROM origin.load_turn($1, $2, $3, $4)"

SAVE_TURN = f"SELECT origin.save_turn({', '.join(f'${place}' for place in range(1, 47))})"

BLOBS = "SELECT sha256, content FROM origin.blob WHERE sha256 = ANY($1::bytea[])"

PUT_BLOBS = """
INSERT INTO origin.blob (sha256, kind, media_type, content)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bytea[]) ON CONFLICT (sha256) DO NOTHING
"""

PARK = """
INSERT INTO origin.parked (message_id, subject_id, topic, key, headers, body, reason, at)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::bytea[], $7::text[], $8::timestamptz[])
ON CONFLICT (message_id) DO NOTHING
"""

UNPARK = "DELETE FROM origin.parked WHERE message_id = ANY($1::uuid[])"

BURY = """
INSERT INTO origin.dead_letter (
    id, topic, partition, "offset", key, headers, body, code, detail, consumer_group, attempts, at)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::jsonb[], $7::bytea[], $8::text[], $9::text[],
    $10::text[], $11::int[], $12::timestamptz[])
ON CONFLICT (id) DO NOTHING RETURNING id
"""

PARKED = """
SELECT message_id, subject_id, topic, key, headers::text, body, reason, at FROM origin.parked
WHERE $1::uuid IS NULL OR subject_id = $1 ORDER BY id
"""

# A due date that only a newer version knows is left to it.
DUE = """
SELECT s.kind, t.subject_id, t.about, t.revision, t.due
FROM origin.timer t JOIN origin.subject s ON s.id = t.subject_id
WHERE t.due <= $1 AND (s.kind, t.about) IN (SELECT * FROM unnest($3::text[], $4::text[])) ORDER BY t.due LIMIT $2
"""

Columns = tuple[Sequence[Any], ...]


def json_text(value: Any) -> str:
    """JSON for a jsonb column."""
    return orjson.dumps(value).decode()


def json_data(text: str) -> dict[str, Any]:
    """The data of a jsonb column."""
    data: dict[str, Any] = orjson.loads(text)
    return data


def admitted_columns(rows: Sequence[Admitted]) -> Columns:
    """Arguments of ADMIT."""
    return (
        [row.client for row in rows],
        [row.key for row in rows],
        [row.channel for row in rows],
        [row.certificate_id for row in rows],
        [row.number for row in rows],
        [row.revision for row in rows],
        [row.certificate_type for row in rows],
        [row.exporter for row in rows],
        [row.applicant for row in rows],
        [row.reference for row in rows],
        [row.invoice_no for row in rows],
        [row.destination for row in rows],
        [row.raw for row in rows],
        [bytes.fromhex(row.raw_sha256) for row in rows],
        [row.media_type for row in rows],
        [bytes.fromhex(row.content_sha256) for row in rows],
        [row.answer for row in rows],
        [row.at for row in rows],
    )


def fresh_columns(rows: Sequence[Fresh]) -> tuple[Any, ...]:
    """Arguments of OPEN."""
    wanted = Counter(one.series for one in rows)
    series = sorted(wanted)
    numbered = {one: number for number, one in enumerate(series, 1)}
    return (
        rows[0].row.at,
        [one.organisation for one in series],
        [one.certificate_type for one in series],
        [one.year for one in series],
        [one.prefix for one in series],
        [wanted[one] for one in series],
        [number for number, one in enumerate(rows, 1) for _ in one.keys],
        [key for one in rows for key in one.keys],
        [numbered[one.series] for one in rows],
        [one.row.client for one in rows],
        [one.row.channel for one in rows],
        [one.row.certificate_id for one in rows],
        [one.row.exporter for one in rows],
        [one.row.applicant for one in rows],
        [one.row.reference for one in rows],
        [one.row.invoice_no for one in rows],
        [one.row.destination for one in rows],
        [one.row.raw for one in rows],
        [bytes.fromhex(one.row.raw_sha256) for one in rows],
        [one.row.media_type for one in rows],
        [bytes.fromhex(one.row.content_sha256) for one in rows],
        [one.row.answer for one in rows],
        rows[0].message.topic,
        [place(one.message) for one in rows],
        [json_text(dict(one.message.headers)) for one in rows],
        [one.message.body for one in rows],
    )


def repeated_columns(rows: Sequence[Repetition]) -> Columns:
    """Arguments of REPEAT."""
    return (
        [row.client for row in rows],
        [row.key for row in rows],
        [row.channel for row in rows],
        [bytes.fromhex(row.raw_sha256) for row in rows],
        [row.certificate_id for row in rows],
        [row.answer for row in rows],
        [row.at for row in rows],
    )


def turn_columns(work: TurnWork) -> Columns:
    """Arguments of SAVE_TURN, in its groups. Raises UnknownTopic."""
    return (
        *blob_columns(work.blobs),
        [message_id for message_id, _ in work.handled],
        [subject_id for _, subject_id in work.handled],
        [one.id for one in work.opened],
        [one.kind for one in work.opened],
        [one.key for one in work.opened],
        [one.owner for one in work.opened],
        *_state_columns(work.states, work.events),
        *_event_columns(work.events),
        *_timer_columns(work.settled),
        *_timer_columns(work.timers),
        *_receipt_columns(work.receipts),
        *log_columns(work.log),
    )


def blob_columns(blobs: Sequence[Blob]) -> Columns:
    """Arguments of PUT_BLOBS: each once, by hash, so that two writers of the same bytes never wait in a ring."""
    unique = {blob.sha256: blob for blob in blobs}
    rows = [unique[sha256] for sha256 in sorted(unique)]
    return (
        [bytes.fromhex(blob.sha256) for blob in rows],
        [blob.kind for blob in rows],
        [blob.media_type for blob in rows],
        [blob.content for blob in rows],
    )


def _state_columns(states: Sequence[State], events: Sequence[Stored]) -> Columns:
    signed = {
        stored.subject_id: str(signed_on) for stored in events if (signed_on := stored.event.data.get("signed_on"))
    }
    heads = {stored.subject_id: stored.hash for stored in events}
    return (
        [state.id for state in states],
        [state.model_dump_json() for state in states],
        [state.status for state in states],
        [state.sequence for state in states],
        [signed.get(state.id) for state in states],
        [state.revision for state in states],
        [bytes.fromhex(heads[state.id]) if state.id in heads else None for state in states],
        [" ".join(state.overdue) for state in states],
    )


def _event_columns(events: Sequence[Stored]) -> Columns:
    return (
        [stored.subject_id for stored in events],
        [stored.sequence for stored in events],
        [stored.id for stored in events],
        [stored.event.kind.value for stored in events],
        [json_text(dict(stored.event.data)) for stored in events],
        [stored.message_id for stored in events],
        [stored.at for stored in events],
        [bytes.fromhex(stored.hash) for stored in events],
    )


def _timer_columns(timers: Sequence[Timer]) -> Columns:
    return (
        [timer.subject_id for timer in timers],
        [str(timer.about) for timer in timers],
        [timer.revision for timer in timers],
        [timer.due for timer in timers],
    )


def _receipt_columns(rows: Sequence[ReceiptRow]) -> Columns:
    return (
        [row.message_id for row in rows],
        [row.subject_id for row in rows],
        [row.number for row in rows],
        [row.kind for row in rows],
        [bytes.fromhex(row.raw_sha256) for row in rows],
        [row.fields for row in rows],
        [row.at for row in rows],
    )


def parked_columns(rows: Sequence[Parked]) -> Columns:
    """Arguments of PARK."""
    return (
        [row.message_id for row in rows],
        [row.subject_id for row in rows],
        [row.topic for row in rows],
        [row.key for row in rows],
        [json_text(dict(row.headers)) for row in rows],
        [row.body for row in rows],
        [row.reason for row in rows],
        [row.at for row in rows],
    )


def dead_columns(rows: Sequence[DeadLetter]) -> Columns:
    """Arguments of BURY."""
    return (
        [row.id for row in rows],
        [row.topic for row in rows],
        [row.partition for row in rows],
        [row.offset for row in rows],
        [row.key for row in rows],
        [json_text(dict(row.headers)) for row in rows],
        [row.body for row in rows],
        [row.code for row in rows],
        [row.detail for row in rows],
        [row.group for row in rows],
        [row.attempts for row in rows],
        [row.at for row in rows],
    )
