"""All rows that turns left behind, written once more: the same batches, one connection, one statement a batch."""

from collections import defaultdict
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import asyncpg

from adapters.postgres.pool import connect
from ops.bench.ground import Ground

TABLES = ("inbox", "event", "receipt", "blob", "timer", "log", "subject")
LIKE = "CREATE TABLE bench.{name} (LIKE origin.{name} INCLUDING ALL)"
# A transaction of the turn is known by the id that its rows bear.
READ: Mapping[str, str] = {
    "inbox": "message_id, subject_id, at",
    "event": "subject_id, sequence, id, kind, data::text, message_id, at, hash, day",
    "receipt": "message_id, subject_id, number, kind, raw_sha256, fields::text, at",
    "blob": "sha256, kind, media_type, content, created_at",
    "timer": "subject_id, about, revision, due",
    "log": 'topic, partition, "offset", key, headers::text, body, written_at',
}
STATES = """
SELECT id, state::text, status, sequence, signed_on, updated_at, last_hash, overdue FROM origin.subject
"""
WRITE = """
WITH handled AS (
    INSERT INTO bench.inbox (message_id, subject_id, at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
), happened AS (
    INSERT INTO bench.event (subject_id, sequence, id, kind, data, message_id, at, hash, day)
    SELECT * FROM unnest($4::uuid[], $5::int[], $6::uuid[], $7::text[], $8::jsonb[], $9::uuid[], $10::timestamptz[],
                         $11::bytea[], $12::date[])
), received AS (
    INSERT INTO bench.receipt (message_id, subject_id, number, kind, raw_sha256, fields, at)
    SELECT * FROM unnest($13::uuid[], $14::uuid[], $15::text[], $16::text[], $17::bytea[], $18::jsonb[],
                         $19::timestamptz[])
), kept AS (
    INSERT INTO bench.blob (sha256, kind, media_type, content, created_at)
    SELECT * FROM unnest($20::bytea[], $21::text[], $22::text[], $23::bytea[], $24::timestamptz[])
), reminded AS (
    INSERT INTO bench.timer (subject_id, about, revision, due)
    SELECT * FROM unnest($25::uuid[], $26::text[], $27::int[], $28::timestamptz[])
), sent AS (
    INSERT INTO bench.log (topic, partition, "offset", key, headers, body, written_at)
    SELECT * FROM unnest($29::text[], $30::int[], $31::bigint[], $32::text[], $33::jsonb[], $34::bytea[],
                         $35::timestamptz[])
)
UPDATE bench.subject c
SET state = s.state, status = s.status, sequence = s.sequence, signed_on = s.signed_on, updated_at = s.updated_at,
    last_hash = s.last_hash, overdue = s.overdue
FROM unnest($36::uuid[], $37::jsonb[], $38::text[], $39::int[], $40::text[], $41::timestamptz[], $42::bytea[],
            $43::text[]) AS s(id, state, status, sequence, signed_on, updated_at, last_hash, overdue)
WHERE c.id = s.id
"""
Batch = list[list[Any]]
"""Columns."""


async def written_again(ground: Ground, *, opening: bool) -> tuple[float, int]:
    """Messages a second, and messages a batch. `opening`: the batches of declarations, else those of receipts."""
    connection = await connect(ground.dsn)
    try:
        for name in (*READ, "subject"):
            await connection.execute(f"DROP TABLE IF EXISTS bench.{name}")
            await connection.execute(f"CREATE TABLE bench.{name} (LIKE origin.{name} INCLUDING ALL)")
        await connection.execute("INSERT INTO bench.subject SELECT * FROM origin.subject")
        batches = await _batches(connection, opening=opening)
        await ground.settle()
        messages = sum(len(batch[0]) for batch in batches)
        statement = await connection.prepare(WRITE)
        start = perf_counter()
        for batch in batches:
            await statement.fetch(*batch)
        return messages / (perf_counter() - start), round(messages / len(batches))
    finally:
        await connection.close()


async def _batches(connection: asyncpg.Connection, *, opening: bool) -> list[Batch]:
    """What each transaction wrote; of a certificate that later ones changed again, its last state."""
    states = {row["id"]: tuple(row) for row in await connection.fetch(STATES)}
    written = {name: await _by_transaction(connection, name) for name in READ}
    found = []
    for transaction, handled in written["inbox"].items():
        events = written["event"][transaction]
        if any(sequence == 1 for _, sequence, *_ in events) is not opening:
            continue
        batch = _columns(handled, "inbox")
        for name in list(READ)[1:]:
            batch += _columns(written[name][transaction], name)
        touched = sorted({certificate for certificate, *_ in events})
        found.append([*batch, *map(list, zip(*(states[identity] for identity in touched), strict=True))])
    return found


async def _by_transaction(connection: asyncpg.Connection, table: str) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in await connection.fetch(f"SELECT xmin::text, {READ[table]} FROM origin.{table}"):
        transaction, *values = row
        found[transaction].append(tuple(values))
    return found


def _columns(given: list[tuple[Any, ...]], table: str) -> Batch:
    return list(map(list, zip(*given, strict=True))) if given else [[] for _ in READ[table].split(", ")]
