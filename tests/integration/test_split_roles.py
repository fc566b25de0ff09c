"""Two processes on one database of somebody else's: intake and turn in one, render and print in the other.

Either is killed with -9 and started again; a declaration still becomes one original and one copy.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from adapters.postgres import install
from simulators.erp.enterprises import many
from simulators.erp.generator import declarations
from tests.integration import audit
from tests.integration.erps import Enrolled, Ledger, Parcel, Sender, enrol
from tests.integration.process import Serve
from tests.integration.servers import Server, debian

ENTERPRISES = tuple(many(2))
FRONT, BACK = "intake,turn,customs-simulator", "render,print"
ROUNDS = 4
PER_ROUND = 6
LEASE = 10.0
"""Seconds after which a process that stands still has lost what it read."""


@contextmanager
def office(folder: Path, url: str, backs: int = 1) -> Iterator[tuple[Serve, list[Serve]]]:
    """The processes of one gateway, not started; they share keys and spool."""
    environment = {"ORIGIN_DATABASE_URL": url}
    data, spool = folder / "data", folder / "spool"
    with Serve(folder / "front", roles=FRONT, environment=environment, data=data, spool=spool) as front:
        rooms = [
            Serve(folder / f"back-{n}", roles=BACK, environment=environment, data=data, spool=spool)
            for n in range(backs)
        ]
        try:
            yield front, rooms
        finally:
            for room in rooms:
                room.__exit__()


def parcels(enrolled: Enrolled, seed: int, count: int) -> list[Parcel]:
    """Declarations over HTTP, for the enterprises in turn."""
    sent = enumerate(declarations(seed, count, ENTERPRISES))
    accounts = [enrolled.accounts[enterprise.code] for enterprise in ENTERPRISES]
    return [Parcel(f"split-{n:03d}", accounts[n % 2], kind, body, "http") for n, (kind, body) in sent]


async def judged(url: str, ledger: Ledger, sent: list[Parcel], paper: audit.PrintServer) -> list[str]:
    """What is wrong once all is at rest."""
    wrong = await audit.rested(url, 30)
    async with audit.looking(url) as connection:
        found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES)]
        wrong += await audit.certificates(connection)
        wrong += await audit.log(connection)
        wrong += await audit.prints(connection, paper)
    return wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found)


async def killed_in_turn(folder: Path, url: str) -> None:
    random = Random(15)
    ledger = Ledger(folder / "ledger.jsonl")
    with office(folder, url) as (front, (back,)), audit.PrintServer(folder / "spool", folder / "tray") as paper:
        await asyncio.gather(asyncio.to_thread(front.start), asyncio.to_thread(back.start))
        enrolled = await enrol(front, folder / "keys", ENTERPRISES)
        sender = Sender(lambda: front.url, front.folders, ledger)
        sent = parcels(enrolled, 15, ROUNDS * PER_ROUND)
        sending = []
        for number, victims in enumerate(((back,), (front,), (front, back), (back,))):
            due = sent[number * PER_ROUND : (number + 1) * PER_ROUND]
            sending += [asyncio.create_task(sender.deliver(parcel)) for parcel in due]
            await asyncio.sleep(0.8 + random.random())
            for victim in victims:
                await asyncio.to_thread(victim.kill)
            await asyncio.gather(*(asyncio.to_thread(victim.start) for victim in victims))
        async with asyncio.timeout(60):
            await asyncio.gather(*sending)
        assert await judged(url, ledger, sent, paper) == []
        assert await asyncio.to_thread(front.stop) == 0
        assert await asyncio.to_thread(back.stop) == 0
    ledger.close()


@pytest.mark.long
@pytest.mark.parametrize("major", [16, 18])
async def test_killed_in_turn_on_postgresql(tmp_path: Path, major: int) -> None:
    with Server(install.binaries(major), tmp_path / "server") as server:
        assert server.version == major
        await killed_in_turn(tmp_path, server.url)


@pytest.mark.long
@pytest.mark.needs("pg_ctlcluster")
async def test_killed_in_turn_on_the_distribution_s_postgresql(tmp_path: Path) -> None:
    with Server(debian(), tmp_path / "server") as server:
        assert server.version >= 15
        await killed_in_turn(tmp_path, server.url)


@pytest.mark.long
async def test_a_print_room_that_stood_still_prints_nothing_twice(tmp_path: Path) -> None:
    """Paused beyond its lease in the middle of its work, another takes over, then it wakes up."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with (
        Server(install.binaries(), tmp_path / "server") as server,
        office(tmp_path, server.url, backs=2) as (front, backs),
        audit.PrintServer(tmp_path / "spool", tmp_path / "tray") as paper,
    ):
        await asyncio.gather(*(asyncio.to_thread(serve.start) for serve in (front, *backs)))
        enrolled = await enrol(front, tmp_path / "keys", ENTERPRISES)
        sender = Sender(lambda: front.url, front.folders, ledger)
        sent = parcels(enrolled, 16, 60)
        for n, victim in enumerate((*backs, *backs)):
            await asyncio.gather(*(sender.deliver(parcel) for parcel in sent[n * 15 : (n + 1) * 15]))
            await asyncio.sleep(1.1 + 0.1 * n)
            os.kill(victim.pid, signal.SIGSTOP)
            await asyncio.sleep(LEASE + 3)
            os.kill(victim.pid, signal.SIGCONT)
        assert await judged(server.url, ledger, sent, paper) == []
    ledger.close()
