"""The graceful end: a process that is asked for it takes nothing new, finishes what it has in hand, and leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import asyncpg
import httpx
import pytest

from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.postgres import install
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.integration import audit
from tests.integration.erps import enrol
from tests.integration.process import ROOT, Serve
from tests.integration.servers import Server
from tests.leftovers import leftovers

ENTERPRISES = tuple(many(1))
IN_HAND = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active'"
MEMBERS = "SELECT count(*) FROM origin.consumer_member"
RENDERED = "SELECT count(*) FROM origin.rendering"


def drain(serve: Serve) -> str:
    """`origin drain`, as a person runs it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "drain", "--url", serve.url, "--data", str(serve.data)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout


async def until(connection: asyncpg.Connection, question: str, answer: int) -> None:
    async with asyncio.timeout(20):
        while await connection.fetchval(question) < answer:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.05)


async def test_asked_by_the_operator_it_finishes_what_it_has_in_hand(tmp_path: Path) -> None:
    body = EnterpriseJson().write(declaration(Random(1), "C", ENTERPRISES[0], 1, size=1))
    with Server(install.binaries(), tmp_path / "server") as server:
        environment = {"ORIGIN_DATABASE_URL": server.url}
        with Serve(tmp_path / "gateway", environment=environment) as serve:
            await asyncio.to_thread(serve.start)
            enrolled = await enrol(serve, tmp_path / "keys", ENTERPRISES)
            account = enrolled.accounts[ENTERPRISES[0].code]
            headers = {**account.bearer, "content-type": "application/json"}
            async with (
                audit.looking(server.url) as connection,
                httpx.AsyncClient(base_url=serve.url, trust_env=False) as http,
            ):
                # The render room is held up in the middle of its work.
                holding = connection.transaction()
                await holding.start()
                await connection.execute("LOCK TABLE origin.rendering IN EXCLUSIVE MODE")
                assert (await http.post("/v1/declarations", content=body, headers=headers)).status_code == 202
                async with audit.looking(server.url) as other:
                    await until(other, IN_HAND, 1)
                    assert f"Process {serve.pid}" in await asyncio.to_thread(drain, serve)

                    answer = await http.get("/readyz")
                    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
                    answer = await http.post("/v1/declarations", content=body, headers=headers)
                    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
                    answer = await http.get("/v1/certificates", headers=account.bearer)
                    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
                    assert serve.runs
                    await holding.rollback()
                    assert await asyncio.to_thread(serve.wait, 20) == 0
                    assert await other.fetchval(RENDERED) >= 1
                    assert await other.fetchval(MEMBERS) == 0
                    lag = {tuple(row) for row in await other.fetch(audit.LAG)}
                    assert not {row for row in lag if row[0] == "render"}, "it did not acknowledge what it had in hand"
            assert '"level": "error"' not in serve.said()
            assert "gateway.cut_off" not in serve.said()
        assert not leftovers(tmp_path / "gateway")


async def test_processes_without_a_door_end_by_signal(tmp_path: Path) -> None:
    with Server(install.binaries(), tmp_path / "server") as server:
        environment = {"ORIGIN_DATABASE_URL": server.url}
        with Serve(tmp_path / "back", roles="turn,render,print", environment=environment) as serve:
            await asyncio.to_thread(serve.start)
            async with audit.looking(server.url) as connection:
                await until(connection, MEMBERS, 3)
                begun = time.monotonic()
                assert await asyncio.to_thread(serve.stop) == 0
                assert time.monotonic() - begun < 5
                assert await connection.fetchval(MEMBERS) == 0


@pytest.mark.long
async def test_what_hangs_is_cut_off_at_the_hard_end(tmp_path: Path) -> None:
    """The database stands still with work in hand: 20 s for it to come back, 25 s to the end."""
    with Server(install.binaries(), tmp_path / "server") as server:
        environment = {"ORIGIN_DATABASE_URL": server.url}
        with Serve(tmp_path / "gateway", environment=environment) as serve:
            await asyncio.to_thread(serve.start)
            stopped = leftovers(tmp_path / "server")
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(2)
                begun = time.monotonic()
                serve.terminate()
                await asyncio.to_thread(serve.wait, 40)
                assert time.monotonic() - begun < 27
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
