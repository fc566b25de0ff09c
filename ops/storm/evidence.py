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
from aiokafka.structs import ConsumerRecord

from adapters.bus.topics import declared
from ops.storm.attacks import Attack, attack_of
from ops.storm.check import Certificate, Claim, Event, Evidence, File, Hit, Series, Taken, Told
from ops.storm.fleet import ROOT
from ops.storm.ground import THIEF, Ground

STATUS = "origin.status.changed.v1"
SUBMITTED, ANSWERED = "origin.intake.submitted.v1", "origin.intake.answered.v1"
HTTP = {"accepted": 202, "duplicate": 200, "conflict": 409, "refused": 422, "later": 429, "internal": 500}
"""What an answer's status is as one of HTTP's."""
CERTIFICATES = """
SELECT id::text, number, certificate_type, exporter, status, sequence,
       state->'papers'->'original'->>'file' AS original, state->'papers'->'copy'->>'file' AS copy
FROM origin.certificate
"""
EVENTS = """
SELECT subject_id::text AS certificate, sequence, id::text, kind, coalesce(data->>'part', '') AS part,
       message_id::text AS message
FROM origin.event ORDER BY subject_id, sequence
"""
INTAKE = "SELECT client, key, certificate_id::text FROM origin.intake"
SERIES = "SELECT organisation, certificate_type, year, prefix, last FROM origin.number_series"
RECEIPTS = "SELECT subject_id::text AS certificate, count(*) AS papers FROM origin.receipt GROUP BY 1"
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
            evidence.told = [_told(record) for record in await topic(ground.kafka.bootstrap, STATUS)]
    finally:
        await connection.close()
    evidence.clients = ground.clients
    evidence.attacks = [*evidence.attacks, *await elsewhere(ground)]
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
    evidence.intake = [Taken(*row.values()) for row in await connection.fetch(INTAKE)]
    evidence.series = [Series(*row.values()) for row in await connection.fetch(SERIES)]
    papers = {row["certificate"]: row["papers"] for row in await connection.fetch(RECEIPTS)}
    evidence.strays = papers.pop(None, 0)
    evidence.receipts = papers
    evidence.claims = [Claim(*row.values()) for row in await connection.fetch(CLAIMS)]
    evidence.files = [File(*row.values()) for row in await connection.fetch(FILES)]


async def topic(bootstrap: str, name: str) -> list[ConsumerRecord]:
    """A foreign reader: a topic from its beginning to what is its end now."""
    client = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_poll_records=5000)
    await client.start()
    try:
        places = [TopicPartition(name, number) for number in range(declared().partitions(name))]
        client.assign(places)
        await client.seek_to_beginning(*places)
        ends = await client.end_offsets(places)
        read: list[ConsumerRecord] = []
        reached = dict.fromkeys(places, 0)
        while any(reached[place] < ends[place] for place in places):
            found = await client.getmany(timeout_ms=10_000)
            if not found:
                raise RuntimeError(f"{name} cannot be read to its end: {reached} of {ends}")
            for place, records in found.items():
                reached[place] = records[-1].offset + 1
                read += records
        return read
    finally:
        await client.stop()


def _told(record: ConsumerRecord) -> Told:
    return Told(record.key.decode(), orjson.loads(record.value)["sequence"], _head(record, "ce_id"))


def _head(record: ConsumerRecord, name: str) -> str:
    return str(dict(record.headers)[name].decode())


# ---------------------------------------------------------------- what the attacker was told


async def elsewhere(ground: Ground) -> list[Hit]:
    """What the attacker was told in its folder and on its topic; its ledger has the rest."""
    return [*await asyncio.to_thread(_in_folder, ground.hot / THIEF), *await _on_bus(ground)]


def _in_folder(folder: Path) -> list[Hit]:
    """The answers beside its files, and the files that have none: they wait, or broke us."""
    ended = folder.glob("*ed/*.result.json")
    waiting = [*folder.glob("in/[!.]*"), *folder.glob("work/*/*")]
    answered = [_hit("folder", attack_of(path.name.split(".")[0]), path.read_bytes()) for path in ended]
    return answered + [Hit(attack_of(path.stem), "folder", 0) for path in waiting]


async def _on_bus(ground: Ground) -> list[Hit]:
    """The answers to its records, and the records that have none."""
    if ground.kafka is None:
        return []
    answers = await topic(ground.kafka.bootstrap, f"{ANSWERED}.{THIEF}")
    names = {_head(record, "ce_causationid") for record in answers}
    sent = {_head(record, "ce_id") for record in await topic(ground.kafka.bootstrap, f"{SUBMITTED}.{THIEF}")}
    told = [_hit("bus", attack_of(_head(record, "ce_causationid")), record.value) for record in answers]
    return told + [Hit(attack_of(name), "bus", 0) for name in sorted(sent - names)]


def _hit(way: str, attack: Attack, content: bytes) -> Hit:
    """An answer that tells its verdict in its bytes alone."""
    return hit(attack, way, HTTP.get(said(content).get("status", ""), 500), content)


def hit(attack: Attack, way: str, http: int, content: bytes, *, calm: bool = False, times: int = 1) -> Hit:
    """A line of the attacker's ledger."""
    answer = said(content)
    faults = answer.get("errors") or answer.get("faults") or ()
    codes = sorted({fault["code"] for fault in faults if fault["severity"] == "refuse"})
    return Hit(attack, way, http, codes, str(answer.get("number") or ""), calm, times)


def said(content: bytes) -> dict[str, Any]:
    """An answer's JSON; nothing where it is none, e.g. the PDF that it should not have been."""
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


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
