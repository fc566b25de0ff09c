"""The Store port on PostgreSQL: two round trips a batch besides BEGIN and COMMIT, the log appended last."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias, cast
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from adapters.bus.log import append, no_partition
from adapters.postgres.errors import is_passing, unavailable
from adapters.store import sql
from gateway.core.admission import Known, Prior
from gateway.core.life import About, NewerState, Register, State
from gateway.core.lives import LIVES
from gateway.core.numbers import Series
from gateway.ports import Blob, Message, Unavailable
from gateway.storage import Admitted, Collision, Fresh, Loaded, Parked, Repetition, Taken, Timer, TurnWork

AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""Somebody else was first: the transaction is rolled back, and run again it sees what they wrote."""
SPECIAL = (asyncpg.UniqueViolationError, *AGAIN)
SERIES_FULL = "OG001"
"""SQLSTATE of origin.open_certificates when a series has no number left."""


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A transaction whose troubles are named: Collision (run it again) or Unavailable (nothing was written)."""
    with unavailable("acquire"):
        connection = cast("asyncpg.Connection", await pool.acquire(timeout=5))
    committing = False
    try:
        await connection.execute("BEGIN")
        yield connection
        committing = True
        if await connection.execute("COMMIT") != "COMMIT":  # of a broken transaction the server makes a ROLLBACK
            raise RuntimeError("the transaction was rolled back: an error inside it was passed over")
    except asyncpg.UniqueViolationError as error:
        await _rollback(connection)
        raise Taken(type(error).__name__) from error
    except AGAIN as error:
        await _rollback(connection)
        raise Collision(type(error).__name__) from error
    except BaseException as error:
        passing = is_passing(error)
        if not passing or isinstance(error, asyncpg.PostgresError):  # else the connection itself is in doubt
            await _rollback(connection)
        if not passing:
            raise
        if committing:
            raise Collision("the outcome of the commit is unknown") from error
        raise Unavailable("the database went away") from error
    finally:
        # Releasing resets the session: a transaction left open by a lost call is rolled back there.
        await pool.release(connection)  # type: ignore[arg-type]  # the proxy that acquire gave


Wake: TypeAlias = Callable[[Iterable[str]], None]
"""Told the topics of a committed transaction, so that their readers look at once: `PostgresBus.wake`."""


class Writer:
    """A connection inside a transaction that may append to the log."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.topics: set[str] = set()

    async def append(self, messages: Sequence[Message]) -> None:
        """Append to the log: the last statement before COMMIT."""
        await append(self.connection, messages)
        self.topics.update(message.topic for message in messages)


@asynccontextmanager
async def writing(pool: asyncpg.Pool, wake: Wake) -> AsyncIterator[Writer]:
    """A transaction that may append to the log; readers are woken after its commit."""
    async with transaction(pool) as connection:
        writer = Writer(connection)
        yield writer
    if writer.topics:
        wake(writer.topics)


