"""SIGTERM to a whole gateway: answers under way are given, nothing new is taken, nothing of it runs afterwards."""

import asyncio
import socket
from pathlib import Path
from random import Random

import httpx
import orjson

from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.postgres.embedded import running_dsn
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.integration.erps import Account, enrol
from tests.integration.process import Serve, eventually
from tests.leftovers import leftovers

ENTERPRISES = tuple(many(1))


def half_sent(serve: Serve, account: Account, body: bytes, key: str) -> socket.socket:
    """A connection on which a request was begun: head and half of the body."""
    head = (
        f"POST /v1/declarations HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {account.key}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", serve.port), timeout=20)
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def finished(connection: socket.socket, body: bytes) -> tuple[int, dict[str, str]]:
    """Sends the other half; status and content of the answer."""
    with connection:
        connection.sendall(body[len(body) // 2 :])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), dict(orjson.loads(content))


def refuses_connections(port: int) -> bool:
    """Nobody listens there, or who listens takes nothing."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).status_code == 503
    except httpx.TransportError:
        return True


async def test_sigterm_finishes_what_is_under_way_and_leaves_nothing(tmp_path: Path) -> None:
    bodies = [EnterpriseJson().write(declaration(Random(n), "C", ENTERPRISES[0], n, size=1)) for n in range(4)]
    with Serve(tmp_path / "gateway") as serve:
        await asyncio.to_thread(serve.start)
        enrolled = await enrol(serve, tmp_path / "keys", ENTERPRISES)
        account = enrolled.accounts[ENTERPRISES[0].code]
        begun = [half_sent(serve, account, body, f"stop-{n}") for n, body in enumerate(bodies)]
        listening = asyncio.create_task(listen_to_the_end(serve, account))
        await asyncio.sleep(0.3)
        serve.terminate()
        assert await asyncio.to_thread(eventually, lambda: refuses_connections(serve.port), 5)
        assert serve.runs
        answers = [await asyncio.to_thread(finished, *pair) for pair in zip(begun, bodies, strict=True)]
        assert [status for status, _ in answers] == [202] * 4, answers
        assert await asyncio.to_thread(serve.wait, 15) == 0
        await asyncio.wait_for(listening, 5)
        assert running_dsn(serve.data / "postgres") is None
        assert not leftovers(serve.home)
        assert '"level": "error"' not in serve.said()

        # What was promised is there, and goes on.
        await asyncio.to_thread(serve.start)
        async with httpx.AsyncClient(base_url=serve.url, trust_env=False) as http:
            for _, answer in answers:
                response = await http.get(f"/v1/certificates/{answer['id']}", headers=account.bearer)
                assert response.json()["number"] == answer["number"]
        assert await asyncio.to_thread(serve.stop) == 0
        assert not leftovers(serve.home)


async def listen_to_the_end(serve: Serve, account: Account) -> None:
    """An open event stream must not hold the gateway up; it ends without a broken connection."""
    async with (
        httpx.AsyncClient(base_url=serve.url, trust_env=False, timeout=30) as http,
        http.stream("GET", "/v1/events", headers=account.bearer) as response,
    ):
        assert response.status_code == 200
        async for _ in response.aiter_lines():
            pass


def test_sigterm_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    """The very first start makes the database: whenever the end is asked for, no server stays behind."""
    with Serve(tmp_path / "gateway") as serve:
        for after in (0.2, 1.0, 1.6, 2.2):
            serve.spawn()
            eventually(lambda: not serve.runs, after)
            serve.terminate()
            serve.wait(120)
            assert not leftovers(serve.home), f"after {after} s"
        serve.start()
        assert serve.stop() == 0
        assert not leftovers(serve.home)
