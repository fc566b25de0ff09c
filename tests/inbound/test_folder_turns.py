"""Hot folders of several clients: nobody's files wait for another's."""

import asyncio
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from adapters.inbound.folder import HotFolders
from adapters.inbound.folder_files import ClientFolder
from adapters.inbound.metrics import IntakeMetrics
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client
from gateway.runtime.submission import Submission
from tests.inbound.parts import CLIENT, FakeDoor, quotas_of

CLIENTS = 80
SLOW, QUICK = Client("slow", CLIENT.enterprise), Client("quick", CLIENT.enterprise)


class HalfOpen(FakeDoor):
    """What the slow one sends is examined until somebody says that it is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = asyncio.Event()
        self.waiting = 0

    async def submit(self, submission: Submission) -> Answer:
        if submission.client is SLOW:
            self.waiting += 1
            await self.enough.wait()
        return await super().submit(submission)


def folders_of(root: Path, door: FakeDoor) -> HotFolders:
    """Those of the slow and of the quick one."""
    clients = {client.id: client for client in (SLOW, QUICK)}

    async def find(name: str) -> Client | None:
        return clients.get(name)

    for name in clients:
        for folder in ("in", "work", "accepted", "rejected"):
            (root / name / folder).mkdir(parents=True)
    metrics = IntakeMetrics(CollectorRegistry())
    return HotFolders(root, door, find, quotas_of(), metrics, max_bytes=1000, settle=0.0, poll=0.01)


async def test_files_that_take_long_hold_up_no_other_client(tmp_path: Path) -> None:
    door = HalfOpen()
    hot = folders_of(tmp_path, door)
    (tmp_path / "slow" / "in" / "a.xml").write_text("<a/>")
    running = asyncio.create_task(hot.run())
    while not list((tmp_path / "slow" / "work").rglob("a.xml")):  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    (tmp_path / "quick" / "in" / "b.xml").write_text("<b/>")
    answer = tmp_path / "quick" / "accepted" / "b.xml.result.json"
    async with asyncio.timeout(30):
        while not answer.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not list((tmp_path / "slow" / "accepted").iterdir())

    hot.stop()
    await asyncio.sleep(0.05)
    assert not running.done(), "what is in hand has its answer first"
    door.enough.set()
    await asyncio.wait_for(running, 30)
    assert (tmp_path / "slow" / "accepted" / "a.xml.result.json").exists()


async def test_of_many_batches_few_are_in_hand(tmp_path: Path) -> None:
    """Each may have 64 MiB, and is held until all its lines are answered. The others wait where they are."""
    door = HalfOpen()
    hot = folders_of(tmp_path, door)
    for number in range(12):
        (tmp_path / "slow" / "in" / f"{number}.ndjson").write_text(f'{{"a":{number}}}')
    running = asyncio.create_task(hot.run())
    async with asyncio.timeout(30):
        while door.waiting < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    hot.stop()
    door.enough.set()
    await asyncio.wait_for(running, 30)
    assert len(list((tmp_path / "slow" / "accepted").iterdir())) == 2 * 4
    assert len(list((tmp_path / "slow" / "in").iterdir())) == 12 - 4


async def test_a_pass_takes_few_batches_of_those_a_crash_left_too(tmp_path: Path) -> None:
    door = FakeDoor()
    hot = folders_of(tmp_path, door)
    for number in range(6):
        (tmp_path / "slow" / "work" / f"{number}").mkdir()
        (tmp_path / "slow" / "work" / f"{number}" / "same.ndjson").write_text(f'{{"a":{number}}}')
    (tmp_path / "slow" / "work" / "9").mkdir()
    (tmp_path / "slow" / "work" / "9" / "one.xml").write_text("<a/>")
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        answered = []
        for _ in range(2):
            await hot.work_once(root)
            answered.append(len(door.seen))
    finally:
        os.close(root)
    assert answered == [4 + 1, 6 + 1]


@pytest.mark.parametrize(("without", "owner"), [("quick", "slow"), ("slow", "quick")])
async def test_when_the_database_is_back_whoever_has_a_file_is_the_pilot(
    tmp_path: Path, without: str, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has none finds nothing out, whether its name comes first or last."""
    monkeypatch.setattr("adapters.inbound.folder.PAUSES", (0.01,))
    door = FakeDoor()
    door.away = True
    hot = folders_of(tmp_path, door)
    (tmp_path / owner / "in" / "a.xml").write_text("<a/>")
    running = asyncio.create_task(hot.run())
    async with asyncio.timeout(30):
        while hot._failures < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        door.away = False
        while not (tmp_path / owner / "accepted" / "a.xml.result.json").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (tmp_path / without / "in" / "b.xml").write_text("<b/>")
        while not (tmp_path / without / "accepted" / "b.xml.result.json").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    hot.stop()
    await asyncio.wait_for(running, 30)


async def test_of_many_folders_some_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds descriptors, of which a process has not many."""
    opened, most = 0, 0

    class Counted(ClientFolder):
        def __init__(self, root: int, client: str) -> None:
            nonlocal opened, most
            super().__init__(root, client)
            opened += 1
            most = max(most, opened)

        def close(self) -> None:
            nonlocal opened
            opened -= 1
            super().close()

    async def find(name: str) -> Client:
        return Client(name, CLIENT.enterprise)

    monkeypatch.setattr("adapters.inbound.folder.ClientFolder", Counted)
    for number in range(CLIENTS):
        (tmp_path / f"c{number}" / "in").mkdir(parents=True)
        (tmp_path / f"c{number}" / "in" / "a.xml").write_text("<a/>")
    door = FakeDoor()
    metrics = IntakeMetrics(CollectorRegistry())
    hot = HotFolders(tmp_path, door, find, quotas_of(), metrics, max_bytes=1000, settle=0.0)
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(2):
            await hot.work_once(root)
    finally:
        os.close(root)
    assert len(door.seen) == CLIENTS
    assert (most <= 64, opened) == (True, 0)