async def _rollback(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(Exception):  # the error that brought us here is the one to tell
        await connection.execute("ROLLBACK")


class PostgresStore:
    """See `gateway.storage.Store`."""

    def __init__(self, pool: asyncpg.Pool, wake: Wake, lives: Register = LIVES) -> None:
        self._pool = pool
        self._wake = wake
        self._lives = lives

    @asynccontextmanager
    async def door(self) -> AsyncIterator["DoorSession"]:
        """One batch at the door."""
        async with writing(self._pool, self._wake) as writer:
            yield DoorSession(writer)

    async def open(self, fresh: Sequence[Fresh]) -> Sequence[str] | None:
        """New declarations in one statement, which is its own transaction."""
        with unavailable("acquire"):
            connection = cast("asyncpg.Connection", await self._pool.acquire(timeout=5))
        try:
            numbers: list[str] | None = await connection.fetchval(sql.OPEN, *sql.fresh_columns(fresh))
        except asyncpg.PostgresError as error:
            if isinstance(error, SPECIAL) or error.sqlstate == SERIES_FULL:
                return None
            if is_passing(error):
                raise Collision("the outcome of the commit is unknown") from error
            raise
        except BaseException as error:
            if is_passing(error):
                raise Collision("the outcome of the commit is unknown") from error
            raise
        finally:
            await self._pool.release(connection)  # type: ignore[arg-type]  # the proxy that acquire gave
        if numbers is not None:
            self._wake({one.message.topic for one in fresh})
        return numbers

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["TurnSession"]:
        """One micro-batch of the turn."""
        async with writing(self._pool, self._wake) as writer:
            yield TurnSession(writer, self._lives)

    async def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers whose time has come, oldest first."""
        async with transaction(self._pool) as connection:
            known = [(life.kind, about) for life in self._lives for about in life.reminders]
            kinds, reminders = [kind for kind, _ in known], [about for _, about in known]
            rows = await connection.fetch(sql.DUE, now, limit, kinds, reminders)
        return [Timer(*row.values()) for row in rows]

    async def parked(self, subject_id: UUID | None = None) -> Sequence[Parked]:
        """What is parked, in order of arrival."""
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(sql.PARKED, subject_id)
        return [
            Parked(
                row["message_id"],
                row["subject_id"],
                row["topic"],
                row["key"],
                sql.json_data(row["headers"]),
                row["body"],
                row["reason"],
                row["at"],
            )
            for row in rows
        ]


class DoorSession:
    """See `gateway.storage.DoorTransaction`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._connection = writer.connection

    async def known(
        self, keys: Sequence[tuple[str, str]], numbers: Sequence[str]
    ) -> tuple[Mapping[tuple[str, str], Prior], Mapping[str, Known]]:
        """What is on file under these keys and numbers."""
        clients, names = [client for client, _ in keys], [name for _, name in keys]
        priors = {
            (row["client"], row["key"]): Prior(row["raw_sha256"].hex(), row["certificate_id"], row["answer"])
            for row in await self._connection.fetch(sql.PRIORS, clients, names)
        }
        if not numbers:
            return priors, {}
        rows = await self._connection.fetch(sql.KNOWN, list(numbers))
        return priors, {row["number"]: Known(*row.values()) for row in rows}

    async def draw(self, wanted: Mapping[Series, int]) -> Mapping[Series, Sequence[int]]:
        """Free serials. A number that an ERP chose for itself may stand in the way: it is stepped over."""
        drawn: dict[Series, list[int]] = {series: [] for series in wanted}
        missing = dict(wanted)
        while missing:
            batch = sorted(missing)
            rows = await self._connection.fetch(
                sql.DRAW,
                [series.organisation for series in batch],
                [series.certificate_type for series in batch],
                [series.year for series in batch],
                [series.prefix for series in batch],
                [missing[series] for series in batch],
            )
            last = _last(rows)
            fresh: list[tuple[Series, int]] = []
            for series in batch:
                first = last[series] - missing[series] + 1
                fresh += [(series, serial) for serial in range(first, last[series] + 1) if serial <= series.capacity]
            taken = await self._taken([series.number(serial) for series, serial in fresh])
            for series, serial in fresh:
                if series.number(serial) not in taken:
                    drawn[series].append(serial)
            missing = {
                series: count - len(drawn[series])
                for series, count in wanted.items()
                if len(drawn[series]) < count and last[series] < series.capacity
            }
        return drawn

    async def _taken(self, numbers: list[str]) -> frozenset[str]:
        rows = await self._connection.fetch(sql.TAKEN, numbers)
        return frozenset(row["number"] for row in rows)

    async def write(self, admitted: Sequence[Admitted], repeated: Sequence[Repetition], log: Sequence[Message]) -> None:
        """Everything the batch leaves behind, the log last."""
        if admitted:
            await self._connection.execute(sql.ADMIT, *sql.admitted_columns(admitted))
        if repeated:
            await self._connection.execute(sql.REPEAT, *sql.repeated_columns(repeated))
        if log:
            await self._writer.append(log)


def _last(rows: Sequence[asyncpg.Record]) -> dict[Series, int]:
    return {
        Series(row["organisation"], row["certificate_type"], row["year"], row["prefix"]): row["last"] for row in rows
    }


class TurnSession:
    """See `gateway.storage.TurnTransaction`."""

    def __init__(self, writer: Writer, lives: Register) -> None:
        self._writer = writer
        self._lives = lives
        self._connection = writer.connection

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        """What is known of these messages and subjects, which are locked first."""
        ids = [one.id for one in subjects if one.id is not None]
        keys = [(one.kind, one.key) for one in subjects if one.id is None and one.key]
        rows = await self._connection.fetch(
            sql.LOAD_TURN, list(message_ids), ids, [kind for kind, _ in keys], [key for _, key in keys]
        )
        found = [row for row in rows if row["what"] == "subject"]
        states, unreadable = self._states(found)
        return Loaded(
            seen=frozenset(row["about"] for row in rows if row["what"] == "seen"),
            keys={(row["kind"], row["key"]): row["about"] for row in found},
            states=states,
            parked=frozenset(row["about"] for row in rows if row["what"] == "parked"),
            kinds={row["about"]: row["kind"] for row in found},
            heads={row["about"]: row["last_hash"].hex() for row in found if row["last_hash"]},
            unreadable=unreadable,
        )

    async def blobs(self, sha256s: Sequence[str]) -> Mapping[str, bytes]:
        """Stored bytes by hash."""
        if not sha256s:
            return {}
        rows = await self._connection.fetch(sql.BLOBS, [bytes.fromhex(sha256) for sha256 in sha256s])
        return {row["sha256"].hex(): row["content"] for row in rows}

    async def save(self, work: TurnWork) -> None:
        """Write all of it, the log last."""
        if work.parked:
            await self._connection.execute(sql.PARK, *sql.parked_columns(work.parked))
        if work.unparked:
            await self._connection.execute(sql.UNPARK, list(work.unparked))
        if work.dead:
            await self._connection.execute(sql.BURY, *sql.dead_columns(work.dead))
        with no_partition():
            await self._connection.execute(sql.SAVE_TURN, *sql.turn_columns(work))
        self._writer.topics.update(message.topic for message in work.log)

    def _states(self, rows: Sequence[asyncpg.Record]) -> tuple[dict[UUID, State], frozenset[UUID]]:
        """The states, and the subjects whose state nobody can read: they must not hold up the others."""
        states: dict[UUID, State] = {}
        unreadable: set[UUID] = set()
        for row in rows:
            if row["state"] is None:
                continue
            try:
                states[row["about"]] = self._lives[row["kind"]].read(row["state"])
            except (NewerState, KeyError):
                raise Unavailable("a newer version of the gateway has to handle a subject that it wrote") from None
            except ValidationError:
                unreadable.add(row["about"])
        return states, frozenset(unreadable)


async def put_blobs(connection: asyncpg.Connection, blobs: Sequence[Blob]) -> None:
    """Store each once."""
    await connection.execute(sql.PUT_BLOBS, *sql.blob_columns(blobs))
