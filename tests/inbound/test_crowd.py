"""The door stands when it is kicked: who shows no key holds nothing that another needs, and no client holds everything.

Over real sockets. Nothing here is measured in time: a limit is made small, and what must not wait is answered although
what it would have waited for never comes.
"""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from adapters.inbound.http import Application, HttpServer, batch, guarded, intake, listen, server
from adapters.inbound.http import app as app_module
from gateway.runtime import connections
from tests.inbound.parts import KEY, OTHER_KEY, FakeDoor, application

NEVER = b"content-length: 10\r\n\r\n"
"""A body is announced and does not come."""


def head(path: str = "/v1/declarations", method: str = "POST", key: str | None = None, kind: str = "xml") -> bytes:
    authorization = "" if key is None else f"authorization: Bearer {key}\r\n"
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/{kind}\r\n".encode()


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def says(self, sent: bytes) -> None:
        self._writer.write(sent)
        await self._writer.drain()

    async def hears(self) -> int:
        """The status of the next answer."""
        async with asyncio.timeout(20):
            answer = await self._reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await self._reader.readexactly(int(length.partition(b":")[2]))
        return int(answer.split(b" ", 2)[1])

    async def gone(self) -> bool:
        """The other side ended it, sooner or later; what it still says is passed over."""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                await self._reader.read()
        return True

    def ends(self) -> None:
        self._writer.close()


class House:
    """A server, and who calls."""

    def __init__(self, door: FakeDoor, app: Application, running: HttpServer) -> None:
        self.door = door
        self.app = app
        self.running = running
        self._callers: list[Caller] = []

    @property
    def open(self) -> int:
        """Connections, as the server sees it."""
        return len(self.running.connections)

    @property
    def in_flight(self) -> int:
        """Declarations and batches that hold a place."""
        return self.app._intake._shares.held.total

    async def call(self, sent: bytes = b"") -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.running.port))
        self._callers.append(caller)
        await caller.says(sent)
        return caller

    async def asks(self, sent: bytes) -> int:
        """One request on a connection of its own."""
        return await (await self.call(sent)).hears()

    async def declares(self, key: str) -> int:
        return await self.asks(head(key=key) + b"content-length: 4\r\n\r\n<a/>")

    def end(self) -> None:
        for caller in self._callers:
            caller.ends()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the server has seen what was sent."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def open_house(strangers_per_address: int = 1000) -> AsyncIterator[House]:
    door = FakeDoor()
    app = application(door)
    running = HttpServer(app, listen("127.0.0.1", 0), strangers_per_address=strangers_per_address)
    task = asyncio.create_task(running.run())
    while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    house = House(door, app, running)
    try:
        yield house
    finally:
        house.end()
        running.stop(1)
        await asyncio.wait_for(task, 20)


# ---------------------------------------------------------------- without a key


@pytest.mark.parametrize("path", ["/v1/certificates/x/print", "/v1/nothing", "/v1/admin/clients"])
async def test_no_route_reads_the_body_of_one_who_shows_no_key(path: str) -> None:
    async with open_house() as house:
        for key in (None, "ok_nobody"):
            assert await house.asks(head(path, key=key, kind="json") + NEVER) == 401


async def test_a_place_is_anybodys_again_when_its_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "YOUNG", 0.0)
    async with open_house(strangers_per_address=3) as house:
        busy = await house.call(head(key=KEY) + NEVER)
        await until(lambda: house.in_flight == 1)
        idle = [await house.call() for _ in range(3)]
        answered = await house.call(head("/v1/certificates/x", "GET", key=KEY) + b"\r\n")
        assert await answered.hears() == 404
        assert await idle[0].gone()
        crowd = [await house.call() for _ in range(6)]
        assert [await one.gone() for one in (*idle, answered, *crowd[:3])] == [True] * 7
        assert house.open == 4
        await busy.says(b"<a>1234</a>"[:10])
        assert await busy.hears() == 202


