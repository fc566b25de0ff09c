"""The bus on PostgreSQL's log table: what the gateway runs on until there is a Kafka."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self

import asyncpg
import orjson

from adapters.bus import group as sql
from adapters.bus.group import Held, Place
from adapters.bus.log import append, declare
from adapters.bus.session import ALL, Session
from adapters.bus.topics import Topics, declared
from adapters.postgres.errors import unavailable
from gateway.ports import Consumer, Fenced, Message, Positions, Record, Unavailable

__all__ = ["PostgresBus", "append", "declare"]

log = logging.getLogger(__name__)

LEASE = 10.0
"""Seconds until a member that stands still is replaced. One whose process ended is replaced at once."""
FALLBACK = 1.0
"""Seconds after which a reader looks although nobody woke it."""
BYTES = 8 * 1024 * 1024
"""Bodies in one poll; a larger single record comes alone."""
WAIT = 10.0
"""Seconds for a free connection."""
TOPICS = "SELECT DISTINCT topic FROM origin.log_partition"
PATIENCE = 30.0
"""Seconds a member may go on with records of a partition that another member waits for."""


class PostgresBus:
    """Publishes to and reads from ``origin.log``. Use as an async context manager."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        topics: Topics | None = None,
        *,
        lease: float = LEASE,
    ) -> None:
        """`pool` may go through pgbouncer; `connect` makes direct connections (LISTEN, session lock)."""
        self.pool = pool
        self.topics = declared() if topics is None else topics
        self.lease = lease
        self.session = Session(connect, self._heard)
        self._consumers: set[PostgresConsumer] = set()

    async def __aenter__(self) -> Self:
        """Connects. A database that is away is no error here."""
        await self.session.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnects; consumers must have been left before."""
        await self.session.__aexit__()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Writes all of `messages` or none, in a transaction of their own."""
        with unavailable("publish"):
            async with self.pool.acquire(timeout=WAIT) as connection:
                await append(connection, messages, self.topics)
        self.wake({message.topic for message in messages})

    async def on_the_log(self) -> frozenset[str]:
        """The topics that are on the log now. Raises Unavailable."""
        with unavailable("topics"):
            return frozenset(row["topic"] for row in await self.fetch(TOPICS))

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """One statement on a pooled connection."""
        async with self.pool.acquire(timeout=WAIT) as connection:
            return await connection.fetch(statement, *values)

    def wake(self, topics: Iterable[str]) -> None:
        """Call after the COMMIT of a transaction that used `append`: its readers look at once, here and elsewhere."""
        words = {f"topic:{topic}" for topic in topics}
        for word in words:
            self._heard(word)
        self.session.tell(words)

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """A member of `group`. Entering it raises UnknownTopic, and Unavailable when the database is away."""
        return self._member(group, topics)

    @contextlib.asynccontextmanager
    async def _member(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        self.topics.places(topics)
        consumer = PostgresConsumer(self, group, sorted(set(topics)))
        self._consumers.add(consumer)
        try:
            await consumer.join()
            yield consumer
        finally:
            self._consumers.discard(consumer)
            await consumer.leave()

    def _heard(self, word: str) -> None:
        for consumer in self._consumers:
            consumer.heard(word)


class PostgresConsumer:
    """One member of one group; see `gateway.ports.Consumer`."""

    def __init__(self, bus: PostgresBus, group: str, topics: Sequence[str]) -> None:
        """Made by `PostgresBus.consumer`."""
        self.member = uuid.uuid4()
        self._bus = bus
        self._group = group
        self._topics = topics
        self._words = {ALL, *(f"topic:{topic}" for topic in topics)}
        self._held: dict[Place, Held] = {}
        self._turn = 0
        self._records = asyncio.Event()
        self._stir = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._away: Unavailable | None = None

    # ------------------------------------------------------------ reading

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """See the port."""
        deadline = time.monotonic() + timeout
        while True:
            self._records.clear()
            if records := await self._read(max_records):
                return records
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, FALLBACK)):
                    await self._records.wait()

    async def _read(self, max_records: int) -> list[Record]:
        wanted = [(place, held, held.next) for place, held in self._held.items() if held.leaving_since is None]
        if not wanted:
            if self._away is not None and not self._held:
                raise Unavailable("no partitions: the database is away") from self._away
            return []
        self._turn = (self._turn + 1) % len(wanted)
        wanted = wanted[self._turn :] + wanted[: self._turn]
        columns = zip(*((*place, held.epoch, start) for place, held, start in wanted), strict=True)
        with unavailable("poll"):
            rows = await self._bus.fetch(sql.READ, self._group, self.member, *columns, max(1, max_records), BYTES)
        # While we waited, a partition may have changed hands or begun to leave, or somebody rewound.
        good = {
            place: held
            for place, held, start in wanted
            if self._held.get(place) is held and held.leaving_since is None and held.next == start
        }
        records = []
        for row in rows:
            if (found := good.get((row["topic"], row["partition"]))) is None:
                continue
            found.next = row["offset"] + 1
            headers = orjson.loads(row["headers"])
            records.append(Record(row["topic"], row["partition"], row["offset"], row["key"], row["body"], headers))
        return records

    async def commit(self, positions: Positions) -> None:
        """See the port."""
        lost = {place for place in positions if place not in self._held}
        mine = {place: (self._held[place], position) for place, position in positions.items() if place not in lost}
        if mine:
            columns = zip(*((*place, held.epoch, to) for place, (held, to) in mine.items()), strict=True)
            with unavailable("commit"):
                rows = await self._bus.fetch(sql.COMMIT, self._group, self.member, *columns)
            moved = {(row["topic"], row["partition"]) for row in rows}
            for place, (held, position) in mine.items():
                if place in moved:
                    held.committed = max(held.committed, position)
                elif self._held.get(place) is held:
                    del self._held[place]
            lost |= mine.keys() - moved
        if lost or any(held.leaving_since is not None for held in self._held.values()):
            self._stir.set()
        if lost:
            raise Fenced(", ".join(f"{topic}[{number}]" for topic, number in sorted(lost)))

    async def rewind(self) -> None:
        """See the port."""
        for held in self._held.values():
            held.next = held.committed

    def heard(self, word: str) -> None:
        """A wake-up came."""
        if word in self._words:
            self._records.set()
        if word in (ALL, f"group:{self._group}"):
            self._stir.set()

    # ------------------------------------------------------------ membership

    async def join(self) -> None:
        """Takes a seat in the group; partitions may come later, when others gave them back."""
        with unavailable("join"):
            await self._bus.fetch(sql.GROUP, self._group)
            await self._bus.fetch(sql.SEATS, self._group, self._topics)
        await self.agree()
        self._keeper = asyncio.create_task(self._keep(), name=f"origin-bus-{self._group}")

    async def leave(self, timeout: float = 5.0) -> None:
        """Gives everything back; a database that is away will find out by itself."""
        await self.halt()
        self._held.clear()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(timeout):
                with unavailable("leave"):
                    await self._bus.fetch(sql.LEAVE, self._group, self.member)
        self._bus.session.tell({f"group:{self._group}"})

    async def halt(self) -> None:
        """Stops renewing the lease."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._bus.lease / 4):
                    await self._stir.wait()
            self._stir.clear()
            try:
                await self.agree()
            except Unavailable as error:
                if self._away is None:
                    log.warning("bus.away: group %s: %s", self._group, error)
                self._away = error
                await asyncio.sleep(0.1)
                self._stir.set()
            except Exception:
                log.exception("bus.keeper_failed: group %s", self._group)
                await asyncio.sleep(1.0)

    async def agree(self) -> None:
        """Renews the lease, gives back what others should read, takes what is ours and free."""
        key = self._bus.session.key
        with unavailable("group"):
            async with self._bus.pool.acquire(timeout=WAIT) as connection, connection.transaction():
                # No flush: if the server forgets this, it also forgets every position moved under it.
                await connection.execute("SET LOCAL synchronous_commit = off")
                fresh, wanted, seats = await sql.look(
                    connection, self._group, self.member, self._topics, key, self._bus.lease
                )
                self._drop_lost(seats)
                leaving = self._leaving(wanted)
                await sql.change_hands(connection, self._group, leaving, None)
                free = [
                    place
                    for place, member in wanted.items()
                    if member == self.member and place not in self._held and seats[place].owner in (None, self.member)
                ]
                taken = await sql.change_hands(connection, self._group, sorted(free), self.member)
        for place in leaving:
            self._held.pop(place, None)
        self._held.update(taken)
        if self._away is not None:
            log.warning("bus.back: group %s", self._group)
            self._away = None
        if taken:
            self._records.set()
        if fresh or leaving:
            self._bus.session.tell({f"group:{self._group}"})

    def _drop_lost(self, seats: dict[Place, sql.Seat]) -> None:
        for place, held in list(self._held.items()):
            seat = seats.get(place)
            if seat is None or seat.owner != self.member or seat.epoch != held.epoch:
                del self._held[place]

    def _leaving(self, wanted: dict[Place, uuid.UUID]) -> list[Place]:
        """Partitions to give back now. From here on nothing of them is handed out."""
        now = time.monotonic()
        result = []
        for place, held in self._held.items():
            if wanted.get(place) == self.member:
                held.leaving_since = None
                continue
            held.leaving_since = now if held.leaving_since is None else held.leaving_since
            waited = now - held.leaving_since
            if held.next <= held.committed or waited > PATIENCE:
                result.append(place)
        return sorted(result)
