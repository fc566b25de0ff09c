"""What must be true of a gateway at rest, read from its database, its spool and its clients' ledgers by SQL of our own.

Every check returns the sentences that tell what is broken; an empty list is good.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from renderers.verify import verify

Row = Mapping[str, Any]

CERTIFICATES = "SELECT id::text, number, status, sequence, certificate_type, exporter, client FROM origin.certificate"
PAPERS = """
SELECT f.job::text, f.certificate_id::text AS certificate, f.part, encode(f.file_sha256, 'hex') AS sha256,
       c.state->'papers'->f.part->>'file' AS authorised
FROM origin.rendering f JOIN origin.certificate c ON c.id = f.certificate_id
"""
CLAIMS = "SELECT job::text, certificate_id::text AS certificate, part, state FROM origin.print_claim"
LOG = """
SELECT p.topic, p.partition, p.next_offset, count(l."offset") AS rows, coalesce(min(l."offset"), 0) AS first,
       coalesce(max(l."offset") + 1, 0) AS beyond
FROM origin.log_partition p LEFT JOIN origin.log l USING (topic, partition) GROUP BY p.topic, p.partition, p.next_offset
"""
LAG = """
SELECT c."group", c.topic, c.partition
FROM origin.consumer_position c JOIN origin.log_partition p USING (topic, partition) WHERE c.position <> p.next_offset
"""
MESSAGES = 'SELECT key, body FROM origin.log WHERE topic = $1 ORDER BY partition, "offset"'
SERIES = "SELECT organisation, certificate_type, prefix, last FROM origin.number_series"
LEFT_OVER = """
SELECT (SELECT count(*) FROM origin.parked) AS parked,
       (SELECT count(*) FROM origin.receipt WHERE subject_id IS NULL) AS strays
"""
MOVED = (
    "SELECT (sum(next_offset) + (SELECT sum(position) FROM origin.consumer_position))::bigint FROM origin.log_partition"
)
PARTS = ("copy", "original")


@contextlib.asynccontextmanager
async def looking(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for questions."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def rested(dsn: str, seconds: float) -> list[str]:
    """Waits until every certificate is at its end and everything in the log is handled; else, when nothing at all moved
    for `seconds`, what is still open. On a busy machine the way is long, but it goes on."""
    before, since = 0, time.monotonic()
    async with looking(dsn) as connection:
        while True:
            open_ = await unconfirmed(connection)
            lag = await connection.fetch(LAG)
            if not open_ and not lag:
                return []
            moved: int = await connection.fetchval(MOVED)
            if moved != before:
                before, since = moved, time.monotonic()
            if time.monotonic() > since + seconds:
                return [f"{seconds:g} s without a move: {dict(open_)}, not handled: {[tuple(row) for row in lag]}"]
            await asyncio.sleep(0.1)


async def unconfirmed(connection: asyncpg.Connection) -> Counter[str]:
    """How many certificates stand where, those at their end left out."""
    rows = await connection.fetch("SELECT status FROM origin.certificate WHERE status <> 'confirmed'")
    return Counter(row["status"] for row in rows)


async def certificates(connection: asyncpg.Connection) -> list[str]:
    """Confirmed, unique numbers without a hole, gapless events, one message to customs, two files, two prints."""
    found = await connection.fetch(CERTIFICATES)
    ids = {row["id"] for row in found}
    wrong = [f"{row['id']} stands at {row['status']}" for row in found if row["status"] != "confirmed"]
    wrong += doubles("number", (row["number"] for row in found))
    for series in await connection.fetch(SERIES):
        head = (series["organisation"], series["certificate_type"])
        given = [r["number"] for r in found if (r["number"][-13:-4], r["number"][:-15]) == head]
        if sorted(int(number[-4:]) for number in given) != list(range(1, series["last"] + 1)):
            wrong.append(f"series {head}: {len(given)} numbers in use, the counter stands at {series['last']}")
    events = defaultdict(list)
    for row in await connection.fetch("SELECT subject_id::text AS id, sequence FROM origin.event ORDER BY 1, 2"):
        events[row["id"]].append(row["sequence"])
    for row in found:
        if events[row["id"]] != list(range(1, row["sequence"] + 1)):
            wrong.append(f"{row['id']}: events {events[row['id']]}, sequence {row['sequence']}")
    for topic, count in (("declaration.accepted", 1), ("customs.outbound", 1), ("render.job", 2), ("print.job", 2)):
        sent = Counter(row["key"] for row in await connection.fetch(MESSAGES, f"origin.{topic}.v1"))
        wrong += [f"{id_}: {sent[id_]} messages on {topic}" for id_ in ids | set(sent) if sent[id_] != count]
    return wrong


async def log(connection: asyncpg.Connection) -> list[str]:
    """Offsets without a hole; the status topic tells every event of every certificate once, in order; none waits."""
    wrong = [
        f"{row['topic']}/{row['partition']}: {dict(row)}"
        for row in await connection.fetch(LOG)
        if not row["rows"] == row["next_offset"] == row["beyond"] or row["first"]
    ]
    bodies = [orjson.loads(row["body"]) for row in await connection.fetch(MESSAGES, "origin.status.changed.v1")]
    told = sequences(bodies)
    for row in await connection.fetch(CERTIFICATES):
        if told.pop(row["id"], []) != list(range(1, row["sequence"] + 1)):
            wrong.append(f"{row['id']}: the status topic has a gap, a double or a disorder")
    wrong += [f"{id_}: the status topic tells of a certificate that is not there" for id_ in told]
    waiting = await connection.fetchrow(LEFT_OVER)
    wrong += [f"{count} {what}" for what, count in dict(waiting or {}).items() if count]
    return wrong + [f"not handled: {tuple(row)}" for row in await connection.fetch(LAG)]


def sequences(events: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Certificate -> sequence numbers of its status events, in the order in which they were told."""
    found: dict[str, list[int]] = defaultdict(list)
    for event in events:
        found[event["certificate"]].append(event["sequence"])
    return found


