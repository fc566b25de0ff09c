"""Collects what the invariants are checked on: by SQL of our own, from the ledgers, and from the status topic."""

import asyncio
import os
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.bus.topics import declared
from ops.storm.check import Certificate, Claim, Event, Evidence, File, Series, Told
from ops.storm.fleet import ROOT
from ops.storm.ground import Ground

STATUS = "origin.status.changed.v1"
CERTIFICATES = """
SELECT id::text, number, certificate_type, exporter, status, sequence,
       state->'papers'->'original'->>'file' AS original, state->'papers'->'copy'->>'file' AS copy
FROM origin.certificate
"""
EVENTS = """
SELECT certificate_id::text AS certificate, sequence, id::text, kind, coalesce(data->>'part', '') AS part,
       message_id::text AS message
FROM origin.event ORDER BY certificate_id, sequence
"""
INTAKE = """
SELECT key, certificate_id::text AS certificate FROM origin.intake WHERE NOT starts_with(key, 'content:')
"""
SERIES = "SELECT organisation, certificate_type, year, prefix, last FROM origin.number_series"
RECEIPTS = "SELECT certificate_id::text AS certificate, count(*) AS papers FROM origin.receipt GROUP BY 1"
CLAIMS = "SELECT job::text, certificate_id::text, part, state FROM origin.print_claim"
FILES = """
SELECT r.certificate_id::text, r.part, encode(r.file_sha256, 'hex'), encode(sha256(b.content), 'hex')
FROM origin.rendering r JOIN origin.blob b ON b.sha256 = r.file_sha256
WHERE EXISTS (SELECT FROM origin.certificate c WHERE c.id = r.certificate_id
              AND c.state->'papers'->r.part->>'file' = encode(r.file_sha256, 'hex'))
"""
LEFT = """
SELECT (SELECT count(*) FROM origin.parked) AS "parked messages",
       (SELECT count(*) FROM origin.dead_letter WHERE state = 'waiting') AS "dead letters",
       (SELECT count(*) FROM origin.certificate WHERE status = 'in_doubt') AS "prints in doubt",
       (SELECT count(*) FROM origin.certificate WHERE NOT status = ANY($1::text[])) AS "certificates on their way",
       (SELECT coalesce(sum(n.next_offset - p.position), 0)::bigint
        FROM origin.consumer_position p JOIN origin.log_partition n USING (topic, partition)
        WHERE p."group" = 'relay' OR $2) AS "records of the log unread"
"""
LOGGED = """
SELECT key, body FROM origin.log WHERE topic = $1 ORDER BY partition, "offset"
"""


async def backlog(dsn: str, ends: list[str], *, on_log: bool) -> dict[str, int]:
    """What is not at its end. `on_log`: all readers read the log, not only the relay."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        row = await connection.fetchrow(LEFT, ends, on_log)
    finally:
        await connection.close()
    return dict(row) if row else {}


async def collect(ground: Ground, evidence: Evidence) -> None:
    """Fills in what the tables, the customs' ledger, the printer's ledger, the topic and the auditor say."""
    connection = await asyncpg.connect(ground.database.dsn, timeout=10)
    try:
        await connection.execute("SET statement_timeout = 0")
        await _tables(connection, evidence)
        if ground.kafka is None:
            bodies = [orjson.loads(row["body"]) for row in await connection.fetch(LOGGED, STATUS)]
            evidence.told = [Told(body["certificate"], body["sequence"], body["id"]) for body in bodies]
        else:
            evidence.told = await _topic(ground.kafka.bootstrap)
    finally:
        await connection.close()
    evidence.questions = _questions(ground.register)
    evidence.printed = ground.printer.printed()
    evidence.audit = await audited(ground.database.dsn, ground.data)


async def _tables(connection: asyncpg.Connection, evidence: Evidence) -> None:
    evidence.certificates = {
        row["id"]: Certificate(
            row["id"],
            row["number"],
            row["certificate_type"],
            row["exporter"],
            row["status"],
            row["sequence"],
            {"original": row["original"], "copy": row["copy"]},
        )
        for row in await connection.fetch(CERTIFICATES)
    }
    events: dict[str, list[Event]] = defaultdict(list)
    kinds: dict[str, str] = {}
    async with connection.transaction():
        async for row in connection.cursor(EVENTS, prefetch=5000):
            kind = kinds.setdefault(row["kind"], row["kind"])
            events[row["certificate"]].append(Event(row["sequence"], row["id"], kind, row["part"], row["message"]))
    evidence.events = events
    evidence.intake = {row["key"]: row["certificate"] for row in await connection.fetch(INTAKE)}
    evidence.series = [Series(*row.values()) for row in await connection.fetch(SERIES)]
    papers = {row["certificate"]: row["papers"] for row in await connection.fetch(RECEIPTS)}
    evidence.strays = papers.pop(None, 0)
    evidence.receipts = papers
    evidence.claims = [Claim(*row.values()) for row in await connection.fetch(CLAIMS)]
    evidence.files = [File(*row.values()) for row in await connection.fetch(FILES)]


async def _topic(bootstrap: str) -> list[Told]:
    """A foreign reader: the status topic from its beginning to what is its end now."""
    client = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_poll_records=5000)
    await client.start()
    try:
        places = [TopicPartition(STATUS, number) for number in range(declared().partitions(STATUS))]
        client.assign(places)
        await client.seek_to_beginning(*places)
        ends = await client.end_offsets(places)
        told: list[Told] = []
        reached = dict.fromkeys(places, 0)
        while any(reached[place] < ends[place] for place in places):
            found = await client.getmany(timeout_ms=10_000)
            if not found:
                raise RuntimeError(f"the status topic cannot be read to its end: {reached} of {ends}")
            for place, records in found.items():
                reached[place] = records[-1].offset + 1
                for record in records:
                    headers = dict(record.headers)
                    sequence = orjson.loads(record.value)["sequence"]
                    told.append(Told(record.key.decode(), sequence, headers["ce_id"].decode()))
        return told
    finally:
        await client.stop()


def _questions(register: Path) -> list[tuple[str, str]]:
    ledger = sqlite3.connect(register)
    try:
        return [(str(identity), str(number)) for identity, number in ledger.execute("SELECT id, number FROM question")]
    finally:
        ledger.close()


async def audited(dsn: str, data: Path) -> dict[str, Any]:
    """What `origin audit verify` says, run as a person would run it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "audit", "verify", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**kept, "ORIGIN_DATABASE_URL": dsn, "ORIGIN_DATA": str(data)},
    )
    out, err = await process.communicate()
    try:
        return dict(orjson.loads(out))
    except orjson.JSONDecodeError:
        return {"holds": False, "flaws": [err.decode("utf-8", "replace")[-500:]]}
