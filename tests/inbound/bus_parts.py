"""A bus in memory, the way in behind it, and clients on both sides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from adapters.bus.memory import MemoryBus, MemoryLog
from adapters.bus.topics import Topics
from adapters.inbound.bus import BusIntake
from adapters.inbound.lines import DoorLike
from adapters.inbound.metrics import IntakeMetrics
from adapters.store.memory import MemoryDeadLetters, MemoryStore
from gateway.ports import Message, Record, Unavailable
from gateway.runtime.door import Client
from tests.inbound.parts import quotas_of
from tests.runtime.house import ERP, JSON, Clock, House, Told

SUBMITTED, ANSWERED = "origin.intake.submitted.v1", "origin.intake.answered.v1"
DEAD = f"{SUBMITTED}-dlt"
OTHER = Client("other", "91310199MA9GWR4P61")


class Registry:
    """Clients by their ids; `revoked` may not speak. `on`: those on the bus."""

    def __init__(self, *clients: Client) -> None:
        self.clients = {client.id: client for client in clients}
        self.revoked: set[str] = set()
        self.on = sorted(self.clients)
        self.away = False

    async def on_bus(self) -> Sequence[str]:
        if self.away:
            raise Unavailable("the database is away")
        return self.on

    async def by_id(self, name: str) -> Client | None:
        if self.away:
            raise Unavailable("the database is away")
        return None if name in self.revoked else self.clients.get(name)


class Post:
    """A door behind the bus, and the ERPs in front of it."""

    def __init__(self, door: DoorLike | None = None, topics: Topics | None = None) -> None:
        self.house = House()
        self.log = MemoryLog(topics) if topics else self.house.log
        self.store = MemoryStore(self.log.append) if topics else self.house.store
        self.bus = MemoryBus(self.log)
        self.registry = Registry(ERP, OTHER)
        self.metrics = CollectorRegistry()
        self.told = Told()
        self.quotas = quotas_of(self.house.clock)
        self.there: Collection[str] | None = None
        self.intake = BusIntake(
            self.bus, door or self.house.door, self.registry, self.quotas, MemoryDeadLetters(self.store), Clock(),
            IntakeMetrics(self.metrics), self.told, self._there, look=0.01,
        )  # fmt: skip

    async def _there(self) -> Collection[str]:
        names = (f"{family}.{client}" for family in (SUBMITTED, ANSWERED) for client in self.registry.clients)
        return set(names) if self.there is None else self.there

    def send(self, body: bytes, media_type: str = JSON, *, client: str = "erp", key: str = "k", **headers: str) -> None:
        """An ERP writes a record."""
        named = {name.replace("_0", "-"): value for name, value in headers.items()}
        self.log.append([Message(f"{SUBMITTED}.{client}", key, body, {"content-type": media_type, **named})])

    def submitted(self) -> list[Record]:
        """Everything on the clients' topics, in order of partition and offset."""
        return [
            r for place, line in sorted(self.log.records.items()) if place[0].startswith(f"{SUBMITTED}.") for r in line
        ]

    def on(self, topic: str) -> list[Record]:
        return [r for place, line in sorted(self.log.records.items()) if place[0] == topic for r in line]

    def answers(self, client: str = "erp") -> list[Record]:
        return self.on(f"{ANSWERED}.{client}")

    def contents(self, client: str = "erp") -> list[Mapping[str, Any]]:
        return [orjson.loads(record.body) for record in self.answers(client)]

    async def handle(self) -> None:
        """One batch of all there is."""
        async with self.house.open():
            await self.intake.handle(self.submitted())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The real loop."""
        async with self.house.open():
            task = asyncio.create_task(self.intake.run())
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - the condition is the test's own
            await asyncio.sleep(0.01)


def codes(content: Mapping[str, Any]) -> list[str]:
    return [fault["code"] for fault in content["faults"]]
