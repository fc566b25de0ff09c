"""Publishing to Kafka: an idempotent producer, made when first needed and made again when its sequence is broken."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from adapters.bus.kafka_client import BROKER, end, unavailable
from adapters.bus.topics import Topics
from gateway.ports import Message
from gateway.runtime.patience import Away

log = logging.getLogger(__name__)

WAIT = 10.0
"""Seconds until a call gives up: more than a new leader takes to be found. The port promises 30."""
TRIES = 3

Placed = tuple[Message, int]
"""A message and its partition."""


class Publisher:
    """One producer at a time. Any number of tasks may send; each one's messages stay in order."""

    def __init__(self, make: Callable[[], AIOKafkaProducer], topics: Topics, wait: float = WAIT) -> None:
        """`wait`: seconds until `send` gives up."""
        self._make = make
        self._topics = topics
        self._wait = wait
        self._lock = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._known: set[str] = set()
        self._open: set[asyncio.Future[object]] = set()
        """Batches of calls that gave up: the producer goes on trying. Nothing is sent after them until they are
        through, so a broker that is away for long finds them once, and before what came later."""

    async def send(self, placed: Sequence[Placed]) -> None:
        """Durable on return. Raises Unavailable: each may have been written, or may be later."""
        if not placed:
            return
        with unavailable("publish"):
            async with asyncio.timeout(self._wait):
                for left in reversed(range(TRIES)):
                    producer = await self._ready({message.topic for message, _ in placed})
                    try:
                        await self._settle()
                        await self._send(producer, placed)
                        return
                    except KafkaError as error:
                        if error.retriable or not left:
                            raise
                        # Its sequence is broken for good. All is sent again by a new one; readers drop doubles by id.
                        log.warning("bus.producer_rebuilt: %s", type(error).__name__)
                        await self._put_away(producer)

    async def close(self) -> None:
        """Puts the producer away; what it could not write is lost to it, not to those who were told Unavailable."""
        if self._producer is not None:
            await self._put_away(self._producer)

    async def _ready(self, topics: set[str]) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = self._make()
                try:
                    await producer.start()
                except BaseException:
                    await _end(producer)
                    raise
                self._producer = producer
            if unknown := topics - self._known:
                cluster = await self._producer.client.fetch_all_metadata()
                for topic in sorted(unknown):
                    there = cluster.partitions_for_topic(topic) or set()
                    if len(there) < self._topics.partitions(topic):
                        raise Away(BROKER, f"{topic} is not on the cluster as declared: origin topics apply")
                self._known |= unknown
            return self._producer

    async def _settle(self) -> None:
        while self._open:
            await asyncio.wait(set(self._open))
            done = {future for future in self._open if future.done()}
            self._open -= done
            if errors := _errors(done):
                raise errors[0]

    async def _send(self, producer: AIOKafkaProducer, placed: Sequence[Placed]) -> None:
        lines: dict[tuple[str, int], list[Message]] = {}
        for message, partition in placed:
            lines.setdefault((message.topic, partition), []).append(message)
        futures: list[asyncio.Future[object]] = []
        try:
            for (topic, partition), line in lines.items():
                for batch in _batches(producer, line):
                    futures.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.wait(futures)
        finally:
            self._open |= {future for future in futures if not future.done()}
            errors = _errors(futures)
        if errors:
            raise errors[0]

    async def _put_away(self, producer: AIOKafkaProducer) -> None:
        async with self._lock:
            if self._producer is not producer:
                return  # another task did it
            self._producer = None
            self._known.clear()
            for future in self._open:
                future.cancel()
            self._open = set()
            await _end(producer)


def _batches(producer: AIOKafkaProducer, line: Sequence[Message]) -> Iterator[BatchBuilder]:
    """The messages of one partition, in order, in batches that fill one after the other: to send them one by one costs
    three times as much, most of it for each one's own future. A batch takes its first message whatever its size."""
    batch = producer.create_batch()
    for message in line:
        headers = [(name, value.encode()) for name, value in message.headers.items()]
        record = {"timestamp": None, "key": message.key.encode(), "value": message.body, "headers": headers}
        if batch.append(**record) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(**record)
    yield batch


def _errors(futures: Iterable[asyncio.Future[object]]) -> list[BaseException]:
    """What those that are done ended with; looked at, so that asyncio does not complain of an error nobody saw."""
    found = [future.exception() for future in futures if future.done() and not future.cancelled()]
    return [error for error in found if error is not None]


async def _end(producer: AIOKafkaProducer) -> None:
    """An orderly stop writes what is under way first. Where that can't be, nothing of it is left running."""
    if await end(producer.stop):
        return
    await end(producer._sender.close)
    accumulator = producer._message_accumulator
    for batch in (*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches):
        batch.done_noack()  # whoever waits for it was told Unavailable
    await end(producer.client.close)
