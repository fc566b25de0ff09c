"""The bus in memory: the same promises as the others, for tests and for measuring the loop without a database."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Self

from adapters.bus.topics import Topics, declared
from gateway.ports import Consumer, Fenced, Message, Positions, Record, Unavailable

Place = tuple[str, int]


@dataclass(slots=True)
class Group:
    """Who has read how far, and who reads what under which epoch."""

    members: dict[uuid.UUID, Sequence[str]] = field(default_factory=dict)
    positions: dict[Place, int] = field(default_factory=dict)
    seats: dict[Place, tuple[uuid.UUID, int]] = field(default_factory=dict)


class MemoryLog:
    """What outlives a MemoryBus, as a database or broker would. `away`: nothing can be reached."""

    def __init__(self, topics: Topics | None = None) -> None:
        """Empty partitions of `topics` (default: the declared ones)."""
        self.topics = declared() if topics is None else topics
        self.away = False
        self.records: dict[Place, list[Record]] = {place: [] for place in self.topics.places(self.topics)}
        self.groups: dict[str, Group] = {}
        self.waiting: set[asyncio.Event] = set()

    def check(self) -> None:
        """Raises Unavailable while `away`."""
        if self.away:
            raise Unavailable("the log is away")

    def append(self, messages: Sequence[Message]) -> None:
        """Writes all or none. Raises UnknownTopic."""
        places = [(message.topic, self.topics.place(message.topic, message.key)) for message in messages]
        for place, message in zip(places, messages, strict=True):
            line = self.records.setdefault(place, [])
            line.append(Record(*place, len(line), message.key, bytes(message.body), dict(message.headers)))
        self.stir()

    def stir(self) -> None:
        """Wakes every reader."""
        for event in self.waiting:
            event.set()

    def share(self, group: Group) -> None:
        """Equal numbers of equal topics to the same member; a change of hands raises the epoch."""
        for place in self.records:
            readers = sorted(member for member, topics in group.members.items() if place[0] in topics)
            owner, epoch = group.seats.get(place, (None, 0))
            wanted = readers[place[1] % len(readers)] if readers else None
            if wanted is None:
                group.seats.pop(place, None)
            elif wanted != owner:
                group.seats[place] = (wanted, epoch + 1)
        self.stir()


class MemoryBus:
    """A handle on a MemoryLog. Use as an async context manager."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        """`log`: shared with other handles (default: a new one)."""
        self.log = MemoryLog() if log is None else log

    async def __aenter__(self) -> Self:
        """Nothing to connect."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to disconnect."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """See the port."""
        self.log.check()
        self.log.append(messages)

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """See the port."""
        return self._member(group, topics)

    @contextlib.asynccontextmanager
    async def _member(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        for place in self.log.topics.places(topics):  # those of a client come into being when they are used
            self.log.records.setdefault(place, [])
        self.log.check()
        consumer = MemoryConsumer(self.log, self.log.groups.setdefault(group, Group()), sorted(set(topics)))
        try:
            yield consumer
        finally:
            consumer.leave()


class MemoryConsumer:
    """One member of one group; see `gateway.ports.Consumer`."""

    def __init__(self, log: MemoryLog, group: Group, topics: Sequence[str]) -> None:
        """Takes a seat in the group."""
        self.member = uuid.uuid4()
        self._log = log
        self._group = group
        self._next: dict[tuple[Place, int], int] = {}
        self._epochs: dict[Place, int] = {}
        self._event = asyncio.Event()
        self._turn = 0
        log.waiting.add(self._event)
        group.members[self.member] = topics
        log.share(group)

    def leave(self) -> None:
        """Gives everything back, also when the member seems dead to its group (a test calls this from outside)."""
        self._log.waiting.discard(self._event)
        if self._group.members.pop(self.member, None) is not None:
            self._log.share(self._group)

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """See the port."""
        end = asyncio.get_running_loop().time() + timeout
        while True:
            self._event.clear()
            self._log.check()
            if records := self._read(max(1, max_records)):
                return records
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._event.wait()

    def _read(self, max_records: int) -> list[Record]:
        mine = {place: epoch for place, (owner, epoch) in self._group.seats.items() if owner == self.member}
        self._epochs = mine
        self._turn += 1
        places = sorted(mine)
        cut = self._turn % len(places) if places else 0
        records: list[Record] = []
        for place in places[cut:] + places[:cut]:
            start = self._next.get((place, mine[place]), self._group.positions.get(place, 0))
            found = self._log.records[place][start : start + max_records - len(records)]
            self._next[place, mine[place]] = start + len(found)
            records += found
        return records

    async def commit(self, positions: Positions) -> None:
        """See the port."""
        self._log.check()
        lost = []
        for place, position in positions.items():
            # The epoch under which we read, not the one of now: a partition may have gone and come back.
            if self._group.seats.get(place) == (self.member, self._epochs.get(place)):
                self._group.positions[place] = max(position, self._group.positions.get(place, 0))
            else:
                lost.append(place)
        if lost:
            raise Fenced(", ".join(f"{topic}[{number}]" for topic, number in sorted(lost)))

    async def rewind(self) -> None:
        """See the port."""
        self._next.clear()
