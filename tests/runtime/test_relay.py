"""The relay on two logs in memory: everything goes over, in order, whatever goes away meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from adapters.bus.memory import MemoryBus, MemoryLog
from adapters.bus.topics import Topics
from gateway.ports import Message, Unavailable
from gateway.runtime import relay
from gateway.runtime.relay import Relay
from tests.contract.bus_suite import by_key, numbered
from tests.runtime.house import Told

TOPICS = Topics({"one": 2, "two": 2})


class Broker(MemoryBus):
    """Takes some messages before it goes away, and says nothing of them."""

    def __init__(self) -> None:
        super().__init__(MemoryLog(TOPICS))
        self.batches: list[int] = []
        self.breaks_after: int | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        self.batches.append(len(messages))
        if self.breaks_after is not None:
            self.log.append(messages[: self.breaks_after])
            raise Unavailable("the broker is away")
        await super().publish(messages)


@asynccontextmanager
async def relaying(
    log: MemoryBus, broker: Broker, told: Told, topics: Callable[[], Awaitable[frozenset[str]]] | None = None
) -> AsyncIterator[None]:
    async def all_of_them() -> frozenset[str]:
        return frozenset(TOPICS)

    work = asyncio.create_task(Relay(log, broker, topics or all_of_them, told).run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come")


def carried(broker: Broker) -> dict[str, list[int]]:
    """Key -> running numbers as they stand on the broker."""
    return dict(by_key([record for line in broker.log.records.values() for record in line]))


def whole(broker: Broker, count: int, keys: int) -> bool:
    """Every key has all its numbers; of doubles the first counts."""
    found = {key: list(dict.fromkeys(line)) for key, line in carried(broker).items()}
    return found == {f"key-{key}": list(range(key, count, keys)) for key in range(keys)}


async def test_everything_goes_over_as_it_was_written() -> None:
    log, broker = MemoryBus(MemoryLog(TOPICS)), Broker()
    await log.publish([Message("two", "k", b"\x00\xff", {"ce_id": "1", "ce_time": "中"})])
    async with relaying(log, broker, Told()):
        await until(lambda: any(broker.log.records.values()))
    (record,) = [record for line in broker.log.records.values() for record in line]
    assert (record.topic, record.key, record.body) == ("two", "k", b"\x00\xff")
    assert dict(record.headers) == {"ce_id": "1", "ce_time": "中"}


async def test_a_broker_that_is_away_is_tried_with_one_message_and_nothing_is_lost_or_out_of_order() -> None:
    log, broker, told = MemoryBus(MemoryLog(TOPICS)), Broker(), Told()
    broker.breaks_after = 7  # some were written, and nobody knows which
    async with relaying(log, broker, told):
        await log.publish(numbered("one", 5, 60))
        await until(lambda: len(broker.batches) > 4)
        await log.publish(numbered("one", 5, 60, start=60))
        assert set(broker.batches[1:]) == {1}, "more than a pilot was sent to a broker that is away"
        broker.breaks_after = None
        await until(lambda: whole(broker, 120, 5))
        group, line = log.log.groups[relay.GROUP], log.log.records["one", 0]
        await until(lambda: group.positions[("one", 0)] == len(line))
    assert max(broker.batches[2:]) > 1
    assert told.words == ["away: broker", "back: broker"]


async def test_a_topic_that_comes_into_being_is_carried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "LOOK", 0.05)
    log, broker = MemoryBus(MemoryLog(TOPICS)), Broker()
    known = {"one"}
    away = True

    async def topics() -> frozenset[str]:
        if away:
            raise Unavailable("the database is away")
        return frozenset(known)

    async with relaying(log, broker, Told(), topics):
        await asyncio.sleep(0.1)
        away = False
        await log.publish([*numbered("one", 1, 1), *numbered("two", 1, 1)])
        await until(lambda: bool(carried(broker)))
        assert not broker.log.records["two", TOPICS.place("two", "key-0")]
        known.add("two")
        await until(lambda: bool(broker.log.records["two", TOPICS.place("two", "key-0")]))
