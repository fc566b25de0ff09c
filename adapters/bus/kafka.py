"""The bus on Apache Kafka: what the gateway scales out on. Passes the same suite as the log and the memory bus."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Self

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import ConsumerRecord

from adapters.bus import kafka_client
from adapters.bus.kafka_claims import Claims
from adapters.bus.kafka_client import BROKER, MOST_RECORDS, PATIENCE, Cluster, end, unavailable
from adapters.bus.kafka_producer import WAIT, Publisher
from adapters.bus.kafka_watch import STUCK, Watchdog
from adapters.bus.topics import Topics, declared
from gateway.ports import Blobs, Consumer, Fenced, Message, Positions, Record, Unavailable
from gateway.runtime.patience import Away

__all__ = ["Cluster", "KafkaBus"]

log = logging.getLogger(__name__)

Place = tuple[str, int]
REASSIGNED = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
GRACE = 0.1
"""Seconds a poll waits longer than the client below it, which then ends by itself."""


class KafkaBus:
    """Publishes to and reads from a Kafka cluster. Use as an async context manager."""

    def __init__(
        self,
        cluster: Cluster,
        blobs: Blobs,
        topics: Topics | None = None,
        *,
        progress: Callable[[str], None] = lambda group: None,
        wait: float = WAIT,
        stuck: float = STUCK,
    ) -> None:
        """`blobs`: where large bodies stay. `progress` is told the group whenever a member got records, or saw that
        there were none. `wait`: seconds until a call gives up. `stuck`: seconds until the watchdog ends the process.
        Raises OSError for certificate files that can't be used."""
        cluster.connection()
        self.cluster = cluster
        self.topics = declared() if topics is None else topics
        self.claims = Claims(blobs, self.topics)
        self.progress = progress
        self.wait = wait
        self.stuck = stuck
        self._publisher = Publisher(partial(kafka_client.producer, cluster), self.topics, wait)

    async def __aenter__(self) -> Self:
        """Connects nothing yet: a process that only reads needs no producer."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnects; consumers must have been left before."""
        await self._publisher.close()

    async def publish(self, messages: Sequence[Message]) -> None:
        """See the port."""
        places = [self.topics.place(message.topic, message.key) for message in messages]
        travelling = [await self.claims.check_in(message) for message in messages]
        await self._publisher.send(list(zip(travelling, places, strict=True)))

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """A member of `group`. Entering it raises UnknownTopic, and Unavailable when the cluster is away."""
        return self._member(group, topics)

    @contextlib.asynccontextmanager
    async def _member(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        self.topics.places(topics)
        consumer = KafkaConsumer(self, group, sorted(set(topics)))
        try:
            await consumer.join()
            yield consumer
        finally:
            await consumer.leave()


@dataclass(slots=True)
class Held:
    """A partition in our hands: acknowledged before `committed`, handed out before `next`."""

    committed: int
    next: int


class KafkaConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """One member of one group; see `gateway.ports.Consumer`."""

    def __init__(self, bus: KafkaBus, group: str, topics: Sequence[str]) -> None:
        """Made by `KafkaBus.consumer`."""
        self._bus = bus
        self._group = group
        self._topics = topics
        self._client = kafka_client.consumer(bus.cluster, group)
        self._watchdog = Watchdog(self._client, bus.cluster.session, bus.stuck)
        self._held: dict[Place, Held] = {}
        self._fetching: asyncio.Task[Mapping[TopicPartition, list[ConsumerRecord]]] | None = None
        self._waited = 0.0
        self._generation: int | None = None
        """Of the group, when it gave us our partitions; None: it has not, or takes them back."""
        self._leaving = False
        self._settled = asyncio.Event()

    # ------------------------------------------------------------ reading

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """See the port. Raises Stuck when the client stands still though the broker has records."""
        begin = time.monotonic()
        found = await self._fetch(max(1, min(max_records, MOST_RECORDS)), begin + timeout)
        self._waited += time.monotonic() - begin
        for place, line in found.items():
            # After a change of hands the client starts at the committed position: the first record stands there.
            held = self._held.setdefault(place, Held(line[0].offset, line[0].offset))
            held.next = line[-1].offset + 1
        up_to_date = await self._watchdog.look(self._waited, self._generation is not None)
        if found or up_to_date:
            self._bus.progress(self._group)
        try:
            return [await self._bus.claims.check_out(_record(raw)) for line in found.values() for raw in line]
        except Unavailable:
            self._back({place: line[0].offset for place, line in found.items()})
            raise

    async def _fetch(self, most: int, end: float) -> dict[Place, list[ConsumerRecord]]:
        """What the client has. It is asked in a task of its own, because while the group shares out its partitions
        it does not heed its timeout, and the group waits until we have acknowledged what we hold."""
        while True:
            left = max(end - time.monotonic(), 0.0)
            if self._fetching is None:
                asked = self._client.getmany(timeout_ms=int(left * 1000), max_records=most)
                self._fetching = asyncio.create_task(asked, name=f"origin-kafka-{self._group}")
            await asyncio.wait({self._fetching}, timeout=left + GRACE)
            if not self._fetching.done():
                return {}
            with unavailable("poll"):
                found = {(tp.topic, tp.partition): line for tp, line in self._take().items() if line}
            if found or time.monotonic() >= end:
                return self._no_more_than(most, found)

    def _take(self) -> Mapping[TopicPartition, list[ConsumerRecord]]:
        task, self._fetching = self._fetching, None
        return task.result() if task is not None else {}

    def _no_more_than(self, most: int, found: dict[Place, list[ConsumerRecord]]) -> dict[Place, list[ConsumerRecord]]:
        """Cut to size what an earlier, larger poll had asked for."""
        kept: dict[Place, list[ConsumerRecord]] = {}
        for place, line in found.items():
            if line[:most]:
                kept[place] = line[:most]
            if line[most:]:
                self._client.seek(TopicPartition(*place), line[most].offset)
            most -= len(line[:most])
        return kept

    async def commit(self, positions: Positions) -> None:
        """See the port."""
        lost = sorted(place for place in positions if place not in self._held)
        if positions and not self._is_member():
            raise Fenced(_named(positions))
        forward = {
            TopicPartition(*place): position
            for place, position in positions.items()
            if place in self._held and position > self._held[place].committed
        }
        if forward:
            try:
                async with asyncio.timeout(self._bus.wait):
                    await self._client.commit(forward)
            except REASSIGNED as error:
                raise Fenced(_named(positions)) from error
            except (KafkaError, TimeoutError, OSError) as error:
                raise Away(BROKER, f"commit: {type(error).__name__}") from error
            for tp, position in forward.items():
                if (held := self._held.get((tp.topic, tp.partition))) is not None:
                    held.committed = max(held.committed, position)
            self._settled.set()
        if lost:
            raise Fenced(_named(lost))

    async def rewind(self) -> None:
        """See the port."""
        if self._fetching is not None and self._fetching.done():
            with contextlib.suppress(KafkaError):
                for tp, line in self._take().items():
                    if line:
                        self._held.setdefault((tp.topic, tp.partition), Held(line[0].offset, line[0].offset))
        # Not seek_to_committed(): for a group that never committed it does nothing.
        self._back({place: held.committed for place, held in self._held.items()})

    def _back(self, positions: Positions) -> None:
        mine = self._client.assignment()
        for place, position in positions.items():
            if TopicPartition(*place) in mine and place in self._held:
                self._client.seek(TopicPartition(*place), position)
                self._held[place].next = position
        self._settled.set()

    # ------------------------------------------------------------ membership

    async def join(self) -> None:
        """Takes a seat in the group; partitions come later, when the others gave theirs back."""
        with unavailable("join"):
            async with asyncio.timeout(self._bus.wait):
                await self._client.start()
                missing = set(self._topics) - await self._client.topics()
        if missing:
            raise Away(BROKER, f"{min(missing)} is not on the cluster: origin topics apply")
        self._client.subscribe(self._topics, listener=self)

    async def leave(self) -> None:
        """Gives everything back; a cluster that is away will find out by itself."""
        self._leaving = True
        self._settled.set()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        self._held.clear()
        if not await end(self._client.stop):
            await end(self._client._client.close)

    def _is_member(self) -> bool:
        """Does the client still speak for the generation of the group that gave us our partitions?

        It forgets its generation when it was replaced, and a commit without one passes the broker's check while the
        group is empty: it would move a position back that another member moved meanwhile.
        """
        return self._generation is not None and self._client._coordinator.generation == self._generation

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The client's word that the group shares out anew. It waits for this call before it gives anything back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._in_hand() and self._is_member() and not self._leaving:
                    self._settled.clear()
                    await self._settled.wait()
        if self._in_hand() and not self._leaving:
            log.warning("bus.abandoned: group %s: records in hand when their partitions went", self._group)
        self._generation = None
        self._held.clear()
        if self._fetching is not None and self._fetching.done():
            with contextlib.suppress(KafkaError):
                self._take()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The client's word that the group has shared out."""
        self._generation = self._client._coordinator.generation

    def _in_hand(self) -> bool:
        return any(held.next > held.committed for held in self._held.values())


def _record(raw: ConsumerRecord) -> Record:
    """What a stranger wrote is a record too: see `gateway.ports.Record`."""
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in raw.headers}
    key = (raw.key or b"").decode("utf-8", "replace")
    return Record(raw.topic, raw.partition, raw.offset, key, raw.value or b"", headers)


def _named(places: Iterable[Place]) -> str:
    return ", ".join(f"{topic}[{number}]" for topic, number in sorted(places))
