"""The audit on PostgreSQL: days are sealed with a root, and everything is checked again (gateway/core/audit.py).

A day is closed first, by a row without a root: from then on `adapters.store.sql.SAVE` counts events in the next day.
The lock on the event table waits for the turns that write, so none of them can still add to the closed day.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from uuid import UUID

import asyncpg
import orjson

from adapters.postgres.errors import unavailable
from gateway.core.audit import GENESIS, Flaw, Leaves, Row, Sealed, Walk, check_days
from gateway.core.decision import Event
from gateway.core.life import NewerState, OlderLife, Register
from gateway.core.lives import LIVES

MIGRATION = 3
"""The one that began the audit."""
CHUNK = 500
"""Certificates, or rows of a day, in memory at a time."""
MOST_FLAWS = 1000
"""Told one by one; more are counted."""

# SHARE ROW EXCLUSIVE: one process closes days. SHARE: waits for turns that have written, holds up others for a moment.
# The plan of the closing statement is made under the locks, so it sees all they left.
LOCKS = """
SET LOCAL lock_timeout = '2s';
LOCK TABLE origin.audit_day IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE origin.event IN SHARE MODE;
"""
OPEN = """
SELECT EXISTS (SELECT FROM origin.audit_day WHERE root IS NULL)
       OR coalesce((SELECT max(day) FROM origin.audit_day), '-infinity') < $1
"""
CLOSE = """
INSERT INTO origin.audit_day (day)
SELECT first + n FROM (
    SELECT coalesce((SELECT max(day) + 1 FROM origin.audit_day), (SELECT min(day) FROM origin.event)) AS first
) AS f, generate_series(0, $1 - first) AS n
"""
DUE = "SELECT day FROM origin.audit_day WHERE root IS NULL ORDER BY day"
BEFORE = "SELECT root FROM origin.audit_day WHERE day < $1 ORDER BY day DESC LIMIT 1"
HASHES = "SELECT hash FROM origin.event WHERE day = $1 ORDER BY subject_id, sequence"
SEAL = "UPDATE origin.audit_day SET root = $2, events = $3 WHERE day = $1 AND root IS NULL"


class PostgresDays:
    """See `gateway.runtime.sealing.DayBook`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def seal(self, last: date) -> Sequence[Sealed]:
        """Close what is over, then make the roots in order. Done twice it changes nothing."""
        with unavailable("seal"):
            if not await self._pool.fetchval(OPEN, last):
                return []
            async with self._pool.acquire(timeout=5) as connection, connection.transaction():
                await connection.execute(LOCKS)
                await connection.execute(CLOSE, last)
            days = [row["day"] for row in await self._pool.fetch(DUE)]
            return [sealed for day in days if (sealed := await self._root(day))]

    async def _root(self, day: date) -> Sealed | None:
        """The root of one closed day, where nobody else was first."""
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            previous: bytes | None = await connection.fetchval(BEFORE, day)
            leaves = Leaves()
            async for row in connection.cursor(HASHES, day, prefetch=10 * CHUNK):
                leaves.add(row["hash"].hex())
            root = leaves.root(day, previous.hex() if previous else GENESIS)
            done = await connection.execute(SEAL, day, bytes.fromhex(root), leaves.events)
        return Sealed(day, root, leaves.events) if done.endswith(" 1") else None


# ---------------------------------------------------------------- is it still whole?

# What a column can hold and Python can't is read as nothing: then it does not match its hash.
COLUMNS = """coalesce(s.kind, '') AS life, e.subject_id, e.sequence, e.id, e.kind, e.data::text AS data, e.message_id,
    coalesce(to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '') AS at,
    encode(e.hash, 'hex') AS hash,
    CASE WHEN e.day BETWEEN '1970-01-01' AND '9999-01-01' THEN e.day END AS day"""
