"""How far the groups of a Kafka cluster are behind, and since when. Looks only; belongs to no group."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from adapters.bus import kafka_client
from adapters.bus.kafka_client import Cluster, end, unavailable
from adapters.bus.topics import declared

ANSWER = 10.0
"""Seconds until a look gives up."""
SAMPLES = 4096
"""Looks remembered for each partition: eleven hours at one in ten seconds."""


class Behind(NamedTuple):
    """One group on one topic; those of single clients count as one."""

    group: str
    topic: str
    records: int
    age: float
    """Seconds the oldest of them has waited, as far as was seen."""


class Ages:
    """When a partition's end was where. A record's age is told by the looks that saw the end pass it: reading the
    record itself to learn its time would cost a fetch. After a start the age counts from the first look."""

    def __init__(self) -> None:
        self._seen: dict[TopicPartition, deque[tuple[float, int]]] = {}

    def note(self, place: TopicPartition, end: int, now: float) -> None:
        """The partition ends at `end` now (seconds of any steady clock)."""
        seen = self._seen.setdefault(place, deque(maxlen=SAMPLES))
        # Of equal ends the first and the last say it all.
        if len(seen) > 1 and seen[-1][1] == seen[-2][1] == end:
            seen.pop()
        seen.append((now, end))

    def age(self, place: TopicPartition, position: int, now: float) -> float:
        """Seconds since the record at `position` was written; 0 when there is none."""
        seen = self._seen.get(place, ())
        if not seen or seen[-1][1] <= position:
            return 0.0
        for at, last in reversed(seen):
            if last <= position:
                return now - at
        return now - seen[0][0]


class Lags:
    """Looks at `groups`. Its clients are made at the first look, and anew after trouble."""

    def __init__(self, cluster: Cluster, groups: Sequence[str]) -> None:
        self._cluster = cluster
        self._groups = groups
        self._ages = Ages()
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None

    async def look(self) -> list[Behind]:
        """Every group and topic that was ever read. Raises Unavailable."""
        with unavailable("lag"):
            try:
                async with asyncio.timeout(ANSWER):
                    return await self._look()
            except (KafkaError, TimeoutError, OSError):
                await self.close()
                raise

    async def close(self) -> None:
        """Disconnect; the next look connects again."""
        reader, self._reader = self._reader, None
        admin, self._admin = self._admin, None
        if reader is not None:
            await end(reader.stop)
        if admin is not None:
            await end(admin.close)

    async def _look(self) -> list[Behind]:
        if self._admin is None:
            self._admin = kafka_client.admin(self._cluster)
            await self._admin.start()
        if self._reader is None:
            self._reader = AIOKafkaConsumer(**self._cluster.connection())
            await self._reader.start()
        positions = {}
        for group in self._groups:
            try:
                found = await self._admin.list_consumer_group_offsets(group)
            except GroupAuthorizationFailedError:  # another role's, which has a user of its own: it tells
                continue
            positions[group] = {place: at.offset for place, at in found.items() if place.topic in declared()}
        places = sorted({place for group in positions.values() for place in group})
        ends: Mapping[TopicPartition, int] = await self._reader.end_offsets(places) if places else {}
        now = monotonic()
        for place, last in ends.items():
            self._ages.note(place, last, now)
        return self._summed(positions, ends, now)

    def _summed(
        self,
        positions: Mapping[str, Mapping[TopicPartition, int]],
        ends: Mapping[TopicPartition, int],
        now: float,
    ) -> list[Behind]:
        unread: dict[tuple[str, str], tuple[int, float]] = {}
        for group, read in positions.items():
            for place, position in read.items():
                topic = declared().family(place.topic)
                records, age = unread.get((group, topic), (0, 0.0))
                waiting = max(0, ends.get(place, position) - position)
                age = max(age, self._ages.age(place, position, now))
                unread[group, topic] = records + waiting, age
        return [Behind(*place, *behind) for place, behind in sorted(unread.items())]
