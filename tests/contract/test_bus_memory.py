"""The contract, on memory."""

from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from adapters.bus.memory import MemoryBus, MemoryConsumer, MemoryLog
from gateway.ports import Bus, Consumer, Unavailable
from tests.contract.bus_suite import BusSuite, Harness, numbered, take


class MemoryHarness(Harness):
    """Handles on one MemoryLog."""

    settle = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.log = MemoryLog(self.topics)

    async def open(self) -> Bus:
        return MemoryBus(self.log)

    async def close(self, bus: Bus) -> None:
        """Nothing to close."""

    async def crash(self, bus: Bus, consumer: Consumer) -> None:
        cast(MemoryConsumer, consumer).leave()

    async def pause(self, bus: Bus, consumer: Consumer) -> Callable[[], Awaitable[None]]:
        cast(MemoryConsumer, consumer).leave()

        async def go_on() -> None:
            """Its group has given it up."""

        return go_on


@pytest.fixture
def harness() -> Harness:
    return MemoryHarness()


class TestMemoryBus(BusSuite):
    """Every promise."""


async def test_a_log_that_is_away_and_comes_back() -> None:
    harness = MemoryHarness()
    bus = await harness.open()
    async with bus.consumer(harness.group, [harness.one]) as consumer:
        harness.log.away = True
        for call in (bus.publish(numbered(harness.one, 1, 1)), consumer.poll(1, 0.1), consumer.commit({})):
            with pytest.raises(Unavailable):
                await call
        harness.log.away = False
        await bus.publish(numbered(harness.one, 1, 1))
        assert len(await take(consumer, 1, 1.0)) == 1
