"""Customs by the import client's folders: several processes of every role on one database, a player of customs behind
the folders, and any of them killed. Each declaration goes out once and comes out printed once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from adapters.postgres.embedded import running_dsn
from simulators.erp.enterprises import many
from simulators.erp.generator import declarations
from tests.integration import audit
from tests.integration.erps import Enrolled, Ledger, Parcel, Sender, enrol
from tests.integration.process import ROOT, Serve, eventually
from tests.leftovers import leftovers

ENTERPRISES = tuple(many(2))
BESIDE = ("intake,turn", "turn,render", "render,print", "print,customs-link", "customs-link")
"""With the first process, which has the database and a door: every role twice."""
PER_ROUND = 5
MEMBERS = 'SELECT DISTINCT "group" FROM origin.consumer_member ORDER BY 1'


class Player:
    """`origin customs play` in a process of its own."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._home = home
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir()

    def __enter__(self) -> "Player":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}
        with (self._home / "player.log").open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "customs", "play", "--folder", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self._home,
                env={**environment, "PYTHONPATH": str(ROOT)},
            )
        assert eventually((self._folder / "OutBox").is_dir, 20), (self._home / "player.log").read_text("utf-8")

    def end(self, number: signal.Signals) -> int:
        """Its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(120)


@contextmanager
def office(folder: Path, customs: Path) -> Iterator[tuple[Serve, list[Serve]]]:
    """The process that has the database, running, and those beside it, not started."""
    data, spool = folder / "data", folder / "spool"
    with ExitStack() as stack:
        first = stack.enter_context(Serve(folder / "first", roles="intake", data=data, spool=spool))
        first.start()
        url = running_dsn(data / "postgres")
        assert url is not None
        environment = {"ORIGIN_DATABASE_URL": url, "ORIGIN_CUSTOMS_FOLDER": str(customs)}
        yield (
            first,
            [
                stack.enter_context(
                    Serve(folder / f"beside-{n}", roles=roles, environment=environment, data=data, spool=spool)
                )
                for n, roles in enumerate(BESIDE)
            ],
        )


def parcels(enrolled: Enrolled, count: int) -> list[Parcel]:
    """Declarations over HTTP, for the enterprises in turn."""
    accounts = [enrolled.accounts[enterprise.code] for enterprise in ENTERPRISES]
    sent = enumerate(declarations(21, count, ENTERPRISES))
    return [Parcel(f"link-{n:03d}", accounts[n % 2], kind, body, "http") for n, (kind, body) in sent]


@pytest.mark.long
async def test_each_goes_out_once_and_comes_out_printed_whoever_is_killed(tmp_path: Path) -> None:
    random, ledger, customs = Random(21), Ledger(tmp_path / "ledger.jsonl"), tmp_path / "CooImp"
    with (
        Player(tmp_path / "player", customs) as player,
        office(tmp_path, customs) as (first, beside),
        audit.PrintServer(tmp_path / "spool", tmp_path / "tray") as paper,
    ):
        await asyncio.gather(*(asyncio.to_thread(serve.start) for serve in beside))
        url = first.database
        enrolled = await enrol(first, tmp_path / "keys", ENTERPRISES)
        doors = (first, beside[0])
        senders = [Sender(lambda door=door: door.url, door.folders, ledger) for door in doors]  # type: ignore[misc]
        link, other = beside[3], beside[4]
        rounds = ((link,), (other, beside[1]), (link, other), (beside[0], beside[2]))
        sent = parcels(enrolled, PER_ROUND * len(rounds))
        sending = []
        for number, victims in enumerate(rounds):
            due = sent[number * PER_ROUND : (number + 1) * PER_ROUND]
            sending += [asyncio.create_task(senders[n % 2].deliver(parcel)) for n, parcel in enumerate(due)]
            await asyncio.sleep(0.6 + random.random())
            for victim in victims:
                await asyncio.to_thread(victim.kill)
            if number == 2:
                await asyncio.to_thread(player.end, signal.SIGKILL)
                player.start()
            await asyncio.gather(*(asyncio.to_thread(victim.start) for victim in victims))
        async with asyncio.timeout(60):
            await asyncio.gather(*sending)
        wrong = await audit.rested(url, 30)
        async with audit.looking(url) as connection:
            found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES)]
            wrong += await audit.certificates(connection) + await audit.log(connection)
            wrong += await audit.prints(connection, paper)
            assert wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found) == []

            # What customs saw: each certificate once, and every answer was read.
            assert await asyncio.to_thread(eventually, lambda: not names(customs / "OutBox"), 20)
            asked = Counter(name.split("_")[0] for name in names(customs / "SentBox"))
            assert asked == Counter(row["number"] for row in found)
            assert names(customs / "InBox") == names(customs / "InWork") == names(customs / "OutWork") == []
            assert names(customs / "InAside") == []
            assert all(name.startswith("Successed_") for name in names(customs / "InDone"))

            # Who is asked to leave gives his partitions back before he goes.
            for process in beside:
                assert await asyncio.to_thread(process.stop) == 0
            assert [row["group"] for row in await connection.fetch(MEMBERS)] == []
        assert await asyncio.to_thread(first.stop) == 0
        assert await asyncio.to_thread(player.end, signal.SIGTERM) == 0
    ledger.close()
    assert not leftovers(tmp_path)


def names(box: Path) -> list[str]:
    """What lies in a box."""
    return sorted(path.name for path in box.iterdir()) if box.exists() else []
