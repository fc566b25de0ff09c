"""The bus of the world: the log in memory, with lost answers, doubles, other orders and readers taken for dead."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self

from adapters.bus.kafka_claims import Claims
from adapters.bus.memory import Group, MemoryConsumer, MemoryLog
from gateway.ports import Consumer, Fenced, Message, Positions, Record, Unavailable
from simulators.simulation.faults import Fault
from simulators.simulation.world import SESSION, Process, World


class SimulatedLog(MemoryLog):
    """What outlives every process: records, groups, and who was heard of when."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.readers: list[SimulatedConsumer] = []
        self.kept: list[Group] = []
        """Groups in which somebody keeps a partition that another should have."""

    def stir(self) -> None:
        """Wakes every reader, in the order they came."""
        for reader in self.readers:
            reader.wake()

    def share(self, group: Group) -> None:
        """As in memory, but a living member keeps a partition until what it was handed of it is acknowledged."""
        held = {reader.member: reader for reader in self.readers if reader.in_group is group}
        before = dict(group.seats)
        self.kept = [other for other in self.kept if other is not group]
        super().share(group)
        for place, (owner, epoch) in before.items():
            reader = held.get(owner)
            moved = group.seats.get(place) != (owner, epoch)
            if moved and owner in group.members and reader is not None and reader.holds(place, epoch):
                group.seats[place] = (owner, epoch)
                self.kept.append(group)

    def remove(self, consumer: "SimulatedConsumer") -> None:
        """The group takes a member for dead."""
        if consumer.in_group.members.pop(consumer.member, None) is not None:
            self.share(consumer.in_group)

    async def watch(self) -> None:
        """Readers nobody heard of for a session are taken for dead."""
        while True:
            await asyncio.sleep(SESSION / 4)
            for reader in self.readers:
                if reader.member in reader.in_group.members and self.world.loop.time() - reader.heard > SESSION:
                    self.remove(reader)


class SimulatedBus:
    """One process's connection to the bus."""

    def __init__(
        self, log: SimulatedLog, process: Process, make: "Make | None" = None, claims: Claims | None = None
    ) -> None:
        """`make`: another kind of member, for a planted fault. `claims`: where large bodies stay; None: none are."""
        self.log = log
        self.process = process
        self.claims = claims
        self._make = make or SimulatedConsumer

    async def __aenter__(self) -> Self:
        """Nothing to connect."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to disconnect."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """See the port."""
        world = self.process.world
        if self.claims is not None:
            messages = [await self.claims.check_in(message) for message in messages]
        fault = await world.at(self.process, "bus.publish")
        if fault is Fault.BUS_REFUSED:
            raise Unavailable("the bus is away")
        self.log.check()
        self.log.append(messages)
        if fault is Fault.PUBLISH_TWICE:
            self.log.append(messages)
        if fault is Fault.CRASH_AFTER:
            await world.die(self.process)
        if fault is Fault.PUBLISH_UNKNOWN:
            raise Unavailable("no answer")

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """See the port."""
        return self._member(group, topics)

    @contextlib.asynccontextmanager
    async def _member(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        self.log.topics.places(topics)
        if await self.process.world.at(self.process, "bus.join") is Fault.BUS_REFUSED:
            raise Unavailable("the bus is away")
        self.log.check()
        consumer = self._make(self, group, topics)
        try:
            yield consumer
        finally:
            if self.process.dead:  # nobody says good-bye: the group finds out
                self.process.world.loop.call_later(consumer.silence(), consumer.leave)
            else:
                consumer.leave()


class SimulatedConsumer(MemoryConsumer):
    """One member of one group. It is in its group only while it is heard of."""

    def __init__(self, bus: SimulatedBus, group: str, topics: Sequence[str]) -> None:
        self.in_group = bus.log.groups.setdefault(group, Group())
        self.process = bus.process
        self._world = bus.process.world
        self._claims = bus.claims
        self._topics = sorted(set(topics))
        self._woken = bus.process.world.loop.create_future()
        self.heard = bus.process.world.loop.time()
        self.member = bus.process.world.new_uuid()
        self._simulated = bus.log
        self._log = bus.log
        self._group = self.in_group
        self._next = {}
        self._epochs = {}
        self._turn = 0
        self._shuffled = False
        bus.log.readers.append(self)
        self._join()

    def _join(self) -> None:
        self.in_group.members[self.member] = self._topics
        self._simulated.share(self.in_group)

    def holds(self, place: tuple[str, int], epoch: int) -> bool:
        """Was something of this partition handed out that is not acknowledged?"""
        position = self.in_group.positions.get(place, 0)
        return self._next.get((place, epoch), position) > position

    def silence(self) -> float:
        """How long it takes the group to notice that the process is gone."""
        return SESSION * self._world.dice.random()

    def leave(self) -> None:
        """Gives everything back."""
        if self in self._simulated.readers:
            self._simulated.readers.remove(self)
        self._simulated.remove(self)

    def wake(self) -> None:
        """Something may have come."""
        if not self._woken.done():
            self._woken.set_result(None)

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """See the port."""
        self.heard = self._world.loop.time()
        fault = await self._world.at(self.process, "bus.poll")
        if self.member not in self.in_group.members:  # taken for dead meanwhile: a new member from here on
            self._next.clear()
            self._join()
        self.heard = self._world.loop.time()
        if fault is Fault.BUS_REFUSED:
            raise Unavailable("the bus is away")
        if fault is Fault.REDELIVERED:
            await self.rewind()
        self._shuffled = fault is Fault.REORDERED
        end = self._world.loop.time() + timeout
        while True:
            self._simulated.check()
            self._woken = self._world.loop.create_future()
            if records := self._read(max(1, max_records)):
                self.heard = self._world.loop.time()
                self._world.note(self.process.name, "reads", *(f"{r.topic}[{r.partition}]{r.offset}" for r in records))
                return await self._checked_out(records)
            left = end - self._world.loop.time()
            if left <= 0:
                return []
            await asyncio.wait([self._woken], timeout=left)

    async def _checked_out(self, records: Sequence[Record]) -> Sequence[Record]:
        if self._claims is None:
            return records
        try:
            return [await self._claims.check_out(record) for record in records]
        except Unavailable:
            await self.rewind()
            raise

    def _read(self, max_records: int) -> list[Record]:
        """Few at a time when partitions are read in another order: keys overtake each other."""
        if not self._shuffled:
            return super()._read(max_records)
        self._turn = self._world.dice.randrange(1000)
        return super()._read(1 + self._world.dice.randrange(3))

    async def rewind(self) -> None:
        """See the port."""
        await super().rewind()
        self._settle()

    def _settle(self) -> None:
        """What we kept only because we had not acknowledged it goes to whom it belongs."""
        if any(group is self.in_group for group in self._simulated.kept):
            self._simulated.share(self.in_group)

    async def commit(self, positions: Positions) -> None:
        """See the port."""
        fault = await self._world.at(self.process, "bus.ack")
        if fault is Fault.ACK_LOST:
            raise Unavailable("the bus is away")
        self._simulated.check()
        try:
            await super().commit(positions)
        except Fenced:
            self._world.struck(Fault.FENCED, self.process.name)
            raise
        self._settle()
        if fault is Fault.CRASH_AFTER:
            await self._world.die(self.process)
        if fault is Fault.ACK_UNKNOWN:
            raise Unavailable("no answer")


Make = Callable[[SimulatedBus, str, Sequence[str]], SimulatedConsumer]