SINCE = """
SELECT to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM origin.migration WHERE number = $1
"""
COUNT = "SELECT count(*) FROM origin.subject"
CERTIFICATES = """
SELECT id, kind, sequence, encode(last_hash, 'hex') AS head, state::text AS state FROM origin.subject
WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2
"""
CERTIFICATE = """
SELECT id, kind, sequence, encode(last_hash, 'hex') AS head, state::text AS state FROM origin.subject
WHERE id::text = $1 OR key = $1
"""
EVENTS = f"""
SELECT {COLUMNS} FROM origin.event e LEFT JOIN origin.subject s ON s.id = e.subject_id
WHERE e.subject_id = ANY($1::uuid[]) ORDER BY e.subject_id, e.sequence
"""  # noqa: S608 - made of constants
EVENTS_OF_DAY = f"""
SELECT {COLUMNS}, encode(p.hash, 'hex') AS previous, p.sequence IS NOT NULL OR e.sequence = 1 AS follows
FROM origin.event e
LEFT JOIN origin.subject s ON s.id = e.subject_id
LEFT JOIN origin.event p ON p.subject_id = e.subject_id AND p.sequence = e.sequence - 1
WHERE e.day = $1 ORDER BY e.subject_id, e.sequence
"""  # noqa: S608
SEALED = """
SELECT day, encode(root, 'hex') AS root, events FROM origin.audit_day
WHERE root IS NOT NULL AND day BETWEEN '1970-01-01' AND '9999-01-01' ORDER BY day
"""

