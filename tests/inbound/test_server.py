"""The listener itself, over real sockets: slow senders, greedy senders, the end."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson
import pytest

from adapters.inbound.http import HttpServer, intake, listen
from adapters.inbound.http.app import Application
from adapters.inbound.http.guarded import Clock
from gateway.runtime.answers import Answer
from gateway.runtime.submission import Submission
from tests.inbound.parts import KEY, FakeDoor, application

HEAD = f"POST /v1/declarations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/xml\r\n"


@contextlib.asynccontextmanager
async def served(door: FakeDoor) -> AsyncIterator[HttpServer]:
    running = HttpServer(application(door), listen("127.0.0.1", 0))
    task = asyncio.create_task(running.run())
    try:
        while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield running
    finally:
        running.stop()
        await asyncio.wait_for(task, 10)


async def talk(port: int, sent: bytes, seconds: float = 5) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
        async with asyncio.timeout(seconds):
            return await reader.read(65536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_an_answer_over_a_socket() -> None:
    async with served(FakeDoor()) as running:
        answer = await talk(running.port, HEAD.encode() + b"content-length: 4\r\n\r\n<a/>")
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nserver:" not in answer.lower()


async def test_fifty_megabytes_are_refused_and_the_sender_gets_to_see_it() -> None:
    door = FakeDoor()
    async with served(door) as running:
        body = b"x" * (50 << 20)
        began = asyncio.get_running_loop().time()
        answer = await talk(running.port, HEAD.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        took = asyncio.get_running_loop().time() - began
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert took < 3
    assert not door.seen


async def test_who_shows_no_key_is_answered_at_once_and_not_among_those_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They announce a body and never send it: that is theirs to wait for, not another's."""
    monkeypatch.setattr(intake, "MOST_IN_FLIGHT", 3)
    strange = (b"", b"authorization: Bearer ok_nobody\r\n")
    async with served(FakeDoor()) as running, contextlib.AsyncExitStack() as stack:
        heard = []
        for number in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            stack.callback(writer.close)
            kind = b"content-type: application/xml\r\ncontent-length: 10\r\n\r\n"
            writer.write(b"POST /v1/declarations HTTP/1.1\r\nhost: x\r\n" + strange[number % 2] + kind)
            heard.append(reader)
        honest = HEAD.encode() + b"content-length: 4\r\n\r\n<a/>"
        assert (await talk(running.port, honest)).startswith(b"HTTP/1.1 202 ")
        for reader in heard:
            assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 401 ")
        assert (await talk(running.port, honest)).startswith(b"HTTP/1.1 202 ")


async def test_a_head_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.inbound.http.guarded.HEAD_SECONDS", 0.3)
    async with served(FakeDoor()) as running:
        assert await talk(running.port, b"POST /v1/declarations HTTP/1.1\r\nhost: x\r\n") == b""


async def test_a_head_that_grows_for_ever_is_cut_off() -> None:
    async with served(FakeDoor()) as running:
        head = b"GET /livez HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 900) for n in range(200))
        assert await talk(running.port, head) == b""
        assert await talk(running.port, b"GET /livez HTTP/1.1\r\nx: " + b"y" * 3_000_000) == b""


async def test_a_body_that_never_ends_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.inbound.http.intake.BODY_SECONDS", 0.2)
    monkeypatch.setattr("adapters.inbound.http.guarded.LINGER_SECONDS", 0.1)
    async with served(FakeDoor()) as running:
        answer = await talk(running.port, HEAD.encode() + b"content-length: 400\r\n\r\n<a")
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("framing", "status"),
    [
        (b"content-length: -1\r\n", 400),
        (b"content-length: 4, 4\r\n", 400),
        (b"content-length: 4\r\ncontent-length: 5\r\n", 400),
        (b"content-length: 4\r\ncontent-length: 4\r\n", 400),
        (b"content-length: 1_0\r\n", 400),
        (b"content-length: 99999999999999999999999999\r\n", 400),
        (b"content-length: 9999999999\r\n", 413),
        (b"content-length: 4\r\ntransfer-encoding: chunked\r\n", 400),
        (b"transfer-encoding: chunked\r\ncontent-length: 4\r\n", 400),
        (b"transfer-encoding: chunked, identity\r\n", 400),
        (b"transfer-encoding: xchunked\r\n", 400),
        (b"transfer-encoding:\x0bchunked\r\n", 400),
        (b"content-length : 4\r\n", 400),
        (b"x: a\r\n b\r\ncontent-length: 4\r\n", 400),
        (b"\xff\xfe: x\r\ncontent-length: 4\r\n", 400),
        (b"x: \x00\r\ncontent-length: 4\r\n", 400),
    ],
)
async def test_a_request_that_two_readers_would_cut_apart_differently(framing: bytes, status: int) -> None:
    """Answered as every problem is, and the connection ends: what follows could be anything."""
    door = FakeDoor()
    async with served(door) as running:
        answer = await talk(running.port, HEAD.encode() + framing + b"connection: close\r\n\r\n<a/>")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    assert orjson.loads(body)["status"] == status
    assert not door.seen


