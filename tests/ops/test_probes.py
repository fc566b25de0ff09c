"""A process without a door, run as its user runs it: it tells its metrics and whether it is well."""

import asyncio
import functools
import re
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from gateway import probes
from gateway.probes import Probes
from tests.integration.process import Serve, eventually
from tests.ops.known import BUDGET, names, registry


def ask(port: int, path: str) -> httpx.Response:
    """One GET."""
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10, trust_env=False)


def test_a_turn_without_a_door_is_watched(database_url: str, tmp_path: Path) -> None:
    # given a process that has no address of its own
    environment = {"ORIGIN_DATABASE_URL": database_url, "ORIGIN_METRICS_PORT": "0"}
    with Serve(tmp_path / "turn", roles="turn", environment=environment) as serve:
        serve.start()
        lines = [line for line in serve.said().splitlines() if "probes.listening" in line]
        port = orjson.loads(lines[0])["port"]
        # then
        assert ask(port, "/livez").json() == {"alive": True}
        assert ask(port, "/readyz").json() == {"ready": True, "troubles": []}
        assert ask(port, "/v1/declarations").status_code == 404
        assert eventually(lambda: "origin_data_free_bytes" in ask(port, "/metrics").text, 5)
        lines = [line for line in ask(port, "/metrics").text.splitlines() if not line.startswith("#")]
        assert len(lines) <= BUDGET
        told = {re.split(r"[{ ]", line)[0] for line in lines}
        assert told <= set(names(registry())), told - set(names(registry()))
        assert 'roles="turn"' in next(line for line in lines if line.startswith("origin_build_info"))
        # and it ends as ever
        assert serve.stop() == 0


@pytest.fixture
def known() -> CollectorRegistry:
    """One metric."""
    found = CollectorRegistry()
    Gauge("origin_test", "For this test.", registry=found).set(7)
    return found


async def test_troubles_are_told_in_sentences(known: CollectorRegistry) -> None:
    troubles: list[str] = ["The database does not answer."]

    async def ready() -> Sequence[str]:
        return troubles

    listener = Probes("127.0.0.1", 0, known, ready)
    try:
        said = await asyncio.to_thread(ask, listener.port, "/readyz")
        assert (said.status_code, said.json()) == (503, {"ready": False, "troubles": troubles})
        troubles.clear()
        assert (await asyncio.to_thread(ask, listener.port, "/readyz")).status_code == 200
        assert "origin_test 7.0" in (await asyncio.to_thread(ask, listener.port, "/metrics")).text
    finally:
        await asyncio.to_thread(listener.close)


async def test_a_process_that_stands_still_still_tells_its_metrics(
    known: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an event loop that is blocked
    monkeypatch.setattr(probes, "ANSWER", 0.2)

    async def ready() -> Sequence[str]:
        return ()

    listener = Probes("127.0.0.1", 0, known, ready)
    said: list[httpx.Response] = []
    paths = ("/livez", "/readyz", "/metrics")
    asking = threading.Thread(target=lambda: said.extend(ask(listener.port, path) for path in paths))
    asking.start()
    asking.join(10)  # on the loop's own thread: nothing else runs meanwhile
    # then
    try:
        assert [answer.status_code for answer in said] == [503, 503, 200]
        assert said[1].json()["troubles"] == ["The process stands still."]
    finally:
        await asyncio.to_thread(listener.close)


async def test_a_port_that_is_taken_is_an_error(known: CollectorRegistry) -> None:
    async def ready() -> Sequence[str]:
        return ()

    listener = Probes("127.0.0.1", 0, known, ready)
    try:
        with pytest.raises(OSError, match="in use"):
            Probes("127.0.0.1", listener.port, known, ready)
    finally:
        await asyncio.to_thread(listener.close)


async def test_a_crowd_keeps_nobody_from_asking(known: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that ask for nothing: each would cost a thread, and they never end by themselves."""
    asked: list[str] = []

    async def ready() -> Sequence[str]:
        return ()

    def written(registry: CollectorRegistry) -> bytes:
        asked.append("metrics")
        return generate_latest(registry)

    monkeypatch.setattr(probes, "generate_latest", written)
    monkeypatch.setattr(probes, "METRICS_KEPT", 600.0)
    monkeypatch.setattr(probes._Handler, "timeout", 600)
    listener = Probes("127.0.0.1", 0, known, ready)
    threads = threading.active_count()
    crowd = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(300)]
    try:
        for one in crowd:
            one.sendall(b"GET /metrics HTTP/1.1\r\n")
        answers = [await asyncio.to_thread(ask, listener.port, "/metrics") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        few = functools.partial(
            eventually, lambda: threading.active_count() - threads <= probes.MOST_CONNECTIONS + 4, 20
        )
        assert await asyncio.to_thread(few)
        assert len(asked) == 1
    finally:
        for one in crowd:
            one.close()
        await asyncio.to_thread(listener.close)
