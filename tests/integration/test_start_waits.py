"""A role that starts while PostgreSQL is away waits, and says so once; what no waiting mends ends it at once."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from adapters.postgres import install, postmaster
from adapters.postgres.embedded import Embedded
from tests.integration.bouncer import Bouncer
from tests.integration.process import Serve, eventually
from tests.integration.servers import Server

SSL, STARTUP = 80877103, 8


class Front:
    """In front of a server: it refuses everybody with one SQLSTATE, or lets everybody through."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self.says: str | None = None
        self.asked = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Front":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = self._server._replace(netloc=f"{self._server.username}@127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            length, code = struct.unpack("!ii", await reader.readexactly(STARTUP))
            if code == SSL:
                writer.write(b"N")
                length, code = struct.unpack("!ii", await reader.readexactly(STARTUP))
            rest = await reader.readexactly(length - STARTUP)
            self.asked += 1
            if self.says is not None:
                fields = b"SFATAL\0C" + self.says.encode() + b"\0Msaid by the test\0\0"
                writer.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
                await writer.drain()
                return
            there, back = await asyncio.open_connection(self._server.hostname, self._server.port)
            back.write(struct.pack("!ii", length, code) + rest)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(install.binaries(), tmp_path / "server") as running:
        yield running


@pytest.fixture
async def front(server: Server) -> AsyncIterator[Front]:
    async with Front(server.url) as standing:
        yield standing


def serve(home: Path, **environment: str) -> Serve:
    """A turn with probes of its own."""
    return Serve(home, roles="turn", environment={"ORIGIN_METRICS_PORT": "0", **environment})


def told(said: str, event: str) -> list[dict[str, object]]:
    """The log's lines of one kind."""
    return [line for line in map(orjson.loads, filter(_is_json, said.splitlines())) if line["event"] == event]


def _is_json(line: str) -> bool:
    return line.startswith("{")


def readiness(process: Serve) -> httpx.Response | None:
    """What its probe says; None: it does not listen yet."""
    lines = told(process.said(), "probes.listening")
    return httpx.get(f"http://127.0.0.1:{lines[0]['port']}/readyz", trust_env=False) if lines else None


async def until(process: Serve, status: int) -> httpx.Response:
    """The probe's answer, once it has this status."""

    def found() -> bool:
        answer = readiness(process)
        return answer is not None and answer.status_code == status

    assert await asyncio.to_thread(eventually, found, 60), process.said()
    answer = readiness(process)
    assert answer is not None
    return answer


async def heard(process: Serve, event: str) -> None:
    """Waits for a line of the log."""
    assert await asyncio.to_thread(eventually, lambda: bool(told(process.said(), event)), 60), process.said()


@pytest.mark.long
@pytest.mark.needs("pgbouncer")
async def test_a_role_waits_while_the_database_recovers(tmp_path: Path, server: Server, front: Front) -> None:
    """And behind pgbouncer, which tells its clients in words of its own."""
    front.says = "57P03"
    with (
        Bouncer(front.url, tmp_path / "bouncer") as bouncer,
        serve(tmp_path / "a", ORIGIN_DATABASE_URL=front.url) as direct,
        serve(tmp_path / "b", ORIGIN_DATABASE_URL=bouncer.url, ORIGIN_DATABASE_DIRECT_URL=server.url) as pooled,
    ):
        for process in (direct, pooled):
            process.spawn()
            answer = await until(process, 503)
            assert answer.json()["troubles"] == ["The database does not answer."]
            await heard(process, "neighbour.away")
        seen = front.asked
        assert await asyncio.to_thread(eventually, lambda: front.asked > seen + 2, 60), "they try again"
        assert direct.runs
        assert pooled.runs
        front.says = None
        for process in (direct, pooled):
            await until(process, 200)
            await heard(process, "gateway.started")
            assert len(told(process.said(), "neighbour.away")) == len(told(process.said(), "neighbour.back")) == 1
            assert await asyncio.to_thread(process.stop) == 0


async def test_a_role_waits_for_a_server_that_was_killed(tmp_path: Path, server: Server) -> None:
    with serve(tmp_path / "a", ORIGIN_DATABASE_URL=server.url) as process:
        process.start()
        assert await asyncio.to_thread(process.stop) == 0
        server.kill()
        process.spawn()
        await until(process, 503)
        await asyncio.to_thread(server.start)
        await until(process, 200)
        assert await asyncio.to_thread(process.stop) == 0


async def test_whoever_waits_ends_when_asked_to(tmp_path: Path, front: Front) -> None:
    front.says = "57P03"
    with serve(tmp_path / "a", ORIGIN_DATABASE_URL=front.url) as process:
        process.spawn()
        await heard(process, "neighbour.away")
        assert await asyncio.to_thread(process.stop) == 0


@pytest.mark.parametrize(
    ("refusing", "change", "sentence"),
    [
        ("28P01", {}, "does not let this user in"),
        ("28000", {}, "does not let this user in"),
        (None, {"path": "/nowhere"}, "no such database"),
        (None, {"scheme": "mysql"}, "not an address like"),
        (None, {"netloc": "u:SECRET@h:port"}, "not an address like"),
        (None, {"query": "sslmode=require"}, "TLS"),
    ],
)
async def test_what_no_waiting_mends_ends_it_at_once(
    tmp_path: Path, front: Front, refusing: str | None, change: dict[str, str], sentence: str
) -> None:
    front.says = refusing
    address = urlsplit(front.url)._replace(**change).geturl()
    with serve(tmp_path / "a", ORIGIN_DATABASE_URL=address) as process:
        process.spawn()
        assert await asyncio.to_thread(process.wait, 60) == 3
        assert sentence in process.said()
        assert "ORIGIN_DATABASE_URL" in process.said()
        assert "Traceback" not in process.said()
        assert "SECRET" not in process.said()


@pytest.mark.needs("pgbouncer")
async def test_a_missing_database_behind_pgbouncer_is_said(tmp_path: Path, server: Server) -> None:
    with Bouncer(server.url, tmp_path / "bouncer") as bouncer:
        environment = {"ORIGIN_DATABASE_URL": bouncer.database("nowhere"), "ORIGIN_DATABASE_DIRECT_URL": server.url}
        with serve(tmp_path / "a", **environment) as process:
            process.spawn()
            assert await asyncio.to_thread(process.wait, 60) == 3
            assert "no such database" in process.said()


def test_an_embedded_server_is_waited_for_as_long_as_it_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: its own deadline is for one that says nothing."""
    says = iter(["57P03"] * 50)
    knock = postmaster.answers
    monkeypatch.setattr(postmaster, "answers", lambda *place: next(says, None) or knock(*place))
    with monkeypatch.context() as hurried:
        hurried.setattr("adapters.postgres.embedded.time.monotonic", iter(range(0, 1_000_000, 9)).__next__)
        server = Embedded(tmp_path / "pg")
        server.start()
    server.stop()
