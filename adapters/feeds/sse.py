"""Status changes as server-sent events: one reader of the log per process, as many streams as there are listeners.

The cursor of a stream is where it stands in each partition of the status topic (`cursors`). Log offsets are gapless and
in commit order (ops/decisions/0031), so nothing is lost between two connections, and nothing comes twice.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import orjson
import structlog

from adapters.feeds.cursors import Cursors
from adapters.postgres.errors import unavailable
from gateway.ports import Unavailable
from gateway.reading import TooManyReaders

STATUS: Final = "origin.status.changed.v1"
BEAT: Final = 15.0
"""Seconds between signs of life."""
PAUSE: Final = 0.2
"""Seconds between two looks at the log."""
BACKLOG: Final = 2000
"""Events a slow reader may be behind before its stream is ended."""
MOST_STREAMS: Final = 1000
MOST_PER_ENTERPRISE: Final = 50
PAGE: Final = 500

ENDS: Final = "SELECT next_offset FROM origin.log_partition WHERE topic = $1 ORDER BY partition"

# A lateral page per partition: each is a range scan of the primary key, however long the log is.
READ: Final = """
SELECT p.partition, l."offset", l.body
FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS p(partition, first, beyond)
CROSS JOIN LATERAL (
    SELECT "offset", body FROM origin.log
    WHERE topic = $1 AND partition = p.partition AND "offset" >= p.first AND "offset" < p.beyond
    ORDER BY "offset" LIMIT $5
) l
ORDER BY p.partition, l."offset"
"""

log = structlog.get_logger("adapters.feeds.sse")


@dataclass(frozen=True, slots=True)
class Change:
    """One status event in the log."""

    partition: int
    offset: int
    owners: frozenset[str]
    kind: str
    data: bytes
    """The event as one line of JSON."""


def change(partition: int, offset: int, body: bytes) -> Change | None:
    """A record of the status topic; None for one that is no event (it is passed over, never an error)."""
    try:
        event: Any = orjson.loads(body)
        owners = frozenset({event["applicant"], event["exporter"]})
        return Change(partition, offset, owners, str(event["kind"]), orjson.dumps(event))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


@dataclass(slots=True, eq=False)
class _Stream:
    """One listener: what waits for it. None in the queue: the feed closes."""

    enterprise: str
    queue: asyncio.Queue[Change | None] = field(default_factory=lambda: asyncio.Queue(BACKLOG))
    too_slow: bool = False


class StatusStream:
    """Implements `gateway.reading.StatusFeed`. Start `run` as a task; it reads the log only while somebody listens."""

    def __init__(
        self, pool: asyncpg.Pool, master_key: str, *, partitions: int = 8, beat: float = BEAT, pause: float = PAUSE
    ) -> None:
        self._pool = pool
        self._cursors = Cursors(master_key, partitions)
        self._partitions = partitions
        self._beat = beat
        self._pause = pause
        self._streams: set[_Stream] = set()
        self._somebody = asyncio.Event()
        self._read_to: list[int] | None = None
        self._closed = False

    async def run(self) -> None:
        """Read what is new and hand it to the listeners, until cancelled."""
        while True:
            await self._somebody.wait()
            try:
                if self._read_to is None:
                    self._read_to = await self._ends()
                busy = await self._look(self._read_to)
            except Unavailable as trouble:
                log.warning("feed.unavailable", reason=str(trouble))
                busy = False
                await asyncio.sleep(1)
            if not self._streams:
                self._somebody.clear()
                self._read_to = None
            elif not busy:
                await asyncio.sleep(self._pause)

    def subscribe(self, enterprise: str, cursor: str | None) -> AsyncIterator[bytes]:
        """A stream for one listener. Raises BadCursor or TooManyReaders at once."""
        start = None if cursor is None else self._cursors.read(enterprise, cursor)
        own = sum(stream.enterprise == enterprise for stream in self._streams)
        if self._closed or len(self._streams) >= MOST_STREAMS or own >= MOST_PER_ENTERPRISE:
            raise TooManyReaders
        return self._events(_Stream(enterprise), start)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for stream in self._streams:
            with contextlib.suppress(asyncio.QueueFull):
                stream.queue.put_nowait(None)

    async def _events(self, stream: _Stream, start: list[int] | None) -> AsyncIterator[bytes]:
        """First what happened between `start` and the moment of listening, then what comes."""
        self._streams.add(stream)
        try:
            at = await self._joined()
            positions = list(at) if start is None else [min(a, b) for a, b in zip(start, at, strict=True)]
            yield b": certificates of origin, status changes\nretry: 3000\n\n"
            if start is None:
                yield self._mark(stream.enterprise, positions)
            while any(position < end for position, end in zip(positions, at, strict=True)):
                for found in await self._page(positions, at, stream.enterprise):
                    yield found
            async for piece in self._live(stream, positions):
                yield piece
        except Unavailable:
            yield b": the database is away; come back with the last event id\n\n"
        finally:
            self._streams.discard(stream)

    async def _joined(self) -> list[int]:
        """Where the common reader stands; from here on it fills our queue. Waits for its first look."""
        self._somebody.set()
        for _ in range(100):
            if self._read_to is not None:
                return list(self._read_to)
            await asyncio.sleep(0.05)
        raise Unavailable("the log can't be read now")

    async def _page(self, positions: list[int], ends: Sequence[int], enterprise: str) -> list[bytes]:
        """The next stored events of an enterprise; moves `positions` over the others."""
        pieces: list[bytes] = []
        rows = await self._read(positions, ends)
        for partition, (position, end) in enumerate(zip(positions, ends, strict=True)):
            own = [row for row in rows if row["partition"] == partition]
            for row in own:
                positions[partition] = row["offset"] + 1
                found = change(partition, row["offset"], row["body"])
                if found is not None and enterprise in found.owners:
                    pieces.append(self._event(enterprise, positions, found))
            if len(own) < PAGE and position < end:
                positions[partition] = end
        return pieces

    async def _live(self, stream: _Stream, positions: list[int]) -> AsyncIterator[bytes]:
        while True:
            try:
                found = await asyncio.wait_for(stream.queue.get(), self._beat)
            except TimeoutError:
                if self._read_to is not None and stream.queue.empty():
                    # Everything before this was looked at and was not ours: no need to read it again later.
                    positions[:] = map(max, positions, self._read_to)
                yield self._mark(stream.enterprise, positions)
                continue
            if found is None:
                yield b": the gateway is closing; come back with the last event id\n\n"
                return
            if found.offset >= positions[found.partition]:
                positions[found.partition] = found.offset + 1
                yield self._event(stream.enterprise, positions, found)
            if stream.too_slow and stream.queue.empty():
                yield b": you read too slowly; come back with the last event id\n\n"
                return

    async def _look(self, at: list[int]) -> bool:
        """One page of what is new from `at` on, which moves; True when there may be more."""
        ends = await self._ends()
        if ends == at:
            return False
        rows = await self._read(at, ends)
        for row in rows:
            found = change(row["partition"], row["offset"], row["body"])
            if found is not None:
                self._hand_out(found)
        counts = [0] * self._partitions
        for row in rows:
            counts[row["partition"]] += 1
            at[row["partition"]] = row["offset"] + 1
        full = False
        for partition, count in enumerate(counts):
            if count < PAGE:
                at[partition] = ends[partition]
            else:
                full = True
        return full

    def _hand_out(self, found: Change) -> None:
        for stream in self._streams:
            if stream.enterprise not in found.owners or stream.too_slow:
                continue
            try:
                stream.queue.put_nowait(found)
            except asyncio.QueueFull:
                stream.too_slow = True
                log.info("feed.dropped", enterprise=stream.enterprise, reason="too slow")

    async def _ends(self) -> list[int]:
        with unavailable("feed"):
            rows = await self._pool.fetch(ENDS, STATUS)
        if len(rows) != self._partitions:
            raise Unavailable("the status topic is not declared in the database")
        return [row["next_offset"] for row in rows]

    async def _read(self, first: Sequence[int], beyond: Sequence[int]) -> list[Any]:
        with unavailable("feed"):
            rows: list[Any] = await self._pool.fetch(
                READ, STATUS, list(range(self._partitions)), list(first), list(beyond), PAGE
            )
        return rows

    def _event(self, enterprise: str, positions: Sequence[int], found: Change) -> bytes:
        # `kind` comes from a closed set of ours; a line break in it would forge a field.
        kind = found.kind if found.kind.isidentifier() else "message"
        cursor = self._cursors.write(enterprise, positions)
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), kind.encode(), found.data)

    def _mark(self, enterprise: str, positions: Sequence[int]) -> bytes:
        """No event, only a new place to come back to."""
        return b": still here\nid: %b\n\n" % self._cursors.write(enterprise, positions).encode()
