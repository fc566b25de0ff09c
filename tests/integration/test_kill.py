"""kill -9 of the whole gateway at random moments, start again: what was accepted reaches its end exactly once.

The moments come from a seed, which a failure names; KILL_SEED=<seed> in the environment takes the same ones again.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random

import pytest

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from simulators.erp.enterprises import Enterprise, many
from simulators.erp.generator import declaration
from tests.integration import audit
from tests.integration.erps import Enrolled, Ledger, Listener, Parcel, Sender, enrol
from tests.integration.personal import found_in
from tests.integration.process import Serve
from tests.leftovers import leftovers

ENTERPRISES = tuple(many(4))
LINES = (1, 1, 1, 2, 3, 25)
"""Goods lines of a declaration; 25 take a second page."""
PER_ROUND = 6
"""Declarations that become due in each round."""
REST_SECONDS = 30.0


class When(StrEnum):
    """What a kill waits for before its own delay."""

    STARTED = "started"
    """The process was started, ready or not."""
    READY = "ready"
    PAPER = "paper"
    """A file comes out of the spool: no delay, the gateway doesn't know yet that it is out."""


MIX = (When.READY, When.PAPER, When.STARTED, When.READY, When.PAPER)
"""What the kills of a run are, again and again, shuffled."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When and how one process is killed."""

    when: When
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
        """The kills; a quarter takes the database along."""
        mix = list(islice(cycle(MIX), self.kills))
        self.random.shuffle(mix)
        draw = self.random.random
        return [Moment(when, draw() * 1.5 if when is When.STARTED else draw(), draw() < 0.25) for when in mix]

    def parcels(self, enrolled: Enrolled, enterprises: Sequence[Enterprise]) -> Iterator[Parcel]:
        """The declarations, for the enterprises in turn. One in four comes by folder; a third of the HTTP clients
        hang up after some milliseconds, so that an answer is lost now and then, and send it again."""
        for serial in range(PER_ROUND * self.kills):
            enterprise = enterprises[serial % len(enterprises)]
            account = enrolled.accounts[enterprise.code]
            kind, dialect = self.random.choice(("C", "RC")), self.random.choice((CustomsXml(), EnterpriseJson()))
            content = declaration(self.random, kind, enterprise, serial, size=self.random.choice(LINES))
            way = "folder" if self.random.random() < 0.25 else "http"
            patience = self.random.uniform(0.005, 0.08) if self.random.random() < 0.33 else 10.0
            yield Parcel(
                f"kill-{self.seed}-{serial:04d}", account, dialect.media_type, dialect.write(content), way, patience
            )


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_killed_ten_times(tmp_path: Path) -> None:
    await run(tmp_path, kills=10, verified=16)


@pytest.mark.release
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
            await asyncio.to_thread(serve.kill)
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
            await live_and_die(serve, moment, paper)
        await asyncio.to_thread(serve.start)
        async with asyncio.timeout(2 * REST_SECONDS):
            await asyncio.gather(*sending)
        wrong = await audit.rested(serve.database, REST_SECONDS)
        async with audit.looking(serve.database) as connection:
            found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES)]
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
    said = serve.said_ever()
    people = {text for one in ENTERPRISES for text in (one.declarant, one.declarant_id, one.phone)}
    return wrong + [f"{text} stands in a log" for text in people if found_in(said, [text])]


async def live_and_die(serve: Serve, moment: Moment, paper: audit.PrintServer) -> None:
    """One life of the process, to its end."""
    await asyncio.to_thread(serve.spawn)
    if moment.when is not When.STARTED:
        await asyncio.to_thread(serve.ready)
    if moment.when is When.PAPER:
        await asyncio.to_thread(paper.strike, partial(os.kill, serve.pid, signal.SIGKILL), 4.0)
    else:
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
    return {
        "a retry of a client": sender.retries,
        "a print server's haste": paper.taken,
        "a kill in the moment of a print": paper.strikes if any(m.when is When.PAPER for m in moments) else 1,
    }


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