async def test_a_second_gateway_on_the_port_is_an_error_unless_shared() -> None:
    first = listen("127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", first.getsockname()[1])
    finally:
        first.close()
    shared = listen("127.0.0.1", 0, shared=True)
    other = listen("127.0.0.1", shared.getsockname()[1], shared=True)
    assert shared.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    shared.close()
    other.close()


class Speaker:
    """Says something as long as somebody listens, however many requests stand behind the first."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    def drain(self) -> None:
        """Nothing to do."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.01)
        assert gone.result()["type"] == "http.disconnect"
        self.left.set()


@contextlib.asynccontextmanager
async def speaking() -> AsyncIterator[tuple[Speaker, asyncio.StreamReader, asyncio.StreamWriter, bytes]]:
    """A stream that has begun, and what was heard of it."""
    speaker = Speaker()
    server = HttpServer(cast(Application, speaker), listen("127.0.0.1", 0))
    task = asyncio.create_task(server.run())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    yield speaker, reader, writer, await reader.readuntil(b"x")
    writer.close()
    await asyncio.wait_for(speaker.left.wait(), 20)
    server.stop()
    await task


async def test_a_stream_ends_with_its_connection_whatever_stands_behind_it() -> None:
    async with speaking() as (_, reader, writer, _):
        writer.write(b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"x")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_garbage_behind_a_stream_does_not_get_into_its_answer() -> None:
    async with speaking() as (_, reader, writer, heard):
        writer.write(b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n" + b"\x00garbage\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            heard += await asyncio.wait_for(reader.read(), 20)
        assert b" 400 " not in heard


async def test_garbage_behind_a_declaration_is_not_its_answer() -> None:
    """It may be accepted all the same: who hears nothing sends it again, who hears 400 would not."""

    class Slow(FakeDoor):
        async def submit(self, submission: Submission) -> Answer:
            in_hand.set()
            await enough.wait()
            return await super().submit(submission)

    in_hand, enough = asyncio.Event(), asyncio.Event()
    async with served(Slow()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(HEAD.encode() + b"content-length: 4\r\n\r\n<a/>")
        await asyncio.wait_for(in_hand.wait(), 20)
        writer.write(b"\x01garbage\r\n\r\n")
        heard = b""
        with contextlib.suppress(ConnectionError):
            heard = await asyncio.wait_for(reader.read(), 20)
        assert heard == b""
        enough.set()
        writer.close()


class Sink:
    """A loop and a transport in one: its timer, what is not sent yet, and whether it was given up."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.timers: list[Any] = []
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True

    def call_later(self, seconds: float, call: Any, *arguments: Any) -> Any:
        self.timers.append(lambda: call(*arguments))
        return asyncio.get_running_loop().call_later(3600, call, *arguments)

    def time_is_over(self) -> None:
        self.timers.pop()()


@pytest.fixture
def sink() -> Sink:
    """With ten bytes that are not sent yet."""
    return Sink(unsent=10)


@pytest.fixture
async def clock(sink: Any) -> AsyncIterator[Clock]:
    running = Clock(sink, sink)
    running.start(5.0)
    yield running
    running.stop()


async def test_who_takes_some_of_an_answer_gets_the_same_time_again(sink: Sink, clock: Clock) -> None:
    sink.unsent = 6
    sink.time_is_over()
    assert (sink.aborted, clock.runs) == (False, True)
    sink.time_is_over()
    assert sink.aborted, "nothing was taken in that time"


@pytest.mark.usefixtures("clock")
async def test_who_owes_something_and_has_taken_all_is_cut_off(sink: Sink) -> None:
    sink.unsent = 0
    sink.time_is_over()
    assert sink.aborted
