"""How a process ends: readers stop polling, what is in hand is finished and acknowledged, what hangs is cut off."""

import asyncio
from collections.abc import Sequence

import pytest

from adapters.bus.memory import MemoryBus, MemoryLog
from adapters.bus.topics import Topics
from gateway import jobs
from gateway.jobs import Jobs
from gateway.ports import Message, Record
from gateway.runtime.consume import consume
from gateway.runtime.draining import Drained, DrainingBus
from tests.runtime.house import Told

TOPIC = "test.one"


class Room:
    """A worker that finishes a batch when it is let."""

    def __init__(self) -> None:
        self.log = MemoryLog(Topics({TOPIC: 1}))
        self.ending = asyncio.Event()
        self.jobs = Jobs(self.ending)
        self.bus = self.jobs.readers(MemoryBus(self.log))
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.done: list[bytes] = []

    def send(self, *bodies: bytes) -> None:
        self.log.append([Message(TOPIC, "key", body) for body in bodies])

    async def handle(self, records: Sequence[Record]) -> None:
        self.begun.set()
        await self.go_on.wait()
        self.done += [record.body for record in records]

    async def work(self) -> None:
        await consume(self.bus, "group", [TOPIC], self.handle, Told(), max_records=1)

    @property
    def position(self) -> int:
        return self.log.groups["group"].positions.get((TOPIC, 0), 0)


async def test_what_is_in_hand_is_finished_and_acknowledged_and_no_more() -> None:
    room = Room()
    room.send(b"one", b"two")
    room.jobs.add("work", room.work)
    running = asyncio.create_task(room.jobs.run())
    await asyncio.wait_for(room.begun.wait(), 5)
    room.ending.set()
    await asyncio.sleep(0.05)
    assert not running.done()
    room.go_on.set()
    await asyncio.wait_for(running, 5)
    assert room.done == [b"one"]
    assert room.position == 1
    assert room.log.groups["group"].members == {}


async def test_what_came_with_the_end_is_not_handed_out() -> None:
    """The poll was under way when the end was asked for: its records come again elsewhere."""
    room = Room()
    async with room.bus.consumer("group", [TOPIC]) as reader:
        polling = asyncio.create_task(reader.poll(10, 5.0))
        await asyncio.sleep(0.01)
        room.ending.set()
        room.send(b"late")
        with pytest.raises(Drained):
            await asyncio.wait_for(polling, 5)
        with pytest.raises(Drained):
            await reader.poll(10, 0.0)
    with pytest.raises(Drained):
        async with room.bus.consumer("group", [TOPIC]):
            pass
    assert room.position == 0
    await asyncio.wait_for(room.bus.drained(), 1)


async def test_a_reader_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE", 0.2)
    room = Room()
    room.send(b"one")
    room.jobs.add("work", room.work)
    running = asyncio.create_task(room.jobs.run())
    await asyncio.wait_for(room.begun.wait(), 5)
    room.ending.set()
    begun = asyncio.get_running_loop().time()
    await asyncio.wait_for(running, 5)
    assert 0.15 < asyncio.get_running_loop().time() - begun < 2
    assert room.position == 0


async def test_who_serves_the_others_ends_after_them() -> None:
    """The door answers until the folder has its answers; HTTP tells that it closes, then closes."""
    told: list[str] = []
    room, closed, asked = Room(), asyncio.Event(), asyncio.Event()

    async def door() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("door ends")

    async def folder() -> None:
        await asked.wait()
        told.append("folder ends")

    async def http() -> None:
        await closed.wait()
        told.append("http ends")

    def close(seconds: int) -> None:
        assert 0 < seconds <= jobs.GRACE
        closed.set()

    room.jobs.add("http", http, end=lambda: told.append("http takes no more"), close=close)
    room.jobs.add("door", door)
    room.jobs.add("folder", folder, end=asked.set)
    running = asyncio.create_task(room.jobs.run())
    await asyncio.sleep(0.01)
    room.ending.set()
    await asyncio.wait_for(running, 5)
    assert told == ["http takes no more", "folder ends", "http ends", "door ends"]


async def test_a_part_that_breaks_ends_all_and_is_raised() -> None:
    room = Room()

    async def breaks() -> None:
        raise ZeroDivisionError

    room.jobs.add("breaks", breaks)
    room.jobs.add("work", room.work)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(room.jobs.run(), 5)
    assert room.ending.is_set()


async def test_publishing_goes_on_for_what_is_in_hand() -> None:
    log, ending = MemoryLog(Topics({TOPIC: 1})), asyncio.Event()
    ending.set()
    async with DrainingBus(MemoryBus(log), ending) as bus:
        await bus.publish([Message(TOPIC, "key", b"answer")])
    assert [record.body for record in log.records[TOPIC, 0]] == [b"answer"]
