"""The bus as a way in, from outside: enterprises that write declarations on their topic and wait for the answer there.

They are foreign producers: what they write they write again when nobody said that it is there, and they know nothing of
us but topics and headers. The gateway's side is its own `BusIntake`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from uuid import UUID

from adapters.bus.topics import declared
from adapters.inbound.bus_reading import ANSWERED
from adapters.store.memory_quotas import MemoryQuotas
from gateway.core.admission import Verdict
from gateway.ports import Message, Record, Unavailable
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client
from gateway.runtime.kept import SUBMITTED
from gateway.runtime.quotas import Quotas
from gateway.storage import Collision
from simulators.simulation.bus import SimulatedLog
from simulators.simulation.faults import Fault
from simulators.simulation.store import SimulatedStore
from simulators.simulation.world import Process, World

PATIENCE = 0.5


class BusClients:
    """Who is on the bus, as a process sees it: by way of its database."""

    def __init__(self, store: SimulatedStore, clients: Sequence[Client]) -> None:
        self._store = store
        self._clients = {client.id: client for client in clients}

    async def on_bus(self) -> Sequence[str]:
        """All of them."""
        await self._look()
        return list(self._clients)

    async def by_id(self, name: str) -> Client | None:
        """One of them."""
        await self._look()
        return self._clients.get(name)

    async def _look(self) -> None:
        try:
            await self._store.read()
        except Collision as collision:
            raise Unavailable("the clients can't be read") from collision


class Unwatched:
    """An observer of the ways in that is told and forgets."""

    def received(self, channel: str, verdict: Verdict, seconds: float) -> None:
        """See `gateway.reading.IntakeObserver`."""


def unlimited(process: Process) -> Quotas:
    """This world's clients have no quotas; what they send is counted all the same."""
    return Quotas(process, MemoryQuotas(), UUID(int=0), lambda client, over, first: None)


class Producer:
    """The enterprises' own programs on the broker."""

    def __init__(self, world: World, broker: SimulatedLog, clients: Sequence[Client]) -> None:
        """Makes the topics of `clients`, as the operator does."""
        self._world = world
        self._broker = broker
        self._numbers = count(1)
        for client in clients:
            for place in topics_of(client):
                broker.records.setdefault(place, [])

    async def submit(self, client: Client, body: bytes, order: str, key: str | None) -> Answer:
        """Write a declaration, and wait until it is answered. `order`: the record's key."""
        identity = f"po-{next(self._numbers)}"
        headers = {"content-type": "application/json", "ce_id": identity, "ce_source": client.id}
        if key is not None:
            headers["idempotency-key"] = key
        await self._write(Message(f"{SUBMITTED}.{client.id}", order, body, headers))
        while (answer := self._answer(client, identity)) is None:  # noqa: ASYNC110 - it polls, as such programs do
            await asyncio.sleep(PATIENCE + self._world.dice.random())
        return answer

    async def _write(self, message: Message) -> None:
        """Until the broker says that it has it."""
        while True:
            await asyncio.sleep(self._world.dice.random() * 0.02)
            fault = self._world.faults.draw("erp.publish")
            if fault is not None:
                self._world.struck(fault, "erp", message.headers["ce_id"])
            if not self._broker.away and fault is not Fault.BUS_REFUSED:
                self._broker.append([message] * (2 if fault is Fault.PUBLISH_TWICE else 1))
                if fault is not Fault.PUBLISH_UNKNOWN:
                    return
            await asyncio.sleep(PATIENCE)

    def _answer(self, client: Client, identity: str) -> Answer | None:
        for record in answers(self._broker, client):
            status = record.headers["origin_status"]
            if record.headers.get("ce_causationid") == identity and status != Verdict.INTERNAL:
                return Answer(Verdict(status), record.body)
        return None


def topics_of(client: Client) -> list[tuple[str, int]]:
    """Every partition of a client's pair."""
    return declared().places([f"{SUBMITTED}.{client.id}", f"{ANSWERED}.{client.id}"])


def submitted(broker: SimulatedLog, client: Client) -> Iterator[Record]:
    """What a client wrote."""
    yield from _all(broker, f"{SUBMITTED}.{client.id}")


def answers(broker: SimulatedLog, client: Client) -> Iterator[Record]:
    """What it was answered, in the order of the partitions."""
    yield from _all(broker, f"{ANSWERED}.{client.id}")


def answered(answer: Record) -> tuple[int, int]:
    """(partition, offset) of what it answers."""
    return int(answer.headers["origin_submitted_partition"]), int(answer.headers["origin_submitted_offset"])


def _all(broker: SimulatedLog, topic: str) -> Iterator[Record]:
    for place in declared().places([topic]):
        yield from broker.records[place]