Told = Callable[[int, int], None]
"""Told how far it is: (done, of how many)."""


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong with it."""

    certificates: int = 0
    events: int = 0
    unaudited: int = 0
    """Events from before the audit: nothing vouches for them."""
    unfolded: int = 0
    """Subjects whose events can't make their state again: the first is older than this check, or a newer version's."""
    days: int = 0
    newest: Sealed | None = None
    """To be kept outside the database: it pins everything before it."""
    flaws: list[Flaw] = field(default_factory=list)
    more: int = 0
    """Flaws beyond those that are told one by one."""

    def tell(self, flaw: Flaw) -> None:
        """One more."""
        if len(self.flaws) < MOST_FLAWS:
            self.flaws.append(flaw)
        else:
            self.more += 1


class Auditor:
    """Looks at one unchanging picture of the database, a chunk at a time. Everything raises Unavailable."""

    def __init__(self, connection: asyncpg.Connection, lives: Register = LIVES) -> None:
        self._connection = connection
        self._lives = lives

    async def sealed(self) -> Sequence[Sealed]:
        """Every root, oldest first."""
        with unavailable("audit"):
            return [Sealed(*row.values()) for row in await self._connection.fetch(SEALED)]

    async def everything(self, over: date, today: date, told: Told) -> Report:
        """Every chain and every root; `over`: the last day that ought to be sealed."""
        report = Report()
        async with self._picture(report) as walk:
            total: int = await self._connection.fetchval(COUNT)
            last: UUID | None = None
            while lives := await self._connection.fetch(CERTIFICATES, last, CHUNK):
                last = lives[-1]["id"]
                await self._subjects(walk, lives, report)
                told(report.certificates, total)
            for flaw in check_days(await self.sealed(), walk.leaves, over, today):
                report.tell(flaw)
        return report

    async def certificate(self, name: str) -> Report | None:
        """The chain of one certificate, by id or number; None: there is no such certificate."""
        report = Report()
        async with self._picture(report) as walk:
            lives = await self._connection.fetch(CERTIFICATE, name)
            await self._subjects(walk, lives, report)
        return report if lives else None

    async def day(self, day: date, over: date, told: Told) -> Report:
        """The events that one day's root counts, each after the one before it, and the root."""
        report = Report()
        async with self._picture(report) as walk:
            seen: UUID | None = None
            async for found in self._connection.cursor(EVENTS_OF_DAY, day, prefetch=10 * CHUNK):
                row = _row(found)
                report.certificates += row.certificate != seen
                seen = row.certificate
                if not found["follows"]:
                    report.tell(Flaw("event.missing", "the row is gone", row.certificate, row.sequence - 1))
                for flaw in walk.row(row, found["previous"] or GENESIS, follows=found["follows"]):
                    report.tell(flaw)
                if walk.events % CHUNK == 0:
                    told(walk.events, walk.events)
            for flaw in _one_day(day, await self.sealed(), walk.leaves.get(day) or Leaves(), over):
                report.tell(flaw)
        return report

    @asynccontextmanager
    async def _picture(self, report: Report) -> AsyncIterator[Walk]:
        """Everything inside sees one moment, however long it takes."""
        with unavailable("audit"):
            async with self._connection.transaction(isolation="repeatable_read", readonly=True):
                await self._connection.execute("SET LOCAL statement_timeout = 0")
                walk = Walk(await self._connection.fetchval(SINCE, MIGRATION) or "9")
                yield walk
                sealed = await self.sealed()
        report.events, report.unaudited = walk.events, walk.unaudited
        report.days, report.newest = len(sealed), sealed[-1] if sealed else None

    async def _subjects(self, walk: Walk, lives: Sequence[asyncpg.Record], report: Report) -> None:
        rows = await self._connection.fetch(EVENTS, [life["id"] for life in lives])
        events = {identity: list(found) for identity, found in groupby(map(_row, rows), lambda row: row.certificate)}
        for life in lives:
            report.certificates += 1
            own = events.get(life["id"], ())
            for flaw in walk.life(life["id"], life["sequence"], life["head"] or GENESIS, own):
                report.tell(flaw)
            self._fold(life, own, report)

    def _fold(self, subject: asyncpg.Record, rows: Sequence[Row], report: Report) -> None:
        """Do its events alone make its state, as far as this version knows of it? Whatever stands there is doubted."""
        if not rows or subject["kind"] not in self._lives:
            return
        life = self._lives[subject["kind"]]

        def tell(code: str, what: str) -> None:
            report.tell(Flaw(code, what, subject["id"], subject["sequence"]))

        try:
            made = life.fold(Event(life.events(row.kind), orjson.loads(row.data)) for row in rows)
            told = None if made is None else made.known()
        except OlderLife:
            report.unfolded += 1
            told = None
        except Exception:
            tell("state.events", "its events can't be followed: one of them was changed")
            return
        try:
            kept = life.read(subject["state"] or "").known()
        except NewerState:
            tell("state.newer", "a newer version wrote its state: let that one verify it")
        except Exception:
            tell("state.unreadable", "its state can't be read, or is gone")
        else:
            if told is not None and told != kept:
                tell("state.differs", "its state is not what its events make of it: one of the two was changed")


def _row(row: asyncpg.Record) -> Row:
    return Row(
        row["life"],
        row["subject_id"],
        row["sequence"],
        row["id"],
        row["kind"],
        row["data"],
        row["message_id"],
        row["at"],
        row["hash"],
        row["day"],
    )


def _one_day(day: date, sealed: Sequence[Sealed], leaves: Leaves, over: date) -> list[Flaw]:
    """The root of one day after that of the day before, whatever that is worth."""
    roots = {one.day: one for one in sealed}
    if day not in roots:
        what = "it has no root: the row is gone, or no turn role ran since the day ended"
        return [Flaw("day.missing", what, day=day)] if day <= over else []
    before = roots.get(day - timedelta(days=1))
    if before is None and day > min(roots):
        return [Flaw("day.missing", "it has no root: the row is gone", day=day - timedelta(days=1))]
    if leaves.root(day, before.root if before else GENESIS) != roots[day].root:
        return [Flaw("day.root", "root and events do not fit: one of them, or the root before, was changed", day=day)]
    return []


def overdue_seal(now: datetime) -> date:
    """The last day that ought to be sealed by now, with an hour to spare."""
    return (now - timedelta(hours=1)).date() - timedelta(days=1)
