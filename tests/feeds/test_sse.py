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
from adapters.feeds.sse import STATUS, StatusStream, change, decode, encode
from gateway.ports import Message
from gateway.reading import BadCursor, TooManyReaders

MINE, THEIRS = "91330299MA9XYD0C2A", "91320599MA9HTQ7K6J"


@given(st.lists(st.integers(0, (1 << 62) - 1), min_size=8, max_size=8))
def test_cursors(positions: list[int]) -> None:
    assert decode(encode(positions), 8) == positions


@pytest.mark.parametrize("text", ["", "1", "1.2", "a.b.c.d.e.f.g.H", "-1.0.0.0.0.0.0.0", "0.0.0.0.0.0.0." + "z" * 13])
def test_no_cursor_of_ours(text: str) -> None:
    with pytest.raises(BadCursor):
        decode(text, 8)


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
    stream = StatusStream(pool, **{"pause": 0.02, "beat": 0.2, **options})
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
        assert sum(decode(listener.last, 8)) == 8
        assert any("still here" in comment for comment in listener.comments)


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
