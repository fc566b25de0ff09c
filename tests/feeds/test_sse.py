"""The event stream: nothing lost and nothing twice between two connections; the others' events never; slow readers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bus.log import append
from adapters.feeds import sse
from adapters.feeds.cursors import Cursors
from adapters.feeds.sse import STATUS, StatusStream, change
from gateway.ports import Message
from gateway.reading import BadCursor, TooManyReaders

MINE, THEIRS = "91330299MA9XYD0C2A", "91320599MA9HTQ7K6J"


MASTER = "the master key of the tests"


@given(st.lists(st.integers(0, (1 << 48) - 1), min_size=8, max_size=8), st.sampled_from([MINE, THEIRS]))
def test_cursors(positions: list[int], enterprise: str) -> None:
    written = Cursors(MASTER, 8).write(enterprise, positions)
    assert Cursors(MASTER, 8).read(enterprise, written) == positions, "another process reads it"
    assert len(written) == 96
    assert written.replace("-", "").replace("_", "").isalnum()
    other = THEIRS if enterprise == MINE else MINE
    for cursors, owner, text in (
        (Cursors(MASTER, 8), other, written),
        (Cursors("another", 8), enterprise, written),
        (Cursors(MASTER, 4), enterprise, written),
        (Cursors(MASTER, 8), enterprise, written[:-2] + ("AA" if written[-2:] != "AA" else "BA")),
        (Cursors(MASTER, 8), enterprise, written[:-8]),
        (Cursors(MASTER, 8), enterprise, f"{written}AAAA"),
    ):
        with pytest.raises(BadCursor):
            cursors.read(owner, text)


def test_cursors_of_earlier_versions_are_read() -> None:
    assert Cursors(MASTER, 8).read(MINE, "0") == [0] * 8
    assert Cursors(MASTER, 8).read(MINE, "0.a.13.0.0.0.0.zz") == [0, 10, 39, 0, 0, 0, 0, 1295]


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1.2", "a.b.c.d.e.f.g.H", "-1.0.0.0.0.0.0.0", "0.0.0.0.0.0.0." + "z" * 13),
        *("\x00", "证书", "\ud800", "A" * 96, "=" * 96, "A" * 199),
    ],
)
def test_no_cursor_of_ours(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursors(MASTER, 8).read(MINE, text)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"applicant":[],"exporter":"x","kind":"y"}', b"\xff"])
def test_what_is_no_event_is_passed_over(body: bytes) -> None:
    assert change(0, 0, body) is None


def events(numbers: Iterable[int], owner: str = MINE) -> list[Message]:
    return [
        Message(
            STATUS,
            f"certificate-{number % 5}",
            orjson.dumps({"n": number, "applicant": owner, "exporter": owner, "kind": "declared"}),
        )
        for number in numbers
    ]


async def write(pool: asyncpg.Pool, *messages: Message) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await append(connection, messages)


@contextlib.asynccontextmanager
async def streaming(pool: asyncpg.Pool, **options: Any) -> AsyncIterator[StatusStream]:
    stream = StatusStream(pool, MASTER, **{"pause": 0.02, "beat": 0.2, **options})
    task = asyncio.create_task(stream.run())
    try:
        yield stream
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Listener:
    """Reads a stream as a browser would: events, and the id of the last one."""

    def __init__(self, stream: StatusStream, enterprise: str = MINE, cursor: str | None = None) -> None:
        self.pieces = stream.subscribe(enterprise, cursor)
        self.last = cursor
        self.seen: list[int] = []
        self.comments: list[str] = []
        self.ids: list[str] = []
        self.asked: asyncio.Future[bytes] | None = None

    async def read(self, enough: int, seconds: float = 3.0) -> list[int]:
        """Until so many events are there, or time is up. What was asked for by then is waited for the next time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while len(self.seen) < enough:
            self.asked = self.asked or asyncio.ensure_future(anext(self.pieces, b""))
            left = deadline - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait({self.asked}, timeout=max(left, 0))
            if not done:
                break
            piece, self.asked = self.asked.result(), None
            if not piece:
                break
            self._take(piece.decode())
        return self.seen

    async def leave(self) -> None:
        """Hang up."""
        if self.asked is not None:
            self.asked.cancel()
            await asyncio.gather(self.asked, return_exceptions=True)
        await self.pieces.aclose()  # type: ignore[attr-defined]

    def _take(self, piece: str) -> None:
        for line in piece.splitlines():
            if line.startswith("id: "):
                self.last = line[4:]
                self.ids.append(self.last)
            elif line.startswith("data: "):
                self.seen.append(orjson.loads(line[6:])["n"])
            elif line.startswith(":"):
                self.comments.append(line)