async def test_a_full_listener_still_lets_the_next_one_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 5)
    async with open_house() as house:
        strangers = [await house.call() for _ in range(12)]
        assert await house.declares(KEY) == 202
        assert [await stranger.gone() for stranger in strangers[:8]] == [True] * 8


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (b"GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n", b"1"),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n"),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /livez HTTP/1.1\r\n"),
        (head() + NEVER, b"1"),
    ],
    ids=["a body after its answer", "line breaks for ever", "half a head", "a body after a refusal"],
)
async def test_a_connection_with_nothing_in_hand_ends_by_itself(
    sent: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for clock in ("HEAD_SECONDS", "KEEP_ALIVE", "LINGER_SECONDS"):
        monkeypatch.setattr(guarded, clock, 0.5)
    async with open_house() as house:
        caller = await house.call(sent)
        await caller.hears()
        with contextlib.suppress(ConnectionError):
            await caller.says(more)
        assert await caller.gone()


async def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "UNREAD_SECONDS", 0.2)
    monkeypatch.setattr(guarded, "KEEP_ALIVE", 0.2)
    async with open_house() as house:
        greedy = [await house.call(b"GET /docs-assets/redoc.standalone.js HTTP/1.1\r\nhost: x\r\n\r\n" * 30)]
        await until(lambda: house.open == 1)
        await until(lambda: house.open == 0)  # although its own side is open
        assert await greedy[0].gone()


async def test_a_sender_that_writes_first_gets_to_see_its_refusal() -> None:
    async with open_house() as house:
        body = b"x" * (8 << 20)
        caller = await house.call(head() + b"content-length: %d\r\n\r\n" % len(body))
        await caller.says(body)
        assert await caller.hears() == 401
        assert await caller.gone()


async def test_questions_that_anybody_may_ask_cost_the_same_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def metrics(registry: object) -> bytes:
        written.append("metrics")
        return b"origin_test 1\n"

    monkeypatch.setattr(app_module, "generate_latest", metrics)
    monkeypatch.setattr(app_module, "METRICS_KEPT", 60.0)
    monkeypatch.setattr("adapters.inbound.http.docs.complete", lambda document: written.append("document") or document)
    async with open_house() as house:
        for path in ("/metrics", "/openapi.json"):
            callers = [await house.call(head(path, "GET") + b"\r\n") for _ in range(30)]
            assert {await caller.hears() for caller in callers} == {200}
    assert written == ["metrics", "document"]


# ---------------------------------------------------------------- one client


async def test_one_client_does_not_take_all_places_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_OF_ONE", 2)
    async with open_house() as house:
        holding = [await house.call(head(key=KEY) + NEVER) for _ in range(2)]
        await until(lambda: house.in_flight == 2)
        assert await house.declares(KEY) == 429
        assert await house.declares(OTHER_KEY) == 202
        await holding[0].says(b"0123456789")
        assert await holding[0].hears() == 202
        assert await house.declares(KEY) == 202, "a place that is free again"


async def test_one_client_does_not_take_all_places_for_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_OF_ONE", 2)
    monkeypatch.setattr(batch, "MOST_AT_ONCE", 3)
    async with open_house() as house:
        for _ in range(2):
            await house.call(head(key=KEY, kind="x-ndjson") + NEVER)
        await until(lambda: house.in_flight == 2)
        whole = b"content-length: 3\r\n\r\n{}\n"
        assert await house.asks(head(key=KEY, kind="x-ndjson") + whole) == 429
        assert await house.asks(head(key=OTHER_KEY, kind="x-ndjson") + whole) == 200
        await house.call(head(key=OTHER_KEY, kind="x-ndjson") + NEVER)
        await until(lambda: house.in_flight == 3)
        assert await house.asks(head(key=OTHER_KEY, kind="x-ndjson") + whole) == 503, "all are taken"


async def test_one_client_does_not_take_all_places_for_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MOST_READS_OF_ONE", 2)
    path = "/v1/certificates/x/print"
    async with open_house() as house:
        for _ in range(2):
            await house.call(head(path, key=KEY, kind="json") + NEVER)
        await until(lambda: house.app._reads.held.total == 2)
        assert await house.asks(head("/v1/certificates/x", "GET", key=KEY) + b"\r\n") == 429
        assert await house.asks(head("/v1/certificates/x", "GET", key=OTHER_KEY) + b"\r\n") == 404


# ---------------------------------------------------------------- the machine


@pytest.mark.parametrize(
    ("limits", "raised", "room"),
    [
        ((1024, 1 << 20), (4608, 1 << 20), 4096),
        ((1024, 1024), None, 512),
        ((256, 256), None, 128),
        ((1024, 2048), (2048, 2048), 1536),
        ((20_000, 20_000), None, 4096),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 4096),
    ],
)
def test_connections_leave_files_for_others(
    limits: tuple[int, int], raised: tuple[int, int] | None, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Sequence[int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, wanted: told.append(wanted))
    assert server.most_connections() == room
    assert [tuple(one) for one in told if tuple(one) != limits] == ([] if raised is None else [raised])
