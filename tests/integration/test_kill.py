"""kill -9 of the whole gateway at random moments, start again: what was accepted reaches its end exactly once.

The moments come from a seed, which a failure names; KILL_SEED=<seed> in the environment takes the same ones again.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from simulators.erp.enterprises import Enterprise, many
from simulators.erp.generator import declarations
from tests.integration import audit
from tests.integration.erps import Enrolled, Ledger, Listener, Parcel, Sender, enrol
from tests.integration.process import Serve, leftovers

ENTERPRISES = tuple(many(4))
PER_ROUND = 8
"""Declarations that become due in each round; one in four comes by folder."""
REST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """When and how one process is killed."""

    starting: bool
    """Counted from its start, ready or not; else from its readiness."""
    after: float
    """Seconds."""
    database_too: bool


@dataclass(slots=True)
class Course:
    """One run: what is sent, when it is killed."""

    seed: int
    kills: int
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def moments(self) -> list[Moment]:
        """The kills. A third hits a process that is still starting, a quarter takes the database along."""
        draw = self.random.random
        return [Moment(draw() < 0.33, draw() * 1.2, draw() < 0.25) for _ in range(self.kills)]

    def parcels(self, enrolled: Enrolled, enterprises: Sequence[Enterprise]) -> Iterator[Parcel]:
        """The declarations, for the enterprises in turn."""
        sent = declarations(self.seed, PER_ROUND * self.kills, enterprises)
        for serial, (media_type, body) in enumerate(sent):
            account = enrolled.accounts[enterprises[serial % len(enterprises)].code]
            way = "folder" if self.random.random() < 0.25 else "http"
            yield Parcel(f"kill-{self.seed}-{serial:04d}", account, media_type, body, way)


async def test_killed_ten_times(tmp_path: Path) -> None:
    await run(tmp_path, kills=10, verified=16)


@pytest.mark.long
@pytest.mark.timeout(1500)
async def test_killed_a_hundred_times(tmp_path: Path) -> None:
    await run(tmp_path, kills=100, verified=400)


async def run(folder: Path, kills: int, verified: int) -> None:
    """`verified`: of how many files, drawn at random, the signatures are verified."""
    course = Course(int(os.environ.get("KILL_SEED") or secrets.randbelow(1 << 32)), kills)
    ledger = Ledger(folder / "ledger.jsonl")
    with Serve(folder / "gateway") as serve, audit.PrintServer(serve.spool, folder / "tray") as paper:
        try:
            await asyncio.to_thread(serve.start)
            enrolled = await enrol(serve, folder / "keys", ENTERPRISES)
            wrong = await play(course, serve, enrolled, ledger, paper, verified)
        except Exception as error:
            error.add_note(f"KILL_SEED={course.seed}; the gateway said:\n{serve.said()[-3000:]}")
            raise
        finally:
            ledger.close()
        report = "\n".join(wrong[:40])
        assert not wrong, f"KILL_SEED={course.seed}: {len(wrong)} findings\n{report}"
    assert not leftovers(folder)


async def play(
    course: Course, serve: Serve, enrolled: Enrolled, ledger: Ledger, paper: audit.PrintServer, verified: int
) -> list[str]:
    """Send and kill, wait for rest, look at everything. Returns what is wrong."""
    listeners = {code: Listener(lambda: serve.url, account) for code, account in enrolled.accounts.items()}
    sender = Sender(lambda: serve.url, serve.folders, ledger)
    moments, parcels = course.moments(), list(course.parcels(enrolled, ENTERPRISES))
    hearing = [asyncio.create_task(listener.run()) for listener in listeners.values()]
    sending: list[asyncio.Task[None]] = []
    try:
        for number, moment in enumerate(moments):
            due = parcels[number * PER_ROUND : (number + 1) * PER_ROUND]
            sending += [asyncio.create_task(sender.deliver(parcel)) for parcel in due]
            await live_and_die(serve, moment)
        await asyncio.to_thread(serve.start)
        async with asyncio.timeout(REST_SECONDS):
            await asyncio.gather(*sending)
        wrong = await audit.rested(serve.database, REST_SECONDS)
        async with audit.looking(serve.database) as connection:
            found = await connection.fetch(audit.CERTIFICATES)
            wrong += await audit.certificates(connection)
            wrong += await audit.log(connection)
            wrong += await audit.prints(connection, paper)
        wrong += audit.answers(ledger.lines(), [parcel.key for parcel in parcels], found)
        wrong += await heard(listeners, found)
    finally:
        for task in (*hearing, *sending):
            task.cancel()
        await asyncio.gather(*hearing, *sending, return_exceptions=True)
    files = [path for _, path in paper.printed()]
    sample = course.random.sample(files, min(verified, len(files)))
    wrong += await asyncio.to_thread(audit.signatures, sample, enrolled.wallet.authority)
    wrong += [f"{what} was never tried" for what, times in tried(moments, sender, paper).items() if not times]
    wrong += folders_at_rest(serve.folders)
    return wrong


async def live_and_die(serve: Serve, moment: Moment) -> None:
    """One kill; the gateway runs again afterwards, ready or not, unless the kill hit it while it was starting."""
    if not serve.runs:
        await asyncio.to_thread(serve.spawn)
    if not moment.starting:
        await asyncio.to_thread(serve.ready)
    await asyncio.sleep(moment.after)
    await asyncio.to_thread(serve.kill_everything if moment.database_too else serve.kill)


async def heard(listeners: Mapping[str, Listener], found: Sequence[audit.Row]) -> list[str]:
    """Each enterprise heard every event of its certificates once, in order, over all the cuts."""
    expected = {
        code: {row["id"]: list(range(1, row["sequence"] + 1)) for row in found if row["exporter"] == code}
        for code in listeners
    }
    told: dict[str, dict[str, list[int]]] = {}
    for _ in range(100):
        told = {code: audit.sequences(listener.events) for code, listener in listeners.items()}
        if told == expected:
            return []
        await asyncio.sleep(0.1)
    return [
        f"{code} heard of {certificate}: {told[code].get(certificate)}, not {sequence}"
        for code, certificates in expected.items()
        for certificate, sequence in certificates.items()
        if told[code].get(certificate) != sequence
    ]


def tried(moments: Sequence[Moment], sender: Sender, paper: audit.PrintServer) -> dict[str, int]:
    """How often the run met what it is for."""
    return {"a retry of a client": sender.retries, "a print server's haste": paper.taken, "a kill": len(moments)}


def folders_at_rest(folders: Path) -> list[str]:
    """Nothing stands in `in` or `work`; each file that was answered has one answer."""
    wrong = [f"{path} was left" for path in folders.glob("*/in/*")] + [
        f"{path} was left" for path in folders.glob("*/work/*")
    ]
    for place in folders.glob("*/accepted"):
        names = {path.name for path in place.iterdir()}
        wrong += [
            f"{name} has no answer" for name in names if f"{name}.result.json" not in names and "result" not in name
        ]
    return wrong