async def prints(connection: asyncpg.Connection, paper: "PrintServer") -> list[str]:
    """One original and one copy of each certificate came out of the spool, once, with the authorised bytes."""
    files = await connection.fetch(PAPERS)
    claims = await connection.fetch(CLAIMS)
    ids = [row["id"] for row in await connection.fetch(CERTIFICATES)]
    expected = sorted((id_, part) for id_ in ids for part in PARTS)
    wrong = []
    for what, rows in (("signed files", files), ("print claims", claims)):
        if sorted((row["certificate"], row["part"]) for row in rows) != expected:
            wrong.append(f"not one original and one copy of each: {len(rows)} {what} for {len(ids)} certificates")
    wrong += [f"claim {row['job']} ended {row['state']}" for row in claims if row["state"] != "printed"]
    wrong += [
        f"{row['certificate']}: another file than authorised" for row in files if row["sha256"] != row["authorised"]
    ]
    hashes = {(row["certificate"], row["part"]): row["sha256"] for row in files}
    paper.stop()
    printed = paper.printed()
    wrong += doubles("print of job", (job for job, _ in printed))
    papers = {row["job"]: hashes.get((row["certificate"], row["part"])) for row in claims}
    for job, path in printed:
        if hashlib.sha256(path.read_bytes()).hexdigest() != papers.pop(job, None):
            wrong.append(f"job {job}: nobody claimed it, or it has other bytes than were authorised")
    return wrong + [f"job {job} was claimed and no file came out" for job in papers]


def answers(lines: Sequence[Row], delivered: Iterable[str], found: Sequence[Row]) -> list[str]:
    """The ledger of the ERPs equals the database: every declaration accepted, each with a certificate of its own."""
    wrong = [
        f"{line['key']} was answered {line.get('status')}: {line}" for line in lines if line["status"] != "accepted"
    ]
    wrong += doubles("key", (line["key"] for line in lines))
    if sorted(line["key"] for line in lines) != sorted(delivered):
        wrong.append("the ledger does not have every declaration")
    told = sorted((line["id"], line["number"]) for line in lines)
    if told != sorted((row["id"], row["number"]) for row in found):
        wrong.append(f"the ERPs know {len(told)} certificates, the database {len(found)}, and they differ")
    return wrong


def signatures(files: Iterable[Path], authority: bytes) -> list[str]:
    """Every file is signed, whole and trusted."""
    return [
        f"{path.name}: {report.text()}"
        for path in files
        if not (report := verify(path.read_bytes(), [authority])).valid
    ]


def doubles(what: str, values: Iterable[str]) -> list[str]:
    """Values that stand more than once."""
    return [f"{what} {value} stands {count} times" for value, count in Counter(values).items() if count > 1]


class PrintServer:
    """Takes half of the files out of the spool as soon as they appear, as a real one does; the others lie there."""

    def __init__(self, spool: Path, tray: Path) -> None:
        self._spool = spool
        self._tray = tray
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="print-server")
        self._victim: Callable[[], None] | None = None
        self._struck = threading.Event()
        self.taken = self.strikes = 0
        tray.mkdir()

    def __enter__(self) -> "PrintServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Takes nothing more: what lies where is settled."""
        self._over.set()
        self._thread.join()

    def strike(self, kill: Callable[[], None], patience: float) -> bool:
        """Calls `kill` in the very moment in which it takes the next file; False when none comes in time."""
        self._struck.clear()
        self._victim = kill
        done = self._struck.wait(patience)
        self._victim = None
        return done

    def _work(self) -> None:
        while not self._over.is_set():
            for name in os.listdir(self._spool) if self._spool.exists() else ():
                stem, ending = os.path.splitext(name)
                if ending == ".pdf" and int(stem[-1], 16) % 2:
                    if self._victim is not None and not self._struck.is_set():
                        self._victim()
                        self.strikes += 1
                        self._struck.set()
                    self.taken += 1
                    (self._spool / name).rename(self._tray / f"{stem}_{self.taken}.pdf")
            time.sleep(0.001)

    def printed(self) -> list[tuple[str, Path]]:
        """(job, file) of everything that ever came out."""
        files = sorted((*self._tray.glob("*.pdf"), *self._spool.glob("*.pdf")))
        return [(path.stem.split("_")[0], path) for path in files]
