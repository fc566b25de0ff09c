"""Batched durable intake beside the database alone: the same rows, the same batch size, fsync on.

In the process (no HTTP), and by the batch route, beside what its raw parts one after the other allow. The database
alone writes all that the door leaves behind (the document, its certificate, the remembered answer, the message on the
log) as plain rows into tables like ours: no question, no counter, no lock. What only the documents' bytes would take
is told too.
"""

import asyncio
import hashlib
import http.client
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count, islice
from statistics import median
from time import perf_counter
from uuid import UUID, uuid4

import asyncpg
import orjson
from lxml import etree

from adapters.codecs.gateway_xml import GatewayCodec
from adapters.codecs.xml import parser
from adapters.postgres.pool import connect, create_pool
from adapters.store.postgres import PostgresStore
from gateway.app import SystemClock
from gateway.core.admission import Verdict
from gateway.core.envelope import headers
from gateway.dev_kafka.config import free_port
from gateway.examiner import new_examiner
from gateway.runtime.door import MAX_BATCH, Client, Door, Submission
from gateway.storage import Fresh
from ops.bench.documents import Template, break_off, endless, templates
from ops.bench.figures import Figure, Progress, rate, ratio_of, told
from ops.bench.gateway_process import gateways
from ops.bench.ground import FOLDER, Ground
from ops.bench.intake import Wrong, verify
from ops.bench.verdict import bare_schema

HALF, ROUTE = 0.5, 0.6
TABLE = (
    "CREATE TABLE IF NOT EXISTS bench.batch (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)",
    "ALTER TABLE bench.batch ALTER COLUMN body SET STORAGE EXTERNAL",
    *(
        f"CREATE TABLE IF NOT EXISTS bench.{name} (LIKE origin.{name} INCLUDING ALL)"
        for name in ("blob", "subject", "intake", "log")
    ),
    "TRUNCATE bench.batch, bench.blob, bench.subject, bench.intake, bench.log",
)
INSERT = "INSERT INTO bench.batch (body) SELECT * FROM unnest($1::bytea[])"
ROWS = """
WITH documents AS (
    INSERT INTO bench.blob (sha256, kind, media_type, content)
    SELECT sha256, 'declaration', 'application/xml', content FROM unnest($1::bytea[], $2::bytea[]) AS d(sha256, content)
), answers AS (
    INSERT INTO bench.intake (client, key, channel, raw_sha256, certificate_id, answer, at)
    SELECT 'erp', encode(sha256, 'hex'), 'http', sha256, id, answer, now()
    FROM unnest($1::bytea[], $3::uuid[], $4::bytea[]) AS a(sha256, id, answer)
), messages AS (
    INSERT INTO bench.log (topic, partition, "offset", key, headers, body)
    SELECT 'origin.declaration.accepted.v1', 0, place, id::text, headers::jsonb, body
    FROM unnest($3::uuid[], $5::bigint[], $6::text[], $7::bytea[]) AS m(id, place, headers, body)
)
INSERT INTO bench.subject (
    id, key, certificate_type, owner, applicant, client, invoice_no, destination, revision, status,
    content_sha256, raw_sha256, media_type, accepted_at, updated_at)
SELECT id, place::text, 'C', '91330299MA9XYD0C2A', '91330299MA9XYD0C2A', 'erp', place::text, '710', 1, 'accepted',
       sha256, sha256, 'application/xml', now(), now()
FROM unnest($1::bytea[], $3::uuid[], $5::bigint[]) AS c(sha256, id, place)
"""
LINES, SENDERS, PROCESSES = 500, 4, 2
ANSWER, MESSAGE = 190, 1000
"""Bytes of an answer without warnings, and of the message that tells the turn."""
HEADERS = orjson.dumps(
    headers("declaration.accepted", UUID(int=1), str(UUID(int=1)), datetime.now(UTC), "application/xml")
).decode()
PLACES = count()


class Counting(PostgresStore):
    """The store, counting the batches at the door."""

    batches = 0

    async def open(self, fresh: Sequence[Fresh]) -> Sequence[str] | None:
        """One more."""
        self.batches += 1
        return await super().open(fresh)


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """Both figures."""
    rounds, size = (2, 1000) if quick else (7, 4000)
    await ground.emptied()
    for statement in TABLE:
        await ground.fetch(statement)
    return [
        *await _in_process(ground, progress, rounds, size),
        *await _route(ground, progress, rounds, size),
    ]


async def _in_process(ground: Ground, progress: Progress, rounds: int, size: int) -> list[Figure]:
    ours: list[float] = []
    limits: list[float] = []
    bare: list[float] = []
    documents = endless(templates())
    pool = await create_pool(ground.dsn, largest=4)
    store = Counting(pool, lambda _: None)
    door = Door(store, new_examiner(), GatewayCodec(), SystemClock(), break_off)
    running = asyncio.create_task(door.run())
    connection = await connect(ground.dsn)
    try:
        await _submitted(door, documents, MAX_BATCH)
        for number in range(1, rounds + 1):
            await ground.settle()
            store.batches = 0
            ours.append(await _submitted(door, documents, size))
            batch = max(1, round(size / store.batches))
            limits.append(await _alone(connection, documents, size, batch, ROWS))
            bare.append(await _alone(connection, documents, size, batch, INSERT))
            progress.say(f"durable intake {number}/{rounds}: ours {ours[-1]:,.0f}, the database {limits[-1]:,.0f}")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close()
        await pool.close()
    name, against = "durable intake, in the process", f"all its rows, batches of {batch}, one connection"
    return [
        rate(name, median(ours), "declarations/s", against, median(limits), HALF, ratio_of(ours, limits)),
        told("... of the documents' bytes alone, committed so", ratio_of(ours, bare), "of their rate"),
    ]