async def test_from_the_beginning_then_live_only_mine(database_pool: asyncpg.Pool) -> None:
    await write(database_pool, *events(range(20)), *events(range(100, 120), THEIRS))
    async with streaming(database_pool) as stream:
        listener = Listener(stream, cursor="0")
        assert sorted(await listener.read(20)) == list(range(20))
        await write(database_pool, *events(range(20, 30)), *events(range(120, 130), THEIRS))
        assert sorted(await listener.read(30)) == list(range(30))
        assert sorted(await Listener(stream, THEIRS, "0").read(30)) == list(range(100, 130))
        assert sorted(await Listener(stream, cursor="0.0.0.0.0.0.0.0").read(30)) == list(range(30)), "an old id"


async def test_without_a_cursor_from_now_on(database_pool: asyncpg.Pool) -> None:
    await write(database_pool, *events(range(5)))
    async with streaming(database_pool) as stream:
        listener = Listener(stream)
        assert await listener.read(1, 0.3) == []
        await write(database_pool, *events([5]))
        assert await listener.read(1) == [5]


async def test_any_number_of_reconnections_loses_and_doubles_nothing(database_pool: asyncpg.Pool) -> None:
    seen: list[int] = []
    async with streaming(database_pool) as stream:

        async def writer() -> None:
            for number in range(0, 300, 3):
                await write(database_pool, *events(range(number, number + 3)), *events([1000 + number], THEIRS))

        writing = asyncio.create_task(writer())
        cursor = "0"
        while len(seen) < 300:
            listener = Listener(stream, cursor=cursor)
            got = await listener.read(17, 1.0)
            await listener.leave()
            seen += got
            assert listener.last is not None
            cursor = listener.last
            if writing.done() and not got:
                break
        await writing
    assert sorted(seen) == list(range(300))
    for key in range(5):
        own = [number for number in seen if number % 5 == key]
        assert own == sorted(own)


async def test_a_beat_moves_the_cursor_over_what_others_did(database_pool: asyncpg.Pool) -> None:
    async with streaming(database_pool) as stream:
        listener = Listener(stream, cursor="0")
        await listener.read(1, 0.1)
        await write(database_pool, *events(range(8), THEIRS))
        await listener.read(1, 0.5)
        assert listener.last is not None
        assert sum(Cursors(MASTER, 8).read(MINE, listener.last)) == 8
        assert any("still here" in comment for comment in listener.comments)


async def test_ids_tell_nothing_about_what_others_do(database_pool: asyncpg.Pool) -> None:
    """Neither how much, nor whether anything."""
    async with streaming(database_pool) as stream:
        listener = Listener(stream, cursor="0")
        busy = Listener(stream, THEIRS, "0")

        async def beats(count: int) -> list[str]:
            enough = len(listener.ids) + count
            while len(listener.ids) < enough:
                await listener.read(len(listener.seen) + 1, 0.3)
            return listener.ids[-count:]

        quiet = await beats(3)
        await write(database_pool, *events(range(100), THEIRS))
        await busy.read(100)
        loud = await beats(3)
        await write(database_pool, *events(range(1)))
        await listener.read(1)
        ids = [*quiet, *loud, *listener.ids[-1:], *busy.ids]
        assert len(set(ids)) == len(ids), "two signs of life with nothing between them look like any other two"
        assert len({len(one) for one in ids}) == 1, "a number that grows would be longer"
        with pytest.raises(BadCursor):
            stream.subscribe(MINE, busy.last)


async def test_a_slow_reader_is_told_and_can_go_on(
    database_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BACKLOG", 10)
    async with streaming(database_pool) as stream:
        listener = Listener(stream)
        await listener.read(1, 0.2)
        await write(database_pool, *events(range(50)))
        await asyncio.sleep(0.3)
        seen = list(await listener.read(50, 1.0))
        assert len(seen) == 10
        assert "too slowly" in listener.comments[-1]
        seen += await Listener(stream, cursor=listener.last).read(40)
    assert sorted(seen) == list(range(50))


async def test_closing_ends_every_stream(database_pool: asyncpg.Pool) -> None:
    async with streaming(database_pool) as stream:
        listener = Listener(stream)
        await listener.read(1, 0.2)
        stream.close()
        await listener.read(1, 1.0)
        assert "closing" in listener.comments[-1]
        with pytest.raises(TooManyReaders):
            stream.subscribe(MINE, None)


async def test_too_many_streams_of_one_enterprise(database_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_PER_ENTERPRISE", 1)
    async with streaming(database_pool) as stream:
        listener = Listener(stream)
        await listener.read(1, 0.1)
        with pytest.raises(TooManyReaders):
            stream.subscribe(MINE, None)
        stream.subscribe(THEIRS, None)
