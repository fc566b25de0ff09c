"""The gateway with its pool behind pgbouncer in transaction mode: a statement may meet another server session than the
one before it, so nothing may be left in one. Locks and LISTEN go past it (ORIGIN_DATABASE_DIRECT_URL)."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from adapters.postgres import install
from adapters.postgres.pool import create_pool
from simulators.erp.enterprises import many
from simulators.erp.generator import declarations
from tests.integration import audit
from tests.integration.bouncer import Bouncer
from tests.integration.erps import Ledger, Listener, Parcel, Sender, enrol
from tests.integration.process import Serve
from tests.integration.servers import Server

pytestmark = pytest.mark.needs("pgbouncer")

ENTERPRISES = tuple(many(2))
DECLARATIONS = 24


@pytest.mark.long
async def test_declared_and_printed_through_a_small_pool(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with (
        Server(install.binaries(), tmp_path / "server") as server,
        Bouncer(server.url, tmp_path / "bouncer") as bouncer,
        Serve(
            tmp_path / "front",
            roles="intake,turn,customs-simulator",
            environment={"ORIGIN_DATABASE_URL": bouncer.url, "ORIGIN_DATABASE_DIRECT_URL": server.url},
            data=tmp_path / "data",
            spool=tmp_path / "spool",
        ) as front,
        Serve(
            tmp_path / "back",
            roles="turn,render,print",
            environment={"ORIGIN_DATABASE_URL": bouncer.url, "ORIGIN_DATABASE_DIRECT_URL": server.url},
            data=tmp_path / "data",
            spool=tmp_path / "spool",
        ) as back,
        audit.PrintServer(tmp_path / "spool", tmp_path / "tray") as paper,
    ):
        await asyncio.gather(asyncio.to_thread(front.start), asyncio.to_thread(back.start))
        enrolled = await enrol(front, tmp_path / "keys", ENTERPRISES)
        accounts = [enrolled.accounts[enterprise.code] for enterprise in ENTERPRISES]
        listener = Listener(lambda: front.url, accounts[0])
        listening = asyncio.create_task(listener.run())
        sender = Sender(lambda: front.url, front.folders, ledger)
        made = enumerate(declarations(31, DECLARATIONS, ENTERPRISES))
        ways = ("http", "http", "folder")
        sent = [Parcel(f"pool-{n:03d}", accounts[n % 2], kind, body, ways[n % 3]) for n, (kind, body) in made]
        async with asyncio.timeout(60):
            await asyncio.gather(*(sender.deliver(parcel) for parcel in sent))
        wrong = await audit.rested(server.url, 30)
        async with audit.looking(server.url) as connection:
            found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES)]
            wrong += await audit.certificates(connection) + await audit.log(connection)
            wrong += await audit.prints(connection, paper)
        assert wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found) == []
        mine = {row["id"]: row["sequence"] for row in found if row["client"] == accounts[0].name}
        async with asyncio.timeout(10):
            while len(listener.events) < sum(mine.values()):  # noqa: ASYNC110 - the stream is another task's
                await asyncio.sleep(0.05)
        assert audit.sequences(listener.events) == {id_: list(range(1, last + 1)) for id_, last in mine.items()}
        listening.cancel()
        await asyncio.wait([listening])
        assert await asyncio.to_thread(front.stop) == 0
        assert await asyncio.to_thread(back.stop) == 0
        for process in (front, back):
            assert '"level": "error"' not in process.said()
            assert "prepared statement" not in process.said()
    ledger.close()


async def test_statements_leave_nothing_in_a_session_that_the_next_one_would_need(tmp_path: Path) -> None:
    """A named statement would be prepared in one session and looked for in another."""
    with (
        Server(install.binaries(), tmp_path / "server") as server,
        Bouncer(server.url, tmp_path / "bouncer", size=2) as bouncer,
    ):
        pool = await create_pool(bouncer.url, largest=10, pooled=True)

        async def ask(number: int) -> int:
            async with pool.acquire() as connection:
                answer: int = await connection.fetchval(f"SELECT $1::int + {number}", number)
                return answer

        try:
            answers = await asyncio.gather(*(ask(number) for number in range(500)), return_exceptions=True)
        finally:
            pool.terminate()
        assert [answer for answer in answers if isinstance(answer, asyncpg.PostgresError)] == []
        assert answers == [2 * number for number in range(500)]


async def test_without_the_direct_address_the_start_says_what_is_missing(tmp_path: Path) -> None:
    with (
        Server(install.binaries(), tmp_path / "server") as server,
        Bouncer(server.url, tmp_path / "bouncer") as bouncer,
        Serve(tmp_path / "gateway", environment={"ORIGIN_DATABASE_URL": bouncer.url}) as serve,
    ):
        serve.spawn()
        assert await asyncio.to_thread(serve.wait, 30) == 3
        assert "ORIGIN_DATABASE_DIRECT_URL" in serve.said()