async def _submitted(door: Door, documents: Iterator[tuple[Template, bytes]], size: int) -> float:
    """Declarations a second, two batches in flight: one is examined while the other commits."""
    ready = []
    for template, body in islice(documents, size):
        client = Client(template.enterprise.slug, template.enterprise.code, "", True)
        ready.append(Submission(client, template.media_type, body, "bench", None, None))
    left = iter(ready)

    async def sender() -> None:
        for submission in left:
            answer = await door.submit(submission)
            if answer.verdict is not Verdict.ACCEPTED:
                raise Wrong(f"not accepted: {answer.content}")

    start = perf_counter()
    await asyncio.gather(*(sender() for _ in range(2 * MAX_BATCH)))
    return size / (perf_counter() - start)


async def _alone(
    connection: asyncpg.Connection, documents: Iterator[tuple[Template, bytes]], size: int, batch: int, statement: str
) -> float:
    """Documents a second that one connection commits by `statement`, `batch` at a time."""
    bodies = [body for _, body in islice(documents, size)]
    batches = [_arguments(bodies[at : at + batch], statement) for at in range(0, size, batch)]
    start = perf_counter()
    for arguments in batches:
        await connection.execute(statement, *arguments)
    return size / (perf_counter() - start)


def _arguments(bodies: Sequence[bytes], statement: str) -> tuple[Sequence[object], ...]:
    """What a batch of documents makes of a statement's columns; the answer and message are of the usual size."""
    if statement == INSERT:
        return (bodies,)
    at = next(PLACES)
    places = range(at * MAX_BATCH, at * MAX_BATCH + len(bodies))
    hashes = [hashlib.sha256(b"%d" % place).digest() for place in places]  # the same documents come again
    ids = [UUID(bytes=uuid4().bytes) for _ in bodies]
    ours = [HEADERS for _ in bodies]
    return hashes, bodies, ids, [b"a" * ANSWER for _ in bodies], places, ours, [b"m" * MESSAGE for _ in bodies]


async def _route(ground: Ground, progress: Progress, rounds: int, size: int) -> list[Figure]:
    """NDJSON over HTTP, from several senders, beside 1 / (raw parse and XSD + a share of a raw batched commit)."""
    keys = await ground.emptied()
    for statement in TABLE:
        await ground.fetch(statement)
    port, serials = free_port(), count(1)
    ours: list[float] = []
    limits: list[float] = []
    bare: list[float] = []
    given: list[tuple[str, str]] = []
    connection = await connect(ground.dsn)
    try:
        with gateways(PROCESSES, port, ground.dsn, FOLDER / "data", "intake"):
            await asyncio.to_thread(_sent, port, keys, 2 * LINES, serials)
            for number in range(1, rounds + 1):
                await ground.settle()
                speed, accepted = await asyncio.to_thread(_sent, port, keys, size, serials)
                ours.append(speed)
                given += accepted
                limits.append(await serial_sum(connection, size, ROWS))
                bare.append(await serial_sum(connection, size, INSERT))
                progress.say(f"batch route {number}/{rounds}: ours {ours[-1]:,.0f}, raw parts {limits[-1]:,.0f}")
    finally:
        await connection.close()
    await verify(ground, given)
    name, against = f"batch route (NDJSON, {PROCESSES} processes)", "raw parse + XSD, then all its rows in batches"
    return [
        rate(name, median(ours), "declarations/s", against, median(limits), ROUTE, ratio_of(ours, limits)),
        told("... of raw parse + XSD and the documents' bytes alone", ratio_of(ours, bare), "of their rate"),
    ]


async def serial_sum(connection: asyncpg.Connection, size: int, statement: str) -> float:
    """Documents a second when each is parsed and validated, then committed with its batch: no pipeline, no door."""
    bodies = [body for _, body in islice(endless(templates()), size)]
    bare = bare_schema()
    batches = [bodies[at : at + MAX_BATCH] for at in range(0, size, MAX_BATCH)]
    prepared = [(batch, _arguments(batch, statement)) for batch in batches]
    start = perf_counter()
    for batch, arguments in prepared:
        for body in batch:
            bare.validate(etree.fromstring(body, parser()))
        await connection.execute(statement, *arguments)
    return size / (perf_counter() - start)


def _sent(port: int, keys: Mapping[str, str], size: int, serials: Iterator[int]) -> tuple[float, list[tuple[str, str]]]:
    """Declarations a second over `SENDERS` connections, and what was given: (id, number). Raises Wrong."""
    chosen = templates("application/json")
    work = []
    for _ in range(0, size, LINES):
        template = chosen[next(serials) % len(chosen)]
        lines = [orjson.dumps(orjson.loads(template.document(next(serials)))) for _ in range(LINES)]
        work.append((keys[template.enterprise.code], b"\n".join(lines)))
    start = perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        answered = list(pool.map(lambda one: _posted(port, *one), work))
    took = perf_counter() - start
    verdicts = [orjson.loads(line) for answer in answered for line in answer.splitlines()]
    refused = [verdict for verdict in verdicts if verdict["http"] != 202]
    if refused or len(verdicts) != LINES * len(work):
        raise Wrong(f"{len(refused)} of {len(verdicts)} lines were not accepted: {refused[:1]}")
    return len(verdicts) / took, [(verdict["id"], verdict["number"]) for verdict in verdicts]


def _posted(port: int, key: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
        connection.request("POST", "/v1/declarations", body, headers)
        return connection.getresponse().read()
    finally:
        connection.close()
