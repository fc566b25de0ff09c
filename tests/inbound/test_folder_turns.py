"""Hot folders of several clients: nobody's files wait for another's."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from adapters.inbound.folder import HotFolders
from adapters.inbound.metrics import IntakeMetrics
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client
from gateway.runtime.submission import Submission
from tests.inbound.parts import CLIENT, FakeDoor, quotas_of
from tests.runtime.house import Clock

SLOW, QUICK = Client("slow", CLIENT.enterprise), Client("quick", CLIENT.enterprise)


class HalfOpen(FakeDoor):
    """What the slow one sends is examined until somebody says that it is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = asyncio.Event()

    async def submit(self, submission: Submission) -> Answer:
        if submission.client is SLOW:
            await self.enough.wait()
        return await super().submit(submission)


async def test_files_that_take_long_hold_up_no_other_client(tmp_path: Path) -> None:
    door = HalfOpen()
    clients = {client.id: client for client in (SLOW, QUICK)}

    async def find(name: str) -> Client | None:
        return clients.get(name)

    quotas = quotas_of(Clock(), lambda client, over, first: None)
    metrics = IntakeMetrics(CollectorRegistry())
    hot = HotFolders(tmp_path, door, find, quotas, metrics, max_bytes=1000, settle=0.0, poll=0.01)
    for name in clients:
        for folder in ("in", "work", "accepted", "rejected"):
            (tmp_path / name / folder).mkdir(parents=True)
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
